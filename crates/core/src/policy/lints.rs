//! What a good bundle does that its author perhaps did not mean: policies that never or always apply, that others say
//! already, that can fail, and rights that a template gives and the ceiling takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{Effect, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint, Schema};

use crate::room::{About, Outside, Template};
use crate::wire::components::Capability;
use crate::wire::uri::{RoomUri, UserUri};

use super::bundle::Bundle;
use super::diagnostic::{Diagnostic, Source};
use super::expressions::Known;
use super::partial::{self, Residual};
use super::policies::{Layer, PolicyMeta};
use super::promises::applies;
use super::vocabulary::Act;

/// How many policies are looked into: partial evaluation takes some milliseconds for each.
const MOST: usize = 2000;
/// Conditions of a policy of which every part is compared with other policies.
const MOST_CLAUSES: usize = 6;

/// Warnings, in no order. `texts` are the files of the bundle.
pub(super) fn of(bundle: &Bundle, texts: &BTreeMap<&str, &str>) -> Vec<Diagnostic> {
    let mut metas: Vec<&PolicyMeta> = bundle.metas.values().filter(|meta| meta.template.is_none()).collect();
    metas.sort_by(|a, b| a.place.cmp(&b.place));
    let mut found = unlinked(bundle);
    if let Some(first) = metas.get(MOST) {
        let message = format!("from here on, {} policies are not looked into", metas.len() - MOST);
        found
            .push(first.wrong(message, "never, always and twice applying policies are not found among them").warning());
    }
    metas.truncate(MOST);
    let written = metas.len();
    metas.extend(bundle.slotted.iter().map(|(meta, _)| meta));
    let acts: Vec<&Act> = bundle.vocabulary.acts().collect();
    let mut applied: HashMap<PolicyId, Applied> = HashMap::new();
    let mut closed: BTreeMap<&EntityUid, &PolicyMeta> = BTreeMap::new();
    for act in &acts {
        let here: Vec<&PolicyMeta> = metas.iter().copied().filter(|meta| applies(&meta.policy, act)).collect();
        let residuals = partial::of_action(here.iter().map(|meta| &meta.policy), &act.uid, &bundle.schema);
        for residual in &residuals {
            let applied = applied.entry(residual.policy.id().clone()).or_default();
            applied.levels.insert(Level::of(residual.known));
            applied.here |= residual.known != Known::False && bundle.vocabulary.enforcement(&act.uid).is_here();
        }
        let ceiling = residuals.into_iter().filter(|residual| {
            let meta = bundle.metas.get(residual.policy.id());
            residual.policy.effect() == Effect::Forbid && meta.is_some_and(|meta| meta.layer == Layer::Ceiling)
        });
        let by = always(&ceiling.collect::<Vec<_>>()).and_then(|residual| bundle.metas.get(residual.policy.id()));
        closed.extend(by.map(|meta| (&act.uid, meta)));
    }
    found.extend(metas.iter().filter_map(|meta| {
        let applied = applied.get(meta.policy.id())?;
        extremes(meta, applied, || idle(meta, &acts, &bundle.schema))
    }));
    found.extend(metas.iter().filter(|meta| partial::counts(&meta.policy)).map(|meta| {
        let help = "numbers are 64 bits wide; a policy that fails denies, whatever it is about";
        meta.wrong("arithmetic on facts can leave the range of numbers", help).warning()
    }));
    found.extend(repeated(metas.get(..written).unwrap_or_default(), &acts));
    for (name, template) in bundle.templates() {
        let file = format!("templates/{name}.yaml");
        let text = texts.get(file.as_str()).copied().unwrap_or_default();
        found.extend(taken(bundle, template, Source { file: &file, text }, &closed));
        found.extend(outside(bundle, template, Source { file: &file, text }));
    }
    found
}

