//! Everything that has one encoding in the TLS presentation language.

use std::fmt::Debug;

use portcullis_core::mls::component_updates::{ComponentUpdate, apply};
use portcullis_core::mls::{ComponentOperation, GroupView, Outline};
use portcullis_core::room::{self, RoomState, Template};
use portcullis_core::wire::Wire;
use portcullis_core::wire::components::{
    AppComponents, ApplicationFraming, AssetPolicy, BaseRoomPolicy, BotPolicy, ComponentId, ContentMediaTypes,
    Dictionary, FrankingAgent, HistoryPolicy, JoinLinkPolicy, JoinLinks, JoinLinksUpdate, LinkPreviewPolicy,
    LoggingPolicy, MessageExpirationPolicy, OperationalParameters, ParticipantList, ParticipantListUpdate, PreauthList,
    RolesList, RoomMetadata, SafeAadComponents, StatusNotificationPolicy,
};
use portcullis_core::wire::consent::ConsentEntry;
use portcullis_core::wire::external_sender::ExternalSender;
use portcullis_core::wire::frank::{Frank, FrankingContext, FrankingTbs, SafeAad};
use portcullis_core::wire::group_info::{GroupInfoRatchetTree, GroupInfoRequest, GroupInfoResponse};
use portcullis_core::wire::identifier_query::{IdentifierRequest, IdentifierResponse};
use portcullis_core::wire::key_material::{KeyMaterialRequest, KeyMaterialResponse, RequiredCapabilities};
use portcullis_core::wire::notify::{FanoutMessage, decode_batch};
use portcullis_core::wire::report_abuse::{AbuseReport, AbusiveMessage};
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse};
use portcullis_core::wire::update::{
    Extension, GroupInfoOption, PartialGroupInfo, RatchetTreeOption, UpdateRequest, UpdateResponse,
};
use portcullis_core::wire::uri::{GroupUri, RoomUri, UserUri};

use super::Decoder;

/// Decodes, and checks that there is no other encoding of what was decoded.
pub(super) fn canonical<T: Wire + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value = T::decode(bytes).ok()?;
    let encoded = value.encode();
    assert!(encoded == bytes, "`{}` encodes to other bytes", T::NAME);
    assert_eq!(encoded.len(), value.tls_serialized_len(), "`{}` has another length than it says", T::NAME);
    assert!(T::decode(&encoded).as_ref() == Ok(&value), "`{}` decodes to something else", T::NAME);
    Some(value)
}

pub(super) fn through<T: Wire + PartialEq + Debug>(bytes: &[u8]) -> bool {
    canonical::<T>(bytes).is_some()
}

const fn decoder(name: &'static str, run: fn(&[u8]) -> bool) -> Decoder {
    Decoder { name, run }
}

pub(super) const COMPONENTS: &[Decoder] = &[
    decoder("Dictionary", through::<Dictionary>),
    decoder("AppComponents", through::<AppComponents>),
    decoder("SafeAadComponents", through::<SafeAadComponents>),
    decoder("ContentMediaTypes", through::<ContentMediaTypes>),
    decoder("FrankingAgent", through::<FrankingAgent>),
    decoder("ParticipantList", through::<ParticipantList>),
    decoder("ParticipantListUpdate", through::<ParticipantListUpdate>),
    decoder("RoomMetadata", through::<RoomMetadata>),
    decoder("OperationalParameters", through::<OperationalParameters>),
    decoder("RolesList", through::<RolesList>),
    decoder("PreauthList", through::<PreauthList>),
    decoder("BaseRoomPolicy", through::<BaseRoomPolicy>),
    decoder("StatusNotificationPolicy", through::<StatusNotificationPolicy>),
    decoder("JoinLinkPolicy", through::<JoinLinkPolicy>),
    decoder("JoinLinks", through::<JoinLinks>),
    decoder("JoinLinksUpdate", through::<JoinLinksUpdate>),
    decoder("LinkPreviewPolicy", through::<LinkPreviewPolicy>),
    decoder("AssetPolicy", through::<AssetPolicy>),
    decoder("LoggingPolicy", through::<LoggingPolicy>),
    decoder("HistoryPolicy", through::<HistoryPolicy>),
    decoder("BotPolicy", through::<BotPolicy>),
    decoder("MessageExpirationPolicy", through::<MessageExpirationPolicy>),
    decoder("preauth_list beside roles_list", preauth_beside_roles),
    decoder("updates of components", updates),
    decoder("room", room_of),
];

