//! A1 to A16, by members and by the hub.

use super::*;

#[test]
fn a1_an_admin_adds_a_user_with_its_clients() {
    let scene = Scene::of("strict");
    let result = scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)]), add(DIANA, "phone"), add(DIANA, "laptop")]);
    assert_eq!(rules(&result), [Rule::AddParticipant]);
    let action = &result.as_ref().unwrap()[0];
    assert_eq!((action.target.clone(), action.from_role, action.to_role), (Some(user(DIANA)), NO_ROLE, USER));
    assert!(scene.grants(&result));
}

#[test]
fn a1_an_ordinary_user_of_a_strict_room_adds_nobody() {
    let scene = Scene::of("strict");
    let result = scene.commit(CATHY, vec![scene.moves(&[(DIANA, USER)]), add(DIANA, "phone")]);
    assert_eq!(rules(&result), [Rule::AddParticipant]);
    assert!(!scene.grants(&result));
}

#[test]
fn a1_the_role_given_must_stand_in_the_own_role_s_list() {
    let scene = Scene::of("cooperative");
    let as_user = scene.commit(CATHY, vec![scene.moves(&[(DIANA, USER)])]);
    let as_admin = scene.commit(CATHY, vec![scene.moves(&[(DIANA, ADMIN)])]);
    assert!(scene.grants(&as_user));
    assert!(!as_admin.as_ref().unwrap()[0].transition_authorized);
    assert!(!scene.grants(&as_admin));
}

#[test]
fn a1_clients_of_a_user_that_nobody_lists_are_refused() {
    let scene = Scene::of("cooperative");
    assert_eq!(breach(&scene.commit(ALICE, vec![add(DIANA, "phone")])), Breach::UnlistedClient);
}

#[test]
fn a2_a_single_device_room_takes_one_client_of_a_new_user() {
    let scene = Scene::of("strict").base(|base| base.multi_device = false);
    let one = scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)]), add(DIANA, "phone")]);
    let two = scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)]), add(DIANA, "phone"), add(DIANA, "laptop")]);
    assert!(scene.grants(&one));
    assert_eq!(breach(&two), Breach::SecondClient);
}

#[test]
fn a3_the_first_clients_of_a_listed_user_take_the_right_to_add_it() {
    let scene = Scene::of("strict").with(DIANA, USER, &[]);
    let by_admin = scene.commit(BOB, vec![add(DIANA, "phone")]);
    let by_user = scene.commit(CATHY, vec![add(DIANA, "phone")]);
    assert_eq!(rules(&by_admin), [Rule::AddClients]);
    assert!(scene.grants(&by_admin) && !scene.grants(&by_user));
}

#[test]
fn a3_nobody_adds_clients_to_an_active_user_but_itself() {
    let scene = Scene::of("strict");
    let result = scene.commit(ALICE, vec![add(CATHY, "laptop")]);
    assert_eq!(breach(&result), Breach::ForeignClient);
    assert_eq!(result.unwrap_err().user(), Some(&user(CATHY)));
}

#[test]
fn a4_a_member_adds_its_own_laptop() {
    let scene = Scene::of("strict");
    let result = scene.commit(CATHY, vec![add(CATHY, "laptop")]);
    assert_eq!(rules(&result), [Rule::AddOwnClient]);
    assert!(scene.grants(&result));
    let forbidden = scene.role(USER, |role| cannot(role, Capability::ADD_OWN_CLIENT));
    assert!(!forbidden.grants(&forbidden.commit(CATHY, vec![add(CATHY, "laptop")])));
}

#[test]
fn a8_removal_takes_all_clients_in_the_same_commit() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let gone = scene.moves(&[(CATHY, NO_ROLE)]);
    let whole = scene.commit(BOB, vec![gone.clone(), scene.remove(CATHY, "phone"), scene.remove(CATHY, "laptop")]);
    let half = scene.commit(BOB, vec![gone, scene.remove(CATHY, "phone")]);
    assert_eq!(rules(&whole), [Rule::RemoveParticipant]);
    assert!(scene.grants(&whole));
    assert_eq!(breach(&half), Breach::ClientsRemain);
}

