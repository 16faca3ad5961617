//! What rooms owe to other providers: a lane for each room and provider.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::policy::AdminAct;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};
use portcullis_store::StoreError;
use portcullis_store::outbox::{self, LaneRow, LaneStatus, Owed};
use portcullis_store::standings::Standing;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Post;
use super::page::{self, Page, cursor, misfit, place};
use super::peers::worded;
use crate::gateway::admin::{Changed, LaneChange, Operator};
use crate::gateway::lanes::Lane;
use crate::gateway::{Gateway, GatewayError, Shown};
use crate::http::body::{self, json};
use crate::http::{Problem, Reply};
use crate::peer::PeerList;

/// Most messages of one lane that are shown.
const SHOWN: u32 = 500;

/// Which lanes.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Being delivered, or waiting to be tried again.
    Open,
    /// Waiting for a person.
    Parked,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only lanes in this state: `open` or `parked`.
    #[param(value_type = Option<String>)]
    state: Option<State>,
    /// Only lanes of this room.
    #[param(value_type = Option<String>)]
    room: Option<RoomUri>,
    /// Only lanes to this provider.
    #[param(value_type = Option<String>)]
    peer: Option<Domain>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// Items of the page, at most 500.
    limit: Option<u32>,
}

/// A lane.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LaneShown {
    /// The room.
    #[schema(value_type = String)]
    room: RoomUri,
    /// Who is owed.
    #[schema(value_type = String)]
    peer: Domain,
    /// The domain of ours that sends.
    #[schema(value_type = String)]
    as_domain: Domain,
    /// `open`, `parked` (a person must look at it) or `blocked` (the provider is).
    state: &'static str,
    /// How many messages are owed.
    owed: u64,
    /// Position of the last message that was acknowledged.
    head: u64,
    /// Position of the last message that is owed.
    tail: u64,
    /// How often the first batch was tried.
    attempts: u64,
    /// When it was first tried, in milliseconds since the UNIX epoch; 0 for not yet.
    #[schema(value_type = u64)]
    first_tried: Millis,
    /// When it is tried next, in milliseconds since the UNIX epoch.
    #[schema(value_type = u64)]
    next_at: Millis,
    /// HTTP status of the last refusal; 0 for none.
    http_status: u16,
    /// What went wrong last; empty for nothing.
    error: String,
}

/// A lane with what it owes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Detail {
    #[serde(flatten)]
    lane: LaneShown,
    /// The first 500 messages that are owed, in their order.
    messages: Vec<Message>,
}

/// A message that is owed.
#[derive(Debug, Serialize, ToSchema)]
struct Message {
    /// Its position in the lane.
    position: u64,
    /// Number of the event in the room.
    event: u64,
    /// Its length.
    bytes: u64,
}

/// Why a lane is tried again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// For the record, in the person's own words.
    reason: String,
}

/// What is left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Skip {
    /// For the record, in the person's own words.
    reason: String,
    /// The last position of the lane that is left out; the first message alone when absent.
    through: Option<u64>,
}

/// What is sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resend {
    /// For the record, in the person's own words.
    reason: String,
    /// Number of the first event in the room.
    from: u64,
}

/// What was done to a lane.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LaneChanged {
    /// Messages that were left out, or are owed again.
    messages: u64,
}

impl LaneShown {
    pub(super) fn of(row: LaneRow, list: &PeerList) -> Self {
        let blocked = list.standing(&row.peer) == Some(Standing::Blocked);
        Self {
            state: match row.status {
                LaneStatus::Parked => "parked",
                LaneStatus::Open if blocked => "blocked",
                LaneStatus::Open => "open",
            },
            owed: row.tail.saturating_sub(row.head),
            room: row.room,
            peer: row.peer,
            as_domain: row.as_domain,
            head: row.head,
            tail: row.tail,
            attempts: row.attempts,
            first_tried: row.first_tried,
            next_at: row.next_at,
            http_status: row.http_status,
            error: row.error,
        }
    }
}

impl From<Owed> for Message {
    fn from(Owed { position, seq, bytes }: Owed) -> Self {
        Self { position, event: seq, bytes }
    }
}

impl Shown for Changed<u64> {
    fn reply(self) -> Result<Reply, GatewayError> {
        Reply::json(StatusCode::OK, &LaneChanged { messages: self.value }, Some(self.decision))
    }
}

