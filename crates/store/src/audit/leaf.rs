//! The leaf: a deterministic CBOR map (RFC 8949, section 4.2) with integer keys.
//!
//! ```text
//!  1 schema   2 origin   3 writer   4 writer_seq   5 previous hash   6 event   7 at   8 kind   9 outcome
//! 10 bundle  11 engine  14 disclosure root  15 {2: epoch}  16 exchange  17 public key, in `writer.begin` only
//! 20 seq     21 [room_seq, previous seq of the room]  22 previous seq of the actor  23 previous seq of the peer
//! ```
//! Keys up to 17 are the *core*, which its writer signs and chains by SHA-256; the sequencer adds those from 20 on.
//! A field without a value has no key.

use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::decode::Error as DecodeError;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};
use portcullis_core::time::Millis;
use uuid::Uuid;

use super::Outcome;

const SCHEMA: u8 = 1;

/// Why bytes are not a leaf.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// Not the CBOR that a leaf is.
    #[error("leaf is malformed")]
    Malformed(#[from] DecodeError),
    /// A key that a leaf must have is missing, or has a value it cannot have.
    #[error("key {0} of the leaf is missing or wrong")]
    Key(u8),
    /// The same values have another encoding, which is not this one.
    #[error("leaf is not in its deterministic encoding")]
    Encoding,
}

/// What a leaf says in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Name of the log.
    pub origin: String,
    /// The lane and boot that wrote it.
    pub writer: Uuid,
    /// Its number in the chain of the writer; the first is 0.
    pub writer_seq: u64,
    /// SHA-256 of the core before it in the chain; zeros for the first.
    pub previous: [u8; 32],
    /// The record's identifier.
    pub event: Uuid,
    /// When it happened.
    pub at: Millis,
    /// Kind of event.
    pub kind: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Digest of the policy bundle.
    pub bundle: Option<[u8; 32]>,
    /// What decided.
    pub engine: String,
    /// Merkle root over the salted fields.
    pub disclosure: [u8; 32],
    /// MLS epoch.
    pub epoch: Option<u64>,
    /// SHA-256 of the MLSMessage.
    pub exchange: Option<[u8; 32]>,
    /// Ed25519 key that the writer signs with; in the first record of a chain.
    pub public_key: Option<[u8; 32]>,
    /// Where it stands in the log; `None` while it is staged.
    pub place: Option<Place>,
}

/// Where a record stands in the log and what stood before it. Absent numbers mean that nothing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number in the log; the first is 0.
    pub seq: u64,
    /// Number among the records of its room, and the room's record before it.
    pub room: Option<(u64, Option<u64>)>,
    /// The actor's record before it.
    pub actor: Option<u64>,
    /// The peer's record before it.
    pub peer: Option<u64>,
}

