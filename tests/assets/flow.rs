//! Bytes on their way: bounded in number and time, and never faster than they are taken.

use super::Scene;
use super::server::LONG;

/// More than what sockets of this machine hold, on the way from a server to who asks: two pairs of them.
const ON_THE_WAY: u64 = 32 << 20;

#[tokio::test]
async fn no_more_is_read_from_a_server_than_is_taken_but_for_what_is_on_the_way() {
    let mut scene = Scene::with("largest_mib: 100, seconds: 120");
    scene.lab.start().await;
    let mut answer = scene.download("https://files.b.example/long", &[]).await;
    let mut taken = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        taken += piece.len() as u64;
        let made = scene.files.made();
        assert!(made <= taken + ON_THE_WAY, "{made} were made when {taken} were taken");
    }
    assert_eq!(taken, LONG);
}

#[tokio::test]
async fn a_file_that_does_not_end_is_broken_off_where_it_is_too_long() {
    let scene = Scene::open().await;
    let mut answer = scene.download("https://files.b.example/endless", &[]).await;
    assert_eq!(answer.status().as_u16(), 200);
    let mut taken = 0;
    let end = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => taken += piece.len(),
            Ok(None) => break "as if it were whole",
            Err(_) => break "broken off",
        }
    };
    assert_eq!(end, "broken off");
    assert!(taken <= 2 << 20, "{taken}");
}

#[tokio::test]
async fn a_file_that_does_not_come_is_given_up_and_one_that_breaks_off_is_not_whole() {
    let mut scene = Scene::with("largest_mib: 2, seconds: 1");
    scene.lab.start().await;
    for path in ["never", "broken-off"] {
        let answer = scene.download(&format!("https://files.b.example/{path}"), &[]).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert!(answer.bytes().await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn all_that_a_redirect_leads_to_has_one_time_together() {
    let mut scene = Scene::with("largest_mib: 2, seconds: 1");
    scene.lab.start().await;
    assert_eq!(scene.status("https://files.b.example/slowly-round").await, 502);
    assert_eq!(scene.files.times("/slowly-round"), 2, "each of four alone would have had time enough");
}

#[tokio::test]
async fn only_so_many_downloads_run_at_once_and_each_gives_its_place_back() {
    let mut scene = Scene::with("largest_mib: 100, seconds: 120, at_once: 1");
    scene.lab.start().await;
    let mut first = scene.download("https://files.b.example/long", &[]).await;
    assert!(first.chunk().await.unwrap().is_some());
    let busy = scene.download("https://files.b.example/file", &[]).await;
    assert_eq!(busy.status().as_u16(), 503);
    assert!(busy.headers().contains_key("retry-after"));
    drop(first);
    crate::harness::eventually("there is a place again", async || {
        (scene.status("https://files.b.example/file").await == 200).then_some(())
    })
    .await;
}
