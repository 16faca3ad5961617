use std::collections::BTreeSet;

use crate::wire::uri::{Domain, UserUri};

/// Whose rights in a room moderators of the company have ended, whatever the room itself says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Barred {
    /// Single users.
    pub users: BTreeSet<UserUri>,
    /// All users of these providers.
    pub providers: BTreeSet<Domain>,
}

impl Barred {
    /// Whether `user` is among them.
    pub fn contains(&self, user: &UserUri) -> bool {
        self.users.contains(user) || (!self.providers.is_empty() && self.providers.contains(&user.domain()))
    }

    /// Whether there is nobody among them.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.providers.is_empty()
    }
}

impl FromIterator<UserUri> for Barred {
    fn from_iter<T: IntoIterator<Item = UserUri>>(users: T) -> Self {
        Self { users: users.into_iter().collect(), providers: BTreeSet::new() }
    }
}
