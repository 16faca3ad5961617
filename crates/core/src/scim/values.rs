//! Values as the schema has them: names in its case, parts that are not kept left out.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::path::AttributePath;
use super::schema::{Attribute, COMMON, Kind, MAX_TEXT_BYTES, ResourceType, named};
use super::{ScimError, ScimType};

/// A resource as somebody has sent it, with what is kept of it. What only this gateway says is left out.
///
/// # Errors
///
/// [`ScimType::InvalidSyntax`] for anything but an object, [`ScimType::InvalidValue`] for a value that an attribute does not
/// take, and for one that must be there and is not.
pub fn canonical(of: &ResourceType, sent: &Value) -> Result<Map<String, Value>, ScimError> {
    let Value::Object(sent) = sent else {
        return Err(ScimError::new(ScimType::InvalidSyntax, "the body is no JSON object"));
    };
    let mut kept = Map::new();
    for (name, value) in sent {
        if let Some(extension) = of.extension(name) {
            let parts = if value.is_null() { Map::new() } else { parts(extension.attributes, value)? };
            if !parts.is_empty() {
                kept.insert(extension.urn.to_owned(), parts.into());
            }
        } else if let Some(attribute) = of.own(name).filter(|attribute| !attribute.read_only) {
            put(&mut kept, attribute, value)?;
        }
    }
    check(of, &kept)?;
    Ok(kept)
}

/// Checks that everything is there that must be.
pub(super) fn check(of: &ResourceType, kept: &Map<String, Value>) -> Result<(), ScimError> {
    let mut needed = of.core.attributes.iter().filter(|attribute| attribute.required);
    match needed.find(|attribute| !kept.contains_key(attribute.name)) {
        Some(missing) => Err(ScimError::new(ScimType::InvalidValue, format!("`{}` must be there", missing.name))),
        None => Ok(()),
    }
}

/// Puts a value in the place of an attribute, as far as it is kept; `null` and nothing are the same (RFC 7643, section 2.5).
pub(super) fn put(into: &mut Map<String, Value>, attribute: &Attribute, value: &Value) -> Result<(), ScimError> {
    match taken(attribute, value)? {
        Some(value) => drop(into.insert(attribute.name.to_owned(), value)),
        None => drop(into.remove(attribute.name)),
    }
    Ok(())
}

/// What an attribute takes of a value.
pub(super) fn taken(attribute: &Attribute, value: &Value) -> Result<Option<Value>, ScimError> {
    let Some(most) = attribute.most else { return one(attribute, value) };
    let several = match value {
        Value::Null => return Ok(None),
        Value::Array(several) => several.as_slice(),
        single => std::slice::from_ref(single),
    };
    if several.len() > most {
        let detail = format!("`{}` has at most {most} values", attribute.name);
        return Err(ScimError::new(ScimType::InvalidValue, detail));
    }
    let mut all = Vec::with_capacity(several.len());
    let mut seen = BTreeSet::new();
    for value in several {
        let Some(value) = one(attribute, value)? else { continue };
        // A member is one by its identifier, however often it is named.
        let name = value.get("value").and_then(Value::as_str).map(str::to_owned);
        if attribute.name != "members" || name.is_none_or(|name| seen.insert(name)) {
            all.push(value);
        }
    }
    Ok((!all.is_empty()).then_some(Value::Array(all)))
}

/// What an attribute takes of one value.
pub(super) fn one(attribute: &Attribute, value: &Value) -> Result<Option<Value>, ScimError> {
    let misfit = || ScimError::new(ScimType::InvalidValue, format!("`{}` does not take this value", attribute.name));
    Ok(match (attribute.kind, value) {
        (Kind::Dropped, _) | (_, Value::Null) => None,
        (Kind::Text, Value::String(text)) => {
            let text = text.trim();
            if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
                return Err(misfit());
            }
            (!text.is_empty()).then(|| text.into())
        }
        (Kind::Text, Value::Number(number)) => Some(number.to_string().into()),
        (Kind::Boolean, Value::Bool(value)) => Some((*value).into()),
        (Kind::Boolean, Value::String(text)) => Some(boolean(text).ok_or_else(misfit)?.into()),
        (Kind::Complex(sub), Value::Object(_)) => {
            let parts = parts(sub, value)?;
            (!parts.is_empty()).then_some(Value::Object(parts))
        }
        // Some send the value itself, or a list of one.
        (Kind::Complex(sub), Value::String(text)) if named(sub, "value").is_some() => {
            if text.is_empty() {
                None
            } else {
                one(attribute, &json!({ "value": text }))?
            }
        }
        (Kind::Complex(_), Value::Array(list)) => match list.as_slice() {
            [] => None,
            [single] if !single.is_array() => one(attribute, single)?,
            _ => return Err(misfit()),
        },
        _ => return Err(misfit()),
    })
}

