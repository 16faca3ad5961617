use portcullis_store::people::{self, Changed, PersonState, StoredGroup, StoredPerson};
use portcullis_store::{Store, StoreError, Tx};
use uuid::Uuid;

use crate::harness::*;

fn person(name: &str, number: u128) -> StoredPerson {
    StoredPerson {
        uri: user(name),
        id: Uuid::from_u128(number),
        user_name: name.to_owned(),
        external_id: format!("x-{name}"),
        state: PersonState::Active,
        content: "{}".to_owned(),
        facts: "{\"active\":true}".to_owned(),
        version: 1,
        created_at: NOW,
        changed_at: NOW,
        manager: (name == "b").then(|| Uuid::from_u128(1)),
        claims: String::new(),
    }
}

/// Keeps people in one change, and gives its number.
fn put(store: &Store, people: Vec<StoredPerson>) -> Result<u64, StoreError> {
    store.write("people", move |tx: &mut Tx<'_>| {
        let revision = people::hold(tx)?;
        people.iter().try_for_each(|person| people::put(tx, person, revision))?;
        Ok(revision)
    })
}

fn changed(store: &Store, since: u64) -> Vec<String> {
    let mut found: Vec<Changed> = Vec::new();
    loop {
        let after = found.last().map(|last| (last.revision, last.uri.as_str()));
        let page: Vec<_> = store.read(|conn| people::changed(conn, since, after, 2)).unwrap();
        if page.is_empty() {
            return found.into_iter().map(|changed| changed.uri.rsplit('/').next().unwrap().to_owned()).collect();
        }
        found.extend(page);
    }
}

on_both! {
    fn changes_of_people_are_read_in_their_order_and_each_once(db) {
        let store = db.open();
        let first = put(&store, vec![person("a", 1), person("b", 2), person("c", 3), person("d", 4), person("e", 5)]).unwrap();
        let second = put(&store, vec![person("b", 2)]).unwrap();
        assert!(second > first);
        assert_eq!(changed(&store, 0), ["a", "c", "d", "e", "b"]);
        assert_eq!(changed(&store, first), ["b"]);
        assert!(changed(&store, second).is_empty());
        let taken = put(&store, vec![person("f", 1)]);
        assert!(matches!(taken, Err(StoreError::Exists)));
        assert!(changed(&store, second).is_empty(), "what failed has changed nothing");
        let gone = StoredPerson { state: PersonState::Gone, id: Uuid::from_u128(9), user_name: String::new(), ..person("a", 1) };
        put(&store, vec![gone]).unwrap();
        let read = |conn: &mut _| {
            let found = (people::load(conn, Uuid::from_u128(1))?, people::named(conn, "a")?);
            Ok::<_, StoreError>((found, people::count(conn)?, people::of_user(conn, &user("a"))?.unwrap().state))
        };
        assert_eq!(store.read(read).unwrap(), ((None, None), 4, PersonState::Gone));
        assert_eq!(store.read(|conn| people::with_external_id(conn, "x-c", 9)).unwrap(), [person("c", 3)]);
        assert_eq!(store.read(|conn| people::managed_by(conn, Uuid::from_u128(1))).unwrap(), [Uuid::from_u128(2)]);
        let page: Vec<StoredPerson> = store.read(|conn| people::all(conn, None, 1, 2)).unwrap();
        assert_eq!(page.iter().map(|person| person.user_name.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    }

    fn people_are_in_groups_until_they_or_the_groups_go(db) {
        let store = db.open();
        put(&store, vec![person("a", 1), person("b", 2)]).unwrap();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let group = |number: u128, name: &str| StoredGroup {
            id: Uuid::from_u128(number),
            name: name.to_owned(),
            folded: name.to_lowercase(),
            external_id: String::new(),
            version: 1,
            created_at: NOW,
            changed_at: NOW,
        };
        let (traders, others) = (group(10, "Traders"), group(11, "Others"));
        let made = store.write("people", move |tx| {
            for group in [&traders, &others] {
                people::put_group(tx, group)?;
                people::add_members(tx, group.id, &[one, two])?;
                people::add_members(tx, group.id, &[two])?;
            }
            Ok::<_, StoreError>(())
        });
        made.unwrap();
        let members = |number| -> Vec<String> {
            let found = store.read(|conn| people::members(conn, Uuid::from_u128(number))).unwrap();
            found.into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(members(10), ["a", "b"]);
        assert_eq!(store.read(|conn| people::group_named(conn, "traders")).unwrap(), Some(group(10, "Traders")));
        let read = |conn: &mut _| {
            let ids = people::member_ids(conn, Uuid::from_u128(10))?;
            let among = people::members_among(conn, Uuid::from_u128(10), &[two, Uuid::from_u128(9)])?;
            let page: Vec<Uuid> = people::groups(conn, None, 1, 9)?.into_iter().map(|group| group.id).collect();
            let of_one = people::groups_with_member(conn, one)?.len();
            Ok::<_, StoreError>((ids, among, page, of_one, people::count_members(conn, Uuid::from_u128(10))?, people::count_groups(conn)?))
        };
        let expected = (vec![one, two], [two].into(), vec![Uuid::from_u128(11)], 2, 2, 2);
        assert_eq!(store.read(read).unwrap(), expected);
        store.write("people", move |tx| people::remove_members(tx, Some(Uuid::from_u128(10)), &[one])).unwrap();
        assert_eq!((members(10), members(11).len()), (vec!["b".to_owned()], 2));
        let groups = |id: Uuid| store.read(|conn| people::groups_of(conn, &[id])).unwrap().remove(&id).unwrap_or_default();
        assert_eq!(groups(one), [(Uuid::from_u128(11), "Others".to_owned())]);
        store.write("people", move |tx| people::delete_group(tx, Uuid::from_u128(11))).unwrap();
        assert!(groups(one).is_empty() && groups(two).len() == 1);
        let again = store.write("people", move |tx| people::delete_group(tx, Uuid::from_u128(11)));
        assert!(matches!(again, Err(StoreError::Missing)));
    }
}
