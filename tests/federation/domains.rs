//! One gateway that serves a company with two domains.

use portcullis::member::Device;
use portcullis_core::wire::uri::RoomUri;

use super::assert_accepted;
use crate::harness::{ADMIN, Lab};

async fn lab() -> (Lab, [Device; 3]) {
    let mut lab = Lab::of_companies(&[&["a.example", "z.example"], &["b.example"]]);
    lab.start().await;
    let alice = lab.device("a.example/d/alice/phone").await;
    let zoe = lab.device("z.example/d/zoe/phone").await;
    let bob = lab.device("b.example/d/bob/phone").await;
    (lab, [alice, zoe, bob])
}

/// The host creates a room and brings in both others; then each says something that the others read.
async fn talk(room: &str, host: &mut Device, first: &mut Device, second: &mut Device) {
    let room = RoomUri::parse(room).unwrap();
    assert_accepted(&host.create_room(&room, "strict", "Clubhouse").await.unwrap());
    for guest in [&mut *first, &mut *second] {
        guest.publish_key_packages(1).await.unwrap();
        let (claimed, packages) = host.claim(guest.user(), &room).await.unwrap();
        assert_accepted(&claimed);
        assert_accepted(&host.add(&room, packages, (guest.user().clone(), ADMIN)).await.unwrap());
    }
    let epoch = host.member().epoch(&room).unwrap();
    let mut everybody = [host, first, second];
    for speaker in 0..everybody.len() {
        everybody[speaker].until_epoch(&room, epoch).await.unwrap();
        let text = format!("{} speaks", everybody[speaker].user());
        assert_accepted(&everybody[speaker].say(&room, &text).await.unwrap());
        for (_, reader) in everybody.iter_mut().enumerate().filter(|(reader, _)| *reader != speaker) {
            reader.until_text(&room, &text).await.unwrap();
        }
    }
}

#[actix_web::test]
async fn users_of_both_domains_meet_a_peer_in_a_room_of_the_first() {
    let (_lab, [mut alice, mut zoe, mut bob]) = lab().await;
    talk("mimi://a.example/r/clubhouse", &mut alice, &mut zoe, &mut bob).await;
}

/// The peer takes fan-out of this room from `z.example` only, with the certificate of that domain.
#[actix_web::test]
async fn users_of_both_domains_meet_a_peer_in_a_room_of_the_second() {
    let (_lab, [mut alice, mut zoe, mut bob]) = lab().await;
    talk("mimi://z.example/r/lounge", &mut zoe, &mut bob, &mut alice).await;
}

#[actix_web::test]
async fn users_of_both_domains_are_guests_of_a_peer() {
    let (_lab, [mut alice, mut zoe, mut bob]) = lab().await;
    talk("mimi://b.example/r/bar", &mut bob, &mut alice, &mut zoe).await;
}
