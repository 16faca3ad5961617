//! What somebody hands over who says that it was taken out of a log, before whoever checks it offline.

use std::error::Error;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::audit::extract::{Trust, check};
use portcullis_tlog::{SignedCheckpoint, TreeHead};
use serde_json::Value;
use tempfile::TempDir;

use super::edits::edited;
use super::{Decoder, resumed};

pub(super) const EXPORT: &[Decoder] = &[
    Decoder { name: "edited export", run: edited_export },
    Decoder { name: "edited entry of an export", run: edited_entry },
    Decoder { name: "manifest", run: |bytes| good(MANIFEST, bytes) },
    Decoder { name: "signature of a manifest", run: |bytes| good(NOTE, bytes) },
    Decoder { name: "entries of an export", run: |bytes| good(ENTRIES, bytes) },
    Decoder { name: "table of an export", run: |bytes| good(TABLE, bytes) },
    Decoder { name: "writers of an export", run: |bytes| good(WRITERS, bytes) },
    Decoder { name: "state of an export", run: resumed::state },
    Decoder { name: "edited state of an export", run: resumed::edited_state },
];

/// All of one user in the log of a gateway, as `portcullis audit export` once wrote it: every later version must still find
/// it good.
const FILES: [(&str, &[u8]); 5] = [
    ("manifest.json", include_bytes!("../seeds/export/manifest.json")),
    ("manifest.note", include_bytes!("../seeds/export/manifest.note")),
    ("entries.jsonl", include_bytes!("../seeds/export/entries.jsonl")),
    ("entries.csv", include_bytes!("../seeds/export/entries.csv")),
    ("writers.jsonl", include_bytes!("../seeds/export/writers.jsonl")),
];
const MANIFEST: usize = 0;
const NOTE: usize = 1;
const ENTRIES: usize = 2;
const TABLE: usize = 3;
const WRITERS: usize = 4;

/// The key of that log, and a checkpoint that was kept from before.
const KEY: &str = include_str!("../seeds/export/key");
const KEPT: &[u8] = include_bytes!("../seeds/export/kept");

type Mishap = Box<dyn Error>;

thread_local! {
    static FOLDER: Folder = Folder::laid().unwrap_or_else(|error| panic!("no export: {error}"));
}

/// The files, and whom to believe.
struct Folder {
    folder: TempDir,
    trust: Trust,
    kept: TreeHead,
}

impl Folder {
    fn laid() -> Result<Self, Mishap> {
        let folder = TempDir::new()?;
        for (name, bytes) in FILES {
            std::fs::write(folder.path().join(name), bytes)?;
        }
        let trust = Trust { keys: vec![KEY.trim().parse()?], policy: None };
        Ok(Self { folder, trust, kept: SignedCheckpoint::parse(KEPT)?.head() })
    }

    fn path(&self, which: usize) -> PathBuf {
        self.folder.path().join(FILES[which].0)
    }

    /// Whether the export is good with `bytes` in the place of one file.
    fn good(&self, which: usize, bytes: &[u8]) -> Result<bool, Mishap> {
        std::fs::write(self.path(which), bytes)?;
        let checked = check(self.folder.path(), &self.trust, &[self.kept])?;
        std::fs::write(self.path(which), FILES[which].1)?;
        for (part, finding) in &checked.findings {
            assert!(finding.wrong <= finding.checked && finding.faults.len() <= 10, "{part:?}: {finding:?}");
        }
        Ok(checked.is_good())
    }
}

/// Checks the export with another file in it. A note may have more signatures; of all else no byte may change unnoticed.
fn good(which: usize, bytes: &[u8]) -> bool {
    let good = FOLDER.with(|folder| folder.good(which, bytes));
    let good = good.unwrap_or_else(|error| panic!("the export cannot be read: {error}"));
    let (name, original) = FILES[which];
    assert!(good || bytes != original, "the export is not good");
    assert!(!good || bytes == original || which == NOTE, "another {name} is as good");
    good
}

/// Which file, then its edits.
fn edited_export(bytes: &[u8]) -> bool {
    let Some((which, edits)) = bytes.split_first() else { return false };
    let which = usize::from(*which);
    FILES.get(which).is_some_and(|(_, original)| good(which, &edited(original, edits)))
}

/// Which of the entries, and which part of it, then edits of what stands there: what the line of JSON says of it fits again.
fn edited_entry(bytes: &[u8]) -> bool {
    let Some((&[which, part], edits)) = bytes.split_first_chunk() else { return false };
    let (original, lines) = match part {
        0..4 => (ENTRIES, FILES[ENTRIES].1),
        _ => (WRITERS, FILES[WRITERS].1),
    };
    let mut lines: Vec<Vec<u8>> = lines.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let Some(line) = lines.get_mut(usize::from(which)) else { return false };
    if !edits.is_empty() {
        let Ok(mut entry) = serde_json::from_slice::<Value>(line) else { return false };
        if change(&mut entry, part % 4, edits).is_none() {
            return false;
        }
        *line = format!("{entry}\n").into_bytes();
    }
    good(original, &lines.concat())
}

/// Edits the leaf, the signature, the openings or what is shown.
fn change(entry: &mut Value, part: u8, edits: &[u8]) -> Option<()> {
    let name = match part {
        0 => "leaf",
        1 => "signature",
        2 => "openings",
        _ => "entry",
    };
    let place = entry.get_mut(name)?;
    *place = match &*place {
        Value::String(text) => STANDARD.encode(edited(&STANDARD.decode(text.as_str()).ok()?, edits)).into(),
        other => serde_json::from_slice(&edited(other.to_string().as_bytes(), edits)).ok()?,
    };
    Some(())
}

pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let decoders = EXPORT.iter().skip(2).map(|decoder| decoder.name);
    let whole = decoders.zip(FILES.iter().map(|(_, bytes)| bytes.to_vec()));
    let edits = (0u8..).zip(FILES).map(|(which, _)| ("edited export", vec![which]));
    // The second leaf is given another length, then its place in the log the highest number there is.
    let entries =
        [vec![0, 0], vec![1, 0, 0, 0, 0, 0xb0], vec![0, 2, 0, 0, 9, b'x'], vec![0, 4], vec![0, 4, 1, 0, 3, 1]];
    let entries = entries.map(|edit| ("edited entry of an export", edit));
    whole.chain(edits).chain(entries).chain(resumed::seeds()).collect()
}
