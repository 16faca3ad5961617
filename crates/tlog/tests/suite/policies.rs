//! Policy files, and what they believe.

use portcullis_tlog::{
    KeyError, MAX_POLICY_BYTES, Mistake, NoteError, Policy, PolicyError, SignedCheckpoint, Untrusted,
};

use super::{AT, Log, cosigner, signer};

/// A checkpoint that these witnesses have cosigned.
fn cosigned_by(witnesses: &[u8]) -> SignedCheckpoint {
    let log = signer("log.example", 1);
    let mut signed = Log::of(5).checkpoint(&log);
    let checkpoint = signed.verify([log.key()]).unwrap().0.clone();
    for number in witnesses {
        signed.add(cosigner(*number).cosign(&checkpoint, AT)).unwrap();
    }
    signed
}

/// The policy in the document of C2SP: two of three X and one of three Y.
fn two_levels() -> String {
    let mut policy = format!("# an example\nlog {}\n\n", signer("log.example", 1).key());
    for (number, name) in (1..).zip(["X1", "X2", "X3", "Y1", "Y2", "Y3"]) {
        policy += &format!("\t witness  {name}\t{} \n", cosigner(number).key());
    }
    policy
        + "group X-witnesses 2 X1 X2 X3\n  # of other people\ngroup Y-witnesses any Y1 Y2 Y3\n\
        group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

#[test]
fn a_quorum_is_reached_through_groups_of_groups() {
    let policy = Policy::parse(two_levels().as_bytes()).unwrap();
    assert_eq!((policy.logs().count(), policy.witnesses().count()), (1, 6));
    for (witnesses, believed) in [
        (vec![1, 2, 4], true),
        (vec![1, 3, 6], true),
        (vec![1, 2, 3, 4, 5, 6], true),
        (vec![], false),
        (vec![1, 2, 3], false),
        (vec![1, 4, 5, 6], false),
        (vec![7, 8, 9], false),
    ] {
        let signed = cosigned_by(&witnesses);
        let known = witnesses.iter().filter(|number| **number <= 6).count();
        match policy.check(&signed) {
            Ok(trusted) => assert!(believed && trusted.witnesses.len() == known, "{witnesses:?}"),
            Err(error) => assert!(!believed && error == Untrusted::Quorum(known), "{witnesses:?}"),
        }
    }
}

#[test]
fn one_witness_or_none_can_be_the_quorum() {
    let log = signer("log.example", 1).key().to_string();
    let witness = cosigner(1).key().to_string();
    let one = Policy::parse(format!("log {log}\nwitness W {witness}\nquorum W\n").as_bytes()).unwrap();
    assert_eq!(one.check(&cosigned_by(&[])).unwrap_err(), Untrusted::Quorum(0));
    one.check(&cosigned_by(&[1])).unwrap();
    let none = Policy::parse(format!("quorum none\nlog {log} https://log.example/").as_bytes()).unwrap();
    none.check(&cosigned_by(&[])).unwrap();
    assert_eq!(none.logs().next().unwrap().url.as_deref(), Some("https://log.example/"));
}

#[test]
fn a_wrong_cosignature_of_a_known_witness_spoils_a_quorum_of_others() {
    let policy = Policy::parse(two_levels().as_bytes()).unwrap();
    let mut signed = cosigned_by(&[1, 2, 3, 4]);
    let mut forged = signed.signatures().last().unwrap().clone();
    forged.bytes[70] ^= 1;
    signed.add(forged).unwrap();
    assert!(matches!(policy.check(&signed), Err(Untrusted::Signature(NoteError::Forged(_)))));
}

#[test]
fn a_checkpoint_of_another_log_or_key_is_not_believed() {
    let policy = format!("log {}\nquorum none\n", signer("log.example", 1).key());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    for (origin, seed) in [("log.example", 2), ("other.example", 1), ("other.example", 2)] {
        let signed = Log::of(5).checkpoint(&signer(origin, seed));
        assert_eq!(policy.check(&signed).unwrap_err(), Untrusted::Signature(NoteError::Unknown));
    }
}

#[test]
fn names_are_octets_whatever_they_mean() {
    let witness = cosigner(1).key().to_string();
    let file =
        [b"witness K\xe2\x84\xaa\xff ".as_slice(), witness.as_bytes(), b"\nquorum K\xe2\x84\xaa\xff\n#\xff"].concat();
    Policy::parse(&file).unwrap();
    let file = [b"witness \xe2\x84\xaa ".as_slice(), witness.as_bytes(), b"\nquorum K\n"].concat();
    assert_eq!(Policy::parse(&file), Err(PolicyError { line: 2, mistake: Mistake::Undefined }));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let log = signer("log.example", 1).key().to_string();
    let [one, two] = [1, 2].map(|number| format!("witness W{number} {}\n", cosigner(number).key()));
    let same_key = one.replace("W1", "W3");
    let post_quantum = "log.example+00000000+BgAA";
    let cases = [
        (String::new(), 1, Mistake::Quorum),
        (one.clone(), 2, Mistake::Quorum),
        ("quorum none\nquorum none\n".to_owned(), 2, Mistake::Quorum),
        ("quorum W1\n".to_owned() + &one, 1, Mistake::Undefined),
        ("quorum none\r\n".to_owned(), 1, Mistake::Control),
        ("quorum none\u{7f}\n".to_owned(), 1, Mistake::Control),
        ("quorum\n".to_owned(), 1, Mistake::Line),
        ("quorum none none\n".to_owned(), 1, Mistake::Line),
        ("Quorum none\n".to_owned(), 1, Mistake::Line),
        ("log\n".to_owned(), 1, Mistake::Line),
        (format!("log {log} https://a.example #\n"), 1, Mistake::Line),
        (format!("log {log}\n\nlog {log}\n"), 3, Mistake::DuplicateKey),
        ("log log.example\n".to_owned(), 1, Mistake::Key(KeyError::Malformed)),
        (format!("log {post_quantum}\n"), 1, Mistake::Key(KeyError::Unsupported(6))),
        (format!("witness W {log}\n"), 1, Mistake::NotACosigner),
        (one.clone() + &same_key, 2, Mistake::DuplicateKey),
        (one.clone() + &two.replace("W2", "W1"), 2, Mistake::Taken),
        (one.replace("W1", "none"), 1, Mistake::Taken),
        (one.clone() + "group W1 any W1\n", 2, Mistake::Taken),
        (one.clone() + "group none any W1\n", 2, Mistake::Taken),
        (one.clone() + "group G any none\n", 2, Mistake::Undefined),
        (one.clone() + "group G any G\n", 2, Mistake::Undefined),
        (one.clone() + "group G any\n", 2, Mistake::Threshold),
        (one.clone() + "group G all\n", 2, Mistake::Threshold),
        (one.clone() + "group G 0 W1\n", 2, Mistake::Threshold),
        (one.clone() + "group G 2 W1\n", 2, Mistake::Threshold),
        (one.clone() + "group G -1 W1\n", 2, Mistake::Threshold),
        (one.clone() + "group G 99999999999999999999 W1\n", 2, Mistake::Threshold),
        (one.clone() + "group G 1 W1 W1\n", 2, Mistake::MemberTwice),
        (one.clone() + &two + "group G 1 W1 W2\ngroup H 1 W1\n", 4, Mistake::MemberTwice),
        (" ".repeat(MAX_POLICY_BYTES + 1), 1, Mistake::TooLarge),
    ];
    for (file, line, mistake) in cases {
        assert_eq!(Policy::parse(file.as_bytes()), Err(PolicyError { line, mistake }), "{file:.80}");
    }
}

#[test]
fn a_policy_may_have_as_many_of_each_as_c2sp_asks_for() {
    let mut file = String::new();
    for number in 0..32 {
        file += &format!("log {}\n", signer(&format!("log{number}.example"), number).key());
        file += &format!("witness W{number} {}\ngroup G{number} all W{number}\n", cosigner(number).key());
    }
    let groups: String = (0..31).map(|number| format!(" G{number}")).collect();
    let policy = Policy::parse(format!("{file}group all 16{groups}\nquorum all\n").as_bytes()).unwrap();
    assert_eq!((policy.logs().count(), policy.witnesses().count()), (32, 32));
}
