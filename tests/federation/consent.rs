use portcullis::member::{Device, KEY_PACKAGE_LIFETIME};
use portcullis::peer::Endpoint;
use portcullis::provider::{Base64, ChangeConsent, StandingConsent};
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Dictionary;
use portcullis_core::wire::consent::{ConsentEntry, ConsentOperation};
use portcullis_core::wire::key_material::KeyMaterialUserCode::{self, NoConsent, NoConsentForThisRoom, Success};
use portcullis_core::wire::mls::KeyPackage;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_store::audit::Outcome;

use super::assert_accepted;
use crate::harness::{Gateway, Lab, ORDINARY, edit, eventually, room, user};

use ConsentOperation::{Cancel, Grant, Request, Revoke};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// A lab in which nobody has consent that was not granted.
async fn strict_lab(domains: &[&str]) -> Lab {
    let mut lab = Lab::new(domains);
    for gateway in &lab.gateways {
        edit(&gateway.folder.join("policies/settings.yaml"), "implied: peers", "implied: nobody");
    }
    lab.start().await;
    lab
}

fn change(operation: ConsentOperation, user: &UserUri, room: Option<&RoomUri>) -> ChangeConsent {
    ChangeConsent { operation, user: user.clone(), room: room.cloned(), key_packages: Vec::new() }
}

/// Takes a step in the name of a device's user.
async fn step(lab: &Lab, by: &Device, operation: ConsentOperation, to: &UserUri, room: Option<&RoomUri>) {
    let door = lab.gateway(by.user().domain().as_str()).client(by.user());
    assert!(door.change_consent(&change(operation, to, room)).await.unwrap().is_some());
}

/// How a claim of another user's key packages goes.
async fn claim(lab: &Lab, by: &Device, target: &UserUri, room: Option<&RoomUri>) -> KeyMaterialUserCode {
    let request = by.member().key_material_request(target, room).unwrap().encode();
    let door = lab.gateway(by.user().domain().as_str()).client(by.user());
    door.key_material(target, request).await.unwrap().value.status
}

async fn standing(lab: &Lab, of: &Device) -> Vec<StandingConsent> {
    lab.gateway(of.user().domain().as_str()).client(of.user()).consents(0).await.unwrap().items
}

fn entry(operation: ConsentOperation, requester: &UserUri, target: &UserUri) -> ConsentEntry {
    ConsentEntry {
        operation,
        requester: requester.clone(),
        target: target.clone(),
        room: None,
        key_packages: Vec::new(),
        extensions: Dictionary::default(),
    }
}

/// The status that a.example answers b.example.
async fn hand_in(by: &Gateway, endpoint: Endpoint, body: Vec<u8>) -> u16 {
    match by.post("a.example", endpoint, body).await {
        Ok(answer) => answer.status,
        Err(error) => error.status().unwrap(),
    }
}

#[tokio::test]
async fn a_request_comes_to_every_device_and_the_key_packages_of_the_grant_bring_its_user_into_a_room() {
    let lab = strict_lab(&TWO).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let mut tablet = lab.device("b.example/d/bob/tablet").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    step(&lab, &alice, Request, bob.user(), Some(&room())).await;
    for device in [&mut bob, &mut tablet] {
        let asked = device.until_consent(Request, 1).await.unwrap();
        assert_eq!((&asked.requester, asked.room), (alice.user(), Some(room())));
    }
    let [asked] = &standing(&lab, &bob).await[..] else { panic!() };
    assert_eq!((&asked.requester, asked.requested_at.is_some()), (alice.user(), true));

    let packages = bob.member_mut().key_packages(1, KEY_PACKAGE_LIFETIME).unwrap();
    let key_packages = packages.iter().map(|package| Base64(package.as_bytes().to_vec())).collect();
    let grant = ChangeConsent { key_packages, ..change(Grant, alice.user(), Some(&room())) };
    lab.gateway("b.example").client(bob.user()).change_consent(&grant).await.unwrap();
    let granted = alice.until_consent(Grant, 1).await.unwrap();
    assert_eq!((&granted.target, &granted.room, &granted.key_packages), (bob.user(), &Some(room()), &packages));
    let added = alice.add(&room(), granted.key_packages, (bob.user().clone(), ORDINARY)).await.unwrap();
    assert_accepted(&added);
    bob.until_epoch(&room(), 1).await.unwrap();
    assert_accepted(&bob.say(&room(), "here I am").await.unwrap());
    alice.until_text(&room(), "here I am").await.unwrap();
}

