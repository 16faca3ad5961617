//! Another key in the place of one. What is done to a file is on the record before it is done; what is done to the database, with it.

use std::path::Path;

use anyhow::Context as _;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::hub_keys::{self, StoredHubKey};
use portcullis_store::{Store, StoreError, Tx, ohttp_keys, reports, vault};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::host::{Host, change, operator};
use super::super::token::KEY_FILE;
use super::super::{Failure, output};
use super::{Which, files};
use crate::config::{Config, TlsIdentity, next_path};
use crate::gateway::{SealedFor, Sealer, data_keys, ring};
use crate::http::token::TokenKey;

/// The write lane of keys.
const LANE: &str = "keys";

pub(super) fn rotate(host: &Host, which: Which, reason: &str) -> Result<(), Failure> {
    let (config, store) = (host.config()?, host.open()?);
    match which {
        Which::Tls => {
            // Each before any, so that it is done for all of them or for none.
            config.keys.tls.iter().try_for_each(|tls| vacant(&tls.key))?;
            let mut keys: Vec<&Path> = config.keys.tls.iter().map(|tls| tls.key.as_path()).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().try_for_each(|key| {
                let of_key: Vec<_> = config.keys.tls.iter().filter(|tls| tls.key == key).collect();
                request(&store, key, &of_key, reason)
            })
        }
        Which::Hub | Which::Franking | Which::Log => signer(&store, which, signer_file(&config, which)?, reason),
        Which::Franks => config.domains.iter().try_for_each(|domain| franks(host, &store, domain, None, reason)),
        Which::Token => token(&store, &config, reason),
        Which::Sealing => sealing(&store, &config, reason),
        Which::Data => data(&store, reason),
    }
}

pub(super) fn revoke(host: &Host, which: Which, key: &str, reason: &str) -> Result<(), Failure> {
    let (config, store) = (host.config()?, host.open()?);
    match which {
        Which::Hub | Which::Franking | Which::Log => withdraw(&store, which, signer_file(&config, which)?, key, reason),
        Which::Franks => {
            let of = key.split_once('@').and_then(|(domain, at)| Some((Domain::parse(domain).ok()?, at.parse().ok()?)));
            let (domain, at) = of.ok_or_else(|| Failure::usage("this is no key of franks, such as a.example@0"))?;
            franks(host, &store, &domain, Some(Millis(at)), reason)
        }
        Which::Token => untrust(&store, &config, key, reason),
        Which::Sealing => {
            needless(&store, key)?;
            let path = config.keys.sealing.first().ok_or_else(|| Failure::failed("no sealing key is named"))?;
            withdraw(&store, which, path, key, reason)
        }
        Which::Tls => Err(Failure::usage("a certificate is revoked by the authority that has signed it")),
        Which::Data => Err(Failure::usage("what is sealed under a data key opens with no other; rotate it")),
    }
}

fn signer_file(config: &Config, which: Which) -> Result<&Path, Failure> {
    Ok(match which {
        Which::Hub => &config.keys.hub,
        Which::Franking => &config.keys.franking,
        Which::Log => &config.keys.log,
        _ => return Err(Failure::usage("this key has no file of its own")),
    })
}

/// The record of a change of keys.
fn record(kind: &'static str, which: Which, detail: Value, reason: &str, now: Millis) -> AuditRecord {
    let mut detail = detail;
    detail["key"] = which.name().into();
    AuditRecord {
        actor: Some(operator()),
        reason: reason.to_owned(),
        detail,
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}

fn on_record(store: &Store, kind: &'static str, which: Which, detail: Value, reason: &str) -> Result<(), Failure> {
    let reason = reason.to_owned();
    change(store, LANE, "", move |tx, now| tx.stage(&record(kind, which, detail.clone(), &reason, now)))
}

fn signer(store: &Store, which: Which, path: &Path, reason: &str) -> Result<(), Failure> {
    let pem = KeyPair::generate_for(&PKCS_ED25519).map_err(anyhow::Error::from)?.serialize_pem();
    let former = ring::fingerprint(&files::public_of(path)?);
    let new = ring::fingerprint(&files::public_of_pem(&pem)?);
    let next = files::prepare(path, &pem)?;
    on_record(store, "key.rotated", which, json!({ "former": former, "new": new }), reason)?;
    files::replace(path, &next, &ring::former_path(path, &former))?;
    output::line(format!("{new} in the place of {former}"));
    Ok(())
}

fn withdraw(store: &Store, which: Which, path: &Path, key: &str, reason: &str) -> Result<(), Failure> {
    let file = ring::former_path(path, key);
    if !file.is_file() {
        return Err(Failure::failed(format!("there is no former key `{key}`; the one in use is rotated first")));
    }
    on_record(store, "key.revoked", which, json!({ "former": key }), reason)?;
    Ok(files::rename(&file, &ring::revoked_path(path, key))?)
}

/// Refuses where a key waits beside `path`: its certificate may be asked for, or something may be sealed under it.
fn vacant(path: &Path) -> Result<(), Failure> {
    let next = next_path(path);
    if !next.try_exists().with_context(|| format!("cannot look for `{}`", next.display()))? {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "`{}` is there already, and may be the only copy of a key: put it in use, for `tls` with its certificate, or move it \
         away when nothing needs it, then rotate again",
        next.display()
    )))
}