/// Capabilities that a forbid of the ceiling keeps from everybody everywhere, with the forbid. Only one that names nobody
/// and no room in its scope can.
pub(super) fn closed(bundle: &Bundle) -> BTreeMap<Capability, PolicyId> {
    use {PrincipalConstraint as Of, ResourceConstraint as In};
    let is_wide = |meta: &&PolicyMeta| {
        meta.layer == Layer::Ceiling
            && is_forbid(meta)
            && matches!(meta.policy.principal_constraint(), Of::Any | Of::Is(_))
            && matches!(meta.policy.resource_constraint(), In::Any | In::Is(_))
    };
    let mut wide: Vec<&PolicyMeta> = bundle.metas.values().filter(is_wide).collect();
    wide.sort_by(|a, b| a.place.cmp(&b.place));
    wide.truncate(MOST);
    let of = |capability: Capability| {
        let act = bundle.vocabulary.capability(capability)?;
        let here = wide.iter().filter(|meta| applies(&meta.policy, act)).map(|meta| &meta.policy);
        let residuals = partial::of_action(here, &act.uid, &bundle.schema);
        always(&residuals).map(|residual| residual.policy.id().clone())
    };
    Capability::NAMED.iter().filter_map(|(capability, _)| Some((*capability, of(*capability)?))).collect()
}

/// The first policy that applies to every kind of question that it was asked about, where these are all kinds.
fn always(residuals: &[Residual]) -> Option<&Residual> {
    residuals.iter().find(|one| {
        residuals.iter().filter(|other| other.policy.id() == one.policy.id()).all(|other| other.known == Known::True)
    })
}

/// Room templates whose rooms the company does not accept.
fn outside(bundle: &Bundle, template: &Template, source: Source<'_>) -> Vec<Diagnostic> {
    let (Ok(room), Ok(anybody)) =
        (RoomUri::parse("mimi://room.invalid/r/any"), UserUri::parse("mimi://room.invalid/u/anybody"))
    else {
        return Vec::new();
    };
    // Whoever creates a room says this of it; what a template says is the rest.
    let [name, description, subject] = ["any"; 3].map(str::to_owned);
    let about = About { name, description, avatar: "https://room.invalid/any".to_owned(), subject };
    let components = template.room_components(&room, &about, &anybody);
    let outside = bundle.directory.envelope().outside(&components, &room.domain());
    let help = "no room of the template can be created: look at `envelope` in `settings.yaml`";
    let say = |way: Outside| source.at(0, format!("outside of the envelope: {way}"), Some(help.to_owned())).warning();
    outside.into_iter().map(say).collect()
}

/// Policies with slots into which nothing is put.
fn unlinked(bundle: &Bundle) -> Vec<Diagnostic> {
    let linked: BTreeSet<&PolicyId> = bundle.metas.values().filter_map(|meta| meta.template.as_ref()).collect();
    let unlinked = bundle.slotted.iter().filter(|(meta, _)| !linked.contains(meta.policy.id()));
    let help = "it decides nothing: say in `rooms/*.yaml` who and what it is for";
    unlinked.map(|(meta, _)| meta.wrong("nothing is linked to the template", help).warning()).collect()
}

/// How far a policy applies to the questions of its scope.
#[derive(Debug, Default)]
struct Applied {
    levels: BTreeSet<Level>,
    /// Whether it applies to anything that can be stopped here.
    here: bool,
}

/// How far a policy applies to one kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Never,
    Sometimes,
    Always,
}

impl Level {
    fn of(known: Known) -> Self {
        match known {
            Known::False => Self::Never,
            Known::Open => Self::Sometimes,
            Known::True => Self::Always,
        }
    }
}

/// Policies that never apply, those that do to nothing that is stopped here, and those whose conditions change nothing.
fn extremes(meta: &PolicyMeta, applied: &Applied, is_idle: impl FnOnce() -> bool) -> Option<Diagnostic> {
    let levels = &applied.levels;
    if *levels == BTreeSet::from([Level::Never]) {
        let help = "its conditions never hold for any of the actions it names";
        return Some(meta.wrong("policy never applies", help).warning());
    }
    if is_forbid(meta) && !meta.advisory && !applied.here {
        let help = "name the actions in its scope, and mark the policy `@advisory`";
        return Some(meta.wrong("policy applies only to what this gateway cannot stop", help).warning());
    }
    let conditional = !partial::clauses(&meta.policy).is_empty();
    (conditional && (*levels == BTreeSet::from([Level::Always]) || is_idle())).then(|| {
        let help = "leave them out, or write what was meant: for every action it names they hold always";
        meta.wrong("conditions of the policy change nothing", help).warning()
    })
}

