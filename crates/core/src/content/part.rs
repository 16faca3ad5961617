//! One part of MIMI content: nothing, bytes in the message, bytes elsewhere, or other parts.
//!
//! Source: draft-ietf-mimi-content, "NestedPart".

use minicbor::{Decoder, Encoder};

use super::{ContentError, Never, put};

/// Media type of the texts we write; what it may contain is shown by every MIMI client.
pub const MARKDOWN: &str = "text/markdown;variant=GFM-MIMI";

/// How a part is meant: 0 unspecified, 1 render, 2 reaction, 3 profile, 4 inline, 5 icon, 6 attachment, 7 session,
/// 8 preview; larger numbers are kept as they are.
pub type Disposition = u8;

/// Deepest nesting of parts.
const MAX_DEPTH: usize = 4;
const RENDER: Disposition = 1;

/// A part and how it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How it is meant.
    pub disposition: Disposition,
    /// Language tag, or empty.
    pub language: String,
    /// What it holds.
    pub body: Body,
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the message is deleted, or a reaction is taken back.
    Null,
    /// Bytes in the message itself.
    Single {
        /// Media type.
        content_type: String,
        /// The bytes.
        content: Vec<u8>,
    },
    /// Bytes to be fetched.
    External(Box<External>),
    /// Other parts.
    Multi {
        /// 0 choose one, 1 a single unit, 2 process all.
        semantics: u8,
        /// Two parts or more.
        parts: Vec<Part>,
    },
}

/// Bytes to be fetched, and how to decrypt and check them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Media type, or empty.
    pub content_type: String,
    /// Where they are.
    pub url: String,
    /// Until when, in seconds since the UNIX epoch; 0 is for ever.
    pub expires: u32,
    /// Size in octets.
    pub size: u64,
    /// IANA AEAD number; 0 is none.
    pub enc_alg: u16,
    /// Key.
    pub key: Vec<u8>,
    /// Nonce.
    pub nonce: Vec<u8>,
    /// Additional authenticated data.
    pub aad: Vec<u8>,
    /// IANA named information hash number; 0 is none.
    pub hash_alg: u8,
    /// Hash of the encrypted bytes.
    pub content_hash: Vec<u8>,
    /// For people.
    pub description: String,
    /// Suggested file name.
    pub filename: String,
}

impl Part {
    /// A text to be shown.
    pub fn text(text: &str) -> Self {
        let body = Body::Single { content_type: MARKDOWN.to_owned(), content: text.as_bytes().to_vec() };
        Self { disposition: RENDER, language: String::new(), body }
    }

    /// The text, when this is a single part of a textual media type.
    pub fn as_text(&self) -> Option<&str> {
        match &self.body {
            Body::Single { content_type, content } if content_type.starts_with("text/") => {
                std::str::from_utf8(content).ok()
            }
            Body::Null | Body::Single { .. } | Body::External(_) | Body::Multi { .. } => None,
        }
    }

    pub(super) fn read(from: &mut Decoder<'_>, depth: usize) -> Result<Self, ContentError> {
        if depth > MAX_DEPTH {
            return Err(ContentError::TooDeep);
        }
        let length = from.array()?.ok_or(ContentError::Malformed)?;
        let disposition = from.u8()?;
        let language = from.str()?.to_owned();
        let body = match (from.u8()?, length) {
            (0, 3) => Body::Null,
            (1, 5) => Body::Single { content_type: from.str()?.to_owned(), content: from.bytes()?.to_vec() },
            (2, 15) => Body::External(Box::new(External::read(from)?)),
            (3, 5) => {
                let semantics = from.u8()?;
                let count = from.array()?.ok_or(ContentError::Malformed)?;
                if semantics > 2 || count < 2 {
                    return Err(ContentError::Malformed);
                }
                // Not sized in advance: the count is the sender's claim.
                let mut parts = Vec::new();
                for _ in 0..count {
                    parts.push(Self::read(from, depth + 1)?);
                }
                Body::Multi { semantics, parts }
            }
            _ => return Err(ContentError::Malformed),
        };
        Ok(Self { disposition, language, body })
    }

    pub(super) fn write(&self, to: &mut Encoder<Vec<u8>>) -> Result<(), Never> {
        let (length, cardinality) = match &self.body {
            Body::Null => (3, 0),
            Body::Single { .. } => (5, 1),
            Body::External(_) => (15, 2),
            Body::Multi { .. } => (5, 3),
        };
        put(to.array(length))?;
        put(to.u8(self.disposition))?;
        put(to.str(&self.language))?;
        put(to.u8(cardinality))?;
        match &self.body {
            Body::Null => Ok(()),
            Body::Single { content_type, content } => {
                put(to.str(content_type))?;
                put(to.bytes(content))
            }
            Body::External(external) => external.write(to),
            Body::Multi { semantics, parts } => {
                put(to.u8(*semantics))?;
                put(to.array(parts.len() as u64))?;
                parts.iter().try_for_each(|part| part.write(to))
            }
        }
    }
}

impl External {
    fn read(from: &mut Decoder<'_>) -> Result<Self, ContentError> {
        Ok(Self {
            content_type: from.str()?.to_owned(),
            url: from.str()?.to_owned(),
            expires: from.u32()?,
            size: from.u64()?,
            enc_alg: from.u16()?,
            key: from.bytes()?.to_vec(),
            nonce: from.bytes()?.to_vec(),
            aad: from.bytes()?.to_vec(),
            hash_alg: from.u8()?,
            content_hash: from.bytes()?.to_vec(),
            description: from.str()?.to_owned(),
            filename: from.str()?.to_owned(),
        })
    }

    fn write(&self, to: &mut Encoder<Vec<u8>>) -> Result<(), Never> {
        put(to.str(&self.content_type))?;
        put(to.str(&self.url))?;
        put(to.u32(self.expires))?;
        put(to.u64(self.size))?;
        put(to.u16(self.enc_alg))?;
        for bytes in [&self.key, &self.nonce, &self.aad] {
            put(to.bytes(bytes))?;
        }
        put(to.u8(self.hash_alg))?;
        put(to.bytes(&self.content_hash))?;
        put(to.str(&self.description))?;
        put(to.str(&self.filename))
    }
}
