//! The invariants of a commit as a whole: 3 to 14.

use super::components::edited;
use super::*;
use crate::wire::components::ExtendedCapabilities;

#[test]
fn invariant_3_no_client_of_a_role_that_may_have_none() {
    let scene = Scene::empty("strict").with(DIANA, USER, &[]).role(USER, |role| role.max_active = Some(0));
    assert_eq!(breach(&scene.commit(ALICE, vec![add(DIANA, "phone")])), Breach::MaxActive);
}

#[test]
fn invariant_3_banned_users_get_no_clients() {
    let scene = Scene::of("strict").with(DIANA, BANNED, &[]);
    assert_eq!(breach(&scene.commit(ALICE, vec![add(DIANA, "phone")])), Breach::BannedClient);
}

#[test]
fn invariant_6_the_last_admin_stays() {
    let scene = Scene::of("strict");
    let removed = scene.commit(ALICE, vec![scene.moves(&[(BOB, NO_ROLE)]), scene.remove(BOB, "phone")]);
    let demoted = scene.commit(ALICE, vec![scene.moves(&[(BOB, USER)])]);
    assert_eq!(breach(&removed), Breach::MinParticipants);
    assert_eq!(breach(&demoted), Breach::MinParticipants);
    let replaced = scene.commit(ALICE, vec![scene.moves(&[(BOB, USER), (CATHY, ADMIN)])]);
    assert!(scene.grants(&replaced), "post counts decide");
}

#[test]
fn invariant_6_a_room_below_its_minimum_can_still_be_changed() {
    let scene = Scene::empty("strict").with(CATHY, USER, &["phone"]);
    assert!(scene.commit(ALICE, vec![scene.moves(&[(CATHY, ADMIN)])]).is_ok());
    assert!(scene.commit(ALICE, vec![scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone")]).is_ok());
}

#[test]
fn invariant_6_the_hub_s_own_entry_cannot_be_removed() {
    let scene = Scene::of("strict").role(SUPER, |role| {
        let change = crate::wire::components::AuthorizedRoleChange {
            from_role_index: ENFORCER,
            target_role_indexes: vec![NO_ROLE],
        };
        role.authorized_role_changes.push(change);
    });
    let result = scene.commit(ALICE, vec![scene.moves(&[(HUB, NO_ROLE)])]);
    assert_eq!(breach(&result), Breach::MinParticipants);
    assert_eq!(result.unwrap_err().user(), Some(&user(HUB)));
}

const B_ADMIN: u32 = 6;

#[test]
fn invariant_6_the_last_active_org_admin_does_not_leave() {
    let scene = Scene::empty("multi-org").with(BOB, B_ADMIN, &["phone"]).with(DIANA, B_ADMIN, &[]);
    let leave = vec![scene.self_remove(BOB, "phone"), scene.moves(&[(BOB, NO_ROLE)])];
    let result = scene.propose(scene.member(BOB), leave, &[]);
    assert_eq!(breach(&result), Breach::MinActive);
    let only_clients = scene.propose(scene.member(BOB), vec![scene.self_remove(BOB, "phone")], &[]);
    assert_eq!(breach(&only_clients), Breach::MinActive);
}

#[test]
fn invariant_6_there_is_no_fourth_org_admin() {
    let scene = Scene::empty("multi-org")
        .with(BOB, B_ADMIN, &["phone"])
        .with("mimi://b.example/u/b2", B_ADMIN, &[])
        .with("mimi://b.example/u/b3", B_ADMIN, &[]);
    let result = scene.commit(BOB, vec![scene.moves(&[("mimi://b.example/u/b4", B_ADMIN)])]);
    assert_eq!(breach(&result), Breach::MaxParticipants);
    assert_eq!(result.unwrap_err().user(), Some(&user("mimi://b.example/u/b4")));
}

#[test]
fn invariant_6_the_most_active_users_of_a_role_are_counted_when_one_becomes_active() {
    let scene = Scene::of("strict").with(DIANA, USER, &[]).role(USER, |role| role.max_active = Some(1));
    assert_eq!(breach(&scene.commit(ALICE, vec![add(DIANA, "phone")])), Breach::MaxActive);
    let listed = scene.commit(ALICE, vec![scene.moves(&[("mimi://d.example/u/eve", USER)])]);
    assert!(scene.grants(&listed), "listing alone makes nobody active");
}

#[test]
fn invariant_7_clients_are_limited() {
    let scene = Scene::of("strict").base(|base| base.max_clients = Some(3));
    assert_eq!(breach(&scene.commit(CATHY, vec![add(CATHY, "laptop")])), Breach::MaxClients);
    let swap = scene.commit(
        BOB,
        vec![scene.moves(&[(CATHY, NO_ROLE), (DIANA, USER)]), scene.remove(CATHY, "phone"), add(DIANA, "phone")],
    );
    assert!(scene.grants(&swap));
}

#[test]
fn invariant_7_users_are_limited_without_the_banned_and_the_hub() {
    let scene = Scene::of("strict").base(|base| base.max_users = Some(4)).with("mimi://d.example/u/eve", BANNED, &[]);
    assert!(scene.grants(&scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)])])));
    let full = scene.with(DIANA, USER, &[]);
    let result = full.commit(BOB, vec![full.moves(&[("mimi://d.example/u/fred", USER)])]);
    assert_eq!(breach(&result), Breach::MaxUsers);
    let unban = full.commit(BOB, vec![full.moves(&[("mimi://d.example/u/eve", USER)])]);
    assert_eq!(breach(&unban), Breach::MaxUsers);
}

