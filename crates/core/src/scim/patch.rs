//! Changes of parts of a resource (RFC 7644, section 3.5.2).

use serde_json::{Map, Value};

use super::filter::Filter;
use super::path::{AttributePath, part};
use super::schema::{Attribute, Kind, ResourceType, named};
use super::values::{check, merge_parts, one, put, taken};
use super::{ScimError, ScimType};

/// Most operations of one request.
pub const MAX_OPERATIONS: usize = 1000;

/// What is to be changed, in this order; all of it or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch(pub(super) Vec<Operation>);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    pub(super) path: Option<Path>,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Replace,
    Remove,
}

/// Where something is to be changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) attribute: AttributePath,
    /// Which of its values.
    pub(super) filter: Option<Filter>,
    /// Which part of those.
    pub(super) sub: Option<String>,
}

impl Patch {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`ScimType::InvalidSyntax`] for what is no such body or has more than [`MAX_OPERATIONS`], and those of its paths.
    pub fn parse(body: &Value) -> Result<Self, ScimError> {
        let syntax = |detail: &str| ScimError::new(ScimType::InvalidSyntax, detail);
        let body = body.as_object().ok_or_else(|| syntax("the body is no JSON object"))?;
        let Some(Value::Array(written)) = part(body, "Operations") else {
            return Err(syntax("the body has no `Operations`"));
        };
        if written.is_empty() || written.len() > MAX_OPERATIONS {
            return Err(syntax("a request has 1 to 1000 operations"));
        }
        let read = written.iter().map(|operation| {
            let operation = operation.as_object().ok_or_else(|| syntax("an operation is no JSON object"))?;
            let verb = part(operation, "op").and_then(Value::as_str).unwrap_or_default();
            let verbs = [("add", Verb::Add), ("replace", Verb::Replace), ("remove", Verb::Remove)];
            let verb = verbs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(verb)).map(|(_, verb)| verb);
            let path = match part(operation, "path") {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) if text.is_empty() => None,
                Some(Value::String(text)) => Some(Path::parse(text)?),
                Some(_) => return Err(ScimError::new(ScimType::InvalidPath, "a path is a text")),
            };
            let value = part(operation, "value").cloned().unwrap_or_default();
            Ok(Operation { verb: verb.ok_or_else(|| syntax("`op` is none of add, replace and remove"))?, path, value })
        });
        Ok(Self(read.collect::<Result<_, ScimError>>()?))
    }

    /// Changes a resource in the form in which it is kept.
    ///
    /// # Errors
    ///
    /// What one of the operations, or what comes of all of them, is wrong with.
    pub fn apply(&self, of: &ResourceType, mut kept: Map<String, Value>) -> Result<Map<String, Value>, ScimError> {
        for Operation { verb, path, value } in &self.0 {
            match path {
                Some(path) => path.apply(of, *verb, value, &mut kept)?,
                None => whole(of, *verb, value, &mut kept)?,
            }
        }
        check(of, &kept)?;
        Ok(kept)
    }
}

