//! MIMI content: what a message says once it is decrypted. Deterministic CBOR, checked by writing it again.
//!
//! Source: draft-ietf-mimi-content, "MIMI Content container" and "Message ID".

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::wire::uri::{RoomUri, UserUri};

pub mod part;

use part::Part;

/// Octets of the salt, which is also the key of the franking tag.
pub const SALT_BYTES: usize = 16;

/// Key of the sender's identifier in the extensions map.
const SENDER_URI: u64 = 1;
/// Key of the room's identifier in the extensions map.
const ROOM_URI: u64 = 2;

/// Why bytes are not MIMI content, or why content cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not the CBOR that the format asks for.
    #[error("content is not a MIMI content document")]
    Malformed,
    /// The right values in an encoding that is not the deterministic one (RFC 8949, section 4.2.1).
    #[error("content is not in deterministic encoding")]
    NotDeterministic,
    /// Parts nested deeper than four.
    #[error("content nests parts too deeply")]
    TooDeep,
    /// The extensions do not name a sender and a room.
    #[error("content names no sender or no room")]
    Anonymous,
}

impl From<minicbor::decode::Error> for ContentError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

/// Hash that names a message: its first octet is 01 (SHA-256).
pub type MessageId = [u8; 32];

/// When a message stops being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Seconds after it was read.
    Relative(u32),
    /// Seconds since the UNIX epoch.
    Absolute(u32),
}

/// A whole MIMI content document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Sixteen random octets, never used twice.
    pub salt: [u8; SALT_BYTES],
    /// The message this one edits or deletes.
    pub replaces: Option<MessageId>,
    /// Free label that groups messages.
    pub topic: Vec<u8>,
    /// When it expires.
    pub expires: Option<Expiry>,
    /// The message this one answers.
    pub in_reply_to: Option<MessageId>,
    /// Encoded key and encoded value of every extension, in deterministic order.
    pub extensions: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is shown.
    pub body: Part,
}

impl Content {
    /// A plain text message of `sender` in `room`.
    pub fn text(sender: &UserUri, room: &RoomUri, text: &str, salt: [u8; SALT_BYTES]) -> Self {
        let named = [(SENDER_URI, sender.as_str()), (ROOM_URI, room.as_str())];
        Self {
            salt,
            replaces: None,
            topic: Vec::new(),
            expires: None,
            in_reply_to: None,
            extensions: named.into_iter().map(|(key, uri)| (encoded(&key), encoded(uri))).collect(),
            body: Part::text(text),
        }
    }

