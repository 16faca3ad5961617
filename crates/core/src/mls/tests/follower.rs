//! A group as a follower tracks it: taken up from a member, then led by the commits alone.

use super::*;
use crate::mls::{Effect, MlsError};

/// The group as client `by` describes it.
fn described(room: &Room, by: usize) -> Result<(Group, crate::mls::Leaf), MlsError> {
    let client = &room.clients[by];
    let (group_info, tree) = show(client.group.as_ref().unwrap(), &client.provider, &client.signer);
    Group::take_up(&group_info, &tree)
}

fn follow(follower: &mut Group, commit: &MlsMessage) {
    let staged = follower.inspect_fanned_out(commit, now()).unwrap();
    follower.merge(staged).unwrap();
}

#[test]
fn a_group_that_is_taken_up_names_its_signer_and_is_the_hub_s() {
    let room = Room::of(&["alice", "bob"]);
    let (group, leaf) = described(&room, 1).unwrap();
    assert_eq!((leaf.index, leaf.user), (room.clients[1].leaf(), user("bob")));
    assert_eq!(group.view(), room.hub.view());
}

#[test]
fn a_group_info_with_another_signature_or_tree_is_not_taken_up() {
    let room = Room::of(&["alice", "bob"]);
    let client = &room.clients[1];
    let (mut group_info, tree) = show(client.group.as_ref().unwrap(), &client.provider, &client.signer);
    let other = Room::of(&["alice"]).hub.ratchet_tree().unwrap();
    assert!(matches!(Group::take_up(&group_info, other.as_bytes()).unwrap_err(), MlsError::Refused(_)));
    *group_info.last_mut().unwrap() ^= 1;
    assert_eq!(Group::take_up(&group_info, &tree).unwrap_err(), MlsError::Refused(CheckId::GroupInfo));
}

#[test]
fn a_follower_stays_in_step_with_the_hub_by_commits_alone() {
    let mut room = Room::of(&["alice", "bob"]);
    let (mut follower, _) = described(&room, 1).unwrap();
    let cathy = Client::new("cathy");
    let adds = vec![cathy.key_package()];
    let added = room.clients[0].commit(Draft { adds, updates: vec![listing(&["cathy"])], ..Draft::default() });
    room.accept(0, &added);
    follow(&mut follower, &added.commit);
    let renewed = room.clients[1].commit(Draft::default());
    room.accept(1, &renewed);
    let staged = follower.inspect_fanned_out(&renewed.commit, now()).unwrap();
    assert!(staged.change.group_info.is_empty() && staged.change.welcome_refs.is_empty());
    follower.merge(staged).unwrap();
    let restored = Group::restore(&follower.snapshot().unwrap()).unwrap();
    assert_eq!(restored.view(), room.hub.view());
    assert_eq!(restored.ratchet_tree().unwrap(), room.hub.ratchet_tree().unwrap());
}

#[test]
fn a_follower_does_not_follow_a_forged_commit_or_one_of_another_epoch() {
    let mut room = Room::of(&["alice", "bob"]);
    let (mut follower, _) = described(&room, 1).unwrap();
    let commit = room.clients[0].commit(Draft::default());
    let refused = follower.inspect_fanned_out(&forged(&commit.commit, 2), now()).unwrap_err();
    assert_eq!(refused.check(), Some(CheckId::Authenticity));
    follow(&mut follower, &commit.commit);
    let again = follower.inspect_fanned_out(&commit.commit, now()).unwrap_err();
    assert_eq!(again, HandshakeError::WrongEpoch { current: 2 });
}

#[test]
fn a_follower_does_not_follow_a_commit_that_cites_what_it_has_not_seen() {
    let mut room = Room::of(&["alice", "bob"]);
    let (follower, _) = described(&room, 1).unwrap();
    let proposal = room.clients[1].leave();
    room.propose(Some(1), &proposal);
    let update = ParticipantListUpdate { removed: vec![1], ..ParticipantListUpdate::default() };
    let commit = room.clients[0].commit(Draft { updates: vec![participants(update)], ..Draft::default() });
    assert_eq!(follower.inspect_fanned_out(&commit.commit, now()).unwrap_err().check(), Some(CheckId::Citations));
    let (mut told, _) = described(&room, 0).unwrap();
    told.queue(&proposal).unwrap();
    let staged = told.inspect_fanned_out(&commit.commit, now()).unwrap();
    assert!(staged.change.parts.iter().any(|part| matches!(part.effect, Effect::SelfRemove { leaf: 1, .. })));
}

#[test]
fn a_follower_takes_a_commit_that_leaves_out_what_the_hub_has_withdrawn() {
    let mut room = Room::of(&["alice", "bob"]);
    let (mut follower, _) = described(&room, 0).unwrap();
    let withdrawn = room.clients[1].propose_leaf();
    follower.queue(&withdrawn).unwrap();
    let commit = room.clients[0].commit(Draft::default());
    room.hub.inspect_commit(&commit, now()).unwrap();
    follow(&mut follower, &commit.commit);
    assert_eq!(follower.view().epoch, 2);
}
