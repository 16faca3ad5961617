//! Strangers' bytes: whatever is parsed, nothing panics, and what is taken is written as the same bytes again.

use portcullis_tlog::witness::{AddCheckpoint, decode_size, encode_size};
use portcullis_tlog::{
    Checkpoint, Hash, KeyName, LogProof, Note, Policy, Resource, Signature, SignedCheckpoint, TreeHead, VerifierKey,
    decode_bundle, encode_bundle,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{AT, Log, cosigner, leaf, signer};

/// Gives `bytes` to every parser. Says which of them took it.
fn parse(bytes: &[u8]) -> Vec<&'static str> {
    let mut taken = Vec::new();
    let mut same = |by: &'static str, again: Option<Vec<u8>>| {
        if let Some(again) = again {
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(bytes), "{by}");
            taken.push(by);
        }
    };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let again = |it: &dyn ToString| it.to_string().into_bytes();
    same("note", Note::parse(bytes).ok().map(|it| again(&it)));
    same("signed checkpoint", SignedCheckpoint::parse(bytes).ok().map(|it| again(&it)));
    same("request", AddCheckpoint::parse(bytes).ok().map(|it| again(&it)));
    same("proof", LogProof::parse(bytes).ok().map(|it| again(&it)));
    same("checkpoint", text.parse::<Checkpoint>().ok().map(|it| again(&it)));
    same("signature", text.parse::<Signature>().ok().map(|it| again(&it)));
    same("key", text.parse::<VerifierKey>().ok().map(|it| again(&it)));
    same("name", text.parse::<KeyName>().ok().map(|it| again(&it)));
    same("hash", text.parse::<Hash>().ok().map(|it| again(&it)));
    same("path", text.parse::<Resource>().ok().map(|it| again(&it)));
    same("size", decode_size(bytes).map(|it| encode_size(it).into_bytes()));
    same("bundle", decode_bundle(bytes).ok().map(|it| encode_bundle(it).unwrap()));
    if Policy::parse(bytes).is_ok() {
        taken.push("policy");
    }
    taken
}

/// One good input for each parser, in the order of [`parse`].
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let (log, key, witness) = (Log::of(300), signer("log.example/é", 1), cosigner(1));
    let mut checkpoint = log.checkpoint(&key);
    let statement = checkpoint.verify([key.key()]).unwrap().0.clone();
    checkpoint.add(witness.cosign(&statement, AT)).unwrap();
    let mut prover = log.prover(300);
    let (proof, path) = (prover.consistency(7).unwrap(), prover.inclusion(7).unwrap());
    let request = AddCheckpoint { old_size: 7, proof, checkpoint: checkpoint.clone() };
    let offline = LogProof { extra: Some(b"extra".to_vec()), index: 7, path, checkpoint: checkpoint.clone() };
    let policy =
        format!("log {}\nwitness W {} https://w.example\ngroup G 1 W\nquorum G\n# end\n", key.key(), witness.key());
    let bundle = encode_bundle([b"one".as_slice(), b"", b"three"]).unwrap();
    let text = |name, it: &dyn ToString| (name, it.to_string().into_bytes());
    vec![
        text("note", &Note::new("a\n\nb\n".to_owned(), key.sign("a\n\nb\n")).unwrap()),
        text("signed checkpoint", &checkpoint),
        text("request", &request),
        text("proof", &offline),
        text("checkpoint", &format!("{statement}more\n")),
        text("signature", &key.sign("a\n")),
        text("key", key.key()),
        text("name", key.key().name()),
        text("hash", &leaf(0)),
        text("path", &"tile/1/x001/234.p/5"),
        text("size", &encode_size(300)),
        ("bundle", bundle),
        text("policy", &policy),
    ]
}

/// Pieces that mean something in one of the formats.
const PIECES: [&[u8]; 16] = [
    b"\n",
    b"\n\n",
    b" ",
    b"+",
    b"=",
    b"0",
    b"9",
    b"AAAA",
    b"\t",
    b"\r",
    b"\0",
    b"\xff",
    "— ".as_bytes(),
    "\u{a0}".as_bytes(),
    b"old ",
    b"extra ",
];

fn edited() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..4_u8, any::<Index>(), any::<Index>(), any::<u8>());
    (prop::sample::select(seeds()), prop::collection::vec(edit, 0..5)).prop_map(|((_, mut bytes), edits)| {
        for (how, at, other, octet) in edits {
            let at = at.index(bytes.len() + 1);
            match how {
                0 if at < bytes.len() => bytes[at] = octet,
                1 => drop(bytes.splice(at..at, PIECES[other.index(PIECES.len())].iter().copied())),
                2 => drop(bytes.drain(at..(at + usize::from(octet)).min(bytes.len()))),
                _ => {
                    let from = other.index(bytes.len() + 1);
                    let piece = bytes[from..(from + usize::from(octet)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    })
}

#[test]
fn every_parser_takes_its_seed() {
    for (name, bytes) in seeds() {
        assert!(parse(&bytes).contains(&name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn edited_input_is_refused_or_means_what_it_says(bytes in edited()) {
        parse(&bytes);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        parse(&bytes);
    }

    #[test]
    fn no_head_and_proof_panic(
        size: u64,
        other: u64,
        shifts in (0..64_u32, 0..64_u32),
        path in prop::collection::vec(0..3_u64, 0..70),
    ) {
        let path: Vec<Hash> = path.into_iter().map(leaf).collect();
        let head = TreeHead { size: size >> shifts.0, root: leaf(0) };
        let other = TreeHead { size: other >> shifts.1, root: leaf(1) };
        prop_assert!(head.verify_inclusion(other.size, &leaf(0), &path).is_err() || head.size == 1);
        prop_assert!(head.verify_consistency(&other, &path).is_err());
    }
}
