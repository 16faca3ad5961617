//! A17 to A28: metadata, policies, and what the group itself does.

use crate::wire::components::{
    AssetDomains, AssetPolicy, AssetUploadLocation, Bot, BotPolicy, Conditional, DownloadPrivacy, DownloadType,
    ExpirationLimits, HistoryPolicy, HistorySharing, JoinLinkPolicy, JoinLinks, JoinLinksUpdate, LinkPreviewPolicy,
    Logging, LoggingPolicy, MessageExpirationPolicy, Optionality, Proxies, RoomMetadata, StatusNotificationPolicy,
};

use super::*;

/// The component as it would be after `change`, as an update.
pub(super) fn edited<T: Component>(scene: &Scene, change: impl FnOnce(&mut T)) -> Effect {
    let mut component: T = scene.view.components.read().unwrap().unwrap();
    change(&mut component);
    set(T::ID, component.encode())
}

/// A policy component together with the base policy that lists it.
fn policy<T: Component>(scene: &Scene, component: &T) -> Vec<Effect> {
    let base = edited(scene, |base: &mut BaseRoomPolicy| base.policy_component_ids.push(T::ID));
    vec![base, set(T::ID, component.encode())]
}

#[test]
fn a17_each_field_of_the_metadata_takes_its_own_capability() {
    let scene = Scene::of("strict");
    type Edit = fn(&mut RoomMetadata);
    let fields: [(Edit, Capability); 4] = [
        (|metadata| metadata.name = "x".into(), Capability::CHANGE_ROOM_NAME),
        (|metadata| metadata.avatar = "https://a.example/x.png".into(), Capability::CHANGE_ROOM_AVATAR),
        (|metadata| metadata.subject = "x".into(), Capability::CHANGE_ROOM_SUBJECT),
        (|metadata| metadata.mood = "x".into(), Capability::CHANGE_ROOM_MOOD),
    ];
    for (change, capability) in fields {
        let update = edited(&scene, change);
        let result = scene.commit(BOB, vec![update.clone()]);
        let action = &result.as_ref().unwrap()[0];
        assert_eq!((action.rule, action.capability), (Rule::ChangeMetadata, capability));
        assert!(scene.grants(&result));
        assert!(!scene.grants(&scene.commit(CATHY, vec![update])), "{capability}");
    }
    let both = edited(&scene, |metadata: &mut RoomMetadata| {
        metadata.name = "x".into();
        metadata.descriptions.push(crate::wire::components::RichDescription {
            media_type: String::new(),
            language: "en".into(),
            content: b"x".to_vec(),
        });
    });
    let capabilities: Vec<_> = scene.commit(BOB, vec![both]).unwrap().iter().map(|action| action.capability).collect();
    assert_eq!(capabilities, [Capability::CHANGE_ROOM_NAME, Capability::CHANGE_ROOM_DESCRIPTION]);
}

#[test]
fn a17_the_room_s_identifier_never_changes_and_the_avatar_is_https() {
    let scene = Scene::of("strict");
    let other = RoomUri::parse("mimi://a.example/r/other").unwrap();
    let moved = edited(&scene, |metadata: &mut RoomMetadata| metadata.room = other);
    let avatar = edited(&scene, |metadata: &mut RoomMetadata| metadata.avatar = "http://a.example/x.png".into());
    assert_eq!(breach(&scene.commit(ALICE, vec![moved])), Breach::Metadata);
    assert_eq!(breach(&scene.commit(ALICE, vec![avatar])), Breach::Metadata);
}

