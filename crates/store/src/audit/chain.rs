//! Checks what the sequencer finds staged against the chains of the writers.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use diesel::prelude::*;
use uuid::Uuid;

use super::commitment::sha256;
use super::leaf::Leaf;
use crate::convert::{digest, number, to_db};
use crate::schema::audit_writers;
use crate::{Conn, StoreError};

/// What a staged record is worth.
pub(super) enum Finding {
    /// It is the next of its chain.
    Good(Leaf),
    /// It is its writer's, but records before it are missing.
    Gap(Leaf),
    /// It is nobody's.
    Forged,
}

struct Chain {
    public_key: [u8; 32],
    next_seq: u64,
    last_hash: [u8; 32],
}

/// The chains of the writers of a batch, as far as they are in the log.
pub(super) struct Chains(BTreeMap<Uuid, Chain>);

impl Chains {
    pub(super) fn load(conn: &mut Conn, writers: &[Uuid]) -> Result<Self, StoreError> {
        type Row = (Vec<u8>, Vec<u8>, i64, Vec<u8>);
        let writers: Vec<&[u8]> = writers.iter().map(|writer| writer.as_bytes().as_slice()).collect();
        let query = audit_writers::table.filter(audit_writers::writer.eq_any(writers)).select((
            audit_writers::writer,
            audit_writers::public_key,
            audit_writers::next_seq,
            audit_writers::last_hash,
        ));
        let rows = db!(conn, |c| query.load::<Row>(c))?;
        rows.into_iter()
            .map(|(writer, public_key, next_seq, last_hash)| {
                let chain = Chain {
                    public_key: digest(&public_key)?,
                    next_seq: number(next_seq)?,
                    last_hash: digest(&last_hash)?,
                };
                Ok((crate::convert::uuid(&writer)?, chain))
            })
            .collect::<Result<_, StoreError>>()
            .map(Self)
    }

    /// Checks the record and, unless it is forged, makes it the last of its chain.
    pub(super) fn check(&mut self, core: &[u8], signature: &[u8]) -> Finding {
        let Ok(leaf) = Leaf::decode(core) else { return Finding::Forged };
        if leaf.place.is_some() {
            return Finding::Forged;
        }
        let (public_key, expected): ([u8; 32], (u64, [u8; 32])) = match (self.0.get(&leaf.writer), leaf.public_key) {
            (Some(chain), None) => (chain.public_key, (chain.next_seq, chain.last_hash)),
            (None, Some(public_key)) => (public_key, (0, [0; 32])),
            (None, None) | (Some(_), Some(_)) => return Finding::Forged,
        };
        if UnparsedPublicKey::new(&ED25519, public_key).verify(core, signature).is_err() {
            return Finding::Forged;
        }
        let contiguous = expected == (leaf.writer_seq, leaf.previous);
        let chain = Chain { public_key, next_seq: leaf.writer_seq + 1, last_hash: sha256(&[core]) };
        self.0.insert(leaf.writer, chain);
        if contiguous { Finding::Good(leaf) } else { Finding::Gap(leaf) }
    }

    pub(super) fn store(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let writers: Vec<&[u8]> = self.0.keys().map(|writer| writer.as_bytes().as_slice()).collect();
        let old = audit_writers::table.filter(audit_writers::writer.eq_any(writers));
        db!(conn, |c| diesel::delete(old).execute(c))?;
        let rows = self
            .0
            .iter()
            .map(|(writer, chain)| {
                Ok((
                    audit_writers::writer.eq(writer.as_bytes().as_slice()),
                    audit_writers::public_key.eq(chain.public_key.as_slice()),
                    audit_writers::next_seq.eq(to_db(chain.next_seq)?),
                    audit_writers::last_hash.eq(chain.last_hash.as_slice()),
                ))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        db!(conn, |c| diesel::insert_into(audit_writers::table).values(&rows).execute(c))?;
        Ok(())
    }
}
