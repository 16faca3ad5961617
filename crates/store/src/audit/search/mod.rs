//! Finding entries by what stands in them: through the index as far as it goes, and one by one after it.

mod bits;
mod counts;
mod index;
mod tail;
mod terms;
mod walk;

pub(super) use bits::BLOCK;
pub use bits::Bits;
pub use counts::{Bucket, counts};
pub use index::index;
pub(super) use index::{Said, indexed};
pub(super) use terms::Term;
pub use terms::matches;

use super::{AuditEntry, Filter, Order};
use crate::{Conn, StoreError};
use tail::Tail;
use walk::Walk;

/// Most steps through the index that one page takes: some five million entries where all of them come into question.
const MOST_STEPS: u32 = 16;

/// Most steps through what is not in the index: some sixteen thousand entries.
const MOST_TAIL_STEPS: u32 = 64;

/// One page of what was looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The entries, in the order of the filter, at most as many as its limit.
    pub entries: Vec<AuditEntry>,
    /// Where to go on: `from` of the next page where the oldest come first, and `before` where the newest do. A page may be
    /// short, or empty, and have a next one: looking for what is rare is done in parts.
    pub next: Option<u64>,
}

/// The next page of what `filter` wants; in a time that does not grow with the log.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for an entry that cannot be read back, [`StoreError::OutOfRange`] for times that no database has.
pub fn search(conn: &mut Conn, filter: &Filter) -> Result<Found, StoreError> {
    let mut looking = Looking::new(conn, filter, filter.limit.saturating_add(1))?;
    looking.look(conn, (MOST_STEPS, MOST_TAIL_STEPS))?;
    let Looking { mut seqs, mut next, .. } = looking;
    if seqs.len() > filter.limit as usize {
        seqs.truncate(filter.limit as usize);
        next = seqs.last().map(|last| match filter.order {
            Order::Oldest => last + 1,
            Order::Newest => *last,
        });
    }
    Ok(Found { entries: super::entries::load(conn, &seqs)?, next })
}

/// The positions of all that `filter` wants, up to its limit.
pub(super) fn positions(conn: &mut Conn, filter: &Filter) -> Result<Vec<u64>, StoreError> {
    let mut looking = Looking::new(conn, filter, filter.limit)?;
    looking.look(conn, (u32::MAX, u32::MAX))?;
    Ok(looking.seqs)
}

struct Looking {
    walk: Walk,
    tail: Tail,
    order: Order,
    limit: usize,
    seqs: Vec<u64>,
    next: Option<u64>,
}

impl Looking {
    fn new(conn: &mut Conn, filter: &Filter, limit: u32) -> Result<Self, StoreError> {
        let walk = Walk::new(conn, filter)?;
        let tail = Tail::new(filter, indexed(conn)? * BLOCK)?;
        Ok(Self { walk, tail, order: filter.order, limit: limit as usize, seqs: Vec::new(), next: None })
    }

    fn look(&mut self, conn: &mut Conn, (steps, tail_steps): (u32, u32)) -> Result<(), StoreError> {
        match self.order {
            Order::Oldest => {
                self.in_index(conn, steps)?;
                self.after_it(conn, tail_steps)
            }
            Order::Newest => {
                self.after_it(conn, tail_steps)?;
                self.in_index(conn, steps)
            }
        }
    }

    fn is_done(&self) -> bool {
        self.seqs.len() >= self.limit || self.next.is_some()
    }

    fn in_index(&mut self, conn: &mut Conn, steps: u32) -> Result<(), StoreError> {
        for _ in 0..steps {
            if self.is_done() {
                return Ok(());
            }
            let Some(blocks) = self.walk.next(conn)? else { return Ok(()) };
            for (block, bits) in blocks {
                let seqs = bits.places().map(|place| block * BLOCK + place);
                let room = self.limit.saturating_sub(self.seqs.len());
                match self.order {
                    Order::Oldest => self.seqs.extend(seqs.take(room)),
                    Order::Newest => self.seqs.extend(seqs.rev().take(room)),
                }
            }
        }
        let left = self.walk.left();
        if !self.is_done() && !left.is_empty() {
            self.next = Some(BLOCK * if self.order == Order::Oldest { left.start } else { left.end });
        }
        Ok(())
    }

    fn after_it(&mut self, conn: &mut Conn, steps: u32) -> Result<(), StoreError> {
        for _ in 0..steps {
            if self.is_done() {
                return Ok(());
            }
            let Some(entries) = self.tail.next(conn)? else { return Ok(()) };
            let room = self.limit.saturating_sub(self.seqs.len());
            self.seqs.extend(entries.iter().map(|entry| entry.seq).take(room));
        }
        let left = self.tail.left();
        if !self.is_done() && !left.is_empty() {
            self.next = Some(if self.order == Order::Oldest { left.start } else { left.end });
        }
        Ok(())
    }
}
