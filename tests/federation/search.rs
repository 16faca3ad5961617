use portcullis::peer::Endpoint;
use portcullis::provider::{Profile, ProfileField};
use portcullis_core::wire::Wire;
use portcullis_core::wire::identifier_query::FieldSource::{self, OidcStdClaim, VcardField};
use portcullis_core::wire::identifier_query::IdentifierQueryCode::{
    Ambiguous, Forbidden, NotFound, Success, UnsupportedField,
};
use portcullis_core::wire::identifier_query::{IdentifierRequest, IdentifierResponse, QueryElement};
use portcullis_core::wire::uri::{Domain, UserUri};
use portcullis_store::audit::AuditEntry;
use serde_json::Value;

use crate::harness::{Gateway, Lab, edit, user};

const TWO: [&str; 2] = ["a.example", "b.example"];

/// A lab whose gateways let everything be searched that these profiles have.
async fn open_lab() -> Lab {
    let mut lab = Lab::new(&TWO);
    for gateway in &lab.gateways {
        let settings = gateway.folder.join("policies/settings.yaml");
        edit(&settings, "vcard.IMPP]", "vcard.IMPP, oidc.email, oidc.phone_number, vcard.ORG]");
    }
    lab.start().await;
    lab
}

fn field(source: FieldSource, name: &str, value: &str) -> ProfileField {
    ProfileField { source, name: name.to_owned(), value: value.to_owned(), searchable: true }
}

async fn register(gateway: &Gateway, user: &UserUri, profile: &Profile) {
    let door = gateway.client(user);
    door.register_user(user).await.unwrap();
    assert!(door.put_profile(user, profile).await.unwrap().is_some());
    assert_eq!(&door.profile(user).await.unwrap(), profile);
}

fn query(elements: Vec<QueryElement>) -> Vec<u8> {
    IdentifierRequest { elements, ..IdentifierRequest::default() }.encode()
}

fn nick(value: &str) -> QueryElement {
    QueryElement::Nick { value: value.to_owned() }
}

/// What a.example answers b.example.
async fn ask(lab: &Lab, elements: Vec<QueryElement>) -> IdentifierResponse {
    let endpoint = Endpoint::IdentifierQuery(Domain::parse("a.example").unwrap());
    let answer = lab.gateway("b.example").post("a.example", endpoint, query(elements)).await.unwrap();
    IdentifierResponse::decode(&answer.body).unwrap()
}

#[tokio::test]
async fn a_user_is_found_by_every_kind_of_thing_that_it_has_opened_and_by_all_of_them_together() {
    let lab = open_lab().await;
    let (alice, bob) = (user("a.example/u/alice"), user("b.example/u/bob"));
    let closed = ProfileField { searchable: false, ..field(VcardField, "NOTE", "secret note") };
    let fields = vec![
        field(VcardField, "IMPP", "im:alice.smith@a.example"),
        field(OidcStdClaim, "nickname", "Al"),
        field(OidcStdClaim, "email", "alice@a.example"),
        field(OidcStdClaim, "phone_number", "+4915112345"),
        field(OidcStdClaim, "given_name", "Alice"),
        field(VcardField, "ORG", "Example"),
        closed,
    ];
    register(lab.gateway("a.example"), &alice, &Profile { hidden: false, fields }).await;
    let text = str::to_owned;
    let elements = [
        QueryElement::Handle { value: text("im:alice.smith@a.example") },
        nick("Al"),
        QueryElement::Email { value: text("alice@a.example") },
        QueryElement::Phone { value: text("+4915112345") },
        QueryElement::PartialName { value: text("LIC") },
        QueryElement::WholeProfile { value: text("xamp") },
        QueryElement::OidcStdClaim { name: text("given_name"), value: text("Alice") },
        QueryElement::VcardField { name: text("ORG"), value: text("Example") },
    ];
    for element in &elements {
        let answer = ask(&lab, vec![element.clone()]).await;
        assert_eq!((answer.code, &answer.uris[..]), (Success, std::slice::from_ref(&alice)), "{element:?}");
    }
    let answer = ask(&lab, elements.to_vec()).await;
    assert_eq!((answer.code, &answer.uris[..]), (Success, std::slice::from_ref(&alice)));
    let [profile] = &answer.profiles[..] else { panic!("{answer:?}") };
    assert_eq!((&profile.stable_uri, profile.fields.len()), (&alice, 6), "what is closed is not seen");
    let mut with_another = elements[..7].to_vec();
    with_another.push(nick("Bo"));
    assert_eq!(ask(&lab, with_another).await.code, NotFound, "all of them must fit");
    let secret = QueryElement::WholeProfile { value: text("secret") };
    assert_eq!(ask(&lab, vec![secret]).await.code, NotFound);

    // Users search, too: here, and at the other provider through their own.
    let b = lab.gateway("b.example");
    register(b, &bob, &Profile::default()).await;
    let door = b.client(&bob);
    let a_example = Domain::parse("a.example").unwrap();
    assert_eq!(door.search(&a_example, query(vec![nick("Al")])).await.unwrap().value.uris, [alice]);
    assert_eq!(door.search(&bob.domain(), query(vec![nick("Al")])).await.unwrap().value.code, NotFound);
}

