//! Bytes that a peer may send: cut short, continued, changed. None may panic, none may decode to something that encodes
//! to other bytes.

use portcullis_core::wire::notify::MOST_MESSAGES;
use proptest::prelude::*;

use super::*;

fn known() -> impl Iterator<Item = (Vector, Codec)> {
    vectors().into_iter().map(|vector| {
        let codec = vector.codec();
        (vector, codec)
    })
}

#[test]
fn a_body_cut_short_at_any_byte_is_refused() {
    for (vector, codec) in known() {
        for length in 0..vector.bytes.len() {
            match codec(&vector.bytes[..length]) {
                Err(_) => {}
                // A batch may end after any of its messages.
                Ok(_) if vector.group == "notify" && vector.name.starts_with("batch") => {}
                Ok(_) => panic!("{}: {} decodes from {length} bytes", vector.group, vector.name),
            }
        }
    }
}

#[test]
fn a_body_followed_by_any_byte_is_refused() {
    for (vector, codec) in known() {
        for byte in [0, 1, 0x40, 0xff] {
            let longer = [vector.bytes.as_slice(), &[byte]].concat();
            assert!(codec(&longer).is_err(), "{}: {}", vector.group, vector.name);
        }
    }
}

#[test]
fn a_batch_is_refused_as_a_whole_when_one_element_is_malformed() {
    let batch = vector("notify", "batch: proposal, commit").bytes;
    let single = vector("notify", "application+frank").bytes;
    assert_eq!(decode_batch(&[batch.as_slice(), &single].concat()).unwrap().len(), 3);
    assert!(decode_batch(&[batch.as_slice(), &single[..single.len() - 1]].concat()).is_err());
    assert!(decode_batch(&[&single[..1], &batch].concat()).is_err());
}

#[test]
fn a_length_that_is_not_minimal_is_refused() {
    assert!(ParticipantList::decode(&[0]).is_ok());
    assert!(ParticipantList::decode(&[0x40, 0]).is_err());
    assert!(ParticipantList::decode(&[0x80, 0, 0, 0]).is_err());
}

#[test]
fn a_length_beyond_the_body_is_refused_without_reserving_it() {
    assert!(ParticipantList::decode(&[0xbf, 0xff, 0xff, 0xff]).is_err());
    assert!(JoinLinks::decode(&[0x84, 0, 0, 0, 0xbf, 0xff, 0xff, 0xff]).is_err());
    assert!(UpdateResponse::decode(&[2, 0xbf, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn unknown_codes_and_protocols_are_refused() {
    assert!(UpdateResponse::decode(&[4, 0]).is_err());
    assert!(SubmitMessageResponse::decode(&[1, 1]).is_ok());
    assert!(SubmitMessageResponse::decode(&[1, 3]).is_err());
    assert!(SubmitMessageResponse::decode(&[0, 1]).is_err());
    assert!(SubmitMessageResponse::decode(&[2, 1]).is_err());
    assert!(StatusNotificationPolicy::decode(&[0, 3]).is_err());
    assert!(LinkPreviewPolicy::decode(&[1, 0, 0, 2]).is_err());
    assert!(BotPolicy::decode(&[14, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]).is_err());
}

#[test]
fn text_is_utf_8_without_nul() {
    assert!(UpdateResponse::decode(&[2, 1, b'x']).is_ok());
    assert!(UpdateResponse::decode(&[2, 1, 0]).is_err());
    assert!(UpdateResponse::decode(&[2, 1, 0xff]).is_err());
}

#[test]
fn an_update_with_an_application_message_is_refused() {
    let message = vector("submitMessage", "request").hex("message_hex");
    assert!(UpdateRequest::decode(&[message.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn a_batch_of_more_messages_than_a_notify_may_have_is_refused() {
    let (_, one) = decode_batch(&vector("notify", "batch: proposal, commit").bytes).unwrap().remove(0);
    assert_eq!(decode_batch(&one.repeat(MOST_MESSAGES)).map(|batch| batch.len()), Ok(MOST_MESSAGES));
    let error = decode_batch(&one.repeat(MOST_MESSAGES + 1)).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed("FanoutMessage", _)), "{error:?}");
}

#[test]
fn a_key_package_is_never_fanned_out() {
    let key_package = vector("keyMaterial", "response/partialSuccess").hex("key_package_hex");
    let body = [&[0; 8][..], &[0, 1, 0, 5], &key_package, &[0]].concat();
    assert!(FanoutMessage::decode(&body).is_err());
}

proptest! {
    // Each case goes through every vector.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_changed_body_is_refused_or_encodes_to_itself(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        for (vector, codec) in known() {
            let mut bytes = vector.bytes;
            for (at, byte) in &changes {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
            if let Ok(encoded) = codec(&bytes) {
                prop_assert_eq!(encoded, bytes, "{}: {}", vector.group, vector.name);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_encode_to_themselves(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (vector, codec) in known() {
            if let Ok(encoded) = codec(&bytes) {
                prop_assert_eq!(&encoded, &bytes, "{}: {}", vector.group, vector.name);
            }
        }
    }
}
