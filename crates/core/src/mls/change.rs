//! What a handshake does to a group, in words of MIMI: no type of the MLS library stands here, so that the stages
//! after this one can be read and tested without it.

use std::sync::Arc;

use crate::identity::credential::Certified;
use crate::wire::components::{Component, ComponentId, Dictionary, MediaType};
use crate::wire::uri::{ClientUri, Domain, GroupUri, UserUri};

/// A client in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its leaf index.
    pub index: u32,
    /// The client its credential names.
    pub client: ClientUri,
    /// The user the client belongs to (reading D-7).
    pub user: UserUri,
    /// Its signature public key.
    pub signature_key: Vec<u8>,
    /// What it says of its client. Leaves that say the same share it.
    pub says: Arc<Says>,
}

/// A group as it stands in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub group: GroupUri,
    /// The epoch.
    pub epoch: u64,
    /// Number of the ciphersuite.
    pub suite: u16,
    /// The clients, in ascending order of their leaves. Views of successive epochs share those that stay.
    pub leaves: Vec<Arc<Leaf>>,
    /// The app_data_dictionary of the GroupContext.
    pub components: Dictionary,
}

impl GroupView {
    /// Whether the component `T` is the same in `other`.
    pub(crate) fn same<T: Component>(&self, other: &Self) -> bool {
        self.components.get(T::ID) == other.components.get(T::ID)
    }

    /// Whether in `other` each leaf is of the same user.
    pub(crate) fn same_clients(&self, other: &Self) -> bool {
        self.leaves.len() == other.leaves.len()
            && self
                .leaves
                .iter()
                .zip(&other.leaves)
                .all(|(own, other)| own.index == other.index && own.user == other.user)
    }
}

/// A valid commit: the group before and after it, and why it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The group in the epoch of the commit.
    pub before: GroupView,
    /// The group in the next epoch.
    pub after: GroupView,
    /// Who committed.
    pub sender: Sender,
    /// Every proposal of the commit, in its order.
    pub parts: Vec<Part>,
    /// The whole raw GroupInfo of the next epoch, verified; empty where it is not known, at a follower.
    pub group_info: Vec<u8>,
    /// KeyPackageRefs that the Welcome is for; none where it is not known, at a follower.
    pub welcome_refs: Vec<Vec<u8>>,
    /// ProposalRefs of the pending proposals that the commit cites.
    pub cited: Vec<Vec<u8>>,
}

impl Change {
    /// Whether a client joins that was in the group before: it has lost its state.
    pub fn rejoins(&self) -> bool {
        match &self.sender {
            Sender::Member { .. } => false,
            Sender::Joiner { client, .. } => self.before.leaves.iter().any(|leaf| leaf.client == *client),
        }
    }

    /// The leaf of the client that joins by this commit, if it is an external commit.
    pub fn joiner(&self) -> Option<&Leaf> {
        match &self.sender {
            Sender::Member { .. } => None,
            Sender::Joiner { client, .. } => {
                let of_client = || self.after.leaves.iter().filter(|leaf| leaf.client == *client);
                let known = |key: &Vec<u8>| self.before.leaves.iter().any(|leaf| leaf.signature_key == *key);
                // Its former leaf may still be there; it may also come back with its key, in the place of that leaf.
                let new = of_client().find(|leaf| !known(&leaf.signature_key));
                new.or_else(|| of_client().next()).map(Arc::as_ref)
            }
        }
    }
}

/// Who sent a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A client of the group.
    Member {
        /// Its leaf index.
        leaf: u32,
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
    },
    /// A client that joins by this commit.
    Joiner {
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
    },
}

impl Sender {
    /// The user that committed.
    pub fn user(&self) -> &UserUri {
        match self {
            Self::Member { user, .. } | Self::Joiner { user, .. } => user,
        }
    }
}

/// One proposal, with who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it does.
    pub effect: Effect,
    /// Who made it: for a proposal by value, the sender of the commit.
    pub proposer: Proposer,
    /// Its ProposalRef when it was sent before the commit.
    pub reference: Option<Vec<u8>>,
}

/// Who made a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposer {
    /// A client of the group.
    Member {
        /// Its leaf index.
        leaf: u32,
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
    },
    /// An entry of external_senders.
    ExternalSender {
        /// Its position.
        index: u32,
        /// The provider that its credential names; `None` when it names none.
        domain: Option<Domain>,
    },
    /// A client that is not in the group and wants to be.
    Joiner {
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
    },
}

/// What a proposal does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Adds a client.
    Add {
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
        /// KeyPackageRef of the KeyPackage used.
        key_package_ref: Vec<u8>,
        /// `not_after - not_before` of the KeyPackage, in seconds.
        lifetime_s: u64,
        /// What its leaf says of it.
        says: Arc<Says>,
    },
    /// Removes a client.
    Remove {
        /// Its leaf index.
        leaf: u32,
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
    },
    /// Removes the client that proposes it.
    SelfRemove {
        /// Its leaf index.
        leaf: u32,
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
    },
    /// Renews the leaf of the client that proposes it.
    Update {
        /// Its leaf index.
        leaf: u32,
        /// The client.
        client: ClientUri,
        /// Its user.
        user: UserUri,
        /// What the new leaf says of it.
        says: Arc<Says>,
    },
    /// Changes one component of the GroupContext.
    Component {
        /// Which.
        id: ComponentId,
        /// How.
        operation: ComponentOperation,
    },
    /// Joins by external commit.
    ExternalInit,
    /// Replaces the extensions of the GroupContext.
    GroupContextExtensions,
    /// Ends the group for a successor.
    ReInit,
    /// Mixes in a pre-shared key.
    Psk,
    /// A proposal of another type.
    Other(u16),
}

/// What an AppDataUpdate does to its component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentOperation {
    /// An update in the component's own format.
    Update(Vec<u8>),
    /// The component goes.
    Remove,
}

/// What a leaf says of its client, beside whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// What the client can do.
    pub capabilities: LeafCapabilities,
    /// What the certificate of an x509 credential says; nothing for a basic one.
    pub certified: Vec<Certified>,
}

/// `Capabilities` of a LeafNode (RFC 9420, section 7.2), without the default types that none lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafCapabilities {
    /// Protocol versions.
    pub versions: Vec<u16>,
    /// Ciphersuites.
    pub suites: Vec<u16>,
    /// Extension types.
    pub extensions: Vec<u16>,
    /// Proposal types.
    pub proposals: Vec<u16>,
    /// Credential types.
    pub credentials: Vec<u16>,
    /// Components, by app_components in the leaf's app_data_dictionary (draft-ietf-mls-extensions); `None` where that is not
    /// there.
    pub components: Option<Vec<ComponentId>>,
    /// Components in authenticated data, by safe_aad there.
    pub safe_aad: Option<Vec<ComponentId>>,
    /// Media types of content, by content_media_types there.
    pub media_types: Option<Vec<MediaType>>,
}
