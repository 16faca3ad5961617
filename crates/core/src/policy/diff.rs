//! What changes from one bundle to another: what is written, and which cases of either are decided otherwise. It compares
//! what is there and proves nothing about questions that no case asks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::room::Template;
use crate::wire::components::Capability;
use crate::yaml;

use super::bundle::Bundle;
use super::cases;
use super::engine::Engine;
use super::policies::PolicyMeta;
use super::verdict::Verdict;

/// What has become of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is otherwise: each sentence says how.
    Otherwise(Vec<String>),
}

/// Something that is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The policy's id, the path in the settings, or the name of the template or schema file.
    pub name: String,
    /// What has become of it.
    pub changed: Changed,
}

/// A case that is decided otherwise: a witness of the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionChange {
    /// File of the bundle that has the case.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Its sentence.
    pub it: String,
    /// What the old bundle decides.
    pub old: Verdict,
    /// What the new one does.
    pub new: Verdict,
}

/// The difference of two bundles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleDiff {
    /// Schema files.
    pub schema: Vec<Change>,
    /// Policies.
    pub policies: Vec<Change>,
    /// Values of `settings.yaml`.
    pub settings: Vec<Change>,
    /// Room templates.
    pub templates: Vec<Change>,
    /// Cases that are decided otherwise.
    pub decisions: Vec<DecisionChange>,
    /// How many cases were put to both.
    pub compared: usize,
}

/// A bundle with the files that it was loaded from.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// Its files.
    pub files: &'a BTreeMap<String, Vec<u8>>,
}

impl BundleDiff {
    /// Compares two bundles. Where a case stands in both, the new one's is asked.
    pub fn of(old: Written<'_>, new: Written<'_>) -> Self {
        let (decisions, compared) = decisions(old.bundle, new.bundle);
        Self {
            schema: changes(&schema(old), &schema(new), |_, _| vec!["its text".to_owned()]),
            policies: changes(&policies(old), &policies(new), policy_changes),
            settings: changes(&settings(old), &settings(new), |old, new| vec![format!("{old} -> {new}")]),
            templates: changes(&templates(old), &templates(new), template_changes),
            decisions,
            compared,
        }
    }

    /// Whether nothing is written otherwise and no case is decided otherwise.
    pub fn is_empty(&self) -> bool {
        let Self { schema, policies, settings, templates, decisions, compared: _ } = self;
        schema.is_empty() && policies.is_empty() && settings.is_empty() && templates.is_empty() && decisions.is_empty()
    }
}

/// What is only in one of the two, or otherwise in the second.
fn changes<T: PartialEq>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    how: impl Fn(&T, &T) -> Vec<String>,
) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let changed = match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => Changed::Otherwise(how(old, new)),
            (None, Some(_)) => Changed::Added,
            (Some(_), None) => Changed::Removed,
            (None, None) => return None,
        };
        Some(Change { name: name.clone(), changed })
    });
    changed.collect()
}

fn schema(of: Written<'_>) -> BTreeMap<String, &[u8]> {
    let files = of.files.iter().filter(|(file, _)| file.ends_with(".cedarschema"));
    files.map(|(file, text)| (file.clone(), text.as_slice())).collect()
}

/// What is compared of a policy: its form does not count.
#[derive(PartialEq)]
struct Compared {
    folder: String,
    /// Cedar's JSON by its keys; the annotations by theirs.
    parts: BTreeMap<String, Value>,
}

fn policies(of: Written<'_>) -> BTreeMap<String, Compared> {
    let policies = of.bundle.metas.iter().map(|(id, meta)| match &meta.template {
        // What it says is compared once for all links of its template, and its id tells the rest.
        Some(_) => (id.to_string(), Compared { folder: folder(meta), parts: BTreeMap::new() }),
        None => (id.to_string(), compared(meta, meta.policy.to_json().ok())),
    });
    let slotted = of.bundle.slotted.iter();
    let slotted =
        slotted.map(|(meta, template)| (meta.policy.id().to_string(), compared(meta, template.to_json().ok())));
    let owing = of.bundle.owing.metas.iter();
    let owing = owing.map(|meta| (meta.policy.id().to_string(), compared(meta, meta.policy.to_json().ok())));
    policies.chain(slotted).chain(owing).collect()
}

fn folder(of: &PolicyMeta) -> String {
    of.place.file.split('/').next().unwrap_or_default().to_owned()
}

