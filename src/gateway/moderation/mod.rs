//! What moderators impose on rooms, at the admin door and on the command line. It is in force with the transaction of its
//! record; what takes clients out of a group is then proposed by the hub, until a commit has carried it out.

mod uphold;
mod watch;

pub(super) use uphold::{MOST_PENDING, ends_off_the_list, owed_of, settled, uphold};
pub use watch::watch;

use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::restrictions::{self, Grounds, Imposed, Place, Restriction};
use portcullis_store::streams::{self, StreamItem};
use portcullis_store::{StoreError, Tx};
use serde_json::json;
use uuid::Uuid;

use super::follow::LEAVE;
use super::ties;

/// What a moderator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The user goes, and does not come back.
    Ban(UserUri),
    /// It may come back.
    Unban(UserUri),
    /// Its clients go; it may come back at once.
    Kick(UserUri),
    /// The user goes until a member adds it again.
    Remove(UserUri),
    /// That is over, whether a member has taken it off the list or not.
    Readmit(UserUri),
    /// Its messages are refused.
    Mute(UserUri),
    /// They are taken again.
    Unmute(UserUri),
    /// Nobody changes the room or writes to it.
    Freeze,
    /// That is over.
    Unfreeze,
    /// All users of the provider go.
    RemoveProvider(Domain),
    /// That is over.
    ReadmitProvider(Domain),
}

impl Change {
    /// What policy is asked about it.
    pub fn act(&self, place: &Place) -> AdminAct {
        let here = *place != Place::Everywhere;
        match self {
            Self::Ban(_) => AdminAct::Ban,
            Self::Unban(_) => AdminAct::Unban,
            Self::Kick(_) => AdminAct::Kick,
            Self::Remove(_) if here => AdminAct::Remove,
            Self::Remove(_) => AdminAct::RemoveUser,
            Self::Readmit(_) if here => AdminAct::Readmit,
            Self::Readmit(_) => AdminAct::ReadmitUser,
            Self::Mute(_) => AdminAct::Mute,
            Self::Unmute(_) => AdminAct::Unmute,
            Self::Freeze => AdminAct::Freeze,
            Self::Unfreeze => AdminAct::Unfreeze,
            Self::RemoveProvider(_) => AdminAct::RemoveProvider,
            Self::ReadmitProvider(_) => AdminAct::ReadmitProvider,
        }
    }

    /// Whether it is about somebody whom it can be about; `domains` are our own.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub fn check(&self, domains: &[Domain]) -> Result<(), &'static str> {
        match self {
            Self::RemoveProvider(domain) | Self::ReadmitProvider(domain) if domains.contains(domain) => {
                Err("this is a domain of the gateway itself")
            }
            _ if self.user().is_some_and(UserUri::is_provider) => Err("this is a provider and no user"),
            _ => Ok(()),
        }
    }

    /// The user it is about.
    pub fn user(&self) -> Option<&UserUri> {
        match self {
            Self::Ban(user)
            | Self::Unban(user)
            | Self::Kick(user)
            | Self::Remove(user)
            | Self::Readmit(user)
            | Self::Mute(user)
            | Self::Unmute(user) => Some(user),
            Self::Freeze | Self::Unfreeze | Self::RemoveProvider(_) | Self::ReadmitProvider(_) => None,
        }
    }

    /// The provider it is about, as a whole or by its user.
    pub fn provider(&self) -> Option<Domain> {
        match self {
            Self::RemoveProvider(domain) | Self::ReadmitProvider(domain) => Some(domain.clone()),
            _ => self.user().map(UserUri::domain),
        }
    }

    fn restriction(&self) -> Restriction {
        match self.clone() {
            Self::Ban(user) | Self::Unban(user) => Restriction::Ban(user),
            Self::Kick(user) => Restriction::Kick(user),
            Self::Remove(user) | Self::Readmit(user) => Restriction::Removal(user),
            Self::Mute(user) | Self::Unmute(user) => Restriction::Mute(user),
            Self::Freeze | Self::Unfreeze => Restriction::Freeze,
            Self::RemoveProvider(domain) | Self::ReadmitProvider(domain) => Restriction::Provider(domain),
        }
    }

    fn lifts(&self) -> bool {
        match self {
            Self::Unban(_) | Self::Readmit(_) | Self::Unmute(_) | Self::Unfreeze | Self::ReadmitProvider(_) => true,
            Self::Ban(_) | Self::Kick(_) | Self::Remove(_) | Self::Mute(_) | Self::Freeze | Self::RemoveProvider(_) => {
                false
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Ban(_) => "moderation.ban",
            Self::Unban(_) => "moderation.unban",
            Self::Kick(_) => "moderation.kick",
            Self::Remove(_) | Self::RemoveProvider(_) => "moderation.remove",
            Self::Readmit(_) | Self::ReadmitProvider(_) => "moderation.readmit",
            Self::Mute(_) => "moderation.mute",
            Self::Unmute(_) => "moderation.unmute",
            Self::Freeze => "moderation.freeze",
            Self::Unfreeze => "moderation.unfreeze",
        }
    }
}

