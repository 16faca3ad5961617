//! What our users send to a room that another provider is the hub of: decided before it leaves, then sent as it is.

use std::sync::Arc;

use actix_web::web::Bytes;
use portcullis_core::identity::credential::client_of;
use portcullis_core::mls::Outline;
use portcullis_core::policy::{Question, Side};
use portcullis_core::room::Actor;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::group_info::{GroupInfoRequest, GroupInfoResponse};
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse, SubmitOutcome};
use portcullis_core::wire::update::{UpdateRequest, UpdateResponse};
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use portcullis_store::{StoreError, Tx, answers, follower};

use super::decide::{Case, Decision, bare_facts};
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
    let outline = Outline::of(&request).map_err(GatewayError::decode)?;
    if outline.joiner.as_ref().is_some_and(|(_, joiner)| *joiner != user) {
        return Err(GatewayError::WrongIdentity);
    }
    let (kind, message) = match &request {
        UpdateRequest::Commit(bundle) => ("decision.commit", Some(&bundle.commit)),
        UpdateRequest::Proposals(proposals) => ("decision.proposal", proposals.first()),
    };
    let exchange = message.map(|message| message.hash());
    let outbound = Outbound { kind, user, room, exchange };
    let decision = outbound.decide(inner, outline.actions, 0).await?;
    if !decision.allow {
        let body = UpdateResponse::NotAllowed { description: decision.description() }.encode();
        return Ok(Answer { body, decision: Some(decision.id()) });
    }
    // A device that joins must be known before the hub fans out to it.
    let joining = match outline.joiner {
        Some((client, _)) => outbound.join(inner, client).await?,
        None => None,
    };
    let answer = outbound.send(inner, Endpoint::Update(outbound.room.clone()), body).await?;
    let response = UpdateResponse::decode(&answer).map_err(GatewayError::peer)?;
    if let (false, Some(client)) = (matches!(response, UpdateResponse::Success { .. }), joining) {
        outbound.unjoin(inner, client).await?;
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
    let outbound = Outbound { kind: "decision.message", user, room, exchange: Some(request.message.hash()) };
    let bytes = request.message.as_bytes().len() as u64;
    let decision = outbound.decide(inner, vec![(Capability::SEND_MESSAGE, None)], bytes).await?;
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
    if client_of(&request.credential).map_err(GatewayError::decode)?.1 != user {
        return Err(GatewayError::WrongIdentity);
    }
    let outbound = Outbound { kind: "decision.group_info", user, room, exchange: Some(answers::scope(&[&body])) };
    let decision = outbound.decide(inner, vec![(Capability::ADD_OWN_CLIENT, None)], 0).await?;
    if !decision.allow {
        return Ok(Answer { body: group_info::denial(&outbound.room), decision: Some(decision.id()) });
    }
    let answer = outbound.send(inner, Endpoint::GroupInfo(outbound.room.clone()), body).await?;
    GroupInfoResponse::decode(&answer).map_err(GatewayError::peer)?;
    Ok(Answer { body: answer, decision: Some(decision.id()) })
}

struct Outbound {
    kind: &'static str,
    user: UserUri,
    room: RoomUri,
    exchange: Option<[u8; 32]>,
}

impl Outbound {
    /// Decides and records: what is allowed leaves only after its record is durable.
    async fn decide(
        &self,
        inner: &Arc<Inner>,
        mut actions: Vec<(Capability, Option<UserUri>)>,
        message_bytes: u64,
    ) -> Result<Decision, GatewayError> {
        if actions.is_empty() {
            // A commit that only changes keys or cites proposals is upkeep of the group.
            actions.push((Capability::SEND_MLS_UPDATE_PROPOSAL, None));
        }
        let now = inner.clock.now();
        let source = self.user.domain();
        let case = Case {
            kind: self.kind,
            room: Some(&self.room),
            actor: Some(self.user.to_string()),
            peer: source.clone(),
            epoch: None,
            exchange: self.exchange,
            now,
        };
        let facts = bare_facts(&self.room, Side::Follower);
        let actor = Actor::User(self.user.clone());
        let questions: Vec<Question<'_>> = actions
            .iter()
            .map(|(capability, target)| Question {
                room: &facts,
                actor: &actor,
                capability: *capability,
                target: target.as_ref(),
                from_role: 0,
                to_role: 0,
                transition_authorized: false,
                alternative_granted: false,
                preauthorized: false,
                external: false,
                suite: 0,
                epoch: 0,
                message_bytes,
                source: &source,
                now,
            })
            .collect();
        let decision = case.decide(&inner.policy.active(), &questions);
        let (lane, recorded) = (self.room.to_string(), decision.clone());
        inner.blocking(self.of(), move |inner| inner.record(&lane, &recorded)).await?;
        Ok(decision)
    }

    /// Has the hub's events for the room go to `client` from now on; gives it back if it is new there.
    async fn join(&self, inner: &Arc<Inner>, client: ClientUri) -> Result<Option<ClientUri>, GatewayError> {
        let (room, now) = (self.room.clone(), inner.clock.now());
        let joined = move |tx: &mut Tx<'_>| {
            let new = !follower::devices(tx, &room)?.contains(&client);
            follower::join(tx, &room, &client, now)?;
            Ok::<_, StoreError>(new.then(|| client.clone()))
        };
        let lane = self.room.to_string();
        inner.blocking(self.of(), move |inner| Ok(inner.store.write(&lane, joined)?)).await
    }

    /// The hub has refused the join.
    async fn unjoin(&self, inner: &Arc<Inner>, client: ClientUri) -> Result<(), GatewayError> {
        let room = self.room.clone();
        let left = move |tx: &mut Tx<'_>| follower::leave(tx, &room, &client);
        let lane = self.room.to_string();
        inner.blocking(self.of(), move |inner| Ok(inner.store.write(&lane, left)?)).await
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
