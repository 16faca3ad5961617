//! What a hub fans out, as a client takes it in.

use openmls::group::WelcomeError;
use openmls::prelude::{
    OpenMlsProvider, ProcessedMessage, ProcessedMessageContent, QueuedProposal, Sender, StagedCommit, StagedWelcome,
};

use crate::content::Content;
use crate::franking::{Decrypted, Franking};
use crate::identity::credential::{client_of, provider_of};
use crate::time::Millis;
use crate::wire::components::ComponentId;
use crate::wire::frank::Frank;
use crate::wire::mls::{MlsKind, MlsMessage};
use crate::wire::notify::{FanoutBody, FanoutMessage};
use crate::wire::update::RatchetTreeOption;
use crate::wire::uri::{ClientUri, Domain, RoomUri, UserUri};

use super::Member;
use super::client::join_config;
use super::error::{MemberError, refused};
use super::external::whole;
use super::membership::{Membership, Waiting};
use super::resolve::resolve;

/// What a fanned-out message meant to this client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A Welcome, or the echo of its own external commit, has brought this client into the room.
    Joined {
        /// The epoch it is in now.
        epoch: u64,
    },
    /// A commit has moved the room on.
    Epoch {
        /// The epoch the room is in now.
        epoch: u64,
        /// Who committed.
        by: ClientUri,
        /// Clients that came.
        added: Vec<ClientUri>,
        /// Clients that went.
        removed: Vec<ClientUri>,
    },
    /// A commit has removed this client.
    Removed {
        /// Who committed.
        by: ClientUri,
    },
    /// A proposal waits for a commit.
    Proposed {
        /// Who proposes.
        by: Proposer,
        /// The MLS proposal type.
        proposal_type: u16,
    },
    /// Somebody says something.
    Message(Box<Message>),
    /// A handshake of an epoch that is over, or anything for a room this client has left: nothing was done.
    Skipped {
        /// The epoch it is of.
        epoch: u64,
    },
}

/// A message that was decrypted and whose sender is the one it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The user.
    pub sender: UserUri,
    /// The user's client.
    pub client: ClientUri,
    /// When the hub accepted it.
    pub accepted_at: Millis,
    /// What it says.
    pub content: Content,
    /// What the hub's frank is worth.
    pub franking: Franking,
}

/// Who made a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposer {
    /// A client in the room.
    Client(ClientUri),
    /// A provider, from outside the group; `None` when its credential names none.
    Provider(Option<Domain>),
    /// A client that wants to be added.
    Newcomer,
}

impl Member {
    /// Takes in what the hub of `room` fanned out. What this client has sent itself comes back too, and means nothing
    /// (reading D-37), except that the echo of a pending commit says it was accepted.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] before the Welcome, [`MemberError::Mls`] for what does not verify or decrypt,
    /// [`MemberError::Impostor`] and [`MemberError::Content`] for messages to drop. What fails changes nothing; of
    /// several proposals, those before it stay. A client that cannot take in a commit has to join again from outside.
    pub fn receive(&mut self, room: &RoomUri, fanout: &FanoutMessage) -> Result<Vec<Received>, MemberError> {
        match &fanout.body {
            FanoutBody::Welcome { message, tree } => self.welcomed(room, message, tree),
            FanoutBody::Application { message, frank } => {
                self.membership_mut(room)?.message(room, message, frank.as_ref(), fanout.timestamp)
            }
            FanoutBody::Proposal { message, more } => {
                let membership = self.membership_mut(room)?;
                let proposals = std::iter::once(message).chain(more);
                Ok(proposals.map(|proposal| membership.handshake(proposal)).collect::<Result<Vec<_>, _>>()?.concat())
            }
            FanoutBody::Commit { message, external_proposals } => {
                let membership = self.membership_mut(room)?;
                let mut received = membership.handshake(message)?;
                for proposal in external_proposals {
                    received.append(&mut membership.handshake(proposal)?);
                }
                Ok(received)
            }
        }
    }

    fn welcomed(
        &mut self,
        room: &RoomUri,
        message: &MlsMessage,
        tree: &RatchetTreeOption,
    ) -> Result<Vec<Received>, MemberError> {
        let Some(welcome) = message.welcome() else { return Ok(Vec::new()) };
        let welcome = welcome.into_openmls()?;
        let tree = whole(tree)?;
        let builder = match StagedWelcome::build_from_welcome(&*self.store, &join_config(), welcome) {
            Ok(builder) => builder,
            // For another client, or a repeat: the key package is used up.
            Err(WelcomeError::NoMatchingKeyPackage) => return Ok(Vec::new()),
            Err(error) => return Err(refused("open the Welcome")(error)),
        };
        let group = builder
            .with_ratchet_tree(tree)
            // Leaves outlive their key packages: only who adds them has to look at the clock.
            .skip_lifetime_validation()
            .replace_old_group()
            .build()
            .and_then(|staged| staged.into_group(&*self.store))
            .map_err(refused("join by the Welcome"))?;
        let epoch = group.epoch().as_u64();
        self.rooms.insert(room.clone(), Membership::new(group, self.store.clone()));
        Ok(vec![Received::Joined { epoch }])
    }
}

