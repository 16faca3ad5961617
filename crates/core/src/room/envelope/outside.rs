//! In which ways a room lies outside of an envelope, and which of two ways is the worse one.

use std::collections::BTreeSet;
use std::fmt;

use crate::room::state::UNLISTED;
use crate::wire::DecodeError;
use crate::wire::components::{
    BaseRoomPolicy, Capability, Component, Dictionary, HistoryPolicy, LoggingPolicy, MessageExpirationPolicy,
    Optionality, RolesList, RoomMetadata,
};
use crate::wire::uri::{Domain, UserUri};

use super::{Choice, Envelope, Field, Granted, Trait};

/// One way in which a room lies outside of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outside {
    /// What it says cannot be read.
    Unread(String),
    /// It has no such metadata.
    Lacks(Field),
    /// It limits itself to more users or clients than this, or not at all.
    TooMany {
        /// Of what.
        of: Limited,
        /// Most that is accepted.
        most: u32,
        /// What it limits itself to.
        said: Option<u32>,
    },
    /// It is what a room must not be.
    Is(Trait),
    /// A role has a capability that none may have.
    Granted {
        /// Index of the role.
        index: u32,
        /// Its name.
        role: String,
        /// The capability.
        capability: Capability,
    },
    /// A user of another provider than those whom the role is for has it.
    Holds {
        /// The user.
        user: UserUri,
        /// Name of the role.
        role: String,
    },
    /// It says of something what is not accepted.
    Says {
        /// Of what.
        of: Subject,
        /// What.
        choice: Choice,
    },
    /// Its messages may expire too soon; both in seconds.
    Expires {
        /// Least that is accepted.
        least: u32,
        /// The least that it says.
        soonest: u32,
    },
}

/// What a base policy limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limited {
    /// Users that are listed.
    Users,
    /// Their clients.
    Clients,
}

/// What a room says `optional`, `required` or `forbidden` of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Logging.
    Logging,
    /// Passing on what was said before somebody joined.
    History,
    /// Messages that expire.
    Expiry,
}

impl Subject {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Logging => "logging",
            Self::History => "sharing of history",
            Self::Expiry => "expiry of messages",
        }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(why) => write!(f, "what the room says cannot be read: {why}"),
            Self::Lacks(field) => write!(f, "the room lacks {}", field.words()),
            Self::TooMany { of, most, said: _ } => {
                let of = match of {
                    Limited::Users => "users",
                    Limited::Clients => "clients",
                };
                write!(f, "the room takes more than {most} {of}")
            }
            Self::Is(of) => write!(f, "the room would {}", of.words()),
            // Names are the words of whoever made the room.
            Self::Granted { role, capability, .. } => {
                write!(f, "the role `{}` has `{capability}`", role.escape_debug())
            }
            Self::Holds { user, role } => write!(f, "`{user}` has the role `{}`", role.escape_debug()),
            Self::Says { of, choice } => write!(f, "{} is {}", of.words(), choice.word()),
            Self::Expires { soonest, .. } => write!(f, "messages expire after {soonest} seconds"),
        }
    }
}

impl Outside {
    /// Whether a room that is outside in the way `before` is no further outside in this one.
    fn is_no_worse_than(&self, before: &Self) -> bool {
        let most = |said: &Option<u32>| said.unwrap_or(u32::MAX);
        match (self, before) {
            (Self::TooMany { of, said, .. }, Self::TooMany { of: before, said: stood, .. }) => {
                of == before && most(said) <= most(stood)
            }
            (Self::Expires { soonest, .. }, Self::Expires { soonest: stood, .. }) => soonest >= stood,
            // A role is what it was under another name, too.
            (Self::Granted { index, capability, .. }, Self::Granted { index: before, capability: stood, .. }) => {
                index == before && capability == stood
            }
            (one, other) => one == other,
        }
    }
}

