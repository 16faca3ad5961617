//! Keys, signatures, and whose they are.

use portcullis_tlog::{
    Checkpoint, CheckpointError, KeyError, KeyName, MAX_SIGNATURES, MAX_SIZE, Note, NoteError, SignatureType,
    SignedCheckpoint, TreeHead, VerifierKey,
};

use super::{AT, Log, cosigner, leaf, name, signer};

const TEXT: &str = "a text\n";

#[test]
fn signatures_of_unknown_keys_are_kept_and_passed_over() {
    let (known, unknown) = (signer("log.example", 1), signer("log.example", 2));
    let mut note = Note::new(TEXT.to_owned(), unknown.sign(TEXT)).unwrap();
    assert_eq!(note.verify([known.key()]), Err(NoteError::Unknown));
    note.add(known.sign(TEXT)).unwrap();
    // Twenty kilobytes of some later algorithm, under our name too.
    let later = format!("— log.example {}\n", "AAAA".repeat(5000));
    let note = Note::parse(format!("{note}{later}").as_bytes()).unwrap();
    assert_eq!(note.signatures().len(), 3);
    assert_eq!(note.verify([known.key()]).unwrap().len(), 1);
    assert!(note.to_string().ends_with(&later));
}

#[test]
fn one_wrong_signature_of_a_known_key_spoils_the_note() {
    let (good, other) = (signer("good.example", 1), signer("other.example", 2));
    let mut note = Note::new(TEXT.to_owned(), good.sign(TEXT)).unwrap();
    note.add(other.sign("another text\n")).unwrap();
    assert_eq!(note.verify([good.key(), other.key()]), Err(NoteError::Forged(name("other.example"))));
    note.verify([good.key()]).unwrap();
    // The same key, once right and once wrong.
    let twice = format!("{note}{}\n", other.sign(TEXT));
    let twice = Note::parse(twice.as_bytes()).unwrap();
    assert!(matches!(twice.verify([other.key()]), Err(NoteError::Forged(_))));
}

#[test]
fn a_key_that_signs_again_replaces_its_signature() {
    let (log, witness) = (signer("log.example", 1), cosigner(1));
    let mut signed = Log::of(5).checkpoint(&log);
    let checkpoint = signed.verify([log.key()]).unwrap().0.clone();
    for at in [AT, AT + 1] {
        signed.add(witness.cosign(&checkpoint, at)).unwrap();
    }
    assert_eq!(signed.signatures().len(), 2);
    assert_eq!(signed.verify_cosignatures([witness.key()]).unwrap()[0].at, Some(AT + 1));
}

#[test]
fn a_key_does_not_pass_for_one_of_another_name_or_kind() {
    let signer = signer("log.example", 1);
    let note = Note::new(TEXT.to_owned(), signer.sign(TEXT)).unwrap();
    for (name, kind) in [("log2.example", SignatureType::Ed25519), ("log.example", SignatureType::Cosignature)] {
        let other = VerifierKey::new(name.parse().unwrap(), kind, *signer.key().public());
        assert_ne!(other.id(), signer.key().id());
        assert_eq!(note.verify([&other]), Err(NoteError::Unknown));
    }
}

#[test]
fn a_checkpoint_is_believed_by_a_key_of_its_own_origin_only() {
    let (ours, theirs) = (signer("ours.example", 1), signer("theirs.example", 2));
    let forged = Checkpoint::new(theirs.key().name(), Log::of(3).head());
    let signed = SignedCheckpoint::sign(forged, &ours).unwrap();
    assert_eq!(signed.verify([ours.key(), theirs.key()]), Err(NoteError::Unknown));
}

#[test]
fn a_rotated_key_signs_beside_the_old_one() {
    let (old, new) = (signer("log.example", 1), signer("log.example", 2));
    let mut signed = Log::of(3).checkpoint(&old);
    let text = signed.verify([old.key()]).unwrap().0.to_string();
    signed.add(new.sign(&text)).unwrap();
    for keys in [vec![old.key()], vec![new.key()], vec![new.key(), old.key()]] {
        assert_eq!(signed.verify(keys.clone()).unwrap().1.len(), keys.len());
    }
}

#[test]
fn a_cosignature_is_for_one_checkpoint_at_one_time() {
    let (log, witness) = (signer("log.example", 1), cosigner(1));
    let signed = Log::of(5).checkpoint(&log);
    let checkpoint = signed.verify([log.key()]).unwrap().0;
    let good = witness.cosign(checkpoint, AT);
    let mut another_time = good.clone();
    another_time.bytes[7] ^= 1;
    let mut after_all_time = good.clone();
    after_all_time.bytes[0] = 0x80;
    let mut short = good.clone();
    short.bytes.truncate(7);
    let of_another = witness.cosign(&Checkpoint::new(log.key().name(), Log::of(6).head()), AT);
    for bad in [another_time, after_all_time, short, of_another, witness.cosign(checkpoint, u64::MAX)] {
        let mut signed = signed.clone();
        signed.add(bad).unwrap();
        assert!(matches!(signed.verify_cosignatures([witness.key()]), Err(NoteError::Forged(_))));
    }
    let mut signed = signed.clone();
    assert_eq!(signed.verify_cosignatures([witness.key()]), Ok(Vec::new()));
    signed.add(good).unwrap();
    assert_eq!(signed.verify_cosignatures([witness.key()]).unwrap()[0].at, Some(AT));
}

