use openmls::messages::external_proposals::JoinProposal;
use openmls::prelude::{GroupEpoch, ProposalOrRefType};

use super::*;
use crate::mls::{Effect, Proposer};
use crate::wire::components::RoleChange;

fn role(index: u32, role_index: u32) -> AppDataUpdateProposal {
    let changed = vec![RoleChange { user_index: index, role_index }];
    participants(ParticipantListUpdate { changed, ..ParticipantListUpdate::default() })
}

fn hand_made_remove(room: &Room, from: usize, leaf: u32) -> MlsMessage {
    room.hand_made(from, PROPOSAL, &[&[0, 3], leaf.to_be_bytes().as_slice()].concat())
}

#[test]
fn a_bundle_of_proposals_says_what_each_would_do() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let bundle = [room.clients[2].leave(), {
        let update = ParticipantListUpdate { removed: vec![2], ..ParticipantListUpdate::default() };
        room.clients[2].propose_update(&participants(update))
    }];
    let proposed = room.hub.inspect_proposals(&bundle, now()).unwrap();
    assert_eq!(*proposed.user(), user("cathy"));
    assert_eq!(proposed.references().count(), 2);
    assert!(matches!(proposed.parts[0].effect, Effect::SelfRemove { leaf: 2, .. }));
    assert!(matches!(proposed.parts[1].effect, Effect::Component { .. }));
    assert!(proposed.parts.iter().all(|part| matches!(part.proposer, Proposer::Member { leaf: 2, .. })));
    assert!(room.hub.pending().is_empty());
}

#[test]
fn what_is_queued_after_a_restore_can_be_committed() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let leaving = room.clients[2].leave();
    room.propose(Some(2), &leaving);
    let parts = room.hub.pending();
    room.hub = Group::restore(&room.hub.snapshot().unwrap()).unwrap();
    assert!(room.hub.pending().is_empty());
    assert_eq!(room.hub.queue(&leaving).unwrap(), parts[0]);
    assert_eq!(room.hub.queue(&leaving).unwrap(), parts[0]);
    assert_eq!(room.hub.pending(), parts);
    let update = ParticipantListUpdate { removed: vec![2], ..ParticipantListUpdate::default() };
    let bundle = room.clients[0].commit(Draft { updates: vec![participants(update)], ..Draft::default() });
    let staged = room.inspect(&bundle).unwrap();
    assert_eq!(staged.change.cited.len(), 1);
    // The group before it is still there to be asked, with all that is pending in it.
    let again = room.inspect(&bundle).unwrap();
    assert_eq!(
        (&again.change, again.group().snapshot().unwrap()),
        (&staged.change, staged.group().snapshot().unwrap())
    );
    assert_eq!(
        room.hub.ratchet_tree().unwrap(),
        Group::restore(&room.hub.snapshot().unwrap()).unwrap().ratchet_tree().unwrap()
    );
    room.hub.merge(staged).unwrap();
    assert_eq!(room.users(), ["alice", "bob"]);
}

#[test]
fn a_client_outside_proposes_to_be_added() {
    let mut room = Room::of(&["alice", "bob"]);
    let laptop = Client::new("bob/laptop");
    let id = GroupId::from_slice(GROUP.as_bytes());
    let message = JoinProposal::new::<<OpenMlsRustCrypto as OpenMlsProvider>::StorageProvider>(
        laptop.key_package(),
        id,
        GroupEpoch::from(1),
        &laptop.signer,
    );
    // Its authenticated data is empty, and this group uses SafeAAD.
    assert_eq!(room.refused_proposal(&[framed(&message.unwrap())]), CheckId::AuthenticatedData);
    let adding = room.clients[1].propose_add(&laptop.key_package());
    room.propose(Some(1), &adding);
    let bundle = room.clients[0].commit(Draft::default());
    room.accept(0, &bundle);
    assert_eq!(room.hub.view().leaves.len(), 3);
}

