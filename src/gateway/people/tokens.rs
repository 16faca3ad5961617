//! Tokens by which an identity provider comes in. Only their hashes are kept.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use portcullis_core::time::Millis;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::people::{self, Token};
use portcullis_store::{StoreError, Tx, answers};
use serde_json::json;
use uuid::Uuid;

use crate::gateway::{Gateway, GatewayError, Inner};

/// Random octets of a token.
const OCTETS: usize = 32;
/// What tokens begin with, so that programs that look for leaked ones know them.
const PREFIX: &str = "pcd_";
/// Longest token that is looked for, in bytes.
const LONGEST: usize = 128;

/// A token that somebody wants to give out.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What the log calls whoever comes with it.
    pub name: String,
    /// How long it lasts.
    pub lasts: Duration,
    /// Why, for the record.
    pub reason: String,
}

/// A token as it is told to whoever has made it.
#[derive(Clone, Debug)]
pub struct MadeToken {
    /// What is kept of it.
    pub kept: Token,
    /// The token itself, which is kept nowhere.
    pub token: String,
}

fn hash(token: &str) -> [u8; 32] {
    answers::scope(&[b"directory token", token.as_bytes()])
}

/// Makes a token, of which nothing is kept yet.
///
/// # Errors
///
/// When the system gives no randomness.
pub fn make(new: &NewToken, by: &str, now: Millis) -> Result<MadeToken, aws_lc_rs::error::Unspecified> {
    let mut octets = [0; OCTETS];
    aws_lc_rs::rand::fill(&mut octets)?;
    let kept = Token {
        id: Uuid::now_v7(),
        name: new.name.clone(),
        created_by: by.to_owned(),
        reason: new.reason.clone(),
        created_at: now,
        expires_at: now.plus(new.lasts),
        revoked_at: None,
    };
    Ok(MadeToken { kept, token: format!("{PREFIX}{}", BASE32_NOPAD.encode(&octets).to_lowercase()) })
}

/// Keeps what there is to be kept of a token, with its record.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn keep(tx: &mut Tx<'_>, made: &MadeToken) -> Result<(), StoreError> {
    people::create_token(tx, &made.kept, &hash(&made.token))?;
    tx.stage(&record(
        "directory.token_created",
        &made.kept,
        (&made.kept.created_by, &made.kept.reason),
        made.kept.created_at,
    ))
}

/// Lets nobody in by a token any longer, with its record.
///
/// # Errors
///
/// [`StoreError::Missing`] when there is none, or it was revoked before.
pub fn revoke(tx: &mut Tx<'_>, id: Uuid, (by, reason): (&str, &str), now: Millis) -> Result<(), StoreError> {
    let revoked = people::revoke_token(tx, id, now)?;
    tx.stage(&record("directory.token_revoked", &revoked, (by, reason), now))
}

fn record(kind: &'static str, token: &Token, (by, reason): (&str, &str), now: Millis) -> AuditRecord {
    AuditRecord {
        actor: Some(by.to_owned()),
        reason: reason.to_owned(),
        detail: json!({ "token": token.id, "name": token.name, "expires_at": token.expires_at }),
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}

impl Gateway {
    /// What is kept of a token of an identity provider; `None` for one that opens nothing.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] when the database does not tell.
    pub async fn directory_token(&self, token: &str) -> Result<Option<Token>, GatewayError> {
        if !token.starts_with(PREFIX) || token.len() > LONGEST {
            return Ok(None);
        }
        let hash = hash(token);
        let found = move |inner: &Arc<Inner>| {
            let now = inner.clock.now();
            Ok(inner.store.read(move |conn| people::find_token(conn, &hash, now))?)
        };
        self.0.blocking(Vec::new(), found).await
    }
}
