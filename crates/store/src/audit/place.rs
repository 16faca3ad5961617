//! How records get into the log: with the transaction that they come from where nothing is in the way, else by the
//! sequencer, from the stage.

use std::cell::RefCell;

use diesel::prelude::*;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use portcullis_tlog::Hash;

use super::chain::{self, ChainEnd};
use super::known::Known;
use super::leaf::Leaf;
use super::tails::{Names, Searching, Tails};
use super::tree;
use crate::convert::to_db;
use crate::effects::Effects;
use crate::heads::{self, Head, Held};
use crate::later::WriterRow;
use crate::schema::{audit_tails, audit_writers};
use crate::turn::Statement;
use crate::{Conn, StoreError, Topic};

/// A record that its writer has chained, and signs when it is written.
pub(crate) struct Written {
    pub(crate) leaf: Leaf,
    pub(crate) core: Vec<u8>,
    pub(crate) openings: Vec<u8>,
    pub(crate) names: Names,
}

struct StageRow<'a> {
    core: &'a [u8],
    signature: &'a [u8],
    openings: &'a [u8],
}

row!(StageRow<'_> => audit_stage (core, signature, openings));

/// A record on its way into the log.
pub(super) struct Entry<'s> {
    pub(super) leaf: Leaf,
    pub(super) signature: &'s [u8],
    pub(super) openings: &'s [u8],
    pub(super) names: Names,
}

/// What must be known of the log, beside its end, so that records can be put there at once.
pub(crate) struct Asking<'a> {
    first: &'a Leaf,
    tails: Searching<'a>,
    chain: RefCell<Option<ChainEnd>>,
}

impl<'a> Asking<'a> {
    /// `None` where the records must be staged: they are of more than one chain.
    pub(crate) fn new(records: &'a [Written]) -> Option<Self> {
        let (first, end) = (&records.first()?.leaf, &records.last()?.leaf);
        let tails = || Searching::of(records.iter().map(|record| &record.names));
        (first.writer == end.writer).then(|| Self { first, tails: tails(), chain: RefCell::default() })
    }

    /// Where the records go, if they may go there: they continue a chain whose records before them are there.
    pub(crate) fn answer(self, held: Held) -> Result<Option<End>, StoreError> {
        // Making a tree anew takes time, and rooms are held here.
        if !tree::is_current(&held) || !chain::is_continued(self.chain.into_inner(), self.first)? {
            return Ok(None);
        }
        Ok(Some(End { held, tails: Tails::found(self.tails)? }))
    }
}

/// PostgreSQL is asked for all of it at once: the end of the chain comes as the tail of no dimension.
impl Statement for Asking<'_> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.tails.run(conn)?;
        let end = chain::end(&self.first.writer).select((audit_writers::next_seq, audit_writers::last_hash));
        self.chain.replace(end.first::<ChainEnd>(conn).optional()?);
        Ok(())
    }

    fn send<'c>(&'c self, mut conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
        type Row = (i32, String, i64, i64, Option<Vec<u8>>);
        let tails = self.tails.wanted().select((
            audit_tails::dimension,
            audit_tails::name,
            audit_tails::number,
            audit_tails::seq,
            None::<Vec<u8>>.into_sql::<Nullable<Binary>>(),
        ));
        let chain = chain::end(&self.first.writer).select((
            NO_DIMENSION.into_sql::<Integer>(),
            "".into_sql::<Text>(),
            audit_writers::next_seq,
            0_i64.into_sql::<BigInt>(),
            audit_writers::last_hash.nullable(),
        ));
        let found = diesel_async::RunQueryDsl::load::<Row>(tails.union_all(chain), &mut conn);
        let keep = |rows: Vec<Row>| {
            for (dimension, name, number, seq, hash) in rows {
                match hash {
                    Some(hash) => drop(self.chain.replace(Some((number, hash)))),
                    None => self.tails.keep((dimension, name, number, seq)),
                }
            }
        };
        found.map(move |found| found.map(keep)).boxed_local()
    }
}

const NO_DIMENSION: i32 = -1;

/// The end of the log, held.
pub(crate) struct End {
    held: Held,
    tails: Tails,
}

/// Puts what a lane has written, each with its signature, into the log where its end is held, or on the stage; with it the
/// writers that begin.
pub(crate) fn write<'a>(
    conn: &mut Conn,
    effects: &mut Effects<'a>,
    known: &Known,
    mut begun: Vec<WriterRow>,
    (records, signatures): (&'a [Written], &'a [Vec<u8>]),
    end: Option<End>,
) -> Result<Option<Topic>, StoreError> {
    let Some(last) = records.last() else { return Ok(None) };
    let signed = records.iter().zip(signatures);
    if let Some(End { held, tails }) = end {
        chain::extend(effects, &mut begun, &last.leaf, &last.core)?;
        effects.insert(begun);
        place(conn, effects, held, tails, signed.map(Entry::from))?;
        return Ok(Some(Topic::Audit));
    }
    let row = |(Written { core, openings, .. }, signature): (&'a Written, &'a Vec<u8>)| StageRow {
        core,
        signature,
        openings,
    };
    let rows: Vec<StageRow<'a>> = signed.map(row).collect();
    for row in &rows {
        known.add(row.core, row.signature, row.openings);
    }
    effects.insert(begun);
    effects.insert(rows);
    Ok(Some(Topic::Staged))
}

impl<'s> From<(&'s Written, &'s Vec<u8>)> for Entry<'s> {
    fn from((written, signature): (&'s Written, &'s Vec<u8>)) -> Self {
        let Written { leaf, core: _, openings, names } = written;
        Self { leaf: leaf.clone(), signature, openings, names: names.clone() }
    }
}

struct EntryRow<'s> {
    seq: i64,
    leaf: Vec<u8>,
    signature: &'s [u8],
    openings: &'s [u8],
}

row!(EntryRow<'_> => audit_entries (seq, leaf, signature, openings));

/// Writes the entries from the head on, lets the tree grow by them, and moves the head.
pub(super) fn place<'a>(
    conn: &mut Conn,
    effects: &mut Effects<'a>,
    held: Held,
    mut tails: Tails,
    entries: impl ExactSizeIterator<Item = Entry<'a>>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(entries.len());
    for (seq, Entry { leaf, signature, openings, names }) in (held.size..).zip(entries) {
        let leaf = Leaf { place: Some(tails.append(seq, &names)), ..leaf };
        let leaf = leaf.encode().map_err(|_| StoreError::Corrupt("leaf"))?;
        rows.push(EntryRow { seq: to_db(seq)?, leaf, signature, openings });
    }
    let size = held.size + rows.len() as u64;
    let (nodes, edge) = tree::append(conn, &held, rows.iter().map(|row| Hash::leaf(&row.leaf)))?;
    effects.insert(rows);
    effects.insert(tails.into_rows()?);
    effects.insert(nodes);
    heads::advance(effects, Head::Audit, Held { size, edge })
}
