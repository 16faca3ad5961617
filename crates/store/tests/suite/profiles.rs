use std::collections::BTreeSet;

use portcullis_core::search::{self, Field};
use portcullis_core::wire::identifier_query::QueryElement;
use portcullis_store::devices::register_user;
use portcullis_store::profiles::{self, Profile, ProfileField};
use portcullis_store::{Store, StoreError};

use crate::harness::*;

fn field(name: &str, value: &str) -> ProfileField {
    let field = Field::try_from(name.to_owned()).unwrap();
    ProfileField { field, value: value.to_owned(), searchable: true }
}

fn put(store: &Store, name: &'static str, profile: Profile) {
    let put = store.write("x", move |tx| {
        register_user(tx, &user(name), NOW)?;
        profiles::put(tx, &user(name), &profile, NOW)
    });
    put.unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

fn shown(fields: Vec<ProfileField>) -> Profile {
    Profile { hidden: false, fields }
}

/// The names of those who fit, one after the other.
fn found(store: &Store, elements: &[QueryElement]) -> Vec<String> {
    let all = ["oidc.nickname", "oidc.given_name", "oidc.email", "vcard.FN", "vcard.ORG", "vcard.TEL"];
    let all: BTreeSet<Field> = all.iter().map(|name| Field::try_from((*name).to_owned()).unwrap()).collect();
    let terms = search::terms(elements, &all).unwrap();
    let mut found: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .read(|conn| profiles::search(conn, &terms, after.as_ref(), 1))
            .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        let Some((user, _)) = page.into_iter().next() else { return found };
        found.push(user.as_str().rsplit('/').next().unwrap().to_owned());
        after = Some(user);
    }
}

fn nick(value: &str) -> QueryElement {
    QueryElement::Nick { value: value.to_owned() }
}

fn whole(value: &str) -> QueryElement {
    QueryElement::WholeProfile { value: value.to_owned() }
}

fn name(value: &str) -> QueryElement {
    QueryElement::PartialName { value: value.to_owned() }
}

on_both! {
    fn who_fits_everything_is_found_exactly_or_by_a_part_in_either_case(db) {
        let store = db.open();
        put(&store, "alice", shown(vec![field("oidc.nickname", "Al"), field("vcard.FN", "Alice ÄRGER"), field("vcard.ORG", "100%_!")]));
        put(&store, "albert", shown(vec![field("oidc.nickname", "Al"), field("oidc.given_name", "Albert")]));
        assert_eq!(found(&store, &[nick("Al")]), ["albert", "alice"]);
        assert_eq!(found(&store, &[nick("al")]), [""; 0]);
        assert_eq!(found(&store, &[name("ärg")]), ["alice"]);
        assert_eq!(found(&store, &[name("AL"), nick("Al")]), ["albert", "alice"]);
        assert_eq!(found(&store, &[name("bert"), name("ali")]), [""; 0], "everything must fit");
        assert_eq!(found(&store, &[nick("Al"), whole("0%_!")]), ["alice"]);
        assert_eq!(found(&store, &[whole("1%_")]), [""; 0], "signs of patterns stand for themselves");
        let phone = QueryElement::Phone { value: "+491".to_owned() };
        put(&store, "carl", shown(vec![field("vcard.TEL", "tel:+491")]));
        assert_eq!(found(&store, &[phone]), ["carl"]);
    }

    fn what_a_user_has_not_opened_is_not_searched_and_hidden_ones_are_given_with_their_mark(db) {
        let store = db.open();
        let closed = ProfileField { searchable: false, ..field("oidc.email", "a@a.example") };
        put(&store, "alice", shown(vec![closed, field("oidc.nickname", "Al")]));
        put(&store, "hal", Profile { hidden: true, fields: vec![field("oidc.nickname", "Al")] });
        assert_eq!(found(&store, &[QueryElement::Email { value: "a@a.example".to_owned() }]), [""; 0]);
        assert_eq!(found(&store, &[whole("a.example")]), [""; 0]);
        assert_eq!(found(&store, &[nick("Al")]), ["alice", "hal"]);
        assert!(store.read(|conn| profiles::find(conn, &user("hal"))).unwrap_or_else(|error: StoreError| panic!("{error:?}")).hidden);
    }

    fn a_profile_takes_the_place_of_the_one_before(db) {
        let store = db.open();
        put(&store, "alice", shown(vec![field("oidc.nickname", "Al"), field("vcard.ORG", "X")]));
        let new = shown(vec![field("oidc.nickname", "Ali")]);
        put(&store, "alice", new.clone());
        let stands = store.read(|conn| profiles::find(conn, &user("alice")));
        assert_eq!(stands.unwrap_or_else(|error: StoreError| panic!("{error:?}")), new);
        assert_eq!(found(&store, &[nick("Al")]), [""; 0]);
        assert_eq!(found(&store, &[nick("Ali")]), ["alice"]);
        let nobody = store.write("x", |tx| profiles::put(tx, &user("nobody"), &Profile::default(), NOW));
        assert!(matches!(nobody, Err(StoreError::Missing)));
    }
}
