//! What our devices are sent. Positions are global and gapless; a device reads its own rows after a position it knows.

use diesel::dsl::{self, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use portcullis_core::time::Millis;
use portcullis_core::wire::uri::{ClientUri, RoomUri};
use uuid::Uuid;

use crate::convert::{client, millis, number, room, time, to_db};
use crate::effects::Effects;
use crate::events::{EventKind, unsealed};
use crate::heads::{self, Head, Held};
use crate::later::{PayloadRow, StagedRow};
use crate::schema::{events, stream_payloads, stream_rows, stream_stage};
use crate::{Conn, StoreError, Topic, Tx};

/// Something to be sent to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamItem {
    /// The room it is about, where it is about one.
    pub room: Option<RoomUri>,
    /// What the payload is.
    pub kind: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// When it happened.
    pub at: Millis,
}

impl StreamItem {
    /// The room as it stands in the database.
    pub(crate) fn room_name(&self) -> &str {
        self.room.as_ref().map_or("", RoomUri::as_str)
    }
}

/// An item of a device's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Where it stands; the first is 1. Rows of other devices stand between those of one.
    pub position: u64,
    /// The item.
    pub item: StreamItem,
}

/// Sends `item` to each of `devices`; the payload is kept once. It can be read after the sequencer has run.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn push(tx: &mut Tx<'_>, devices: &[ClientUri], item: &StreamItem) -> Result<(), StoreError> {
    if devices.is_empty() {
        return Ok(());
    }
    let id = Uuid::now_v7();
    tx.later.payloads.push(PayloadRow {
        id: id.as_bytes().to_vec(),
        room: item.room_name().to_owned(),
        kind: item.kind.clone(),
        payload: item.payload.clone(),
        at: time(item.at)?,
    });
    tx.later.staged.extend(devices.iter().map(|device| StagedRow {
        device: device.to_string(),
        payload: Some(id.as_bytes().to_vec()),
        room: None,
        seq: None,
    }));
    Ok(())
}

/// Sends the event `seq` of a room to each of `devices`. It can be read after the sequencer has run.
///
/// # Errors
///
/// [`StoreError::OutOfRange`].
pub fn push_event<'d>(
    tx: &mut Tx<'_>,
    devices: impl IntoIterator<Item = &'d ClientUri>,
    room: &RoomUri,
    seq: u64,
) -> Result<(), StoreError> {
    let seq = to_db(seq)?;
    tx.later.staged.extend(devices.into_iter().map(|device| StagedRow {
        device: device.to_string(),
        payload: None,
        room: Some(room.to_string()),
        seq: Some(seq),
    }));
    Ok(())
}

/// Forgets what a device was to be sent, once the rest of the job is done: whoever holds the head of the streams waits for
/// no room. Positions of others stay as they are.
pub(crate) fn forget_later(tx: &mut Tx<'_>, device: &ClientUri) {
    tx.later.staged.retain(|row| row.device != device.as_str());
    tx.later.forgotten.push(device.to_string());
}

pub(crate) fn forget(conn: &mut Conn, devices: &[String]) -> Result<(), StoreError> {
    if devices.is_empty() {
        return Ok(());
    }
    heads::lock(conn, Head::Streams)?; // what is being given its position would come after this
    for device in devices {
        let staged = stream_stage::table.filter(stream_stage::device.eq(device));
        db!(conn, |c| diesel::delete(staged).execute(c))?;
        let rows = stream_rows::table.filter(stream_rows::device.eq(device));
        db!(conn, |c| diesel::delete(rows).execute(c))?;
    }
    Ok(())
}

/// Items of a device after position `after`, in order, at most `limit`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn read(conn: &mut Conn, device: &ClientUri, after: u64, limit: u32) -> Result<Vec<StreamRow>, StoreError> {
    type Payload = (String, String, Vec<u8>, i64);
    type Event = (String, i64, i32, Vec<u8>, i64);
    let payload = (stream_payloads::room, stream_payloads::kind, stream_payloads::payload, stream_payloads::at);
    let event = (events::room, events::seq, events::kind, events::fanout, events::accepted_at);
    let query = of_device(device.as_str(), to_db(after)?, limit.into()).select((
        stream_rows::position,
        payload.nullable(),
        event.nullable(),
    ));
    let rows = db!(conn, |c| query.load::<(i64, Option<Payload>, Option<Event>)>(c))?;
    rows.into_iter()
        .map(|(position, payload, event)| {
            let (uri, kind, payload, at) = match (payload, event) {
                (Some(payload), _) => payload,
                (None, Some((uri, seq, kind, fanout, at))) => {
                    let fanout = unsealed(conn, &uri, number(seq)?, fanout)?;
                    (uri, EventKind::from_code(kind)?.name().to_owned(), fanout, at)
                }
                (None, None) => return Err(StoreError::Corrupt("stream")),
            };
            let room = if uri.is_empty() { None } else { Some(room(&uri)?) };
            let item = StreamItem { room, kind, payload, at: millis(at)? };
            Ok(StreamRow { position: number(position)?, item })
        })
        .collect()
}