/// Whether a policy whose scope depends on the facts applies to all that its scope names.
fn idle(meta: &PolicyMeta, acts: &[&Act], schema: &Schema) -> bool {
    use {PrincipalConstraint as Of, ResourceConstraint as In};
    let principal = matches!(meta.policy.principal_constraint(), Of::Any | Of::Is(_));
    let resource = matches!(meta.policy.resource_constraint(), In::Any | In::Is(_));
    if principal && resource {
        return false;
    }
    let Some(scope) = partial::scope_of(&meta.policy) else { return false };
    let here = acts.iter().filter(|act| applies(&meta.policy, act));
    let mut compared = here.map(|act| {
        let left = |policy| {
            let residuals = partial::of_action([policy], &act.uid, schema);
            residuals.iter().map(|residual| partial::conjuncts(&residual.policy)).collect::<Vec<_>>()
        };
        left(&meta.policy) == left(&scope)
    });
    compared.all(|same| same)
}

/// A policy's conditions in an order of their own.
type Clauses = Vec<String>;

/// A policy, and what is compared of it.
struct Compared<'a> {
    meta: &'a PolicyMeta,
    acts: BTreeSet<usize>,
    clauses: Clauses,
}

/// Policies that decide nothing that another does not decide.
fn repeated<'a>(metas: &[&'a PolicyMeta], acts: &[&Act]) -> Vec<Diagnostic> {
    let compared = metas.iter().map(|meta| {
        let covered = acts.iter().enumerate().filter(|(_, act)| applies(&meta.policy, act)).map(|(at, _)| at);
        let mut clauses: Clauses = partial::clauses(&meta.policy)
            .iter()
            .map(|(is_unless, expr)| format!("{} {expr}", if *is_unless { "unless" } else { "when" }))
            .collect();
        clauses.sort();
        clauses.dedup();
        Compared { meta, acts: covered.collect(), clauses }
    });
    let compared: Vec<Compared<'a>> = compared.collect();
    let mut by_clauses: HashMap<(bool, &[String]), Vec<usize>> = HashMap::new();
    for (at, one) in compared.iter().enumerate() {
        by_clauses.entry((is_forbid(one.meta), &one.clauses)).or_default().push(at);
    }
    let mut found = Vec::new();
    for (at, narrow) in compared.iter().enumerate() {
        let wider = parts(&narrow.clauses).into_iter().find_map(|part| {
            let candidates = by_clauses.get(&(is_forbid(narrow.meta), part.as_slice()))?;
            candidates.iter().filter(|other| **other != at).find_map(|other| {
                let wide = compared.get(*other).filter(|wide| covers(wide, narrow))?;
                // Of two that are the same the first one stays.
                if covers(narrow, wide) && at < *other { None } else { Some(wide) }
            })
        });
        found.extend(wider.map(|wide| {
            let (id, place) = (wide.meta.policy.id(), &wide.meta.place);
            let message = if covers(narrow, wide) {
                format!("policy says the same as `{id}`")
            } else {
                format!("policy is shadowed by `{id}`")
            };
            let help = format!("whenever it applies, the one in {}:{} does too", place.file, place.line);
            narrow.meta.wrong(message, &help).warning()
        }));
    }
    found
}

/// Every choice of conditions whose policy applies whenever one with all of them does.
fn parts(clauses: &Clauses) -> Vec<Clauses> {
    if clauses.len() > MOST_CLAUSES {
        return vec![Clauses::new(), clauses.clone()];
    }
    let mut parts = vec![Clauses::new()];
    for clause in clauses {
        let with: Vec<Clauses> = parts.iter().map(|part| part.iter().chain([clause]).cloned().collect()).collect();
        parts.extend(with);
    }
    parts
}

