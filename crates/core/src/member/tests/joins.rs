use super::*;
use crate::wire::Protocol;
use crate::wire::group_info::{
    GroupInfoOutcome, GroupInfoRatchetTree, GroupInfoRequest, GroupInfoResponse, HpkeCiphertext, PendingProposal,
    SealedGroupInfo,
};
use crate::wire::update::GroupInfoOption;

/// What the hub knows of the room, told by its first member.
fn material(table: &Table, pending: &UpdateRequest) -> GroupInfoRatchetTree {
    let first = table.members[0].group_info(&room()).unwrap();
    let proposals = match pending {
        UpdateRequest::Proposals(proposals) => proposals.clone(),
        UpdateRequest::Commit(_) => Vec::new(),
    };
    GroupInfoRatchetTree {
        group_info: first.group_info,
        ratchet_tree: RatchetTreeOption::Full(first.tree),
        pending_proposals: proposals
            .into_iter()
            .map(|proposal| PendingProposal { proposal, accepted_at: Millis(1) })
            .collect(),
    }
}

fn nothing_pending(table: &Table) -> GroupInfoRatchetTree {
    material(table, &UpdateRequest::Proposals(Vec::new()))
}

fn seal(table: &Table, request: &GroupInfoRequest, sealed: &GroupInfoRatchetTree) -> GroupInfoResponse {
    let (label, context) = (labels::GROUP_INFO_ENCRYPTION, room());
    let key = &request.group_info_public_key;
    let crypto = HubCrypto::default();
    let encrypted: HpkeCiphertext =
        labels::encrypt_with_label(&crypto, 1, key, label, context.as_bytes(), &sealed.encode()).unwrap();
    sign(table, SealedGroupInfo { suite: 1, hub_sender: table.hub.external_sender(), encrypted, signature: vec![] })
}

fn sign(table: &Table, sealed: SealedGroupInfo) -> GroupInfoResponse {
    let mut response =
        GroupInfoResponse { protocol: Protocol::Mls10, room: room(), outcome: GroupInfoOutcome::Success(sealed) };
    let tbs = response.tbs().unwrap();
    let GroupInfoOutcome::Success(sealed) = &mut response.outcome else { panic!("not sealed") };
    sealed.signature = labels::sign_with_label(&table.hub.sender, labels::GROUP_INFO_RESPONSE, &tbs).unwrap();
    response
}

#[test]
fn a_welcome_brings_clients_into_the_room() {
    let mut table = Table::of(&["alice"]);
    let mut guests = vec![member("bob"), member("cathy")];
    let key_packages: Vec<KeyPackage> = guests.iter_mut().map(key_package).collect();
    let list = [(user("bob"), ORDINARY), (user("cathy"), ORDINARY)];
    let update = table.members[0].add(&room(), key_packages, list).unwrap();
    table.members.append(&mut guests);
    let received = table.accept(0, &update);
    assert_eq!(received[1..], [[Received::Joined { epoch: 1 }], [Received::Joined { epoch: 1 }]]);
    let names = ["alice", "bob", "cathy"].map(|name| client(name, "phone"));
    assert_eq!(table.members[2].clients(&room()).unwrap(), names);
    table.assert_in_step();
}

#[test]
fn a_welcome_for_others_or_a_second_time_means_nothing() {
    let mut table = Table::of(&["alice"]);
    let mut bob = member("bob");
    let update = table.members[0].add(&room(), [key_package(&mut bob)], [(user("bob"), ORDINARY)]).unwrap();
    table.members[0].accepted(&room()).unwrap();
    let fanout = table.fanout(&update, 0);
    assert_eq!(member("eve").receive(&room(), &fanout[1]).unwrap(), []);
    assert_eq!(bob.receive(&room(), &fanout[1]).unwrap(), [Received::Joined { epoch: 1 }]);
    assert_eq!(bob.receive(&room(), &fanout[1]).unwrap(), []);
    assert_eq!(bob.epoch(&room()).unwrap(), 1);
}

