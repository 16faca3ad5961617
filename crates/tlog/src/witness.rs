//! What a log and a witness say to each other (c2sp.org/tlog-witness).

use std::fmt;

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::key::VerifierKey;
use crate::note::{NoteError, Signature};
use crate::{Hash, MAX_SIZE, ProofError, TreeHead, text};

/// Largest request that is read.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// Type of the body of [`Refusal::Conflict`].
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A log asks a witness to cosign a checkpoint: the body of `POST …/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the tree that the witness has cosigned last, as far as the log knows; 0 if none.
    pub old_size: u64,
    /// That this tree is the beginning of the one of the checkpoint.
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// Why bytes are no request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Larger than [`MAX_REQUEST_BYTES`].
    #[error("the request is too large")]
    TooLarge,
    /// The lines before the checkpoint are not those of a request.
    #[error("not a request to add a checkpoint")]
    Malformed,
    /// The checkpoint in it is none.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a witness does not cosign.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No key of the log has signed the checkpoint, or a signature is wrong.
    #[error(transparent)]
    Signature(#[from] NoteError),
    /// The checkpoint is of a smaller tree than the request begins with.
    #[error("the checkpoint is older than what it is to follow")]
    Older,
    /// The witness has cosigned a tree of another size last.
    #[error("the last checkpoint had {0} leaves")]
    Conflict(u64),
    /// The tree of the checkpoint does not go on from the one before. The log may have forked.
    #[error("the checkpoint does not follow the last one")]
    Inconsistent(#[from] ProofError),
}

impl Refusal {
    /// Status of the answer. That of a log which the witness does not know is 404.
    pub fn status(&self) -> u16 {
        match self {
            Self::Signature(_) => 403,
            Self::Older => 400,
            Self::Conflict(_) => 409,
            Self::Inconsistent(_) => 422,
        }
    }
}

impl AddCheckpoint {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`RequestError`] for what is none; the answer is 400.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        let (lines, checkpoint) = text::before_checkpoint(body).ok_or(RequestError::Malformed)?;
        let (old_size, proof) = parse_lines(lines).ok_or(RequestError::Malformed)?;
        Ok(Self { old_size, proof, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// What a witness decides that knows the log by `keys` and has cosigned `last`, or [`TreeHead::EMPTY`], as its last
    /// checkpoint. The answer may go out when the head of the checkpoint is durable, written only if `last` was still the
    /// last.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where there is nothing to cosign.
    pub fn check<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
        last: &TreeHead,
    ) -> Result<&Checkpoint, Refusal> {
        let (checkpoint, _) = self.checkpoint.verify(keys)?;
        if self.old_size > checkpoint.head().size {
            return Err(Refusal::Older);
        }
        if self.old_size != last.size {
            return Err(Refusal::Conflict(last.size));
        }
        checkpoint.head().verify_consistency(last, &self.proof)?;
        Ok(checkpoint)
    }
}

fn parse_lines(lines: &str) -> Option<(u64, Vec<Hash>)> {
    let mut lines = lines.split('\n');
    let old_size = text::decimal(lines.next()?.strip_prefix("old ")?)?;
    Some((old_size, text::hashes(lines)?))
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Body of the answer with which a witness cosigns; the log takes it with [`SignedCheckpoint::add_lines`].
pub fn encode_cosignatures(cosignatures: &[Signature]) -> String {
    cosignatures.iter().map(|signature| format!("{signature}\n")).collect()
}

/// Where a witness serves the last checkpoint of a log that it has cosigned, below its prefix for monitors.
pub fn checkpoint_path(origin: &str) -> String {
    let hash = Hash::plain(origin.as_bytes()).0.map(|octet| format!("{octet:02x}")).concat();
    format!("{hash}/checkpoint")
}

/// Body of the answer 409.
pub fn encode_size(size: u64) -> String {
    format!("{size}\n")
}

/// The size in the body of an answer 409; `None` for what is no size.
pub fn decode_size(body: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    text::decimal(line).filter(|size| *size <= MAX_SIZE)
}