#[test]
fn a18_role_definitions_change_by_those_who_may_and_alone() {
    let scene = Scene::of("strict");
    let roles = edited(&scene, |list: &mut RolesList| can(&mut list.roles[2], Capability::REPLY_TO_MESSAGE));
    let result = scene.commit(ALICE, vec![roles.clone()]);
    assert_eq!(rules(&result), [Rule::ChangeRoles]);
    assert!(scene.grants(&result));
    assert!(!scene.grants(&scene.commit(BOB, vec![roles.clone()])));
    let with_add = scene.commit(ALICE, vec![roles.clone(), scene.moves(&[(DIANA, USER)])]);
    assert_eq!(breach(&with_add), Breach::RolesWithList);
    let with_removal = scene.commit(ALICE, vec![roles, scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone")]);
    assert_eq!(breach(&with_removal), Breach::RolesWithList);
}

#[test]
fn a18_ill_formed_roles_are_refused() {
    let scene = Scene::of("strict");
    type Edit = fn(&mut RolesList);
    let cases: [(&str, Edit); 6] = [
        ("canOpenJoin on role 2", |list| can(&mut list.roles[2], Capability::OPEN_JOIN)),
        ("an index twice", |list| list.roles.push(list.roles[2].clone())),
        ("a change to a role that is not there", |list| {
            list.roles[3].authorized_role_changes[0].target_role_indexes.push(99);
        }),
        ("a change from a role that is not there", |list| {
            list.roles[3].authorized_role_changes[0].from_role_index = 99;
        }),
        ("a ban without the banned role", |list| list.roles[1].name = "quiet".into()),
        ("more than 256 roles", |list| {
            let role = list.roles[2].clone();
            list.roles.extend((100..400).map(|role_index| Role { role_index, ..role.clone() }));
        }),
    ];
    for (case, change) in cases {
        let result = scene.commit(ALICE, vec![edited(&scene, change)]);
        assert_eq!(breach(&result), Breach::IllFormedRoles, "{case}");
    }
}

#[test]
fn a18_a_role_that_somebody_has_cannot_go() {
    let scene = Scene::of("strict");
    let without_users = edited(&scene, |list: &mut RolesList| {
        list.roles.retain(|role| role.role_index != USER);
        for role in &mut list.roles {
            role.authorized_role_changes.retain(|change| change.from_role_index != USER);
            for change in &mut role.authorized_role_changes {
                change.target_role_indexes.retain(|target| *target != USER);
            }
        }
    });
    let violation = scene.commit(ALICE, vec![without_users]).unwrap_err();
    assert_eq!((violation.breach(), violation.user()), (Breach::UnknownRole, Some(&user(CATHY))));
}

#[test]
fn a18_unknown_capabilities_are_kept_and_give_nothing() {
    let scene = Scene::of("strict").role(USER, |role| can(role, Capability(0xf123)));
    assert!(scene.state().holds(&user(CATHY), Capability(0xf123)));
    assert!(!scene.grants(&scene.commit(CATHY, vec![scene.moves(&[(DIANA, USER)])])));
}

#[test]
fn a19_the_preauth_list_changes_beside_removals_only() {
    let scene = Scene::of("strict");
    let preauth = edited(&scene, preauthorize("d.example", USER));
    let alone = scene.commit(ALICE, vec![preauth.clone()]);
    assert_eq!(rules(&alone), [Rule::ChangePreauth]);
    assert!(scene.grants(&alone) && !scene.grants(&scene.commit(BOB, vec![preauth.clone()])));
    let removal = vec![preauth.clone(), scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone")];
    assert!(scene.grants(&scene.commit(ALICE, removal)));
    let addition = scene.commit(ALICE, vec![preauth, scene.moves(&[(DIANA, USER)])]);
    assert_eq!(breach(&addition), Breach::PreauthWithList);
}

#[test]
fn a19_preauth_gives_only_roles_that_exist_and_are_no_ban() {
    let scene = Scene::of("strict");
    for role in [NO_ROLE, BANNED, 99] {
        let preauth = edited(&scene, preauthorize("d.example", role));
        assert_eq!(breach(&scene.commit(ALICE, vec![preauth])), Breach::UnknownRole, "{role}");
    }
}

#[test]
fn a20_the_base_policy_takes_the_membership_style_and_must_fit_the_room() {
    let scene = Scene::of("strict");
    let wide = edited(&scene, |base: &mut BaseRoomPolicy| base.max_clients = Some(3));
    let result = scene.commit(ALICE, vec![wide.clone()]);
    assert_eq!(rules(&result), [Rule::ChangeBasePolicy]);
    assert!(scene.grants(&result) && !scene.grants(&scene.commit(BOB, vec![wide])));
    let narrow = edited(&scene, |base: &mut BaseRoomPolicy| base.max_clients = Some(2));
    assert_eq!(breach(&scene.commit(ALICE, vec![narrow])), Breach::MaxClients);
    let few = edited(&scene, |base: &mut BaseRoomPolicy| base.max_users = Some(2));
    assert_eq!(breach(&scene.commit(ALICE, vec![few])), Breach::MaxUsers);
    let two = scene.device(CATHY, "laptop");
    let single = edited(&two, |base: &mut BaseRoomPolicy| base.multi_device = false);
    assert_eq!(breach(&two.commit(ALICE, vec![single])), Breach::SecondClient);
}

#[test]
fn a20_what_a_room_depends_on_is_set_when_it_is_created() {
    let scene = Scene::of("strict");
    let parent = RoomUri::parse("mimi://a.example/r/parent").unwrap();
    let depends = |base: &mut BaseRoomPolicy| {
        base.parent_dependant = true;
        base.parent_room = Some(parent.clone());
    };
    assert_eq!(breach(&scene.commit(ALICE, vec![edited(&scene, depends)])), Breach::Parent);
    let dependent = scene.clone().base(depends);
    let free = edited(&dependent, |base: &mut BaseRoomPolicy| {
        base.parent_dependant = false;
        base.parent_room = None;
    });
    assert_eq!(breach(&dependent.commit(ALICE, vec![free])), Breach::Parent);
    let orphan = edited(&scene, |base: &mut BaseRoomPolicy| base.parent_room = Some(room_uri()));
    assert_eq!(breach(&scene.commit(ALICE, vec![orphan])), Breach::Malformed);
}

#[test]
fn a20_a_room_whose_roles_add_nobody_may_be_fixed() {
    let scene = Scene::of("strict").edit(|list: &mut RolesList| {
        list.roles.iter_mut().for_each(|role| cannot(role, Capability::ADD_PARTICIPANT));
    });
    let fixed = edited(&scene, |base: &mut BaseRoomPolicy| base.fixed_membership = true);
    assert_eq!(rules(&scene.commit(ALICE, vec![fixed])), [Rule::ChangeBasePolicy]);
}

#[test]
fn a20_a_fixed_room_has_no_role_that_adds_participants() {
    let scene = Scene::of("strict");
    let fixed = edited(&scene, |base: &mut BaseRoomPolicy| base.fixed_membership = true);
    assert_eq!(breach(&scene.commit(ALICE, vec![fixed])), Breach::IllFormedRoles);
}

#[test]
fn invariant_11_the_base_policy_lists_the_policy_components_there_are() {
    let scene = Scene::of("strict");
    let status = StatusNotificationPolicy {
        delivery_notifications: Optionality::Optional,
        read_receipts: Optionality::Forbidden,
    };
    assert!(scene.commit(ALICE, policy(&scene, &status)).is_ok());
    let alone = vec![set(StatusNotificationPolicy::ID, status.encode())];
    assert_eq!(breach(&scene.commit(ALICE, alone)), Breach::PolicyComponents);
    let absent = edited(&scene, |base: &mut BaseRoomPolicy| base.policy_component_ids.push(ComponentId::BOT_POLICY));
    assert_eq!(breach(&scene.commit(ALICE, vec![absent])), Breach::PolicyComponents);
}

#[test]
fn a21_other_policies_take_0x0505_or_the_membership_style_where_no_role_has_it() {
    let scene = Scene::of("strict");
    let limits = ExpirationLimits { min_seconds: 1, max_seconds: 3, default_seconds: Some(2) };
    let expiration = MessageExpirationPolicy { expiring_messages: Conditional::Required(limits) };
    let result = scene.commit(ALICE, policy(&scene, &expiration));
    let action = result.as_ref().unwrap().iter().find(|action| action.rule == Rule::ChangePolicy).unwrap();
    assert_eq!(action.capability, Capability::CHANGE_OTHER_POLICY_ATTRIBUTE);
    assert!(action.alternative_granted && scene.grants(&result));
    let bob = scene.commit(BOB, policy(&scene, &expiration));
    assert!(!scene.grants(&bob));
    let reserved = scene.role(ADMIN, |role| can(role, Capability::CHANGE_OTHER_POLICY_ATTRIBUTE));
    let alice = reserved.commit(ALICE, policy(&reserved, &expiration));
    assert!(!reserved.grants(&alice), "a user without 0x0505 where another role has it");
}

#[test]
fn a21_policies_that_contradict_themselves_or_the_roles_are_refused() {
    let scene = Scene::of("strict");
    let refused = |effects: Vec<Effect>| breach(&scene.commit(ALICE, effects));
    let limits = ExpirationLimits { min_seconds: 3, max_seconds: 1, default_seconds: None };
    let expiration = MessageExpirationPolicy { expiring_messages: Conditional::Optional(limits) };
    assert_eq!(refused(policy(&scene, &expiration)), Breach::Malformed);
    let history = |role| HistoryPolicy {
        history_sharing: Conditional::Optional(HistorySharing {
            roles_that_can_share: vec![role],
            automatically_share: false,
            max_time_period_seconds: 60,
        }),
    };
    for role in [NO_ROLE, BANNED, ENFORCER, 99] {
        assert_eq!(refused(policy(&scene, &history(role))), Breach::UnknownRole, "{role}");
    }
    assert!(scene.commit(ALICE, policy(&scene, &history(USER))).is_ok());
    let bot = |local_client_bot, role_index| BotPolicy {
        bots: vec![Bot {
            name: "helper".into(),
            description: String::new(),
            homepage: String::new(),
            local_client_bot,
            role_index,
            can_target: false,
            per_user_content: false,
        }],
    };
    assert_eq!(refused(policy(&scene, &bot(false, 99))), Breach::UnknownRole);
    assert_eq!(refused(policy(&scene, &bot(true, USER))), Breach::Malformed);
    assert!(scene.commit(ALICE, policy(&scene, &bot(true, NO_ROLE))).is_ok());
    let preview = |uris: Vec<String>| LinkPreviewPolicy {
        autodetect: Optionality::Optional,
        send_link_previews: Optionality::Optional,
        automatic_link_previews: Optionality::Forbidden,
        proxy_use: Conditional::Required(Proxies { uris }),
    };
    assert_eq!(refused(policy(&scene, &preview(vec![]))), Breach::Malformed);
    assert_eq!(refused(policy(&scene, &preview(vec!["http://p.a.example/".into()]))), Breach::Malformed);
    assert!(scene.commit(ALICE, policy(&scene, &preview(vec!["https://p.a.example/".into()]))).is_ok());
}

#[test]
fn a21_a_room_is_logged_by_who_is_in_it() {
    let scene = Scene::of("strict");
    let logging = |clients: &[&str]| Logging {
        logging_clients: clients.iter().map(|uri| (*uri).to_owned()).collect(),
        machine_readable_policy: String::new(),
        human_readable_policy: String::new(),
    };
    let required = |clients: &[&str]| LoggingPolicy { logging: Conditional::Required(logging(clients)) };
    let said = |logging: LoggingPolicy| scene.commit(ALICE, policy(&scene, &logging));
    let (cathy, diana) = ("mimi://c.example/d/cathy/phone", "mimi://d.example/d/diana/phone");
    assert!(said(required(&[cathy])).is_ok());
    assert_eq!(breach(&said(required(&[diana]))), Breach::NotLogged);
    assert_eq!(breach(&said(required(&[]))), Breach::Malformed);
    assert_eq!(breach(&said(required(&["archive"]))), Breach::Malformed);
    assert_eq!(
        breach(&said(required(&[cathy, "mimi://c.example/d/carl/phone"]))),
        Breach::Malformed,
        "two of one provider"
    );
    assert!(said(LoggingPolicy { logging: Conditional::Forbidden }).is_ok());
    assert!(said(LoggingPolicy { logging: Conditional::Optional(logging(&[diana])) }).is_ok());
    // And stays as long as the room says so.
    let mut logged = scene.clone().base(|base| base.policy_component_ids.push(LoggingPolicy::ID));
    logged.view.components.write(&required(&[cathy, diana]));
    let gone = logged.commit(BOB, vec![logged.moves(&[(CATHY, NO_ROLE)]), logged.remove(CATHY, "phone")]);
    assert_eq!((breach(&gone), gone.unwrap_err().user()), (Breach::NotLogged, Some(&user(CATHY))));
    assert!(logged.commit(ALICE, vec![]).is_ok(), "that Diana was never there holds nothing else up");
}

#[test]
fn a21_where_files_go_is_passed_on_unless_they_would_be_stored_here() {
    let scene = Scene::of("strict");
    let assets = |upload_location, allowed: &[DownloadType], forbidden: &[DownloadType]| AssetPolicy {
        upload_location,
        upload_domains: vec![],
        download_privacy: DownloadPrivacy {
            allowed: allowed.to_vec(),
            forbidden: forbidden.to_vec(),
            default: DownloadType::Direct,
        },
        max_image_bytes: 1,
        max_audio_bytes: 1,
        max_video_bytes: 1,
        max_attachment_bytes: 1,
        forbidden_media_types: vec![],
        permitted_media_types: None,
    };
    let said = |policy: AssetPolicy| scene.commit(ALICE, self::policy(&scene, &policy));
    let (direct, local) = ([DownloadType::Direct], AssetUploadLocation::LocalProvider);
    assert_eq!(said(assets(local, &direct, &[DownloadType::Ohttp])).unwrap()[1].rule, Rule::ChangePolicy);
    assert_eq!(breach(&said(assets(AssetUploadLocation::Hub, &direct, &[]))), Breach::NotSupported);
    assert_eq!(breach(&said(assets(local, &direct, &direct))), Breach::Malformed);
    let of_b = AssetDomains { provider: "b.example".into(), destinations: vec!["files.b.example".into()] };
    let twice = AssetPolicy { upload_domains: vec![of_b.clone(), of_b], ..assets(local, &direct, &[]) };
    assert_eq!(breach(&said(twice)), Breach::Malformed);
}

#[test]
fn a23_join_links_come_and_go_by_their_own_capabilities_or_by_the_right_to_add() {
    let with_links = |scene: Scene, links: &[&[u8]]| {
        let mut scene = scene.base(|base| base.policy_component_ids.push(JoinLinks::ID));
        scene.view.components.write(&JoinLinks { links: links.iter().map(|link| link.to_vec()).collect() });
        scene
    };
    let change = |removed: &[u32], added: &[&[u8]]| {
        let added = added.iter().map(|link| link.to_vec()).collect();
        set(JoinLinks::ID, JoinLinksUpdate { removed: removed.to_vec(), added }.encode())
    };
    let scene = with_links(Scene::of("strict"), &[b"one"]);
    let capabilities = |result: &Result<Vec<Action>, Violation>| {
        let actions = result.as_ref().unwrap();
        assert!(actions.iter().all(|action| action.rule == Rule::ChangeJoinLinks), "{actions:?}");
        actions.iter().map(|action| action.capability).collect::<Vec<_>>()
    };
    let both = scene.commit(BOB, vec![change(&[0], &[b"two"])]);
    assert_eq!(capabilities(&both), [Capability::CREATE_JOIN_CODE, Capability::DELETE_JOIN_CODE]);
    assert!(scene.grants(&both), "group_admin has both");
    assert!(!scene.grants(&scene.commit(CATHY, vec![change(&[], &[b"two"])])));
    let proposed = scene.propose(scene.member(BOB), vec![change(&[0], &[])], &[]);
    assert_eq!(
        capabilities(&proposed),
        [Capability::DELETE_JOIN_CODE],
        "what is proposed alone takes from the list, too"
    );
    // Where no role has them, who adds participants may.
    let without = scene.clone().edit(|list: &mut RolesList| {
        for role in &mut list.roles {
            cannot(role, Capability::CREATE_JOIN_CODE);
            cannot(role, Capability::DELETE_JOIN_CODE);
        }
    });
    let added = without.commit(BOB, vec![change(&[], &[b"two"])]);
    assert_eq!(capabilities(&added), [Capability::CREATE_JOIN_CODE]);
    assert!(without.grants(&added) && !without.grants(&without.commit(CATHY, vec![change(&[0], &[])])));
    assert_eq!(breach(&scene.commit(BOB, vec![change(&[], &[b""])])), Breach::Malformed);
    let many: Vec<Vec<u8>> = (0..64_u8).map(|number| vec![number, 1]).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(breach(&scene.commit(BOB, vec![change(&[], &many)])), Breach::Malformed, "65 of them");
    let policy = |on_request| JoinLinkPolicy { on_request, join_link: vec![], multiuser: true, expiration_seconds: 60 };
    let mut asked = scene.clone().base(|base| base.policy_component_ids.push(JoinLinkPolicy::ID));
    asked.view.components.write(&policy(true));
    assert_eq!(breach(&asked.commit(BOB, vec![change(&[], &[b"two"])])), Breach::JoinLinks);
    assert!(asked.commit(BOB, vec![change(&[0], &[b"two"])]).is_ok());
    let two = with_links(Scene::of("strict"), &[b"one", b"two"]);
    assert_eq!(breach(&two.commit(ALICE, self::policy(&two, &policy(true)))), Breach::JoinLinks);
    assert!(two.commit(ALICE, self::policy(&two, &policy(false))).is_ok());
}

#[test]
fn a22_operational_parameters_take_0x0600_which_the_enforcer_has() {
    let scene = Scene::of("strict");
    let update = edited(&scene, |parameters: &mut OperationalParameters| parameters.max_buffered = 9);
    let result = scene.commit(ALICE, vec![update.clone()]);
    assert_eq!(rules(&result), [Rule::ChangeOperational]);
    assert!(!scene.grants(&result));
    let able = scene.role(SUPER, |role| can(role, Capability::CHANGE_MLS_OPERATIONAL_POLICIES));
    assert!(able.grants(&able.commit(ALICE, vec![update.clone()])));
    let nobody = able.edit(|list: &mut RolesList| {
        list.roles.iter_mut().for_each(|role| cannot(role, Capability::CHANGE_MLS_OPERATIONAL_POLICIES));
    });
    assert!(nobody.grants(&nobody.commit(ALICE, vec![update.clone()])));
    assert!(!nobody.grants(&nobody.commit(BOB, vec![update])));
}

fn asset_policy(hosts: &[(&str, &[&str])]) -> AssetPolicy {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let domains = hosts.iter().map(|(of, at)| AssetDomains { provider: (*of).to_owned(), destinations: texts(at) });
    AssetPolicy {
        upload_location: AssetUploadLocation::LocalProvider,
        upload_domains: domains.collect(),
        download_privacy: DownloadPrivacy {
            allowed: vec![DownloadType::HubProxy, DownloadType::Ohttp],
            forbidden: vec![DownloadType::Direct],
            default: DownloadType::HubProxy,
        },
        max_image_bytes: 1,
        max_audio_bytes: 1,
        max_video_bytes: 1,
        max_attachment_bytes: 1,
        forbidden_media_types: Vec::new(),
        permitted_media_types: None,
    }
}

#[test]
fn a22_an_asset_policy_names_hosts_that_are_hosts_and_ways_that_do_not_contradict_each_other() {
    let scene = Scene::of("strict");
    let good = asset_policy(&[("a.example", &["files.a.example", "media.a.example"]), ("b.example", &[])]);
    let result = scene.commit(ALICE, policy(&scene, &good));
    assert!(scene.grants(&result), "{result:?}");
    assert!(!scene.grants(&scene.commit(CATHY, policy(&scene, &good))));
    type Edit = fn(&mut AssetPolicy);
    let many: fn(&mut AssetPolicy) = |policy| {
        policy.upload_domains[0].destinations = (0..65).map(|number| format!("f{number}.a.example")).collect();
    };
    let wrong: [(Edit, Breach); 8] = [
        (|policy| policy.upload_location = AssetUploadLocation::Hub, Breach::NotSupported),
        (many, Breach::NotSupported),
        (|policy| policy.upload_domains[0].destinations[0] = "files".to_owned(), Breach::Malformed),
        (|policy| policy.upload_domains[0].destinations[0] = "https://files.a.example".to_owned(), Breach::Malformed),
        (|policy| policy.upload_domains[1].provider = "a.example".to_owned(), Breach::Malformed),
        (|policy| policy.download_privacy.default = DownloadType::Direct, Breach::Malformed),
        (|policy| policy.download_privacy.allowed.clear(), Breach::Malformed),
        (|policy| policy.download_privacy.forbidden.push(DownloadType::Ohttp), Breach::Malformed),
    ];
    for (number, (edit, expected)) in wrong.into_iter().enumerate() {
        let mut policy_of = good.clone();
        edit(&mut policy_of);
        if number == 6 {
            // Any way is allowed then, but for those that are forbidden.
            policy_of.download_privacy.default = DownloadType::Direct;
        }
        assert_eq!(breach(&scene.commit(ALICE, policy(&scene, &policy_of))), expected, "{number}");
    }
}

#[test]
fn a24_franking_and_unknown_components_are_not_supported() {
    let scene = Scene::of("strict");
    for id in [0x01, 0x02, 0x03, 0x20, 0x21, 0x31, 0x8001] {
        let result = scene.commit(ALICE, vec![set(ComponentId(id), vec![0])]);
        assert_eq!(breach(&result), Breach::NotSupported, "{id:x}");
    }
}

#[test]
fn a24_a25_extensions_reinit_and_other_proposals_are_not_supported() {
    let scene = Scene::of("strict");
    for effect in [Effect::GroupContextExtensions, Effect::ReInit, Effect::Other(9)] {
        assert_eq!(breach(&scene.commit(ALICE, vec![effect])), Breach::NotSupported);
    }
}

#[test]
fn a27_an_empty_commit_an_update_and_a_psk_take_nothing() {
    let scene = Scene::of("strict");
    let empty = scene.commit(CATHY, vec![]);
    assert_eq!(rules(&empty), [Rule::Maintain]);
    assert!(scene.grants(&empty));
    let psk = scene.commit(CATHY, vec![Effect::Psk]);
    assert_eq!(psk.as_ref().unwrap()[0].capability, Capability::SEND_MLS_PSK_PROPOSAL);
    assert!(scene.grants(&psk));
    let Leaf { index, client, user, says, .. } = scene.leaf(CATHY, "phone").clone();
    let update = Effect::Update { leaf: index, client, user, says };
    assert!(scene.grants(&scene.propose(scene.member(CATHY), vec![update], &[])));
}

#[test]
fn a27_the_reserved_capability_counts_where_a_role_has_it() {
    let scene = Scene::of("strict").role(SUPER, |role| can(role, Capability::SEND_MLS_PSK_PROPOSAL));
    assert!(scene.grants(&scene.commit(ALICE, vec![Effect::Psk])));
    assert!(!scene.grants(&scene.commit(CATHY, vec![Effect::Psk])));
}