#[test]
fn a_client_joins_from_outside_and_lists_its_user() {
    let mut table = Table::of(&["alice", "bob"]);
    table.members.push(member("dave"));
    let request = table.members[2].group_info_request(&room(), None).unwrap();
    let response = seal(&table, &request, &nothing_pending(&table));
    let opened = table.members[2].open_group_info_response(&room(), &response).unwrap();
    let update = table.members[2].external_join(&room(), &opened, Some(ORDINARY)).unwrap();
    let received = table.accept(2, &update);
    let joined = client("dave", "phone");
    let epoch = Received::Epoch { epoch: 2, by: joined.clone(), added: vec![joined], removed: vec![] };
    assert_eq!(received, [vec![epoch.clone()], vec![epoch], vec![]]);
    assert!(table.roles(1).contains(&("dave".to_owned(), ORDINARY)));
    table.assert_in_step();
    assert_eq!(message(&table.say(2, "hello")[0]).sender, user("dave"));
    assert_eq!(message(&table.say(1, "welcome")[2]).sender, user("bob"));
}

#[test]
fn a_second_client_of_a_listed_user_joins_without_a_change_of_the_list() {
    let mut table = Table::of(&["alice", "bob"]);
    let before = table.roles(0);
    table.members.push(Member::new(client("bob", "laptop")).unwrap());
    let current = nothing_pending(&table);
    let update = table.members[2].external_join(&room(), &current, None).unwrap();
    table.accept(2, &update);
    assert_eq!(table.roles(0), before);
    table.assert_in_step();
}

#[test]
fn a_client_that_lost_the_thread_joins_again_and_replaces_its_leaf() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let missed = table.members[0].commit_pending(&room()).unwrap();
    table.members[0].accepted(&room()).unwrap();
    table.check(&missed);
    let fanout = table.fanout(&missed, 0);
    table.members[1].receive(&room(), &fanout[0]).unwrap();

    let current = nothing_pending(&table);
    let update = table.members[2].external_join(&room(), &current, None).unwrap();
    table.accept(2, &update);
    assert_eq!(table.members[0].clients(&room()).unwrap().len(), 3);
    table.assert_in_step();
}

#[test]
fn a_refused_join_leaves_nothing_behind() {
    let mut table = Table::of(&["alice", "bob"]);
    table.members.push(member("dave"));
    let stale = nothing_pending(&table);
    table.members[2].external_join(&room(), &stale, Some(ORDINARY)).unwrap();
    table.members[2].rejected(&room()).unwrap();
    assert_eq!(table.members[2].rooms().count(), 0);

    let other = table.members[0].commit_pending(&room()).unwrap();
    table.accept(0, &other);
    let current = nothing_pending(&table);
    let update = table.members[2].external_join(&room(), &current, Some(ORDINARY)).unwrap();
    table.accept(2, &update);
    table.assert_in_step();
}

#[test]
fn a_refused_second_join_restores_the_membership_before_it() {
    let mut table = Table::of(&["alice", "bob"]);
    let again = nothing_pending(&table);
    table.members[1].external_join(&room(), &again, None).unwrap();
    table.members[1].rejected(&room()).unwrap();
    assert_eq!(table.epoch(1), 1);
    table.assert_in_step();
    assert_eq!(message(&table.say(1, "here still")[0]).sender, user("bob"));
}

#[test]
fn a_join_from_outside_cites_the_self_removes_that_wait() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let leave = table.members[1].leave(&room()).unwrap();
    table.accept(1, &leave);
    table.members.push(member("dave"));
    let with_pending = material(&table, &leave);
    let update = table.members[3].external_join(&room(), &with_pending, Some(ORDINARY)).unwrap();
    let received = table.accept(3, &update);
    let joined = client("dave", "phone");
    assert_eq!(received[1], [Received::Removed { by: joined.clone() }]);
    let removed = vec![client("bob", "phone")];
    assert_eq!(received[0], [Received::Epoch { epoch: 2, by: joined.clone(), added: vec![joined], removed }]);
    table.assert_in_step();
}

#[test]
fn the_group_info_of_a_full_bundle_serves_the_next_who_joins() {
    let mut table = Table::of(&["alice", "bob"]);
    table.members[1].bundle(Bundling::Full);
    let update = table.members[1].commit_pending(&room()).unwrap();
    table.accept(1, &update);
    let UpdateRequest::Commit(bundle) = update else { panic!("no commit") };
    let GroupInfoOption::Full(group_info) = bundle.group_info else { panic!("not whole") };
    let whole = GroupInfoRatchetTree { group_info, ratchet_tree: bundle.ratchet_tree, pending_proposals: Vec::new() };
    table.members.push(member("dave"));
    table.members[2].bundle(Bundling::Full);
    let update = table.members[2].external_join(&room(), &whole, Some(ORDINARY)).unwrap();
    table.accept(2, &update);
    table.assert_in_step();

    let UpdateRequest::Commit(bundle) = update else { panic!("no commit") };
    let tree = table.members[0].group_info(&room()).unwrap().tree;
    assert_eq!(bundle.ratchet_tree, RatchetTreeOption::Full(tree));
}