/// What stands of a restriction, and where that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// What is imposed, or was.
    pub imposed: Imposed,
    /// Whether we are the hub of the room.
    pub hosted: bool,
}

/// How far a commit has carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// No client that was to go is in the group.
    Done,
    /// A member is yet to commit it.
    Owed,
    /// The room's own hub would have to propose it.
    ByTheHub,
    /// No commit carries it.
    Never,
}

impl Stands {
    /// How far a commit has carried it.
    pub fn carried(&self) -> Carried {
        match &self.imposed {
            imposed if imposed.committed_at.is_some() => Carried::Done,
            imposed if !imposed.restriction.expels() => Carried::Never,
            _ if self.hosted => Carried::Owed,
            _ => Carried::ByTheHub,
        }
    }

    /// What it does not do, for whoever imposes it.
    pub fn limits(&self) -> Vec<&'static str> {
        let expels = self.imposed.restriction.expels();
        match (self.hosted, expels) {
            (true, true) => vec![
                "until a member commits the proposal, the user's clients can read what others say by other ways than us",
                "the entry in the participant list stays until a member takes it off",
            ],
            (true, false) => vec!["clients in the group are not told; it is enforced here"],
            (false, true) => vec![
                "only the room's hub or its members can take the user out; the devices of a user of ours are told to leave",
                "the room's hub and other providers are not bound by it",
                "who says something is sealed: what a user of another provider says still reaches ours",
            ],
            (false, false) => vec!["the room's hub is not bound by it: it holds for what our own users send"],
        }
    }
}

/// Imposes or lifts it with its record, and gives what stands then. What is in force already stays as it is.
///
/// # Errors
///
/// [`StoreError::NoRoom`] for a room of which nothing is known here, [`StoreError::Missing`] when what is to be lifted is
/// not in force.
pub fn change(
    tx: &mut Tx<'_>,
    place: &Place,
    change: &Change,
    grounds: &Grounds,
    now: Millis,
) -> Result<Imposed, StoreError> {
    let restriction = change.restriction();
    let stands = if change.lifts() {
        lift(tx, place, change, restriction, now)?
    } else {
        let stands = restrictions::impose(tx, place, &restriction, grounds, now)?;
        tell_to_leave(tx, place, &restriction, now)?;
        if let (Place::Room(room), Restriction::Ban(user) | Restriction::Removal(user)) = (place, &restriction) {
            ties::follow_out(tx, room, user, grounds, now)?;
        }
        stands
    };
    tx.stage(&AuditRecord {
        room: room_of(place),
        actor: Some(grounds.by.clone()),
        policy: grounds.policies.clone(),
        reason: grounds.reason.clone(),
        detail: json!({
            "user": change.user(),
            "provider": change.provider(),
            "case": grounds.case,
            "decision": grounds.decision,
            "everywhere": *place == Place::Everywhere,
        }),
        ..AuditRecord::new(Uuid::now_v7(), now, change.kind(), Outcome::Info)
    })?;
    Ok(stands)
}

fn lift(
    tx: &mut Tx<'_>,
    place: &Place,
    change: &Change,
    restriction: Restriction,
    now: Millis,
) -> Result<Imposed, StoreError> {
    // Whoever was kicked out of a room whose commits we do not see is readmitted to it, too.
    let kick = match (change, place) {
        (Change::Readmit(user), Place::Room(_)) => Some(Restriction::Kick(user.clone())),
        _ => None,
    };
    let mut lifted = None;
    for restriction in kick.into_iter().chain([restriction]) {
        if restrictions::lift(tx, place, &restriction, now)? {
            lifted = Some(restriction);
        }
    }
    restrictions::find(tx, place, &lifted.ok_or(StoreError::Missing)?)?.ok_or(StoreError::Missing)
}

/// In rooms of other hubs nobody but the user's own devices can take them out (correction C-14).
fn tell_to_leave(tx: &mut Tx<'_>, place: &Place, restriction: &Restriction, now: Millis) -> Result<(), StoreError> {
    if !restriction.expels() {
        return Ok(());
    }
    for (room, device) in restrictions::expelled(tx, place, restriction)? {
        let item = StreamItem { room: Some(room), kind: LEAVE.to_owned(), payload: Vec::new(), at: now };
        streams::push(tx, &[device], &item)?;
    }
    Ok(())
}

fn room_of(place: &Place) -> Option<RoomUri> {
    match place {
        Place::Room(room) => Some(room.clone()),
        Place::Everywhere => None,
    }
}
