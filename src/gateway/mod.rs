//! Use cases, one file each: the only place that orders the stages. A use case reads what it needs, lets the pure
//! stages of `portcullis-core` work, and writes effect and audit record in one transaction.

pub mod access;
mod added;
mod addresses;
pub mod admin;
mod assets;
mod claims;
mod clock;
mod consent;
mod create_room;
pub mod data_keys;
mod decide;
mod destroy;
mod devices;
mod error;
pub mod exports;
mod fan_out;
mod follow;
mod forward;
mod franking;
mod group_info;
pub mod join_codes;
mod key_material;
mod keys;
pub mod lanes;
mod line;
pub mod moderation;
mod next_group;
mod oblivious;
mod once;
pub mod people;
mod places;
mod policy;
mod present;
mod rates;
mod reissue;
mod replay;
mod report;
pub mod reports;
pub mod ring;
mod role_sets;
pub mod rollout;
mod rooms;
mod seal;
mod search;
mod streams;
mod submit;
mod ties;
mod update;

pub use addresses::asked_record;
pub use claims::Claims;
pub use clock::Clock;
pub use consent::{ConsentChange, ConsentEndpoint};
pub use create_room::{CreatedRoom, NewRoom};
pub use destroy::{Destroyed, Ended, Order};
pub use devices::Unclaimed;
pub use error::GatewayError;
pub use keys::{HubKeys, KeyError, log_key};
pub use oblivious::{PERIOD as OHTTP_PERIOD, Relayed, oldest_period};
pub use once::{Content, Kept, Once, Reply, ShowRefusal, Shown};
pub use policy::{
    Active, Change, Changes, Patience, Policy, PolicyError, Replayer, Report, Sample, ShadowView, Window, envelope,
    files as policy_files, keep_simulation, shadow, shown, sign_bundle, simulate,
};
pub use report::{Reporters, code as verdict_code};
pub use seal::{Closed, Purpose, Purpose as SealedFor, Sealer};
pub use streams::{DeviceStream, Wake};

use std::sync::{Arc, Mutex};

use actix_web::web::Bytes;
use portcullis_core::identity::credential::provider_credential;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::FrankingAgent;
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::Store;
use uuid::Uuid;

use crate::addresses::Resolver;
use crate::assets::Fetcher;
use crate::limits::Limiter;
use crate::peer::Peers;
use franking::HubKeyCache;
use line::Lines;
use places::{Of, Places};
use policy::envelope::Published;
use rates::Rates;
use replay::Taken;
use role_sets::KeptRoles;
use rooms::RoomCache;
use streams::Streams;

/// Who asks, after the door has authenticated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Another provider, by its certificate and `From`.
    Peer(Domain),
    /// One of our users, by its token.
    User(UserUri),
}

impl Caller {
    /// The provider that the request comes from.
    pub fn domain(&self) -> Domain {
        match self {
            Self::Peer(domain) => domain.clone(),
            Self::User(user) => user.domain(),
        }
    }

    /// Whether this caller may speak for `user`: a provider for its own users, a user for itself.
    pub fn speaks_for(&self, user: &UserUri) -> bool {
        match self {
            Self::Peer(domain) => user.domain() == *domain,
            Self::User(own) => own == user,
        }
    }
}

/// What a use case answers: the body for the wire, and the decision behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// TLS-encoded MIMI structure.
    pub body: Vec<u8>,
    /// The decision that the audit log holds, where one was made.
    pub decision: Option<Uuid>,
}

/// What a gateway is made of.
pub struct Parts {
    /// The company's provider domains; the first is the default.
    pub domains: Vec<Domain>,
    /// The database.
    pub store: Store,
    /// The active policy bundle.
    pub policy: Policy,
    /// The other providers.
    pub peers: Peers,
    /// What the hub signs with.
    pub keys: HubKeys,
    /// Where the present comes from.
    pub clock: Clock,
    /// How often key packages of a user may be claimed.
    pub claims: Claims,
    /// How much one reporter may report.
    pub reporters: Reporters,
    /// Fetches what users keep elsewhere.
    pub assets: Fetcher,
    /// Finds the providers of e-mail addresses.
    pub addresses: Resolver,
}

