//! Keys of notes: their names, identifiers and text form (c2sp.org/signed-note), and what they sign.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::note::Signature;
use crate::{Checkpoint, Hash, text};

/// Name of a key: not empty, no space of any script, no `+`, no control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

/// Tells keys of one name apart. Short: not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u32);

/// What a key signs, and how. The number that stands for it is part of the key's identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureType {
    /// The text of the note, by Ed25519.
    Ed25519,
    /// A checkpoint and the time, by Ed25519 (c2sp.org/tlog-cosignature).
    Cosignature,
}

/// A public key that is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    kind: SignatureType,
    public: [u8; 32],
}

/// Why a text is no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a name.
    #[error("a key name is not empty and has no space, control character or `+`")]
    Name,
    /// Not `<name>+<id>+<key>`.
    #[error("not a verifier key")]
    Malformed,
    /// The identifier belongs to another name or key.
    #[error("the identifier is not the key's")]
    Id,
    /// A type of signature that is not known here.
    #[error("signature type {0:#04x} is not supported")]
    Unsupported(u8),
}

/// No signature of this key over this text.
#[derive(Debug)]
pub(crate) struct BadSignature;

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let forbidden = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if name.is_empty() || name.contains(forbidden) { Err(KeyError::Name) } else { Ok(Self(name.to_owned())) }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SignatureType {
    const ALL: [Self; 2] = [Self::Ed25519, Self::Cosignature];

    fn number(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

impl VerifierKey {
    /// The Ed25519 key `public` under a name.
    pub fn new(name: KeyName, kind: SignatureType, public: [u8; 32]) -> Self {
        let hashed = [name.0.as_bytes(), b"\n", &[kind.number()], &public].concat();
        let [a, b, c, d, ..] = Hash::plain(&hashed).0;
        Self { name, id: KeyId(u32::from_be_bytes([a, b, c, d])), kind, public }
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Its identifier.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs.
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The public key alone.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Whether this is the key that `signature` names.
    pub(crate) fn is_of(&self, signature: &Signature) -> bool {
        self.id == signature.id && self.name == signature.name
    }

    /// Checks a signature over the text of a note. Gives the time of a cosignature, in seconds since the UNIX epoch.
    pub(crate) fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, BadSignature> {
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        match self.kind {
            SignatureType::Ed25519 => {
                key.verify(text.as_bytes(), signature).map_err(|_| BadSignature)?;
                Ok(None)
            }
            SignatureType::Cosignature => {
                let (at, signature) = signature.split_first_chunk().ok_or(BadSignature)?;
                let at = u64::from_be_bytes(*at);
                if at > MAX_SECONDS {
                    return Err(BadSignature);
                }
                key.verify(cosigned(text, at).as_bytes(), signature).map_err(|_| BadSignature)?;
                Ok(Some(at))
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.number()], self.public.as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id.0, text::base64(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(vkey: &str) -> Result<Self, KeyError> {
        let (name, rest) = vkey.split_once('+').ok_or(KeyError::Malformed)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Malformed)?;
        let key = text::from_base64(key).ok_or(KeyError::Malformed)?;
        let (number, public) = key.split_first().ok_or(KeyError::Malformed)?;
        let kind = SignatureType::ALL.into_iter().find(|kind| kind.number() == *number);
        let kind = kind.ok_or(KeyError::Unsupported(*number))?;
        let key = Self::new(name.parse()?, kind, public.try_into().map_err(|_| KeyError::Malformed)?);
        if format!("{:08x}", key.id.0) == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

/// Latest time of a cosignature, in seconds since the UNIX epoch.
const MAX_SECONDS: u64 = i64::MAX as u64;

/// What a cosignature of `at` signs.
fn cosigned(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

/// A key that signs the checkpoints of a log.
#[derive(Debug)]
pub struct Signer {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Signs under `name`, which should be the origin of the log.
    pub fn new(name: KeyName, pair: Ed25519KeyPair) -> Self {
        Self { key: VerifierKey::new(name, SignatureType::Ed25519, public(&pair)), pair }
    }

    /// What its signatures are verified with.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs the text of a note.
    pub fn sign(&self, text: &str) -> Signature {
        let bytes = self.pair.sign(text.as_bytes()).as_ref().to_vec();
        Signature { name: self.key.name.clone(), id: self.key.id, bytes }
    }
}

/// The key of a witness. The key pair must serve nothing else: its signatures do not show its name.
#[derive(Debug)]
pub struct Cosigner {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Cosigner {
    /// Cosigns under `name`.
    pub fn new(name: KeyName, pair: Ed25519KeyPair) -> Self {
        Self { key: VerifierKey::new(name, SignatureType::Cosignature, public(&pair)), pair }
    }

    /// What its cosignatures are verified with.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// States that `checkpoint` was the largest one of its log that was seen by `at`, in seconds since the UNIX epoch.
    pub fn cosign(&self, checkpoint: &Checkpoint, at: u64) -> Signature {
        let signature = self.pair.sign(cosigned(&checkpoint.to_string(), at).as_bytes());
        let bytes = [at.to_be_bytes().as_slice(), signature.as_ref()].concat();
        Signature { name: self.key.name.clone(), id: self.key.id, bytes }
    }
}

fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    public
}
