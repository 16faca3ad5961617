//! The roles of a room, under a name that follows from their content: a record names them, and they are kept once for all
//! rooms that have the same.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use aws_lc_rs::digest;

use super::facts::RoleFacts;
use crate::wire::components::Capability;

/// How many octets of a SHA-256 name roles: enough that nobody finds two sets of one name.
const ID_BYTES: usize = 16;

/// Every role of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSet {
    id: Arc<str>,
    roles: Arc<[Arc<RoleFacts>]>,
}

/// A role as it is kept: number, name, numbers of its capabilities.
type Written = (u32, String, BTreeSet<u16>);

impl RoleSet {
    /// The first half of the SHA-256 of [`Self::encode`], 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The roles as JSON.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.roles)
    }

    /// What [`Self::encode`] gave; `None` for anything else.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let written: Vec<Written> = serde_json::from_slice(encoded).ok()?;
        let role = |(index, name, capabilities): Written| {
            let capabilities = capabilities.into_iter().map(Capability).collect();
            Arc::new(RoleFacts { index, name, capabilities })
        };
        Some(written.into_iter().map(role).collect())
    }
}

fn encode(roles: &[Arc<RoleFacts>]) -> Vec<u8> {
    let written: Vec<(u32, &str, Vec<u16>)> = roles
        .iter()
        .map(|role| (role.index, role.name.as_str(), role.capabilities.iter().map(|capability| capability.0).collect()))
        .collect();
    serde_json::to_vec(&written).unwrap_or_default()
}

impl FromIterator<Arc<RoleFacts>> for RoleSet {
    fn from_iter<T: IntoIterator<Item = Arc<RoleFacts>>>(roles: T) -> Self {
        let roles: Arc<[Arc<RoleFacts>]> = roles.into_iter().collect();
        let digest = digest::digest(&digest::SHA256, &encode(&roles));
        let id: String = digest.as_ref().iter().take(ID_BYTES).map(|octet| format!("{octet:02x}")).collect();
        Self { id: id.into(), roles }
    }
}

impl Default for RoleSet {
    fn default() -> Self {
        [].into_iter().collect()
    }
}

impl Deref for RoleSet {
    type Target = [Arc<RoleFacts>];

    fn deref(&self) -> &Self::Target {
        &self.roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(name: &str) -> RoleSet {
        let capabilities = BTreeSet::from([Capability::SEND_MESSAGE, Capability(0xf001)]);
        let role = |index| Arc::new(RoleFacts { index, name: name.to_owned(), capabilities: capabilities.clone() });
        [0, 2].into_iter().map(role).collect()
    }

    #[test]
    fn roles_are_read_back_as_they_were_kept_and_have_the_same_name() {
        let kept = roles("guest");
        let read = RoleSet::decode(&kept.encode()).unwrap();
        assert_eq!(read, kept);
        assert_eq!(read.id().len(), 32);
        assert_ne!(roles("member").id(), kept.id());
        assert_eq!(RoleSet::decode(b"[[1]]"), None);
    }
}