/// List lanes
///
/// Those that owe something, in the order of rooms and providers.
#[utoipa::path(
    get,
    path = "/v1/lanes",
    tag = "lanes",
    params(Wanted),
    responses((status = 200, description = "A page of lanes", body = Page<LaneShown>))
)]
pub(super) async fn list(
    operator: Operator,
    request: HttpRequest,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let wanted: Wanted = body::query(&request)?;
    let limit = page::limit(wanted.limit);
    let after = match wanted.cursor.as_deref().map(place::<2>).transpose()? {
        Some([room, peer]) => Some((RoomUri::parse(&room).map_err(misfit)?, Domain::parse(&peer).map_err(misfit)?)),
        None => None,
    };
    let status = wanted.state.map(|state| match state {
        State::Open => LaneStatus::Open,
        State::Parked => LaneStatus::Parked,
    });
    let filter = outbox::Wanted { after, room: wanted.room, status, peer: wanted.peer };
    let read = move |conn: &mut _| outbox::page(conn, &filter, limit + 1);
    let rows = gateway.view(operator, AdminAct::ViewLanes, read).await?;
    let lanes = rows.into_iter().map(|row| LaneShown::of(row, gateway.peers().list())).collect();
    let page = page::page(lanes, limit, |last: &LaneShown| cursor(&[last.room.as_str(), last.peer.as_str()]));
    Ok(Reply::json(StatusCode::OK, &page, None)?.into())
}

/// Show a lane
#[utoipa::path(
    get,
    path = "/v1/lanes/{room}/{peer}",
    tag = "lanes",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("peer" = String, Path, description = "Provider domain")
    ),
    responses((status = 200, description = "The lane", body = Detail))
)]
pub(super) async fn show(
    operator: Operator,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let Lane { room, peer } = lane(&path)?;
    let read = move |conn: &mut _| {
        let Some(row) = outbox::find(conn, &room, &peer)? else { return Ok(None) };
        Ok::<_, StoreError>(Some((row, outbox::pending(conn, &room, &peer, SHOWN)?)))
    };
    let found = gateway.view(operator, AdminAct::ViewLanes, read).await?;
    let (row, owed) = found.ok_or(GatewayError::NotFound)?;
    let lane = LaneShown::of(row, gateway.peers().list());
    let detail = Detail { lane, messages: owed.into_iter().map(Message::from).collect() };
    Ok(Reply::json(StatusCode::OK, &detail, None)?.into())
}

/// Try a lane again
///
/// Now, parked or not; the same bytes.
#[utoipa::path(
    post,
    path = "/v1/lanes/{room}/{peer}/retry",
    tag = "lanes",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("peer" = String, Path, description = "Provider domain")
    ),
    request_body(content = Retry),
    responses((status = 200, description = "It is tried", body = LaneChanged))
)]
pub(super) async fn retry(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    change(post, path, gateway, |body| {
        let Retry { reason } = json(body)?;
        Ok((LaneChange::Retry, reason))
    })
    .await
}

/// Leave out what a parked lane is stuck on
///
/// For good: the provider never gets it. The record says which events, who decided so, and why.
#[utoipa::path(
    post,
    path = "/v1/lanes/{room}/{peer}/skip",
    tag = "lanes",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("peer" = String, Path, description = "Provider domain")
    ),
    request_body(content = Skip),
    responses((status = 200, description = "It is left out, and the lane goes on", body = LaneChanged))
)]
pub(super) async fn skip(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    change(post, path, gateway, |body| {
        let Skip { reason, through } = json(body)?;
        Ok((LaneChange::Skip(through), reason))
    })
    .await
}

/// Send a room's events once more
///
/// What the provider was ever owed from one event on, byte for byte; it drops what it has.
#[utoipa::path(
    post,
    path = "/v1/lanes/{room}/{peer}/resend",
    tag = "lanes",
    params(
        ("room" = String, Path, description = "Room identifier, percent-encoded"),
        ("peer" = String, Path, description = "Provider domain")
    ),
    request_body(content = Resend),
    responses((status = 200, description = "They are owed again", body = LaneChanged))
)]
pub(super) async fn resend(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    change(post, path, gateway, |body| {
        let Resend { reason, from } = json(body)?;
        Ok((LaneChange::Resend(from), reason))
    })
    .await
}

async fn change(
    post: Post,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
    read: fn(&Bytes) -> Result<(LaneChange, String), Problem>,
) -> Result<HttpResponse, Problem> {
    let lane = lane(&path)?;
    post.once(async move |once, operator, body| {
        let (change, reason) = read(&body)?;
        Ok(gateway.change_lane(once, operator, lane, change, worded(reason)?).await?)
    })
    .await
}

fn lane(path: &(String, String)) -> Result<Lane, Problem> {
    let malformed = || Problem::Malformed("the path names no room and provider".to_owned());
    let (room, peer) = path;
    match (RoomUri::parse(room), Domain::parse(peer)) {
        (Ok(room), Ok(peer)) => Ok(Lane { room, peer }),
        (Err(_), _) | (_, Err(_)) => Err(malformed()),
    }
}
