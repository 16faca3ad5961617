//! A client of the provider door: every route as a method, and the event stream that connects again by itself.

mod error;
mod events;
mod sse;

pub use error::ClientError;
pub use events::{EventStream, Positioned};

use portcullis_core::wire::Wire;
use portcullis_core::wire::group_info::GroupInfoResponse;
use portcullis_core::wire::identifier_query::IdentifierResponse;
use portcullis_core::wire::key_material::KeyMaterialResponse;
use portcullis_core::wire::submit::SubmitMessageResponse;
use portcullis_core::wire::update::UpdateResponse;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    ACTING_USER, Base64, ChangeConsent, Consents, CreateRoom, DECISION, FirstGroup, IDEMPOTENCY_KEY, KeyPackageCount,
    KeyPackages,
};
use super::{ProblemDetails, Profile, RoomCreated};

/// Speaks for one user at one gateway. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    origin: Url,
    token: String,
    user: Option<UserUri>,
}

/// An answer and the decision behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// What was answered.
    pub value: T,
    /// The decision in the gateway's audit log.
    pub decision: Option<Uuid>,
}

impl Client {
    /// A client for the door at `origin`, such as `http://127.0.0.1:8080`, with a user's own token.
    ///
    /// # Errors
    ///
    /// [`ClientError::Origin`] for what is no URL that paths can follow.
    pub fn new(origin: &str, token: impl Into<String>) -> Result<Self, ClientError> {
        let origin = Url::parse(origin).ok().filter(|url| !url.cannot_be_a_base()).ok_or(ClientError::Origin)?;
        let http = reqwest::Client::builder().build()?;
        Ok(Self { http, origin, token: token.into(), user: None })
    }

    /// The same door with a service's token, acting for `user`.
    #[must_use]
    pub fn acting_for(&self, user: UserUri) -> Self {
        Self { user: Some(user), ..self.clone() }
    }

    /// Registers a user.
    ///
    /// # Errors
    ///
    /// [`ClientError`], as all methods here.
    pub async fn register_user(&self, user: &UserUri) -> Result<(), ClientError> {
        self.call(self.request(Method::PUT, &["users", user.as_str()])?).await.map(drop)
    }

