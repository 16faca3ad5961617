use openmls::component::ComponentId as RawComponentId;
use openmls::framing::SafeAadItem;
use openmls::group::PURE_CIPHERTEXT_WIRE_FORMAT_POLICY;

use super::*;
use crate::mls::{Effect, MlsError, Part, Proposer, Sender};

#[test]
fn a_commit_that_adds_says_whom_and_changes_nothing_until_merged() {
    let mut room = Room::of(&["alice"]);
    let bob = Client::new("bob");
    let adds = vec![bob.key_package()];
    let bundle = room.clients[0].commit(Draft { adds, updates: vec![listing(&["bob"])], ..Draft::default() });
    let staged = room.inspect(&bundle).unwrap();
    let change = &staged.change;
    assert_eq!((change.before.epoch, change.after.epoch), (0, 1));
    assert_eq!(change.before, *room.hub.view());
    assert!(matches!(&change.sender, Sender::Member { leaf: 0, user: it, .. } if *it == user("alice")));
    let [Part { effect: Effect::Add { user: added, key_package_ref, .. }, proposer, reference: None }, component] =
        change.parts.as_slice()
    else {
        panic!("{:?}", change.parts)
    };
    assert_eq!(*added, user("bob"));
    assert!(matches!(proposer, Proposer::Member { leaf: 0, .. }));
    assert!(matches!(component.effect, Effect::Component { id: ComponentId::PARTICIPANT_LIST, .. }));
    assert_eq!(change.welcome_refs, std::slice::from_ref(key_package_ref));
    assert_eq!(change.after.leaves.len(), 2);
    let list = change.after.components.read::<ParticipantList>().unwrap().unwrap();
    assert_eq!(list.participants[1].user, user("bob"));
    assert_eq!(room.hub.view().epoch, 0);
}

#[test]
fn members_and_hub_stay_in_step_through_adds_updates_and_removes() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let bundle = room.clients[1].commit(Draft::default());
    room.accept(1, &bundle);
    let update = ParticipantListUpdate { removed: vec![2], ..ParticipantListUpdate::default() };
    let bundle =
        room.clients[0].commit(Draft { removes: vec![2], updates: vec![participants(update)], ..Draft::default() });
    room.accept(0, &bundle);
    assert_eq!(room.users(), ["alice", "bob"]);
    let tree = room.clients[1].group().export_ratchet_tree().tls_serialize_detached().unwrap();
    assert_eq!(room.hub.ratchet_tree().unwrap().as_bytes(), tree);
}

#[test]
fn the_tree_is_written_as_openmls_exports_it() {
    let mut room = Room::of(&["alice", "bob", "cathy", "dave", "erin", "fred"]);
    // Who is removed, by leaf and by position in the list.
    let exported = |room: &mut Room, from: usize, removed: Option<(u32, u32)>| {
        let (removes, listed): (Vec<u32>, Vec<u32>) = removed.into_iter().unzip();
        let update = ParticipantListUpdate { removed: listed, ..ParticipantListUpdate::default() };
        let updates = if removes.is_empty() { vec![] } else { vec![participants(update)] };
        let bundle = room.clients[from].commit(Draft { removes, updates, ..Draft::default() });
        room.accept(from, &bundle);
        let tree = room.clients[from].group().export_ratchet_tree();
        assert_eq!(room.hub.ratchet_tree().unwrap().as_bytes(), tree.tls_serialize_detached().unwrap());
        if let Some((_, position)) = removed {
            room.clients.remove(position as usize);
        }
    };
    exported(&mut room, 1, None);
    exported(&mut room, 3, None);
    exported(&mut room, 0, Some((2, 2))); // in the middle
    exported(&mut room, 0, Some((5, 4))); // the last
    exported(&mut room, 0, Some((4, 3)));
    exported(&mut room, 2, None);
}

#[test]
fn a_partial_group_info_becomes_the_whole_one() {
    let mut room = Room::of(&["alice", "bob"]);
    let whole = room.clients[1].commit(Draft::default());
    let GroupInfoOption::Full(group_info) = &whole.group_info else { panic!() };
    let from_whole = room.inspect(&whole).unwrap().change.group_info;
    let from_partial = room.inspect(&partial(&whole)).unwrap().change.group_info;
    assert_eq!(from_whole, group_info.as_bytes());
    assert_eq!(from_partial, group_info.as_bytes());
}

