//! Stage `franking`: what a hub vouches for when it accepts a message, what a receiver makes of that, and what a report of
//! the message proves later.
//!
//! A frank proves that the sender has committed to this content and that the hub has accepted it in this room at this
//! time. It does not prove that the ciphertext said so: only an honest receiver, which compares the two, can.
//!
//! Source: draft-ietf-mimi-protocol, "Franking" and "Report Abuse".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::signatures::Signer;

use crate::content::{Content, ContentError, MessageId};
use crate::identity::credential::provider_of;
use crate::mls::SigningKey;
use crate::mls::labels::{self, LabelError};
use crate::time::Millis;
use crate::wire::components::{
    ApplicationFraming, ComponentId, ContentMediaTypes, Dictionary, FrankingAgent, MediaType, SafeAadComponents,
};
use crate::wire::frank::{Frank, FrankingContext, FrankingTbs, SafeAad, franking_tag, server_frank};
use crate::wire::mls::MlsMessage;
use crate::wire::report_abuse::AbusiveMessage;
use crate::wire::uri::{RoomUri, UserUri};
use crate::wire::{DecodeError, Wire};

/// Media type of MIMI content.
const MIMI_CONTENT: &str = "application/mimi-content";

/// How a room franks its messages. It is set when the group is made and changed by nobody (reading P-13), so that the
/// group as it is tells of the messages of all its epochs (reading D-35).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The cipher suite of the group.
    pub suite: u16,
    /// Who signs; `None` in a room that is not franked.
    pub agent: Option<FrankingAgent>,
    /// Whether franking tags may stand in the authenticated data.
    pub tagged: bool,
    /// Whether [`ApplicationFraming`] stands around the content.
    pub framed: bool,
}

/// What the frank of a message is worth to its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Franking {
    /// The hub has franked this very message: it can be reported.
    Verified(Box<Evidence>),
    /// The hub has not franked it.
    Absent,
    /// There is a frank that does not fit. The message is shown as unfranked, and flagged.
    Invalid(Flaw),
}

/// What is kept with a message so that it can be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Exactly what the tag was made over.
    pub application_data: Vec<u8>,
    /// The hub's frank.
    pub frank: Frank,
    /// The context in which the hub franked it.
    pub context: FrankingContext,
}

/// A decrypted message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Decrypted<'a> {
    /// The room it came in.
    pub room: &'a RoomUri,
    /// Whom its content names, who is also the user of the client that encrypted it.
    pub sender: &'a UserUri,
    /// What it says.
    pub content: &'a Content,
    /// What was decrypted, before anything was taken off.
    pub application_data: &'a [u8],
    /// The sender's tag, from the authenticated data.
    pub tag: Option<&'a [u8]>,
    /// What the hub has put beside it.
    pub frank: Option<&'a Frank>,
    /// When the hub says that it accepted it.
    pub accepted_at: Millis,
}

/// A key with which the hub franks messages.
pub type HubKey = [u8; 32];

/// The hub's keys that may have been in use at one time (reading D-34).
#[derive(Clone, Debug, Default)]
pub struct HubKeysOfATime {
    /// The key of that time; `None` when it is not kept any more, or there was none.
    pub own: Option<HubKey>,
    /// Those before and after it.
    pub neighbours: Vec<HubKey>,
}

/// What a report is held against.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The room that the report is about, hosted here.
    pub room: &'a RoomUri,
    /// Who is said to have sent the message.
    pub alleged: &'a UserUri,
    /// The keys of the time at which the message is said to have been accepted.
    pub hub_keys: &'a HubKeysOfATime,
}

/// What a reported message proves: its sender has committed to it in the room at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The message's own identifier.
    pub message: MessageId,
}

