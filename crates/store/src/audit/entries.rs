use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use uuid::Uuid;

use super::commitment::Openings;
use super::leaf::Leaf;
use super::record::{AuditRecord, Outcome};
use crate::convert::{number, time, to_db};
use crate::heads::{self, Head};
use crate::schema::{audit_entries, audit_openings};
use crate::{Conn, StoreError};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its number in the log; the first is 0, and there are no gaps.
    pub seq: u64,
    /// The record. Fields whose openings were erased are empty.
    pub record: AuditRecord,
    /// The encoded leaf.
    pub leaf: Vec<u8>,
    /// The writer's Ed25519 signature over the leaf's core.
    pub signature: Vec<u8>,
    /// The openings; none when they were erased.
    pub openings: Openings,
}

/// Which entries come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those with the lowest numbers.
    #[default]
    Oldest,
    /// Those with the highest numbers.
    Newest,
}

/// Which entries are wanted. The default is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Entries from this number on.
    pub from: u64,
    /// Entries before this number.
    pub before: Option<u64>,
    /// What happened at this time or later.
    pub since: Option<Millis>,
    /// What happened before this time.
    pub until: Option<Millis>,
    /// Only decisions.
    pub decisions: bool,
    /// Which of them come first.
    pub order: Order,
    /// At most so many; none by default.
    pub limit: u32,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// About this room.
    pub room: Option<RoomUri>,
    /// By this actor.
    pub actor: Option<String>,
    /// From or to this provider.
    pub peer: Option<Domain>,
    /// Of this decision.
    pub decision: Option<Uuid>,
    /// About the message with this SHA-256.
    pub exchange: Option<[u8; 32]>,
}

/// The entries that `filter` wants, in its order.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for an entry that cannot be read back.
pub fn entries(conn: &mut Conn, filter: &Filter) -> Result<Vec<AuditEntry>, StoreError> {
    type Row = (i64, Vec<u8>, Vec<u8>, Option<String>);
    let from = to_db(filter.from)?;
    let before = filter.before.map(to_db).transpose()?;
    let (since, until) = (filter.since.map(time).transpose()?, filter.until.map(time).transpose()?);
    let rows = db!(conn, |c| {
        let mut query = audit_entries::table
            .left_join(audit_openings::table)
            .filter(audit_entries::seq.ge(from))
            .limit(filter.limit.into())
            .select((
                audit_entries::seq,
                audit_entries::leaf,
                audit_entries::signature,
                audit_openings::openings.nullable(),
            ))
            .into_boxed();
        query = match filter.order {
            Order::Oldest => query.order(audit_entries::seq.asc()),
            Order::Newest => query.order(audit_entries::seq.desc()),
        };
        if let Some(before) = before {
            query = query.filter(audit_entries::seq.lt(before));
        }
        if let Some(since) = since {
            query = query.filter(audit_entries::at.ge(since));
        }
        if let Some(until) = until {
            query = query.filter(audit_entries::at.lt(until));
        }
        if filter.decisions {
            query = query.filter(audit_entries::decision.is_not_null());
        }
        if let Some(kind) = &filter.kind {
            query = query.filter(audit_entries::kind.eq(kind));
        }
        if let Some(outcome) = filter.outcome {
            query = query.filter(audit_entries::outcome.eq(i32::from(outcome.code())));
        }
        if let Some(room) = &filter.room {
            query = query.filter(audit_entries::room.eq(room.as_str()));
        }
        if let Some(actor) = &filter.actor {
            query = query.filter(audit_entries::actor.eq(actor));
        }
        if let Some(peer) = &filter.peer {
            query = query.filter(audit_entries::peer.eq(peer.as_str()));
        }
        if let Some(decision) = &filter.decision {
            query = query.filter(audit_entries::decision.eq(decision.as_bytes().as_slice()));
        }
        if let Some(exchange) = &filter.exchange {
            query = query.filter(audit_entries::exchange.eq(exchange.as_slice()));
        }
        query.load::<Row>(c)
    })?;
    rows.into_iter().map(read).collect()
}

/// How many entries the log has.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn size(conn: &mut Conn) -> Result<u64, StoreError> {
    Ok(heads::look(conn, Head::Audit)?.size)
}

fn read(
    (seq, encoded, signature, openings): (i64, Vec<u8>, Vec<u8>, Option<String>),
) -> Result<AuditEntry, StoreError> {
    let leaf = Leaf::decode(&encoded).map_err(|_| StoreError::Corrupt("leaf"))?;
    let openings: Openings = openings
        .map_or_else(|| Ok(Openings::default()), |json| serde_json::from_str(&json))
        .map_err(|_| StoreError::Corrupt("openings"))?;
    Ok(AuditEntry { seq: number(seq)?, record: openings.record(&leaf)?, leaf: encoded, signature, openings })
}
