//! How the gateway is.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use data_encoding::HEXLOWER;
use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::Domain;
use portcullis_store::overview::{self, Export};
use portcullis_store::{DatabaseKind, StoreError, bundles};
use serde::Serialize;
use utoipa::ToSchema;

use crate::gateway::Gateway;
use crate::gateway::admin::Operator;
use crate::http::{Problem, Reply};

/// When this process opened its doors.
pub(super) struct Started(pub(super) Millis);

/// How the gateway is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// Version of the program.
    version: &'static str,
    /// When this process opened its doors, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    started_at: Millis,
    /// Seconds since then.
    uptime_seconds: u64,
    /// The company's provider domains; the first is the default.
    #[schema(value_type = Vec<String>)]
    domains: Vec<Domain>,
    /// SHA-256 of the policy bundle that decides here.
    bundle: String,
    /// When a bundle was last made the one that decides, by any replica, in milliseconds since the UNIX epoch.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_activated_at: Option<Millis>,
    /// `sqlite` or `postgres`.
    database: &'static str,
    /// Rooms this gateway is hub of.
    rooms: u64,
    /// Lanes of the outbox.
    lanes: Lanes,
    /// Messages that are owed to other providers.
    outbox_backlog: u64,
    /// Letters about consent.
    letters: Letters,
    /// What moderators have imposed, and a commit is yet to carry out.
    moderation: Moderation,
    /// The audit log.
    audit: Audit,
}

/// Lanes that owe something.
#[derive(Debug, Serialize, ToSchema)]
struct Lanes {
    /// All of them.
    owing: u64,
    /// Those that wait for a person.
    parked: u64,
}

/// Letters about consent that other providers have not taken.
#[derive(Debug, Serialize, ToSchema)]
struct Letters {
    /// All of them.
    owing: u64,
    /// Those that wait for a person.
    parked: u64,
}

/// Restrictions for which a commit is owed.
#[derive(Debug, Serialize, ToSchema)]
struct Moderation {
    /// All of them.
    owed: u64,
    /// Those whose commit is too long in coming.
    overdue: u64,
}

/// The audit log.
#[derive(Debug, Serialize, ToSchema)]
struct Audit {
    /// Position of the last record; absent for an empty log.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_position: Option<u64>,
    /// Records that have no position yet.
    unsequenced: u64,
    /// How far each export has come.
    exports: Vec<Exported>,
}

/// One export of the audit log.
#[derive(Debug, Serialize, ToSchema)]
struct Exported {
    /// Its name.
    name: String,
    /// Position of the first record that it has not taken.
    next: u64,
    /// When it came so far, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    moved_at: Millis,
}

impl From<Export> for Exported {
    fn from(Export { name, next, moved_at }: Export) -> Self {
        Self { name, next, moved_at }
    }
}

/// Show the status
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "status",
    responses((status = 200, description = "How the gateway is", body = Status))
)]
pub(super) async fn show(
    operator: Operator,
    gateway: Data<Gateway>,
    started: Data<Started>,
) -> Result<HttpResponse, Problem> {
    let read = |conn: &mut _| Ok::<_, StoreError>((overview::overview(conn)?, bundles::activations(conn, 1)?));
    let (all, activations) = gateway.view(operator, AdminAct::ViewStatus, read).await?;
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at: started.0,
        uptime_seconds: gateway.clock().now().since(started.0).as_secs(),
        domains: gateway.domains().to_vec(),
        bundle: HEXLOWER.encode(&gateway.policy().active().engine.bundle_digest()),
        bundle_activated_at: activations.first().map(|activation| activation.at),
        database: match gateway.store().kind() {
            DatabaseKind::Sqlite => "sqlite",
            DatabaseKind::Postgres => "postgres",
        },
        rooms: all.rooms,
        lanes: Lanes { owing: all.lanes_owing, parked: all.lanes_parked },
        outbox_backlog: all.backlog,
        letters: Letters { owing: all.letters, parked: all.letters_parked },
        moderation: Moderation { owed: all.expulsions_owed, overdue: all.expulsions_overdue },
        audit: Audit {
            last_position: all.last_position,
            unsequenced: all.unsequenced,
            exports: all.exports.into_iter().map(Exported::from).collect(),
        },
    };
    Ok(Reply::json(StatusCode::OK, &status, None)?.into())
}
