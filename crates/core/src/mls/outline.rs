//! What can be read off a handshake message without its group: all that a follower has before it tracks the group
//! (correction C-2). Nothing here is verified; the hub does that.

use std::io::Read;

use openmls::prelude::{Credential, KeyPackageIn, ProposalIn, ProposalOrRefIn};
use tls_codec::{Deserialize, Serialize, VLBytes};

use crate::identity::credential::client_of;
use crate::wire::components::{Capability, ComponentId, Dictionary};
use crate::wire::mls::MlsMessage;
use crate::wire::update::UpdateRequest;
use crate::wire::uri::{ClientUri, UserUri};

use super::ComponentOperation;
use super::component_updates::{ComponentUpdate, component_update};

/// What a handshake message says it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The actions that can be told, each with the user it is done to where that can be told.
    pub actions: Vec<(Capability, Option<UserUri>)>,
    /// The client that joins by this message, if it is an external commit.
    pub joiner: Option<(ClientUri, UserUri)>,
    /// Components as they are from then on, as far as they are replaced as a whole.
    pub components: Dictionary,
}

/// The message is cut short, or names a client that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("handshake message cannot be read")]
pub struct Unreadable;

impl Outline {
    /// Reads the outline of a whole request.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when a message is not a PublicMessage with a proposal or commit, or names an unreadable client.
    pub fn of(request: &UpdateRequest) -> Result<Self, Unreadable> {
        match request {
            UpdateRequest::Commit(bundle) => Self::of_messages([&bundle.commit]),
            UpdateRequest::Proposals(proposals) => Self::of_messages(proposals),
        }
    }

    /// Reads the outline of what was fanned out together.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub fn of_messages<'a>(messages: impl IntoIterator<Item = &'a MlsMessage>) -> Result<Self, Unreadable> {
        let mut outline = Self::default();
        messages.into_iter().try_for_each(|message| outline.read(message))?;
        Ok(outline)
    }

    fn read(&mut self, message: &MlsMessage) -> Result<(), Unreadable> {
        let mut reader = message.as_bytes();
        let (sender, content) = head(&mut reader)?;
        let external = sender == COMMITS_ITSELF_IN;
        match content {
            2 => self.proposal(&take::<ProposalIn>(&mut reader)?),
            3 => {
                for proposal in take::<Vec<ProposalOrRefIn>>(&mut reader)? {
                    if let ProposalOrRefIn::Proposal(proposal) = proposal {
                        self.proposal(&proposal)?;
                    }
                }
                let has_path = take::<u8>(&mut reader)? == 1;
                if external && has_path {
                    let (_signature_key, joiner) = leaf(&mut reader)?;
                    self.actions.push((Capability::ADD_OWN_CLIENT, Some(joiner.1.clone())));
                    self.joiner = Some(joiner);
                }
                Ok(())
            }
            _ => Err(Unreadable),
        }
    }

    fn proposal(&mut self, proposal: &ProposalIn) -> Result<(), Unreadable> {
        match proposal {
            ProposalIn::Add(add) => {
                let bytes = add.tls_serialize_detached().map_err(|_| Unreadable)?;
                let package = take::<KeyPackageIn>(&mut bytes.as_slice())?;
                let (_, user) = client(&package.unverified_credential().credential)?;
                self.actions.push((Capability::ADD_PARTICIPANT, Some(user)));
            }
            ProposalIn::Remove(_) => self.actions.push((Capability::REMOVE_PARTICIPANT, None)),
            ProposalIn::SelfRemove => self.actions.push((Capability::REMOVE_SELF, None)),
            ProposalIn::AppDataUpdate(update) => {
                let ComponentUpdate { component, operation } = component_update(update);
                // These two are changed in parts.
                let whole = ![ComponentId::PARTICIPANT_LIST, ComponentId::JOIN_LINKS].contains(&component);
                if let (true, ComponentOperation::Update(data)) = (whole, operation) {
                    self.components.insert(component, data);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The key, client and user that a client names which joins by this message, by an external commit or by proposing to be
/// added; `None` for a message of a member, and for one that cannot be read.
pub fn joining(message: &MlsMessage) -> Option<(Vec<u8>, ClientUri, UserUri)> {
    let mut reader = message.as_bytes();
    let (key, (client, user)) = match head(&mut reader).ok()? {
        (PROPOSES_ITSELF, 2) => match take::<ProposalIn>(&mut reader).ok()? {
            ProposalIn::Add(add) => {
                let package = take::<KeyPackageIn>(&mut add.tls_serialize_detached().ok()?.as_slice()).ok()?;
                let named = package.unverified_credential();
                (named.signature_key.as_slice().to_vec(), client(&named.credential).ok()?)
            }
            _ => return None,
        },
        (COMMITS_ITSELF_IN, 3) => {
            let _proposals = take::<Vec<ProposalOrRefIn>>(&mut reader).ok()?;
            let has_path = take::<u8>(&mut reader).ok()? == 1;
            has_path.then(|| leaf(&mut reader).ok()).flatten()?
        }
        _ => return None,
    };
    Some((key, client, user))
}

/// Sender types of clients that are not in the group (RFC 9420, section 6).
const PROPOSES_ITSELF: u8 = 3;
const COMMITS_ITSELF_IN: u8 = 4;

/// The sender type and content type of a PublicMessage, whose content follows.
fn head(reader: &mut impl Read) -> Result<(u8, u8), Unreadable> {
    let (_version, wire_format) = (take::<u16>(reader)?, take::<u16>(reader)?);
    if wire_format != 1 {
        return Err(Unreadable);
    }
    let (_group, _epoch) = (take::<VLBytes>(reader)?, take::<u64>(reader)?);
    let sender = take::<u8>(reader)?;
    match sender {
        1 | 2 => take::<u32>(reader).map(drop)?,
        PROPOSES_ITSELF | COMMITS_ITSELF_IN => {}
        _ => return Err(Unreadable),
    }
    let _authenticated_data = take::<VLBytes>(reader)?;
    Ok((sender, take::<u8>(reader)?))
}

/// A LeafNode starts with its two keys and its credential (RFC 9420, section 7.2).
fn leaf(reader: &mut impl Read) -> Result<(Vec<u8>, (ClientUri, UserUri)), Unreadable> {
    let (_hpke, signature_key) = (take::<VLBytes>(reader)?, take::<VLBytes>(reader)?);
    Ok((signature_key.into(), client(&take::<Credential>(reader)?)?))
}

fn take<T: Deserialize>(reader: &mut impl Read) -> Result<T, Unreadable> {
    T::tls_deserialize(reader).map_err(|_| Unreadable)
}

fn client(credential: &Credential) -> Result<(ClientUri, UserUri), Unreadable> {
    client_of(credential).map_err(|_| Unreadable)
}
