//! What our users send to a room of another hub, decided before it leaves: by roles and participants where the group is
//! tracked, else by what can be read off it.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_core::identity::credential::certified;
use portcullis_core::mls::{Change, CheckId, Effect, HandshakeError, Outline, Part, Proposed};
use portcullis_core::policy::{Question, Side};
use portcullis_core::room::{self, Action, Actor, Admission, Applicant, RoomState, Violation};
use portcullis_core::wire::components::Capability;
use portcullis_core::wire::group_info::GroupInfoRequest;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::report_abuse::AbuseReport;
use portcullis_core::wire::submit::SubmitMessageRequest;
use portcullis_core::wire::update::{UpdateRequest, UpdateResponse};
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::StoreError;
use portcullis_store::follower::{self, Standing};
use portcullis_store::restrictions::{self, Place, Restriction};
use serde_json::json;

use super::super::added;
use super::super::decide::{Case, Decision, bare_facts, bare_question, question};
use super::super::policy::envelope;
use super::super::rooms::Hosted;
use super::super::{GatewayError, Inner, report, submit};

/// A decision, and what the user is told where the protocol has a word for the refusal.
pub(in super::super) struct Judged {
    pub(in super::super) decision: Decision,
    pub(in super::super) refusal: UpdateResponse,
}

impl From<Decision> for Judged {
    fn from(decision: Decision) -> Self {
        let refusal = UpdateResponse::NotAllowed { description: decision.description() };
        Self { decision, refusal }
    }
}

/// Decides a commit or proposals of `user`.
pub(in super::super) fn update(
    inner: &Inner,
    case: &Case<'_>,
    user: &UserUri,
    room: &RoomUri,
    request: &UpdateRequest,
) -> Result<Judged, GatewayError> {
    let outline = Outline::of(request).map_err(GatewayError::decode)?;
    if outline.joiner.as_ref().is_some_and(|(_, joiner)| joiner != user) {
        return Err(GatewayError::WrongIdentity);
    }
    if let Some(withheld) = withheld(inner, case, room, user)?
        && !only_leaves(request, &outline)
    {
        return Ok(withheld.into());
    }
    if let Some(tracked) = inner.tracked(room)? {
        let judged = match request {
            UpdateRequest::Commit(bundle) => commit(inner, case, user, &tracked, &bundle.commit)?,
            UpdateRequest::Proposals(proposals) => {
                let inspect = || tracked.group.inspect_proposals(proposals, case.now);
                let proposed = tracing::info_span!("mls.inspect").in_scope(inspect);
                proposals_of(inner, case, user, &tracked, proposed)?
            }
        };
        if let Some(judged) = judged {
            return Ok(judged);
        }
    }
    let actor = Actor::User(user.clone());
    // What an outline shows of leaving are Removes of clients that only the group could name.
    let leaves = only_leaves(request, &outline);
    let mut actions = if leaves { vec![(Capability::REMOVE_SELF, None)] } else { outline.actions };
    if actions.is_empty() {
        // A commit that only changes keys or cites proposals is upkeep of the group.
        actions.push((Capability::SEND_MLS_UPDATE_PROPOSAL, None));
    }
    let decision = untracked(inner, case, room, &actor, &actions, 0)?;
    let out = envelope::brings_out(&inner.policy.active(), case, &outline.components, &room.domain());
    Ok(out.filter(|_| decision.allow).unwrap_or(decision).into())
}

/// Decides an application message of its sender.
pub(in super::super) fn message(
    inner: &Arc<Inner>,
    case: &Case<'_>,
    room: &RoomUri,
    request: &SubmitMessageRequest,
) -> Result<Decision, GatewayError> {
    if let Some(withheld) = withheld(inner, case, room, &request.sender)? {
        return Ok(withheld);
    }
    let source = request.sender.domain();
    if let Some(tracked) = inner.tracked(room)? {
        if let Some(refusal) = envelope::lies_out(&inner.policy.active(), case, tracked.view()) {
            return Ok(refusal);
        }
        return Ok(submit::decide(inner, &source, &tracked, request, case));
    }
    let actor = Actor::User(request.sender.clone());
    let bytes = request.message.as_bytes().len() as u64;
    untracked(inner, case, room, &actor, &[(Capability::SEND_MESSAGE, None)], bytes)
}

