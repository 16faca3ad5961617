//! Statements that go to the database together. PostgreSQL is sent all of them before it has answered the first, so that
//! they cost one turn of the wire; SQLite runs them one by one.

use std::cell::RefCell;

use diesel::result::{Error, QueryResult};
use diesel::sql_types::{BigInt, Binary};
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::task::unconstrained;

use crate::fixed::Fixed;

/// Statements in the order in which they are to take effect.
#[derive(Default)]
pub(crate) struct Turn<'a>(Vec<Box<dyn Statement + 'a>>);

impl<'a> Turn<'a> {
    /// Adds a statement.
    pub(crate) fn add(&mut self, statement: impl Statement + 'a) {
        self.0.push(Box::new(statement));
    }

    /// How many there are: the number of the next.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs them until one fails; gives its number.
    pub(crate) fn run(&self, conn: &mut SqliteConnection) -> Result<(), (usize, Error)> {
        (0..).zip(&self.0).try_for_each(|(number, statement)| statement.run(conn).map_err(|error| (number, error)))
    }

    /// Sends them and waits for all answers. Gives the number of the first that failed: those behind it are refused for it.
    pub(crate) async fn send(&self, conn: &AsyncPgConnection) -> Result<(), (usize, Error)> {
        // All of them in one go: tokio would put off what comes after the first 128, and turn its order around.
        let answers = unconstrained(join_all(self.0.iter().map(|statement| statement.send(conn)))).await;
        (0..).zip(answers).try_for_each(|(number, answer)| answer.map_err(|error| (number, error)))
    }
}

/// A statement for either database.
pub(crate) trait Statement {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()>;

    /// Is sent when the future is asked first.
    fn send<'c>(&'c self, conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>>;
}

impl<S: Statement> Statement for &S {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        (*self).run(conn)
    }

    fn send<'c>(&'c self, conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
        (*self).send(conn)
    }
}

/// A statement with an answer: it is there once its turn was sent.
pub(crate) struct Asked<'a, Row, Answer> {
    statement: Fixed<'a, Row>,
    answer: RefCell<Vec<Answer>>,
}

impl<'a, Row, Answer> Asked<'a, Row, Answer> {
    pub(crate) fn new(statement: Fixed<'a, Row>) -> Self {
        Self { statement, answer: RefCell::default() }
    }

    /// The first row of the answer.
    pub(crate) fn answer(self) -> Option<Answer> {
        self.answer.into_inner().into_iter().next()
    }
}

/// Lets a statement be asked whose rows are of these types.
macro_rules! asked {
    ($row:ty => $answer:ty) => {
        impl Statement for Asked<'_, $row, $answer> {
            fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
                self.answer.replace(diesel::RunQueryDsl::load(&self.statement, conn)?);
                Ok(())
            }

            fn send<'c>(&'c self, mut conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
                let answer = diesel_async::RunQueryDsl::load(&self.statement, &mut conn);
                answer.map(|rows| rows.map(|rows| drop(self.answer.replace(rows)))).boxed_local()
            }
        }
    };
}

asked!((BigInt, Binary) => (i64, Vec<u8>));
asked!((BigInt, BigInt) => (i64, i64));