/// A new private key in the place of `path`, and the request for the certificate of all domains that have it: only the authority
/// can put it in use.
fn request(store: &Store, path: &Path, of_key: &[&TlsIdentity], reason: &str) -> Result<(), Failure> {
    let domains: Vec<String> = of_key.iter().map(|tls| tls.domain.to_string()).collect();
    let key = KeyPair::generate().map_err(anyhow::Error::from)?;
    let mut wanted = CertificateParams::new(domains.clone()).map_err(anyhow::Error::from)?;
    wanted.distinguished_name = DistinguishedName::new();
    domains.first().into_iter().for_each(|name| wanted.distinguished_name.push(DnType::CommonName, name));
    let request = wanted.serialize_request(&key).map_err(anyhow::Error::from)?.pem().map_err(anyhow::Error::from)?;
    let pin = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key.subject_public_key_info());
    let pin = data_encoding::HEXLOWER.encode(pin.as_ref());
    let file = path.with_extension("csr");
    for domain in &domains {
        on_record(store, "key.requested", Which::Tls, json!({ "domain": domain, "spki": pin }), reason)?;
    }
    let next = files::prepare_beside(path, &key.serialize_pem())?;
    std::fs::write(&file, request).with_context(|| format!("cannot write `{}`", file.display()))?;
    output::line(format!("{}: pin {pin}; have `{}` signed, then put", domains.join(", "), file.display()));
    let places: Vec<String> = of_key.iter().map(|tls| format!("`{}`", tls.certificate.display())).collect();
    let places = places.join(" and ");
    output::line(format!("  the certificate at {places} and `{}` at `{}`", next.display(), path.display()));
    Ok(())
}

/// A new secret for the franks of a domain; the one that began at `gone` is forgotten, and franks by it prove nothing any more.
fn franks(host: &Host, store: &Store, domain: &Domain, gone: Option<Millis>, reason: &str) -> Result<(), Failure> {
    let sealer = host.sealer()?;
    let (of, why) = (domain.clone(), reason.to_owned());
    let missing = "there is no such key";
    change(store, LANE, missing, move |tx, now| {
        let last = hub_keys::last(tx, &of)?;
        if let Some(gone) = gone {
            hub_keys::forget(tx, &of, gone)?;
            tx.stage(&record("key.revoked", Which::Franks, json!({ "domain": of, "starts_at": gone }), &why, now))?;
        }
        if gone.is_some() && last.is_some_and(|last| Some(last.starts_at) != gone) {
            return Ok(());
        }
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| StoreError::Sealed)?;
        let sealed = sealer.seal(SealedFor::HubKey, of.as_str().as_bytes(), &key).map_err(|_| StoreError::Sealed)?;
        hub_keys::begin(tx, &StoredHubKey { domain: of.clone(), starts_at: now, sealed })?;
        tx.stage(&record("key.rotated", Which::Franks, json!({ "domain": of, "starts_at": now }), &why, now))
    })
}

fn data(store: &Store, reason: &str) -> Result<(), Failure> {
    let why = reason.to_owned();
    change(store, LANE, "", move |tx, now| {
        vault::Purpose::ALL.into_iter().try_for_each(|purpose| data_keys::begin(tx, purpose, now, now))?;
        tx.stage(&record("key.rotated", Which::Data, json!({ "starts_at": now }), &why, now))
    })
}

/// A new key that seals. What the database keeps stays under the former one until [`rewrap`], for other hosts have to have both
/// files first.
fn sealing(store: &Store, config: &Config, reason: &str) -> Result<(), Failure> {
    let path = config.keys.sealing.first().ok_or_else(|| Failure::failed("no sealing key is named"))?;
    vacant(path)?;
    let former = files::sealing_id(path)?;
    let next = files::prepare_beside(path, &files::sealing_key()?)?;
    let new = files::sealing_id(&next)?;
    on_record(store, "key.rotated", Which::Sealing, json!({ "former": former, "new": new }), reason)?;
    files::replace(path, &next, &ring::former_path(path, &former))?;
    output::line(format!(
        "{new} in the place of {former}; give every host both files, then run `portcullis keys rewrap`"
    ));
    Ok(())
}

