//! Policies that are written once and hold for many: `templates/*.cedar` has forbids with slots, and `rooms/*.yaml` says
//! who and what is put into them. A link is a policy like any other, but for what need not be looked into again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::ffi::DetailedError;
use cedar_policy::pst::{self, PrincipalConstraint, ResourceConstraint, SlotId};
use cedar_policy::{EntityTypeName, Policy, PolicyId, PolicySet, Schema, Template};
use serde::Deserialize;

use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::diagnostic::{Cursor, Diagnostic, Source};
use super::policies::{self, Found, Layer, Origin, unnamed};
use super::settings::{Names, parse_yaml};
use super::vocabulary::{Vocabulary, uid};

/// Most links of a bundle.
pub(super) const MAX_LINKS: usize = 100_000;
/// Most bytes that all of them come to: each says all that its template says.
pub(super) const MAX_LINKED_BYTES: usize = 64 << 20;

/// A policy with slots.
#[derive(Clone, Debug)]
pub(super) struct Slotted {
    /// As it is written.
    pub(super) template: Template,
    body: pst::Template,
    /// Bytes of its text.
    bytes: usize,
}

/// Parses a file of templates. Each stands for what it says of everybody and everything, which is what is checked of it.
pub(super) fn parse<'a>(source: Source<'a>, wrong: &mut Vec<Diagnostic>) -> Vec<Found<'a>> {
    let parsed: PolicySet = match source.text.parse() {
        Ok(parsed) => parsed,
        Err(errors) => {
            let errors: &cedar_policy::ParseErrors = &errors;
            wrong.extend(errors.iter().map(|error| source.cedar(DetailedError::from(error), 0)));
            return Vec::new();
        }
    };
    for policy in parsed.policies() {
        let offset = policy.as_ref().loc().map_or(0, |loc| loc.start());
        let help = "expected `?principal` or `?resource` in its scope; `ceiling/` is for policies without".to_owned();
        wrong.push(source.at(offset, "policy has no slot", Some(help)));
    }
    let at = |template: &Template| template.as_ref().loc().map_or(0, |loc| loc.start());
    let mut templates: Vec<(usize, &Template)> = parsed.templates().map(|one| (at(one), one)).collect();
    templates.sort_by_key(|(offset, _)| *offset);
    let mut cursor = Cursor::new(source);
    let mut found = Vec::new();
    for (offset, template) in templates {
        let id = template.annotation("id").map_or_else(|| unnamed(source, offset), str::to_owned);
        let (template, place) = (template.new_id(PolicyId::new(id)), cursor.place(offset));
        let built = template.to_pst().and_then(|body| Ok((open(&body)?, body)));
        match built {
            Ok((policy, body)) => {
                let bytes = template.to_string().len();
                let origin = Origin::Open(Box::new(Slotted { template, body, bytes }));
                found.push(Found { policy, layer: Layer::Rooms, origin, source, offset, place });
            }
            Err(error) => wrong.push(Diagnostic { message: error.to_string(), ..place }),
        }
    }
    found
}

/// What a template says of everybody and everything.
fn open(body: &pst::Template) -> Result<Policy, pst::PstConstructionError> {
    let mut body = body.clone();
    body.principal = match body.principal {
        PrincipalConstraint::Eq(pst::EntityOrSlot::Slot(_)) | PrincipalConstraint::In(pst::EntityOrSlot::Slot(_)) => {
            PrincipalConstraint::Any
        }
        PrincipalConstraint::IsIn(kind, pst::EntityOrSlot::Slot(_)) => PrincipalConstraint::Is(kind),
        closed => closed,
    };
    body.resource = match body.resource {
        ResourceConstraint::Eq(pst::EntityOrSlot::Slot(_)) | ResourceConstraint::In(pst::EntityOrSlot::Slot(_)) => {
            ResourceConstraint::Any
        }
        ResourceConstraint::IsIn(kind, pst::EntityOrSlot::Slot(_)) => ResourceConstraint::Is(kind),
        closed => closed,
    };
    Policy::from_pst(pst::Policy::Static(pst::StaticPolicy::try_from(body)?))
}

/// A file of links: for each template, to whom and what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    template: String,
    links: Vec<Link>,
}

/// One of `user`, `segment`, `provider` and `group` for `?principal`, and one of `room` and `label` for `?resource`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    user: Option<UserUri>,
    segment: Option<String>,
    provider: Option<Domain>,
    group: Option<String>,
    room: Option<RoomUri>,
    label: Option<String>,
}

