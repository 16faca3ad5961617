use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::admin::address;
use crate::harness::{Gateway, Lab, client};

/// When a door that keeps an idle connection for five seconds and has one for a head should have given up long ago.
const DEADLINE: Duration = Duration::from_secs(40);

/// A whole request, which nothing answers.
const WHOLE: &[u8] = b"GET /nothing HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// The beginning of another one.
const HALF: &[u8] = b"GET /v1/sta";

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A connection of HTTP/1.1 to the federation door, of somebody without a certificate.
fn over_tls(gateway: &Gateway, tcp: TcpStream) -> impl Wire + use<> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(gateway.folder.join("keys/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = gateway.domain.to_string().try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// Reads one answer to its end.
fn answer(wire: &mut dyn Wire) {
    let (mut read, mut octet) = (Vec::new(), [0]);
    while !read.ends_with(b"\r\n\r\n") {
        wire.read_exact(&mut octet).unwrap();
        read.push(octet[0]);
    }
    let head = String::from_utf8(read).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    wire.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
}

#[tokio::test]
async fn a_connection_that_stops_in_the_head_of_a_further_request_is_closed_and_one_with_an_answer_under_way_is_not() {
    let mut lab = Lab::new(&["a.example"]);
    lab.gateways[0].configure("limits: { head_seconds: 1 }\n");
    lab.gateways[0].restart().await;
    let gateway = &lab.gateways[0];
    let phone = client("a.example/d/alice/phone");
    let alice = gateway.device(phone.clone()).await;
    let tail = phone.as_str().replace(':', "%3A").replace('/', "%2F");
    let events = Client::new()
        .get(format!("http://{}/v1/devices/{tail}/events", gateway.provider))
        .bearer_auth(gateway.token(alice.user()));
    let mut events = events.send().await.unwrap().error_for_status().unwrap();

    let admin = address(&gateway.log()).parse().unwrap();
    let connections = [gateway.provider, admin, gateway.federation].map(|door| {
        let tcp = TcpStream::connect(door).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        let wire: Box<dyn Wire + Send> =
            if door == gateway.federation { Box::new(over_tls(gateway, tcp)) } else { Box::new(tcp) };
        (door, wire)
    });
    let closed = connections.map(|(door, mut wire)| {
        tokio::task::spawn_blocking(move || {
            wire.write_all(WHOLE).unwrap();
            answer(&mut wire);
            wire.write_all(HALF).unwrap();
            // Whether it is shut or reset, it ends: what runs out of time says so.
            let ended = wire.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
            assert!(!matches!(ended, Err(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)), "{door}");
        })
    });
    for door in closed {
        door.await.unwrap();
    }
    let heard = events.chunk().now_or_never();
    assert!(heard.as_ref().is_none_or(|heard| matches!(heard, Ok(Some(_)))), "{heard:?}");
}
