//! The Merkle tree over the log (RFC 6962): its right edge stands beside the head of the log, the hashes above the leaves'
//! own in a table, and those of the leaves are computed from the entries.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_tlog::{Edge, Hash, ProveError, Prover, TILE_WIDTH, Tile, TreeHead};

use crate::convert::{millis, number, time, to_db};
use crate::effects::Effects;
use crate::heads::{self, Head, Held};
use crate::schema::{audit_checkpoints, audit_entries, audit_nodes};
use crate::{Conn, StoreError, Tx};

/// Leaves that are read at a time where the tree is built from them.
const PAGE: u64 = 1024;

/// A hash above the leaves' own.
pub(super) struct NodeRow {
    level: i64,
    number: i64,
    hash: Vec<u8>,
}

row!(NodeRow => audit_nodes (level, number, hash));

/// Appends leaves to the tree whose head is held; gives the hashes that it grew by, and its new edge. A tree that has not grown with its log, because a
/// build without trees has written, is made anew from the entries.
pub(super) fn append(
    conn: &mut Conn,
    held: &Held,
    leaves: impl IntoIterator<Item = Hash>,
) -> Result<(Vec<NodeRow>, Vec<u8>), StoreError> {
    let mut edge = match edge(held) {
        Some(edge) => edge,
        None => build(conn, held.size)?,
    };
    let nodes = grow(&mut edge, leaves)?;
    Ok((nodes, encode(&edge)))
}

/// Whether the tree has grown with its log.
pub(super) fn is_current(held: &Held) -> bool {
    edge(held).is_some()
}

/// An edge as it is stored: the size of its tree, then the roots of the complete subtrees, the largest first. Nothing for a
/// tree without leaves.
pub(super) fn encode(edge: &Edge) -> Vec<u8> {
    match edge.head().size {
        0 => Vec::new(),
        size => size.to_be_bytes().into_iter().chain(edge.peaks().iter().flat_map(|peak| peak.0)).collect(),
    }
}

fn edge(held: &Held) -> Option<Edge> {
    let Some((size, peaks)) = held.edge.split_first_chunk() else {
        return (held.size == 0 && held.edge.is_empty()).then(Edge::default);
    };
    let (peaks, rest) = peaks.as_chunks();
    if u64::from_be_bytes(*size) != held.size || !rest.is_empty() {
        return None;
    }
    Edge::new(held.size, peaks.iter().copied().map(Hash).collect()).ok()
}

/// The tree of the first `size` entries, made from nothing but these.
fn build(conn: &mut Conn, size: u64) -> Result<Edge, StoreError> {
    db!(conn, |c| diesel::delete(audit_nodes::table).execute(c))?;
    let mut edge = Edge::default();
    for from in (0..size).step_by(PAGE as usize) {
        let leaves = leaves(conn, from, PAGE.min(size - from))?;
        let mut nodes = Effects::default();
        nodes.insert(grow(&mut edge, leaves)?);
        conn.write(nodes)?;
    }
    if edge.head().size == size { Ok(edge) } else { Err(StoreError::Corrupt("tree")) }
}

fn grow(edge: &mut Edge, leaves: impl IntoIterator<Item = Hash>) -> Result<Vec<NodeRow>, StoreError> {
    let mut rows = Vec::new();
    for span in edge.append(leaves).into_iter().filter(|span| span.level > 0) {
        let first = span.index * u64::from(TILE_WIDTH) + u64::from(span.offset);
        for (number, hash) in (first..).zip(span.bytes.chunks(Hash::BYTES)) {
            rows.push(NodeRow { level: span.level.into(), number: to_db(number)?, hash: hash.to_vec() });
        }
    }
    Ok(rows)
}

/// The hashes of `count` leaves, or as many as there are, from number `from` on.
fn leaves(conn: &mut Conn, from: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
    let query = audit_entries::table
        .filter(audit_entries::seq.ge(to_db(from)?))
        .order(audit_entries::seq)
        .limit(to_db(count)?)
        .select((audit_entries::seq, audit_entries::leaf));
    let rows = db!(conn, |c| query.load::<(i64, Vec<u8>)>(c))?;
    let contiguous = (from..).zip(&rows).all(|(seq, (stored, _))| i64::try_from(seq) == Ok(*stored));
    if contiguous {
        Ok(rows.iter().map(|(_, leaf)| Hash::leaf(leaf)).collect())
    } else {
        Err(StoreError::Corrupt("seq"))
    }
}

/// The bytes of a tile (c2sp.org/tlog-tiles): its hashes, one after the other.
fn tile(conn: &mut Conn, tile: Tile) -> Result<Vec<u8>, StoreError> {
    let first = tile.index * u64::from(TILE_WIDTH);
    if tile.level == 0 {
        return Ok(leaves(conn, first, tile.width.into())?.iter().flat_map(|hash| hash.0).collect());
    }
    let query = audit_nodes::table
        .filter(audit_nodes::level.eq(i32::from(tile.level)))
        .filter(audit_nodes::number.ge(to_db(first)?))
        .order(audit_nodes::number)
        .limit(tile.width.into())
        .select(audit_nodes::hash);
    Ok(db!(conn, |c| query.load::<Vec<u8>>(c))?.concat())
}

