//! What users' own tokens say of them, kept when they are registered: rules of the policies may ask for it.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::UserUri;
use portcullis_store::Tx;
use portcullis_store::people::{self, PersonState, StoredPerson};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{PeopleError, facts, parsed};

/// Most values of one claim.
const MOST_VALUES: usize = 32;
/// Longest value, in bytes.
const LONGEST: usize = 256;

/// Claims of a token that speaks for its own subject, by name, with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<String, BTreeSet<String>>);

impl Claims {
    /// What a token says under these names: a text, a number or a boolean, or a list of such, 32 of at most 256 bytes. Anything
    /// else is not kept.
    pub fn of(names: &[String], token: &Map<String, Value>) -> Self {
        let simple = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let kept = names.iter().filter_map(|name| {
            let said = token.get(name)?;
            let values = if let Value::Array(several) = said { several.as_slice() } else { std::slice::from_ref(said) };
            let values = values.iter().filter_map(simple).filter(|value| !value.is_empty() && value.len() <= LONGEST);
            let values: BTreeSet<String> = values.take(MOST_VALUES).collect();
            (!values.is_empty()).then(|| (name.clone(), values))
        });
        Self(kept.collect())
    }

    /// As it is kept: JSON, empty for nothing.
    pub(in crate::gateway) fn encode(&self) -> String {
        if self.0.is_empty() { String::new() } else { serde_json::to_string(&self.0).unwrap_or_default() }
    }
}

/// Whether something else is kept of a user, by its name in small letters.
pub(in crate::gateway) fn differ(tx: &mut Tx<'_>, folded: &UserUri, claims: &str) -> Result<bool, PeopleError> {
    Ok(people::of_user(tx, folded)?.map(|person| person.claims).unwrap_or_default() != claims)
}

/// Keeps what a user's token says, under the number of a change.
pub(in crate::gateway) fn keep(
    tx: &mut Tx<'_>,
    folded: &UserUri,
    claims: String,
    revision: u64,
    now: Millis,
) -> Result<(), PeopleError> {
    let person = match people::of_user(tx, folded)? {
        Some(person) if person.state != PersonState::Unlisted => {
            let groups = people::groups_of(tx, &[person.id])?.remove(&person.id).unwrap_or_default();
            let names = groups.into_iter().map(|(_, name)| name).collect();
            let facts = facts::keep(tx, &parsed(&person.content)?, person.state, names, &claims)?.facts;
            StoredPerson { facts, claims, ..person }
        }
        known => StoredPerson {
            uri: folded.clone(),
            id: known.as_ref().map_or_else(Uuid::now_v7, |known| known.id),
            user_name: String::new(),
            external_id: String::new(),
            state: PersonState::Unlisted,
            content: String::new(),
            facts: facts::keep_unlisted(tx, &claims)?,
            version: known.as_ref().map_or(1, |known| known.version + 1),
            created_at: known.as_ref().map_or(now, |known| known.created_at),
            changed_at: now,
            manager: None,
            claims,
        },
    };
    Ok(people::put(tx, &person, revision)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_token_what_is_asked_for_and_simple_is_kept() {
        let token = json!({
            "sub": "x", "acr": "high", "level": 3, "managed": true, "groups": ["a", "b", 7, { "x": 1 }, ""],
            "deep": { "x": 1 }, "none": null, "long": "x".repeat(LONGEST + 1),
        });
        let names = ["acr", "level", "managed", "groups", "deep", "none", "long", "absent"].map(str::to_owned);
        let claims = Claims::of(&names, token.as_object().unwrap());
        assert_eq!(claims.encode(), r#"{"acr":["high"],"groups":["7","a","b"],"level":["3"],"managed":["true"]}"#);
        assert_eq!(Claims::of(&[], token.as_object().unwrap()).encode(), "");
    }
}
