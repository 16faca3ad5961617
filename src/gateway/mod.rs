//! Use cases: the only place that orders the stages. One file each.

mod error;

pub use error::GatewayError;

use actix_web::web::Bytes;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use portcullis_store::Store;
use uuid::Uuid;

/// Who asks, after the door has authenticated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Another provider, by its certificate and `From`.
    Peer(Domain),
    /// One of our users, by its token.
    User(UserUri),
}

/// What a use case answers: the body for the wire, and the decision behind it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// TLS-encoded MIMI structure.
    pub body: Vec<u8>,
    /// The decision that the audit log holds, where one was made.
    pub decision: Option<Uuid>,
}

/// A handle on the whole gateway; clones share everything.
#[derive(Clone)]
pub struct Gateway {}

impl Gateway {
    pub fn store(&self) -> &Store {
        unimplemented!()
    }
    pub fn domains(&self) -> &[Domain] {
        unimplemented!()
    }
    pub async fn key_material(&self, _caller: Caller, _target: UserUri, _body: Bytes) -> Result<Answer, GatewayError> {
        unimplemented!()
    }
    pub async fn update_room(&self, _caller: Caller, _room: RoomUri, _body: Bytes) -> Result<Answer, GatewayError> {
        unimplemented!()
    }
    pub async fn submit_message(&self, _caller: Caller, _room: RoomUri, _body: Bytes) -> Result<Answer, GatewayError> {
        unimplemented!()
    }
    pub async fn group_info(&self, _caller: Caller, _room: RoomUri, _body: Bytes) -> Result<Answer, GatewayError> {
        unimplemented!()
    }
    pub async fn notify(&self, _from: Domain, _room: RoomUri, _body: Bytes) -> Result<(), GatewayError> {
        unimplemented!()
    }
    pub async fn register_user(&self, _user: UserUri) -> Result<(), GatewayError> {
        unimplemented!()
    }
    pub async fn register_device(&self, _user: UserUri, _device: ClientUri) -> Result<(), GatewayError> {
        unimplemented!()
    }
    /// Takes raw KeyPackages of one device; all or none. Gives the number now unclaimed.
    pub async fn upload_key_packages(
        &self,
        _user: UserUri,
        _device: ClientUri,
        _packages: Vec<Vec<u8>>,
    ) -> Result<u64, GatewayError> {
        unimplemented!()
    }
    pub async fn count_key_packages(&self, _user: UserUri, _device: ClientUri) -> Result<u64, GatewayError> {
        unimplemented!()
    }
    /// Creates the room record and gives the GroupContext extensions (TLS `Extension extensions<V>`) to start its group with.
    pub async fn create_room(&self, _creator: UserUri, _room: NewRoom) -> Result<CreatedRoom, GatewayError> {
        unimplemented!()
    }
    /// Takes the first GroupInfo (MLSMessage) and ratchet tree (`optional<Node> nodes<V>`) of a room.
    pub async fn start_group(
        &self,
        _user: UserUri,
        _room: RoomUri,
        _group_info: Bytes,
        _ratchet_tree: Bytes,
    ) -> Result<Answer, GatewayError> {
        unimplemented!()
    }
}

/// A room to be created.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its identifier, under one of our domains.
    pub room: RoomUri,
    /// The template's name, such as `strict`.
    pub template: String,
    /// Display name put into the room metadata.
    pub name: String,
}

/// A room that waits for its first group.
#[derive(Clone, Debug)]
pub struct CreatedRoom {
    /// Identifier of the room.
    pub room: RoomUri,
    /// MLS group id to use, a `/g/` identifier.
    pub group: String,
    /// MLS ciphersuite to use.
    pub suite: u16,
    /// GroupContext extensions to use, TLS-encoded `Extension extensions<V>`.
    pub extensions: Vec<u8>,
    /// The decision that allowed it.
    pub decision: Uuid,
}
