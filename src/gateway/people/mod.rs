//! What the company's identity provider says of people and groups (SCIM), kept with its record, and known to policy in this process
//! when the answer is given; on every other replica as soon as it hears of the commit. Who is deactivated or deleted there has
//! no rights from that transaction on.

pub(super) mod claims;
mod facts;
mod groups;
mod lists;
mod tokens;
mod users;

pub use claims::Claims;
pub use groups::Members;
pub use lists::{Listed, Wanted};
pub use tokens::{MadeToken, NewToken, keep as keep_token, make as make_token, revoke as revoke_token};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use portcullis_core::policy::Person;
use portcullis_core::scim::{ResourceType, ScimError, ScimType};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::people::{self, Changed, PersonState};
use portcullis_store::{StoreError, Topic, Tx, devices};
use serde_json::{Map, Value, json};
use tokio::sync::watch as channel;
use tokio::time::sleep;
use uuid::Uuid;

use super::decide::Case;
use super::once::Once;
use super::places::Of;
use super::{Gateway, GatewayError, Inner};
use crate::peer::causes;
use crate::telemetry::metrics;

/// Longest wait without a sign of a change: the connection that listens for them may be lost.
const PAUSE: Duration = Duration::from_secs(1);
/// How many changes are read at once.
const PAGE: u32 = 500;
/// The write lane of what an identity provider says.
const LANE: &str = "people";

/// An identity provider that has shown a good token.
#[derive(Clone, Debug)]
pub struct Provisioner {
    /// The name of its token.
    pub name: String,
    /// The identifier of its token: several may have one name.
    pub token: Uuid,
    /// Where its door is.
    pub place: Arc<Place>,
}

/// What a configuration says of the door.
#[derive(Clone, Debug)]
pub struct Place {
    /// What stands before `/Users` in the URLs of users.
    pub base: String,
    /// Our domains; the first is that of names without one.
    pub domains: Vec<Domain>,
    /// Which domain of ours stands for one behind the `@` of a name.
    pub mail_domains: BTreeMap<String, Domain>,
}

/// A user or a group as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its attributes.
    pub told: Map<String, Value>,
    /// Its entity tag.
    pub tag: String,
}

/// Why an identity provider does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// What it sent is wrong, or in the way of something. HTTP 400, or 409 for [`ScimType::Uniqueness`].
    #[error(transparent)]
    Scim(#[from] ScimError),
    /// The resource was changed since. HTTP 412.
    #[error("the resource has another version by now")]
    Version,
    /// Everything else.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl From<PeopleError> for GatewayError {
    fn from(error: PeopleError) -> Self {
        match error {
            PeopleError::Gateway(error) => error,
            PeopleError::Scim(_) | PeopleError::Version => Self::internal(error),
        }
    }
}

impl From<StoreError> for PeopleError {
    fn from(error: StoreError) -> Self {
        Self::Gateway(error.into())
    }
}

impl Place {
    /// The user of ours that a `userName` names, in small letters ([`UserUri::folded`]).
    fn user(&self, user_name: &str) -> Option<UserUri> {
        if user_name.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mimi://")) {
            let (host, path) = user_name.get(7..)?.split_once('/')?;
            let user = UserUri::parse(&format!("mimi://{}/{path}", host.to_ascii_lowercase())).ok()?;
            let is_ours = !user.is_provider() && !user.is_pseudonym() && self.domains.contains(&user.domain());
            return is_ours.then(|| user.folded());
        }
        let (local, domain) = match user_name.rsplit_once('@') {
            Some((local, domain)) => {
                let domain = domain.to_lowercase();
                let own = self.domains.iter().find(|own| own.as_str() == domain);
                (local, own.or_else(|| self.mail_domains.get(&domain))?)
            }
            None => (user_name, self.domains.first()?),
        };
        UserUri::named(domain, local).ok().map(|user| user.folded())
    }

    fn location(&self, of: &ResourceType, id: Uuid) -> String {
        format!("{}/{}/{id}", self.base, of.endpoint)
    }
}

/// Checks what the request was to find (RFC 7644, section 3.14): one of several tags, or anything.
fn check_tag(wanted: Option<&str>, tag: &str) -> Result<(), PeopleError> {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let fits = |wanted: &str| wanted.split(',').any(|one| one.trim() == "*" || weak(one) == weak(tag));
    if wanted.is_none_or(fits) { Ok(()) } else { Err(PeopleError::Version) }
}

fn tag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// What is told of every resource beside its own attributes.
fn dress(
    mut told: Map<String, Value>,
    (of, place): (&ResourceType, &Place),
    (id, version): (Uuid, u64),
    (created_at, changed_at): (Millis, Millis),
) -> Resource {
    let schemas: Vec<&str> =
        of.schemas().map(|schema| schema.urn).filter(|urn| *urn == of.core.urn || told.contains_key(*urn)).collect();
    told.insert("schemas".to_owned(), json!(schemas));
    told.insert("id".to_owned(), id.to_string().into());
    let meta = json!({
        "resourceType": of.name, "created": written(created_at), "lastModified": written(changed_at),
        "location": place.location(of, id), "version": tag(version),
    });
    told.insert("meta".to_owned(), meta);
    Resource { told, tag: tag(version) }
}

