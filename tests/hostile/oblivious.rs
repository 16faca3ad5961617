use bhttp::{Message, Mode};
use ohttp::{ClientRequest, ClientResponse};

use super::{ATTACKS, Attack, Scene, slow};
use crate::harness::Gateway;

/// What attacks the gateway of Oblivious HTTP.
pub(super) const SUITE: fn() = oblivious_requests;

/// Reasons of refusals: of what was asked for, and of what was not read.
const NO_HOST: &str = "not_an_asset_host";
const NO_DOWNLOAD: &str = "not_a_download";

/// A client does not sign, and nobody knows it: what can be attacked is the seal, and how often it is opened.
#[tokio::test]
async fn oblivious_requests() {
    let mut scene = Scene::open().await;
    for attack in ATTACKS {
        let (a, b, c) = (scene.gateway("a.example"), scene.gateway("b.example"), scene.gateway("c.example"));
        let url = format!("https://a.example:{}/.well-known/ohttp-gateway", a.federation.port());
        let keys = slow::client(b, a).get(&url).send().await.unwrap().bytes().await.unwrap();
        let asking_at = |path: &str, date: Option<&str>| -> (Vec<u8>, ClientResponse) {
            let parts = ["GET", "https", "files.b.example", path].map(|part| part.as_bytes().to_vec());
            let [method, scheme, authority, path] = parts;
            let (mut message, mut inside) = (Message::request(method, scheme, authority, path), Vec::new());
            date.iter().for_each(|date| message.put_header("date", *date));
            message.write_bhttp(Mode::KnownLength, &mut inside).unwrap();
            ClientRequest::from_encoded_config_list(&keys).unwrap().encapsulate(&inside).unwrap()
        };
        let asking = |path: &str| asking_at(path, None);
        let send = async |by: &Gateway, body: Vec<u8>| {
            let from = format!("mimi@{}", if std::ptr::eq(by, b) { "b.example" } else { "c.example" });
            let answer = slow::client(by, a).post(&url).header("from", from).body(body).send().await.unwrap();
            (answer.status().as_u16(), answer.bytes().await.unwrap())
        };
        let inside = |answer: &[u8], opener: ClientResponse| {
            let answer = opener.decapsulate(answer).unwrap();
            Message::read_bhttp(&mut std::io::Cursor::new(answer)).unwrap().control().status().unwrap().code()
        };
        let before = a.database().entries().len();
        let (good, opener) = asking("/file");
        let decided: &[&str] = match attack {
            // Nobody has named the host, which is said inside, and the record says that it was; a second time it is refused
            // before that. What one request is answered is opened once: here it is the second answer.
            Attack::Replay => {
                assert_eq!(send(b, good.clone()).await.0, 200);
                let (status, again) = send(b, good).await;
                assert_eq!((status, inside(&again, opener)), (200, 425));
                &[NO_HOST, NO_DOWNLOAD]
            }
            // What says of itself that it is old; and what was kept back after it was answered.
            Attack::Stale => {
                let (old, opens_old) = asking_at("/file", Some("Thu, 01 Jan 1970 00:00:00 GMT"));
                assert_eq!(inside(&send(b, old).await.1, opens_old), 400);
                let (between, opens_between) = asking("/other");
                assert_eq!(send(b, good.clone()).await.0, 200);
                assert_eq!(inside(&send(b, between).await.1, opens_between), 403);
                let (status, late) = send(b, good).await;
                assert_eq!((status, inside(&late, opener)), (200, 425));
                &[NO_HOST, NO_HOST, NO_DOWNLOAD, NO_DOWNLOAD]
            }
            // Whichever of them it is: one is the first, and the other is not, nor is what comes when both are answered.
            Attack::Duplicate => {
                let (one, two) = tokio::join!(send(b, good.clone()), send(b, good.clone()));
                assert_eq!((one.0, two.0), (200, 200));
                assert_eq!(inside(&send(b, good).await.1, opener), 425);
                &[NO_HOST, NO_DOWNLOAD, NO_DOWNLOAD]
            }
            Attack::Reorder => {
                let (other, opens_other) = asking("/other");
                assert_eq!(inside(&send(b, other).await.1, opens_other), 403);
                assert_eq!(inside(&send(b, good).await.1, opener), 403);
                &[NO_HOST, NO_HOST]
            }
            // Whoever relays it: it is the relay that is decided about.
            Attack::WrongIdentity => {
                assert_eq!(inside(&send(c, good).await.1, opener), 403);
                &[NO_HOST]
            }
            Attack::Truncate => {
                for end in [0, 1, 7, 38, 39, good.len() - 1] {
                    assert_eq!(send(b, good[..end].to_vec()).await.0, 400, "{end}");
                }
                &[]
            }
            Attack::Oversize => {
                assert_eq!(send(b, vec![0; (256 << 10) + 1]).await.0, 413);
                &[]
            }
            Attack::Forged => {
                for at in [0, 2, 8, good.len() - 1] {
                    let mut forged = good.clone();
                    forged[at] ^= 1;
                    assert_eq!(send(b, forged).await.0, 400, "{at}");
                }
                &[]
            }
            Attack::Slow => {
                let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
                let request = slow::client(b, a).post(&url).header("from", "mimi@b.example");
                let given_up = request.body(reqwest::Body::wrap_stream(never)).send().await.unwrap();
                assert_eq!(given_up.status().as_u16(), 408);
                &[]
            }
        };
        scene.lab.quiet().await;
        let entries = scene.gateway("a.example").database().entries();
        let recorded = entries[before..].iter().filter(|entry| entry.record.kind == "decision.download");
        let mut recorded: Vec<&str> = recorded.map(|entry| entry.record.reason.as_str()).collect();
        recorded.sort_by_key(|reason| *reason != NO_HOST);
        assert_eq!(recorded, decided, "{attack:?}");
        scene.assert_unharmed().await;
    }
}
