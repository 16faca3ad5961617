//! Real groups, real members and edits of what they make: random bytes never have a valid signature.

use std::cell::RefCell;
use std::time::Duration;

use portcullis_core::member::{Bundling, Draft, Member};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::{Group, key_package};
use portcullis_core::room::{RoomState, Template, actions, proposed_actions};
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{ComponentId, RoomMetadata};
use portcullis_core::wire::group_info::{GroupInfoRatchetTree, GroupInfoResponse};
use portcullis_core::wire::mls::{KeyPackage, MlsMessage, RatchetTree};
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::{GroupInfoOption, RatchetTreeOption, UpdateRequest};
use portcullis_core::wire::uri::{ClientUri, GroupUri, RoomUri, UserUri};

use super::Decoder;
use super::documents::extensions;
use super::edits::edited;
use super::endpoints::{canonical, part};
use super::objects::now;

pub(super) const GROUPS: &[Decoder] = &[
    Decoder { name: "GroupInfo and tree", run: founding },
    Decoder { name: "edited GroupInfo and tree", run: edited_founding },
    Decoder { name: "edited snapshot", run: edited_snapshot },
    Decoder { name: "edited KeyPackage", run: edited_key_package },
];

pub(super) const HANDSHAKES: &[Decoder] = &[
    Decoder { name: "edited update", run: edited_update },
    Decoder { name: "edited fan-out", run: edited_fanout },
    Decoder { name: "groupInfo answer", run: answer },
    Decoder { name: "edited join material", run: edited_material },
    Decoder { name: "edited commit of a hub", run: edited_commit },
];

const STRICT: &str = include_str!("../../policies/templates/strict.yaml");
const ORDINARY: u32 = 2;
const BANNED: u32 = 1;
const LIFETIME: Duration = Duration::from_secs(60 * 24 * 3600);

thread_local! {
    static TABLE: Table = Table::laid().unwrap_or_else(|error| panic!("no room can be made: {error}"));
}

type Mishap = Box<dyn std::error::Error>;

/// A room with alice, bob and cathy in it, and what could happen next.
struct Table {
    /// The GroupInfo and tree of the first epoch.
    first: (Vec<u8>, Vec<u8>),
    /// The group as it is, and as it is with pending proposals.
    groups: [Group; 2],
    state: RoomState,
    /// Valid updates, each with the position of the group it is for.
    updates: Vec<(usize, Vec<u8>)>,
    /// What cathy is about to be told.
    fanout: Vec<Vec<u8>>,
    cathy: RefCell<Member>,
    /// What dave needs to join, and the answer it would come in.
    material: Vec<u8>,
    dave: RefCell<Member>,
    key_package: Vec<u8>,
}

fn room() -> Result<RoomUri, Mishap> {
    Ok(RoomUri::parse("mimi://a.example/r/lobby")?)
}

fn member(name: &str) -> Result<Member, Mishap> {
    Ok(Member::new(ClientUri::parse(&format!("mimi://a.example/d/{name}/phone"))?)?)
}

fn packages(member: &mut Member) -> Result<Vec<KeyPackage>, Mishap> {
    Ok(member.key_packages(1, LIFETIME)?)
}

