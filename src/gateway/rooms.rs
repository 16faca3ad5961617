//! Hot rooms. What is kept here only saves reading the group: it is used while the database has the same epoch and
//! version, and every change is checked against them once more inside its transaction.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use portcullis_core::franking::Scheme;
use portcullis_core::mls::{Group, GroupView};
use portcullis_core::policy::{RoomFacts, Side};
use portcullis_core::room::{Effective, RoomState};
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::proposals::PendingProposal;
use portcullis_store::restrictions::Restrictions;
use portcullis_store::rooms::Seen;
use portcullis_store::{proposals, restrictions, rooms};

use super::decide::known_facts;
use super::{Caller, GatewayError, Inner};

/// How many rooms are kept, about 0.6 KiB a member each.
const HOT_ROOMS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// A room whose group stands here, as it stood at one version: hosted here, or hosted elsewhere and tracked.
pub(super) struct Hosted {
    pub(super) room: RoomUri,
    /// What a decision made on this was made on.
    pub(super) seen: Seen,
    /// The public group, with the pending proposals queued.
    pub(super) group: Group,
    pub(super) state: RoomState,
    pub(super) facts: RoomFacts,
    pub(super) pending: Vec<PendingProposal>,
    /// What is imposed on it.
    pub(super) restrictions: Restrictions,
    /// What accepted proposals that no commit carries yet have made of it already, and moderators (reading D-51).
    pub(super) effective: Effective,
    /// How its messages are franked; `None` when its group does not say so in a way that can be read.
    pub(super) franking: Option<Scheme>,
}

pub(super) struct RoomCache {
    rooms: Mutex<LruCache<RoomUri, Arc<Hosted>>>,
}

impl Default for RoomCache {
    fn default() -> Self {
        Self { rooms: Mutex::new(LruCache::new(HOT_ROOMS)) }
    }
}

impl Hosted {
    /// The room with `group` and the proposals that are pending in it. Blocks on the database when its roles are new here.
    pub(super) fn of(
        inner: &Inner,
        room: &RoomUri,
        side: Side,
        seen: Seen,
        (mut group, state): (Group, RoomState),
        pending: Vec<PendingProposal>,
        restrictions: &Restrictions,
    ) -> Result<Self, GatewayError> {
        for proposal in &pending {
            let message = MlsMessage::decode(&proposal.message).map_err(GatewayError::internal)?;
            if let Err(error) = group.queue(&message) {
                // Its KeyPackage has expired, say: no commit could cite it, so it must not hold the room up.
                tracing::warn!(room = %room, reason = error.reason(), "pending proposal of a room no longer holds");
            }
        }
        let facts = known_facts(room, side, &state, restrictions);
        if let Some(known) = &facts.roles {
            inner.keep_roles(&known.roles)?;
        }
        Ok(Self {
            room: room.clone(),
            seen,
            facts,
            effective: state.effective(&group.pending()).barring(restrictions.barred.clone()),
            restrictions: restrictions.clone(),
            franking: Scheme::of(&group.view().components, group.view().suite).ok(),
            group,
            state,
            pending,
        })
    }

    pub(super) fn view(&self) -> &GroupView {
        self.group.view()
    }

    /// Whether the caller takes part, or a user of it: to everybody else the room does not exist.
    pub(super) fn knows(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Peer(provider) => self.state.has_participant_of(provider),
            Caller::User(user) => self.state.is_listed(user),
        }
    }

    /// Whether the user's rights have ended with an accepted proposal, or moderators have ended them.
    pub(super) fn blocks(&self, user: &UserUri) -> bool {
        self.effective.blocks(user)
    }
}

impl RoomCache {
    fn rooms(&self) -> MutexGuard<'_, LruCache<RoomUri, Arc<Hosted>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spares the next request to read what has just been written.
    pub(super) fn keep(&self, hosted: Hosted) {
        self.rooms().put(hosted.room.clone(), Arc::new(hosted));
    }

    /// The room as it was last seen here, which it may no longer be: enough for what is checked where it is written.
    pub(super) fn recent(&self, room: &RoomUri) -> Option<Arc<Hosted>> {
        self.rooms().get(room).cloned()
    }

    /// Lets the next request read the room from the database, unless somebody has done so since it was `seen`.
    pub(super) fn forget_as(&self, room: &RoomUri, seen: Seen) {
        let mut rooms = self.rooms();
        if rooms.peek(room).is_some_and(|hosted| hosted.seen == seen) {
            rooms.pop(room);
        }
    }

    /// Lets the next request read the room from the database.
    pub(super) fn forget(&self, room: &RoomUri) {
        self.rooms().pop(room);
    }
}

impl Inner {
    /// The room as last seen, or as the database has it.
    ///
    /// # Errors
    ///
    /// [`GatewayError::NotFound`] for a room whose group does not stand here.
    pub(super) fn hosted(&self, room: &RoomUri) -> Result<Arc<Hosted>, GatewayError> {
        // Another process, or another request of this one, may have moved the room on.
        let head = self.store.read_one(|conn| rooms::head(conn, room))?.ok_or(GatewayError::NotFound)?;
        if let Some(hosted) = self.rooms.recent(room)
            && hosted.seen == head.seen()
        {
            return Ok(hosted);
        }
        let hosted = tracing::info_span!("room.load").in_scope(|| self.read_hosted(room)).map(Arc::new)?;
        self.rooms.rooms().put(room.clone(), Arc::clone(&hosted));
        Ok(hosted)
    }

    /// The room of another hub, if its group is tracked.
    pub(super) fn tracked(&self, room: &RoomUri) -> Result<Option<Arc<Hosted>>, GatewayError> {
        match self.hosted(room) {
            Ok(tracked) => Ok(Some(tracked)),
            Err(GatewayError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The room as the database has it.
    pub(super) fn read_hosted(&self, room: &RoomUri) -> Result<Hosted, GatewayError> {
        let read = self.store.read(|conn| {
            let Some(row) = rooms::load(conn, room)? else { return Ok(None) };
            let pending = proposals::pending(conn, room, row.head.epoch)?;
            Ok::<_, GatewayError>(Some((row, pending, restrictions::restrictions(conn, room)?)))
        })?;
        let (row, pending, restrictions) = read.ok_or(GatewayError::NotFound)?;
        let group = Group::restore(&row.snapshot).map_err(GatewayError::internal)?;
        let side = if self.hosts(room) { Side::Hub } else { Side::Follower };
        let state = RoomState::read(group.view()).map_err(GatewayError::internal)?;
        Hosted::of(self, room, side, row.head.seen(), (group, state), pending, &restrictions)
    }
}
