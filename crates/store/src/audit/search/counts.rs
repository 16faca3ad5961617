//! How many entries there are of what is looked for, and when.

use portcullis_core::time::Millis;

use super::super::{Filter, Order, Outcome};
use super::tail::Tail;
use super::terms::Term;
use super::walk::{self, Times, Walk};
use super::{BLOCK, Bits, indexed};
use crate::convert::time;
use crate::{Conn, StoreError};

/// The entries of one span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When it begins; it ends where the next one begins.
    pub start: Millis,
    /// How many entries ended how.
    pub counts: [(Outcome, u64); Outcome::ALL.len()],
}

impl Bucket {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// Counts what `filter` wants, whatever its order and limit are, in spans of time that begin at `starts`, in their order;
/// the last one has no end but the filter's. What happened before the first is not counted.
///
/// # Errors
///
/// [`StoreError::OutOfRange`] for times that no database has.
pub fn counts(conn: &mut Conn, filter: &Filter, starts: &[Millis]) -> Result<Vec<Bucket>, StoreError> {
    let Some(first) = starts.first() else { return Ok(Vec::new()) };
    let since = filter.since.map_or(*first, |since| since.max(*first));
    let filter = Filter { since: Some(since), order: Order::Oldest, ..filter.clone() };
    let mut counting = Counting {
        starts: starts.iter().map(|start| time(*start)).collect::<Result<_, _>>()?,
        buckets: starts.iter().map(|start| Bucket { start: *start, counts: Outcome::ALL.map(|it| (it, 0)) }).collect(),
    };
    let mut walk = Walk::new(conn, &filter)?;
    while let Some(blocks) = walk.next(conn)? {
        counting.blocks(conn, &blocks)?;
    }
    let mut tail = Tail::new(&filter, indexed(conn)? * BLOCK)?;
    while let Some(hits) = tail.next(conn)? {
        for hit in hits {
            let outcome = u64::try_from(hit.outcome).ok().and_then(Outcome::from_code);
            counting.add(hit.at, outcome.ok_or(StoreError::Corrupt("outcome"))?, 1);
        }
    }
    Ok(counting.buckets)
}

struct Counting {
    starts: Vec<i64>,
    buckets: Vec<Bucket>,
}

impl Counting {
    fn bucket(&self, at: i64) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    fn add(&mut self, at: i64, outcome: Outcome, count: u64) {
        let bucket = self.bucket(at).checked_sub(1).and_then(|bucket| self.buckets.get_mut(bucket));
        let counts = bucket.into_iter().flat_map(|bucket| &mut bucket.counts);
        counts.filter(|(of, _)| *of == outcome).for_each(|(_, counted)| *counted += count);
    }

    fn blocks(&mut self, conn: &mut Conn, blocks: &[(u64, Bits)]) -> Result<(), StoreError> {
        let numbers = || blocks.iter().map(|(block, _)| *block);
        let times = walk::times(conn, numbers())?;
        let mut each = std::collections::BTreeMap::new();
        for (block, times) in &times {
            if self.bucket(times.first) != self.bucket(times.last) {
                each.insert(*block, walk::each_time(conn, *block)?);
            }
        }
        for outcome in Outcome::ALL {
            let ended = walk::of_blocks(conn, &Term::outcome(outcome), numbers())?;
            for (block, bits) in blocks {
                let bits = bits.and(&ended.get(block).copied().unwrap_or_default());
                match (each.get(block), times.get(block)) {
                    (Some(each), _) => {
                        let at = |place| each.get(usize::try_from(place).ok()?).copied();
                        bits.places().filter_map(at).for_each(|at| self.add(at, outcome, 1));
                    }
                    (None, Some(Times { first, .. })) => self.add(*first, outcome, bits.count()),
                    (None, None) => return Err(StoreError::Corrupt("index")),
                }
            }
        }
        Ok(())
    }
}
