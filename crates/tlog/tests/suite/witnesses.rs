//! A log and its witnesses.

use portcullis_tlog::witness::{
    AddCheckpoint, Refusal, checkpoint_path, decode_size, encode_cosignatures, encode_size,
};
use portcullis_tlog::{MAX_PATH, MAX_SIZE, NoteError, ProofError, TreeHead};

use super::{AT, Log, cosigner, leaf, signer};

/// What a log sends whose witness has seen `old` of its `size` leaves last.
fn request(old: u64, size: u64) -> AddCheckpoint {
    let log = Log::of(size);
    let proof = log.prover(size).consistency(old).unwrap();
    AddCheckpoint { old_size: old, proof, checkpoint: log.checkpoint(&signer("log.example", 1)) }
}

fn head(size: u64) -> TreeHead {
    Log::of(size).head()
}

#[test]
fn a_witness_follows_a_log_from_its_first_checkpoint_on() {
    let (log, witness) = (signer("log.example", 1), cosigner(1));
    let mut last = TreeHead::EMPTY;
    for size in [0, 1, 7, 7, 300, 1000] {
        let request = request(last.size, size);
        let read = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!(read, request);
        let checkpoint = read.check([log.key()], &last).unwrap();
        let answer = encode_cosignatures(&[witness.cosign(checkpoint, AT), cosigner(2).cosign(checkpoint, AT)]);
        last = checkpoint.head();

        let mut signed = request.checkpoint;
        signed.add_lines(answer.as_bytes(), [witness.key()]).unwrap();
        assert_eq!(signed.signatures().len(), 2, "the one that nobody asked for is left out");
        assert_eq!(signed.verify_cosignatures([witness.key()]).unwrap()[0].at, Some(AT));
    }
}

#[test]
fn a_witness_refuses_what_does_not_follow() {
    let log = signer("log.example", 1);
    let refusal = |request: &AddCheckpoint, last: &TreeHead| {
        let refusal = request.check([log.key()], last).unwrap_err();
        (refusal.status(), refusal)
    };
    assert_eq!(refusal(&request(7, 1000), &head(8)), (409, Refusal::Conflict(8)));
    assert_eq!(refusal(&request(0, 1000), &head(8)), (409, Refusal::Conflict(8)));
    assert_eq!(refusal(&AddCheckpoint { old_size: 9, ..request(7, 8) }, &head(9)), (400, Refusal::Older));

    let forked = TreeHead { size: 7, root: leaf(0) };
    assert_eq!(refusal(&request(7, 1000), &forked), (422, Refusal::Inconsistent(ProofError::Root)));
    assert_eq!(refusal(&request(7, 7), &forked), (422, Refusal::Inconsistent(ProofError::Root)));
    let without = AddCheckpoint { proof: Vec::new(), ..request(7, 1000) };
    assert_eq!(refusal(&without, &head(7)), (422, Refusal::Inconsistent(ProofError::Length)));
    let superfluous = AddCheckpoint { proof: vec![leaf(0)], ..request(0, 1000) };
    assert_eq!(refusal(&superfluous, &TreeHead::EMPTY), (422, Refusal::Inconsistent(ProofError::Length)));
    let proof = request(7, 1000).proof;
    assert_eq!(refusal(&AddCheckpoint { proof, ..request(8, 1000) }, &head(8)).0, 422);
}

#[test]
fn a_witness_refuses_a_tree_without_leaves_that_has_a_root() {
    let log = signer("log.example", 1);
    let checkpoint = portcullis_tlog::Checkpoint::new(log.key().name(), TreeHead { size: 0, root: leaf(0) });
    let checkpoint = portcullis_tlog::SignedCheckpoint::sign(checkpoint, &log).unwrap();
    let request = AddCheckpoint { old_size: 0, proof: Vec::new(), checkpoint };
    assert_eq!(request.check([log.key()], &TreeHead::EMPTY).unwrap_err().status(), 422);
}

