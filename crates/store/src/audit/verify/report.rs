//! What the checks of a log come to.

use std::collections::BTreeMap;

use portcullis_tlog::TreeHead;

/// What is looked at, in the order in which it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Entries are numbered from 0 on without gaps, as many as the head says.
    Numbers,
    /// Each leaf decodes and says the number that it stands at.
    Leaves,
    /// Each record continues the chain of its writer, and is signed by the key that the chain began with.
    Writers,
    /// Each entry points back to those before it of its room, actor and peer.
    Pointers,
    /// Openings open the commitments of their leaf.
    Openings,
    /// The index finds entries by what they say, and by nothing else.
    Index,
    /// The tree is the one over these leaves.
    Tree,
    /// Each signed checkpoint is of this log, by its key, and has the root that the log had.
    Checkpoints,
    /// Chains, rooms, actors and peers end where the log says.
    Ends,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Numbers,
        Self::Leaves,
        Self::Writers,
        Self::Pointers,
        Self::Openings,
        Self::Index,
        Self::Tree,
        Self::Checkpoints,
        Self::Ends,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Leaves => "leaves",
            Self::Writers => "writers",
            Self::Pointers => "pointers",
            Self::Openings => "openings",
            Self::Index => "index",
            Self::Tree => "tree",
            Self::Checkpoints => "checkpoints",
            Self::Ends => "ends",
        }
    }

    /// What holds where nothing is wrong, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Numbers => "entries are numbered without gaps",
            Self::Leaves => "each leaf says where it stands",
            Self::Writers => "records continue the signed chains of their writers",
            Self::Pointers => "entries point back to those of their room, actor and peer",
            Self::Openings => "openings open the commitments of their leaves",
            Self::Index => "entries are found by what they say, and by nothing else",
            Self::Tree => "the tree is the one over these leaves",
            Self::Checkpoints => "the log had the roots that were signed",
            Self::Ends => "chains, rooms, actors and peers end where the log ends",
        }
    }
}

/// What one check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many things were looked at.
    pub checked: u64,
    /// What is wrong, the first ten.
    pub faults: Vec<String>,
    /// How many faults there are.
    pub wrong: u64,
}

/// What all checks came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By check.
    pub findings: BTreeMap<Check, Finding>,
    /// Size and root of the tree over the entries that are there.
    pub head: TreeHead,
    /// Entries that the last good checkpoint covers: what comes after them could be cut off unnoticed.
    pub covered: u64,
    /// Entries without openings; whose they are cannot be checked.
    pub erased: u64,
    /// Records that have no position yet.
    pub staged: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.values().all(|finding| finding.wrong == 0)
    }
}
