use aws_lc_rs::signature::Ed25519KeyPair;

use super::*;
use crate::identity::credential::provider_credential;
use crate::mls::SigningKey;
use crate::mls::crypto::HubCrypto;
use crate::wire::uri::Domain;

const HUB_KEY: [u8; 32] = [5; 32];

fn room() -> RoomUri {
    RoomUri::parse("mimi://a.example/r/lobby").unwrap()
}

fn user(name: &str) -> UserUri {
    UserUri::parse(&format!("mimi://b.example/u/{name}")).unwrap()
}

fn signer() -> SigningKey {
    SigningKey::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap().as_ref())
        .unwrap()
}

/// A message of Bob's in the lobby, as its hub has franked it.
struct Scene {
    scheme: Scheme,
    signer: SigningKey,
    content: Content,
    message: AbusiveMessage,
}

impl Scene {
    fn new() -> Self {
        Self::of(false, Content::text(&user("bob"), &room(), "hello", [7; 16]))
    }

    fn of(framed: bool, content: Content) -> Self {
        let signer = signer();
        let credential = provider_credential(&Domain::parse("a.example").unwrap());
        let agent = FrankingAgent { signature_key: signer.public(), credential };
        let scheme = Scheme { suite: 1, agent: Some(agent), tagged: true, framed };
        let message = franked(&scheme, &signer, &content, &scheme.application_data(&content));
        Self { scheme, signer, content, message }
    }

    fn prove(&self) -> Result<Proof, Flaw> {
        self.prove_with(Some(HUB_KEY), &[])
    }

    fn prove_with(&self, own: Option<HubKey>, neighbours: &[HubKey]) -> Result<Proof, Flaw> {
        let hub_keys = HubKeysOfATime { own, neighbours: neighbours.to_vec() };
        let claim = Claim { room: &room(), alleged: &user("bob"), hub_keys: &hub_keys };
        self.scheme.prove(&HubCrypto::default(), claim, &self.message)
    }

    /// What a receiver makes of it, with a tag that was made over `data`.
    fn receive(&self, data: &[u8]) -> Franking {
        let tag = franking_tag(&self.content.salt, data);
        self.scheme.received(
            &HubCrypto::default(),
            Decrypted {
                room: &room(),
                sender: &user("bob"),
                content: &self.content,
                application_data: &self.message.content,
                tag: Some(&tag),
                frank: Some(&self.message.frank),
                accepted_at: self.message.accepted_at,
            },
        )
    }

    fn flaw(&self) -> Flaw {
        match self.receive(&self.message.content) {
            Franking::Invalid(flaw) => flaw,
            other => panic!("not flagged: {other:?}"),
        }
    }
}

fn franked(scheme: &Scheme, signer: &SigningKey, content: &Content, application_data: &[u8]) -> AbusiveMessage {
    let accepted_at = Millis(1_700_000_000_000);
    let context = FrankingContext { sender: user("bob"), room: room(), accepted_at };
    let tag = franking_tag(&content.salt, application_data);
    let frank = scheme.frank(signer, &HUB_KEY, &tag, context).unwrap();
    AbusiveMessage { content: application_data.to_vec(), frank, accepted_at }
}

#[test]
fn what_the_hub_has_franked_is_proven_and_named() {
    for framed in [false, true] {
        let scene = Scene::of(framed, Content::text(&user("bob"), &room(), "hello", [7; 16]));
        assert_eq!(scene.prove(), Ok(Proof { message: scene.content.id().unwrap() }));
        let Franking::Verified(evidence) = scene.receive(&scene.message.content) else { panic!("not verified") };
        assert_eq!(evidence.message(), scene.message);
        assert_eq!(read(&scene.message.content), Some(scene.content));
    }
}

#[test]
fn a_key_of_the_period_before_or_after_proves_it_too() {
    assert!(Scene::new().prove_with(Some([1; 32]), &[[2; 32], HUB_KEY]).is_ok());
    assert!(Scene::new().prove_with(None, &[HUB_KEY]).is_ok());
}

#[test]
fn content_that_cannot_be_read_proves_nothing() {
    let mut scene = Scene::new();
    scene.message.content.push(0);
    assert_eq!(scene.prove(), Err(Flaw::Content));
}

#[test]
fn content_without_the_framing_of_the_room_or_with_one_too_many_proves_nothing() {
    for framed in [false, true] {
        let mut scene = Scene::of(framed, Content::text(&user("bob"), &room(), "hello", [7; 16]));
        let other = Scheme { framed: !framed, ..scene.scheme.clone() }.application_data(&scene.content);
        scene.message = franked(&scene.scheme, &scene.signer, &scene.content, &other);
        assert_eq!(scene.prove(), Err(Flaw::Content));
    }
}

#[test]
fn content_that_names_nobody_proves_nothing() {
    let named = Content::text(&user("bob"), &room(), "hello", [7; 16]);
    let scene = Scene::of(false, Content { extensions: Default::default(), ..named });
    assert_eq!(scene.prove(), Err(Flaw::Anonymous));
}

