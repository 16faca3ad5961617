//! Clients that join by themselves, and the hub that proposes from outside.

use openmls::framing::PublicMessageIn;
use openmls::group::ExternalCommitBuilder;
use openmls::prelude::MlsMessageBodyIn;

use super::*;
use crate::mls::{Effect, Proposer, Sender};

/// An external commit of `client` that cites `pending` and lists `listed`.
fn join(room: &Room, client: &mut Client, pending: &[MlsMessage], listed: &[&str]) -> CommitBundle {
    let group_info = GroupInfo::decode(room.hub.group_info()).unwrap().into_openmls().unwrap();
    let tree =
        openmls::treesync::RatchetTreeIn::tls_deserialize_exact(room.hub.ratchet_tree().unwrap().as_bytes()).unwrap();
    let before = room.hub.view().components.clone();
    let config = MlsGroupJoinConfig::builder().wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY).build();
    let Client { provider, signer, identity, group, .. } = client;
    let mut builder = ExternalCommitBuilder::new()
        .with_config(config)
        .with_ratchet_tree(tree)
        .with_proposals(pending.iter().map(public).collect())
        .build_group(provider, group_info, identity.clone())
        .unwrap()
        .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(all_capabilities()).build());
    if !listed.is_empty() {
        builder = builder.add_app_data_update_proposal(listing(listed));
    }
    let mut builder = builder.load_psks(provider.storage()).unwrap().create_group_info(true);
    let updates: Vec<ComponentUpdate> = builder.app_data_update_proposals().map(component_update).collect();
    let mut updater = builder.app_data_dictionary_updater();
    fill(&mut updater, apply(&before, &updates).unwrap());
    let changes = updater.changes();
    builder.with_app_data_dictionary_updates(changes);
    let built = builder.build(provider.rand(), provider.crypto(), signer, |_| true).unwrap();
    let (joined, bundle) = built.finalize(provider).unwrap();
    *group = Some(joined);
    bundled(&bundle)
}

fn public(message: &MlsMessage) -> PublicMessageIn {
    let MlsMessageBodyIn::PublicMessage(message) = message.clone().into_openmls().unwrap().extract() else { panic!() };
    message
}

#[test]
fn a_client_that_joins_by_itself_lists_its_user_in_the_same_commit() {
    let mut room = Room::of(&["alice", "bob"]);
    let mut cathy = Client::new("cathy");
    let bundle = join(&room, &mut cathy, &[], &["cathy"]);
    let staged = room.inspect(&bundle).unwrap();
    let change = &staged.change;
    assert!(matches!(&change.sender, Sender::Joiner { user: it, .. } if *it == user("cathy")));
    assert!(matches!(change.parts[0].effect, Effect::ExternalInit));
    assert!(change.parts.iter().all(|part| matches!(&part.proposer, Proposer::Joiner { .. })));
    assert_eq!(change.joiner().unwrap().signature_key, cathy.signer.public());
    room.hub.merge(staged).unwrap();
    for client in &mut room.clients {
        client.take(&bundle.commit);
    }
    room.clients.push(cathy);
    let next = room.clients[2].commit(Draft::default());
    room.accept(2, &next);
    assert_eq!(room.users(), ["alice", "bob", "cathy"]);
}

#[test]
fn the_partial_group_info_of_a_joiner_is_made_whole() {
    let room = Room::of(&["alice", "bob"]);
    let bundle = join(&room, &mut Client::new("bob/laptop"), &[], &[]);
    let GroupInfoOption::Full(group_info) = &bundle.group_info else { panic!() };
    assert_eq!(room.inspect(&partial(&bundle)).unwrap().change.group_info, group_info.as_bytes());
}

#[test]
fn check_8_a_joiner_has_to_be_listed() {
    let room = Room::of(&["alice", "bob"]);
    let bundle = join(&room, &mut Client::new("cathy"), &[], &[]);
    assert_eq!(room.refusal(&bundle), CheckId::Participants);
}

#[test]
fn check_3_a_joiner_removes_nobody_but_its_former_self() {
    let room = Room::of(&["alice", "bob"]);
    let bobs = || shared(&room.clients[1].signer);
    // openmls removes the leaf that has the joiner's signature key.
    let again = join(&room, &mut Client::with_signer("bob", bobs()), &[], &[]);
    let change = room.inspect(&again).unwrap().change;
    assert!(change.parts.iter().any(|part| matches!(part.effect, Effect::Remove { leaf: 1, .. })));
    assert_eq!(change.after.leaves.len(), 2);

    let instead = join(&room, &mut Client::with_signer("cathy", bobs()), &[], &["cathy"]);
    let refused = room.inspect(&instead).unwrap_err();
    assert!(matches!(refused, HandshakeError::InvalidProposals { check: CheckId::ExternalRemove, .. }), "{refused}");
}

#[test]
fn check_16_a_joiner_cites_every_pending_self_remove_and_nothing_else() {
    let mut room = Room::of(&["alice", "bob", "dave"]);
    let leaving = room.clients[1].leave();
    room.propose(Some(1), &leaving);
    let removal = room.hub_remove(2);
    room.propose(None, &removal);
    let ignorant = join(&room, &mut Client::new("cathy"), &[], &["cathy"]);
    assert_eq!(room.refusal(&ignorant), CheckId::Citations);

    let mut cathy = Client::new("cathy");
    let dutiful = join(&room, &mut cathy, &[leaving, removal], &["cathy"]);
    let staged = room.inspect(&dutiful).unwrap();
    assert_eq!(staged.change.cited.len(), 1);
    room.hub.merge(staged).unwrap();
    assert!(room.hub.pending().is_empty());
    let mut users = room.users();
    users.sort();
    assert_eq!(users, ["alice", "cathy", "dave"]);
}

#[test]
fn the_last_member_leaves_as_another_client_joins() {
    let mut room = Room::of(&["alice"]);
    let leaving = room.clients[0].leave();
    room.propose(Some(0), &leaving);
    let bundle = join(&room, &mut Client::new("alice/laptop"), &[leaving], &[]);
    let staged = room.inspect(&bundle).unwrap();
    assert_eq!(staged.change.after.leaves.len(), 1);
    assert_eq!(staged.change.joiner().unwrap().client.as_str(), client_uri("alice/laptop"));
}

#[test]
fn a_removal_by_the_hub_is_taken_by_members_and_committed() {
    let mut room = Room::of(&["alice", "bob"]);
    let removal = room.hub_remove(1);
    let proposed = room.hub.inspect_proposals(std::slice::from_ref(&removal), now()).unwrap();
    assert_eq!(proposed.user().as_str(), "mimi://a.example");
    assert!(matches!(&proposed.parts[0].proposer, Proposer::ExternalSender { index: 0, domain: Some(_) }));
    assert!(matches!(&proposed.parts[0].effect, Effect::Remove { leaf: 1, user: it, .. } if *it == user("bob")));
    room.propose(None, &removal);
    let bundle = room.clients[0].commit(Draft::default());
    room.accept(0, &bundle);
    assert_eq!(room.users(), ["alice"]);
}

#[test]
fn check_21_an_external_sender_that_is_not_there_is_refused() {
    let room = Room::of(&["alice", "bob"]);
    let view = room.hub.view();
    let by =
        |sender, signer: &SignatureKeyPair| super::super::external_proposal::remove(view, sender, 1, signer).unwrap();
    assert_eq!(room.refused_proposal(&[by(1, &room.hub_signer)]), CheckId::Authenticity);
    assert_eq!(room.refused_proposal(&[by(0, &key_pair())]), CheckId::Authenticity);
}
