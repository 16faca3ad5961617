//! Benchmarks of the Merkle log. Prints medians over rounds in which what is compared takes turns.
//!
//! `cargo bench -p portcullis-tlog --bench log`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and has failed when it panics")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_tlog::{Edge, Hash, Prover, TILE_WIDTH, Tile};

/// How often what is compared takes turns.
const ROUNDS: usize = 5;
/// Leaves of the log.
const LEAVES: usize = 300_000;
/// Bytes of a leaf; those of the audit log have about as many.
const LEAF_BYTES: usize = 350;
/// Proofs a round.
const PROOFS: usize = 100_000;

type Tiles = BTreeMap<(u8, u64), Vec<u8>>;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time of this thread, in seconds; the kernel brings it up to date when the thread yields.
fn cpu_seconds() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// CPU time that `work` takes, in seconds.
fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = cpu_seconds();
    black_box(work());
    cpu_seconds() - start
}

fn log(entries: &[u8]) -> (Edge, Tiles) {
    let (mut edge, mut tiles) = (Edge::default(), Tiles::new());
    for span in edge.append(entries.chunks(LEAF_BYTES).map(Hash::leaf)) {
        tiles.entry((span.level, span.index)).or_default().extend(span.bytes);
    }
    (edge, tiles)
}

/// Hashes all entries, and compares the tiles and the root that they lead to with the stored ones.
fn verify(entries: &[u8], stored: &Edge, tiles: &Tiles) {
    let mut edge = Edge::default();
    for batch in entries.chunks(LEAF_BYTES * usize::from(TILE_WIDTH)) {
        for span in edge.append(batch.chunks(LEAF_BYTES).map(Hash::leaf)) {
            let start = usize::from(span.offset) * Hash::BYTES;
            assert!(tiles[&(span.level, span.index)][start..].starts_with(&span.bytes));
        }
    }
    assert_eq!(edge.head(), stored.head());
}

/// What no verification can do without: SHA-256 over every entry, once and without a prefix.
fn hash_only(entries: &[u8]) {
    for entry in entries.chunks(LEAF_BYTES) {
        black_box(digest(&SHA256, entry));
    }
}

/// Proves that leaves which follow each other are in the log, and verifies it.
fn prove(entries: &[u8], edge: &Edge, tiles: &Tiles) -> (f64, f64) {
    let read = |tile: Tile| Ok::<_, Infallible>(tiles[&(tile.level, tile.index)].clone());
    let mut prover = Prover::new(LEAVES as u64, read).unwrap();
    let mut paths = Vec::with_capacity(PROOFS);
    let proving = seconds(|| paths.extend((0..PROOFS as u64).map(|index| prover.inclusion(index).unwrap())));
    let leaves: Vec<Hash> = entries.chunks(LEAF_BYTES).take(PROOFS).map(Hash::leaf).collect();
    let head = edge.head();
    let verifying = seconds(|| {
        for ((index, leaf), path) in (0..).zip(&leaves).zip(&paths) {
            head.verify_inclusion(index, leaf, path).unwrap();
        }
    });
    (proving, verifying)
}

fn main() {
    let entries: Vec<u8> = (0..LEAVES * LEAF_BYTES).map(|at| (at * at / 7) as u8).collect();
    let (edge, tiles) = log(&entries);
    let (mut of_verify, mut of_hash, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_proving, mut of_verifying) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (whole, hashing) = (seconds(|| verify(&entries, &edge, &tiles)), seconds(|| hash_only(&entries)));
        of_verify.push(LEAVES as f64 / whole);
        of_hash.push(LEAVES as f64 / hashing);
        ratios.push(hashing / whole);
        let (proving, verifying) = prove(&entries, &edge, &tiles);
        of_proving.push(PROOFS as f64 / proving);
        of_verifying.push(PROOFS as f64 / verifying);
    }
    println!("log, leaves of {LEAF_BYTES} B verified:     {:9.0}/s", median(of_verify));
    println!("log, SHA-256 over each alone:     {:9.0}/s", median(of_hash));
    println!("log, verification to SHA-256:     {:9.2}", median(ratios));
    println!("log, inclusions proved in order:  {:9.0}/s", median(of_proving));
    println!("log, inclusions verified:         {:9.0}/s", median(of_verifying));
}
