//! What AppDataUpdate proposals make of the components: one deterministic function for committers, hubs and members.
//!
//! MLS leaves the meaning of an update to the application; whoever computes another result than the committer cannot
//! follow the group any longer.

use std::collections::{BTreeMap, BTreeSet};

use openmls::component::ComponentData;
use openmls::group::AppDataDictionaryUpdater;
use openmls::prelude::{AppDataDictionary, AppDataUpdateOperation, AppDataUpdateProposal};

use crate::wire::components::{
    ComponentId, Dictionary, JoinLinks, JoinLinksUpdate, ParticipantList, ParticipantListUpdate, RolesList,
};
use crate::wire::uri::UserUri;
use crate::wire::{DecodeError, Wire};

use super::ComponentOperation;

/// One AppDataUpdate proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentUpdate {
    /// The component it is for.
    pub component: ComponentId,
    /// What it does to it.
    pub operation: ComponentOperation,
}

/// Why updates cannot be applied. The position is the one in the list that was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("update {position} of `{component}` is not valid: {reason}")]
pub struct ComponentError {
    /// Which update.
    pub position: usize,
    /// Its component.
    pub component: ComponentId,
    /// What is wrong with it.
    #[source]
    pub reason: ComponentReason,
}

/// What is wrong with an update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentReason {
    /// The component is not there to be removed.
    #[error("the component is absent")]
    Absent,
    /// The component is removed twice, or removed and updated, by one list of proposals.
    #[error("the component is removed and changed again")]
    RemovedAndChanged,
    /// The components 0x20 to 0x27 stay (draft-ietf-mimi-protocol; policy invariant 13).
    #[error("the component cannot be removed")]
    Permanent,
    /// room_metadata may be updated once per commit.
    #[error("the component is updated twice")]
    UpdatedTwice,
    /// The update, or the component it is for, does not decode.
    #[error("malformed")]
    Malformed(#[from] DecodeError),
    /// A position beyond the end of the list.
    #[error("position {0} is out of range")]
    OutOfRange(u32),
    /// Two operations on one entry.
    #[error("position {0} is used twice")]
    PositionTwice(u32),
    /// The user is in the list, or added twice.
    #[error("a user is listed already")]
    Listed(UserUri),
    /// The participant has that role already.
    #[error("position {0} has that role already")]
    SameRole(u32),
    /// Role 0 stands for those who are not listed, and a role must be defined.
    #[error("role {0} cannot be held")]
    Role(u32),
    /// The link is in the list, or added twice.
    #[error("a join link is there already")]
    LinkTwice,
}

/// New data of the components that change; `None` where one goes.
pub type ComponentChanges = BTreeMap<ComponentId, Option<Vec<u8>>>;

/// Applies `updates`, in the order of their commit, to `before`.
///
/// Positions of participant_list and join_links always mean those of `before`, also when several updates follow each
/// other: changes first, then removals, then additions in commit order (reading D-50). Every other component is
/// replaced; the last update wins, but room_metadata may be updated once only.
///
/// # Errors
///
/// [`ComponentError`] naming the first update that cannot be applied. The proposal list is then invalid as a whole.
pub fn apply(before: &Dictionary, updates: &[ComponentUpdate]) -> Result<ComponentChanges, ComponentError> {
    apply_to(before, updates).map(|(changes, _)| changes)
}

/// As [`apply`], with the participant list as it will be, where it changes: many ask for it next.
pub(super) fn apply_to(
    before: &Dictionary,
    updates: &[ComponentUpdate],
) -> Result<(ComponentChanges, Option<ParticipantList>), ComponentError> {
    let mut touched: BTreeMap<ComponentId, Vec<(usize, &ComponentOperation)>> = BTreeMap::new();
    for (position, update) in updates.iter().enumerate() {
        touched.entry(update.component).or_default().push((position, &update.operation));
    }
    let mut list = None;
    let changes = touched
        .into_iter()
        .map(|(component, operations)| Ok((component, component_after(before, component, &operations, &mut list)?)));
    Ok((changes.collect::<Result<_, _>>()?, list))
}