pub(super) const BODIES: &[Decoder] = &[
    decoder("KeyMaterialRequest", key_material_request),
    decoder("KeyMaterialResponse", through::<KeyMaterialResponse>),
    decoder("RequiredCapabilities", through::<RequiredCapabilities>),
    decoder("UpdateRequest", update_request),
    decoder("UpdateResponse", through::<UpdateResponse>),
    decoder("GroupInfoOption", through::<GroupInfoOption>),
    decoder("PartialGroupInfo", through::<PartialGroupInfo>),
    decoder("RatchetTreeOption", through::<RatchetTreeOption>),
    decoder("Extensions", through::<Vec<Extension>>),
    decoder("SubmitMessageRequest", through::<SubmitMessageRequest>),
    decoder("SubmitMessageResponse", through::<SubmitMessageResponse>),
    decoder("Frank", through::<Frank>),
    decoder("FrankingContext", through::<FrankingContext>),
    decoder("FrankingTbs", through::<FrankingTbs>),
    decoder("SafeAad", through::<SafeAad>),
    decoder("FanoutMessage", through::<FanoutMessage>),
    decoder("GroupInfoRequest", group_info_request),
    decoder("GroupInfoResponse", group_info_response),
    decoder("GroupInfoRatchetTree", through::<GroupInfoRatchetTree>),
    decoder("ExternalSender", through::<ExternalSender>),
    decoder("batch of FanoutMessages", batch),
    decoder("AbuseReport", through::<AbuseReport>),
    decoder("AbusiveMessage", through::<AbusiveMessage>),
    decoder("ApplicationFraming", through::<ApplicationFraming>),
    decoder("ConsentEntry", through::<ConsentEntry>),
    decoder("IdentifierRequest", through::<IdentifierRequest>),
    decoder("IdentifierResponse", through::<IdentifierResponse>),
];

fn key_material_request(bytes: &[u8]) -> bool {
    canonical::<KeyMaterialRequest>(bytes).is_some_and(|request| bytes.starts_with(&request.tbs()))
}

fn group_info_request(bytes: &[u8]) -> bool {
    canonical::<GroupInfoRequest>(bytes).is_some_and(|request| bytes.starts_with(&request.tbs()))
}

fn group_info_response(bytes: &[u8]) -> bool {
    let Some(response) = canonical::<GroupInfoResponse>(bytes) else { return false };
    assert!(response.tbs().is_none_or(|tbs| bytes.starts_with(&tbs)));
    true
}

fn update_request(bytes: &[u8]) -> bool {
    let Some(request) = canonical::<UpdateRequest>(bytes) else { return false };
    if let Ok(outline) = Outline::of(&request) {
        assert!(outline.actions.len() <= bytes.len());
    }
    true
}

fn batch(bytes: &[u8]) -> bool {
    let Ok(batch) = decode_batch(bytes) else { return false };
    assert!(batch.iter().all(|(message, exact)| message.encode() == *exact));
    assert!(batch.into_iter().flat_map(|(_, exact)| exact).eq(bytes.iter().copied()));
    true
}

/// Splits off a part whose length stands in two bytes before it.
pub(super) fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *bytes = rest;
    Some(part)
}

fn preauth_beside_roles(mut bytes: &[u8]) -> bool {
    let Some(roles) = part(&mut bytes).and_then(|roles| RolesList::decode(roles).ok()) else { return false };
    PreauthList::decode_beside(bytes, &roles).is_ok()
}

/// A dictionary, then updates: a component's number, 0 for an update or 1 for a removal, and the data.
fn updates(mut bytes: &[u8]) -> bool {
    let Some(before) = part(&mut bytes).and_then(|before| Dictionary::decode(before).ok()) else { return false };
    let mut updates = Vec::new();
    while let Some((&[high, low, kind], rest)) = bytes.split_first_chunk() {
        bytes = rest;
        let Some(data) = part(&mut bytes) else { break };
        let operation = if kind == 0 { ComponentOperation::Update(data.to_vec()) } else { ComponentOperation::Remove };
        updates.push(ComponentUpdate { component: ComponentId(u16::from_be_bytes([high, low])), operation });
    }
    let Ok(changes) = apply(&before, &updates) else { return false };
    assert!(changes.len() <= updates.len());
    for (component, data) in changes {
        match (component, data) {
            (ComponentId::PARTICIPANT_LIST, Some(data)) => assert!(through::<ParticipantList>(&data)),
            (ComponentId::JOIN_LINKS, Some(data)) => assert!(through::<JoinLinks>(&data)),
            _ => {}
        }
    }
    true
}

/// The room that a group with these components and no members would be.
fn room_of(bytes: &[u8]) -> bool {
    let Ok(components) = Dictionary::decode(bytes) else { return false };
    let (Ok(group), Ok(room), Ok(creator)) = (
        GroupUri::parse("mimi://a.example/g/lobby"),
        RoomUri::parse("mimi://a.example/r/lobby"),
        UserUri::parse("mimi://a.example/u/alice"),
    ) else {
        return false;
    };
    let view = GroupView { group, epoch: 0, suite: 1, leaves: Vec::new(), components };
    if let Ok(template) = Template::of_components(&view.components) {
        let again = template.to_yaml().ok().and_then(|text| Template::parse(&text).ok());
        assert!(again.as_ref() == Some(&template), "a template is another one when it is read again");
    }
    let read = RoomState::read(&view);
    assert!(room::found(&view, &room, &creator).is_err(), "a room was founded by nobody");
    read.is_ok()
}
