//! A gateway that is told to stop ends what it has begun.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Lab, client, eventually};

/// Reads until the text stands in what came.
async fn until(connection: &mut TcpStream, text: &str) -> String {
    let mut came = Vec::new();
    while !String::from_utf8_lossy(&came).contains(text) {
        assert_ne!(connection.read_buf(&mut came).await.unwrap(), 0, "{}", String::from_utf8_lossy(&came));
    }
    String::from_utf8(came).unwrap()
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_the_stop_and_takes_effect() {
    let mut lab = Lab::open(&["a.example"]).await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let gateway = lab.gateway_mut("a.example");
    let token = gateway.token(&client("a.example/d/alice/phone").user().unwrap());
    let body = r#"{"room":"mimi://a.example/r/lounge","template":"strict","name":"Lounge"}"#;
    let mut connection = TcpStream::connect(gateway.provider).await.unwrap();
    let head = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: 1\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    until(&mut connection, "100 Continue\r\n\r\n").await;
    gateway.signal("TERM");
    let door = gateway.provider;
    eventually("the door closes", async || TcpStream::connect(door).await.is_err().then_some(())).await;
    connection.write_all(body.as_bytes()).await.unwrap();
    let answer = until(&mut connection, "\"extensions\"").await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    drop((connection, alice));
    assert!(gateway.ended().await.success());
    assert_eq!(gateway.database().number("SELECT count(*) FROM rooms WHERE uri = 'mimi://a.example/r/lounge'"), 1);
}
