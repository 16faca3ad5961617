//! What the audit log is made of, and what other people's logs and witnesses say: notes, checkpoints, proofs, tiles, and
//! the leaves of our own.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::audit::times::{self, By};
use portcullis::audit::{Cursor, Shown, sha256};
use portcullis::gateway::access;
use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditEntry, Bits, Filter, Leaf, Opening, Openings, Outcome, Place, matches};
use portcullis_tlog::witness::{AddCheckpoint, decode_size, encode_size};
use portcullis_tlog::{
    Checkpoint, Cosigner, Edge, Hash, KeyName, LogProof, MAX_SIZE, Note, Policy, Prover, Resource, Signature,
    SignedCheckpoint, Signer, Tile, TreeHead, VerifierKey, decode_bundle, encode_bundle,
};
use serde_json::Value;
use uuid::Uuid;

use super::Decoder;
use super::endpoints::part;

pub(super) const LOG: &[Decoder] = &[
    Decoder { name: "note", run: |bytes| same(bytes, Note::parse(bytes).ok()) },
    Decoder { name: "signed checkpoint", run: signed_checkpoint },
    Decoder { name: "request of a log to a witness", run: |bytes| same(bytes, AddCheckpoint::parse(bytes).ok()) },
    Decoder { name: "proof file", run: proof_file },
    Decoder { name: "policy of witnesses", run: |bytes| Policy::parse(bytes).is_ok() },
    Decoder { name: "checkpoint", run: text::<Checkpoint> },
    Decoder { name: "signature line", run: text::<Signature> },
    Decoder { name: "verifier key", run: text::<VerifierKey> },
    Decoder { name: "key name", run: text::<KeyName> },
    Decoder { name: "hash", run: text::<Hash> },
    Decoder { name: "path of a tile", run: text::<Resource> },
    Decoder { name: "size of a log", run: size },
    Decoder { name: "entry bundle", run: bundle },
    Decoder { name: "path to a root", run: path },
    Decoder { name: "leaf", run: leaf },
    Decoder { name: "openings", run: openings },
    Decoder { name: "edge of a tree", run: edge },
    Decoder { name: "entry", run: entry },
    Decoder { name: "question", run: question },
    Decoder { name: "cursor of a question", run: cursor },
    Decoder { name: "time", run: time },
    Decoder { name: "spans of time", run: spans },
    Decoder { name: "row of the index", run: row },
];

fn row(bytes: &[u8]) -> bool {
    let Some(row) = Bits::decode(bytes) else { return false };
    assert!(row.encode() == bytes);
    true
}

/// What was taken is written as the same bytes.
fn same(bytes: &[u8], taken: Option<impl ToString>) -> bool {
    let Some(taken) = taken else { return false };
    assert!(taken.to_string().as_bytes() == bytes);
    true
}

fn text<T: std::str::FromStr + ToString>(bytes: &[u8]) -> bool {
    same(bytes, std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<T>().ok()))
}

/// A stranger's checkpoint: nobody's key has signed it.
fn signed_checkpoint(bytes: &[u8]) -> bool {
    let Ok(checkpoint) = SignedCheckpoint::parse(bytes) else { return false };
    assert!(checkpoint.verify([]).is_err());
    same(bytes, Some(checkpoint))
}

/// A proof shows nothing to whoever believes nobody.
fn proof_file(bytes: &[u8]) -> bool {
    let Ok(proof) = LogProof::parse(bytes) else { return false };
    if let Ok(nobody) = Policy::parse(b"quorum none\n") {
        assert!(proof.verify(&Hash::leaf(b""), &nobody).is_err());
    }
    same(bytes, Some(proof))
}

fn size(bytes: &[u8]) -> bool {
    same(bytes, decode_size(bytes).map(encode_size))
}

fn bundle(bytes: &[u8]) -> bool {
    let Ok(entries) = decode_bundle(bytes) else { return false };
    assert!(encode_bundle(entries).is_ok_and(|again| again == bytes));
    true
}

/// Two sizes, then the hashes of a path. A path leads from a leaf of a small log to its root only where it is that log's own.
fn path(bytes: &[u8]) -> bool {
    let Some(([size, index], rest)) = bytes.split_first_chunk() else { return false };
    let path: Vec<Hash> = rest.as_chunks().0.iter().copied().map(Hash).collect();
    let (size, index) = (u64::from(*size), u64::from(*index));
    let head = log_of(size).head();
    let old = log_of(index).head();
    if head.verify_consistency(&old, &path).is_ok() {
        assert!(index <= size);
    }
    if head.verify_inclusion(index, &Hash::leaf(&index.to_be_bytes()), &path).is_ok() {
        assert!(index < size);
        let other = TreeHead { root: Hash::leaf(b"another"), ..head };
        assert!(size == 1 || other.verify_inclusion(index, &Hash::leaf(&index.to_be_bytes()), &path).is_err());
        return true;
    }
    false
}

