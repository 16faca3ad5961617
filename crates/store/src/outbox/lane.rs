use diesel::prelude::*;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{Domain, RoomUri};

use crate::StoreError;
use crate::convert::{domain, millis, number, room};
use crate::schema::outbox_lanes;

/// Whether a lane is being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneStatus {
    /// It is delivered when there is something to deliver.
    Open,
    /// The peer refused its first batch for good: a person must look at it. Nothing overtakes.
    Parked,
}

impl LaneStatus {
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Open => 0,
            Self::Parked => 1,
        }
    }
}

/// A lane as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRow {
    /// The room.
    pub room: RoomUri,
    /// Who is owed.
    pub peer: Domain,
    /// The provider of ours that sends.
    pub as_domain: Domain,
    /// Whether it is being delivered.
    pub status: LaneStatus,
    /// Position of the last message that was acknowledged.
    pub head: u64,
    /// Position of the last message that is owed.
    pub tail: u64,
    /// Position of the last message of the batch that is being tried; `head` or less when none is.
    pub frozen: u64,
    /// How often this batch was tried.
    pub attempts: u64,
    /// When this batch was tried first.
    pub first_tried: Millis,
    /// When it is tried next.
    pub next_at: Millis,
    /// HTTP status of the last refusal; 0 for none.
    pub http_status: u16,
    /// What went wrong last; empty for nothing.
    pub error: String,
}

/// A message that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its position in the lane; the first is 1.
    pub position: u64,
    /// Number of the event in the room.
    pub seq: u64,
    /// Its length in octets.
    pub bytes: u64,
}

pub(super) type Row = (String, String, String, i32, i64, i64, i64, i64, i64, i64, i32, String);

pub(super) const COLUMNS: (
    outbox_lanes::room,
    outbox_lanes::peer,
    outbox_lanes::as_domain,
    outbox_lanes::status,
    outbox_lanes::head,
    outbox_lanes::tail,
    outbox_lanes::frozen,
    outbox_lanes::attempts,
    outbox_lanes::first_tried,
    outbox_lanes::next_at,
    outbox_lanes::http_status,
    outbox_lanes::error,
) = (
    outbox_lanes::room,
    outbox_lanes::peer,
    outbox_lanes::as_domain,
    outbox_lanes::status,
    outbox_lanes::head,
    outbox_lanes::tail,
    outbox_lanes::frozen,
    outbox_lanes::attempts,
    outbox_lanes::first_tried,
    outbox_lanes::next_at,
    outbox_lanes::http_status,
    outbox_lanes::error,
);

pub(super) fn read(row: Row) -> Result<LaneRow, StoreError> {
    let (uri, peer, as_domain, status, head, tail, frozen, attempts, first_tried, next_at, http_status, error) = row;
    Ok(LaneRow {
        room: room(&uri)?,
        peer: domain(&peer)?,
        as_domain: domain(&as_domain)?,
        status: match status {
            0 => LaneStatus::Open,
            1 => LaneStatus::Parked,
            _ => return Err(StoreError::Corrupt("lane status")),
        },
        head: number(head)?,
        tail: number(tail)?,
        frozen: number(frozen)?,
        attempts: number(attempts)?,
        first_tried: millis(first_tried)?,
        next_at: millis(next_at)?,
        http_status: u16::try_from(http_status).map_err(|_| StoreError::Corrupt("status"))?,
        error,
    })
}

/// The one lane of a room and a peer.
#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn lane<'a>(room: &'a str, peer: &'a str) -> _ {
    outbox_lanes::table.filter(outbox_lanes::room.eq(room)).filter(outbox_lanes::peer.eq(peer))
}
