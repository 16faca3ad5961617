//! What our users send to a room that another provider is the hub of: decided before it leaves, then sent as it is.
//!
//! The decision is durable before anything leaves, and the hub's answer before it is told. Whoever got none, because one
//! of the two has ended in between, and sends the same again, has it decided once more, with a record of that; the hub
//! knows the same bytes again (readings D-27, D-33), or the same key (reading D-15), and does nothing twice.

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::identity::credential::bound_client;
use portcullis_core::mls::Outline;
use portcullis_core::policy::NEUTRAL_SENTENCE;
use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::{GroupInfoRequest, GroupInfoResponse};
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::{UpdateRequest, UpdateResponse};
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use portcullis_store::follower::Joined;
use portcullis_store::rooms::RoomStatus;
use portcullis_store::{StoreError, Topic, Tx, answers, failpoint, follower, rooms};
use uuid::Uuid;

use super::decide::Case;
use super::follow::{self, Judged};
use super::once::{Kept, Once, Shown};
use super::places::Of;
use super::rates::RATE;
use super::replay::Replay;
use super::report::{self, Reported};
use super::{Answer, Caller, GatewayError, Inner, group_info, submit};
use crate::limits::TooMany;
use crate::peer::{Endpoint, PeerError};

/// Sends an UpdateRequest of one of our users to the room's hub.
pub(super) async fn update(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let user = own_user(caller)?;
    let request = super::decode::<UpdateRequest>(&body)?;
    let joiner = Outline::of(&request).map_err(GatewayError::decode)?.joiner;
    let (kind, message) = match &request {
        UpdateRequest::Commit(bundle) => ("decision.commit", Some(&bundle.commit)),
        UpdateRequest::Proposals(proposals) => ("decision.proposal", proposals.first()),
    };
    let (exchange, epoch) = (message.map(MlsMessage::hash), message.and_then(MlsMessage::epoch));
    let outbound = Outbound { kind, user, room, exchange, epoch };
    let judge = move |inner: &Arc<Inner>, case: &Case<'_>, user: &UserUri, room: &RoomUri| {
        follow::update(inner, case, user, room, &request)
    };
    let decision = match outbound.decide(inner, once, &body, judge, |_, refusal| refusal.encode()).await? {
        Ok(decision) => decision,
        Err(refused) => return Ok(refused),
    };
    // A device that joins must be known before the hub fans out to it.
    let attempt = match joiner {
        Some((client, _)) => outbound.join(inner, client).await?,
        None => None,
    };
    let answer = outbound.send(inner, once, Endpoint::Update(outbound.room.clone()), body).await?;
    let response = UpdateResponse::decode(&answer).map_err(GatewayError::peer)?;
    let answer = Answer { body: answer, decision: Some(decision) };
    let Some(attempt) = attempt else { return outbound.keep(inner, once, answer).await };
    let joined = if matches!(response, UpdateResponse::Success { .. }) { Joined::Yes } else { Joined::No };
    outbound.joined(inner, once, attempt, joined, answer).await
}

/// Sends an application message of one of our users to the room's hub.
pub(super) async fn submit(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let user = own_user(caller)?;
    let request = super::decode::<SubmitMessageRequest>(&body)?;
    if request.sender != user {
        return Err(GatewayError::WrongIdentity);
    }
    let (exchange, epoch) = (Some(request.message.hash()), request.message.epoch());
    let outbound = Outbound { kind: "decision.message", user, room, exchange, epoch };
    let judge = move |inner: &Arc<Inner>, case: &Case<'_>, _: &UserUri, room: &RoomUri| {
        Ok(Judged::from(follow::message(inner, case, room, &request)?))
    };
    let refusal = |_: &RoomUri, _| submit::answer(SubmitOutcome::NotAllowed);
    let decision = match outbound.decide(inner, once, &body, judge, refusal).await? {
        Ok(decision) => decision,
        Err(refused) => return Ok(refused),
    };
    let answer = outbound.send(inner, once, Endpoint::SubmitMessage(outbound.room.clone()), body).await?;
    SubmitMessageResponse::decode(&answer).map_err(GatewayError::peer)?;
    outbound.keep(inner, once, Answer { body: answer, decision: Some(decision) }).await
}

/// Sends a GroupInfoRequest of one of our users to the room's hub.
pub(super) async fn group_info(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let user = own_user(caller)?;
    let request = super::decode::<GroupInfoRequest>(&body)?;
    // The hub believes us that its requester is this user.
    let (client, named) = bound_client(&request.credential, &request.signature_key).map_err(GatewayError::decode)?;
    if named != user {
        return Err(GatewayError::WrongIdentity);
    }
    let exchange = Some(answers::scope(&[&body]));
    let outbound = Outbound { kind: "decision.group_info", user, room, exchange, epoch: None };
    let judge = move |inner: &Arc<Inner>, case: &Case<'_>, user: &UserUri, room: &RoomUri| {
        Ok(Judged::from(follow::group_info(inner, case, room, &request, &client, user)?))
    };
    let decision = match outbound.decide(inner, once, &body, judge, |room, _| group_info::denial(room)).await? {
        Ok(decision) => decision,
        Err(refused) => return Ok(refused),
    };
    let answer = outbound.send(inner, once, Endpoint::GroupInfo(outbound.room.clone()), body).await?;
    GroupInfoResponse::decode(&answer).map_err(GatewayError::peer)?;
    outbound.keep(inner, once, Answer { body: answer, decision: Some(decision) }).await
}

