//! What people do with reports of abuse at the admin door.

use portcullis_core::policy::AdminAct;
use portcullis_store::reports::{self as stored, Report, ReportState};
use portcullis_store::{StoreError, Tx};
use uuid::Uuid;

use super::{AdminError, Changed, Operator, Wish};
use crate::gateway::reports::{self, Handling, Reported};
use crate::gateway::{Gateway, GatewayError, Kept, Once};

/// Why a person reads what was reported: the door does not ask.
const LOOKED: &str = "looked_at";

impl Gateway {
    /// Gives what was reported in plain text, once it is on the record who reads it.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] when there is no such report.
    pub async fn read_reported(&self, operator: Operator, id: Uuid) -> Result<(Report, Reported), AdminError> {
        let by = operator.actor();
        let wish =
            Wish { operator, act: AdminAct::ViewReportedContent, about: None, room: None, user: None, why: None };
        let read = self.allowed(Once::unnamed(), wish, move |inner, decision| {
            let (record, now) = (decision.record, inner.clock.now());
            let (report, messages) = inner.store.write("admin", move |tx: &mut Tx<'_>| {
                let found = reports::read(tx, id, &by, LOOKED, now)?;
                tx.stage(&record)?;
                Ok::<_, StoreError>(found)
            })?;
            let reported = reports::unseal(&inner.keys.sealer, &report, &messages)?;
            Ok((report, reported))
        });
        read.await
    }

    /// Brings a report into another state and answers ([`Changed`]) what it is then ([`Report`]).
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`]; [`GatewayError::NotFound`] when there is no such report, [`GatewayError::Conflict`] when
    /// somebody else has changed it meanwhile, or its state does not lead to the wanted one.
    pub async fn handle_report(&self, once: Once, operator: Operator, handling: Handling) -> Result<Kept, AdminError> {
        let by = operator.actor();
        let act = match handling.state {
            ReportState::New | ReportState::InReview => AdminAct::ReviewReport,
            ReportState::Upheld => AdminAct::UpholdReport,
            ReportState::Dismissed => AdminAct::DismissReport,
        };
        let wish = Wish { operator, act, about: None, room: None, user: None, why: Some(handling.why.clone()) };
        let changed = self.allowed(once, wish, move |inner, decision| {
            let (id, record, now) = (decision.id(), decision.record, inner.clock.now());
            let found = inner.store.read(|conn| stored::find(conn, handling.report));
            found.map_err(|error: StoreError| GatewayError::from(error))?.ok_or(GatewayError::NotFound)?;
            let written = inner.store.write("admin", move |tx: &mut Tx<'_>| {
                let report = reports::handle(tx, &handling, &by, now)?;
                tx.stage(&record)?;
                once.keep(tx, Changed { value: report, decision: id })
            });
            written.map_err(|error| match error {
                StoreError::Missing => GatewayError::Conflict,
                error => error.into(),
            })
        });
        changed.await
    }
}