/// Without a path the value says which attributes it is about; a key may itself be a path.
fn whole(of: &ResourceType, verb: Verb, value: &Value, kept: &mut Map<String, Value>) -> Result<(), ScimError> {
    if verb == Verb::Remove {
        return Err(ScimError::new(ScimType::NoTarget, "what is to be removed needs a path"));
    }
    let Value::Object(named) = value else {
        return Err(ScimError::new(ScimType::InvalidValue, "without a path the value is an object"));
    };
    for (name, value) in named {
        // Other schemas, and what is told and never taken, are sent along.
        let Ok(path) = Path::parse(name) else { continue };
        if path.is_known(of) && !path.is_told(of) {
            path.apply(of, verb, value, kept)?;
        }
    }
    Ok(())
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, ScimError> {
        let invalid = || ScimError::new(ScimType::InvalidPath, "the path of an operation cannot be read");
        let (mut attribute, rest) = AttributePath::read(text.trim()).ok_or_else(invalid)?;
        let Some(inside) = rest.strip_prefix('[') else {
            let sub = attribute.sub.take();
            return if rest.is_empty() { Ok(Self { attribute, filter: None, sub }) } else { Err(invalid()) };
        };
        if attribute.sub.is_some() {
            return Err(invalid());
        }
        let (filter, rest) = Filter::read(inside)?;
        let rest = rest.trim_start().strip_prefix(']').ok_or_else(invalid)?;
        let sub = match rest.strip_prefix('.') {
            Some(sub) => {
                let named = AttributePath::parse(sub).filter(|path| path.urn.is_none() && path.sub.is_none());
                Some(named.ok_or_else(invalid)?.name)
            }
            None if rest.is_empty() => None,
            None => return Err(invalid()),
        };
        Ok(Self { attribute, filter: Some(filter), sub })
    }

    fn found(&self, of: &ResourceType) -> Option<&'static Attribute> {
        match self.attribute.urn {
            Some(urn) => named(of.extension(urn)?.attributes, &self.attribute.name),
            None => of.own(&self.attribute.name),
        }
    }

    /// Whether it leads to this attribute of the resource's own, or into it.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.attribute.urn.is_none() && self.attribute.name.eq_ignore_ascii_case(name)
    }

    fn is_known(&self, of: &ResourceType) -> bool {
        self.found(of).is_some() || self.is_extension(of)
    }

    fn is_extension(&self, of: &ResourceType) -> bool {
        self.attribute.name.is_empty() && self.attribute.urn.is_some_and(|urn| of.extension(urn).is_some())
    }

    fn is_told(&self, of: &ResourceType) -> bool {
        self.found(of).is_some_and(|attribute| attribute.read_only)
    }

    fn apply(
        &self,
        of: &ResourceType,
        verb: Verb,
        value: &Value,
        kept: &mut Map<String, Value>,
    ) -> Result<(), ScimError> {
        if self.is_extension(of) {
            return self.extension(of, verb, value, kept);
        }
        let unknown = || ScimError::new(ScimType::InvalidPath, "the path of an operation names no attribute");
        let attribute = self.found(of).ok_or_else(unknown)?;
        if attribute.read_only {
            return Err(ScimError::new(ScimType::Mutability, format!("nobody changes `{}`", attribute.name)));
        }
        if matches!(attribute.kind, Kind::Dropped) {
            return Ok(());
        }
        let Some(urn) = self.attribute.urn else { return self.change(of, attribute, verb, value, kept) };
        let mut parts = kept.get(urn).and_then(Value::as_object).cloned().unwrap_or_default();
        self.change(of, attribute, verb, value, &mut parts)?;
        if parts.is_empty() {
            kept.remove(urn);
        } else {
            kept.insert(urn.to_owned(), parts.into());
        }
        Ok(())
    }

    /// An extension as a whole.
    fn extension(
        &self,
        of: &ResourceType,
        verb: Verb,
        value: &Value,
        kept: &mut Map<String, Value>,
    ) -> Result<(), ScimError> {
        let Some(schema) = self.attribute.urn.and_then(|urn| of.extension(urn)) else { return Ok(()) };
        if verb == Verb::Remove || value.is_null() {
            kept.remove(schema.urn);
            return Ok(());
        }
        let mut merged = kept.get(schema.urn).and_then(Value::as_object).cloned().unwrap_or_default();
        merge_parts(&mut merged, schema.attributes, value)?;
        if merged.is_empty() {
            kept.remove(schema.urn);
        } else {
            kept.insert(schema.urn.to_owned(), merged.into());
        }
        Ok(())
    }

    fn change(
        &self,
        of: &ResourceType,
        attribute: &'static Attribute,
        verb: Verb,
        value: &Value,
        holder: &mut Map<String, Value>,
    ) -> Result<(), ScimError> {
        match (attribute.most, self.sub.as_deref(), &self.filter) {
            (Some(_), ..) => self.change_some(of, attribute, verb, value, holder),
            (None, _, Some(_)) => {
                let detail = format!("`{}` has one value, which no filter tells apart", attribute.name);
                Err(ScimError::new(ScimType::InvalidPath, detail))
            }
            (None, None, None) => match verb {
                Verb::Remove => {
                    holder.remove(attribute.name);
                    Ok(())
                }
                Verb::Add | Verb::Replace => match (attribute.kind, value, holder.get_mut(attribute.name)) {
                    (Kind::Complex(sub), Value::Object(_), Some(Value::Object(before))) => {
                        merge_parts(before, sub, value)?;
                        if before.is_empty() {
                            holder.remove(attribute.name);
                        }
                        Ok(())
                    }
                    _ => put(holder, attribute, value),
                },
            },
            (None, Some(sub), None) => {
                let mut parts = holder.get(attribute.name).and_then(Value::as_object).cloned().unwrap_or_default();
                change_part(attribute, sub, verb, value, &mut parts)?;
                if parts.is_empty() {
                    holder.remove(attribute.name);
                } else {
                    holder.insert(attribute.name.to_owned(), parts.into());
                }
                Ok(())
            }
        }
    }

    /// An attribute with several values.
    fn change_some(
        &self,
        of: &ResourceType,
        attribute: &'static Attribute,
        verb: Verb,
        value: &Value,
        holder: &mut Map<String, Value>,
    ) -> Result<(), ScimError> {
        let mut values = match holder.remove(attribute.name) {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        let fits = |one: &Value| self.filter.as_ref().is_none_or(|filter| filter.fits_value(of, &self.attribute, one));
        let said = |value: &Value| -> Result<Vec<Value>, ScimError> {
            match taken(attribute, value)? {
                Some(Value::Array(said)) => Ok(said),
                _ => Ok(Vec::new()),
            }
        };
        let none_fits = !values.iter().any(&fits);
        let no_target =
            || ScimError::new(ScimType::NoTarget, format!("no value of `{}` fits the path", attribute.name));
        match (verb, self.sub.as_deref()) {
            (Verb::Remove, None) if self.filter.is_none() && !value.is_null() => {
                // Some name the values to go beside the path.
                let gone = said(value)?;
                values.retain(|kept| !gone.iter().any(|gone| is_same(kept, gone)));
            }
            (Verb::Remove, None) => values.retain(|one| !fits(one)),
            (Verb::Add, None) if self.filter.is_none() => {
                for new in said(value)? {
                    add(&mut values, new);
                }
            }
            (Verb::Replace, None) if self.filter.is_none() => values = said(value)?,
            (Verb::Add, _) if none_fits => {
                let mut new = self.filter.as_ref().and_then(Filter::made).ok_or_else(no_target)?;
                match (self.sub.as_deref(), one(attribute, value)?) {
                    (Some(sub), _) => change_part(attribute, sub, verb, value, &mut new)?,
                    (None, Some(Value::Object(parts))) => new.extend(parts),
                    (None, _) => {}
                }
                values.extend(one(attribute, &new.into())?);
            }
            (Verb::Replace, _) if none_fits => return Err(no_target()),
            (Verb::Add | Verb::Replace, None) => {
                let new = one(attribute, value)?.ok_or_else(no_target)?;
                values.iter_mut().filter(|one| fits(one)).for_each(|kept| merge(kept, &new));
            }
            (_, Some(sub)) => {
                for kept in values.iter_mut().filter(|one| fits(one)) {
                    if let Value::Object(parts) = kept {
                        change_part(attribute, sub, verb, value, parts)?;
                    }
                }
            }
        }
        values.retain(|kept| kept.as_object().is_none_or(|parts| !parts.is_empty()));
        if attribute.most.is_some_and(|most| values.len() > most) {
            let detail = format!("`{}` has too many values", attribute.name);
            return Err(ScimError::new(ScimType::InvalidValue, detail));
        }
        if !values.is_empty() {
            holder.insert(attribute.name.to_owned(), values.into());
        }
        Ok(())
    }
}

