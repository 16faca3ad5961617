use super::*;
use crate::member::{Draft, Proposer};
use crate::mls::external_proposal;
use crate::wire::components::{ComponentId, RoomMetadata};
use crate::wire::update::GroupInfoOption;

#[test]
fn a_role_change_is_seen_by_everybody() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let update = table.members[0].set_role(&room(), &user("bob"), 3).unwrap();
    assert_eq!(table.roles(0)[2], ("bob".to_owned(), ORDINARY), "nothing changes before the answer");
    table.accept(0, &update);
    for member in 0..3 {
        assert!(table.roles(member).contains(&("bob".to_owned(), 3)), "member {member}");
    }
    table.assert_in_step();
}

#[test]
fn a_user_with_two_clients_leaves_with_one_bundle_that_somebody_else_commits() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    table.invite(vec![Member::new(client("bob", "laptop")).unwrap()]);
    let leave = table.members[1].leave(&room()).unwrap();
    assert!(matches!(&leave, UpdateRequest::Proposals(proposals) if proposals.len() == 3));
    let received = table.accept(1, &leave);
    let types: Vec<u16> = received[0]
        .iter()
        .map(|it| if let Received::Proposed { proposal_type, .. } = it { *proposal_type } else { 0 })
        .collect();
    assert_eq!(types, [10, 3, 8], "SelfRemove, Remove, AppDataUpdate");
    assert_eq!(received[1], [], "what bob sent himself comes back and means nothing");

    let commit = table.members[2].commit_pending(&room()).unwrap();
    let received = table.accept(2, &commit);
    let by = client("cathy", "phone");
    assert_eq!(received[1], [Received::Removed { by: by.clone() }]);
    assert_eq!(received[3], [Received::Removed { by: by.clone() }]);
    let gone = vec![client("bob", "phone"), client("bob", "laptop")];
    assert_eq!(received[0], [Received::Epoch { epoch: 3, by, added: vec![], removed: gone }]);
    assert!(!table.roles(0).iter().any(|(name, _)| name == "bob"));
    table.assert_in_step();
}

#[test]
fn somebody_who_left_reads_nothing_more() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let leave = table.members[1].leave(&room()).unwrap();
    table.accept(1, &leave);
    let commit = table.members[0].commit_pending(&room()).unwrap();
    table.accept(0, &commit);
    let request = table.members[0].text(&room(), "among us").unwrap();
    let fanout = table.franked(&request);
    assert_eq!(table.members[1].receive(&room(), &fanout).unwrap(), [Received::Skipped { epoch: 2 }]);
    assert_eq!(table.members[1].rooms().count(), 0);
}

#[test]
fn of_two_commits_of_one_epoch_the_refused_one_is_taken_back_and_made_anew() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let first = table.members[0].set_role(&room(), &user("cathy"), 3).unwrap();
    let second = table.members[1].commit_pending(&room()).unwrap();
    table.accept(0, &first);
    table.members[1].rejected(&room()).unwrap();
    assert_eq!(table.epoch(1), 2);
    table.assert_in_step();

    let stale = table.fanout(&second, 0);
    assert_eq!(table.members[0].receive(&room(), &stale[0]).unwrap(), [Received::Skipped { epoch: 1 }]);
    let again = table.members[1].commit_pending(&room()).unwrap();
    table.accept(1, &again);
    assert_eq!(table.epoch(2), 3);
    table.assert_in_step();
}

#[test]
fn a_refusal_that_comes_before_the_other_commit_is_taken_back_too() {
    let mut table = Table::of(&["alice", "bob"]);
    let second = table.members[1].commit_pending(&room()).unwrap();
    table.members[1].rejected(&room()).unwrap();
    assert_eq!(table.epoch(1), 1);
    let first = table.members[0].commit_pending(&room()).unwrap();
    table.accept(0, &first);
    table.assert_in_step();
    assert_ne!(first.encode(), second.encode());
}

#[test]
fn the_echo_of_a_pending_commit_says_that_it_was_accepted() {
    let mut table = Table::of(&["alice", "bob"]);
    let update = table.members[0].commit_pending(&room()).unwrap();
    let fanout = table.fanout(&update, 0);
    let received = table.deliver(&fanout);
    let by = client("alice", "phone");
    assert_eq!(received[0], [Received::Epoch { epoch: 2, by, added: vec![], removed: vec![] }]);
    table.members[0].accepted(&room()).unwrap();
    assert_eq!(table.epoch(0), 2, "the answer that comes after the echo changes nothing");
    table.assert_in_step();
}

