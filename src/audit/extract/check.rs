//! Whether files are what was taken out of a log: offline, from nothing but the files and whom to believe.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use portcullis_store::audit::{AuditEntry, Leaf, matches};
use portcullis_tlog::{Hash, Note, Policy, SignedCheckpoint, TreeHead, VerifierKey};
use uuid::Uuid;

use super::super::{Shown, times};
use super::complete::Chain;
use super::write::sum;
use super::{ENTRIES, FILES, FORMAT, Line, MANIFEST, Manifest, NOTE, TABLE, WRITERS, csv, hashes, to_sign};
use crate::gateway::access;

/// Faults of one check that are told; the others are counted.
const TOLD: usize = 10;

/// Longest manifest, and longest line of a file, in bytes.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The keys of the log.
    pub keys: Vec<VerifierKey>,
    /// What a checkpoint must have besides.
    pub policy: Option<Policy>,
}

/// What is looked at, in the order in which it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The log has signed the manifest.
    Manifest,
    /// The files are those of the manifest.
    Files,
    /// The log has signed the checkpoint, and witnesses as the policy wants.
    Checkpoint,
    /// The log began as it did when earlier checkpoints were kept.
    Consistency,
    /// Entries are in their order, as many as the manifest says.
    Numbers,
    /// Each leaf says where it stands, and leads to the root that was signed.
    Leaves,
    /// Each record is signed by its writer, whose key stands in the log.
    Writers,
    /// Openings open the commitments of their leaf.
    Openings,
    /// What people read is what was written.
    Shown,
    /// The table has the same entries.
    Table,
    /// What was asked for, and nothing else.
    Asked,
    /// All there are of one room, actor or peer.
    Complete,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Manifest,
        Self::Files,
        Self::Checkpoint,
        Self::Consistency,
        Self::Numbers,
        Self::Leaves,
        Self::Writers,
        Self::Openings,
        Self::Shown,
        Self::Table,
        Self::Asked,
        Self::Complete,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Files => "files",
            Self::Checkpoint => "checkpoint",
            Self::Consistency => "consistency",
            Self::Numbers => "numbers",
            Self::Leaves => "leaves",
            Self::Writers => "writers",
            Self::Openings => "openings",
            Self::Shown => "shown",
            Self::Table => "table",
            Self::Asked => "asked",
            Self::Complete => "complete",
        }
    }

    /// What holds where nothing is wrong, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Manifest => "the log has signed the manifest",
            Self::Files => "the files are those of the manifest",
            Self::Checkpoint => "the log has signed the checkpoint, and who else must have",
            Self::Consistency => "the log goes on from the checkpoints that were kept",
            Self::Numbers => "entries are in their order, and none is missing in the file",
            Self::Leaves => "each entry is in the log of the checkpoint",
            Self::Writers => "each record is signed by its writer, whose key is in the log",
            Self::Openings => "openings open the commitments of their leaves",
            Self::Shown => "what people read is what was written",
            Self::Table => "the table has the same entries",
            Self::Asked => "entries are what was asked for",
            Self::Complete => "these are all there are of what was asked for",
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// By what was looked at; what nothing is claimed about is not among them.
    pub findings: BTreeMap<Part, Finding>,
    /// The head of the log that the proofs lead to.
    pub head: Option<TreeHead>,
    /// How many entries there are.
    pub entries: u64,
    /// Whose entries these are, all of them, where that is claimed.
    pub all_of: Option<String>,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.head.is_some() && self.findings.values().all(|finding| finding.wrong == 0)
    }

    fn finds(&mut self, part: Part, fault: Option<String>) {
        let finding = self.findings.entry(part).or_default();
        finding.checked += 1;
        if let Some(fault) = fault {
            finding.wrong += 1;
            if finding.faults.len() < TOLD {
                finding.faults.push(fault);
            }
        }
    }

    fn holds(&mut self, part: Part, holds: bool, fault: impl FnOnce() -> String) {
        self.finds(part, (!holds).then(fault));
    }
}

/// Checks what stands in a folder. `kept` are heads that were kept elsewhere.
///
/// # Errors
///
/// Those of reading files. What is wrong with them is in the result.
pub fn check(folder: &Path, trust: &Trust, kept: &[TreeHead]) -> io::Result<Checked> {
    let mut checked = Checked::default();
    let Some(manifest) = manifest(folder, trust, &mut checked)? else { return Ok(checked) };
    if !files(folder, &manifest, &mut checked)? {
        return Ok(checked);
    }
    let Some(head) = head(&manifest, trust, &mut checked) else { return Ok(checked) };
    consistency(&manifest, head, kept, &mut checked);
    checked.head = Some(head);
    let writers = writers(folder, head, &mut checked)?;
    entries(folder, &manifest, (head, &writers), &mut checked)?;
    Ok(checked)
}

