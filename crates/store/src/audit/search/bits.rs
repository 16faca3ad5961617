//! Which entries of a block.

/// Entries of a block.
pub(crate) const BLOCK: u64 = 1024;

const WORDS: usize = 16;
const BYTES: usize = 8 * WORDS;

/// A set of entries of one block of 1,024, by their place in it, as the index of the log keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) const FULL: Self = Self([u64::MAX; WORDS]);

    /// Those from the first place up to the second.
    pub(crate) fn between(from: u64, to: u64) -> Self {
        let mut bits = Self::default();
        (from..to.min(BLOCK)).for_each(|place| bits.add(place));
        bits
    }

    pub(crate) fn add(&mut self, place: u64) {
        if let Some(word) = self.0.get_mut((place / 64) as usize) {
            *word |= 1 << (place % 64);
        }
    }

    pub(crate) fn has(&self, place: u64) -> bool {
        self.0.get((place / 64) as usize).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    fn zip(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        words.iter_mut().zip(other.0).for_each(|(word, other)| *word = of(*word, other));
        Self(words)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn places(self) -> impl DoubleEndedIterator<Item = u64> {
        (0..BLOCK).filter(move |place| self.has(*place))
    }

    /// Two octets for each place where these are fewer, one bit for each where not.
    pub fn encode(&self) -> Vec<u8> {
        if (self.count() as usize) < BYTES / 2 {
            return self.places().flat_map(|place| (place as u16).to_be_bytes()).collect();
        }
        self.0.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// `None` for what [`Self::encode`] does not make.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bits = Self::default();
        if bytes.len() == BYTES {
            let words = bytes.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word));
            bits.0.iter_mut().zip(words).for_each(|(word, stored)| *word = stored);
        } else {
            bytes.as_chunks().0.iter().for_each(|place| bits.add(u16::from_be_bytes(*place).into()));
        }
        (bits.encode() == bytes).then_some(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_as_it_was_written_however_many_are_in_it() {
        for step in [1, 2, 15, 16, 17, 500] {
            let mut bits = Bits::default();
            (0..BLOCK).step_by(step).for_each(|place| bits.add(place));
            assert_eq!(Bits::decode(&bits.encode()), Some(bits), "{step}");
            assert_eq!(bits.places().collect::<Vec<_>>(), (0..BLOCK).step_by(step).collect::<Vec<_>>());
            assert!(bits.encode().len() <= BYTES);
        }
        assert_eq!(Bits::decode(&[]), Some(Bits::default()));
    }

    #[test]
    fn what_nobody_has_written_is_no_set() {
        for bytes in [&[0][..], &[0, 2, 0, 1], &[0, 1, 0, 1], &[4, 0], &[0; BYTES], &[0, 0, 0]] {
            assert_eq!(Bits::decode(bytes), None, "{bytes:?}");
        }
    }
}
