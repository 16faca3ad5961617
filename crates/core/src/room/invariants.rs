//! What must hold for a commit as a whole, whoever makes it. The numbers are those of the invariants in the
//! documentation of the room policy; 1 is checked where list operations are collected, 9 in `parent.rs` by who knows the
//! parent, and that 8 has one room for the same users by the hub.

use std::collections::BTreeSet;

use itertools::{EitherOrBoth, Itertools as _};

use crate::mls::{Effect, GroupView, Part};
use crate::wire::components::{ComponentId, Conditional, LoggingPolicy, Role};
use crate::wire::uri::{ClientUri, UserUri};

use super::operations::Operations;
use super::state::{BANNED, Counts, Leaves, UNLISTED};
use super::{Breach, RoomState, Violation, capable};

/// The policy components that a base policy lists (reading P-19). It may list itself.
const POLICIES: std::ops::RangeInclusive<ComponentId> =
    ComponentId::MLS_OPERATIONAL_POLICY..=ComponentId::MESSAGE_EXPIRATION_POLICY;

/// Checks the invariants that a change from `before` to `post` could break.
pub(super) fn check(
    parts: &[Part],
    operations: &Operations,
    before: &RoomState,
    post: &RoomState,
    after: &GroupView,
) -> Result<(), Violation> {
    separate_updates(operations)?;
    list_as_resolved(operations, before, post)?;
    removed_without_clients(operations, post)?;
    clients_belong(post)?;
    role_counts(operations, before, post)?;
    totals(before, post)?;
    fixed_membership(operations, before)?;
    pseudonyms(post)?;
    policy_components(post, after)?;
    key_package_lifetimes(parts, before, post)?;
    logged(operations, before, post, after)?;
    last_client(post, after)
}

/// What must hold for a room that starts.
pub(super) fn check_founding(post: &RoomState, view: &GroupView) -> Result<(), Violation> {
    clients_belong(post)?;
    gained_counts(post.participants().keys(), None, post, &post.counts())?;
    limits(post, true, true, |_| true)?;
    pseudonyms(post)?;
    if let Some(user) = unlogged(post, view)?.first() {
        return Err(Violation::from(Breach::NotLogged).about(user));
    }
    capable::check_founding(post, view)?;
    policy_components(post, view)
}

/// 2: role definitions change alone, the preauth list beside removals only.
fn separate_updates(operations: &Operations) -> Result<(), Violation> {
    for change in &operations.components {
        let (breach, other) = match change.id {
            ComponentId::ROLES_LIST => (Breach::RolesWithList, operations.list.values().next()),
            ComponentId::PREAUTH_LIST => {
                (Breach::PreauthWithList, operations.list.values().find(|operation| operation.to != UNLISTED))
            }
            _ => continue,
        };
        if let Some(operation) = other {
            return Err(change.origin.violation(breach).about(&operation.user));
        }
    }
    Ok(())
}

/// The list after the change is the list before it with the operations applied, and nothing else.
fn list_as_resolved(operations: &Operations, before: &RoomState, post: &RoomState) -> Result<(), Violation> {
    let unexpected = |user: &UserUri| Err(Violation::from(Breach::Malformed).about(user));
    for operation in operations.list.values() {
        if post.role_of(&operation.user) != operation.to {
            return unexpected(&operation.user);
        }
    }
    if before.shares_list(post) {
        return Ok(());
    }
    let untouched = |(user, _): &(&UserUri, &u32)| !operations.list.contains_key(*user);
    let mut stays = before.participants().iter().filter(untouched);
    let mut stand = post.participants().iter().filter(untouched);
    loop {
        match (stays.next(), stand.next()) {
            (None, None) => return Ok(()),
            (left, right) if left == right => {}
            (Some((user, _)), _) | (None, Some((user, _))) => return unexpected(user),
        }
    }
}

/// 4: who is removed or banned has no client left.
fn removed_without_clients(operations: &Operations, post: &RoomState) -> Result<(), Violation> {
    let out = operations.list.values().find(|operation| {
        (operation.to == UNLISTED || post.is_banned(&operation.user)) && post.is_active(&operation.user)
    });
    match out {
        Some(operation) => Err(operation.origin.violation(Breach::ClientsRemain).about(&operation.user)),
        None => Ok(()),
    }
}