fn component_after(
    before: &Dictionary,
    component: ComponentId,
    operations: &[(usize, &ComponentOperation)],
    list: &mut Option<ParticipantList>,
) -> Result<Option<Vec<u8>>, ComponentError> {
    let fail = |position, reason| ComponentError { position, component, reason };
    let mut updates = Vec::new();
    for (position, operation) in operations {
        match operation {
            ComponentOperation::Update(data) => updates.push((*position, data.as_slice())),
            ComponentOperation::Remove if operations.len() > 1 => {
                return Err(fail(*position, ComponentReason::RemovedAndChanged));
            }
            ComponentOperation::Remove if (0x20..=0x27).contains(&component.0) => {
                return Err(fail(*position, ComponentReason::Permanent));
            }
            ComponentOperation::Remove if before.get(component).is_none() => {
                return Err(fail(*position, ComponentReason::Absent));
            }
            ComponentOperation::Remove => {}
        }
    }
    let after = match component {
        _ if updates.is_empty() => return Ok(None),
        ComponentId::PARTICIPANT_LIST => participants_after(before, &updates).map(|after| list.insert(after).encode()),
        ComponentId::JOIN_LINKS => join_links_after(before, &updates),
        ComponentId::ROOM_METADATA if updates.len() > 1 => {
            updates.get(1).map_or_else(|| Ok(Vec::new()), |(at, _)| Err((*at, ComponentReason::UpdatedTwice)))
        }
        _ => Ok(updates.last().map(|(_, data)| data.to_vec()).unwrap_or_default()),
    };
    after.map(Some).map_err(|(position, reason)| fail(position, reason))
}

type Failure = (usize, ComponentReason);

fn participants_after(before: &Dictionary, updates: &[(usize, &[u8])]) -> Result<ParticipantList, Failure> {
    let start = updates.first().map_or(0, |(at, _)| *at);
    let list = before.participants().map_err(|error| (start, error.into()))?.unwrap_or_default();
    let mut list = ParticipantList::clone(&list);
    let roles: Option<BTreeSet<u32>> = before
        .read::<RolesList>()
        .map_err(|error| (start, error.into()))?
        .map(|list| list.roles.iter().map(|role| role.role_index).collect());
    let holds = |role: u32| {
        let defined = roles.as_ref().is_none_or(|roles| roles.contains(&role));
        if role != 0 && defined { Ok(()) } else { Err(ComponentReason::Role(role)) }
    };
    let mut listed: BTreeSet<UserUri> = list.participants.iter().map(|participant| participant.user.clone()).collect();
    let mut positions = Positions::new(list.participants.len());
    let mut added = Vec::new();
    for (at, data) in updates {
        let update = ParticipantListUpdate::decode(data).map_err(|error| (*at, error.into()))?;
        for change in &update.changed {
            positions.touch(change.user_index).map_err(|reason| (*at, reason))?;
            holds(change.role_index).map_err(|reason| (*at, reason))?;
            let Some(participant) = entry(&mut list.participants, change.user_index) else { continue };
            if participant.role_index == change.role_index {
                return Err((*at, ComponentReason::SameRole(change.user_index)));
            }
            participant.role_index = change.role_index;
        }
        for index in &update.removed {
            positions.remove(*index).map_err(|reason| (*at, reason))?;
        }
        for participant in update.added {
            holds(participant.role_index).map_err(|reason| (*at, reason))?;
            if !listed.insert(participant.user.clone()) {
                return Err((*at, ComponentReason::Listed(participant.user)));
            }
            added.push(participant);
        }
    }
    list.participants = positions.compact(list.participants);
    list.participants.append(&mut added);
    Ok(list)
}

fn join_links_after(before: &Dictionary, updates: &[(usize, &[u8])]) -> Result<Vec<u8>, Failure> {
    let start = updates.first().map_or(0, |(at, _)| *at);
    let mut list = before.read::<JoinLinks>().map_err(|error| (start, error.into()))?.unwrap_or_default();
    let mut known: BTreeSet<Vec<u8>> = list.links.iter().cloned().collect();
    let mut positions = Positions::new(list.links.len());
    let mut added = Vec::new();
    for (at, data) in updates {
        let update = JoinLinksUpdate::decode(data).map_err(|error| (*at, error.into()))?;
        for index in &update.removed {
            positions.remove(*index).map_err(|reason| (*at, reason))?;
        }
        for link in update.added {
            if !known.insert(link.clone()) {
                return Err((*at, ComponentReason::LinkTwice));
            }
            added.push(link);
        }
    }
    list.links = positions.compact(list.links);
    list.links.append(&mut added);
    Ok(list.encode())
}

fn entry<T>(list: &mut [T], index: u32) -> Option<&mut T> {
    list.get_mut(usize::try_from(index).ok()?)
}

/// Which positions of a list the updates have touched: each at most once.
struct Positions {
    count: usize,
    touched: BTreeSet<u32>,
    removed: BTreeSet<usize>,
}

impl Positions {
    fn new(count: usize) -> Self {
        Self { count, touched: BTreeSet::new(), removed: BTreeSet::new() }
    }

