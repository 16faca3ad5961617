//! preauth_list: who may join without being added (draft-ietf-mimi-room-policy).

use tls_codec::{TlsDeserialize, TlsSerialize, TlsSize};

use crate::wire::{DecodeError, Wire, codec, wire};

use super::{Component, ComponentId, Role, RolesList};

/// `PreAuthData`. The first entry that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct PreauthList {
    /// In order of precedence.
    pub entries: Vec<PreauthEntry>,
}

/// `PreAuthRoleEntry`.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct PreauthEntry {
    /// All of them must hold.
    pub claims: Vec<Claim>,
    /// The role its holder gets (reading P-3).
    pub target_role_index: u32,
}

/// Something that a credential must say.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
pub struct Claim {
    /// The credential type.
    pub credential_type: u16,
    /// Which attribute: for X.509 the DER of an object identifier's body.
    #[tls_codec(with = "codec::opaque")]
    pub id: Vec<u8>,
    /// The value it must have.
    #[tls_codec(with = "codec::opaque")]
    pub value: Vec<u8>,
}

/// The draft's literal struct, which repeats the whole role.
#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
struct LiteralPreauthList {
    entries: Vec<LiteralPreauthEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize)]
struct LiteralPreauthEntry {
    claims: Vec<Claim>,
    target_role: Role,
}

impl PreauthList {
    /// Decodes the component as it stands beside `roles`: with role indexes, or with whole roles that stand in `roles`
    /// exactly so (reading P-3).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] of the form with indexes when the bytes are neither.
    pub fn decode_beside(bytes: &[u8], roles: &RolesList) -> Result<Self, DecodeError> {
        Self::decode(bytes).or_else(|error| {
            let literal = LiteralPreauthList::decode(bytes).map_err(|_| error.clone())?;
            let entry = |entry: LiteralPreauthEntry| {
                let known = roles.roles.contains(&entry.target_role);
                known.then_some(PreauthEntry { claims: entry.claims, target_role_index: entry.target_role.role_index })
            };
            literal.entries.into_iter().map(entry).collect::<Option<_>>().map(|entries| Self { entries }).ok_or(error)
        })
    }
}

impl Component for PreauthList {
    const ID: ComponentId = ComponentId::PREAUTH_LIST;
}

wire!(PreauthList, LiteralPreauthList);

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Role {
        Role {
            role_index: 7,
            name: name.into(),
            description: String::new(),
            capabilities: Vec::new(),
            min_participants: 0,
            max_participants: None,
            min_active: 0,
            max_active: None,
            authorized_role_changes: Vec::new(),
        }
    }

    #[test]
    fn a_whole_role_stands_for_its_index_only_where_the_room_has_it_exactly_so() {
        let claims = vec![Claim { credential_type: 2, id: vec![1], value: vec![2] }];
        let literal = LiteralPreauthList {
            entries: vec![LiteralPreauthEntry { claims: claims.clone(), target_role: role("guest") }],
        };
        let by_index = PreauthList { entries: vec![PreauthEntry { claims, target_role_index: 7 }] };
        let guests = RolesList { roles: vec![role("guest")] };
        let others = RolesList { roles: vec![role("host")] };
        assert_eq!(PreauthList::decode_beside(&literal.encode(), &guests), Ok(by_index.clone()));
        assert!(PreauthList::decode_beside(&literal.encode(), &others).is_err());
        assert_eq!(PreauthList::decode_beside(&by_index.encode(), &others), Ok(by_index));
    }
}
