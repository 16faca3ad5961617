//! Between acceptance and commit (reading D-51), and proposals on top of pending ones.

use super::*;

fn removal(scene: &Scene, by: &str, of: &str) -> Vec<Part> {
    scene.pending(scene.member(by), vec![scene.moves(&[(of, NO_ROLE)]), scene.remove(of, "phone")])
}

#[test]
fn a_user_whose_removal_is_pending_is_blocked_before_any_commit() {
    let scene = Scene::of("strict");
    assert!(scene.state().blocked(&[]).is_empty());
    let blocked = scene.state().blocked(&removal(&scene, BOB, CATHY));
    assert_eq!(blocked.into_iter().collect::<Vec<_>>(), [user(CATHY)]);
}

#[test]
fn a_ban_a_leave_and_a_kick_block_and_a_lost_device_does_not() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let blocked = |parts: Vec<Part>| scene.state().blocked(&parts).contains(&user(CATHY));
    assert!(blocked(scene.pending(scene.member(BOB), vec![scene.moves(&[(CATHY, BANNED)])])));
    assert!(blocked(scene.pending(scene.member(CATHY), vec![scene.moves(&[(CATHY, NO_ROLE)])])));
    let both = vec![scene.remove(CATHY, "phone"), scene.remove(CATHY, "laptop")];
    assert!(blocked(scene.pending(hub(), both)));
    assert!(!blocked(scene.pending(hub(), vec![scene.remove(CATHY, "phone")])));
}

#[test]
fn an_addition_and_a_promotion_give_nothing_before_the_commit() {
    let scene = Scene::of("strict");
    let pending = scene.pending(scene.member(ALICE), vec![scene.moves(&[(CATHY, ADMIN), (DIANA, USER)])]);
    let effective = scene.state().effective(&pending);
    assert!(!effective.holds(&scene.state(), &user(CATHY), Capability::KICK));
    assert!(!effective.holds(&scene.state(), &user(DIANA), Capability::SEND_MESSAGE));
    assert!(effective.holds(&scene.state(), &user(CATHY), Capability::SEND_MESSAGE));
}

#[test]
fn a_demotion_takes_at_once() {
    let scene = Scene::of("strict").with(DIANA, ADMIN, &["phone"]);
    let pending = scene.pending(scene.member(ALICE), vec![scene.moves(&[(DIANA, USER)])]);
    assert!(scene.state().effective(&[]).holds(&scene.state(), &user(DIANA), Capability::KICK));
    let effective = scene.state().effective(&pending);
    assert!(!effective.holds(&scene.state(), &user(DIANA), Capability::KICK));
    assert!(effective.holds(&scene.state(), &user(DIANA), Capability::SEND_MESSAGE));
    assert!(!effective.blocks(&user(DIANA)));
}

#[test]
fn the_transitions_of_the_role_to_come_count_already() {
    let scene = Scene::of("strict").with(DIANA, SUPER, &["phone"]);
    let pending = scene.pending(scene.member(ALICE), vec![scene.moves(&[(DIANA, ADMIN)])]);
    let effective = scene.state().effective(&pending);
    let taken = |effects: Vec<Effect>| {
        let actions = scene.propose(scene.member(DIANA), effects, &[]).unwrap();
        actions.iter().any(|action| effective.takes_away(&scene.state(), action))
    };
    // Both roles may change roles, but only a super_admin those of super_admins.
    assert!(taken(vec![scene.moves(&[(CATHY, SUPER)])]));
    assert!(!taken(vec![scene.moves(&[(CATHY, ADMIN)])]));
    assert!(!taken(vec![scene.self_remove(DIANA, "phone")]));
}

#[test]
fn the_alternatives_of_the_role_to_come_count_already() {
    let scene = Scene::of("strict").with(DIANA, ADMIN, &["phone"]).role(ADMIN, |role| {
        cannot(role, Capability::BAN);
    });
    let ban = vec![scene.moves(&[(CATHY, BANNED)]), scene.remove(CATHY, "phone")];
    let ban = scene.propose(scene.member(DIANA), ban, &[]).unwrap();
    assert!(ban[0].alternative_granted, "by canChangeUserRole and canKick");
    let takes = |role: u32| {
        let pending = scene.pending(scene.member(ALICE), vec![scene.moves(&[(DIANA, role)])]);
        scene.state().effective(&pending).takes_away(&scene.state(), &ban[0])
    };
    assert!(takes(USER));
    assert!(!takes(SUPER));
}

#[test]
fn who_is_about_to_lose_every_right_to_messages_sends_none() {
    let scene = Scene::of("strict").role(USER, |role| cannot(role, Capability::SEND_MESSAGE));
    let may = |scene: &Scene, role: u32| {
        let pending = scene.pending(scene.member(ALICE), vec![scene.moves(&[(CATHY, role)])]);
        scene.state().effective(&pending).may_send(&scene.state(), &user(CATHY))
    };
    assert!(scene.state().may_react(&user(CATHY)) && may(&scene, ADMIN));
    let silent = scene.role(ADMIN, |role| role.capabilities.clear());
    assert!(!may(&silent, ADMIN));
}

