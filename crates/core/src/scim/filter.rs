//! Filters (RFC 7644, section 3.4.2.2), read within bounds and held against resources.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::path::AttributePath;
use super::schema::ResourceType;
use super::values::{boolean, is_exact};
use super::{ScimError, ScimType};

/// Longest filter, in bytes.
pub const MAX_FILTER_BYTES: usize = 2048;
/// How deep its parentheses and brackets may be.
pub const MAX_DEPTH: usize = 16;

/// A filter that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Expression);

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Present(AttributePath),
    Compare(AttributePath, Operator, Value),
    /// One of the values of an attribute fits all of it.
    Within(AttributePath, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    fn named(name: &str) -> Option<Self> {
        let all = [
            ("eq", Self::Equal),
            ("ne", Self::NotEqual),
            ("co", Self::Contains),
            ("sw", Self::StartsWith),
            ("ew", Self::EndsWith),
            ("gt", Self::Greater),
            ("ge", Self::GreaterOrEqual),
            ("lt", Self::Less),
            ("le", Self::LessOrEqual),
        ];
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, operator)| operator)
    }

    fn holds(self, said: &Value, wanted: &Value, exact: bool) -> bool {
        match (said, wanted) {
            (Value::String(said), Value::String(wanted)) if !exact => {
                self.holds_of(&said.to_lowercase(), &wanted.to_lowercase())
            }
            (Value::String(said), Value::String(wanted)) => self.holds_of(said, wanted),
            (Value::Bool(said), Value::Bool(wanted)) => self.equals(said == wanted),
            (Value::Bool(said), Value::String(wanted)) => self.equals(boolean(wanted) == Some(*said)),
            (Value::Number(said), Value::Number(wanted)) => {
                let order = said.as_f64().zip(wanted.as_f64()).and_then(|(said, wanted)| said.partial_cmp(&wanted));
                order.is_some_and(|order| self.orders(order))
            }
            _ => self == Self::NotEqual,
        }
    }

    fn equals(self, same: bool) -> bool {
        match self {
            Self::Equal => same,
            Self::NotEqual => !same,
            _ => false,
        }
    }

    fn holds_of(self, said: &str, wanted: &str) -> bool {
        match self {
            Self::Contains => said.contains(wanted),
            Self::StartsWith => said.starts_with(wanted),
            Self::EndsWith => said.ends_with(wanted),
            _ => self.orders(said.cmp(wanted)),
        }
    }

    fn orders(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::NotEqual => order != Ordering::Equal,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Contains | Self::StartsWith | Self::EndsWith => false,
        }
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// [`ScimType::InvalidFilter`] for what is none, is longer than [`MAX_FILTER_BYTES`] or deeper than [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let (filter, rest) = Self::read(text)?;
        if rest.trim_start().is_empty() { Ok(filter) } else { Err(unreadable(text, rest)) }
    }

    /// Reads a filter from the front of a text, and gives the rest.
    pub(super) fn read(text: &str) -> Result<(Self, &str), ScimError> {
        if text.len() > MAX_FILTER_BYTES {
            let detail = format!("a filter has at most {MAX_FILTER_BYTES} bytes");
            return Err(ScimError::new(ScimType::InvalidFilter, detail));
        }
        let mut reader = Reader { whole: text, rest: text };
        let read = reader.any(MAX_DEPTH)?;
        Ok((Self(read), reader.rest))
    }

    /// Whether a resource fits, in the form in which it is told.
    pub fn fits(&self, of: &ResourceType, resource: &Map<String, Value>) -> bool {
        self.0.fits(of, None, resource)
    }

    /// Whether one value of the attribute fits for whose values it is written.
    pub(super) fn fits_value(&self, of: &ResourceType, attribute: &AttributePath, value: &Value) -> bool {
        fits_within(&self.0, of, attribute, value)
    }

    /// What the attribute of this name must be for a resource to fit, if it says so: whoever has an index of it need look at
    /// nothing else.
    pub fn wants(&self, name: &str) -> Option<&str> {
        let (name, sub) = name.split_once('.').map_or((name, None), |(name, sub)| (name, Some(sub)));
        let whole = [&self.0];
        let all = if let Expression::All(all) = &self.0 { all.iter().collect() } else { whole.to_vec() };
        all.into_iter().find_map(|expression| match expression {
            Expression::Compare(path, Operator::Equal, Value::String(wanted))
                if path.urn.is_none() && path.sub.as_deref() == sub && path.name.eq_ignore_ascii_case(name) =>
            {
                Some(wanted.as_str())
            }
            _ => None,
        })
    }

    /// The values with which it compares this attribute, where that is all that it wants to know of it.
    pub fn compares(&self, name: &str) -> Option<Vec<&str>> {
        let mut values = Vec::new();
        self.0.compares(name, &mut values).then_some(values)
    }

    /// What it says of a value of an attribute that is to be made because there is none: `type eq "work"`.
    pub(super) fn made(&self) -> Option<Map<String, Value>> {
        match &self.0 {
            Expression::Compare(path, Operator::Equal, value) if path.urn.is_none() && path.sub.is_none() => {
                Some(Map::from_iter([(path.name.clone(), value.clone())]))
            }
            _ => None,
        }
    }
}

