//! Whom to believe: policy files (c2sp.org/tlog-policy).

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::key::{KeyError, SignatureType, VerifierKey};
use crate::note::{NoteError, Verified};
use crate::text;

/// Largest policy file that is read.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;

/// The logs that are believed, and who must have seen a checkpoint before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Party>,
    voters: Vec<Voter>,
    /// Position of a voter; `None` where no witness is asked for.
    quorum: Option<usize>,
}

/// A log or a witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its key. The key of a log has the name that is the log's origin.
    pub key: VerifierKey,
    /// Where to reach it. Means what the reader of the policy takes it for.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Voter {
    Witness(Party),
    /// Votes as `threshold` of its members do, which stand before it.
    Group {
        threshold: usize,
        members: Vec<usize>,
    },
}

/// Which line of a policy file is wrong, the first being 1, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {mistake}")]
pub struct PolicyError {
    /// The line; the one behind the last for what is missing.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub mistake: Mistake,
}

/// What is wrong with a policy file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Larger than [`MAX_POLICY_BYTES`].
    #[error("the file is too large")]
    TooLarge,
    /// A control character other than tab and newline.
    #[error("a control character")]
    Control,
    /// None of the lines that there are.
    #[error("not a line of a policy")]
    Line,
    /// Not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key of a witness does not make cosignatures.
    #[error("a witness needs a key for cosignatures")]
    NotACosigner,
    /// This key has a line already.
    #[error("the key stands on another line as well")]
    DuplicateKey,
    /// The name is taken, or is `none`.
    #[error("the name is taken")]
    Taken,
    /// No line before this one defines the name.
    #[error("no line before defines the name")]
    Undefined,
    /// A name stands in two groups, or twice in one.
    #[error("a name is a member twice")]
    MemberTwice,
    /// More votes asked for than there are members, or none.
    #[error("the threshold is not between 1 and the number of members")]
    Threshold,
    /// No quorum line, or a second one.
    #[error("a policy has one quorum line")]
    Quorum,
}

/// Why a policy does not believe a checkpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// No log of the policy has signed it, or a signature is wrong.
    #[error(transparent)]
    Signature(#[from] NoteError),
    /// Too few witnesses have cosigned it.
    #[error("{0} witnesses have cosigned, which is no quorum")]
    Quorum(usize),
}