#[test]
fn an_answer_is_opened_once_and_only_from_the_hub_of_the_room() {
    let mut table = Table::of(&["alice", "bob"]);
    let mut dave = member("dave");
    let request = dave.group_info_request(&room(), None).unwrap();
    let good = seal(&table, &request, &nothing_pending(&table));

    let mut unsigned = good.clone();
    let GroupInfoOutcome::Success(sealed) = &mut unsigned.outcome else { panic!("not sealed") };
    sealed.signature[0] ^= 1;
    assert!(matches!(dave.open_group_info_response(&room(), &unsigned), Err(MemberError::Label(_))));

    let refusal = GroupInfoResponse { outcome: GroupInfoOutcome::NotAuthorized, ..good.clone() };
    assert!(matches!(dave.open_group_info_response(&room(), &refusal), Err(MemberError::GroupInfo)));

    let hub = std::mem::replace(&mut table.hub, Hub::new(1));
    let impostor = seal(&table, &request, &nothing_pending(&table));
    assert!(matches!(dave.open_group_info_response(&room(), &impostor), Err(MemberError::GroupInfo)));
    table.hub = hub;

    assert!(dave.open_group_info_response(&room(), &good).is_ok());
    assert!(matches!(dave.open_group_info_response(&room(), &good), Err(MemberError::GroupInfo)));
}

#[test]
fn requests_are_signed_by_the_client_that_makes_them() {
    let mut dave = member("dave");
    let material = dave.key_material_request(&user("bob"), Some(&room())).unwrap();
    let info = dave.group_info_request(&room(), Some(b"code".to_vec())).unwrap();
    for (label, tbs, signature) in [
        (labels::KEY_MATERIAL_REQUEST, material.tbs(), &material.signature),
        (labels::GROUP_INFO_REQUEST, info.tbs(), &info.signature),
    ] {
        let crypto = HubCrypto::default();
        assert_eq!(labels::verify_with_label(&crypto, 1, dave.signature_key(), label, &tbs, signature), Ok(()));
    }
    assert_eq!(material.requester_credential, dave.credential());
}

#[test]
fn key_packages_fit_what_a_room_requires() {
    use openmls::prelude::ProtocolVersion;

    let mut dave = member("dave");
    let made = dave.key_packages(3, MONTHS).unwrap();
    assert_eq!(made.len(), 3);
    let crypto = HubCrypto::default();
    let mut references = Vec::new();
    for key_package in made {
        let checked = key_package.into_openmls().unwrap().validate(&crypto, ProtocolVersion::Mls10).unwrap();
        assert!(checked.life_time().has_acceptable_range());
        let capabilities = checked.leaf_node().capabilities();
        let extensions: Vec<u16> = capabilities.extensions().iter().map(|it| u16::from(*it)).collect();
        let proposals: Vec<u16> = capabilities.proposals().iter().map(|it| u16::from(*it)).collect();
        assert_eq!((extensions, proposals), (vec![6], vec![8, 9, 10]));
        assert_eq!(checked.leaf_node().credential(), &dave.credential());
        references.push(checked.hash_ref(&crypto).unwrap());
    }
    references.dedup();
    assert_eq!(references.len(), 3);
}

#[test]
fn the_echo_of_a_join_from_outside_says_that_it_was_accepted() {
    let mut table = Table::of(&["alice", "bob"]);
    table.members.push(member("dave"));
    let current = nothing_pending(&table);
    let update = table.members[2].external_join(&room(), &current, Some(ORDINARY)).unwrap();
    let fanout = table.fanout(&update, 2);
    assert_eq!(table.deliver(&fanout)[2], [Received::Joined { epoch: 2 }]);
    table.members[2].accepted(&room()).unwrap();
    table.assert_in_step();
}

#[test]
fn members_can_be_moved_to_other_threads() {
    fn sendable<T: Send + Sync>() {}
    sendable::<Member>();
}
