//! From which hosts is fetched, and from which nothing ever is.

use portcullis_core::member::Draft;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{
    AssetDomains, AssetPolicy, AssetUploadLocation, BaseRoomPolicy, Component, ComponentId, DownloadPrivacy,
    DownloadType,
};

use super::{Scene, of_room};
use crate::harness::{edit, room};

/// Has the room name hosts of b.example.
fn naming(hosts: &[&str]) -> Vec<u8> {
    let destinations = hosts.iter().map(|host| (*host).to_owned()).collect();
    let privacy = DownloadPrivacy {
        allowed: vec![DownloadType::HubProxy],
        forbidden: vec![DownloadType::Direct],
        default: DownloadType::HubProxy,
    };
    let policy = AssetPolicy {
        upload_location: AssetUploadLocation::LocalProvider,
        upload_domains: vec![
            AssetDomains { provider: "b.example".to_owned(), destinations },
            // No peer of ours: what it names counts for nothing.
            AssetDomains { provider: "z.example".to_owned(), destinations: vec!["other.b.example".to_owned()] },
        ],
        download_privacy: privacy,
        max_image_bytes: 1 << 20,
        max_audio_bytes: 1 << 20,
        max_video_bytes: 1 << 20,
        max_attachment_bytes: 1 << 20,
        forbidden_media_types: Vec::new(),
        permitted_media_types: None,
    };
    policy.encode()
}

#[tokio::test]
async fn a_host_counts_when_a_peer_or_a_room_of_ours_names_it_and_as_long_as_it_does() {
    let scene = Scene::open().await;
    let (mut alice, _bob) = scene.lab.alice_and_bob().await;
    let url = "https://rooms.b.example/file";
    assert_eq!((scene.status("https://media.b.example/file").await, scene.status(url).await), (200, 403));
    let mut base: BaseRoomPolicy = alice.member().component(&room()).unwrap().unwrap();
    base.policy_component_ids.push(AssetPolicy::ID);
    let draft = Draft::default()
        .component(BaseRoomPolicy::ID, Some(base.encode()))
        .component(ComponentId::ASSET_POLICY, Some(naming(&["rooms.b.example"])));
    let commit = alice.member_mut().commit(&room(), &draft).unwrap();
    assert!(alice.update(&room(), &commit).await.unwrap().answer.is_ok());
    assert_eq!(scene.status(url).await, 200);
    assert_eq!(scene.status("https://other.b.example/file").await, 403, "z.example is no peer");
    assert_eq!(of_room(scene.hub(), alice.user().as_str(), &room(), url, None).await.status().as_u16(), 200);
    let draft = Draft::default().component(ComponentId::ASSET_POLICY, Some(naming(&["media.b.example"])));
    let commit = alice.member_mut().commit(&room(), &draft).unwrap();
    assert!(alice.update(&room(), &commit).await.unwrap().answer.is_ok());
    assert_eq!(scene.status(url).await, 403, "what is in memory is given to nobody either");
    scene.lab.quiet().await;
    let entries = scene.hub().database().entries();
    let refused = entries.iter().filter(|entry| entry.record.reason == "not_an_asset_host");
    assert_eq!(refused.count(), 3);
}

#[tokio::test]
async fn a_host_that_only_a_room_names_counts_for_nothing_where_the_operator_says_so() {
    let mut scene = Scene::with("hosts_of_rooms: false");
    scene.lab.start().await;
    let (mut alice, _bob) = scene.lab.alice_and_bob().await;
    let mut base: BaseRoomPolicy = alice.member().component(&room()).unwrap().unwrap();
    base.policy_component_ids.push(AssetPolicy::ID);
    let draft = Draft::default()
        .component(BaseRoomPolicy::ID, Some(base.encode()))
        .component(ComponentId::ASSET_POLICY, Some(naming(&["rooms.b.example"])));
    let commit = alice.member_mut().commit(&room(), &draft).unwrap();
    assert!(alice.update(&room(), &commit).await.unwrap().answer.is_ok());
    assert_eq!(scene.status("https://rooms.b.example/file").await, 403);
    assert_eq!(scene.status("https://media.b.example/file").await, 200);
}

#[tokio::test]
async fn nothing_is_fetched_but_by_https_from_named_hosts_at_their_port() {
    let scene = Scene::open().await;
    let port = scene.files.address.port();
    for url in [
        "http://files.b.example/file".to_owned(),
        format!("https://files.b.example:{port}/file"),
        format!("https://{}/file", scene.files.address),
        "https://127.0.0.1/file".to_owned(),
        "https://2130706433/file".to_owned(),
        "https://[::ffff:127.0.0.1]/file".to_owned(),
        "https://u:p@files.b.example/file".to_owned(),
        "https://files.b.example@127.0.0.1/file".to_owned(),
        "https://files.b.example/file#x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "files.b.example".to_owned(),
    ] {
        assert_eq!(scene.status(&url).await, 400, "{url}");
    }
    for url in ["https://metadata.google.internal/", "https://sub.files.b.example/file", "https://a.example/file"] {
        assert_eq!(scene.status(url).await, 403, "{url}");
    }
    assert_eq!(scene.files.times("/file"), 0);
}