/// Decides the request of a client of ours for what it needs to join.
pub(in super::super) fn group_info(
    inner: &Inner,
    case: &Case<'_>,
    room: &RoomUri,
    request: &GroupInfoRequest,
    client: &ClientUri,
    user: &UserUri,
) -> Result<Decision, GatewayError> {
    if let Some(withheld) = withheld(inner, case, room, user)? {
        return Ok(withheld);
    }
    // What a joining code is worth only the hub knows.
    let tracked = inner.tracked(room)?.filter(|_| request.joining_code.is_none());
    if let Some(tracked) = tracked {
        // Who is in the room must be able to come back to leave it.
        if !tracked.state.is_listed(user)
            && let Some(refusal) = envelope::lies_out(&inner.policy.active(), case, tracked.view())
        {
            return Ok(refusal);
        }
        let certified = certified(&request.credential);
        let applicant = Applicant { client, user, certified: &certified };
        return Ok(match Admission::of(&tracked.state, applicant, &request.signature_key, None) {
            Ok(admission) => actions(inner, case, &tracked, [&admission.action()].into_iter()),
            Err(violation) => breach(case, &violation),
        });
    }
    let actor = Actor::User(user.clone());
    untracked(inner, case, room, &actor, &[(Capability::ADD_OWN_CLIENT, None)], 0)
}

/// Decides a report of abuse of one of our users. Whoever is to leave the room may still report what was said there.
pub(in super::super) fn report(
    inner: &Inner,
    case: &Case<'_>,
    user: &UserUri,
    room: &RoomUri,
    report: &AbuseReport,
) -> Result<Decision, GatewayError> {
    let actor = Actor::User(user.clone());
    if let Some(tracked) = inner.tracked(room)? {
        let source = user.domain();
        // One without a name is decided by the role of the user who hands it in here.
        let named = AbuseReport { reporter: Some(user.clone()), messages: Vec::new(), ..report.clone() };
        let question = report::question(&tracked, &actor, &named, &source, case);
        return Ok(case.decide(&inner.policy.active(), &[question]));
    }
    untracked(inner, case, room, &actor, &[(Capability::REPORT_ABUSE, Some(report.alleged.clone()))], 0)
}

/// `None` when the tracked group cannot tell: the commit is of another epoch, or cites what has not come here yet. The
/// hub can.
fn commit(
    inner: &Inner,
    case: &Case<'_>,
    user: &UserUri,
    tracked: &Hosted,
    commit: &MlsMessage,
) -> Result<Option<Judged>, GatewayError> {
    let inspect = || tracked.group.inspect_fanned_out(commit, case.now);
    let change = match tracing::info_span!("mls.inspect").in_scope(inspect) {
        Ok(staged) => staged.into_parts().0,
        Err(error) => return Ok(refused(case, &error)),
    };
    if change.sender.user() != user {
        return Err(GatewayError::WrongIdentity);
    }
    let added = change.parts.iter().filter(|part| part.reference.is_none());
    if let Some(refusal) = added::unclaimed(inner, Side::Follower, case, added)? {
        return Ok(Some(refusal.into()));
    }
    let newcomer = change.joiner().is_some_and(|leaf| !tracked.state.is_listed(&leaf.user));
    let out = if newcomer {
        envelope::lies_out(&inner.policy.active(), case, &change.after)
    } else {
        further_out(inner, case, &change)
    };
    if let Some(refusal) = out {
        return Ok(Some(refusal.into()));
    }
    // Whether a joining code is good only the hub knows.
    let role = |user| RoomState::read(&change.after).map_or(0, |room| room.role_of(user));
    let admission = change.joiner().and_then(|leaf| Admission::on_trust(&tracked.state, leaf, role(&leaf.user)).ok());
    let read = || room::actions(&change, &tracked.state, admission.as_ref());
    Ok(Some(match tracing::info_span!("room.actions").in_scope(read) {
        Ok(all) => committed(inner, case, tracked, &all.actions),
        Err(violation) => violated(case, &violation),
    }))
}

