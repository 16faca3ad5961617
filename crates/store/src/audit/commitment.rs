//! Salted commitments: a leaf binds each field of a record without showing it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use minicbor::data::Type;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};
use portcullis_core::wire::uri::{Domain, RoomUri};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AuditRecord;
use super::leaf::Leaf;
use crate::StoreError;

/// Fields that a record may have.
const FIELDS: usize = 8;

const SALT_BYTES: usize = 32;

/// One field, and the salt that binds it to the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// 32 random octets, as text (base64url; older ones in hexadecimal): its very octets are committed to.
    pub salt: String,
    /// The value as JSON text; its very octets are committed to.
    pub json: String,
}

/// The fields of a record by name, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Openings(pub BTreeMap<String, Opening>);

impl Openings {
    /// Salts every field of `record` that has a value and does not stand in the leaf itself.
    pub(crate) fn of(record: &AuditRecord) -> Result<Self, StoreError> {
        let unavailable = |error: serde_json::Error| StoreError::AuditUnavailable(error.into());
        let json = |text: Option<&str>| text.map(|text| serde_json::to_string(text).map_err(unavailable)).transpose();
        let policy = (!record.policy.is_empty()).then(|| serde_json::to_string(&record.policy).map_err(unavailable));
        let fields = [
            ("actor", json(record.actor.as_deref())?),
            ("decision", json(record.decision.map(|id| id.to_string()).as_deref())?),
            ("detail", (!record.detail.is_null()).then(|| record.detail.to_string())),
            ("peer", json(record.peer.as_ref().map(Domain::as_str))?),
            ("policy", policy.transpose()?),
            ("reason", json(Some(record.reason.as_str()).filter(|reason| !reason.is_empty()))?),
            ("room", json(record.room.as_ref().map(RoomUri::as_str))?),
            ("trace", json(record.trace.as_deref())?),
        ];
        let mut salts = [[0; SALT_BYTES]; FIELDS];
        rand::fill(salts.as_flattened_mut()).map_err(|_| StoreError::AuditUnavailable("no random numbers".into()))?;
        let fields = fields
            .into_iter()
            .zip(salts)
            .filter_map(|((name, json), salt)| {
                Some((name.to_owned(), Opening { salt: BASE64URL_NOPAD.encode(&salt), json: json? }))
            })
            .collect();
        Ok(Self(fields))
    }

    /// As they are stored: a CBOR map from names to pairs of a salt and a JSON text. A salt of today stands there as its
    /// octets, an older one as the text that it is.
    ///
    /// # Errors
    ///
    /// None: memory takes everything.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError<Infallible>> {
        let mut cbor = Encoder::new(Vec::new());
        cbor.map(self.0.len() as u64)?;
        for (name, Opening { salt, json }) in &self.0 {
            cbor.str(name)?.array(2)?;
            match BASE64URL_NOPAD.decode(salt.as_bytes()) {
                Ok(octets) if octets.len() == SALT_BYTES => cbor.bytes(&octets)?,
                _ => cbor.str(salt)?,
            };
            cbor.str(json)?;
        }
        Ok(cbor.into_writer())
    }

    /// Reads what is stored; what older builds stored is a JSON object.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for anything else.
    pub fn decode(stored: &[u8]) -> Result<Self, StoreError> {
        let read = if stored.first() == Some(&b'{') { serde_json::from_slice(stored).ok() } else { read(stored) };
        read.ok_or(StoreError::Corrupt("openings"))
    }

    /// The Merkle root (RFC 6962, section 2.1) over the commitments, in the order of the names: a field can be left out
    /// of an export and its commitment still be checked.
    pub fn root(&self) -> [u8; 32] {
        let leaves: Vec<[u8; 32]> = self.0.iter().map(|(name, opening)| commit(name, opening)).collect();
        root(&leaves)
    }

    /// The text of a field; `None` where there is none.
    pub fn field(&self, name: &str) -> Option<String> {
        self.text(name).ok().flatten()
    }

    pub(crate) fn value(&self, name: &str) -> Result<Value, StoreError> {
        self.0
            .get(name)
            .map_or(Ok(Value::Null), |opening| serde_json::from_str(&opening.json))
            .map_err(|_| StoreError::Corrupt("openings"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, StoreError> {
        match self.value(name)? {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(StoreError::Corrupt("openings")),
        }
    }

    /// The record that `leaf` and these openings make. Fields whose openings were erased are empty.
    pub(crate) fn record(&self, leaf: &Leaf) -> Result<AuditRecord, StoreError> {
        let corrupt = || StoreError::Corrupt("openings");
        let policy = match self.value("policy")? {
            Value::Null => Vec::new(),
            names => serde_json::from_value(names).map_err(|_| corrupt())?,
        };
        Ok(AuditRecord {
            event: leaf.event,
            at: leaf.at,
            kind: leaf.kind.clone(),
            outcome: leaf.outcome,
            decision: self.text("decision")?.map(|id| id.parse().map_err(|_| corrupt())).transpose()?,
            room: self.text("room")?.map(|room| RoomUri::parse(&room).map_err(|_| corrupt())).transpose()?,
            actor: self.text("actor")?,
            peer: self.text("peer")?.map(|peer| Domain::parse(&peer).map_err(|_| corrupt())).transpose()?,
            policy,
            reason: self.text("reason")?.unwrap_or_default(),
            bundle: leaf.bundle,
            epoch: leaf.epoch,
            exchange: leaf.exchange,
            trace: self.text("trace")?,
            detail: self.value("detail")?,
        })
    }
}

fn read(stored: &[u8]) -> Option<Openings> {
    let mut cbor = Decoder::new(stored);
    let mut openings = BTreeMap::new();
    for _ in 0..cbor.map().ok()?? {
        let name = cbor.str().ok()?.to_owned();
        if cbor.array().ok()? != Some(2) {
            return None;
        }
        let salt = match cbor.datatype().ok()? {
            Type::Bytes => BASE64URL_NOPAD.encode(cbor.bytes().ok()?),
            _ => cbor.str().ok()?.to_owned(),
        };
        openings.insert(name, Opening { salt, json: cbor.str().ok()?.to_owned() });
    }
    (cbor.position() == stored.len()).then_some(Openings(openings))
}

/// SHA-256(0x00 ‖ length of the name ‖ name ‖ salt as text ‖ JSON text).
fn commit(name: &str, opening: &Opening) -> [u8; 32] {
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
    sha256(&[&[0], &length, name.as_bytes(), opening.salt.as_bytes(), opening.json.as_bytes()])
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[&[1], &root(left), &root(right)])
        }
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &parts.concat()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(salt: &str) -> Opening {
        Opening { salt: salt.to_owned(), json: "\"a \\\" b\"".to_owned() }
    }

    #[test]
    fn openings_are_read_as_they_were_stored_whatever_their_salts_are() {
        let salts = [BASE64URL_NOPAD.encode(&[7; SALT_BYTES]), "ab".repeat(SALT_BYTES), "x".to_owned(), String::new()];
        let openings =
            Openings((0..).map(|number: u8| number.to_string()).zip(salts.iter().map(|salt| opening(salt))).collect());
        let stored = openings.encode().unwrap();
        assert_eq!(Openings::decode(&stored).unwrap(), openings);
        assert_eq!(Openings::decode(&serde_json::to_vec(&openings).unwrap()).unwrap(), openings);
        assert!((0..stored.len()).all(|end| Openings::decode(&stored[..end]).is_err()));
        assert!(Openings::decode(&[stored.as_slice(), &[0]].concat()).is_err());
    }
}
