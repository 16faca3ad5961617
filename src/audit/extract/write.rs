//! Taking entries out, page by page: what was interrupted goes on where it stood.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::audit::{
    self, AuditRecord, Dimension, Filter, Order, Outcome, StoredCheckpoint, inclusions, search,
};
use portcullis_store::{Conn, Store, StoreError, Tx};
use portcullis_tlog::{Note, NoteError, Signer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::super::{Shown, as_of, checkpoint, times};
use super::{
    AllOf, CLOSED, Consistency, ENTRIES, FILES, FORMAT, Line, MANIFEST, Manifest, NOTE, Sum, TABLE, WRITERS, csv,
    to_sign,
};
use crate::gateway::Clock;
use crate::gateway::access::{self, Reading};

/// Entries of a page.
const PAGE: u32 = 1000;

/// Where an export stands that is not finished.
const STATE: &str = "export.state";

/// What somebody wants to take out.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The folder, which is made.
    pub out: PathBuf,
    /// Which entries; its order and limit do not count.
    pub filter: Filter,
    /// Zone of the times that are shown.
    pub zone: TimeZone,
    /// Sizes of earlier checkpoints that the log is to be shown to have grown from.
    pub since: Vec<u64>,
    /// Who takes it out.
    pub by: String,
}

/// Why nothing was taken out, or not all of it. What was written stays, and the same command goes on.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The log cannot be read, or that it is read not be written.
    #[error("audit log is not available")]
    Store(#[from] StoreError),
    /// A file.
    #[error("cannot write `{}`", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The folder holds an export already.
    #[error("`{}` holds a finished export", .0.display())]
    Finished(PathBuf),
    /// The folder holds the beginning of another export.
    #[error("`{}` holds the beginning of another export", .0.display())]
    Another(PathBuf),
    /// No entry has been signed.
    #[error("nothing of the log has been signed yet")]
    Unsigned,
    /// An earlier checkpoint is of a longer log.
    #[error("the log of {0} entries is longer than this one")]
    Longer(u64),
    /// Something cannot be written as JSON.
    #[error("cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The manifest cannot be signed.
    #[error("the manifest cannot be signed")]
    Sign(#[from] NoteError),
}

/// How far an export is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    asked: Value,
    zone: String,
    /// Entries of the checkpoint.
    size: u64,
    /// The position after the last entry that is wanted.
    end: u64,
    all_of: Option<AllOf>,
    /// Where to go on.
    next: u64,
    entries: u64,
    /// Lengths of the files of entries up to there.
    jsonl: u64,
    csv: u64,
}

impl State {
    /// Whether an export can have come to it.
    fn is_possible(&self) -> bool {
        self.entries <= self.next && self.next <= self.end && self.end <= self.size
    }
}

/// Takes entries out of the log, with their proofs. `told` is told how many of how many have been written. Blocks.
///
/// # Errors
///
/// [`ExtractError`].
pub fn extract(
    store: &Store,
    signer: &Signer,
    clock: &Clock,
    wish: &Wish,
    mut told: impl FnMut(u64, u64),
) -> Result<Manifest, ExtractError> {
    fs::create_dir_all(&wish.out).map_err(|error| ExtractError::File(wish.out.clone(), error))?;
    let folder = Folder(&wish.out);
    if folder.path(MANIFEST).exists() {
        return Err(ExtractError::Finished(wish.out.clone()));
    }
    let asked = access::asked(&Filter { order: Order::Oldest, ..wish.filter.clone() });
    let mut state = match folder.state()? {
        Some(state) if state.asked == asked && state.zone == zone(wish) => {
            note(store, clock, wish, &asked, 0)?;
            state
        }
        Some(_) => return Err(ExtractError::Another(wish.out.clone())),
        None => begin(store, signer, clock, wish, asked)?,
    };
    let total = store.read(|conn| audit::counts(conn, &wanted(wish, &state, 0), &[Millis(0)]))?;
    let total = total.iter().map(audit::Bucket::total).sum();
    let (mut jsonl, mut table) = (folder.resume(ENTRIES, state.jsonl)?, folder.resume(TABLE, state.csv)?);
    if state.csv == 0 {
        state.csv += table.add(&csv::line(csv::HEADER))?;
    }
    loop {
        let filter = wanted(wish, &state, state.next);
        let (found, paths) = store.read(|conn| page(conn, &filter, state.size))?;
        for (entry, path) in found.entries.into_iter().zip(paths) {
            let time = times::shown(entry.record.at, &wish.zone);
            state.csv += table.add(&csv::entry(&Shown::from(entry.clone()), &time))?;
            state.jsonl += jsonl.add(&format!("{}\n", serde_json::to_string(&Line::new(entry, time, &path)?)?))?;
            state.entries += 1;
        }
        jsonl.sync()?;
        table.sync()?;
        let Some(next) = found.next else { break };
        state.next = next;
        folder.keep(STATE, &serde_json::to_vec(&state)?)?;
        told(state.entries, total);
    }
    told(state.entries, total);
    writers(store, &folder, wish, state.size)?;
    finish(store, signer, clock, wish, (&folder, state))
}

