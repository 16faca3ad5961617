//! The roles of rooms, kept before a record names them.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use portcullis_core::policy::RoleSet;
use portcullis_store::{Tx, role_sets};

use super::{GatewayError, Inner};

/// How many names of kept roles are remembered: most rooms have the roles of a template.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Names of roles that are in the database.
pub(super) struct KeptRoles(Mutex<LruCache<String, ()>>);

impl Default for KeptRoles {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Inner {
    /// Keeps roles that this process has not kept yet. Blocks on the database then.
    pub(super) fn keep_roles(&self, roles: &RoleSet) -> Result<(), GatewayError> {
        let remembered = || self.kept_roles.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered().get(roles.id()).is_some() {
            return Ok(());
        }
        let (id, content) = (roles.id().to_owned(), roles.encode());
        self.store.write("roles", move |tx: &mut Tx<'_>| role_sets::put(tx, &id, &content))?;
        remembered().put(roles.id().to_owned(), ());
        Ok(())
    }
}