/// Sends an AbuseReport of one of our users to the room's hub. One without a name is the user's all the same, here.
pub(super) async fn report(
    inner: &Arc<Inner>,
    once: Once,
    caller: Caller,
    room: RoomUri,
    body: Bytes,
) -> Result<Kept, GatewayError> {
    let user = own_user(caller)?;
    let report = report::decode(&body)?;
    if report.reporter.as_ref().is_some_and(|named| *named != user) {
        return Err(GatewayError::WrongIdentity);
    }
    let exchange = Some(answers::scope(&[&body]));
    let outbound = Outbound { kind: "decision.report", user, room, exchange, epoch: None };
    let (user, room) = (outbound.user.clone(), outbound.room.clone());
    let decided = move |inner: &Arc<Inner>| {
        let case = Case {
            kind: "decision.report",
            room: Some(&room),
            actor: Some(user.to_string()),
            peer: user.domain(),
            epoch: None,
            exchange,
            now: inner.clock.now(),
        };
        inner.within_limits(&user, case.now)?;
        let decision = follow::report(inner, &case, &user, &room, &report)?;
        if !decision.allow {
            return inner.refuse(once, room.as_str(), &decision);
        }
        inner.record(room.as_str(), &decision)?;
        Ok(decision.id())
    };
    let decision = inner.blocking(outbound.of(), decided).await?;
    outbound.send(inner, once, Endpoint::ReportAbuse(outbound.room.clone()), body).await?;
    outbound.keep(inner, once, Reported { decision }).await
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
    /// Decides and records: what is allowed leaves only after its record is durable. Gives the decision, or the answer
    /// that `refusal` makes of one that denies.
    async fn decide(
        &self,
        inner: &Arc<Inner>,
        once: Once,
        body: &Bytes,
        judge: impl FnOnce(&Arc<Inner>, &Case<'_>, &UserUri, &RoomUri) -> Result<Judged, GatewayError> + Send + 'static,
        refusal: fn(&RoomUri, UpdateResponse) -> Vec<u8>,
    ) -> Result<Result<Uuid, Kept>, GatewayError> {
        self.catch_up(inner).await?;
        let (kind, exchange, epoch) = (self.kind, self.exchange, self.epoch);
        let (user, room, body) = (self.user.clone(), self.room.clone(), body.clone());
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
            let Judged { decision, refusal: words } = judge(inner, &case, &user, &room)?;
            if decision.allow {
                let counted = || Replay::of(RATE, &Caller::User(user.clone()), &room, &body);
                if let Err(too_many) = inner.count(&user, &decision, counted) {
                    inner.record(room.as_str(), &case.hold_back(&decision))?;
                    return Err(too_many.into());
                }
                inner.record(room.as_str(), &decision)?;
                return Ok(Ok(decision.id()));
            }
            inner.answer_refusal(once, room.as_str(), decision, refusal(&room, words)).map(Err)
        };
        inner.blocking(self.of(), judged).await
    }

    /// A client knows its own commit before the hub has fanned it out to us: waits for the tracked group to get there.
    async fn catch_up(&self, inner: &Arc<Inner>) -> Result<(), GatewayError> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        let mut changed = inner.store.changes(Topic::Followed);
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
    async fn joined(
        &self,
        inner: &Arc<Inner>,
        once: Once,
        attempt: Attempt,
        joined: Joined,
        answer: Answer,
    ) -> Result<Kept, GatewayError> {
        let room = self.room.clone();
        let ended = move |tx: &mut Tx<'_>| {
            follower::end_attempt(tx, &room, &attempt.client, attempt.id, joined)?;
            once.keep(tx, answer.clone())
        };
        let lane = self.room.to_string();
        inner.blocking(self.of(), move |inner| Ok(inner.store.write(&lane, ended)?)).await
    }

    async fn keep(
        &self,
        inner: &Inner,
        once: Once,
        answer: impl Shown + Clone + Send + 'static,
    ) -> Result<Kept, GatewayError> {
        inner.keep_passed_on(once, self.room.as_str(), answer).await
    }

    fn of(&self) -> Vec<Of> {
        vec![Of::Room(self.room.clone()), Of::User(self.user.clone())]
    }

    async fn send(
        &self,
        inner: &Arc<Inner>,
        once: Once,
        endpoint: Endpoint,
        body: Bytes,
    ) -> Result<Vec<u8>, GatewayError> {
        send(inner, once, &self.user.domain(), &self.room.domain(), endpoint, body).await
    }
}

fn own_user(caller: Caller) -> Result<UserUri, GatewayError> {
    match caller {
        Caller::User(user) => Ok(user),
        // A room that we are not the hub of is none of another provider's business here.
        Caller::Peer(_) => Err(GatewayError::NotFound),
    }
}

/// Posts `body` to another provider and gives its answer. A request that names itself has the same key every time.
pub(super) async fn send(
    inner: &Arc<Inner>,
    once: Once,
    own: &Domain,
    to: &Domain,
    endpoint: Endpoint,
    body: Bytes,
) -> Result<Vec<u8>, GatewayError> {
    let key = once.passed_on();
    // Whether a report is taken is the hub's own decision, and an HTTP status is all it has to say so.
    let has_no_answer = matches!(endpoint, Endpoint::ReportAbuse(_));
    let answer =
        inner.peers.post(own, to, endpoint, body, key.as_deref()).await.map_err(|error: PeerError| {
            match (error.status(), error.retry_after()) {
                (Some(404), _) => GatewayError::NotFound,
                (Some(429), Some(wait)) => TooMany { wait }.into(),
                (Some(403), _) if has_no_answer => {
                    GatewayError::Refused { code: "not_allowed", sentence: NEUTRAL_SENTENCE.to_owned(), decision: None }
                }
                _ => GatewayError::peer(error),
            }
        })?;
    failpoint("passed_on.answered");
    Ok(answer.body.to_vec())
}
