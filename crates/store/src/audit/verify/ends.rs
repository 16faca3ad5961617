//! Whether chains, rooms, actors and peers end where the log says.

use std::collections::BTreeMap;

use diesel::prelude::*;
use uuid::Uuid;

use super::{Check, Checks};
use crate::convert::to_db;
use crate::schema::{audit_tails, audit_writers};
use crate::{Conn, StoreError};

impl Checks<'_> {
    pub(super) fn ends(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        type Writer = (Vec<u8>, Vec<u8>, i64, Vec<u8>);
        let query = audit_writers::table.select((
            audit_writers::writer,
            audit_writers::public_key,
            audit_writers::next_seq,
            audit_writers::last_hash,
        ));
        let mut writers: BTreeMap<Vec<u8>, (Vec<u8>, i64, Vec<u8>)> = db!(conn, |c| query.load::<Writer>(c))?
            .into_iter()
            .map(|(writer, key, next, last)| (writer, (key, next, last)))
            .collect();
        for (writer, chain) in std::mem::take(&mut self.chains) {
            let end = (chain.public_key.to_vec(), to_db(chain.next)?, chain.last.to_vec());
            let found = writers.remove(writer.as_bytes().as_slice());
            self.finds(Check::Ends, found == Some(end), || format!("the chain of writer {writer} ends elsewhere"));
        }
        // A writer whose first records are still staged has a row, and nothing in the log.
        for (key, (_, next, _)) in writers {
            let writer = Uuid::from_slice(&key).unwrap_or_default();
            self.finds(Check::Ends, next == 0, || {
                format!("nothing of writer {writer} is there, who wrote {next} records")
            });
        }
        if !self.erased.is_empty() {
            return Ok(()); // whose the entries without openings are is not known
        }
        let query = audit_tails::table.select((
            audit_tails::dimension,
            audit_tails::name,
            audit_tails::number,
            audit_tails::seq,
        ));
        let mut tails: BTreeMap<(i32, String), (i64, i64)> = db!(conn, |c| query.load::<(i32, String, i64, i64)>(c))?
            .into_iter()
            .map(|(dimension, name, number, seq)| ((dimension, name), (number, seq)))
            .collect();
        for ((dimension, name), (number, seq)) in std::mem::take(&mut self.tails) {
            let found = tails.remove(&(dimension.code(), name.clone()));
            let end = (to_db(number)?, to_db(seq)?);
            self.finds(Check::Ends, found == Some(end), || format!("the records of `{name}` end elsewhere"));
        }
        for (_, name) in tails.into_keys() {
            self.finds(Check::Ends, false, || format!("nothing of `{name}` is there, of which there were records"));
        }
        Ok(())
    }
}