    /// Reads a document that fills `bytes` exactly.
    ///
    /// # Errors
    ///
    /// [`ContentError`] for what is malformed, nested too deeply or not deterministically encoded.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut from = Decoder::new(bytes);
        expect_array(&mut from, 7)?;
        let content = Self {
            salt: fixed(&mut from)?,
            replaces: nullable(&mut from, fixed)?,
            topic: from.bytes()?.to_vec(),
            expires: nullable(&mut from, expiry)?,
            in_reply_to: nullable(&mut from, fixed)?,
            extensions: extensions(&mut from)?,
            body: Part::read(&mut from, 1)?,
        };
        if content.encode() == bytes { Ok(content) } else { Err(ContentError::NotDeterministic) }
    }

    /// The bytes that are encrypted, franked and hashed.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(Vec::new());
        // Writing to a vector cannot fail: its error type has no values.
        let Ok(()) = self.write(&mut to);
        to.into_writer()
    }

    fn write(&self, to: &mut Encoder<Vec<u8>>) -> Result<(), Never> {
        put(to.array(7))?;
        put(to.bytes(&self.salt))?;
        put(match &self.replaces {
            Some(id) => to.bytes(id),
            None => to.null(),
        })?;
        put(to.bytes(&self.topic))?;
        put(match self.expires {
            Some(Expiry::Relative(seconds)) => to.array(2).and_then(|to| to.bool(true)?.u32(seconds)),
            Some(Expiry::Absolute(seconds)) => to.array(2).and_then(|to| to.bool(false)?.u32(seconds)),
            None => to.null(),
        })?;
        put(match &self.in_reply_to {
            Some(id) => to.bytes(id),
            None => to.null(),
        })?;
        put(to.map(self.extensions.len() as u64))?;
        for (key, value) in &self.extensions {
            to.writer_mut().extend_from_slice(key);
            to.writer_mut().extend_from_slice(value);
        }
        self.body.write(to)
    }

    /// The user who claims to have written it.
    ///
    /// # Errors
    ///
    /// [`ContentError::Anonymous`] when the extensions name no user.
    pub fn sender(&self) -> Result<UserUri, ContentError> {
        self.named(SENDER_URI).and_then(|uri| UserUri::parse(&uri).ok()).ok_or(ContentError::Anonymous)
    }

    /// The room it claims to have been written for.
    ///
    /// # Errors
    ///
    /// [`ContentError::Anonymous`] when the extensions name no room.
    pub fn room(&self) -> Result<RoomUri, ContentError> {
        self.named(ROOM_URI).and_then(|uri| RoomUri::parse(&uri).ok()).ok_or(ContentError::Anonymous)
    }

    /// The identifier of this message.
    ///
    /// # Errors
    ///
    /// [`ContentError::Anonymous`] when the content names no sender or no room.
    pub fn id(&self) -> Result<MessageId, ContentError> {
        let (sender, room) = (
            self.named(SENDER_URI).ok_or(ContentError::Anonymous)?,
            self.named(ROOM_URI).ok_or(ContentError::Anonymous)?,
        );
        let mut hashed = Vec::new();
        for uri in [&sender, &room] {
            let length = u16::try_from(uri.len()).map_err(|_| ContentError::Malformed)?;
            hashed.extend_from_slice(&length.to_be_bytes());
            hashed.extend_from_slice(uri.as_bytes());
        }
        hashed.extend_from_slice(&self.encode());
        hashed.extend_from_slice(&self.salt);
        let mut id = [1; 32];
        for (to, from) in id.iter_mut().skip(1).zip(digest(&SHA256, &hashed).as_ref()) {
            *to = *from;
        }
        Ok(id)
    }

    fn named(&self, key: u64) -> Option<String> {
        let value = self.extensions.get(&encoded(&key))?;
        Decoder::new(value).str().ok().map(str::to_owned)
    }
}

/// The error of a writer that cannot fail.
type Never = std::convert::Infallible;

/// Drops the encoder that every writing method returns.
fn put<T>(written: Result<T, minicbor::encode::Error<Never>>) -> Result<(), Never> {
    // The only other cause is a value that refuses to be written, and none of ours does.
    written.map(drop).or(Ok(()))
}

fn encoded<T: minicbor::Encode<()> + ?Sized>(value: &T) -> Vec<u8> {
    let mut to = Encoder::new(Vec::new());
    let Ok(()) = put(to.encode(value));
    to.into_writer()
}

/// Refuses indefinite lengths and other lengths than `length`.
fn expect_array(from: &mut Decoder<'_>, length: u64) -> Result<(), ContentError> {
    if from.array()? == Some(length) { Ok(()) } else { Err(ContentError::Malformed) }
}

fn fixed<const N: usize>(from: &mut Decoder<'_>) -> Result<[u8; N], ContentError> {
    from.bytes()?.try_into().map_err(|_| ContentError::Malformed)
}

fn nullable<'b, T>(
    from: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, ContentError>,
) -> Result<Option<T>, ContentError> {
    if from.datatype()? == Type::Null {
        from.null()?;
        return Ok(None);
    }
    read(from).map(Some)
}

fn expiry(from: &mut Decoder<'_>) -> Result<Expiry, ContentError> {
    expect_array(from, 2)?;
    let relative = from.bool()?;
    let seconds = from.u32()?;
    Ok(if relative { Expiry::Relative(seconds) } else { Expiry::Absolute(seconds) })
}