    /// Registers a device of the user this client speaks for.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn register_device(&self, device: &ClientUri) -> Result<(), ClientError> {
        self.call(self.request(Method::PUT, &["devices", device.as_str()])?).await.map(drop)
    }

    /// Deletes a device of the user this client speaks for.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn deregister_device(&self, device: &ClientUri) -> Result<(), ClientError> {
        self.call(self.request(Method::DELETE, &["devices", device.as_str()])?).await.map(drop)
    }

    /// Deletes the user this client speaks for, with its devices.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn deregister_user(&self, user: &UserUri) -> Result<(), ClientError> {
        self.call(self.request(Method::DELETE, &["users", user.as_str()])?).await.map(drop)
    }

    /// Uploads raw KeyPackages and gives the number now unclaimed.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn upload_key_packages(&self, device: &ClientUri, packages: Vec<Vec<u8>>) -> Result<u64, ClientError> {
        let body = KeyPackages { key_packages: packages.into_iter().map(Base64).collect() };
        let request = self.post(&["devices", device.as_str(), "key-packages"])?.json(&body);
        let count: Answered<KeyPackageCount> = json(self.call(request).await?).await?;
        Ok(count.value.unclaimed)
    }

    /// How many KeyPackages of a device are unclaimed.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn count_key_packages(&self, device: &ClientUri) -> Result<u64, ClientError> {
        let request = self.request(Method::GET, &["devices", device.as_str(), "key-packages"])?;
        let count: Answered<KeyPackageCount> = json(self.call(request).await?).await?;
        Ok(count.value.unclaimed)
    }

    /// Creates a room and gives what its first group must be made with.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn create_room(&self, room: &CreateRoom) -> Result<Answered<RoomCreated>, ClientError> {
        json(self.call(self.post(&["rooms"])?.json(room)).await?).await
    }

    /// Starts a room with its first GroupInfo and ratchet tree. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn start_group(
        &self,
        room: &RoomUri,
        group_info: Vec<u8>,
        ratchet_tree: Vec<u8>,
    ) -> Result<Option<Uuid>, ClientError> {
        let body = FirstGroup { group_info: Base64(group_info), ratchet_tree: Base64(ratchet_tree) };
        let request = self.request(Method::PUT, &["rooms", room.as_str(), "group"])?.json(&body);
        Ok(decision(self.call(request).await?.headers()))
    }

    /// Asks what the next group of a room must be made with in which nobody is left.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn next_group(&self, room: &RoomUri) -> Result<Answered<RoomCreated>, ClientError> {
        json(self.call(self.post(&["rooms", room.as_str(), "group"])?).await?).await
    }

    /// Destroys a room. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn destroy_room(&self, room: &RoomUri) -> Result<Option<Uuid>, ClientError> {
        let request = self.post(&["rooms", room.as_str(), "destroy"])?;
        Ok(decision(self.call(request).await?.headers()))
    }

    /// Describes the group of a room that another provider hosts: GroupInfo and ratchet tree. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn take_up(
        &self,
        room: &RoomUri,
        group_info: Vec<u8>,
        ratchet_tree: Vec<u8>,
    ) -> Result<Option<Uuid>, ClientError> {
        let body = FirstGroup { group_info: Base64(group_info), ratchet_tree: Base64(ratchet_tree) };
        let request = self.request(Method::PUT, &["rooms", room.as_str(), "group-info"])?.json(&body);
        Ok(decision(self.call(request).await?.headers()))
    }

    /// Sends an encoded UpdateRequest.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what the protocol can refuse is an answer.
    pub async fn update(&self, room: &RoomUri, body: Vec<u8>) -> Result<Answered<UpdateResponse>, ClientError> {
        self.mimi(&["rooms", room.as_str(), "update"], body).await
    }

    /// Sends an encoded SubmitMessageRequest.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what the protocol can refuse is an answer.
    pub async fn submit(&self, room: &RoomUri, body: Vec<u8>) -> Result<Answered<SubmitMessageResponse>, ClientError> {
        self.mimi(&["rooms", room.as_str(), "messages"], body).await
    }

    /// Sends an encoded AbuseReport. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn report(&self, room: &RoomUri, body: Vec<u8>) -> Result<Option<Uuid>, ClientError> {
        let request = self.post(&["rooms", room.as_str(), "reports"])?;
        let request = request.header(CONTENT_TYPE, "application/octet-stream").body(body);
        Ok(decision(self.call(request).await?.headers()))
    }

    /// Sends an encoded GroupInfoRequest.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what the protocol can refuse is an answer.
    pub async fn group_info(&self, room: &RoomUri, body: Vec<u8>) -> Result<Answered<GroupInfoResponse>, ClientError> {
        self.mimi(&["rooms", room.as_str(), "group-info"], body).await
    }

    /// Sends an encoded KeyMaterialRequest for a user anywhere.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what the protocol can refuse is an answer.
    pub async fn key_material(
        &self,
        user: &UserUri,
        body: Vec<u8>,
    ) -> Result<Answered<KeyMaterialResponse>, ClientError> {
        self.mimi(&["key-material", user.as_str()], body).await
    }

    /// Takes a step towards another user's consent, or gives one's own. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn change_consent(&self, change: &ChangeConsent) -> Result<Option<Uuid>, ClientError> {
        let request = self.post(&["consent"])?.json(change);
        Ok(decision(self.call(request).await?.headers()))
    }

    /// What stands between the user this client speaks for and others, after number `after`; 0 is the beginning.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn consents(&self, after: u64) -> Result<Consents, ClientError> {
        let mut url = self.url(&["consent"])?;
        url.query_pairs_mut().append_pair("after", &after.to_string());
        let request = self.authorized(Method::GET, url);
        let page: Answered<Consents> = json(self.call(request).await?).await?;
        Ok(page.value)
    }

    /// Says what the user this client speaks for wants to be found by. Gives the decision.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn put_profile(&self, user: &UserUri, profile: &Profile) -> Result<Option<Uuid>, ClientError> {
        let request = self.request(Method::PUT, &["users", user.as_str(), "profile"])?.json(profile);
        Ok(decision(self.call(request).await?.headers()))
    }

    /// What the user this client speaks for wants to be found by.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn profile(&self, user: &UserUri) -> Result<Profile, ClientError> {
        let request = self.request(Method::GET, &["users", user.as_str(), "profile"])?;
        Ok(json(self.call(request).await?).await?.value)
    }

    /// Looks for a user by the one e-mail address in an encoded IdentifierRequest, wherever that leads to.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what the protocol can refuse is an answer.
    pub async fn search_by_address(&self, body: Vec<u8>) -> Result<Answered<IdentifierResponse>, ClientError> {
        self.mimi(&["search"], body).await
    }

    /// Looks for users of a provider, here or elsewhere, with an encoded IdentifierRequest.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; what the protocol can refuse is an answer.
    pub async fn search(&self, domain: &Domain, body: Vec<u8>) -> Result<Answered<IdentifierResponse>, ClientError> {
        self.mimi(&["search", domain.as_str()], body).await
    }

    /// The events of a device after a position; 0 is the beginning. Nothing is asked before the first `next`.
    pub fn events(&self, device: &ClientUri, after: u64) -> EventStream {
        EventStream::new(self.clone(), device.clone(), after)
    }

    /// The OpenAPI document.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        let document: Answered<serde_json::Value> =
            json(self.call(self.request(Method::GET, &["openapi.json"])?).await?).await?;
        Ok(document.value)
    }

    /// A request with the caller's credentials. Each segment is percent-encoded.
    fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, ClientError> {
        Ok(self.authorized(method, self.url(segments)?))
    }

    fn url(&self, segments: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.origin.clone();
        url.path_segments_mut().map_err(|()| ClientError::Origin)?.pop_if_empty().push("v1").extend(segments);
        Ok(url)
    }

    fn authorized(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url).bearer_auth(&self.token);
        match &self.user {
            Some(user) => request.header(ACTING_USER, user.as_str()),
            None => request,
        }
    }

    fn post(&self, segments: &[&str]) -> Result<RequestBuilder, ClientError> {
        Ok(self.request(Method::POST, segments)?.header(IDEMPOTENCY_KEY, Uuid::new_v4().to_string()))
    }

    async fn mimi<T: Wire>(&self, segments: &[&str], body: Vec<u8>) -> Result<Answered<T>, ClientError> {
        let request = self.post(segments)?.header(CONTENT_TYPE, "application/octet-stream").body(body);
        let response = self.call(request).await?;
        let decision = decision(response.headers());
        let value = T::decode(&response.bytes().await?).map_err(ClientError::Decode)?;
        Ok(Answered { value, decision })
    }

    /// Sends a request; a refusal becomes an error with its details.
    async fn call(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        match response.json::<ProblemDetails>().await {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(ClientError::Status(status.as_u16())),
        }
    }
}

