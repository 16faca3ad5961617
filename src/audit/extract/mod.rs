//! What is taken out of the log: entries in files, with all that shows that they are of the log, unaltered, and where one
//! room, actor or provider was asked for, that there are no others.
//!
//! ```text
//! manifest.json   what was asked for, of which checkpoint, by whom; the files with their hashes
//! manifest.note   the log's signature over the manifest
//! entries.jsonl   an entry a line: as it is shown, and its leaf, openings, signature and path to the root
//! entries.csv     the same entries for people
//! writers.jsonl   the entries that say by which keys records are signed
//! ```

mod check;
mod complete;
mod csv;
mod write;

#[cfg(test)]
mod tests;

pub use check::{Checked, Part, Trust, check};
pub use write::{ExtractError, Wish, extract};

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditEntry, Dimension, Openings};
use portcullis_tlog::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Shown;

/// What a manifest begins with.
const FORMAT: &str = "portcullis-audit-export@v1";

/// First line of what is signed of a manifest; its SHA-256 is the second.
const SIGNED: &str = "portcullis-audit-export-manifest@v1";

const MANIFEST: &str = "manifest.json";
const NOTE: &str = "manifest.note";
const ENTRIES: &str = "entries.jsonl";
const TABLE: &str = "entries.csv";
const WRITERS: &str = "writers.jsonl";

/// The files that a manifest lists.
const FILES: [&str; 3] = [ENTRIES, TABLE, WRITERS];

/// Kind of the record that points back to all that was taken away.
pub(crate) const CLOSED: &str = "access.closed";

/// What was taken out of a log, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Which format the files have.
    pub format: String,
    /// What was asked for.
    pub asked: Value,
    /// Zone of the times that are shown.
    pub zone: String,
    /// When it was taken out.
    pub made_at: Millis,
    /// Who has taken it out.
    pub made_by: String,
    /// The program that has written it.
    pub made_with: String,
    /// How many entries there are.
    pub entries: u64,
    /// Whose entries these are, all of them up to the last one.
    pub all_of: Option<AllOf>,
    /// The checkpoint that the proofs lead to.
    pub checkpoint: String,
    /// That the log of the checkpoint begins with the one of earlier checkpoints.
    pub consistency: Vec<Consistency>,
    /// The files by name.
    pub files: BTreeMap<String, Sum>,
}

/// Whose entries an export holds completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllOf {
    /// A room, an actor or a peer.
    pub dimension: Dimension,
    /// Which one.
    pub name: String,
}

/// That a log begins with a smaller one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Entries of the smaller one.
    pub size: u64,
    /// The proof, as base64.
    pub path: Vec<String>,
}

/// How a file is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// Its length.
    pub bytes: u64,
    /// Its lines.
    pub lines: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// An entry with its proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// When it happened, in the zone of the export.
    time: String,
    /// As it is shown to people.
    entry: Value,
    leaf: String,
    signature: String,
    openings: Openings,
    path: Vec<String>,
}

impl Line {
    fn new(entry: AuditEntry, time: String, path: &[Hash]) -> serde_json::Result<Self> {
        Ok(Self {
            time,
            leaf: STANDARD.encode(&entry.leaf),
            signature: STANDARD.encode(&entry.signature),
            openings: entry.openings.clone(),
            path: path.iter().map(ToString::to_string).collect(),
            entry: serde_json::to_value(Shown::from(entry))?,
        })
    }
}

fn hashes(path: &[String]) -> Option<Vec<Hash>> {
    path.iter().map(|hash| hash.parse().ok()).collect()
}

/// What the log signs of a manifest.
fn to_sign(manifest: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, manifest);
    format!("{SIGNED}\n{}\n", data_encoding::HEXLOWER.encode(hash.as_ref()))
}