impl Expression {
    fn compares<'a>(&'a self, name: &str, values: &mut Vec<&'a str>) -> bool {
        let is_of = |path: &AttributePath| path.urn.is_none() && path.name.eq_ignore_ascii_case(name);
        match self {
            Self::Any(several) | Self::All(several) => several.iter().all(|one| one.compares(name, values)),
            Self::Not(inner) => inner.compares(name, values),
            Self::Compare(path, Operator::Equal | Operator::NotEqual, Value::String(value)) if is_of(path) => {
                values.push(value);
                path.sub.as_deref().is_none_or(|sub| sub.eq_ignore_ascii_case("value"))
            }
            Self::Present(path) | Self::Compare(path, ..) | Self::Within(path, _) => !is_of(path),
        }
    }

    /// `outer` is the attribute whose single value `resource` is, in the brackets of a filter.
    fn fits(&self, of: &ResourceType, outer: Option<&AttributePath>, resource: &Map<String, Value>) -> bool {
        match self {
            Self::Any(any) => any.iter().any(|one| one.fits(of, outer, resource)),
            Self::All(all) => all.iter().all(|one| one.fits(of, outer, resource)),
            Self::Not(inner) => !inner.fits(of, outer, resource),
            Self::Present(path) => path.values(resource).into_iter().any(|value| !is_nothing(value)),
            Self::Compare(path, operator, wanted) => {
                let exact = match outer {
                    Some(outer) => is_exact(of, &AttributePath { sub: Some(path.name.clone()), ..outer.clone() }),
                    None => is_exact(of, path),
                };
                let values = path.values(resource);
                // Of a value with parts `value` is meant.
                let mut values = values.into_iter().map(|value| value.get("value").unwrap_or(value)).peekable();
                match operator {
                    _ if wanted.is_null() => operator.equals(values.peek().is_none()),
                    Operator::NotEqual => !values.any(|value| Operator::Equal.holds(value, wanted, exact)),
                    _ => values.any(|value| operator.holds(value, wanted, exact)),
                }
            }
            Self::Within(path, inner) => {
                path.values(resource).into_iter().any(|value| fits_within(inner, of, path, value))
            }
        }
    }
}

fn fits_within(inner: &Expression, of: &ResourceType, attribute: &AttributePath, value: &Value) -> bool {
    match value {
        Value::Object(parts) => inner.fits(of, Some(attribute), parts),
        simple => inner.fits(of, Some(attribute), &Map::from_iter([("value".to_owned(), simple.clone())])),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(several) => several.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn unreadable(whole: &str, rest: &str) -> ScimError {
    let at = whole.len().saturating_sub(rest.trim_start().len());
    ScimError::new(ScimType::InvalidFilter, format!("the filter cannot be read from byte {at} on"))
}

struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn any(&mut self, depth: usize) -> Result<Expression, ScimError> {
        let mut any = vec![self.all(depth)?];
        while self.keyword("or") {
            any.push(self.all(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Any(any) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, ScimError> {
        let mut all = vec![self.factor(depth)?];
        while self.keyword("and") {
            all.push(self.factor(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::All(all) })
    }

    fn factor(&mut self, depth: usize) -> Result<Expression, ScimError> {
        let inner = depth.checked_sub(1).ok_or_else(|| {
            ScimError::new(ScimType::InvalidFilter, format!("a filter is at most {MAX_DEPTH} parentheses deep"))
        })?;
        if self.symbol('(') {
            let grouped = self.any(inner)?;
            return if self.symbol(')') { Ok(grouped) } else { Err(self.wrong()) };
        }
        let before = self.rest;
        if self.keyword("not") {
            if self.symbol('(') {
                let denied = self.any(inner)?;
                return if self.symbol(')') { Ok(Expression::Not(Box::new(denied))) } else { Err(self.wrong()) };
            }
            self.rest = before;
        }
        let (path, rest) = AttributePath::read(self.rest.trim_start()).ok_or_else(|| self.wrong())?;
        if path.name.is_empty() {
            return Err(self.wrong());
        }
        self.rest = rest;
        if let Some(rest) = rest.strip_prefix('[') {
            self.rest = rest;
            let within = self.any(inner)?;
            return if self.symbol(']') { Ok(Expression::Within(path, Box::new(within))) } else { Err(self.wrong()) };
        }
        if self.keyword("pr") {
            return Ok(Expression::Present(path));
        }
        let word: String = self.rest.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
        let operator = Operator::named(&word).filter(|_| self.keyword(&word)).ok_or_else(|| self.wrong())?;
        let value = self.value()?;
        Ok(Expression::Compare(path, operator, value))
    }

    fn value(&mut self) -> Result<Value, ScimError> {
        let text = self.rest.trim_start();
        let end = if text.starts_with('"') {
            let mut escaped = false;
            let closes = text.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            });
            closes.map(|(at, _)| at + 1)
        } else {
            let end = text.find(|c: char| c.is_whitespace() || matches!(c, ')' | ']')).unwrap_or(text.len());
            (end > 0).then_some(end)
        };
        let end = end.ok_or_else(|| self.wrong())?;
        let written = &text[..end];
        // `True` is not JSON, and is sent.
        let value = match boolean(written) {
            Some(value) => Value::Bool(value),
            None => serde_json::from_str(written).map_err(|_| self.wrong())?,
        };
        self.rest = &text[end..];
        match value {
            Value::Array(_) | Value::Object(_) => Err(self.wrong()),
            value => Ok(value),
        }
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.rest.trim_start().strip_prefix(symbol);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// A word by itself, whatever its case.
    fn keyword(&mut self, word: &str) -> bool {
        let text = self.rest.trim_start();
        let Some((head, rest)) = text.split_at_checked(word.len()) else { return false };
        let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-'));
        let found = !word.is_empty() && head.eq_ignore_ascii_case(word) && ends;
        if found {
            self.rest = rest;
        }
        found
    }

    fn wrong(&self) -> ScimError {
        unreadable(self.whole, self.rest)
    }
}
