//! Check 16: which pending proposals a commit cites.

use std::collections::BTreeSet;

use crate::mls::error::HandshakeError;
use crate::mls::framing::Cited;
use crate::mls::proposals::Pending;
use crate::mls::{Effect, Part, Proposer};

use super::CheckId;

/// Whether all that must be cited is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mls) enum Owed {
    /// At the hub, which keeps the pending set.
    All,
    /// At a follower: it is not told which pending proposals the hub has withdrawn (C-5).
    Unknown,
}

/// A commit of the member at leaf `committer` cites every pending proposal but those that another one makes void; an
/// external commit (`None`) cites every SelfRemove and nothing else. Nobody cites what is not pending, or one thing
/// twice.
pub(in crate::mls) fn check(
    pending: &[Pending],
    committer: Option<u32>,
    proposals: &[Cited],
    owed: Owed,
) -> Result<(), HandshakeError> {
    let mut seen = BTreeSet::new();
    let mut unknown = Vec::new();
    let mut position = None;
    for (at, cited) in proposals.iter().enumerate() {
        let citable = cited.reference().is_none_or(|reference| {
            let found = pending.iter().find(|pending| pending.reference() == reference);
            found.is_some_and(|found| committer.is_some() || matches!(found.part.effect, Effect::SelfRemove { .. }))
        });
        if !seen.insert(cited.key()) || !citable {
            position = position.or(Some(at));
            unknown.extend(cited.reference().map(<[u8]>::to_vec));
        }
    }
    if position.is_some() {
        return Err(HandshakeError::InvalidProposals { check: CheckId::Citations, references: unknown, position });
    }
    if owed == Owed::Unknown {
        return Ok(());
    }
    let cited: BTreeSet<&[u8]> = proposals.iter().filter_map(Cited::reference).collect();
    let parts: Vec<&Part> = pending.iter().map(|pending| &pending.part).collect();
    let complete = pending
        .iter()
        .filter(|pending| is_owed(&pending.part, committer, &parts))
        .all(|pending| cited.contains(pending.reference()));
    if complete { Ok(()) } else { Err(CheckId::Citations.into()) }
}

/// Whether the committer has to cite a pending proposal (RFC 9420, section 12.2: a Remove voids Updates of its leaf,
/// and a committer renews its own leaf by its path; reading of section 13: a SelfRemove voids a Remove).
fn is_owed(part: &Part, committer: Option<u32>, pending: &[&Part]) -> bool {
    let Some(committer) = committer else { return matches!(part.effect, Effect::SelfRemove { .. }) };
    let goes = |leaf: u32, by_remove: bool| {
        pending.iter().any(|other| match other.effect {
            Effect::SelfRemove { leaf: gone, .. } => gone == leaf,
            Effect::Remove { leaf: gone, .. } => by_remove && gone == leaf,
            _ => false,
        })
    };
    match &part.effect {
        Effect::Update { leaf, .. } => {
            let own = matches!(part.proposer, Proposer::Member { leaf, .. } if leaf == committer);
            !own && !goes(*leaf, true)
        }
        Effect::Remove { leaf, .. } => !goes(*leaf, false),
        _ => true,
    }
}