impl Membership {
    fn message(
        &mut self,
        room: &RoomUri,
        message: &MlsMessage,
        frank: Option<&Frank>,
        accepted_at: Millis,
    ) -> Result<Vec<Received>, MemberError> {
        if self.has_sent(&message.hash()) {
            return Ok(Vec::new());
        }
        let Some(processed) = self.processed(message)? else { return Ok(skipped(message)) };
        let (client, user) = client_of(processed.credential())?;
        let tag = processed.safe_aad_item(ComponentId::FRANK_AAD.0).map(<[u8]>::to_vec);
        let ProcessedMessageContent::ApplicationMessage(plaintext) = processed.into_content() else {
            // A message this client sent and no longer remembers.
            return Ok(Vec::new());
        };
        let application_data = plaintext.into_bytes();
        let scheme = self.franking()?;
        let content = scheme.content(&application_data)?;
        if content.sender()? != user || content.room()? != *room {
            return Err(MemberError::Impostor);
        }
        let decrypted = Decrypted {
            room,
            sender: &user,
            content: &content,
            application_data: &application_data,
            tag: tag.as_deref(),
            frank,
            accepted_at,
        };
        let franking = scheme.received(self.store.crypto(), decrypted);
        Ok(vec![Received::Message(Box::new(Message { sender: user, client, accepted_at, content, franking }))])
    }

    fn handshake(&mut self, message: &MlsMessage) -> Result<Vec<Received>, MemberError> {
        let past = message.epoch() < Some(self.group.epoch().as_u64());
        match (self.has_sent(&message.hash()), message.kind()) {
            (true, _) if matches!(self.waiting, Waiting::Join(_)) => {
                self.settle()?;
                return Ok(vec![Received::Joined { epoch: self.group.epoch().as_u64() }]);
            }
            // The pending commit, or one that was taken back and accepted after all: openmls tells them apart.
            (true, MlsKind::Commit) if !past => {}
            (true, _) => return Ok(Vec::new()),
            (false, _) if past => return Ok(skipped(message)),
            (false, _) => {}
        }
        let Some(processed) = self.processed(message)? else { return Ok(skipped(message)) };
        let sender = processed.sender().clone();
        let credential = processed.credential().clone();
        let by = || Ok::<_, MemberError>(client_of(&credential)?.0);
        match processed.into_content() {
            ProcessedMessageContent::ProposalMessage(proposal)
            | ProcessedMessageContent::ExternalJoinProposalMessage(proposal) => {
                let by = match sender {
                    Sender::Member(_) => Proposer::Client(by()?),
                    Sender::External(_) => Proposer::Provider(provider_of(&credential)),
                    Sender::NewMemberProposal | Sender::NewMemberCommit => Proposer::Newcomer,
                };
                self.queue(*proposal, by)
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => self.merge(*staged, by()?),
            ProcessedMessageContent::UnresolvedAppDataCommit(commit) => {
                let updater = self.group.app_data_dictionary_updater();
                let changes = resolve(&self.components(), updater, commit.app_data_update_proposals())?;
                let staged = self
                    .group
                    .stage_app_data_commit(&*self.store, *commit, changes)
                    .map_err(refused("apply a commit"))?;
                self.merge(staged, by()?)
            }
            ProcessedMessageContent::OwnPendingCommit => {
                let before = self.clients();
                self.settle()?;
                Ok(vec![self.moved(&before, by()?)])
            }
            ProcessedMessageContent::ApplicationMessage(_) | ProcessedMessageContent::OwnPrivateMessage => {
                Ok(Vec::new())
            }
        }
    }

    /// `None` when this client is no longer in the group.
    fn processed(&mut self, message: &MlsMessage) -> Result<Option<ProcessedMessage>, MemberError> {
        if !self.group.is_active() {
            return Ok(None);
        }
        let message = message.protocol_message()?;
        self.group.process_message(&*self.store, message).map(Some).map_err(refused("take a message"))
    }

    fn queue(&mut self, proposal: QueuedProposal, by: Proposer) -> Result<Vec<Received>, MemberError> {
        let proposal_type = u16::from(proposal.proposal().proposal_type());
        self.group.store_pending_proposal(self.store.storage(), proposal).map_err(refused("keep a proposal"))?;
        Ok(vec![Received::Proposed { by, proposal_type }])
    }

    fn merge(&mut self, staged: StagedCommit, by: ClientUri) -> Result<Vec<Received>, MemberError> {
        let gone = staged.self_removed();
        let before = self.clients();
        self.group.merge_staged_commit(&*self.store, staged).map_err(refused("apply a commit"))?;
        // openmls has dropped what this client had pending with the epoch.
        self.waiting = Waiting::Nothing;
        if gone { Ok(vec![Received::Removed { by }]) } else { Ok(vec![self.moved(&before, by)]) }
    }

    fn moved(&self, before: &[Client], by: ClientUri) -> Received {
        let after = self.clients();
        let only = |these: &[Client], those: &[Client]| {
            these.iter().filter(|client| !those.contains(client)).map(|(_, client)| client.clone()).collect()
        };
        Received::Epoch {
            epoch: self.group.epoch().as_u64(),
            by,
            added: only(&after, before),
            removed: only(before, &after),
        }
    }
}

type Client = (openmls::prelude::LeafNodeIndex, ClientUri);

fn skipped(message: &MlsMessage) -> Vec<Received> {
    vec![Received::Skipped { epoch: message.epoch().unwrap_or_default() }]
}
