//! The envelope of the company: which room policies it accepts, and what it says of them to others.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use portcullis_core::mls::{GroupView, SigningKey};
use portcullis_core::policy::Bundle;
use portcullis_core::room::Outside;
use portcullis_core::time::Millis;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::uri::Domain;
use portcullis_tlog::{KeyName, Note, NoteError, Signature, SignatureType, VerifierKey};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Active;
use crate::gateway::decide::{Case, Decision};
use crate::gateway::ring::Ring;
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, GatewayError, Inner};

/// What stands behind a domain in the name of the key that signs its summary.
const KEY_NAME: &str = "/envelope";

/// How old a summary is told, and how long it holds, in milliseconds: whoever keeps one looks again within two days.
const MADE_AGAIN_MS: u64 = 3_600_000;
const HOLDS_MS: u64 = 48 * 3_600_000;

/// Former keys that sign it beside the one in use; the first by their names.
const MOST_FORMER: usize = 8;

/// Lines that a reader looks for.
const DOMAINS: &str = "domains";
const VALID_UNTIL: &str = "valid_until";

/// The reason of whatever is refused because of the envelope.
const OUTSIDE: &str = "room.outside_envelope";

/// The refusal of a change that leads a room out of the envelope, or further out.
pub(in crate::gateway) fn leads_out(
    active: &Active,
    case: &Case<'_>,
    before: &GroupView,
    after: &GroupView,
) -> Option<Decision> {
    let hub = before.group.domain();
    let outside = active.bundle.envelope().newly_outside(&before.components, &after.components, &hub);
    (!outside.is_empty()).then(|| refusal(case, outside))
}

/// Whether a change leads a room out of the envelope, or further out.
pub(in crate::gateway) fn is_led_out(active: &Active, before: &GroupView, after: &GroupView) -> bool {
    let outside = active.bundle.envelope().newly_outside(&before.components, &after.components, &before.group.domain());
    !outside.is_empty()
}

/// The refusal of what our users do in a room that lies outside.
pub(in crate::gateway) fn lies_out(active: &Active, case: &Case<'_>, room: &GroupView) -> Option<Decision> {
    let outside = active.bundle.envelope().outside(&room.components, &room.group.domain());
    (!outside.is_empty()).then(|| refusal(case, outside))
}

/// The refusal of a room that would start outside.
pub(in crate::gateway) fn starts_outside(
    active: &Active,
    case: &Case<'_>,
    components: &Dictionary,
    hub: &Domain,
) -> Option<Decision> {
    let outside = active.bundle.envelope().outside(components, hub);
    (!outside.is_empty()).then(|| refusal(case, outside))
}

/// The refusal of components that lie outside in whatever room they come to be: of one that nobody knows here.
pub(in crate::gateway) fn brings_out(
    active: &Active,
    case: &Case<'_>,
    components: &Dictionary,
    hub: &Domain,
) -> Option<Decision> {
    let outside = active.bundle.envelope().outside_in_part(components, hub);
    (!outside.is_empty()).then(|| refusal(case, outside))
}

fn refusal(case: &Case<'_>, outside: impl IntoIterator<Item = Outside>) -> Decision {
    /// How many ways are told.
    const FIRST: usize = 20;
    let ways: Vec<String> = outside.into_iter().take(FIRST).map(|way| way.to_string()).collect();
    case.refuse("not_allowed", OUTSIDE, json!({ "outside": ways }))
}

/// What `key` signs summaries of `domain` with is verified by this.
///
/// # Errors
///
/// [`GatewayError::Internal`] for a key of another kind.
pub fn verifier(domain: &Domain, key: &SigningKey) -> Result<VerifierKey, GatewayError> {
    let name: KeyName = format!("{domain}{KEY_NAME}").parse().map_err(GatewayError::internal)?;
    let public = key.public().try_into().map_err(|_| GatewayError::internal("the key is not one of 32 octets"))?;
    Ok(VerifierKey::new(name, SignatureType::Ed25519, public))
}

/// The envelope of a bundle in words and for programs: YAML, signed as a note (c2sp.org/signed-note) by the hub's keys, which
/// the groups of our rooms name as external senders: the one in use and those before it, so that whoever knows one of them knows
/// the note. It names no policy, and holds for two days.
///
/// # Errors
///
/// [`GatewayError::Internal`] for what cannot be written.
pub fn summary(domains: &[Domain], bundle: &Bundle, keys: &Ring, now: Millis) -> Result<String, GatewayError> {
    let first = domains.first().ok_or_else(|| GatewayError::internal("the gateway has no domain"))?;
    let envelope = bundle.envelope();
    let at = |millis: u64| {
        let whole = i64::try_from(millis / 1000 * 1000).map_err(GatewayError::internal)?;
        Ok::<_, GatewayError>(Timestamp::from_millisecond(whole).map_err(GatewayError::internal)?.to_string())
    };
    let closed: Vec<String> = bundle.closed().keys().map(ToString::to_string).collect();
    // JSON is YAML, too: a line each.
    let parts = [
        (DOMAINS, json!(domains)),
        ("bundle", json!(BundleId(bundle.digest()).to_string())),
        ("issued_at", json!(at(now.0)?)),
        (VALID_UNTIL, json!(at(now.0.saturating_add(HOLDS_MS))?)),
        ("envelope", serde_json::to_value(envelope).map_err(GatewayError::internal)?),
        ("nobody_is_allowed", json!(closed)),
        ("read_of_requests", bundle.reads().map_or_else(|| json!("everything"), |names| json!(names))),
    ];
    let mut text =
        format!("# Room policies that {first} accepts, in its rooms and in those that its users take part in.\n");
    for sentence in envelope.sentences() {
        text.push_str(&format!("# - {sentence}\n"));
    }
    if envelope.takes_all() {
        text.push_str("# - every room policy\n");
    }
    for capability in &closed {
        text.push_str(&format!("# - whatever a role grants, nobody is allowed {capability}\n"));
    }
    for (name, value) in parts {
        text.push_str(&format!("{name}: {value}\n"));
    }
    let signed = |key: &SigningKey| {
        let signer = verifier(first, key)?;
        Ok::<_, GatewayError>(Signature { name: signer.name().clone(), id: signer.id(), bytes: key.sign_note(&text) })
    };
    let mut note = Note::new(text.clone(), signed(keys.current())?).map_err(GatewayError::internal)?;
    for former in keys.iter().skip(1).take(MOST_FORMER) {
        note.add(signed(former)?).map_err(GatewayError::internal)?;
    }
    Ok(note.to_string())
}

