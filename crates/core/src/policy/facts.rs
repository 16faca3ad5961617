//! What a decision is about: the question, and what is known of the room.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::consent::Standing;
use crate::room::{Actor, Barred, RoomState};
use crate::time::Millis;
use crate::wire::components::{Capability, Role};
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::{Domain, RoomUri, UserUri};

use super::roles::RoleSet;

mod admin_act;

pub use admin_act::AdminAct;

/// On which side of a room we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The room is ours.
    Hub,
    /// The room is another provider's, and users of ours are in it.
    Follower,
}

/// A role, as far as policy is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// Its number; 0 stands for users who are not listed.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it may do. Capabilities that the draft does not name give no right (reading P-7).
    pub capabilities: BTreeSet<Capability>,
}

/// Its number tells a role from most others; what it may do is compared.
impl Hash for RoleFacts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

/// Who is in a room, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The participant list: user to role.
    pub participants: Arc<BTreeMap<UserUri, u32>>,
    /// Every role of the room.
    pub roles: RoleSet,
}

impl From<&RoomState> for Membership {
    fn from(state: &RoomState) -> Self {
        let role = |role: &Role| {
            Arc::new(RoleFacts {
                index: role.role_index,
                name: role.name.clone(),
                capabilities: role.capabilities.iter().copied().collect(),
            })
        };
        Self { participants: Arc::clone(state.participants()), roles: state.roles().values().map(role).collect() }
    }
}

impl Membership {
    /// The same without the users whose rights have ended before the commit that takes them out (reading D-51).
    pub fn without(mut self, blocked: &BTreeSet<UserUri>) -> Self {
        if !blocked.is_empty() {
            Arc::make_mut(&mut self.participants).retain(|user, _| !blocked.contains(user));
        }
        self
    }
}

/// What is known of a room.
#[derive(Clone, Debug)]
pub struct RoomFacts {
    /// Its identifier.
    pub room: RoomUri,
    /// On which side of it we are.
    pub side: Side,
    /// Participants and roles; `None` for a room of another hub whose group is not tracked (correction C-2), and for
    /// one that is about to be created.
    pub roles: Option<Membership>,
    /// Users whom a moderator has muted.
    pub muted: BTreeSet<UserUri>,
    /// Whose rights a moderator has ended.
    pub barred: Barred,
    /// Whether a moderator has frozen it.
    pub frozen: bool,
    /// Whether it stands under legal hold.
    pub legal_hold: bool,
}

/// May this actor do this in this room? One action of a commit, one proposal, or one message.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Where.
    pub room: &'a RoomFacts,
    /// Who: the sender of a proposal, not the committer who cites it.
    pub actor: &'a Actor,
    /// What.
    pub capability: Capability,
    /// To whom, when it is somebody else.
    pub target: Option<&'a UserUri>,
    /// Role of the target (of the actor, when it acts on itself) before; 0 is not listed.
    pub from_role: u32,
    /// And after.
    pub to_role: u32,
    /// Whether the actor's role lists this change of role.
    pub transition_authorized: bool,
    /// Whether the room grants the action by another capability too (readings P-12, P-22, P-25; actions A13, A14).
    pub alternative_granted: bool,
    /// Whether an entry of the preauthorised list grants it.
    pub preauthorized: bool,
    /// Whether it comes by external commit or external proposal.
    pub external: bool,
    /// MLS ciphersuite of the room's group; 0 where it is not known.
    pub suite: u16,
    /// Epoch of the room's group.
    pub epoch: u64,
    /// Size of the MLS message, for messages.
    pub message_bytes: u64,
    /// Who handed it in: the provider that sent us *this proposal or message*, our own domain for our own users. For a
    /// proposal that a commit cites it is the provider that once submitted the proposal, not the committer's
    /// (correction C-3).
    pub source: &'a Domain,
    /// When.
    pub now: Millis,
}

/// A claim of key packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whose.
    pub target: &'a UserUri,
    /// The room they are for.
    pub room: Option<&'a RoomUri>,
    /// How the target stands to the actor.
    pub consent: Standing,
}

/// A step of the actor towards another user, or of another user towards ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentStep<'a> {
    /// The user it is about, who is not the actor.
    pub about: &'a UserUri,
    /// The room it is for; `None` for every room.
    pub room: Option<&'a RoomUri>,
    /// Which step.
    pub operation: ConsentOperation,
}