#[test]
fn the_echo_of_an_accepted_commit_means_nothing() {
    let mut table = Table::of(&["alice", "bob"]);
    let update = table.members[0].commit_pending(&room()).unwrap();
    let received = table.accept(0, &update);
    assert_eq!(received[0], []);
    assert_eq!(table.epoch(0), 2);
}

#[test]
fn a_second_update_waits_for_the_answer_to_the_first() {
    let mut table = Table::of(&["alice", "bob"]);
    table.members[0].commit_pending(&room()).unwrap();
    let second = table.members[0].set_role(&room(), &user("bob"), 3);
    assert!(matches!(second, Err(MemberError::Waiting)));
}

#[test]
fn refused_proposals_are_taken_back() {
    let mut table = Table::of(&["alice", "bob"]);
    table.members[1].leave(&room()).unwrap();
    assert!(table.members[1].text(&room(), "still here").is_err(), "proposals are committed before messages");
    table.members[1].rejected(&room()).unwrap();
    let received = table.say(1, "still here");
    assert_eq!(message(&received[0]).content.body.as_text(), Some("still here"));
}

#[test]
fn a_forged_commit_changes_nothing() {
    let mut table = Table::of(&["alice", "bob"]);
    let update = table.members[0].commit_pending(&room()).unwrap();
    let mut bytes = table.fanout(&update, 0)[0].encode();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let refused = FanoutMessage::decode(&bytes).map_err(MemberError::from);
    let refused = refused.and_then(|forged| table.members[1].receive(&room(), &forged));
    assert!(refused.is_err());
    table.accept(0, &update);
    assert_eq!(table.epoch(1), 2);
    table.assert_in_step();
}

#[test]
fn a_removed_user_is_told_and_the_others_go_on() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let update = table.members[0].remove(&room(), &user("bob")).unwrap();
    let received = table.accept(0, &update);
    assert_eq!(received[1], [Received::Removed { by: client("alice", "phone") }]);
    assert_eq!(table.members[2].clients(&room()).unwrap(), [client("alice", "phone"), client("cathy", "phone")]);
    table.assert_in_step();
}

#[test]
fn a_banned_user_stays_listed_without_clients() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let update = table.members[0].ban(&room(), &user("bob"), 1).unwrap();
    table.accept(0, &update);
    assert!(table.roles(2).contains(&("bob".to_owned(), 1)));
    assert_eq!(table.members[2].clients(&room()).unwrap().len(), 2);
}

#[test]
fn a_component_that_is_no_list_is_replaced() {
    let mut table = Table::of(&["alice", "bob"]);
    let metadata = table.members[1].component::<RoomMetadata>(&room()).unwrap().unwrap();
    let renamed = RoomMetadata { name: "Salon".to_owned(), ..metadata };
    let draft = Draft::default().component(ComponentId::ROOM_METADATA, Some(renamed.encode()));
    let proposed = table.members[1].propose(&room(), &draft).unwrap();
    table.accept(1, &proposed);
    let commit = table.members[0].commit_pending(&room()).unwrap();
    table.accept(0, &commit);
    assert_eq!(table.members[1].component::<RoomMetadata>(&room()).unwrap(), Some(renamed));
    table.assert_in_step();
}

#[test]
fn who_proposed_something_cites_it_like_everybody_else() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let proposed = table.members[0].propose(&room(), &Draft::default().role(user("bob"), 3)).unwrap();
    table.accept(0, &proposed);
    let commit = table.members[0].commit_pending(&room()).unwrap();
    table.accept(0, &commit);
    assert!(table.roles(2).contains(&("bob".to_owned(), 3)));
    table.assert_in_step();
}

#[test]
fn an_update_that_no_member_may_apply_is_not_built() {
    let mut table = Table::of(&["alice", "bob"]);
    let twice = Draft::default().participant(user("bob"), ORDINARY);
    assert!(matches!(table.members[0].commit(&room(), &twice), Err(MemberError::Component(_))));
    let stranger = table.members[0].set_role(&room(), &user("eve"), 3);
    assert!(matches!(stranger, Err(MemberError::NotAParticipant(who)) if who == user("eve")));
    assert!(table.members[0].commit_pending(&room()).is_ok(), "a draft that failed leaves nothing pending");
}