#[tokio::test]
async fn no_question_too_many_and_what_may_not_be_searched_are_refused_as_such() {
    let lab = Lab::open(&TWO).await;
    assert_eq!(ask(&lab, Vec::new()).await.code, Forbidden);
    assert_eq!(ask(&lab, vec![nick("Al"); 8]).await.code, NotFound);
    assert_eq!(ask(&lab, vec![nick("Al"); 9]).await.code, Forbidden);
    let short = QueryElement::PartialName { value: "A".to_owned() };
    assert_eq!(ask(&lab, vec![short]).await.code, Forbidden);
    let email = QueryElement::Email { value: "alice@a.example".to_owned() };
    assert_eq!(ask(&lab, vec![nick("Al"), email]).await.code, UnsupportedField, "the company has not opened it");
    let b = lab.gateway("b.example");
    let elsewhere = Endpoint::IdentifierQuery(Domain::parse("c.example").unwrap());
    let refused = b.post("a.example", elsewhere, query(vec![nick("Al")])).await.unwrap_err();
    assert_eq!(refused.status(), Some(404), "we search for nobody at others");
}

#[tokio::test]
async fn who_is_hidden_by_its_own_wish_or_by_policy_cannot_be_told_from_nobody() {
    let mut lab = Lab::new(&TWO);
    let suspended = "users:\n  - uri: mimi://a.example/u/sue\n    suspended: true";
    edit(&lab.gateways[0].folder.join("policies/settings.yaml"), "users: []", suspended);
    lab.start().await;
    let a = lab.gateway("a.example");
    let fields = vec![field(OidcStdClaim, "nickname", "Hal")];
    register(a, &user("a.example/u/hal"), &Profile { hidden: true, fields }).await;
    // She has opened it before she was suspended.
    let sue = user("a.example/u/sue");
    a.client(&sue).register_user(&sue).await.unwrap();
    a.database().sql(
        "INSERT INTO profiles VALUES ('mimi://a.example/u/sue', 0, 1); \
         INSERT INTO profile_fields VALUES ('mimi://a.example/u/sue', 0, 7, 'nickname', 'Sue', 'sue', 1)",
    );
    let nobody = ask(&lab, vec![nick("Nobody")]).await;
    assert_eq!((nobody.code, nobody.uris.len(), nobody.profiles.len()), (NotFound, 0, 0));
    for hidden in ["Hal", "Sue"] {
        assert_eq!(ask(&lab, vec![nick(hidden)]).await, nobody, "{hidden}");
    }
    lab.quiet().await;
    let entries = a.database().entries();
    let searched: Vec<_> = entries.iter().filter(|entry| entry.record.kind == "decision.search").collect();
    let withheld = searched.iter().map(|entry| entry.record.detail["query"]["withheld"].clone());
    assert_eq!(withheld.collect::<Vec<_>>(), [0, 1, 1], "our own log knows");
    assert!(searched.iter().all(|entry| !entry.record.detail.to_string().contains("Hal")), "and keeps no names");
    // What policy said of each user that fits is on the record, and can be asked again.
    let told = |entry: &AuditEntry| -> Vec<(String, bool)> {
        let actions = entry.record.detail["actions"].as_array().unwrap().clone();
        let of_user =
            |action: &Value| Some((action["about"].as_str()?.to_owned(), action["verdict"]["allow"].as_bool()?));
        actions.iter().filter(|action| action["act"] == "findUser").filter_map(of_user).collect()
    };
    let (hal, sue) = ("mimi://a.example/u/hal".to_owned(), "mimi://a.example/u/sue".to_owned());
    let verdicts: Vec<_> = searched.iter().map(|entry| told(entry)).collect();
    assert_eq!(verdicts, [vec![], vec![(hal, true)], vec![(sue, false)]]);
    let counted = searched.iter().map(|entry| entry.record.detail["count"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(counted, [1, 2, 2]);
    let folder = a.folder.join("policies");
    let report = a.operated(&["policy", "simulate", folder.to_str().unwrap(), "--json"]);
    assert!(!report.contains("answered_otherwise") && !report.contains("form_not_known"), "{report}");
}

#[tokio::test]
async fn more_users_than_are_told_are_ambiguous_and_who_searches_on_and_on_is_told_to_wait() {
    let mut lab = Lab::new(&TWO);
    edit(&lab.gateways[0].folder.join("policies/settings.yaml"), "results: 20", "results: 2");
    lab.gateways[0].configure("limits: { searches: { per_minute: 1, burst: 5 } }\n");
    lab.start().await;
    let a = lab.gateway("a.example");
    for (number, name) in ["a.example/u/ada", "a.example/u/al", "a.example/u/ann"].into_iter().enumerate() {
        let fields =
            vec![field(OidcStdClaim, "nickname", "A"), field(OidcStdClaim, "name", &format!("number {number}"))];
        register(a, &user(name), &Profile { hidden: false, fields }).await;
    }
    let answer = ask(&lab, vec![nick("A")]).await;
    assert_eq!((answer.code, answer.uris), (Ambiguous, vec![user("a.example/u/ada"), user("a.example/u/al")]));
    let number = QueryElement::PartialName { value: "number 2".to_owned() };
    assert_eq!(ask(&lab, vec![nick("A"), number]).await.uris, [user("a.example/u/ann")]);
    let endpoint = || Endpoint::IdentifierQuery(Domain::parse("a.example").unwrap());
    let b = lab.gateway("b.example");
    let mut asked = 2;
    let status = loop {
        match b.post("a.example", endpoint(), query(vec![nick("A")])).await {
            Ok(_) => asked += 1,
            Err(error) => break error.status(),
        }
    };
    assert_eq!(status, Some(429));
    assert!((5..10).contains(&asked), "{asked}");
}