fn zone(wish: &Wish) -> String {
    wish.zone.iana_name().unwrap_or("UTC").to_owned()
}

fn wanted(wish: &Wish, state: &State, from: u64) -> Filter {
    let (from, before) =
        (from.max(wish.filter.from), Some(wish.filter.before.map_or(state.end, |it| it.min(state.end))));
    Filter { from, before, order: Order::Oldest, limit: PAGE, ..wish.filter.clone() }
}

type Paths = Vec<Vec<portcullis_tlog::Hash>>;

fn page(conn: &mut Conn, filter: &Filter, size: u64) -> Result<(audit::Found, Paths), StoreError> {
    let found = search(conn, filter)?;
    let seqs: Vec<u64> = found.entries.iter().map(|entry| entry.seq).collect();
    let paths = inclusions(conn, &seqs, size)?;
    Ok((found, paths))
}

/// Writes down who takes out what.
fn note(store: &Store, clock: &Clock, wish: &Wish, asked: &Value, entries: u64) -> Result<(), StoreError> {
    let mut by = AuditRecord::new(Uuid::now_v7(), clock.now(), "access.export", Outcome::Info);
    by.actor = Some(wish.by.clone());
    Reading { kind: "access.export", asked: asked.clone() }.note(store, by, entries)
}

/// Writes down who takes out what, and where all of one is wanted, what points back to the last of it; and has it signed.
fn begin(store: &Store, signer: &Signer, clock: &Clock, wish: &Wish, asked: Value) -> Result<State, ExtractError> {
    let counted = store.read(|conn| audit::counts(conn, &wish.filter, &[Millis(0)]))?;
    note(store, clock, wish, &asked, counted.iter().map(audit::Bucket::total).sum())?;
    let all_of = wish.filter.all_of().map(|(dimension, name)| AllOf { dimension, name });
    let closing = all_of.as_ref().map(|all_of| close(store, clock, all_of)).transpose()?;
    while audit::sequence(store, audit::MAX_SEQUENCED, clock.now())?.entries > 0 {}
    checkpoint(store, clock, signer)?;
    let Some(StoredCheckpoint { size, .. }) = store.read(|conn| as_of(conn, None))? else {
        return Err(ExtractError::Unsigned);
    };
    let end = match closing {
        Some(event) => closed_at(store, &wish.filter, event)? + 1,
        None => size,
    };
    let zone = zone(wish);
    Ok(State { asked, zone, size, end, all_of, next: 0, entries: 0, jsonl: 0, csv: 0 })
}

