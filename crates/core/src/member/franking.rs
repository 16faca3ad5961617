//! Whether the hub's frank fits a message that was decrypted.
//!
//! Source: draft-ietf-mimi-protocol, "Franking", what a receiver verifies.

use openmls::prelude::OpenMlsCrypto;

use crate::identity::credential::provider_of;
use crate::mls::labels;
use crate::time::Millis;
use crate::wire::Wire;
use crate::wire::components::FrankingAgent;
use crate::wire::frank::{Frank, FrankingContext, FrankingTbs, franking_tag};
use crate::wire::uri::{RoomUri, UserUri};

use super::content::Content;

/// What the frank of a message is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Franking {
    /// The hub has franked this very message: it can be reported.
    Verified(Box<Evidence>),
    /// The hub has not franked it.
    Absent,
    /// There is a frank that does not fit. The message is shown as unfranked, and flagged.
    Invalid,
}

/// What a report needs besides the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The hub's frank.
    pub frank: Frank,
    /// The context in which the hub franked it.
    pub context: FrankingContext,
}

/// A decrypted message as it came.
pub(super) struct Franked<'a> {
    pub(super) room: &'a RoomUri,
    pub(super) sender: &'a UserUri,
    pub(super) content: &'a Content,
    pub(super) application_data: &'a [u8],
    /// The sender's tag, from the authenticated data.
    pub(super) tag: Option<&'a [u8]>,
    pub(super) frank: Option<&'a Frank>,
    pub(super) accepted_at: Millis,
}

impl Franked<'_> {
    pub(super) fn check(&self, crypto: &impl OpenMlsCrypto, suite: u16, agent: Option<&FrankingAgent>) -> Franking {
        let Some(frank) = self.frank else { return Franking::Absent };
        let context =
            FrankingContext { sender: self.sender.clone(), room: self.room.clone(), accepted_at: self.accepted_at };
        let tag_fits = self.tag == Some(franking_tag(&self.content.salt, self.application_data).as_slice());
        let signed_by_hub = agent.is_some_and(|agent| {
            provider_of(&agent.credential).is_some_and(|hub| hub == self.room.domain())
                && signature_holds(crypto, suite, agent, frank, &context)
        });
        if tag_fits && signed_by_hub && frank.signature_suite == suite {
            Franking::Verified(Box::new(Evidence { frank: frank.clone(), context }))
        } else {
            Franking::Invalid
        }
    }
}

fn signature_holds(
    crypto: &impl OpenMlsCrypto,
    suite: u16,
    agent: &FrankingAgent,
    frank: &Frank,
    context: &FrankingContext,
) -> bool {
    let signed = FrankingTbs {
        server_frank: frank.server_frank,
        signature_suite: frank.signature_suite,
        context: context.clone(),
    };
    let (key, label) = (&agent.signature_key, labels::FRANKING_INTEGRITY);
    labels::verify_with_label(crypto, suite, key, label, &signed.encode(), &frank.signature).is_ok()
}
