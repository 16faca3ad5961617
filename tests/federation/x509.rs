//! Devices whose credentials are certificates, beside devices with basic credentials.

use portcullis::member::Device;
use portcullis_core::member::Member;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SanType};

use super::{assert_accepted, assert_in_step};
use crate::harness::{Lab, ORDINARY, room};

/// A device with a certificate that names it and its user.
async fn certified(lab: &Lab, host: &str, user: &str, device: &str) -> Device {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    // An Ed25519 key in PKCS#8 has its seed after 16 octets (RFC 8410, section 7).
    let seed = key.serialize_der()[16..48].to_vec();
    let names = [format!("mimi://{host}/d/{user}/{device}"), format!("mimi://{host}/u/{user}")];
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| SanType::URI(name.as_str().try_into().unwrap())).collect();
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    let member = Member::with_certificates(&[certificate], seed).unwrap();
    let door = lab.gateway(host).client(member.user());
    Device::register_member(door, member).await.unwrap()
}

#[tokio::test]
async fn a_device_with_a_certificate_is_added_and_speaks_and_another_joins_by_itself() {
    let lab = Lab::open(&["a.example", "b.example"]).await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    let mut cathy = certified(&lab, "b.example", "cathy", "phone").await;
    lab.bring_in(&mut alice, &mut cathy, ORDINARY).await;
    assert_accepted(&cathy.say(&room(), "by certificate").await.unwrap());
    alice.until_text(&room(), "by certificate").await.unwrap();

    let mut tablet = certified(&lab, "b.example", "cathy", "tablet").await;
    let (asked, material) = tablet.ask_group_info(&room()).await.unwrap();
    assert_accepted(&asked);
    assert_accepted(&tablet.external_join(&room(), &material.unwrap(), None).await.unwrap());
    for device in [&mut alice, &mut bob, &mut cathy] {
        device.until_epoch(&room(), 3).await.unwrap();
    }
    assert_in_step(&[&alice, &bob, &cathy, &tablet]);
    assert_accepted(&tablet.say(&room(), "from my tablet").await.unwrap());
    bob.until_text(&room(), "from my tablet").await.unwrap();
}