/// What there is to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// All of a room: what is not there, it does not have.
    Whole,
    /// Components that change, of a room that nobody knows here.
    Part,
}

impl Envelope {
    /// In which ways a room of this hub with these components lies outside. What cannot be read lies outside.
    pub fn outside(&self, room: &Dictionary, hub: &Domain) -> BTreeSet<Outside> {
        self.seen(room, hub, Seen::Whole)
    }

    /// In which ways whatever room of this hub gets these components comes to lie outside. Nothing is known of the rest of it,
    /// nor of who has which role: one whose holders have no clients, as that of the hub, may have any capability.
    pub fn outside_in_part(&self, components: &Dictionary, hub: &Domain) -> BTreeSet<Outside> {
        self.seen(components, hub, Seen::Part)
    }

    /// In which ways a room lies further outside after a change than before it: what was so already keeps nobody from changing
    /// something else, or from mending a part of it.
    pub fn newly_outside(&self, before: &Dictionary, after: &Dictionary, hub: &Domain) -> BTreeSet<Outside> {
        if before == after {
            return BTreeSet::new();
        }
        let mut after = self.outside(after, hub);
        if !after.is_empty() {
            let before = self.outside(before, hub);
            after.retain(|way| !before.iter().any(|stood| way.is_no_worse_than(stood)));
        }
        after
    }

    fn seen(&self, room: &Dictionary, hub: &Domain, seen: Seen) -> BTreeSet<Outside> {
        let unread = |error: DecodeError| BTreeSet::from([Outside::Unread(error.to_string())]);
        self.look(room, hub, seen).unwrap_or_else(unread)
    }

    fn look(&self, room: &Dictionary, hub: &Domain, seen: Seen) -> Result<BTreeSet<Outside>, DecodeError> {
        let mut found = BTreeSet::new();
        if !self.takes_all() {
            self.look_at_metadata(room, seen, &mut found)?;
            self.look_at_base(room, seen, &mut found)?;
            self.look_at_roles(room, (hub, seen), &mut found)?;
            self.look_at_choices(room, seen, &mut found)?;
        }
        Ok(found)
    }

    fn look_at_metadata(
        &self,
        room: &Dictionary,
        seen: Seen,
        found: &mut BTreeSet<Outside>,
    ) -> Result<(), DecodeError> {
        let metadata: Option<RoomMetadata> = room.read()?;
        if metadata.is_none() && seen == Seen::Part {
            return Ok(());
        }
        let has = |field: &Field| {
            metadata.as_ref().is_some_and(|metadata| match field {
                Field::Name => says(&metadata.name),
                Field::Description => metadata.descriptions.iter().any(|text| !text.content.trim_ascii().is_empty()),
                Field::Avatar => says(&metadata.avatar),
                Field::Subject => says(&metadata.subject),
            })
        };
        found.extend(self.metadata.iter().filter(|field| !has(field)).map(|field| Outside::Lacks(*field)));
        Ok(())
    }

    fn look_at_base(&self, room: &Dictionary, seen: Seen, found: &mut BTreeSet<Outside>) -> Result<(), DecodeError> {
        let base: Option<BaseRoomPolicy> = room.read()?;
        if base.is_none() && seen == Seen::Part {
            return Ok(());
        }
        let (users, clients) = base.as_ref().map_or((None, None), |base| (base.max_users, base.max_clients));
        for (of, most, said) in [(Limited::Users, self.max_users, users), (Limited::Clients, self.max_clients, clients)]
        {
            if let Some(most) = most
                && said.is_none_or(|said| said > most)
            {
                found.insert(Outside::TooMany { of, most, said });
            }
        }
        // Without a base policy a room persists, and has none of the rest (reading P-24).
        let Some(base) = base else { return Ok(()) };
        for (of, is) in [
            (Trait::Pseudonyms, base.pseudonyms_allowed),
            (Trait::Discoverable, base.discoverable),
            (Trait::Passing, !base.persistent_room),
        ] {
            if is && self.never.contains(&of) {
                found.insert(Outside::Is(of));
            }
        }
        Ok(())
    }

