//! A bundle: schema, policies, settings, room templates and their tests, named by what they contain. A bundle that
//! exists is good: all of it was checked when it was loaded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_lc_rs::digest;
use cedar_policy::ffi::DetailedError;
use cedar_policy::{PolicyId, Schema, SchemaFragment};
use serde_json::Value;

use crate::room::{Template, TemplateError};

use super::cases::{self, Reading, Suite};
use super::diagnostic::{Diagnostic, Source};
use super::index::Index;
use super::links::{self, Linking};
use super::obligations::{self, Duties};
use super::outlook::Outlook;
use super::policies::{self, Found, Layer, Origin, PolicyMeta};
use super::settings::{Directory, Settings};
use super::vocabulary::Vocabulary;
use super::{depth, entities, invariants, lints, looks, promises};

/// Largest file of a bundle, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most files in a bundle.
pub const MAX_FILES: usize = 10_000;
/// Most bytes in all files of a bundle together.
pub const MAX_BUNDLE_BYTES: u64 = 64 << 20;

/// File beside those of a bundle that holds signatures of its digest, and so is not in it.
pub const SIGNATURE_FILE: &str = "signature";

/// A proved bundle.
///
/// Files, by their path: `schema/*.cedarschema`; `platform/`, `ceiling/`, `rooms/` and `obligations/*.cedar`; `templates/*.cedar` with slots,
/// and `rooms/*.yaml` with what is put into them; `invariants/*.cedar`; `templates/*.yaml`; `tests/*.yaml`; `settings.yaml`.
/// Markdown is allowed anywhere. `examples/` and `signature` are not read.
#[derive(Clone, Debug)]
pub struct Bundle {
    digest: [u8; 32],
    pub(super) index: Arc<Index>,
    pub(super) metas: Arc<HashMap<PolicyId, PolicyMeta>>,
    /// What policies with slots say of everybody and everything: their links are among `metas`.
    pub(super) slotted: Arc<Vec<(PolicyMeta, cedar_policy::Template)>>,
    /// What is owed where something is allowed, by policies that stand apart.
    pub(super) owing: Arc<Owing>,
    /// What it promises.
    pub(super) invariants: Arc<Vec<PolicyMeta>>,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) schema: Arc<Schema>,
    pub(super) directory: Arc<Directory>,
    templates: Arc<BTreeMap<String, Template>>,
    pub(super) suites: Arc<Vec<(String, Suite)>>,
    pub(super) outlook: Arc<Outlook>,
}

impl Bundle {
    /// Proves the files of a bundle, given by their path in it, with `/` between folders.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each thing once, in the order of files and lines.
    pub fn load(mut files: BTreeMap<String, Vec<u8>>) -> Result<Self, Vec<Diagnostic>> {
        let mut wrong: Vec<Diagnostic> = files.keys().filter_map(|file| misplaced(file)).collect();
        files.retain(|file, _| !is_example(file) && file != SIGNATURE_FILE);
        let digest = content_digest(&files);
        let loaded = Texts::of(&files, &mut wrong).load(digest, &mut wrong);
        wrong.sort();
        wrong.dedup();
        match loaded {
            Some(bundle) if wrong.is_empty() => Ok(bundle),
            _ => Err(wrong),
        }
    }

