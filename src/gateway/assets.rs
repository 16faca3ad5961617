//! Downloads of files that users of rooms keep at hosts of their providers: as hub for other providers and for our own users,
//! and by way of the hub for users of ours in rooms of others (readings D-57, D-58). A host that neither a room of ours nor a
//! peer names is none from which anything is fetched; what is named is decided by policy, and on the record, before that.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_core::policy::{DoorAct, DoorQuestion};
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::{answers, asset_hosts, follower};
use serde_json::json;

use super::decide::Case;
use super::once::Once;
use super::places::Of;
use super::{Caller, Gateway, GatewayError, Inner};
use crate::assets::{Asked, AssetUrl, Download, FetchError, Fetched};
use crate::limits::TooMany;
use crate::peer::PeerError;

/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 3;
/// How long whoever is not told how long is to wait.
const USUAL_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

impl Gateway {
    /// Downloads a file for another provider, which does not say for which user and room. Each host that a redirect leads to is
    /// decided about like the first.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] for a host from which nothing is fetched and by policy, [`GatewayError::NotFound`] where the
    /// host has nothing for us, [`GatewayError::PeerUnreachable`] where it does not answer or with too much,
    /// [`GatewayError::TooMany`] beyond the limit of the caller or the host.
    pub async fn proxy_download(&self, from: Domain, url: AssetUrl, asked: Asked) -> Result<Download, GatewayError> {
        fetch(&self.0, &Caller::Peer(from), None, url, &asked).await
    }

    /// Downloads a file for a user of ours who is in a room: from its host where the room is ours, and else by way of its hub.
    ///
    /// # Errors
    ///
    /// As [`Self::proxy_download`], and [`GatewayError::NotFound`] for a room that the user has no part in.
    pub async fn room_download(
        &self,
        user: UserUri,
        room: RoomUri,
        url: AssetUrl,
        asked: Asked,
    ) -> Result<Download, GatewayError> {
        let (inner, caller) = (&self.0, Caller::User(user.clone()));
        if inner.hosts(&room) {
            return fetch(inner, &caller, Some(room), url, &asked).await;
        }
        let deadline = inner.assets.deadline();
        let (own, hub, who) = (user.domain(), room.domain(), user.to_string());
        let about = (hub.clone(), url.clone());
        inner
            .blocking(vec![Of::from(&caller)], move |inner| {
                inner.claims.take_download(&user)?;
                let (hub, url) = about;
                let download = Wanted::new(inner, &caller, Some(&room), &url);
                let devices = inner.store.read(|conn| follower::devices(conn, &room))?;
                let blocked = inner.tracked(&room)?.is_some_and(|tracked| tracked.blocks(&user));
                if blocked || !devices.keys().any(|device| device.user().as_ref() == Some(&user)) {
                    return inner.hide(Once::unnamed(), &room, &download.case());
                }
                // Whose host it is said to be here may forbid it here, whatever its hub thinks.
                let mut configured = configured_owners(inner, url.host());
                configured.insert(hub);
                download.permit(&Owners { configured, named: BTreeSet::new() })
            })
            .await?;
        let from = format!("{own} {hub}");
        let send = async |headers| inner.peers.download(&own, &hub, url.as_str(), headers).await.map_err(Failure::Peer);
        match inner.assets.through((&who, &from), (&url, &asked), (inner.clock.now(), deadline), send).await? {
            Fetched::Download(download) => Ok(download),
            // The hub follows redirects, and nobody follows one of a hub.
            Fetched::Elsewhere(_) => Err(GatewayError::peer("hub answers a download with a redirect")),
        }
    }
}

/// Fetches as hub.
async fn fetch(
    inner: &Arc<Inner>,
    caller: &Caller,
    room: Option<RoomUri>,
    url: AssetUrl,
    asked: &Asked,
) -> Result<Download, GatewayError> {
    let mut at = url;
    // One for all hops: each that led elsewhere has had its part of it.
    let (who, deadline) = (actor(caller).to_string(), inner.assets.deadline());
    for hop in 0..=MOST_REDIRECTS {
        let (caller, room, url) = (caller.clone(), room.clone(), at.clone());
        inner
            .blocking(vec![Of::from(&caller)], move |inner| {
                let download = Wanted::new(inner, &caller, room.as_ref(), &url);
                if hop == 0 {
                    inner.claims.take_download(&download.actor)?;
                    download.takes_part(&caller)?;
                }
                download.permit(&owners(inner, url.host())?)
            })
            .await?;
        match inner.assets.fetch(&who, (&at, asked), (inner.clock.now(), deadline)).await.map_err(Failure::Fetch)? {
            Fetched::Download(download) => return Ok(download),
            Fetched::Elsewhere(next) => at = next,
        }
    }
    Err(GatewayError::peer("asset host redirects too often"))
}

/// Whose asset host something is: ours, or of peers who may come in.
struct Owners {
    /// As we and they say: each of them must be allowed to have files fetched, so that naming another one gets past no refusal.
    configured: BTreeSet<Domain>,
    /// As rooms of ours say, which counts where nobody else says anything: one is enough.
    named: BTreeSet<Domain>,
}

