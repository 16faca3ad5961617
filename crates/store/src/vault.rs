//! What must not be read in a copy of the database: group states, events with what they owe to other providers, and KeyPackages
//! stand in it sealed (AES-256-GCM) under data keys, one for each purpose and period. Those are in it too, wrapped by whoever
//! opens the store ([`Wrapping`]): under keys from files, or by a service that keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use diesel::prelude::*;
use portcullis_core::time::Millis;

use crate::convert::{millis, time};
use crate::schema::data_keys;
use crate::{Conn, StoreError, Tx};

/// Octets of a data key.
pub const KEY_BYTES: usize = 32;
/// Octets by which sealed bytes name their key.
const ID_BYTES: usize = 8;
/// What sealed bytes begin with. Nothing that was written before there were data keys begins so: MLS structures and FanoutMessages
/// begin with a zero, snapshots with a letter.
const MAGIC: [u8; 2] = [0xff, 1];

/// What a data key is for: bytes of one purpose do not open as another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Snapshots and GroupInfos.
    Groups,
    /// What rooms have accepted, and other providers are owed.
    Events,
    /// KeyPackages of our devices.
    KeyPackages,
}

/// Wraps data keys. The seam for a service that keeps keys: neither has to answer fast, for each key is unwrapped once a process.
pub trait Wrapping: Send + Sync {
    /// Wraps the data key that `id` names.
    ///
    /// # Errors
    ///
    /// [`Unwrapped`].
    fn wrap(&self, id: &[u8], key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, Unwrapped>;

    /// The data key again.
    ///
    /// # Errors
    ///
    /// [`Unwrapped`] when it was wrapped for another `id`, or under a key that is not at hand.
    fn unwrap(&self, id: &[u8], wrapped: &[u8]) -> Result<[u8; KEY_BYTES], Unwrapped>;
}

/// A data key that cannot be wrapped or unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("data key does not open with any of the keys that wrap")]
pub struct Unwrapped;

/// A data key as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    /// Its name.
    pub id: Vec<u8>,
    /// What it is for.
    pub purpose: Purpose,
    /// Since when it is used, until the next one is.
    pub begun_at: Millis,
    /// It, wrapped.
    pub wrapped: Vec<u8>,
}

/// The data keys at hand.
pub(crate) struct Vault {
    wrapping: Arc<dyn Wrapping>,
    keys: RwLock<Keys>,
}

#[derive(Default)]
struct Keys {
    by_id: BTreeMap<[u8; ID_BYTES], Arc<RandomizedNonceKey>>,
    /// The last one of each purpose: it seals.
    current: BTreeMap<Purpose, (Millis, [u8; ID_BYTES])>,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Groups, Self::Events, Self::KeyPackages];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Events => "events",
            Self::KeyPackages => "key_packages",
        }
    }
}

impl Vault {
    pub(crate) fn new(wrapping: Arc<dyn Wrapping>) -> Self {
        Self { wrapping, keys: RwLock::default() }
    }

    /// Takes a key to those at hand.
    fn take(&self, stored: &DataKey) -> Result<(), StoreError> {
        let id = stored.id.as_slice().try_into().map_err(|_| StoreError::Corrupt("data key"))?;
        let known = self.key(id);
        let key = match known {
            Some(key) => key,
            // Not while others wait for the keys: it may take a service its time.
            None => {
                let key = self.wrapping.unwrap(&stored.id, &stored.wrapped).map_err(|_| StoreError::Sealed)?;
                let key = RandomizedNonceKey::new(&AES_256_GCM, &key);
                Arc::new(key.map_err(|_| StoreError::Corrupt("data key"))?)
            }
        };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.by_id.insert(id, key);
        let current = keys.current.entry(stored.purpose).or_insert((stored.begun_at, id));
        if current.0 < stored.begun_at {
            *current = (stored.begun_at, id);
        }
        Ok(())
    }

    fn key(&self, id: [u8; ID_BYTES]) -> Option<Arc<RandomizedNonceKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    /// Since when the key is used that seals for `purpose`.
    fn since(&self, purpose: Purpose) -> Option<Millis> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).current.get(&purpose).map(|(since, _)| *since)
    }

    fn seal(&self, purpose: Purpose, of: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let (_, id) = keys.current.get(&purpose).ok_or(StoreError::Sealed)?;
        let key = keys.by_id.get(id).ok_or(StoreError::Sealed)?;
        let mut text = Vec::with_capacity(MAGIC.len() + ID_BYTES + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        text.extend(MAGIC);
        text.extend(id);
        let mut sealed = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(bound(purpose, of)), &mut sealed);
        text.extend(nonce.map_err(|_| StoreError::Sealed)?.as_ref());
        text.append(&mut sealed);
        Ok(text)
    }
}

impl Conn {
    /// `plain`, sealed for the row that `of` names; as it is where the store was opened without keys.
    pub(crate) fn seal(&self, purpose: Purpose, of: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        match &self.vault {
            Some(vault) if !plain.is_empty() => vault.seal(purpose, of, plain),
            _ => Ok(plain.to_vec()),
        }
    }

