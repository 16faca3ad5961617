//! Whether a user lets another take its KeyPackages: what follows from all that the user has decided (reading D-47).

use serde::Deserialize;

use crate::wire::uri::RoomUri;

/// What a target has decided about a requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It consents.
    Granted,
    /// It does not.
    Revoked,
}

/// The latest decision of a target about a requester in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The room it is for; `None` for every room.
    pub room: Option<RoomUri>,
    /// What was decided.
    pub verdict: Verdict,
}

/// How a target stands to a requester who asks for KeyPackages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has consented.
    Granted,
    /// It has refused, or taken its consent back.
    Revoked,
    /// It has consented to other rooms only.
    AnotherRoom,
    /// It has decided nothing.
    #[default]
    None,
    /// It is a user of another provider, which decides.
    Elsewhere,
}

impl Standing {
    /// What follows from the decisions of a target about a requester, for a room: the decision for that room stands above
    /// the one for every room.
    ///
    /// Source: draft-ietf-mimi-protocol, "Obtaining Consent"; precedence is reading D-47.
    pub fn of(decided: &[Decided], room: Option<&RoomUri>) -> Self {
        let of = |scope: Option<&RoomUri>| decided.iter().find(|decided| decided.room.as_ref() == scope);
        match room.and_then(|room| of(Some(room))).or_else(|| of(None)) {
            Some(Decided { verdict: Verdict::Granted, .. }) => Self::Granted,
            Some(Decided { verdict: Verdict::Revoked, .. }) => Self::Revoked,
            None if decided.iter().any(|decided| decided.verdict == Verdict::Granted) => Self::AnotherRoom,
            None => Self::None,
        }
    }

    /// As policies spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Revoked => "revoked",
            Self::AnotherRoom => "another_room",
            Self::None => "none",
            Self::Elsewhere => "elsewhere",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomUri {
        RoomUri::parse(&format!("mimi://a.example/r/{name}")).unwrap()
    }

    fn decided(room: Option<RoomUri>, verdict: Verdict) -> Decided {
        Decided { room, verdict }
    }

    #[test]
    fn the_decision_for_a_room_stands_above_the_one_for_every_room() {
        use Verdict::{Granted, Revoked};
        let (here, there) = (room("here"), room("there"));
        for (any, of_room) in [(Granted, Revoked), (Revoked, Granted)] {
            let decisions = [decided(None, any), decided(Some(here.clone()), of_room)];
            let expected = |verdict| if verdict == Granted { Standing::Granted } else { Standing::Revoked };
            assert_eq!(Standing::of(&decisions, Some(&here)), expected(of_room));
            assert_eq!(Standing::of(&decisions, Some(&there)), expected(any));
            assert_eq!(Standing::of(&decisions, None), expected(any));
        }
    }

    #[test]
    fn consent_to_one_room_is_none_to_another_and_none_to_no_room() {
        let decisions = [decided(Some(room("here")), Verdict::Granted)];
        assert_eq!(Standing::of(&decisions, Some(&room("here"))), Standing::Granted);
        assert_eq!(Standing::of(&decisions, Some(&room("there"))), Standing::AnotherRoom);
        assert_eq!(Standing::of(&decisions, None), Standing::AnotherRoom);
        let revoked = [decided(Some(room("here")), Verdict::Revoked)];
        assert_eq!(Standing::of(&revoked, Some(&room("there"))), Standing::None);
        assert_eq!(Standing::of(&[], None), Standing::None);
    }
}
