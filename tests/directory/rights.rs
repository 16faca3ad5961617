use portcullis::member::{DeviceError, Sent};
use serde_json::{Value, json};

use super::{Idp, lab, recorded, refused};
use crate::admin::Person;
use crate::federation::assert_accepted;
use crate::harness::{ADMIN, ORDINARY, client, edit, eventually, room};

/// How what a device has sent is refused.
fn code(sent: Result<Sent, DeviceError>) -> String {
    sent.unwrap().answer.unwrap_err().code
}

#[tokio::test]
async fn whoever_is_deactivated_loses_all_rights_at_once_and_goes_with_the_next_commit() {
    let lab = lab(&["a.example", "b.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;
    bob.until_epoch(&room(), 2).await.unwrap();
    let id = idp.user(json!({ "userName": "dora@a.example" })).await;
    assert_accepted(&dora.say(&room(), "here").await.unwrap());
    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    idp.patch(&format!("Users/{id}"), off).await.good();
    assert_eq!(code(dora.say(&room(), "my last words").await), "user_deactivated");
    assert_eq!(refused(a, "a.example/u/dora").await, (403, "user_deactivated".to_owned()));
    bob.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&bob.commit_pending(&room()).await.unwrap());
    alice.until_epoch(&room(), 3).await.unwrap();
    assert!(!alice.member().clients(&room()).unwrap().contains(dora.client()));
    assert_eq!(a.database().number("SELECT count(*) FROM users WHERE uri LIKE '%dora'"), 0);
    // Nobody brings her back but the identity provider; then she comes as new.
    idp.patch(&format!("Users/{id}"), json!([{ "op": "replace", "value": { "active": true } }])).await.good();
    let mut laptop = lab.device("a.example/d/dora/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
    assert_accepted(&laptop.say(&room(), "back").await.unwrap());
    // Deleted, she is gone, also for whoever registers her once more.
    assert_eq!(idp.delete(&format!("Users/{id}")).await.status, 204);
    assert_eq!(refused(a, "a.example/u/dora").await, (403, "user_deactivated".to_owned()));
    lab.quiet().await;
    let told: Vec<Value> = recorded(a, "directory.user").into_iter().map(|entry| entry.record.detail).collect();
    assert_eq!((&told[1]["before"]["active"], &told[1]["after"]["active"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn whoever_is_deactivated_has_no_part_in_rooms_of_other_hubs_any_more() {
    let mut lab = crate::harness::Lab::new(&["a.example", "b.example"]);
    super::open_door(lab.gateway("b.example"));
    edit(&lab.gateway("b.example").config_file(), "mail_domains: { mail.example: a.example }", "mail_domains: {}");
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let b = lab.gateway("b.example");
    let idp = Idp::of(b);
    let id = idp.user(json!({ "userName": "bob" })).await;
    assert_accepted(&bob.say(&room(), "as a follower").await.unwrap());
    alice.until_text(&room(), "as a follower").await.unwrap();
    lab.quiet().await;
    idp.patch(&format!("Users/{id}"), json!([{ "op": "replace", "path": "active", "value": false }])).await.good();
    assert_eq!(code(bob.say(&room(), "my last words").await), "user_deactivated");
    assert_eq!(b.database().number("SELECT count(*) FROM devices WHERE retired = 0"), 0);
    lab.quiet().await;
    let before = b.database().stream(bob.client());
    assert_eq!(before.last().unwrap().item.kind, "leave");
    assert_accepted(&alice.say(&room(), "not for bob").await.unwrap());
    lab.quiet().await;
    assert_eq!(before.len(), b.database().stream(bob.client()).len(), "nothing that is said reaches his device");
}

#[tokio::test]
async fn what_the_identity_provider_says_decides_and_every_decision_shows_who_says_what() {
    let mut lab = crate::harness::Lab::new(&["a.example", "b.example"]);
    super::open_door(lab.gateway("a.example"));
    let folder = lab.gateway("a.example").folder.join("policies");
    let rules =
        "rules:\n- { user: 'mimi://a.example/u/dora', clearance: 3, segments: [research], employment: guest }\n";
    edit(&folder.join("settings.yaml"), "rules: []\n\n", rules);
    let users = "users:\n- { uri: 'mimi://a.example/u/dora', jurisdiction: CH }\n";
    edit(&folder.join("settings.yaml"), "users: []", users);
    let policy = "@id(\"company.traders\")\n@reason(\"NO_TRADERS\")\nforbid (principal in Mimi::Segment::\"trading\", \
                  action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room);\n";
    std::fs::write(folder.join("ceiling/traders.cedar"), policy).unwrap();
    lab.start().await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let mut dora = lab.device("a.example/d/dora/phone").await;
    lab.bring_in(&mut alice, &mut dora, ADMIN).await;
    assert_accepted(&dora.say(&room(), "by what the settings say").await.unwrap());
    let id = idp.user(json!({ "userName": "dora", "userType": "contractor" })).await;
    assert_accepted(&dora.say(&room(), "no trader yet").await.unwrap());
    let group = idp.post("Groups", json!({ "displayName": "Traders", "members": [{ "value": id }] })).await.good();
    let denied = dora.say(&room(), "a trader").await.unwrap();
    assert!(denied.answer.is_err(), "the group holds at once");
    lab.quiet().await;
    let entries = a.database().entries();
    let entry = entries.iter().rfind(|entry| entry.record.reason == "NO_TRADERS").unwrap();
    let person = Person::at(a, &["auditor"]);
    let told = person.get(&format!("decisions/{}", entry.record.decision.unwrap())).await.body;
    let attributes = told["concerned"][0]["attributes"].as_array().unwrap().clone();
    let said = |name: &str| -> (String, String) {
        let found = attributes.iter().find(|attribute| attribute["name"] == name).unwrap();
        (found["value"].as_str().unwrap().to_owned(), found["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(told["concerned"][0]["user"], "mimi://a.example/u/dora");
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(said("segments"), pair("trading", "directory.rules[1]"), "the identity provider stands above rules");
    assert_eq!(said("clearance"), pair("2", "directory.rules[1]"));
    assert_eq!(said("employment"), pair("contractor", "directory.rules[2]"));
    assert_eq!(said("suspended"), pair("false", "users"));
    assert_eq!(said("jurisdiction"), pair("CH", "users"));
    // What was known then is known when it is asked again, whatever has changed since.
    let path = format!("Groups/{}", group["id"].as_str().unwrap());
    assert_eq!(idp.delete(&path).await.status, 204);
    assert_accepted(&dora.say(&room(), "no trader any more").await.unwrap());
    lab.quiet().await;
    let simulated = a.operated(&["policy", "simulate", folder.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_str(simulated.lines().last().unwrap()).unwrap();
    assert!(!simulated.contains("answered_otherwise") && !simulated.contains("people_not_kept"), "{report}");
    a.database().sql("DELETE FROM person_facts");
    let simulated = a.operated(&["policy", "simulate", folder.to_str().unwrap(), "--json"]);
    assert!(simulated.contains("people_not_kept"), "{simulated}");
}

#[tokio::test]
async fn what_was_said_of_people_holds_after_a_restart() {
    let mut lab = lab(&["a.example"]).await;
    let idp = Idp::of(lab.gateway("a.example"));
    lab.device("a.example/d/dora/phone").await;
    idp.user(json!({ "userName": "dora", "active": false })).await;
    let a = lab.gateway_mut("a.example");
    a.kill();
    a.restart().await;
    assert_eq!(refused(a, "a.example/u/dora").await, (403, "user_deactivated".to_owned()));
    let idp = idp.at(a);
    let renamed = idp.found("Users", "userName eq \"dora\"").await.remove(0);
    // Another name is another user of ours.
    let on = json!([{ "op": "replace", "value": { "userName": "theodora", "active": true } }]);
    idp.patch(&format!("Users/{renamed}"), on).await.good();
    assert_eq!(refused(a, "a.example/u/dora").await.0, 403);
    eventually("the new name is good", async || {
        let device = a.device(client("a.example/d/theodora/phone")).await;
        (device.user().as_str() == "mimi://a.example/u/theodora").then_some(())
    })
    .await;
}
