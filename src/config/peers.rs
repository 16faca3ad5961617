//! Other providers, and what they are told of this one.

use std::net::SocketAddr;

use portcullis_core::wire::uri::Domain;
use serde::Deserialize;

use super::Rate;

/// A provider we federate with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its provider domain.
    pub domain: Domain,
    /// Where its directory is; `https://DOMAIN/.well-known/mimi-protocol-directory` when not set.
    #[serde(default)]
    pub directory: Option<String>,
    /// Address that overrides DNS for its hosts, for labs.
    #[serde(default)]
    pub connect: Option<SocketAddr>,
    /// SHA-256 of the SubjectPublicKeyInfo its certificate must have, in hexadecimal; several while one key takes the place of
    /// another.
    #[serde(default, deserialize_with = "one_or_more")]
    pub spki: Vec<String>,
    /// Requests of this peer at the federation door, in the place of `limits.peer`.
    #[serde(default)]
    pub limit: Option<Rate>,
    /// Hosts that hold its users' assets.
    #[serde(default)]
    pub asset_hosts: Vec<String>,
    /// Where its people are reached, such as `mailto:abuse@b.example`.
    #[serde(default)]
    pub contacts: Vec<String>,
}

impl Peer {
    /// One of which nothing more is known than its name.
    pub fn named(domain: Domain) -> Self {
        Self {
            domain,
            directory: None,
            connect: None,
            spki: Vec::new(),
            limit: None,
            asset_hosts: Vec::new(),
            contacts: Vec::new(),
        }
    }
}

/// A text, or a list of them.
fn one_or_more<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        More(Vec<String>),
    }
    Ok(match Written::deserialize(from)? {
        Written::One(text) => vec![text],
        Written::More(texts) => texts,
    })
}

/// What a provider tells others of itself beside its domains and keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// Where its people are reached, such as `mailto:abuse@a.example`.
    pub contacts: Vec<String>,
    /// Hosts that hold its users' assets.
    pub asset_hosts: Vec<String>,
}
