//! Policy files: parsing, annotations, and the rules of the layer that a file stands in. Strict validation against the
//! schema follows once all files are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Authorizer, Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::diagnostic::{Cursor, Diagnostic, Source};
use super::entities::Asked;
use super::links::Slotted;
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
    /// `obligations/`: what is owed where something is allowed. They decide nothing.
    Obligations,
}

impl Layer {
    pub(super) fn of(file: &str) -> Option<Self> {
        match file.split_once('/')?.0 {
            "ceiling" => Some(Self::Ceiling),
            "rooms" => Some(Self::Rooms),
            "platform" => Some(Self::Platform),
            "obligations" => Some(Self::Obligations),
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
    /// The template that it is a link of.
    pub(super) template: Option<PolicyId>,
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
    pub(super) origin: Origin,
    pub(super) source: Source<'a>,
    pub(super) offset: usize,
    /// The line on which it begins.
    pub(super) place: Diagnostic,
}

/// How a policy came to be.
pub(super) enum Origin {
    /// It is written as it decides.
    Written,
    /// It is what a template says of everybody and everything, and decides nothing.
    Open(Box<Slotted>),
    /// It is the link of this template to somebody or something.
    Linked(PolicyId),
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
            template: match &self.origin {
                Origin::Linked(template) => Some(template.clone()),
                Origin::Written | Origin::Open(_) => None,
            },
            place: self.place.clone(),
        }
    }

    /// Whether it says itself that nobody here can enforce it.
    pub(super) fn is_advisory(&self) -> bool {
        self.policy.annotation("advisory").is_some()
    }

    pub(super) fn wrong(&self, message: impl Into<String>, help: &str) -> Diagnostic {
        Diagnostic { message: message.into(), help: Some(help.to_owned()), ..self.place.clone() }
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
        let help = "expected it in `templates/*.cedar`, and who it is for in `rooms/*.yaml`".to_owned();
        wrong.push(source.at(offset, "this folder holds no policies with slots", Some(help)));
    }
    let at = |policy: &Policy| policy.as_ref().loc().map_or(0, |loc| loc.start());
    let mut policies: Vec<(usize, &Policy)> = parsed.policies().map(|policy| (at(policy), policy)).collect();
    policies.sort_by_key(|(offset, _)| *offset);
    let mut cursor = Cursor::new(source);
    let found = policies.into_iter().map(|(offset, policy)| {
        let id = policy.annotation("id").map_or_else(|| unnamed(source, offset), str::to_owned);
        let (policy, place) = (policy.new_id(PolicyId::new(id)), cursor.place(offset));
        Found { policy, layer, origin: Origin::Written, source, offset, place }
    });
    found.collect()
}

/// What a policy is called that has no `@id`, as long as its file is checked.
pub(super) fn unnamed(source: Source<'_>, offset: usize) -> String {
    format!("{}@{offset}", source.file)
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
        check_layer(found, wrong);
        if found.layer != Layer::Obligations {
            check_id(found, wrong);
            check_annotations(found, &ids, wrong);
        }
    }
}

/// That it has a name.
pub(super) fn check_id(found: &Found<'_>, wrong: &mut Vec<Diagnostic>) {
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
        (Layer::Obligations, Effect::Forbid) => {
            let help = "expected `permit`: a `forbid` would hide all that is owed, and denies nothing here";
            wrong.push(found.wrong("this folder only permits", help));
        }
        (Layer::Platform, _)
        | (Layer::Ceiling | Layer::Rooms, Effect::Forbid)
        | (Layer::Obligations, Effect::Permit) => {}
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
    check_literals(all, vocabulary, names, wrong);
    for found in all {
        match found.layer {
            Layer::Ceiling | Layer::Rooms => check_leaving(found, vocabulary, wrong),
            Layer::Platform | Layer::Obligations => {}
        }
        promises::check_enforcement(found, vocabulary, &beyond, wrong);
    }
}

/// Checks that policies speak of nothing that cannot exist, as far as the names of the settings are known.
pub(super) fn check_literals(
    all: &[Found<'_>],
    vocabulary: &Vocabulary,
    names: Option<&Names<'_>>,
    wrong: &mut Vec<Diagnostic>,
) {
    let Some(names) = names else { return };
    for found in all {
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
    if let Some(help) = not_known(literal, vocabulary, names) {
        let needle = format!("\"{}\"", literal.id().unescaped());
        wrong.push(found.wrong_near(&needle, format!("`{literal}` is nothing that exists"), &help));
    }
}

/// What was expected instead of the name of something that cannot be.
pub(super) fn not_known(literal: &EntityUid, vocabulary: &Vocabulary, names: &Names<'_>) -> Option<String> {
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
    if *entity_type == vocabulary.provider_group {
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
    }
}

/// Whether all that a policy says is so for a question.
pub(super) fn matches(policy: &Policy, asked: &Asked) -> bool {
    let Ok(alone) = PolicySet::from_policies([policy.clone()]) else { return false };
    let response = Authorizer::new().is_authorized(&asked.request, &alone, &asked.entities);
    response.diagnostics().reason().next().is_some()
}

/// Validates strictly, and to the depth of the facts. Gives the policies that are not valid, or that never apply.
pub(super) fn validate<'f, 's: 'f>(
    all: impl IntoIterator<Item = &'f Found<'s>>,
    schema: &Schema,
    wrong: &mut Vec<Diagnostic>,
) -> BTreeSet<PolicyId> {
    let all: Vec<&Found<'_>> = all.into_iter().collect();
    let places: HashMap<&PolicyId, &Found<'_>> = all.iter().map(|found| (found.policy.id(), *found)).collect();
    let mut policies = PolicySet::new();
    let added = all.iter().try_for_each(|found| match &found.origin {
        Origin::Open(slotted) => policies.add_template(slotted.template.clone()).map_err(Box::new),
        Origin::Written | Origin::Linked(_) => policies.add(found.policy.clone()).map_err(Box::new),
    });
    match added {
        Ok(()) => {}
        Err(error) => {
            wrong.extend(all.first().map(|found| found.wrong(error.to_string(), "expected ids used once")));
            return all.iter().map(|found| found.policy.id().clone()).collect();
        }
    }
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
    let warned = result.validation_warnings().map(|warning| warning.policy_id());
    failed.into_iter().chain(warned).cloned().collect()
}
