use portcullis_core::wire::uri::{ClientUri, Domain, UserUri};

use crate::StoreError;
use crate::convert::{client, domain, user};

/// One thing that can be imposed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restriction {
    /// Nobody may change or write, only leave.
    Freeze,
    /// Nothing of the room may be purged.
    LegalHold,
    /// This user may not write.
    Mute(UserUri),
    /// This user is out, and does not come back until it is unbanned.
    Ban(UserUri),
    /// This user is out until a member has taken it off the participant list; then it may be added again.
    Removal(UserUri),
    /// The clients of this user go; it stays listed, and may come back once they have gone.
    Kick(UserUri),
    /// This client goes: its user has lost it, or its provider has deleted it.
    Device(ClientUri),
    /// All users of this provider are out, as by [`Self::Removal`].
    Provider(Domain),
    /// This user is no user of ours any longer, and out as by [`Self::Removal`].
    Deprovisioned(UserUri),
}

impl Restriction {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::LegalHold => "legal_hold",
            Self::Mute(_) => "mute",
            Self::Ban(_) => "ban",
            Self::Removal(_) => "removal",
            Self::Kick(_) => "kick",
            Self::Device(_) => "device",
            Self::Provider(_) => "provider",
            Self::Deprovisioned(_) => "deprovisioned",
        }
    }

    /// Whom or what it is about; empty for the room as a whole.
    pub fn subject(&self) -> &str {
        match self {
            Self::Freeze | Self::LegalHold => "",
            Self::Mute(user) | Self::Ban(user) | Self::Removal(user) | Self::Kick(user) | Self::Deprovisioned(user) => {
                user.as_str()
            }
            Self::Device(device) => device.as_str(),
            Self::Provider(domain) => domain.as_str(),
        }
    }

    /// Whether it takes clients out of the group.
    pub fn expels(&self) -> bool {
        match self {
            Self::Ban(_)
            | Self::Removal(_)
            | Self::Kick(_)
            | Self::Device(_)
            | Self::Provider(_)
            | Self::Deprovisioned(_) => true,
            Self::Freeze | Self::LegalHold | Self::Mute(_) => false,
        }
    }

    /// Whether the client `device` of `user` is to go.
    pub fn takes_out(&self, device: &ClientUri, user: &UserUri) -> bool {
        match self {
            Self::Device(gone) => gone == device,
            Self::Ban(_) | Self::Removal(_) | Self::Kick(_) | Self::Provider(_) | Self::Deprovisioned(_) => {
                self.ends_rights_of(user)
            }
            Self::Freeze | Self::LegalHold | Self::Mute(_) => false,
        }
    }

    /// Whether `user` has no rights while it is in force.
    pub fn ends_rights_of(&self, user: &UserUri) -> bool {
        match self {
            Self::Ban(barred) | Self::Removal(barred) | Self::Kick(barred) | Self::Deprovisioned(barred) => {
                barred == user
            }
            Self::Provider(domain) => user.domain() == *domain,
            Self::Freeze | Self::LegalHold | Self::Mute(_) | Self::Device(_) => false,
        }
    }

    /// Whether it has served its purpose once the clients are out.
    pub(super) fn ends_with_commit(&self) -> bool {
        matches!(self, Self::Kick(_) | Self::Device(_))
    }

    /// Its number, and its subject, as they stand in the database.
    pub(super) fn key(&self) -> (i32, &str) {
        let kind = match self {
            Self::Freeze => 0,
            Self::LegalHold => 1,
            Self::Mute(_) => 2,
            Self::Ban(_) => 3,
            Self::Removal(_) => 4,
            Self::Kick(_) => 5,
            Self::Device(_) => 6,
            Self::Provider(_) => 7,
            Self::Deprovisioned(_) => 8,
        };
        (kind, self.subject())
    }

    pub(super) fn from_key(kind: i32, subject: &str) -> Result<Self, StoreError> {
        Ok(match kind {
            0 => Self::Freeze,
            1 => Self::LegalHold,
            2 => Self::Mute(user(subject)?),
            3 => Self::Ban(user(subject)?),
            4 => Self::Removal(user(subject)?),
            5 => Self::Kick(user(subject)?),
            6 => Self::Device(client(subject)?),
            7 => Self::Provider(domain(subject)?),
            8 => Self::Deprovisioned(user(subject)?),
            _ => return Err(StoreError::Corrupt("restriction")),
        })
    }
}