impl Table {
    fn laid() -> Result<Self, Mishap> {
        let room = room()?;
        let (mut alice, mut bob, mut cathy, mut dave) =
            (member("alice")?, member("bob")?, member("cathy")?, member("dave")?);
        let extensions = extensions(&Template::parse(STRICT)?).ok_or("the template is not compiled")?;
        let first = alice.create_room(&room, &GroupUri::parse("mimi://a.example/g/lobby")?, &extensions)?;
        let first = (first.group_info.as_bytes().to_vec(), first.tree.as_bytes().to_vec());
        let mut group = Group::found(&first.0, &first.1)?;
        let guests = [packages(&mut bob)?, packages(&mut cathy)?].concat();
        let listed = [(bob.user().clone(), ORDINARY), (cathy.user().clone(), ORDINARY)];
        let UpdateRequest::Commit(bundle) = alice.add(&room, guests, listed)? else { return Err("no commit".into()) };
        group.merge(group.inspect_commit(&bundle, now())?)?;
        alice.accepted(&room)?;
        let welcome = bundle.welcome.ok_or("no Welcome")?;
        let tree = RatchetTreeOption::Full(alice.group_info(&room)?.tree);
        let welcome =
            FanoutMessage { timestamp: now(), body: FanoutBody::Welcome { message: welcome.message(), tree } };
        bob.receive(&room, &welcome)?;
        cathy.receive(&room, &welcome)?;

        let key_package = packages(&mut dave)?.remove(0);
        let mut updates = commits(&mut alice, &room, (&bob, &cathy), (&key_package, dave.user()))?;
        let current = alice.group_info(&room)?;
        let material = GroupInfoRatchetTree {
            group_info: current.group_info,
            ratchet_tree: RatchetTreeOption::Full(current.tree),
            pending_proposals: Vec::new(),
        };
        updates.push((0, dave.external_join(&room, &material, Some(ORDINARY))?.encode()));
        dave.rejected(&room)?;
        let message = alice.text(&room, "hello")?.message;

        let leave = bob.leave(&room)?;
        let UpdateRequest::Proposals(proposals) = &leave else { return Err("no proposals".into()) };
        let mut pending = Group::restore(&group.snapshot()?)?;
        for proposal in proposals {
            pending.queue(proposal)?;
        }
        let (message_of, more) = proposals.split_first().ok_or("no proposal")?;
        let proposed = FanoutBody::Proposal { message: message_of.clone(), more: more.to_vec() };
        alice.receive(&room, &FanoutMessage { timestamp: now(), body: proposed.clone() })?;
        let citing = alice.commit_pending(&room)?;
        let UpdateRequest::Commit(commit) = &citing else { return Err("no commit".into()) };
        let committed = FanoutBody::Commit { message: commit.commit.clone(), external_proposals: Vec::new() };
        let said = FanoutBody::Application { message, frank: None };
        let fanout = [said, proposed, committed].map(|body| FanoutMessage { timestamp: now(), body }.encode());
        updates.extend([(0, leave.encode()), (1, citing.encode())]);

        let state = RoomState::read(group.view())?;
        Ok(Self {
            first,
            groups: [group, pending],
            state,
            updates,
            fanout: fanout.into(),
            cathy: RefCell::new(cathy),
            material: material.encode(),
            dave: RefCell::new(dave),
            key_package: key_package.as_bytes().to_vec(),
        })
    }
}

/// What alice could commit.
fn commits(
    alice: &mut Member,
    room: &RoomUri,
    (bob, cathy): (&Member, &Member),
    (key_package, dave): (&KeyPackage, &UserUri),
) -> Result<Vec<(usize, Vec<u8>)>, Mishap> {
    let metadata: RoomMetadata = alice.component(room)?.ok_or("no metadata")?;
    let renamed = RoomMetadata { name: "Saloon".to_owned(), ..metadata }.encode();
    let drafts = [
        Draft::default(),
        Draft::default().clients([key_package.clone()]).participant(dave.clone(), ORDINARY),
        Draft::default().without_clients(bob.user().clone()).without_participant(bob.user().clone()),
        Draft::default().without_clients(cathy.user().clone()).role(cathy.user().clone(), BANNED),
        Draft::default().component(ComponentId::ROOM_METADATA, Some(renamed)),
    ];
    let mut commits = Vec::new();
    for bundling in [Bundling::Light, Bundling::Full] {
        alice.bundle(bundling);
        for draft in &drafts {
            commits.push((0, alice.commit(room, draft)?.encode()));
            alice.rejected(room)?;
        }
    }
    Ok(commits)
}

/// What must hold for every group that was let in.
fn stands(group: &Group) {
    let Ok(snapshot) = group.snapshot() else { panic!("a group cannot be read") };
    let Ok(restored) = Group::restore(&snapshot) else { panic!("a snapshot cannot be restored") };
    assert!(restored.view() == group.view(), "a group is another one after it was restored");
    let Ok(tree) = group.ratchet_tree() else { panic!("a tree cannot be encoded") };
    assert!(restored.ratchet_tree().as_ref() == Ok(&tree) && restored.extensions() == group.extensions());
    assert!(canonical::<RatchetTree>(tree.as_bytes()).is_some());
}