#[test]
fn a8_an_admin_does_not_remove_a_super_admin() {
    let scene = Scene::of("strict");
    let result = scene.commit(BOB, vec![scene.moves(&[(ALICE, NO_ROLE)]), scene.remove(ALICE, "phone")]);
    assert_eq!(rules(&result), [Rule::RemoveParticipant]);
    assert!(!scene.grants(&result));
}

#[test]
fn a9_a_leave_is_proposed_and_committed_by_another() {
    let scene = Scene::of("strict");
    let leave = vec![scene.self_remove(CATHY, "phone"), scene.moves(&[(CATHY, NO_ROLE)])];
    let proposed = scene.propose(scene.member(CATHY), leave.clone(), &[]);
    assert_eq!(rules(&proposed), [Rule::Leave]);
    assert!(scene.grants(&proposed));
    let cited = scene.pending(scene.member(CATHY), leave);
    let result = scene.commit_citing(BOB, vec![], cited);
    assert_eq!(rules(&result), [Rule::Leave, Rule::Maintain]);
    assert_eq!(result.as_ref().unwrap()[0].actor, Actor::User(user(CATHY)));
    assert!(scene.grants(&result), "the committer needs no right for what others proposed");
}

#[test]
fn a9_a_leave_is_not_committed_by_the_one_who_leaves() {
    let scene = Scene::of("strict");
    assert_eq!(breach(&scene.commit(CATHY, vec![scene.moves(&[(CATHY, NO_ROLE)])])), Breach::OwnLeaveCommit);
}

#[test]
fn a9_a_leave_that_keeps_a_client_is_refused() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let leave = vec![scene.self_remove(CATHY, "phone"), scene.moves(&[(CATHY, NO_ROLE)])];
    assert_eq!(breach(&scene.propose(scene.member(CATHY), leave, &[])), Breach::ClientsRemain);
}

#[test]
fn a9_leaving_takes_the_transition_of_the_own_role() {
    let scene = Scene::of("strict").role(USER, |role| role.authorized_role_changes.clear());
    let leave = vec![scene.self_remove(CATHY, "phone"), scene.moves(&[(CATHY, NO_ROLE)])];
    assert!(!scene.grants(&scene.propose(scene.member(CATHY), leave, &[])));
}

#[test]
fn a10_a_user_drops_a_client_and_stays() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let result = scene.commit(CATHY, vec![scene.remove(CATHY, "laptop")]);
    assert_eq!(rules(&result), [Rule::RemoveOwnClient]);
    assert!(scene.grants(&result));
    let forbidden = scene.role(USER, |role| cannot(role, Capability::REMOVE_OWN_CLIENT));
    assert!(!forbidden.grants(&forbidden.commit(CATHY, vec![forbidden.remove(CATHY, "laptop")])));
}

#[test]
fn a11_a_kick_removes_all_clients_and_leaves_the_list_alone() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let result = scene.commit(BOB, vec![scene.remove(CATHY, "phone"), scene.remove(CATHY, "laptop")]);
    assert_eq!(rules(&result), [Rule::Kick]);
    assert!(scene.grants(&result));
    assert!(!scene.grants(&Scene::of("strict").commit(CATHY, vec![scene.remove(BOB, "phone")])));
}

#[test]
fn a11_a_kick_of_one_of_two_devices_is_refused() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    assert_eq!(breach(&scene.commit(BOB, vec![scene.remove(CATHY, "phone")])), Breach::PartialKick);
}