#[tokio::test]
async fn without_consent_nobody_gets_key_packages_and_a_connection_is_good_for_every_room() {
    let lab = strict_lab(&TWO).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    bob.publish_key_packages(4).await.unwrap();
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, NoConsent);
    step(&lab, &alice, Request, bob.user(), None).await;
    bob.until_consent(Request, 1).await.unwrap();
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, NoConsent, "asking is not getting");
    step(&lab, &bob, Grant, alice.user(), None).await;
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, Success);
    step(&lab, &bob, Revoke, alice.user(), None).await;
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, NoConsent);
    // Consent goes one way.
    assert_eq!(claim(&lab, &bob, alice.user(), None).await, NoConsent);
}

#[tokio::test]
async fn consent_to_a_room_is_for_that_room_alone() {
    let lab = strict_lab(&TWO).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    bob.publish_key_packages(4).await.unwrap();
    let attic = RoomUri::parse("mimi://a.example/r/attic").unwrap();
    for room in [&room(), &attic] {
        assert_accepted(&alice.create_room(room, "strict", "Room").await.unwrap());
    }
    step(&lab, &bob, Grant, alice.user(), Some(&room())).await;
    assert_eq!(claim(&lab, &alice, bob.user(), Some(&attic)).await, NoConsentForThisRoom);
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, NoConsent);
    assert_eq!(claim(&lab, &alice, bob.user(), Some(&room())).await, Success);
    // A room's own decision stands above the one for all, which takes older grants with it.
    step(&lab, &bob, Revoke, alice.user(), Some(&attic)).await;
    step(&lab, &bob, Grant, alice.user(), None).await;
    assert_eq!(claim(&lab, &alice, bob.user(), Some(&attic)).await, NoConsent);
    step(&lab, &bob, Revoke, alice.user(), None).await;
    assert_eq!(claim(&lab, &alice, bob.user(), Some(&room())).await, NoConsent);
}

#[tokio::test]
async fn where_peers_have_consent_unasked_a_revocation_still_ends_it() {
    let lab = Lab::open(&TWO).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    bob.publish_key_packages(3).await.unwrap();
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, Success);
    step(&lab, &bob, Revoke, alice.user(), None).await;
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, NoConsent);
    step(&lab, &bob, Grant, alice.user(), None).await;
    assert_eq!(claim(&lab, &alice, bob.user(), None).await, Success);
}

