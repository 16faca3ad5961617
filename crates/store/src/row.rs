//! Rows that are put into a table by a statement that is prepared once, however many there are: SQLite gets them one by
//! one, PostgreSQL all of them, as an array for each column.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use diesel::sqlite::Sqlite;

/// A row of a table.
pub(crate) trait Row {
    /// `INSERT INTO table (column, …)`.
    const INTO: &'static str;
    /// What follows the values.
    const END: &'static str;
    /// Names the statement among those that are prepared.
    type Name: 'static;

    /// What stands in the columns, in their order.
    fn cells(&self) -> Vec<Cell<'_>>;
}

/// Says which table rows are put into, and which columns their fields are.
macro_rules! row {
    ($row:ty => $table:ident ($first:ident $(, $column:ident)*) $($end:literal)?) => {
        const _: () = {
            pub(crate) struct Name;

            impl $crate::row::Row for $row {
                const INTO: &'static str =
                    concat!("INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($column))*, ")");
                const END: &'static str = concat!("" $(, $end)?);
                type Name = Name;

                fn cells(&self) -> Vec<$crate::row::Cell<'_>> {
                    vec![(&self.$first).into() $(, (&self.$column).into())*]
                }
            }
        };
    };
}

/// What stands in a column of a row.
pub(crate) enum Cell<'r> {
    Number(Option<i64>),
    Text(Option<&'r str>),
    Bytes(Option<&'r [u8]>),
}

impl<'r> From<&'r i64> for Cell<'r> {
    fn from(number: &'r i64) -> Self {
        Self::Number(Some(*number))
    }
}

impl<'r> From<&'r Option<i64>> for Cell<'r> {
    fn from(number: &'r Option<i64>) -> Self {
        Self::Number(*number)
    }
}

impl<'r> From<&'r String> for Cell<'r> {
    fn from(text: &'r String) -> Self {
        Self::Text(Some(text))
    }
}

impl<'r> From<&'r &str> for Cell<'r> {
    fn from(text: &'r &str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'r> From<&'r Option<String>> for Cell<'r> {
    fn from(text: &'r Option<String>) -> Self {
        Self::Text(text.as_deref())
    }
}

impl<'r> From<&'r Vec<u8>> for Cell<'r> {
    fn from(bytes: &'r Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'r> From<&'r &[u8]> for Cell<'r> {
    fn from(bytes: &'r &[u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'r> From<&'r Option<Vec<u8>>> for Cell<'r> {
    fn from(bytes: &'r Option<Vec<u8>>) -> Self {
        Self::Bytes(bytes.as_deref())
    }
}

/// One row, for SQLite.
pub(crate) struct One<'r, R> {
    cells: Vec<Cell<'r>>,
    row: PhantomData<R>,
}

impl<'r, R: Row> One<'r, R> {
    pub(crate) fn of(row: &'r R) -> Self {
        Self { cells: row.cells(), row: PhantomData }
    }
}

impl<R: Row> QueryId for One<'_, R> {
    type QueryId = R::Name;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R: Row> QueryFragment<Sqlite> for One<'_, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(R::INTO);
        let mut before = " VALUES (";
        for cell in &self.cells {
            out.push_sql(before);
            match cell {
                Cell::Number(number) => out.push_bind_param::<Nullable<BigInt>, _>(number)?,
                Cell::Text(text) => out.push_bind_param::<Nullable<Text>, _>(text)?,
                Cell::Bytes(bytes) => out.push_bind_param::<Nullable<Binary>, _>(bytes)?,
            }
            before = ", ";
        }
        out.push_sql(")");
        out.push_sql(R::END);
        Ok(())
    }
}

impl<R, C> RunQueryDsl<C> for One<'_, R> {}

/// A column of all rows.
enum Column<'r> {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<&'r str>>),
    Bytes(Vec<Option<&'r [u8]>>),
}

impl<'r> Column<'r> {
    fn new(cell: &Cell<'r>, rows: usize) -> Self {
        match cell {
            Cell::Number(_) => Self::Numbers(Vec::with_capacity(rows)),
            Cell::Text(_) => Self::Texts(Vec::with_capacity(rows)),
            Cell::Bytes(_) => Self::Bytes(Vec::with_capacity(rows)),
        }
    }

    /// A column has cells of one kind, for a field has one type.
    fn push(&mut self, cell: Cell<'r>) {
        match (self, cell) {
            (Self::Numbers(column), Cell::Number(number)) => column.push(number),
            (Self::Texts(column), Cell::Text(text)) => column.push(text),
            (Self::Bytes(column), Cell::Bytes(bytes)) => column.push(bytes),
            _ => {}
        }
    }
}

/// All rows, for PostgreSQL. The rows of its answer are of the SQL type `Answer`.
pub(crate) struct Many<'r, R, Answer = ()> {
    columns: Vec<Column<'r>>,
    returning: &'static str,
    types: PhantomData<(R, Answer)>,
}

impl<'r, R: Row> Many<'r, R> {
    pub(crate) fn of(rows: &'r [R]) -> Self {
        Self::returning(rows, "")
    }
}

impl<'r, R: Row, Answer> Many<'r, R, Answer> {
    /// With a clause `RETURNING` at its end.
    pub(crate) fn returning(rows: &'r [R], returning: &'static str) -> Self {
        let first = rows.first().map(Row::cells).unwrap_or_default();
        let mut columns: Vec<Column<'r>> = first.iter().map(|cell| Column::new(cell, rows.len())).collect();
        for row in rows {
            columns.iter_mut().zip(row.cells()).for_each(|(column, cell)| column.push(cell));
        }
        Self { columns, returning, types: PhantomData }
    }
}

impl<R, Answer> Query for Many<'_, R, Answer> {
    type SqlType = Answer;
}

impl<R, Answer> QueryId for Many<'_, R, Answer> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R: Row, Answer> QueryFragment<Pg> for Many<'_, R, Answer> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(R::INTO);
        let mut before = " SELECT * FROM unnest(";
        for column in &self.columns {
            out.push_sql(before);
            match column {
                Column::Numbers(column) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(column)?,
                Column::Texts(column) => out.push_bind_param::<Array<Nullable<Text>>, _>(column)?,
                Column::Bytes(column) => out.push_bind_param::<Array<Nullable<Binary>>, _>(column)?,
            }
            before = ", ";
        }
        out.push_sql(")");
        out.push_sql(R::END);
        out.push_sql(self.returning);
        Ok(())
    }
}

impl<R, Answer, C> RunQueryDsl<C> for Many<'_, R, Answer> {}