#[test]
fn a_key_has_one_spelling() {
    let key = signer("log.example", 1).key().clone();
    let vkey = key.to_string();
    assert_eq!(vkey.parse::<VerifierKey>().unwrap(), key);
    let (start, base64) = vkey.rsplit_once('+').unwrap();
    let other_id = format!("log.example+00000000+{base64}");
    let upper = format!("{}+{base64}", start.to_uppercase().replace("LOG.EXAMPLE", "log.example"));
    let cases = [
        (other_id.as_str(), KeyError::Id),
        (upper.as_str(), KeyError::Id),
        ("log.example", KeyError::Malformed),
        ("log.example+00000000", KeyError::Malformed),
        ("log.example+00000000+", KeyError::Malformed),
        ("log.example+00000000+AQAA", KeyError::Malformed),
        ("log.example+00000000+AgAA", KeyError::Unsupported(2)),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    }
    assert_eq!(
        format!("log example{}", vkey.strip_prefix("log.example").unwrap()).parse::<VerifierKey>(),
        Err(KeyError::Name)
    );
    for name in ["", "a b", "a\u{a0}b", "a\u{2003}b", "a+b", "a\nb", "a\tb", "a\u{1}b", "a\u{85}b"] {
        assert!(name.parse::<KeyName>().is_err(), "{name:?}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let good = Note::new(TEXT.to_owned(), signer("log.example", 1).sign(TEXT)).unwrap().to_string();
    let line = good.lines().last().unwrap();
    let cases = [
        String::new(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}{line}\n"),
        format!("{TEXT}\n{line}"),
        format!("{TEXT}\n{line}\n\n"),
        format!("{TEXT}\n{line}\nx\n"),
        format!("{TEXT}\n{line} \n"),
        format!("{TEXT}\n {line}\n"),
        format!("{TEXT}\n{}\n", line.replace('—', "-")),
        format!("{TEXT}\n{}\n", line.replace("log.example", "log.example+1")),
        format!("{TEXT}\n{}\n", line.replace('=', "")),
        format!("{TEXT}\n— log.example AAAAAA==\n"),
        format!("{TEXT}\n— log.example AAAA\n"),
        format!("a\ttab\n\n{line}\n"),
        format!("a\r\n\n{line}\n"),
        format!("{TEXT}\n{}", format!("{line}\n").repeat(MAX_SIGNATURES + 1)),
    ];
    for note in cases {
        assert!(Note::parse(note.as_bytes()).is_err(), "{note:?}");
    }
    assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Text));
    for text in ["", "no newline", "a\0\n"] {
        assert!(Note::new(text.to_owned(), signer("log.example", 1).sign(text)).is_err(), "{text:?}");
    }
}

#[test]
fn a_note_takes_as_many_signatures_as_can_be_read_again() {
    let mut note = Note::new(TEXT.to_owned(), signer("log.example", 0).sign(TEXT)).unwrap();
    for seed in 1..MAX_SIGNATURES as u8 {
        note.add(signer("log.example", seed).sign(TEXT)).unwrap();
    }
    assert_eq!(note.add(signer("log.example", 200).sign(TEXT)), Err(NoteError::TooLarge));
    note.add(signer("log.example", 5).sign(TEXT)).unwrap();
    assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
    let mut huge = signer("log.example", 1).sign(TEXT);
    huge.bytes = vec![0; 400 * 1024];
    assert_eq!(note.add(huge), Err(NoteError::TooLarge));
    assert_eq!(note.signatures().len(), MAX_SIGNATURES);
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = leaf(0);
    let good = format!("log.example\n{MAX_SIZE}\n{root}\nan extension\n");
    assert_eq!(good.parse::<Checkpoint>().unwrap().to_string(), good);
    assert_eq!(good.parse::<Checkpoint>().unwrap().extensions(), ["an extension"]);
    let cases = [
        String::new(),
        "\n".to_owned(),
        format!("log.example\n1\n{root}"),
        "log.example\n1\n".to_owned(),
        format!("\n1\n{root}\n"),
        format!("log.example\n\n{root}\n"),
        format!("log.example\n01\n{root}\n"),
        format!("log.example\n+1\n{root}\n"),
        format!("log.example\n{}\n{root}\n", MAX_SIZE + 1),
        "log.example\n1\nAAAA\n".to_owned(),
        format!("log.example\n1\n{root}\n\n"),
        format!("log.example\n1\n{root}\n\nan extension\n"),
    ];
    for text in cases {
        assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
        if let Ok(note) = Note::new(text.clone(), signer("log.example", 1).sign(&text)) {
            let parsed = SignedCheckpoint::parse(note.to_string().as_bytes());
            assert!(matches!(parsed, Err(CheckpointError::Text(_))), "{text:?}");
        }
    }
    let empty = Checkpoint::new(&name("log.example"), TreeHead::EMPTY);
    assert_eq!(empty.to_string(), "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
}