    fn look_at_roles(
        &self,
        room: &Dictionary,
        (hub, seen): (&Domain, Seen),
        found: &mut BTreeSet<Outside>,
    ) -> Result<(), DecodeError> {
        let roles: RolesList = room.read()?.unwrap_or_default();
        let list = room.participants()?.unwrap_or_default();
        let is_hub = |user: &UserUri| user.is_provider() && user.domain() == *hub;
        for role in &roles.roles {
            let mut holders = list.participants.iter().filter(|listed| listed.role_index == role.role_index).peekable();
            // Of the hub alone: a role that somebody else has, too, grants that to somebody else.
            let of_hub_alone = match seen {
                Seen::Whole => holders.peek().is_some() && holders.clone().all(|listed| is_hub(&listed.user)),
                Seen::Part => role.max_active == Some(0),
            };
            if !of_hub_alone {
                let granted =
                    role.capabilities.iter().filter(|capability| self.never_granted.contains(&Granted(**capability)));
                found.extend(granted.map(|capability| Outside::Granted {
                    index: role.role_index,
                    role: role.name.clone(),
                    capability: *capability,
                }));
            }
            let Some(domains) = self.roles.get(&role.name) else { continue };
            let strangers = holders.filter(|listed| !is_hub(&listed.user) && !domains.contains(&listed.user.domain()));
            found.extend(strangers.map(|listed| Outside::Holds { user: listed.user.clone(), role: role.name.clone() }));
        }
        // Another hub may let them in although its room says that it does not.
        if self.never.contains(&Trait::Pseudonyms) && list.participants.iter().any(|listed| listed.user.is_pseudonym())
        {
            found.insert(Outside::Is(Trait::Pseudonyms));
        }
        let unlisted =
            roles.roles.iter().filter(|role| role.role_index == UNLISTED).flat_map(|role| &role.capabilities);
        for capability in unlisted {
            let of = match *capability {
                Capability::OPEN_JOIN => Trait::OpenJoin,
                Capability::USE_JOIN_CODE => Trait::JoinCodes,
                _ => continue,
            };
            if self.never.contains(&of) {
                found.insert(Outside::Is(of));
            }
        }
        Ok(())
    }

    fn look_at_choices(&self, room: &Dictionary, seen: Seen, found: &mut BTreeSet<Outside>) -> Result<(), DecodeError> {
        fn said<T: Component>(
            room: &Dictionary,
            seen: Seen,
            of: fn(&T) -> Optionality,
        ) -> Result<Option<Choice>, DecodeError> {
            let unsaid = (seen == Seen::Whole).then_some(Choice::Optional);
            Ok(room.read::<T>()?.map(|policy| of(&policy).into()).or(unsaid))
        }
        let logging = said(room, seen, |policy: &LoggingPolicy| policy.logging.optionality())?;
        let history = said(room, seen, |policy: &HistoryPolicy| policy.history_sharing.optionality())?;
        let expiry = said(room, seen, |policy: &MessageExpirationPolicy| policy.expiring_messages.optionality())?;
        for ((of, accepted), said) in self.choices().into_iter().zip([logging, history, expiry]) {
            if let Some(choice) = said
                && !accepted.is_empty()
                && !accepted.contains(&choice)
            {
                found.insert(Outside::Says { of, choice });
            }
        }
        let expiration: Option<MessageExpirationPolicy> = room.read()?;
        let soonest =
            expiration.as_ref().and_then(|policy| policy.expiring_messages.terms()).map(|terms| terms.min_seconds);
        if let Some((least, soonest)) = self.expire_after_seconds.zip(soonest)
            && soonest < least
        {
            found.insert(Outside::Expires { least, soonest });
        }
        Ok(())
    }
}

fn says(text: &str) -> bool {
    !text.trim().is_empty()
}