#[test]
fn invariant_7_a_single_device_room_takes_no_second_device() {
    let scene = Scene::of("strict").base(|base| base.multi_device = false);
    assert_eq!(breach(&scene.commit(CATHY, vec![add(CATHY, "laptop")])), Breach::SecondClient);
    assert_eq!(breach(&scene.join(CATHY, "laptop", vec![], vec![])), Breach::SecondClient);
    assert!(scene.join(CATHY, "phone", vec![scene.remove(CATHY, "phone")], vec![]).is_ok());
}

#[test]
fn invariant_8_in_a_fixed_room_nobody_comes_or_goes_but_clients_do() {
    let scene = Scene::of("strict")
        .edit(|list: &mut RolesList| {
            list.roles.iter_mut().for_each(|role| cannot(role, Capability::ADD_PARTICIPANT));
        })
        .with("mimi://d.example/u/eve", BANNED, &[])
        .base(|base| base.fixed_membership = true);
    for moves in [[(DIANA, USER)], [(CATHY, NO_ROLE)], [("mimi://d.example/u/eve", USER)]] {
        let removal = (moves[0].0 == CATHY).then(|| scene.remove(CATHY, "phone"));
        let effects = std::iter::once(scene.moves(&moves)).chain(removal).collect();
        assert_eq!(breach(&scene.commit(ALICE, effects)), Breach::FixedMembership, "{moves:?}");
    }
    let leave = vec![scene.self_remove(CATHY, "phone"), scene.moves(&[(CATHY, NO_ROLE)])];
    assert_eq!(breach(&scene.propose(scene.member(CATHY), leave, &[])), Breach::FixedMembership);
    assert!(scene.grants(&scene.commit(CATHY, vec![add(CATHY, "laptop")])));
    assert!(scene.grants(&scene.commit(ALICE, vec![scene.moves(&[(CATHY, ADMIN)])])));
}

#[test]
fn a3_in_a_fixed_room_who_is_listed_without_clients_is_brought_in_by_anybody() {
    let fixed = Scene::empty("strict")
        .edit(|list: &mut RolesList| {
            list.roles.iter_mut().for_each(|role| cannot(role, Capability::ADD_PARTICIPANT));
        })
        .with(BOB, USER, &["phone"])
        .with(DIANA, USER, &[])
        .base(|base| base.fixed_membership = true);
    let brought = fixed.commit(BOB, vec![add(DIANA, "phone")]);
    assert_eq!(rules(&brought), [Rule::AddClients]);
    assert!(fixed.grants(&brought));
    // Nobody is, where nobody may bring in clients, nor in rooms that are not fixed.
    let closed = fixed.clone().edit(|list: &mut RolesList| {
        list.roles.iter_mut().for_each(|role| cannot(role, Capability::ADD_OWN_CLIENT));
    });
    assert!(!closed.grants(&closed.commit(BOB, vec![add(DIANA, "phone")])));
    let open = fixed.base(|base| base.fixed_membership = false);
    assert!(!open.grants(&open.commit(BOB, vec![add(DIANA, "phone")])));
}