#[test]
fn a11_the_hub_removes_a_single_lost_device_by_its_enforcer_role() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let result = scene.propose(hub(), vec![scene.remove(CATHY, "phone")], &[]);
    assert_eq!(rules(&result), [Rule::Kick]);
    assert_eq!(result.as_ref().unwrap()[0].actor, Actor::Hub(Domain::parse("a.example").unwrap()));
    assert!(scene.grants(&result));
    let without = scene.role(ENFORCER, |role| cannot(role, Capability::KICK));
    assert!(!without.grants(&without.propose(hub(), vec![without.remove(CATHY, "phone")], &[])));
}

#[test]
fn a12_a_role_change_takes_capability_and_transition() {
    let scene = Scene::of("strict").with(DIANA, USER, &["phone"]);
    let promote = scene.commit(BOB, vec![scene.moves(&[(CATHY, ADMIN)])]);
    assert_eq!(rules(&promote), [Rule::ChangeRole]);
    assert!(scene.grants(&promote));
    assert!(!scene.grants(&scene.commit(BOB, vec![scene.moves(&[(CATHY, SUPER)])])));
    assert!(!scene.grants(&scene.commit(CATHY, vec![scene.moves(&[(DIANA, ADMIN)])])));
}

#[test]
fn a13_a_ban_removes_the_clients_in_the_same_commit() {
    let scene = Scene::of("strict");
    let result = scene.commit(BOB, vec![scene.moves(&[(CATHY, BANNED)]), scene.remove(CATHY, "phone")]);
    assert_eq!(rules(&result), [Rule::Ban]);
    assert!(scene.grants(&result));
    let without = scene.commit(BOB, vec![scene.moves(&[(CATHY, BANNED)])]);
    assert_eq!(breach(&without), Breach::ClientsRemain);
}

#[test]
fn a13_a_role_change_and_a_kick_make_a_ban_too() {
    let scene = Scene::of("strict").role(ADMIN, |role| cannot(role, Capability::BAN));
    let ban = |scene: &Scene| scene.commit(BOB, vec![scene.moves(&[(CATHY, BANNED)]), scene.remove(CATHY, "phone")]);
    let result = ban(&scene);
    assert!(result.as_ref().unwrap()[0].alternative_granted && scene.grants(&result));
    let scene = scene.role(ADMIN, |role| cannot(role, Capability::KICK));
    assert!(!scene.grants(&ban(&scene)));
}

#[test]
fn a13_an_ordinary_user_bans_nobody() {
    let scene = Scene::of("cooperative");
    let result = scene.commit(CATHY, vec![scene.moves(&[(BOB, BANNED)]), scene.remove(BOB, "phone")]);
    assert!(matches!(result.as_ref().map(|_| ()), Err(violation) if violation.breach() == Breach::MinParticipants));
    let scene = scene.with(DIANA, ADMIN, &[]);
    assert!(!scene.grants(&scene.commit(CATHY, vec![scene.moves(&[(BOB, BANNED)]), scene.remove(BOB, "phone")])));
}

#[test]
fn a13_role_1_must_be_the_banned_role() {
    let scene = Scene::of("strict").edit(|list: &mut RolesList| {
        for role in &mut list.roles {
            cannot(role, Capability::BAN);
            cannot(role, Capability::UNBAN);
            if role.role_index == BANNED {
                role.name = "quiet".into();
            }
        }
    });
    let result = scene.commit(BOB, vec![scene.moves(&[(CATHY, BANNED)]), scene.remove(CATHY, "phone")]);
    assert_eq!(breach(&result), Breach::NoBannedRole);
}

#[test]
fn a14_an_unban_gives_a_role_but_no_clients() {
    let scene = Scene::of("strict").with(DIANA, BANNED, &[]);
    let result = scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)])]);
    assert_eq!(rules(&result), [Rule::Unban]);
    assert!(scene.grants(&result));
    assert!(!scene.grants(&scene.commit(CATHY, vec![scene.moves(&[(DIANA, USER)])])));
    let with_client = scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)]), add(DIANA, "phone")]);
    assert_eq!(breach(&with_client), Breach::UnbanWithClients);
}