#[diesel::dsl::auto_type(no_type_alias)]
fn of_device<'d>(device: &'d str, after: i64, limit: i64) -> _ {
    let event: dsl::And<
        dsl::Eq<dsl::Nullable<events::room>, stream_rows::room>,
        dsl::Eq<dsl::Nullable<events::seq>, stream_rows::seq>,
    > = events::room.nullable().eq(stream_rows::room).and(events::seq.nullable().eq(stream_rows::seq));
    stream_rows::table
        .left_join(stream_payloads::table)
        .left_join(events::table.on(event))
        .filter(stream_rows::device.eq(device))
        .filter(stream_rows::position.gt(after))
        .order(stream_rows::position)
        .limit(limit)
}

/// As [`read`], but as many of them as have payloads of at most `bytes` together; one is always among them.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn read_within(
    conn: &mut Conn,
    device: &ClientUri,
    after: u64,
    limit: u32,
    bytes: u64,
) -> Result<Vec<StreamRow>, StoreError> {
    let sizes = of_device(device.as_str(), to_db(after)?, limit.into())
        .select(sql::<BigInt>("CAST(length(coalesce(stream_payloads.payload, events.fanout)) AS BIGINT)"));
    let mut left = bytes;
    let mut count = 0;
    for size in db!(conn, |c| sizes.load::<i64>(c))? {
        let within = left.checked_sub(number(size)?);
        if count > 0 && within.is_none() {
            break;
        }
        left = within.unwrap_or(0);
        count += 1;
    }
    if count == 0 { Ok(Vec::new()) } else { read(conn, device, after, count) }
}

/// The devices that something came for after position `after`, each with the last position of its own.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn devices_after(conn: &mut Conn, after: u64) -> Result<Vec<(ClientUri, u64)>, StoreError> {
    let query = stream_rows::table
        .filter(stream_rows::position.gt(to_db(after)?))
        .group_by(stream_rows::device)
        .select((stream_rows::device, diesel::dsl::max(stream_rows::position)));
    let rows = db!(conn, |c| query.load::<(String, Option<i64>)>(c))?;
    rows.into_iter().map(|(device, last)| Ok((client(&device)?, number(last.unwrap_or_default())?))).collect()
}

/// The last position that was given.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn last_position(conn: &mut Conn) -> Result<u64, StoreError> {
    Ok(heads::look(conn, Head::Streams)?.size)
}

/// Gives rows of a lane their positions at once where it holds the head, or stages them.
pub(crate) fn write(
    effects: &mut Effects<'_>,
    rows: Vec<StagedRow>,
    held: Option<Held>,
) -> Result<Option<Topic>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    if let Some(held) = held {
        place(effects, held, rows.into_iter())?;
        return Ok(Some(Topic::Streams));
    }
    effects.insert(rows);
    Ok(Some(Topic::Staged))
}

struct PositionedRow {
    position: i64,
    device: String,
    payload: Option<Vec<u8>>,
    room: Option<String>,
    seq: Option<i64>,
}

row!(PositionedRow => stream_rows (position, device, payload, room, seq));

/// Writes rows from the head on, and moves it.
fn place(effects: &mut Effects<'_>, held: Held, rows: impl Iterator<Item = StagedRow>) -> Result<(), StoreError> {
    let rows = (held.size + 1..)
        .zip(rows)
        .map(|(position, StagedRow { device, payload, room, seq })| {
            Ok(PositionedRow { position: to_db(position)?, device, payload, room, seq })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let size = held.size + rows.len() as u64;
    effects.insert(rows);
    heads::advance(effects, Head::Streams, Held { size, ..held })
}

/// Gives at most `limit` staged rows their positions. Gives their number.
pub(crate) fn sequence(tx: &mut Tx<'_>, limit: i64) -> Result<usize, StoreError> {
    let oldest = stream_stage::table.select(stream_stage::id).limit(1);
    if limit == 0 || db!(tx, |c| oldest.first::<i64>(c).optional())?.is_none() {
        return Ok(0); // so that an idle sequencer writes nothing
    }
    let held = heads::lock(tx, Head::Streams)?;
    type Row = (i64, String, Option<Vec<u8>>, Option<String>, Option<i64>);
    let staged = stream_stage::table.order(stream_stage::id).limit(limit).select((
        stream_stage::id,
        stream_stage::device,
        stream_stage::payload,
        stream_stage::room,
        stream_stage::seq,
    ));
    let staged = db!(tx, |c| staged.load::<Row>(c))?;
    if staged.is_empty() {
        return Ok(0);
    }
    let row = |(id, device, payload, room, seq)| (id, StagedRow { device, payload, room, seq });
    let (ids, rows): (Vec<i64>, Vec<_>) = staged.into_iter().map(row).unzip();
    let mut effects = Effects::default();
    place(&mut effects, held, rows.into_iter())?;
    tx.write(effects)?;
    let moved = stream_stage::table.filter(stream_stage::id.eq_any(&ids));
    db!(tx, |c| diesel::delete(moved).execute(c))?;
    tx.touch(Topic::Streams);
    Ok(ids.len())
}
