//! Files of a policy bundle: written by the company, and still nothing that may bring a gateway down when it reloads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use portcullis::cli::Printed;
use portcullis::config::{Activate, Policies, PolicySource, Signer};
use portcullis::gateway::{Active, PolicyError};
use portcullis_core::identity::credential::provider_credential;
use portcullis_core::policy::{Bundle, run_cases};
use portcullis_core::room::{About, Template, TemplateInput};
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::FrankingAgent;
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::update::Extension;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};

use serde_json::json;

use super::Decoder;

pub(super) const POLICY: &[Decoder] = &[
    Decoder { name: "template", run: template },
    Decoder { name: "settings", run: settings },
    Decoder { name: "policies", run: policies },
    Decoder { name: "tests", run: tests },
    Decoder { name: "schema", run: schema },
    Decoder { name: "kept bundle", run: kept },
    Decoder { name: "policies with slots", run: slotted },
    Decoder { name: "links", run: links },
    Decoder { name: "obligations", run: obligations },
    Decoder { name: "invariants", run: invariants },
    Decoder { name: "printed template", run: printed },
];

pub(super) const SCHEMA: &str = include_str!("../../policies/schema/mimi.cedarschema");
const STRICT: &str = include_str!("../../policies/templates/strict.yaml");
const ROLES: &str = include_str!("../../policies/platform/roles.cedar");

fn template(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(template) = Template::parse(text) else { return false };
    let extensions = extensions(&template).unwrap_or_default();
    assert!(Vec::<Extension>::decode(&extensions).is_ok_and(|extensions| extensions.len() == 3));
    true
}

/// What `room-template compile` prints, edited: the template that comes of it says so itself.
fn printed(bytes: &[u8]) -> bool {
    let Ok(printed) = serde_json::from_slice::<Printed>(bytes) else { return false };
    let Ok(template) = printed.template() else { return false };
    let Ok(written) = template.to_yaml() else { panic!("a template cannot be written") };
    assert!(
        Template::parse(&written).is_ok_and(|again| again == template),
        "a template is another one when it is read"
    );
    true
}

fn print(template: &str) -> Option<String> {
    let creator = UserUri::parse("mimi://a.example/u/alice").ok()?;
    let room = RoomUri::parse("mimi://a.example/r/lobby").ok()?;
    let components = Template::parse(template).ok()?.room_components(&room, &About::named("Lobby"), &creator);
    serde_json::to_string(&Printed::from(&components)).ok()
}

/// What the template makes of a room.
pub(super) fn extensions(template: &Template) -> Option<Vec<u8>> {
    let domain = Domain::parse("a.example").ok()?;
    let credential = provider_credential(&domain);
    let hub = ExternalSender { signature_key: vec![7; 32], credential: credential.clone() };
    let franking_agent = FrankingAgent { signature_key: vec![8; 32], credential };
    let (room, creator) =
        (RoomUri::parse("mimi://a.example/r/lobby").ok()?, UserUri::parse("mimi://a.example/u/alice").ok()?);
    let input = TemplateInput {
        room: &room,
        about: &About::named("Lobby"),
        creator: &creator,
        participants: &[],
        parent: None,
        hub: &hub,
        franking_agent: &franking_agent,
    };
    Some(template.compile(&input))
}

/// The least bundle, with one file put into it.
fn bundle(file: &str, content: &[u8]) -> Option<Bundle> {
    loaded(&[("settings.yaml", b"{}"), (file, content)])
}

/// A bundle of the schema and these files.
fn loaded(files: &[(&str, &[u8])]) -> Option<Bundle> {
    let all = files.iter().copied().chain([("schema/mimi.cedarschema", SCHEMA.as_bytes())]);
    let files: BTreeMap<String, Vec<u8>> = all.map(|(file, content)| (file.to_owned(), content.to_vec())).collect();
    match Bundle::load(files) {
        Ok(bundle) => Some(bundle),
        Err(wrong) => {
            assert!(!wrong.is_empty(), "a bundle is refused without a word");
            assert!(wrong.iter().all(|diagnostic| !diagnostic.to_string().is_empty()));
            None
        }
    }
}

fn settings(bytes: &[u8]) -> bool {
    bundle("settings.yaml", bytes).is_some()
}

fn policies(bytes: &[u8]) -> bool {
    bundle("ceiling/company.cedar", bytes).is_some() | bundle("platform/company.cedar", bytes).is_some()
}