#[test]
fn content_for_another_room_proves_nothing() {
    let elsewhere = RoomUri::parse("mimi://a.example/r/attic").unwrap();
    assert_eq!(Scene::of(false, Content::text(&user("bob"), &elsewhere, "hello", [7; 16])).prove(), Err(Flaw::Room));
}

#[test]
fn content_of_another_sender_proves_nothing_against_this_one() {
    assert_eq!(Scene::of(false, Content::text(&user("eve"), &room(), "hello", [7; 16])).prove(), Err(Flaw::Sender));
}

#[test]
fn a_room_without_a_franking_agent_proves_nothing() {
    let mut scene = Scene::new();
    scene.scheme.agent = None;
    assert_eq!((scene.prove(), scene.flaw()), (Err(Flaw::NoAgent), Flaw::NoAgent));
}

#[test]
fn a_franking_agent_that_is_not_the_hub_proves_nothing() {
    let mut scene = Scene::new();
    let other = provider_credential(&Domain::parse("z.example").unwrap());
    scene.scheme.agent = scene.scheme.agent.map(|agent| FrankingAgent { credential: other, ..agent });
    assert_eq!((scene.prove(), scene.flaw()), (Err(Flaw::Agent), Flaw::Agent));
}

#[test]
fn a_frank_of_another_suite_proves_nothing() {
    let mut scene = Scene::new();
    scene.message.frank.signature_suite = 2;
    assert_eq!((scene.prove(), scene.flaw()), (Err(Flaw::Suite), Flaw::Suite));
}

#[test]
fn a_tag_that_is_not_of_the_content_is_flagged_by_the_receiver() {
    assert_eq!(Scene::new().receive(b"something else"), Franking::Invalid(Flaw::Tag));
}

#[test]
fn a_message_of_a_time_whose_key_is_gone_is_not_proven() {
    assert_eq!(Scene::new().prove_with(None, &[]), Err(Flaw::KeyGone));
    assert_eq!(Scene::new().prove_with(None, &[[6; 32]]), Err(Flaw::KeyGone));
}

#[test]
fn other_words_another_time_or_another_key_of_the_hub_prove_nothing() {
    assert_eq!(Scene::new().prove_with(Some([6; 32]), &[]), Err(Flaw::Frank));
    let mut later = Scene::new();
    later.message.accepted_at = Millis(later.message.accepted_at.0 + 1);
    assert_eq!((later.prove(), later.flaw()), (Err(Flaw::Frank), Flaw::Signature));
    let mut forged = Scene::new();
    forged.message.content = Content::text(&user("bob"), &room(), "goodbye", [7; 16]).encode();
    assert_eq!(forged.prove(), Err(Flaw::Frank));
    let mut changed = Scene::new();
    changed.message.frank.server_frank[0] ^= 1;
    assert_eq!((changed.prove(), changed.flaw()), (Err(Flaw::Frank), Flaw::Signature));
}

#[test]
fn a_signature_of_somebody_else_proves_nothing() {
    let mut scene = Scene::new();
    scene.message.frank.signature[0] ^= 1;
    assert_eq!((scene.prove(), scene.flaw()), (Err(Flaw::Signature), Flaw::Signature));
    let other = signer();
    scene.message = franked(&scene.scheme, &other, &scene.content, &scene.message.content);
    assert_eq!((scene.prove(), scene.flaw()), (Err(Flaw::Signature), Flaw::Signature));
}

#[test]
fn every_flaw_has_a_code_of_its_own() {
    let codes: std::collections::BTreeSet<&str> = Flaw::ALL.into_iter().map(Flaw::code).collect();
    assert_eq!(codes.len(), Flaw::ALL.len());
    assert!(Flaw::ALL.into_iter().all(|flaw| Flaw::from_code(flaw.code()) == Some(flaw)));
}

#[test]
fn only_a_room_with_this_agent_and_tags_is_franked() {
    let scene = Scene::new();
    let key = &scene.signer;
    // A PrivateMessage of the wire vectors, whose authenticated data is no SafeAAD.
    let message = message_with(b"aad");
    assert_eq!(scene.scheme.tag_for(key, &message), None);
    let message = message_with(&SafeAad::with_frank(&[9; 32]).encode());
    assert_eq!(scene.scheme.tag_for(key, &message), Some([9; 32]));
    assert_eq!(scene.scheme.tag_for(&signer(), &message), None);
    assert_eq!(Scheme { suite: 2, ..scene.scheme.clone() }.tag_for(key, &message), None);
    assert_eq!(Scheme { tagged: false, ..scene.scheme.clone() }.tag_for(key, &message), None);
    assert_eq!(Scheme { agent: None, ..scene.scheme.clone() }.tag_for(key, &message), None);
}

/// An application message with this authenticated data.
fn message_with(aad: &[u8]) -> MlsMessage {
    let opaque = |bytes: &[u8]| [&[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let bytes = [
        vec![0, 1, 0, 2],
        opaque(b"mimi://a.example/g/lobby"),
        vec![0; 8],
        vec![1],
        opaque(aad),
        opaque(b"sender"),
        opaque(b"text"),
    ];
    MlsMessage::decode(&bytes.concat()).unwrap()
}
