//! What holds for a user, and who says so. Of each attribute the highest source counts that says anything: what stands under
//! `users`, which is about nobody else, what the company's identity provider says by the rules of `directory`, what `rules` say of
//! its identifier, what stands with its provider, and what holds for everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::uri::{Domain, MAX_URI_BYTES, UserUri};

use super::people::{Person, PersonFacts};
use super::settings::{Directory, Employment};

/// What is said of users.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// How the company employs them.
    pub employment: Option<Employment>,
    /// From 0, public, to 3, secret.
    pub clearance: Option<u8>,
    /// Parts of the company that they are in.
    pub segments: BTreeSet<String>,
    /// Whose law they are under, such as `EU`.
    pub jurisdiction: Option<String>,
    /// Whether all their devices are under the control of whom they work for.
    pub managed: Option<bool>,
}

/// Something that holds for users by their identifiers, or by claims of their tokens; without a condition for everybody.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserRule {
    /// Their URI, in which `*` stands for anything.
    pub user: Option<UserPattern>,
    /// Their provider.
    pub provider: Option<Domain>,
    /// What the token says by which they were registered: of each of these claims this value, or one of its values. Only users of
    /// ours have any: of those of other providers nothing is verified here but provider and URI.
    pub claims: BTreeMap<String, String>,
    /// How the company employs them.
    pub employment: Option<Employment>,
    /// From 0, public, to 3, secret.
    pub clearance: Option<u8>,
    /// Parts of the company that they are in.
    pub segments: BTreeSet<String>,
    /// Whose law they are under, such as `EU`.
    pub jurisdiction: Option<String>,
    /// Whether all their devices are under the control of whom they work for.
    pub managed: Option<bool>,
}

impl UserRule {
    fn fits(&self, user: &UserUri, person: Option<&Person>) -> bool {
        let said = |name: &String, wanted: &String| {
            person.and_then(|person| person.facts().claims.get(name)).is_some_and(|values| values.contains(wanted))
        };
        self.claims.iter().all(|(name, wanted)| said(name, wanted))
            && self.user.as_ref().is_none_or(|pattern| pattern.fits(user.as_str()))
            && self.provider.as_ref().is_none_or(|provider| *provider == user.domain())
    }
}

/// The URI of users, in which `*` stands for anything, also for nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct UserPattern(String);

impl TryFrom<String> for UserPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        /// What is looked for in each URI costs its length for each of them.
        const MOST_STARS: usize = 4;
        let host = text.strip_prefix("mimi://").and_then(|rest| rest.split_once("/u/")).map(|(host, _)| host);
        let has_host = host.is_some_and(|host| Domain::parse(host).is_ok());
        if !has_host || text.len() > MAX_URI_BYTES || text.matches('*').count() > MOST_STARS {
            return Err("expected a user such as mimi://b.example/u/ext-*, with at most four `*` behind its provider"
                .to_owned());
        }
        Ok(Self(text))
    }
}

impl UserPattern {
    fn fits(&self, uri: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == uri };
        let Some(mut left) = uri.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            match left.find(part) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            }
        }
        left.ends_with(last)
    }
}

/// People whom the company's identity provider knows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectorySettings {
    /// What follows from what it says of them.
    pub rules: Vec<DirectoryRule>,
}

/// Something that holds for people of whom the identity provider says all of this; without any of it, for all that it knows.
/// Names are compared without regard to case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectoryRule {
    /// A group that they are in, by its display name.
    pub group: Option<String>,
    /// Their department.
    pub department: Option<String>,
    /// Their division.
    pub division: Option<String>,
    /// Their organization.
    pub organization: Option<String>,
    /// Their cost center.
    pub cost_center: Option<String>,
    /// What kind of user they are, such as `Contractor`.
    pub user_type: Option<String>,
    /// How the company employs them.
    pub employment: Option<Employment>,
    /// From 0, public, to 3, secret.
    pub clearance: Option<u8>,
    /// Parts of the company that they are in.
    pub segments: BTreeSet<String>,
    /// Whether all their devices are under the company's control.
    pub managed: Option<bool>,
}

