use openmls::extensions::Extension;

use super::*;
use crate::mls::MlsError;

fn found(extensions: impl FnOnce(&SignatureKeyPair) -> Vec<Extension>) -> Result<Group, MlsError> {
    let (group_info, tree) = Client::new("alice").create(extensions(&key_pair()));
    Group::found(&group_info, &tree)
}

#[test]
fn a_founded_group_shows_its_client_and_components() {
    let room = Room::of(&["alice"]);
    let view = room.hub.view();
    assert_eq!((view.group.as_str(), view.epoch, view.suite), (GROUP, 0, 1));
    assert_eq!(room.users(), ["alice"]);
    assert_eq!(view.components, components("alice"));
    let senders = room.hub.external_senders().unwrap();
    assert_eq!(senders[0].signature_key, room.hub_signer.public());
}

#[test]
fn a_raw_group_info_founds_the_same_group() {
    let mut alice = Client::new("alice");
    let hub = key_pair();
    let (message, tree) = alice.create(vec![required(), external_senders(&hub), app_data(&components("alice"))]);
    let (framed, raw) = (Group::found(&message, &tree).unwrap(), Group::found(&message[4..], &tree).unwrap());
    assert_eq!(framed.view(), raw.view());
    assert_eq!(raw.group_info(), &message[4..]);
    assert_eq!(raw.ratchet_tree().unwrap().as_bytes(), tree);
}

#[test]
fn check_19_a_group_requires_what_rooms_are_made_of() {
    let founded = found(|hub| vec![external_senders(hub), app_data(&components("alice"))]);
    assert_eq!(founded.unwrap_err(), MlsError::Refused(CheckId::RequiredCapabilities));
    let without_self_remove = Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(
        &[ExtensionType::AppDataDictionary],
        &[ProposalType::AppDataUpdate],
        &[],
    ));
    let founded = found(|hub| vec![without_self_remove, external_senders(hub), app_data(&components("alice"))]);
    assert_eq!(founded.unwrap_err(), MlsError::Refused(CheckId::RequiredCapabilities));
}

#[test]
fn check_21_a_group_has_external_senders() {
    let founded = found(|_| vec![required(), app_data(&components("alice"))]);
    assert_eq!(founded.unwrap_err(), MlsError::Refused(CheckId::ExternalSenders));
}

#[test]
fn check_8_the_creator_is_listed() {
    let founded = found(|hub| vec![required(), external_senders(hub), app_data(&components("bob"))]);
    assert_eq!(founded.unwrap_err(), MlsError::Refused(CheckId::Participants));
}

#[test]
fn a_changed_group_info_or_tree_founds_nothing() {
    let (group_info, tree) =
        Client::new("alice").create(vec![required(), external_senders(&key_pair()), app_data(&components("alice"))]);
    let mut forged = group_info.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(Group::found(&forged, &tree).unwrap_err(), MlsError::Refused(CheckId::GroupInfo));
    let (_, other) =
        Client::new("alice").create(vec![required(), external_senders(&key_pair()), app_data(&components("alice"))]);
    assert!(matches!(Group::found(&group_info, &other).unwrap_err(), MlsError::Refused(_)));
    for cut in [0, 4, group_info.len() - 1] {
        assert!(matches!(Group::found(&group_info[..cut], &tree).unwrap_err(), MlsError::Malformed(_)));
    }
    assert!(matches!(Group::found(&group_info, &tree[..tree.len() - 1]).unwrap_err(), MlsError::Malformed(_)));
}

#[test]
fn a_restored_group_goes_on_where_the_other_was() {
    let mut room = Room::of(&["alice", "bob"]);
    let restored = Group::restore(&room.hub.snapshot().unwrap()).unwrap();
    assert_eq!(restored.view(), room.hub.view());
    assert_eq!(restored.ratchet_tree().unwrap(), room.hub.ratchet_tree().unwrap());
    assert_eq!(restored.group_info(), room.hub.group_info());
    room.hub = restored;
    let bundle = room.clients[1].commit(Draft::default());
    room.accept(1, &bundle);
    assert_eq!(room.hub.view().epoch, 2);
}

#[test]
fn bytes_that_are_no_snapshot_restore_nothing() {
    let snapshot = Room::of(&["alice"]).hub.snapshot().unwrap();
    assert_eq!(Group::restore(b"").unwrap_err(), MlsError::Snapshot);
    assert_eq!(Group::restore(&snapshot[1..]).unwrap_err(), MlsError::Snapshot);
    assert_eq!(Group::restore(&snapshot[..snapshot.len() - 1]).unwrap_err(), MlsError::Snapshot);
    assert_eq!(Group::restore(&[snapshot.as_slice(), &[0]].concat()).unwrap_err(), MlsError::Snapshot);
}
