//! A4 to A7 and A28 from outside the group, and who may have its GroupInfo.

use super::*;
use crate::identity::credential::Certified;

fn open(scene: Scene) -> Scene {
    scene.role(NO_ROLE, |role| can(role, Capability::OPEN_JOIN))
}

#[test]
fn a4_a_participant_joins_with_another_client() {
    let scene = Scene::of("strict");
    let result = scene.join(CATHY, "laptop", vec![], vec![]);
    assert_eq!(rules(&result), [Rule::AddOwnClient]);
    assert!(result.as_ref().unwrap()[0].external && scene.grants(&result));
}

#[test]
fn a4_an_external_commit_by_a_participant_without_the_capability_is_refused() {
    let scene = Scene::of("strict").role(USER, |role| cannot(role, Capability::ADD_OWN_CLIENT));
    assert_eq!(breach(&scene.join(CATHY, "laptop", vec![], vec![])), Breach::NotAdmitted);
    let admitted = admit(&scene.state(), &client(CATHY, "laptop"), &user(CATHY), &[1], None);
    let violation = admitted.unwrap_err();
    assert_eq!((violation.code(), violation.capability()), ("missing_capability", Some(Capability::ADD_OWN_CLIENT)));
}

#[test]
fn a4_a_client_replaces_its_own_old_leaf() {
    let scene = Scene::of("strict");
    let result = scene.join(CATHY, "phone", vec![scene.remove(CATHY, "phone")], vec![]);
    assert_eq!(rules(&result), [Rule::AddOwnClient]);
}

#[test]
fn a4_an_own_client_is_proposed_from_outside() {
    let scene = Scene::of("strict");
    let joiner = Proposer::Joiner { client: client(CATHY, "laptop"), user: user(CATHY) };
    let result = scene.propose(joiner.clone(), vec![add(CATHY, "laptop")], &[]);
    assert_eq!(rules(&result), [Rule::AddOwnClient]);
    assert!(result.as_ref().unwrap()[0].external && scene.grants(&result));
    let closed = scene.operational(|parameters| parameters.external_proposal_allowed = false);
    assert_eq!(breach(&closed.propose(joiner, vec![add(CATHY, "laptop")], &[])), Breach::ExternalProposal);
}

#[test]
fn a5_the_first_matching_preauth_entry_lets_its_user_join() {
    let scene = Scene::of("strict").edit(preauthorize("d.example", USER)).edit(preauthorize("d.example", ADMIN));
    let result = scene.join(DIANA, "phone", vec![scene.moves(&[(DIANA, USER)])], vec![]);
    assert_eq!(rules(&result), [Rule::JoinPreauthorized]);
    assert!(scene.grants(&result));
    let second = scene.join(DIANA, "phone", vec![scene.moves(&[(DIANA, ADMIN)])], vec![]);
    assert_eq!(breach(&second), Breach::RoleNotGranted);
}

#[test]
fn a5_the_role_must_have_the_capability_to_join_by_preauth() {
    let scene = Scene::of("cooperative").edit(preauthorize("d.example", USER));
    assert_eq!(breach(&scene.join(DIANA, "phone", vec![scene.moves(&[(DIANA, USER)])], vec![])), Breach::NotAdmitted);
}

#[test]
fn a5_an_entry_matches_one_client_by_its_whole_identity() {
    let claim = crate::wire::components::Claim {
        credential_type: 1,
        id: Vec::new(),
        value: client(DIANA, "phone").as_bytes().to_vec(),
    };
    let entry = crate::wire::components::PreauthEntry { claims: vec![claim], target_role_index: USER };
    let scene = Scene::of("strict").edit(|list: &mut PreauthList| list.entries.push(entry));
    let role = |device: &str| {
        let (client, user) = (client(DIANA, device), user(DIANA));
        scene.state().preauthorized_role(Applicant { client: &client, user: &user, certified: &[] })
    };
    assert_eq!((role("phone"), role("laptop")), (Some(USER), None));
}

#[test]
fn a5_no_claims_and_claims_about_other_credentials_match_nobody() {
    let claim = |credential_type, id: &[u8], value: &str| crate::wire::components::Claim {
        credential_type,
        id: id.to_vec(),
        value: value.as_bytes().to_vec(),
    };
    let scene = Scene::of("strict").edit(|list: &mut PreauthList| {
        for claims in [Vec::new(), vec![claim(3, b"sub", DIANA)], vec![claim(2, &[0x55, 0x1d, 0x11], DIANA)]] {
            list.entries.push(crate::wire::components::PreauthEntry { claims, target_role_index: USER });
        }
    });
    assert_eq!(preauthorized(&scene, DIANA, &[]), None, "a basic credential has no certificate");
}

/// The role that the preauth list gives to the phone of `of`, whose certificate says so much.
fn preauthorized(scene: &Scene, of: &str, says: &[(&[u8], &str)]) -> Option<u32> {
    let say = |(oid, value): &(&[u8], &str)| Certified { oid: oid.to_vec(), value: value.as_bytes().to_vec() };
    let certified: Vec<Certified> = says.iter().map(say).collect();
    let (client, user) = (client(of, "phone"), user(of));
    scene.state().preauthorized_role(Applicant { client: &client, user: &user, certified: &certified })
}