/// A boolean in quotation marks.
pub(super) fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)].into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, is)| is)
}

pub(super) fn parts(attributes: &'static [Attribute], value: &Value) -> Result<Map<String, Value>, ScimError> {
    let mut kept = Map::new();
    merge_parts(&mut kept, attributes, value)?;
    Ok(kept)
}

/// Puts the parts that are said into those that are there. What is `null` goes, for that and nothing are the same (RFC 7643,
/// section 2.5), wherever it stands.
pub(super) fn merge_parts(
    into: &mut Map<String, Value>,
    attributes: &'static [Attribute],
    value: &Value,
) -> Result<(), ScimError> {
    let Value::Object(sent) = value else {
        return Err(ScimError::new(ScimType::InvalidValue, "an attribute with parts takes an object"));
    };
    for (name, value) in sent {
        let Some(attribute) = named(attributes, name).filter(|attribute| !attribute.read_only) else { continue };
        match (attribute.kind, value, into.get_mut(attribute.name)) {
            (Kind::Complex(sub), Value::Object(_), Some(Value::Object(before))) => {
                merge_parts(before, sub, value)?;
                if before.is_empty() {
                    into.remove(attribute.name);
                }
            }
            _ => put(into, attribute, value)?,
        }
    }
    Ok(())
}

/// What is told of a resource to who wants only these attributes, or all but those (RFC 7644, section 3.9).
pub fn projected(
    of: &ResourceType,
    resource: &Map<String, Value>,
    only: &[AttributePath],
    but: &[AttributePath],
) -> Value {
    let always = |name: &str| name == "id" || name == "schemas";
    let mut shown = Map::new();
    for (name, value) in resource {
        let of_extension = of.extension(name).is_some();
        let concerned = |paths: &[AttributePath]| -> Vec<Option<String>> {
            paths.iter().filter_map(|path| path.concerns(name, of_extension)).collect()
        };
        if always(name) {
            shown.insert(name.clone(), value.clone());
        } else if only.is_empty() {
            let left_out = concerned(but);
            if !left_out.contains(&None) {
                shown.insert(name.clone(), without(value, &left_out));
            }
        } else {
            let wanted = concerned(only);
            if wanted.contains(&None) {
                shown.insert(name.clone(), value.clone());
            } else if !wanted.is_empty() {
                shown.insert(name.clone(), within(value, &wanted));
            }
        }
    }
    shown.into()
}

fn within(value: &Value, wanted: &[Option<String>]) -> Value {
    select(value, &|part| wanted.iter().flatten().any(|wanted| wanted.eq_ignore_ascii_case(part)))
}

fn without(value: &Value, left_out: &[Option<String>]) -> Value {
    select(value, &|part| !left_out.iter().flatten().any(|left_out| left_out.eq_ignore_ascii_case(part)))
}

fn select(value: &Value, keep: &dyn Fn(&str) -> bool) -> Value {
    match value {
        Value::Object(parts) => {
            parts.iter().filter(|(name, _)| keep(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        Value::Array(several) => several.iter().map(|one| select(one, keep)).collect(),
        other => other.clone(),
    }
}

/// Whether case tells values of an attribute apart.
pub(super) fn is_exact(of: &ResourceType, path: &AttributePath) -> bool {
    let parts = match &path.urn {
        Some(urn) => of.extension(urn).map_or(of.core.attributes, |schema| schema.attributes),
        None => of.core.attributes,
    };
    let Some(attribute) = named(parts, &path.name).or_else(|| named(COMMON, &path.name)) else { return false };
    match (attribute.kind, path.sub.as_deref()) {
        (Kind::Complex(sub), part) => named(sub, part.unwrap_or("value")).is_some_and(|part| part.exact),
        _ => attribute.exact,
    }
}