/// 3: every client's user is listed, not banned, and in a role that may have clients.
fn clients_belong(post: &RoomState) -> Result<(), Violation> {
    // Both are in the order of users, and rooms have thousands.
    let participants = post.participants().iter();
    for found in post.clients().keys().merge_join_by(participants, |user, (listed, _)| (*user).cmp(*listed)) {
        let (user, role) = match found {
            EitherOrBoth::Both(user, (_, role)) => (user, Some(*role)),
            EitherOrBoth::Left(user) => (user, None),
            EitherOrBoth::Right(_) => continue,
        };
        let breach = match role {
            None => Breach::UnlistedClient,
            Some(BANNED) if post.has_banned_role() => Breach::BannedClient,
            Some(role) if post.roles().get(&role).is_some_and(|role| role.max_active == Some(0)) => Breach::MaxActive,
            Some(_) => continue,
        };
        return Err(Violation::from(breach).about(user));
    }
    Ok(())
}

/// 6: minima for roles that lose somebody, maxima for roles that gain somebody (reading P-16), so that a room that is
/// off its numbers already can still be changed.
fn role_counts(operations: &Operations, before: &RoomState, post: &RoomState) -> Result<(), Violation> {
    let mut moved: BTreeSet<&UserUri> = operations.list.keys().collect();
    if !before.shares_clients(post) {
        let active = before.clients().keys().merge_join_by(post.clients().keys(), Ord::cmp);
        moved.extend(active.filter_map(|found| match found {
            EitherOrBoth::Left(user) | EitherOrBoth::Right(user) => Some(user),
            EitherOrBoth::Both(..) => None,
        }));
    }
    if moved.is_empty() {
        return Ok(());
    }
    let counts = post.counts();
    for user in &moved {
        let Some(role) = before.participants().get(*user) else { continue };
        let Some(definition) = post.roles().get(role) else { continue };
        let (listed, active) = counts.of(*role);
        let left = post.role_of(user) != *role;
        if left && below(listed, definition.min_participants) {
            return Err(Violation::from(Breach::MinParticipants).about(user));
        }
        let stopped = before.is_active(user) && (left || !post.is_active(user));
        if stopped && below(active, definition.min_active) {
            return Err(Violation::from(Breach::MinActive).about(user));
        }
    }
    gained_counts(moved.into_iter(), Some(before), post, &counts)
}

fn gained_counts<'a>(
    users: impl Iterator<Item = &'a UserUri>,
    before: Option<&RoomState>,
    post: &RoomState,
    counts: &Counts,
) -> Result<(), Violation> {
    for user in users {
        let Some(role) = post.participants().get(user) else { continue };
        let Some(Role { max_participants, max_active, .. }) = post.roles().get(role) else { continue };
        let (listed, active) = counts.of(*role);
        let came = before.and_then(|before| before.participants().get(user)) != Some(role);
        if came && above(listed, *max_participants) {
            return Err(Violation::from(Breach::MaxParticipants).about(user));
        }
        let was_active = before.is_some_and(|before| before.is_active(user));
        if post.is_active(user) && (came || !was_active) && above(active, *max_active) {
            return Err(Violation::from(Breach::MaxActive).about(user));
        }
    }
    Ok(())
}

/// 7: the limits of the base policy, for what grows; for everything when the base policy itself changes.
fn totals(before: &RoomState, post: &RoomState) -> Result<(), Violation> {
    let anew = before.base_policy() != post.base_policy();
    limits(
        post,
        anew || post.client_count() > before.client_count(),
        anew || post.user_count() > before.user_count(),
        |user| anew || clients_of(post, user) > clients_of(before, user),
    )
}

fn limits(
    post: &RoomState,
    check_clients: bool,
    check_users: bool,
    check_user: impl Fn(&UserUri) -> bool,
) -> Result<(), Violation> {
    let base = post.base_policy();
    if check_clients && above(post.client_count(), base.max_clients) {
        return Err(Breach::MaxClients.into());
    }
    if check_users && above(post.user_count(), base.max_users) {
        return Err(Breach::MaxUsers.into());
    }
    if base.multi_device {
        return Ok(());
    }
    let second = post.clients().iter().find(|(user, leaves)| leaves.len() > 1 && check_user(user));
    second.map_or(Ok(()), |(user, _)| Err(Violation::from(Breach::SecondClient).about(user)))
}