#[test]
fn invariant_9_who_is_in_a_dependent_room_takes_part_in_its_parent() {
    let parent = Scene::of("strict").with("mimi://d.example/u/eve", BANNED, &[]);
    let (state, pending) =
        (parent.state(), parent.pending(parent.member(BOB), vec![parent.moves(&[(CATHY, NO_ROLE)])]));
    let (settled, leaving) = (state.effective(&[]), state.effective(&pending));
    let is = |effective, child: &Scene| {
        Parent { state: &state, effective }.holds(None, &child.state()).map_err(|violation| violation.breach())
    };
    let child = Scene::empty("strict").with(CATHY, USER, &[]);
    assert_eq!(is(&settled, &child), Ok(()));
    assert_eq!(is(&leaving, &child), Err(Breach::NotInParent), "her removal was accepted");
    assert_eq!(is(&settled, &Scene::empty("strict").with(DIANA, USER, &[])), Err(Breach::NotInParent));
    let banned = Scene::empty("strict").with("mimi://d.example/u/eve", USER, &[]);
    assert_eq!(is(&settled, &banned), Err(Breach::NotInParent));
    let whole = child.with(BOB, USER, &[]);
    assert_eq!(is(&settled, &whole), Err(Breach::WholeParent));
    // What has become so by itself stays.
    let same = Parent { state: &state, effective: &settled }.holds(Some(&whole.state()), &whole.state());
    assert_eq!(same, Ok(()));
}

#[test]
fn invariant_10_pseudonyms_take_a_room_that_allows_them() {
    let scene = Scene::of("strict");
    let pseudonym = "mimi://d.example/p/x";
    assert_eq!(breach(&scene.commit(BOB, vec![scene.moves(&[(pseudonym, USER)])])), Breach::Pseudonym);
    let scene = scene.base(|base| base.pseudonyms_allowed = true);
    assert!(scene.grants(&scene.commit(BOB, vec![scene.moves(&[(pseudonym, USER)])])));
}

#[test]
fn invariant_12_a_key_package_that_lives_too_long_is_refused() {
    let scene = Scene::of("strict").operational(|parameters| parameters.max_key_package_lifetime = 100);
    let add = |lifetime| scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)]), add_for(DIANA, "phone", lifetime)]);
    assert!(add(100).is_ok());
    assert_eq!(breach(&add(101)), Breach::KeyPackageLifetime);
}

/// An Add of a client that can do so much.
fn add_able(of: &str, capabilities: LeafCapabilities) -> Effect {
    match add(of, "phone") {
        Effect::Add { client, user, key_package_ref, lifetime_s, says: _ } => {
            let says = Says { capabilities, certified: Vec::new() }.into();
            Effect::Add { client, user, key_package_ref, lifetime_s, says }
        }
        other => other,
    }
}

#[test]
fn invariant_12_clients_that_come_do_what_is_mandatory_and_nothing_forbidden() {
    type Able = fn(&mut LeafCapabilities);
    type Asked = fn(&mut ExtendedCapabilities);
    let media = |name: &str| crate::wire::components::MediaType { media_type: name.into(), parameters: Vec::new() };
    let cases: [(Asked, Able); 7] = [
        (|asked| asked.versions.push(1), |able| able.versions.push(1)),
        (|asked| asked.suites.push(2), |able| able.suites.push(2)),
        (|asked| asked.extensions.extend([3, 6]), |able| able.extensions.push(6)),
        (|asked| asked.proposals.extend([1, 8]), |able| able.proposals.push(8)),
        (|asked| asked.credentials.push(2), |able| able.credentials.push(2)),
        (
            |asked| asked.component_ids.push(ComponentId::APP_ACK),
            |able| able.components = Some(vec![ComponentId::APP_ACK]),
        ),
        (
            |asked| asked.safe_aad_types.push(ComponentId::FRANK_AAD),
            |able| able.safe_aad = Some(vec![ComponentId::FRANK_AAD]),
        ),
    ];
    let bring = |scene: &Scene, able: Option<Able>| {
        let mut capabilities = LeafCapabilities::default();
        able.into_iter().for_each(|able| able(&mut capabilities));
        scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)]), add_able(DIANA, capabilities)])
    };
    for (asked, able) in cases {
        // Who is in the room already was so before: only who comes is asked.
        let mandatory = Scene::of("strict").operational(|parameters| asked(&mut parameters.mandatory_capabilities));
        assert!(bring(&mandatory, Some(able)).is_ok());
        assert_eq!(breach(&bring(&mandatory, None)), Breach::LeafCapabilities);
        let forbidden = Scene::of("strict").operational(|parameters| {
            asked(&mut parameters.forbidden_capabilities);
            parameters.forbidden_capabilities.extensions.retain(|kind| *kind > 5);
            parameters.forbidden_capabilities.proposals.retain(|kind| *kind > 7);
        });
        assert!(bring(&forbidden, None).is_ok());
        assert_eq!(breach(&bring(&forbidden, Some(able))), Breach::LeafCapabilities);
    }
    let plain = Scene::of("strict").operational(|parameters| {
        parameters.mandatory_capabilities.media_types.push(media("text/plain"));
        parameters.default_capabilities.media_types.push(media("text/plain"));
    });
    assert!(bring(&plain, None).is_ok(), "what it says nothing of is as the room has it by default");
    assert_eq!(breach(&bring(&plain, Some(|able| able.media_types = Some(Vec::new())))), Breach::LeafCapabilities);
}