fn extensions(from: &mut Decoder<'_>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ContentError> {
    let length = from.map()?.ok_or(ContentError::Malformed)?;
    let mut extensions = BTreeMap::new();
    for _ in 0..length {
        let (key, value) = (span(from)?, span(from)?);
        if extensions.insert(key, value).is_some() {
            return Err(ContentError::Malformed);
        }
    }
    Ok(extensions)
}

/// The exact bytes of the next value.
fn span(from: &mut Decoder<'_>) -> Result<Vec<u8>, ContentError> {
    let start = from.position();
    from.skip()?;
    from.input().get(start..from.position()).map(<[u8]>::to_vec).ok_or(ContentError::Malformed)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::content::part::Body;

    fn hello() -> Content {
        Content::text(
            &UserUri::parse("mimi://a.example/u/alice").unwrap(),
            &RoomUri::parse("mimi://a.example/r/lobby").unwrap(),
            "hello",
            [7; SALT_BYTES],
        )
    }

    #[test]
    fn a_text_survives_the_way_through_its_bytes() {
        let read = Content::decode(&hello().encode()).unwrap();
        assert_eq!(read, hello());
        assert_eq!(read.sender().unwrap().as_str(), "mimi://a.example/u/alice");
        assert_eq!(read.room().unwrap().as_str(), "mimi://a.example/r/lobby");
        assert_eq!(read.body.as_text(), Some("hello"));
    }

    #[test]
    fn what_follows_the_document_is_refused() {
        let mut bytes = hello().encode();
        bytes.push(0);
        assert_eq!(Content::decode(&bytes), Err(ContentError::NotDeterministic));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = hello().encode();
        for length in 0..bytes.len() {
            assert!(Content::decode(&bytes[..length]).is_err(), "{length} octets");
        }
    }

    #[test]
    fn a_longer_form_of_the_same_length_is_refused() {
        let mut bytes = hello().encode();
        // The salt's one-octet length 16 (0x50), written in two octets instead.
        assert_eq!(bytes[1], 0x50);
        bytes.splice(1..2, [0x58, 16]);
        assert_eq!(Content::decode(&bytes), Err(ContentError::NotDeterministic));
    }

    #[test]
    fn parts_deeper_than_four_are_refused() {
        let nest = |levels: usize| {
            let mut content = hello();
            for _ in 0..levels {
                let twice = vec![content.body.clone(), Part::text("other")];
                content.body = Part { body: Body::Multi { semantics: 0, parts: twice }, ..content.body };
            }
            Content::decode(&content.encode())
        };
        assert!(nest(3).is_ok());
        assert_eq!(nest(4), Err(ContentError::TooDeep));
    }

    #[test]
    fn the_salt_alone_changes_the_identifier() {
        let other = Content { salt: [8; SALT_BYTES], ..hello() };
        assert_eq!(hello().id().unwrap()[0], 1);
        assert_ne!(hello().id(), other.id());
    }

    #[test]
    fn published_documents_are_read_named_and_written_back() {
        let Some(folder) = std::env::var_os("PORTCULLIS_VECTORS").map(PathBuf::from) else {
            eprintln!("SKIPPED: PORTCULLIS_VECTORS is not set, the published content documents were not read");
            return;
        };
        let folder = folder.join("mimi-content");
        let ids: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("message_ids.json")).unwrap()).unwrap();
        let ids = ids.as_object().unwrap();
        assert!(ids.len() >= 14, "only {} documents", ids.len());
        for (name, facts) in ids {
            let bytes = std::fs::read(folder.join(format!("{name}.cbor"))).unwrap();
            let content = Content::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(content.encode(), bytes, "{name}");
            let hex: String = content.id().unwrap().iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(Some(hex.as_str()), facts["message_id"].as_str(), "{name}");
        }
    }
}
