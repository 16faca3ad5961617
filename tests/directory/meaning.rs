use serde_json::{Value, json};

use super::{ENTERPRISE, Idp, lab, recorded, refused};
use crate::federation::assert_accepted;
use crate::harness::{ORDINARY, eventually, room};

#[tokio::test]
async fn a_user_whose_name_has_capitals_is_the_one_whom_the_identity_provider_names() {
    let lab = lab(&["a.example", "b.example"]).await;
    let (mut alice, _bob) = lab.alice_and_bob().await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let mut dora = lab.device("a.example/d/DoRa/Phone").await;
    lab.bring_in(&mut alice, &mut dora, ORDINARY).await;
    // As somebody whom a build has registered that does not know of this.
    lab.device("a.example/d/dorA/phone").await;
    a.database().sql("UPDATE users SET folded = '' WHERE uri LIKE '%dorA'");
    let id = idp.user(json!({ "userName": "Dora", "userType": "Contractor" })).await;
    assert_accepted(&dora.say(&room(), "here").await.unwrap());
    assert_eq!(idp.delete(&format!("Users/{id}")).await.status, 204);
    assert_eq!(dora.say(&room(), "my last words").await.unwrap().answer.unwrap_err().code, "user_deactivated");
    for name in ["a.example/u/DoRa", "a.example/u/dorA", "a.example/u/dora", "a.example/u/DORA"] {
        assert_eq!(refused(a, name).await, (403, "user_deactivated".to_owned()), "{name}");
    }
    alice.until_proposed(&room(), 1).await.unwrap();
    assert_accepted(&alice.commit_pending(&room()).await.unwrap());
    assert!(!alice.member().clients(&room()).unwrap().contains(dora.client()));
    assert_eq!(a.database().number("SELECT count(*) FROM users WHERE lower(uri) LIKE '%dora'"), 0);
    // What was known of her stands in the decision about the name that she has in the room.
    lab.quiet().await;
    let entries = a.database().entries();
    let said = entries.iter().rfind(|entry| {
        entry.record.kind == "decision.message" && entry.record.actor.as_deref() == Some("mimi://a.example/u/DoRa")
    });
    assert!(said.unwrap().record.detail["actions"][0]["people"]["mimi://a.example/u/DoRa"].is_string());
    let folder = a.folder.join("policies");
    let simulated = a.operated(&["policy", "simulate", folder.to_str().unwrap(), "--json"]);
    assert!(!simulated.contains("answered_otherwise") && !simulated.contains("people_not_kept"), "{simulated}");
}

#[tokio::test]
async fn nobody_is_active_again_by_what_is_not_said() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let path = format!("Users/{}", idp.user(json!({ "userName": "dora", "active": false })).await);
    let is_active = async |told: Value| told["active"].as_bool().unwrap();
    for (number, body) in
        [json!({ "userName": "dora" }), json!({ "userName": "dora", "active": null }), json!({ "userName": "DORA" })]
            .into_iter()
            .enumerate()
    {
        let mut body = body;
        body["title"] = format!("t{number}").into();
        assert!(!is_active(idp.put(&path, body.clone()).await.good()).await, "{body}");
    }
    for operation in [
        json!({ "op": "remove", "path": "active" }),
        json!({ "op": "replace", "path": "active", "value": null }),
        json!({ "op": "replace", "path": "active", "value": [] }),
        json!({ "op": "add", "value": { "active": null } }),
        json!({ "op": "replace", "value": { "urn:ietf:params:scim:schemas:core:2.0:User:active": null } }),
    ] {
        let told = idp.patch(&path, json!([operation])).await;
        assert!(told.status == 400 || !is_active(told.good()).await, "{operation}");
        assert_eq!(refused(a, "a.example/u/dora").await, (403, "user_deactivated".to_owned()), "{operation}");
    }
    // What is taken away of somebody with rights takes none away either.
    let on = json!([{ "op": "replace", "path": "active", "value": "True" }, { "op": "remove", "path": "active" }]);
    assert!(!is_active(idp.patch(&path, on).await.good()).await, "an operation that was taken back");
    idp.patch(&path, json!([{ "op": "replace", "path": "active", "value": true }])).await.good();
    assert!(is_active(idp.put(&path, json!({ "userName": "dora" })).await.good()).await);
    assert!(is_active(idp.patch(&path, json!([{ "op": "remove", "path": "active" }])).await.good()).await);
}

