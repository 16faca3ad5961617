//! The members that the gateway itself runs, in a room from a template, and the hub's group between them.

use super::*;
use crate::member::{Bundling, Draft as MemberDraft, Member, Received};
use crate::room::{About, Template, TemplateInput};
use crate::wire::components::FrankingAgent;
use crate::wire::external_sender::ExternalSender;
use crate::wire::group_info::{GroupInfoRatchetTree, PendingProposal};
use crate::wire::notify::{FanoutBody, FanoutMessage};
use crate::wire::update::UpdateRequest;
use crate::wire::uri::{ClientUri, GroupUri, RoomUri};

fn room_uri() -> RoomUri {
    RoomUri::parse("mimi://a.example/r/lobby").unwrap()
}

fn member(name: &str) -> Member {
    Member::new(ClientUri::parse(&client_uri(name)).unwrap()).unwrap()
}

struct Table {
    hub: Group,
    members: Vec<Member>,
}

impl Table {
    fn of(creator: &str) -> Self {
        let pair = key_pair();
        let hub = ExternalSender { signature_key: pair.public().to_vec(), credential: credential("mimi://a.example") };
        let franking_agent =
            FrankingAgent { signature_key: pair.public().to_vec(), credential: hub.credential.clone() };
        let mut member = member(creator);
        let creator = member.user().clone();
        let room = room_uri();
        let input = TemplateInput {
            room: &room,
            about: &About::named("Lobby"),
            creator: &creator,
            participants: &[],
            parent: None,
            hub: &hub,
            franking_agent: &franking_agent,
        };
        let template = Template::parse(include_str!("../../../../../policies/templates/strict.yaml")).unwrap();
        let extensions = template.compile(&input);
        let first = member.create_room(&room, &GroupUri::parse(GROUP).unwrap(), &extensions).unwrap();
        let hub = Group::found(first.group_info.as_bytes(), first.tree.as_bytes()).unwrap();
        assert_eq!(hub.extensions().unwrap(), extensions);
        Self { hub, members: vec![member] }
    }

    fn accept(&mut self, from: usize, update: &UpdateRequest) {
        let fanout = match UpdateRequest::decode(&update.encode()).unwrap() {
            UpdateRequest::Commit(bundle) => {
                let staged = self.hub.inspect_commit(&bundle, now()).unwrap();
                self.hub.merge(staged).unwrap();
                let tree = self.hub.ratchet_tree().unwrap();
                let commit = FanoutBody::Commit { message: bundle.commit, external_proposals: vec![] };
                let welcome = bundle.welcome.map(|welcome| FanoutBody::Welcome {
                    message: welcome.message(),
                    tree: RatchetTreeOption::Full(tree),
                });
                std::iter::once(commit).chain(welcome).collect::<Vec<_>>()
            }
            UpdateRequest::Proposals(proposals) => {
                self.hub.inspect_proposals(&proposals, now()).unwrap();
                for proposal in &proposals {
                    self.hub.queue(proposal).unwrap();
                }
                let (message, more) = proposals.split_first().unwrap();
                vec![FanoutBody::Proposal { message: message.clone(), more: more.to_vec() }]
            }
        };
        self.members[from].accepted(&room_uri()).unwrap();
        for member in &mut self.members {
            for body in fanout.clone() {
                let inside = member.rooms().any(|room| *room == room_uri());
                if inside || matches!(body, FanoutBody::Welcome { .. }) {
                    let received = member.receive(&room_uri(), &FanoutMessage { timestamp: now(), body }).unwrap();
                    assert!(!received.iter().any(|it| matches!(it, Received::Skipped { .. })), "{received:?}");
                }
            }
        }
    }

    fn assert_in_step(&self) {
        let epoch = self.hub.view().epoch;
        for member in self.members.iter().filter(|member| member.rooms().count() == 1) {
            assert_eq!(member.epoch(&room_uri()).unwrap(), epoch);
            assert_eq!(member.group_info(&room_uri()).unwrap().tree, self.hub.ratchet_tree().unwrap());
        }
    }

    fn material(&self, pending: &[MlsMessage]) -> GroupInfoRatchetTree {
        let pending = pending.iter().map(|proposal| PendingProposal { proposal: proposal.clone(), accepted_at: now() });
        GroupInfoRatchetTree {
            group_info: GroupInfo::decode(self.hub.group_info()).unwrap(),
            ratchet_tree: RatchetTreeOption::Full(self.hub.ratchet_tree().unwrap()),
            pending_proposals: pending.collect(),
        }
    }
}

#[test]
fn members_of_a_template_room_join_change_and_leave_past_the_hub() {
    let mut table = Table::of("alice");
    for (name, bundling) in [("bob", Bundling::Light), ("cathy", Bundling::Full)] {
        let mut guest = member(name);
        let packages = guest.key_packages(1, LIFETIME).unwrap();
        let listed = (guest.user().clone(), 2);
        table.members[0].bundle(bundling);
        let update = table.members[0].add(&room_uri(), packages, [listed]).unwrap();
        table.members.push(guest);
        table.accept(0, &update);
        table.assert_in_step();
    }
    let mut tablet = member("bob/tablet");
    let update = tablet.external_join(&room_uri(), &table.material(&[]), None).unwrap();
    table.members.push(tablet);
    table.accept(3, &update);
    assert_eq!(table.hub.view().leaves.len(), 4);

    let leaving = table.members[2].leave(&room_uri()).unwrap();
    table.accept(2, &leaving);
    assert_eq!(table.hub.pending().len(), 2);
    let draft = MemberDraft::default().role(user("bob"), 3);
    let update = table.members[0].commit(&room_uri(), &draft).unwrap();
    table.accept(0, &update);
    table.members.remove(2);
    table.assert_in_step();
    assert_eq!(table.hub.view().leaves.len(), 3);
}