fn is_forbid(meta: &PolicyMeta) -> bool {
    meta.policy.effect() == Effect::Forbid
}

/// Whether `wide` applies whenever `narrow` does, and tells the same.
fn covers(wide: &Compared<'_>, narrow: &Compared<'_>) -> bool {
    let (by, of): (&Policy, &Policy) = (&wide.meta.policy, &narrow.meta.policy);
    wide.meta.advisory == narrow.meta.advisory
        && wide.meta.reason == narrow.meta.reason
        && wide.meta.public_message == narrow.meta.public_message
        && wide.clauses.iter().all(|clause| narrow.clauses.contains(clause))
        && resource_covers(&by.resource_constraint(), &of.resource_constraint())
        && principal_covers(&by.principal_constraint(), &of.principal_constraint())
        && narrow.acts.is_subset(&wide.acts)
}

/// Cedar has the same kinds of constraint for principals and resources, as two types.
macro_rules! constraint_covers {
    ($name:ident, $constraint:ident) => {
        fn $name(wide: &$constraint, narrow: &$constraint) -> bool {
            use $constraint::{Any, Eq, In, Is, IsIn};
            match (wide, narrow) {
                (Any, _) => true,
                (Is(of), Is(kind) | IsIn(kind, _)) => of == kind,
                (Is(of), Eq(one)) => of == one.type_name(),
                (In(group), Eq(one) | In(one) | IsIn(_, one)) | (Eq(group), Eq(one)) => group == one,
                (IsIn(of, group), IsIn(kind, one)) => of == kind && group == one,
                (In(_) | Is(_) | IsIn(..) | Eq(_), _) => false,
            }
        }
    };
}

constraint_covers!(principal_covers, PrincipalConstraint);
constraint_covers!(resource_covers, ResourceConstraint);

/// Capabilities that roles of a template grant and that the ceiling forbids to everybody.
fn taken(
    bundle: &Bundle,
    template: &Template,
    source: Source<'_>,
    closed: &BTreeMap<&EntityUid, &PolicyMeta>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for role in &template.roles().roles {
        for capability in &role.capabilities {
            let act = bundle.vocabulary.capability(*capability);
            let Some(by) = act.and_then(|act| closed.get(&act.uid)) else { continue };
            let id = by.policy.id();
            let message = format!("role `{}` grants `{capability}`, which `{id}` forbids to everybody", role.name);
            let help = Some(format!("leave it out of the role, or look at {}:{}", by.place.file, by.place.line));
            let (from, length) = granted(source.text, &role.name, &capability.to_string());
            found.push(source.span(from, length, message, help).warning());
        }
    }
    found
}

/// Where a template grants a capability to a role: there, or, where the role has it from another one, at the role's name;
/// from where on, and how long that is, in bytes.
fn granted(text: &str, role: &str, capability: &str) -> (usize, usize) {
    let (mut at, mut named) = (0, None);
    for line in text.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or(line);
        let entry = code.trim().trim_start_matches("- ").trim_start();
        let value = |key| entry.strip_prefix(key).map(|value: &str| value.trim().trim_matches(['"', '\'']));
        if let Some(name) = value("name:") {
            if named.is_some() {
                break;
            }
            named = (name == role).then(|| (at + line.find(role).unwrap_or(0), role.len()));
        }
        if let Some(column) = word(code, capability).filter(|_| named.is_some()) {
            return (at + column, capability.len());
        }
        at += line.len();
    }
    named.unwrap_or((0, 0))
}

/// Where a word stands in a line, as a whole one.
fn word(line: &str, word: &str) -> Option<usize> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let (before, after) = (line.get(..*at), line.get(at + word.len()..));
        !before.is_some_and(|text| text.ends_with(is_of_word))
            && !after.is_some_and(|text| text.starts_with(is_of_word))
    })
}