#[test]
fn commits_are_public_messages_with_the_least_that_a_hub_needs() {
    use crate::wire::mls::MlsKind;

    let mut table = Table::of(&["alice", "bob"]);
    let light = table.members[0].commit_pending(&room()).unwrap();
    let UpdateRequest::Commit(bundle) = &light else { panic!("no commit") };
    assert_eq!(bundle.commit.kind(), MlsKind::Commit);
    assert_eq!(bundle.ratchet_tree, RatchetTreeOption::DistributionService);
    let GroupInfoOption::Partial(partial) = &bundle.group_info else { panic!("not partial") };
    let types: Vec<u16> = partial.extensions.iter().map(|it| it.extension_type).collect();
    assert_eq!(types, [4], "external_pub and nothing else");
    assert_eq!(partial.signature.len(), 64);
    let fanout = table.fanout(&light, 0);
    assert!(matches!(fanout[0].body, FanoutBody::Commit { .. }));
}

#[test]
fn a_commit_that_was_taken_back_and_accepted_after_all_is_not_passed_over_in_silence() {
    let mut table = Table::of(&["alice", "bob"]);
    let update = table.members[0].commit_pending(&room()).unwrap();
    table.members[0].rejected(&room()).unwrap();
    let fanout = table.fanout(&update, 1);
    table.members[1].receive(&room(), &fanout[0]).unwrap();
    assert!(matches!(table.members[0].receive(&room(), &fanout[0]), Err(MemberError::Mls { .. })));
    assert_eq!((table.epoch(0), table.epoch(1)), (1, 2));
}

#[test]
fn of_a_bundle_that_cannot_be_built_no_proposal_stays() {
    let mut table = Table::of(&["alice", "bob"]);
    let unlisted = table.members[0].commit(&room(), &Draft::default().without_participant(user("bob"))).unwrap();
    table.accept_unchecked(0, &unlisted);
    let leave = table.members[1].leave(&room());
    assert!(matches!(leave, Err(MemberError::NotAParticipant(who)) if who == user("bob")));
    assert!(matches!(table.members[1].propose(&room(), &Draft::default()), Err(MemberError::Nothing)));
    message(&table.say(1, "still here")[0]);
}

#[test]
fn somebody_who_was_removed_commits_nothing() {
    let mut table = Table::of(&["alice", "bob"]);
    table.invite(vec![member("cathy")]);
    let update = table.members[0].remove(&room(), &user("bob")).unwrap();
    table.accept(0, &update);
    assert!(matches!(table.members[1].commit_pending(&room()), Err(MemberError::NotAMember(_))));
    assert!(matches!(table.members[1].leave(&room()), Err(MemberError::NotAMember(_))));
    let bob = table.members.remove(1);
    table.invite(vec![bob]);
    assert!(matches!(table.members[2].commit_pending(&room()), Ok(UpdateRequest::Commit(_))), "back by a new Welcome");
    table.assert_in_step();
}

#[test]
fn the_hub_removes_a_lost_client_by_a_proposal_that_a_member_commits() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let view = table.group.view();
    let lost = view.leaves.iter().find(|leaf| leaf.user == user("bob")).unwrap().index;
    let proposal = external_proposal::remove(view, 0, lost, &table.hub.sender).unwrap();
    table.group.queue(&proposal).unwrap();
    let timestamp = table.tick();
    let fanout = FanoutMessage { timestamp, body: FanoutBody::Proposal { message: proposal, more: Vec::new() } };
    let by = Proposer::Provider(Some(room().domain()));
    assert_eq!(table.deliver(&[fanout])[0], [Received::Proposed { by, proposal_type: 3 }]);

    let commit = table.members[2].commit_pending(&room()).unwrap();
    let received = table.accept(2, &commit);
    assert_eq!(received[1], [Received::Removed { by: client("cathy", "phone") }]);
    assert!(table.roles(0).contains(&("bob".to_owned(), ORDINARY)), "the entry stays until a member removes it");
    table.assert_in_step();
}

#[test]
fn the_hub_sees_the_room_as_its_members_do() {
    let mut table = Table::of(&["alice", "bob"]);
    for bundling in [Bundling::Light, Bundling::Full] {
        table.members[1].bundle(bundling);
        let update = table.members[1].commit_pending(&room()).unwrap();
        table.accept(1, &update);
        let theirs = table.members[0].group_info(&room()).unwrap();
        assert_eq!(table.group.ratchet_tree().unwrap(), theirs.tree);
        let UpdateRequest::Commit(bundle) = update else { panic!("no commit") };
        if let GroupInfoOption::Full(whole) = bundle.group_info {
            assert_eq!(table.group.group_info(), whole.as_bytes());
        }
    }
}
