//! The gateway of Oblivious HTTP, and the relay to those of hubs (RFC 9458; reading D-58): whoever asks is not known here, and what
//! is asked for is not known where it is relayed. Keys are new each week, and open for one more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Bytes;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, UserUri};
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::{Tx, ohttp_keys};
use serde_json::json;
use uuid::Uuid;

use super::assets::{permit_relay, refuse_inside};
use super::places::Of;
use super::seal::Purpose;
use super::{Gateway, GatewayError, Inner};
use crate::assets::{Download, FetchError, GatewayKey, Inside, Opened, Place, SEED_BYTES, may_be_encapsulated};
use crate::peer::PeerError;

/// How long requests are encapsulated to one key.
pub const PERIOD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The write lane of keys.
const LANE: &str = "keys";

/// How long the key in the database is not looked at for who asks for it: it may take as long until every replica tells another one
/// that takes its place within its period.
const TOLD: Duration = Duration::from_secs(10);

/// The keys that are told, in memory: everybody may ask for them.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<Option<(u64, Millis, Vec<u8>)>>);

impl Published {
    fn find(&self, of: u64, now: Millis) -> Option<Vec<u8>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, _, published) = held.as_ref().filter(|(period, until, _)| *period == of && now < *until)?;
        Some(published.clone())
    }

    fn keep(&self, of: u64, published: Vec<u8>, now: Millis) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((of, now.plus(TOLD), published));
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What has become of a request.
#[derive(Debug)]
pub enum Relayed {
    /// The answer, sealed for who has asked, and its place, to be held until it is gone.
    Answer(Vec<u8>, Arc<Place>),
    /// It is encapsulated to a key that is not among ours: the client is to ask for the keys again.
    UnknownKey,
}

impl Gateway {
    /// The keys that requests may be encapsulated to (`application/ohttp-keys`), the one of this period.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] of the database.
    pub async fn ohttp_keys(&self) -> Result<Vec<u8>, GatewayError> {
        let (now, this) = (self.0.clock.now(), period(self.0.clock.now()));
        if let Some(published) = self.0.ohttp_published.find(this, now) {
            return Ok(published);
        }
        let work = move |inner: &Arc<Inner>| {
            let key = inner.ohttp_key(this)?;
            let published = GatewayKey::published(&[&key]).map_err(GatewayError::internal)?;
            inner.ohttp_published.keep(this, published.clone(), now);
            Ok(published)
        };
        self.0.blocking(Vec::new(), work).await
    }

    /// Answers an encapsulated request that the relay of another provider hands in: the file that is asked for, as
    /// [`Gateway::proxy_download`] gives it, whole and of at most [`crate::assets::WHOLE_BYTES`]. What is wrong inside is answered
    /// inside, so that the relay does not learn it.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Decode`] for what is no such request, and those of the database.
    pub async fn ohttp(&self, from: Domain, body: Bytes) -> Result<Relayed, GatewayError> {
        let Some(named) = body.first().copied() else { return Err(GatewayError::decode("request is empty")) };
        let place = self.oblivious_place(&UserUri::provider(&from))?;
        let peer = from.clone();
        let open = move |inner: &Arc<Inner>| {
            let opened = inner.open_oblivious(named, &body)?;
            if let Some(Err(refused)) = opened.as_ref().map(|opened| &opened.wanted) {
                refuse_inside(inner, &peer, refused.status)?;
            }
            Ok(opened)
        };
        let Some(opened) = self.0.blocking(vec![Of::Peer(from.clone())], open).await? else {
            // Perhaps another key has taken the place of the one that is told here.
            self.0.ohttp_published.forget();
            return Ok(Relayed::UnknownKey);
        };
        let answer = match &opened.wanted {
            Err(refused) => refused.clone(),
            Ok((url, asked)) => {
                let download = self.proxy_download(from, url.clone(), asked.clone()).await;
                match download {
                    Ok(download) => inside(download).await,
                    Err(error) => refusal(&error),
                }
            }
        };
        let sealed = opened.seal(&answer).map_err(GatewayError::internal)?;
        Ok(Relayed::Answer(sealed, place))
    }

    fn oblivious_place(&self, who: &UserUri) -> Result<Arc<Place>, GatewayError> {
        let place = self.0.assets.oblivious_place(who.as_str());
        place.map(Arc::new).map_err(|_: FetchError| GatewayError::busy("as many oblivious requests run as may"))
    }

    /// Relays an encapsulated request of a user of ours to the gateway of `hub`, which does not learn whose it is; without a
    /// request, asks for its keys.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Refused`] by policy, [`GatewayError::TooMany`] beyond the limit of the user,
    /// [`GatewayError::PeerUnreachable`] where the hub has no such gateway or does not answer.
    pub async fn ohttp_relay(
        &self,
        user: UserUri,
        hub: Domain,
        body: Option<Bytes>,
    ) -> Result<(Bytes, Arc<Place>), GatewayError> {
        if body.as_ref().is_some_and(|body| !may_be_encapsulated(body)) {
            return Err(GatewayError::decode("body is no encapsulated request"));
        }
        let place = self.oblivious_place(&user)?;
        let (own, of_user, to) = (user.domain(), user.clone(), hub.clone());
        let permit = move |inner: &Arc<Inner>| {
            if inner.is_ours(&to) {
                return Err(GatewayError::NotFound);
            }
            inner.claims.take_download(&user)?;
            permit_relay(inner, &user, &to)
        };
        self.0.blocking(vec![Of::User(of_user)], permit).await?;
        let answer = self.0.peers.oblivious(&own, &hub, body).await.map_err(|error| match error {
            PeerError::Permanent { status: 400 } => {
                GatewayError::decode("hub does not open the request: ask for its keys")
            }
            error => GatewayError::peer(error),
        })?;
        Ok((answer, place))
    }
}