    fn touch(&mut self, index: u32) -> Result<usize, ComponentReason> {
        let position = usize::try_from(index).map_err(|_| ComponentReason::OutOfRange(index))?;
        if position >= self.count {
            return Err(ComponentReason::OutOfRange(index));
        }
        if self.touched.insert(index) { Ok(position) } else { Err(ComponentReason::PositionTwice(index)) }
    }

    fn remove(&mut self, index: u32) -> Result<(), ComponentReason> {
        let position = self.touch(index)?;
        self.removed.insert(position);
        Ok(())
    }

    fn compact<T>(&self, list: Vec<T>) -> Vec<T> {
        list.into_iter().enumerate().filter(|(at, _)| !self.removed.contains(at)).map(|(_, item)| item).collect()
    }
}

/// `before` with `changes` made.
pub fn changed(before: &Dictionary, changes: ComponentChanges) -> Dictionary {
    let mut after = before.clone();
    for (component, data) in changes {
        match data {
            Some(data) => after.insert(component, data),
            None => after.remove(component),
        };
    }
    after
}

/// The components of a GroupContext of openmls.
pub fn dictionary(components: Option<&AppDataDictionary>) -> Dictionary {
    let entries = components.into_iter().flat_map(AppDataDictionary::entries);
    entries.map(|entry| (ComponentId(entry.id()), entry.data().to_vec())).collect()
}

/// The update that a proposal of openmls makes.
pub fn component_update(proposal: &AppDataUpdateProposal) -> ComponentUpdate {
    let operation = match proposal.operation() {
        AppDataUpdateOperation::Update(data) => ComponentOperation::Update(data.as_slice().to_vec()),
        AppDataUpdateOperation::Remove => ComponentOperation::Remove,
    };
    ComponentUpdate { component: ComponentId(proposal.component_id()), operation }
}