#[test]
fn a5_what_a_certificate_says_counts_beside_whose_client_it_is() {
    const NAME: &[u8] = &[0x55, 0x1d, 0x11];
    const UNIT: &[u8] = &[0x55, 0x04, 0x0b];
    let claim = |id: &[u8], value: &str| crate::wire::components::Claim {
        credential_type: 2,
        id: id.to_vec(),
        value: value.as_bytes().to_vec(),
    };
    let of_d = super::super::preauth::any_user_of(&Domain::parse("d.example").unwrap());
    let room = |entries: Vec<(Vec<crate::wire::components::Claim>, u32)>| {
        Scene::of("strict").edit(move |list: &mut PreauthList| {
            list.entries.extend(entries.into_iter().map(|(claims, target_role_index)| {
                crate::wire::components::PreauthEntry { claims, target_role_index }
            }));
        })
    };
    let unit = room(vec![(vec![of_d.clone(), claim(UNIT, "Board")], ADMIN), (vec![of_d], USER)]);
    assert_eq!(preauthorized(&unit, DIANA, &[(UNIT, "Board")]), Some(ADMIN));
    assert_eq!(preauthorized(&unit, DIANA, &[(UNIT, "board")]), Some(USER), "byte for byte");
    assert_eq!(preauthorized(&unit, DIANA, &[(NAME, "Board")]), Some(USER));
    let elsewhere = "mimi://e.example/u/eve";
    assert_eq!(preauthorized(&unit, elsewhere, &[(UNIT, "Board")]), None, "of another provider");
    // Nobody verifies chains: whoever likes says this of itself.
    let alone = room(vec![(vec![claim(UNIT, "Board")], ADMIN)]);
    assert_eq!(preauthorized(&alone, DIANA, &[(UNIT, "Board")]), None);
    let named = room(vec![(vec![claim(NAME, DIANA)], ADMIN)]);
    assert_eq!(preauthorized(&named, DIANA, &[(NAME, DIANA)]), Some(ADMIN), "its own name");
    assert_eq!(preauthorized(&named, elsewhere, &[(NAME, DIANA)]), None, "the name of somebody else");
}

#[test]
fn a5_preauth_does_not_readmit_a_banned_user() {
    let scene = Scene::of("strict").edit(preauthorize("d.example", USER)).with(DIANA, BANNED, &[]);
    let admission = admit(&scene.state(), &client(DIANA, "phone"), &user(DIANA), &[1], None);
    assert_eq!(admission.unwrap_err().breach(), Breach::BannedClient);
    assert_eq!(breach(&scene.join(DIANA, "phone", vec![], vec![])), Breach::NotAdmitted);
}

#[test]
fn a6_anybody_joins_an_open_room_with_a_role_of_role_0_s_list() {
    let scene = open(Scene::of("strict"));
    let result = scene.join(DIANA, "phone", vec![scene.moves(&[(DIANA, USER)])], vec![]);
    assert_eq!(rules(&result), [Rule::JoinOpen]);
    assert!(scene.grants(&result));
    let higher = scene.join(DIANA, "phone", vec![scene.moves(&[(DIANA, ADMIN)])], vec![]);
    assert_eq!(breach(&higher), Breach::RoleNotGranted);
}

#[test]
fn a6_a_room_that_is_not_open_admits_no_stranger() {
    let scene = Scene::of("strict");
    let admission = admit(&scene.state(), &client(DIANA, "phone"), &user(DIANA), &[1], None);
    assert_eq!(admission.unwrap_err().breach(), Breach::NotAdmitted);
}

#[test]
fn a7_a_good_code_lets_its_bearer_take_the_role_that_it_gives_and_no_other() {
    let scene = Scene::of("strict");
    let state = scene.state();
    let phone = client(DIANA, "phone");
    let admitted = |code| admit(&state, &phone, &user(DIANA), &key(&phone), code);
    assert_eq!(admitted(None).unwrap_err().breach(), Breach::NotAdmitted);
    let admission = admitted(Some(USER)).unwrap();
    assert_eq!((admission.grant(), admission.role()), (Grant::Code, USER));
    assert_eq!(admission.action().capability, Capability::USE_JOIN_CODE);
    let takes = |role| {
        let change = scene.external_commit(DIANA, "phone", vec![scene.moves(&[(DIANA, role)])], vec![]);
        actions_of(&change, &state, Some(&admission))
    };
    assert_eq!(rules(&takes(USER)), [Rule::JoinByCode]);
    assert_eq!(breach(&takes(ADMIN)), Breach::RoleNotGranted);
    // The room's own rules say which roles a code can give.
    assert_eq!(admitted(Some(ADMIN)).unwrap_err().breach(), Breach::NotAdmitted);
    assert!(state.joins_by_code(USER) && !state.joins_by_code(ADMIN) && !state.joins_by_code(0));
}

