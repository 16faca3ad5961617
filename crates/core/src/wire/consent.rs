//! `requestConsent` and `updateConsent`: what users let each other do (draft-ietf-mimi-protocol, "Obtaining Consent").

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use tls_codec::{
    Deserialize as TlsDeserialize, Error, Serialize as TlsSerialize, Size, TlsDeserialize, TlsSerialize, TlsSize,
};

use super::components::Dictionary;
use super::mls::KeyPackage;
use super::uri::{RoomUri, UserUri};
use super::wire;

/// What is done with a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TlsSize, TlsSerialize, TlsDeserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum ConsentOperation {
    /// The requester takes its request back.
    Cancel = 0,
    /// The requester asks for consent.
    Request = 1,
    /// The target gives it, asked or not.
    Grant = 2,
    /// The target refuses it, or takes it back.
    Revoke = 3,
}

impl ConsentOperation {
    /// As policies and records spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Request => "request",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
        }
    }

    /// Whether it is the requester who acts, by `requestConsent`; else it is the target, by `updateConsent`.
    pub fn is_requester_s(self) -> bool {
        match self {
            Self::Cancel | Self::Request => true,
            Self::Grant | Self::Revoke => false,
        }
    }

    /// Whether it takes something back.
    pub fn withdraws(self) -> bool {
        match self {
            Self::Cancel | Self::Revoke => true,
            Self::Request | Self::Grant => false,
        }
    }
}

/// One step between a requester and a target. It bears no signature: who believes it believes the provider of the user
/// who acts (reading D-48).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentEntry {
    /// Which step.
    pub operation: ConsentOperation,
    /// Who wants to reach the target.
    pub requester: UserUri,
    /// Whose consent it is.
    pub target: UserUri,
    /// The room it is for; `None` for every room.
    pub room: Option<RoomUri>,
    /// KeyPackages of the target's clients. Only a grant has a field for them: they are not encoded with another
    /// operation.
    pub key_packages: Vec<KeyPackage>,
    /// Extensions.
    pub extensions: Dictionary,
}

impl ConsentEntry {
    /// Who acts: the requester or the target.
    pub fn actor(&self) -> &UserUri {
        if self.operation.is_requester_s() { &self.requester } else { &self.target }
    }

    /// Who is told.
    pub fn told(&self) -> &UserUri {
        if self.operation.is_requester_s() { &self.target } else { &self.requester }
    }
}

impl Size for ConsentEntry {
    fn tls_serialized_len(&self) -> usize {
        let Self { operation, requester, target, room, key_packages, extensions } = self;
        let granted = if *operation == ConsentOperation::Grant { key_packages.tls_serialized_len() } else { 0 };
        operation.tls_serialized_len()
            + requester.tls_serialized_len()
            + target.tls_serialized_len()
            + room.tls_serialized_len()
            + granted
            + extensions.tls_serialized_len()
    }
}

impl TlsSerialize for ConsentEntry {
    fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let Self { operation, requester, target, room, key_packages, extensions } = self;
        let mut written = operation.tls_serialize(writer)?;
        written += requester.tls_serialize(writer)?;
        written += target.tls_serialize(writer)?;
        written += room.tls_serialize(writer)?;
        if *operation == ConsentOperation::Grant {
            written += key_packages.tls_serialize(writer)?;
        }
        Ok(written + extensions.tls_serialize(writer)?)
    }
}

impl TlsDeserialize for ConsentEntry {
    fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
        let operation = ConsentOperation::tls_deserialize(reader)?;
        Ok(Self {
            operation,
            requester: UserUri::tls_deserialize(reader)?,
            target: UserUri::tls_deserialize(reader)?,
            room: Option::tls_deserialize(reader)?,
            key_packages: match operation {
                ConsentOperation::Grant => Vec::tls_deserialize(reader)?,
                ConsentOperation::Cancel | ConsentOperation::Request | ConsentOperation::Revoke => Vec::new(),
            },
            extensions: Dictionary::tls_deserialize(reader)?,
        })
    }
}

wire!(ConsentEntry);
