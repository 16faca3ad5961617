//! Whether the tree is the one over the leaves, and had the heads that were signed.

use std::collections::BTreeMap;

use diesel::prelude::*;
use portcullis_tlog::{SignedCheckpoint, TreeHead, VerifierKey};

use super::super::tree;
use super::{Check, Checks, TOLD};
use crate::convert::to_db;
use crate::schema::{audit_checkpoints, audit_nodes};
use crate::{Conn, StoreError};

/// Heads that the log must have had, as far as they have been read.
pub(super) struct Signed<'k> {
    keys: &'k [VerifierKey],
    /// By size; of one size there may be several where somebody has forked the log.
    heads: BTreeMap<u64, Vec<TreeHead>>,
    /// The size up to which checkpoints have been read; `None` before the first.
    read: Option<i64>,
    /// Whether there are any.
    pub(super) any: bool,
}

impl<'k> Signed<'k> {
    pub(super) fn new(conn: &mut Conn, keys: &'k [VerifierKey], kept: &[TreeHead]) -> Result<Self, StoreError> {
        let first = audit_checkpoints::table.select(audit_checkpoints::size).limit(1);
        let any = !kept.is_empty() || db!(conn, |c| first.first::<i64>(c).optional())?.is_some();
        let mut signed = Self { keys, heads: BTreeMap::new(), read: None, any };
        kept.iter().for_each(|head| signed.expect(*head));
        Ok(signed)
    }

    fn expect(&mut self, head: TreeHead) {
        self.heads.entry(head.size).or_default().push(head);
    }

    pub(super) fn take(&mut self, size: u64) -> Vec<TreeHead> {
        self.heads.remove(&size).unwrap_or_default()
    }
}

impl Checks<'_> {
    /// Reads the checkpoints of up to so many entries.
    pub(super) fn read_checkpoints(&mut self, conn: &mut Conn, to: u64) -> Result<(), StoreError> {
        let to = i64::try_from(to).unwrap_or(i64::MAX);
        loop {
            let page = audit_checkpoints::table
                .filter(audit_checkpoints::size.gt(self.signed.read.unwrap_or(i64::MIN)))
                .filter(audit_checkpoints::size.le(to))
                .order(audit_checkpoints::size)
                .limit(super::PAGE.into())
                .select((audit_checkpoints::size, audit_checkpoints::note));
            let page = db!(conn, |c| page.load::<(i64, String)>(c))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            self.signed.read = Some(*last);
            for (size, note) in page {
                let signed = SignedCheckpoint::parse(note.as_bytes()).ok();
                let head = signed.and_then(|signed| Some(signed.verify(self.signed.keys).ok()?.0.head()));
                match head.filter(|head| i64::try_from(head.size) == Ok(size)) {
                    Some(head) => self.signed.expect(head),
                    None => self.finds(Check::Checkpoints, false, || {
                        format!("what is kept as checkpoint of {size} entries is not signed for this log")
                    }),
                }
            }
        }
    }

    /// A log of before there were trees gets its tree with its next entry, and was never signed.
    fn has_no_tree(&self) -> bool {
        self.held.edge.is_empty() && !self.signed.any
    }

    /// Compares the hashes above the leaves that have been read with those that are stored.
    pub(super) fn nodes(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let nodes = std::mem::take(&mut self.nodes);
        if self.has_no_tree() {
            return Ok(());
        }
        for (level, at, hash) in nodes {
            let stored = audit_nodes::table
                .filter(audit_nodes::level.eq(i32::from(level)).and(audit_nodes::number.eq(to_db(at)?)))
                .select(audit_nodes::hash);
            let stored = db!(conn, |c| stored.first::<Vec<u8>>(c).optional())?;
            self.finds(Check::Tree, stored == Some(hash), || format!("hash {at} of level {level} is another one"));
        }
        Ok(())
    }

    /// Compares the head with the tree over all leaves, and finds hashes and signatures that belong to nothing.
    pub(super) fn tree(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let head = self.edge.head();
        let (size, none) = (self.held.size, self.has_no_tree());
        self.finds(Check::Numbers, size == head.size, || {
            format!("the head counts {size} entries, and {} are there", head.size)
        });
        let same = none || self.held.edge == tree::encode(&self.edge);
        self.finds(Check::Tree, same, || "the head has another tree than the leaves".to_owned());
        let levels = if none { BTreeMap::new() } else { std::mem::take(&mut self.levels) };
        let mut strange = Vec::new();
        for (level, count) in &levels {
            let beyond = audit_nodes::number.lt(0).or(audit_nodes::number.ge(to_db(*count)?));
            let rows = audit_nodes::table.filter(audit_nodes::level.eq(i32::from(*level)).and(beyond));
            let rows = rows.select((audit_nodes::level, audit_nodes::number)).limit(TOLD as i64 + 1);
            strange.extend(db!(conn, |c| rows.load::<(i32, i64)>(c))?);
        }
        let known: Vec<i32> = levels.keys().map(|level| i32::from(*level)).collect();
        let rows = audit_nodes::table.filter(audit_nodes::level.ne_all(known));
        let rows = rows.select((audit_nodes::level, audit_nodes::number)).limit(TOLD as i64 + 1);
        strange.extend(db!(conn, |c| rows.load::<(i32, i64)>(c))?);
        for (level, at) in strange {
            self.finds(Check::Tree, false, || format!("hash {at} of level {level} belongs to nothing"));
        }
        let missing = std::mem::take(&mut self.signed.heads).into_keys().filter(|size| *size > 0);
        for size in missing {
            self.finds(Check::Checkpoints, false, || format!("{size} entries were signed, and so many are not there"));
        }
        Ok(())
    }
}