/// Size and root of the log's tree.
///
/// # Errors
///
/// [`StoreError`] of the database; [`StoreError::Corrupt`] for a tree that has not grown with its log.
pub fn tree_head(conn: &mut Conn) -> Result<TreeHead, StoreError> {
    let held = heads::look(conn, Head::Audit)?;
    match edge(&held) {
        Some(edge) => Ok(edge.head()),
        None => Err(StoreError::Corrupt("tree")),
    }
}

/// The way from entry `seq` to the root of the tree of the first `size` entries.
///
/// # Errors
///
/// [`StoreError::Missing`] for an entry that is not among these, [`StoreError`] of the database.
pub fn inclusion(conn: &mut Conn, seq: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
    proved(conn, size, |prover| prover.inclusion(seq))
}

/// As [`inclusion`], for many entries: where these follow each other, what their ways share is read once.
///
/// # Errors
///
/// As [`inclusion`].
pub fn inclusions(conn: &mut Conn, seqs: &[u64], size: u64) -> Result<Vec<Vec<Hash>>, StoreError> {
    proved(conn, size, |prover| seqs.iter().map(|seq| prover.inclusion(*seq)).collect())
}

/// Shows that the tree of the first `size` entries begins with that of the first `old`.
///
/// # Errors
///
/// [`StoreError::Missing`] if `old` is more than `size`, [`StoreError`] of the database.
pub fn consistency(conn: &mut Conn, old: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
    proved(conn, size, |prover| prover.consistency(old))
}

/// The root over the first `size` entries, as the stored hashes have it.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn head_at(conn: &mut Conn, size: u64) -> Result<TreeHead, StoreError> {
    proved(conn, size, |prover| prover.head())
}

type Reader<'c> = Box<dyn FnMut(Tile) -> Result<Vec<u8>, StoreError> + 'c>;

fn proved<T>(
    conn: &mut Conn,
    size: u64,
    prove: impl FnOnce(&mut Prover<Reader<'_>>) -> Result<T, ProveError<StoreError>>,
) -> Result<T, StoreError> {
    let read: Reader<'_> = Box::new(|wanted| tile(conn, wanted));
    Prover::new(size, read).and_then(|mut prover| prove(&mut prover)).map_err(|error| match error {
        ProveError::Range(_) => StoreError::Missing,
        ProveError::Read(_, error) => error,
        ProveError::Short(_) => StoreError::Corrupt("tree"),
    })
}

/// A head that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many entries the log had.
    pub size: u64,
    /// When it was signed.
    pub signed_at: Millis,
    /// The signed note (c2sp.org/tlog-checkpoint).
    pub note: String,
}

/// Keeps a checkpoint, unless there is one of its size: then another replica was faster. Tells whether it was kept.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn put_checkpoint(tx: &mut Tx<'_>, checkpoint: &StoredCheckpoint) -> Result<bool, StoreError> {
    let row = (
        audit_checkpoints::size.eq(to_db(checkpoint.size)?),
        audit_checkpoints::signed_at.eq(time(checkpoint.signed_at)?),
        audit_checkpoints::note.eq(&checkpoint.note),
    );
    Ok(db!(tx, |c| diesel::insert_into(audit_checkpoints::table).values(row).on_conflict_do_nothing().execute(c))? == 1)
}

/// Checkpoints of more than `after` entries, the smallest first, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn checkpoints(conn: &mut Conn, after: u64, limit: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let query = audit_checkpoints::table
        .filter(audit_checkpoints::size.gt(to_db(after)?))
        .order(audit_checkpoints::size)
        .limit(limit.into())
        .select((audit_checkpoints::size, audit_checkpoints::signed_at, audit_checkpoints::note));
    db!(conn, |c| query.load::<(i64, i64, String)>(c))?.into_iter().map(read).collect()
}

/// The checkpoint of most entries.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn last_checkpoint(conn: &mut Conn) -> Result<Option<StoredCheckpoint>, StoreError> {
    let query = audit_checkpoints::table.order(audit_checkpoints::size.desc()).select((
        audit_checkpoints::size,
        audit_checkpoints::signed_at,
        audit_checkpoints::note,
    ));
    db!(conn, |c| query.first::<(i64, i64, String)>(c).optional())?.map(read).transpose()
}

fn read((size, signed_at, note): (i64, i64, String)) -> Result<StoredCheckpoint, StoreError> {
    Ok(StoredCheckpoint { size: number(size)?, signed_at: millis(signed_at)?, note })
}
