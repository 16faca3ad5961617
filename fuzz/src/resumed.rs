//! An export that was interrupted, and what somebody made of its state before it goes on.

use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::signature::Ed25519KeyPair;
use jiff::tz::TimeZone;
use portcullis::audit::extract::{ExtractError, Trust, Wish, check, extract};
use portcullis::gateway::Clock;
use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Filter, Outcome};
use portcullis_store::{Options, Store, Tx};
use portcullis_tlog::Signer;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::edits::edited;

/// The state that an export keeps from page to page.
const STATE: &str = "export.state";

/// Entries of the log: more than the thousand of a page, or there would be no state.
const ENTRIES: u64 = 1_001;

/// Exports after which the log begins anew, for each leaves entries in it.
const EXPORTS: u32 = 500;

type Mishap = Box<dyn Error>;

thread_local! {
    static LOG: RefCell<Log> = RefCell::new(Log::filled().unwrap_or_else(|error| panic!("no log: {error}")));
}

/// A log, and an export of it that stopped after its first page.
struct Log {
    folder: TempDir,
    store: Store,
    signer: Signer,
    exports: u32,
}

impl Log {
    fn filled() -> Result<Self, Mishap> {
        let folder = TempDir::new()?;
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        let store = Store::open(&url, &Options::default())?;
        store.write("fill", |tx: &mut Tx<'_>| {
            (0..ENTRIES).try_for_each(|number| {
                let at = Millis(1_700_000_000_000 + number);
                tx.stage(&AuditRecord::new(Uuid::now_v7(), at, "decision.message", Outcome::Allow))
            })
        })?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(|_| "no key")?;
        let log = Self { folder, store, signer: Signer::new("log.example".parse()?, pair), exports: 0 };
        let stopped = log.folder.path().join("stopped");
        let (out, kept) = (log.folder.path().join("whole"), log.folder.path().join("kept"));
        fs::create_dir(&kept)?;
        // Between the first page and the second the state stands on the disk.
        let mut copied = Ok(());
        log.export(&out, |_, _| {
            if !stopped.exists() {
                copied = copy(&out, &kept).and_then(|()| fs::rename(&kept, &stopped));
            }
        })?;
        copied?;
        Ok(log)
    }

    fn export(&self, out: &Path, told: impl FnMut(u64, u64)) -> Result<(), ExtractError> {
        let wish = Wish {
            out: out.to_owned(),
            filter: Filter { before: Some(ENTRIES), ..Filter::default() },
            zone: TimeZone::UTC,
            since: Vec::new(),
            by: "operator:ann".to_owned(),
        };
        extract(&self.store, &self.signer, &Clock::default(), &wish, told).map(drop)
    }

    /// Whether the export goes on from this state to its end, and is as good as if nothing had stopped it.
    fn resumed(&self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<bool, Mishap> {
        let (stopped, out) = (self.folder.path().join("stopped"), self.folder.path().join("resumed"));
        let original = fs::read(stopped.join(STATE))?;
        let state = change(original.clone());
        fs::create_dir(&out)?;
        copy(&stopped, &out)?;
        fs::write(out.join(STATE), &state)?;
        let ended = self.export(&out, |_, _| ());
        assert!(ended.is_ok() || state != original, "an export does not go on: {ended:?}");
        let trust = Trust { keys: vec![self.signer.key().clone()], policy: None };
        let good = ended.is_ok() && check(&out, &trust, &[])?.is_good();
        fs::remove_dir_all(out)?;
        assert!(good || state != original, "an export that went on is not good");
        Ok(good)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name())).map(drop)
    })
}

fn resumed(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> bool {
    LOG.with_borrow_mut(|log| {
        log.exports += 1;
        if log.exports > EXPORTS {
            *log = Log::filled().unwrap_or_else(|error| panic!("no log: {error}"));
        }
        log.resumed(change).unwrap_or_else(|error| panic!("the export cannot be tried: {error}"))
    })
}

/// Goes on from whatever the bytes say.
pub(super) fn state(bytes: &[u8]) -> bool {
    resumed(|_| bytes.to_vec())
}

/// Goes on from the true state with edits.
pub(super) fn edited_state(edits: &[u8]) -> bool {
    resumed(|original| edited(&original, edits))
}

pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let state = LOG.with_borrow(|log| fs::read(log.folder.path().join("stopped").join(STATE)));
    let state = state.unwrap_or_else(|error| panic!("there is no state: {error}"));
    let read: Value = serde_json::from_slice(&state).unwrap_or_default();
    let numbers = ["size", "end", "next", "entries", "jsonl", "csv"].map(|field| {
        let mut most = read.clone();
        most[field] = u64::MAX.into();
        ("state of an export", most.to_string().into_bytes())
    });
    numbers.into_iter().chain([("state of an export", state), ("edited state of an export", Vec::new())]).collect()
}