fn manifest(folder: &Path, trust: &Trust, checked: &mut Checked) -> io::Result<Option<Manifest>> {
    let mut bytes = Vec::new();
    File::open(folder.join(MANIFEST))?.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes)?;
    let mut note = Vec::new();
    if let Some(file) = there(File::open(folder.join(NOTE)))? {
        file.take(MAX_MANIFEST_BYTES).read_to_end(&mut note)?;
    }
    let note = Note::parse(&note).ok().filter(|note| note.text() == to_sign(&bytes));
    let signed = note.is_some_and(|note| note.verify(&trust.keys).is_ok());
    checked.holds(Part::Manifest, signed, || "nobody who is believed has signed the manifest".to_owned());
    let manifest = serde_json::from_slice::<Manifest>(&bytes).ok().filter(|manifest| manifest.format == FORMAT);
    checked.holds(Part::Manifest, manifest.is_some(), || "the manifest is none".to_owned());
    Ok(manifest)
}

/// What could be done with a file; `None` where there is none.
fn there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// Whether all files are there.
fn files(folder: &Path, manifest: &Manifest, checked: &mut Checked) -> io::Result<bool> {
    let listed: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    let mut expected = FILES.to_vec();
    expected.sort_unstable();
    checked.holds(Part::Files, listed == expected, || "the manifest lists other files".to_owned());
    let mut all = true;
    for name in FILES {
        let found = there(sum(&folder.join(name)))?;
        all &= found.is_some();
        let same = found.is_some() && manifest.files.get(name) == found.as_ref();
        checked.holds(Part::Files, same, || format!("`{name}` is another file than the manifest says"));
    }
    Ok(all)
}

fn head(manifest: &Manifest, trust: &Trust, checked: &mut Checked) -> Option<TreeHead> {
    let signed = SignedCheckpoint::parse(manifest.checkpoint.as_bytes()).ok();
    let head = signed.as_ref().and_then(|signed| Some(signed.verify(&trust.keys).ok()?.0.head()));
    checked.holds(Part::Checkpoint, head.is_some(), || "the checkpoint is not signed by a key of the log".to_owned());
    if let (Some(policy), Some(signed)) = (&trust.policy, &signed) {
        let fault =
            policy.check(signed).err().map(|error| format!("the policy does not believe the checkpoint: {error}"));
        checked.finds(Part::Checkpoint, fault);
    }
    head
}

fn consistency(manifest: &Manifest, head: TreeHead, kept: &[TreeHead], checked: &mut Checked) {
    for old in kept {
        let proof = manifest.consistency.iter().find(|proof| proof.size == old.size);
        let path = match proof {
            Some(proof) => hashes(&proof.path),
            None if old.size == head.size => Some(Vec::new()),
            None => None,
        };
        let fault = match path {
            None => Some(format!("nothing shows that the log goes on from its first {} entries", old.size)),
            Some(path) => head
                .verify_consistency(old, &path)
                .err()
                .map(|error| format!("the log does not go on from its first {} entries: {error}", old.size)),
        };
        checked.finds(Part::Consistency, fault);
    }
}

/// Lines of a file, each with its number.
fn lines(folder: &Path, name: &str) -> io::Result<impl Iterator<Item = io::Result<(u64, Vec<u8>)>>> {
    let mut file = BufReader::new(File::open(folder.join(name))?);
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        number += 1;
        match file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok((number, line))),
            Err(error) => Some(Err(error)),
        }
    }))
}

/// A line that is an entry of the log, as far as its leaf and its proof say so.
struct Proved {
    line: Line,
    seq: u64,
    leaf: Leaf,
    encoded: Vec<u8>,
}

/// Reads a line; `None` where there is no entry in it, which is told.
fn proved(name: &str, (number, line): (u64, &[u8]), head: TreeHead, checked: &mut Checked) -> Option<Proved> {
    let read = serde_json::from_slice::<Line>(line).ok().and_then(|line| {
        let encoded = STANDARD.decode(&line.leaf).ok()?;
        let leaf = Leaf::decode(&encoded).ok()?;
        Some(Proved { seq: leaf.place?.seq, leaf, encoded, line })
    });
    let Some(proved) = read else {
        checked.holds(Part::Leaves, false, || format!("line {number} of `{name}` is no entry"));
        return None;
    };
    let path = hashes(&proved.line.path);
    let is_in = path.is_some_and(|path| head.verify_inclusion(proved.seq, &Hash::leaf(&proved.encoded), &path).is_ok());
    checked.holds(Part::Leaves, is_in, || {
        format!("line {number} of `{name}`, entry {}, is not in the log of the checkpoint", proved.seq)
    });
    Some(proved)
}

