//! What openmls would keep in a storage of its own, as one blob that is written together with the epoch (C-1).

use std::sync::{Mutex, MutexGuard, PoisonError};

use openmls::group::{GroupId, PublicGroup};
use openmls_traits::public_storage::PublicStorageProvider;
use openmls_traits::storage::{CURRENT_VERSION, traits};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::MlsError;

/// Names the crate whose types are inside, and how they are encoded. Another name is not restored: whoever changes
/// either has to say how old blobs are read.
const VERSION: &[u8] = b"openmls 0.9, postcard, 1\n";

/// The public state of one group, each part as openmls serialises it. Pending proposals are not part of it.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    tree: Vec<u8>,
    context: Vec<u8>,
    confirmation_tag: Vec<u8>,
    interim_transcript_hash: Vec<u8>,
}

impl Shelf {
    /// The parts and `more`, as one blob.
    pub(super) fn pack(&self, more: &[u8]) -> Vec<u8> {
        let parts = self.parts();
        let mut blob = VERSION.to_vec();
        for part in
            [&parts.tree, &parts.context, &parts.confirmation_tag, &parts.interim_transcript_hash].map(Vec::as_slice)
        {
            put(&mut blob, part);
        }
        put(&mut blob, more);
        blob
    }

    /// What [`Self::pack`] packed.
    pub(super) fn unpack(blob: &[u8]) -> Result<(Self, Vec<u8>), MlsError> {
        let mut rest = blob.strip_prefix(VERSION).ok_or(MlsError::Snapshot)?;
        let mut next = || take(&mut rest);
        let parts =
            Parts { tree: next()?, context: next()?, confirmation_tag: next()?, interim_transcript_hash: next()? };
        let more = next()?;
        if rest.is_empty() { Ok((Self(Mutex::new(parts)), more)) } else { Err(MlsError::Snapshot) }
    }

    /// The group that stands here, without pending proposals.
    pub(super) fn load(&self) -> Result<PublicGroup, MlsError> {
        // There is one, and nobody asks which.
        let group = PublicGroup::load(self, &GroupId::from_slice(&[])).map_err(|_| MlsError::Snapshot)?;
        group.ok_or(MlsError::Snapshot)
    }

    /// Octets of the tree as it stands here.
    pub(super) fn tree_bytes(&self) -> usize {
        self.parts().tree.len()
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // Each part is replaced as a whole, so none is half written after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(blob: &mut Vec<u8>, part: &[u8]) {
    blob.extend_from_slice(&(part.len() as u64).to_be_bytes());
    blob.extend_from_slice(part);
}

fn take(rest: &mut &[u8]) -> Result<Vec<u8>, MlsError> {
    let (length, after) = rest.split_first_chunk().ok_or(MlsError::Snapshot)?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| MlsError::Snapshot)?;
    let (part, after) = after.split_at_checked(length).ok_or(MlsError::Snapshot)?;
    *rest = after;
    Ok(part.to_vec())
}

fn encode(entity: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(entity)
}

fn decode<T: DeserializeOwned>(part: &[u8]) -> Result<Option<T>, postcard::Error> {
    if part.is_empty() { Ok(None) } else { postcard::from_bytes(part).map(Some) }
}

impl PublicStorageProvider<CURRENT_VERSION> for Shelf {
    type PublicError = postcard::Error;

    fn write_tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
        tree: &T,
    ) -> Result<(), Self::PublicError> {
        let tree = encode(tree)?;
        self.parts().tree = tree;
        Ok(())
    }

    fn write_interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        H: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        hash: &H,
    ) -> Result<(), Self::PublicError> {
        let hash = encode(hash)?;
        self.parts().interim_transcript_hash = hash;
        Ok(())
    }

    fn write_context<G: traits::GroupId<CURRENT_VERSION>, C: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
        context: &C,
    ) -> Result<(), Self::PublicError> {
        let context = encode(context)?;
        self.parts().context = context;
        Ok(())
    }

    fn write_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, C: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
        tag: &C,
    ) -> Result<(), Self::PublicError> {
        let tag = encode(tag)?;
        self.parts().confirmation_tag = tag;
        Ok(())
    }

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        Q: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        _: &R,
        _: &Q,
    ) -> Result<(), Self::PublicError> {
        Ok(())
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        Q: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Result<Vec<(R, Q)>, Self::PublicError> {
        Ok(Vec::new())
    }

    fn tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, Self::PublicError> {
        decode(&self.parts().tree)
    }

    fn group_context<G: traits::GroupId<CURRENT_VERSION>, C: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<C>, Self::PublicError> {
        decode(&self.parts().context)
    }

    fn interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        H: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Result<Option<H>, Self::PublicError> {
        decode(&self.parts().interim_transcript_hash)
    }

    fn confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, C: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<C>, Self::PublicError> {
        decode(&self.parts().confirmation_tag)
    }

    fn delete_tree<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), Self::PublicError> {
        self.parts().tree.clear();
        Ok(())
    }

    fn delete_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), Self::PublicError> {
        self.parts().confirmation_tag.clear();
        Ok(())
    }

    fn delete_context<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), Self::PublicError> {
        self.parts().context.clear();
        Ok(())
    }

    fn delete_interim_transcript_hash<G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<(), Self::PublicError> {
        self.parts().interim_transcript_hash.clear();
        Ok(())
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
        _: &R,
    ) -> Result<(), Self::PublicError> {
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<(), Self::PublicError> {
        Ok(())
    }
}
