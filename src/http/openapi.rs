//! What the descriptions of all doors have in common: token, headers, refusals, limits.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder};

use super::post::IDEMPOTENCY_KEY;
use super::problem::{DECISION, MEDIA_TYPE};
use super::resource::Resource;

/// Path of the description, which everybody may read.
pub(crate) const PATH: &str = "/v1/openapi.json";

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// What is said of one door.
pub(crate) struct Common {
    pub(crate) resources: &'static [Resource],
    /// What a token must say.
    pub(crate) token: &'static str,
    /// Code, status and meaning of each refusal.
    pub(crate) codes: &'static [(&'static str, u16, &'static str)],
    /// A header that every operation takes, and what it is for.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

/// The document as an answer.
pub(crate) fn served(document: &Document) -> HttpResponse {
    match document.to_json() {
        Ok(json) => HttpResponse::Ok()
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "max-age=3600"))
            .body(json),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

impl Common {
    /// Adds it to the document that was made from the handlers.
    pub(crate) fn add_to(&self, document: &mut Document) {
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(self.token));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme.build()));
        for (path, item) in &mut document.paths.paths {
            if self.resources.iter().all(|resource| resource.path != path) {
                continue;
            }
            let public = path == PATH;
            let PathItem { get, put, post, delete, .. } = item;
            if let Some(post) = post {
                post.parameters.get_or_insert_default().push(idempotency_key().into());
            }
            let methods = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
            for (method, operation) in methods.into_iter().filter_map(|(method, it)| Some((method, it.as_mut()?))) {
                let refusal = self.refusal(self.limit_bytes(path, &method));
                operation.responses.responses.insert("default".to_owned(), RefOr::T(refusal));
                if !public {
                    self.caller(operation);
                }
                // Handlers of different resources share names; their place makes them unique.
                let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
                let name = operation.operation_id.take().unwrap_or_default();
                let place = path.trim_start_matches("/v1/").replace(['/', '{', '}', '-', '.'], "_");
                operation.operation_id = Some(format!("{name}_{place}").trim_end_matches('_').replace("__", "_"));
                operation.tags = Some(if public { Vec::new() } else { vec![tag] });
            }
        }
    }

    /// The longest body that a route takes, in bytes.
    fn limit_bytes(&self, path: &str, method: &Method) -> usize {
        let of = |resource: &&Resource| resource.path == path && resource.methods.iter().any(|(own, _)| own == method);
        self.resources.iter().find(of).map_or(0, |resource| resource.limit_bytes)
    }

    fn caller(&self, operation: &mut Operation) {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]);
        if let Some((name, about)) = self.header {
            let header = header_parameter(name, Required::False, about);
            operation.parameters.get_or_insert_default().push(header.into());
        }
    }

    fn refusal(&self, limit_bytes: usize) -> utoipa::openapi::Response {
        let codes: String =
            self.codes.iter().map(|(code, status, about)| format!("* `{code}` ({status}): {about}\n")).collect();
        ResponseBuilder::new()
            .description(format!("A refusal (RFC 9457). The body may have {limit_bytes} bytes.\n\nCodes:\n{codes}"))
            .content(
                MEDIA_TYPE,
                ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("ProblemDetails")))).build(),
            )
            .header(
                DECISION,
                HeaderBuilder::new().schema(Some(text())).description(Some("The decision in the audit log")).build(),
            )
            .build()
    }
}

fn idempotency_key() -> Parameter {
    let about = "1 to 128 visible ASCII characters that name this request. Within 24 hours the same key with the same \
                 body gets the same answer; with another body 422. A fault of the gateway (5xx) is not kept.";
    header_parameter(IDEMPOTENCY_KEY, Required::True, about)
}

fn header_parameter(name: &str, required: Required, about: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(about))
        .schema(Some(text()))
        .build()
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(Object::with_type(Type::String)))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::listed;

    /// Fails unless the document has every registered route and no other, and every operation its own name and every
    /// POST its key.
    pub(crate) fn assert_describes(document: &Document, resources: &'static [Resource]) {
        let document = serde_json::to_value(document).unwrap();
        let mut documented = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                documented.insert((method.to_uppercase(), path.clone()));
                assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let keyed = parameters.iter().any(|parameter| parameter["name"] == IDEMPOTENCY_KEY);
                assert_eq!(keyed, method == "post", "{method} {path}");
            }
        }
        let registered: BTreeSet<_> =
            listed(resources).into_iter().map(|(method, path)| (method.to_string(), path.to_owned())).collect();
        assert_eq!(documented, registered);
    }
}
