//! From which hosts rooms of ours say that files are downloaded. It follows each commit in its own transaction.

use std::collections::BTreeSet;

use diesel::prelude::*;
use portcullis_core::room::AssetHost;
use portcullis_core::wire::uri::{Domain, RoomUri};

use crate::convert::domain;
use crate::schema::room_asset_hosts;
use crate::{Conn, StoreError, Tx};

/// Has a room name these hosts, and no others.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn replace(tx: &mut Tx<'_>, room: &RoomUri, hosts: &BTreeSet<AssetHost>) -> Result<(), StoreError> {
    forget(tx, room)?;
    // A room has few of them.
    for (provider, host) in hosts {
        let row = (
            room_asset_hosts::room.eq(room.as_str()),
            room_asset_hosts::provider.eq(provider.as_str()),
            room_asset_hosts::host.eq(host.as_str()),
        );
        db!(tx, |c| diesel::insert_into(room_asset_hosts::table).values(row).execute(c))?;
    }
    Ok(())
}

/// Has a room name no hosts.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub(crate) fn forget(tx: &mut Tx<'_>, room: &RoomUri) -> Result<(), StoreError> {
    let former = room_asset_hosts::table.filter(room_asset_hosts::room.eq(room.as_str()));
    db!(tx, |c| diesel::delete(former).execute(c))?;
    Ok(())
}

/// The providers whose users keep files at this host, as any room of ours says.
///
/// # Errors
///
/// [`StoreError`] of the database.
pub fn providers(conn: &mut Conn, host: &Domain) -> Result<BTreeSet<Domain>, StoreError> {
    let query = room_asset_hosts::table
        .filter(room_asset_hosts::host.eq(host.as_str()))
        .select(room_asset_hosts::provider)
        .distinct();
    db!(conn, |c| query.load::<String>(c))?.iter().map(|provider| domain(provider)).collect()
}
