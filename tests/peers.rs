//! Other providers: how they become known, what is asked of their certificates, and how much is taken of each.

use serde_json::json;

use crate::admin::Person;
use crate::federation::assert_accepted;
use crate::harness::{Gateway, Lab, ORDINARY, bring_into, edit, eventually, room};

/// The pin of a gateway's own certificate.
fn pin(gateway: &Gateway) -> String {
    let card: serde_json::Value = serde_json::from_str(&gateway.operated(&["peer", "card"])).unwrap();
    card["spki"][0].as_str().unwrap().to_owned()
}

/// A gateway forgets who its peers are, but where they are in the lab.
fn forget_peers(gateway: &Gateway) {
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    let (before, after) = text.split_once("\npeers:\n").unwrap();
    let rest = after.split_once("\n# The policy bundle").unwrap().1;
    std::fs::write(gateway.config_file(), format!("{before}\n\n# The policy bundle{rest}")).unwrap();
}

#[tokio::test]
async fn a_peer_is_pending_from_its_card_on_until_both_have_read_the_same_code() {
    let lab = Lab::new(&["a.example", "b.example"]);
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    forget_peers(a);
    b.configure("card: { contacts: ['mailto:abuse@b.example'], asset_hosts: [files.b.example] }\n");
    let cards = [("a.json", a.operated(&["peer", "card"])), ("b.json", b.operated(&["peer", "card"]))];
    for (name, card) in &cards {
        std::fs::write(a.folder.join(name), card).unwrap();
    }
    let file = |name: &str| a.folder.join(name).display().to_string();
    let taken = a.operated(&["peer", "add", &file("b.json"), "--reason", "contract 7"]);
    assert!(taken.contains("mailto:abuse@b.example") && taken.contains(&pin(b)), "{taken}");
    let code = taken.lines().last().unwrap().rsplit(": ").next().unwrap().to_owned();
    // The other side, which knows it by its configuration, reads the same before the card counts.
    let there = b.operate(&["peer", "add", &file("a.json"), "--reason", "contract 7"]);
    assert!(!there.status.success() && String::from_utf8(there.stdout).unwrap().trim_end().ends_with(&code));
    b.operated(&["peer", "add", &file("a.json"), "--code", &code, "--reason", "contract 7"]);
    let own = a.operate(&["peer", "add", &file("a.json"), "--reason", "x"]);
    assert!(!own.status.success(), "nobody adds itself");

    let mut lab = lab;
    lab.start().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let ops = Person::at(a, &["operator"]);
    let shown = ops.get("peers/b.example").await.body;
    assert_eq!(
        (&shown["state"], &shown["contacts"], &shown["asset_hosts"], &shown["spki"]),
        (&json!("pending"), &json!(["mailto:abuse@b.example"]), &json!(["files.b.example"]), &json!([pin(b)]))
    );
    // It is not let in yet.
    let knock = || b.post("a.example", portcullis::peer::Endpoint::GroupInfo(room()), b"no request".to_vec());
    assert_eq!(knock().await.unwrap_err().status(), Some(403));
    let wrong = a.operate(&["peer", "confirm", "b.example", "--code", "0000-0000-0000-0000", "--reason", "x"]);
    assert!(!wrong.status.success());
    a.operated(&["peer", "confirm", "b.example", "--code", &code, "--reason", "read on the phone"]);
    eventually("the peer is let in", async || (knock().await.unwrap_err().status() == Some(400)).then_some(())).await;
    assert_eq!(ops.get("peers/b.example").await.body["state"], "allowed");
    assert!(!a.operate(&["peer", "confirm", "b.example", "--code", &code, "--reason", "x"]).status.success());
    // Of who is in, a card with another key is taken from nobody who has not compared the code.
    let forged = cards[1].1.replace(&pin(b), &"cd".repeat(32));
    let file = a.folder.join("forged.json").display().to_string();
    std::fs::write(&file, forged).unwrap();
    for given in [&[][..], &["--code", &code]] {
        let refused = a.operate(&[&["peer", "add", &file, "--reason", "x"], given].concat());
        assert!(!refused.status.success(), "{given:?}");
    }
    assert_eq!(ops.get("peers/b.example").await.body["spki"], json!([pin(b)]));
    lab.quiet().await;
    let said: Vec<String> =
        lab.gateway("a.example").database().entries().into_iter().map(|it| it.record.kind).collect();
    for kind in ["peer.card_taken", "peer.confirmed"] {
        assert_eq!(said.iter().filter(|said| *said == kind).count(), 1, "{kind}");
    }
    // And one that cannot be read unpins nobody: its provider is refused.
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let knock = || b.post("a.example", portcullis::peer::Endpoint::GroupInfo(room()), b"no request".to_vec());
    a.database().sql("UPDATE peer_cards SET card = '{}'");
    eventually("it is refused", async || (knock().await.unwrap_err().status() == Some(403)).then_some(())).await;
}

