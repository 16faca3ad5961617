use std::sync::Arc;

use portcullis_core::mls::Leaf;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::leaves::{self, Moved, Whose};
use portcullis_store::restrictions::GoneLeaf;
use portcullis_store::{Store, StoreError, rooms};

use crate::harness::*;

fn found(store: &Store, whose: Whose<'_>) -> Vec<(RoomUri, GoneLeaf)> {
    store.read(|conn| leaves::find(conn, whose)).unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn unrecorded(store: &Store) -> Vec<RoomUri> {
    store.read(|conn| leaves::unrecorded(conn, None, 10)).unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn arcs<const N: usize>(leaves: [Leaf; N]) -> Vec<Arc<Leaf>> {
    leaves.into_iter().map(Arc::new).collect()
}

on_both! {
    fn the_leaves_of_a_room_follow_its_commits_and_are_found_by_client_user_and_provider(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        assert_eq!(unrecorded(&store), std::slice::from_ref(&room));
        let before = arcs([leaf(0, "alice", "phone"), leaf(1, "bob", "phone")]);
        let (uri, first) = (room.clone(), before.clone());
        store.write("x", move |tx| leaves::record(tx, &uri, 1, &first)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(unrecorded(&store), []);
        let after = arcs([leaf(0, "alice", "phone"), leaf(1, "bob", "laptop"), leaf(2, "bob", "tablet")]);
        let (uri, moved) = (room.clone(), Moved::between(&before, &after));
        let advanced = store.write("x", move |tx| {
            rooms::advance_epoch(tx, &uri, seen, &state(2), NOW)?;
            leaves::follow(tx, &uri, &moved)
        });
        advanced.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(unrecorded(&store), []);
        let is = |name: &str| (room.clone(), GoneLeaf::new(device("bob", name), leaf(0, "bob", name).signature_key));
        assert_eq!(found(&store, Whose::Client(&device("bob", "phone"))), []);
        assert_eq!(found(&store, Whose::Client(&device("bob", "laptop"))), [is("laptop")]);
        let of_bob = found(&store, Whose::User(&user("bob")));
        assert!(of_bob.len() == 2 && of_bob.contains(&is("laptop")) && of_bob.contains(&is("tablet")));
        assert_eq!(found(&store, Whose::Provider(&user("bob").domain())).len(), 3);
    }

    fn rooms_that_are_behind_are_told_page_by_page(db) {
        let store = db.open();
        let rooms: Vec<RoomUri> = ["a", "b", "c"].map(|name| active_room(&store, name).0).into();
        let page = |after: Option<&RoomUri>| store.read(|conn| leaves::unrecorded(conn, after, 2)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((page(None), page(Some(&rooms[1])), page(Some(&rooms[2]))), (rooms[..2].to_vec(), rooms[2..].to_vec(), vec![]));
    }

    fn a_room_that_moved_on_without_its_leaves_is_behind_until_it_is_looked_at(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        let uri = room.clone();
        let advanced = store.write("x", move |tx| {
            rooms::advance_epoch(tx, &uri, seen, &state(2), NOW)?;
            leaves::follow(tx, &uri, &Moved::between(&[], &arcs([leaf(1, "bob", "phone")])))
        });
        advanced.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(unrecorded(&store), std::slice::from_ref(&room));
        let all = arcs([leaf(0, "alice", "phone"), leaf(1, "bob", "phone")]);
        let (uri, late) = (room.clone(), all.clone());
        let refused = store.write("x", move |tx| leaves::record(tx, &uri, 1, &late));
        assert!(matches!(refused, Err(StoreError::EpochMoved { epoch: 2, .. })));
        let uri = room.clone();
        store.write("x", move |tx| leaves::record(tx, &uri, 2, &all)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((unrecorded(&store), found(&store, Whose::User(&user("alice"))).len()), (vec![], 1));
    }
}
