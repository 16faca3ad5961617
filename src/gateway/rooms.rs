//! Hot rooms. What is kept here only saves reading: every change is checked against the database's epoch and version
//! inside its transaction, and whoever loses that check forgets the room and reads it again.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use portcullis_core::mls::{Group, GroupView};
use portcullis_core::policy::RoomFacts;
use portcullis_core::room::RoomState;
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::proposals::PendingProposal;
use portcullis_store::rooms::Seen;
use portcullis_store::{proposals, restrictions, rooms};

use super::decide::hosted_facts;
use super::{GatewayError, Inner};

/// How many rooms are kept, about 0.6 KiB a member each.
const HOT_ROOMS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// A room we are the hub of, as it stood at one version.
pub(super) struct Hosted {
    pub(super) room: RoomUri,
    /// What a decision made on this was made on.
    pub(super) seen: Seen,
    /// The public group, with the pending proposals queued.
    pub(super) group: Group,
    pub(super) view: GroupView,
    pub(super) state: RoomState,
    pub(super) facts: RoomFacts,
    pub(super) pending: Vec<PendingProposal>,
    /// Users whose rights ended with an accepted proposal that no commit carries yet (reading D-51).
    pub(super) blocked: BTreeSet<UserUri>,
}

pub(super) struct RoomCache {
    rooms: Mutex<LruCache<RoomUri, Arc<Hosted>>>,
}

impl Default for RoomCache {
    fn default() -> Self {
        Self { rooms: Mutex::new(LruCache::new(HOT_ROOMS)) }
    }
}

impl RoomCache {
    fn rooms(&self) -> MutexGuard<'_, LruCache<RoomUri, Arc<Hosted>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// [`GatewayError::NotFound`] for a room that is not hosted here or has no group yet.
    pub(super) fn hosted(&self, room: &RoomUri) -> Result<Arc<Hosted>, GatewayError> {
        if let Some(hosted) = self.rooms.rooms().get(room) {
            return Ok(Arc::clone(hosted));
        }
        let hosted = Arc::new(self.read_hosted(room)?);
        self.rooms.rooms().put(room.clone(), Arc::clone(&hosted));
        Ok(hosted)
    }

    fn read_hosted(&self, room: &RoomUri) -> Result<Hosted, GatewayError> {
        let read = self.store.read(|conn| {
            let Some(row) = rooms::load(conn, room)? else { return Ok(None) };
            let pending = proposals::pending(conn, room, row.head.epoch)?;
            Ok::<_, GatewayError>(Some((row, pending, restrictions::restrictions(conn, room)?)))
        })?;
        let (row, pending, restrictions) = read.ok_or(GatewayError::NotFound)?;
        let mut group = Group::restore(&row.snapshot).map_err(GatewayError::internal)?;
        for proposal in &pending {
            let message = MlsMessage::decode(&proposal.message).map_err(GatewayError::internal)?;
            group.queue(&message).map_err(GatewayError::internal)?;
        }
        let view = group.view().map_err(GatewayError::internal)?;
        let state = RoomState::read(&view).map_err(GatewayError::internal)?;
        Ok(Hosted {
            room: room.clone(),
            seen: row.head.seen(),
            facts: hosted_facts(room, &state, &restrictions),
            blocked: state.blocked(&group.pending()),
            group,
            view,
            state,
            pending,
        })
    }
}
