//! What a query for users looks for, in terms of the fields that profiles have (draft-ietf-mimi-protocol, "Find internal
//! address"; limits are reading D-49).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::wire::identifier_query::{FieldSource, IdentifierQueryCode, QueryElement};

/// Most elements of a query (reading D-49).
pub const MOST_ELEMENTS: usize = 8;

/// Shortest part of a field that is looked for, in characters: what is shorter fits nearly everybody.
pub const SHORTEST_PART: usize = 2;

/// A field that profiles may have: `oidc.email` or `vcard.EMAIL`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Field {
    /// Where its name comes from.
    pub source: FieldSource,
    /// Its name; that of a vCard property in upper case.
    pub name: String,
}

/// What is no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `oidc.` or `vcard.` and a name of 1 to 64 letters, digits, `_` and `-`")]
pub struct FieldError;

impl Field {
    /// A field by the name of its source's own. Those of vCard are the same in either case.
    ///
    /// # Errors
    ///
    /// [`FieldError`] for a name that no source has.
    pub fn new(source: FieldSource, name: &str) -> Result<Self, FieldError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(FieldError);
        }
        let name = match source {
            FieldSource::OidcStdClaim => name.to_owned(),
            FieldSource::VcardField => name.to_ascii_uppercase(),
        };
        Ok(Self { source, name })
    }
}

impl TryFrom<String> for Field {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        match text.split_once('.') {
            Some(("oidc", name)) => Self::new(FieldSource::OidcStdClaim, name),
            Some(("vcard", name)) => Self::new(FieldSource::VcardField, name),
            Some(_) | None => Err(FieldError),
        }
    }
}

impl From<Field> for String {
    fn from(field: Field) -> Self {
        match field.source {
            FieldSource::OidcStdClaim => format!("oidc.{}", field.name),
            FieldSource::VcardField => format!("vcard.{}", field.name),
        }
    }
}

/// What may be searched where nothing else is said: names and handles.
pub fn usual_fields() -> BTreeSet<Field> {
    let oidc = ["name", "given_name", "middle_name", "family_name", "nickname"];
    of(&oidc, &["FN", "N", "NICKNAME", "IMPP"]).into_iter().collect()
}

/// How a field must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these, exactly.
    Exactly(Vec<String>),
    /// This is part of it, both folded by [`folded`].
    Part(String),
}

/// What one element of a query looks for: any of the fields, as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The fields.
    pub fields: Vec<Field>,
    /// How one of them must be.
    pub wanted: Wanted,
}

/// A text as parts are looked for in: whatever its case.
pub fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// What a query looks for: everything that it names, in fields that may be searched.
///
/// # Errors
///
/// [`IdentifierQueryCode::Forbidden`] for none or too many elements, and parts that are too short;
/// [`IdentifierQueryCode::UnsupportedField`] for an element whose fields may none of them be searched.
pub fn terms(elements: &[QueryElement], searchable: &BTreeSet<Field>) -> Result<Vec<Term>, IdentifierQueryCode> {
    if elements.is_empty() || elements.len() > MOST_ELEMENTS {
        return Err(IdentifierQueryCode::Forbidden);
    }
    elements.iter().map(|element| term(element, searchable)).collect()
}

fn term(element: &QueryElement, searchable: &BTreeSet<Field>) -> Result<Term, IdentifierQueryCode> {
    let (fields, wanted) = match element {
        QueryElement::Handle { value } => (of(&[], &["IMPP"]), exactly(value, None)),
        QueryElement::Nick { value } => (of(&["nickname"], &["NICKNAME"]), exactly(value, None)),
        QueryElement::Email { value } => (of(&["email"], &["EMAIL"]), exactly(value, Some("mailto:"))),
        QueryElement::Phone { value } => (of(&["phone_number"], &["TEL"]), exactly(value, Some("tel:"))),
        QueryElement::PartialName { value } => {
            let names = of(&["name", "given_name", "middle_name", "family_name"], &["FN", "N"]);
            (names, part(value)?)
        }
        QueryElement::WholeProfile { value } => (searchable.iter().cloned().collect(), part(value)?),
        QueryElement::OidcStdClaim { name, value } => (of(&[name], &[]), exactly(value, None)),
        QueryElement::VcardField { name, value } => (of(&[], &[name]), exactly(value, None)),
    };
    let fields: Vec<Field> = fields.into_iter().filter(|field| searchable.contains(field)).collect();
    if fields.is_empty() { Err(IdentifierQueryCode::UnsupportedField) } else { Ok(Term { fields, wanted }) }
}

fn of(oidc: &[&str], vcard: &[&str]) -> Vec<Field> {
    let oidc = oidc.iter().map(|name| (FieldSource::OidcStdClaim, *name));
    let vcard = vcard.iter().map(|name| (FieldSource::VcardField, *name));
    oidc.chain(vcard).filter_map(|(source, name)| Field::new(source, name).ok()).collect()
}

