//! Who speaks, where a provider is found, what a request is about and what a message says.

use portcullis::peer::PeerCard;
use portcullis_core::content::Content;
use portcullis_core::identity::certificate::{PeerCertificate, host_tenant, spki_sha256};
use portcullis_core::identity::credential::{client_of, provider_credential, provider_of};
use portcullis_core::mls::SigningKey;
use portcullis_core::wire::Wire;
use portcullis_core::wire::directory::{Directory, lifetime};
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::target::target;
use portcullis_core::wire::uri::{ClientUri, Domain, GroupUri, RoomUri, UserUri};

use super::Decoder;
use super::endpoints::part;

pub(super) const IDENTITY: &[Decoder] = &[
    Decoder { name: "identifiers", run: identifiers },
    Decoder { name: "credential", run: credential },
    Decoder { name: "certificate", run: certificate },
    Decoder { name: "Host", run: host },
    Decoder { name: "signing key", run: signing_key },
    Decoder { name: "content", run: content },
    Decoder { name: "directory", run: directory },
    Decoder { name: "path", run: path },
    Decoder { name: "Cache-Control", run: cache_control },
    Decoder { name: "card", run: card },
];

fn identifiers(bytes: &[u8]) -> bool {
    let mut known = false;
    if let Ok(uri) = UserUri::from_bytes(bytes) {
        assert_eq!(uri.as_bytes(), bytes);
        assert_eq!(uri.is_provider(), uri == UserUri::provider(&uri.domain()));
        assert!(!uri.is_provider() || !uri.is_pseudonym(), "a provider is no pseudonym");
        assert!(!uri.last_segment().is_empty());
        known = true;
    }
    if let Ok(uri) = ClientUri::from_bytes(bytes) {
        assert_eq!(uri.as_bytes(), bytes);
        assert!(uri.user().is_none_or(|user| user.domain() == uri.domain()));
        known = true;
    }
    if let Ok(uri) = RoomUri::from_bytes(bytes) {
        assert!(uri.as_bytes() == bytes && bytes.ends_with(uri.last_segment().as_bytes()));
        known = true;
    }
    if let Ok(uri) = GroupUri::from_bytes(bytes) {
        assert!(uri.as_bytes() == bytes && bytes.ends_with(uri.last_segment().as_bytes()));
        known = true;
    }
    known
}

fn credential(bytes: &[u8]) -> bool {
    let Ok(sender) = ExternalSender::decode(bytes) else { return false };
    if let Some(provider) = provider_of(&sender.credential) {
        assert!(provider_credential(&provider) == sender.credential);
        assert!(client_of(&sender.credential).is_err(), "a provider is no client");
        return true;
    }
    client_of(&sender.credential).is_ok()
}

/// `From`, then a certificate.
fn certificate(mut bytes: &[u8]) -> bool {
    let Some(from) = part(&mut bytes).and_then(|from| std::str::from_utf8(from).ok()) else { return false };
    let Ok(certificate) = PeerCertificate::read(bytes) else { return false };
    assert_eq!(spki_sha256(bytes), Ok(certificate.spki_sha256));
    if let Ok(domain) = certificate.speaks_for(from) {
        assert_eq!(from.to_ascii_lowercase(), format!("mimi@{domain}"));
    }
    true
}

fn host(bytes: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(bytes) else { return false };
    let domains: Vec<Domain> = ["a.example", "b.example"].iter().filter_map(|name| Domain::parse(name).ok()).collect();
    let authorities = ["mimi.a.example:8443".to_owned(), "[::1]".to_owned()];
    host_tenant(host, &domains, &authorities).is_ok_and(|tenant| domains.contains(&tenant))
}

fn signing_key(bytes: &[u8]) -> bool {
    SigningKey::from_pkcs8(bytes).is_ok_and(|key| key.public().len() == 32)
}

fn content(bytes: &[u8]) -> bool {
    let Ok(content) = Content::decode(bytes) else { return false };
    assert!(content.encode() == bytes, "content encodes to other bytes");
    if content.sender().is_ok() && content.room().is_ok() {
        assert!(content.id().is_ok());
    }
    assert!(content.body.as_text().is_none_or(|text| text.len() <= bytes.len()));
    true
}

fn directory(bytes: &[u8]) -> bool {
    let Ok(directory) = Directory::parse(bytes) else { return false };
    let value = "mimi://a.example/r/lobby";
    let Ok(Some(url)) = directory.url("update", &[("roomId", value)]) else { return false };
    assert!(url.contains("mimi%3A%2F%2Fa.example%2Fr%2Flobby"));
    true
}

fn path(bytes: &[u8]) -> bool {
    let Ok(path) = std::str::from_utf8(bytes) else { return false };
    let Ok(room) = target::<RoomUri>(path) else { return target::<UserUri>(path).is_ok() };
    let escaped: String = room.as_str().bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert!(target::<RoomUri>(&format!("/v1/update/{escaped}")) == Ok(room));
    true
}

fn cache_control(bytes: &[u8]) -> bool {
    let Ok(header) = std::str::from_utf8(bytes) else { return false };
    assert!(lifetime(Some(header)).as_secs() <= 24 * 3600);
    true
}

/// The card of another provider, as it comes before anybody knows whose it is.
pub(super) const CARD: &str = r#"{
  "domains": ["b.example"], "directory": "https://mimi.b.example/.well-known/mimi-protocol-directory",
  "spki": ["abababababababababababababababababababababababababababababababab"], "until": 1800000000000,
  "contacts": ["mailto:abuse@b.example"], "asset_hosts": ["assets.b.example"]
}"#;

fn card(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let card = match PeerCard::parse(text) {
        Ok(card) => card,
        Err(wrong) => {
            assert!(!wrong.is_empty(), "a card is refused without a word");
            return false;
        }
    };
    assert!(!card.domains.is_empty() && !card.spki.is_empty(), "a card of nobody");
    let again = serde_json::to_string(&card).ok().and_then(|text| PeerCard::parse(&text).ok());
    assert!(again.as_ref() == Some(&card), "a card is another one when it is read again");
    // What people read to each other tells one card from every other.
    let Ok(known) = PeerCard::parse(CARD) else { panic!("the card that is known is none") };
    let code = known.code_with(&card);
    assert!(code == card.code_with(&known), "both sides read another code");
    assert!((code == known.code_with(&known)) == (card == known), "another card has the same code");
    true
}