#[test]
fn a14_a_role_change_unbans_too() {
    let scene = Scene::of("strict").with(DIANA, BANNED, &[]).role(ADMIN, |role| cannot(role, Capability::UNBAN));
    let result = scene.commit(BOB, vec![scene.moves(&[(DIANA, USER)])]);
    assert!(result.as_ref().unwrap()[0].alternative_granted && scene.grants(&result));
}

#[test]
fn a15_forgetting_a_ban_takes_the_right_to_remove() {
    let scene = Scene::of("strict").with(DIANA, BANNED, &[]);
    let result = scene.commit(BOB, vec![scene.moves(&[(DIANA, NO_ROLE)])]);
    assert_eq!(rules(&result), [Rule::ForgetBan]);
    assert!(scene.grants(&result));
    let scene = scene.role(ADMIN, |role| cannot(role, Capability::REMOVE_PARTICIPANT));
    assert!(!scene.grants(&scene.commit(BOB, vec![scene.moves(&[(DIANA, NO_ROLE)])])));
}

#[test]
fn a16_a_user_takes_the_role_of_its_first_matching_preauth_entry() {
    let scene = Scene::of("strict").edit(preauthorize("c.example", ADMIN)).edit(preauthorize("c.example", SUPER));
    let first = scene.commit(CATHY, vec![scene.moves(&[(CATHY, ADMIN)])]);
    assert_eq!(rules(&first), [Rule::ChangeOwnRole]);
    assert!(scene.grants(&first));
    let second_best = scene.commit(CATHY, vec![scene.moves(&[(CATHY, SUPER)])]);
    assert!(!second_best.as_ref().unwrap()[0].preauthorized);
    assert!(!scene.grants(&second_best));
}

#[test]
fn a16_without_the_capability_the_preauth_list_gives_no_role() {
    let scene = Scene::of("cooperative").edit(preauthorize("c.example", ADMIN));
    assert!(!scene.grants(&scene.commit(CATHY, vec![scene.moves(&[(CATHY, ADMIN)])])));
}

#[test]
fn one_user_in_two_operations_of_one_update_is_refused() {
    let scene = Scene::of("strict");
    let index = scene.position(CATHY);
    let twice = ParticipantListUpdate {
        changed: vec![RoleChange { user_index: index, role_index: ADMIN }],
        removed: vec![index],
        added: Vec::new(),
    };
    assert_eq!(breach(&scene.commit(ALICE, vec![update_list(&twice)])), Breach::DoubleOperation);
    let again = ParticipantListUpdate {
        removed: vec![index],
        added: vec![Participant { user: user(CATHY), role_index: ADMIN }],
        changed: Vec::new(),
    };
    assert_eq!(breach(&scene.commit(ALICE, vec![update_list(&again)])), Breach::DoubleOperation);
}

#[test]
fn one_user_in_two_updates_is_refused() {
    let scene = Scene::of("strict");
    let result = scene.commit(ALICE, vec![scene.moves(&[(CATHY, ADMIN)]), scene.moves(&[(CATHY, SUPER)])]);
    assert_eq!(breach(&result), Breach::DoubleOperation);
    assert_eq!(result.unwrap_err().user(), Some(&user(CATHY)));
}

#[test]
fn one_user_in_a_cited_and_an_own_update_is_refused() {
    let scene = Scene::of("strict");
    let cited = scene.pending(scene.member(BOB), vec![scene.moves(&[(CATHY, ADMIN)])]);
    let result = scene.commit_citing(ALICE, vec![scene.moves(&[(CATHY, SUPER)])], cited);
    assert_eq!(breach(&result), Breach::DoubleOperation);
}

