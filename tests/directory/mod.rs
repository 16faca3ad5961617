//! The directory door: what an identity provider says of people, and what becomes of their rights, at real gateways.

mod claims;
mod doors;
mod leaving;
mod meaning;
mod people;
mod postgres;
mod rights;

use portcullis_store::audit::AuditEntry;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Gateway, Lab, edit};

/// The enterprise extension.
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Rules that the tests map by.
const RULES: &str = "directory:
  rules:
    - { employment: employee, clearance: 1 }
    - { group: traders, segments: [trading], clearance: 2 }
    - { user_type: Contractor, employment: contractor }
    - { department: Research, segments: [research] }
";

/// Opens the directory door of a gateway that does not run.
pub(crate) fn open_door(gateway: &Gateway) {
    let door = "listeners:\n  directory: { bind: '127.0.0.1:0', url: 'https://id.a.example', mail_domains: { mail.example: a.example } }\n";
    edit(&gateway.config_file(), "listeners:\n", door);
    edit(&gateway.folder.join("policies/settings.yaml"), "directory:\n  rules: []\n", RULES);
}

/// Gateways of which the first has its directory door open.
async fn lab(domains: &[&str]) -> Lab {
    let mut lab = Lab::new(domains);
    open_door(lab.gateway("a.example"));
    lab.start().await;
    lab
}

/// An identity provider with a good token.
pub(crate) struct Idp {
    http: Client,
    pub(crate) origin: String,
    pub(crate) token: String,
}

/// What it was answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) tag: Option<String>,
    pub(crate) body: Value,
}

impl Told {
    fn good(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// Status and kind of a refusal.
    fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{self:?}");
        assert_eq!(self.body["status"], self.status.to_string());
        (self.status, self.body["scimType"].as_str().unwrap_or_default())
    }
}

impl Idp {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let made = gateway.operated(&["directory", "token", "create", "okta", "--reason", "CASE-7"]);
        let token = made.lines().next().unwrap().to_owned();
        Self { http: Client::new(), origin: origin(gateway), token }
    }

    /// The same at another process of the gateway.
    fn at(&self, gateway: &Gateway) -> Self {
        Self { http: Client::new(), origin: origin(gateway), token: self.token.clone() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/scim/v2/{path}", self.origin)).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> Told {
        let response = request.send().await.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        Told { status, tag, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Told {
        self.send(self.request(Method::POST, path).body(body.to_string())).await
    }

    async fn put(&self, path: &str, body: Value) -> Told {
        self.send(self.request(Method::PUT, path).body(body.to_string())).await
    }

    async fn patch(&self, path: &str, operations: Value) -> Told {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.send(self.request(Method::PATCH, path).body(body.to_string())).await
    }

    async fn delete(&self, path: &str) -> Told {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Creates a user, and gives its identifier.
    async fn user(&self, more: Value) -> String {
        self.post("Users", more).await.good()["id"].as_str().unwrap().to_owned()
    }

    async fn found(&self, resources: &str, filter: &str) -> Vec<String> {
        let told = self.get(&format!("{resources}?filter={}", escaped(filter))).await.good();
        assert_eq!(told["totalResults"].as_u64().unwrap() as usize, told["Resources"].as_array().unwrap().len());
        told["Resources"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// A value of a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Where the door of the process that started last is, as its log says.
fn origin(gateway: &Gateway) -> String {
    let log = gateway.log();
    let started = log.lines().rfind(|line| line.contains("gateway is ready")).unwrap();
    let started: Value = serde_json::from_str(started).unwrap();
    format!("http://{}", started["directory"].as_str().unwrap())
}

/// How the provider door refuses to register somebody: status and code.
async fn refused(gateway: &Gateway, name: &str) -> (u16, String) {
    let user = crate::harness::user(name);
    let error = gateway.client(&user).register_user(&user).await.unwrap_err();
    let problem = error.problem().unwrap();
    (problem.status, problem.code.clone())
}

/// What the audit log has of a kind, the oldest first.
fn recorded(gateway: &Gateway, kind: &str) -> Vec<AuditEntry> {
    gateway.database().entries().into_iter().filter(|entry| entry.record.kind == kind).collect()
}