/// The oldest period whose key opens anything.
pub fn oldest_period(now: Millis) -> u64 {
    period(now).saturating_sub(1)
}

fn period(now: Millis) -> u64 {
    now.0 / u64::try_from(PERIOD.as_millis()).unwrap_or(u64::MAX)
}

impl Inner {
    /// Opens a request with the key that it names, of this period or the last. Of a later one another replica's clock may know.
    fn open_oblivious(&self, named: u8, body: &[u8]) -> Result<Option<Opened>, GatewayError> {
        let now = self.clock.now();
        let this = period(now);
        let Some(of) = [this, this.saturating_sub(1), this + 1].into_iter().find(|of| GatewayKey::id(*of) == named)
        else {
            return Ok(None);
        };
        let key = if of == this { Some(self.ohttp_key(of)?) } else { self.stored_ohttp_key(of)? };
        let opened = key.map(|key| key.open(body, &self.assets.answered, now));
        Ok(opened.and_then(Result::ok))
    }

    /// The key of this period, which is made where there is none that opens.
    fn ohttp_key(&self, of: u64) -> Result<GatewayKey, GatewayError> {
        let former = self.store.read(|conn| ohttp_keys::find(conn, of))?;
        if let Some(key) = former.as_ref().and_then(|sealed| self.unsealed_ohttp_key(of, sealed)) {
            return key;
        }
        let mut seed = [0; SEED_BYTES];
        aws_lc_rs::rand::fill(&mut seed).map_err(GatewayError::internal)?;
        let sealed =
            self.keys.sealer.seal(Purpose::OhttpKey, &of.to_be_bytes(), &seed).map_err(GatewayError::internal)?;
        let record = AuditRecord {
            reason: "period_begins".to_owned(),
            detail: json!({ "period": of }),
            ..AuditRecord::new(Uuid::now_v7(), self.clock.now(), "key.ohttp_begun", Outcome::Info)
        };
        self.store.write(LANE, move |tx: &mut Tx<'_>| {
            let begun = ohttp_keys::begin(tx, of, &sealed, former.as_deref(), of.saturating_sub(1))?;
            if begun { tx.stage(&record) } else { Ok(()) }
        })?;
        let stored = self.store.read(|conn| ohttp_keys::find(conn, of))?;
        let key = stored.and_then(|sealed| self.unsealed_ohttp_key(of, &sealed));
        key.unwrap_or_else(|| Err(GatewayError::internal("the key of this period does not open")))
    }

    fn stored_ohttp_key(&self, of: u64) -> Result<Option<GatewayKey>, GatewayError> {
        let sealed = self.store.read(|conn| ohttp_keys::find(conn, of))?;
        sealed.and_then(|sealed| self.unsealed_ohttp_key(of, &sealed)).transpose()
    }

    /// A stored key, opened; none where its sealing key is gone. Nothing hangs on it: clients ask for the new one.
    fn unsealed_ohttp_key(&self, of: u64, sealed: &[u8]) -> Option<Result<GatewayKey, GatewayError>> {
        let seed = self.keys.sealer.open(Purpose::OhttpKey, &of.to_be_bytes(), sealed).ok()?;
        let seed: [u8; SEED_BYTES] = seed.try_into().ok()?;
        Some(GatewayKey::derive(of, &seed).map_err(GatewayError::internal))
    }
}

/// A download as it is sealed: all of it at once.
async fn inside(download: Download) -> Inside {
    match download.whole().await {
        Ok((status, headers, body)) => Inside { status, headers, body },
        Err(_) => Inside::of(502),
    }
}

/// What a client is told of a refusal: its status, and how long to wait.
fn refusal(error: &GatewayError) -> Inside {
    match error {
        GatewayError::Decode(_) => Inside::of(400),
        GatewayError::Refused { .. } | GatewayError::WrongIdentity => Inside::of(403),
        GatewayError::NotFound => Inside::of(404),
        GatewayError::TooMany(limit) => {
            Inside { headers: vec![("retry-after", limit.seconds().to_string())], ..Inside::of(429) }
        }
        GatewayError::PeerUnreachable(_) => Inside::of(502),
        GatewayError::Unavailable(_) => Inside { headers: vec![("retry-after", "2".to_owned())], ..Inside::of(503) },
        GatewayError::Conflict | GatewayError::KeyReused | GatewayError::Internal(_) => Inside::of(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_memory_for_seconds_within_their_period_and_until_one_does_not_open() {
        let published = Published::default();
        published.keep(7, vec![1], Millis(1000));
        assert_eq!(published.find(7, Millis(10_999)), Some(vec![1]));
        assert_eq!((published.find(7, Millis(11_000)), published.find(8, Millis(1000))), (None, None));
        published.forget();
        assert_eq!(published.find(7, Millis(1000)), None);
    }
}