#[test]
fn positions_of_two_updates_mean_the_list_before_both() {
    let scene = Scene::of("strict").with(DIANA, USER, &[]);
    let cited = scene.pending(scene.member(BOB), vec![scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone")]);
    let result = scene.commit_citing(ALICE, vec![scene.moves(&[(DIANA, ADMIN)])], cited);
    let targets: Vec<_> = result.as_ref().unwrap().iter().map(|action| (action.rule, action.target.clone())).collect();
    assert!(targets.contains(&(Rule::RemoveParticipant, Some(user(CATHY)))));
    assert!(targets.contains(&(Rule::ChangeRole, Some(user(DIANA)))));
    assert!(scene.grants(&result));
}

#[test]
fn a_list_update_that_does_not_fit_the_list_is_an_invalid_proposal() {
    let scene = Scene::of("strict");
    let change = |user_index, role_index| ParticipantListUpdate {
        changed: vec![RoleChange { user_index, role_index }],
        ..Default::default()
    };
    let added = |of, role_index| ParticipantListUpdate {
        added: vec![Participant { user: user(of), role_index }],
        ..Default::default()
    };
    for (update, expected) in [
        (change(9, ADMIN), Breach::ListIndex),
        (change(scene.position(CATHY), USER), Breach::SameRole),
        (change(scene.position(CATHY), 77), Breach::UnknownRole),
        (change(scene.position(CATHY), NO_ROLE), Breach::UnknownRole),
        (ParticipantListUpdate { removed: vec![9], ..Default::default() }, Breach::ListIndex),
        (added(DIANA, NO_ROLE), Breach::UnknownRole),
        (added(DIANA, 77), Breach::UnknownRole),
        (added(CATHY, ADMIN), Breach::AlreadyListed),
    ] {
        let cited = scene.pending(scene.member(BOB), vec![update_list(&update)]);
        let violation = scene.commit_citing(ALICE, vec![], cited.clone()).unwrap_err();
        assert_eq!(violation.breach(), expected, "{update:?}");
        assert!(violation.is_invalid_proposal());
        assert_eq!(violation.reference(), cited[0].reference.as_deref());
    }
    let garbage = scene.commit(ALICE, vec![set(ComponentId::PARTICIPANT_LIST, vec![1])]);
    assert_eq!(breach(&garbage), Breach::Malformed);
}

#[test]
fn a_list_that_is_not_the_one_the_operations_give_is_refused() {
    let scene = Scene::of("strict");
    let proposer = scene.member(ALICE);
    let Proposer::Member { leaf, client, user } = proposer.clone() else { unreachable!() };
    let part = Part { effect: scene.moves(&[(DIANA, USER)]), proposer, reference: None };
    let mut change = scene.change(Sender::Member { leaf, client, user }, vec![part], None);
    change.after.components = scene.view.components.clone();
    assert_eq!(breach(&actions_of(&change, &scene.state(), None)), Breach::Malformed);
}

#[test]
fn the_hub_removes_a_participant_s_clients_but_does_not_touch_super_admins_it_may_not() {
    let scene = Scene::of("strict");
    let by_list = vec![scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone")];
    let result = scene.propose(hub(), by_list, &[]);
    assert_eq!(rules(&result), [Rule::RemoveParticipant]);
    assert!(scene.grants(&result));
    let promoted = scene.propose(hub(), vec![scene.moves(&[(CATHY, ADMIN)])], &[]);
    assert!(!scene.grants(&promoted), "the enforcer only removes and bans");
}

#[test]
fn a3_who_adds_clients_of_a_user_that_another_lists_needs_the_right_itself() {
    let scene = Scene::of("strict");
    let cited = scene.pending(scene.member(BOB), vec![scene.moves(&[(DIANA, USER)])]);
    let by_admin = scene.commit_citing(ALICE, vec![add(DIANA, "phone")], cited.clone());
    let by_user = scene.commit_citing(CATHY, vec![add(DIANA, "phone")], cited);
    assert_eq!(rules(&by_user), [Rule::AddParticipant, Rule::AddClients]);
    assert!(scene.grants(&by_admin) && !scene.grants(&by_user));
}
