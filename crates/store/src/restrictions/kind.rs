use data_encoding::HEXLOWER;
use portcullis_core::mls::Leaf;
use portcullis_core::wire::uri::{ClientUri, Domain, UserUri};

use crate::StoreError;
use crate::convert::{client, domain, user};

/// The last of the numbers that stand for what is imposed.
const LAST_KIND: i32 = 9;

/// One leaf of a client, by its signature key: with another key the client may be in the group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoneLeaf {
    client: ClientUri,
    key: Vec<u8>,
    /// Both, as they stand in the database; a client identifier has no `#`.
    name: String,
}

impl GoneLeaf {
    /// The leaf of `client` with this signature key.
    pub fn new(client: ClientUri, key: Vec<u8>) -> Self {
        let name = format!("{client}#{}", HEXLOWER.encode(&key));
        Self { client, key, name }
    }

    /// The client.
    pub fn client(&self) -> &ClientUri {
        &self.client
    }

    /// Its signature public key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether it is this leaf.
    pub fn is(&self, leaf: &Leaf) -> bool {
        self.key == leaf.signature_key && self.client == leaf.client
    }

    fn parse(stored: &str) -> Result<Self, StoreError> {
        let (of, key) = stored.rsplit_once('#').ok_or(StoreError::Corrupt("leaf"))?;
        let key = HEXLOWER.decode(key.as_bytes()).map_err(|_| StoreError::Corrupt("leaf"))?;
        Ok(Self::new(client(of)?, key))
    }
}

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
    /// This client is gone until it is registered again: its user has lost it, or its provider has deleted it. It stands in
    /// no room; what stands there is [`Self::Leaf`].
    Device(ClientUri),
    /// This leaf goes: its client was deleted, or came back with another key.
    Leaf(GoneLeaf),
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
            Self::Leaf(_) => "leaf",
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
            Self::Leaf(leaf) => &leaf.name,
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
            | Self::Leaf(_)
            | Self::Provider(_)
            | Self::Deprovisioned(_) => true,
            Self::Freeze | Self::LegalHold | Self::Mute(_) => false,
        }
    }

    /// Whether the client in `leaf` is to go.
    pub fn takes_out(&self, leaf: &Leaf) -> bool {
        match self {
            Self::Leaf(gone) => gone.is(leaf),
            Self::Device(gone) => *gone == leaf.client,
            Self::Ban(_) | Self::Removal(_) | Self::Kick(_) | Self::Provider(_) | Self::Deprovisioned(_) => {
                self.ends_rights_of(&leaf.user)
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
            Self::Freeze | Self::LegalHold | Self::Mute(_) | Self::Device(_) | Self::Leaf(_) => false,
        }
    }

    /// Whether a client of `user` may be among those that are to go.
    pub fn concerns(&self, user: &UserUri) -> bool {
        match self {
            Self::Leaf(gone) => gone.client.user().as_ref() == Some(user),
            Self::Device(gone) => gone.user().as_ref() == Some(user),
            _ => self.ends_rights_of(user),
        }
    }

    /// Whether it has served its purpose once the clients are out.
    pub(super) fn ends_with_commit(&self) -> bool {
        matches!(self, Self::Kick(_) | Self::Leaf(_))
    }

    /// Whether it disturbs single rooms only, in which it stands in rows of their own: it is about one of our own clients
    /// or users, whoever causes it can do so again and again, and what is not registered nobody can bring in.
    pub(super) fn stands_in_rooms(&self) -> bool {
        matches!(self, Self::Device(_) | Self::Deprovisioned(_))
    }

    /// The restriction of this [`Self::name`] and [`Self::subject`]; `None` when there is none.
    pub fn named(name: &str, subject: &str) -> Option<Self> {
        let mut all = (0..=LAST_KIND).filter_map(|kind| Self::from_key(kind, subject).ok());
        all.find(|restriction| restriction.name() == name && restriction.subject() == subject)
    }

    /// Its number, and its subject, as they stand in the database.
    pub(crate) fn key(&self) -> (i32, &str) {
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
            Self::Leaf(_) => LAST_KIND,
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
            LAST_KIND => Self::Leaf(GoneLeaf::parse(subject)?),
            _ => return Err(StoreError::Corrupt("restriction")),
        })
    }
}