#[test]
fn joining_prefers_the_open_door_to_a_code() {
    let scene = open(Scene::of("strict"));
    let admission = admit(&scene.state(), &client(DIANA, "phone"), &user(DIANA), &[1], Some(USER)).unwrap();
    assert_eq!(admission.grant(), Grant::Open);
}

#[test]
fn joining_prefers_preauth_over_the_open_door() {
    let scene = open(Scene::of("strict")).edit(preauthorize("d.example", USER));
    let admission = admit(&scene.state(), &client(DIANA, "phone"), &user(DIANA), &[1], None).unwrap();
    assert_eq!((admission.grant(), admission.role()), (Grant::Preauthorized, USER));
    assert!(admission.action().preauthorized);
    let cathy = admit(&scene.state(), &client(CATHY, "laptop"), &user(CATHY), &[1], None).unwrap();
    assert_eq!((cathy.grant(), cathy.role()), (Grant::OwnClient, USER));
}

#[test]
fn an_external_commit_needs_the_admission_of_the_same_key_and_client() {
    let scene = Scene::of("strict");
    let change = scene.external_commit(CATHY, "laptop", vec![], vec![]);
    let laptop = client(CATHY, "laptop");
    let admit = |client: &ClientUri, key: &[u8]| admit(&scene.state(), client, &user(CATHY), key, None).unwrap();
    let judge = |admission: Option<&Admission>| actions_of(&change, &scene.state(), admission);
    assert!(judge(Some(&admit(&laptop, &key(&laptop)))).is_ok());
    assert_eq!(breach(&judge(None)), Breach::NotAdmitted);
    assert_eq!(breach(&judge(Some(&admit(&laptop, b"another key")))), Breach::NotAdmitted);
    assert_eq!(breach(&judge(Some(&admit(&client(CATHY, "watch"), &key(&laptop))))), Breach::NotAdmitted);
}

#[test]
fn an_admission_survives_storage() {
    let scene = Scene::of("strict");
    let admission = admit(&scene.state(), &client(CATHY, "laptop"), &user(CATHY), &[1], None).unwrap();
    let stored = serde_json::to_value(&admission).unwrap();
    assert_eq!(serde_json::from_value::<Admission>(stored).unwrap(), admission);
}

#[test]
fn a_stranger_that_lists_nobody_is_refused() {
    let scene = open(Scene::of("strict"));
    assert_eq!(breach(&scene.join(DIANA, "phone", vec![], vec![])), Breach::UnlistedClient);
}

#[test]
fn an_external_commit_does_nothing_but_join() {
    let scene = open(Scene::of("strict"));
    let join = scene.moves(&[(DIANA, USER)]);
    for extra in [
        scene.moves(&[("mimi://d.example/u/eve", USER)]),
        add("mimi://d.example/u/eve", "phone"),
        scene.remove(CATHY, "phone"),
        set(ComponentId::ROLES_LIST, Vec::new()),
        Effect::Psk,
    ] {
        let result = scene.join(DIANA, "phone", vec![join.clone(), extra], vec![]);
        assert_eq!(breach(&result), Breach::ExternalContent);
    }
    let removal = scene.pending(scene.member(BOB), vec![scene.remove(CATHY, "phone")]);
    assert_eq!(breach(&scene.join(DIANA, "phone", vec![join.clone()], removal)), Breach::ExternalContent);
    let leave = scene.pending(scene.member(CATHY), vec![scene.self_remove(CATHY, "phone")]);
    assert!(scene.join(DIANA, "phone", vec![join], leave).is_ok());
}

#[test]
fn a28_a_room_without_external_commits_admits_nobody() {
    let scene = Scene::of("strict").operational(|parameters| parameters.external_commit_allowed = false);
    let admission = admit(&scene.state(), &client(CATHY, "laptop"), &user(CATHY), &[1], None);
    assert_eq!(admission.unwrap_err().breach(), Breach::ExternalCommit);
    assert_eq!(breach(&scene.join(CATHY, "laptop", vec![], vec![])), Breach::ExternalCommit);
}

#[test]
fn a28_the_reserved_capability_counts_where_a_role_has_it() {
    let scene = Scene::of("strict").role(SUPER, |role| can(role, Capability::SEND_MLS_EXTERNAL_COMMIT));
    let result = scene.join(CATHY, "laptop", vec![], vec![]);
    assert_eq!(rules(&result), [Rule::AddOwnClient, Rule::External]);
    assert!(!scene.grants(&result));
    let alice = scene.join(ALICE, "laptop", vec![], vec![]);
    assert!(scene.grants(&alice));
}

#[test]
fn a28_external_proposals_take_the_reserved_capability_where_a_role_has_it() {
    let scene = Scene::of("strict").role(SUPER, |role| can(role, Capability::SEND_MLS_EXTERNAL_PROPOSAL));
    let result = scene.propose(hub(), vec![scene.remove(CATHY, "phone")], &[]);
    assert_eq!(rules(&result), [Rule::Kick, Rule::External]);
    assert!(!scene.grants(&result));
}
