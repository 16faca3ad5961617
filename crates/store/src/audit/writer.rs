//! The chain of one write lane (correction C-10): every staged record names its number and the hash of the one before
//! it, and is signed with a key that lives as long as the process. So a record that was never rolled back and is
//! missing, or that somebody else put into the database, is noticed by the sequencer of any replica.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::HEXLOWER;
use portcullis_core::time::Millis;
use serde_json::json;
use uuid::Uuid;

use super::chain;
use super::commitment::{Openings, sha256};
use super::known::Known;
use super::leaf::Leaf;
use super::place::Written;
use super::record::{AuditRecord, Outcome};
use super::tails::Names;
use crate::StoreError;
use crate::later::Later;

/// Most octets of a leaf: what an entry of a tile can hold.
const MAX_LEAF_BYTES: usize = 65_535;
/// Most octets of the openings of one record.
const MAX_OPENINGS_BYTES: usize = 512 * 1024;
/// Most octets of a kind.
const MAX_KIND_BYTES: usize = 64;

/// What every leaf says of the process that wrote it.
pub(crate) struct Identity {
    pub(crate) origin: String,
    pub(crate) engine: String,
}

/// A chain and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    writer: Uuid,
    next_seq: u64,
    previous: [u8; 32],
}

impl Mark {
    fn start() -> Self {
        Self { writer: Uuid::now_v7(), next_seq: 0, previous: [0; 32] }
    }
}

pub(crate) struct Writer {
    identity: Identity,
    key: Arc<Ed25519KeyPair>,
    signer: Option<SyncSender<Work>>,
    mark: Mark,
    known: Arc<Known>,
}

impl Writer {
    pub(crate) fn new(identity: Identity, known: Arc<Known>) -> Result<Self, StoreError> {
        let key = Ed25519KeyPair::generate().map_err(|_| StoreError::Open("no random numbers".into()))?;
        let key = Arc::new(key);
        let signer = signer(Arc::clone(&key)).ok();
        Ok(Self { identity, key, signer, mark: Mark::start(), known })
    }

    /// What the writers of this process have written.
    pub(crate) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Forgets what was staged since `mark`, because the database does.
    pub(crate) fn reset(&mut self, mark: Mark) {
        self.mark = mark;
    }

    /// Starts another chain, for when nobody knows how far this one got or whether it is still believed.
    pub(crate) fn renew(&mut self) {
        self.mark = Mark::start();
    }

    /// Writes `record` as the next of the chain; the first is preceded by a `writer.begin` with the public key, which is
    /// also registered, so that the chain can be checked even when somebody deletes that record.
    pub(crate) fn stage(&mut self, later: &mut Later, record: &Sealed) -> Result<(), StoreError> {
        if self.mark.next_seq == 0 {
            let mut begin = AuditRecord::new(Uuid::now_v7(), record.at, "writer.begin", Outcome::Info);
            begin.detail =
                json!({ "writer": self.mark.writer, "public_key": HEXLOWER.encode(self.key.public_key().as_ref()) });
            chain::register(later, self.mark.writer, self.key.public_key().as_ref());
            self.append(later, &begin.seal()?)?;
        }
        self.append(later, record)
    }

    fn append(&mut self, later: &mut Later, record: &Sealed) -> Result<(), StoreError> {
        let leaf = Leaf {
            origin: self.identity.origin.clone(),
            writer: self.mark.writer,
            writer_seq: self.mark.next_seq,
            previous: self.mark.previous,
            event: record.event,
            at: record.at,
            kind: record.kind.clone(),
            outcome: record.outcome,
            bundle: record.bundle,
            engine: self.identity.engine.clone(),
            disclosure: record.disclosure,
            epoch: record.epoch,
            exchange: record.exchange,
            public_key: if self.mark.next_seq == 0 { self.key.public_key().as_ref().try_into().ok() } else { None },
            place: None,
        };
        let core = leaf.encode().map_err(|error| StoreError::AuditUnavailable(error.into()))?;
        if core.len() > MAX_LEAF_BYTES {
            return Err(too_large());
        }
        self.mark = Mark { next_seq: self.mark.next_seq + 1, previous: sha256(&[&core]), ..self.mark };
        later.records.push(Written { leaf, core, openings: record.openings.clone(), names: record.names.clone() });
        Ok(())
    }