/// The value as it is, or as a URI of this scheme.
fn exactly(value: &str, scheme: Option<&str>) -> Wanted {
    Wanted::Exactly(std::iter::once(value.to_owned()).chain(scheme.map(|scheme| format!("{scheme}{value}"))).collect())
}

fn part(value: &str) -> Result<Wanted, IdentifierQueryCode> {
    if value.chars().count() < SHORTEST_PART {
        Err(IdentifierQueryCode::Forbidden)
    } else {
        Ok(Wanted::Part(folded(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searchable(names: &[&str]) -> BTreeSet<Field> {
        names.iter().map(|name| Field::try_from((*name).to_owned()).unwrap()).collect()
    }

    fn texts(term: &Term) -> Vec<String> {
        term.fields.iter().cloned().map(String::from).collect()
    }

    fn value(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn every_search_type_looks_at_its_fields_as_far_as_they_may_be_searched() {
        let all = searchable(&[
            "oidc.nickname",
            "oidc.email",
            "oidc.phone_number",
            "oidc.given_name",
            "vcard.IMPP",
            "vcard.TEL",
            "vcard.FN",
            "vcard.ORG",
        ]);
        let exact = |texts: &[&str]| Wanted::Exactly(texts.iter().map(|text| (*text).to_owned()).collect());
        let claim = |name: &str, text: &str| QueryElement::OidcStdClaim { name: value(name), value: value(text) };
        let property = |name: &str, text: &str| QueryElement::VcardField { name: value(name), value: value(text) };
        for (element, fields, wanted) in [
            (QueryElement::Handle { value: value("im:a@b.example") }, vec!["vcard.IMPP"], exact(&["im:a@b.example"])),
            (QueryElement::Nick { value: value("Al") }, vec!["oidc.nickname"], exact(&["Al"])),
            (QueryElement::Email { value: value("a@b.c") }, vec!["oidc.email"], exact(&["a@b.c", "mailto:a@b.c"])),
            (
                QueryElement::Phone { value: value("+49") },
                vec!["oidc.phone_number", "vcard.TEL"],
                exact(&["+49", "tel:+49"]),
            ),
            (
                QueryElement::PartialName { value: value("ÄL") },
                vec!["oidc.given_name", "vcard.FN"],
                Wanted::Part(value("äl")),
            ),
            (claim("given_name", "Al"), vec!["oidc.given_name"], exact(&["Al"])),
            (property("org", "X"), vec!["vcard.ORG"], exact(&["X"])),
        ] {
            let [term] = &terms(std::slice::from_ref(&element), &all).unwrap()[..] else { panic!() };
            assert_eq!(
                (texts(term), &term.wanted),
                (fields.into_iter().map(str::to_owned).collect(), &wanted),
                "{element:?}"
            );
        }
        let whole = terms(&[QueryElement::WholeProfile { value: value("Al") }], &all).unwrap();
        assert_eq!(whole[0].fields.len(), all.len());
    }

    #[test]
    fn no_element_too_many_and_too_short_parts_are_forbidden() {
        let all = searchable(&["oidc.nickname", "vcard.FN"]);
        let nick = QueryElement::Nick { value: value("Al") };
        assert_eq!(terms(&[], &all), Err(IdentifierQueryCode::Forbidden));
        assert!(terms(&vec![nick.clone(); 8], &all).is_ok());
        assert_eq!(terms(&vec![nick; 9], &all), Err(IdentifierQueryCode::Forbidden));
        for short in ["", "a"] {
            for element in
                [QueryElement::PartialName { value: value(short) }, QueryElement::WholeProfile { value: value(short) }]
            {
                assert_eq!(terms(&[element], &all), Err(IdentifierQueryCode::Forbidden), "{short}");
            }
        }
    }

    #[test]
    fn what_may_not_be_searched_is_not_supported() {
        let names = searchable(&["vcard.FN"]);
        let claim = |name: &str| QueryElement::OidcStdClaim { name: value(name), value: value("x") };
        for element in [QueryElement::Email { value: value("a@b.c") }, claim("email"), claim("no field!"), claim("")] {
            assert_eq!(terms(&[element], &names), Err(IdentifierQueryCode::UnsupportedField));
        }
        let whole = QueryElement::WholeProfile { value: value("al") };
        assert_eq!(terms(&[whole], &BTreeSet::new()), Err(IdentifierQueryCode::UnsupportedField));
    }

    #[test]
    fn a_field_is_written_with_its_source() {
        for text in ["oidc.email", "vcard.X-SKILL"] {
            assert_eq!(String::from(Field::try_from(text.to_owned()).unwrap()), text);
        }
        assert_eq!(String::from(Field::try_from("vcard.fn".to_owned()).unwrap()), "vcard.FN");
        for text in ["email", "ldap.mail", "oidc.", "oidc.a b", ".", ""] {
            assert_eq!(Field::try_from(text.to_owned()), Err(FieldError), "{text}");
        }
    }
}
