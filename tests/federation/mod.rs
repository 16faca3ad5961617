//! Providers among themselves: what users of two and three gateways do, and what the gateways do not let them do.

mod absent;
mod audit;
mod claims;
mod consent;
mod deletion;
mod delivery;
mod domains;
mod elsewhere;
mod ending;
mod envelope;
mod forged;
mod franking;
mod join_codes;
mod joins;
mod lost;
mod material;
mod moderation;
mod notify;
mod policy;
mod postgres;
mod rates;
mod rights;
mod rooms;
mod search;
mod strangers;
mod updates;
mod x509;

use portcullis::member::{Device, Sent};
use portcullis_core::wire::Wire;
use portcullis_core::wire::mls::MlsMessage;
use portcullis_core::wire::update::{CommitBundle, UpdateRequest, UpdateResponse};

use crate::harness::{Gateway, room};

/// The code of a refusal.
fn refusal(sent: Sent) -> String {
    sent.answer.unwrap_err().code
}

pub(crate) fn assert_accepted(sent: &Sent) {
    assert!(sent.answer.is_ok(), "{sent:?}");
}

pub(crate) fn assert_in_step(devices: &[&Device]) {
    let secret = devices[0].member().epoch_authenticator(&room()).unwrap();
    for device in devices {
        assert!(device.member().epoch_authenticator(&room()).unwrap() == secret, "{} is elsewhere", device.client());
    }
}

/// Sends an update to a.example in the name of a provider.
async fn hand_in(by: &Gateway, request: &UpdateRequest) -> UpdateResponse {
    let endpoint = portcullis::peer::Endpoint::Update(room());
    let answer = by.post("a.example", endpoint, request.encode()).await.unwrap();
    UpdateResponse::decode(&answer.body).unwrap()
}

/// The same commit with one bit of its signature flipped. A PublicMessage of a member ends in `opaque signature<V>`, then
/// confirmation tag and membership tag, MACs of 32 bytes after a length of one byte (RFC 9420, sections 6.1 and 6.2).
pub(crate) fn forged(request: &UpdateRequest) -> UpdateRequest {
    let UpdateRequest::Commit(bundle) = request else { panic!("only commits are forged") };
    let mut bytes = bundle.commit.as_bytes().to_vec();
    let last = bytes.len() - 2 * (1 + 32) - 1;
    bytes[last] ^= 1;
    UpdateRequest::Commit(CommitBundle { commit: MlsMessage::decode(&bytes).unwrap(), ..bundle.clone() })
}
