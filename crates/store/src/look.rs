//! Reading a database without changing it in any way.

use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::conn::{Conn, Kind};
use crate::migrate::{POSTGRES, SQLITE};
use crate::store::Database;
use crate::{Options, StoreError};

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Runs `job` on one snapshot of a database that is only read: no schema is brought up to date, and nothing is written.
/// Blocks.
///
/// # Errors
///
/// Those of `job`; [`StoreError::Open`] for a database that is not there, or has the schema of another version.
pub fn look<T, E: From<StoreError>>(
    url: &str,
    options: &Options,
    job: impl FnOnce(&mut Conn) -> Result<T, E>,
) -> Result<T, E> {
    let database = Database::at(url, options)?;
    let mut conn = database.reader()?;
    conn.begin_read().map_err(StoreError::from)?;
    check_schema(&mut conn)?;
    let answer = job(&mut conn);
    conn.abandon();
    answer
}

fn check_schema(conn: &mut Conn) -> Result<(), StoreError> {
    let mut expected = match conn.kind {
        Kind::Sqlite(_) => versions::<diesel::sqlite::Sqlite>(SQLITE),
        Kind::Postgres(_) => versions::<diesel::pg::Pg>(POSTGRES),
    }?;
    let query = diesel::sql_query("SELECT version FROM __diesel_schema_migrations");
    let found = db!(conn, |c| query.load::<Version>(c)).map_err(|error| StoreError::Open(error.into()))?;
    let mut found: Vec<String> = found.into_iter().map(|row| row.version).collect();
    expected.sort();
    found.sort();
    if found == expected { Ok(()) } else { Err(StoreError::Open("its schema is that of another version".into())) }
}

fn versions<DB: diesel::backend::Backend>(source: impl MigrationSource<DB>) -> Result<Vec<String>, StoreError> {
    let migrations = source.migrations().map_err(StoreError::Migrate)?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}
