//! What a follower can decide, and by what.

use std::collections::BTreeSet;

use portcullis_core::mls::Outline;
use portcullis_core::policy::{Question, RoomFacts, Side};
use portcullis_core::room::{Action, Actor, Violation};
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::uri::UserUri;
use serde_json::json;

use super::super::decide::{Case, Decision, bare_facts, bare_question, question};
use super::super::policy::envelope;
use super::super::rooms::Hosted;
use super::super::{Inner, people};
use super::arrival::Arrival;
use super::plan::Plan;

impl<'a> Plan<'a> {
    /// What is decided about a message that has come.
    pub(super) fn case<'c>(&'c self, kind: &'static str, arrival: &Arrival) -> Case<'c>
    where
        'a: 'c,
    {
        Case {
            kind,
            room: Some(&self.room),
            actor: None,
            peer: self.hub.clone(),
            epoch: arrival.epoch(),
            exchange: Some(arrival.hash),
            now: self.now,
        }
    }

    /// Whether users of ours may be brought into the room, and which.
    pub(super) fn decide_welcome(&self, case: &Case<'_>, users: BTreeSet<UserUri>) -> (Decision, BTreeSet<UserUri>) {
        let facts = bare_facts(&self.room, Side::Follower, &self.imposed);
        let adder = Actor::Hub(self.hub.clone());
        let asked =
            |user| bare_question(&facts, &adder, (Capability::ADD_PARTICIPANT, Some(user)), &self.hub, self.now);
        let questions: Vec<Question<'_>> = users.iter().map(asked).collect();
        let (decision, allowed) = case.decide_each(&self.active, &questions);
        (decision, chosen(self.inner, users, &allowed))
    }

    /// Whether users of ours may receive a message, and which.
    pub(super) fn decide_receipt(
        &self,
        case: &Case<'_>,
        users: BTreeSet<UserUri>,
        message: &MlsMessage,
    ) -> (Decision, BTreeSet<UserUri>) {
        if users.is_empty() {
            return (case.refuse("not_allowed", "nobody_of_ours_is_in_the_room", json!({})), users);
        }
        let bare = bare_facts(&self.room, Side::Follower, &self.imposed);
        let facts: &RoomFacts = self.tracked.as_ref().map_or(&bare, |tracked| &tracked.facts);
        let actors: Vec<Actor> = users.iter().cloned().map(Actor::User).collect();
        let message_bytes = message.as_bytes().len() as u64;
        let asked = |actor| {
            let question = bare_question(facts, actor, (Capability::RECEIVE_MESSAGE, None), &self.hub, self.now);
            match &self.tracked {
                None => Question { message_bytes, ..question },
                Some(tracked) => {
                    let role = tracked.state.role_of(&actor.uri());
                    let (suite, epoch) = (tracked.view().suite, tracked.view().epoch);
                    let transition_authorized = true;
                    Question {
                        from_role: role,
                        to_role: role,
                        transition_authorized,
                        suite,
                        epoch,
                        message_bytes,
                        ..question
                    }
                }
            }
        };
        let questions: Vec<Question<'_>> = actors.iter().map(asked).collect();
        let (decision, allowed) = case.decide_each(&self.active, &questions);
        (decision, chosen(self.inner, users, &allowed))
    }

    /// Decides what a change does in the tracked group.
    pub(super) fn decide_actions<'b>(
        &self,
        case: &Case<'_>,
        tracked: &Hosted,
        actions: impl Iterator<Item = &'b Action>,
    ) -> Decision {
        let group = (tracked.view().suite, tracked.view().epoch);
        let questions: Vec<Question<'_>> =
            actions.map(|action| question(&tracked.facts, action, group, &self.hub, self.now)).collect();
        case.decide(&self.active, &questions)
    }

    /// Decides by what can be read off handshakes of a group that is not tracked, or not in their epoch. Their senders
    /// are members that only the group could name: the hub stands in for them.
    pub(super) fn decide_outline<'m>(
        &self,
        kind: &'static str,
        arrival: &Arrival,
        messages: impl Iterator<Item = &'m MlsMessage>,
    ) -> Decision {
        let case = self.case(kind, arrival);
        let Ok(Outline { mut actions, joiner, components }) = Outline::of_messages(messages) else {
            return case.refuse("not_allowed", "handshake_cannot_be_read", json!({}));
        };
        if actions.is_empty() {
            actions.push((Capability::SEND_MLS_UPDATE_PROPOSAL, None));
        }
        let facts = bare_facts(&self.room, Side::Follower, &self.imposed);
        let actor = match joiner {
            Some((_, user)) => Actor::User(user),
            None => Actor::Hub(self.hub.clone()),
        };
        let questions: Vec<Question<'_>> = actions
            .iter()
            .map(|(capability, target)| {
                bare_question(&facts, &actor, (*capability, target.as_ref()), &self.hub, self.now)
            })
            .collect();
        let decision = case.decide(&self.active, &questions);
        let out = envelope::brings_out(&self.active, &case, &components, &self.hub);
        out.filter(|_| decision.allow).unwrap_or(decision)
    }

    /// What the room's own rules forbid, whatever policy says.
    pub(super) fn violation(&self, case: &Case<'_>, violation: &Violation) -> Decision {
        let capability = violation.capability().map(|capability| capability.to_string());
        let detail = json!({ "user": violation.user(), "capability": capability });
        case.refuse(violation.code(), format!("room.{}", violation.code()), detail)
    }
}

fn chosen(inner: &Inner, users: BTreeSet<UserUri>, allowed: &[bool]) -> BTreeSet<UserUri> {
    let chosen = users.into_iter().zip(allowed).filter(|(_, allowed)| **allowed).map(|(user, _)| user);
    // Whatever the company's policies say about whom its identity provider has deactivated.
    chosen.filter(|user| !people::is_out(inner, user)).collect()
}
