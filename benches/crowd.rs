//! A room of many, the commits of its members, and openmls alone on the same commits.

use std::time::{Duration, UNIX_EPOCH};

use openmls::framing::{MlsMessageBodyIn, MlsMessageIn, ProcessedMessageContent, ProtocolMessage};
use openmls::group::{ProposalStore, PublicGroup};
use portcullis_core::member::Member;
use portcullis_core::mls::component_updates::{apply, component_update, dictionary, fill};
use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::time::Millis;
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::{GroupInfo, RatchetTree};
use portcullis_core::wire::notify::{FanoutBody, FanoutMessage};
use portcullis_core::wire::update::{CommitBundle, RatchetTreeOption, UpdateRequest};
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use tls_codec::Deserialize as _;

use super::store::Nothing;

/// Members of the room.
pub(super) const PEOPLE: usize = 1000;
/// Members who commit, spread over the tree; all of them have committed before what is measured, so that the tree is
/// as full as in a room that has been in use.
const ACTIVE: usize = 16;
const ORDINARY: u32 = 2;
const GROUP_ADMIN: u32 = 3;
const LIFETIME: Duration = Duration::from_secs(60 * 24 * 3600);

/// A kind of commit.
pub(super) struct Kind {
    /// What it does.
    pub(super) name: &'static str,
    /// The commit of this number.
    build: fn(&mut Member, &RoomUri, usize) -> UpdateRequest,
}

/// What is measured.
pub(super) const KINDS: [Kind; 3] = [
    Kind { name: "update of own keys", build: |member, room, _| member.commit_pending(room).unwrap() },
    Kind {
        name: "change of a role",
        build: |member, room, number| {
            // None of those who commit, of whom every 66th is one.
            let user = named(member.user(), 597 + number);
            member.set_role(room, &user, ORDINARY).unwrap()
        },
    },
    Kind {
        name: "adding a user",
        build: |member, room, number| {
            let mut guest = guest(member.user(), PEOPLE + number);
            let packages = guest.key_packages(1, LIFETIME).unwrap();
            member.add(room, packages, [(guest.user().clone(), ORDINARY)]).unwrap()
        },
    },
];

/// The room, and clients that are in it.
pub(super) struct Crowd {
    pub(super) room: RoomUri,
    /// Who brought in the others comes first.
    active: Vec<Member>,
}

/// A user of the same provider.
fn named(like: &UserUri, number: usize) -> UserUri {
    UserUri::parse(&format!("mimi://{}/u/user{number}", like.domain())).unwrap()
}

fn guest(like: &UserUri, number: usize) -> Member {
    Member::new(ClientUri::parse(&format!("mimi://{}/d/user{number}/phone", like.domain())).unwrap()).unwrap()
}

/// openmls compares lifetimes with the system clock (C-12).
pub(super) fn now() -> Millis {
    Millis(u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap())
}

/// The commit of an update.
pub(super) fn bundle(update: &[u8]) -> CommitBundle {
    match UpdateRequest::decode(update).unwrap() {
        UpdateRequest::Commit(bundle) => bundle,
        UpdateRequest::Proposals(_) => panic!("no commit"),
    }
}

impl Crowd {
    /// `first`, who is in the room and may, brings in all others, some of whom commit then. Gives all updates.
    pub(super) fn gathered(mut first: Member, room: RoomUri) -> (Self, Vec<Vec<u8>>) {
        let own = first.user().clone();
        let mut guests: Vec<Member> = (1..PEOPLE).map(|number| guest(&own, number)).collect();
        let packages: Vec<_> = guests.iter_mut().flat_map(|guest| guest.key_packages(1, LIFETIME).unwrap()).collect();
        let listed = (1..PEOPLE).map(|number| (named(&own, number), GROUP_ADMIN));
        let request = first.add(&room, packages, listed).unwrap();
        let mut updates = vec![request.encode()];
        let UpdateRequest::Commit(bundle) = request else { panic!("no commit") };
        first.accepted(&room).unwrap();
        let tree = RatchetTreeOption::Full(first.group_info(&room).unwrap().tree);
        let message = bundle.welcome.unwrap().message();
        let welcome = FanoutMessage { timestamp: now(), body: FanoutBody::Welcome { message, tree } };
        let mut active = vec![first];
        for mut guest in guests.into_iter().step_by(PEOPLE / (ACTIVE - 1)) {
            guest.receive(&room, &welcome).unwrap();
            active.push(guest);
        }
        let mut crowd = Self { room, active };
        updates.extend(crowd.commits(&KINDS[0], 0..ACTIVE));
        (crowd, updates)
    }

    /// GroupInfo and tree of now.
    pub(super) fn group(&self) -> (Vec<u8>, Vec<u8>) {
        let group = self.active[0].group_info(&self.room).unwrap();
        (group.group_info.as_bytes().to_vec(), group.tree.as_bytes().to_vec())
    }

    /// Commits that follow each other, the active in turn.
    pub(super) fn commits(&mut self, kind: &Kind, numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
        numbers.map(|number| self.commit(kind, number)).collect()
    }

    fn commit(&mut self, kind: &Kind, number: usize) -> Vec<u8> {
        let by = number % self.active.len();
        let request = (kind.build)(&mut self.active[by], &self.room, number);
        let UpdateRequest::Commit(CommitBundle { commit, .. }) = &request else { panic!("no commit") };
        let body = FanoutBody::Commit { message: commit.clone(), external_proposals: Vec::new() };
        let fanout = FanoutMessage { timestamp: now(), body };
        for member in &mut self.active {
            member.receive(&self.room, &fanout).unwrap();
        }
        request.encode()
    }
}

/// openmls with a store that keeps nothing.
pub(super) struct Alone {
    group: PublicGroup,
    crypto: HubCrypto,
}

impl Alone {
    /// At this group.
    pub(super) fn at((group_info, tree): &(Vec<u8>, Vec<u8>)) -> Self {
        let crypto = HubCrypto::default();
        let group_info = GroupInfo::decode(group_info).unwrap().into_openmls().unwrap();
        let tree = RatchetTree::decode(tree).unwrap().into_openmls().unwrap();
        let (group, _) = PublicGroup::from_external(&crypto, &Nothing, tree, group_info, ProposalStore::new()).unwrap();
        Self { group, crypto }
    }

    /// Decodes, processes and merges the next commit.
    pub(super) fn merge(&mut self, commit: &[u8]) {
        let Self { group, crypto } = self;
        let message = MlsMessageIn::tls_deserialize_exact(commit).unwrap();
        let MlsMessageBodyIn::PublicMessage(message) = message.extract() else { panic!("no PublicMessage") };
        let processed = group.process_message(crypto, ProtocolMessage::from(message)).unwrap();
        let staged = match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => *staged,
            ProcessedMessageContent::UnresolvedAppDataCommit(unresolved) => {
                let updates: Vec<_> = unresolved.app_data_update_proposals().map(component_update).collect();
                let extension = group.group_context().extensions().app_data_dictionary();
                let before = dictionary(extension.map(|extension| extension.dictionary()));
                let mut updater = group.app_data_dictionary_updater();
                fill(&mut updater, apply(&before, &updates).unwrap());
                let changes = updater.changes();
                group.stage_app_data_commit(crypto, *unresolved, changes).unwrap()
            }
            other => panic!("no commit: {other:?}"),
        };
        group.merge_commit(&Nothing, staged).unwrap();
    }
}
