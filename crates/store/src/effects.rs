//! What is written together, each into a table of its own. For PostgreSQL it is one statement: what a statement costs by
//! itself, it costs once then.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sqlite::SqliteConnection;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::fixed::Fixed;
use crate::row::{Many, One, Row};
use crate::turn::Statement;

/// Effects none of which sees another: no two may touch the same row.
#[derive(Default)]
pub(crate) struct Effects<'a>(Vec<Box<dyn Effect + 'a>>);

impl<'a> Effects<'a> {
    pub(crate) fn add(&mut self, effect: impl Effect + 'a) {
        self.0.push(Box::new(effect));
    }

    /// Puts rows into their table.
    pub(crate) fn insert<R: Row + 'a>(&mut self, rows: Vec<R>) {
        if !rows.is_empty() {
            self.add(rows);
        }
    }

    /// These, and then others.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A part of a statement.
pub(crate) type Part<'e> = Box<dyn QueryFragment<Pg> + 'e>;

/// One of them.
pub(crate) trait Effect {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()>;

    /// As part of a statement.
    fn part(&self) -> Part<'_>;
}

impl Effect for Fixed<'_, ()> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        conn.execute_returning_count(self).map(drop)
    }

    fn part(&self) -> Part<'_> {
        Box::new(self)
    }
}

impl<R: Row> Effect for Vec<R> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.iter().try_for_each(|row| One::of(row).execute(conn).map(drop))
    }

    fn part(&self) -> Part<'_> {
        Box::new(Many::of(self))
    }
}

impl Statement for Effects<'_> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        self.0.iter().try_for_each(|effect| effect.run(conn))
    }

    fn send<'c>(&'c self, mut conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
        let all = All(self.0.iter().map(|effect| effect.part()).collect());
        conn.execute_returning_count(all).map(|done| done.map(drop)).boxed_local()
    }
}

/// `WITH` all but the last, the last.
struct All<'e>(Vec<Part<'e>>);

impl QueryId for All<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for All<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some((last, others)) = self.0.split_last() else { return Ok(()) };
        let mut before = "WITH ";
        for (number, part) in others.iter().enumerate() {
            out.push_sql(before);
            out.push_identifier(&format!("part{number}"))?;
            out.push_sql(" AS (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(")");
            before = ", ";
        }
        out.push_sql(if others.is_empty() { "" } else { " " });
        last.walk_ast(out)
    }
}
