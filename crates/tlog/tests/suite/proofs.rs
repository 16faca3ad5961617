//! What a proof must not prove, and proofs to take away.

use portcullis_tlog::{Hash, LogProof, MAX_PATH, MAX_SIZE, Policy, ProofError, TreeHead, Unproven, Untrusted};

use super::{AT, Log, cosigner, leaf, signer};

#[test]
fn every_leaf_of_every_tree_is_proved_and_no_other() {
    let log = Log::of(70);
    for size in 1..=70 {
        let head = log.prover(size).head().unwrap();
        for index in 0..size {
            let path = log.prover(size).inclusion(index).unwrap();
            for other in 0..=size {
                let proved = head.verify_inclusion(other, &leaf(index), &path);
                assert_eq!(proved.is_ok(), other == index, "{index} as {other} of {size}");
            }
            assert_eq!(head.verify_inclusion(index, &leaf(index + 1), &path), Err(ProofError::Root));
        }
    }
}

#[test]
fn every_old_tree_is_proved_and_no_other() {
    let log = Log::of(70);
    let heads: Vec<TreeHead> = (0..=70).map(|size| log.prover(size).head().unwrap()).collect();
    for head in &heads {
        let size = head.size;
        for old in heads.iter().filter(|old| old.size <= size) {
            let path = log.prover(size).consistency(old.size).unwrap();
            head.verify_consistency(old, &path).unwrap();
            let forked = TreeHead { root: leaf(1000), ..*old };
            head.verify_consistency(&forked, &path).unwrap_err();
            let to_itself = TreeHead { root: leaf(1000), ..*head }.verify_consistency(&forked, &path).is_ok();
            assert_eq!(to_itself, old.size == size && size > 0, "{} to {size}", old.size);
            for other in heads.iter().filter(|other| other.size != old.size) {
                // The tree without leaves is the beginning of any tree, and any tree is that of itself.
                let trivial = path.is_empty() && (other.size == 0 || other.size == size);
                assert_eq!(head.verify_consistency(other, &path).is_ok(), trivial, "{} to {size}", other.size);
            }
        }
    }
}

#[test]
fn a_proof_with_a_hash_changed_missing_or_added_proves_nothing() {
    let log = Log::of(1000);
    let (head, old) = (log.head(), log.prover(600).head().unwrap());
    let inclusion = log.prover(1000).inclusion(600).unwrap();
    let consistency = log.prover(1000).consistency(600).unwrap();
    let includes = |path: &[Hash]| head.verify_inclusion(600, &leaf(600), path);
    let follows = |path: &[Hash]| head.verify_consistency(&old, path);
    assert_eq!((includes(&inclusion), follows(&consistency)), (Ok(()), Ok(())));
    for (path, verify) in [(inclusion, &includes as &dyn Fn(&[Hash]) -> _), (consistency, &follows)] {
        for at in 0..path.len() {
            for bit in 0..256 {
                let mut changed = path.clone();
                changed[at].0[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify(&changed), Err(ProofError::Root));
            }
            let mut missing = path.clone();
            missing.remove(at);
            verify(&missing).unwrap_err();
            let mut added = path.clone();
            added.insert(at, path[at]);
            verify(&added).unwrap_err();
        }
        assert_eq!(verify(&[]), Err(ProofError::Length));
        assert_eq!(verify(&[path, vec![leaf(0)]].concat()), Err(ProofError::Length));
    }
}

#[test]
fn heads_of_any_size_are_judged_without_panic() {
    let path = vec![leaf(0); MAX_PATH + 2];
    for size in [0, 1, 2, MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1, u64::MAX] {
        let head = TreeHead { size, root: leaf(1) };
        for other in [0, 1, 2, MAX_SIZE / 2, MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1, u64::MAX] {
            for length in [0, 1, MAX_PATH - 1, MAX_PATH, MAX_PATH + 1, MAX_PATH + 2] {
                head.verify_inclusion(other, &leaf(0), &path[..length]).unwrap_err();
                let old = TreeHead { size: other, root: leaf(2) };
                head.verify_consistency(&old, &path[..length]).unwrap_err();
            }
        }
    }
}

#[test]
fn no_tree_without_leaves_has_a_root_of_its_own() {
    let made_up = TreeHead { size: 0, root: leaf(0) };
    made_up.verify_consistency(&made_up, &[]).unwrap_err();
    made_up.verify_consistency(&TreeHead::EMPTY, &[]).unwrap_err();
    TreeHead::EMPTY.verify_consistency(&made_up, &[]).unwrap_err();
    Log::of(3).head().verify_consistency(&made_up, &[]).unwrap_err();
    TreeHead::EMPTY.verify_consistency(&TreeHead::EMPTY, &[]).unwrap();
}

/// A proof about leaf 600 of 1000, and a policy that believes it.
fn proof() -> (LogProof, Policy) {
    let (log, signer, witness) = (Log::of(1000), signer("log.example", 1), cosigner(1));
    let mut checkpoint = log.checkpoint(&signer);
    let statement = checkpoint.verify([signer.key()]).unwrap().0.clone();
    checkpoint.add(witness.cosign(&statement, AT)).unwrap();
    let path = log.prover(1000).inclusion(600).unwrap();
    let policy = format!("log {}\nwitness W {}\nquorum W\n", signer.key(), witness.key());
    (LogProof { extra: None, index: 600, path, checkpoint }, Policy::parse(policy.as_bytes()).unwrap())
}

#[test]
fn a_proof_convinces_whoever_has_the_leaf_and_the_policy() {
    let (proof, policy) = proof();
    let read = LogProof::parse(proof.to_string().as_bytes()).unwrap();
    assert_eq!(read, proof);
    let trusted = read.verify(&leaf(600), &policy).unwrap();
    assert_eq!((trusted.checkpoint.head().size, trusted.witnesses[0].at), (1000, Some(AT)));
    assert_eq!(read.verify(&leaf(601), &policy), Err(Unproven::Inclusion(ProofError::Root)));
    let stranger = Policy::parse(b"quorum none\n").unwrap();
    assert!(matches!(read.verify(&leaf(600), &stranger), Err(Unproven::Untrusted(Untrusted::Signature(_)))));
}

#[test]
fn a_proof_with_any_octet_changed_or_missing_at_the_end_does_not_convince() {
    let (proof, policy) = proof();
    let proof = proof.to_string().into_bytes();
    let convinces = |proof: &[u8]| LogProof::parse(proof).is_ok_and(|it| it.verify(&leaf(600), &policy).is_ok());
    assert!(convinces(&proof));
    for at in 0..proof.len() {
        for flip in [1, 0x20] {
            let mut changed = proof.clone();
            changed[at] ^= flip;
            assert!(!convinces(&changed), "octet {at}");
        }
        assert!(!convinces(&proof[..at]), "end at {at}");
    }
}

#[test]
fn what_stands_beside_a_proof_is_kept() {
    let (plain, policy) = proof();
    for extra in [vec![], b"leaf".to_vec(), vec![0; 5000]] {
        let proof = LogProof { extra: Some(extra), ..plain.clone() };
        let read = LogProof::parse(proof.to_string().as_bytes()).unwrap();
        assert_eq!(read, proof);
        read.verify(&leaf(600), &policy).unwrap();
    }
}
