use super::*;
use crate::member::Franking;

fn application(fanout: &mut FanoutMessage) -> &mut Option<Frank> {
    let FanoutBody::Application { frank, .. } = &mut fanout.body else { panic!("no message") };
    frank
}

/// What bob makes of a message of alice whose fan-out was changed on the way.
fn changed(change: impl FnOnce(&mut FanoutMessage)) -> Franking {
    let mut table = Table::of(&["alice", "bob"]);
    let request = table.members[0].text(&room(), "hello").unwrap();
    let mut fanout = table.franked(&request);
    change(&mut fanout);
    let received = table.members[1].receive(&room(), &fanout).unwrap();
    message(&received).franking.clone()
}

#[test]
fn a_frank_that_fits_is_kept_as_evidence() {
    let Franking::Verified(evidence) = changed(|_| {}) else { panic!("not verified") };
    assert_eq!((evidence.context.sender, evidence.context.room), (user("alice"), room()));
}

#[test]
fn a_frank_for_another_time_does_not_fit() {
    assert_eq!(changed(|fanout| fanout.timestamp = fanout.timestamp.plus(Duration::from_millis(1))), Franking::Invalid);
}

#[test]
fn a_frank_of_another_suite_or_signature_does_not_fit() {
    assert_eq!(changed(|fanout| application(fanout).as_mut().unwrap().signature_suite = 2), Franking::Invalid);
    assert_eq!(changed(|fanout| application(fanout).as_mut().unwrap().signature[0] ^= 1), Franking::Invalid);
    assert_eq!(changed(|fanout| application(fanout).as_mut().unwrap().server_frank[0] ^= 1), Franking::Invalid);
}

#[test]
fn a_message_without_a_frank_is_only_unfranked() {
    assert_eq!(changed(|fanout| *application(fanout) = None), Franking::Absent);
}

#[test]
fn a_frank_over_a_tag_that_is_not_of_the_content_does_not_fit() {
    use openmls::framing::SafeAadItem;
    use tls_codec::Serialize as _;

    use crate::member::content::Content;
    use crate::wire::Protocol;
    use crate::wire::mls::MlsMessage;

    let mut table = Table::of(&["alice", "bob"]);
    let content = Content::text(&user("alice"), &room(), "hello", [1; 16]).encode();
    let (membership, signer) = table.members[0].seat(&room()).unwrap();
    membership.group.set_safe_aad(vec![SafeAadItem::new(0x20, vec![9; 32])]).unwrap();
    let message = membership.group.create_message(&*membership.store, signer, &content).unwrap();
    let message = MlsMessage::decode(&message.tls_serialize_detached().unwrap()).unwrap();
    let request = SubmitMessageRequest { protocol: Protocol::Mls10, message, sender: user("alice") };
    let fanout = table.franked(&request);
    let received = table.members[1].receive(&room(), &fanout).unwrap();
    assert_eq!(super::message(&received).franking, Franking::Invalid);
}
