//! What a gateway has accepted in a room, replayed.

use portcullis_core::mls::{Change, Group, GroupView};
use portcullis_core::policy::{Membership, Question, RoomFacts, Side};
use portcullis_core::room::{self, Action, Actor, Admission, Consequences, RoomState};
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::submit::SubmitMessageRequest;
use portcullis_store::restrictions::Restrictions;
use portcullis_store::{events, proposals, rooms};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::Play;

impl Play<'_> {
    /// The room as its events make it. Of each of them the rules of the room and the policy say again that it may be.
    fn replayed(&self) -> (Group, RoomState) {
        let mut group = Group::found(&self.first.0, &self.first.1).unwrap();
        let mut state = RoomState::read(group.view()).unwrap();
        let events = self.house.gateway.store().read(|conn| events::range(conn, &self.room, 0, 1000)).unwrap();
        for event in events {
            let fanout = FanoutMessage::decode(&event.event.fanout).unwrap();
            assert_eq!(fanout.timestamp, event.event.accepted_at);
            let facts = self.facts(&state, &self.imposed_at[&event.seq]);
            match fanout.body {
                FanoutBody::Commit { message, external_proposals } => {
                    let staged = group.inspect_commit(&self.bundles[&message.hash()], fanout.timestamp).unwrap();
                    let Consequences { actions, room } = consequences(&staged.change, &state);
                    self.assert_allowed(&facts, group.view(), &actions, fanout.timestamp);
                    group.merge(staged).unwrap();
                    assert_eq!(room, RoomState::read(group.view()).unwrap());
                    state = room;
                    external_proposals.iter().for_each(|again| drop(group.queue(again).unwrap()));
                }
                FanoutBody::Proposal { message, more } => {
                    let bundle: Vec<MlsMessage> = std::iter::once(message).chain(more).collect();
                    let parts = group.inspect_proposals(&bundle, fanout.timestamp).unwrap().parts;
                    let proposed = room::proposed_actions(group.view(), &state, &group.pending(), &parts).unwrap();
                    self.assert_allowed(&facts, group.view(), &proposed.actions, fanout.timestamp);
                    bundle.iter().for_each(|proposal| drop(group.queue(proposal).unwrap()));
                }
                FanoutBody::Welcome { .. } => assert_eq!(event.event.epoch, group.view().epoch),
                FanoutBody::Application { message, .. } => {
                    assert!(message.epoch() <= Some(group.view().epoch));
                    let said = &self.messages[&message.hash()];
                    self.assert_said(said, (&facts, &state), group.view(), fanout.timestamp);
                }
            }
        }
        (group, state)
    }

    /// What was known of the room when something was accepted.
    fn facts(&self, state: &RoomState, imposed: &Restrictions) -> RoomFacts {
        RoomFacts {
            room: self.room.clone(),
            side: Side::Hub,
            roles: Some(Membership::from(state)),
            muted: imposed.muted.clone(),
            barred: imposed.barred.clone(),
            frozen: imposed.frozen,
            legal_hold: imposed.legal_hold,
        }
    }

    /// The policy lets its sender say this.
    fn assert_said(
        &self,
        said: &SubmitMessageRequest,
        (room, state): (&RoomFacts, &RoomState),
        view: &GroupView,
        now: Millis,
    ) {
        let (sender, capability) = (&said.sender, Capability::SEND_MESSAGE);
        let role = state.role_of(sender);
        let question = Question {
            room,
            actor: &Actor::User(sender.clone()),
            capability,
            target: None,
            from_role: role,
            to_role: role,
            transition_authorized: true,
            alternative_granted: !state.holds(sender, capability) && state.may_react(sender),
            preauthorized: false,
            external: false,
            suite: view.suite,
            epoch: view.epoch,
            message_bytes: said.message.as_bytes().len() as u64,
            source: &sender.domain(),
            now,
        };
        let verdict = self.house.policy.engine.decide(&question);
        assert!(verdict.allow, "what {sender} said was accepted and is denied now: {verdict:?}");
    }

    /// The policy allows each of these actions, what is cited included.
    fn assert_allowed(&self, room: &RoomFacts, view: &GroupView, actions: &[Action], now: Millis) {
        assert!(!actions.is_empty(), "nothing was decided");
        for action in actions {
            let question = Question {
                room,
                actor: &action.actor,
                capability: action.capability,
                target: action.target.as_ref(),
                from_role: action.from_role,
                to_role: action.to_role,
                transition_authorized: action.transition_authorized,
                alternative_granted: action.alternative_granted,
                preauthorized: action.preauthorized,
                external: action.external,
                suite: view.suite,
                epoch: view.epoch,
                message_bytes: 0,
                source: &action.actor.domain(),
                now,
            };
            let verdict = self.house.policy.engine.decide(&question);
            assert!(verdict.allow, "{action:?} was accepted and is denied now: {verdict:?}");
        }
    }

    /// The room as it is stored.
    pub(super) fn stored(&self) -> (Group, Vec<u8>, Vec<u8>) {
        let read = |conn: &mut portcullis_store::Conn| {
            let row = rooms::load(conn, &self.room)?.unwrap();
            let pending = proposals::pending(conn, &self.room, row.head.epoch)?;
            Ok::<_, portcullis_store::StoreError>((row, pending))
        };
        let (row, pending) = self.house.gateway.store().read(read).unwrap();
        let mut group = Group::restore(&row.snapshot).unwrap();
        assert_eq!(group.view().epoch, row.head.epoch);
        for proposal in pending {
            let part = group.queue(&MlsMessage::decode(&proposal.message).unwrap()).unwrap();
            assert_eq!(part.reference, Some(proposal.reference));
        }
        (group, row.snapshot, row.group_info)
    }

    /// Replayed, it is what is stored.
    pub(super) fn assert_same(&self) -> Result<(), TestCaseError> {
        let ((replayed, state), (stored, snapshot, group_info)) = (self.replayed(), self.stored());
        let (view, pending) = (replayed.view(), replayed.pending());
        prop_assert_eq!(view, stored.view());
        prop_assert_eq!(replayed.extensions(), stored.extensions());
        prop_assert!(replayed.ratchet_tree().unwrap() == stored.ratchet_tree().unwrap(), "the trees differ");
        // Context, tree, confirmation tag and transcript hash, byte by byte.
        prop_assert!(replayed.snapshot().unwrap() == snapshot, "the snapshots differ");
        prop_assert!(replayed.group_info() == group_info, "the GroupInfos differ");
        prop_assert_eq!(&pending, &stored.pending());
        let kept = RoomState::read(stored.view()).unwrap();
        prop_assert_eq!(state.effective(&pending), kept.effective(&stored.pending()));
        prop_assert_eq!(state, kept);
        Ok(())
    }
}

/// What a commit does to a room, whose joiner has got in as it was entitled to then.
fn consequences(change: &Change, state: &RoomState) -> Consequences {
    let admission = change.joiner().and_then(|leaf| Admission::of(state, leaf.into(), &leaf.signature_key, None).ok());
    room::actions(change, state, admission.as_ref()).unwrap()
}
