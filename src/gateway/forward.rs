//! What our users send to a room that another provider is the hub of: decided before it leaves, then sent as it is.

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::identity::credential::bound_client;
use portcullis_core::mls::Outline;
use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::{GroupInfoRequest, GroupInfoResponse};
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::{UpdateRequest, UpdateResponse};
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use portcullis_store::follower::Joined;
use portcullis_store::rooms::RoomStatus;
use portcullis_store::{StoreError, Topic, Tx, answers, follower, rooms};
use uuid::Uuid;

use super::decide::Case;
use super::follow::{self, Judged};
use super::places::Of;
use super::{Answer, Caller, GatewayError, Inner, group_info, submit};
use crate::limits::TooMany;
use crate::peer::{Endpoint, PeerError};

/// Sends an UpdateRequest of one of our users to the room's hub.
pub(super) async fn update(
    inner: &Arc<Inner>,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Answer, GatewayError> {
    let user = own_user(caller)?;
    let request = super::decode::<UpdateRequest>(&body)?;
    let joiner = Outline::of(&request).map_err(GatewayError::decode)?.joiner;
    let (kind, message) = match &request {
        UpdateRequest::Commit(bundle) => ("decision.commit", Some(&bundle.commit)),
        UpdateRequest::Proposals(proposals) => ("decision.proposal", proposals.first()),
    };
    let (exchange, epoch) = (message.map(MlsMessage::hash), message.and_then(MlsMessage::epoch));
    let outbound = Outbound { kind, user, room, exchange, epoch };
    let judged =
        outbound.decide(inner, move |inner, case, user, room| follow::update(inner, case, user, room, &request));
    let Judged { decision, refusal } = judged.await?;
    if !decision.allow {
        return Ok(Answer { body: refusal.encode(), decision: Some(decision.id()) });
    }
    // A device that joins must be known before the hub fans out to it.
    let attempt = match joiner {
        Some((client, _)) => outbound.join(inner, client).await?,
        None => None,
    };
    let answer = outbound.send(inner, Endpoint::Update(outbound.room.clone()), body).await?;
    let response = UpdateResponse::decode(&answer).map_err(GatewayError::peer)?;
    if let Some(attempt) = attempt {
        let joined = if matches!(response, UpdateResponse::Success { .. }) { Joined::Yes } else { Joined::No };
        outbound.joined(inner, attempt, joined).await?;
    }
    Ok(Answer { body: answer, decision: Some(decision.id()) })
}

/// Sends an application message of one of our users to the room's hub.
pub(super) async fn submit(
    inner: &Arc<Inner>,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Answer, GatewayError> {
    let user = own_user(caller)?;
    let request = super::decode::<SubmitMessageRequest>(&body)?;
    if request.sender != user {
        return Err(GatewayError::WrongIdentity);
    }
    let (exchange, epoch) = (Some(request.message.hash()), request.message.epoch());
    let outbound = Outbound { kind: "decision.message", user, room, exchange, epoch };
    let decided = outbound
        .decide(inner, move |inner, case, _, room| Ok(Judged::from(follow::message(inner, case, room, &request)?)));
    let decision = decided.await?.decision;
    if !decision.allow {
        return Ok(Answer { body: submit::answer(SubmitOutcome::NotAllowed), decision: Some(decision.id()) });
    }
    let answer = outbound.send(inner, Endpoint::SubmitMessage(outbound.room.clone()), body).await?;
    SubmitMessageResponse::decode(&answer).map_err(GatewayError::peer)?;
    Ok(Answer { body: answer, decision: Some(decision.id()) })
}

/// Sends a GroupInfoRequest of one of our users to the room's hub.
pub(super) async fn group_info(
    inner: &Arc<Inner>,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Answer, GatewayError> {
    let user = own_user(caller)?;
    let request = super::decode::<GroupInfoRequest>(&body)?;
    // The hub believes us that its requester is this user.
    let (client, named) = bound_client(&request.credential, &request.signature_key).map_err(GatewayError::decode)?;
    if named != user {
        return Err(GatewayError::WrongIdentity);
    }
    let exchange = Some(answers::scope(&[&body]));
    let outbound = Outbound { kind: "decision.group_info", user, room, exchange, epoch: None };
    let decided = outbound.decide(inner, move |inner, case, user, room| {
        Ok(Judged::from(follow::group_info(inner, case, room, &request, &client, user)?))
    });
    let decision = decided.await?.decision;
    if !decision.allow {
        return Ok(Answer { body: group_info::denial(&outbound.room), decision: Some(decision.id()) });
    }
    let answer = outbound.send(inner, Endpoint::GroupInfo(outbound.room.clone()), body).await?;
    GroupInfoResponse::decode(&answer).map_err(GatewayError::peer)?;
    Ok(Answer { body: answer, decision: Some(decision.id()) })
}

/// An attempt of a client to join by an external commit.
struct Attempt {
    client: ClientUri,
    id: Uuid,
}

struct Outbound {
    kind: &'static str,
    user: UserUri,
    room: RoomUri,
    exchange: Option<[u8; 32]>,
    /// The MLS epoch that it is of, where it is of one.
    epoch: Option<u64>,
}

impl Outbound {
    /// Decides and records: what is allowed leaves only after its record is durable.
    async fn decide(
        &self,
        inner: &Arc<Inner>,
        judge: impl FnOnce(&Arc<Inner>, &Case<'_>, &UserUri, &RoomUri) -> Result<Judged, GatewayError> + Send + 'static,
    ) -> Result<Judged, GatewayError> {
        self.catch_up(inner).await?;
        let (kind, exchange, epoch) = (self.kind, self.exchange, self.epoch);
        let (user, room) = (self.user.clone(), self.room.clone());
        let judged = move |inner: &Arc<Inner>| {
            let case = Case {
                kind,
                room: Some(&room),
                actor: Some(user.to_string()),
                peer: user.domain(),
                epoch,
                exchange,
                now: inner.clock.now(),
            };
            let judged = judge(inner, &case, &user, &room)?;
            inner.record(room.as_str(), &judged.decision)?;
            Ok(judged)
        };
        inner.blocking(self.of(), judged).await
    }

    /// A client knows its own commit before the hub has fanned it out to us: waits for the tracked group to get there.
    async fn catch_up(&self, inner: &Arc<Inner>) -> Result<(), GatewayError> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        let mut changed = inner.store.changes(Topic::Staged);
        let caught_up = async {
            loop {
                changed.mark_unchanged();
                let room = self.room.clone();
                let head = move |inner: &Arc<Inner>| Ok(inner.store.read(|conn| rooms::head(conn, &room))?);
                let head = inner.blocking(self.of(), head).await?;
                let behind = head.is_some_and(|head| head.status == RoomStatus::Followed && head.epoch < epoch);
                if !behind || changed.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(follow::CATCHING_UP, caught_up).await.unwrap_or(Ok(()))
    }

    /// Has the hub's events for the room go to `client` from now on; gives the attempt if only that has it there.
    async fn join(&self, inner: &Arc<Inner>, client: ClientUri) -> Result<Option<Attempt>, GatewayError> {
        let (room, now, id) = (self.room.clone(), inner.clock.now(), Uuid::now_v7());
        let attempted = move |tx: &mut Tx<'_>| {
            let alone = follower::attempt_join(tx, &room, &client, id, now)?;
            Ok::<_, StoreError>(alone.then(|| Attempt { client: client.clone(), id }))
        };
        let lane = self.room.to_string();
        inner.blocking(self.of(), move |inner| Ok(inner.store.write(&lane, attempted)?)).await
    }

    /// The hub has answered. Whatever else has let the client in meanwhile stands.
    async fn joined(&self, inner: &Arc<Inner>, attempt: Attempt, joined: Joined) -> Result<(), GatewayError> {
        let room = self.room.clone();
        let ended = move |tx: &mut Tx<'_>| follower::end_attempt(tx, &room, &attempt.client, attempt.id, joined);
        let lane = self.room.to_string();
        inner.blocking(self.of(), move |inner| Ok(inner.store.write(&lane, ended)?)).await
    }

    fn of(&self) -> Vec<Of> {
        vec![Of::Room(self.room.clone()), Of::User(self.user.clone())]
    }

    async fn send(&self, inner: &Arc<Inner>, endpoint: Endpoint, body: Bytes) -> Result<Vec<u8>, GatewayError> {
        send(inner, &self.user.domain(), &self.room.domain(), endpoint, body).await
    }
}

fn own_user(caller: Caller) -> Result<UserUri, GatewayError> {
    match caller {
        Caller::User(user) => Ok(user),
        // A room that we are not the hub of is none of another provider's business here.
        Caller::Peer(_) => Err(GatewayError::NotFound),
    }
}

/// Posts `body` to another provider and gives its answer.
pub(super) async fn send(
    inner: &Arc<Inner>,
    own: &Domain,
    to: &Domain,
    endpoint: Endpoint,
    body: Bytes,
) -> Result<Vec<u8>, GatewayError> {
    let answer = inner.peers.post(own, to, endpoint, body, None).await.map_err(|error: PeerError| {
        match (error.status(), error.retry_after()) {
            (Some(404), _) => GatewayError::NotFound,
            (Some(429), Some(wait)) => TooMany { wait }.into(),
            _ => GatewayError::peer(error),
        }
    })?;
    Ok(answer.body.to_vec())
}