    /// Proves the files of a bundle as [`Bundle::load`] does, and looks for what their author perhaps did not mean.
    ///
    /// # Errors
    ///
    /// Everything that is wrong. Warnings come of a bundle only that is good.
    pub fn check(files: BTreeMap<String, Vec<u8>>) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let bundle = Self::load(files.clone())?;
        let texts = files.iter().filter_map(|(file, text)| Some((file.as_str(), std::str::from_utf8(text).ok()?)));
        let mut warnings = lints::of(&bundle, &texts.collect());
        warnings.sort();
        warnings.dedup();
        Ok((bundle, warnings))
    }

    /// Reads a file of questions for this bundle; they need not say what is to come out.
    ///
    /// # Errors
    ///
    /// Everything in it that is wrong, under the name `file`.
    pub fn questions(&self, file: &str, text: &str) -> Result<Suite, Vec<Diagnostic>> {
        let policies = self.policy_ids().collect();
        let reading = Reading { policies: &policies, templates: &self.templates, expecting: false };
        Suite::parse(Source { file, text }, reading)
    }

    /// A file of the bundle's tests, such as `tests/company.yaml`.
    pub fn suite(&self, file: &str) -> Option<&Suite> {
        self.suites.iter().find(|(name, _)| name == file).map(|(_, suite)| suite)
    }

    /// The files of the bundle's tests.
    pub fn suites(&self) -> impl Iterator<Item = (&str, &Suite)> {
        self.suites.iter().map(|(file, suite)| (file.as_str(), suite))
    }

    /// What names this content: SHA-256 over, for each file in the order of their paths, the path, a zero byte and the
    /// SHA-256 of the file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The room template in `templates/{name}.yaml`.
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.get(name)
    }

    /// The room templates by name.
    pub fn templates(&self) -> &BTreeMap<String, Template> {
        &self.templates
    }

    /// The ids of all policies that can decide.
    pub fn policy_ids(&self) -> impl Iterator<Item = String> {
        self.metas.keys().map(ToString::to_string)
    }
}

/// The obligations of a bundle.
#[derive(Clone, Debug, Default)]
pub(super) struct Owing {
    pub(super) index: Index,
    pub(super) metas: Vec<PolicyMeta>,
    pub(super) duties: Duties,
}

