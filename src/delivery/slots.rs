use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_core::wire::uri::Domain;

/// Most exchanges with one peer at the same time, so that a slow one does not take the places of all others.
pub(super) const PER_PEER: usize = 8;

/// Exchanges under way with each peer.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<Mutex<HashMap<Domain, usize>>>);

impl Slots {
    /// The peers that get no more for now.
    pub(super) fn full(&self) -> Vec<Domain> {
        self.lock().iter().filter(|(_, taken)| **taken >= PER_PEER).map(|(peer, _)| peer.clone()).collect()
    }

    /// Counts an exchange with `peer` while the slot lives.
    pub(super) fn take(&self, peer: &Domain) -> Slot {
        *self.lock().entry(peer.clone()).or_default() += 1;
        Slot { slots: self.clone(), peer: peer.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Domain, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One exchange under way.
pub(super) struct Slot {
    slots: Slots,
    peer: Domain,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        if let Some(taken) = slots.get_mut(&self.peer) {
            *taken -= 1;
            if *taken == 0 {
                slots.remove(&self.peer);
            }
        }
    }
}