fn found(group_info: &[u8], tree: &[u8]) -> bool {
    let Ok(group) = Group::found(group_info, tree) else { return false };
    stands(&group);
    true
}

fn founding(mut bytes: &[u8]) -> bool {
    part(&mut bytes).is_some_and(|group_info| found(group_info, bytes))
}

/// Edits of the GroupInfo, then of the tree.
fn edited_founding(mut bytes: &[u8]) -> bool {
    let Some(edits) = part(&mut bytes) else { return false };
    TABLE.with(|table| found(&edited(&table.first.0, edits), &edited(&table.first.1, bytes)))
}

/// A snapshot that something has spoilt in the database.
fn edited_snapshot(bytes: &[u8]) -> bool {
    TABLE.with(|table| {
        let Ok(snapshot) = table.groups[0].snapshot() else { panic!("a group has no snapshot") };
        let Ok(group) = Group::restore(&edited(&snapshot, bytes)) else { return false };
        stands(&group);
        for (_, update) in &table.updates {
            if let Ok(UpdateRequest::Commit(bundle)) = UpdateRequest::decode(update) {
                let _ = group.inspect_commit(&bundle, now());
            }
        }
        true
    })
}

fn edited_key_package(bytes: &[u8]) -> bool {
    TABLE.with(|table| {
        let Some(package) = canonical::<KeyPackage>(&edited(&table.key_package, bytes)) else { return false };
        let valid = key_package::validate(&HubCrypto::default(), &package, Duration::ZERO, now()).is_ok();
        assert_eq!(valid, package.as_bytes() == table.key_package, "one KeyPackage is as good as another");
        valid
    })
}

/// Which update, then its edits.
fn edited_update(bytes: &[u8]) -> bool {
    let Some((which, edits)) = bytes.split_first() else { return false };
    TABLE.with(|table| {
        let Some((group, update)) = table.updates.get(usize::from(*which)) else { return false };
        let Some(group) = table.groups.get(*group) else { return false };
        match canonical::<UpdateRequest>(&edited(update, edits)) {
            Some(UpdateRequest::Commit(bundle)) => {
                let Ok(staged) = group.inspect_commit(&bundle, now()) else { return false };
                stands(staged.group());
                assert_eq!(staged.change.after.epoch, staged.change.before.epoch + 1);
                actions(&staged.change, &table.state, None).is_ok()
            }
            Some(UpdateRequest::Proposals(proposals)) => {
                let Ok(proposed) = group.inspect_proposals(&proposals, now()) else { return false };
                proposed_actions(group.view(), &table.state, &group.pending(), &proposed.parts).is_ok()
            }
            None => false,
        }
    })
}

/// Which update, then the edits of its commit, as a follower gets it: without GroupInfo and tree.
fn edited_commit(bytes: &[u8]) -> bool {
    let Some((which, edits)) = bytes.split_first() else { return false };
    TABLE.with(|table| {
        let Some((group, update)) = table.updates.get(usize::from(*which)) else { return false };
        let (Some(group), Ok(UpdateRequest::Commit(bundle))) =
            (table.groups.get(*group), UpdateRequest::decode(update))
        else {
            return false;
        };
        let Some(commit) = canonical::<MlsMessage>(&edited(bundle.commit.as_bytes(), edits)) else { return false };
        let Ok(staged) = group.inspect_fanned_out(&commit, now()) else { return false };
        stands(staged.group());
        let Ok(of_hub) = group.inspect_commit(&bundle, now()) else { panic!("a hub refuses what a follower takes") };
        assert!(staged.change.after == of_hub.change.after, "a follower is in another room than its hub");
        actions(&staged.change, &table.state, None).is_ok()
    })
}

