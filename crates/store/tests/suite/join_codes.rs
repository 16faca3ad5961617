use std::time::Duration;

use portcullis_core::time::Millis;
use portcullis_store::join_codes::{self, JoinCode};
use portcullis_store::{Store, StoreError};
use uuid::Uuid;

use crate::harness::*;

fn spend(store: &Store, id: Uuid, now: Millis) -> Result<(), StoreError> {
    store.write("x", move |tx| join_codes::spend(tx, id, now))
}

on_both! {
    fn a_code_is_used_as_often_as_it_says_until_it_ends_or_is_revoked(db) {
        let store = db.open();
        let ((room, _), (other, _)) = (active_room(&store, "clubhouse"), active_room(&store, "other"));
        let end = NOW.plus(Duration::from_secs(60));
        let code = |number| JoinCode {
            id: Uuid::from_u128(number),
            room: room.clone(),
            role: 2,
            uses: 2,
            used: 0,
            domain: Some(domain("c")),
            expires_at: end,
            created_by: "operator:ops".to_owned(),
            reason: "town hall".to_owned(),
            created_at: NOW,
            revoked_at: None,
        };
        for number in 1..=3 {
            let new = code(number);
            let hash = [u8::try_from(number).unwrap(); 32];
            let created = store.write("x", move |tx| join_codes::create(tx, &new, &hash));
            created.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        }
        let again = code(4);
        let taken = store.write("x", move |tx| join_codes::create(tx, &again, &[1; 32]));
        assert!(matches!(taken, Err(StoreError::Exists)));
        let found = |hash: [u8; 32]| store.read(|conn| join_codes::find(conn, &room, &hash)).unwrap();
        assert_eq!(found([1; 32]), Some(code(1)));
        assert_eq!((found([9; 32]), store.read(|conn| join_codes::find(conn, &other, &[1; 32])).unwrap()), (None, None));
        let first = Uuid::from_u128(1);
        assert!(spend(&store, first, NOW).is_ok() && spend(&store, first, NOW).is_ok());
        assert!(matches!(spend(&store, first, NOW), Err(StoreError::Missing)));
        assert!(matches!(spend(&store, Uuid::from_u128(2), end), Err(StoreError::Missing)));
        let (uri, third) = (room.clone(), Uuid::from_u128(3));
        let revoke = move || store.write("x", {
            let uri = uri.clone();
            move |tx| join_codes::revoke(tx, &uri, third, NOW)
        });
        let revoked = revoke().unwrap();
        assert_eq!(revoked.revoked_at, Some(NOW));
        assert!(matches!(revoke(), Err(StoreError::Missing)));
        let store = db.open();
        assert!(matches!(spend(&store, third, NOW), Err(StoreError::Missing)));
        let page = |after| -> Vec<JoinCode> { store.read(|conn| join_codes::of_room(conn, &room, after, 2)).unwrap() };
        assert_eq!(page(None).iter().map(|code| code.used).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(page(Some(Uuid::from_u128(2))), std::slice::from_ref(&revoked));
        assert!(code(2).is_good(&domain("c"), NOW) && !code(2).is_good(&domain("b"), NOW));
        assert!(!code(2).is_good(&domain("c"), end) && !revoked.is_good(&domain("c"), NOW));
    }
}
