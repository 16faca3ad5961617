use portcullis::member::Device;
use portcullis_core::wire::uri::UserUri;
use portcullis_store::audit::{AuditEntry, Outcome};
use serde_json::{Value, json};

use super::{assert_accepted, assert_in_step, refusal};
use crate::admin::{Person, Told};
use crate::harness::{ADMIN, Lab, ORDINARY, room};
use crate::rights::encoded;

const THREE: [&str; 3] = ["a.example", "b.example", "c.example"];

fn codes() -> String {
    format!("rooms/{}/codes", encoded(room().as_str()))
}

fn moderator(lab: &Lab) -> Person {
    Person::at(lab.gateway("a.example"), &["moderator"])
}

async fn made(lab: &Lab, wanted: Value) -> Value {
    let told = moderator(lab).post(&codes(), wanted).await;
    assert_eq!(told.status, 200, "{told:?}");
    told.body
}

async fn revoked(lab: &Lab, id: &Value) -> Told {
    let path = format!("{}/{}/revoke", codes(), id.as_str().unwrap());
    moderator(lab).post(&path, json!({ "reason": "over" })).await
}

async fn used(lab: &Lab, id: &Value) -> u64 {
    let listed = moderator(lab).get(&codes()).await.body["items"].as_array().unwrap().clone();
    let found = listed.into_iter().find(|code| code["id"] == *id).unwrap();
    assert!(found.get("code").is_none(), "it is told once");
    found["used"].as_u64().unwrap()
}

/// Whether the hub lets the device have the GroupInfo for this code.
async fn admitted(device: &mut Device, code: &str) -> bool {
    device.ask_group_info_by(&room(), Some(code)).await.unwrap().1.is_some()
}

fn listed(of: &Device, user: &UserUri) -> Option<u32> {
    let participants = of.member().participants(&room()).unwrap();
    participants.into_iter().find(|participant| participant.user == *user).map(|participant| participant.role_index)
}

#[tokio::test]
async fn who_has_a_code_joins_by_it_as_often_as_it_says_and_every_provider_follows() {
    let lab = Lab::open(&THREE).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let code = made(&lab, json!({ "reason": "town hall", "uses": 1 })).await;
    let (id, secret) = (&code["id"], code["code"].as_str().unwrap());
    assert_eq!((&code["role"], secret.len()), (&ORDINARY.into(), 26));
    let (mut cathy, mut carl) =
        (lab.device("c.example/d/cathy/phone").await, lab.device("c.example/d/carl/phone").await);
    assert!(!admitted(&mut cathy, "aaaaaaaaaaaaaaaaaaaaaaaaaa").await);
    let (_, material) = cathy.ask_group_info_by(&room(), Some(secret)).await.unwrap();
    let (_, carls) = carl.ask_group_info_by(&room(), Some(secret)).await.unwrap();
    assert_eq!(used(&lab, id).await, 0, "asking uses nothing up");
    // Not with a role that the code does not give.
    let higher = cathy.external_join(&room(), material.as_ref().unwrap(), Some(ADMIN)).await.unwrap();
    assert_eq!(refusal(higher), "not_allowed");
    let because = |reason: &str| {
        let entries = lab.gateway("a.example").database().entries();
        entries.iter().any(|entry| entry.record.kind == "decision.commit" && entry.record.reason == reason)
    };
    assert!(because("room.role_not_granted"));
    assert_accepted(&cathy.external_join(&room(), &material.unwrap(), Some(ORDINARY)).await.unwrap());
    for device in [&mut alice, &mut bob] {
        device.until_epoch(&room(), 2).await.unwrap();
        assert_eq!(listed(device, cathy.user()), Some(ORDINARY));
    }
    assert_in_step(&[&alice, &bob, &cathy]);
    assert_accepted(&cathy.say(&room(), "let in").await.unwrap());
    bob.until_text(&room(), "let in").await.unwrap();
    assert_eq!(used(&lab, id).await, 1);
    // It is used up, whoever has been let in to see the group before.
    assert_eq!(refusal(carl.external_join(&room(), &carls.unwrap(), Some(ORDINARY)).await.unwrap()), "wrong_epoch");
    assert!(!admitted(&mut carl, secret).await);
    lab.quiet().await;
    for domain in ["b.example", "c.example"] {
        let alarms = lab.gateway(domain).database().entries();
        let alarms = alarms
            .iter()
            .filter(|entry| entry.record.kind == "arrival.commit" && entry.record.reason.starts_with("room."));
        assert_eq!(alarms.count(), 0, "{domain} takes the join for what it is");
    }
}

