use std::sync::Arc;
use std::time::Duration;

use portcullis_core::mls::Leaf;
use portcullis_core::wire::uri::RoomUri;
use portcullis_store::leaves::{self, Whose};
use portcullis_store::restrictions::{self, GoneLeaf, Grounds, Imposed, Place, Restriction, Restrictions};
use portcullis_store::{Store, StoreError, backlog, follower, overview, rooms};
use uuid::Uuid;

use crate::harness::*;

fn grounds(reason: &str) -> Grounds {
    Grounds {
        by: "operator:ops".to_owned(),
        reason: reason.to_owned(),
        case: "CASE-7".to_owned(),
        policies: vec!["admin.moderate-room".to_owned(), "mine".to_owned()],
        decision: Some(Uuid::from_u128(7)),
    }
}

fn impose(store: &Store, place: &Place, restriction: &Restriction, reason: &str) -> Imposed {
    let (place, restriction, grounds) = (place.clone(), restriction.clone(), grounds(reason));
    let done = store.write("x", move |tx| restrictions::impose(tx, &place, &restriction, &grounds, NOW));
    done.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn lift(store: &Store, place: &Place, restriction: &Restriction) -> bool {
    let (place, restriction) = (place.clone(), restriction.clone());
    let done = store.write("x", move |tx| restrictions::lift(tx, &place, &restriction, NOW));
    done.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn settle(store: &Store, place: &Place, restriction: &Restriction) {
    let (place, restriction) = (place.clone(), restriction.clone());
    let done = store.write("x", move |tx| restrictions::settle(tx, &place, &restriction, NOW));
    done.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

fn of(store: &Store, room: &RoomUri) -> Restrictions {
    store.read(|conn| restrictions::restrictions(conn, room)).unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn at(store: &Store, place: &Place) -> Vec<Imposed> {
    store.read(|conn| restrictions::at(conn, place, None, 100)).unwrap_or_else(|error: StoreError| panic!("{error:?}"))
}

fn ban() -> Restriction {
    Restriction::Ban(user("bob"))
}

on_both! {
    fn what_is_imposed_twice_stands_as_it_was_imposed_first_and_after_a_lift_as_it_is_imposed_then(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let place = Place::from(&room);
        let first = impose(&store, &place, &ban(), "first");
        assert_eq!((first.grounds.clone(), first.owed, first.ended_at), (grounds("first"), true, None));
        assert_eq!(impose(&store, &place, &ban(), "second"), first);
        assert!(of(&store, &room).barred.contains(&user("bob")));
        assert!(lift(&store, &place, &ban()));
        assert!(!lift(&store, &place, &ban()));
        assert_eq!(of(&store, &room), Restrictions::default());
        let [ended] = &at(&store, &place)[..] else { panic!("it is kept") };
        assert_eq!((ended.ended_at, ended.owed), (Some(NOW), false));
        assert_eq!(impose(&store, &place, &ban(), "third").grounds.reason, "third");
        assert_eq!(at(&store, &place).len(), 1);
    }

    fn a_ban_stays_once_the_clients_are_out_and_a_kick_is_over_then(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let (place, kick) = (Place::from(&room), Restriction::Kick(user("eve")));
        let device = Restriction::Leaf(GoneLeaf::new(device("dora", "phone"), vec![7; 32]));
        for restriction in [&ban(), &kick, &device] {
            impose(&store, &place, restriction, "out");
        }
        assert_eq!(of(&store, &room).owed.len(), 3);
        assert_eq!(store.read(restrictions::owing).unwrap(), std::slice::from_ref(&place));
        for restriction in [&ban(), &kick, &device] {
            settle(&store, &place, restriction);
        }
        let after = of(&store, &room);
        assert!(after.owed.is_empty() && after.here.contains(&ban()) && after.here.len() == 1);
        assert!(after.barred.contains(&user("bob")) && !after.barred.contains(&user("eve")));
        assert_eq!(store.read(restrictions::owing).unwrap(), []);
        let done: Vec<_> = at(&store, &place).into_iter().map(|it| (it.committed_at, it.ended_at)).collect();
        assert_eq!(done, [(Some(NOW), None), (Some(NOW), Some(NOW)), (Some(NOW), Some(NOW))]);
    }

    fn what_is_imposed_everywhere_holds_in_every_room_those_to_come_included(db) {
        let store = db.open();
        let (room, seen) = active_room(&store, "clubhouse");
        let provider = Restriction::Provider(domain("a"));
        impose(&store, &Place::Everywhere, &provider, "all of them");
        let moved = store.read(|conn| rooms::head(conn, &room)).unwrap().unwrap();
        assert_eq!(moved.version, seen.version + 1);
        let (later, _) = active_room(&store, "later");
        for room in [&room, &later] {
            let imposed = of(&store, room);
            assert!(imposed.barred.contains(&user("bob")) && imposed.owed.is_empty(), "{imposed:?}");
        }
        assert_eq!(store.read(restrictions::owing).unwrap(), [Place::Everywhere]);
        let (uri, of_all) = (room.clone(), provider.clone());
        store
            .write("x", move |tx| restrictions::spread(tx, &uri, &of_all, &grounds("all of them"), NOW))
            .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert!(lift(&store, &Place::Everywhere, &provider));
        assert!([&room, &later].iter().all(|room| of(&store, room) == Restrictions::default()));
        assert_eq!(store.read(restrictions::owing).unwrap(), []);
    }

    fn clients_and_users_that_are_deleted_stand_only_in_the_rooms_that_they_are_in(db) {
        let store = db.open();
        let ((room, seen), (other, untouched)) = (active_room(&store, "clubhouse"), active_room(&store, "other"));
        let leaves: Vec<Arc<Leaf>> = (0..2).map(|index| Arc::new(leaf(index, "bob", &format!("phone{index}")))).collect();
        let (uri, all) = (room.clone(), leaves.clone());
        store.write("x", move |tx| leaves::record(tx, &uri, 1, &all)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let gone = [Restriction::Device(device("bob", "phone0")), Restriction::Deprovisioned(user("bob"))];
        for restriction in &gone {
            impose(&store, &Place::Everywhere, restriction, "lost");
        }
        let version = |room: &RoomUri| store.read(|conn| rooms::head(conn, room)).unwrap().unwrap().version;
        assert_eq!((version(&room), version(&other)), (seen.version, untouched.version));
        assert_eq!(of(&store, &room), Restrictions::default());
        let taken = store.write("x", |tx| {
            restrictions::take_out(tx, Whose::User(&user("bob")), Some(&user("bob")), &grounds("lost"), NOW)
        });
        taken.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!((version(&room), version(&other)), (seen.version + 1, untouched.version));
        let imposed = of(&store, &room);
        assert!(leaves.iter().all(|leaf| imposed.is_gone(leaf)) && imposed.barred.contains(&user("bob")));
        assert!(!imposed.is_gone(&Leaf { signature_key: vec![9; 32], ..leaf(0, "bob", "phone0") }));
        assert_eq!((imposed.owed.len(), of(&store, &other)), (3, Restrictions::default()));
        // What was a user's is over when it is registered again; its former leaves go all the same.
        assert!(lift(&store, &Place::Everywhere, &gone[1]));
        assert!(!store.read(|conn| restrictions::is_in_force(conn, &Place::Everywhere, &gone[1])).unwrap());
        let imposed = of(&store, &room);
        assert_eq!((imposed.owed.len(), imposed.barred.is_empty()), (2, true));
        // What every room was looked at for is still in force.
        settle(&store, &Place::Everywhere, &gone[0]);
        assert!(store.read(|conn| restrictions::is_in_force(conn, &Place::Everywhere, &gone[0])).unwrap());
    }

    fn what_a_room_has_of_its_own_stays_when_it_is_lifted_everywhere(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let removal = Restriction::Removal(user("bob"));
        impose(&store, &Place::Everywhere, &removal, "everywhere");
        let uri = room.clone();
        let of_all = removal.clone();
        store
            .write("x", move |tx| restrictions::spread(tx, &uri, &of_all, &grounds("everywhere"), NOW))
            .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert!(at(&store, &Place::from(&room))[0].spread);
        let own = impose(&store, &Place::from(&room), &removal, "here");
        assert_eq!((own.spread, own.grounds.reason.as_str()), (false, "here"));
        assert!(lift(&store, &Place::Everywhere, &removal));
        assert!(of(&store, &room).barred.contains(&user("bob")));
    }

    fn what_is_imposed_is_read_page_by_page_and_found_by_its_name(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let place = Place::from(&room);
        let leaf = Restriction::Leaf(GoneLeaf::new(device("dora", "phone"), vec![7; 32]));
        let all = [Restriction::Freeze, Restriction::Mute(user("bob")), Restriction::Mute(user("eve")), ban(), leaf];
        for restriction in &all {
            impose(&store, &place, restriction, "x");
            assert_eq!(Restriction::named(restriction.name(), restriction.subject()).as_ref(), Some(restriction));
        }
        assert_eq!(Restriction::named("ban", "nobody"), None);
        let mut read: Vec<Restriction> = Vec::new();
        loop {
            let page = store.read(|conn| restrictions::at(conn, &place, read.last(), 2)).unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 2);
            read.extend(page.into_iter().map(|imposed: Imposed| imposed.restriction));
        }
        assert_eq!(read, all);
    }

    fn an_alarm_is_raised_once_and_counted_until_the_commit_comes(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let place = Place::from(&room);
        impose(&store, &place, &ban(), "out");
        impose(&store, &place, &Restriction::Freeze, "quiet");
        let late = NOW.plus(Duration::from_secs(1));
        assert_eq!(store.read(|conn| restrictions::overdue(conn, NOW)).unwrap(), []);
        let overdue = store.read(|conn| restrictions::overdue(conn, late)).unwrap();
        assert_eq!(overdue.iter().map(|it| it.restriction.clone()).collect::<Vec<_>>(), [ban()]);
        let raise = || {
            let place = place.clone();
            let raised = store.write("x", move |tx| restrictions::alarm(tx, &place, &ban(), late));
            raised.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
        };
        assert_eq!((raise(), raise()), (true, false));
        assert_eq!(store.read(|conn| restrictions::overdue(conn, late)).unwrap(), []);
        let counted = || {
            let all = store.read(overview::overview).unwrap();
            let waits = store.read(|conn| backlog::backlog(conn, "otlp")).unwrap();
            assert_eq!((waits.owed_expulsions, waits.overdue_expulsions), (all.expulsions_owed, all.expulsions_overdue));
            (all.expulsions_owed, all.expulsions_overdue)
        };
        assert_eq!(counted(), (1, 1));
        settle(&store, &place, &ban());
        assert_eq!(counted(), (0, 0));
    }

    fn an_obstacle_is_news_once_and_moves_the_room(db) {
        let store = db.open();
        let (room, _) = active_room(&store, "clubhouse");
        let place = Place::from(&room);
        impose(&store, &place, &ban(), "out");
        let version = || store.read(|conn| rooms::head(conn, &room)).unwrap().unwrap().version;
        let obstruct = |why: &'static str| {
            let place = place.clone();
            let new = store.write("x", move |tx| restrictions::obstruct(tx, &place, &ban(), why));
            new.unwrap_or_else(|error: StoreError| panic!("{error:?}"))
        };
        let before = version();
        assert_eq!((obstruct("room.min_active"), version()), (true, before + 1));
        assert_eq!((obstruct("room.min_active"), version()), (false, before + 1));
        assert_eq!(of(&store, &room).owed[&ban()], "room.min_active");
    }

    fn a_room_of_another_hub_is_moderated_before_its_group_is_known(db) {
        let store = db.open();
        let away = room("away");
        let place = Place::from(&away);
        let unknown = place.clone();
        let refused = store.write("x", move |tx| restrictions::impose(tx, &unknown, &ban(), &grounds("out"), NOW));
        assert!(matches!(refused, Err(StoreError::NoRoom)));
        let known = away.clone();
        store.write("x", move |tx| follower::know(tx, &known, NOW)).unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert!(!impose(&store, &place, &ban(), "out").owed);
        assert_eq!(store.read(|conn| follower::room(conn, &away)).unwrap().unwrap().version, 1);
        assert!(of(&store, &away).barred.contains(&user("bob")));
    }
}