/// What is asked outside of any room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorAct<'a> {
    /// Take key packages of a user.
    ClaimKeyMaterial(Claim<'a>),
    /// Ask for the consent of a user, or take that back: the actor is ours.
    RequestConsent(ConsentStep<'a>),
    /// Give consent to a user, or take it back: the actor is ours.
    GrantConsent(ConsentStep<'a>),
    /// Reach a user of ours with a request, or with its end.
    ReceiveConsentRequest(ConsentStep<'a>),
    /// Reach a user of ours with consent, or with its end.
    ReceiveConsent(ConsentStep<'a>),
    /// Look for users of a provider: ours, or, where the actor is ours, another one.
    Search,
    /// Find this user, who wants to be found by what was looked for.
    FindUser(&'a UserUri),
    /// Say what others may find the actor by.
    PublishProfile,
    /// Register a device of the actor.
    RegisterDevice,
    /// Delete a device of the actor.
    DeregisterDevice,
    /// Delete the actor, who is no user of ours from then on.
    DeregisterUser,
    /// Upload key packages for a device of the actor.
    PublishKeyPackages,
    /// Read the event stream of a device of the actor.
    ReadStream,
    /// Report messages for a user who does not want to be named. The actor is that user's provider.
    ReportAnonymously,
    /// Download what the provider that is asked about keeps at this host. The actor is a user of ours, or a provider for one that it
    /// does not name.
    Download(&'a Domain),
}

impl<'a> DoorAct<'a> {
    /// The name of the action in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaimKeyMaterial(_) => "claimKeyMaterial",
            Self::RequestConsent(_) => "requestConsent",
            Self::GrantConsent(_) => "grantConsent",
            Self::ReceiveConsentRequest(_) => "receiveConsentRequest",
            Self::ReceiveConsent(_) => "receiveConsent",
            Self::Search => "search",
            Self::FindUser(_) => "findUser",
            Self::PublishProfile => "publishProfile",
            Self::RegisterDevice => "registerDevice",
            Self::DeregisterDevice => "deregisterDevice",
            Self::DeregisterUser => "deregisterUser",
            Self::PublishKeyPackages => "publishKeyPackages",
            Self::ReadStream => "readStream",
            Self::ReportAnonymously => "reportAnonymously",
            Self::Download(_) => "downloadAsset",
        }
    }

    /// The user it is about, where it is about one.
    pub fn about(self) -> Option<&'a UserUri> {
        match self {
            Self::ClaimKeyMaterial(claim) => Some(claim.target),
            Self::FindUser(user) => Some(user),
            Self::RequestConsent(step)
            | Self::GrantConsent(step)
            | Self::ReceiveConsentRequest(step)
            | Self::ReceiveConsent(step) => Some(step.about),
            Self::Search
            | Self::PublishProfile
            | Self::RegisterDevice
            | Self::DeregisterDevice
            | Self::DeregisterUser
            | Self::PublishKeyPackages
            | Self::ReadStream
            | Self::ReportAnonymously
            | Self::Download(_) => None,
        }
    }

    /// How its target stands to the actor, which step is taken, or from which host is downloaded.
    pub fn detail(self) -> Option<&'a str> {
        match self {
            Self::ClaimKeyMaterial(claim) => Some(claim.consent.name()),
            Self::RequestConsent(step)
            | Self::GrantConsent(step)
            | Self::ReceiveConsentRequest(step)
            | Self::ReceiveConsent(step) => Some(step.operation.name()),
            Self::Download(host) => Some(host.as_str()),
            Self::Search
            | Self::FindUser(_)
            | Self::PublishProfile
            | Self::RegisterDevice
            | Self::DeregisterDevice
            | Self::DeregisterUser
            | Self::PublishKeyPackages
            | Self::ReadStream
            | Self::ReportAnonymously => None,
        }
    }
}

/// May this person do this at the admin door?
#[derive(Clone, Debug)]
pub struct AdminQuestion<'a> {
    /// What.
    pub act: AdminAct,
    /// Who: the subject of the token.
    pub operator: &'a str,
    /// As what: the roles in the token.
    pub roles: &'a BTreeSet<String>,
    /// The provider it is about: another one, or our own first domain for the gateway as a whole.
    pub about: &'a Domain,
    /// The room it is about, for one room.
    pub room: Option<&'a RoomUri>,
    /// The user it is about, for one user.
    pub user: Option<&'a UserUri>,
    /// When.
    pub now: Millis,
}

/// May this user do this at our door?
#[derive(Clone, Debug)]
pub struct DoorQuestion<'a> {
    /// What.
    pub act: DoorAct<'a>,
    /// Who.
    pub actor: &'a UserUri,
    /// Our domain that is asked, or the provider that it is about.
    pub door: &'a Domain,
    /// Who handed it in.
    pub source: &'a Domain,
    /// When.
    pub now: Millis,
}

/// A question of whatever kind.
#[derive(Clone, Debug)]
pub(super) enum AnyQuestion<'a> {
    /// About a room.
    Room(Question<'a>),
    /// At our door.
    Door(DoorQuestion<'a>),
    /// At the admin door.
    Admin(AdminQuestion<'a>),
    /// About nothing that is asked here.
    Unknown,
}
