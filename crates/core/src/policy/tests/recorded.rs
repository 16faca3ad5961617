use proptest::prelude::*;
use serde_json::Value;

use super::differential::{a_draw, a_user};
use super::*;
use crate::consent::Standing;
use crate::policy::facts::AnyQuestion;
use crate::policy::settings::Directory;
use crate::policy::slices::Key;
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::RoomUri;

/// What came back, from JSON as the database has it.
fn again(head: &RecordHead<'_>, recorded: impl Into<Value>, kept: Option<&RoleSet>) -> Recalled {
    let recorded: Value = serde_json::from_str(&recorded.into().to_string()).unwrap();
    let roles = |id: &str| {
        let kept = RoleSet::decode(&kept.expect("roles are named").encode()).unwrap();
        (kept.id() == id).then_some(kept)
    };
    Recalled::read(head, &recorded, roles).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn everything_that_a_decision_about_a_room_reads_comes_back_from_its_record(
        draw in a_draw(),
        near in any::<[bool; 3]>(),
        suspended in prop::collection::btree_set(a_user(), 0..3),
    ) {
        let (asked, elsewhere) = (draw.question(), RoomUri::parse("mimi://z.example/r/z").unwrap());
        let head = RecordHead {
            room: Some(if near[0] { &asked.room.room } else { &elsewhere }),
            actor: None,
            peer: None,
            epoch: near[1].then_some(asked.epoch),
            at: if near[2] { asked.now } else { Millis(7) },
        };
        let suspended = suspended.iter().map(UserUri::domain).collect();
        let recalled = again(&head, asked.recorded(&head, &suspended), asked.room.roles.as_ref().map(|known| &known.roles));
        let AnyQuestion::Room(back) = recalled.question() else { panic!("a room") };
        let nobody = Directory::default();
        prop_assert_eq!(Key::of(&back, &nobody), Key::of(&asked, &nobody));
        prop_assert_eq!((back.epoch, back.message_bytes, back.now), (asked.epoch, asked.message_bytes, asked.now));
        let mut concerned = BTreeSet::from([asked.actor.domain(), asked.source.clone(), asked.room.room.domain()]);
        concerned.extend(asked.target.map(UserUri::domain));
        let expected: BTreeSet<Domain> = suspended.intersection(&concerned).cloned().collect();
        prop_assert_eq!(recalled.suspended(), &expected);
    }
}

#[test]
fn every_question_at_a_door_comes_back_from_its_record() {
    let (ann, bob) = (user("a.example/u/ann"), user("b.example/u/bob"));
    let (home, other) = (domain("a.example"), domain("b.example"));
    let room: RoomUri = "mimi://a.example/r/clubhouse".parse().unwrap();
    let step = |operation, room| ConsentStep { about: &bob, room, operation };
    let claim = |consent, room| DoorAct::ClaimKeyMaterial(Claim { target: &bob, room, consent });
    let acts = [
        claim(Standing::Elsewhere, Some(&room)),
        claim(Standing::AnotherRoom, None),
        DoorAct::RequestConsent(step(ConsentOperation::Cancel, None)),
        DoorAct::GrantConsent(step(ConsentOperation::Grant, Some(&room))),
        DoorAct::ReceiveConsentRequest(step(ConsentOperation::Request, Some(&room))),
        DoorAct::ReceiveConsent(step(ConsentOperation::Revoke, None)),
        DoorAct::Search,
        DoorAct::FindUser(&bob),
        DoorAct::PublishProfile,
        DoorAct::RegisterDevice,
        DoorAct::DeregisterDevice,
        DoorAct::DeregisterUser,
        DoorAct::PublishKeyPackages,
        DoorAct::ReadStream,
        DoorAct::ReportAnonymously,
        DoorAct::Download(&other),
    ];
    for act in acts {
        // What is about a user is asked at that user's door.
        let door = act.about().map_or_else(|| home.clone(), UserUri::domain);
        for (recorded_room, peer) in [(Some(&room), &home), (None, &other)] {
            let asked = DoorQuestion { act, actor: &ann, door: &door, source: &home, now: Millis(9) };
            let head = RecordHead { room: recorded_room, actor: None, peer: Some(peer), epoch: None, at: Millis(9) };
            let recalled = again(&head, asked.recorded(&head, &BTreeSet::from([other.clone()])), None);
            let AnyQuestion::Door(back) = recalled.question() else { panic!("{act:?}") };
            assert_eq!(format!("{back:?}"), format!("{asked:?}"));
            assert_eq!(recalled.suspended().contains(&other), act.about().is_some());
        }
    }
    let roles = BTreeSet::from(["admin".to_owned()]);
    for act in AdminAct::ALL {
        for (by, room, user) in [("operator:ann", Some(&room), None), ("operator:eve", None, Some(&bob))] {
            let asked =
                AdminQuestion { act, operator: "ann", roles: &roles, about: &other, room, user, now: Millis(9) };
            let head = RecordHead { room, actor: Some(by), peer: Some(&home), epoch: None, at: Millis(8) };
            let recalled = again(&head, asked.recorded(&head, &BTreeSet::new()), None);
            let AnyQuestion::Admin(back) = recalled.question() else { panic!("{act:?}") };
            assert_eq!(format!("{back:?}"), format!("{asked:?}"));
        }
    }
}

#[test]
fn what_is_not_whole_is_not_asked_again() {
    let (room, actor, source) = (clubhouse(), Actor::User(user("a.example/u/alice")), domain("a.example"));
    let asked = question(&room, &actor, Capability::SEND_MESSAGE, None, &source);
    let head = RecordHead { room: Some(&room.room), actor: None, peer: None, epoch: Some(7), at: asked.now };
    let whole = asked.recorded(&head, &BTreeSet::new());
    let read = |recorded: Value| Recalled::read(&head, &recorded, |_| None).unwrap_err();
    assert_eq!(read(whole.clone().into()), Unasked::Roles);
    for field in ["actor", "from_role", "transition_authorized", "source"] {
        let mut part = whole.clone();
        part.remove(field);
        assert_eq!(read(part.into()), Unasked::Form, "{field}");
    }
    assert_eq!(read(serde_json::json!({ "act": "fly", "actor": "mimi://a.example/u/ann" })), Unasked::Act);
    assert_eq!(read(Value::Null), Unasked::Form);
}
