//! The heads of the orders without gaps: where the next audit record and the next stream row go (correction C-4).
//!
//! Numbers that a database hands out before a commit become visible out of order, so that whoever reads "everything
//! after 7" loses rows. Here a row gets its number under a lock on the head that lasts until the transaction ends:
//! numbers have no gaps, and nothing appears before what is there already.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::conn::Kind;
use crate::convert::{number, to_db};
use crate::effects::Effects;
use crate::fixed::{Bind, fixed};
use crate::schema::heads;
use crate::turn::Asked;
use crate::{Conn, StoreError};

/// An order, whose rows wait for their number on a stage unless they got it with their effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Audit,
    Streams,
}

impl Head {
    fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Streams => "streams",
        }
    }
}

/// A head as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Number of rows before it.
    pub(crate) size: u64,
    /// Of the log: the right edge of its tree.
    pub(crate) edge: Vec<u8>,
}

/// The head, for whoever only reads.
pub(crate) fn look(conn: &mut Conn, head: Head) -> Result<Held, StoreError> {
    let row = heads::table.filter(heads::name.eq(head.name())).select((heads::size, heads::edge));
    held(db!(conn, |c| row.first::<(i64, Vec<u8>)>(c))?)
}

/// Waits for the head and holds it.
pub(crate) fn lock(conn: &mut Conn, head: Head) -> Result<Held, StoreError> {
    let parts = &["UPDATE heads SET size = size WHERE name = ", " RETURNING size, edge"];
    let statement = fixed::<(BigInt, Binary)>(parts, [Bind::Text(head.name())]);
    held(db!(conn, |c| statement.get_result::<(i64, Vec<u8>)>(c))?)
}

/// As [`lock`], for the transaction that the rows come from. It waits for nobody, for it holds rooms; and what was
/// staged before goes first, so that the order of a room's transactions is kept. A head that is not given then has its
/// rows staged: also where more than the commit may follow (`last`), for nobody is to wait for the head while its holder
/// waits for a room.
pub(crate) fn seize(conn: &Conn, heads: &[Head], last: bool) -> Option<Seizing> {
    let postgres = matches!(conn.kind, Kind::Postgres(_));
    if postgres && !last {
        return None;
    }
    let end = if postgres { ") FOR UPDATE SKIP LOCKED" } else { ")" };
    // The oldest is asked for by its number, for PostgreSQL reads all pages of a table that was full before.
    let parts: Vec<&'static str> = match (heads.contains(&Head::Audit), heads.contains(&Head::Streams)) {
        (false, false) => return None,
        (true, false) => vec![SEIZED, AUDIT_IS_DUE, end],
        (false, true) => vec![SEIZED, STREAMS_ARE_DUE, end],
        (true, true) => vec![SEIZED, AUDIT_IS_DUE, " OR ", STREAMS_ARE_DUE, end],
    };
    Some(Asked::new(fixed(parts, [])))
}

const SEIZED: &str = "SELECT name, size, edge FROM heads WHERE (";
const AUDIT_IS_DUE: &str = "name = 'audit' AND (SELECT id FROM audit_stage ORDER BY id LIMIT 1) IS NULL";
const STREAMS_ARE_DUE: &str = "name = 'streams' AND (SELECT id FROM stream_stage ORDER BY id LIMIT 1) IS NULL";

/// The question for heads that nobody else holds.
pub(crate) type Seizing = Asked<'static, (Text, BigInt, Binary), (String, i64, Vec<u8>)>;

/// Those that were free.
pub(crate) struct Seized(Vec<(String, i64, Vec<u8>)>);

impl Seized {
    pub(crate) fn of(asked: Option<Seizing>) -> Self {
        Self(asked.map(Asked::answers).unwrap_or_default())
    }

    pub(crate) fn take(&mut self, head: Head) -> Result<Option<Held>, StoreError> {
        let found = self.0.iter().position(|(name, ..)| name == head.name());
        found.map(|at| self.0.swap_remove(at)).map(|(_, size, edge)| held((size, edge))).transpose()
    }
}

fn held((size, edge): (i64, Vec<u8>)) -> Result<Held, StoreError> {
    Ok(Held { size: number(size)?, edge })
}

/// Moves a head that is held.
pub(crate) fn advance(effects: &mut Effects<'_>, head: Head, to: Held) -> Result<(), StoreError> {
    let parts = &["UPDATE heads SET size = ", ", edge = ", " WHERE name = ", ""];
    effects.add(fixed::<()>(parts, [Bind::Number(to_db(to.size)?), Bind::Owned(to.edge), Bind::Text(head.name())]));
    Ok(())
}
