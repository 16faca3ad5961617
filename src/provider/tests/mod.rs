//! The door over a real database, with real tokens.

mod door;
mod events;
mod posts;

use std::path::Path;

use actix_web::web::Data;
use portcullis_core::wire::uri::{ClientUri, Domain, UserUri};
use portcullis_store::{Options, Store, StoreError, Tx, devices};
use rcgen::{KeyPair, PKCS_ED25519};
use tempfile::TempDir;

use super::auth::Tokens;
use super::token::{ACT, AUDIENCE, Grant, TokenKey};
use crate::config::Limits;
use crate::gateway::Clock;
use crate::limits::Limiter;

const ALICE: &str = "mimi://a.example/u/alice";
const BOB: &str = "mimi://a.example/u/bob";
const PHONE: &str = "mimi://a.example/d/alice/phone";

struct World {
    dir: TempDir,
    store: Store,
    tokens: Data<Tokens>,
    limit: Data<Limiter<UserUri>>,
    key: TokenKey,
    clock: Clock,
}

impl World {
    /// A database with Alice, her phone, and Bob, and keys for tokens.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (key, jwks) = (token_key(dir.path()), dir.path().join("jwks.json"));
        let url = format!("sqlite:{}", dir.path().join("test.db").display());
        let store = Store::open(&url, &Options::default()).unwrap();
        let domains = vec![Domain::parse("a.example").unwrap()];
        let tokens = Tokens::open(&jwks.display().to_string(), None, domains).await.unwrap();
        let clock = Clock::default();
        let now = clock.now();
        let register = move |tx: &mut Tx<'_>| -> Result<(), StoreError> {
            for user in [ALICE, BOB] {
                devices::register_user(tx, &user.parse().unwrap(), now)?;
            }
            devices::register_device(tx, &phone(), &alice(), now)
        };
        store.write_async(ALICE, register).await.unwrap();
        let limit = Data::new(Limiter::new(Limits::default().user));
        Self { dir, store, tokens: Data::new(tokens), limit, key, clock }
    }

    fn token(&self, subject: &str) -> String {
        self.sign(subject, "", 600)
    }

    fn service(&self) -> String {
        self.sign("chat", ACT, 600)
    }

    fn sign(&self, subject: &str, scope: &str, lifetime_seconds: u64) -> String {
        self.key
            .sign(&Grant { subject, audience: AUDIENCE, issuer: None, scope, roles: None, lifetime_seconds })
            .unwrap()
    }
}

/// A key for tokens, whose public half is in `jwks.json`.
fn token_key(folder: &Path) -> TokenKey {
    let key = TokenKey::from_pem(&KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap();
    std::fs::write(folder.join("jwks.json"), serde_json::to_vec(&key.jwks()).unwrap()).unwrap();
    key
}

fn alice() -> UserUri {
    ALICE.parse().unwrap()
}

fn phone() -> ClientUri {
    PHONE.parse().unwrap()
}