/// A point in time as SCIM writes it.
fn written(at: Millis) -> String {
    let at = i64::try_from(at.0).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map(|at| format!("{at:.3}")).unwrap_or_default()
}

fn text(of: &Map<String, Value>, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn taken(what: &str) -> PeopleError {
    ScimError::new(ScimType::Uniqueness, format!("another resource has this `{what}`")).into()
}

fn parsed(content: &str) -> Result<Map<String, Value>, StoreError> {
    serde_json::from_str(content).map_err(|_| StoreError::Corrupt("person"))
}

/// The record of a change, with what was before and what is then, and by which token it was made.
fn record(by: &Provisioner, kind: &str, reason: &str, mut detail: Value, now: Millis) -> AuditRecord {
    detail["token"] = json!(by.token);
    AuditRecord {
        actor: Some(format!("directory:{}", by.name)),
        reason: reason.to_owned(),
        detail,
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}

impl Gateway {
    /// Puts what the identity provider says of people in force in this process.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] when the database does not tell.
    pub async fn refresh_people(&self) -> Result<(), GatewayError> {
        // Beside the requests, which may be too many to take another one.
        let inner = Arc::clone(&self.0);
        let refreshed = tokio::task::spawn_blocking(move || refresh(&inner)).await;
        refreshed.unwrap_or_else(|panic| Err(GatewayError::internal(panic)))
    }

    /// Refuses a request of somebody whom the identity provider has deactivated or deleted, with its record.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`], and [`GatewayError`] when that cannot be recorded.
    pub async fn refuse_deactivated(&self, user: UserUri, asked: String) -> Result<(), GatewayError> {
        self.0.blocking(vec![Of::User(user.clone())], move |inner| refuse(inner, &user, &asked)).await
    }

    /// Whether the identity provider has deactivated or deleted a user of ours, as far as this process has heard.
    pub fn is_out(&self, user: &UserUri) -> bool {
        is_out(&self.0, user)
    }

    async fn for_people<T: Send + 'static>(
        &self,
        by: &Provisioner,
        work: impl FnOnce(&Arc<Inner>) -> Result<T, PeopleError> + Send + 'static,
    ) -> Result<T, PeopleError> {
        let of = vec![Of::Person(format!("directory:{}", by.name))];
        self.0.blocking(of, move |inner| Ok(work(inner))).await?
    }
}

pub(super) fn is_out(inner: &Inner, user: &UserUri) -> bool {
    let active = inner.policy.active();
    let people = active.engine.people();
    !people.is_empty() && people.get(&user.folded()).is_some_and(|person| !person.facts().active)
}

/// Refuses a request of somebody whom the identity provider has deactivated or deleted, with its record.
///
/// # Errors
///
/// [`GatewayError::Refused`], and [`GatewayError`] when that cannot be recorded.
pub(super) fn refuse<T>(inner: &Inner, user: &UserUri, asked: &str) -> Result<T, GatewayError> {
    let case = Case {
        kind: "decision.deactivated",
        room: None,
        actor: Some(user.to_string()),
        peer: user.domain(),
        epoch: None,
        exchange: None,
        now: inner.clock.now(),
    };
    let refused = case.refuse("user_deactivated", "deactivated_by_the_directory", json!({ "asked": asked }));
    inner.refuse(Once::unnamed(), user.as_str(), &refused)
}

/// Keeps what the identity provider says in force, whichever replica it says it to, until `closing` becomes true.
pub async fn watch(gateway: Gateway, mut closing: channel::Receiver<bool>) {
    let mut changes = gateway.store().changes(Topic::People);
    while !*closing.borrow() {
        // Seen before looking, so that what changes meanwhile wakes us again.
        changes.mark_unchanged();
        if let Err(error) = gateway.refresh_people().await {
            tracing::warn!(cause = causes(&error), "what is said of people cannot be read, the last of it goes on");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = changes.changed() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// What this process has heard of.
#[derive(Default)]
pub(super) struct Heard {
    /// The last change.
    revision: u64,
    /// How often each person had been changed by then.
    versions: HashMap<UserUri, u64>,
}

/// Reads and puts in force one after the other, so that what was read first never stands last. Of whom nothing can be read has no
/// rights, with an alarm, and the others go on.
pub(super) fn refresh(inner: &Inner) -> Result<(), GatewayError> {
    let mut heard = inner.people_heard.lock().unwrap_or_else(PoisonError::into_inner);
    let mut came: Vec<Changed> = Vec::new();
    loop {
        let after = came.last().map(|last| (last.revision, last.uri.as_str()));
        let page = inner.store.read(|conn| people::changed(conn, heard.revision, after, PAGE));
        let page = page.map_err(|error: StoreError| GatewayError::from(error))?;
        let last = page.len() < PAGE as usize;
        came.extend(page);
        if last {
            break;
        }
    }
    let Some(newest) = came.last().map(|last| last.revision) else { return Ok(()) };
    let mut all: HashMap<UserUri, Person> = HashMap::clone(inner.policy.active().engine.people());
    let (mut concerned, mut unreadable, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for Changed { uri, version, facts, .. } in came {
        let person = Person::decode(facts.as_bytes());
        let user = UserUri::parse(&uri).ok();
        if person.is_none() || user.is_none() {
            unreadable.push(uri);
        }
        let Some(user) = user else { continue };
        let person = person.unwrap_or_else(|| Person::from(facts::closed()));
        // Rights that have ended and begun again have ended in between.
        let missed = heard.versions.get(&user).is_some_and(|known| version > known + 1);
        if missed || all.get(&user) != Some(&person) {
            all.insert(user.clone(), person);
            concerned.push(user.clone());
        }
        versions.push((user, version));
    }
    inner.policy.set_people(Arc::new(all));
    let mut asked_again = false;
    for user in concerned {
        for device in inner.streams.of(&user) {
            asked_again = true;
            let there = inner.store.read(|conn| devices::standing(conn, &device));
            if there.map_err(|error: StoreError| GatewayError::from(error))?.is_none() {
                inner.streams.end(&user, &device);
            }
        }
    }
    if asked_again {
        inner.policy.ask_again();
    }
    if !unreadable.is_empty() {
        tell_unreadable(inner, unreadable)?;
    }
    heard.revision = newest;
    heard.versions.extend(versions);
    Ok(())
}

/// Calls people: somebody cannot do anything until the identity provider says anew who it is.
fn tell_unreadable(inner: &Inner, unreadable: Vec<String>) -> Result<(), GatewayError> {
    metrics::people_unreadable(unreadable.len() as u64);
    let now = inner.clock.now();
    Ok(inner.store.write(LANE, move |tx: &mut Tx<'_>| {
        // Decisions name it from now on.
        facts::keep_closed(tx)?;
        unreadable.iter().try_for_each(|user| {
            tracing::error!("what is said of a user cannot be read: it has no rights");
            tx.stage(&AuditRecord {
                reason: "has_no_rights_until_it_is_written_anew".to_owned(),
                detail: json!({ "user": user }),
                ..AuditRecord::new(Uuid::now_v7(), now, "directory.unreadable", Outcome::Alarm)
            })
        })
    })?)
}

/// Whether the identity provider lets a user be registered, until the transaction has ended: not one whom it has deactivated or
/// deleted.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(super) fn hold_admitted(tx: &mut Tx<'_>, user: &UserUri) -> Result<bool, StoreError> {
    let folded = user.folded();
    people::hold_name(tx, &folded)?;
    Ok(match people::state(tx, &folded)? {
        None | Some(PersonState::Active | PersonState::Unlisted) => true,
        Some(PersonState::Inactive | PersonState::Gone) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_names_a_user_of_ours_or_nobody() {
        let domain = |name: &str| Domain::parse(name).unwrap();
        let place = Place {
            base: "https://id/scim/v2".to_owned(),
            domains: vec![domain("a.example"), domain("b.example")],
            mail_domains: BTreeMap::from([("mail.example".to_owned(), domain("b.example"))]),
        };
        for (name, user) in [
            ("Alice", Some("mimi://a.example/u/alice")),
            ("alice@a.example", Some("mimi://a.example/u/alice")),
            ("Alice@MAIL.example", Some("mimi://b.example/u/alice")),
            ("ann o'hara@b.example", Some("mimi://b.example/u/ann%20o'hara")),
            ("mimi://b.example/u/bob", Some("mimi://b.example/u/bob")),
            ("mimi://c.example/u/bob", None),
            ("alice@c.example", None),
            ("a/b", Some("mimi://a.example/u/a%2Fb")),
            ("@a.example", None),
            ("MIMI://b.example/u/Bob", Some("mimi://b.example/u/bob")),
            ("mimi://b.example/u/%C3%84nne", Some("mimi://b.example/u/%C3%A4nne")),
            ("Änne@b.example", Some("mimi://b.example/u/%C3%A4nne")),
            ("mimi://b.example", None),
            ("mimi://b.example/p/x", None),
        ] {
            assert_eq!(place.user(name).as_ref().map(UserUri::as_str), user, "{name}");
        }
    }

    #[test]
    fn an_entity_tag_fits_weakly() {
        for (wanted, fits) in [
            (None, true),
            (Some("*"), true),
            (Some("W/\"3\""), true),
            (Some("\"3\", \"4\""), true),
            (Some("\"2\""), false),
        ] {
            assert_eq!(check_tag(wanted, "W/\"3\"").is_ok(), fits, "{wanted:?}");
        }
    }
}
