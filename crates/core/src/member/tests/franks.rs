use super::*;
use crate::content::Content;
use crate::franking::{Flaw, Franking};

fn application(fanout: &mut FanoutMessage) -> &mut Option<Frank> {
    let FanoutBody::Application { frank, .. } = &mut fanout.body else { panic!("no message") };
    frank
}

fn flagged(flaw: Flaw) -> Franking {
    Franking::Invalid(flaw)
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
    assert_eq!((&evidence.context.sender, &evidence.context.room), (&user("alice"), &room()));
    assert_eq!(Content::decode(&evidence.message().content).unwrap().body.as_text(), Some("hello"));
}

#[test]
fn where_a_room_lists_its_media_types_the_frank_is_over_the_framing_too() {
    use crate::wire::components::{ApplicationFraming, ContentMediaTypes, MediaType};

    let media_type = MediaType { media_type: "application/mimi-content".to_owned(), parameters: Vec::new() };
    let types = ContentMediaTypes { media_types: vec![media_type.clone()] };
    let members = ["alice", "bob"].map(member);
    let mut table = Table::with_component(Hub::new(1), members.into_iter().collect(), &types);
    let received = table.say(0, "hello");
    let Franking::Verified(evidence) = &message(&received[1]).franking else { panic!("not verified") };
    let framing = ApplicationFraming::decode(&evidence.application_data).unwrap();
    assert_eq!(framing.media_type, media_type);
    assert_eq!(Content::decode(&framing.content).unwrap(), message(&received[1]).content);
}

#[test]
fn a_frank_for_another_time_does_not_fit() {
    assert_eq!(
        changed(|fanout| fanout.timestamp = fanout.timestamp.plus(Duration::from_millis(1))),
        flagged(Flaw::Signature)
    );
}

#[test]
fn a_frank_of_another_suite_or_signature_does_not_fit() {
    assert_eq!(changed(|fanout| application(fanout).as_mut().unwrap().signature_suite = 2), flagged(Flaw::Suite));
    assert_eq!(changed(|fanout| application(fanout).as_mut().unwrap().signature[0] ^= 1), flagged(Flaw::Signature));
    assert_eq!(changed(|fanout| application(fanout).as_mut().unwrap().server_frank[0] ^= 1), flagged(Flaw::Signature));
}

#[test]
fn a_message_without_a_frank_is_only_unfranked() {
    assert_eq!(changed(|fanout| *application(fanout) = None), Franking::Absent);
}

#[test]
fn a_frank_over_a_tag_that_is_not_of_the_content_does_not_fit() {
    use openmls::framing::SafeAadItem;
    use tls_codec::Serialize as _;

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
    assert_eq!(super::message(&received).franking, flagged(Flaw::Tag));
}
