//! Statements whose text never varies, which the database therefore prepares once. diesel has every UPDATE prepared
//! anew, for its own may differ from run to run.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, HasSqlType, Text};

/// A value that stands between two parts of a statement.
pub(crate) enum Bind<'a> {
    Text(&'a str),
    Number(i64),
    Owned(Vec<u8>),
}

/// The parts of a statement with what stands between them; its rows are of the SQL type `Row`.
pub(crate) struct Fixed<'a, Row> {
    parts: Cow<'static, [&'static str]>,
    binds: Vec<Bind<'a>>,
    row: PhantomData<Row>,
}

/// A statement of one part more than there are values.
pub(crate) fn fixed<'a, Row>(
    parts: impl Into<Cow<'static, [&'static str]>>,
    binds: impl Into<Vec<Bind<'a>>>,
) -> Fixed<'a, Row> {
    Fixed { parts: parts.into(), binds: binds.into(), row: PhantomData }
}

impl<Row> Query for Fixed<'_, Row> {
    type SqlType = Row;
}

impl<Row> QueryId for Fixed<'_, Row> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row, DB> QueryFragment<DB> for Fixed<'_, Row>
where
    DB: Backend + HasSqlType<Text> + HasSqlType<BigInt> + HasSqlType<Binary>,
    str: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
    [u8]: ToSql<Binary, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        for part in self.parts.iter() {
            out.push_sql(part);
            match binds.next() {
                Some(Bind::Text(text)) => out.push_bind_param::<Text, str>(text)?,
                Some(Bind::Number(number)) => out.push_bind_param::<BigInt, i64>(number)?,
                Some(Bind::Owned(bytes)) => out.push_bind_param::<Binary, [u8]>(bytes)?,
                None => {}
            }
        }
        Ok(())
    }
}

impl<Row, C> RunQueryDsl<C> for Fixed<'_, Row> {}

impl<Row, C> RunQueryDsl<C> for &Fixed<'_, Row> {}
