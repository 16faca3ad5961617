//! Whether entries are all there are of one room, actor or peer: each points back to the one before it, and the last one was
//! written for nothing else than to point back to the last of them.

use portcullis_store::audit::{Dimension, Leaf, Openings};

use super::{AllOf, CLOSED};

/// What has been seen of the chain so far.
pub(super) struct Chain<'a> {
    of: &'a AllOf,
    last: Option<u64>,
    count: u64,
    closed: bool,
}

impl<'a> Chain<'a> {
    pub(super) fn new(of: &'a AllOf) -> Self {
        Self { of, last: None, count: 0, closed: false }
    }

    /// Takes the next entry; says what is wrong with it.
    pub(super) fn take(&mut self, seq: u64, leaf: &Leaf, openings: &Openings) -> Option<String> {
        let AllOf { dimension, name } = self.of;
        let is_of = openings.field(dimension.name()).as_deref() == Some(name.as_str());
        let place = leaf.place.filter(|place| place.seq == seq);
        let (last, count) = (self.last.replace(seq), self.count);
        self.count += 1;
        self.closed = leaf.kind == CLOSED;
        let Some(place) = place.filter(|_| is_of) else { return Some(format!("entry {seq} is not of `{name}`")) };
        let before = dimension.before(place);
        if before != last {
            let text = |seq: Option<u64>| seq.map_or_else(|| "none".to_owned(), |seq| seq.to_string());
            return Some(format!("before entry {seq} of `{name}` comes {}, and {} is here", text(before), text(last)));
        }
        let numbered = *dimension != Dimension::Room || place.room.map(|(number, _)| number) == Some(count);
        (!numbered).then(|| format!("entry {seq} of `{name}` has not the number {count}"))
    }

    /// What is wrong with the end.
    pub(super) fn end(&self) -> Option<String> {
        (!self.closed).then(|| format!("nothing shows that entry {} is the last", self.last.unwrap_or_default()))
    }
}