#[test]
fn of_two_racing_commits_the_second_is_of_a_wrong_epoch() {
    let mut room = Room::of(&["alice", "bob"]);
    let (first, second) = (room.clients[0].commit(Draft::default()), room.clients[1].commit(Draft::default()));
    let (winner, loser) = (room.inspect(&first).unwrap(), room.inspect(&second).unwrap());
    room.hub.merge(winner).unwrap();
    assert_eq!(room.inspect(&second).unwrap_err(), HandshakeError::WrongEpoch { current: 2 });
    assert_eq!(room.hub.merge(loser).unwrap_err(), MlsError::Stale);
}

#[test]
fn check_1_removing_an_absent_component_is_refused() {
    let mut room = Room::of(&["alice"]);
    let bundle = room.clients[0].commit(Draft {
        updates: vec![AppDataUpdateProposal::remove(0x8009)],
        outcome: Some(vec![(0x8009, None)]),
        ..Draft::default()
    });
    let refused = room.inspect(&bundle).unwrap_err();
    let (check, references, position) = (CheckId::Components, vec![], Some(0));
    assert_eq!(refused, HandshakeError::InvalidProposals { check, references, position });
}

#[test]
fn check_1_an_outcome_other_than_ours_is_refused() {
    let mut room = Room::of(&["alice"]);
    let id: RawComponentId = 0x8001;
    let bundle = room.clients[0].commit(Draft {
        updates: vec![AppDataUpdateProposal::update(id, vec![1])],
        outcome: Some(vec![(id, Some(vec![2]))]),
        ..Draft::default()
    });
    assert_eq!(room.refusal(&bundle), CheckId::GroupInfo);
}

#[test]
fn check_2_a_leaf_with_the_signature_key_of_another_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    room.invite(&["cathy"]);
    let bobs = shared(&room.clients[1].signer);
    let bundle = room.clients[2].commit_with_signer(&bobs);
    assert_eq!(room.refusal(&bundle), CheckId::SignatureKeys);
}

#[test]
fn check_4_key_packages_live_neither_too_short_nor_too_long() {
    let mut room = Room::of(&["alice"]);
    for lifetime in [Lifetime::new(20 * 24 * 3600), Lifetime::init(0, u64::MAX)] {
        let adds = vec![Client::new("bob").key_package_with(lifetime, all_capabilities())];
        let bundle = room.clients[0].commit(Draft { adds, updates: vec![listing(&["bob"])], ..Draft::default() });
        assert_eq!(room.refusal(&bundle), CheckId::Lifetimes);
        room.clients[0].discard();
    }
}

