//! Claims of the preauth list (reading P-15).

use crate::identity::credential::Certified;
use crate::identity::x509::SUBJECT_ALT_NAME;
use crate::mls::Leaf;
use crate::wire::components::{Claim, PreauthEntry};
use crate::wire::uri::{ClientUri, Domain, UserUri};

use super::RoomState;

/// Credential types `basic` and `x509` (RFC 9420, section 17.5).
const BASIC: u16 = 1;
const X509: u16 = 2;
/// The private claim that a whole provider's users fulfil; its value is `mimi://<domain>/*`.
const HOST: &[u8] = b"host";

/// A client that wants a role, as its credential says.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The client.
    pub client: &'a ClientUri,
    /// Its user.
    pub user: &'a UserUri,
    /// What its certificate says, if it has one.
    pub certified: &'a [Certified],
}

impl<'a> From<&'a Leaf> for Applicant<'a> {
    fn from(leaf: &'a Leaf) -> Self {
        Self { client: &leaf.client, user: &leaf.user, certified: &leaf.says.certified }
    }
}

impl RoomState {
    /// The role that the first matching entry of the preauth list gives.
    pub(super) fn preauthorized_role(&self, applicant: Applicant<'_>) -> Option<u32> {
        self.preauth().entries.iter().find(|entry| applicant.matches(entry)).map(|entry| entry.target_role_index)
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

impl Applicant<'_> {
    /// Every claim must match; an entry without claims matches nobody. Certificates are the word of the client's own provider,
    /// for nobody verifies their chains: what they say counts where the entry says, too, whose client it is. Any other client
    /// could say the same of itself.
    fn matches(&self, entry: &PreauthEntry) -> bool {
        entry.claims.iter().all(|claim| self.fulfils(claim)) && entry.claims.iter().any(|claim| self.is_named_by(claim))
    }

    fn fulfils(&self, claim: &Claim) -> bool {
        match claim.credential_type {
            BASIC => self.is_named_by(claim),
            X509 => self.certified.iter().any(|said| said.oid == claim.id && said.value == claim.value),
            _ => false,
        }
    }

    /// Whether the claim is about what the client is known by here: its own name, that of its user, or its provider.
    fn is_named_by(&self, claim: &Claim) -> bool {
        match (claim.credential_type, claim.id.as_slice()) {
            (BASIC, b"") => claim.value == self.client.as_bytes(),
            (BASIC, HOST) => *claim == any_user_of(&self.user.domain()),
            (X509, SUBJECT_ALT_NAME) => claim.value == self.client.as_bytes() || claim.value == self.user.as_bytes(),
            _ => false,
        }
    }
}
