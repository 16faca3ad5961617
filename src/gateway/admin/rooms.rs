//! One room as the company's people see it.

use portcullis_core::policy::AdminAct;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::outbox::{self, LaneRow, Wanted};
use portcullis_store::rooms::{RoomHead, RoomStatus};
use portcullis_store::{StoreError, rooms};

use super::{AdminError, Operator, Wish};
use crate::gateway::destroy::{Order, by_order};
use crate::gateway::{Gateway, GatewayError, Inner, Kept, Once};

/// Most lanes of one room that are shown.
const LANES: u32 = 1000;

/// A room that we are the hub of, or whose group we follow.
#[derive(Clone, Debug)]
pub struct RoomView {
    /// Its row.
    pub head: RoomHead,
    /// Its group; `None` while it waits for one, and when it is no longer followed.
    pub group: Option<GroupPart>,
    /// What it owes to other providers; `None` for whom policy does not let see lanes.
    pub lanes: Option<Vec<LaneRow>>,
}

/// What a room's group and restrictions tell.
#[derive(Clone, Debug)]
pub struct GroupPart {
    /// Name of the room in its metadata.
    pub name: Option<String>,
    /// User, number of its role, and the name of that role.
    pub participants: Vec<(UserUri, u32, String)>,
    /// Clients in the group.
    pub clients: Vec<ClientUri>,
    /// Proposals that wait for a commit.
    pub pending: usize,
    /// Whether it is frozen.
    pub frozen: bool,
    /// Whether it is under legal hold.
    pub legal_hold: bool,
    /// Users who are muted.
    pub muted: Vec<UserUri>,
}

impl Gateway {
    /// Shows one room.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`], [`GatewayError::NotFound`].
    pub async fn view_room(&self, operator: Operator, room: RoomUri) -> Result<RoomView, AdminError> {
        let wish =
            Wish { operator, act: AdminAct::ViewRooms, about: None, room: Some(room.clone()), user: None, why: None };
        let lanes = Wish { act: AdminAct::ViewLanes, ..wish.clone() };
        // Not asked for by itself, so that leaving it out is no refusal.
        self.permitted(wish, move |inner| read(inner, &room, lanes.decide(inner)?.allow)).await
    }

    /// Ends a room of ours for everybody, with those that depend on it ([`Changed`](super::Changed), [`Ended`](crate::gateway::Ended)): members are told as
    /// when one of them destroys it.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] for a room that is not ours or no more, [`GatewayError::Refused`] while it, or
    /// one that depends on it, is under legal hold.
    pub async fn destroy_room_by_order(
        &self,
        once: Once,
        operator: Operator,
        room: RoomUri,
        (reason, case): (String, String),
    ) -> Result<Kept, AdminError> {
        let order = Order { by: operator.actor(), reason, case };
        let (about, why) = (Some(room.domain()), Some(order.reason.clone()));
        let wish = Wish { operator, act: AdminAct::DestroyRoom, about, room: Some(room.clone()), user: None, why };
        self.allowed(once, wish, move |inner, decision| by_order(inner, once, &room, &decision.record, &order)).await
    }
}

fn read(inner: &Inner, room: &RoomUri, with_lanes: bool) -> Result<RoomView, GatewayError> {
    let found = inner.store.read(|conn| {
        let wanted = Wanted { room: Some(room.clone()), ..Wanted::default() };
        let lanes = with_lanes.then(|| outbox::page(conn, &wanted, LANES)).transpose()?;
        Ok::<_, StoreError>((rooms::head(conn, room)?, lanes))
    })?;
    let (head, lanes) = (found.0.ok_or(GatewayError::NotFound)?, found.1);
    let group = match head.status {
        RoomStatus::Waiting | RoomStatus::Lost | RoomStatus::Destroyed => None,
        RoomStatus::Active | RoomStatus::Followed => Some(group(inner, room)?),
    };
    Ok(RoomView { head, group, lanes })
}

fn group(inner: &Inner, room: &RoomUri) -> Result<GroupPart, GatewayError> {
    let hosted = inner.hosted(room)?;
    let role = |index: &u32| hosted.state.roles().get(index).map(|role| role.name.clone()).unwrap_or_default();
    Ok(GroupPart {
        name: hosted.state.metadata().map(|metadata| metadata.name.clone()),
        participants: hosted.state.participants().iter().map(|(user, at)| (user.clone(), *at, role(at))).collect(),
        clients: hosted.view().leaves.iter().map(|leaf| leaf.client.clone()).collect(),
        pending: hosted.pending.len(),
        frozen: hosted.facts.frozen,
        legal_hold: hosted.facts.legal_hold,
        muted: hosted.facts.muted.iter().cloned().collect(),
    })
}
