//! Questions to the log, page by page, as of one checkpoint: what is written meanwhile does not shift the pages.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::HEXLOWER_PERMISSIVE;
use portcullis_store::audit::{
    AuditEntry, Filter, Order, StoredCheckpoint, checkpoints, entries, last_checkpoint, search,
};
use portcullis_store::{Conn, Store, StoreError};
use portcullis_tlog::{LogProof, SignedCheckpoint};

use super::Shown;
use crate::gateway::access;

/// The entries that match, in the order of their positions, signed or not. Blocks on the database.
///
/// # Errors
///
/// [`StoreError`].
pub fn list(store: &Store, filter: Filter) -> Result<Vec<Shown>, StoreError> {
    let found = store.read(move |conn| entries(conn, &filter))?;
    Ok(found.into_iter().map(Shown::from).collect())
}

/// A question.
#[derive(Clone, Debug)]
pub struct Query {
    /// What is wanted, and how much of it at a time.
    pub filter: Filter,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// Where to go on, and as of which checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    size: u64,
    position: u64,
}

/// The cursor is of another question, or of none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that was given out for this question")]
pub struct Misfit;

/// A page of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; `None` after the last. A page may have less entries than were asked for, and a next one.
    pub next: Option<Cursor>,
    /// The checkpoint that covers all pages of this answer; `None` while nothing is signed.
    pub as_of: Option<StoredCheckpoint>,
}

impl Cursor {
    /// As it is given out: it fits this question alone.
    pub fn encode(&self, filter: &Filter) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\n{}\n{}", self.size, self.position, fingerprint(filter)))
    }

    /// Reads what [`Self::encode`] gave out for the same question.
    ///
    /// # Errors
    ///
    /// [`Misfit`] for anything else.
    pub fn decode(text: &str, filter: &Filter) -> Result<Self, Misfit> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Misfit)?;
        let text = String::from_utf8(bytes).map_err(|_| Misfit)?;
        let number =
            |text: &str| text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok()).ok_or(Misfit);
        match text.split('\n').collect::<Vec<_>>()[..] {
            [size, position, of] if of == fingerprint(filter) => {
                Ok(Self { size: number(size)?, position: number(position)? })
            }
            _ => Err(Misfit),
        }
    }
}

/// Tells questions apart.
fn fingerprint(filter: &Filter) -> String {
    let asked = access::asked(filter).to_string();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, asked.as_bytes()).as_ref().get(..12).unwrap_or_default())
}

impl Query {
    /// Answers from what is signed.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfRange`] for times that no database has, else [`StoreError`] of the database.
    pub fn answer(&self, conn: &mut Conn) -> Result<Answer, StoreError> {
        let as_of = as_of(conn, self.cursor.map(|cursor| cursor.size))?;
        let size = as_of.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let mut filter = self.filter.clone();
        filter.before = Some(filter.before.map_or(size, |before| before.min(size)));
        match (self.cursor, filter.order) {
            (Some(cursor), Order::Oldest) => filter.from = filter.from.max(cursor.position),
            (Some(cursor), Order::Newest) => filter.before = Some(cursor.position.min(size)),
            (None, _) => {}
        }
        let found = search(conn, &filter)?;
        let next = found.next.map(|position| Cursor { size, position });
        Ok(Answer { entries: found.entries, next, as_of })
    }
}

/// The checkpoint of this size, or the last one.
///
/// # Errors
///
/// [`StoreError::Missing`] where none of this size was signed.
pub fn as_of(conn: &mut Conn, size: Option<u64>) -> Result<Option<StoredCheckpoint>, StoreError> {
    let Some(size) = size else { return last_checkpoint(conn) };
    if size == 0 {
        return Ok(None);
    }
    let found = checkpoints(conn, size - 1, 1)?.pop().filter(|checkpoint| checkpoint.size == size);
    found.map(Some).ok_or(StoreError::Missing)
}

/// Proves that the entry at `position` is in the log of the last checkpoint.
///
/// # Errors
///
/// [`StoreError::Missing`] where no checkpoint covers it.
pub fn prove(conn: &mut Conn, position: u64) -> Result<(AuditEntry, LogProof), StoreError> {
    let last = last_checkpoint(conn)?.filter(|last| position < last.size).ok_or(StoreError::Missing)?;
    let checkpoint = SignedCheckpoint::parse(last.note.as_bytes()).map_err(|_| StoreError::Corrupt("checkpoint"))?;
    let path = portcullis_store::audit::inclusion(conn, position, last.size)?;
    let filter = Filter { from: position, before: Some(position + 1), limit: 1, ..Filter::default() };
    let entry = entries(conn, &filter)?.pop().ok_or(StoreError::Missing)?;
    Ok((entry, LogProof { extra: None, index: position, path, checkpoint }))
}

/// Reads a SHA-256 in hexadecimal.
///
/// # Errors
///
/// A sentence, for anything else.
pub fn sha256(hex: &str) -> Result<[u8; 32], String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_fits_the_question_that_it_was_given_out_for_and_no_other() {
        let cursor = Cursor { size: 700, position: 12 };
        let filter = Filter { reason: Some("MUTED".to_owned()), ..Filter::default() };
        let text = cursor.encode(&filter);
        assert_eq!(Cursor::decode(&text, &filter), Ok(cursor));
        assert_eq!(Cursor::decode(&text, &Filter { limit: 7, ..filter.clone() }), Ok(cursor));
        let others = [
            Filter::default(),
            Filter { reason: Some("BARRED".to_owned()), ..Filter::default() },
            Filter { order: Order::Newest, ..filter.clone() },
        ];
        for other in others {
            assert_eq!(Cursor::decode(&text, &other), Err(Misfit), "{other:?}");
        }
        for text in ["", "?", &URL_SAFE_NO_PAD.encode("1\n2"), &Cursor { size: u64::MAX, position: 0 }.encode(&filter)]
        {
            assert_eq!(Cursor::decode(text, &filter), Err(Misfit), "{text}");
        }
    }
}
