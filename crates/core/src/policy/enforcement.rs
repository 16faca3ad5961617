//! Who can stop what a capability stands for. A gateway that hosts a room sees commits and messages from outside, so what
//! happens inside of a message is stopped by clients or by nobody, whatever a policy says.

use crate::wire::components::Capability;

/// Who can stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enforcement {
    /// This gateway.
    Here,
    /// This gateway, for those whose messages pass through it.
    HereInPart,
    /// The providers that store and serve files.
    Providers,
    /// Clients alone.
    Clients,
    /// Nobody: no message of the protocol asks for it yet.
    Nobody,
}

impl Enforcement {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Here, Self::HereInPart, Self::Providers, Self::Clients, Self::Nobody];

    /// Who can stop what the capability stands for. What the draft does not name gives no right, and so needs nobody.
    ///
    /// Source: draft-ietf-mimi-room-policy, "Role-Based Access Control": of most capabilities it says that other clients
    /// alone can enforce them.
    pub fn of(capability: Capability) -> Self {
        let Capability(number) = capability;
        match number {
            0x000d | 0x000e | 0x0110 | 0x0111 => Self::Nobody,
            0x0000..=0x0011 | 0x0100 | 0x0103 => Self::Here,
            0x0101 => Self::HereInPart,
            0x0102 | 0x0104..=0x010f => Self::Clients,
            0x0200..=0x0207 => Self::Providers,
            0x0208..=0x020b => Self::Clients,
            0x0300..=0x0304 => Self::Here,
            0x0380..=0x0383 | 0x0400..=0x0407 => Self::Clients,
            0x0500..=0x0505 | 0x0600..=0x0605 => Self::Here,
            _ => Self::Nobody,
        }
    }

    /// Whether a deny of this gateway stops it, at least for some.
    pub fn is_here(self) -> bool {
        match self {
            Self::Here | Self::HereInPart => true,
            Self::Providers | Self::Clients | Self::Nobody => false,
        }
    }

    /// As the schema's `@enforcement` spells it.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Here => "hub",
            Self::HereInPart => "hub-in-part",
            Self::Providers => "provider",
            Self::Clients => "client",
            Self::Nobody => "none",
        }
    }

    /// In words, after "enforced by".
    pub fn whom(self) -> &'static str {
        match self {
            Self::Here => "this gateway",
            Self::HereInPart => "this gateway, for those whose messages pass through it",
            Self::Providers => "providers that store files",
            Self::Clients => "clients alone",
            Self::Nobody => "nobody yet",
        }
    }
}