impl DirectoryRule {
    fn fits(&self, person: &PersonFacts) -> bool {
        let of_person = [
            (&self.department, &person.department),
            (&self.division, &person.division),
            (&self.organization, &person.organization),
            (&self.cost_center, &person.cost_center),
            (&self.user_type, &person.user_type),
        ];
        let in_group = |group: &String| person.groups.iter().any(|of| same(of, group));
        self.group.as_ref().is_none_or(in_group)
            && of_person.into_iter().all(|(wanted, said)| match (wanted, said) {
                (None, _) => true,
                (Some(wanted), Some(said)) => same(wanted, said),
                (Some(_), None) => false,
            })
    }
}

/// Identity providers do not tell names by case (RFC 7643, `caseExact`).
fn same(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `defaults.user`.
    Defaults,
    /// What stands with the user's provider.
    Provider,
    /// The rule of this number, from 0, of `rules`.
    Rule(usize),
    /// The entry under `users`.
    User,
    /// The company's identity provider itself.
    Directory,
    /// The rule of this number, from 0, of `directory.rules`.
    DirectoryRule(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => formatter.write_str("defaults.user"),
            Self::Provider => formatter.write_str("providers"),
            Self::Rule(number) => write!(formatter, "rules[{number}]"),
            Self::User => formatter.write_str("users"),
            Self::Directory => formatter.write_str("directory"),
            Self::DirectoryRule(number) => write!(formatter, "directory.rules[{number}]"),
        }
    }
}

/// Something that holds for a user, with who says so, to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// As the schema names it.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where it comes from, such as `directory.rules[2]`; several where each has a part in it.
    pub source: String,
}

/// A value, and who says so.
pub(super) type Said<T> = (T, Origin);

/// All that holds for a user.
pub(super) struct Attributes<'a> {
    pub(super) employment: Said<Employment>,
    pub(super) clearance: Said<u8>,
    pub(super) segments: Vec<Said<&'a str>>,
    pub(super) suspended: Said<bool>,
    pub(super) jurisdiction: Option<Said<&'a str>>,
    pub(super) managed: Option<Said<bool>>,
    pub(super) department: Option<Said<&'a str>>,
    pub(super) organization: Option<Said<&'a str>>,
    pub(super) manager: Option<Said<&'a UserUri>>,
}

impl<'a> Attributes<'a> {
    /// As the settings and what is known of the user have it.
    pub(super) fn of(directory: &'a Directory, user: &UserUri) -> Self {
        let defaults = directory.defaults.user;
        let mut all = Self {
            employment: (defaults.employment, Origin::Defaults),
            clearance: (defaults.clearance, Origin::Defaults),
            segments: Vec::new(),
            suspended: (false, Origin::Defaults),
            jurisdiction: None,
            managed: None,
            department: None,
            organization: None,
            manager: None,
        };
        if let Some(provider) = directory.provider(&user.domain()) {
            let law = Some(&provider.jurisdiction).filter(|law| !law.is_empty());
            all.put_law(Origin::Provider, law);
            let given = &provider.users;
            all.put(Origin::Provider, (given.employment, given.clearance, given.managed));
            all.put_law(Origin::Provider, given.jurisdiction.as_ref());
            all.put_segments(given.segments.iter().map(|name| (name.as_str(), Origin::Provider)).collect());
        }
        let person = directory.person(user);
        all.put_rules(directory.rules(), user, person);
        if let Some(person) = person.filter(|person| person.facts().listed) {
            all.put_person(directory.directory_rules(), person);
        }
        if let Some(entry) = directory.user(user) {
            all.put(Origin::User, (entry.employment, entry.clearance, entry.managed));
            all.put_law(Origin::User, entry.jurisdiction.as_ref());
            all.put_segments(entry.segments.iter().map(|name| (name.as_str(), Origin::User)).collect());
            // Whoever says that somebody is suspended is believed.
            if !all.suspended.0 {
                all.suspended = (entry.suspended, Origin::User);
            }
        }
        all
    }

    fn put(
        &mut self,
        origin: Origin,
        (employment, clearance, managed): (Option<Employment>, Option<u8>, Option<bool>),
    ) {
        if let Some(employment) = employment {
            self.employment = (employment, origin);
        }
        if let Some(clearance) = clearance {
            self.clearance = (clearance, origin);
        }
        if let Some(managed) = managed {
            self.managed = Some((managed, origin));
        }
    }

    fn put_law(&mut self, origin: Origin, jurisdiction: Option<&'a String>) {
        if let Some(jurisdiction) = jurisdiction {
            self.jurisdiction = Some((jurisdiction, origin));
        }
    }