fn compared(meta: &PolicyMeta, json: Option<Value>) -> Compared {
    let folder = folder(meta);
    let mut parts = BTreeMap::new();
    let json = json.unwrap_or_else(|| Value::String(meta.policy.id().to_string()));
    for (key, value) in json.as_object().into_iter().flatten() {
        if key == "annotations" {
            let annotations = value.as_object().into_iter().flatten();
            parts.extend(annotations.map(|(name, value)| (format!("`@{name}`"), value.clone())));
        } else {
            parts.insert(format!("its {key}"), value.clone());
        }
    }
    Compared { folder, parts }
}

fn policy_changes(old: &Compared, new: &Compared) -> Vec<String> {
    let moved = (old.folder != new.folder).then(|| format!("moved from {}/ to {}/", old.folder, new.folder));
    let parts = changes(&old.parts, &new.parts, |_, _| Vec::new());
    let parts = parts.into_iter().map(|change| match change.changed {
        Changed::Added => format!("{} is new", change.name),
        Changed::Removed => format!("{} is gone", change.name),
        Changed::Otherwise(_) => format!("{} changed", change.name),
    });
    moved.into_iter().chain(parts).collect()
}

/// The values of the settings by their paths; entries of lists stand under their domain or URI.
fn settings(of: Written<'_>) -> BTreeMap<String, Value> {
    let text = of.files.get("settings.yaml").map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
    let mut values = BTreeMap::new();
    if let Ok(written) = yaml::parse::<Value>(&text) {
        flatten(String::new(), &written, &mut values);
    }
    values
}

fn flatten(path: String, value: &Value, into: &mut BTreeMap<String, Value>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let named = |entry: &Value| {
        let entry: &Map<String, Value> = entry.as_object()?;
        let name = entry.get("domain").or_else(|| entry.get("uri"))?;
        name.as_str().map(str::to_owned)
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(below(name), value, into)),
        Value::Array(entries) if !entries.is_empty() && entries.iter().all(|entry| named(entry).is_some()) => {
            for entry in entries {
                flatten(format!("{path}[{}]", named(entry).unwrap_or_default()), entry, into);
            }
        }
        // An empty list of entries is none of them.
        Value::Array(entries) if entries.is_empty() => {}
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            into.insert(path, value.clone());
        }
    }
}

fn templates(of: Written<'_>) -> BTreeMap<String, Template> {
    of.bundle.templates().clone()
}

fn template_changes(old: &Template, new: &Template) -> Vec<String> {
    let roles = |of: &Template| {
        let roles = of.roles().roles.iter().map(|role| (role.name.clone(), role.clone()));
        roles.collect::<BTreeMap<_, _>>()
    };
    let mut said = Vec::new();
    for change in changes(&roles(old), &roles(new), |old, new| {
        let of = |from: &[Capability], but: &[Capability], sign: &str| {
            let only = from.iter().filter(|capability| !but.contains(capability));
            only.map(|capability| format!("{sign}{capability}")).collect::<Vec<_>>()
        };
        let mut how = of(&new.capabilities, &old.capabilities, "+");
        how.extend(of(&old.capabilities, &new.capabilities, "-"));
        if how.is_empty() {
            how.push("its limits or changes of role".to_owned());
        }
        how
    }) {
        said.push(match change.changed {
            Changed::Added => format!("role `{}` is new", change.name),
            Changed::Removed => format!("role `{}` is gone", change.name),
            Changed::Otherwise(how) => format!("role `{}`: {}", change.name, how.join(", ")),
        });
    }
    if said.is_empty() {
        said.push("what stands beside its roles".to_owned());
    }
    said
}

/// The cases of both that are decided otherwise, and how many there are in all.
fn decisions(old: &Bundle, new: &Bundle) -> (Vec<DecisionChange>, usize) {
    let (by_old, by_new) = (Engine::new(old), Engine::new(new));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (file, suite) in new.suites.iter().chain(old.suites.iter()) {
        let (one, other) = (suite.engine(&by_old), suite.engine(&by_new));
        for (it, line, old, new) in cases::decide_by_both(suite, &one, &other) {
            if !seen.insert((file.clone(), it.clone())) {
                continue;
            }
            let told = |of: &Verdict| (of.allow, of.determining.clone(), of.reason.clone(), of.obligations.clone());
            if told(&old) != told(&new) {
                found.push(DecisionChange { file: file.clone(), line, it, old, new });
            }
        }
    }
    (found, seen.len())
}