#[test]
fn check_9_a_remove_of_nobody_is_refused_and_named() {
    let room = Room::of(&["alice", "bob"]);
    let good = room.hub_remove(1);
    let bad = room.hub_remove(99);
    let refused = room.hub.inspect_proposals(&[good, bad], now()).unwrap_err();
    let HandshakeError::InvalidProposals { check, references, position } = refused else { panic!("{refused}") };
    assert_eq!((check, references.len(), position), (CheckId::Standalone, 1, Some(1)));
}

#[test]
fn check_9_the_same_proposal_twice_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let removal = room.hub_remove(1);
    assert_eq!(room.refused_proposal(&[removal.clone(), removal.clone()]), CheckId::Standalone);
    room.propose(None, &removal);
    assert_eq!(room.refused_proposal(&[removal]), CheckId::Standalone);
}

#[test]
fn check_1_updates_that_cannot_be_committed_together_are_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let first = room.clients[0].propose_update(&role(1, 3));
    room.propose(Some(0), &first);
    let second = room.clients[1].propose_update(&role(1, 5));
    assert_eq!(room.refused_proposal(&[second]), CheckId::Components);
    let other = room.clients[1].propose_update(&role(0, 5));
    assert!(room.hub.inspect_proposals(&[other], now()).is_ok());
}

#[test]
fn check_2_an_add_with_keys_in_use_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let same_signer = shared(&room.clients[1].signer);
    let twin = Client::with_signer("bob/laptop", same_signer).key_package();
    let proposal = room.clients[0].propose_add(&twin);
    assert_eq!(room.refused_proposal(&[proposal]), CheckId::SignatureKeys);

    let laptop = Client::new("bob/laptop");
    let first = room.clients[0].propose_add(&laptop.key_package());
    room.propose(Some(0), &first);
    let second = room.clients[1].propose_add(&laptop.key_package());
    assert_eq!(room.refused_proposal(&[second]), CheckId::SignatureKeys);
}

#[test]
fn check_4_a_proposed_key_package_has_time_left() {
    let mut room = Room::of(&["alice"]);
    let short = Client::new("bob").key_package_with(Lifetime::new(20 * 24 * 3600), all_capabilities());
    let proposal = room.clients[0].propose_add(&short);
    assert_eq!(room.refused_proposal(&[proposal]), CheckId::Lifetimes);
}

#[test]
fn check_11_pending_proposals_have_a_limit() {
    let mut room = Room::of(&["alice", "bob"]);
    for count in 0..=256_u32 {
        let update = AppDataUpdateProposal::update(0x8001, count.to_be_bytes().to_vec());
        let proposal = room.clients[0].propose_update(&update);
        if count == 256 {
            assert_eq!(room.refused_proposal(&[proposal]), CheckId::Sizes);
        } else {
            room.hub.queue(&proposal).unwrap();
        }
    }
}

#[test]
fn checks_10_and_11_updates_that_would_brick_the_group_are_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let unreadable = AppDataUpdateProposal::update(ComponentId::SAFE_AAD.0, vec![0xff]);
    let proposal = room.clients[0].propose_update(&unreadable);
    assert_eq!(room.refused_proposal(&[proposal]), CheckId::AuthenticatedData);
    let huge = AppDataUpdateProposal::update(0x8001, vec![0; 1024 * 1024 + 1]);
    let proposal = room.clients[1].propose_update(&huge);
    assert_eq!(room.refused_proposal(&[proposal]), CheckId::Sizes);
}

#[test]
fn check_20_proposals_of_other_types_do_not_stand_alone() {
    let mut room = Room::of(&["alice", "bob"]);
    let extensions = Extensions::from_vec(vec![required(), app_data(&components("alice"))]).unwrap();
    let Client { provider, signer, group, .. } = &mut room.clients[0];
    let (proposal, _) = group.as_mut().unwrap().propose_group_context_extensions(provider, extensions, signer).unwrap();
    assert_eq!(room.refused_proposal(&[framed(&proposal)]), CheckId::ProposalTypes);
    let unknown = room.hand_made(0, PROPOSAL, &[0xf0, 0x01, 0]);
    assert_eq!(room.refused_proposal(&[unknown]), CheckId::ProposalTypes);
}

