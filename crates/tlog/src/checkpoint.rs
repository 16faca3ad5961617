//! Checkpoints (c2sp.org/tlog-checkpoint).

use std::fmt;
use std::str::FromStr;

use crate::key::{Signer, VerifierKey};
use crate::note::{Note, NoteError, Signature, Verified};
use crate::{KeyName, MAX_SIZE, TreeHead, text};

/// What a log says of its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: TreeHead,
    extensions: Vec<String>,
}

/// The text is not that of a checkpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint")]
pub struct NotACheckpoint;

impl Checkpoint {
    /// A checkpoint of the log called `origin`.
    pub fn new(origin: &KeyName, head: TreeHead) -> Self {
        Self { origin: origin.to_string(), head, extensions: Vec::new() }
    }

    /// Name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root of its tree.
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// Lines after the root, whose meaning only the log knows. Not every cosignature covers them.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.head.size, self.head.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = NotACheckpoint;

    fn from_str(text: &str) -> Result<Self, NotACheckpoint> {
        let mut lines = text::lines(text).ok_or(NotACheckpoint)?;
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(NotACheckpoint);
        let origin = line()?.to_owned();
        let size = text::decimal(line()?).filter(|size| *size <= MAX_SIZE).ok_or(NotACheckpoint)?;
        let root = line()?.parse().map_err(|_| NotACheckpoint)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(NotACheckpoint);
        }
        Ok(Self { origin, head: TreeHead { size, root }, extensions })
    }
}

/// A note whose text is a checkpoint. What it says is worth nothing before it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    checkpoint: Checkpoint,
}

/// Why something is no signed checkpoint, or is not to be believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// As a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// As a checkpoint.
    #[error(transparent)]
    Text(#[from] NotACheckpoint),
}

impl SignedCheckpoint {
    /// Signs a checkpoint by the key of its log.
    ///
    /// # Errors
    ///
    /// None for a checkpoint of [`Checkpoint::new`].
    pub fn sign(checkpoint: Checkpoint, signer: &Signer) -> Result<Self, NoteError> {
        let text = checkpoint.to_string();
        let signature = signer.sign(&text);
        Ok(Self { note: Note::new(text, signature)?, checkpoint })
    }

    /// Reads a note whose text is a checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] for what is none.
    pub fn parse(note: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = note.text().parse()?;
        Ok(Self { note, checkpoint })
    }

    /// The log that it says to be of: by this name its keys are looked up.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// The head that it speaks of; worth nothing before it is verified.
    pub fn head(&self) -> TreeHead {
        self.checkpoint.head()
    }

    /// All signatures, in their order.
    pub fn signatures(&self) -> &[Signature] {
        self.note.signatures()
    }

    /// Adds a signature, in place of one that the same key has made before.
    ///
    /// # Errors
    ///
    /// [`NoteError::TooLarge`] where no more fit.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        self.note.add(signature)
    }

    /// Adds those signatures that are of one of `keys`, from lines such as a witness answers with.
    ///
    /// # Errors
    ///
    /// [`NoteError`] if the lines are no signatures, none is of `keys`, or one of them is wrong; nothing is added then.
    pub fn add_lines<'k>(
        &mut self,
        lines: &[u8],
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<(), NoteError> {
        let answer = self.note.under_same_text(lines)?;
        let verified = answer.verify(keys)?;
        let mut more = self.note.clone();
        for signature in answer.signatures().iter().filter(|it| verified.iter().any(|by| by.key.is_of(it))) {
            more.add(signature.clone())?;
        }
        self.note = more;
        Ok(())
    }

    /// The checkpoint and the signatures of its log: of those of `keys` that have the name of the log.
    ///
    /// # Errors
    ///
    /// [`NoteError::Unknown`] if there is no such signature, [`NoteError::Forged`] if one is wrong.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<(&Checkpoint, Vec<Verified<'k>>), NoteError> {
        let verified = self.note.verify(keys.into_iter().filter(|key| key.name().as_str() == self.origin()))?;
        Ok((&self.checkpoint, verified))
    }

    /// The signatures of those of `keys` that have signed, whatever their names are; perhaps none.
    ///
    /// # Errors
    ///
    /// [`NoteError::Forged`] if one is wrong.
    pub fn verify_cosignatures<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<Verified<'k>>, NoteError> {
        match self.note.verify(keys) {
            Err(NoteError::Unknown) => Ok(Vec::new()),
            verified => verified,
        }
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.note, f)
    }
}