/// The refusal of a commit that leads a room out of the envelope, or further out. What lay outside already keeps nobody from
/// mending it, from taking others out or from upkeep.
fn further_out(inner: &Inner, case: &Case<'_>, change: &Change) -> Option<Decision> {
    if change.parts.iter().all(takes_out_or_renews) {
        return None;
    }
    envelope::leads_out(&inner.policy.active(), case, &change.before, &change.after)
}

fn takes_out_or_renews(part: &Part) -> bool {
    matches!(part.effect, Effect::Remove { .. } | Effect::SelfRemove { .. } | Effect::Update { .. })
}

/// What a commit does, what it cites included: all of that is decided when the hub fans it out, so that what may not come
/// in does not go out either.
fn committed(inner: &Inner, case: &Case<'_>, tracked: &Hosted, all: &[Action]) -> Judged {
    let (hub, group) = (tracked.room.domain(), (tracked.view().suite, tracked.view().epoch));
    let source = |action: &Action| if action.reference.is_some() { &hub } else { &case.peer };
    let questions: Vec<Question<'_>> =
        all.iter().map(|action| question(&tracked.facts, action, group, source(action), case.now)).collect();
    let (decision, allowed) = case.decide_each(&inner.policy.active(), &questions);
    let denied: Vec<&Action> =
        all.iter().zip(allowed).filter(|(_, allowed)| !allowed).map(|(action, _)| action).collect();
    let references: BTreeSet<Vec<u8>> = denied.iter().filter_map(|action| action.reference.clone()).collect();
    if decision.allow || !denied.iter().all(|action| action.reference.is_some()) {
        return decision.into();
    }
    // The client may leave them out and commit again.
    let description = decision.description();
    let refusal = UpdateResponse::InvalidProposal { description, references: references.into_iter().collect() };
    Judged { decision, refusal }
}

fn proposals_of(
    inner: &Inner,
    case: &Case<'_>,
    user: &UserUri,
    tracked: &Hosted,
    proposed: Result<Proposed, HandshakeError>,
) -> Result<Option<Judged>, GatewayError> {
    let proposed = match proposed {
        Ok(proposed) => proposed,
        Err(error) => return Ok(refused(case, &error)),
    };
    if proposed.user() != user {
        return Err(GatewayError::WrongIdentity);
    }
    if let Some(refusal) = added::unclaimed(inner, Side::Follower, case, proposed.parts.iter())? {
        return Ok(Some(refusal.into()));
    }
    let pending = tracked.group.pending();
    let read = || room::proposed_actions(tracked.view(), &tracked.state, &pending, &proposed.parts);
    Ok(Some(match tracing::info_span!("room.actions").in_scope(read) {
        Ok(prospect) => {
            let takes_out = proposed.parts.iter().all(takes_out_or_renews);
            let out = || envelope::leads_out(&inner.policy.active(), case, tracked.view(), &prospect.after);
            match if takes_out { None } else { out() } {
                Some(refusal) => refusal.into(),
                None => actions(inner, case, tracked, prospect.actions.iter()).into(),
            }
        }
        Err(violation) => violated(case, &violation),
    }))
}

fn actions<'a>(
    inner: &Inner,
    case: &Case<'_>,
    tracked: &Hosted,
    actions: impl Iterator<Item = &'a Action>,
) -> Decision {
    let group = (tracked.view().suite, tracked.view().epoch);
    let questions: Vec<Question<'_>> =
        actions.map(|action| question(&tracked.facts, action, group, &case.peer, case.now)).collect();
    case.decide(&inner.policy.active(), &questions)
}

