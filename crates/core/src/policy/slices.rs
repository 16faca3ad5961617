//! Entities that were put together before. What describes a question's actor, target, source and room depends on nothing
//! but the bundle and the [`Key`]; most questions of a room differ in time, epoch and size only.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{Entities, EntityUid, RestrictedExpression};
use lru::LruCache;

use crate::time::Millis;
use crate::wire::components::Capability;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::entities::{FactsError, datetime};
use super::facts::{Question, RoleFacts, RoomFacts};

/// How many are kept; one takes some ten kilobytes.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Everything that the entities of a question are made from, beside the bundle.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    room: RoomUri,
    capability: Capability,
    pub(super) actor: UserUri,
    target: Option<UserUri>,
    source: Domain,
    to_role: u32,
    frozen: bool,
    legal_hold: bool,
    /// Of the actor and the target: whether it is muted, whether it is barred, and its role.
    standing: [(bool, bool, Option<u32>); 2],
    /// Role 0 and those that the question names; `None` where no roles are known.
    roles: Option<Vec<Arc<RoleFacts>>>,
}

impl Key {
    pub(super) fn of(question: &Question<'_>) -> Self {
        let RoomFacts { room, roles, muted, barred, frozen, legal_hold, side: _ } = question.room;
        let actor = question.actor.uri();
        let standing = [Some(&actor), question.target].map(|user| {
            let role = user.zip(roles.as_ref()).and_then(|(user, known)| known.participants.get(user).copied());
            let marked = user.map(|user| (muted.contains(user), barred.contains(user))).unwrap_or_default();
            (marked.0, marked.1, role)
        });
        let named = [Some(0), Some(question.to_role), standing[0].2, standing[1].2];
        let roles = roles
            .as_ref()
            .map(|known| known.roles.iter().filter(|role| named.contains(&Some(role.index))).cloned().collect());
        Self {
            room: room.clone(),
            capability: question.capability,
            actor,
            target: question.target.cloned(),
            source: question.source.clone(),
            to_role: question.to_role,
            frozen: *frozen,
            legal_hold: *legal_hold,
            standing,
            roles,
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

/// What the latest questions were made of, for one bundle.
pub(super) struct Slices {
    described: Mutex<LruCache<Key, Arc<Described>>>,
    /// A second since the UNIX epoch and how Cedar writes it, which takes it longer than to evaluate most policies.
    moment: Mutex<Option<(u64, RestrictedExpression)>>,
}

impl Slices {
    /// What was kept under `key`, or what `describe` makes of it.
    pub(super) fn get_or(
        &self,
        key: Key,
        describe: impl FnOnce(&Key) -> Result<Described, FactsError>,
    ) -> Result<Arc<Described>, FactsError> {
        let kept = || self.described.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(described) = kept().get(&key) {
            return Ok(Arc::clone(described));
        }
        let described = Arc::new(describe(&key)?);
        kept().put(key, Arc::clone(&described));
        Ok(described)
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

impl Default for Slices {
    fn default() -> Self {
        Self { described: Mutex::new(LruCache::new(KEPT)), moment: Mutex::default() }
    }
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Slices")
    }
}