    /// Has records signed that it has chained, on another thread if there are many.
    pub(crate) fn sign(&self, records: &Arc<Vec<Written>>) -> Signing {
        let (reply, signed) = sync_channel(1);
        let many = self.signer.as_ref().filter(|_| records.len() > FEW);
        match many.map(|signer| signer.send((Arc::clone(records), reply))) {
            Some(Ok(())) => Signing::Elsewhere(signed),
            Some(Err(_)) | None => Signing::Done(signatures(&self.key, records)),
        }
    }
}

/// Most records that are signed by the lane itself: another thread takes as long to wake as a few signatures.
const FEW: usize = 3;

/// Records to be signed, and where their signatures go.
type Work = (Arc<Vec<Written>>, SyncSender<Vec<Vec<u8>>>);

/// The signatures of records, made or on their way.
pub(crate) enum Signing {
    Done(Vec<Vec<u8>>),
    Elsewhere(Receiver<Vec<Vec<u8>>>),
}

impl Signing {
    /// Waits for them.
    pub(crate) fn done(self) -> Result<Vec<Vec<u8>>, StoreError> {
        match self {
            Self::Done(signatures) => Ok(signatures),
            Self::Elsewhere(signed) => signed.recv().map_err(|_| StoreError::Panicked),
        }
    }
}

/// Starts a thread that signs, until nobody gives it work any more.
fn signer(key: Arc<Ed25519KeyPair>) -> std::io::Result<SyncSender<Work>> {
    let (sender, work) = sync_channel::<Work>(1);
    std::thread::Builder::new().name("store-signer".to_owned()).spawn(move || {
        for (records, reply) in work {
            let _ = reply.send(signatures(&key, &records)); // a lane that failed does not wait for them
        }
    })?;
    Ok(sender)
}

fn signatures(key: &Ed25519KeyPair, records: &[Written]) -> Vec<Vec<u8>> {
    records.iter().map(|record| key.sign(&record.core).as_ref().to_vec()).collect()
}

/// A record whose fields are salted and committed to: all of its work that does not depend on its place in the chain.
#[derive(Clone, Debug)]
pub struct Sealed {
    event: Uuid,
    at: Millis,
    kind: String,
    outcome: Outcome,
    bundle: Option<[u8; 32]>,
    epoch: Option<u64>,
    exchange: Option<[u8; 32]>,
    disclosure: [u8; 32],
    openings: Vec<u8>,
    names: Names,
}

impl AuditRecord {
    /// Seals the record, to be staged with [`crate::Tx::stage_sealed`].
    ///
    /// # Errors
    ///
    /// [`StoreError::AuditUnavailable`] for one that is too large, or without random numbers.
    pub fn seal(&self) -> Result<Sealed, StoreError> {
        let opened = Openings::of(self)?;
        let openings = opened.encode().map_err(|error| StoreError::AuditUnavailable(error.into()))?;
        if openings.len() > MAX_OPENINGS_BYTES || self.kind.len() > MAX_KIND_BYTES {
            return Err(too_large());
        }
        Ok(Sealed {
            event: self.event,
            at: self.at,
            kind: self.kind.clone(),
            outcome: self.outcome,
            bundle: self.bundle,
            epoch: self.epoch,
            exchange: self.exchange,
            disclosure: opened.root(),
            openings,
            names: Names {
                room: self.room.as_ref().map(ToString::to_string),
                actor: self.actor.clone(),
                peer: self.peer.as_ref().map(ToString::to_string),
            },
        })
    }
}

fn too_large() -> StoreError {
    StoreError::AuditUnavailable("record is too large".into())
}