/// Which message, then its edits; what is not edited would move the member on.
fn edited_fanout(bytes: &[u8]) -> bool {
    let Some((which, edits)) = bytes.split_first() else { return false };
    TABLE.with(|table| {
        let Some(original) = table.fanout.get(usize::from(*which)) else { return false };
        let Some(fanout) = canonical::<FanoutMessage>(&edited(original, edits)) else { return false };
        let same =
            FanoutMessage::decode(original).is_ok_and(|original| original.body.message() == fanout.body.message());
        let Ok(room) = room() else { return false };
        if !same {
            let _ = table.cathy.borrow_mut().receive(&room, &fanout);
        }
        same
    })
}

/// Opens an answer that no hub has given.
fn answer(bytes: &[u8]) -> bool {
    let Some(answer) = canonical::<GroupInfoResponse>(bytes) else { return false };
    TABLE.with(|table| {
        let Ok(room) = room() else { return false };
        let mut dave = table.dave.borrow_mut();
        let _ = dave.group_info_request(&room, None);
        assert!(dave.open_group_info_response(&room, &answer).is_err(), "an answer of nobody was opened");
        true
    })
}

fn edited_material(bytes: &[u8]) -> bool {
    TABLE.with(|table| {
        let Some(material) = canonical::<GroupInfoRatchetTree>(&edited(&table.material, bytes)) else { return false };
        let Ok(room) = room() else { return false };
        let mut dave = table.dave.borrow_mut();
        let joined = dave.external_join(&room, &material, Some(ORDINARY)).is_ok();
        if joined {
            assert!(dave.rejected(&room).is_ok());
        }
        joined
    })
}

/// Bytes of real rooms by the name of their decoder, in the target that it belongs to.
pub(super) fn seeds() -> Result<Vec<(&'static str, Vec<u8>)>, Mishap> {
    let nothing = vec![0, 0];
    let mut seeds = vec![
        ("edited GroupInfo and tree", nothing),
        ("edited snapshot", Vec::new()),
        ("edited KeyPackage", Vec::new()),
        ("edited join material", Vec::new()),
    ];
    TABLE.with(|table| {
        let (group_info, tree) = &table.first;
        let request = table.dave.borrow_mut().group_info_request(&room()?, None)?;
        let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes(), bytes].concat();
        let (suite, tbs) = (request.suite.to_be_bytes(), sized(&request.tbs()));
        seeds
            .push(("signature", [suite.as_slice(), &sized(&request.signature_key), &tbs, &request.signature].concat()));
        seeds.push(("HPKE public key", [suite.as_slice(), &request.group_info_public_key].concat()));
        seeds.push(("HPKE ciphertext", [suite.as_slice(), &sized(&[7; 32]), &sized(&[9; 32]), &[0; 24]].concat()));
        seeds.push(("GroupInfoRequest", request.encode()));
        seeds.push(("GroupInfo and tree", [sized(group_info).as_slice(), tree].concat()));
        seeds.push(("GroupInfo", group_info.clone()));
        seeds.push(("RatchetTree", tree.clone()));
        seeds.push(("KeyPackage", table.key_package.clone()));
        seeds.push(("GroupInfoRatchetTree", table.material.clone()));
        for (which, (_, update)) in (0u8..).zip(&table.updates) {
            seeds.push(("edited update", vec![which]));
            seeds.push(("edited commit of a hub", vec![which]));
            seeds.push(("UpdateRequest", update.clone()));
            let UpdateRequest::Commit(bundle) = UpdateRequest::decode(update)? else { continue };
            seeds.push(("GroupInfoOption", bundle.group_info.encode()));
            seeds.push(("RatchetTreeOption", bundle.ratchet_tree.encode()));
            seeds.push(("MlsMessage", bundle.commit.as_bytes().to_vec()));
            if let GroupInfoOption::Partial(partial) = bundle.group_info {
                seeds.push(("PartialGroupInfo", partial.encode()));
                seeds.push(("Extensions", partial.extensions.encode()));
            }
            seeds.extend(bundle.welcome.map(|welcome| ("Welcome", welcome.as_bytes().to_vec())));
        }
        for (which, fanout) in (0u8..).zip(&table.fanout) {
            seeds.push(("edited fan-out", vec![which]));
            seeds.push(("FanoutMessage", fanout.clone()));
            seeds.push(("batch of FanoutMessages", fanout.repeat(2)));
        }
        Ok(seeds)
    })
}