#[test]
fn a_witness_refuses_what_the_log_has_not_signed() {
    let other = signer("log.example", 2);
    let refusal = request(0, 5).check([other.key()], &TreeHead::EMPTY).unwrap_err();
    assert_eq!((refusal.status(), refusal), (403, Refusal::Signature(NoteError::Unknown)));
    let mut request = request(0, 5);
    let mut forged = other.sign("something else\n");
    request.checkpoint.add(forged.clone()).unwrap();
    let log = signer("log.example", 1);
    request.check([log.key()], &TreeHead::EMPTY).unwrap();
    forged.id = log.key().id();
    request.checkpoint.add(forged).unwrap();
    assert_eq!(request.check([log.key()], &TreeHead::EMPTY).unwrap_err().status(), 403);
}

#[test]
fn an_answer_of_strangers_or_with_a_wrong_cosignature_adds_nothing() {
    let (log, witness) = (signer("log.example", 1), cosigner(1));
    let signed = request(0, 5).checkpoint;
    let checkpoint = signed.verify([log.key()]).unwrap().0;
    let good = witness.cosign(checkpoint, AT);
    let mut wrong = cosigner(2).cosign(checkpoint, AT);
    wrong.bytes[20] ^= 1;
    let keys = [witness.key().clone(), cosigner(2).key().clone()];
    let cases = [
        (encode_cosignatures(&[cosigner(3).cosign(checkpoint, AT)]), NoteError::Unknown),
        (encode_cosignatures(&[good.clone(), wrong.clone()]), NoteError::Forged(wrong.name.clone())),
        (String::new(), NoteError::Signatures),
        ("busy\n".to_owned(), NoteError::Signatures),
        (good.to_string(), NoteError::Signatures),
    ];
    for (answer, error) in cases {
        let mut with = signed.clone();
        assert_eq!(with.add_lines(answer.as_bytes(), &keys), Err(error));
        assert_eq!(with, signed);
    }
    let mut with = signed.clone();
    assert_eq!(with.add_lines(b"\xff\n", &keys), Err(NoteError::Signatures));
}

#[test]
fn what_is_no_request_is_refused() {
    let good = request(7, 1000).to_string();
    let (lines, checkpoint) = good.split_once("\n\n").unwrap();
    let hash = leaf(0).to_string();
    let cases = [
        String::new(),
        lines.to_owned(),
        format!("{lines}\n{checkpoint}"),
        format!("{lines}\n\n\n{checkpoint}"),
        format!("\n{lines}\n\n{checkpoint}"),
        good.replacen("old 7", "old 07", 1),
        good.replacen("old 7", "old  7", 1),
        good.replacen("old 7", "old -7", 1),
        good.replacen("old 7", "new 7", 1),
        good.replacen("old 7\n", "", 1),
        good.replacen("old 7\n", "old 7\r\n", 1),
        good.replacen("old 7\n", "old 7\nAAAA\n", 1),
        format!("old 7\n{}\n{checkpoint}", format!("{hash}\n").repeat(MAX_PATH + 1)),
    ];
    for body in cases {
        assert!(AddCheckpoint::parse(body.as_bytes()).is_err(), "{body:?}");
    }
    AddCheckpoint::parse(format!("old 7\n{}\n{checkpoint}", format!("{hash}\n").repeat(MAX_PATH)).as_bytes()).unwrap();
}

#[test]
fn a_conflict_says_the_size_in_one_spelling() {
    assert_eq!(decode_size(encode_size(20_852_014).as_bytes()), Some(20_852_014));
    assert_eq!(decode_size(encode_size(MAX_SIZE).as_bytes()), Some(MAX_SIZE));
    for body in ["", "\n", "1", "01\n", "1\n\n", "1\r\n", " 1\n", "9223372036854775808\n"] {
        assert_eq!(decode_size(body.as_bytes()), None, "{body:?}");
    }
}

#[test]
fn a_monitor_finds_the_checkpoint_by_the_hash_of_the_origin() {
    let path = checkpoint_path("");
    assert_eq!(path, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/checkpoint");
}