impl Link {
    /// What is there for `?principal`, with the kind of it.
    fn principals(&self) -> Vec<(&'static str, &str)> {
        let Self { user, segment, provider, group, room: _, label: _ } = self;
        let named = [
            ("user", user.as_ref().map(UserUri::as_str)),
            ("segment", segment.as_deref()),
            ("provider", provider.as_ref().map(Domain::as_str)),
            ("group", group.as_deref()),
        ];
        named.into_iter().filter_map(|(kind, name)| Some((kind, name?))).collect()
    }

    /// The same for `?resource`.
    fn resources(&self) -> Vec<(&'static str, &str)> {
        let named = [("room", self.room.as_ref().map(RoomUri::as_str)), ("label", self.label.as_deref())];
        named.into_iter().filter_map(|(kind, name)| Some((kind, name?))).collect()
    }
}

/// What links are read with.
#[derive(Clone, Copy)]
pub(super) struct Linking<'a> {
    pub(super) schema: &'a Schema,
    pub(super) vocabulary: &'a Vocabulary,
    /// What the settings name, if they are good.
    pub(super) names: Option<&'a Names<'a>>,
    /// Policies and templates that are not valid.
    pub(super) invalid: &'a BTreeSet<PolicyId>,
}

/// How much the links of all files are.
#[derive(Default)]
struct Size {
    links: usize,
    bytes: usize,
}

impl Size {
    /// Adds so many links of a template; says what is wrong if that is more than a bundle may have.
    fn add(&mut self, links: usize, template: &Slotted, place: &Diagnostic) -> Result<(), Diagnostic> {
        self.links = self.links.saturating_add(links);
        self.bytes = self.bytes.saturating_add(links.saturating_mul(template.bytes));
        if self.links <= MAX_LINKS && self.bytes <= MAX_LINKED_BYTES {
            return Ok(());
        }
        let help = format!(
            "expected at most {MAX_LINKS} links in a bundle, and of their templates' text, once for each, \
             {MAX_LINKED_BYTES} bytes; link segments, groups and labels, or write less into the template"
        );
        Err(Diagnostic { message: "links are too many from here on".to_owned(), help: Some(help), ..place.clone() })
    }
}