#[tokio::test]
async fn users_of_one_gateway_ask_and_answer_each_other_too() {
    let lab = strict_lab(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut ada = lab.device("a.example/d/ada/phone").await;
    ada.publish_key_packages(2).await.unwrap();
    assert_eq!(claim(&lab, &alice, ada.user(), None).await, NoConsent);
    step(&lab, &alice, Request, ada.user(), None).await;
    assert_eq!(ada.until_consent(Request, 1).await.unwrap().requester, *alice.user());
    step(&lab, &alice, Cancel, ada.user(), None).await;
    ada.until_consent(Cancel, 1).await.unwrap();
    assert_eq!(standing(&lab, &ada).await, []);
    step(&lab, &ada, Grant, alice.user(), None).await;
    alice.until_consent(Grant, 1).await.unwrap();
    assert_eq!(claim(&lab, &alice, ada.user(), None).await, Success);
    step(&lab, &ada, Revoke, alice.user(), None).await;
    alice.until_consent(Revoke, 1).await.unwrap();
    assert_eq!(claim(&lab, &alice, ada.user(), None).await, NoConsent);
    let [told] = &standing(&lab, &alice).await[..] else { panic!() };
    assert_eq!((&told.target, told.decision.as_deref()), (ada.user(), Some("revoked")));
    assert_eq!(claim(&lab, &ada, ada.user(), None).await, Success, "nobody asks itself");
}

#[tokio::test]
async fn who_is_refused_is_not_told_that_the_request_was_seen() {
    let lab = strict_lab(&TWO).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    let mut ada = lab.device("a.example/d/ada/phone").await;
    for (target, device) in [(bob.user().clone(), &mut bob), (ada.user().clone(), &mut ada)] {
        step(&lab, &alice, Request, &target, None).await;
        device.until_consent(Request, 1).await.unwrap();
        step(&lab, device, Revoke, alice.user(), None).await;
    }
    lab.quiet().await;
    let known = standing(&lab, &alice).await;
    assert_eq!(known.len(), 2);
    assert!(known.iter().all(|it| it.requested_at.is_some() && it.decision.is_none()), "{known:?}");
    // What comes afterwards is the first that she hears.
    step(&lab, &bob, Grant, alice.user(), None).await;
    assert_eq!(alice.until_consent(Grant, 1).await.unwrap().target, *bob.user());
    let kinds = lab.gateway("a.example").database().stream(alice.client()).into_iter().map(|row| row.item.kind);
    assert_eq!(kinds.collect::<Vec<_>>(), ["consent_grant"]);
}

#[tokio::test]
async fn a_request_to_nobody_and_to_somebody_hidden_is_answered_as_any_other() {
    let mut lab = Lab::new(&TWO);
    let hidden = "users:\n  - uri: mimi://a.example/u/hidden\n    suspended: true";
    edit(&lab.gateways[0].folder.join("policies/settings.yaml"), "users: []", hidden);
    lab.start().await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let of_hidden = user("a.example/u/hidden");
    a.client(&of_hidden).register_user(&of_hidden).await.unwrap();
    let bob = user("b.example/u/bob");
    for target in [alice.user().clone(), of_hidden, user("a.example/u/nobody")] {
        for operation in [Request, Cancel, Cancel, Request] {
            let body = entry(operation, &bob, &target).encode();
            assert_eq!(hand_in(b, Endpoint::RequestConsent(target.clone()), body).await, 201, "{target}");
        }
        for operation in [Grant, Revoke] {
            let body = entry(operation, &target, &bob).encode();
            assert_eq!(hand_in(b, Endpoint::UpdateConsent(target.clone()), body).await, 201, "{target}");
        }
    }
    alice.until_consent(Revoke, 1).await.unwrap();
    lab.quiet().await;
    let entries = a.database().entries();
    let decided = |outcome| {
        let of = entries.iter().filter(|it| it.record.kind == "decision.consent" && it.record.outcome == outcome);
        of.count()
    };
    // Of the hidden user two requests and a grant are refused; what is taken back is not.
    assert_eq!((decided(Outcome::Deny), decided(Outcome::Allow)), (3, 15));
    assert_eq!(a.database().number("SELECT count(*) FROM consents WHERE target <> 'mimi://a.example/u/alice' AND requester = 'mimi://b.example/u/bob'"), 0);
}

#[tokio::test]
async fn an_entry_of_the_wrong_kind_or_in_the_name_of_others_is_refused() {
    let lab = Lab::open(&["a.example", "b.example", "c.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    let eve = alice.member_mut().key_packages(1, KEY_PACKAGE_LIFETIME).unwrap();
    let b = lab.gateway("b.example");
    let (bob, of_a, of_c) = (user("b.example/u/bob"), alice.user().clone(), user("c.example/u/cathy"));
    let with = |packages: Vec<KeyPackage>| ConsentEntry { key_packages: packages, ..entry(Grant, &of_a, &bob) };
    let request = || Endpoint::RequestConsent(of_a.clone());
    let update = || Endpoint::UpdateConsent(of_a.clone());
    for (what, endpoint, entry, status) in [
        ("a grant at requestConsent", request(), entry(Grant, &of_a, &bob), 400),
        ("a revocation at requestConsent", request(), entry(Revoke, &of_a, &bob), 400),
        ("a request at updateConsent", update(), entry(Request, &bob, &of_a), 400),
        ("a request of another provider's user", request(), entry(Request, &of_c, &of_a), 403),
        ("a grant of another provider's user", update(), entry(Grant, &of_a, &of_c), 403),
        ("a request in the name of one of ours", request(), entry(Request, &of_a, &bob), 403),
        ("a request to another provider's user", request(), entry(Request, &bob, &of_c), 400),
        ("a path of another provider", Endpoint::RequestConsent(of_c.clone()), entry(Request, &bob, &of_c), 404),
        ("key packages of somebody else", update(), with(eve), 400),
    ] {
        assert_eq!(hand_in(b, endpoint, entry.encode()).await, status, "{what}");
    }
    assert_eq!(lab.gateway("a.example").database().number("SELECT count(*) FROM consents"), 0);
    assert_eq!(hand_in(b, request(), entry(Request, &bob, &of_a).encode()).await, 201);
}

#[tokio::test]
async fn a_user_who_asks_and_asks_is_told_to_wait() {
    let lab = Lab::open(&TWO).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let body = entry(Request, &user("b.example/u/bob"), alice.user()).encode();
    let mut taken = 0;
    while hand_in(b, Endpoint::RequestConsent(alice.user().clone()), body.clone()).await == 201 {
        taken += 1;
    }
    assert!((40..50).contains(&taken), "{taken}");
    let other = entry(Request, &user("b.example/u/ben"), alice.user()).encode();
    assert_eq!(hand_in(b, Endpoint::RequestConsent(alice.user().clone()), other).await, 201);
    let door = a.client(alice.user());
    let refused = loop {
        if let Err(error) = door.change_consent(&change(Request, &user("b.example/u/bob"), None)).await {
            break error;
        }
    };
    assert_eq!(refused.problem().map(|problem| problem.status), Some(429));
}

#[tokio::test]
async fn what_a_provider_that_is_away_is_to_be_told_survives_a_restart_and_comes_in_order_once() {
    let mut lab = strict_lab(&TWO).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let mut bob = lab.device("b.example/d/bob/phone").await;
    lab.quiet().await;
    lab.gateway_mut("b.example").kill();
    step(&lab, &alice, Request, bob.user(), None).await;
    step(&lab, &alice, Cancel, bob.user(), None).await;
    step(&lab, &alice, Request, bob.user(), Some(&room())).await;
    let owed = |gateway: &Gateway| gateway.database().number("SELECT owed FROM consent_lanes WHERE attempts > 0");
    eventually("an attempt fails", async || {
        let tried = lab.gateway("a.example").database().number("SELECT count(*) FROM consent_lanes WHERE attempts > 0");
        (tried == 1).then_some(())
    })
    .await;
    assert_eq!(owed(lab.gateway("a.example")), 3);
    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("b.example").restart().await;
    lab.gateway_mut("a.example").restart().await;
    assert_eq!(bob.until_consent(Request, 2).await.unwrap().room, Some(room()));
    lab.quiet().await;
    let kinds = lab.gateway("b.example").database().stream(bob.client()).into_iter().map(|row| row.item.kind);
    assert_eq!(kinds.collect::<Vec<_>>(), ["consent_request", "consent_cancel", "consent_request"]);
}

#[tokio::test]
async fn a_request_with_the_same_key_takes_one_step() {
    let lab = Lab::open(&TWO).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let bob = lab.device("b.example/d/bob/phone").await;
    let a = lab.gateway("a.example");
    let post = || {
        let request = reqwest::Client::new().post(format!("http://{}/v1/consent", a.provider));
        let request = request.header("Idempotency-Key", "the-same").bearer_auth(a.token(alice.user()));
        request.json(&change(Request, bob.user(), None)).send()
    };
    let decisions = [post().await.unwrap(), post().await.unwrap()].map(|answer| {
        assert_eq!(answer.status().as_u16(), 204);
        answer.headers()["Portcullis-Decision"].to_str().unwrap().to_owned()
    });
    assert_eq!(decisions[0], decisions[1]);
    lab.quiet().await;
    let entries = a.database().entries();
    assert_eq!(entries.iter().filter(|entry| entry.record.kind == "decision.consent").count(), 1);
}
