//! The envelope of the company: which room policies it accepts, and what it says of them to others.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use portcullis_core::mls::{GroupView, SigningKey};
use portcullis_core::policy::Bundle;
use portcullis_core::room::Outside;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_tlog::{KeyName, Note, Signature, SignatureType, VerifierKey};
use serde_json::json;
use tokio::sync::Mutex;

use crate::gateway::decide::{Case, Decision};
use crate::gateway::rollout::BundleId;
use crate::gateway::{Gateway, GatewayError, Inner};

/// What stands behind a domain in the name of the key that signs its summary.
const KEY_NAME: &str = "/envelope";

/// How old a summary is told, in milliseconds.
const MADE_AGAIN_MS: u64 = 3_600_000;

/// The reason of whatever is refused because of the envelope.
const OUTSIDE: &str = "room.outside_envelope";

/// The refusal of a change that leads a room out of the envelope, or further out.
pub(in crate::gateway) fn leads_out(
    inner: &Inner,
    case: &Case<'_>,
    before: &GroupView,
    after: &GroupView,
) -> Option<Decision> {
    let active = inner.policy.active();
    let hub = before.group.domain();
    let outside = active.bundle.envelope().newly_outside(&before.components, &after.components, &hub);
    (!outside.is_empty()).then(|| refusal(case, outside))
}

/// The refusal of what our users do in a room that lies outside.
pub(in crate::gateway) fn lies_out(inner: &Inner, case: &Case<'_>, room: &GroupView) -> Option<Decision> {
    let outside = inner.policy.active().bundle.envelope().outside(&room.components, &room.group.domain());
    (!outside.is_empty()).then(|| refusal(case, outside))
}

pub(in crate::gateway) fn refusal(case: &Case<'_>, outside: impl IntoIterator<Item = Outside>) -> Decision {
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

/// The envelope of a bundle in words and for programs: YAML, signed as a note (c2sp.org/signed-note) by the hub's key, which
/// the groups of our rooms name as external sender. It names no policy.
///
/// # Errors
///
/// [`GatewayError::Internal`] for what cannot be written.
pub fn summary(domains: &[Domain], bundle: &Bundle, key: &SigningKey, now: Millis) -> Result<String, GatewayError> {
    let first = domains.first().ok_or_else(|| GatewayError::internal("the gateway has no domain"))?;
    let envelope = bundle.envelope();
    let issued = Timestamp::from_millisecond(i64::try_from(now.0 / 1000 * 1000).map_err(GatewayError::internal)?);
    let issued = issued.map_err(GatewayError::internal)?;
    let closed: Vec<String> = bundle.closed().keys().map(ToString::to_string).collect();
    // JSON is YAML, too: a line each.
    let parts = [
        ("domains", json!(domains)),
        ("bundle", json!(BundleId(bundle.digest()).to_string())),
        ("issued_at", json!(issued.to_string())),
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
    let signer = verifier(first, key)?;
    let signature = Signature { name: signer.name().clone(), id: signer.id(), bytes: key.sign_note(&text) };
    Ok(Note::new(text, signature).map_err(GatewayError::internal)?.to_string())
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
            let note = summary(&inner.domains, &active.bundle, inner.keys.hub.current(), now)?;
            Ok(Made { digest, at: now, note: note.into() })
        });
        let made = made.await?;
        let note = made.note.clone();
        *published = Some(made);
        Ok(note)
    }
}
