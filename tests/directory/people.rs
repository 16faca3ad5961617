use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ENTERPRISE, Idp, lab, recorded};

#[tokio::test]
async fn a_user_is_made_found_changed_and_deleted_and_each_change_is_on_the_record() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let sent = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE], "userName": "Alice@mail.example",
        "externalId": "00u1", "name": { "givenName": "Alice" }, "active": true, "password": "secret",
        "emails": [{ "value": "alice@mail.example", "type": "work", "primary": true }],
        ENTERPRISE: { "department": "Research" },
    });
    let made = idp.post("Users", sent.clone()).await;
    assert_eq!((made.status, made.tag.as_deref()), (201, Some("W/\"1\"")));
    let made = made.good();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["meta"]["location"], format!("https://id.a.example/scim/v2/Users/{id}"));
    assert!(made.get("password").is_none() && made["meta"]["created"].as_str().unwrap().ends_with('Z'), "{made}");
    assert_eq!(idp.post("Users", sent.clone()).await.refusal(), (409, "uniqueness"));
    assert_eq!(idp.post("Users", json!({ "userName": "ALICE" })).await.refusal(), (409, "uniqueness"), "the same user");
    let path = format!("Users/{id}");
    for filter in [
        "userName eq \"alice@MAIL.example\"",
        "externalId eq \"00u1\"",
        "id eq \"ID\" and active eq true",
        "emails[type eq \"work\" and value co \"@mail\"]",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"research\"",
    ] {
        assert_eq!(idp.found("Users", &filter.replace("ID", &id)).await, [id.as_str()], "{filter}");
    }
    for filter in ["userName eq \"bob\"", "externalId eq \"00U1\"", "active eq false", "id eq \"x\""] {
        assert!(idp.found("Users", filter).await.is_empty(), "{filter}");
    }
    assert_eq!(idp.get("Users?filter=userName%20is%20x").await.refusal(), (400, "invalidFilter"));
    // As Entra changes it, then as Okta does.
    let changed = idp.patch(&path, json!([{ "op": "Replace", "path": "userType", "value": "Contractor" }])).await;
    assert_eq!((changed.status, changed.tag.as_deref()), (200, Some("W/\"2\"")));
    let put = json!({ "userName": "alice@mail.example", "active": "True", ENTERPRISE: { "department": "Trade" } });
    let changed = idp.put(&path, put.clone()).await.good();
    assert!(changed.get("userType").is_none() && changed["active"] == true && changed["meta"]["version"] == "W/\"3\"");
    assert_eq!(idp.put(&path, put.clone()).await.tag.as_deref(), Some("W/\"3\""), "nothing has changed");
    let stale = idp.request(reqwest::Method::PUT, &path).header("If-Match", "W/\"2\"").body(put.to_string());
    assert_eq!(idp.send(stale).await.status, 412);
    let known = idp.request(reqwest::Method::GET, &path).header("If-None-Match", "W/\"3\"");
    assert_eq!(idp.send(known).await.status, 304);
    let told = idp.get(&format!("{path}?attributes=userName")).await.good();
    let names: BTreeSet<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["id", "schemas", "userName"]));
    assert_eq!(
        idp.patch(&path, json!([{ "op": "replace", "path": "id", "value": "x" }])).await.refusal(),
        (400, "mutability")
    );
    assert_eq!(
        idp.post("Users", json!({ "userName": "eve@elsewhere.example" })).await.refusal(),
        (400, "invalidValue")
    );
    assert_eq!(idp.delete(&path).await.status, 204);
    assert_eq!(
        (idp.get(&path).await.status, idp.delete(&path).await.status, idp.get("Users/x").await.status),
        (404, 404, 404)
    );
    let again = idp.user(sent).await;
    assert_ne!(again, id, "whoever is created again is somebody else to the identity provider");
    lab.quiet().await;
    let told: Vec<(String, Value, Value)> = recorded(a, "directory.user")
        .into_iter()
        .map(|entry| (entry.record.reason, entry.record.detail["before"].clone(), entry.record.detail["after"].clone()))
        .collect();
    let reasons: Vec<&str> = told.iter().map(|(reason, ..)| reason.as_str()).collect();
    assert_eq!(reasons, ["created", "changed", "changed", "deleted", "created"]);
    assert!(told[0].1.is_null() && told[0].2["userName"] == "Alice@mail.example");
    assert_eq!((&told[1].1["userType"], &told[1].2["userType"]), (&Value::Null, &json!("Contractor")));
    assert_eq!(told[2].2["enterprise"]["department"], "Trade");
    assert_eq!(recorded(a, "directory.token_created")[0].record.detail["name"], "okta");
    assert!(recorded(a, "directory.user").iter().all(|entry| entry.record.actor.as_deref() == Some("directory:okta")));
}