#[tokio::test]
async fn what_is_null_inside_of_an_extension_is_taken_away_and_its_rights_with_it() {
    let lab = lab(&["a.example"]).await;
    let idp = Idp::of(lab.gateway("a.example"));
    let dora = json!({ "userName": "dora", ENTERPRISE: { "department": "Research", "division": "D" } });
    let path = format!("Users/{}", idp.user(dora).await);
    let facts = |like: &str| {
        let query = format!("SELECT count(*) FROM people WHERE uri LIKE '%dora' AND facts LIKE '%{like}%'");
        lab.gateway("a.example").database().number(&query)
    };
    assert_eq!(facts("Research"), 1);
    let told = idp.patch(&path, json!([{ "op": "replace", "value": { ENTERPRISE: { "department": null } } }])).await;
    assert_eq!(told.good()[ENTERPRISE], json!({ "division": "D" }));
    assert_eq!(facts("Research"), 0);
}

#[tokio::test]
async fn the_manager_of_a_person_is_whoever_it_is_by_now() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let ann = idp.user(json!({ "userName": "ann" })).await;
    let dora = json!({ "userName": "dora", ENTERPRISE: { "manager": { "value": ann } } });
    let path = format!("Users/{}", idp.user(dora).await);
    let known = |manager: &str| {
        let facts = format!("%\"manager\":\"mimi://a.example/u/{manager}\"%");
        a.database().number(&format!("SELECT count(*) FROM people WHERE uri LIKE '%dora' AND facts LIKE '{facts}'"))
            == 1
    };
    assert!(known("ann"));
    let tag = idp.get(&path).await.tag;
    let named = json!([{ "op": "replace", "path": "userName", "value": "anna" }]);
    idp.patch(&format!("Users/{ann}"), named).await.good();
    assert!(known("anna"));
    assert_eq!(idp.get(&path).await.tag, tag, "of the person itself nothing has changed");
    assert_eq!(idp.delete(&format!("Users/{ann}")).await.status, 204);
    assert!(!known("anna") && !known("ann"));
    let kept = "SELECT count(*) FROM people WHERE facts NOT IN (SELECT CAST(content AS TEXT) FROM person_facts)";
    assert_eq!(a.database().number(kept), 0, "what is known stands under its name");
}

#[tokio::test]
async fn of_whom_nothing_can_be_read_has_no_rights_and_the_others_go_on() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let (dora, carol) = (idp.user(json!({ "userName": "dora" })).await, idp.user(json!({ "userName": "carol" })).await);
    lab.device("a.example/d/dora/phone").await;
    let broken = "UPDATE people_head SET revision = revision + 1; UPDATE people SET facts = 'wings', content = '{', \
                  revision = (SELECT revision FROM people_head) WHERE uri LIKE '%dora'";
    a.database().sql(broken);
    eventually("she has no rights", async || {
        let user = crate::harness::user("a.example/u/dora");
        let error = a.client(&user).register_user(&user).await.err()?;
        (error.problem().unwrap().code == "user_deactivated").then_some(())
    })
    .await;
    // What comes later is taken in.
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    idp.patch(&format!("Users/{carol}"), off).await.good();
    assert_eq!(refused(a, "a.example/u/carol").await, (403, "user_deactivated".to_owned()));
    idp.post("Groups", json!({ "displayName": "all", "members": [{ "value": dora }, { "value": carol }] }))
        .await
        .good();
    lab.quiet().await;
    let told = recorded(a, "directory.unreadable");
    assert_eq!(told[0].record.detail["user"], "mimi://a.example/u/dora");
    assert_eq!(told[0].record.outcome, portcullis_store::audit::Outcome::Alarm);
    // Written anew she is who she was.
    idp.put(&format!("Users/{dora}"), json!({ "userName": "dora" })).await.good();
    let user = crate::harness::user("a.example/u/dora");
    a.client(&user).register_user(&user).await.unwrap();
    // The same again, where nothing but what policies know is damaged.
    a.database().sql(&broken.replace("content = '{', ", ""));
    eventually("she has no rights once more", async || {
        let error = a.client(&user).register_user(&user).await.err()?;
        (error.problem().unwrap().code == "user_deactivated").then_some(())
    })
    .await;
    idp.put(&format!("Users/{dora}"), json!({ "userName": "dora" })).await.good();
    a.client(&user).register_user(&user).await.unwrap();
}

