//! Proposals that were accepted and wait for a commit.

use diesel::dsl::max;
use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::RoomUri;
use uuid::Uuid;

use crate::convert::{digest, millis, time, to_db, uuid};
use crate::schema::proposals;
use crate::{Conn, StoreError, Tx};

/// A pending proposal and the decision that accepted it (correction C-5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingProposal {
    /// Its ProposalRef.
    pub reference: Vec<u8>,
    /// The MLSMessage.
    pub message: Vec<u8>,
    /// Who proposes: a user, or a provider.
    pub proposer: String,
    /// What is proposed.
    pub kind: String,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// The decision that accepted it.
    pub decision: Uuid,
    /// Digest of the bundle that decided.
    pub bundle: [u8; 32],
}

/// Adds a proposal after those that are pending in the epoch.
///
/// # Errors
///
/// [`StoreError::Exists`] when one of that reference is pending.
pub fn add(tx: &mut Tx<'_>, room: &RoomUri, epoch: u64, proposal: &PendingProposal) -> Result<(), StoreError> {
    let last = of_epoch(room.as_str(), to_db(epoch)?).select(max(proposals::ordinal));
    let last = db!(tx, |c| last.first::<Option<i64>>(c))?;
    let row = (
        proposals::room.eq(room.as_str()),
        proposals::epoch.eq(to_db(epoch)?),
        proposals::ordinal.eq(last.map_or(0, |last| last + 1)),
        proposals::reference.eq(proposal.reference.as_slice()),
        proposals::message.eq(proposal.message.as_slice()),
        proposals::proposer.eq(proposal.proposer.as_str()),
        proposals::kind.eq(proposal.kind.as_str()),
        proposals::accepted_at.eq(time(proposal.accepted_at)?),
        proposals::decision.eq(proposal.decision.as_bytes().as_slice()),
        proposals::bundle.eq(proposal.bundle.as_slice()),
    );
    db!(tx, |c| diesel::insert_into(proposals::table).values(row).execute(c))
        .map_err(|error| StoreError::unique(error, StoreError::Exists))?;
    Ok(())
}

/// Proposals that are pending in the epoch, in the order of their acceptance.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn pending(conn: &mut Conn, room: &RoomUri, epoch: u64) -> Result<Vec<PendingProposal>, StoreError> {
    type Row = (Vec<u8>, Vec<u8>, String, String, i64, Vec<u8>, Vec<u8>);
    let query = of_epoch(room.as_str(), to_db(epoch)?).order(proposals::ordinal).select((
        proposals::reference,
        proposals::message,
        proposals::proposer,
        proposals::kind,
        proposals::accepted_at,
        proposals::decision,
        proposals::bundle,
    ));
    let rows = db!(conn, |c| query.load::<Row>(c))?;
    rows.into_iter()
        .map(|(reference, message, proposer, kind, accepted_at, decision, bundle)| {
            Ok(PendingProposal {
                reference,
                message,
                proposer,
                kind,
                accepted_at: millis(accepted_at)?,
                decision: uuid(&decision)?,
                bundle: digest(&bundle)?,
            })
        })
        .collect()
}

/// Takes a proposal out of the pending set, because policy no longer allows it (correction C-5).
///
/// # Errors
///
/// [`StoreError::Missing`] when it is not pending.
pub fn withdraw(tx: &mut Tx<'_>, room: &RoomUri, epoch: u64, reference: &[u8]) -> Result<(), StoreError> {
    let row = proposals::table
        .filter(proposals::room.eq(room.as_str()))
        .filter(proposals::epoch.eq(to_db(epoch)?))
        .filter(proposals::reference.eq(reference));
    match db!(tx, |c| diesel::delete(row).execute(c))? {
        0 => Err(StoreError::Missing),
        _ => crate::rooms::disturb(tx, room),
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
fn of_epoch<'a>(room: &'a str, epoch: i64) -> _ {
    proposals::table.filter(proposals::room.eq(room)).filter(proposals::epoch.eq(epoch))
}
