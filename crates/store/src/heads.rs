//! The heads of the orders without gaps: where the next audit record and the next stream row go (correction C-4).
//!
//! Numbers that a database hands out before a commit become visible out of order, so that whoever reads "everything
//! after 7" loses rows. Here a row gets its number under a lock on the head that lasts until the transaction ends:
//! numbers have no gaps, and nothing appears before what is there already.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::conn::Kind;
use crate::convert::{number, to_db};
use crate::fixed::{Bind, fixed};
use crate::schema::heads;
use crate::{Conn, StoreError};

/// An order, whose rows wait for their number on a stage unless they got it with their effect.
#[derive(Clone, Copy)]
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

/// How many rows have their number.
pub(crate) fn size(conn: &mut Conn, head: Head) -> Result<u64, StoreError> {
    let size = heads::table.filter(heads::name.eq(head.name())).select(heads::size);
    number(db!(conn, |c| size.first::<i64>(c))?)
}

/// Waits for the head and holds it. Gives the number of rows before it.
pub(crate) fn lock(conn: &mut Conn, head: Head) -> Result<u64, StoreError> {
    let parts = &["UPDATE heads SET size = size WHERE name = ", " RETURNING size"];
    let statement = fixed::<BigInt>(parts, [Bind::Text(head.name())]);
    number(db!(conn, |c| statement.get_result::<i64>(c))?)
}

/// As [`lock`], for the transaction that the rows come from. It waits for nobody, for it holds rooms; and what was
/// staged before goes first, so that the order of a room's transactions is kept. `None` if its rows must be staged.
pub(crate) fn seize(conn: &mut Conn, head: Head) -> Result<Option<u64>, StoreError> {
    let parts: &'static [&'static str] = match (&conn.kind, head) {
        (Kind::Sqlite(_), Head::Audit) => {
            &["SELECT size FROM heads WHERE NOT EXISTS (SELECT 1 FROM audit_stage) AND name = ", ""]
        }
        (Kind::Sqlite(_), Head::Streams) => {
            &["SELECT size FROM heads WHERE NOT EXISTS (SELECT 1 FROM stream_stage) AND name = ", ""]
        }
        (Kind::Postgres(_), Head::Audit) => &[
            "SELECT size FROM heads WHERE NOT EXISTS (SELECT 1 FROM audit_stage) AND name = ",
            " FOR UPDATE SKIP LOCKED",
        ],
        (Kind::Postgres(_), Head::Streams) => &[
            "SELECT size FROM heads WHERE NOT EXISTS (SELECT 1 FROM stream_stage) AND name = ",
            " FOR UPDATE SKIP LOCKED",
        ],
    };
    let statement = fixed::<BigInt>(parts, [Bind::Text(head.name())]);
    db!(conn, |c| statement.get_result::<i64>(c).optional())?.map(number).transpose()
}

/// Moves a head that is held.
pub(crate) fn advance(conn: &mut Conn, head: Head, size: u64) -> Result<(), StoreError> {
    let parts = &["UPDATE heads SET size = ", " WHERE name = ", ""];
    let statement = fixed::<()>(parts, [Bind::Number(to_db(size)?), Bind::Text(head.name())]);
    db!(conn, |c| statement.execute(c))?;
    Ok(())
}