fn change_part(
    attribute: &'static Attribute,
    sub: &str,
    verb: Verb,
    value: &Value,
    parts: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    let Kind::Complex(subs) = attribute.kind else {
        return Err(ScimError::new(ScimType::InvalidPath, format!("`{}` has no parts", attribute.name)));
    };
    let part = named(subs, sub)
        .ok_or_else(|| ScimError::new(ScimType::InvalidPath, format!("`{}` has no such part", attribute.name)))?;
    if part.read_only {
        return Err(ScimError::new(ScimType::Mutability, format!("nobody changes `{}`", part.name)));
    }
    match verb {
        Verb::Remove => drop(parts.remove(part.name)),
        Verb::Add | Verb::Replace => put(parts, part, value)?,
    }
    Ok(())
}

/// Values with parts are the same when they have the same `value`.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.get("value"), other.get("value")) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// One that is there already is not added; of several primary values the new one counts (RFC 7643, section 2.4).
fn add(values: &mut Vec<Value>, new: Value) {
    if new.get("primary") == Some(&Value::Bool(true)) {
        for kept in values.iter_mut().filter_map(Value::as_object_mut) {
            kept.remove("primary");
        }
    }
    match values.iter_mut().find(|kept| is_same(kept, &new)) {
        Some(kept) => merge(kept, &new),
        None => values.push(new),
    }
}

fn merge(kept: &mut Value, new: &Value) {
    match (kept, new) {
        (Value::Object(kept), Value::Object(new)) => {
            kept.extend(new.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        (kept, new) => *kept = new.clone(),
    }
}
