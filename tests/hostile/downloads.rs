use portcullis::peer::Peers;
use portcullis_core::wire::uri::Domain;
use reqwest::Client;
use reqwest::header::HeaderMap;

use super::{ATTACKS, Attack, Scene, slow};
use crate::assets::{file, kept_by_b};
use crate::harness::Gateway;
use crate::rights::encoded;

/// What attacks the endpoint.
pub(super) const SUITE: fn() = downloads;

/// Reasons of decisions: the host is one of b.example's, and nobody has named it.
const OPEN: &str = "ASSETS_ARE_OPEN";
const NO_HOST: &str = "not_an_asset_host";

/// A download has no body and nothing in it is signed: what can be attacked is the address, and the room it takes.
#[tokio::test]
async fn downloads() {
    let (mut scene, files) =
        Scene::prepared(|lab| kept_by_b(lab.gateway("a.example"), "largest_mib: 2, seconds: 20")).await;
    let (good, other) = ("https://files.b.example/file", "https://files.b.example/no-store");
    for attack in ATTACKS {
        let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
        let asked = async |from: &str, url: &str| {
            let peers = Peers::new(&scene.gateway(from).config()).unwrap();
            let [own, hub] = [from, "a.example"].map(|name| Domain::parse(name).unwrap());
            let answer = peers.download(&own, &hub, url, HeaderMap::new()).await.unwrap();
            let (status, body) = (answer.status().as_u16(), answer.bytes().await.unwrap());
            assert_eq!(body == file(), status == 200, "{status} for {url}");
            status
        };
        let raw_by = async |by: &Gateway, path: &str| {
            let url = format!("https://a.example:{}/v1/proxyDownload/{path}", a.federation.port());
            let request = slow::client(by, a).get(url).header("from", "mimi@b.example");
            request.send().await.unwrap().status().as_u16()
        };
        let raw = async |path: &str| raw_by(b, path).await;
        let (before, fetched) = (a.database().entries().len(), files.times("/no-store"));
        let decided: &[&str] = match attack {
            // Nothing in it says when it was asked, or how often: each time it is decided about, and each time it is had.
            Attack::Replay | Attack::Stale => {
                assert_eq!((asked("b.example", good).await, asked("b.example", good).await), (200, 200));
                &[OPEN, OPEN]
            }
            Attack::Reorder => {
                assert_eq!((asked("b.example", other).await, asked("b.example", good).await), (200, 200));
                assert_eq!(files.times("/no-store") - fetched, 1);
                &[OPEN, OPEN]
            }
            Attack::Duplicate => {
                assert_eq!(tokio::join!(asked("b.example", good), asked("b.example", good)), (200, 200));
                &[OPEN, OPEN]
            }
            // In the name of another, and nothing is decided; in its own name it is decided about like any peer.
            Attack::WrongIdentity => {
                assert_eq!(raw_by(scene.gateway("c.example"), &encoded(other)).await, 403);
                assert_eq!(files.times("/no-store"), fetched);
                assert_eq!(asked("c.example", good).await, 200);
                &[OPEN]
            }
            Attack::Truncate => {
                let whole = encoded(good);
                // Before there is the name of a host; what is cut within an escape is no address either.
                let no_host = encoded("https://files.").len();
                for end in 0..=no_host {
                    assert_eq!(raw(&whole[..end]).await, 400, "{}", &whole[..end]);
                }
                &[]
            }
            Attack::Oversize => {
                assert_eq!(raw(&encoded(&format!("{good}{}", "a".repeat(4096)))).await, 400);
                &[]
            }
            // Past the check of the host, were it made on something else than what is connected to.
            Attack::Forged => {
                for url in ["https://files.b.example@127.0.0.1/", "https://127.0.0.1/", "https://files.b.example:1/"] {
                    assert_eq!(asked("b.example", url).await, 400, "{url}");
                }
                assert_eq!(raw(good).await, 404, "not percent-encoded as a whole");
                // It is there, and has the file.
                assert_eq!(asked("b.example", "https://other.b.example/no-store").await, 403);
                assert_eq!(files.times("/no-store"), fetched);
                &[NO_HOST]
            }
            // A body that never comes is not waited for.
            Attack::Slow => {
                let url = format!("https://a.example:{}/v1/proxyDownload/{}", a.federation.port(), encoded(good));
                let never =
                    reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
                let client: Client = slow::client(b, a);
                let request = client.get(url).header("from", "mimi@b.example").body(never);
                assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
                &[OPEN]
            }
        };
        scene.lab.quiet().await;
        let entries = scene.gateway("a.example").database().entries();
        let recorded = entries[before..].iter().filter(|entry| entry.record.kind == "decision.download");
        let recorded: Vec<&str> = recorded.map(|entry| entry.record.reason.as_str()).collect();
        assert_eq!(recorded, decided, "{attack:?}");
        scene.assert_unharmed().await;
    }
}
