use serde_json::json;

use super::{Idp, open_door};
use crate::harness::{Cluster, Lab, eventually, user};

#[tokio::test]
async fn two_processes_on_one_database_take_one_user_once_and_know_the_same() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example"]);
    open_door(lab.gateway("a.example"));
    let replicas = lab.replicas("a.example", cluster.url()).await;
    let [one, other] = &replicas.gateways[..] else { panic!("two") };
    let here = Idp::of(one);
    let there = here.at(other);
    let (first, second) = tokio::join!(
        here.post("Users", json!({ "userName": "dora" })),
        there.post("Users", json!({ "userName": "dora" }))
    );
    let mut both = [first.status, second.status];
    both.sort_unstable();
    assert_eq!(both, [201, 409], "{first:?} {second:?}");
    let id = here.found("Users", "userName eq \"dora\"").await.remove(0);
    let path = format!("Users/{id}");
    // Each change is of the one before it, whichever process takes it.
    let changes = (0..10).map(|number| {
        let idp = if number % 2 == 0 { &here } else { &there };
        idp.patch(&path, json!([{ "op": "replace", "path": "title", "value": format!("t{number}") }]))
    });
    for changed in futures_util::future::join_all(changes).await {
        assert_eq!(changed.status, 200, "{changed:?}");
    }
    assert_eq!(there.get(&path).await.tag.as_deref(), Some("W/\"11\""));
    let dora = user("a.example/u/dora");
    other.client(&dora).register_user(&dora).await.unwrap();
    here.patch(&path, json!([{ "op": "replace", "path": "active", "value": false }])).await.good();
    // What was told here is refused there: by the row at once, and by the door as soon as it has heard.
    let refused = other.client(&dora).register_user(&dora).await.unwrap_err();
    assert!(matches!(refused.problem().unwrap().status, 403 | 409), "{refused:?}");
    eventually("the other process has heard", async || {
        let error = other.client(&dora).register_user(&dora).await.unwrap_err();
        (error.problem().unwrap().code == "user_deactivated").then_some(())
    })
    .await;
    assert_eq!(one.database().number("SELECT count(*) FROM users"), 0);
}

#[tokio::test]
async fn nobody_is_registered_at_one_process_beside_being_deactivated_for_the_first_time_at_the_other() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example"]);
    open_door(lab.gateway("a.example"));
    let replicas = lab.replicas("a.example", cluster.url()).await;
    let [one, other] = &replicas.gateways[..] else { panic!("two") };
    let idp = Idp::of(one);
    for number in 0..24 {
        let (name, spelt) = (format!("user{number}"), format!("a.example/u/User{number}"));
        let user = user(&spelt);
        let (door, device) = (other.client(&user), crate::harness::client(&format!("a.example/d/User{number}/phone")));
        let registered = async {
            door.register_user(&user).await?;
            door.register_device(&device).await?;
            door.deregister_device(&device).await
        };
        let (told, came) = tokio::join!(idp.post("Users", json!({ "userName": name, "active": false })), registered);
        assert_eq!(told.status, 201, "{told:?}");
        if let Err(error) = came {
            assert!(matches!(error.problem().unwrap().status, 403 | 404), "{error:?}");
        }
        let left = format!("SELECT count(*) FROM users WHERE lower(uri) LIKE '%/{name}'");
        assert_eq!(one.database().number(&left), 0, "{name} is registered although it has no rights");
        // A device that goes at the same moment is in nobody's way.
        let (alice, device) = (format!("alice{number}"), format!("a.example/d/alice{number}/phone"));
        let id = idp.user(json!({ "userName": alice })).await;
        let phone = other.device(crate::harness::client(&device)).await;
        let off = json!([{ "op": "replace", "path": "active", "value": false }]);
        let path = format!("Users/{id}");
        let deleting = other.client(phone.user());
        let (told, deleted) = tokio::join!(idp.patch(&path, off), deleting.deregister_device(phone.client()));
        assert_eq!(told.status, 200, "{told:?}");
        if let Err(error) = deleted {
            assert!(matches!(error.problem().unwrap().status, 403 | 404 | 429), "{error:?}");
        }
    }
    assert_eq!(one.database().number("SELECT count(*) FROM devices"), 0);
}
