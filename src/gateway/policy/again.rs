//! Recorded decisions asked again: first of the bundle that made them, whose answer must be the recorded one, then of
//! another. What cannot be asked again counts as that, never as the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use lru::LruCache;
use portcullis_core::policy::{Bundle, Engine, People, Person, Recalled, RecordHead, RoleSet, Told, Unasked};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditEntry, AuditRecord, Filter, Order, entries};
use portcullis_store::{Conn, Store, StoreError, bundles, people, role_sets};
use serde_json::Value;

use super::report::{Change, Report, Sample};
use crate::gateway::decide::FACTS;

/// How many engines are kept of bundles that have decided: each takes some ten megabytes at most.
const ENGINES: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// Questions whose answers are remembered: of a shadow as of the engine that decides, of a simulation more, for in the log
/// people take turns that no room would see.
const OF_SHADOW: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
const OF_SIMULATION: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
const ROLE_SETS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
const PEOPLE: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// Kinds of records that name a bundle without a decision of it.
const ROLL_OUT: &str = "policy.";
/// How many entries are read at once.
const PAGE: u32 = 500;

/// Which decisions are asked again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Those made at this time or later.
    pub since: Option<Millis>,
    /// Those made before this time.
    pub until: Option<Millis>,
    /// The latest so many.
    pub limit: Option<u64>,
}

/// How much a simulation may take; what is left out makes its report incomplete.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Most entries of the log that are read, those that hold no decision among them.
    pub entries: Option<u64>,
    /// When it ends.
    pub until: Option<Instant>,
}

impl Patience {
    fn is_over(&self, read: u64) -> bool {
        self.entries.is_some_and(|most| read >= most) || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// A bundle with who was suspended beside its settings, and why it cannot be asked.
type Recorded = LruCache<([u8; 32], BTreeSet<Domain>), Result<Engine, &'static str>>;

/// Asks recorded decisions again.
pub struct Replayer {
    store: Store,
    /// How many questions each engine remembers.
    memory: NonZeroUsize,
    candidate: Engine,
    candidates: LruCache<BTreeSet<Domain>, Engine>,
    recorded: Recorded,
    roles: LruCache<String, Option<RoleSet>>,
    people: LruCache<String, Option<Person>>,
}

/// Asks the decisions of the log again, the latest first. Blocks on the database, and takes no more memory for more of them.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn simulate(store: &Store, candidate: &Bundle, window: Window, patience: Patience) -> Result<Report, StoreError> {
    let (mut replayer, mut report) = (Replayer::remembering(store, candidate, OF_SIMULATION), Report::default());
    let Window { since, until, limit } = window;
    let (mut before, mut read) = (None, 0);
    loop {
        // Not by what records say: what was erased is to be told, too.
        let filter = Filter { before, since, until, order: Order::Newest, limit: PAGE, ..Filter::default() };
        let page = store.read(|conn| entries(conn, &filter))?;
        for entry in &page {
            if limit.is_some_and(|limit| report.records >= limit) {
                return Ok(report);
            }
            if patience.is_over(read) {
                report.incomplete = true;
                return Ok(report);
            }
            read += 1;
            replayer.ask(entry, &mut report)?;
        }
        match page.last() {
            Some(last) => before = Some(last.seq),
            None => return Ok(report),
        }
    }
}

impl Replayer {
    /// Of decisions in this database, beside another bundle.
    pub fn new(store: &Store, candidate: &Bundle) -> Self {
        Self::remembering(store, candidate, OF_SHADOW)
    }

    fn remembering(store: &Store, candidate: &Bundle, memory: NonZeroUsize) -> Self {
        let mut replayer = Self {
            store: store.clone(),
            memory,
            candidate: Engine::new(candidate).remembering(memory),
            candidates: LruCache::new(ENGINES),
            recorded: LruCache::new(ENGINES),
            roles: LruCache::new(ROLE_SETS),
            people: LruCache::new(PEOPLE),
        };
        replayer.knows(candidate);
        replayer
    }

    /// Spares it to read and prove this bundle, where decisions were made by it.
    pub fn knows(&mut self, bundle: &Bundle) {
        self.recorded.put((bundle.digest(), BTreeSet::new()), Ok(Engine::new(bundle).remembering(self.memory)));
    }

    /// Asks again what the record of a decision tells of, if policies made it. Blocks on the database for bundles and roles
    /// that have not been met yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the database.
    pub fn ask(&mut self, entry: &AuditEntry, report: &mut Report) -> Result<(), StoreError> {
        let record = &entry.record;
        let Some(bundle) = record.bundle.filter(|_| !record.kind.starts_with(ROLL_OUT)) else { return Ok(()) };
        if record.detail.is_null() {
            report.records += 1;
            report.unasked("erased", 1);
            return Ok(());
        }
        let Some(actions) = record.detail.get("actions").and_then(Value::as_array) else { return Ok(()) };
        report.records += 1;
        let listed = actions.len() as u64;
        let count = record.detail.get("count").and_then(Value::as_u64).unwrap_or(listed);
        report.unasked("not_listed", count.saturating_sub(listed));
        if record.detail.get("facts").and_then(Value::as_u64) != Some(FACTS) {
            report.unasked("recorded_before", listed);
            return Ok(());
        }
        for action in actions {
            match self.again(record, action, bundle)? {
                Err(reason) => report.unasked(reason, 1),
                Ok((recorded, candidate)) => match Change::between(&recorded, &candidate) {
                    None => report.unchanged(),
                    Some(change) => report.changes(|| sample(entry, change, action, recorded, candidate)),
                },
            }
        }
        Ok(())
    }

