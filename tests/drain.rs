//! A gateway that is told to stop ends what it has begun.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Cluster, Gateway, Lab, client, edit, eventually};

/// What makes a room.
const BODY: &str = r#"{"room":"mimi://a.example/r/lounge","template":"strict","name":"Lounge"}"#;

/// When a gateway whose database does not answer should have ended long ago.
const DEADLINE: Duration = Duration::from_secs(90);

/// Reads until the text stands in what came.
async fn until(connection: &mut TcpStream, text: &str) -> String {
    let mut came = Vec::new();
    while !String::from_utf8_lossy(&came).contains(text) {
        assert_ne!(connection.read_buf(&mut came).await.unwrap(), 0, "{}", String::from_utf8_lossy(&came));
    }
    String::from_utf8(came).unwrap()
}

/// A request of Alice, which the gateway has taken up and which lacks nothing but its [`BODY`].
async fn begin(gateway: &Gateway) -> TcpStream {
    let token = gateway.token(&client("a.example/d/alice/phone").user().unwrap());
    let mut connection = TcpStream::connect(gateway.provider).await.unwrap();
    let head = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: 1\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        BODY.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    until(&mut connection, "100 Continue\r\n\r\n").await;
    connection
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_the_stop_and_takes_effect() {
    let mut lab = Lab::open(&["a.example"]).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let gateway = lab.gateway_mut("a.example");
    let mut connection = begin(gateway).await;
    gateway.signal("TERM");
    let door = gateway.provider;
    eventually("the door closes", async || TcpStream::connect(door).await.is_err().then_some(())).await;
    connection.write_all(BODY.as_bytes()).await.unwrap();
    let answer = until(&mut connection, "\"extensions\"").await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    drop((connection, alice));
    assert!(gateway.ended().await.success());
    assert_eq!(gateway.database().number("SELECT count(*) FROM rooms WHERE uri = 'mimi://a.example/r/lounge'"), 1);
}

#[tokio::test]
async fn a_gateway_whose_database_does_not_answer_ends_all_the_same() {
    let cluster = Cluster::start();
    let mut lab = Lab::new(&["a.example"]);
    let config = lab.gateway("a.example").config_file();
    edit(&config, "database: sqlite:portcullis.db", &format!("database: {}", cluster.url()));
    lab.start().await;
    let _alice = lab.device("a.example/d/alice/phone").await;
    let gateway = lab.gateway_mut("a.example");
    let mut connection = begin(gateway).await;
    let _frozen = cluster.freeze();
    connection.write_all(BODY.as_bytes()).await.unwrap();
    gateway.signal("TERM");
    assert!(gateway.ended_within(DEADLINE).await.success());
}
