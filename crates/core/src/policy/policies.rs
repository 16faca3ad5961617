//! Policy files: parsing, annotations, and the rules of the layer that a file stands in. Strict validation against the
//! schema follows once all files are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::diagnostic::{Diagnostic, Source};
use super::promises;
use super::settings::Names;
use super::vocabulary::Vocabulary;

/// How many entities a policy may walk through, one after the other: what the facts of a question hold.
const MAX_LEVEL: u32 = 2;
/// Longest `@public_message`, in characters.
const MAX_SENTENCE_CHARS: usize = 200;
/// Annotations that a deciding policy may have.
const ANNOTATIONS: &[&str] = &["id", "reason", "public_message", "severity", "doc", "advisory"];

/// What a folder of the bundle is for. A reason is taken from the first in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// `ceiling/`: what the company forbids everywhere.
    Ceiling,
    /// `rooms/`: what the company forbids in single rooms.
    Rooms,
    /// `platform/`: the only place that permits.
    Platform,
}

impl Layer {
    pub(super) fn of(file: &str) -> Option<Self> {
        match file.split_once('/')?.0 {
            "ceiling" => Some(Self::Ceiling),
            "rooms" => Some(Self::Rooms),
            "platform" => Some(Self::Platform),
            _ => None,
        }
    }
}

/// What the engine needs to know of a policy beside Cedar's own answer.
#[derive(Clone, Debug)]
pub(super) struct PolicyMeta {
    pub(super) layer: Layer,
    pub(super) reason: String,
    pub(super) public_message: Option<String>,
    /// Whether it says itself that nobody here can enforce it.
    pub(super) advisory: bool,
    pub(super) policy: Policy,
    /// Where it stands, with nothing said about it.
    pub(super) place: Diagnostic,
}

impl PolicyMeta {
    /// A diagnostic about the policy as a whole.
    pub(super) fn wrong(&self, message: impl Into<String>, help: &str) -> Diagnostic {
        Diagnostic { message: message.into(), help: Some(help.to_owned()), ..self.place.clone() }
    }
}

/// A policy with the place where it stands.
pub(super) struct Found<'a> {
    pub(super) policy: Policy,
    pub(super) layer: Layer,
    source: Source<'a>,
    offset: usize,
}

impl Found<'_> {
    pub(super) fn meta(&self) -> PolicyMeta {
        let annotation = |key| self.policy.annotation(key).map(str::to_owned);
        let reason = annotation("reason").unwrap_or_else(|| "PERMITTED".to_owned());
        PolicyMeta {
            layer: self.layer,
            reason,
            public_message: annotation("public_message"),
            advisory: self.is_advisory(),
            policy: self.policy.clone(),
            place: self.place(""),
        }
    }

    /// Whether it says itself that nobody here can enforce it.
    pub(super) fn is_advisory(&self) -> bool {
        self.policy.annotation("advisory").is_some()
    }

    /// The line on which it begins.
    fn place(&self, message: impl Into<String>) -> Diagnostic {
        self.source.span(self.offset, usize::MAX, message, None)
    }

    pub(super) fn wrong(&self, message: impl Into<String>, help: &str) -> Diagnostic {
        Diagnostic { help: Some(help.to_owned()), ..self.place(message) }
    }

    pub(super) fn wrong_near(&self, needle: &str, message: String, help: &str) -> Diagnostic {
        self.source.near(self.offset, needle, message, Some(help.to_owned()))
    }
}

/// Parses a file; each policy gets the id that its `@id` says, or one by its place while it has none.
pub(super) fn parse<'a>(source: Source<'a>, layer: Layer, wrong: &mut Vec<Diagnostic>) -> Vec<Found<'a>> {
    let parsed: PolicySet = match source.text.parse() {
        Ok(parsed) => parsed,
        Err(errors) => {
            let errors: &cedar_policy::ParseErrors = &errors;
            wrong.extend(errors.iter().map(|error| source.cedar(DetailedError::from(error), 0)));
            return Vec::new();
        }
    };
    for template in parsed.templates() {
        let offset = template.as_ref().loc().map_or(0, |loc| loc.start());
        let help = "write the policy out; mute and freeze are facts of the room".to_owned();
        wrong.push(source.at(offset, "templates with slots are not linked by anything", Some(help)));
    }
    let found = parsed.policies().map(|policy| {
        let offset = policy.as_ref().loc().map_or(0, |loc| loc.start());
        let id = policy.annotation("id").map_or_else(|| format!("{}@{offset}", source.file), str::to_owned);
        Found { policy: policy.new_id(PolicyId::new(id)), layer, source, offset }
    });
    let mut found: Vec<Found<'a>> = found.collect();
    found.sort_by_key(|found| found.offset);
    found
}

