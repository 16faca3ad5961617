//! Structs of any shape decode from what they encode to.

use portcullis_core::time::Millis;
use portcullis_core::wire::Protocol;
use portcullis_core::wire::submit::SubmitOutcome;
use portcullis_core::wire::uri::{RoomUri, UserUri};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,20}"
}

fn user() -> impl Strategy<Value = UserUri> {
    "mimi://[a-z]{1,8}\\.example/[up]/[A-Za-z0-9._~-]{1,20}".prop_map(|text| text.parse().unwrap())
}

fn room() -> impl Strategy<Value = RoomUri> {
    "mimi://[a-z]{1,8}\\.example/r/[A-Za-z0-9._~-]{1,20}".prop_map(|text| text.parse().unwrap())
}

fn participant() -> impl Strategy<Value = Participant> {
    (user(), any::<u32>()).prop_map(|(user, role_index)| Participant { user, role_index })
}

prop_compose! {
    fn role()(
        indexes in any::<[u32; 3]>(),
        name in text(),
        description in text(),
        capabilities in vec(any::<u16>(), 0..60),
        limits in any::<[Option<u32>; 2]>(),
        changes in vec((any::<u32>(), vec(any::<u32>(), 0..5)), 0..5),
    ) -> Role {
        Role {
            role_index: indexes[0],
            name,
            description,
            capabilities: capabilities.into_iter().map(Capability).collect(),
            min_participants: indexes[1],
            max_participants: limits[0],
            min_active: indexes[2],
            max_active: limits[1],
            authorized_role_changes: changes
                .into_iter()
                .map(|(from_role_index, target_role_indexes)| AuthorizedRoleChange { from_role_index, target_role_indexes })
                .collect(),
        }
    }
}

/// `value` survives its encoding, which is cut short by nothing and followed by nothing.
fn survives<T: Wire + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let encoded = value.encode();
    prop_assert_eq!(encoded.len(), value.tls_serialized_len());
    prop_assert_eq!(&T::decode(&encoded).unwrap(), value);
    for length in 0..encoded.len() {
        prop_assert!(T::decode(&encoded[..length]).is_err());
    }
    prop_assert_eq!(T::decode(&[encoded.as_slice(), &[0]].concat()).unwrap_err(), DecodeError::Trailing(T::NAME));
    Ok(())
}

proptest! {
    #[test]
    fn roles(roles in vec(role(), 0..4)) {
        survives(&RolesList { roles })?;
    }

    #[test]
    fn participant_updates(
        changed in vec(any::<(u32, u32)>(), 0..5),
        removed in vec(any::<u32>(), 0..5),
        added in vec(participant(), 0..5),
    ) {
        let changed = changed.into_iter().map(|(user_index, role_index)| RoleChange { user_index, role_index }).collect();
        survives(&ParticipantListUpdate { changed, removed, added })?;
    }

    #[test]
    fn dictionaries(components in btree_map(any::<u16>(), bytes(), 0..6)) {
        survives(&components.into_iter().map(|(id, data)| (ComponentId(id), data)).collect::<Dictionary>())?;
    }

    #[test]
    fn base_policies(flags in any::<[bool; 6]>(), parent_room in option::of(room()), limits in any::<[Option<u32>; 2]>()) {
        survives(&BaseRoomPolicy {
            fixed_membership: flags[0],
            parent_dependant: flags[1],
            parent_room,
            multi_device: flags[2],
            max_clients: limits[0],
            max_users: limits[1],
            pseudonyms_allowed: flags[3],
            persistent_room: flags[4],
            discoverable: flags[5],
            policy_component_ids: vec![ComponentId::ROLES_LIST],
        })?;
    }

    #[test]
    fn metadata(room in room(), texts in (text(), text(), text(), text()), descriptions in vec((text(), text(), bytes()), 0..3)) {
        let (name, avatar, subject, mood) = texts;
        let descriptions = descriptions
            .into_iter()
            .map(|(media_type, language, content)| RichDescription { media_type, language, content })
            .collect();
        survives(&RoomMetadata { room, name, descriptions, avatar, subject, mood })?;
    }

    #[test]
    fn update_answers(code in 0u8..4, description in text(), number in any::<u64>(), references in vec(bytes(), 0..4)) {
        survives(&match code {
            0 => UpdateResponse::Success { description, accepted_at: Millis(number) },
            1 => UpdateResponse::WrongEpoch { description, current: number },
            2 => UpdateResponse::NotAllowed { description },
            _ => UpdateResponse::InvalidProposal { description, references },
        })?;
    }

    #[test]
    fn submit_answers(number in any::<u64>(), frank in option::of((any::<[u8; 32]>(), any::<u16>(), bytes()))) {
        let frank = frank.map(|(server_frank, signature_suite, signature)| Frank { server_frank, signature_suite, signature });
        let outcome = SubmitOutcome::Accepted { accepted_at: Millis(number), frank };
        survives(&SubmitMessageResponse { protocol: Protocol::Mls10, outcome })?;
    }
}
