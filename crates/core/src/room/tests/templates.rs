//! The shipped templates against the examples of the draft.

use super::*;

fn vectors() -> serde_json::Value {
    let text = include_str!("../../../tests/vectors/mimi-vectors.json");
    serde_json::from_str(text).unwrap()
}

fn example(name: &str) -> RolesList {
    let vectors = vectors();
    let all = vectors["vectors"].as_array().unwrap();
    let vector = all.iter().find(|vector| vector["name"] == format!("roles_list/{name}")).unwrap();
    let hex = vector["hex"].as_str().unwrap().as_bytes();
    let bytes: Vec<u8> =
        hex.chunks(2).map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()).collect();
    let roles = RolesList::decode(&bytes).unwrap();
    assert_eq!(roles.encode(), bytes);
    roles
}

#[test]
fn templates_are_the_examples_of_the_draft_but_for_what_the_hub_needs() {
    for (file, name) in
        [("cooperative", "cooperative"), ("strict", "strict"), ("moderated", "moderated"), ("multi-org", "multi_org")]
    {
        let mut expected = example(name);
        let enforcer = expected.roles.last_mut().unwrap();
        assert_eq!(enforcer.name, "policy_enforcer");
        enforcer.capabilities.push(Capability::KICK);
        enforcer.capabilities.sort();
        if name == "multi_org" {
            let users_of_a = crate::wire::components::AuthorizedRoleChange {
                from_role_index: 2,
                target_role_indexes: vec![NO_ROLE, BANNED],
            };
            enforcer.authorized_role_changes.push(users_of_a);
            enforcer.authorized_role_changes.sort_by_key(|change| change.from_role_index);
        }
        assert_eq!(template(file).roles().encode(), expected.encode(), "{name}");
    }
}

#[test]
fn a_template_lists_its_creator_and_the_hub() {
    let scene = Scene::empty("strict");
    assert_eq!(scene.list(), [(user(ALICE), SUPER), (user(HUB), ENFORCER)]);
    assert_eq!(template("strict").role("group_admin"), Some(ADMIN));
}

#[test]
fn the_components_of_a_template_are_those_that_nobody_can_add_later() {
    let scene = Scene::empty("strict");
    let ids: Vec<u16> = scene.view.components.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [0x01, 0x02, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27]);
    assert_eq!(scene.view.components.get(ComponentId::SAFE_AAD), Some(&[2, 0, 0x20][..]));
}

#[test]
fn compiled_extensions_are_those_of_a_group_context() {
    let credential: openmls::prelude::Credential = openmls::prelude::BasicCredential::new(HUB.into()).into();
    let hub = ExternalSender { signature_key: vec![7; 32], credential: credential.clone() };
    let agent = crate::wire::components::FrankingAgent { signature_key: vec![8; 32], credential };
    let (room, creator) = (room_uri(), user(ALICE));
    let input = TemplateInput {
        room: &room,
        about: &About::named("Clubhouse"),
        creator: &creator,
        participants: &[],
        parent: None,
        hub: &hub,
        franking_agent: &agent,
    };
    let bytes = template("strict").compile(&input);
    use openmls::prelude::{ExtensionType, Extensions, GroupContext, tls_codec::DeserializeBytes as _};
    let extensions = Extensions::<GroupContext>::tls_deserialize_exact_bytes(&bytes).unwrap();
    let required = extensions.required_capabilities().unwrap();
    assert_eq!(required.extension_types(), [ExtensionType::AppDataDictionary]);
    assert_eq!(required.proposal_types().len(), 2);
    assert_eq!(extensions.external_senders().unwrap().len(), 1);
    assert!(extensions.app_data_dictionary().is_some());
}

#[test]
fn mistakes_in_a_template_are_named() {
    let good = include_str!("../../../../../policies/templates/strict.yaml");
    let error = |from: &str, to: &str| Template::parse(&good.replacen(from, to, 1)).unwrap_err();
    assert_eq!(error("canAddOwnClient", "canFly"), TemplateError::UnknownCapability("canFly".into()));
    assert_eq!(error("creator_role: super_admin", "creator_role: boss"), TemplateError::UnknownRole("boss".into()));
    assert_eq!(
        error("creator_role: super_admin", "creator_role: no_role"),
        TemplateError::UnknownRole("no_role".into())
    );
    assert_eq!(error("like: ordinary_user", "like: super_admin"), TemplateError::AmbiguousRole("group_admin".into()));
    assert_eq!(error("name: banned", "name: ordinary_user"), TemplateError::AmbiguousRole("ordinary_user".into()));
    let violation = error("      - canSendMessage\n", "      - canOpenJoin\n");
    assert!(matches!(violation, TemplateError::Roles(violation) if violation.breach() == Breach::IllFormedRoles));
    let TemplateError::Yaml(error) = error("title:", "titel:") else { panic!("unknown keys are errors") };
    assert!(error.message.contains("unknown field `titel`"), "{error}");
}

