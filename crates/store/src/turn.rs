//! Statements that go to the database together. PostgreSQL is sent all of them before it has answered the first, so that
//! they cost one turn of the wire; SQLite runs them one by one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use diesel::result::{Error, QueryResult};
use diesel::sql_types::{BigInt, Binary, Integer, Text};
use diesel::sqlite::SqliteConnection;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, MaybeDone, maybe_done};
use tokio::task::unconstrained;

use crate::effects::Effects;
use crate::fixed::{Fixed, fixed};

/// Statements in the order in which they are to take effect.
#[derive(Default)]
pub(crate) struct Turn<'a>(Vec<Box<dyn Statement + 'a>>);

impl<'a> Turn<'a> {
    /// Adds a statement.
    pub(crate) fn add(&mut self, statement: impl Statement + 'a) {
        self.0.push(Box::new(statement));
    }

    /// Adds effects, as one statement, if there are any.
    pub(crate) fn add_some(&mut self, effects: Effects<'a>) {
        if !effects.is_empty() {
            self.add(effects);
        }
    }

    /// How many there are: the number of the next.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs them until one fails; gives its number.
    pub(crate) fn run(&self, conn: &mut SqliteConnection) -> Result<(), (usize, Error)> {
        (0..).zip(&self.0).try_for_each(|(number, statement)| statement.run(conn).map_err(|error| (number, error)))
    }

    /// Sends them, within `bounds` of a transaction, and waits for all answers. Gives the number of the first that failed:
    /// those behind it are refused for it, and what would have been committed is undone by the server.
    pub(crate) async fn send(&self, conn: &AsyncPgConnection, bounds: Bounds) -> Result<(), (usize, Error)> {
        let (begin, commit) = (fixed::<()>(&["BEGIN"], []), fixed::<()>(&["COMMIT"], []));
        let begin = bounds.begins.then(|| Statement::send(&begin, conn));
        let mut commit = maybe_done(Statement::send(&commit, conn));
        let mut sent: Vec<_> =
            begin.into_iter().chain(self.0.iter().map(|statement| statement.send(conn))).map(maybe_done).collect();
        // All of them in one go: tokio would put off what comes after the first 128, and turn its order around.
        unconstrained(poll_fn(|context| {
            // In their order, which is the one in which they are prepared and sent.
            let waits =
                sent.iter_mut().filter_map(|one| one.poll_unpin(context).is_pending().then_some(())).count() > 0;
            // Of what fails before it gets to the server the server knows nothing, and would commit the rest.
            let commits = bounds.commits && !sent.iter().any(|one| matches!(one, MaybeDone::Done(Err(_))));
            let waits_for_commit = commits && commit.poll_unpin(context).is_pending();
            if waits || waits_for_commit { Poll::Pending } else { Poll::Ready(()) }
        }))
        .await;
        let before = usize::from(bounds.begins);
        let answers = sent.iter_mut().chain([&mut commit]).map(|one| Pin::new(one).take_output());
        answers
            .enumerate()
            .try_for_each(|(at, answer)| answer.unwrap_or(Ok(())).map_err(|error| (at.saturating_sub(before), error)))
    }
}

/// What of a transaction a turn is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// The transaction begins with it.
    pub(crate) begins: bool,
    /// It is committed behind it.
    pub(crate) commits: bool,
}

/// A statement on its way.
pub(crate) type Sending<'c> = LocalBoxFuture<'c, QueryResult<()>>;

/// A statement for either database.
pub(crate) trait Statement {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()>;

    /// Is sent when the future is asked first.
    fn send<'c>(&'c self, conn: &'c AsyncPgConnection) -> Sending<'c>;
}

impl<S: Statement> Statement for &S {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        (*self).run(conn)
    }

    fn send<'c>(&'c self, conn: &'c AsyncPgConnection) -> LocalBoxFuture<'c, QueryResult<()>> {
        (*self).send(conn)
    }
}

impl Statement for Fixed<'_, ()> {
    fn run(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        diesel::RunQueryDsl::execute(self, conn).map(drop)
    }

    fn send<'c>(&'c self, mut conn: &'c AsyncPgConnection) -> Sending<'c> {
        diesel_async::RunQueryDsl::execute(self, &mut conn).map(|done| done.map(drop)).boxed_local()
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
        self.answers().into_iter().next()
    }

    pub(crate) fn answers(self) -> Vec<Answer> {
        self.answer.into_inner()
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

asked!((Text, BigInt, Binary) => (String, i64, Vec<u8>));
asked!((BigInt, BigInt) => (i64, i64));
asked!((BigInt, BigInt, Integer, BigInt, BigInt) => (i64, i64, i32, i64, i64));
