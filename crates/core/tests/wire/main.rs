//! The wire stage against vectors, hostile bytes and generated structs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod generated;
mod hostile;
mod real;
mod rfc9420;
mod vectors;

use portcullis_core::wire::components::*;
use portcullis_core::wire::consent::ConsentEntry;
use portcullis_core::wire::frank::{Frank, SafeAad};
use portcullis_core::wire::group_info::{GroupInfoRequest, GroupInfoResponse};
use portcullis_core::wire::identifier_query::{IdentifierRequest, IdentifierResponse};
use portcullis_core::wire::key_material::{KeyMaterialRequest, KeyMaterialResponse};
use portcullis_core::wire::notify::{FanoutMessage, decode_batch};
use portcullis_core::wire::report_abuse::AbuseReport;
use portcullis_core::wire::submit::{SubmitMessageRequest, SubmitMessageResponse};
use portcullis_core::wire::update::{UpdateRequest, UpdateResponse};
use portcullis_core::wire::{DecodeError, Wire};
use serde_json::Value;

/// Decodes and encodes.
type Codec = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// One vector of the file.
struct Vector {
    group: String,
    name: String,
    bytes: Vec<u8>,
    json: Value,
}

impl Vector {
    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap()
    }

    fn hex(&self, key: &str) -> Vec<u8> {
        unhex(self.text(key))
    }

    fn fields(&self) -> &Value {
        &self.json["fields"]
    }

    /// How its struct is read.
    fn codec(&self) -> Codec {
        let name = self.text("struct");
        match name.split(" (").next().unwrap() {
            "RoleData" => through::<RolesList>,
            "ParticipantListData" => through::<ParticipantList>,
            "ParticipantListUpdate" => through::<ParticipantListUpdate>,
            "Proposal" => through_proposal,
            "BaseRoomPolicy" => through::<BaseRoomPolicy>,
            "StatusNotificationPolicy" => through::<StatusNotificationPolicy>,
            "JoinLinkPolicy" => through::<JoinLinkPolicy>,
            "JoinLinksData" => through::<JoinLinks>,
            "LinkPreviewPolicy" => through::<LinkPreviewPolicy>,
            "AssetPolicy" => through::<AssetPolicy>,
            "LoggingPolicy" => through::<LoggingPolicy>,
            "HistoryPolicy" => through::<HistoryPolicy>,
            "BotPolicy" => through::<BotPolicy>,
            "MessageExpiration" => through::<MessageExpirationPolicy>,
            "PreAuthData" => through::<PreauthList>,
            "OperationalParameters" => through::<OperationalParameters>,
            "RoomMetaData" => through::<RoomMetadata>,
            "KeyMaterialRequest" => through::<KeyMaterialRequest>,
            "KeyMaterialResponse" => through::<KeyMaterialResponse>,
            "UpdateRoomResponse" => through::<UpdateResponse>,
            "UpdateRequest" => through::<UpdateRequest>,
            "SubmitMessageRequest" => through::<SubmitMessageRequest>,
            "SubmitMessageResponse" => through::<SubmitMessageResponse>,
            "Frank" => through::<Frank>,
            "FanoutMessage" => through::<FanoutMessage>,
            "FanoutMessage x2 concatenated" => through_batch,
            "GroupInfoRequest" => through::<GroupInfoRequest>,
            "GroupInfoResponse" => through::<GroupInfoResponse>,
            "AppDataDictionary" => through::<Dictionary>,
            "AbuseReport" => through::<AbuseReport>,
            "ConsentEntry" => through::<ConsentEntry>,
            "IdentifierRequest" => through::<IdentifierRequest>,
            "IdentifierResponse" => through::<IdentifierResponse>,
            unknown => panic!("no codec for `{unknown}`"),
        }
    }
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!("../vectors/mimi-vectors.json")).unwrap();
    let vector = |json: &Value| Vector {
        group: json["group"].as_str().unwrap().into(),
        name: json["name"].as_str().unwrap().into(),
        bytes: unhex(json["hex"].as_str().unwrap()),
        json: json.clone(),
    };
    file["vectors"].as_array().unwrap().iter().map(vector).collect()
}

fn vector(group: &str, name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.group == group && vector.name == name).unwrap()
}

fn through<T: Wire>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    T::decode(bytes).map(|value| value.encode())
}

fn through_batch(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let batch = decode_batch(bytes)?;
    assert!(batch.iter().all(|(message, exact)| message.encode() == *exact));
    Ok(batch.iter().flat_map(|(message, _)| message.encode()).collect())
}

/// An AppDataUpdate proposal for the participant list: its type, component, operation and the update in an `opaque<V>`.
fn through_proposal(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (head, update) = bytes.split_at_checked(6).ok_or(DecodeError::Truncated("Proposal"))?;
    if head != [0, 8, 0, 0x22, 1, u8::try_from(update.len()).unwrap_or(0)] {
        return Err(DecodeError::Trailing("Proposal"));
    }
    Ok([head, &through::<ParticipantListUpdate>(update)?].concat())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
