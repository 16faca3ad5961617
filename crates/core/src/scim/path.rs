//! Where a value stands in a resource: `userName`, `name.givenName`, or the same behind the URN of a schema.

use serde_json::{Map, Value};

use super::schema::{ENTERPRISE_URN, GROUP_URN, USER_URN};

/// Longest name of an attribute, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// An attribute, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributePath {
    /// The extension that it belongs to; `None` for the resource's own.
    pub(super) urn: Option<&'static str>,
    /// Its name; empty for the extension as a whole.
    pub(super) name: String,
    /// Which part of it.
    pub(super) sub: Option<String>,
}

impl AttributePath {
    /// Reads a whole text; `None` for what is no path.
    pub fn parse(text: &str) -> Option<Self> {
        let (path, rest) = Self::read(text)?;
        rest.is_empty().then_some(path)
    }

    /// Reads a path from the front of a text, and gives the rest.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let mut urn = None;
        let mut rest = text;
        let has_prefix = |prefix: &&str| text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
        if let Some(known) = [ENTERPRISE_URN, USER_URN, GROUP_URN].into_iter().find(has_prefix) {
            let behind = &text[known.len()..];
            urn = (known == ENTERPRISE_URN).then_some(known);
            match behind.strip_prefix(':') {
                Some(name) => rest = name,
                None if urn.is_some() => return Some((Self { urn, name: String::new(), sub: None }, behind)),
                None => return None,
            }
        }
        let (name, behind) = word(rest)?;
        let (sub, behind) = match behind.strip_prefix('.') {
            Some(part) => word(part).map(|(sub, behind)| (Some(sub.to_owned()), behind))?,
            None => (None, behind),
        };
        Some((Self { urn, name: name.to_owned(), sub }, behind))
    }

    /// All values that stand there.
    pub(super) fn values<'a>(&self, resource: &'a Map<String, Value>) -> Vec<&'a Value> {
        let holder = match self.urn {
            Some(urn) => resource.get(urn).and_then(Value::as_object),
            None => Some(resource),
        };
        let found = holder.and_then(|holder| part(holder, &self.name));
        let several: Vec<&Value> = match found {
            Some(Value::Array(several)) => several.iter().collect(),
            Some(single) => vec![single],
            None => Vec::new(),
        };
        match &self.sub {
            Some(sub) => several.into_iter().filter_map(|value| part(value.as_object()?, sub)).collect(),
            None => several,
        }
    }

    /// Whether it is about the attribute of this name: as a whole (`Some(None)`), or which part.
    pub fn concerns(&self, name: &str, of_extension: bool) -> Option<Option<String>> {
        match self.urn {
            Some(urn) if of_extension && urn == name => Some((!self.name.is_empty()).then(|| self.name.clone())),
            None if !of_extension && self.name.eq_ignore_ascii_case(name) => Some(self.sub.clone()),
            Some(_) | None => None,
        }
    }
}

/// A value by its name, whatever the case.
pub(super) fn part<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    of.get(name).or_else(|| of.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// A name (RFC 7643, section 2.1), and what comes behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    let end = text.find(|c: char| !belongs(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$');
    (starts_well && name.len() <= MAX_NAME_BYTES).then_some((name, rest))
}
