//! Proofs that can be verified offline (c2sp.org/tlog-proof).

use std::fmt;

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::policy::{Policy, Trusted, Untrusted};
use crate::{Hash, ProofError, text};

/// Longest proof that is read.
pub const MAX_LOG_PROOF_BYTES: usize = 1024 * 1024;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// All that shows that something is in a log, but the thing itself. Kept in files that end in `.tlog-proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// What the application wants to find beside the proof; nobody vouches for it.
    pub extra: Option<Vec<u8>>,
    /// Number of the leaf; the first is 0.
    pub index: u64,
    /// The way from the leaf to the root.
    pub path: Vec<Hash>,
    /// The tree, with the signatures of its log and of witnesses.
    pub checkpoint: SignedCheckpoint,
}

/// Why bytes are no proof.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    /// Longer than [`MAX_LOG_PROOF_BYTES`].
    #[error("the proof is too long")]
    TooLong,
    /// The lines before the checkpoint are not those of a proof.
    #[error("not a proof of inclusion in a log")]
    Malformed,
    /// The checkpoint in it is none.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why a proof does not convince.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The policy does not believe its checkpoint.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The leaf is not where the proof says.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

impl LogProof {
    /// Reads a proof.
    ///
    /// # Errors
    ///
    /// [`LogProofError`] for what is none.
    pub fn parse(proof: &[u8]) -> Result<Self, LogProofError> {
        if proof.len() > MAX_LOG_PROOF_BYTES {
            return Err(LogProofError::TooLong);
        }
        let (lines, checkpoint) = text::before_checkpoint(proof).ok_or(LogProofError::Malformed)?;
        let (extra, index, path) = parse_lines(lines).ok_or(LogProofError::Malformed)?;
        Ok(Self { extra, index, path, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }

    /// Verifies that `policy` believes the checkpoint and that `leaf` is the leaf that this is about.
    ///
    /// # Errors
    ///
    /// [`Unproven`] otherwise.
    pub fn verify<'a>(&'a self, leaf: &Hash, policy: &'a Policy) -> Result<Trusted<'a>, Unproven> {
        let trusted = policy.check(&self.checkpoint)?;
        trusted.checkpoint.head().verify_inclusion(self.index, leaf, &self.path)?;
        Ok(trusted)
    }
}

fn parse_lines(lines: &str) -> Option<(Option<Vec<u8>>, u64, Vec<Hash>)> {
    let mut lines = lines.split('\n').peekable();
    lines.next_if_eq(&HEADER)?;
    let extra = lines.next_if(|line| line.starts_with("extra "));
    let extra = match extra.and_then(|line| line.strip_prefix("extra ")) {
        Some(base64) => Some(text::from_base64(base64)?),
        None => None,
    };
    let index = text::decimal(lines.next()?.strip_prefix("index ")?)?;
    Some((extra, index, text::hashes(lines)?))
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", text::base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