#[test]
fn what_others_do_to_a_listed_user_is_imposed() {
    let scene = Scene::of("strict");
    let imposed = |by: &str, moved: &[(&str, u32)]| {
        let pending = scene.pending(scene.member(by), vec![scene.moves(moved)]);
        scene.state().effective(&pending).is_imposed()
    };
    assert!(imposed(ALICE, &[(BOB, USER)]));
    assert!(imposed(ALICE, &[(CATHY, NO_ROLE)]));
    assert!(!imposed(CATHY, &[(CATHY, NO_ROLE)]));
    assert!(!imposed(ALICE, &[(DIANA, USER)]));
}

#[test]
fn a_blocked_user_proposes_nothing_but_the_removal_of_its_own_clients() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let pending = scene.pending(
        scene.member(BOB),
        vec![scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone"), scene.remove(CATHY, "laptop")],
    );
    let add_own = scene.propose(scene.member(CATHY), vec![add(CATHY, "watch")], &pending);
    assert_eq!(breach(&add_own), Breach::Blocked);
    let scene = scene.role(USER, |role| cannot(role, Capability::REMOVE_OWN_CLIENT));
    let own = scene.propose(scene.member(CATHY), vec![scene.self_remove(CATHY, "phone")], &pending);
    assert_eq!(rules(&own), [Rule::RemoveOwnClient]);
    assert!(own.as_ref().unwrap()[0].alternative_granted && scene.grants(&own));
}

#[test]
fn a_removed_user_s_own_clients_go_whatever_its_role_says() {
    let scene = Scene::of("strict").device(CATHY, "laptop").role(USER, |role| {
        cannot(role, Capability::REMOVE_OWN_CLIENT);
    });
    let leave =
        vec![scene.self_remove(CATHY, "phone"), scene.remove(CATHY, "laptop"), scene.moves(&[(CATHY, NO_ROLE)])];
    let result = scene.propose(scene.member(CATHY), leave, &[]);
    assert_eq!(rules(&result), [Rule::Leave]);
    assert!(scene.grants(&result));
}

#[test]
fn a_proposal_that_could_not_be_committed_with_the_pending_ones_is_refused() {
    let scene = Scene::of("strict").with(DIANA, USER, &[]);
    let pending = removal(&scene, BOB, CATHY);
    let again = scene.propose(scene.member(ALICE), vec![scene.moves(&[(CATHY, ADMIN)])], &pending);
    assert_eq!(breach(&again), Breach::DoubleOperation);
    let fine = scene.propose(scene.member(ALICE), vec![scene.moves(&[(DIANA, ADMIN)])], &pending);
    assert_eq!(rules(&fine), [Rule::ChangeRole], "the pending ones were decided before");
}

#[test]
fn a_role_can_be_emptied_by_neither_of_two_proposals_that_together_would() {
    let scene = Scene::of("strict").with(DIANA, ADMIN, &["phone"]);
    let pending = removal(&scene, ALICE, BOB);
    let second = vec![scene.moves(&[(DIANA, NO_ROLE)]), scene.remove(DIANA, "phone")];
    assert_eq!(breach(&scene.propose(scene.member(ALICE), second, &pending)), Breach::MinParticipants);
}

#[test]
fn actions_of_a_commit_carry_the_reference_of_what_was_decided_before() {
    let scene = Scene::of("strict");
    let cited = removal(&scene, BOB, CATHY);
    let result = scene.commit_citing(ALICE, vec![scene.moves(&[(DIANA, USER)])], cited).unwrap();
    let referenced: Vec<_> = result.iter().map(|action| (action.rule, action.reference.is_some())).collect();
    assert_eq!(referenced, [(Rule::RemoveParticipant, true), (Rule::AddParticipant, false)]);
}

#[test]
fn a_proposal_like_a_pending_one_is_decided_again() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let pending = scene.pending(scene.member(CATHY), vec![scene.remove(CATHY, "laptop")]);
    let mut new = scene.pending(scene.member(CATHY), vec![scene.self_remove(CATHY, "phone")]);
    new[0].reference = Some(b"new".to_vec());
    let result = proposed_actions(&scene.view, &scene.state(), &pending, &new).map(|prospect| prospect.actions);
    assert_eq!(rules(&result), [Rule::RemoveOwnClient]);
    assert_eq!(result.unwrap()[0].reference.as_deref(), Some(&b"new"[..]));
}

#[test]
fn whoever_proposes_what_follows_anyway_is_decided_about_too() {
    let scene = Scene::of("strict").device(CATHY, "laptop");
    let pending = scene.pending(
        scene.member(BOB),
        vec![scene.moves(&[(CATHY, NO_ROLE)]), scene.remove(CATHY, "phone"), scene.remove(CATHY, "laptop")],
    );
    let result = scene.propose(scene.member(ALICE), vec![scene.remove(CATHY, "laptop")], &pending);
    assert_eq!(rules(&result), [Rule::Maintain]);
    assert_eq!(result.as_ref().unwrap()[0].actor, Actor::User(user(ALICE)));
}
