//! What a provider tells another of itself, so that both know whom they let in: domains, where its directory is, which keys its
//! certificates have, and how its people are reached. Nothing in it is secret, and nothing proves that it is genuine: people
//! compare the code of both cards by another way.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_core::identity::certificate::{IdentityError, spki_sha256};
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use serde::{Deserialize, Serialize};

use super::tls::TlsMaterial;
use super::{DIRECTORY_PATH, SetupError};
use crate::config::{self, Config};

/// Most domains, pins, hosts or contacts of a card.
const MOST: usize = 64;
/// Longest text on a card.
const LONGEST: usize = 512;
/// Octets of the code that people compare.
const CODE_BYTES: usize = 8;

/// The card of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerCard {
    /// Its provider domains.
    pub domains: Vec<Domain>,
    /// Where its directory is.
    pub directory: String,
    /// SHA-256 of the SubjectPublicKeyInfo of each key that its certificates have or are to have next, in hexadecimal.
    pub spki: Vec<String>,
    /// When the first of its certificates ends, in milliseconds since the UNIX epoch.
    pub until: u64,
    /// Where its people are reached.
    pub contacts: Vec<String>,
    /// Hosts that hold its users' assets.
    pub asset_hosts: Vec<String>,
}

/// What keeps a gateway from telling of itself.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// A certificate does not decode.
    #[error("a certificate does not decode")]
    Certificate(#[from] IdentityError),
    /// A key that is to come cannot be read.
    #[error("a key that waits for its certificate cannot be used")]
    Key(#[from] SetupError),
}

impl PeerCard {
    /// The card of a gateway.
    ///
    /// # Errors
    ///
    /// [`CardError`].
    pub fn of(config: &Config, tls: &TlsMaterial) -> Result<Self, CardError> {
        let mut keys = tls.leaves().map(|(_, leaf)| spki_sha256(leaf)).collect::<Result<Vec<_>, _>>()?;
        // Who takes this card lets the next certificate in beside the one in use.
        keys.extend(TlsMaterial::coming(&config.keys)?);
        let mut spki: Vec<String> = keys.iter().map(|key| HEXLOWER.encode(key)).collect();
        spki.sort();
        spki.dedup();
        Ok(Self {
            domains: config.domains.clone(),
            directory: format!("{}{DIRECTORY_PATH}", config.listeners.federation.url.trim_end_matches('/')),
            spki,
            until: tls.ends()?.into_iter().map(|end| end.until.0).min().unwrap_or(0),
            contacts: config.card.contacts.clone(),
            asset_hosts: config.card.asset_hosts.clone(),
        })
    }

    /// Reads a card.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let card: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Self { domains, directory, spki, contacts, asset_hosts, .. } = &card;
        let texts = || spki.iter().chain(contacts).chain(asset_hosts).chain([directory]);
        if domains.is_empty() || spki.is_empty() {
            return Err("it names no domain, or no key".to_owned());
        }
        if [domains.len(), spki.len(), contacts.len(), asset_hosts.len()].into_iter().any(|many| many > MOST)
            || texts().any(|text| text.len() > LONGEST || text.chars().any(char::is_control))
        {
            return Err("it says more than a card does".to_owned());
        }
        if spki.iter().any(|pin| pin.len() != 64 || !pin.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return Err("a key is a SHA-256 in 64 hexadecimal digits".to_owned());
        }
        if !directory.starts_with("https://") {
            return Err("its directory is no URL that starts with `https://`".to_owned());
        }
        Ok(card)
    }

    /// What people on both sides read to each other before either lets the other in: it is the same on both, and another one if
    /// either card was changed on its way.
    pub fn code_with(&self, other: &Self) -> String {
        let digest_of = |card: &Self| {
            let text = serde_json::to_vec(card).unwrap_or_default();
            digest(&SHA256, &text).as_ref().to_vec()
        };
        let mut both = [digest_of(self), digest_of(other)];
        both.sort();
        let code = digest(&SHA256, &both.concat());
        let hex = HEXLOWER.encode(&code.as_ref()[..CODE_BYTES]);
        hex.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-")
    }

    /// The peer that it makes, for one of its domains.
    pub(super) fn peer(&self, domain: Domain) -> config::Peer {
        config::Peer {
            directory: Some(self.directory.clone()),
            spki: self.spki.clone(),
            asset_hosts: self.asset_hosts.clone(),
            contacts: self.contacts.clone(),
            ..config::Peer::named(domain)
        }
    }
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Whose it is.
    pub domain: Domain,
    /// SHA-256 over the DER of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// When it ends.
    pub until: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> PeerCard {
        PeerCard {
            domains: vec![Domain::parse(name).unwrap()],
            directory: format!("https://{name}{DIRECTORY_PATH}"),
            spki: vec!["ab".repeat(32)],
            until: 1,
            contacts: vec![format!("mailto:abuse@{name}")],
            asset_hosts: Vec::new(),
        }
    }

    #[test]
    fn both_sides_read_the_same_code_and_another_one_when_a_card_was_changed() {
        let (a, b) = (card("a.example"), card("b.example"));
        assert_eq!(a.code_with(&b), b.code_with(&a));
        let forged = PeerCard { spki: vec!["cd".repeat(32)], ..b.clone() };
        assert_ne!(a.code_with(&b), a.code_with(&forged));
        let back = PeerCard::parse(&serde_json::to_string(&b).unwrap()).unwrap();
        assert_eq!(a.code_with(&back), a.code_with(&b));
    }

    #[test]
    fn what_is_no_card_is_refused() {
        let written = |card: &PeerCard| PeerCard::parse(&serde_json::to_string(card).unwrap());
        assert!(written(&card("b.example")).is_ok());
        for wrong in [
            PeerCard { domains: Vec::new(), ..card("b.example") },
            PeerCard { spki: vec!["beef".to_owned()], ..card("b.example") },
            PeerCard { spki: Vec::new(), ..card("b.example") },
            PeerCard { directory: "http://b.example".to_owned(), ..card("b.example") },
            PeerCard { contacts: vec!["x".to_owned(); 65], ..card("b.example") },
            PeerCard { contacts: vec!["a\u{1b}[2J".to_owned()], ..card("b.example") },
        ] {
            assert!(written(&wrong).is_err(), "{wrong:?}");
        }
        assert!(PeerCard::parse("{}").is_err());
    }
}