impl Owing {
    fn of(all: &[Found<'_>], directory: Option<&Directory>, wrong: &mut Vec<Diagnostic>) -> Self {
        let duties = directory.map(|directory| Duties::of(all, directory.obligations())).unwrap_or_default();
        Self { index: index(all, wrong), metas: all.iter().map(Found::meta).collect(), duties }
    }
}

/// Whether a file stands beside a bundle to be copied from, and is not in it.
pub fn is_example(file: &str) -> bool {
    file.starts_with("examples/")
}

fn misplaced(file: &str) -> Option<Diagnostic> {
    let help = "expected names with one `/` between them, as in `ceiling/company.cedar`".to_owned();
    let place = Source { file, text: "" };
    looks::leads_out(file).then(|| place.at(0, "path of the file may lead out of the bundle", Some(help)))
}

/// What names files as the content of a bundle, good or not: as [`Bundle::digest`].
pub fn content_digest(files: &BTreeMap<String, Vec<u8>>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for (path, content) in files {
        context.update(path.as_bytes());
        context.update(&[0]);
        context.update(digest::digest(&digest::SHA256, content).as_ref());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The files by what they are for.
#[derive(Default)]
struct Texts<'a> {
    schema: Vec<Source<'a>>,
    policies: Vec<(Layer, Source<'a>)>,
    slotted: Vec<Source<'a>>,
    links: Vec<Source<'a>>,
    invariants: Vec<Source<'a>>,
    templates: Vec<Source<'a>>,
    tests: Vec<Source<'a>>,
    settings: Option<Source<'a>>,
}

impl<'a> Texts<'a> {
    fn of(files: &'a BTreeMap<String, Vec<u8>>, wrong: &mut Vec<Diagnostic>) -> Self {
        let mut texts = Self::default();
        let mut whole = 0;
        for (number, (file, content)) in files.iter().enumerate() {
            let start = Source { file, text: "" };
            whole += content.len() as u64;
            if number >= MAX_FILES || whole > MAX_BUNDLE_BYTES {
                let help = format!("expected at most {MAX_FILES} files of {MAX_BUNDLE_BYTES} bytes together");
                wrong.push(start.at(0, "bundle is too large from here on", Some(help)));
                break;
            }
            if content.len() as u64 > MAX_FILE_BYTES {
                let help = format!("expected at most {MAX_FILE_BYTES} bytes; split the file");
                wrong.push(start.at(0, "file is too large", Some(help)));
                continue;
            }
            if let Some(flaw) = looks::flaw(file) {
                let help = "rename the file".to_owned();
                wrong.push(start.at(0, format!("name of the file {flaw}"), Some(help)));
            }
            let Ok(text) = std::str::from_utf8(content) else {
                wrong.push(start.at(0, "file is not UTF-8", None));
                continue;
            };
            let source = Source { file, text };
            let folder = file.split_once('/').map(|(folder, _)| folder);
            let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
            if let Some((offset, message)) = depth::of_file(extension, text) {
                wrong.push(source.at(offset, message, Some(depth::expected())));
                continue;
            }
            match (folder, extension, Layer::of(file)) {
                (_, "md", _) => {}
                (None, _, _) if file == "settings.yaml" => texts.settings = Some(source),
                (Some("schema"), "cedarschema", _) => texts.schema.push(source),
                (Some(_), "cedar", Some(layer)) => texts.policies.push((layer, source)),
                (Some("tests"), "yaml", _) => texts.tests.push(source),
                (Some("templates"), "yaml", _) => texts.templates.push(source),
                (Some("templates"), "cedar", _) => texts.slotted.push(source),
                (Some("rooms"), "yaml", _) => texts.links.push(source),
                (Some("invariants"), "cedar", _) => texts.invariants.push(source),
                _ => {
                    let help = "expected `schema/*.cedarschema`, `platform/`, `ceiling/`, `rooms/`, \
                                `obligations/`, `invariants/` or `templates/*.cedar`, `rooms/`, `templates/` or `tests/*.yaml`, or `settings.yaml`";
                    wrong.push(start.at(0, "file has no place in a bundle", Some(help.to_owned())));
                }
            }
        }
        texts
    }

    fn load(self, digest: [u8; 32], wrong: &mut Vec<Diagnostic>) -> Option<Bundle> {
        let directory = self.directory(wrong);
        let mut found = Vec::new();
        for (layer, source) in &self.policies {
            found.extend(policies::parse(*source, *layer, wrong));
        }
        for source in &self.slotted {
            found.extend(links::parse(*source, wrong));
        }
        let mut found = policies::unique(found, wrong);
        policies::check(&found, wrong);
        let (schema, written) = self.schema(wrong).unzip();
        let vocabulary =
            schema.as_ref().and_then(|schema| self.vocabulary(schema, &written.unwrap_or_default(), wrong));
        let promised: Vec<Found<'_>> =
            self.invariants.iter().flat_map(|source| invariants::parse(*source, wrong)).collect();
        let promised = policies::unique(promised, wrong);
        let names = directory.as_ref().map(Directory::names);
        if let Some(vocabulary) = &vocabulary {
            policies::check_names(&found, vocabulary, names.as_ref(), wrong);
            policies::check_literals(&promised, vocabulary, names.as_ref(), wrong);
        }
        if let (Some(schema), Some(vocabulary)) = (&schema, &vocabulary) {
            let invalid = policies::validate(&found, schema, wrong);
            policies::validate(&promised, schema, wrong);
            promises::check_kept(&found, &invalid, vocabulary, schema, wrong);
            let with = Linking { schema, vocabulary, names: names.as_ref(), invalid: &invalid };
            let linked = links::link(&self.links, &found, with, wrong);
            found.extend(linked);
            found = policies::unique(found, wrong);
        }
        let (owing, found): (Vec<Found<'_>>, Vec<Found<'_>>) =
            found.into_iter().partition(|found| found.layer == Layer::Obligations);
        obligations::check(&owing, vocabulary.as_ref(), directory.as_ref().map(Directory::obligations), wrong);
        let owing = Owing::of(&owing, directory.as_ref(), wrong);
        if let (Some(schema), Some(vocabulary), Some(directory)) = (&schema, &vocabulary, &directory) {
            self.conform(schema, vocabulary, directory, wrong);
        }
        let templates = self.templates(wrong);
        let suites = self.suites(&found, &templates, wrong);
        let index = index(&found, wrong);
        let (mut metas, mut slotted) = (HashMap::with_capacity(found.len()), Vec::new());
        for found in &found {
            match &found.origin {
                Origin::Open(of) => slotted.push((found.meta(), of.template.clone())),
                Origin::Written | Origin::Linked(_) => {
                    metas.insert(found.policy.id().clone(), found.meta());
                }
            }
        }
        Some(Bundle {
            digest,
            index: Arc::new(index),
            metas: Arc::new(metas),
            slotted: Arc::new(slotted),
            owing: Arc::new(owing),
            invariants: Arc::new(promised.iter().map(Found::meta).collect()),
            vocabulary: Arc::new(vocabulary?),
            schema: Arc::new(schema?),
            directory: Arc::new(directory?),
            templates: Arc::new(templates),
            suites: Arc::new(suites),
            outlook: Arc::default(),
        })
    }

    fn directory(&self, wrong: &mut Vec<Diagnostic>) -> Option<Directory> {
        let Some(source) = self.settings else {
            let help = "an empty one sets nothing: `{}`".to_owned();
            wrong.push(Source { file: "settings.yaml", text: "" }.at(0, "file is missing", Some(help)));
            return None;
        };
        match Settings::parse(source) {
            Ok(settings) => Some(Directory::new(settings)),
            Err(found) => {
                wrong.extend(found);
                None
            }
        }
    }

    /// The schema, and that part of it as JSON which declares users.
    fn schema(&self, wrong: &mut Vec<Diagnostic>) -> Option<(Schema, Value)> {
        if self.schema.is_empty() {
            let help = "copy `schema/mimi.cedarschema` of the shipped bundle".to_owned();
            let place = Source { file: "schema/mimi.cedarschema", text: "" };
            wrong.push(place.at(0, "the bundle has no schema", Some(help)));
            return None;
        }
        let mut fragments = Vec::new();
        for source in &self.schema {
            match SchemaFragment::from_cedarschema_str(source.text) {
                Ok((fragment, _)) => fragments.push(fragment),
                Err(error) => wrong.extend(schema_errors(*source, DetailedError::from(&error))),
            }
        }
        if fragments.len() != self.schema.len() {
            return None;
        }
        let mut all = fragments.iter().filter_map(|fragment| fragment.clone().to_json_value().ok());
        let written = all.find(Vocabulary::has_users).unwrap_or_default();
        match Schema::from_schema_fragments(fragments) {
            Ok(schema) => Some((schema, written)),
            Err(error) => {
                wrong.extend(schema_errors(self.schema_place(), DetailedError::from(&error)));
                None
            }
        }
    }

    fn schema_place(&self) -> Source<'a> {
        self.schema.first().copied().unwrap_or(Source { file: "schema", text: "" })
    }

    fn vocabulary(&self, schema: &Schema, written: &Value, wrong: &mut Vec<Diagnostic>) -> Option<Vocabulary> {
        match Vocabulary::of(schema, written) {
            Ok(vocabulary) => Some(vocabulary),
            Err(missing) => {
                let help = "the gateway itself asks with this name: keep the shipped schema and add to it";
                let place = self.schema_place();
                wrong.extend(missing.into_iter().map(|message| place.at(0, message, Some(help.to_owned()))));
                None
            }
        }
    }

    fn conform(&self, schema: &Schema, names: &Vocabulary, directory: &Directory, wrong: &mut Vec<Diagnostic>) {
        if let Err(error) = entities::conform(names, directory, schema) {
            let help = "keep the shipped types and attributes; what is added must be optional".to_owned();
            wrong.push(self.schema_place().at(0, error.explain(), Some(help)));
        }
    }

    fn templates(&self, wrong: &mut Vec<Diagnostic>) -> BTreeMap<String, Template> {
        let mut templates = BTreeMap::new();
        for source in &self.templates {
            let name = template_name(source.file);
            match Template::parse(source.text) {
                Ok(template) => {
                    let roles = template.roles().roles.iter();
                    wrong.extend(roles.filter_map(|role| {
                        let message = format!("name of the role {}", looks::flaw(&role.name)?);
                        Some(source.near(
                            0,
                            &role.name,
                            message,
                            Some("expected names that people can tell apart".to_owned()),
                        ))
                    }));
                    templates.insert(name.to_owned(), template);
                }
                Err(error) => wrong.push(template_error(*source, &error)),
            }
        }
        templates
    }

    fn suites(
        &self,
        found: &[Found<'_>],
        templates: &BTreeMap<String, Template>,
        wrong: &mut Vec<Diagnostic>,
    ) -> Vec<(String, Suite)> {
        let decides = found.iter().filter(|found| !matches!(found.origin, Origin::Open(_)));
        let ids = decides.map(|found| found.policy.id().to_string()).collect();
        let mut suites = Vec::new();
        let names = self.templates.iter().map(|source| template_name(source.file));
        let broken: Vec<String> = names.filter(|name| !templates.contains_key(*name)).map(cases::no_template).collect();
        let reading = Reading { policies: &ids, templates, expecting: true };
        for source in &self.tests {
            match Suite::parse(*source, reading) {
                Ok(suite) => suites.push((source.file.to_owned(), suite)),
                // That a template is not good is said where it stands.
                Err(found) => wrong.extend(found.into_iter().filter(|found| !broken.contains(&found.message))),
            }
        }
        suites
    }
}

fn template_name(file: &str) -> &str {
    // Once each: two files never give one name.
    let name = file.strip_prefix("templates/").unwrap_or(file);
    name.strip_suffix(".yaml").unwrap_or(name)
}

fn index(found: &[Found<'_>], wrong: &mut Vec<Diagnostic>) -> Index {
    let mut index = Index::default();
    for found in found.iter().filter(|found| !matches!(found.origin, Origin::Open(_))) {
        if let Err(error) = index.insert(&found.policy) {
            wrong.push(found.wrong(error.to_string(), "expected ids used once"));
        }
    }
    index
}

fn template_error(source: Source<'_>, error: &TemplateError) -> Diagnostic {
    match error {
        TemplateError::Yaml(error) => source.yaml(error.clone()),
        TemplateError::UnknownRole(name)
        | TemplateError::UnknownCapability(name)
        | TemplateError::AmbiguousRole(name) => source.near(0, name, error.to_string(), None),
        TemplateError::Roles(violation) => source.at(0, error.to_string(), Some(violation.to_string())),
    }
}

/// Cedar reports several mistakes of a schema as one error with related ones.
fn schema_errors(source: Source<'_>, mut error: DetailedError) -> Vec<Diagnostic> {
    let related = std::mem::take(&mut error.related);
    let mut found = vec![source.cedar(error, 0)];
    found.extend(related.into_iter().flat_map(|error| schema_errors(source, error)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(files: &[(&str, &str)]) -> [u8; 32] {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        content_digest(&files.collect())
    }

    #[test]
    fn a_file_whose_path_may_lead_out_is_refused_wherever_it_stands() {
        for path in [
            "../x.md",
            "/etc/x.md",
            "a/../x.md",
            "./x.md",
            "a//x.md",
            "a/",
            "a\\x.md",
            "a\0.md",
            "",
            "examples/../../x",
            "examples//x",
            "..",
        ] {
            let wrong = Bundle::load([(path.to_owned(), Vec::new())].into()).unwrap_err();
            assert!(wrong.iter().any(|found| found.message.contains("lead out")), "{path}: {wrong:?}");
        }
        let wrong = Bundle::load([("a/..b/.c.md".to_owned(), Vec::new())].into()).unwrap_err();
        assert!(!wrong.iter().any(|found| found.message.contains("lead out")), "{wrong:?}");
    }

    #[test]
    fn no_two_files_give_one_template() {
        let names = ["templates/a.yaml", "templates/a.yaml.yaml", "templates/templates/a.yaml"].map(template_name);
        assert_eq!(names, ["a", "a.yaml", "templates/a"]);
    }

    #[test]
    fn the_digest_names_content_and_paths_and_where_one_file_ends() {
        let one = digest_of(&[("a.md", "x"), ("b.md", "y")]);
        assert_eq!(one, digest_of(&[("b.md", "y"), ("a.md", "x")]));
        assert_ne!(one, digest_of(&[("a.md", "y"), ("b.md", "x")]));
        assert_ne!(one, digest_of(&[("a.md", "x"), ("c.md", "y")]));
        assert_ne!(one, digest_of(&[("a.md", "xy"), ("b.md", "")]));
        assert_ne!(one, digest_of(&[("a.md", "x")]));
    }
}