#[test]
fn check_22_a_leaf_has_one_pending_operation_and_leaving_overrules_removal() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let update = room.clients[2].propose_leaf();
    room.propose(Some(2), &update);
    let removal = room.hub_remove(2);
    room.propose(None, &removal);
    assert_eq!(room.refused_proposal(&[hand_made_remove(&room, 0, 2)]), CheckId::LeafOperations);
    let leaving = room.clients[2].leave();
    room.propose(Some(2), &leaving);
    assert_eq!(room.refused_proposal(&[hand_made_remove(&room, 0, 2)]), CheckId::LeafOperations);
    // The leaver's proposal is the one that is left to cite.
    let bundle = room.clients[0].commit(Draft::default());
    let change = room.inspect(&bundle).unwrap().change;
    assert_eq!(change.cited.len(), 1);
    assert!(matches!(change.parts[0].effect, Effect::SelfRemove { leaf: 2, .. }));
}

#[test]
fn an_update_is_committed_by_others_and_not_owed_by_its_sender() {
    let mut room = Room::of(&["alice", "bob"]);
    let update = room.clients[1].propose_leaf();
    room.propose(Some(1), &update);
    let own = room.clients[1].commit(Draft::default());
    assert!(room.inspect(&own).unwrap().change.cited.is_empty());
    let others = room.clients[0].commit(Draft::default());
    let change = room.inspect(&others).unwrap().change;
    assert!(matches!(&change.parts[0].effect, Effect::Update { leaf: 1, user: it, .. } if *it == user("bob")));
}

#[test]
fn check_23_a_bundle_has_one_sender() {
    let mut room = Room::of(&["alice", "bob"]);
    let (one, other) = (room.clients[0].propose_update(&role(1, 3)), room.clients[1].propose_leaf());
    assert_eq!(room.refused_proposal(&[one, other]), CheckId::Bundle);
}

#[test]
fn check_24_a_leaf_that_lacks_what_the_group_requires_is_refused() {
    let mut room = Room::of(&["alice"]);
    let lifetime = Lifetime::new(LIFETIME.as_secs());
    let bob = Client::new("bob").key_package_with(lifetime, capabilities(&[ProposalType::AppDataUpdate]));
    let add = [vec![0, 1], bob.tls_serialize_detached().unwrap()].concat();
    assert_eq!(room.refused_proposal(&[room.hand_made(0, PROPOSAL, &add)]), CheckId::LeafSupport);
    let able = Client::new("bob").key_package();
    let proposal = room.clients[0].propose_add(&able);
    assert!(room.hub.inspect_proposals(&[proposal], now()).is_ok());
}

#[test]
fn a_forged_or_outdated_proposal_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let proposal = room.clients[1].propose_leaf();
    assert_eq!(room.refused_proposal(&[forged(&proposal, 1)]), CheckId::Authenticity);
    let bundle = room.clients[0].commit(Draft::default());
    room.accept(0, &bundle);
    let refused = room.hub.inspect_proposals(&[proposal], now()).unwrap_err();
    assert_eq!(refused, HandshakeError::WrongEpoch { current: 2 });
    assert_eq!(room.refused_proposal(&[bundle.commit]), CheckId::WireFormat);
}

#[test]
fn an_openmls_client_computes_the_same_reference() {
    let mut room = Room::of(&["alice", "bob"]);
    let proposal = room.clients[1].propose_leaf();
    let theirs = room.clients[1].group().pending_proposals().next().unwrap();
    assert_eq!(theirs.proposal_or_ref_type(), ProposalOrRefType::Reference);
    let theirs = theirs.proposal_reference_ref().as_slice().to_vec();
    let proposed = room.hub.inspect_proposals(&[proposal], now()).unwrap();
    assert_eq!(proposed.references().collect::<Vec<_>>(), [theirs]);
}