#[tokio::test]
async fn two_keys_are_pinned_while_one_takes_the_place_of_the_other() {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let pins = format!("  - domain: b.example\n    spki: [{}, '{}']\n", "ab".repeat(32), pin(b));
    edit(&a.config_file(), "  - domain: b.example\n", &pins);
    lab.start().await;
    // In both directions.
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&bob.say(&room(), "by the next key").await.unwrap());
    alice.until_text(&room(), "by the next key").await.unwrap();
    lab.quiet().await;
    let a = lab.gateway_mut("a.example");
    a.kill();
    edit(&a.config_file(), &format!(", '{}'", pin_of(&pins)), "");
    a.restart().await;
    let (a, b) = (lab.gateway("a.example"), lab.gateway("b.example"));
    let refused = b.post("a.example", portcullis::peer::Endpoint::GroupInfo(room()), Vec::new()).await.unwrap_err();
    assert_eq!(refused.status(), Some(403));
    assert!(a.post("b.example", portcullis::peer::Endpoint::GroupInfo(room()), Vec::new()).await.is_err());
}

fn pin_of(pins: &str) -> String {
    pins.split('\'').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_peer_has_a_limit_of_its_own_where_the_configuration_gives_it_one() {
    let mut lab = Lab::new(&["a.example", "b.example", "c.example"]);
    let a = lab.gateway("a.example");
    let limited = "  - domain: b.example\n    limit: { per_minute: 1, burst: 2 }\n";
    edit(&a.config_file(), "  - domain: b.example\n", limited);
    lab.start().await;
    let knock = async |by: &str| {
        let endpoint = portcullis::peer::Endpoint::GroupInfo(room());
        lab.gateway(by).post("a.example", endpoint, b"no request".to_vec()).await.unwrap_err().status()
    };
    for (by, status) in [
        ("b.example", 400),
        ("b.example", 400),
        ("b.example", 429),
        ("c.example", 400),
        ("c.example", 400),
        ("c.example", 400),
    ] {
        assert_eq!(knock(by).await, Some(status), "{by}");
    }
}

#[tokio::test]
async fn the_alarm_is_raised_once_over_each_certificate_that_ends_soon() {
    let mut lab = Lab::new(&["a.example", "b.example"]);
    let b = lab.gateway("b.example");
    // Of b.example, for nine days.
    let soon = crate::rights::certificate_until(
        &b.folder.with_file_name("ca"),
        "b.example",
        std::time::Duration::from_secs(9 * 24 * 3600),
    );
    let (certificate, key) = soon.split_at(soon.find("-----BEGIN PRIVATE").unwrap());
    std::fs::write(b.folder.join("keys/b.example.pem"), certificate).unwrap();
    std::fs::write(b.folder.join("keys/b.example.key"), key).unwrap();
    lab.start().await;
    let (mut alice, mut bob) = lab.alice_and_bob().await;
    assert_accepted(&bob.say(&room(), "hello").await.unwrap());
    alice.until_text(&room(), "hello").await.unwrap();
    for domain in ["a.example", "b.example"] {
        let alarms = || {
            let entries = lab.gateway(domain).database().entries();
            entries.iter().filter(|entry| entry.record.kind == "certificate.ends").count()
        };
        eventually("the alarm is raised", async || (alarms() == 1).then_some(())).await;
    }
    let b = lab.gateway_mut("b.example");
    b.kill();
    b.restart().await;
    let mut eve = lab.device("b.example/d/eve/phone").await;
    bring_into(&room(), &mut alice, &mut eve, ORDINARY).await;
    lab.quiet().await;
    let entries = lab.gateway("b.example").database().entries();
    assert_eq!(entries.iter().filter(|entry| entry.record.kind == "certificate.ends").count(), 1);
}