#[tokio::test]
async fn a_code_is_for_the_provider_it_names_and_ends_when_it_is_revoked() {
    let lab = Lab::open(&THREE).await;
    let (_alice, _bob) = lab.alice_and_bob().await;
    let code = made(&lab, json!({ "reason": "suppliers", "uses": 5, "provider": "c.example" })).await;
    let secret = code["code"].as_str().unwrap();
    let mut eve = lab.device("b.example/d/eve/phone").await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    assert!(!admitted(&mut eve, secret).await);
    let (_, material) = cathy.ask_group_info_by(&room(), Some(secret)).await.unwrap();
    assert_eq!(revoked(&lab, &code["id"]).await.status, 200);
    // Also for whoever has a ticket already.
    let joined = cathy.external_join(&room(), &material.unwrap(), Some(ORDINARY)).await.unwrap();
    assert_eq!(refusal(joined), "not_allowed");
    assert!(!admitted(&mut cathy, secret).await);
    assert_eq!(revoked(&lab, &code["id"]).await.refusal(), (404, "not_found"));
    lab.quiet().await;
    let entries = lab.gateway("a.example").database().entries();
    let refused = |entry: &&AuditEntry| entry.record.kind == "decision.commit" && entry.record.outcome == Outcome::Deny;
    assert_eq!(entries.iter().rfind(refused).unwrap().record.reason, "room.not_admitted");
    let kinds = |kind: &str| entries.iter().filter(|entry| entry.record.kind == kind).count();
    assert_eq!((kinds("join_code.created"), kinds("join_code.revoked")), (1, 1));
    // Nothing of it can be read in a copy of the database.
    let contents = lab.gateway("a.example").database().contents(&[]);
    assert!(contents.values().flatten().all(|row| !row.contains(secret)));
}

#[tokio::test]
async fn codes_are_made_listed_and_revoked_on_the_command_line_and_only_for_roles_that_a_code_can_give() {
    let lab = Lab::open(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    let a = lab.gateway("a.example");
    let of = room().to_string();
    let code = a.operated(&["room", "code", "create", &of, "--uses", "2", "--hours", "1", "--reason", "x"]);
    let secret = code.lines().next().unwrap();
    let mut dora = lab.device("a.example/d/dora/phone").await;
    let (_, material) = dora.ask_group_info_by(&room(), Some(secret)).await.unwrap();
    assert_accepted(&dora.external_join(&room(), &material.unwrap(), Some(ORDINARY)).await.unwrap());
    let told: Value = serde_json::from_str(&a.operated(&["room", "code", "list", &of, "--json"])).unwrap();
    assert_eq!((&told["used"], &told["uses"], &told["role"]), (&1.into(), &2.into(), &ORDINARY.into()));
    assert!(a.operated(&["room", "code", "list", &of]).contains("1 of 2"));
    let id = told["id"].as_str().unwrap();
    a.operated(&["room", "code", "revoke", &of, id, "--reason", "x"]);
    assert_eq!(a.operate(&["room", "code", "revoke", &of, id, "--reason", "x"]).status.code(), Some(2));
    let admin = ADMIN.to_string();
    let create =
        |more: &[&str]| a.operate(&[&["room", "code", "create", &of, "--reason", "x"], more].concat()).status.code();
    for wrong in [&["--role", admin.as_str()][..], &["--uses", "0"], &["--hours", "0"], &["--hours", "9000"]] {
        assert_eq!(create(wrong), Some(2), "{wrong:?}");
    }
    let refused = moderator(&lab).post(&codes(), json!({ "reason": "x", "role": ADMIN })).await;
    assert_eq!(refused.refusal(), (400, "malformed"));
    let operator = Person::at(a, &["operator"]);
    assert_eq!(operator.post(&codes(), json!({ "reason": "x" })).await.refusal(), (403, "not_allowed"));
}

#[tokio::test]
async fn that_the_database_does_not_answer_is_on_nobody_s_record_as_a_refusal() {
    let lab = Lab::open(&["a.example"]).await;
    let mut alice = lab.device("a.example/d/alice/phone").await;
    assert_accepted(&alice.create_room(&room(), "strict", "Clubhouse").await.unwrap());
    let code = made(&lab, json!({ "reason": "town hall" })).await;
    let mut dora = lab.device("a.example/d/dora/phone").await;
    let a = lab.gateway("a.example").database();
    a.sql("ALTER TABLE join_codes RENAME TO away");
    let asked = dora.ask_group_info_by(&room(), code["code"].as_str()).await;
    assert!(!matches!(asked, Ok((_, Some(_)))));
    a.sql("ALTER TABLE away RENAME TO join_codes");
    lab.quiet().await;
    let refused = |entry: &AuditEntry| entry.record.outcome == Outcome::Deny;
    assert!(!lab.gateway("a.example").database().entries().iter().any(refused));
    assert!(admitted(&mut dora, code["code"].as_str().unwrap()).await);
}
