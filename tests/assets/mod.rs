//! Files that users keep elsewhere, fetched by hubs: from a real server over TLS, for other providers and for our own users.

mod cache;
mod flow;
mod hosts;
mod ohttp;
pub(crate) mod server;

use std::time::Duration;

use portcullis::peer::Peers;
use portcullis_core::wire::uri::{Domain, RoomUri};
use reqwest::{Client, Response};

use crate::harness::{Gateway, Lab, edit, room};
use crate::rights::{certificate_until, encoded};
use server::Files;

pub(crate) use server::file;

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The hub a.example and b.example, whose users keep files at two hosts, as a.example knows.
struct Scene {
    lab: Lab,
    files: Files,
}

impl Scene {
    async fn open() -> Self {
        let mut scene = Self::new();
        scene.lab.start().await;
        scene
    }

    fn new() -> Self {
        Self::with("largest_mib: 2, seconds: 20")
    }

    /// Two gateways that do not run yet.
    fn with(limits: &str) -> Self {
        let lab = Lab::new(&["a.example", "b.example"]);
        let files = kept_by_b(&lab.gateways[0], limits);
        Self { lab, files }
    }

    fn hub(&self) -> &Gateway {
        self.lab.gateway("a.example")
    }

    /// Asks the hub for a file in the name of b.example.
    async fn download(&self, url: &str, headers: &[(&'static str, &str)]) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let peers = Peers::new(&self.lab.gateway("b.example").config()).unwrap();
        let [own, hub] = ["b.example", "a.example"].map(|name| Domain::parse(name).unwrap());
        peers.download(&own, &hub, url, headers).await.unwrap()
    }

    async fn status(&self, url: &str) -> u16 {
        self.download(url, &[]).await.status().as_u16()
    }
}

/// A server of what users of b.example keep, which a gateway that does not run yet is to fetch from.
pub(crate) fn kept_by_b(hub: &Gateway, limits: &str) -> Files {
    let authority = hub.folder.with_file_name("ca");
    let files = Files::start(&certificate_until(&authority, "*.b.example", A_DAY));
    let at = files.address;
    edit(
        &hub.config_file(),
        "- domain: b.example\n",
        "- domain: b.example\n    asset_hosts: [files.b.example, media.b.example]\n",
    );
    let hosts = ["files", "media", "rooms", "other"].map(|name| format!("{name}.b.example: '{at}'")).join(", ");
    hub.configure(&format!("assets: {{ trust: [keys/ca.pem], {limits}, connect: {{ {hosts} }} }}\n"));
    files
}

/// Asks a gateway for a file of a room, for a user of its own.
async fn of_room(gateway: &Gateway, user: &str, room: &RoomUri, url: &str, range: Option<&str>) -> Response {
    let at = format!("http://{}/v1/rooms/{}/assets/{}", gateway.provider, encoded(room.as_str()), escaped(url));
    let request = Client::new().get(at).bearer_auth(gateway.token(&user.parse().unwrap()));
    let request = range.iter().fold(request, |request, range| request.header("range", *range));
    request.send().await.unwrap()
}

fn escaped(url: &str) -> String {
    encoded(url).replace('?', "%3F").replace('#', "%23").replace('&', "%26")
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_hub_fetches_for_another_provider_what_its_users_keep_and_says_no_more_than_it_must() {
    let scene = Scene::open().await;
    let answer =
        scene.download("https://files.b.example/file", &[("cookie", "c=d"), ("authorization", "Bearer x")]).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, "image/png".to_owned()));
    assert_eq!(
        (header(&answer, "etag"), header(&answer, "x-content-type-options")),
        ("\"1\"".to_owned(), "nosniff".to_owned())
    );
    for of_the_server in ["set-cookie", "x-of-the-server"] {
        assert_eq!(header(&answer, of_the_server), "", "{of_the_server}");
    }
    assert_eq!(answer.bytes().await.unwrap(), file());
    let [head] = &scene.files.heads("/file")[..] else { panic!("asked once") };
    assert!(head.keys().all(|name| ["accept", "host"].contains(&name.as_str())), "{head:?}");
    scene.lab.quiet().await;
    let entries = scene.hub().database().entries();
    let downloads: Vec<_> = entries.iter().filter(|entry| entry.record.kind == "decision.download").collect();
    let [entry] = &downloads[..] else { panic!("{downloads:?}") };
    assert_eq!(
        (entry.record.reason.as_str(), entry.record.actor.as_deref()),
        ("ASSETS_ARE_OPEN", Some("mimi://b.example"))
    );
    let detail = entry.record.detail.to_string();
    assert!(detail.contains("files.b.example") && !detail.contains("/file"), "{detail}");
}

#[tokio::test]
async fn parts_of_a_file_are_asked_of_its_server_and_given_on() {
    let scene = Scene::open().await;
    let url = "https://files.b.example/in-parts";
    let part = scene.download(url, &[("range", "bytes=10-19")]).await;
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 10-19/200000".to_owned()));
    assert_eq!(part.bytes().await.unwrap(), file()[10..20]);
    let none = scene.download(url, &[("range", "bytes=900000-")]).await;
    assert_eq!((none.status().as_u16(), header(&none, "content-range")), (416, "bytes */200000".to_owned()));
    let [first, _] = &scene.files.heads("/in-parts")[..] else { panic!("asked twice") };
    assert_eq!(first["range"], "bytes=10-19");
}

#[tokio::test]
async fn users_download_what_their_rooms_hold_here_and_by_way_of_the_hub() {
    let scene = Scene::open().await;
    let (alice, bob) = scene.lab.alice_and_bob().await;
    let (a, b) = (scene.hub(), scene.lab.gateway("b.example"));
    let url = "https://files.b.example/file";
    for (gateway, user) in [(a, alice.user()), (b, bob.user())] {
        let answer = of_room(gateway, user.as_str(), &room(), url, None).await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type")),
            (200, "image/png".to_owned()),
            "{user}"
        );
        assert_eq!(answer.bytes().await.unwrap(), file(), "{user}");
        let part = of_room(gateway, user.as_str(), &room(), url, Some("bytes=1000-1999")).await;
        assert_eq!(
            (part.status().as_u16(), header(&part, "content-range")),
            (206, "bytes 1000-1999/200000".to_owned())
        );
        assert_eq!(part.bytes().await.unwrap(), file()[1000..2000]);
    }
    assert_eq!(scene.files.times("/file"), 1, "both sides keep it");
    scene.lab.quiet().await;
    let mut downloads = [a, b].map(|gateway| {
        let entries = gateway.database().entries().into_iter().filter(|entry| entry.record.kind == "decision.download");
        entries.map(|entry| (entry.record.actor.unwrap(), entry.record.room)).collect::<Vec<_>>()
    });
    downloads[0].sort();
    downloads[0].dedup();
    let (hub, of_alice) = ("mimi://b.example".to_owned(), alice.user().to_string());
    assert_eq!(downloads[0], [(of_alice, Some(room())), (hub, None)], "the hub does not learn who it is for");
    assert_eq!(downloads[1], [(bob.user().to_string(), Some(room())), (bob.user().to_string(), Some(room()))]);
}

#[tokio::test]
async fn who_is_not_in_the_room_downloads_nothing_in_its_name() {
    let scene = Scene::open().await;
    let (alice, bob) = scene.lab.alice_and_bob().await;
    let url = "https://files.b.example/file";
    for (domain, user) in [("a.example", "mimi://a.example/u/mallory"), ("b.example", "mimi://b.example/u/mallory")] {
        let gateway = scene.lab.gateway(domain);
        gateway.client(&user.parse().unwrap()).register_user(&user.parse().unwrap()).await.unwrap();
        assert_eq!(of_room(gateway, user, &room(), url, None).await.status().as_u16(), 404, "{user}");
    }
    let attic = "mimi://a.example/r/attic".parse().unwrap();
    assert_eq!(of_room(scene.hub(), alice.user().as_str(), &attic, url, None).await.status().as_u16(), 404);
    drop((alice, bob));
    assert_eq!(scene.files.times("/file"), 0);
}
