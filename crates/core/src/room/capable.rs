//! Invariant 12: clients can do what the operational parameters make mandatory, and nothing that they forbid.

use std::sync::Arc;

use crate::mls::{Effect, GroupView, Leaf, LeafCapabilities, Part};
use crate::wire::components::{ExtendedCapabilities, OperationalParameters};

use super::{Breach, RoomState, Violation};

/// What every implementation of MLS 1.0 has and no leaf lists: extension types and proposal types (RFC 9420, section 7.2), wire
/// formats (section 17.2) and content types of framing (section 6).
const EXTENSIONS: std::ops::RangeInclusive<u16> = 1..=5;
const PROPOSALS: std::ops::RangeInclusive<u16> = 1..=7;
const WIRE_FORMATS: std::ops::RangeInclusive<u16> = 1..=5;
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 1..=3;

/// Whether it can be told of each client that it does what these parameters ask: a leaf says nothing of wire formats and content
/// types, so that none but those of MLS 1.0 can be mandatory, and what all have cannot be forbidden.
pub(super) fn can_be_told(parameters: &OperationalParameters) -> bool {
    let (mandatory, forbidden) = (&parameters.mandatory_capabilities, &parameters.forbidden_capabilities);
    mandatory.wire_formats.iter().all(|format| WIRE_FORMATS.contains(format))
        && mandatory.content_types.iter().all(|kind| CONTENT_TYPES.contains(kind))
        && !forbidden.wire_formats.iter().any(|format| WIRE_FORMATS.contains(format))
        && !forbidden.content_types.iter().any(|kind| CONTENT_TYPES.contains(kind))
        && !forbidden.extensions.iter().any(|kind| EXTENSIONS.contains(kind))
        && !forbidden.proposals.iter().any(|kind| PROPOSALS.contains(kind))
}

/// Clients that come, and those that say something else of themselves than before, can do what is asked; all clients, where
/// what is asked is what changes, as with required_capabilities (RFC 9420, section 12.1.7).
pub(super) fn check(
    parts: &[Part],
    (before, post): (&RoomState, &RoomState),
    (group, after): (&GroupView, &GroupView),
) -> Result<(), Violation> {
    let Some(asked) = post.operational().filter(|asked| asks(asked)) else { return Ok(()) };
    let anew = before.operational().is_none_or(|stood| lists(stood) != lists(asked));
    let stood = |leaf: &Arc<Leaf>| {
        let found = group.leaves.binary_search_by_key(&leaf.index, |leaf| leaf.index).ok();
        let known = found.and_then(|at| group.leaves.get(at));
        known.is_some_and(|known| Arc::ptr_eq(known, leaf) || (known.client == leaf.client && known.says == leaf.says))
    };
    let unable = after.leaves.iter().filter(|leaf| anew || !stood(leaf)).find(|leaf| !does(leaf, asked));
    unable.map_or(Ok(()), |leaf| {
        let brings = |part: &&Part| match &part.effect {
            Effect::Add { client, .. } | Effect::Update { client, .. } => *client == leaf.client,
            _ => false,
        };
        let part = parts.iter().find(brings);
        let violation = Violation::from(Breach::LeafCapabilities).about(&leaf.user);
        Err(violation.proposed_as(part.and_then(|part| part.reference.as_ref())))
    })
}

/// The same for a room that starts.
pub(super) fn check_founding(post: &RoomState, view: &GroupView) -> Result<(), Violation> {
    let Some(asked) = post.operational().filter(|asked| asks(asked)) else { return Ok(()) };
    let unable = view.leaves.iter().find(|leaf| !does(leaf, asked));
    unable.map_or(Ok(()), |leaf| Err(Violation::from(Breach::LeafCapabilities).about(&leaf.user)))
}

fn asks(parameters: &OperationalParameters) -> bool {
    !parameters.mandatory_capabilities.is_empty() || !parameters.forbidden_capabilities.is_empty()
}

fn lists(parameters: &OperationalParameters) -> [&ExtendedCapabilities; 3] {
    [&parameters.mandatory_capabilities, &parameters.default_capabilities, &parameters.forbidden_capabilities]
}

fn does(leaf: &Leaf, parameters: &OperationalParameters) -> bool {
    let OperationalParameters {
        mandatory_capabilities: must,
        default_capabilities: default,
        forbidden_capabilities: never,
        ..
    } = parameters;
    let LeafCapabilities { versions, suites, extensions, proposals, credentials, components, safe_aad, media_types } =
        &leaf.says.capabilities;
    // What a leaf says nothing of is as the room has it by default.
    let components = components.as_ref().unwrap_or(&default.component_ids);
    let safe_aad = safe_aad.as_ref().unwrap_or(&default.safe_aad_types);
    let media_types = media_types.as_ref().unwrap_or(&default.media_types);
    fits(versions, &must.versions, &never.versions, |_| false)
        && fits(suites, &must.suites, &never.suites, |_| false)
        && fits(extensions, &must.extensions, &never.extensions, |kind| EXTENSIONS.contains(kind))
        && fits(proposals, &must.proposals, &never.proposals, |kind| PROPOSALS.contains(kind))
        && fits(credentials, &must.credentials, &never.credentials, |_| false)
        && fits(components, &must.component_ids, &never.component_ids, |_| false)
        && fits(safe_aad, &must.safe_aad_types, &never.safe_aad_types, |_| false)
        && fits(media_types, &must.media_types, &never.media_types, |_| false)
}

fn fits<T: PartialEq>(has: &[T], must: &[T], never: &[T], always: impl Fn(&T) -> bool) -> bool {
    must.iter().all(|one| always(one) || has.contains(one)) && !has.iter().any(|one| never.contains(one))
}
