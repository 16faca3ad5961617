//! Signed notes (c2sp.org/signed-note).

use std::fmt;
use std::str::FromStr;

use crate::key::{KeyId, KeyName, VerifierKey};
use crate::text;

/// Longest note that is read: as many signatures as may be, of the longest kind there is.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;

/// Signatures a note may have.
pub const MAX_SIGNATURES: usize = 64;

/// A text and signatures over it, by known and unknown keys. Nothing of it is worth anything before [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// What stands on a signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: KeyName,
    /// Identifier of the key.
    pub id: KeyId,
    /// What the key has made of the text; never empty.
    pub bytes: Vec<u8>,
}

/// A signature that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'k> {
    /// The key that made it.
    pub key: &'k VerifierKey,
    /// When, in seconds since the UNIX epoch, if it is a cosignature.
    pub at: Option<u64>,
}

/// Why something is no note, or is not to be believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More bytes than [`MAX_NOTE_BYTES`] or more signatures than [`MAX_SIGNATURES`].
    #[error("the note is too large")]
    TooLarge,
    /// Not UTF-8, a control character, or no newline at the end.
    #[error("not the text of a note")]
    Text,
    /// No signatures, or a line that is none.
    #[error("not the signatures of a note")]
    Signatures,
    /// The signature of a known key is wrong.
    #[error("the signature of `{0}` is wrong")]
    Forged(KeyName),
    /// No known key has signed it.
    #[error("no known key has signed the note")]
    Unknown,
}

impl Note {
    /// Puts `signature` under `text`, which must end in a newline.
    ///
    /// # Errors
    ///
    /// [`NoteError`] for a text that no note can have.
    pub fn new(text: String, signature: Signature) -> Result<Self, NoteError> {
        check_text(&text)?;
        let mut note = Self { text, signatures: Vec::new() };
        note.add(signature)?;
        Ok(note)
    }

    /// Reads a note.
    ///
    /// # Errors
    ///
    /// [`NoteError`] for what is none.
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Text)?;
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Signatures)?;
        let text = format!("{text}\n");
        check_text(&text)?;
        Ok(Self { text, signatures: parse_signatures(signatures)? })
    }

    /// The text, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, in their order.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, in place of one that the same key has made before.
    ///
    /// # Errors
    ///
    /// [`NoteError::TooLarge`] where the note would be too large to be read again; it stays as it is.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        let mut more = self.clone();
        more.signatures.retain(|it| (it.id, &it.name) != (signature.id, &signature.name));
        more.signatures.push(signature);
        if more.signatures.len() > MAX_SIGNATURES || more.to_string().len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        *self = more;
        Ok(())
    }

    /// This text with other signatures, one a line.
    ///
    /// # Errors
    ///
    /// [`NoteError`] for lines that are none.
    pub(crate) fn under_same_text(&self, lines: &[u8]) -> Result<Self, NoteError> {
        let lines = std::str::from_utf8(lines).map_err(|_| NoteError::Signatures)?;
        Ok(Self { text: self.text.clone(), signatures: parse_signatures(lines)? })
    }

    /// Verifies the signatures of those of `keys` that have signed, each key giving one; others are passed over.
    ///
    /// # Errors
    ///
    /// [`NoteError::Forged`] if a signature in the name of one of `keys` is wrong, even if others are good;
    /// [`NoteError::Unknown`] if there is none.
    pub fn verify<'k>(&self, keys: impl IntoIterator<Item = &'k VerifierKey>) -> Result<Vec<Verified<'k>>, NoteError> {
        let mut verified = Vec::new();
        for key in keys {
            let mut last = None;
            for signature in self.signatures.iter().filter(|signature| key.is_of(signature)) {
                let forged = |_| NoteError::Forged(key.name().clone());
                let at = key.verify(&self.text, &signature.bytes).map_err(forged)?;
                last = Some(Verified { key, at });
            }
            verified.extend(last);
        }
        if verified.is_empty() { Err(NoteError::Unknown) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.0.to_be_bytes().as_slice(), &self.bytes].concat();
        write!(f, "— {} {}", self.name, text::base64(&bytes))
    }
}

impl FromStr for Signature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, base64) =
            line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(NoteError::Signatures)?;
        let bytes = text::from_base64(base64).ok_or(NoteError::Signatures)?;
        match bytes.split_first_chunk() {
            Some((id, bytes @ [_, ..])) => Ok(Self {
                name: name.parse().map_err(|_| NoteError::Signatures)?,
                id: KeyId(u32::from_be_bytes(*id)),
                bytes: bytes.to_vec(),
            }),
            _ => Err(NoteError::Signatures),
        }
    }
}

/// Reads signature lines, of which there must be one.
fn parse_signatures(lines: &str) -> Result<Vec<Signature>, NoteError> {
    let mut signatures = Vec::new();
    for line in text::lines(lines).ok_or(NoteError::Signatures)? {
        if signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooLarge);
        }
        signatures.push(line.parse()?);
    }
    Ok(signatures)
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let is_control = |c: char| c < ' ' && c != '\n';
    if text.ends_with('\n') && !text.contains(is_control) { Ok(()) } else { Err(NoteError::Text) }
}