fn owners(inner: &Inner, host: &Domain) -> Result<Owners, GatewayError> {
    let mut named: BTreeSet<Domain> = match inner.assets.takes_hosts_of_rooms() {
        true => inner.store.read(|conn| asset_hosts::providers(conn, host))?,
        false => BTreeSet::new(),
    };
    named.retain(|provider| inner.is_ours(provider) || inner.peers.list().admits(provider).is_some());
    Ok(Owners { configured: configured_owners(inner, host), named })
}

fn configured_owners(inner: &Inner, host: &Domain) -> BTreeSet<Domain> {
    let own = inner.assets.is_own(host).then(|| inner.domains.first().cloned()).flatten();
    inner.peers.list().with_asset_host(host).into_iter().chain(own).collect()
}

/// In whose name a caller downloads.
fn actor(caller: &Caller) -> UserUri {
    match caller {
        Caller::Peer(domain) => UserUri::provider(domain),
        Caller::User(user) => user.clone(),
    }
}

/// A download that is asked for.
struct Wanted<'a> {
    inner: &'a Inner,
    actor: UserUri,
    source: Domain,
    room: Option<&'a RoomUri>,
    url: &'a AssetUrl,
}

impl<'a> Wanted<'a> {
    fn new(inner: &'a Inner, caller: &Caller, room: Option<&'a RoomUri>, url: &'a AssetUrl) -> Self {
        Self { inner, actor: actor(caller), source: caller.domain(), room, url }
    }

    /// What was downloaded is on the record as a hash, which whoever knows the address can make again.
    fn case(&self) -> Case<'a> {
        Case {
            kind: "decision.download",
            room: self.room,
            actor: Some(self.actor.to_string()),
            peer: self.source.clone(),
            epoch: None,
            exchange: Some(answers::scope(&[self.url.as_str().as_bytes()])),
            now: self.inner.clock.now(),
        }
    }

    /// That a user of ours is in the room of ours in whose name it downloads.
    fn takes_part(&self, caller: &Caller) -> Result<(), GatewayError> {
        let (Some(room), Caller::User(user)) = (self.room, caller) else { return Ok(()) };
        let hosted = self.inner.hosted(room)?;
        if hosted.state.takes_part(user) && !hosted.blocks(user) {
            return Ok(());
        }
        self.inner.hide(Once::unnamed(), room, &self.case())
    }

    fn permit(&self, owners: &Owners) -> Result<(), GatewayError> {
        permit(self.inner, &self.case(), &self.actor, (self.url.host(), owners))
    }
}

/// That a user of ours has `hub` fetch a file which only that hub knows: its host stands for that of the file.
pub(super) fn permit_relay(inner: &Inner, user: &UserUri, hub: &Domain) -> Result<(), GatewayError> {
    let case = Case {
        kind: "decision.download",
        room: None,
        actor: Some(user.to_string()),
        peer: user.domain(),
        epoch: None,
        exchange: None,
        now: inner.clock.now(),
    };
    let owners = Owners { configured: BTreeSet::from([hub.clone()]), named: BTreeSet::new() };
    permit(inner, &case, user, (hub, &owners))
}

/// Counts and records what a relay has handed in and is answered inside with this status, for it asks for no file.
pub(super) fn refuse_inside(inner: &Inner, from: &Domain, status: u16) -> Result<(), GatewayError> {
    let actor = UserUri::provider(from);
    inner.claims.take_download(&actor)?;
    let case = Case {
        kind: "decision.download",
        room: None,
        actor: Some(actor.to_string()),
        peer: from.clone(),
        epoch: None,
        exchange: None,
        now: inner.clock.now(),
    };
    let refused = case.refuse("malformed", "not_a_download", json!({ "status": status }));
    inner.record(actor.as_str(), &refused)
}

/// Asks policy about the providers whose host it is said to be ([`Owners`]).
fn permit(
    inner: &Inner,
    case: &Case<'_>,
    actor: &UserUri,
    (host, owners): (&Domain, &Owners),
) -> Result<(), GatewayError> {
    let active = inner.policy.active();
    let lane = case.room.map_or_else(|| actor.to_string(), RoomUri::to_string);
    let all = !owners.configured.is_empty();
    let (mut refused, mut allowed) = (None, Vec::new());
    for owner in if all { &owners.configured } else { &owners.named } {
        let (act, now) = (DoorAct::Download(host), case.now);
        let question = DoorQuestion { act, actor, door: owner, source: &case.peer, now };
        let decision = case.decide_door(&active, &question);
        let decided = decision.allow != all;
        if decision.allow {
            allowed.push(decision);
        } else {
            refused = Some(decision);
        }
        if decided {
            break;
        }
    }
    if !allowed.is_empty() && (!all || refused.is_none()) {
        return allowed.iter().try_for_each(|decision| inner.record(&lane, decision));
    }
    let refused = refused.unwrap_or_else(|| case.refuse("not_allowed", "not_an_asset_host", json!({ "host": host })));
    inner.refuse(Once::unnamed(), &lane, &refused)
}

/// Why nothing came.
enum Failure {
    Fetch(FetchError),
    Peer(PeerError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<Failure> for GatewayError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fetch(FetchError::Busy) => Self::busy("as many downloads run as may"),
            Failure::Fetch(FetchError::Missing(_)) => Self::NotFound,
            Failure::Fetch(FetchError::Later(wait)) => TooMany { wait: wait.unwrap_or(USUAL_WAIT) }.into(),
            Failure::Fetch(error) => Self::peer(error),
            Failure::Peer(error) => Self::peer(error),
        }
    }
}
