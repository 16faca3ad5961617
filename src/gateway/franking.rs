//! The hub's frank for the messages it accepts, and the keys it is made with: one for each of our domains and each period,
//! in the database, where the first replica that needs it puts it (reading D-34).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_core::franking::{HubKey, Scheme};
use portcullis_core::time::Millis;
use portcullis_core::wire::frank::{Frank, FrankingContext};
use portcullis_core::wire::submit::SubmitMessageRequest;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::hub_keys::{self, StoredHubKey};
use portcullis_store::{StoreError, Tx};
use serde_json::json;
use uuid::Uuid;

use super::rooms::Hosted;
use super::seal::Purpose;
use super::{Gateway, GatewayError, Inner};

/// The write lane of hub keys.
const LANE: &str = "hub keys";

/// The keys in use now.
#[derive(Default)]
pub(super) struct HubKeyCache(Mutex<HashMap<Domain, Current>>);

#[derive(Clone, Copy)]
struct Current {
    key: HubKey,
    since: Millis,
    until: Millis,
}

/// Franks one message as soon as it is known when it is accepted.
pub(super) struct Franker {
    inner: Arc<Inner>,
    scheme: Scheme,
    key: HubKey,
    /// Position of the room's agent among our franking keys.
    agent: usize,
    tag: [u8; 32],
    sender: UserUri,
    room: RoomUri,
}

impl Franker {
    /// `None` for a message that gets no frank: its room has no franking agent, or another one than this gateway, or the
    /// sender has put no tag beside it.
    pub(super) fn of(inner: &Arc<Inner>, hosted: &Hosted, request: &SubmitMessageRequest, key: HubKey) -> Option<Self> {
        let scheme = hosted.franking.clone()?;
        // The agent of the room is the key that was in use when its group started.
        let mut agents = inner.keys.franking.iter().enumerate();
        let (agent, tag) = agents.find_map(|(at, agent)| Some((at, scheme.tag_for(agent, &request.message)?)))?;
        let (sender, room) = (request.sender.clone(), hosted.room.clone());
        Some(Self { inner: Arc::clone(inner), scheme, key, agent, tag, sender, room })
    }

    /// The frank for a message that was accepted at `at`.
    pub(super) fn frank(&self, at: Millis) -> Result<Frank, StoreError> {
        let context = FrankingContext { sender: self.sender.clone(), room: self.room.clone(), accepted_at: at };
        let agent = self.inner.keys.franking.iter().nth(self.agent).ok_or(StoreError::Corrupt("franking key"))?;
        let frank = self.scheme.frank(agent, &self.key, &self.tag, context);
        frank.map_err(|_| StoreError::Corrupt("franking key"))
    }
}

impl Gateway {
    /// Makes sure that there is a key of this period for each of our domains, that it can be opened, and that it is the last one:
    /// somebody may have put another in its place.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Internal`] when what is stored was sealed with a key that is not among ours.
    pub async fn open_hub_keys(&self) -> Result<(), GatewayError> {
        let work = |inner: &Arc<Inner>| {
            let now = inner.clock.now();
            inner.domains.iter().try_for_each(|domain| {
                // Somebody may have put another one in its place; one that does not open takes no place.
                if let Some(last) = inner.store.read(|conn| hub_keys::last(conn, domain))?
                    && inner.hub_key_since(domain).is_some_and(|since| since != last.starts_at)
                {
                    inner.use_hub_key(&last)?;
                }
                inner.hub_key(domain, now).map(drop)
            })
        };
        self.0.blocking(Vec::new(), work).await
    }

    /// How long a hub key is kept after its period, and so how long messages can be reported.
    pub fn hub_key_kept(&self) -> std::time::Duration {
        self.0.keys.hub_key_kept
    }
}

impl Inner {
    /// The key with which messages are franked now, if it is in memory.
    pub(super) fn hub_key_at_hand(&self, domain: &Domain, now: Millis) -> Option<HubKey> {
        let cached = self.hub_keys.0.lock().unwrap_or_else(PoisonError::into_inner).get(domain).copied();
        cached.filter(|current| now < current.until).map(|current| current.key)
    }

    /// The key with which messages are franked now.
    pub(super) fn hub_key(&self, domain: &Domain, now: Millis) -> Result<HubKey, GatewayError> {
        if let Some(key) = self.hub_key_at_hand(domain, now) {
            return Ok(key);
        }
        let period = u64::try_from(self.keys.hub_key_period.as_millis()).map_err(GatewayError::internal)?;
        // Every replica comes to the same start, so that of several one is the first.
        let starts_at = Millis(now.0 - now.0 % period);
        let last = |of: &Domain| self.store.read(|conn| hub_keys::last(conn, of));
        let stored = match last(domain)?.filter(|last| last.starts_at >= starts_at) {
            Some(current) => current,
            None => {
                self.begin_period(domain, starts_at, now)?;
                last(domain)?.ok_or_else(|| GatewayError::internal("the key of this period is gone"))?
            }
        };
        self.use_hub_key(&stored)
    }

    /// Since when the key in memory is used.
    fn hub_key_since(&self, domain: &Domain) -> Option<Millis> {
        let cached = self.hub_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.get(domain).map(|current| current.since)
    }

    fn use_hub_key(&self, stored: &StoredHubKey) -> Result<HubKey, GatewayError> {
        let current = Current {
            key: self.unsealed(stored)?,
            since: stored.starts_at,
            until: stored.starts_at.plus(self.keys.hub_key_period),
        };
        self.hub_keys.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stored.domain.clone(), current);
        Ok(current.key)
    }

    fn begin_period(&self, domain: &Domain, starts_at: Millis, now: Millis) -> Result<(), GatewayError> {
        let mut key: HubKey = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(GatewayError::internal)?;
        let sealed = self.keys.sealer.seal(Purpose::HubKey, domain.as_str().as_bytes(), &key);
        let stored =
            StoredHubKey { domain: domain.clone(), starts_at, sealed: sealed.map_err(GatewayError::internal)? };
        let record = AuditRecord {
            reason: "period_begins".to_owned(),
            detail: json!({ "domain": domain, "starts_at": starts_at }),
            ..AuditRecord::new(Uuid::now_v7(), now, "key.hub_begun", Outcome::Info)
        };
        Ok(self.store.write(
            LANE,
            move |tx: &mut Tx<'_>| {
                if hub_keys::begin(tx, &stored)? { tx.stage(&record) } else { Ok(()) }
            },
        )?)
    }

    /// A stored key, opened.
    pub(super) fn unsealed(&self, stored: &StoredHubKey) -> Result<HubKey, GatewayError> {
        let opened = self.keys.sealer.open(Purpose::HubKey, stored.domain.as_str().as_bytes(), &stored.sealed);
        let opened = opened.map_err(GatewayError::internal)?;
        opened.try_into().map_err(|_| GatewayError::internal("a hub key has another length"))
    }
}
