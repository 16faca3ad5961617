//! Which clients are in the groups of our rooms: what the groups say, found by client, user and provider. It follows each
//! commit in its own transaction; a room for which it does not, because another build has moved it on, is
//! [`unrecorded`] until it is looked at.

use std::sync::Arc;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use portcullis_core::mls::Leaf;
use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};

use crate::convert::{client, room as room_uri, to_db};
use crate::effects::Effects;
use crate::restrictions::GoneLeaf;
use crate::rooms::{self, RoomStatus, status_code};
use crate::schema::{room_leaves, rooms as rooms_table};
use crate::{Conn, StoreError, Tx};

/// Most leaves of one statement.
const ROWS: usize = 500;

/// Whose leaves are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Of this client.
    Client(&'a ClientUri),
    /// Of all clients of this user.
    User(&'a UserUri),
    /// Of all users of this provider.
    Provider(&'a Domain),
}

/// What a commit changes of the leaves of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    gone: Vec<Arc<Leaf>>,
    come: Vec<Arc<Leaf>>,
}

struct Row<'a> {
    room: &'a str,
    signature_key: &'a [u8],
    client: &'a str,
    user_uri: &'a str,
    provider: String,
}

row!(Row<'_> => room_leaves (room, signature_key, client, user_uri, provider));

impl Moved {
    /// What is different in `after`; both ascend by their leaf index.
    pub fn between(before: &[Arc<Leaf>], after: &[Arc<Leaf>]) -> Self {
        let mut moved = Self::default();
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            match (before.peek(), after.peek()) {
                (None, None) => return moved,
                (Some(old), Some(new)) if old.index == new.index => {
                    if !Arc::ptr_eq(old, new) && old != new {
                        moved.gone.push(Arc::clone(old));
                        moved.come.push(Arc::clone(new));
                    }
                    before.next();
                    after.next();
                }
                (Some(old), new) if new.is_none_or(|new| old.index < new.index) => {
                    moved.gone.push(Arc::clone(old));
                    before.next();
                }
                (_, Some(new)) => {
                    moved.come.push(Arc::clone(new));
                    after.next();
                }
                (Some(_), None) => return moved,
            }
        }
    }
}

/// Has the leaves of a room of ours follow a commit, in the transaction that ends its epoch.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn follow(tx: &mut Tx<'_>, room: &RoomUri, moved: &Moved) -> Result<(), StoreError> {
    // One that comes may stand here already, where another build has left the rows behind.
    let keys: Vec<&[u8]> = moved.gone.iter().chain(&moved.come).map(|leaf| leaf.signature_key.as_slice()).collect();
    for keys in keys.chunks(ROWS) {
        let rows = room_leaves::table
            .filter(room_leaves::room.eq(room.as_str()))
            .filter(room_leaves::signature_key.eq_any(keys.to_vec()));
        db!(tx, |c| diesel::delete(rows).execute(c))?;
    }
    insert(tx, room, &moved.come)
}

/// Has the leaves of a room of ours be those of its group in `epoch`.
///
/// # Errors
///
/// [`StoreError::EpochMoved`] when the room is in another epoch, [`StoreError::NoRoom`] when there is none.
pub fn record(tx: &mut Tx<'_>, room: &RoomUri, epoch: u64, leaves: &[Arc<Leaf>]) -> Result<(), StoreError> {
    let at = to_db(epoch)?;
    let target = rooms_table::table
        .filter(rooms_table::uri.eq(room.as_str()))
        .filter(rooms_table::epoch.eq(at))
        .filter(rooms_table::status.eq(status_code(RoomStatus::Active)));
    if db!(tx, |c| diesel::update(target).set(rooms_table::leaves_epoch.eq(at)).execute(c))? == 0 {
        return Err(rooms::moved(tx, room)?);
    }
    let former = room_leaves::table.filter(room_leaves::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(former).execute(c))?;
    insert(tx, room, leaves)
}

/// Rooms of ours whose leaves do not stand here as their groups have them, by their names; at most `limit` behind `after`.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn unrecorded(conn: &mut Conn, after: Option<&RoomUri>, limit: u32) -> Result<Vec<RoomUri>, StoreError> {
    // Written out, for only then do the databases use the index of just these rooms.
    let behind = sql::<Bool>("status = 1 AND leaves_epoch <> epoch");
    let query = rooms_table::table
        .filter(behind)
        .filter(rooms_table::uri.gt(after.map_or("", RoomUri::as_str)))
        .order(rooms_table::uri)
        .limit(limit.into())
        .select(rooms_table::uri);
    db!(conn, |c| query.load::<String>(c))?.iter().map(|room| room_uri(room)).collect()
}

/// The leaves in rooms of ours, in the order of the rooms.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn find(conn: &mut Conn, whose: Whose<'_>) -> Result<Vec<(RoomUri, GoneLeaf)>, StoreError> {
    let columns = (room_leaves::room, room_leaves::client, room_leaves::signature_key);
    let all = room_leaves::table.order((room_leaves::room, room_leaves::signature_key)).select(columns);
    type Found = (String, String, Vec<u8>);
    let rows = match whose {
        Whose::Client(of) => {
            let own = all.filter(room_leaves::client.eq(of.as_str()));
            db!(conn, |c| own.load::<Found>(c))?
        }
        Whose::User(of) => {
            let own = all.filter(room_leaves::user_uri.eq(of.as_str()));
            db!(conn, |c| own.load::<Found>(c))?
        }
        Whose::Provider(of) => {
            let own = all.filter(room_leaves::provider.eq(of.as_str()));
            db!(conn, |c| own.load::<Found>(c))?
        }
    };
    rows.into_iter().map(|(room, of, key)| Ok((room_uri(&room)?, GoneLeaf::new(client(&of)?, key)))).collect()
}

fn insert(tx: &mut Tx<'_>, room: &RoomUri, leaves: &[Arc<Leaf>]) -> Result<(), StoreError> {
    let rows: Vec<Row<'_>> = leaves
        .iter()
        .map(|leaf| Row {
            room: room.as_str(),
            signature_key: &leaf.signature_key,
            client: leaf.client.as_str(),
            user_uri: leaf.user.as_str(),
            provider: leaf.user.domain().to_string(),
        })
        .collect();
    let mut all = Effects::default();
    all.insert(rows);
    Ok(tx.write(all)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: u32, of: &str, key: u8) -> Arc<Leaf> {
        let client = ClientUri::parse(&format!("mimi://a.example/d/{of}/phone")).unwrap();
        let user = UserUri::parse(&format!("mimi://a.example/u/{of}")).unwrap();
        Arc::new(Leaf { index, client, user, signature_key: vec![key], says: Arc::default() })
    }

    #[test]
    fn what_moves_between_two_epochs_is_what_is_different() {
        let [alice, bob, eve] = [leaf(0, "alice", 1), leaf(2, "bob", 2), leaf(3, "eve", 3)];
        let [cathy, renewed, dora] = [leaf(1, "cathy", 4), leaf(3, "eve", 5), leaf(4, "dora", 6)];
        let before = [alice, bob.clone(), eve.clone()];
        let after = [leaf(0, "alice", 1), cathy.clone(), renewed.clone(), dora.clone()];
        assert_eq!(Moved::between(&after, &after), Moved::default());
        let (old, new) = (vec![bob, eve], vec![cathy, renewed, dora]);
        assert_eq!(Moved::between(&before, &after), Moved { gone: old.clone(), come: new.clone() });
        assert_eq!(Moved::between(&after, &before), Moved { gone: new, come: old });
    }
}
