use portcullis::peer::Endpoint;
use portcullis::provider::{Profile, ProfileField};
use portcullis_core::wire::Wire;
use portcullis_core::wire::identifier_query::{
    FieldSource, IdentifierQueryCode, IdentifierRequest, IdentifierResponse, QueryElement,
};

use super::{ATTACKS, Attack, Scene, malformed, slow};

/// What attacks the endpoint.
pub(super) const SUITE: fn() = queries_for_users;

#[tokio::test]
async fn queries_for_users() {
    let mut scene = Scene::open().await;
    let alice = scene.alice.user().clone();
    let (source, searchable) = (FieldSource::OidcStdClaim, true);
    let fields = vec![ProfileField { source, name: "nickname".to_owned(), value: "Al".to_owned(), searchable }];
    let door = scene.gateway("a.example").client(&alice);
    door.put_profile(&alice, &Profile { hidden: false, fields }).await.unwrap();
    let of_alice = || query("Al");
    let endpoint = Endpoint::IdentifierQuery(alice.domain());
    for attack in ATTACKS {
        let send = async |from: &str, body: Vec<u8>| {
            let answered = scene.post_as(from, endpoint.clone(), body).await;
            answered.map(|answer| IdentifierResponse::decode(&answer).unwrap())
        };
        let found = |answer: &IdentifierResponse| {
            assert_eq!((answer.code, &answer.uris[..]), (IdentifierQueryCode::Success, std::slice::from_ref(&alice)));
        };
        match attack {
            // A query changes nothing and proves nothing: the same one again gets the same answer, whenever, and from
            // whichever peer.
            Attack::Replay | Attack::Reorder | Attack::Stale => {
                found(&send("b.example", of_alice()).await.unwrap());
                found(&send("b.example", of_alice()).await.unwrap());
            }
            Attack::Duplicate => {
                let (one, two) = tokio::join!(send("b.example", of_alice()), send("b.example", of_alice()));
                found(&one.unwrap());
                found(&two.unwrap());
            }
            Attack::WrongIdentity => found(&send("c.example", of_alice()).await.unwrap()),
            Attack::Truncate | Attack::Oversize => {
                malformed(scene.gateway("b.example"), "a.example", endpoint.clone(), &of_alice(), 256 << 10, attack)
                    .await;
            }
            // For somebody who is not to be found by it.
            Attack::Forged => {
                let answer = send("b.example", query("alice")).await.unwrap();
                assert_eq!((answer.code, answer.uris.len()), (IdentifierQueryCode::NotFound, 0));
            }
            Attack::Slow => {
                let (a, b) = (scene.gateway("a.example"), scene.gateway("b.example"));
                slow::assert_given_up(b, a, &endpoint, &of_alice()).await;
            }
        }
        scene.assert_unharmed().await;
    }
}

fn query(nick: &str) -> Vec<u8> {
    let elements = vec![QueryElement::Nick { value: nick.to_owned() }];
    IdentifierRequest { elements, ..IdentifierRequest::default() }.encode()
}