/// The keys of writers, from their own records.
fn writers(folder: &Path, head: TreeHead, checked: &mut Checked) -> io::Result<BTreeMap<Uuid, [u8; 32]>> {
    let mut keys = BTreeMap::new();
    for line in lines(folder, WRITERS)? {
        let (number, line) = line?;
        let before = checked.findings.get(&Part::Leaves).map_or(0, |finding| finding.wrong);
        let Some(proved) = proved(WRITERS, (number, &line), head, checked) else { continue };
        let good = checked.findings.get(&Part::Leaves).map_or(0, |finding| finding.wrong) == before;
        if let (true, Some(key)) = (good, proved.leaf.public_key) {
            keys.insert(proved.leaf.writer, key);
        }
    }
    Ok(keys)
}

fn entries(
    folder: &Path,
    manifest: &Manifest,
    (head, writers): (TreeHead, &BTreeMap<Uuid, [u8; 32]>),
    checked: &mut Checked,
) -> io::Result<()> {
    let filter = access::filter(&manifest.asked);
    checked.holds(Part::Asked, filter.is_some(), || "what was asked for is none of what can be".to_owned());
    let filter = filter.unwrap_or_default();
    let zone = times::zone(&manifest.zone).unwrap_or(TimeZone::UTC);
    let mut chain = manifest.all_of.as_ref().map(Chain::new);
    if let Some(of) = &manifest.all_of {
        let claimed = filter.all_of().is_some_and(|(dimension, name)| (dimension, &name) == (of.dimension, &of.name));
        checked.holds(Part::Complete, claimed, || "all of something else is claimed than was asked for".to_owned());
        checked.all_of = Some(of.name.clone());
    }
    let mut table = BufReader::new(File::open(folder.join(TABLE))?);
    in_table(&mut table, &csv::line(csv::HEADER), "the header", checked)?;
    let mut next = 0;
    for line in lines(folder, ENTRIES)? {
        let (number, line) = line?;
        checked.entries += 1;
        let Some(Proved { line, seq, leaf, encoded }) = proved(ENTRIES, (number, &line), head, checked) else {
            continue;
        };
        checked
            .holds(Part::Numbers, seq >= next, || format!("entry {seq} on line {number} is not after the one before"));
        // Nobody has proved it yet.
        next = seq.saturating_add(1);
        let signature = STANDARD.decode(&line.signature).unwrap_or_default();
        let signed = writers.get(&leaf.writer).is_some_and(|key| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            leaf.core().is_ok_and(|core| key.verify(&core, &signature).is_ok())
        });
        checked.holds(Part::Writers, signed, || format!("entry {seq} is not signed by its writer"));
        let opened = line.openings.root() == leaf.disclosure;
        checked.holds(Part::Openings, opened, || format!("the openings of entry {seq} are not its own"));
        if let Some(chain) = &mut chain {
            checked.finds(Part::Complete, chain.take(seq, &leaf, &line.openings));
        }
        checked.holds(Part::Asked, matches(&filter, &leaf, &line.openings), || {
            format!("entry {seq} is not what was asked for")
        });
        shown((seq, encoded, signature), &line, &zone, &mut table, checked)?;
    }
    let (count, said) = (checked.entries, manifest.entries);
    checked.holds(Part::Numbers, count == said, || format!("{count} entries are there, and {said} were taken out"));
    if let Some(chain) = chain {
        checked.finds(Part::Complete, chain.end());
    }
    let mut rest = Vec::new();
    table.take(1).read_to_end(&mut rest)?;
    checked.holds(Part::Table, rest.is_empty(), || "the table has more rows than there are entries".to_owned());
    Ok(())
}

/// Whether a line and its row in the table show what its leaf and openings say.
fn shown(
    (seq, leaf, signature): (u64, Vec<u8>, Vec<u8>),
    line: &Line,
    zone: &TimeZone,
    table: &mut impl Read,
    checked: &mut Checked,
) -> io::Result<()> {
    let Ok(entry) = AuditEntry::open(leaf, signature, line.openings.clone()) else {
        checked.holds(Part::Shown, false, || format!("entry {seq} cannot be read"));
        return Ok(());
    };
    let time = times::shown(entry.record.at, zone);
    let entry = Shown::from(entry);
    let same = line.time == time && serde_json::to_value(&entry).is_ok_and(|value| value == line.entry);
    checked.holds(Part::Shown, same, || format!("what is shown of entry {seq} is not what was written"));
    in_table(table, &csv::entry(&entry, &time), &format!("entry {seq}"), checked)
}

fn in_table(table: &mut impl Read, row: &str, of: &str, checked: &mut Checked) -> io::Result<()> {
    let mut found = Vec::new();
    table.take(row.len() as u64).read_to_end(&mut found)?;
    checked.holds(Part::Table, found == row.as_bytes(), || format!("the row of {of} in the table is another one"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use portcullis_store::audit::Filter;

    use super::*;

    #[test]
    fn what_nothing_was_looked_at_of_is_not_good() {
        assert!(!Checked::default().is_good());
        assert!(Part::ALL.is_sorted());
        assert_eq!(access::filter(&access::asked(&Filter::default())), Some(Filter::default()));
    }
}