#[test]
fn check_5_a_leaf_stays_with_its_client() {
    let mut room = Room::of(&["alice", "bob"]);
    let identity = CredentialWithKey {
        credential: credential(&client_uri("alice")),
        signature_key: room.clients[1].signer.public().into(),
    };
    let leaf = LeafNodeParameters::builder().with_credential_with_key(identity).build();
    let bundle = room.clients[1].commit(Draft { leaf: Some(leaf), ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::Credentials);
}

#[test]
fn check_5_a_client_without_a_user_is_not_added() {
    let mut room = Room::of(&["alice"]);
    let mut nobody = Client::new("bob");
    nobody.identity.credential = credential("mimi://a.example/d/phone");
    let adds = vec![nobody.key_package()];
    let bundle = room.clients[0].commit(Draft { adds, updates: vec![listing(&["bob"])], ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::Credentials);
}

#[test]
fn check_6_a_group_info_of_another_epoch_or_signer_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let old = GroupInfoOption::Full(GroupInfo::decode(room.hub.group_info()).unwrap());
    let bundle = room.clients[1].commit(Draft::default());
    assert_eq!(room.refusal(&CommitBundle { group_info: old, ..bundle.clone() }), CheckId::GroupInfo);

    let GroupInfoOption::Full(group_info) = &bundle.group_info else { panic!() };
    let mut bytes = group_info.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = GroupInfoOption::Full(GroupInfo::decode(&bytes).unwrap());
    assert_eq!(room.refusal(&CommitBundle { group_info: forged, ..bundle }), CheckId::GroupInfo);
}

#[test]
fn check_6_a_tampered_confirmation_tag_is_noticed() {
    let mut room = Room::of(&["alice", "bob"]);
    let bundle = room.clients[1].commit(Draft::default());
    let mut bytes = bundle.commit.as_bytes().to_vec();
    let at = bytes.len() - 33 - 1;
    bytes[at] ^= 1;
    let tampered = CommitBundle { commit: MlsMessage::decode(&bytes).unwrap(), ..bundle };
    assert_eq!(room.refusal(&tampered), CheckId::GroupInfo);
    assert_eq!(room.refusal(&partial(&tampered)), CheckId::GroupInfo);
}

#[test]
fn check_6_a_partial_group_info_has_external_pub_and_no_tree() {
    let mut room = Room::of(&["alice", "bob"]);
    let bundle = partial(&room.clients[1].commit(Draft::default()));
    let GroupInfoOption::Partial(good) = bundle.group_info.clone() else { panic!() };
    for bad in [
        PartialGroupInfo { extensions: vec![], ..good.clone() },
        PartialGroupInfo { ratchet_tree_presence: RatchetTreePresence::Present, ..good.clone() },
        PartialGroupInfo { signature: vec![], ..good.clone() },
    ] {
        let bundle = CommitBundle { group_info: GroupInfoOption::Partial(bad), ..bundle.clone() };
        assert_eq!(room.refusal(&bundle), CheckId::GroupInfo);
    }
}

#[test]
fn check_6_a_well_signed_group_info_still_has_external_pub_and_no_tree() {
    let mut room = Room::of(&["alice", "bob"]);
    let bundle = room.clients[1].commit(Draft::default());
    let staged = room.inspect(&bundle).unwrap();
    let GroupInfoOption::Partial(good) = partial(&bundle).group_info else { panic!() };
    let signed = |extensions: &[RawExtension]| {
        let (next, mut group_info) = (staged.group().public().unwrap(), Vec::new());
        group_info.extend(next.group_context().tls_serialize_detached().unwrap());
        group_info.extend(extensions.tls_serialize_detached().unwrap());
        group_info.extend(next.confirmation_tag().tls_serialize_detached().unwrap());
        group_info.extend(room.clients[1].leaf().to_be_bytes());
        let signer = &room.clients[1].signer;
        let signature = crate::mls::labels::sign_with_label(signer, "GroupInfoTBS", &group_info).unwrap();
        group_info.extend(raw(signature));
        let whole = GroupInfoOption::Full(GroupInfo::decode(&group_info).unwrap());
        CommitBundle { group_info: whole, ..bundle.clone() }
    };
    let tree = RawExtension { extension_type: 2, data: room.hub.ratchet_tree().unwrap().as_bytes().to_vec() };
    let with_tree = [good.extensions.clone(), vec![tree]].concat();
    for (extensions, refused) in [(good.extensions, false), (with_tree, true), (vec![], true)] {
        let bundle = signed(&extensions);
        for bundle in [partial(&bundle), bundle] {
            let found = room.inspect(&bundle).err().and_then(|error| error.check());
            assert_eq!(found, refused.then_some(CheckId::GroupInfo), "{extensions:?}");
        }
    }
}

#[test]
fn check_7_the_welcome_is_for_those_who_are_added() {
    let mut room = Room::of(&["alice"]);
    let (bob, cathy) = (Client::new("bob"), Client::new("cathy"));
    let draft = |client: &Client, name| Draft {
        adds: vec![client.key_package()],
        updates: vec![listing(&[name])],
        ..Draft::default()
    };
    let for_bob = room.clients[0].commit(draft(&bob, "bob"));
    room.clients[0].discard();
    let for_cathy = room.clients[0].commit(draft(&cathy, "cathy"));
    let mixed = CommitBundle { welcome: for_cathy.welcome, ..for_bob.clone() };
    assert_eq!(room.refusal(&mixed), CheckId::Welcome);
    assert_eq!(room.refusal(&CommitBundle { welcome: None, ..for_bob.clone() }), CheckId::Welcome);
    room.clients[0].discard();
    let for_nobody = CommitBundle { welcome: for_bob.welcome, ..room.clients[0].commit(Draft::default()) };
    assert_eq!(room.refusal(&for_nobody), CheckId::Welcome);
}

#[test]
fn check_8_nobody_gets_a_client_without_being_listed() {
    let mut room = Room::of(&["alice"]);
    let adds = vec![Client::new("bob").key_package()];
    let bundle = room.clients[0].commit(Draft { adds, ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::Participants);
}

#[test]
fn check_8_nobody_is_unlisted_who_keeps_a_client() {
    let mut room = Room::of(&["alice", "bob"]);
    let update = ParticipantListUpdate { removed: vec![1], ..ParticipantListUpdate::default() };
    let bundle = room.clients[0].commit(Draft { updates: vec![participants(update)], ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::Participants);
}

#[test]
fn check_10_authenticated_data_is_one_safe_aad_of_known_components() {
    let mut room = Room::of(&["alice"]);
    room.clients[0].group().set_aad(b"tail".to_vec());
    let bundle = room.clients[0].commit(Draft::default());
    assert_eq!(room.refusal(&bundle), CheckId::AuthenticatedData);
    room.clients[0].discard();
    for (component, refused) in [(0x21, true), (ComponentId::FRANK_AAD.0, false)] {
        room.clients[0].group().set_safe_aad(vec![SafeAadItem::new(component, vec![1])]).unwrap();
        let bundle = room.clients[0].commit(Draft::default());
        let found = room.inspect(&bundle).err().and_then(|error| error.check());
        assert_eq!(found, refused.then_some(CheckId::AuthenticatedData), "{component}");
        room.clients[0].discard();
    }
}

#[test]
fn check_10_the_components_allowed_in_authenticated_data_stay_readable() {
    let mut room = Room::of(&["alice"]);
    let updates = vec![AppDataUpdateProposal::update(ComponentId::SAFE_AAD.0, vec![0xff])];
    let bundle = room.clients[0].commit(Draft { updates, ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::AuthenticatedData);
}

#[test]
fn check_11_components_do_not_grow_without_limit() {
    let mut room = Room::of(&["alice"]);
    let updates = vec![AppDataUpdateProposal::update(0x8001, vec![0; 1024 * 1024 + 1])];
    let bundle = room.clients[0].commit(Draft { updates, ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::Sizes);
}

#[test]
fn check_12_an_encrypted_handshake_or_a_proposal_is_no_commit() {
    let mut room = Room::of(&["alice", "bob"]);
    let proposal = room.hub_remove(1);
    let bundle = room.clients[0].commit(Draft::default());
    assert_eq!(room.refusal(&CommitBundle { commit: proposal, ..bundle }), CheckId::WireFormat);
    room.clients[0].discard();

    let config = MlsGroupJoinConfig::builder().wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY).build();
    let Client { provider, group, .. } = &mut room.clients[0];
    group.as_mut().unwrap().set_configuration(provider.storage(), &config).unwrap();
    let encrypted = room.clients[0].commit(Draft::default());
    assert_eq!(room.refusal(&encrypted), CheckId::WireFormat);
}

#[test]
fn check_13_a_commit_for_another_group_is_refused() {
    let mut other = Client::new("alice");
    let id = GroupId::from_slice(b"mimi://a.example/g/elsewhere");
    let group = MlsGroup::builder()
        .with_group_id(id)
        .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .ciphersuite(SUITE)
        .build(&other.provider, &other.signer, other.identity.clone())
        .unwrap();
    other.group = Some(group);
    let bundle = other.commit(Draft::default());
    assert_eq!(Room::of(&["alice"]).refusal(&bundle), CheckId::Group);
}

#[test]
fn check_14_a_forged_signature_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let bundle = room.clients[1].commit(Draft::default());
    let forged = CommitBundle { commit: forged(&bundle.commit, 2), ..bundle };
    assert_eq!(room.refusal(&forged), CheckId::Authenticity);
}

#[test]
fn check_15_what_mls_forbids_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let bundle = room.clients[0].commit(Draft::default());
    let empty_without_path = CommitBundle { commit: room.hand_made(0, COMMIT, &[0, 0]), ..bundle.clone() };
    assert_eq!(room.refusal(&empty_without_path), CheckId::Validity);
    let removes_nobody = raw(vec![1, 0, 3, 0, 0, 0, 9]);
    let removes_nobody = room.hand_made(0, COMMIT, &[removes_nobody, vec![0]].concat());
    assert_eq!(room.refusal(&CommitBundle { commit: removes_nobody, ..bundle }), CheckId::Validity);
}

#[test]
fn the_same_proposal_twice_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let bundle = room.clients[0].commit(Draft::default());
    let remove = [1, 0, 3, 0, 0, 0, 1];
    let twice = room.hand_made(0, COMMIT, &[raw([remove, remove].concat()), vec![0]].concat());
    assert_eq!(room.refusal(&CommitBundle { commit: twice, ..bundle }), CheckId::Citations);
}

#[test]
fn check_16_a_commit_cites_all_that_is_pending() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let leaving = room.clients[2].leave();
    room.propose(Some(2), &leaving);
    let ignorant = room.clients[0].commit(Draft { alone: true, ..Draft::default() });
    assert_eq!(room.refusal(&ignorant), CheckId::Citations);
    room.clients[0].discard();

    let dutiful = room.clients[0].commit(Draft::default());
    let change = room.inspect(&dutiful).unwrap().change;
    let pending = room.hub.pending()[0].reference.clone().unwrap();
    assert_eq!(change.cited, std::slice::from_ref(&pending));
    assert_eq!(change.parts[0].reference, Some(pending));
    assert!(matches!(&change.parts[0].effect, Effect::SelfRemove { leaf: 2, user: it, .. } if *it == user("cathy")));
    assert_eq!(change.after.leaves.len(), 2);
}

