//! What the audit log is made of, and what other people's logs and witnesses say: notes, checkpoints, proofs, tiles, and
//! the leaves of our own.

use aws_lc_rs::signature::Ed25519KeyPair;
use portcullis_core::time::Millis;
use portcullis_store::audit::{Leaf, Opening, Openings, Outcome, Place};
use portcullis_tlog::witness::{AddCheckpoint, decode_size, encode_size};
use portcullis_tlog::{
    Checkpoint, Cosigner, Edge, Hash, KeyName, LogProof, Note, Policy, Prover, Resource, Signature, SignedCheckpoint,
    Signer, Tile, TreeHead, VerifierKey, decode_bundle, encode_bundle,
};
use uuid::Uuid;

use super::Decoder;

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
];

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

fn openings(bytes: &[u8]) -> bool {
    let Ok(openings) = serde_json::from_slice::<Openings>(bytes) else { return false };
    let again = serde_json::to_vec(&openings).unwrap_or_default();
    let again = serde_json::from_slice::<Openings>(&again);
    assert!(again.is_ok_and(|again| again.root() == openings.root()));
    true
}

pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    made().unwrap_or_default()
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
        ("leaf", leaf.encode().ok()?),
        ("openings", serde_json::to_vec(&openings).ok()?),
    ])
}
