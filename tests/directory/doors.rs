use portcullis::scim;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Idp, lab, recorded};
use crate::admin::Person;

#[tokio::test]
async fn every_route_of_the_directory_door_is_closed_to_whoever_has_no_token_of_it() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let user = crate::harness::user("a.example/u/alice");
    let revoked = Idp::of(a);
    let listed = a.operated(&["directory", "token", "list", "--json"]);
    let last: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    let id = last["id"].as_str().unwrap();
    assert!(revoked.get("Users").await.status == 200);
    a.operated(&["directory", "token", "revoke", id, "--reason", "CASE-8"]);
    assert!(!a.operate(&["directory", "token", "revoke", id, "--reason", "CASE-8"]).status.success());
    let bad = [
        None,
        Some("no".to_owned()),
        Some(a.token(&user)),
        Some(revoked.token.clone()),
        Some(format!("{}x", idp.token)),
        Some(idp.token.replace("pcd_", "")),
    ];
    for (method, path) in scim::routes() {
        let path = path.replace("{id}", &Uuid::nil().to_string()).replace("{name}", "User").replace("{urn}", "x");
        assert!(!path.contains('{'), "the route `{path}` has no case");
        for token in &bad {
            let request = Client::new().request(method.as_str().parse().unwrap(), format!("{}{path}", idp.origin));
            let request = request.body("{\"userName\":\"eve\",\"displayName\":\"eve\"}");
            let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
            let told = idp.send(request).await;
            assert_eq!(told.refusal(), (401, ""), "{method} {path}");
        }
    }
    // A token of this door opens no other.
    let admin = Person::with(a, idp.token.clone());
    assert_eq!(admin.get("status").await.refusal(), (401, "token_invalid"));
    lab.quiet().await;
    assert!(recorded(a, "directory.user").is_empty() && recorded(a, "directory.group").is_empty());
    assert_eq!(recorded(a, "directory.token_revoked")[0].record.reason, "CASE-8");
    assert_eq!(a.database().number("SELECT count(*) FROM people_tokens WHERE name LIKE '%pcd%'"), 0);
}

#[tokio::test]
async fn what_is_too_much_or_makes_no_sense_is_refused_and_changes_nothing() {
    let lab = lab(&["a.example"]).await;
    let a = lab.gateway("a.example");
    let idp = Idp::of(a);
    let user = idp.user(json!({ "userName": "alice" })).await;
    let raw = async |path: &str, body: String| idp.send(idp.request(Method::POST, path).body(body)).await;
    assert_eq!(raw("Users", "x".repeat(1024 * 1024 + 1)).await.status, 413);
    assert_eq!(raw("Users", "{".to_owned()).await.refusal(), (400, "invalidSyntax"));
    assert_eq!(raw("Users", "[]".to_owned()).await.refusal(), (400, "invalidSyntax"));
    let deep = format!("{{\"userName\":{}{}}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(raw("Users", deep).await.refusal(), (400, "invalidSyntax"));
    let many: Vec<Value> = (0..10_001).map(|number| json!({ "value": Uuid::from_u128(number) })).collect();
    let told = idp.post("Groups", json!({ "displayName": "all", "members": many })).await;
    assert_eq!(told.refusal(), (400, "invalidValue"));
    let filter = format!("userName eq \"{}\"", "x".repeat(4096));
    let told = idp.get(&format!("Users?filter={}", super::escaped(&filter))).await;
    assert_eq!(told.refusal(), (400, "invalidFilter"));
    let path = format!("Users/{user}");
    assert_eq!(idp.patch(&path, json!([{ "op": "fly" }])).await.refusal(), (400, "invalidSyntax"));
    assert_eq!(
        idp.patch(&path, json!([{ "op": "add", "path": "wings", "value": 2 }])).await.refusal(),
        (400, "invalidPath")
    );
    assert_eq!(idp.patch(&path, json!([{ "op": "remove" }])).await.refusal(), (400, "noTarget"));
    let half =
        json!([{ "op": "replace", "path": "title", "value": "Dr" }, { "op": "replace", "path": "id", "value": "x" }]);
    assert_eq!(idp.patch(&path, half).await.refusal(), (400, "mutability"));
    assert!(idp.get(&path).await.good().get("title").is_none(), "all of it or nothing");
    assert_eq!(idp.send(idp.request(Method::PATCH, "Users")).await.status, 405);
    assert_eq!(idp.get("Wings").await.status, 404);
    lab.quiet().await;
    assert_eq!(recorded(a, "directory.user").len(), 1);
}

#[tokio::test]
async fn the_door_says_what_it_can_do() {
    let lab = lab(&["a.example"]).await;
    let idp = Idp::of(lab.gateway("a.example"));
    let config = idp.get("ServiceProviderConfig").await.good();
    assert_eq!((&config["patch"]["supported"], &config["bulk"]["supported"]), (&json!(true), &json!(false)));
    let types = idp.get("ResourceTypes").await.good();
    assert_eq!(types["Resources"][0]["schemaExtensions"][0]["schema"], super::ENTERPRISE);
    assert_eq!(idp.get("ResourceTypes/Group").await.good()["endpoint"], "/Groups");
    let schemas = idp.get("Schemas").await.good();
    assert_eq!(schemas["totalResults"], 3);
    let user = idp.get("Schemas/urn:ietf:params:scim:schemas:core:2.0:User").await.good();
    let attributes = user["attributes"].as_array().unwrap();
    let name = attributes.iter().find(|attribute| attribute["name"] == "userName").unwrap();
    assert_eq!((&name["required"], &name["uniqueness"]), (&json!(true), &json!("server")));
    assert!(attributes.iter().all(|attribute| attribute["name"] != "password"), "what is not kept is not offered");
    assert_eq!(idp.get("Schemas/x").await.status, 404);
}