/// Which check a frank fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not MIMI content, or not framed as the room has it.
    #[error("content cannot be read")]
    Content,
    /// The content does not name a sender and a room.
    #[error("content names no sender or no room")]
    Anonymous,
    /// The content is for another room.
    #[error("content is for another room")]
    Room,
    /// The content names another sender than the one it is said to be from.
    #[error("content is from another sender")]
    Sender,
    /// The room is not franked.
    #[error("room has no franking agent")]
    NoAgent,
    /// The room's franking agent is not its hub.
    #[error("franking agent is not the hub of the room")]
    Agent,
    /// The frank is of a cipher suite that the room does not use.
    #[error("frank is of another cipher suite")]
    Suite,
    /// The sender's tag is not one of this content, or not there.
    #[error("franking tag is not of this content")]
    Tag,
    /// The key of that time is no longer kept, or there was none.
    #[error("no key of the hub is kept for that time")]
    KeyGone,
    /// The hub has not franked this content from this sender in this room at this time.
    #[error("frank is not of this content, sender, room and time")]
    Frank,
    /// The franking agent has not signed the frank.
    #[error("signature of the frank does not hold")]
    Signature,
}

impl Flaw {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 11] = [
        Self::Content,
        Self::Anonymous,
        Self::Room,
        Self::Sender,
        Self::NoAgent,
        Self::Agent,
        Self::Suite,
        Self::Tag,
        Self::KeyGone,
        Self::Frank,
        Self::Signature,
    ];

    /// Its documented code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Content => "content_unreadable",
            Self::Anonymous => "content_anonymous",
            Self::Room => "another_room",
            Self::Sender => "another_sender",
            Self::NoAgent => "room_not_franked",
            Self::Agent => "agent_not_the_hub",
            Self::Suite => "another_suite",
            Self::Tag => "another_tag",
            Self::KeyGone => "hub_key_gone",
            Self::Frank => "not_franked_here",
            Self::Signature => "signature_invalid",
        }
    }

    /// The one with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flaw| flaw.code() == code)
    }
}

impl From<ContentError> for Flaw {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Anonymous => Self::Anonymous,
            ContentError::Malformed | ContentError::NotDeterministic | ContentError::TooDeep => Self::Content,
        }
    }
}

impl Evidence {
    /// The message as a report carries it.
    pub fn message(&self) -> AbusiveMessage {
        AbusiveMessage {
            content: self.application_data.clone(),
            frank: self.frank.clone(),
            accepted_at: self.context.accepted_at,
        }
    }
}

impl Scheme {
    /// What the components of a group say.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a component that is malformed.
    pub fn of(components: &Dictionary, suite: u16) -> Result<Self, DecodeError> {
        let safe = components.read::<SafeAadComponents>()?;
        Ok(Self {
            suite,
            agent: components.read::<FrankingAgent>()?,
            tagged: safe.is_some_and(|safe| safe.components.contains(&ComponentId::FRANK_AAD)),
            framed: components.read::<ContentMediaTypes>()?.is_some(),
        })
    }

    /// What is encrypted for `content`.
    pub fn application_data(&self, content: &Content) -> Vec<u8> {
        if !self.framed {
            return content.encode();
        }
        let media_type = MediaType { media_type: MIMI_CONTENT.to_owned(), parameters: Vec::new() };
        ApplicationFraming { media_type, content: content.encode() }.encode()
    }

    /// The content of what was decrypted.
    ///
    /// # Errors
    ///
    /// [`ContentError`]; [`ContentError::Malformed`] also where the framing of the room is not there.
    pub fn content(&self, application_data: &[u8]) -> Result<Content, ContentError> {
        if !self.framed {
            return Content::decode(application_data);
        }
        let framing = ApplicationFraming::decode(application_data).map_err(|_| ContentError::Malformed)?;
        Content::decode(&framing.content)
    }

    /// The tag by which a message of this room asks `agent` for a frank; `None` when it gets none.
    pub fn tag_for(&self, agent: &SigningKey, message: &MlsMessage) -> Option<[u8; 32]> {
        let scheme = labels::signature_scheme(self.suite).ok()?;
        let named = self.agent.as_ref().filter(|_| self.tagged && scheme == agent.signature_scheme())?;
        if named.signature_key != agent.public() {
            return None;
        }
        SafeAad::decode(message.authenticated_data()?).ok()?.franking_tag()
    }

    /// Franks a message that has been accepted. Whether the tag fits the content nobody but a receiver can say.
    ///
    /// # Errors
    ///
    /// [`LabelError`] when the signer fails.
    pub fn frank(
        &self,
        signer: &impl Signer,
        hub_key: &HubKey,
        tag: &[u8; 32],
        context: FrankingContext,
    ) -> Result<Frank, LabelError> {
        let server_frank = server_frank(hub_key, tag, &context);
        let signed = FrankingTbs { server_frank, signature_suite: self.suite, context };
        let signature = labels::sign_with_label(signer, labels::FRANKING_INTEGRITY, &signed.encode())?;
        Ok(Frank { server_frank, signature_suite: self.suite, signature })
    }