/// Drops policies whose id was used before, for Cedar's sets hold an id once.
pub(super) fn unique<'a>(all: Vec<Found<'a>>, wrong: &mut Vec<Diagnostic>) -> Vec<Found<'a>> {
    let mut places: BTreeMap<PolicyId, String> = BTreeMap::new();
    let mut kept = Vec::new();
    for found in all {
        match places.get(found.policy.id()) {
            Some(first) => {
                let message = format!("policy id `{}` is used twice", found.policy.id());
                wrong.push(found.wrong(message, &format!("first used in `{first}`")));
            }
            None => {
                places.insert(found.policy.id().clone(), found.source.file.to_owned());
                kept.push(found);
            }
        }
    }
    kept
}

/// Checks everything that does not need the schema: annotations, and what a layer may hold.
pub(super) fn check(all: &[Found<'_>], wrong: &mut Vec<Diagnostic>) {
    let ids: BTreeSet<String> = all.iter().map(|found| found.policy.id().to_string()).collect();
    for found in all {
        check_id(found, wrong);
        check_layer(found, wrong);
        check_annotations(found, &ids, wrong);
    }
}

fn check_id(found: &Found<'_>, wrong: &mut Vec<Diagnostic>) {
    let Some(id) = found.policy.annotation("id") else {
        wrong.push(found.wrong("policy has no `@id`", "write `@id(\"company.what-it-does\")` above it"));
        return;
    };
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if id.is_empty() || !id.bytes().all(good) {
        let message = format!("`{id}` is no policy id");
        wrong.push(found.wrong_near(id, message, "expected lower-case letters, digits, `.`, `_` and `-`"));
    }
}

fn check_annotations(found: &Found<'_>, ids: &BTreeSet<String>, wrong: &mut Vec<Diagnostic>) {
    for (key, _) in found.policy.annotations().filter(|(key, _)| !ANNOTATIONS.contains(key)) {
        let help = format!("expected one of `@{}`", ANNOTATIONS.join("`, `@"));
        wrong.push(found.wrong_near(&format!("@{key}"), format!("unknown annotation `@{key}`"), &help));
    }
    let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    match found.policy.annotation("reason") {
        Some(reason) if !reason.is_empty() && reason.bytes().all(good) => {}
        Some(reason) => {
            let message = format!("`{reason}` is no reason code");
            wrong.push(found.wrong_near("@reason", message, "expected upper-case letters, digits and `_`"));
        }
        None if found.policy.effect() == Effect::Forbid => {
            wrong.push(found.wrong("forbid has no `@reason`", "write `@reason(\"WHY_NOT\")` above it"));
        }
        None => {}
    }
    if let Some(sentence) = found.policy.annotation("public_message") {
        let is_of_id = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let words = sentence.split(|c| !is_of_id(c)).map(|word| word.trim_end_matches('.'));
        // A word of everyday language may be an id, too.
        let tells = words.filter(|word| word.contains(['.', '-', '_'])).find(|word| ids.contains(*word));
        let wrong_near = |message: String, help| found.wrong_near("@public_message", message, help);
        if let Some(id) = tells {
            let message = format!("public message names the policy `{id}`");
            wrong.push(wrong_near(message, "peers and users read this: say what they may know"));
        } else if sentence.is_empty()
            || sentence.chars().count() > MAX_SENTENCE_CHARS
            || sentence.chars().any(char::is_control)
        {
            let message = "public message is empty, too long or not one line".to_owned();
            wrong.push(wrong_near(message, "expected one line of at most 200 characters"));
        }
    }
}

fn check_layer(found: &Found<'_>, wrong: &mut Vec<Diagnostic>) {
    match (found.layer, found.policy.effect()) {
        (Layer::Ceiling | Layer::Rooms, Effect::Permit) => {
            wrong.push(found.wrong("this folder only forbids", "expected `forbid`; only `platform/` permits"));
        }
        (Layer::Platform, _) | (Layer::Ceiling | Layer::Rooms, Effect::Forbid) => {}
    }
}

/// Checks what needs the schema's names: nobody is held in a room, and no policy speaks of something that
/// cannot exist, as far as the names of the settings are known.
pub(super) fn check_names(
    all: &[Found<'_>],
    vocabulary: &Vocabulary,
    names: Option<&Names<'_>>,
    wrong: &mut Vec<Diagnostic>,
) {
    let beyond = promises::beyond(vocabulary);
    for found in all {
        match found.layer {
            Layer::Ceiling | Layer::Rooms => check_leaving(found, vocabulary, wrong),
            Layer::Platform => {}
        }
        promises::check_enforcement(found, vocabulary, &beyond, wrong);
        let Some(names) = names else { continue };
        for literal in found.policy.entity_literals() {
            check_literal(found, &literal, vocabulary, names, wrong);
        }
    }
}

/// No forbid of the company applies to leaving (correction C-3).
fn check_leaving(found: &Found<'_>, vocabulary: &Vocabulary, wrong: &mut Vec<Diagnostic>) {
    let Some(leaving) = vocabulary.leaving() else { return };
    if promises::applies(&found.policy, leaving) {
        let help = "expected actions to be named, for example `action in Mimi::Action::\"RoomActs\"`";
        wrong.push(found.wrong("policy would forbid `canRemoveSelf`: nobody is held in a room", help));
    }
}

/// An id that nothing can have makes a policy that never matches, silently.
fn check_literal(
    found: &Found<'_>,
    literal: &EntityUid,
    vocabulary: &Vocabulary,
    names: &Names<'_>,
    wrong: &mut Vec<Diagnostic>,
) {
    let (id, entity_type) = (literal.id().unescaped(), literal.type_name());
    let listed = |names: &BTreeSet<&str>, what: &str| {
        if names.contains(id) {
            return None;
        }
        let nearest = names.iter().min_by_key(|name| strsim::damerau_levenshtein(id, name));
        let meant = nearest.filter(|name| strsim::damerau_levenshtein(id, name) <= 2);
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Some(format!("expected a {what} that `settings.yaml` gives{meant}"))
    };
    let help = if *entity_type == vocabulary.provider_group {
        listed(&names.groups, "group of providers")
    } else if *entity_type == vocabulary.segment {
        listed(&names.segments, "segment")
    } else if *entity_type == vocabulary.label {
        listed(&names.labels, "label")
    } else if *entity_type == vocabulary.user {
        UserUri::parse(id).err().map(|error| error.to_string())
    } else if *entity_type == vocabulary.room {
        RoomUri::parse(id).err().map(|error| error.to_string())
    } else if *entity_type == vocabulary.provider {
        Domain::parse(id).err().map(|error| error.to_string())
    } else if *entity_type == vocabulary.role {
        let of =
            id.rsplit_once('#').filter(|(room, index)| RoomUri::parse(room).is_ok() && index.parse::<u32>().is_ok());
        if of.is_some() { None } else { Some("expected the URI of a room, `#` and the number of a role".to_owned()) }
    } else if vocabulary.knows(entity_type) || entity_type.basename() == "Action" {
        None
    } else {
        Some("the gateway describes no entities of this type".to_owned())
    };
    if let Some(help) = help {
        wrong.push(found.wrong_near(&format!("\"{id}\""), format!("`{literal}` is nothing that exists"), &help));
    }
}

/// Validates strictly, and to the depth of the facts. Gives the policies that are not valid.
pub(super) fn validate(all: &[Found<'_>], schema: &Schema, wrong: &mut Vec<Diagnostic>) -> BTreeSet<PolicyId> {
    let places: HashMap<&PolicyId, &Found<'_>> = all.iter().map(|found| (found.policy.id(), found)).collect();
    let policies = match PolicySet::from_policies(all.iter().map(|found| found.policy.clone())) {
        Ok(policies) => policies,
        Err(error) => {
            wrong.extend(all.first().map(|found| found.wrong(error.to_string(), "expected ids used once")));
            return all.iter().map(|found| found.policy.id().clone()).collect();
        }
    };
    let result = Validator::new(schema.clone()).validate_with_level(&policies, ValidationMode::Strict, MAX_LEVEL);
    let failed: BTreeSet<&PolicyId> = result.validation_errors().map(|error| error.policy_id()).collect();
    let errors = result.validation_errors().map(|error| (error.policy_id(), DetailedError::from(error)));
    // What is warned of in a policy with errors, as that it never applies, follows from them.
    let warnings = result.validation_warnings().filter(|warning| !failed.contains(warning.policy_id()));
    let warnings = warnings.map(|warning| (warning.policy_id(), DetailedError::from(warning)));
    let mut reported: Vec<Diagnostic> = errors
        .chain(warnings)
        .filter_map(|(id, error)| places.get(id).map(|found| found.source.cedar(error, found.offset)))
        .collect();
    // A mistake in a policy for many actions is reported once for each of them, in no order.
    reported.sort();
    reported.dedup_by(|a, b| (&a.file, a.line, a.column) == (&b.file, b.line, b.column));
    wrong.extend(reported);
    failed.into_iter().cloned().collect()
}