/// 8: in a fixed room nobody comes or goes; own clients may.
fn fixed_membership(operations: &Operations, before: &RoomState) -> Result<(), Violation> {
    if !before.base_policy().fixed_membership {
        return Ok(());
    }
    let crosses = operations.list.values().find(|operation| {
        let outside = |role| role == UNLISTED || (role == BANNED && before.has_banned_role());
        !operation.user.is_provider() && (outside(operation.from) || operation.to == UNLISTED)
    });
    match crosses {
        Some(operation) => Err(operation.origin.violation(Breach::FixedMembership).about(&operation.user)),
        None => Ok(()),
    }
}

/// 10: pseudonyms only where they are allowed.
fn pseudonyms(post: &RoomState) -> Result<(), Violation> {
    if post.base_policy().pseudonyms_allowed {
        return Ok(());
    }
    let pseudonym = post.participants().keys().find(|user| user.is_pseudonym());
    pseudonym.map_or(Ok(()), |user| Err(Violation::from(Breach::Pseudonym).about(user)))
}

/// 11: the base policy lists the policy components that there are. A room without base policy lists nothing.
fn policy_components(post: &RoomState, after: &GroupView) -> Result<(), Violation> {
    let of_policy = |id: &ComponentId| POLICIES.contains(id) && *id != ComponentId::BASE_ROOM_POLICY;
    let listed: BTreeSet<ComponentId> = post
        .base_policy()
        .policy_component_ids
        .iter()
        .copied()
        .filter(|id| *id != ComponentId::BASE_ROOM_POLICY)
        .collect();
    let present: BTreeSet<ComponentId> = after.components.iter().map(|(id, _)| id).filter(of_policy).collect();
    let has_base = after.components.get(ComponentId::BASE_ROOM_POLICY).is_some();
    if has_base && listed != present { Err(Breach::PolicyComponents.into()) } else { Ok(()) }
}

/// 12: what clients can do is checked in `capable.rs`; KeyPackages live no longer than the room allows.
fn key_package_lifetimes(parts: &[Part], before: &RoomState, post: &RoomState) -> Result<(), Violation> {
    let limit = |room: &RoomState| room.operational().map(|operational| operational.max_key_package_lifetime);
    let Some(longest) = limit(post).or_else(|| limit(before)).filter(|seconds| *seconds != 0) else { return Ok(()) };
    for part in parts {
        if let Effect::Add { user, lifetime_s, .. } = &part.effect
            && *lifetime_s > longest
        {
            let violation = Violation::from(Breach::KeyPackageLifetime);
            return Err(violation.about(user).proposed_as(part.reference.as_ref()));
        }
    }
    Ok(())
}

/// P-23: whoever must log the room is in it, from the moment on that the room says so, and stays. Who was gone already holds up
/// nothing else.
fn logged(operations: &Operations, before: &RoomState, post: &RoomState, after: &GroupView) -> Result<(), Violation> {
    let anew = operations.components.iter().any(|change| change.id == ComponentId::LOGGING_POLICY);
    if !anew && before.shares_clients(post) {
        return Ok(());
    }
    let missing = unlogged(post, after)?.into_iter().find(|user| anew || before.is_active(user));
    missing.map_or(Ok(()), |user| Err(Violation::from(Breach::NotLogged).about(&user)))
}

/// Who must log the room and is not in it.
fn unlogged(post: &RoomState, view: &GroupView) -> Result<Vec<UserUri>, Violation> {
    let policy: Option<LoggingPolicy> = view.components.read().map_err(|_| Breach::Malformed)?;
    let Some(Conditional::Required(terms)) = policy.map(|policy| policy.logging) else { return Ok(Vec::new()) };
    let users = terms.logging_clients.iter().filter_map(|uri| ClientUri::parse(uri).ok()?.user());
    Ok(users.filter(|user| !post.is_active(user)).collect())
}

/// 14: a room that does not persist keeps a client until it is destroyed.
fn last_client(post: &RoomState, after: &GroupView) -> Result<(), Violation> {
    if after.leaves.is_empty() && !post.base_policy().persistent_room { Err(Breach::LastClient.into()) } else { Ok(()) }
}

fn clients_of(room: &RoomState, user: &UserUri) -> usize {
    room.clients().get(user).map_or(0, Leaves::len)
}

fn below(count: usize, min: u32) -> bool {
    u32::try_from(count).is_ok_and(|count| count < min)
}

fn above(count: usize, max: Option<u32>) -> bool {
    max.is_some_and(|max| u32::try_from(count).map_or(true, |count| count > max))
}