#[test]
fn a_template_lets_users_of_named_providers_join() {
    let text = include_str!("../../../../../policies/templates/strict.yaml");
    let text = text.replacen("roles:", "preauth:\n  - { provider: d.example, role: ordinary_user }\n\nroles:", 1);
    let components = components(&Template::parse(&text).unwrap());
    let scene = Scene::empty("strict");
    let scene = Scene { view: GroupView { components, ..scene.view } };
    let admission = admit(&scene.state(), &client(DIANA, "phone"), &user(DIANA), &[1], None).unwrap();
    assert_eq!((admission.grant(), admission.role()), (Grant::Preauthorized, USER));
}

#[test]
fn a_template_comes_back_from_its_components() {
    for name in ["cooperative", "direct", "strict", "moderated", "multi-org"] {
        let template = template(name);
        let components =
            template.room_components(&"mimi://hub.example/r/x".parse().unwrap(), &About::named("A room"), &user(ALICE));
        let back = Template::of_components(&components).unwrap();
        assert_eq!((back.policies(), back.title()), (template.policies(), "A room"), "{name}");
        let written = Template::parse(&back.to_yaml().unwrap()).unwrap();
        assert_eq!(written, back, "{name}");
    }
}

#[test]
fn components_that_no_template_can_say_do_not_come_back_otherwise() {
    use crate::room::DescribeError;
    use crate::wire::components::{BaseRoomPolicy, ComponentId, PreauthEntry, PreauthList};
    let whole = template("strict").room_components(
        &"mimi://hub.example/r/x".parse().unwrap(),
        &About::named("A room"),
        &user(ALICE),
    );
    let mut fixed = whole.clone();
    let base: BaseRoomPolicy = whole.read().unwrap().unwrap();
    fixed.write(&BaseRoomPolicy { policy_component_ids: Vec::new(), ..base });
    let said = |of| Template::of_components(of).unwrap_err();
    assert_eq!(said(&fixed), DescribeError::Inexpressible(ComponentId::BASE_ROOM_POLICY));
    let mut claims = whole.clone();
    claims.write(&PreauthList { entries: vec![PreauthEntry { claims: Vec::new(), target_role_index: 2 }] });
    assert_eq!(said(&claims), DescribeError::Inexpressible(ComponentId::PREAUTH_LIST));
    let mut less = whole;
    less.remove(ComponentId::ROLES_LIST);
    assert_eq!(said(&less), DescribeError::Missing(ComponentId::ROLES_LIST));
}

const POLICIES: &str = "
policies:
  status_notification: { delivery_notifications: optional, read_receipts: forbidden }
  join_links: { on_request: true, join_link: 'https://a.example/join', multiuser: true, expiration_seconds: 3600 }
  link_preview:
    autodetect: optional
    send_link_previews: optional
    automatic_link_previews: forbidden
    proxy_use: { use: required, uris: ['https://proxy.a.example'] }
  assets:
    upload_location: local_provider
    upload_domains: [{ provider: a.example, destinations: [files.a.example] }]
    download_privacy: { allowed: [direct, ohttp], forbidden: [hub_proxy], default: direct }
    max_image_bytes: 10
    max_audio_bytes: 10
    max_video_bytes: 10
    max_attachment_bytes: 10
    forbidden_media_types: [{ media_type: application/x-sh }]
    permitted_media_types:
  logging: { logging: { use: forbidden } }
  chat_history:
    history_sharing: { use: optional, roles_that_can_share: [3], automatically_share: false, max_time_period_seconds: 60 }
  bots:
    bots:
      - name: helper
        description: helps
        homepage: 'https://a.example/helper'
        local_client_bot: true
        role_index: 0
        can_target: false
        per_user_content: false
  message_expiration: { expiring_messages: { use: required, min_seconds: 60, max_seconds: 90, default_seconds: 70 } }
";

#[test]
fn a_template_says_every_policy_and_comes_back_with_all_of_them() {
    let strict = include_str!("../../../../../policies/templates/strict.yaml");
    let template = Template::parse(&format!("{strict}{POLICIES}")).unwrap();
    let components = template.room_components(&room_uri(), &About::named("A room"), &user(ALICE));
    let ids: Vec<u16> = components.iter().map(|(id, _)| id.0).filter(|id| (0x24..=0x30).contains(id)).collect();
    assert_eq!(ids, [0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30]);
    let back = Template::of_components(&components).unwrap();
    assert_eq!(back.policies(), template.policies());
    assert_eq!(Template::parse(&back.to_yaml().unwrap()).unwrap(), back);
    // Such a room starts.
    let scene = Scene::empty("strict");
    let scene = Scene { view: GroupView { components: self::components(&template), ..scene.view } };
    assert!(found(&scene.view, &room_uri(), &user(ALICE)).is_ok());
    for (from, to) in [
        ("roles_that_can_share: [3]", "roles_that_can_share: [99]"),
        ("min_seconds: 60", "min_seconds: 80"),
        ("upload_location: local_provider", "upload_location: hub"),
        ("local_client_bot: true", "local_client_bot: false"),
    ] {
        let wrong = Template::parse(&format!("{strict}{}", POLICIES.replace(from, to))).unwrap_err();
        assert!(matches!(wrong, TemplateError::Roles(_)), "{to}: {wrong:?}");
    }
    let unknown = format!("{strict}{}", POLICIES.replace("read_receipts", "receipts"));
    assert!(matches!(Template::parse(&unknown), Err(TemplateError::Yaml(_))));
}
