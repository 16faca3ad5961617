//! What is kept for who asks for the same, and what is not.

use super::{Scene, file, header};

#[tokio::test]
async fn what_may_be_shared_is_fetched_once_and_parts_of_it_are_given_from_memory() {
    let scene = Scene::open().await;
    let url = "https://files.b.example/file";
    assert_eq!(scene.download(url, &[]).await.bytes().await.unwrap(), file());
    let again = scene.download(url, &[]).await;
    // Who asks does not learn that somebody else has read it, or when.
    for told in ["age", "expires"] {
        assert_eq!(header(&again, told), "", "{told}");
    }
    let served = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_ne!(header(&again, "date"), served, "the date is that of the answer, and not of the file's");
    assert_eq!(again.bytes().await.unwrap(), file());
    let part = scene.download(url, &[("range", "bytes=-5")]).await;
    assert_eq!(
        (part.status().as_u16(), header(&part, "content-range")),
        (206, "bytes 199995-199999/200000".to_owned())
    );
    assert_eq!(part.bytes().await.unwrap(), file()[199_995..]);
    assert_eq!(scene.download(url, &[("range", "bytes=200000-")]).await.status().as_u16(), 416);
    assert_eq!(scene.download(url, &[("if-none-match", "\"1\"")]).await.status().as_u16(), 304);
    assert_eq!(scene.download(url, &[("range", "bytes=0-1"), ("if-range", "\"0\"")]).await.status().as_u16(), 200);
    assert_eq!(scene.files.times("/file"), 1);
}

#[tokio::test]
async fn what_is_private_is_kept_for_nobody() {
    let scene = Scene::open().await;
    for path in ["/private", "/no-store"] {
        for _ in 0..2 {
            let answer = scene.download(&format!("https://files.b.example{path}"), &[]).await;
            assert_eq!(answer.bytes().await.unwrap(), file());
        }
        assert_eq!(scene.files.times(path), 2, "{path}");
    }
}

#[tokio::test]
async fn what_is_to_be_asked_about_is_asked_about_and_not_fetched_again() {
    let scene = Scene::open().await;
    let url = "https://files.b.example/asked-again";
    for _ in 0..3 {
        assert_eq!(scene.download(url, &[]).await.bytes().await.unwrap(), file());
    }
    let part = scene.download(url, &[("range", "bytes=1-2")]).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, file()[1..3].to_vec().into()));
    let known: Vec<_> =
        scene.files.heads("/asked-again").into_iter().map(|head| head.get("if-none-match").cloned()).collect();
    let seven = Some("\"7\"".to_owned());
    assert_eq!(known, [None, seven.clone(), seven.clone(), seven]);
}

#[tokio::test]
async fn a_server_that_says_unchanged_without_saying_which_means_what_it_was_asked_about() {
    let scene = Scene::open().await;
    let url = "https://files.b.example/without-a-tag";
    for _ in 0..2 {
        let answer = scene.download(url, &[]).await;
        assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap()), (200, file().into()));
    }
    assert_eq!(scene.files.heads("/without-a-tag")[1]["if-none-match"], "\"7\"");
    // Where something else is said to be unchanged, the file is asked for as if nothing were held.
    let url = "https://files.b.example/another-tag";
    for _ in 0..2 {
        assert_eq!(scene.download(url, &[]).await.bytes().await.unwrap(), file());
    }
    let known = scene.files.heads("/another-tag").into_iter().map(|head| head.get("if-none-match").cloned());
    assert_eq!(known.collect::<Vec<_>>(), [None, Some("\"7\"".to_owned()), None]);
}

#[tokio::test]
async fn what_was_not_asked_for_is_no_answer() {
    let scene = Scene::open().await;
    for path in ["always-unchanged", "always-a-part", "always-beyond"] {
        assert_eq!(scene.status(&format!("https://files.b.example/{path}")).await, 502, "{path}");
    }
    let known = scene.download("https://files.b.example/always-unchanged", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(known.status().as_u16(), 304);
    let since = [("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let dated = "https://files.b.example/dated";
    // All of it, so that it is in memory.
    assert_eq!(scene.download(dated, &[]).await.bytes().await.unwrap(), file());
    assert_eq!(scene.download(dated, &since).await.status().as_u16(), 304);
    let earlier = [("if-modified-since", "Sat, 05 Nov 1994 08:49:37 GMT")];
    assert_eq!(scene.download(dated, &earlier).await.status().as_u16(), 200);
    assert_eq!(scene.files.times("/dated"), 1);
}
