use diesel::prelude::*;
use portcullis_core::wire::uri::{ClientUri, RoomUri};

use super::{Place, Restriction};
use crate::convert::{client, room as room_uri};
use crate::schema::followed;
use crate::{Conn, StoreError};

/// Devices of ours in rooms of other hubs that a restriction takes out there.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn expelled(
    conn: &mut Conn,
    place: &Place,
    restriction: &Restriction,
) -> Result<Vec<(RoomUri, ClientUri)>, StoreError> {
    let all = followed::table.select((followed::room, followed::device)).order((followed::room, followed::device));
    let rows = match place {
        Place::Room(room) => {
            let own = all.filter(followed::room.eq(room.as_str()));
            db!(conn, |c| own.load::<(String, String)>(c))?
        }
        Place::Everywhere => db!(conn, |c| all.load::<(String, String)>(c))?,
    };
    let mut expelled = Vec::new();
    for (room, device) in rows {
        let device = client(&device)?;
        if device.user().is_some_and(|user| restriction.ends_rights_of(&user)) {
            expelled.push((room_uri(&room)?, device));
        }
    }
    Ok(expelled)
}
