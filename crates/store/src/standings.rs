//! What operators have decided about other providers. It stands above the configuration of each replica, and holds on
//! all of them.

use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use uuid::Uuid;

use crate::convert::{domain, millis, time, uuid};
use crate::schema::{certificate_alarms, peer_cards, peer_standings};
use crate::{Conn, StoreError, Topic, Tx, consents, outbox};

/// How we stand with another provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It federates with us.
    Allowed,
    /// No new business: what exists is delivered, whoever is there may leave.
    Suspended,
    /// It is refused at the door, and what it is owed waits.
    Blocked,
    /// Somebody has taken its card, and nobody has let it in yet: it is refused at the door.
    Pending,
}

impl Standing {
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Allowed => 0,
            Self::Suspended => 1,
            Self::Blocked => 2,
            Self::Pending => 3,
        }
    }

    fn from_code(code: i32) -> Result<Self, StoreError> {
        let all = [Self::Allowed, Self::Suspended, Self::Blocked, Self::Pending];
        all.into_iter().find(|standing| standing.code() == code).ok_or(StoreError::Corrupt("standing"))
    }
}

/// The last word on one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The provider.
    pub domain: Domain,
    /// How we stand with it.
    pub standing: Standing,
    /// Who decided so.
    pub by: String,
    /// When.
    pub at: Millis,
    /// Why, in the words of whoever decided.
    pub reason: String,
    /// The decision in the audit log.
    pub decision: Uuid,
}

/// Makes this the last word on the provider. What it is owed becomes due at once when it is no longer blocked.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn decide(tx: &mut Tx<'_>, decided: &Decided) -> Result<(), StoreError> {
    let values = (
        peer_standings::state.eq(decided.standing.code()),
        peer_standings::decided_by.eq(decided.by.as_str()),
        peer_standings::decided_at.eq(time(decided.at)?),
        peer_standings::reason.eq(decided.reason.as_str()),
        peer_standings::decision.eq(decided.decision.as_bytes().to_vec()),
    );
    let row = (peer_standings::domain.eq(decided.domain.as_str()), values.clone());
    db!(tx, |c| {
        diesel::insert_into(peer_standings::table)
            .values(row)
            .on_conflict(peer_standings::domain)
            .do_update()
            .set(values)
            .execute(c)
    })?;
    match decided.standing {
        Standing::Allowed | Standing::Suspended => {
            outbox::resume(tx, &decided.domain, decided.at)?;
            consents::resume(tx, &decided.domain, decided.at)?;
        }
        Standing::Blocked | Standing::Pending => {}
    }
    tx.touch(Topic::Peers);
    Ok(())
}

/// Keeps what a provider says of itself, in the place of what it has said before.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn keep_card(tx: &mut Tx<'_>, of: &Domain, card: &str, by: &str, now: Millis) -> Result<(), StoreError> {
    let values = (peer_cards::card.eq(card), peer_cards::added_by.eq(by), peer_cards::added_at.eq(time(now)?));
    let row = (peer_cards::domain.eq(of.as_str()), values);
    db!(tx, |c| {
        diesel::insert_into(peer_cards::table)
            .values(row)
            .on_conflict(peer_cards::domain)
            .do_update()
            .set(values)
            .execute(c)
    })?;
    tx.touch(Topic::Peers);
    Ok(())
}

/// What providers have said of themselves, by their domains.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn cards(conn: &mut Conn) -> Result<Vec<(Domain, String)>, StoreError> {
    let query = peer_cards::table.order(peer_cards::domain).select((peer_cards::domain, peer_cards::card));
    db!(conn, |c| query.load::<(String, String)>(c))?.into_iter().map(|(of, card)| Ok((domain(&of)?, card))).collect()
}

/// Notes that the alarm was raised over a certificate that ends, and gives whether that is new: one of several replicas raises
/// it, once for each certificate.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn certificate_ends(
    tx: &mut Tx<'_>,
    spki_sha256: &[u8; 32],
    ends_at: Millis,
    now: Millis,
) -> Result<bool, StoreError> {
    let row = (
        certificate_alarms::spki.eq(spki_sha256.as_slice()),
        certificate_alarms::ends_at.eq(time(ends_at)?),
        certificate_alarms::raised_at.eq(time(now)?),
    );
    let insert = diesel::insert_into(certificate_alarms::table).values(row).on_conflict_do_nothing();
    Ok(db!(tx, |c| insert.execute(c))? == 1)
}

/// Providers that nothing is sent to for now: what they are owed waits.
#[diesel::dsl::auto_type(no_type_alias)]
pub(crate) fn blocked() -> _ {
    let blocked: i32 = Standing::Blocked.code();
    peer_standings::table.filter(peer_standings::state.eq(blocked)).select(peer_standings::domain)
}

/// The last word on every provider that somebody decided about, in the order of their names.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn all(conn: &mut Conn) -> Result<Vec<Decided>, StoreError> {
    type Row = (String, i32, String, i64, String, Vec<u8>);
    let query = peer_standings::table.order(peer_standings::domain).select((
        peer_standings::domain,
        peer_standings::state,
        peer_standings::decided_by,
        peer_standings::decided_at,
        peer_standings::reason,
        peer_standings::decision,
    ));
    db!(conn, |c| query.load::<Row>(c))?
        .into_iter()
        .map(|(of, state, by, at, reason, decision)| {
            let standing = Standing::from_code(state)?;
            Ok(Decided { domain: domain(&of)?, standing, by, at: millis(at)?, reason, decision: uuid(&decision)? })
        })
        .collect()
}
