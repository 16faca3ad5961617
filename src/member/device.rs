//! What a device does in rooms. It behaves as any client: what it commits is pending until the hub has answered.

use std::time::Duration;

use portcullis_core::member::Member;
use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::GroupInfoRatchetTree;
use portcullis_core::wire::key_material::ClientKeyMaterial;
use portcullis_core::wire::mls::{KeyPackage, MlsMessage};
use portcullis_core::wire::submit::SubmitMessageRequest;
use portcullis_core::wire::update::UpdateRequest;
use portcullis_core::wire::uri::{ClientUri, RoomUri, UserUri};
use portcullis_store::answers;

use super::answer::{self, Accepted, Sent};
use super::error::DeviceError;
use super::events::Feed;
use crate::provider::client::{Answered, Client, ClientError};
use crate::provider::{CreateRoom, RoomCreated};

/// How long key packages are good for: gateways take none that end within 30 days, or after 84 days and an hour.
pub const KEY_PACKAGE_LIFETIME: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// One device of one user: an MLS client, the provider door of its company, and its event stream.
#[derive(Debug)]
pub struct Device {
    pub(super) member: Member,
    pub(super) feed: Feed,
    pub(super) door: Client,
}

impl Device {
    /// Registers the client and its user at the door, which is opened with a token of the user.
    ///
    /// # Errors
    ///
    /// [`DeviceError`], as all methods here; what the protocol or a policy can refuse is an answer.
    pub async fn register(door: Client, client: ClientUri) -> Result<Self, DeviceError> {
        if client.user().is_none() {
            return Err(DeviceError::NoUser(client));
        }
        Self::register_member(door, Member::new(client)?).await
    }

