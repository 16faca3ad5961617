//! The engine: evaluates a bundle, and denies whatever is unknown, incomplete or fails.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use cedar_policy::{Authorizer, EntityUid, PolicyId};
use serde_json::{Map, Value};

use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::attributes::{Attribute, Attributes};
use super::bundle::{Bundle, Owing};
use super::entities::{self, Asked, FactsError};
use super::facts::{AdminQuestion, AnyQuestion, DoorQuestion, Question, RoomFacts, Side};
use super::index::{Findings, Index};
use super::obligations::{Obligations, RateClass};
use super::people::People;
use super::policies::PolicyMeta;
use super::reads::Reads;
use super::settings::{DeniedCommit, Directory, SearchSettings, Settings};
use super::slices::{Key, Settled, Slices};
use super::verdict::{POLICY_ERROR, Verdict};
use super::vocabulary::{Act, Vocabulary};

/// Decides by one bundle. It is immutable: a new bundle is a new engine.
#[derive(Clone, Debug)]
pub struct Engine {
    authorizer: Authorizer,
    index: Arc<Index>,
    metas: Arc<HashMap<PolicyId, PolicyMeta>>,
    owing: Arc<Owing>,
    vocabulary: Arc<Vocabulary>,
    directory: Arc<Directory>,
    /// Of these settings alone.
    slices: Arc<Slices>,
    digest: [u8; 32],
}

impl Engine {
    /// An engine for a proved bundle.
    pub fn new(bundle: &Bundle) -> Self {
        Self {
            authorizer: Authorizer::new(),
            index: Arc::clone(&bundle.index),
            metas: Arc::clone(&bundle.metas),
            owing: Arc::clone(&bundle.owing),
            vocabulary: Arc::clone(&bundle.vocabulary),
            directory: Arc::clone(&bundle.directory),
            slices: Arc::default(),
            digest: bundle.digest(),
        }
    }

    /// The same policies over other settings, for tests of a bundle.
    pub(super) fn with_settings(&self, settings: Settings) -> Self {
        let directory = Directory::new(settings).with_people(People::clone(self.directory.people()));
        Self { directory: Arc::new(directory), slices: Arc::default(), ..self.clone() }
    }

    /// The same bundle, with these providers suspended beside those that its settings suspend.
    #[must_use]
    pub fn with_suspended(&self, providers: BTreeSet<Domain>) -> Self {
        let directory = Arc::new(self.directory.with_suspended(providers));
        Self { directory, slices: Arc::new(Slices::keeping(self.slices.room())), ..self.clone() }
    }

    /// The same bundle, with room for what was found out about so many questions instead of the usual thousand: for whoever
    /// asks about more people than speak at once. One takes some ten kilobytes.
    #[must_use]
    pub fn remembering(&self, questions: NonZeroUsize) -> Self {
        Self { slices: Arc::new(Slices::keeping(questions)), ..self.clone() }
    }

    /// The same bundle, where the company's identity provider says this of its users.
    #[must_use]
    pub fn with_people(&self, people: People) -> Self {
        // What was found out before holds for those of whom nothing else is said.
        Self { directory: Arc::new(self.directory.with_people(people)), ..self.clone() }
    }

    /// What the company's identity provider says of its users.
    pub fn people(&self) -> &People {
        self.directory.people()
    }

    /// What holds for a user, with where each of it comes from.
    pub fn attributes(&self, user: &UserUri) -> Vec<Attribute> {
        let all = Attributes::of(&self.directory, user).listed();
        all.into_iter().filter(|attribute| self.vocabulary.has(attribute.name)).collect()
    }

