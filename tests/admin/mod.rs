//! The admin door: what the company's people see and change, at real gateways.

mod asks;
mod audit;
mod decisions;
mod lanes;
mod peers;
mod policies;
mod postgres;
mod rollout;
mod rooms;
mod shadow;
mod simulate;

use std::net::SocketAddr;

use portcullis::http::token::{ADMIN_AUDIENCE, Grant, TokenKey};
use portcullis::http::{DECISION, IDEMPOTENCY_KEY};
use portcullis_store::audit::AuditEntry;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::Gateway;

/// The room of the harness as a segment of a path.
const ROOM: &str = "mimi%3A%2F%2Fa.example%2Fr%2Fclubhouse";

/// One of the company's people at the admin door of a gateway.
pub(crate) struct Person {
    http: reqwest::Client,
    origin: String,
    token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) decision: Option<Uuid>,
}

impl Told {
    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    fn good(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }
}

impl Person {
    /// `ops`, who has these roles.
    pub(crate) fn at(gateway: &Gateway, roles: &[&str]) -> Self {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let grant = Grant {
            subject: "ops",
            audience: ADMIN_AUDIENCE,
            issuer: None,
            scope: "",
            roles: Some(("roles", &roles)),
            lifetime_seconds: 3600,
        };
        Self::with(gateway, sign(gateway, &grant))
    }

    /// A moderator at a door of which no log says where it is.
    pub(crate) fn at_address(gateway: &Gateway, address: SocketAddr) -> Self {
        let roles = ["moderator".to_owned()];
        let grant = Grant {
            subject: "ops",
            audience: ADMIN_AUDIENCE,
            issuer: None,
            scope: "",
            roles: Some(("roles", &roles)),
            lifetime_seconds: 3600,
        };
        let token = sign(gateway, &grant);
        Self { http: reqwest::Client::new(), origin: format!("http://{address}"), token }
    }

    pub(crate) fn with(gateway: &Gateway, token: String) -> Self {
        let log = gateway.log();
        Self { http: reqwest::Client::new(), origin: format!("http://{}", address(&log)), token }
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Told {
        self.post_as(&Uuid::new_v4().to_string(), path, body).await
    }

    /// The same for a request that may get no answer, with a key of its own.
    pub(crate) async fn try_post(&self, key: &str, path: &str, body: Value) -> Option<Told> {
        let request = self.request(Method::POST, path).header(IDEMPOTENCY_KEY, key.replace(' ', "-")).json(&body);
        Self::told(request.send().await.ok()?).await
    }

    async fn post_as(&self, key: &str, path: &str, body: Value) -> Told {
        self.send(self.request(Method::POST, path).header(IDEMPOTENCY_KEY, key).json(&body)).await
    }

    pub(crate) async fn decide(&self, domain: &str, change: &str) -> Told {
        self.post(&format!("peers/{domain}/{change}"), json!({ "reason": "CASE-7" })).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1/{path}", self.origin)).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> Told {
        Self::told(request.send().await.unwrap()).await.unwrap()
    }

    async fn told(response: reqwest::Response) -> Option<Told> {
        let decision = response.headers().get(DECISION).map(|id| id.to_str().unwrap().parse().unwrap());
        Some(Told { status: response.status().as_u16(), decision, body: response.json().await.ok()? })
    }
}

/// Where the door of the process that started last is, as its log says.
pub(crate) fn address(log: &str) -> String {
    let started = log.lines().rfind(|line| line.contains("gateway is ready")).unwrap();
    let started: Value = serde_json::from_str(started).unwrap();
    started["admin"].as_str().unwrap().to_owned()
}

/// A token signed with the key of the gateway.
pub(crate) fn sign(gateway: &Gateway, grant: &Grant<'_>) -> String {
    let pem = std::fs::read_to_string(gateway.folder.join("keys/token.key")).unwrap();
    TokenKey::from_pem(&pem).unwrap().sign(grant).unwrap()
}

/// What the audit log has of a decision.
fn recorded(gateway: &Gateway, decision: Uuid) -> Vec<AuditEntry> {
    let entries = gateway.database().entries();
    entries.into_iter().filter(|entry| entry.record.decision == Some(decision)).collect()
}