/// Sends a request, and once more when the connection breaks before the answer: a door closes connections that were
/// idle, and does not know that a request is on its way. Every POST has its idempotency key, so nothing happens twice.
async fn send(request: RequestBuilder) -> Result<Response, reqwest::Error> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if error.is_request() && !error.is_timeout() => again.send().await,
        (answer, _) => answer,
    }
}

fn decision(headers: &HeaderMap) -> Option<Uuid> {
    headers.get(DECISION)?.to_str().ok()?.parse().ok()
}

async fn json<T: Serialize + DeserializeOwned>(response: Response) -> Result<Answered<T>, ClientError> {
    let decision = decision(response.headers());
    Ok(Answered { value: response.json().await?, decision })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Reads a request with a body and gives its idempotency key.
    async fn key_of(connection: &mut TcpStream) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
        }
        let request = String::from_utf8(request).unwrap().to_lowercase();
        request.split_once("idempotency-key: ").unwrap().1.lines().next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_post_on_a_connection_that_breaks_is_sent_again_with_the_same_key() {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", door.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut broken, _) = door.accept().await.unwrap();
            let first = key_of(&mut broken).await;
            drop(broken);
            let (mut good, _) = door.accept().await.unwrap();
            let second = key_of(&mut good).await;
            good.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"unclaimed\":1}").await.unwrap();
            (first, second)
        });
        let device = ClientUri::parse("mimi://a.example/d/alice/phone").unwrap();
        let client = Client::new(&origin, "token").unwrap();
        assert_eq!(client.upload_key_packages(&device, vec![vec![1]]).await.unwrap(), 1);
        let (first, second) = served.await.unwrap();
        assert_eq!(first, second);
    }
}
