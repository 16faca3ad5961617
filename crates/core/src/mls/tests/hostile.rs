//! Nothing a peer can send makes the hub panic, and nothing that was changed on its way is accepted.

use proptest::prelude::*;

use super::*;
use crate::wire::update::UpdateRequest;

/// Every single changed octet of an update leads to a refusal, or to bytes whose meaning is the same: only the
/// membership tag and what only members can open may differ.
#[test]
fn a_changed_octet_is_refused_unless_only_members_could_notice() {
    let mut room = Room::of(&["alice", "bob", "cathy"]);
    let update = ParticipantListUpdate { removed: vec![2], ..ParticipantListUpdate::default() };
    let updates = vec![participants(update)];
    let bundle = room.clients[0].commit(Draft { removes: vec![2], updates, ..Draft::default() });
    let honest = room.inspect(&bundle).unwrap().change;
    let commit = bundle.commit.as_bytes().len();
    let bytes = UpdateRequest::Commit(bundle).encode();
    for at in (0..bytes.len()).step_by(7).chain(commit - 120..commit) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let Ok(UpdateRequest::Commit(bundle)) = UpdateRequest::decode(&changed) else { continue };
        if let Ok(staged) = room.inspect(&bundle) {
            assert!((commit - 33..commit).contains(&at), "octet {at} of {commit} makes no difference");
            assert_eq!(staged.change, honest);
        }
    }
}

#[test]
fn a_truncated_message_is_refused() {
    let mut room = Room::of(&["alice", "bob"]);
    let proposal = room.clients[1].propose_leaf();
    for end in 0..proposal.as_bytes().len() {
        assert!(MlsMessage::decode(&proposal.as_bytes()[..end]).is_err(), "{end}");
    }
}

#[test]
fn leaves_beyond_the_tree_are_nobody() {
    let room = Room::of(&["alice", "bob"]);
    for leaf in [2, 3, 1 << 20, (1 << 30) - 1, 1 << 30, 1 << 31, u32::MAX] {
        let remove = [&[0, 3], leaf.to_be_bytes().as_slice()].concat();
        assert_eq!(room.refused_proposal(&[room.hand_made(0, PROPOSAL, &remove)]), CheckId::Standalone, "{leaf}");
        assert_eq!(room.refused_proposal(&[room.hub_remove(leaf)]), CheckId::Standalone, "{leaf}");
        let commit = [raw([vec![1], remove].concat()), vec![0]].concat();
        assert!(room.inspect(&room.with_commit(room.hand_made(0, COMMIT, &commit))).is_err(), "{leaf}");
        let mut from_nobody = room.hub_remove(0).as_bytes().to_vec();
        let sender = 4 + 1 + GROUP.len() + 8;
        from_nobody[sender + 1..sender + 5].copy_from_slice(&leaf.to_be_bytes());
        let by_sender = MlsMessage::decode(&from_nobody).unwrap();
        assert_eq!(room.refused_proposal(&[by_sender]), CheckId::Authenticity, "{leaf}");
        let mut from_nobody = room.hand_made(0, PROPOSAL, &[0, 10]).as_bytes().to_vec();
        from_nobody[sender + 1..sender + 5].copy_from_slice(&leaf.to_be_bytes());
        let by_member = MlsMessage::decode(&from_nobody).unwrap();
        assert_eq!(room.refused_proposal(&[by_member]), CheckId::Authenticity, "{leaf}");
    }
}

/// One proposal of any type, well formed as far as framing goes.
fn proposal() -> impl Strategy<Value = Vec<u8>> {
    let data = || prop::collection::vec(any::<u8>(), 0..24).prop_map(raw);
    prop_oneof![
        (0_u32..4).prop_map(|leaf| [&[0, 3], leaf.to_be_bytes().as_slice()].concat()),
        Just(vec![0, 10]),
        (0x20_u16..0x30, data()).prop_map(|(id, data)| [&[0, 8], id.to_be_bytes().as_slice(), &[1], &data].concat()),
        (0x20_u16..0x30).prop_map(|id| [&[0, 8], id.to_be_bytes().as_slice(), &[2]].concat()),
        data().prop_map(|data| [&[0, 6], data.as_slice()].concat()),
        data().prop_map(|data| [&[0, 7], data.as_slice()].concat()),
        (0x20_u16..0x30, data()).prop_map(|(id, data)| [&[0, 9], id.to_be_bytes().as_slice(), &data].concat()),
        (0xf000_u16.., data()).prop_map(|(kind, data)| [kind.to_be_bytes().as_slice(), &data].concat()),
        prop::collection::vec(any::<u8>(), 0..48),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn authentic_nonsense_is_an_error(
        proposals in prop::collection::vec((proposal(), any::<bool>()), 1..5),
        reference in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let room = room();
        if let Some(message) = room.try_hand_made(0, PROPOSAL, &proposals[0].0) {
            let _ = room.hub.inspect_proposals(&[message.clone(), message], now());
        }
        let list = proposals.into_iter().flat_map(|(proposal, by_value)| {
            if by_value { [vec![1], proposal].concat() } else { [vec![2], raw(reference.clone())].concat() }
        });
        if let Some(commit) = room.try_hand_made(1, COMMIT, &[raw(list.collect()), vec![0]].concat()) {
            prop_assert!(room.inspect(&room.with_commit(commit)).is_err());
        }
    }
}

fn room() -> &'static Room {
    static ROOM: std::sync::OnceLock<Room> = std::sync::OnceLock::new();
    ROOM.get_or_init(|| Room::of(&["alice", "bob"]))
}