fn log_of(size: u64) -> Edge {
    let mut edge = Edge::default();
    edge.append((0..size).map(|number| Hash::leaf(&number.to_be_bytes())));
    edge
}

/// A leaf has one encoding.
fn leaf(bytes: &[u8]) -> bool {
    let Ok(leaf) = Leaf::decode(bytes) else { return false };
    assert!(leaf.encode().is_ok_and(|again| again == bytes));
    true
}

/// As they are stored, or as exports have them.
fn openings(bytes: &[u8]) -> bool {
    let Ok(openings) = Openings::decode(bytes) else { return false };
    let stored = openings.encode().unwrap_or_default();
    assert!(Openings::decode(&stored).is_ok_and(|again| again == openings));
    let shown = serde_json::to_vec(&openings).unwrap_or_default();
    assert!(serde_json::from_slice::<Openings>(&shown).is_ok_and(|again| again == openings));
    true
}

/// A size, then the roots of the complete subtrees.
fn edge(bytes: &[u8]) -> bool {
    let Some((size, rest)) = bytes.split_first_chunk() else { return false };
    let peaks: Vec<Hash> = rest.as_chunks().0.iter().copied().map(Hash).collect();
    let size = u64::from_be_bytes(*size);
    let Ok(mut edge) = Edge::new(size, peaks.clone()) else { return false };
    assert!(edge.peaks() == peaks && edge.head().size == size);
    if size < MAX_SIZE {
        edge.push(Hash::leaf(b"next"));
        let grown = edge.head();
        assert!(Edge::new(grown.size, edge.peaks().to_vec()).is_ok_and(|again| again == edge));
    }
    true
}

/// A leaf, then its openings: what they make is shown, and found by what it says.
fn entry(mut bytes: &[u8]) -> bool {
    let Some(leaf) = part(&mut bytes) else { return false };
    let Ok(openings) = Openings::decode(bytes) else { return false };
    let Ok(entry) = AuditEntry::open(leaf.to_vec(), Vec::new(), openings.clone()) else { return false };
    let record = &entry.record;
    let Ok(read) = Leaf::decode(leaf) else { panic!("an entry was made of no leaf") };
    let wanted = Filter {
        since: Some(record.at),
        outcome: Some(record.outcome),
        room: record.room.clone(),
        bundle: record.bundle,
        exchange: record.exchange,
        ..Filter::default()
    };
    assert!(matches(&wanted, &read, &openings), "an entry is not found by what it says");
    assert!(serde_json::to_value(Shown::from(entry)).is_ok());
    true
}

/// What was asked of the log, as records and manifests say it.
fn question(bytes: &[u8]) -> bool {
    let Ok(asked) = serde_json::from_slice::<Value>(bytes) else { return false };
    let Some(filter) = access::filter(&asked) else { return false };
    assert!(access::filter(&access::asked(&filter)) == Some(filter), "a question is another one when it is read back");
    true
}

fn cursor(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let filter = Filter::default();
    let Ok(cursor) = Cursor::decode(text, &filter) else { return sha256(text).is_ok() };
    assert!(Cursor::decode(&cursor.encode(&filter), &filter) == Ok(cursor));
    let other = Filter { decisions: true, ..filter };
    assert!(Cursor::decode(text, &other).is_err(), "a cursor fits two questions");
    true
}

/// A zone, then a time.
fn time(mut bytes: &[u8]) -> bool {
    let Some(zone) = part(&mut bytes).and_then(|zone| std::str::from_utf8(zone).ok()) else { return false };
    let (Ok(zone), Ok(text)) = (times::zone(zone), std::str::from_utf8(bytes)) else { return false };
    let Ok(at) = times::read(text, &zone) else { return false };
    let shown = times::shown(at, &zone);
    assert!(times::read(&shown, &zone) == Ok(at), "{at:?} is shown as `{shown}`");
    true
}

/// What is counted by, two times, then a zone.
fn spans(bytes: &[u8]) -> bool {
    let Some((&by, rest)) = bytes.split_first() else { return false };
    let Some((since, rest)) = rest.split_first_chunk() else { return false };
    let Some((until, zone)) = rest.split_first_chunk() else { return false };
    let Some(Ok(zone)) = std::str::from_utf8(zone).ok().map(times::zone) else { return false };
    let by = [By::Minute, By::Hour, By::Day, By::Month][usize::from(by) % 4];
    let (since, until) = (Millis(u64::from_be_bytes(*since)), Millis(u64::from_be_bytes(*until)));
    let Ok(starts) = times::spans(since, until, by, &zone) else { return false };
    assert!((1..=1000).contains(&starts.len()), "{} spans", starts.len());
    assert!(starts.is_sorted_by(|a, b| a < b) && starts[0] <= since && starts.iter().all(|start| *start < until));
    true
}

pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    made().unwrap_or_default()
}

