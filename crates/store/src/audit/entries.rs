use std::collections::BTreeMap;

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri};
use uuid::Uuid;

use super::commitment::Openings;
use super::leaf::Leaf;
use super::record::{AuditRecord, Outcome};
use super::search;
use super::tails::Dimension;
use crate::convert::{number, to_db};
use crate::heads::{self, Head};
use crate::schema::audit_entries;
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

impl AuditEntry {
    /// The entry of an encoded leaf, at the place that this says.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for what cannot be read.
    pub fn open(leaf: Vec<u8>, signature: Vec<u8>, openings: Openings) -> Result<Self, StoreError> {
        let read = Leaf::decode(&leaf).map_err(|_| StoreError::Corrupt("leaf"))?;
        let seq = read.place.map_or(0, |place| place.seq);
        Ok(Self { seq, record: openings.record(&read)?, leaf, signature, openings })
    }
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Of this kind, or of all kinds of a family: `decision.*`.
    pub kind: Option<String>,
    /// Of no kind of this family.
    pub but: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// About this room.
    pub room: Option<RoomUri>,
    /// By this actor.
    pub actor: Option<String>,
    /// From or to this provider.
    pub peer: Option<Domain>,
    /// By this client, or about it.
    pub client: Option<ClientUri>,
    /// Decided by this policy, perhaps beside others.
    pub policy: Option<String>,
    /// With this code of a reason.
    pub reason: Option<String>,
    /// Decided by the policy bundle with this digest.
    pub bundle: Option<[u8; 32]>,
    /// Of this trace.
    pub trace: Option<String>,
    /// Of this decision.
    pub decision: Option<Uuid>,
    /// About the message with this SHA-256.
    pub exchange: Option<[u8; 32]>,
}

impl Filter {
    /// The room, actor or peer whose entries it wants, if it wants all of them and nothing else.
    pub fn all_of(&self) -> Option<(Dimension, String)> {
        let named = [
            (Dimension::Room, self.room.as_ref().map(ToString::to_string)),
            (Dimension::Actor, self.actor.clone()),
            (Dimension::Peer, self.peer.as_ref().map(ToString::to_string)),
        ];
        let mut named = named.into_iter().filter_map(|(dimension, name)| Some((dimension, name?)));
        let (first, second) = (named.next(), named.next());
        let bare = Self { room: None, actor: None, peer: None, order: Order::Oldest, limit: 0, ..self.clone() };
        first.filter(|_| second.is_none() && bare == Self::default())
    }

    /// Whether it wants all entries of a range.
    fn is_range(&self) -> bool {
        let Self { from, before, order, limit, .. } = *self;
        *self == Self { from, before, order, limit, ..Self::default() }
    }
}

/// The entries that `filter` wants, in its order.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for an entry that cannot be read back.
pub fn entries(conn: &mut Conn, filter: &Filter) -> Result<Vec<AuditEntry>, StoreError> {
    if !filter.is_range() {
        let seqs = search::positions(conn, filter)?;
        return load(conn, &seqs);
    }
    let (from, before) = (to_db(filter.from)?, filter.before.map(to_db).transpose()?.unwrap_or(i64::MAX));
    let rows =
        stored().filter(audit_entries::seq.ge(from).and(audit_entries::seq.lt(before))).limit(filter.limit.into());
    let rows = match filter.order {
        Order::Oldest => db!(conn, |c| rows.order(audit_entries::seq.asc()).load::<Row>(c))?,
        Order::Newest => db!(conn, |c| rows.order(audit_entries::seq.desc()).load::<Row>(c))?,
    };
    rows.into_iter().map(read).collect()
}

/// The entries at these positions, in their order.
pub(super) fn load(conn: &mut Conn, seqs: &[u64]) -> Result<Vec<AuditEntry>, StoreError> {
    let mut found = BTreeMap::new();
    for seqs in seqs.chunks(AT_ONCE) {
        let seqs = seqs.iter().map(|seq| to_db(*seq)).collect::<Result<Vec<_>, _>>()?;
        let rows = stored().filter(audit_entries::seq.eq_any(seqs));
        for row in db!(conn, |c| rows.load::<Row>(c))? {
            let entry = read(row)?;
            found.insert(entry.seq, entry);
        }
    }
    seqs.iter().map(|seq| found.remove(seq).ok_or(StoreError::Corrupt("seq"))).collect()
}

/// Entries that are loaded by their positions at a time.
const AT_ONCE: usize = 500;

type Row = (i64, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

#[diesel::dsl::auto_type]
fn stored() -> _ {
    audit_entries::table.select((
        audit_entries::seq,
        audit_entries::leaf,
        audit_entries::signature,
        audit_entries::openings,
    ))
}

/// How many entries the log has.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn size(conn: &mut Conn) -> Result<u64, StoreError> {
    Ok(heads::look(conn, Head::Audit)?.size)
}

fn read((seq, leaf, signature, openings): Row) -> Result<AuditEntry, StoreError> {
    let openings = openings.as_deref().map_or_else(|| Ok(Openings::default()), Openings::decode)?;
    Ok(AuditEntry { seq: number(seq)?, ..AuditEntry::open(leaf, signature, openings)? })
}