impl Leaf {
    /// Reads a leaf or a core.
    ///
    /// # Errors
    ///
    /// [`LeafError`] for anything but the one encoding of a leaf.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let leaf = Fields::read(bytes)?.leaf()?;
        if leaf.encode().is_ok_and(|again| again == bytes) { Ok(leaf) } else { Err(LeafError::Encoding) }
    }

    /// The deterministic encoding.
    ///
    /// # Errors
    ///
    /// None: memory takes everything.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError<Infallible>> {
        let optional = [
            self.bundle.is_some(),
            self.epoch.is_some(),
            self.exchange.is_some(),
            self.public_key.is_some(),
            self.place.is_some(),
            self.place.is_some_and(|place| place.room.is_some()),
            self.place.is_some_and(|place| place.actor.is_some()),
            self.place.is_some_and(|place| place.peer.is_some()),
        ];
        let present = optional.into_iter().filter(|present| *present).count();
        let mut cbor = Encoder::new(Vec::new());
        cbor.map(11 + present as u64)?;
        cbor.u8(1)?.u8(SCHEMA)?.u8(2)?.str(&self.origin)?.u8(3)?.bytes(self.writer.as_bytes())?;
        cbor.u8(4)?.u64(self.writer_seq)?.u8(5)?.bytes(&self.previous)?.u8(6)?.bytes(self.event.as_bytes())?;
        cbor.u8(7)?.u64(self.at.0)?.u8(8)?.str(&self.kind)?.u8(9)?.u8(self.outcome.code())?;
        if let Some(bundle) = &self.bundle {
            cbor.u8(10)?.bytes(bundle)?;
        }
        cbor.u8(11)?.str(&self.engine)?.u8(14)?.bytes(&self.disclosure)?;
        if let Some(epoch) = self.epoch {
            cbor.u8(15)?.map(1)?.u8(2)?.u64(epoch)?;
        }
        if let Some(exchange) = &self.exchange {
            cbor.u8(16)?.bytes(exchange)?;
        }
        if let Some(public_key) = &self.public_key {
            cbor.u8(17)?.bytes(public_key)?;
        }
        if let Some(place) = &self.place {
            cbor.u8(20)?.u64(place.seq)?;
            match place.room {
                Some((number, Some(previous))) => drop(cbor.u8(21)?.array(2)?.u64(number)?.u64(previous)?),
                Some((number, None)) => drop(cbor.u8(21)?.array(1)?.u64(number)?),
                None => {}
            }
            if let Some(previous) = place.actor {
                cbor.u8(22)?.u64(previous)?;
            }
            if let Some(previous) = place.peer {
                cbor.u8(23)?.u64(previous)?;
            }
        }
        Ok(cbor.into_writer())
    }

    /// What its writer signed and chained: the leaf without its place.
    ///
    /// # Errors
    ///
    /// None, as [`Self::encode`].
    pub fn core(&self) -> Result<Vec<u8>, EncodeError<Infallible>> {
        Self { place: None, ..self.clone() }.encode()
    }
}

/// The values of the map, before it is known which are there.
#[derive(Default)]
struct Fields<'b> {
    texts: BTreeMap<u8, &'b str>,
    bytes: BTreeMap<u8, &'b [u8]>,
    numbers: BTreeMap<u8, u64>,
    room: Option<(u64, Option<u64>)>,
}