#[tokio::test]
async fn groups_have_members_who_come_and_go_as_identity_providers_say_it() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let (alice, bob) = (idp.user(json!({ "userName": "alice" })).await, idp.user(json!({ "userName": "bob" })).await);
    let made = idp.post("Groups", json!({ "displayName": "Traders", "members": [{ "value": alice }] })).await.good();
    let path = format!("Groups/{}", made["id"].as_str().unwrap());
    assert_eq!(made["members"][0]["display"], "alice");
    assert_eq!(idp.post("Groups", json!({ "displayName": "TRADERS" })).await.refusal(), (409, "uniqueness"));
    let nobody = json!([{ "op": "Add", "path": "members", "value": [{ "value": uuid::Uuid::nil() }] }]);
    assert_eq!(idp.patch(&path, nobody).await.refusal(), (400, "invalidValue"));
    let members = async || -> Vec<String> {
        let told = idp.get(&path).await.good();
        let members = told["members"].as_array().cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
    };
    for (operations, left) in [
        (json!([{ "op": "Add", "path": "members", "value": [{ "value": bob }] }]), vec![&alice, &bob]),
        (json!([{ "op": "Add", "path": "members", "value": [{ "value": bob }] }]), vec![&alice, &bob]),
        (json!([{ "op": "remove", "path": format!("members[value eq \"{alice}\"]") }]), vec![&bob]),
        (json!([{ "op": "Remove", "path": "members", "value": [{ "value": bob }] }]), vec![]),
        (
            json!([{ "op": "replace", "path": "members", "value": [{ "value": alice }, { "value": bob }] }]),
            vec![&alice, &bob],
        ),
        (json!([{ "op": "replace", "value": { "id": "x", "displayName": "Floor" } }]), vec![&alice, &bob]),
    ] {
        idp.patch(&path, operations.clone()).await.good();
        assert_eq!(members().await, left.into_iter().cloned().collect::<Vec<_>>(), "{operations}");
    }
    assert_eq!(idp.found("Groups", "displayName eq \"floor\"").await.len(), 1);
    assert_eq!(idp.found("Groups", &format!("members.value eq \"{bob}\"")).await.len(), 1);
    assert!(idp.get(&format!("{path}?excludedAttributes=members")).await.good().get("members").is_none());
    let shown = idp.get(&format!("Users/{alice}")).await.good();
    assert_eq!(shown["groups"][0]["display"], "Floor");
    assert_eq!(idp.delete(&format!("Users/{bob}")).await.status, 204);
    assert_eq!(members().await, [alice.as_str()], "who is deleted is in no group");
    assert_eq!(idp.delete(&path).await.status, 204);
    assert!(idp.get(&format!("Users/{alice}")).await.good().get("groups").is_none());
    lab.quiet().await;
    let told = recorded(a, "directory.group");
    assert_eq!(told[1].record.detail["added"], json!({ "count": 1, "users": [bob] }));
    assert_eq!(
        told.last().unwrap().record.detail["before"],
        json!({ "displayName": "Floor", "externalId": "", "members": 1 })
    );
    assert_eq!(told.len(), 7, "what changes nothing is not on the record");
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let lab = lab(&["a.example"]).await;
    let idp = Idp::of(lab.gateway("a.example"));
    for number in 0..7 {
        idp.user(json!({ "userName": format!("user{number}") })).await;
    }
    for (query, names, total) in [
        ("startIndex=1&count=3", vec!["user0", "user1", "user2"], 7),
        ("startIndex=7&count=3", vec!["user6"], 7),
        ("startIndex=9&count=3", vec![], 7),
        ("startIndex=-1&count=1", vec!["user0"], 7),
        ("count=0", vec![], 7),
        ("count=-3", vec![], 7),
        ("filter=userName%20sw%20%22user%22&startIndex=3&count=2", vec!["user2", "user3"], 7),
        ("filter=userName%20gt%20%22user4%22&count=9", vec!["user5", "user6"], 2),
    ] {
        let told = idp.get(&format!("Users?{query}")).await.good();
        let found: Vec<&str> =
            told["Resources"].as_array().unwrap().iter().map(|user| user["userName"].as_str().unwrap()).collect();
        assert_eq!((found, told["totalResults"].as_u64()), (names, Some(total)), "{query}");
    }
    assert_eq!(idp.get("Users?count=many").await.refusal(), (400, "invalidValue"));
}