    /// Has what is recorded of a question name what is said of those whom it concerns, under `people`.
    pub fn name_people<'a>(&self, entry: &mut Map<String, Value>, concerned: impl IntoIterator<Item = &'a UserUri>) {
        if self.directory.people().is_empty() {
            return;
        }
        let known =
            concerned.into_iter().filter_map(|user| Some((user.to_string(), self.directory.person(user)?.id())));
        let named: Map<String, Value> = known.map(|(user, id)| (user, id.into())).collect();
        if !named.is_empty() {
            entry.insert("people".to_owned(), named.into());
        }
    }

    /// The providers that are suspended beside those that the settings suspend.
    pub fn suspended(&self) -> &BTreeSet<Domain> {
        self.directory.suspended()
    }

    /// Whether the bundle's own settings suspend the provider.
    pub fn settings_suspend(&self, provider: &Domain) -> bool {
        self.directory.provider(provider).is_some_and(|settings| settings.suspended)
    }

    /// The digest of the bundle that decides.
    pub fn bundle_digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What users may be found by.
    pub fn search(&self) -> &SearchSettings {
        self.directory.search()
    }

    /// What is done about a commit of another hub that these policies deny.
    pub fn denied_commit(&self, room: &RoomUri) -> DeniedCommit {
        self.directory.denied_commit(room)
    }

    /// Decides a question about a room.
    ///
    /// Denied is what no policy permits, what any policy forbids, what is asked by a capability that has no name, what
    /// refers to something unknown, and whatever meets a policy that fails: Cedar itself would skip a failing forbid.
    pub fn decide(&self, question: &Question<'_>) -> Verdict {
        let Some(act) = self.vocabulary.capability(question.capability) else {
            return Verdict::deny("UNKNOWN_CAPABILITY");
        };
        let verdict = match self.find(act, question) {
            Ok((findings, owed)) => self.oblige(self.conclude(findings, || default_reason(question)), owed),
            Err(error) => Verdict::incomplete(&error),
        };
        Verdict { notes: notes(question.room), ..verdict }
    }

    /// What the policies say of a question, and what the obligations do: those that read nothing of it but its key were
    /// perhaps asked before.
    fn find(&self, act: &Act, question: &Question<'_>) -> Result<(Findings, Findings), FactsError> {
        let settled = self.slices.get_or(Key::of(question, &self.directory), |key| {
            let described = entities::describe(&self.vocabulary, &self.directory, act, question, key)?;
            let asked = described.ask(act, &self.slices, question, &Reads::All)?;
            let findings = self.index.ask_steady(&self.authorizer, &act.lineage, &asked);
            let owed = self.owing.index.ask_steady(&self.authorizer, &act.lineage, &asked);
            let mut reads = self.index.passing_reads(&act.lineage, &asked);
            reads.add(&self.owing.index.passing_reads(&act.lineage, &asked));
            Ok(Settled { described, findings, owed, reads })
        })?;
        let (mut findings, mut owed) = (settled.findings.clone(), settled.owed.clone());
        if !settled.reads.is_empty() {
            let asked = settled.described.ask(act, &self.slices, question, &settled.reads)?;
            self.index.ask_passing(&self.authorizer, &act.lineage, &asked, &mut findings);
            self.owing.index.ask_passing(&self.authorizer, &act.lineage, &asked, &mut owed);
        }
        Ok((findings, owed))
    }

    /// What is allowed obliges. What is owed must be known, and so an obligation that fails denies.
    fn oblige(&self, verdict: Verdict, owed: Findings) -> Verdict {
        if !verdict.allow {
            return verdict;
        }
        if !owed.errors.is_empty() {
            return failed(owed);
        }
        Verdict { obligations: self.owing.duties.merge(&owed.permits), ..verdict }
    }

    /// The rate class of that name, if an obligation can ask for it.
    pub fn rate_class(&self, name: &str) -> Option<&RateClass> {
        self.owing.duties.rate_class(name)
    }

    /// Decides a question at our door, outside of any room. Denies as [`Engine::decide`] does.
    pub fn decide_door(&self, question: &DoorQuestion<'_>) -> Verdict {
        let Some(act) = self.vocabulary.door(question.act) else {
            return Verdict::deny("UNKNOWN_ACTION");
        };
        let asked = entities::of_door(&self.vocabulary, &self.directory, act, question);
        self.judge(act, asked, || "NOT_PERMITTED")
    }

    /// Decides what a person may do at the admin door. Denies as [`Engine::decide`] does.
    pub fn decide_admin(&self, question: &AdminQuestion<'_>) -> Verdict {
        let Some(act) = self.vocabulary.admin(question.act) else {
            return Verdict::deny("UNKNOWN_ACTION");
        };
        let asked = entities::of_admin(&self.vocabulary, &self.directory, act, question);
        self.judge(act, asked, || "NOT_PERMITTED")
    }

    /// Decides a question of whatever kind.
    pub(super) fn decide_any(&self, question: &AnyQuestion<'_>) -> Verdict {
        match question {
            AnyQuestion::Room(question) => self.decide(question),
            AnyQuestion::Door(question) => self.decide_door(question),
            AnyQuestion::Admin(question) => self.decide_admin(question),
            AnyQuestion::Unknown => Verdict::deny("UNKNOWN_ACTION"),
        }
    }

    /// The policies whose scope can match a question; one may be there twice.
    pub(super) fn candidates<'e>(&'e self, act: &'e Act, asked: &Asked) -> impl Iterator<Item = &'e PolicyId> {
        self.index.candidates(&act.lineage, asked)
    }

    /// Decides what is asked in Cedar's terms; `None` where there is no such action.
    pub(super) fn decide_asked(&self, action: &EntityUid, asked: Asked) -> Option<Verdict> {
        let act = self.vocabulary.acts().find(|act| act.uid == *action)?;
        Some(self.judge(act, Ok(asked), || "NOT_PERMITTED"))
    }

    /// What is put to the policies for a question, and by which action; `None` where there is no such action.
    pub(super) fn put(&self, question: &AnyQuestion<'_>) -> Option<(&Act, Result<Asked, FactsError>)> {
        let Self { vocabulary, directory, slices, .. } = self;
        match question {
            AnyQuestion::Room(question) => {
                let act = vocabulary.capability(question.capability)?;
                Some((act, entities::of_room(vocabulary, directory, slices, act, question)))
            }
            AnyQuestion::Door(question) => {
                let act = vocabulary.door(question.act)?;
                Some((act, entities::of_door(vocabulary, directory, act, question)))
            }
            AnyQuestion::Admin(question) => {
                let act = vocabulary.admin(question.act)?;
                Some((act, entities::of_admin(vocabulary, directory, act, question)))
            }
            AnyQuestion::Unknown => None,
        }
    }

    fn judge(
        &self,
        act: &Act,
        asked: Result<Asked, FactsError>,
        default_reason: impl FnOnce() -> &'static str,
    ) -> Verdict {
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return Verdict::incomplete(&error),
        };
        let findings = self.index.ask(&self.authorizer, &act.lineage, &asked);
        self.conclude(findings, default_reason)
    }

    fn conclude(&self, findings: Findings, default_reason: impl FnOnce() -> &'static str) -> Verdict {
        if !findings.errors.is_empty() {
            return failed(findings);
        }
        let allow = findings.forbids.is_empty() && !findings.permits.is_empty();
        let deciding = if findings.forbids.is_empty() { findings.permits } else { findings.forbids };
        // Ids are sorted, and of equals the first is taken.
        let Some(first) = deciding.iter().filter_map(|id| self.metas.get(id)).min_by_key(|meta| meta.layer) else {
            return Verdict::deny(default_reason());
        };
        Verdict {
            allow,
            reason: first.reason.clone(),
            public_message: if allow { None } else { first.public_message.clone() },
            determining: deciding.iter().map(ToString::to_string).collect(),
            errors: Vec::new(),
            notes: Vec::new(),
            obligations: Obligations::default(),
        }
    }
}

/// The deny that follows from a policy that failed.
fn failed(findings: Findings) -> Verdict {
    let (ids, errors): (Vec<PolicyId>, Vec<String>) = findings.errors.into_iter().unzip();
    let mut determining: Vec<String> = ids.into_iter().chain(findings.forbids).map(|id| id.to_string()).collect();
    determining.sort();
    determining.dedup();
    Verdict { determining, errors, ..Verdict::deny(POLICY_ERROR) }
}

/// Why nothing permitted it, as far as the room tells.
fn default_reason(question: &Question<'_>) -> &'static str {
    match &question.room.roles {
        None => "ROOM_NOT_TRACKED",
        Some(known) if !known.participants.contains_key(&question.actor.uri()) => "NOT_A_PARTICIPANT",
        Some(_) => "CAPABILITY_NOT_GRANTED",
    }
}

fn notes(room: &RoomFacts) -> Vec<String> {
    match (room.side, &room.roles) {
        (Side::Follower, None) => vec!["group not tracked: decided by room, host, user and size".to_owned()],
        (Side::Follower | Side::Hub, _) => Vec::new(),
    }
}
