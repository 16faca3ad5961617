//! What was found out before about questions like one. What describes a question's actor, target, source and room, and what
//! policies say of it that read neither time nor epoch nor size, depends on nothing but the bundle and the [`Key`].

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{Entities, EntityUid, RestrictedExpression};
use lru::LruCache;

use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::entities::{FactsError, datetime};
use super::facts::{Question, RoleFacts, RoomFacts, Side};
use super::index::Findings;
use super::people::Person;
use super::reads::Reads;
use super::settings::Directory;

/// How many are kept; one takes some ten kilobytes.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Everything that a question is made from beside the bundle and who is suspended, but for time, epoch and size.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    side: Side,
    room: RoomUri,
    capability: Capability,
    pub(super) actor: UserUri,
    target: Option<UserUri>,
    source: Domain,
    from_role: u32,
    to_role: u32,
    suite: u16,
    /// As a question has them: authorized, alternative, preauthorized, external.
    flags: [bool; 4],
    frozen: bool,
    legal_hold: bool,
    /// Of the actor and the target: whether it is muted, whether it is barred, and its role.
    standing: [(bool, bool, Option<u32>); 2],
    /// Role 0 and those that the question names; `None` where no roles are known.
    roles: Option<Vec<Arc<RoleFacts>>>,
    /// Of the actor and the target: what the company's identity provider says.
    people: [Option<Person>; 2],
}

impl Key {
    pub(super) fn of(question: &Question<'_>, directory: &Directory) -> Self {
        let Question {
            room: RoomFacts { room, side, roles, muted, barred, frozen, legal_hold },
            actor,
            capability,
            target,
            from_role,
            to_role,
            transition_authorized,
            alternative_granted,
            preauthorized,
            external,
            suite,
            epoch: _,
            message_bytes: _,
            source,
            now: _,
        } = *question;
        let actor = actor.uri();
        let standing = [Some(&actor), target].map(|user| {
            let role = user.zip(roles.as_ref()).and_then(|(user, known)| known.participants.get(user).copied());
            let marked = user.map(|user| (muted.contains(user), barred.contains(user))).unwrap_or_default();
            (marked.0, marked.1, role)
        });
        let named = [Some(0), Some(to_role), standing[0].2, standing[1].2];
        let roles = roles
            .as_ref()
            .map(|known| known.roles.iter().filter(|role| named.contains(&Some(role.index))).cloned().collect());
        let people = [Some(&actor), target].map(|user| directory.person(user?).cloned());
        Self {
            side: *side,
            room: room.clone(),
            capability,
            actor,
            target: target.cloned(),
            source: source.clone(),
            from_role,
            to_role,
            suite,
            flags: [transition_authorized, alternative_granted, preauthorized, external],
            frozen: *frozen,
            legal_hold: *legal_hold,
            standing,
            roles,
            people,
        }
    }
}

/// The entities of a question, and those of them that the request names.
pub(super) struct Described {
    pub(super) principal: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) source: EntityUid,
    pub(super) target: Option<EntityUid>,
    pub(super) granted: Option<EntityUid>,
    pub(super) entities: Arc<Entities>,
}

/// What is the same for all questions with one key.
pub(super) struct Settled {
    pub(super) described: Described,
    /// What the policies say that read nothing else.
    pub(super) findings: Findings,
    /// What the obligations say that read nothing else.
    pub(super) owed: Findings,
    /// What the others read of the context.
    pub(super) reads: Reads,
}

/// What was found out about the latest questions, for one bundle.
pub(super) struct Slices {
    settled: Mutex<LruCache<Key, Arc<Settled>>>,
    /// A second since the UNIX epoch and how Cedar writes it, which takes it longer than to evaluate most policies.
    moment: Mutex<Option<(u64, RestrictedExpression)>>,
}

impl Slices {
    /// What was kept under `key`, or what `settle` makes of it.
    pub(super) fn get_or(
        &self,
        key: Key,
        settle: impl FnOnce(&Key) -> Result<Settled, FactsError>,
    ) -> Result<Arc<Settled>, FactsError> {
        let kept = || self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settled) = kept().get(&key) {
            return Ok(Arc::clone(settled));
        }
        let settled = Arc::new(settle(&key)?);
        kept().put(key, Arc::clone(&settled));
        Ok(settled)
    }

    /// The time of a question.
    pub(super) fn moment(&self, now: Millis) -> Result<RestrictedExpression, FactsError> {
        let second = now.0 / 1000;
        let mut kept = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((at, written)) if *at == second => Ok(written.clone()),
            _ => {
                let written = datetime(now)?;
                *kept = Some((second, written.clone()));
                Ok(written)
            }
        }
    }
}

impl Slices {
    /// For so many questions.
    pub(super) fn keeping(count: NonZeroUsize) -> Self {
        Self { settled: Mutex::new(LruCache::new(count)), moment: Mutex::default() }
    }

    /// How many questions there is room for.
    pub(super) fn room(&self) -> NonZeroUsize {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).cap()
    }
}

impl Default for Slices {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Slices")
    }
}