#[tokio::test]
async fn a_redirect_is_followed_to_hosts_that_count_and_no_further() {
    let scene = Scene::open().await;
    let via = |to: &str| format!("https://files.b.example/to?{to}");
    assert_eq!(scene.status(&via("https://media.b.example/file")).await, 200);
    assert_eq!(scene.files.times("/file"), 1);
    assert_eq!(scene.status(&via("https://other.b.example/no-store")).await, 403);
    for nowhere in
        ["http://media.b.example/no-store", "https://127.0.0.1/no-store", "https://[::1]/no-store", "ftp://x/"]
    {
        assert_eq!(scene.status(&via(nowhere)).await, 502, "{nowhere}");
    }
    assert_eq!(scene.files.times("/no-store"), 0);
    // To itself, for ever.
    assert_eq!(scene.status("https://files.b.example/round").await, 502);
    assert_eq!(scene.files.times("/round"), 4, "once and three times more");
}

#[tokio::test]
async fn policy_decides_and_whoever_is_suspended_gets_nothing() {
    let mut scene = Scene::new();
    let settings = scene.hub().folder.join("policies/ceiling/files.cedar");
    std::fs::write(
        settings,
        "@id(\"company.no-media\") @reason(\"NO_MEDIA\")\n\
         forbid (principal, action == Mimi::Action::\"downloadAsset\", resource is Mimi::Provider)\n\
         when { context.host == \"media.b.example\" };\n",
    )
    .unwrap();
    scene.lab.start().await;
    assert_eq!(scene.status("https://files.b.example/file").await, 200);
    assert_eq!(scene.status("https://media.b.example/file").await, 403);
    let redirected = "https://files.b.example/to?https://media.b.example/file";
    assert_eq!(scene.status(redirected).await, 403, "where a redirect leads is asked about too");
    scene.lab.quiet().await;
    let entries = scene.hub().database().entries();
    let forbidden = entries.iter().filter(|entry| entry.record.policy == ["company.no-media"]);
    assert_eq!(forbidden.count(), 2);
}

#[tokio::test]
async fn what_is_forbidden_of_one_provider_is_not_had_by_naming_another() {
    let mut scene = Scene::new();
    edit(
        &scene.hub().config_file(),
        "- domain: b.example\n",
        "- domain: c.example\n    asset_hosts: [files.b.example]\n  - domain: b.example\n",
    );
    std::fs::write(
        scene.hub().folder.join("policies/ceiling/files.cedar"),
        "@id(\"company.no-files-of-b\") @reason(\"NO_FILES\")\n\
         forbid (principal, action == Mimi::Action::\"downloadAsset\", resource == Mimi::Provider::\"b.example\");\n",
    )
    .unwrap();
    scene.lab.start().await;
    assert_eq!(scene.status("https://files.b.example/file").await, 403);
    assert_eq!(scene.files.times("/file"), 0);
}

#[tokio::test]
async fn a_host_that_answers_otherwise_is_told_of_as_what_it_is() {
    let scene = Scene::open().await;
    for (path, status) in [("missing", 404), ("fails", 502), ("later", 429), ("too-large", 502)] {
        assert_eq!(scene.status(&format!("https://files.b.example/{path}")).await, status, "{path}");
    }
    let later = scene.download("https://files.b.example/later", &[]).await;
    assert_eq!(later.headers()["retry-after"], "7");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_host_s_ends_it() {
    let mut scene = Scene::new();
    let config = scene.hub().config_file();
    // It is named and found, and cannot show that it is that host.
    edit(&config, "asset_hosts: [files.b.example, ", "asset_hosts: [files.c.example, files.b.example, ");
    edit(&config, "connect: { files.b.example:", "connect: { files.c.example: '127.0.0.1:9', files.b.example:");
    edit(&config, "'127.0.0.1:9'", &format!("'{}'", scene.files.address));
    scene.lab.start().await;
    assert_eq!(scene.status("https://files.c.example/file").await, 502);
    assert_eq!(scene.files.times("/file"), 0);
}

#[tokio::test]
async fn too_many_downloads_are_asked_to_wait() {
    let mut scene = Scene::new();
    scene.hub().configure("limits: { downloads: { per_minute: 1, burst: 2 } }\n");
    scene.lab.start().await;
    let url = "https://files.b.example/file";
    assert_eq!((scene.status(url).await, scene.status(url).await), (200, 200));
    let told = scene.download(url, &[]).await;
    assert_eq!(told.status().as_u16(), 429);
    assert!(told.headers().contains_key("retry-after"));
}