    /// They take the place of those of a lower source. One name stands once, said by the first rule that says it.
    fn put_segments(&mut self, mut segments: Vec<Said<&'a str>>) {
        if !segments.is_empty() {
            segments.sort();
            segments.dedup_by_key(|(name, _)| *name);
            self.segments = segments;
        }
    }

    /// Of several rules that say something the last counts; segments add up.
    fn put_rules(&mut self, rules: &'a [UserRule], user: &UserUri, person: Option<&Person>) {
        let mut segments = Vec::new();
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.fits(user, person)) {
            let origin = Origin::Rule(number);
            self.put(origin, (rule.employment, rule.clearance, rule.managed));
            self.put_law(origin, rule.jurisdiction.as_ref());
            segments.extend(rule.segments.iter().map(|name| (name.as_str(), origin)));
        }
        self.put_segments(segments);
    }

    /// The same of what the identity provider says.
    fn put_person(&mut self, rules: &'a [DirectoryRule], person: &'a Person) {
        let facts = person.facts();
        let mut segments: Vec<Said<&'a str>> = Vec::new();
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.fits(facts)) {
            let origin = Origin::DirectoryRule(number);
            self.put(origin, (rule.employment, rule.clearance, rule.managed));
            segments.extend(rule.segments.iter().map(|name| (name.as_str(), origin)));
        }
        self.put_segments(segments);
        let said = |text: &'a Option<String>| text.as_deref().map(|text| (text, Origin::Directory));
        self.department = said(&facts.department);
        self.organization = said(&facts.organization);
        self.manager = facts.manager.as_ref().map(|manager| (manager, Origin::Directory));
        if !facts.active {
            self.suspended = (true, Origin::Directory);
        }
    }

    /// All of it, to be shown.
    pub(super) fn listed(&self) -> Vec<Attribute> {
        let one = |name, value: String, origin: Origin| Attribute { name, value, source: origin.to_string() };
        let mut listed = vec![
            one("employment", self.employment.0.name().to_owned(), self.employment.1),
            one("clearance", self.clearance.0.to_string(), self.clearance.1),
            one("suspended", self.suspended.0.to_string(), self.suspended.1),
        ];
        if !self.segments.is_empty() {
            let names: Vec<&str> = self.segments.iter().map(|(name, _)| *name).collect();
            let origins: BTreeSet<Origin> = self.segments.iter().map(|(_, origin)| *origin).collect();
            let origins: Vec<String> = origins.iter().map(Origin::to_string).collect();
            listed.push(Attribute { name: "segments", value: names.join(", "), source: origins.join(", ") });
        }
        let texts =
            [("jurisdiction", self.jurisdiction), ("department", self.department), ("organization", self.organization)];
        listed
            .extend(texts.into_iter().filter_map(|(name, said)| said.map(|(text, of)| one(name, text.to_owned(), of))));
        listed.extend(self.manager.map(|(manager, of)| one("manager", manager.to_string(), of)));
        listed.extend(self.managed.map(|(managed, of)| one("managed", managed.to_string(), of)));
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_for_nothing_else() {
        let fits = |pattern: &str, user: &str| {
            UserPattern::try_from(format!("mimi://b.example/u/{pattern}")).unwrap().fits(&format!("mimi://{user}"))
        };
        for (pattern, user, expected) in [
            ("bob", "b.example/u/bob", true),
            ("bob", "b.example/u/bobby", false),
            ("ext-*", "b.example/u/ext-bob", true),
            ("ext-*", "b.example/u/ext-", true),
            ("ext-*", "b.example/u/text-bob", false),
            ("*", "b.example/u/bob", true),
            ("*", "c.example/u/bob", false),
            ("*-ext", "b.example/u/bob-ext", true),
            ("*-ext", "b.example/u/bob-ext-2", false),
            ("a*b*c", "b.example/u/a1b2bc", true),
            ("a*b*c", "b.example/u/acb", false),
            ("ab*ba", "b.example/u/aba", false),
        ] {
            assert_eq!(fits(pattern, user), expected, "{pattern} {user}");
        }
        for wrong in
            ["bob", "mimi://b*/u/x", "mimi://*.example/u/x", "mimi://b.example/r/x", "mimi://b.example/u/*****"]
        {
            assert!(UserPattern::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