/// Writes a record that is the next of a room, an actor or a peer.
fn close(store: &Store, clock: &Clock, all_of: &AllOf) -> Result<Uuid, StoreError> {
    let mut record = AuditRecord::new(Uuid::now_v7(), clock.now(), CLOSED, Outcome::Info);
    let name = &all_of.name;
    match all_of.dimension {
        Dimension::Room => record.room = Some(RoomUri::parse(name).map_err(|_| StoreError::Corrupt("room"))?),
        Dimension::Actor => record.actor = Some(name.clone()),
        Dimension::Peer => record.peer = Some(Domain::parse(name).map_err(|_| StoreError::Corrupt("domain"))?),
    }
    let event = record.event;
    store.write("access", move |tx: &mut Tx<'_>| tx.stage(&record))?;
    Ok(event)
}

fn closed_at(store: &Store, filter: &Filter, event: Uuid) -> Result<u64, ExtractError> {
    let filter = Filter { kind: Some(CLOSED.to_owned()), order: Order::Newest, limit: 100, ..filter.clone() };
    let found = store.read(|conn| audit::entries(conn, &filter))?;
    let found = found.into_iter().find(|entry| entry.record.event == event);
    Ok(found.ok_or(StoreError::Missing)?.seq)
}

/// The entries that say by which keys records are signed.
fn writers(store: &Store, folder: &Folder<'_>, wish: &Wish, size: u64) -> Result<(), ExtractError> {
    let mut file = folder.resume(WRITERS, 0)?;
    let kind = Some("writer.begin".to_owned());
    let mut filter = Filter { kind, before: Some(size), limit: PAGE, ..Filter::default() };
    loop {
        let (found, paths) = store.read(|conn| page(conn, &filter, size))?;
        for (entry, path) in found.entries.into_iter().zip(paths) {
            let time = times::shown(entry.record.at, &wish.zone);
            file.add(&format!("{}\n", serde_json::to_string(&Line::new(entry, time, &path)?)?))?;
        }
        match found.next {
            Some(next) => filter.from = next,
            None => return file.sync(),
        }
    }
}

fn finish(
    store: &Store,
    signer: &Signer,
    clock: &Clock,
    wish: &Wish,
    (folder, state): (&Folder<'_>, State),
) -> Result<Manifest, ExtractError> {
    let mut consistency = Vec::new();
    for size in &wish.since {
        let path = store.read(|conn| audit::consistency(conn, *size, state.size)).map_err(|error| match error {
            StoreError::Missing => ExtractError::Longer(*size),
            error => error.into(),
        })?;
        consistency.push(Consistency { size: *size, path: path.iter().map(ToString::to_string).collect() });
    }
    let signed = store.read(|conn| as_of(conn, Some(state.size)))?.ok_or(ExtractError::Unsigned)?;
    let files = FILES.into_iter().map(|name| Ok((name.to_owned(), folder.sum(name)?)));
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        asked: state.asked,
        zone: state.zone,
        made_at: clock.now(),
        made_by: wish.by.clone(),
        made_with: concat!("portcullis ", env!("CARGO_PKG_VERSION")).to_owned(),
        entries: state.entries,
        all_of: state.all_of,
        checkpoint: signed.note,
        consistency,
        files: files.collect::<Result<_, ExtractError>>()?,
    };
    let bytes = serde_json::to_vec_pretty(&manifest)?;
    let text = to_sign(&bytes);
    let signature = signer.sign(&text);
    folder.keep(NOTE, Note::new(text, signature)?.to_string().as_bytes())?;
    folder.keep(MANIFEST, &bytes)?;
    fs::remove_file(folder.path(STATE)).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(ExtractError::File(folder.path(STATE), error)),
    })?;
    Ok(manifest)
}

struct Folder<'p>(&'p Path);

impl Folder<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn state(&self) -> Result<Option<State>, ExtractError> {
        match fs::read(self.path(STATE)) {
            Ok(bytes) => {
                let state = serde_json::from_slice::<State>(&bytes).ok().filter(State::is_possible);
                state.map(Some).ok_or_else(|| ExtractError::Another(self.0.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ExtractError::File(self.path(STATE), error)),
        }
    }

    /// Opens a file to go on after its first `bytes`.
    fn resume(&self, name: &str, bytes: u64) -> Result<Out, ExtractError> {
        let path = self.path(name);
        let failed = |error| ExtractError::File(path.clone(), error);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        // What is to go on has reached the disk before the state that says how long it is.
        if file.metadata().map_err(failed)?.len() < bytes {
            return Err(ExtractError::Another(self.0.to_owned()));
        }
        file.set_len(bytes).map_err(failed)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
        Ok(Out { file: io::BufWriter::new(file), path })
    }

    /// Writes a file whole or not at all.
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), ExtractError> {
        let (path, part) = (self.path(name), self.path(&format!("{name}.part")));
        let written = File::create(&part).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&part, &path)).map_err(|error| ExtractError::File(path, error))
    }

    fn sum(&self, name: &str) -> Result<Sum, ExtractError> {
        sum(&self.path(name)).map_err(|error| ExtractError::File(self.path(name), error))
    }
}

/// How a file is known.
pub(super) fn sum(path: &Path) -> io::Result<Sum> {
    let mut file = File::open(path)?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let (mut bytes, mut lines, mut buffer) = (0, 0, vec![0; 64 * 1024]);
    loop {
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        context.update(read);
        bytes += count as u64;
        lines += read.iter().filter(|octet| **octet == b'\n').count() as u64;
    }
    Ok(Sum { bytes, lines, sha256: data_encoding::HEXLOWER.encode(context.finish().as_ref()) })
}

struct Out {
    file: io::BufWriter<File>,
    path: PathBuf,
}

impl Out {
    /// Adds text, and gives its length.
    fn add(&mut self, text: &str) -> Result<u64, ExtractError> {
        self.file.write_all(text.as_bytes()).map_err(|error| ExtractError::File(self.path.clone(), error))?;
        Ok(text.len() as u64)
    }

    fn sync(&mut self) -> Result<(), ExtractError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        synced.map_err(|error| ExtractError::File(self.path.clone(), error))
    }
}
