//! Claims of the preauth list (reading P-15).

use crate::wire::components::{Claim, PreauthEntry};
use crate::wire::uri::{ClientUri, Domain, UserUri};

use super::RoomState;

/// Credential type `basic` (RFC 9420, section 17.5).
const BASIC: u16 = 1;
/// The private claim that a whole provider's users fulfil; its value is `mimi://<domain>/*`.
const HOST: &[u8] = b"host";

impl RoomState {
    /// The role that the first matching entry of the preauth list gives to a client with a basic credential.
    ///
    /// Claims about credentials of other types match nobody: only basic credentials are accepted here.
    pub(super) fn preauthorized_role(&self, client: &ClientUri, user: &UserUri) -> Option<u32> {
        self.preauth().entries.iter().find(|entry| matches(entry, client, user)).map(|entry| entry.target_role_index)
    }
}

/// The claim that every user of `provider` fulfils.
pub(super) fn any_user_of(provider: &Domain) -> Claim {
    Claim { credential_type: BASIC, id: HOST.to_vec(), value: format!("mimi://{provider}/*").into_bytes() }
}

/// The provider whose users an entry admits, if it admits them all and nobody else.
pub(super) fn provider_of(entry: &PreauthEntry) -> Option<Domain> {
    let [claim] = entry.claims.as_slice() else { return None };
    let value = std::str::from_utf8(&claim.value).ok()?;
    let provider = Domain::parse(value.strip_prefix("mimi://")?.strip_suffix("/*")?).ok()?;
    (*claim == any_user_of(&provider)).then_some(provider)
}

/// Every claim must match; an entry without claims matches nobody.
fn matches(entry: &PreauthEntry, client: &ClientUri, user: &UserUri) -> bool {
    !entry.claims.is_empty() && entry.claims.iter().all(|claim| fulfils(claim, client, user))
}

fn fulfils(claim: &Claim, client: &ClientUri, user: &UserUri) -> bool {
    claim.credential_type == BASIC
        && match claim.id.as_slice() {
            b"" => claim.value == client.as_bytes(),
            HOST => *claim == any_user_of(&user.domain()),
            _ => false,
        }
}