    /// The same for an MLS client that there is, say one with an x509 credential.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn register_member(door: Client, member: Member) -> Result<Self, DeviceError> {
        door.register_user(member.user()).await?;
        door.register_device(member.client()).await?;
        Ok(Self { feed: Feed::new(door.events(member.client(), 0)), member, door })
    }

    /// The client.
    pub fn client(&self) -> &ClientUri {
        self.member.client()
    }

    /// Its user.
    pub fn user(&self) -> &UserUri {
        self.member.user()
    }

    /// The MLS client inside.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The MLS client inside, to build requests that are sent later, changed, or never.
    pub fn member_mut(&mut self) -> &mut Member {
        &mut self.member
    }

    /// Uploads `count` new key packages and gives the number now unclaimed.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn publish_key_packages(&mut self, count: usize) -> Result<u64, DeviceError> {
        let packages = self.member.key_packages(count, KEY_PACKAGE_LIFETIME)?;
        let packages = packages.iter().map(|package| package.as_bytes().to_vec()).collect();
        Ok(self.door.upload_key_packages(self.member.client(), packages).await?)
    }

    /// Creates a room from a template and starts its group.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn create_room(&mut self, room: &RoomUri, template: &str, name: &str) -> Result<Sent, DeviceError> {
        self.found_room(&CreateRoom::new(room.clone(), template, name)).await
    }

    /// The same for a room with participants from the start, or with a parent.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn found_room(&mut self, new: &CreateRoom) -> Result<Sent, DeviceError> {
        match self.door.create_room(new).await {
            Ok(created) => self.start_group(created).await,
            Err(error) => refused_by_door(error, None),
        }
    }

    /// Starts the next group of a room in which nobody is left.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn next_group(&mut self, room: &RoomUri) -> Result<Sent, DeviceError> {
        match self.door.next_group(room).await {
            Ok(created) => self.start_group(created).await,
            Err(error) => refused_by_door(error, None),
        }
    }

    /// Destroys a room of the device's own gateway.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn destroy_room(&mut self, room: &RoomUri) -> Result<Sent, DeviceError> {
        match self.door.destroy_room(room).await {
            Ok(decision) => Ok(Sent { exchange: None, decision, answer: Ok(Accepted::untimed()) }),
            Err(error) => refused_by_door(error, None),
        }
    }

    async fn start_group(&mut self, created: Answered<RoomCreated>) -> Result<Sent, DeviceError> {
        let RoomCreated { room, group, extensions, .. } = &created.value;
        let first = self.member.create_room(room, group, &extensions.0)?;
        let group_info = first.group_info.as_bytes().to_vec();
        match self.door.start_group(room, group_info, first.tree.as_bytes().to_vec()).await {
            Ok(_) => Ok(Sent { exchange: None, decision: created.decision, answer: Ok(Accepted::untimed()) }),
            Err(error) => refused_by_door(error, None),
        }
    }

    /// Fetches a key package of every client of `user`, for use in `room`. Gives those that there are.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn claim(&self, user: &UserUri, room: &RoomUri) -> Result<(Sent, Vec<KeyPackage>), DeviceError> {
        let body = self.member.key_material_request(user, Some(room))?.encode();
        let exchange = Some(answers::scope(&[&body]));
        let answered = match self.door.key_material(user, body).await {
            Ok(answered) => answered,
            Err(error) => return Ok((refused_by_door(error, exchange)?, Vec::new())),
        };
        let Answered { value, decision } = answered;
        let sent = Sent { exchange, decision, answer: answer::of_key_material(value.status) };
        let packages = value.clients.into_iter().filter_map(|client| match client {
            ClientKeyMaterial::Success { key_package, .. } => Some(key_package),
            ClientKeyMaterial::Exhausted { .. } | ClientKeyMaterial::NothingCompatible { .. } => None,
        });
        Ok((sent, packages.collect()))
    }

    /// Commits clients into the room and lists their user in a role.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn add(
        &mut self,
        room: &RoomUri,
        key_packages: Vec<KeyPackage>,
        participant: (UserUri, u32),
    ) -> Result<Sent, DeviceError> {
        let request = self.member.add(room, key_packages, [participant])?;
        self.update(room, &request).await
    }

    /// Commits a user out of the room.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn remove(&mut self, room: &RoomUri, user: &UserUri) -> Result<Sent, DeviceError> {
        let request = self.member.remove(room, user)?;
        self.update(room, &request).await
    }

    /// Commits what is pending; renews this device's keys in any case.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn commit_pending(&mut self, room: &RoomUri) -> Result<Sent, DeviceError> {
        let request = self.member.commit_pending(room)?;
        self.update(room, &request).await
    }

    /// Proposes that the user leaves with all its devices; somebody else has to commit it.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn leave(&mut self, room: &RoomUri) -> Result<Sent, DeviceError> {
        let request = self.member.leave(room)?;
        self.update(room, &request).await
    }

    /// Asks the hub for what an external join needs; `None` when it refuses.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn ask_group_info(
        &mut self,
        room: &RoomUri,
    ) -> Result<(Sent, Option<GroupInfoRatchetTree>), DeviceError> {
        self.ask_group_info_by(room, None).await
    }

    /// The same, with a joining code.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn ask_group_info_by(
        &mut self,
        room: &RoomUri,
        code: Option<&str>,
    ) -> Result<(Sent, Option<GroupInfoRatchetTree>), DeviceError> {
        let body = self.member.group_info_request(room, code.map(|code| code.as_bytes().to_vec()))?.encode();
        let exchange = Some(answers::scope(&[&body]));
        let answered = match self.door.group_info(room, body).await {
            Ok(answered) => answered,
            Err(error) => return Ok((refused_by_door(error, exchange)?, None)),
        };
        let Answered { value, decision } = answered;
        let answer = answer::of_group_info(&value.outcome);
        let material = match &answer {
            Ok(_) => Some(self.member.open_group_info_response(room, &value)?),
            Err(_) => None,
        };
        Ok((Sent { exchange, decision, answer }, material))
    }

    /// Commits itself into the room from outside, and lists its user in `role` unless it is listed already (`None`).
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn external_join(
        &mut self,
        room: &RoomUri,
        material: &GroupInfoRatchetTree,
        role: Option<u32>,
    ) -> Result<Sent, DeviceError> {
        let request = self.member.external_join(room, material, role)?;
        let sent = self.update(room, &request).await?;
        if sent.answer.is_ok() {
            self.feed.joined(room, &self.member);
            self.tell_group(room).await?;
        }
        Ok(sent)
    }

    /// Says something to the room.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn say(&mut self, room: &RoomUri, text: &str) -> Result<Sent, DeviceError> {
        let request = self.member.text(room, text)?;
        self.submit(room, &request).await
    }

    /// Sends an update that [`Self::member_mut`] has built, and tells the MLS client what became of it. When there is
    /// no answer, the update stays pending: the event stream will tell.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn update(&mut self, room: &RoomUri, request: &UpdateRequest) -> Result<Sent, DeviceError> {
        let exchange = match request {
            UpdateRequest::Commit(bundle) => Some(bundle.commit.hash()),
            UpdateRequest::Proposals(proposals) => proposals.first().map(MlsMessage::hash),
        };
        let sent = match self.door.update(room, request.encode()).await {
            Ok(Answered { value, decision }) => Sent { exchange, decision, answer: answer::of_update(value) },
            Err(error) => refused_by_door(error, exchange)?,
        };
        match &sent.answer {
            Ok(_) => self.member.accepted(room)?,
            Err(_) => self.member.rejected(room)?,
        }
        Ok(sent)
    }

    /// Sends a message that [`Self::member_mut`] has encrypted.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub async fn submit(&mut self, room: &RoomUri, request: &SubmitMessageRequest) -> Result<Sent, DeviceError> {
        let exchange = Some(request.message.hash());
        match self.door.submit(room, request.encode()).await {
            Ok(Answered { value, decision }) => {
                Ok(Sent { exchange, decision, answer: answer::of_message(&value.outcome) })
            }
            Err(error) => refused_by_door(error, exchange),
        }
    }
}

/// A refusal by the door itself is an answer; that the gateway or another provider is not there is an error.
fn refused_by_door(error: ClientError, exchange: Option<[u8; 32]>) -> Result<Sent, DeviceError> {
    match error.problem().filter(|problem| problem.status < 500) {
        Some(problem) => Ok(Sent { exchange, decision: problem.decision, answer: Err(problem.into()) }),
        None => Err(error.into()),
    }
}