/// Why a note is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum Unbelieved {
    /// No key that was given has signed it, or not this text.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is signed, and says no envelope.
    #[error("the note is signed, and is not about room policies")]
    Text,
    /// Its key is of another provider.
    #[error("the note is signed by `{0}`, which is not of a domain that it is about")]
    Domain(KeyName),
    /// It was asked for another provider.
    #[error("the note is about {0}")]
    Other(String),
    /// It no longer holds.
    #[error("the note held until {0}: fetch it again")]
    Over(String),
}

/// A note that can be believed.
#[derive(Debug)]
pub struct Believed {
    /// What it says.
    pub text: String,
    /// The key that was given and has signed it.
    pub key: VerifierKey,
    /// The domains that it is about.
    pub domains: Vec<Domain>,
    /// Until when it holds, as it says.
    pub until: String,
}

/// Reads a note that one of `keys` has signed, about `of` where that is given. A key speaks for the provider whose domain is in
/// its name, and for the other domains that this provider says are its own.
///
/// # Errors
///
/// [`Unbelieved`].
pub fn believe(note: &[u8], keys: &[VerifierKey], of: Option<&Domain>, now: Millis) -> Result<Believed, Unbelieved> {
    let note = Note::parse(note)?;
    let key = note.verify(keys)?.first().map(|verified| verified.key.clone()).ok_or(NoteError::Unknown)?;
    let line = |name: &str| note.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let read =
        |name: &str| line(name).and_then(|value| serde_json::from_str::<Value>(value).ok()).ok_or(Unbelieved::Text);
    let domains: Vec<Domain> = serde_json::from_value(read(DOMAINS)?).map_err(|_| Unbelieved::Text)?;
    let until: String = serde_json::from_value(read(VALID_UNTIL)?).map_err(|_| Unbelieved::Text)?;
    let speaks = |domain: &Domain| key.name().as_str().strip_suffix(KEY_NAME) == Some(domain.as_str());
    if !domains.first().is_some_and(speaks) {
        return Err(Unbelieved::Domain(key.name().clone()));
    }
    if of.is_some_and(|of| !domains.contains(of)) {
        let named: Vec<&str> = domains.iter().map(Domain::as_str).collect();
        return Err(Unbelieved::Other(named.join(", ")));
    }
    let end = Millis::from_rfc3339(&until).ok_or(Unbelieved::Text)?;
    if end < now {
        return Err(Unbelieved::Over(until));
    }
    Ok(Believed { text: note.text().to_owned(), key, domains, until })
}

/// The summary that was made last.
#[derive(Default)]
pub(in crate::gateway) struct Published(Mutex<Option<Made>>);

struct Made {
    digest: [u8; 32],
    at: Millis,
    note: Bytes,
}

impl Made {
    /// Whether it is still to be told: of this bundle, and not old.
    fn stands(&self, digest: &[u8; 32], now: Millis) -> bool {
        self.digest == *digest && now.0.checked_sub(self.at.0).is_some_and(|age| age < MADE_AGAIN_MS)
    }
}

impl Gateway {
    /// The summary of the bundle that decides, for whoever asks. It is made once for a bundle, and again each hour: strangers
    /// may ask as often as they like, and wait while one is made.
    ///
    /// # Errors
    ///
    /// As [`summary`].
    pub async fn envelope(&self) -> Result<Bytes, GatewayError> {
        let mut published = self.0.published.0.lock().await;
        let (active, now) = (self.0.policy.active(), self.0.clock.now());
        let digest = active.bundle.digest();
        if let Some(made) = published.as_ref().filter(|made| made.stands(&digest, now)) {
            return Ok(made.note.clone());
        }
        let made = self.0.aside(move |inner: &Arc<Inner>| {
            let note = summary(&inner.domains, &active.bundle, &inner.keys.hub, now)?;
            Ok(Made { digest, at: now, note: note.into() })
        });
        let made = made.await?;
        let note = made.note.clone();
        *published = Some(made);
        Ok(note)
    }
}