    /// The recorded verdict, which the recorded bundle still gives, and that of the other bundle.
    fn again(
        &mut self,
        record: &AuditRecord,
        action: &Value,
        bundle: [u8; 32],
    ) -> Result<Result<(Told, Told), &'static str>, StoreError> {
        let head = RecordHead {
            room: record.room.as_ref(),
            actor: record.actor.as_deref(),
            peer: record.peer.as_ref(),
            epoch: record.epoch,
            at: record.at,
        };
        let roles = match action.get("roles").and_then(Value::as_str) {
            // Of a person at the admin door `roles` are a list.
            Some(id) => self.roles(id)?,
            None => None,
        };
        let recalled = Recalled::read(&head, action, |_| roles);
        let (recalled, told) = match (recalled, Told::of(action)) {
            (Ok(recalled), Some(told)) => (recalled, told),
            (Err(Unasked::Roles), _) => return Ok(Err("roles_not_kept")),
            (Err(Unasked::Act), _) => return Ok(Err("no_such_action")),
            (Err(Unasked::Form), _) | (Ok(_), None) => return Ok(Err("form_not_known")),
        };
        let Some(people) = self.people(&recalled)? else { return Ok(Err("people_not_kept")) };
        let engine = match self.recorded(bundle, recalled.suspended())? {
            Ok(engine) => engine,
            Err(reason) => return Ok(Err(*reason)),
        };
        if Told::from(recalled.ask(&engine.with_people(Arc::clone(&people)))) != told {
            return Ok(Err("answered_otherwise"));
        }
        let candidate = Told::from(recalled.ask(&self.candidate(recalled.suspended()).with_people(people)));
        Ok(Ok((told, candidate)))
    }

    fn candidate(&mut self, suspended: &BTreeSet<Domain>) -> &Engine {
        if suspended.is_empty() {
            return &self.candidate;
        }
        let engine = &self.candidate;
        self.candidates.get_or_insert_ref(suspended, || engine.with_suspended(suspended.clone()))
    }

    fn recorded(
        &mut self,
        digest: [u8; 32],
        suspended: &BTreeSet<Domain>,
    ) -> Result<&Result<Engine, &'static str>, StoreError> {
        let (store, memory, key) = (&self.store, self.memory, (digest, suspended.clone()));
        self.recorded.try_get_or_insert(key, || {
            let bundle = store.read(|conn| kept(conn, &digest))?;
            Ok(bundle.map(|bundle| Engine::new(&bundle).remembering(memory).with_suspended(suspended.clone())))
        })
    }

    /// What the identity provider said then of those concerned; `None` where that is not kept.
    fn people(&mut self, recalled: &Recalled) -> Result<Option<People>, StoreError> {
        let mut people = HashMap::new();
        for (user, id) in recalled.people() {
            let store = &self.store;
            let found = self.people.try_get_or_insert(id.clone(), || {
                let kept = store.read_one(|conn| people::facts(conn, id))?;
                // What stands there must be what it is named after.
                Ok::<_, StoreError>(kept.and_then(|kept| Person::decode(&kept)).filter(|person| person.id() == id))
            });
            let Some(person) = found? else { return Ok(None) };
            people.insert(user.folded(), person.clone());
        }
        Ok(Some(Arc::new(people)))
    }

    fn roles(&mut self, id: &str) -> Result<Option<RoleSet>, StoreError> {
        let store = &self.store;
        let found = self.roles.try_get_or_insert(id.to_owned(), || {
            let kept = store.read_one(|conn| role_sets::load(conn, id))?;
            // What stands there must be what it is named after.
            Ok::<_, StoreError>(kept.and_then(|kept| RoleSet::decode(&kept)).filter(|roles| roles.id() == id))
        });
        found.cloned()
    }
}

/// A bundle as it decided once, whoever would have to sign it by now.
pub(super) fn kept(conn: &mut Conn, digest: &[u8; 32]) -> Result<Result<Bundle, &'static str>, StoreError> {
    let Some(kept) = bundles::load(conn, digest)? else { return Ok(Err("bundle_not_kept")) };
    let texts: Option<BTreeMap<String, String>> = serde_json::from_slice(&kept).ok();
    let files = texts.map(|texts| texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect());
    let bundle = files.and_then(|files| Bundle::load(files).ok()).filter(|bundle| bundle.digest() == *digest);
    Ok(bundle.ok_or("bundle_not_good"))
}

fn sample(entry: &AuditEntry, change: Change, action: &Value, recorded: Told, candidate: Told) -> Sample {
    let record = &entry.record;
    let mut question = action.clone();
    if let Some(question) = question.as_object_mut() {
        question.remove("verdict");
    }
    Sample {
        change,
        seq: entry.seq,
        at: record.at,
        decision: record.decision.unwrap_or(record.event),
        kind: record.kind.clone(),
        room: record.room.clone(),
        peer: record.peer.clone(),
        question,
        recorded,
        candidate,
    }
}
