use portcullis::peer::Peers;
use portcullis_core::wire::uri::Domain;
use reqwest::Client;
use reqwest::header::HeaderMap;

use super::{ATTACKS, Attack, Scene, slow};
use crate::rights::encoded;

/// What attacks the endpoint.
pub(super) const SUITE: fn() = downloads;

/// A download has no body and nothing in it is signed: what can be attacked is the address, and the room it takes.
#[tokio::test]
async fn downloads() {
    let mut scene = Scene::open().await;
    let good = "https://files.b.example/file";
    for attack in ATTACKS {
        let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
        let asked = async |from: &str, url: &str| {
            let peers = Peers::new(&scene.gateway(from).config()).unwrap();
            let [own, hub] = [from, "a.example"].map(|name| Domain::parse(name).unwrap());
            peers.download(&own, &hub, url, HeaderMap::new()).await.unwrap().status().as_u16()
        };
        let raw = async |path: &str| {
            let url = format!("https://a.example:{}/v1/proxyDownload/{path}", a.federation.port());
            let request = slow::client(b, a).get(url).header("from", "mimi@b.example");
            request.send().await.unwrap().status().as_u16()
        };
        let before = a.database().entries().len();
        let refused = match attack {
            // Nobody has named the host: from whomever, and however often, that is refused.
            Attack::Replay | Attack::Reorder | Attack::Stale => {
                assert_eq!((asked("b.example", good).await, asked("b.example", good).await), (403, 403));
                2
            }
            Attack::Duplicate => {
                assert_eq!(tokio::join!(asked("b.example", good), asked("b.example", good)), (403, 403));
                2
            }
            Attack::WrongIdentity => {
                assert_eq!(asked("c.example", good).await, 403);
                1
            }
            Attack::Truncate => {
                let whole = encoded(good);
                // Before there is the name of a host; what is cut within an escape is no address either.
                let no_host = encoded("https://files.").len();
                for end in 0..=no_host {
                    assert_eq!(raw(&whole[..end]).await, 400, "{}", &whole[..end]);
                }
                0
            }
            Attack::Oversize => {
                assert_eq!(raw(&encoded(&format!("{good}{}", "a".repeat(4096)))).await, 400);
                0
            }
            // Past the check of the host, were it made on something else than what is connected to.
            Attack::Forged => {
                for url in ["https://files.b.example@127.0.0.1/", "https://127.0.0.1/", "https://files.b.example:1/"] {
                    assert_eq!(asked("b.example", url).await, 400, "{url}");
                }
                assert_eq!(raw("https://files.b.example/file").await, 404, "not percent-encoded as a whole");
                0
            }
            // A body that never comes is not waited for.
            Attack::Slow => {
                let url = format!("https://a.example:{}/v1/proxyDownload/{}", a.federation.port(), encoded(good));
                let never =
                    reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
                let client: Client = slow::client(b, a);
                let request = client.get(url).header("from", "mimi@b.example").body(never);
                assert_eq!(request.send().await.unwrap().status().as_u16(), 403);
                1
            }
        };
        scene.lab.quiet().await;
        let entries = scene.gateway("a.example").database().entries();
        let recorded = entries[before..].iter().filter(|entry| entry.record.reason == "not_an_asset_host");
        assert_eq!(recorded.count(), refused, "{attack:?}");
        scene.assert_unharmed().await;
    }
}
