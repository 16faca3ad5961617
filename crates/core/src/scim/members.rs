//! What a change says of the members of a group, apart from the rest: a group may have thousands, and a change is about a few.

use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::patch::{Operation, Patch, Path, Verb};
use super::path::AttributePath;
use super::schema::{Attribute, Kind, ResourceType};
use super::values::taken;
use super::{ScimError, ScimType};

/// The attribute of members.
const MEMBERS: &str = "members";

/// What becomes of members, by their `value`, in the order in which it was said.
#[derive(Clone, Debug, PartialEq)]
pub enum MembersChange {
    /// These are in it, too.
    Add(Vec<String>),
    /// These are in it no longer.
    Remove(Vec<String>),
    /// Those of whom this holds are in it no longer.
    RemoveThose(MembersFilter),
    /// Nobody else is in it.
    Replace(Vec<String>),
}

/// Tells members apart by their `value`.
#[derive(Clone, Debug, PartialEq)]
pub struct MembersFilter {
    filter: Filter,
    attribute: AttributePath,
}

impl MembersFilter {
    /// Whether it holds of this member.
    pub fn fits(&self, of: &ResourceType, member: &str) -> bool {
        self.filter.fits_value(of, &self.attribute, &json!({ "value": member }))
    }
}

impl Patch {
    /// What is said of members, and the change of everything else.
    ///
    /// # Errors
    ///
    /// [`ScimType::InvalidValue`] for what is no list of members, [`ScimType::InvalidPath`] for a part that members do not have,
    /// [`ScimType::Mutability`] where a member was to become another one (RFC 7643, section 4.2: `value` is immutable).
    pub fn apart(self, of: &ResourceType) -> Result<(Self, Vec<MembersChange>), ScimError> {
        let Some(attribute) = of.own(MEMBERS) else { return Ok((self, Vec::new())) };
        let (mut rest, mut changes) = (Vec::new(), Vec::new());
        for operation in self.0 {
            let Operation { verb, path, value } = operation;
            match (path, value) {
                (Some(path), value) if path.is_of(MEMBERS) => changes.push(change(attribute, verb, &path, &value)?),
                (None, Value::Object(named)) if verb != Verb::Remove => {
                    let mut others = Map::new();
                    for (name, value) in named {
                        match Path::parse(&name) {
                            Ok(path) if path.is_of(MEMBERS) => changes.push(change(attribute, verb, &path, &value)?),
                            _ => drop(others.insert(name, value)),
                        }
                    }
                    rest.push(Operation { verb, path: None, value: others.into() });
                }
                (path, value) => rest.push(Operation { verb, path, value }),
            }
        }
        Ok((Self(rest), changes))
    }
}

fn change(attribute: &Attribute, verb: Verb, path: &Path, value: &Value) -> Result<MembersChange, ScimError> {
    if let Some(sub) = path.sub.as_deref() {
        let Kind::Complex(parts) = attribute.kind else { return Err(no_such_part()) };
        let known = parts.iter().any(|part| part.name.eq_ignore_ascii_case(sub));
        return Err(if known { immutable() } else { no_such_part() });
    }
    let Some(filter) = &path.filter else {
        return Ok(match verb {
            Verb::Add => MembersChange::Add(named(attribute, value)?),
            // Some name who is to go beside the path.
            Verb::Remove if !value.is_null() => MembersChange::Remove(named(attribute, value)?),
            Verb::Remove => MembersChange::Replace(Vec::new()),
            Verb::Replace => MembersChange::Replace(named(attribute, value)?),
        });
    };
    let those = MembersFilter { filter: filter.clone(), attribute: path.attribute.clone() };
    match (verb, filter.wants("value")) {
        (Verb::Remove, Some(one)) => {
            let fits = those.filter.fits_value(&super::GROUP, &those.attribute, &json!({ "value": one }));
            Ok(MembersChange::Remove(if fits { vec![one.to_owned()] } else { Vec::new() }))
        }
        (Verb::Remove, None) => Ok(MembersChange::RemoveThose(those)),
        (Verb::Add, Some(one)) => Ok(MembersChange::Add(vec![one.to_owned()])),
        (Verb::Add | Verb::Replace, _) => Err(immutable()),
    }
}

/// The members that a value names.
fn named(attribute: &Attribute, value: &Value) -> Result<Vec<String>, ScimError> {
    let Some(Value::Array(members)) = taken(attribute, value)? else { return Ok(Vec::new()) };
    let named = members.iter().map(|member| member.get("value")?.as_str().map(str::to_owned));
    let nobody = || ScimError::new(ScimType::InvalidValue, "a member is named by its `value`");
    named.collect::<Option<_>>().ok_or_else(nobody)
}

fn no_such_part() -> ScimError {
    ScimError::new(ScimType::InvalidPath, "`members` has no such part")
}

fn immutable() -> ScimError {
    ScimError::new(ScimType::Mutability, "no member becomes another one: add it, and remove the other")
}
