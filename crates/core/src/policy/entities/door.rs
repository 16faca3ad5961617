//! Questions at our door, outside of any room.

use cedar_policy::{RestrictedExpression, Schema};

use crate::consent::Standing;
use crate::policy::facts::{Claim, ConsentStep, DoorAct, DoorQuestion};
use crate::policy::settings::Directory;
use crate::policy::vocabulary::{Act, Vocabulary};
use crate::time::Millis;
use crate::wire::consent::ConsentOperation;
use crate::wire::uri::{RoomUri, UserUri};

use super::{Asked, FactsError, SAMPLE_ROOM, Slice, datetime, text};

/// Checks that questions with everything they can hold are what the schema declares.
pub(super) fn conform(
    vocabulary: &Vocabulary,
    directory: &Directory,
    schema: &Schema,
    (actor, about): (&UserUri, &UserUri),
) -> Result<(), FactsError> {
    let room = RoomUri::parse(SAMPLE_ROOM).map_err(FactsError::cedar("sample"))?;
    let room = Some(&room);
    let domain = actor.domain();
    let step = ConsentStep { about, room, operation: ConsentOperation::Request };
    let acts = [
        DoorAct::ClaimKeyMaterial(Claim { target: about, room, consent: Standing::None }),
        DoorAct::RequestConsent(step),
        DoorAct::GrantConsent(step),
        DoorAct::ReceiveConsentRequest(step),
        DoorAct::ReceiveConsent(step),
        DoorAct::Search,
        DoorAct::FindUser(about),
        DoorAct::PublishProfile,
        DoorAct::RegisterDevice,
        DoorAct::DeregisterDevice,
        DoorAct::DeregisterUser,
        DoorAct::PublishKeyPackages,
        DoorAct::ReadStream,
        DoorAct::ReportAnonymously,
        DoorAct::Download(&domain),
    ];
    for act in acts {
        let question = DoorQuestion { act, actor, door: &domain, source: &domain, now: Millis(0) };
        if let Some(act) = vocabulary.door(act) {
            of_door(vocabulary, directory, act, &question)?.request_conforms(schema)?;
        }
    }
    Ok(())
}

/// Turns a question at our door into a request with its entities.
pub(in crate::policy) fn of_door(
    vocabulary: &Vocabulary,
    directory: &Directory,
    act: &Act,
    question: &DoorQuestion<'_>,
) -> Result<Asked, FactsError> {
    let mut slice = Slice::new(vocabulary, directory, act);
    let principal = slice.user(question.actor)?;
    let source = slice.provider(question.source)?;
    let resource = match question.act.about() {
        Some(about) => slice.user(about)?,
        None => slice.provider(question.door)?,
    };
    let mut context = vec![("now", datetime(question.now)?), ("source", RestrictedExpression::new_entity_uid(source))];
    let room = match question.act {
        DoorAct::ClaimKeyMaterial(claim) => {
            context.push(("consent", text(claim.consent.name())));
            context.push(("implied", text(directory.implied_consent().name())));
            claim.room
        }
        DoorAct::RequestConsent(step)
        | DoorAct::GrantConsent(step)
        | DoorAct::ReceiveConsentRequest(step)
        | DoorAct::ReceiveConsent(step) => {
            context.push(("operation", text(step.operation.name())));
            step.room
        }
        DoorAct::Download(host) => {
            context.push(("host", text(host.as_str())));
            None
        }
        DoorAct::Search
        | DoorAct::FindUser(_)
        | DoorAct::PublishProfile
        | DoorAct::RegisterDevice
        | DoorAct::DeregisterDevice
        | DoorAct::DeregisterUser
        | DoorAct::PublishKeyPackages
        | DoorAct::ReadStream
        | DoorAct::ReportAnonymously => None,
    };
    context.extend(room.map(|room| ("room", text(room.as_str()))));
    slice.ask(principal, resource, context)
}