/// Seals under the first sealing key what the database keeps for long.
pub(super) fn rewrap(host: &Host, reason: &str) -> Result<(), Failure> {
    let (store, sealer) = (host.open()?, host.sealer()?);
    let new = data_encoding::HEXLOWER.encode(&sealer.id());
    let (why, detail) = (reason.to_owned(), json!({ "new": new }));
    let sealed = change(&store, LANE, "", move |tx, now| {
        let data = vault::rewrap(tx)?;
        let franks = seal_again(tx, &sealer)?;
        tx.stage(&record("key.rewrapped", Which::Sealing, detail.clone(), &why, now))?;
        Ok(data + franks)
    })?;
    output::line(format!("{sealed} keys in the database are sealed under {new}"));
    Ok(())
}

fn seal_again(tx: &mut Tx<'_>, sealer: &Sealer) -> Result<usize, StoreError> {
    let all = hub_keys::all(tx)?;
    for stored in &all {
        let of = stored.domain.as_str().as_bytes();
        let key = sealer.open(SealedFor::HubKey, of, &stored.sealed).map_err(|_| StoreError::Sealed)?;
        let sealed = sealer.seal(SealedFor::HubKey, of, &key).map_err(|_| StoreError::Sealed)?;
        hub_keys::seal(tx, &StoredHubKey { sealed, ..stored.clone() })?;
    }
    let mut oblivious = 0;
    for (period, sealed) in ohttp_keys::all(tx)? {
        let of = period.to_be_bytes();
        // Nothing hangs on one that does not open: the gateway begins another one.
        let Ok(seed) = sealer.open(SealedFor::OhttpKey, &of, &sealed) else { continue };
        let sealed = sealer.seal(SealedFor::OhttpKey, &of, &seed).map_err(|_| StoreError::Sealed)?;
        ohttp_keys::seal(tx, period, &sealed)?;
        oblivious += 1;
    }
    Ok(all.len() + oblivious)
}

/// Refuses to give up a sealing key that something in the database still needs.
fn needless(store: &Store, key: &str) -> Result<(), Failure> {
    let id = data_encoding::HEXLOWER.decode(key.as_bytes()).map_err(|_| Failure::usage("this is no sealing key"))?;
    let prefix = Sealer::prefix(&id);
    let read = store.read(|conn| {
        let data = vault::all(conn)?.into_iter().map(|key| key.wrapped);
        let franks = hub_keys::all(conn)?.into_iter().map(|key| key.sealed);
        let keys = data.chain(franks).filter(|sealed| sealed.starts_with(&prefix)).count();
        Ok::<_, StoreError>((keys, reports::sealed_so(conn, &prefix)?))
    });
    let (keys, reported) = read.map_err(anyhow::Error::from)?;
    if keys == 0 && reported == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{keys} keys and {reported} reported messages in the database open with no other key")))
}

fn token(store: &Store, config: &Config, reason: &str) -> Result<(), Failure> {
    let set = set_of(config)?;
    let pem = KeyPair::generate_for(&PKCS_ED25519).map_err(anyhow::Error::from)?.serialize_pem();
    let new = TokenKey::from_pem(&pem).map_err(anyhow::Error::from)?.jwks();
    let id = new.keys.iter().find_map(|key| key.common.key_id.clone()).unwrap_or_default();
    let mut all = new;
    all.keys.extend(files::token_set(&set)?.keys);
    on_record(store, "key.rotated", Which::Token, json!({ "new": id }), reason)?;
    // First those who check know it, then those who sign have it.
    publish(&set, &all)?;
    let path = set.with_file_name(KEY_FILE);
    let next = files::prepare(&path, &pem)?;
    files::rename(&next, &path)?;
    output::line(format!("{id} signs tokens from now on; revoke the former one when its tokens have ended"));
    Ok(())
}

fn untrust(store: &Store, config: &Config, key: &str, reason: &str) -> Result<(), Failure> {
    let set = set_of(config)?;
    let mut all = files::token_set(&set)?;
    let before = all.keys.len();
    all.keys.retain(|known| known.common.key_id.as_deref() != Some(key));
    if all.keys.len() == before || all.keys.is_empty() {
        return Err(Failure::failed(format!("there is no key `{key}`, or no other one; rotate it first")));
    }
    on_record(store, "key.revoked", Which::Token, json!({ "former": key }), reason)?;
    Ok(publish(&set, &all)?)
}

fn set_of(config: &Config) -> Result<std::path::PathBuf, Failure> {
    files::token_file(config)
        .ok_or_else(|| Failure::failed("tokens are signed by whom `listeners.provider.jwks` names"))
}

fn publish(set: &Path, keys: &jsonwebtoken::jwk::JwkSet) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(keys)?;
    let next = files::prepare(set, &text)?;
    files::rename(&next, set)
}