/// A handle on the whole gateway; clones share everything.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    parts: Parts,
    rooms: RoomCache,
    kept_roles: KeptRoles,
    /// Held while decisions about peers are read and put in force.
    peers_turn: Mutex<()>,
    /// Number of the last change of what the identity provider says that is in force; held while it is read.
    people_heard: Mutex<people::Heard>,
    places: Arc<Places>,
    streams: Arc<Streams>,
    /// Reads of a room's GroupInfo by one user.
    reads: Limiter<(RoomUri, UserUri)>,
    /// Deletions of one user's devices, and of the user.
    deletions: Limiter<UserUri>,
    hub_keys: HubKeyCache,
    lines: Lines,
    rates: Rates,
    taken: Taken,
    published: Published,
    ohttp_published: oblivious::Published,
}

impl Gateway {
    /// Puts a gateway together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            rooms: RoomCache::default(),
            kept_roles: KeptRoles::default(),
            peers_turn: Mutex::default(),
            people_heard: Mutex::default(),
            places: Arc::default(),
            streams: Arc::default(),
            reads: Limiter::new(group_info::USER_READS),
            deletions: Limiter::new(devices::DELETIONS),
            hub_keys: HubKeyCache::default(),
            lines: Lines::default(),
            rates: Rates::default(),
            taken: Taken::default(),
            published: Published::default(),
            ohttp_published: oblivious::Published::default(),
        }))
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The company's provider domains.
    pub fn domains(&self) -> &[Domain] {
        &self.0.parts.domains
    }

    /// The other providers.
    pub fn peers(&self) -> &Peers {
        &self.0.parts.peers
    }

    /// The active policy bundle.
    pub fn policy(&self) -> &Policy {
        &self.0.parts.policy
    }

    /// Where the present comes from.
    pub fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    /// Answers a KeyMaterialRequest: from our own devices, or by asking the provider that has them.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; what the protocol can refuse is an answer.
    pub async fn key_material(
        &self,
        once: Once,
        caller: Caller,
        target: UserUri,
        body: Bytes,
    ) -> Result<Kept, GatewayError> {
        key_material::answer(&self.0, once, caller, target, body).await
    }

    async fn as_hub(
        &self,
        once: Once,
        caller: Caller,
        room: RoomUri,
        body: Bytes,
        work: impl Fn(&Arc<Inner>, Once, &Caller, &RoomUri, &[u8]) -> Result<Kept, GatewayError> + Send + 'static,
    ) -> Result<Kept, GatewayError> {
        let places = vec![Of::Room(room.clone()), Of::from(&caller)];
        self.0.blocking(places, move |inner| work(inner, once, &caller, &room, &body)).await
    }

    /// Takes an UpdateRequest: decides it as hub, or decides and forwards it to the room's hub.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; what the protocol can refuse is an answer.
    pub async fn update_room(
        &self,
        once: Once,
        caller: Caller,
        room: RoomUri,
        body: Bytes,
    ) -> Result<Kept, GatewayError> {
        if self.0.hosts(&room) {
            self.as_hub(once, caller, room, body, update::accept).await
        } else {
            forward::update(&self.0, once, caller, room, body).await
        }
    }

    /// Takes a SubmitMessageRequest: decides it as hub, or decides and forwards it to the room's hub.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; what the protocol can refuse is an answer.
    pub async fn submit_message(
        &self,
        once: Once,
        caller: Caller,
        room: RoomUri,
        body: Bytes,
    ) -> Result<Kept, GatewayError> {
        if self.0.hosts(&room) {
            submit::accept(&self.0, once, caller, room, body).await
        } else {
            forward::submit(&self.0, once, caller, room, body).await
        }
    }

    /// Answers a GroupInfoRequest as hub, or forwards it to the room's hub.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; what the protocol can refuse is an answer.
    pub async fn group_info(
        &self,
        once: Once,
        caller: Caller,
        room: RoomUri,
        body: Bytes,
    ) -> Result<Kept, GatewayError> {
        if self.0.hosts(&room) {
            self.as_hub(once, caller, room, body, group_info::answer).await
        } else {
            forward::group_info(&self.0, once, caller, room, body).await
        }
    }

    /// Takes an AbuseReport: as hub, or decides and forwards it to the room's hub. Muted, suspended and frozen users may
    /// report too.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] by policy, [`GatewayError::TooMany`] for a reporter that is over its limit. What a
    /// message proves is no reason for an error.
    pub async fn report_abuse(
        &self,
        once: Once,
        caller: Caller,
        room: RoomUri,
        body: Bytes,
    ) -> Result<Kept, GatewayError> {
        if self.0.hosts(&room) {
            self.as_hub(once, caller, room, body, report::accept).await
        } else {
            forward::report(&self.0, once, caller, room, body).await
        }
    }

    /// Takes what the hub of a room fans out to us: all of it is durable, or none.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; [`GatewayError::NotFound`] for a room that none of our devices is in.
    pub async fn notify(&self, from: Domain, room: RoomUri, body: Bytes) -> Result<(), GatewayError> {
        self.0
            .blocking(vec![Of::Room(room.clone()), Of::Peer(from.clone())], move |inner| {
                follow::accept(inner, &from, &room, &body)
            })
            .await
    }

    /// Takes the signed GroupInfo (raw or an MLSMessage) and ratchet tree (`optional<Node> nodes<V>`) of a room that
    /// another provider hosts, from one of our clients in it; from then on the room's group is tracked.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] when it cannot be the room's group as it is now, [`GatewayError::Conflict`] for a room
    /// of our own, [`GatewayError::NotFound`] for one that nothing has come of.
    pub async fn take_up(
        &self,
        user: UserUri,
        room: RoomUri,
        group_info: Bytes,
        ratchet_tree: Bytes,
    ) -> Result<Answer, GatewayError> {
        follow::take_up(&self.0, user, room, group_info, ratchet_tree).await
    }

    /// Gives up waiting for commits that should have come before what has come of rooms of other hubs. A room in which
    /// that fails holds no other up: it is logged, and tried again the next time.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] when it cannot be read which rooms these are.
    pub async fn give_up_waiting(&self) -> Result<(), GatewayError> {
        let work = |inner: &Arc<Inner>| {
            let rooms = follow::overdue(inner)?;
            for room in &rooms {
                if let Err(error) = follow::give_up_waiting(inner, room) {
                    tracing::warn!(%room, error = crate::peer::causes(&error), "overdue commit is still waited for");
                }
            }
            Ok(())
        };
        self.0.blocking(Vec::new(), work).await
    }

    /// Creates the record of a room and answers what its first group must be started with ([`CreatedRoom`]).
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] by policy, [`GatewayError::Conflict`] when the room exists.
    pub async fn create_room(&self, once: Once, creator: UserUri, room: NewRoom) -> Result<Kept, GatewayError> {
        let of = vec![Of::User(creator.clone())];
        self.0.blocking(of, move |inner| create_room::create(inner, once, &creator, &room)).await
    }

    /// Takes the first GroupInfo (an MLSMessage) and ratchet tree (`optional<Node> nodes<V>`) of a room.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] when the group is not what the room was created with,
    /// [`GatewayError::Conflict`] when it has one already.
    pub async fn start_group(
        &self,
        user: UserUri,
        room: RoomUri,
        group_info: Bytes,
        ratchet_tree: Bytes,
    ) -> Result<Answer, GatewayError> {
        self.0
            .blocking(vec![Of::Room(room.clone()), Of::User(user.clone())], move |inner| {
                create_room::start_group(inner, &user, &room, &group_info, &ratchet_tree)
            })
            .await
    }
}

/// Reads a body that an endpoint takes.
fn decode<T: Wire>(body: &[u8]) -> Result<T, GatewayError> {
    tracing::info_span!("decode").in_scope(|| T::decode(body)).map_err(GatewayError::decode)
}

impl std::ops::Deref for Inner {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Inner {
    /// Whether we are the hub of `room`.
    fn hosts(&self, room: &RoomUri) -> bool {
        self.is_ours(&room.domain())
    }

    /// The hub's key as it stands among the external senders of our rooms' groups (reading D-52).
    fn hub_sender(&self, domain: &Domain) -> ExternalSender {
        ExternalSender { signature_key: self.keys.hub.current().public(), credential: provider_credential(domain) }
    }

    /// The hub's franking key as it stands in our rooms.
    fn franking_agent(&self, domain: &Domain) -> FrankingAgent {
        FrankingAgent { signature_key: self.keys.franking.current().public(), credential: provider_credential(domain) }
    }

    fn is_ours(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }
}
