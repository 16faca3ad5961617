//! What is known of a bundle before it decides, for the record of its activation.

use portcullis_core::time::Millis;
use portcullis_store::audit::{self, AuditRecord, Outcome};
use portcullis_store::shadows::{self, Shadow};
use portcullis_store::simulations::{self, Simulation};
use portcullis_store::{Conn, StoreError, Tx, bundles};
use serde_json::{Value, json};
use uuid::Uuid;

use super::again::Window;
use super::report::Report;
use crate::gateway::rollout::BundleId;

/// A shadow with what has come of it.
#[derive(Clone, Debug)]
pub struct ShadowView {
    /// The shadow.
    pub shadow: Shadow,
    /// What has come of it so far.
    pub report: Report,
    /// How many entries it was not asked about, of those that the log has, or had when it ended.
    pub behind: u64,
}

impl ShadowView {
    /// As the database has it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for a report that cannot be read.
    pub fn of(conn: &mut Conn, shadow: Shadow) -> Result<Self, StoreError> {
        let size = match &shadow.stopped {
            Some(stopped) => stopped.size,
            None => audit::size(conn)?,
        };
        let (report, behind) = (stored(&shadow)?, size.saturating_sub(shadow.position));
        Ok(Self { shadow, report, behind })
    }

    /// The one that goes on, or else the latest that did.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when there was none.
    pub fn latest(conn: &mut Conn) -> Result<Self, StoreError> {
        let shadow = shadows::latest(conn, None)?.ok_or(StoreError::Missing)?;
        Self::of(conn, shadow)
    }
}

/// What has come of a shadow so far.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when it cannot be read.
pub(super) fn stored(shadow: &Shadow) -> Result<Report, StoreError> {
    if shadow.report.is_empty() {
        return Ok(Report::default());
    }
    serde_json::from_str(&shadow.report).map_err(|_| StoreError::Corrupt("report of a shadow"))
}

/// Ends the shadow of a bundle that decides from now on: it would be held against itself.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(in crate::gateway) fn end_shadow(
    tx: &mut Tx<'_>,
    digest: &[u8; 32],
    by: &str,
    now: Millis,
) -> Result<(), StoreError> {
    match shadows::running(tx)? {
        Some(shadow) if shadow.digest == *digest => shadows::stop(tx, shadow.run, by, now),
        _ => Ok(()),
    }
}

/// What the latest shadow and the latest simulation of a bundle have said, where there was one.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(in crate::gateway) fn of_bundle(
    conn: &mut Conn,
    digest: &[u8; 32],
) -> Result<Vec<(&'static str, Value)>, StoreError> {
    let mut found = Vec::new();
    if let Some(shadow) = shadows::latest(conn, Some(digest))? {
        let ShadowView { shadow, report, behind } = ShadowView::of(conn, shadow)?;
        let said = json!({
            "run": shadow.run,
            "started_by": shadow.started_by,
            "started_at": shadow.started_at,
            "stopped_at": shadow.stopped.map(|stopped| stopped.at),
            "from": shadow.from,
            "to": shadow.position,
            "behind": behind,
            "report": report.summary(),
        });
        found.push(("shadow", said));
    }
    let mut said = Vec::new();
    for Simulation { by, at, report } in simulations::latest(conn, digest, simulations::MOST)? {
        let report: Value = serde_json::from_str(&report).map_err(|_| StoreError::Corrupt("report of a simulation"))?;
        said.push(json!({ "by": by, "at": at, "report": report }));
    }
    // Of earlier ones what they were about and what they found, or the latest could hide it.
    let short = |said: &Value| {
        let report = &said["report"];
        json!({
            "by": said["by"], "at": said["at"], "records": report["records"], "changed": report["changed"],
            "window": report["window"],
        })
    };
    let earlier: Vec<Value> = said.iter().skip(1).map(short).collect();
    if !earlier.is_empty() {
        found.push(("earlier_simulations", earlier.into()));
    }
    if let Some(latest) = said.into_iter().next() {
        found.push(("simulation", latest));
    }
    Ok(found)
}

/// Keeps what a simulation said of a kept bundle, with its record.
///
/// # Errors
///
/// [`StoreError::Missing`] when the bundle is not kept.
pub fn keep_simulation(
    tx: &mut Tx<'_>,
    digest: &[u8; 32],
    (window, report): (Window, &Report),
    by: &str,
    now: Millis,
) -> Result<(), StoreError> {
    bundles::find(tx, digest)?;
    let Window { since, until, limit } = window;
    let mut said = report.summary();
    said["window"] = json!({ "since": since, "until": until, "limit": limit });
    simulations::put(tx, digest, &Simulation { by: by.to_owned(), at: now, report: said.to_string() })?;
    let active = bundles::pointer(tx)?.map(|pointer| pointer.active);
    tx.stage(&AuditRecord {
        actor: Some(by.to_owned()),
        bundle: active,
        detail: json!({ "digest": BundleId(*digest).to_string(), "report": said }),
        ..AuditRecord::new(Uuid::now_v7(), now, "policy.simulated", Outcome::Info)
    })
}