impl<'b> Fields<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, LeafError> {
        let mut cbor = Decoder::new(bytes);
        let mut fields = Self::default();
        let entries = cbor.map()?.ok_or(LeafError::Encoding)?;
        for _ in 0..entries {
            let key = cbor.u8()?;
            match key {
                2 | 8 | 11 => drop(fields.texts.insert(key, cbor.str()?)),
                3 | 5 | 6 | 10 | 14 | 16 | 17 => drop(fields.bytes.insert(key, cbor.bytes()?)),
                1 | 4 | 7 | 9 | 20 | 22 | 23 => drop(fields.numbers.insert(key, cbor.u64()?)),
                15 => {
                    if cbor.map()? != Some(1) || cbor.u8()? != 2 {
                        return Err(LeafError::Key(key));
                    }
                    fields.numbers.insert(key, cbor.u64()?);
                }
                21 => {
                    fields.room = match cbor.array()? {
                        Some(1) => Some((cbor.u64()?, None)),
                        Some(2) => Some((cbor.u64()?, Some(cbor.u64()?))),
                        _ => return Err(LeafError::Key(key)),
                    };
                }
                unknown => return Err(LeafError::Key(unknown)),
            }
        }
        if cbor.position() == bytes.len() { Ok(fields) } else { Err(LeafError::Encoding) }
    }

    fn leaf(&self) -> Result<Leaf, LeafError> {
        if self.number(1)? != u64::from(SCHEMA) {
            return Err(LeafError::Key(1));
        }
        let seq = self.numbers.get(&20).copied();
        Ok(Leaf {
            origin: self.text(2)?,
            writer: Uuid::from_bytes(self.array(3)?),
            writer_seq: self.number(4)?,
            previous: self.array(5)?,
            event: Uuid::from_bytes(self.array(6)?),
            at: Millis(self.number(7)?),
            kind: self.text(8)?,
            outcome: Outcome::from_code(self.number(9)?).ok_or(LeafError::Key(9))?,
            bundle: self.optional(10)?,
            engine: self.text(11)?,
            disclosure: self.array(14)?,
            epoch: self.numbers.get(&15).copied(),
            exchange: self.optional(16)?,
            public_key: self.optional(17)?,
            place: seq.map(|seq| Place {
                seq,
                room: self.room,
                actor: self.numbers.get(&22).copied(),
                peer: self.numbers.get(&23).copied(),
            }),
        })
    }

    fn text(&self, key: u8) -> Result<String, LeafError> {
        self.texts.get(&key).map(|text| (*text).to_owned()).ok_or(LeafError::Key(key))
    }

    fn number(&self, key: u8) -> Result<u64, LeafError> {
        self.numbers.get(&key).copied().ok_or(LeafError::Key(key))
    }

    fn array<const N: usize>(&self, key: u8) -> Result<[u8; N], LeafError> {
        self.optional(key)?.ok_or(LeafError::Key(key))
    }

    fn optional<const N: usize>(&self, key: u8) -> Result<Option<[u8; N]>, LeafError> {
        self.bytes.get(&key).map(|bytes| (*bytes).try_into().map_err(|_| LeafError::Key(key))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            origin: "log".to_owned(),
            writer: Uuid::from_u128(1),
            writer_seq: 300,
            previous: [2; 32],
            event: Uuid::from_u128(3),
            at: Millis(1_800_000_000_000),
            kind: "decision.commit".to_owned(),
            outcome: Outcome::Deny,
            bundle: Some([4; 32]),
            engine: "engine".to_owned(),
            disclosure: [5; 32],
            epoch: Some(u64::MAX),
            exchange: Some([6; 32]),
            public_key: Some([7; 32]),
            place: Some(Place { seq: 9, room: Some((1, Some(0))), actor: Some(8), peer: Some(7) }),
        }
    }

    fn bare() -> Leaf {
        Leaf { bundle: None, epoch: None, exchange: None, public_key: None, place: None, ..leaf() }
    }

    #[test]
    fn a_leaf_decodes_to_itself() {
        let placed = Leaf { place: Some(Place { seq: 0, room: Some((0, None)), actor: None, peer: None }), ..bare() };
        for leaf in [leaf(), bare(), placed] {
            assert_eq!(Leaf::decode(&leaf.encode().unwrap()).unwrap(), leaf);
        }
    }

    #[test]
    fn a_core_does_not_depend_on_the_place() {
        assert_eq!(leaf().core().unwrap(), Leaf { place: None, ..leaf() }.encode().unwrap());
    }

    #[test]
    fn a_leaf_cut_short_or_continued_is_refused() {
        let bytes = leaf().encode().unwrap();
        assert!((0..bytes.len()).all(|end| Leaf::decode(&bytes[..end]).is_err()));
        assert!(Leaf::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn another_encoding_of_the_same_values_is_refused() {
        let bytes = bare().encode().unwrap();
        // The map's length and the first key, each in a longer form than it needs.
        let long_map = [&[0xb8, bytes[0] & 0x1f], &bytes[1..]].concat();
        let long_key = [&bytes[..1], &[0x18, 1], &bytes[2..]].concat();
        for other in [long_map, long_key] {
            assert!(matches!(Leaf::decode(&other), Err(LeafError::Encoding)));
        }
    }

    #[test]
    fn a_place_without_a_number_in_the_log_is_refused() {
        let mut cbor = bare().encode().unwrap();
        cbor[0] += 1;
        cbor.extend([22, 5]);
        assert!(Leaf::decode(&cbor).is_err());
    }
}