    /// What a receiver makes of the frank. That the content names the client's own user and this room it has checked
    /// before: a message that does not is dropped.
    pub fn received(&self, crypto: &impl OpenMlsCrypto, message: Decrypted<'_>) -> Franking {
        let Some(frank) = message.frank else { return Franking::Absent };
        let Decrypted { room, sender, accepted_at, application_data, .. } = message;
        let context = FrankingContext { sender: sender.clone(), room: room.clone(), accepted_at };
        let expected = franking_tag(&message.content.salt, application_data);
        let checked = self.agent_of(room).and_then(|agent| {
            if frank.signature_suite != self.suite {
                return Err(Flaw::Suite);
            }
            if message.tag != Some(expected.as_slice()) {
                return Err(Flaw::Tag);
            }
            signed(crypto, agent, frank, &context)
        });
        match checked {
            Ok(()) => {
                let application_data = application_data.to_vec();
                Franking::Verified(Box::new(Evidence { application_data, frank: frank.clone(), context }))
            }
            Err(flaw) => Franking::Invalid(flaw),
        }
    }

    /// Whether this hub has franked a reported message for whom and where it is said to be from.
    ///
    /// # Errors
    ///
    /// The first [`Flaw`].
    pub fn prove(
        &self,
        crypto: &impl OpenMlsCrypto,
        claim: Claim<'_>,
        message: &AbusiveMessage,
    ) -> Result<Proof, Flaw> {
        let Claim { room, alleged, hub_keys } = claim;
        let content = self.content(&message.content)?;
        let id = content.id()?;
        if content.room()? != *room {
            return Err(Flaw::Room);
        }
        let sender = content.sender()?;
        if sender != *alleged {
            return Err(Flaw::Sender);
        }
        let agent = self.agent_of(room)?;
        let frank = &message.frank;
        if frank.signature_suite != self.suite {
            return Err(Flaw::Suite);
        }
        let tag = franking_tag(&content.salt, &message.content);
        let context = FrankingContext { sender, room: room.clone(), accepted_at: message.accepted_at };
        let by =
            |key: &[u8; 32]| verify_slices_are_equal(&server_frank(key, &tag, &context), &frank.server_frank).is_ok();
        if !hub_keys.own.iter().chain(&hub_keys.neighbours).any(by) {
            return Err(if hub_keys.own.is_some() { Flaw::Frank } else { Flaw::KeyGone });
        }
        signed(crypto, agent, frank, &context)?;
        Ok(Proof { message: id })
    }

    /// The franking agent, if it is the hub of the room.
    fn agent_of(&self, room: &RoomUri) -> Result<&FrankingAgent, Flaw> {
        let agent = self.agent.as_ref().ok_or(Flaw::NoAgent)?;
        let is_hub = provider_of(&agent.credential).is_some_and(|hub| hub == room.domain());
        if is_hub { Ok(agent) } else { Err(Flaw::Agent) }
    }
}

/// The content of something that was reported, in a room with framing or in one without, for whoever is to read it. It
/// proves nothing.
pub fn read(application_data: &[u8]) -> Option<Content> {
    let framed = |framing: ApplicationFraming| Content::decode(&framing.content).ok();
    let bare = Content::decode(application_data).ok();
    bare.or_else(|| ApplicationFraming::decode(application_data).ok().and_then(framed))
}

fn signed(
    crypto: &impl OpenMlsCrypto,
    agent: &FrankingAgent,
    frank: &Frank,
    context: &FrankingContext,
) -> Result<(), Flaw> {
    let Frank { server_frank, signature_suite, signature } = frank;
    let tbs = FrankingTbs { server_frank: *server_frank, signature_suite: *signature_suite, context: context.clone() };
    let (key, label) = (&agent.signature_key, labels::FRANKING_INTEGRITY);
    labels::verify_with_label(crypto, *signature_suite, key, label, &tbs.encode(), signature)
        .map_err(|_| Flaw::Signature)
}

#[cfg(test)]
mod tests;
