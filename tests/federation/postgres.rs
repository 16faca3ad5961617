use super::{assert_accepted, assert_in_step, forged, refusal};
use crate::harness::{Cluster, Lab, ORDINARY, edit, room};

#[tokio::test]
async fn gateways_on_postgresql_do_what_gateways_on_sqlite_do() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example", "b.example", "c.example"]);
    let on_postgres = lab.gateway("a.example").config_file();
    edit(&on_postgres, "database: sqlite:portcullis.db", &format!("database: {}", cluster.url()));
    for gateway in &mut lab.gateways {
        gateway.start();
    }
    for gateway in &mut lab.gateways {
        gateway.ready().await;
    }
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = lab.device("c.example/d/cathy/phone").await;
    lab.bring_in(&mut bob, &mut cathy, ORDINARY).await;
    alice.until_epoch(&room(), 2).await.unwrap();
    assert_in_step(&[&alice, &bob, &cathy]);

    assert_accepted(&cathy.say(&room(), "hello").await.unwrap());
    for device in [&mut alice, &mut bob] {
        device.until_text(&room(), "hello").await.unwrap();
    }
    let mut laptop = lab.device("c.example/d/cathy/laptop").await;
    let (_, material) = laptop.ask_group_info(&room()).await.unwrap();
    assert_accepted(&laptop.external_join(&room(), &material.unwrap(), None).await.unwrap());
    for device in [&mut alice, &mut bob, &mut cathy] {
        device.until_epoch(&room(), 3).await.unwrap();
    }
    let commit = bob.member_mut().commit_pending(&room()).unwrap();
    assert_eq!(refusal(bob.update(&room(), &forged(&commit)).await.unwrap()), "not_allowed");
    let room = room();
    let (of_alice, of_bob) = tokio::join!(alice.commit_pending(&room), bob.commit_pending(&room));
    assert_ne!(of_alice.unwrap().answer.is_ok(), of_bob.unwrap().answer.is_ok());

    lab.gateway_mut("a.example").kill();
    lab.gateway_mut("a.example").restart().await;
    for device in [&mut alice, &mut bob, &mut cathy, &mut laptop] {
        device.until_epoch(&room, 4).await.unwrap();
    }
    assert_in_step(&[&alice, &bob, &cathy, &laptop]);
    let hub = lab.gateway("a.example").database();
    hub.assert_one_commit_per_epoch();
    hub.assert_gapless();
}
