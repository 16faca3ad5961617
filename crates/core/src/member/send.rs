//! Application messages, as a client submits them to the hub.

use openmls::framing::SafeAadItem;
use openmls::prelude::{OpenMlsProvider, OpenMlsRand};
use tls_codec::Serialize as _;

use crate::content::{Content, SALT_BYTES};
use crate::wire::components::ComponentId;
use crate::wire::frank::franking_tag;
use crate::wire::mls::MlsMessage;
use crate::wire::submit::SubmitMessageRequest;
use crate::wire::uri::RoomUri;
use crate::wire::{Protocol, Wire};

use super::Member;
use super::error::{MemberError, refused};
use super::membership::Membership;

impl Member {
    /// Encrypts a text from this user to the room.
    ///
    /// # Errors
    ///
    /// As [`Self::encrypt`].
    pub fn text(&mut self, room: &RoomUri, text: &str) -> Result<SubmitMessageRequest, MemberError> {
        let salt = self.store.rand().random_array::<SALT_BYTES>().map_err(refused("draw randomness"))?;
        self.encrypt(room, &Content::text(&self.user, room, text, salt))
    }

    /// Encrypts content to the room. Where the room is franked, the tag that commits this client to the content goes
    /// along in the authenticated data.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotAMember`] for a room it is not in, [`MemberError::Mls`] while proposals wait for a commit:
    /// [`Self::commit_pending`] comes first (RFC 9420, section 12.4).
    pub fn encrypt(&mut self, room: &RoomUri, content: &Content) -> Result<SubmitMessageRequest, MemberError> {
        let sender = self.user.clone();
        let (membership, signer) = self.seat(room)?;
        let scheme = membership.franking()?;
        let application_data = scheme.application_data(content);
        let Membership { group, store, .. } = &mut *membership;
        if scheme.tagged {
            let tag = franking_tag(&content.salt, &application_data);
            let item = SafeAadItem::new(ComponentId::FRANK_AAD.0, tag.to_vec());
            group.set_safe_aad(vec![item]).map_err(refused("set the franking tag"))?;
        }
        let message =
            group.create_message(&**store, signer, &application_data).map_err(refused("encrypt a message"))?;
        let bytes = message.tls_serialize_detached().map_err(refused("encode a message"))?;
        let message = MlsMessage::decode(&bytes)?;
        membership.note_sent(message.hash());
        Ok(SubmitMessageRequest { protocol: Protocol::Mls10, message, sender })
    }
}