#[test]
fn check_16_a_citation_of_something_unknown_is_named() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let leaving = room.clients[2].leave();
    room.clients[0].take(&leaving);
    let bundle = room.clients[0].commit(Draft::default());
    let HandshakeError::InvalidProposals { check, references, .. } = room.inspect(&bundle).unwrap_err() else {
        panic!()
    };
    assert_eq!(check, CheckId::Citations);
    room.hub.queue(&leaving).unwrap();
    assert_eq!(references, [room.hub.pending()[0].reference.clone().unwrap()]);
}

#[test]
fn check_18_the_tree_is_ours_or_left_to_us() {
    let mut room = Room::of(&["alice", "bob"]);
    let old = room.hub.ratchet_tree().unwrap();
    let bundle = room.clients[0].commit(Draft::default());
    let new = room.inspect(&bundle).unwrap().group().ratchet_tree().unwrap();
    let with = |ratchet_tree| CommitBundle { ratchet_tree, ..bundle.clone() };
    assert!(room.inspect(&with(RatchetTreeOption::Full(new))).is_ok());
    assert_eq!(room.refusal(&with(RatchetTreeOption::Full(old))), CheckId::Tree);
    let elsewhere = RatchetTreeOption::HttpsUri { url: "https://a.example".to_owned(), tree_signature: vec![] };
    assert_eq!(room.refusal(&with(elsewhere)), CheckId::Tree);
    assert_eq!(room.refusal(&with(RatchetTreeOption::OutOfBand { tree_signature: vec![] })), CheckId::Tree);
}

