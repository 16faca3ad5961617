//! From an e-mail address to the provider that has it: by the configuration, by the names of peers, and by what a domain says.

use portcullis::provider::{Profile, ProfileField};
use portcullis_core::wire::Wire;
use portcullis_core::wire::identifier_query::FieldSource::OidcStdClaim;
use portcullis_core::wire::identifier_query::IdentifierQueryCode::{self, Forbidden, NotFound, Success};
use portcullis_core::wire::identifier_query::{IdentifierRequest, QueryElement};
use portcullis_core::wire::uri::UserUri;
use serde_json::json;

use crate::admin::Person;
use crate::assets::server::{Directory, Files};
use crate::harness::{Lab, edit, user};
use crate::rights::certificate_until;

const DIRECTORY: &str = "/.well-known/mimi-protocol-directory";
const A_DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// The gateways a.example and b.example, with Bob who is found by several addresses, and domains that say whose theirs are.
struct Scene {
    lab: Lab,
    domains: Files,
}

impl Scene {
    /// `probe` names the domains that a.example may ask.
    async fn open(probe: &str) -> Self {
        let mut lab = Lab::new(&["a.example", "b.example"]);
        for gateway in &lab.gateways {
            edit(&gateway.folder.join("policies/settings.yaml"), "vcard.IMPP]", "vcard.IMPP, oidc.email]");
        }
        let authority = lab.gateways[0].folder.with_file_name("ca");
        let domains = Files::start(&certificate_until(&authority, "*.mail.example", A_DAY));
        let hosts = ["moved", "itself", "lost", "odd", "barred"];
        let hosts = hosts.map(|name| format!("{name}.mail.example: '{}'", domains.address)).join(", ");
        let a = &lab.gateways[0];
        a.configure(&format!(
            "addresses: {{ providers: {{ post.example: b.example, gone.example: z.example }}, probe: [{probe}] }}\n\
             assets: {{ trust: [keys/ca.pem], connect: {{ {hosts} }} }}\n"
        ));
        std::fs::write(
            a.folder.join("policies/ceiling/barred.cedar"),
            "@id(\"company.not-there\") @reason(\"NOT_THERE\")\n\
             forbid (principal, action == Mimi::Action::\"search\", resource == Mimi::Provider::\"barred.mail.example\");\n",
        )
        .unwrap();
        lab.start().await;
        let directory = lab.gateway("a.example").config().peers[0].directory.clone().unwrap();
        assert!(directory.ends_with(DIRECTORY));
        domains.say("moved.mail.example", Directory::At(directory));
        domains.say("itself.mail.example", Directory::Text(r#"{"keyMaterial":"https://x.example/{targetUser}"}"#));
        domains.say("odd.mail.example", Directory::At("https://127.0.0.1/".to_owned()));
        let (bob, b) = (user("b.example/u/bob"), lab.gateway("b.example"));
        let addresses = ["bob@b.example", "bob@post.example", "bob@moved.mail.example"];
        let fields = addresses.map(|value| ProfileField {
            source: OidcStdClaim,
            name: "email".to_owned(),
            value: value.to_owned(),
            searchable: true,
        });
        b.client(&bob).register_user(&bob).await.unwrap();
        b.client(&bob).put_profile(&bob, &Profile { hidden: false, fields: fields.to_vec() }).await.unwrap();
        Self { lab, domains }
    }

    /// Whom Alice of a.example finds by an address.
    async fn found(&self, address: &str) -> (IdentifierQueryCode, Vec<UserUri>) {
        let elements = vec![QueryElement::Email { value: address.to_owned() }];
        let request = IdentifierRequest { elements, ..IdentifierRequest::default() }.encode();
        let alice = user("a.example/u/alice");
        let answered = self.lab.gateway("a.example").client(&alice).search_by_address(request).await.unwrap();
        (answered.value.code, answered.value.uris)
    }

    /// What a.example has on the record of domains that it asked: which, and what came of it.
    fn asked(&self) -> Vec<(String, String)> {
        let entries = self.lab.gateway("a.example").database().entries();
        let asked = entries.into_iter().filter(|entry| entry.record.kind == "address.asked");
        let shown = asked.map(|entry| {
            assert!(!entry.record.detail.to_string().contains("bob"), "{}", entry.record.detail);
            (entry.record.detail["domain"].as_str().unwrap().to_owned(), entry.record.reason)
        });
        shown.collect()
    }
}

#[tokio::test]
async fn a_user_is_found_by_an_address_whichever_way_its_provider_is_known_and_a_domain_is_asked_once() {
    let scene = Scene::open("'*'").await;
    let bob = user("b.example/u/bob");
    for address in ["bob@b.example", "bob@post.example", "bob@moved.mail.example", "bob@moved.mail.example"] {
        assert_eq!(scene.found(address).await, (Success, vec![bob.clone()]), "{address}");
    }
    assert_eq!(scene.found("nobody@a.example").await, (NotFound, Vec::new()), "we have been asked ourselves");
    assert_eq!(scene.domains.times(DIRECTORY), 1);
    scene.lab.quiet().await;
    assert_eq!(scene.asked(), [("moved.mail.example".to_owned(), "resolved".to_owned())]);
    let at_b = scene.lab.gateway("b.example").database().entries();
    assert_eq!(at_b.iter().filter(|entry| entry.record.kind == "decision.search").count(), 4);
}

#[tokio::test]
async fn a_domain_that_names_nobody_who_may_come_in_has_nobody_and_people_are_told_why() {
    let scene = Scene::open("'*'").await;
    let ops = Person::at(scene.lab.gateway("a.example"), &["operator"]);
    for (address, why) in [
        ("bob@gone.example", "no_peer"),
        ("bob@itself.mail.example", "no_peer"),
        ("bob@lost.mail.example", "no_provider"),
        ("bob@odd.mail.example", "no_provider"),
    ] {
        assert_eq!(scene.found(address).await, (NotFound, Vec::new()), "{address}");
        let shown = ops.get(&format!("addresses/{address}")).await.body;
        assert_eq!((&shown["by"], &shown["provider"]), (&json!(why), &json!(null)), "{address}");
        assert!(shown["why"].as_str().unwrap().contains('`'), "{shown}");
    }
    assert_eq!(scene.domains.times(DIRECTORY), 3, "what they said is known for a while, and no redirect is followed");
    let shown = ops.get("addresses/bob@moved.mail.example").await.body;
    assert_eq!(shown, json!({ "domain": "moved.mail.example", "provider": "b.example", "by": "probe" }));
    // Who is put out has nobody any more, whatever the domain has said.
    ops.decide("b.example", "block").await;
    for address in ["bob@moved.mail.example", "bob@post.example", "bob@b.example"] {
        assert_eq!(ops.get(&format!("addresses/{address}")).await.body["by"], "no_peer", "{address}");
        // Policy lets nobody search there by its own name.
        let told = if address == "bob@b.example" { Forbidden } else { NotFound };
        assert_eq!(scene.found(address).await, (told, Vec::new()), "{address}");
    }
    for no_address in ["bob", "bob@127.0.0.1", "bob@localhost"] {
        assert_eq!(ops.get(&format!("addresses/{no_address}")).await.refusal(), (400, "malformed"), "{no_address}");
    }
}

#[tokio::test]
async fn nobody_is_asked_whom_policy_or_the_configuration_does_not_let_be_asked() {
    let scene = Scene::open("barred.mail.example, lost.mail.example").await;
    assert_eq!(scene.found("bob@barred.mail.example").await, (Forbidden, Vec::new()));
    assert_eq!(scene.found("bob@moved.mail.example").await, (NotFound, Vec::new()));
    assert_eq!(scene.domains.times(DIRECTORY), 0);
    assert_eq!(scene.found("bob@lost.mail.example").await, (NotFound, Vec::new()));
    assert_eq!(scene.domains.times(DIRECTORY), 1);
    scene.lab.quiet().await;
    assert_eq!(scene.asked(), [("lost.mail.example".to_owned(), "no_provider".to_owned())]);
}

#[tokio::test]
async fn the_command_line_says_which_provider_has_an_address_and_by_what() {
    let scene = Scene::open("'*'").await;
    let a = scene.lab.gateway("a.example");
    for (address, provider, by) in [
        ("ann@a.example", "a.example", "own"),
        ("bob@b.example", "b.example", "peer"),
        ("bob@post.example", "b.example", "configuration"),
        ("bob@moved.mail.example", "b.example", "probe"),
    ] {
        let told = a.operated(&["peer", "resolve", address, "--json"]);
        let domain = address.split_once('@').unwrap().1;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told, json!({ "domain": domain, "provider": provider, "by": by }));
    }
    let refused = a.operate(&["peer", "resolve", "bob@gone.example"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("`z.example` has these addresses"));
    assert_eq!(a.operate(&["peer", "resolve", "bob"]).status.code(), Some(64));
    scene.lab.quiet().await;
    assert_eq!(scene.asked(), [("moved.mail.example".to_owned(), "resolved".to_owned())]);
}
