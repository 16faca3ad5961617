//! What a request says beside its body: which resources, and what of them.

use actix_web::HttpRequest;
use actix_web::web::Query;
use portcullis_core::scim::{AttributePath, Filter, ResourceType, ScimError, ScimType, projected};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Refusal;
use crate::gateway::people::{Listed, Members, Resource, Wanted};

/// The schema of lists.
const URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// How many a page has when nothing is said, and at most.
pub(super) const USUAL: usize = 100;
pub(super) const MOST: usize = 500;
/// Most attributes that are named.
const MOST_NAMED: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    filter: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    attributes: Option<String>,
    excluded_attributes: Option<String>,
}

/// What is wanted of resources.
pub(super) struct Asked {
    written: Written,
    only: Vec<AttributePath>,
    but: Vec<AttributePath>,
}

impl Asked {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Refusal> {
        let misfit = |what: &str| ScimError::new(ScimType::InvalidValue, format!("a parameter is no {what}"));
        let written = Query::<Written>::from_query(request.query_string()).map_err(|_| misfit("number"))?.into_inner();
        let paths = |list: &Option<String>| -> Result<Vec<AttributePath>, Refusal> {
            let names = list.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
            let paths: Option<Vec<AttributePath>> = names.map(AttributePath::parse).collect();
            Ok(paths.filter(|paths| paths.len() <= MOST_NAMED).ok_or_else(|| misfit("list of attributes"))?)
        };
        let (only, but) = (paths(&written.attributes)?, paths(&written.excluded_attributes)?);
        Ok(Self { written, only, but })
    }

    /// Which of them: what is less than allowed is taken as the least (RFC 7644, section 3.4.2.4).
    pub(super) fn wanted(&self) -> Result<Wanted, Refusal> {
        let filter = self.written.filter.as_deref().map(Filter::parse).transpose()?;
        let least = |number: i64, least: usize| usize::try_from(number).unwrap_or(least).max(least);
        let start = self.written.start_index.map_or(1, |start| least(start, 1));
        let count = self.written.count.map_or(USUAL, |count| least(count, 0)).min(MOST);
        let members = if self.names("members") { Members::Told } else { Members::LeftOut };
        Ok(Wanted { filter, start, count, members })
    }

    /// Whether it asks for just some attributes, this one among them.
    pub(super) fn names(&self, attribute: &str) -> bool {
        self.only.iter().any(|path| path.concerns(attribute, false).is_some())
    }

    /// Whether a resource is to be told with its members.
    pub(super) fn members(&self) -> Members {
        let left_out = self.but.iter().any(|path| path.concerns("members", false) == Some(None));
        if left_out || (!self.only.is_empty() && !self.names("members")) { Members::LeftOut } else { Members::Told }
    }

    /// Whether it asks for attributes at all, and so for an answer with a body (RFC 7644, section 3.5.2).
    pub(super) fn wants_body(&self) -> bool {
        !self.only.is_empty()
    }

    /// What is told of one.
    pub(super) fn told(&self, of: &ResourceType, resource: &Resource) -> Value {
        projected(of, &resource.told, &self.only, &self.but)
    }

    /// What is told of several.
    pub(super) fn list(&self, of: &ResourceType, wanted: &Wanted, listed: &Listed) -> Value {
        let page: Vec<Value> = listed.page.iter().map(|resource| self.told(of, resource)).collect();
        json!({
            "schemas": [URN], "totalResults": listed.total, "startIndex": wanted.start, "itemsPerPage": page.len(),
            "Resources": page,
        })
    }
}