/// Hands `changes` to openmls.
pub fn fill(updater: &mut AppDataDictionaryUpdater<'_>, changes: ComponentChanges) {
    for (component, data) in changes {
        match data {
            Some(data) => updater.set(ComponentData::from_parts(component.0, data.into())),
            None => updater.remove(&component.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::components::{Participant, Role, RoleChange};

    fn user(name: &str) -> UserUri {
        UserUri::parse(&format!("mimi://a.example/u/{name}")).unwrap()
    }

    fn participant(name: &str, role_index: u32) -> Participant {
        Participant { user: user(name), role_index }
    }

    fn role(role_index: u32) -> Role {
        Role {
            role_index,
            name: String::new(),
            description: String::new(),
            capabilities: Vec::new(),
            min_participants: 0,
            max_participants: None,
            min_active: 0,
            max_active: None,
            authorized_role_changes: Vec::new(),
        }
    }

    /// Alice (5), Bob (3), Cathy (2); roles 2, 3 and 5.
    fn room() -> Dictionary {
        let mut dictionary = Dictionary::default();
        dictionary.write(&ParticipantList {
            participants: vec![participant("alice", 5), participant("bob", 3), participant("cathy", 2)],
        });
        dictionary.write(&RolesList { roles: vec![role(2), role(3), role(5)] });
        dictionary.write(&JoinLinks { links: vec![b"a".to_vec(), b"b".to_vec()] });
        dictionary
    }

    fn list(changed: &[(u32, u32)], removed: &[u32], added: &[(&str, u32)]) -> ComponentUpdate {
        let update = ParticipantListUpdate {
            changed: changed.iter().map(|(at, role)| RoleChange { user_index: *at, role_index: *role }).collect(),
            removed: removed.to_vec(),
            added: added.iter().map(|(name, role)| participant(name, *role)).collect(),
        };
        updated(ComponentId::PARTICIPANT_LIST, update.encode())
    }

    fn links(removed: &[u32], added: &[&[u8]]) -> ComponentUpdate {
        let added = added.iter().map(|link| link.to_vec()).collect();
        updated(ComponentId::JOIN_LINKS, JoinLinksUpdate { removed: removed.to_vec(), added }.encode())
    }

    fn updated(component: ComponentId, data: Vec<u8>) -> ComponentUpdate {
        ComponentUpdate { component, operation: ComponentOperation::Update(data) }
    }

    fn removed(component: u16) -> ComponentUpdate {
        ComponentUpdate { component: ComponentId(component), operation: ComponentOperation::Remove }
    }

    fn participants(updates: &[ComponentUpdate]) -> Vec<(String, u32)> {
        let changes = apply(&room(), updates).unwrap();
        let data = changes[&ComponentId::PARTICIPANT_LIST].as_ref().unwrap();
        let list = ParticipantList::decode(data).unwrap();
        list.participants.iter().map(|p| (p.user.last_segment().to_owned(), p.role_index)).collect()
    }

    fn reason(updates: &[ComponentUpdate]) -> (usize, ComponentReason) {
        let error = apply(&room(), updates).unwrap_err();
        (error.position, error.reason)
    }

    #[test]
    fn changes_come_before_removals_and_additions_are_appended() {
        let after = participants(&[list(&[(2, 3)], &[0], &[("dave", 2)])]);
        assert_eq!(after, [("bob".to_owned(), 3), ("cathy".to_owned(), 3), ("dave".to_owned(), 2)]);
    }

    #[test]
    fn positions_of_later_updates_still_mean_the_list_before_the_commit() {
        let after = participants(&[list(&[], &[0], &[("dave", 2)]), list(&[(2, 5)], &[], &[("erin", 3)])]);
        let expected = [("bob", 3), ("cathy", 5), ("dave", 2), ("erin", 3)];
        assert_eq!(after, expected.map(|(name, role)| (name.to_owned(), role)));
    }

    #[test]
    fn a_participant_is_touched_once_in_a_commit() {
        use ComponentReason::{Listed, PositionTwice};
        assert_eq!(reason(&[list(&[(1, 2)], &[1], &[])]), (0, PositionTwice(1)));
        assert_eq!(reason(&[list(&[(1, 2), (1, 5)], &[], &[])]), (0, PositionTwice(1)));
        assert_eq!(reason(&[list(&[(1, 2)], &[], &[]), list(&[], &[1], &[])]), (1, PositionTwice(1)));
        assert_eq!(reason(&[list(&[], &[1], &[("bob", 2)])]), (0, Listed(user("bob"))));
        assert_eq!(
            reason(&[list(&[], &[], &[("dave", 2)]), list(&[], &[], &[("dave", 3)])]),
            (1, Listed(user("dave")))
        );
    }

    #[test]
    fn positions_and_roles_that_do_not_exist_are_refused() {
        use ComponentReason::{OutOfRange, Role, SameRole};
        assert_eq!(reason(&[list(&[], &[3], &[])]), (0, OutOfRange(3)));
        assert_eq!(reason(&[list(&[(u32::MAX, 2)], &[], &[])]), (0, OutOfRange(u32::MAX)));
        assert_eq!(reason(&[list(&[(1, 0)], &[], &[])]), (0, Role(0)));
        assert_eq!(reason(&[list(&[], &[], &[("dave", 4)])]), (0, Role(4)));
        assert_eq!(reason(&[list(&[(1, 3)], &[], &[])]), (0, SameRole(1)));
    }

    #[test]
    fn join_links_go_by_position_and_come_at_the_end() {
        let changes = apply(&room(), &[links(&[0], &[b"c"]), links(&[], &[b"d"])]).unwrap();
        let data = changes[&ComponentId::JOIN_LINKS].as_ref().unwrap();
        assert_eq!(JoinLinks::decode(data).unwrap().links, [b"b", b"c", b"d"]);
        assert_eq!(reason(&[links(&[2], &[])]), (0, ComponentReason::OutOfRange(2)));
        assert_eq!(reason(&[links(&[], &[b"a"])]), (0, ComponentReason::LinkTwice));
    }

    #[test]
    fn other_components_are_replaced_and_metadata_once_only() {
        let component = ComponentId(0x8001);
        let changes = apply(&room(), &[updated(component, vec![1]), updated(component, vec![2])]).unwrap();
        assert_eq!(changes[&component], Some(vec![2]));
        let metadata = updated(ComponentId::ROOM_METADATA, vec![1]);
        assert_eq!(reason(&[metadata.clone(), metadata]), (1, ComponentReason::UpdatedTwice));
    }

    #[test]
    fn a_removal_stands_alone_and_is_of_something_that_may_go() {
        let mut room = room();
        room.insert(ComponentId(0x28), vec![1]);
        assert_eq!(apply(&room, &[removed(0x28)]).unwrap()[&ComponentId(0x28)], None);
        let reason = |updates: &[ComponentUpdate]| apply(&room, updates).unwrap_err().reason;
        assert_eq!(reason(&[removed(0x29)]), ComponentReason::Absent);
        assert_eq!(reason(&[removed(0x28), removed(0x28)]), ComponentReason::RemovedAndChanged);
        assert_eq!(reason(&[updated(ComponentId(0x28), vec![]), removed(0x28)]), ComponentReason::RemovedAndChanged);
        assert_eq!(reason(&[removed(0x22)]), ComponentReason::Permanent);
    }

    #[test]
    fn bytes_that_are_no_update_are_refused() {
        let update = updated(ComponentId::PARTICIPANT_LIST, vec![0xff, 0xff]);
        assert!(matches!(reason(&[update]), (0, ComponentReason::Malformed(_))));
    }
}