fn tests(bytes: &[u8]) -> bool {
    let Some(bundle) = bundle("tests/company.yaml", bytes) else { return false };
    run_cases(&bundle);
    true
}

fn schema(bytes: &[u8]) -> bool {
    bundle("schema/mimi.cedarschema", bytes).is_some()
}

fn slotted(bytes: &[u8]) -> bool {
    bundle("templates/company.cedar", bytes).is_some()
}

fn links(bytes: &[u8]) -> bool {
    loaded(&[("settings.yaml", b"{}"), ("templates/slotted.cedar", SLOTTED.as_bytes()), ("rooms/company.yaml", bytes)])
        .is_some()
}

fn obligations(bytes: &[u8]) -> bool {
    loaded(&[("settings.yaml", RATES), ("obligations/company.cedar", bytes)]).is_some()
}

fn invariants(bytes: &[u8]) -> bool {
    bundle("invariants/company.cedar", bytes).is_some()
}

/// A bundle as the database keeps it: taken under its own digest alone, and under a signer's key only if that has signed it.
fn kept(bytes: &[u8]) -> bool {
    let of = |digest: &[u8; 32], signers| {
        let (source, activate) = (PolicySource::default(), Activate::default());
        let question_seconds = std::num::NonZeroU32::MIN;
        let config = Policies { source, folder: PathBuf::new(), activate, approvals: 1, signers, question_seconds };
        Active::of_kept(bytes, digest, &config).map(|active| active.bundle.digest())
    };
    let Ok(texts) = serde_json::from_slice::<BTreeMap<String, String>>(bytes) else {
        assert!(matches!(of(&[0; 32], Vec::new()), Err(PolicyError::Altered)));
        return false;
    };
    let files = texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    let Ok(bundle) = Bundle::load(files) else { return false };
    let digest = bundle.digest();
    assert!(of(&digest, Vec::new()).is_ok_and(|read| read == digest));
    assert!(matches!(of(&[0; 32], Vec::new()), Err(PolicyError::Altered)), "a bundle is taken for another one");
    assert!(matches!(of(&digest, vec![Signer([7; 32])]), Err(PolicyError::Unsigned)), "nobody has signed it");
    true
}

/// A file for each decoder of this target.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let kept =
        json!({ "schema/mimi.cedarschema": SCHEMA, "settings.yaml": "{}", "signature": "AAAA BBBB\n" }).to_string();
    [
        ("template", STRICT),
        ("template", include_str!("../../policies/templates/multi-org.yaml")),
        ("settings", include_str!("../../policies/settings.yaml")),
        ("policies", include_str!("../../policies/ceiling/moderation.cedar")),
        ("policies", ROLES),
        ("tests", TESTS),
        ("schema", SCHEMA),
        ("kept bundle", &kept),
        ("printed template", &print(STRICT).unwrap_or_default()),
        ("policies with slots", SLOTTED),
        ("links", LINKS),
        ("obligations", OBLIGATION),
        ("invariants", include_str!("../../policies/invariants/company.cedar")),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .into()
}

const RATES: &[u8] = b"obligations: { rate_classes: [{ name: guests, per_minute: 20, burst: 10 }] }";

const SLOTTED: &str = "\
@id(\"company.read-only\")
@reason(\"READ_ONLY\")
@public_message(\"you may only read here\")
forbid (principal in ?principal, action in Mimi::Action::\"MessageActs\", resource == ?resource);
";

const LINKS: &str = "\
- template: company.read-only
  links:
    - { user: mimi://b.example/u/bob, room: mimi://a.example/r/lounge }
    - { provider: c.example, room: mimi://a.example/r/lounge }
";

const OBLIGATION: &str = "\
@id(\"company.pace-of-guests\")
@rate_class(\"guests\")
permit (principal, action == Mimi::Action::\"canSendMessage\", resource is Mimi::Room);
";

/// A room and a case in it.
const TESTS: &str = "\
rooms:
  lobby:
    room: mimi://a.example/r/lobby
    side: hub
    participants: { 'mimi://a.example/u/alice': 2 }
    roles: [{ index: 2, name: ordinary, capabilities: [canSendMessage] }]
cases:
  - it: what nothing permits is denied
    actor: mimi://a.example/u/alice
    action: canSendMessage
    room: lobby
    expect: { allow: false }
";