/// The links of all files, as policies; none when they would be too large to be expanded.
pub(super) fn link<'a>(
    sources: &[Source<'a>],
    all: &[Found<'_>],
    with: Linking<'_>,
    wrong: &mut Vec<Diagnostic>,
) -> Vec<Found<'a>> {
    let templates: BTreeMap<&PolicyId, &Slotted> = all
        .iter()
        .filter_map(|found| match &found.origin {
            Origin::Open(slotted) => Some((found.policy.id(), &**slotted)),
            Origin::Written | Origin::Linked(_) => None,
        })
        .collect();
    let types = match types(with.vocabulary) {
        Ok(types) => types,
        Err(error) => {
            wrong.extend(sources.first().map(|source| source.at(0, error.to_string(), None)));
            return Vec::new();
        }
    };
    let (mut links, mut size) = (Vec::new(), Size::default());
    // Of links to the same kinds of names one is valid if the others are.
    let mut firsts: BTreeMap<(PolicyId, [&'static str; 2]), usize> = BTreeMap::new();
    for source in sources {
        let written: Vec<Written> = match parse_yaml(*source) {
            Ok(written) => written,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        let mut cursor = Cursor::new(*source);
        for Written { template, links: of } in &written {
            let offset = cursor.next(template);
            let place = cursor.place(offset);
            let Some((id, slotted)) = templates.get_key_value(&PolicyId::new(template)) else {
                wrong.push(unknown(template, templates.keys().copied(), place));
                continue;
            };
            if let Err(too_large) = size.add(of.len(), slotted, &place) {
                wrong.push(too_large);
                return Vec::new();
            }
            for link in of {
                match one(link, slotted, (*source, &mut cursor), (with, &types)) {
                    Ok((found, kinds)) => {
                        firsts.entry(((*id).clone(), kinds)).or_insert(links.len());
                        links.push(found);
                    }
                    Err(diagnostic) => wrong.push(diagnostic),
                }
            }
        }
    }
    let firsts: BTreeSet<usize> =
        firsts.into_iter().filter(|((id, _), _)| !with.invalid.contains(id)).map(|(_, at)| at).collect();
    policies::validate(firsts.into_iter().filter_map(|at| links.get(at)), with.schema, wrong);
    links
}

fn unknown<'t>(name: &str, known: impl Iterator<Item = &'t PolicyId>, place: Diagnostic) -> Diagnostic {
    let distance = |id: &PolicyId| strsim::damerau_levenshtein(name, id.as_ref());
    let meant = known.min_by_key(|id| distance(id)).filter(|id| distance(id) <= 2);
    let meant = meant.map_or_else(String::new, |id| format!("; did you mean `{id}`?"));
    let help = Some(format!("expected the `@id` of a policy in `templates/*.cedar`{meant}"));
    Diagnostic { message: format!("no policy template `{name}`"), help, ..place }
}

/// A link as a policy, and the kinds of names that are in it.
fn one<'a>(
    link: &Link,
    slotted: &Slotted,
    (source, cursor): (Source<'a>, &mut Cursor<'a>),
    (with, types): (Linking<'_>, &Types),
) -> Result<(Found<'a>, [&'static str; 2]), Diagnostic> {
    let (principals, resources) = (link.principals(), link.resources());
    let first = principals.first().or_else(|| resources.first()).map_or("", |(_, name)| *name);
    let offset = cursor.next(first);
    let place = cursor.place(offset);
    let wrong = |message: String, help: &str| Diagnostic { message, help: Some(help.to_owned()), ..place.clone() };
    let id = slotted.template.id();
    let slots = [
        (SlotId::Principal, slotted.body.principal.slot(), principals, "`user`, `segment`, `provider` or `group`"),
        (SlotId::Resource, slotted.body.resource.slot(), resources, "`room` or `label`"),
    ];
    let (mut values, mut kinds, mut name) = (HashMap::new(), [""; 2], id.to_string());
    for (kind, (slot, is_there, given, expected)) in kinds.iter_mut().zip(slots) {
        match (is_there, given.as_slice()) {
            (None, []) => {}
            (Some(_), [(key, value)]) => {
                let Some((entity_type, ty)) = types.get(key) else { continue };
                let not_known =
                    with.names.and_then(|names| policies::not_known(&uid(entity_type, value), with.vocabulary, names));
                if let Some(help) = not_known {
                    return Err(wrong(format!("{key} `{value}` is nothing that exists"), &help));
                }
                values.insert(slot, pst::EntityUID { ty: ty.clone(), eid: (*value).into() });
                name = format!("{name}@{key}:{value}");
                *kind = key;
            }
            (Some(_), []) => {
                return Err(wrong(format!("link of `{id}` leaves `{slot}` open"), &format!("expected {expected}")));
            }
            (Some(_), _) => {
                return Err(wrong(
                    format!("link of `{id}` fills `{slot}` twice"),
                    &format!("expected one of {expected}"),
                ));
            }
            (None, _) => {
                let help = format!("leave {expected} out");
                return Err(wrong(format!("`{id}` has no `{slot}` to fill"), &help));
            }
        }
    }
    let body = slotted.body.clone().with_id(pst::PolicyID::from(name.as_str()));
    let linked = body.link(&values).and_then(|policy| Policy::from_pst(pst::Policy::Static(policy)));
    let policy = linked.map_err(|error| wrong(error.to_string(), "expected a link that fills all slots"))?;
    let origin = Origin::Linked(id.clone());
    Ok((Found { policy, layer: Layer::Rooms, origin, source, offset, place }, kinds))
}

/// The types of what links can name, as the schema has them and in the terms of Cedar's syntax tree.
type Types = BTreeMap<&'static str, (EntityTypeName, pst::EntityType)>;

fn types(vocabulary: &Vocabulary) -> Result<Types, pst::PstConstructionError> {
    let kinds = [
        ("user", &vocabulary.user),
        ("segment", &vocabulary.segment),
        ("provider", &vocabulary.provider),
        ("group", &vocabulary.provider_group),
        ("room", &vocabulary.room),
        ("label", &vocabulary.label),
    ];
    let types = kinds.into_iter().map(|(kind, of)| {
        let name = pst::Name::qualified(of.namespace_components(), of.basename())?;
        Ok((kind, (of.clone(), pst::EntityType::from_name(name))))
    });
    types.collect()
}