/// By room, host, user, size and what is imposed on the room only.
fn untracked(
    inner: &Inner,
    case: &Case<'_>,
    room: &RoomUri,
    actor: &Actor,
    actions: &[(Capability, Option<UserUri>)],
    message_bytes: u64,
) -> Result<Decision, GatewayError> {
    let imposed = inner.store.read(|conn| restrictions::restrictions(conn, room))?;
    let facts = bare_facts(room, Side::Follower, &imposed);
    let questions: Vec<Question<'_>> = actions
        .iter()
        .map(|(capability, target)| {
            let asked = bare_question(&facts, actor, (*capability, target.as_ref()), &case.peer, case.now);
            Question { message_bytes, ..asked }
        })
        .collect();
    Ok(case.decide(&inner.policy.active(), &questions))
}

/// A refusal as the hub would give it; `None` where only the hub can tell.
fn refused(case: &Case<'_>, error: &HandshakeError) -> Option<Judged> {
    match error {
        HandshakeError::WrongEpoch { .. } => return None,
        HandshakeError::InvalidProposals { check: CheckId::Citations | CheckId::Standalone, .. }
        | HandshakeError::NotAllowed { check: CheckId::Citations } => return None,
        HandshakeError::InvalidProposals { .. } | HandshakeError::NotAllowed { .. } => {}
    }
    let decision = case.refuse(error.code(), format!("mls.{}", error.reason()), json!({}));
    let description = decision.description();
    let refusal = match error {
        HandshakeError::InvalidProposals { references, .. } => {
            UpdateResponse::InvalidProposal { description, references: references.clone() }
        }
        HandshakeError::WrongEpoch { .. } | HandshakeError::NotAllowed { .. } => {
            UpdateResponse::NotAllowed { description }
        }
    };
    Some(Judged { decision, refusal })
}

fn violated(case: &Case<'_>, violation: &Violation) -> Judged {
    let decision = breach(case, violation);
    let description = decision.description();
    let refusal = if violation.is_invalid_proposal() {
        let references = violation.reference().map(<[u8]>::to_vec).into_iter().collect();
        UpdateResponse::InvalidProposal { description, references }
    } else {
        UpdateResponse::NotAllowed { description }
    };
    Judged { decision, refusal }
}

fn breach(case: &Case<'_>, violation: &Violation) -> Decision {
    let capability = violation.capability().map(|capability| capability.to_string());
    let detail = json!({ "user": violation.user(), "capability": capability });
    case.refuse(violation.code(), format!("room.{}", violation.code()), detail)
}

/// Why a user of ours does nothing in a room of another hub but leave it: we want our users out, or it is no user of ours
/// any longer.
fn withheld(inner: &Inner, case: &Case<'_>, room: &RoomUri, user: &UserUri) -> Result<Option<Decision>, GatewayError> {
    let gone = Restriction::Deprovisioned(user.clone());
    let (known, gone) = inner.store.read(|conn| {
        let gone = restrictions::is_in_force(conn, &Place::Everywhere, &gone)?;
        Ok::<_, StoreError>((follower::room(conn, room)?, gone))
    })?;
    let leaving = known.is_some_and(|known| known.progress.standing == Standing::Leaving);
    let why = if leaving { Some("room_is_being_left") } else { gone.then_some("user_is_deregistered") };
    Ok(why.map(|why| case.refuse("not_allowed", why, json!({}))))
}

/// Whether a request does nothing but take its own user out of the room.
fn only_leaves(request: &UpdateRequest, outline: &Outline) -> bool {
    let leaving = |(capability, _): &(Capability, Option<UserUri>)| {
        [Capability::REMOVE_SELF, Capability::REMOVE_PARTICIPANT].contains(capability)
    };
    let goes = |(capability, _): &(Capability, Option<UserUri>)| *capability == Capability::REMOVE_SELF;
    matches!(request, UpdateRequest::Proposals(_))
        && outline.actions.iter().all(leaving)
        && outline.actions.iter().any(goes)
}