/// A checkpoint that a policy believes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted<'a> {
    /// The checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// The log's keys that have signed it.
    pub logs: Vec<Verified<'a>>,
    /// The witnesses of the policy that have cosigned it, each with its time.
    pub witnesses: Vec<Verified<'a>>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for the first line that is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        let mut reader = Reader::default();
        if file.len() > MAX_POLICY_BYTES {
            return Err(PolicyError { line: 1, mistake: Mistake::TooLarge });
        }
        let mut line = 0;
        for octets in file.split(|octet| *octet == b'\n') {
            line += 1;
            reader.line(octets).map_err(|mistake| PolicyError { line, mistake })?;
        }
        let quorum = reader.quorum.ok_or(PolicyError { line, mistake: Mistake::Quorum })?;
        Ok(Self { logs: reader.logs, voters: reader.voters, quorum })
    }

    /// The logs, in the order of the file.
    pub fn logs(&self) -> impl Iterator<Item = &Party> {
        self.logs.iter()
    }

    /// The witnesses, in the order of the file.
    pub fn witnesses(&self) -> impl Iterator<Item = &Party> {
        self.voters.iter().filter_map(|voter| match voter {
            Voter::Witness(witness) => Some(witness),
            Voter::Group { .. } => None,
        })
    }

    /// Verifies the signatures of the logs and witnesses of this policy, and that the witnesses are enough.
    ///
    /// # Errors
    ///
    /// [`Untrusted`] where they are not, or one of the signatures is wrong.
    pub fn check<'a>(&'a self, signed: &'a SignedCheckpoint) -> Result<Trusted<'a>, Untrusted> {
        let (checkpoint, logs) = signed.verify(self.logs.iter().map(|log| &log.key))?;
        let witnesses = signed.verify_cosignatures(self.witnesses().map(|witness| &witness.key))?;
        let mut votes: Vec<bool> = Vec::new();
        for voter in &self.voters {
            votes.push(match voter {
                Voter::Witness(witness) => witnesses.iter().any(|verified| *verified.key == witness.key),
                Voter::Group { threshold, members } => {
                    members.iter().filter(|member| votes.get(**member) == Some(&true)).count() >= *threshold
                }
            });
        }
        let reached = self.quorum.is_none_or(|quorum| votes.get(quorum) == Some(&true));
        if reached { Ok(Trusted { checkpoint, logs, witnesses }) } else { Err(Untrusted::Quorum(witnesses.len())) }
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Reader {
    logs: Vec<Party>,
    voters: Vec<Voter>,
    quorum: Option<Option<usize>>,
    /// Positions of the voters. Names are octets: nothing is known of their encoding.
    names: BTreeMap<Vec<u8>, usize>,
    members: BTreeSet<usize>,
    log_keys: BTreeSet<[u8; 32]>,
    witness_keys: BTreeSet<[u8; 32]>,
}

impl Reader {
    fn line(&mut self, octets: &[u8]) -> Result<(), Mistake> {
        if octets.iter().any(|octet| matches!(octet, 0..=8 | 10..=31 | 127)) {
            return Err(Mistake::Control);
        }
        let words = octets.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
        match words.collect::<Vec<_>>().as_slice() {
            [] | [[b'#', ..], ..] => Ok(()),
            [b"log", key, url @ ..] => self.log(party(key, url)?),
            [b"witness", name, key, url @ ..] => self.witness(name, party(key, url)?),
            [b"group", name, threshold, members @ ..] => self.group(name, threshold, members),
            [b"quorum", name] => self.quorum(name),
            _ => Err(Mistake::Line),
        }
    }

    fn log(&mut self, log: Party) -> Result<(), Mistake> {
        if !self.log_keys.insert(*log.key.public()) {
            return Err(Mistake::DuplicateKey);
        }
        self.logs.push(log);
        Ok(())
    }

    fn witness(&mut self, name: &[u8], witness: Party) -> Result<(), Mistake> {
        if witness.key.kind() != SignatureType::Cosignature {
            return Err(Mistake::NotACosigner);
        }
        if !self.witness_keys.insert(*witness.key.public()) {
            return Err(Mistake::DuplicateKey);
        }
        self.define(name, Voter::Witness(witness))
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], names: &[&[u8]]) -> Result<(), Mistake> {
        let mut members = Vec::new();
        for name in names {
            let member = self.find(name)?;
            if !self.members.insert(member) {
                return Err(Mistake::MemberTwice);
            }
            members.push(member);
        }
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => {
                let number = std::str::from_utf8(number).ok().and_then(text::decimal);
                number.and_then(|number| number.try_into().ok()).ok_or(Mistake::Threshold)?
            }
        };
        if threshold == 0 || threshold > members.len() {
            return Err(Mistake::Threshold);
        }
        self.define(name, Voter::Group { threshold, members })
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), Mistake> {
        let quorum = if name == b"none" { None } else { Some(self.find(name)?) };
        if self.quorum.replace(quorum).is_some() { Err(Mistake::Quorum) } else { Ok(()) }
    }

    fn define(&mut self, name: &[u8], voter: Voter) -> Result<(), Mistake> {
        if name == b"none" || self.names.insert(name.to_vec(), self.voters.len()).is_some() {
            return Err(Mistake::Taken);
        }
        self.voters.push(voter);
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<usize, Mistake> {
        self.names.get(name).copied().ok_or(Mistake::Undefined)
    }
}

fn party(key: &[u8], url: &[&[u8]]) -> Result<Party, Mistake> {
    let utf8 = |octets: &[u8]| std::str::from_utf8(octets).map(str::to_owned).map_err(|_| Mistake::Line);
    let url = match url {
        [] => None,
        [url] => Some(utf8(url)?),
        _ => return Err(Mistake::Line),
    };
    Ok(Party { key: utf8(key)?.parse()?, url })
}