#[tokio::test]
async fn a_change_of_a_group_looks_at_those_it_is_about_and_a_list_at_no_members() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let mut ids = Vec::new();
    for name in ["ann", "bob", "carol", "dora"] {
        ids.push(idp.user(json!({ "userName": name })).await);
    }
    let members: Vec<Value> = ids[..3].iter().map(|id| json!({ "value": id })).collect();
    let made = idp.post("Groups", json!({ "displayName": "all", "members": members })).await.good();
    let path = format!("Groups/{}", made["id"].as_str().unwrap());
    // Whoever looks at this one fails.
    a.database().sql("UPDATE people SET state = 9 WHERE uri LIKE '%/ann'");
    let changed = json!([
        { "op": "add", "path": "members", "value": [{ "value": ids[3] }, { "value": ids[1] }] },
        { "op": "remove", "path": format!("members[value eq \"{}\"]", ids[2]) },
    ]);
    let told = idp.patch(&path, changed).await;
    assert_eq!((told.status, told.tag.as_deref(), told.body), (204, Some("W/\"2\""), Value::Null));
    let listed = idp.get("Groups").await.good();
    assert_eq!((&listed["totalResults"], &listed["Resources"][0]["displayName"]), (&json!(1), &json!("all")));
    assert!(listed["Resources"][0].get("members").is_none(), "{listed}");
    a.database().sql("UPDATE people SET state = 0 WHERE uri LIKE '%/ann'");
    let named = |told: &Value| -> Vec<String> {
        let members = told["members"].as_array().unwrap().iter();
        members.map(|member| member["display"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named(&idp.get(&path).await.good()), ["ann", "bob", "dora"]);
    assert_eq!(named(&idp.get("Groups?attributes=members").await.good()["Resources"][0]), ["ann", "bob", "dora"]);
    let nobody = json!([{ "op": "remove", "path": "members[value sw \"\"]" }]);
    let asked = idp.patch(&format!("{path}?attributes=members"), nobody).await;
    assert!(asked.good().get("members").is_none());
    // As Entra asks whether somebody is in a group.
    idp.patch(&path, json!([{ "op": "add", "path": "members", "value": [{ "value": ids[0] }] }])).await.good();
    for (filter, found) in [
        (format!("members eq \"{}\"", ids[0]), 1),
        (format!("members.value eq \"{}\" and displayName sw \"a\"", ids[0]), 1),
        (format!("members eq \"{}\"", ids[1]), 0),
        (format!("not (members eq \"{}\")", ids[1]), 1),
        ("members pr".to_owned(), 1),
        (format!("members[value eq \"{}\"]", ids[0]), 1),
    ] {
        assert_eq!(idp.found("Groups", &filter).await.len(), found, "{filter}");
    }
    let user = idp.user(json!({ "userName": "eve" })).await;
    lab.quiet().await;
    let token = a.operated(&["directory", "token", "list", "--json"]);
    let token: Value = serde_json::from_str(token.lines().last().unwrap()).unwrap();
    for entry in recorded(a, "directory.group").iter().chain(&recorded(a, "directory.user")) {
        assert_eq!(entry.record.detail["token"], token["id"], "a name may stand for several tokens: {user}");
    }
}
