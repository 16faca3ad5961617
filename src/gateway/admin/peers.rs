//! Who federates with us, decided while the gateway runs: in force here when the answer is given, and on every other
//! replica as soon as it hears of the commit.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use portcullis_core::policy::AdminAct;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::standings::{self, Decided, Standing};
use portcullis_store::{StoreError, Topic, Tx};
use serde_json::json;
use tokio::sync::watch as channel;
use tokio::time::sleep;
use uuid::Uuid;

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::{Gateway, GatewayError, Inner, Kept, Once};
use crate::peer::{CertificateEnd, Listed, PeerCard, causes};

/// Longest wait without a sign of a change: the connection that listens for them may be lost.
const PAUSE: Duration = Duration::from_secs(1);

/// How long before its end the alarm is raised over a certificate.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// It federates with us, whatever was decided before.
    Allow,
    /// No new business with it.
    Suspend,
    /// It is refused at the door, and what it is owed waits.
    Block,
}

impl PeerChange {
    fn act(self) -> AdminAct {
        match self {
            Self::Allow => AdminAct::AllowPeer,
            Self::Suspend => AdminAct::SuspendPeer,
            Self::Block => AdminAct::BlockPeer,
        }
    }

    fn standing(self) -> Standing {
        match self {
            Self::Allow => Standing::Allowed,
            Self::Suspend => Standing::Suspended,
            Self::Block => Standing::Blocked,
        }
    }
}

impl Gateway {
    /// Everybody on the list of peers, with whether the policy bundle's own settings suspend them.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`].
    pub async fn peer_list(&self, operator: Operator) -> Result<Vec<(Listed, bool)>, AdminError> {
        let wish = Wish { operator, act: AdminAct::ViewPeers, about: None, room: None, user: None, why: None };
        let listed = |inner: &Arc<Inner>| {
            refresh(inner)?;
            let active = inner.policy.active();
            let suspended = |listed: Listed| {
                let by_settings = active.engine.settings_suspend(&listed.domain);
                (listed, by_settings)
            };
            Ok(inner.peers.list().all().into_iter().map(suspended).collect())
        };
        self.permitted(wish, listed).await
    }

    /// Decides how we stand with a provider, and answers ([`Changed`]) that, with whether the policy bundle's own settings
    /// suspend it. `reason` is for the record, in the person's own words.
    ///
    /// It is in force in this process when this gives the answer. Whoever gets that from the database, by repeating the
    /// request, may get it from a process that has yet to hear of the commit.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::Decode`] for a domain of our own; [`GatewayError::NotFound`] for a
    /// provider to be suspended that does not federate with us.
    pub async fn change_peer(
        &self,
        once: Once,
        operator: Operator,
        domain: Domain,
        change: PeerChange,
        reason: String,
    ) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let (about, why) = (Some(domain.clone()), Some(reason.clone()));
        let wish = Wish { operator, act: change.act(), about, room: None, user: None, why };
        let changed = self.allowed(once, wish, move |inner, decision| {
            if inner.is_ours(&domain) {
                return Err(GatewayError::decode("this is a domain of the gateway itself"));
            }
            refresh(inner)?;
            let federates =
                matches!(inner.peers.list().standing(&domain), Some(Standing::Allowed | Standing::Suspended));
            if change == PeerChange::Suspend && !federates {
                return Err(GatewayError::NotFound);
            }
            let (id, record, standing, at) = (decision.id(), decision.record, change.standing(), inner.clock.now());
            let by_settings = inner.policy.active().engine.settings_suspend(&domain);
            let listed = Listed {
                domain: domain.clone(),
                standing,
                configured: inner.peers.list().is_configured(&domain),
                decided: None,
                known: inner.peers.list().shown_as(&domain),
                certificate_until: None,
            };
            let decided = Decided { domain: domain.clone(), standing, by, at, reason, decision: id };
            let kept = inner.store.write("admin", move |tx: &mut Tx<'_>| {
                standings::decide(tx, &decided)?;
                tx.stage(&record)?;
                let listed = Listed { decided: Some(decided.clone()), ..listed.clone() };
                once.keep(tx, Changed { value: (listed, by_settings), decision: id })
            })?;
            refresh(inner)?;
            Ok(kept)
        });
        changed.await
    }

    /// Raises the alarm over certificates that end within thirty days, our own and those that peers have shown here.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; it is tried again.
    pub async fn watch_certificates(&self) -> Result<(), GatewayError> {
        self.0.blocking(Vec::new(), watch_certificates).await
    }

    /// Puts what operators have decided about peers in force in this process.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] when the database does not tell.
    pub async fn refresh_peers(&self) -> Result<(), GatewayError> {
        // Beside the requests, which may be too many to take another one.
        let inner = Arc::clone(&self.0);
        let refreshed = tokio::task::spawn_blocking(move || refresh(&inner)).await;
        refreshed.unwrap_or_else(|panic| Err(GatewayError::internal(panic)))
    }
}

