//! What people do in a room that is replayed.

use portcullis::gateway::moderation::Change;
use portcullis_core::wire::uri::UserUri;
use proptest::prelude::*;
use proptest::sample::select;

use super::{BANNED, PEOPLE, SUPER_ADMIN};

/// What somebody does next. Positions count modulo those who could be meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Add {
        by: usize,
        whom: usize,
        role: u32,
    },
    Remove {
        by: usize,
        whom: usize,
    },
    Ban {
        by: usize,
        whom: usize,
    },
    SetRole {
        by: usize,
        whom: usize,
        role: u32,
    },
    Rename {
        by: usize,
    },
    ProposeRemoval {
        by: usize,
        whom: usize,
    },
    ProposeRole {
        by: usize,
        whom: usize,
        role: u32,
    },
    Leave {
        by: usize,
    },
    Commit {
        by: usize,
    },
    Say {
        by: usize,
    },
    /// A further device of a participant comes in by external commit.
    Join {
        whom: usize,
    },
    /// Two commit at once.
    Race {
        by: usize,
        other: usize,
    },
    /// A commit with one byte changed.
    Forge {
        by: usize,
        at: usize,
    },
    /// A moderator of the company imposes something, or lifts it.
    Moderate {
        whom: usize,
        wish: Wish,
    },
}

/// What a moderator wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Mute,
    Unmute,
    Ban,
    Unban,
    Freeze,
    Unfreeze,
}

impl Wish {
    const ALL: [Self; 6] = [Self::Mute, Self::Unmute, Self::Ban, Self::Unban, Self::Freeze, Self::Unfreeze];

    pub(super) fn about(self, user: UserUri) -> Change {
        match self {
            Self::Mute => Change::Mute(user),
            Self::Unmute => Change::Unmute(user),
            Self::Ban => Change::Ban(user),
            Self::Unban => Change::Unban(user),
            Self::Freeze => Change::Freeze,
            Self::Unfreeze => Change::Unfreeze,
        }
    }
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let (by, whom, role) = (0..8usize, 0..PEOPLE.len(), BANNED..=SUPER_ADMIN);
    prop_oneof![
        3 => (by.clone(), whom.clone(), role.clone()).prop_map(|(by, whom, role)| Step::Add { by, whom, role }),
        2 => (by.clone(), whom.clone()).prop_map(|(by, whom)| Step::Remove { by, whom }),
        1 => (by.clone(), whom.clone()).prop_map(|(by, whom)| Step::Ban { by, whom }),
        2 => (by.clone(), whom.clone(), role.clone()).prop_map(|(by, whom, role)| Step::SetRole { by, whom, role }),
        1 => by.clone().prop_map(|by| Step::Rename { by }),
        2 => (by.clone(), whom.clone()).prop_map(|(by, whom)| Step::ProposeRemoval { by, whom }),
        2 => (by.clone(), whom.clone(), role).prop_map(|(by, whom, role)| Step::ProposeRole { by, whom, role }),
        2 => by.clone().prop_map(|by| Step::Leave { by }),
        3 => by.clone().prop_map(|by| Step::Commit { by }),
        2 => by.clone().prop_map(|by| Step::Say { by }),
        2 => whom.clone().prop_map(|whom| Step::Join { whom }),
        1 => (by.clone(), by.clone()).prop_map(|(by, other)| Step::Race { by, other }),
        1 => (by, 0..4096usize).prop_map(|(by, at)| Step::Forge { by, at }),
        2 => (whom, select(Wish::ALL.to_vec())).prop_map(|(whom, wish)| Step::Moderate { whom, wish }),
    ]
}