#[test]
fn invariant_12_holds_for_all_when_it_is_asked_and_for_who_joins_or_renews() {
    let scene = Scene::of("strict").role(SUPER, |role| can(role, Capability::CHANGE_MLS_OPERATIONAL_POLICIES));
    let mut asked: OperationalParameters = scene.view.components.read().unwrap().unwrap();
    asked.mandatory_capabilities.suites.push(2);
    let update = set(ComponentId::MLS_OPERATIONAL_POLICY, asked.encode());
    assert_eq!(breach(&scene.commit(ALICE, vec![update.clone()])), Breach::LeafCapabilities, "nobody has it");
    assert_eq!(breach(&scene.propose(scene.member(ALICE), vec![update.clone()], &[])), Breach::LeafCapabilities);
    let able = scene.says(|says| says.capabilities.suites.push(2));
    assert!(able.commit(ALICE, vec![update.clone()]).is_ok());
    // Both may be proposed, and each commit would have to take both.
    let pending = able.pending(able.member(ALICE), vec![update]);
    let added = able.propose(able.member(BOB), vec![able.moves(&[(DIANA, USER)]), add(DIANA, "phone")], &pending);
    assert_eq!(breach(&added), Breach::LeafCapabilities);
    let strict = able.operational(|parameters| parameters.mandatory_capabilities.suites.push(2));
    assert_eq!(breach(&strict.join(CATHY, "laptop", vec![], vec![])), Breach::LeafCapabilities);
    let Leaf { index, client, user, .. } = strict.leaf(CATHY, "phone").clone();
    let renewed =
        |says: Says| Effect::Update { leaf: index, client: client.clone(), user: user.clone(), says: says.into() };
    let lacking = strict.propose(strict.member(CATHY), vec![renewed(Says::default())], &[]);
    assert_eq!(breach(&lacking), Breach::LeafCapabilities);
    assert!(
        strict
            .propose(strict.member(CATHY), vec![renewed(Says::clone(&strict.leaf(CATHY, "phone").says))], &[])
            .is_ok()
    );
}

#[test]
fn a22_parameters_that_cannot_be_checked_for_everybody_are_not_supported() {
    let scene = Scene::of("strict");
    let changes: [fn(&mut OperationalParameters); 7] = [
        |parameters| parameters.mandatory_capabilities.wire_formats.push(6),
        |parameters| parameters.mandatory_capabilities.content_types.push(4),
        |parameters| parameters.forbidden_capabilities.wire_formats.push(2),
        |parameters| parameters.forbidden_capabilities.content_types.push(1),
        |parameters| parameters.forbidden_capabilities.extensions.push(3),
        |parameters| parameters.forbidden_capabilities.proposals.push(4),
        |parameters| parameters.handshake_formats.push(2),
    ];
    for change in changes {
        assert_eq!(breach(&scene.commit(ALICE, vec![edited(&scene, change)])), Breach::NotSupported);
    }
}

#[test]
fn invariant_13_metadata_is_updated_once_in_a_commit() {
    let scene = Scene::of("strict");
    let metadata = scene.view.components.get(ComponentId::ROOM_METADATA).unwrap().to_vec();
    let update = set(ComponentId::ROOM_METADATA, metadata);
    assert_eq!(breach(&scene.commit(ALICE, vec![update.clone(), update])), Breach::ComponentTwice);
}

#[test]
fn invariant_13_what_every_room_has_cannot_be_removed() {
    let scene = Scene::of("strict");
    for id in 0x20..=0x27 {
        let effect = Effect::Component { id: ComponentId(id), operation: ComponentOperation::Remove };
        assert_eq!(breach(&scene.commit(ALICE, vec![effect])), Breach::ComponentRemoval, "{id:x}");
    }
}

#[test]
fn invariant_14_the_last_client_of_a_passing_room_stays() {
    let scene = Scene::empty("cooperative").base(|base| base.persistent_room = false);
    let gone = scene.propose(scene.member(ALICE), vec![scene.self_remove(ALICE, "phone")], &[]);
    assert_eq!(breach(&gone), Breach::LastClient);
    let lasting = Scene::empty("cooperative");
    assert!(lasting.propose(lasting.member(ALICE), vec![lasting.self_remove(ALICE, "phone")], &[]).is_ok());
}
