//! Checks what the sequencer finds staged against the chains of the writers.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use diesel::prelude::*;
use uuid::Uuid;

use super::commitment::sha256;
use super::leaf::Leaf;
use crate::convert::{digest, number, to_db};
use crate::effects::Effects;
use crate::fixed::{Bind, fixed};
use crate::later::{Later, WriterRow};
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

/// Notes the key of a writer that begins its chain.
pub(super) fn register(later: &mut Later, writer: Uuid, public_key: &[u8]) {
    later.writers.push(WriterRow {
        writer: writer.as_bytes().to_vec(),
        public_key: public_key.to_vec(),
        next_seq: 0,
        last_hash: vec![0; 32],
    });
}

/// The number of the next record of a chain, and the hash of the last.
pub(super) type ChainEnd = (i64, Vec<u8>);

/// Where the end of a writer's chain stands.
#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn end(writer: &Uuid) -> _ {
    let writer: &[u8] = writer.as_bytes();
    audit_writers::table.filter(audit_writers::writer.eq(writer))
}

/// Whether a chain that ends there is continued by `first`; one that has not begun is by its first record.
pub(super) fn is_continued(end: Option<ChainEnd>, first: &Leaf) -> Result<bool, StoreError> {
    Ok(end.unwrap_or_else(|| (0, vec![0; 32])) == (to_db(first.writer_seq)?, first.previous.to_vec()))
}

/// Moves the end of a chain to behind `last`, a record with its core: also where its writer is among those that begin.
pub(super) fn extend(
    effects: &mut Effects<'_>,
    begun: &mut [WriterRow],
    last: &Leaf,
    core: &[u8],
) -> Result<(), StoreError> {
    let (next, hash) = (to_db(last.writer_seq + 1)?, sha256(&[core]).to_vec());
    if let Some(row) = begun.iter_mut().find(|row| row.writer == last.writer.as_bytes()) {
        (row.next_seq, row.last_hash) = (next, hash);
        return Ok(());
    }
    let parts = &["UPDATE audit_writers SET next_seq = ", ", last_hash = ", " WHERE writer = ", ""];
    let binds = [Bind::Number(next), Bind::Owned(hash), Bind::Owned(last.writer.as_bytes().to_vec())];
    effects.add(fixed::<()>(parts, binds));
    Ok(())
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

    /// Checks the record and, unless it is forged, makes it the last of its chain. `own` is one whose signature is known to
    /// be good.
    pub(super) fn check(&mut self, core: &[u8], signature: &[u8], own: bool) -> Finding {
        let Ok(leaf) = Leaf::decode(core) else { return Finding::Forged };
        if leaf.place.is_some() {
            return Finding::Forged;
        }
        let Some(chain) = self.0.get_mut(&leaf.writer) else { return Finding::Forged };
        let named = leaf.public_key.is_none_or(|key| key == chain.public_key);
        let signed = own || UnparsedPublicKey::new(&ED25519, chain.public_key).verify(core, signature).is_ok();
        // A record of the past, put in again, is signed as well.
        if !named || !signed || leaf.writer_seq < chain.next_seq {
            return Finding::Forged;
        }
        let contiguous = (chain.next_seq, chain.last_hash) == (leaf.writer_seq, leaf.previous);
        chain.next_seq = leaf.writer_seq + 1;
        chain.last_hash = sha256(&[core]);
        if contiguous { Finding::Good(leaf) } else { Finding::Gap(leaf) }
    }

    pub(super) fn store(&self, conn: &mut Conn) -> Result<(), StoreError> {
        for (writer, chain) in &self.0 {
            let row = audit_writers::table.filter(audit_writers::writer.eq(writer.as_bytes().as_slice()));
            let reached = (
                audit_writers::next_seq.eq(to_db(chain.next_seq)?),
                audit_writers::last_hash.eq(chain.last_hash.as_slice()),
            );
            db!(conn, |c| diesel::update(row).set(reached).execute(c))?;
        }
        Ok(())
    }
}