#[test]
fn check_20_nobody_leaves_by_value() {
    let room = Room::of(&["alice", "bob"]);
    let commit = room.hand_made(0, COMMIT, &[raw(vec![1, 0, 10]), vec![0]].concat());
    assert_eq!(room.refusal(&room.with_commit(commit)), CheckId::ProposalTypes);
}

#[test]
fn check_22_a_leaf_is_touched_once_and_the_committers_never() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let leaving = room.clients[1].leave();
    room.propose(Some(1), &leaving);
    let reference = room.hub.pending()[0].reference.clone().unwrap();
    let citing = |from, more: &[u8]| {
        let list = [&[2], raw(reference.clone()).as_slice(), more].concat();
        room.with_commit(room.hand_made(from, COMMIT, &[raw(list), vec![0]].concat()))
    };
    let remove = [1, 0, 3, 0, 0, 0, 1];
    let refused = room.inspect(&citing(0, &remove)).unwrap_err();
    let check = CheckId::LeafOperations;
    assert_eq!(refused, HandshakeError::InvalidProposals { check, references: vec![], position: Some(1) });
    let refused = room.inspect(&citing(1, &[])).unwrap_err();
    let references = vec![reference.clone()];
    assert_eq!(refused, HandshakeError::InvalidProposals { check, references, position: Some(0) });
}
