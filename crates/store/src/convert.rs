//! Between the types of the domain and those of the columns.

use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, Domain, GroupUri, RoomUri, UserUri};
use uuid::Uuid;

use crate::StoreError;

/// Databases have no unsigned numbers. A peer chooses epochs, so what does not fit must not be bent into another one.
pub(crate) fn to_db(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::OutOfRange)
}

pub(crate) fn time(at: Millis) -> Result<i64, StoreError> {
    to_db(at.0)
}

pub(crate) fn number(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| StoreError::Corrupt("number"))
}

pub(crate) fn millis(stored: i64) -> Result<Millis, StoreError> {
    number(stored).map(Millis)
}

pub(crate) fn digest(stored: &[u8]) -> Result<[u8; 32], StoreError> {
    stored.try_into().map_err(|_| StoreError::Corrupt("digest"))
}

pub(crate) fn uuid(stored: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(stored).map_err(|_| StoreError::Corrupt("uuid"))
}

pub(crate) fn user(stored: &str) -> Result<UserUri, StoreError> {
    UserUri::parse(stored).map_err(|_| StoreError::Corrupt("user"))
}

pub(crate) fn client(stored: &str) -> Result<ClientUri, StoreError> {
    ClientUri::parse(stored).map_err(|_| StoreError::Corrupt("client"))
}

pub(crate) fn room(stored: &str) -> Result<RoomUri, StoreError> {
    RoomUri::parse(stored).map_err(|_| StoreError::Corrupt("room"))
}

pub(crate) fn group(stored: &str) -> Result<GroupUri, StoreError> {
    GroupUri::parse(stored).map_err(|_| StoreError::Corrupt("group"))
}

pub(crate) fn domain(stored: &str) -> Result<Domain, StoreError> {
    Domain::parse(stored).map_err(|_| StoreError::Corrupt("domain"))
}