/// Keeps what operators decide about peers in force, whichever replica they decide it at, until `closing` becomes true.
pub async fn watch(gateway: Gateway, mut closing: channel::Receiver<bool>) {
    let mut changes = gateway.store().changes(Topic::Peers);
    while !*closing.borrow() {
        // Seen before looking, so that what changes meanwhile wakes us again.
        changes.mark_unchanged();
        if let Err(error) = gateway.refresh_peers().await {
            tracing::warn!(cause = causes(&error), "decisions about peers cannot be read, the last ones go on");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = changes.changed() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// Reads and puts in force one after the other, so that what was read first never stands last.
pub(super) fn refresh(inner: &Arc<Inner>) -> Result<(), GatewayError> {
    let _turn = inner.peers_turn.lock().unwrap_or_else(PoisonError::into_inner);
    let read = inner.store.read(|conn| Ok::<_, StoreError>((standings::all(conn)?, standings::cards(conn)?)));
    let (decided, cards) = read?;
    let list = inner.peers.list();
    if list.replace_cards(cards.into_iter().map(|(domain, text)| (domain, PeerCard::parse(&text)))) {
        for (domain, error) in list.unreadable_cards() {
            tracing::warn!(%domain, error, "the card of a peer cannot be read");
        }
    }
    if list.replace(decided) {
        inner.policy.suspend(list.suspended());
        tracing::info!("decisions about peers are in force");
    }
    Ok(())
}

/// Raises the alarm over certificates that end soon, our own and those that peers have shown here; once for each.
///
/// # Errors
///
/// [`GatewayError`]; it is tried again.
fn watch_certificates(inner: &Arc<Inner>) -> Result<(), GatewayError> {
    let now = inner.clock.now();
    let ends = inner.peers.certificates().map_err(GatewayError::internal)?;
    for end in ends.into_iter().filter(|end| end.until <= now.plus(SOON)) {
        let own = inner.is_ours(&end.domain);
        let raised = inner.store.write("certificates", {
            let end = end.clone();
            move |tx: &mut Tx<'_>| {
                let CertificateEnd { domain, spki_sha256, until } = &end;
                if !standings::certificate_ends(tx, spki_sha256, *until, now)? {
                    return Ok(false);
                }
                tx.stage(&AuditRecord {
                    peer: (!own).then(|| domain.clone()),
                    reason: "certificate_ends_soon".to_owned(),
                    detail: json!({ "domain": domain, "spki": HEXLOWER.encode(spki_sha256), "until": until }),
                    ..AuditRecord::new(Uuid::now_v7(), now, "certificate.ends", Outcome::Alarm)
                })?;
                Ok::<_, StoreError>(true)
            }
        })?;
        if raised {
            tracing::warn!(domain = %end.domain, until = end.until.0, "a certificate ends soon");
        }
    }
    Ok(())
}