/// A cursor to the question that wants everything.
fn given_out(size: u64, position: u64) -> String {
    let asked = access::asked(&Filter::default()).to_string();
    let fingerprint = digest(&SHA256, asked.as_bytes());
    let fingerprint = URL_SAFE_NO_PAD.encode(fingerprint.as_ref().get(..12).unwrap_or_default());
    URL_SAFE_NO_PAD.encode(format!("{size}\n{position}\n{fingerprint}"))
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes(), bytes].concat()
}

fn millis(at: u64) -> [u8; 8] {
    at.to_be_bytes()
}

/// What a log of 200 entries makes, with one witness.
fn made() -> Option<Vec<(&'static str, Vec<u8>)>> {
    let name = |name: &str| name.parse::<KeyName>().ok();
    let pair = |seed: u8| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).ok();
    let key = Signer::new(name("log.example")?, pair(1)?);
    let witness = Cosigner::new(name("witness.example")?, pair(2)?);
    let mut edge = Edge::default();
    let spans = edge.append((0..200).map(|number: u64| Hash::leaf(&number.to_be_bytes())));
    let read = |tile: Tile| {
        let stored = spans.iter().find(|span| (span.level, span.index) == (tile.level, tile.index));
        stored.map(|span| span.bytes.clone()).ok_or(())
    };
    let mut prover = Prover::new(200, read).ok()?;
    let (inclusion, consistency) = (prover.inclusion(7).ok()?, prover.consistency(7).ok()?);
    let statement = Checkpoint::new(key.key().name(), edge.head());
    let mut checkpoint = SignedCheckpoint::sign(statement.clone(), &key).ok()?;
    checkpoint.add(witness.cosign(&statement, 1_700_000_000)).ok()?;
    let request = AddCheckpoint { old_size: 7, proof: consistency, checkpoint: checkpoint.clone() };
    let path = [&[200, 7][..], &inclusion.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>()].concat();
    let proof = LogProof { extra: Some(b"extra".to_vec()), index: 7, path: inclusion, checkpoint: checkpoint.clone() };
    let policy = format!("log {}\nwitness W {} https://w.example\ngroup G 1 W\nquorum G\n", key.key(), witness.key());
    let opening = |json: &str| Opening { salt: "c2FsdA".to_owned(), json: json.to_owned() };
    let openings = Openings([("reason".to_owned(), opening("\"why\""))].into());
    let leaf = Leaf {
        origin: "log.example".to_owned(),
        writer: Uuid::from_bytes([1; 16]),
        writer_seq: 0,
        previous: [0; 32],
        event: Uuid::from_bytes([2; 16]),
        at: Millis(1_700_000_000_000),
        kind: "decision.message".to_owned(),
        outcome: Outcome::Allow,
        bundle: Some([3; 32]),
        engine: "portcullis".to_owned(),
        disclosure: openings.root(),
        epoch: Some(4),
        exchange: Some([5; 32]),
        public_key: Some([6; 32]),
        place: Some(Place { seq: 7, room: Some((1, Some(3))), actor: None, peer: Some(2) }),
    };
    let (encoded, opened) = (leaf.encode().ok()?, serde_json::to_vec(&openings).ok()?);
    let room = "mimi://a.example/r/lobby".parse().ok();
    let asked =
        access::asked(&Filter { room, outcome: Some(Outcome::Deny), since: Some(Millis(7)), ..Filter::default() });
    let peaks = edge.peaks().iter().flat_map(|peak| peak.0);
    let text = |it: &dyn ToString| it.to_string().into_bytes();
    Some(vec![
        ("note", text(&checkpoint)),
        ("signed checkpoint", text(&checkpoint)),
        ("request of a log to a witness", text(&request)),
        ("proof file", text(&proof)),
        ("policy of witnesses", text(&policy)),
        ("checkpoint", text(&statement)),
        ("signature line", text(&key.sign("a\n"))),
        ("verifier key", text(key.key())),
        ("key name", text(key.key().name())),
        ("hash", text(&Hash::leaf(b"entry"))),
        ("path of a tile", b"tile/1/x001/234.p/5".to_vec()),
        ("size of a log", encode_size(300).into_bytes()),
        ("entry bundle", encode_bundle([b"one".as_slice(), b"", b"three"]).ok()?),
        ("path to a root", path),
        ("row of the index", vec![0, 1, 0, 7, 3, 255]),
        ("row of the index", vec![255; 128]),
        ("edge of a tree", 200u64.to_be_bytes().into_iter().chain(peaks).collect()),
        ("entry", [sized(&encoded).as_slice(), &opened].concat()),
        ("leaf", encoded),
        ("openings", opened),
        ("question", text(&asked)),
        ("cursor of a question", given_out(7, 3).into_bytes()),
        ("cursor of a question", "00".repeat(32).into_bytes()),
        ("time", [sized(b"Europe/Berlin").as_slice(), b"2026-07-01T12:00"].concat()),
        ("time", [sized(b"UTC").as_slice(), b"1700000000000"].concat()),
        (
            "spans of time",
            [&[2][..], &millis(1_774_000_000_000), &millis(1_775_000_000_000), b"Europe/Berlin"].concat(),
        ),
    ])
}