    /// What [`Self::seal`] has sealed for the same row; what was written before there were data keys, as it is.
    pub(crate) fn unseal(&mut self, purpose: Purpose, of: &[&[u8]], stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let Some(rest) = stored.strip_prefix(&MAGIC) else { return Ok(stored) };
        let vault = self.vault.clone().ok_or(StoreError::Sealed)?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>().ok_or(StoreError::Corrupt("sealed"))?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(StoreError::Corrupt("sealed"))?;
        let key = match vault.key(*id) {
            Some(key) => key,
            None => {
                // Another replica has begun to use it.
                let stored = find(self, id)?.ok_or(StoreError::Sealed)?;
                vault.take(&stored)?;
                vault.key(*id).ok_or(StoreError::Sealed)?
            }
        };
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, Aad::from(bound(purpose, of)), &mut text);
        let length = opened.map_err(|_| StoreError::Corrupt("sealed"))?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// Since when the key is used that seals for `purpose`; `None` where there is none, or the store was opened without keys. What
/// other processes have begun is taken in before.
///
/// # Errors
///
/// [`StoreError::Sealed`] when a key cannot be unwrapped.
pub fn current(conn: &mut Conn, purpose: Purpose) -> Result<Option<Millis>, StoreError> {
    let Some(vault) = conn.vault.clone() else { return Ok(None) };
    if let Some(last) = last(conn, purpose)? {
        vault.take(&last)?;
    }
    Ok(vault.since(purpose))
}

/// Begins to use a new key for `purpose`, unless one that begins then is there already, and gives whether it has. It seals
/// once [`current`] has taken it in.
///
/// # Errors
///
/// [`StoreError::Sealed`] where the store was opened without keys.
pub fn begin(tx: &mut Tx<'_>, purpose: Purpose, begun_at: Millis) -> Result<bool, StoreError> {
    let vault = tx.vault.clone().ok_or(StoreError::Sealed)?;
    let (mut id, mut key) = ([0; ID_BYTES], [0; KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut id).and_then(|()| aws_lc_rs::rand::fill(&mut key)).map_err(|_| StoreError::Sealed)?;
    let wrapped = vault.wrapping.wrap(&id, &key).map_err(|_| StoreError::Sealed)?;
    let row = (
        data_keys::id.eq(id.as_slice()),
        data_keys::purpose.eq(purpose.name()),
        data_keys::begun_at.eq(time(begun_at)?),
        data_keys::wrapped.eq(wrapped.as_slice()),
    );
    let insert = diesel::insert_into(data_keys::table).values(row).on_conflict_do_nothing();
    Ok(db!(tx, |c| insert.execute(c))? == 1)
}

/// Wraps every data key anew, as the keys that wrap now do, and gives their number.
///
/// # Errors
///
/// [`StoreError::Sealed`] when one cannot be unwrapped; none is wrapped anew then.
pub fn rewrap(tx: &mut Tx<'_>) -> Result<usize, StoreError> {
    let vault = tx.vault.clone().ok_or(StoreError::Sealed)?;
    let keys = all(tx)?;
    for stored in &keys {
        let key = vault.wrapping.unwrap(&stored.id, &stored.wrapped).map_err(|_| StoreError::Sealed)?;
        let wrapped = vault.wrapping.wrap(&stored.id, &key).map_err(|_| StoreError::Sealed)?;
        let row = data_keys::table.filter(data_keys::id.eq(stored.id.as_slice()));
        db!(tx, |c| diesel::update(row).set(data_keys::wrapped.eq(wrapped.as_slice())).execute(c))?;
    }
    Ok(keys.len())
}

/// Every data key, by purpose and time.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn all(conn: &mut Conn) -> Result<Vec<DataKey>, StoreError> {
    let query = data_keys::table.order((data_keys::purpose, data_keys::begun_at)).select(COLUMNS);
    db!(conn, |c| query.load::<Row>(c))?.into_iter().map(read).collect()
}

type Row = (Vec<u8>, String, i64, Vec<u8>);

const COLUMNS: (data_keys::id, data_keys::purpose, data_keys::begun_at, data_keys::wrapped) =
    (data_keys::id, data_keys::purpose, data_keys::begun_at, data_keys::wrapped);

fn last(conn: &mut Conn, purpose: Purpose) -> Result<Option<DataKey>, StoreError> {
    let query = data_keys::table
        .filter(data_keys::purpose.eq(purpose.name()))
        .order(data_keys::begun_at.desc())
        .select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(read).transpose()
}

fn find(conn: &mut Conn, id: &[u8]) -> Result<Option<DataKey>, StoreError> {
    let query = data_keys::table.filter(data_keys::id.eq(id)).select(COLUMNS);
    db!(conn, |c| query.first::<Row>(c).optional())?.map(read).transpose()
}

fn read((id, purpose, begun_at, wrapped): Row) -> Result<DataKey, StoreError> {
    let purpose = Purpose::ALL.into_iter().find(|known| known.name() == purpose);
    let purpose = purpose.ok_or(StoreError::Corrupt("data key"))?;
    Ok(DataKey { id, purpose, begun_at: millis(begun_at)?, wrapped })
}

/// What sealed bytes are bound to: each part by its length, so that no two rows look the same.
fn bound(purpose: Purpose, of: &[&[u8]]) -> Vec<u8> {
    let mut bound = purpose.name().as_bytes().to_vec();
    for part in of {
        bound.extend((part.len() as u64).to_be_bytes());
        bound.extend(*part);
    }
    bound
}
