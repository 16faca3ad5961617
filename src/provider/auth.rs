//! Who asks at the provider door: bearer tokens of users, and of services that act for users.

use std::future::Future;
use std::pin::Pin;

use actix_web::http::header::HeaderMap;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use portcullis_core::wire::uri::{Domain, UserUri};

use super::token::{AUDIENCE, Claims};
use crate::gateway::{Gateway, GatewayError, people};
use crate::http::auth::LEEWAY_SECONDS;
use crate::http::{AuthError, Caller, KeysError, Problem, Verifier};
use crate::limits::Limiter;

/// Header by which a service names the user it acts for.
pub const ACTING_USER: &str = "Portcullis-User";

/// Checks tokens of users and services.
pub struct Tokens {
    verifier: Verifier,
    domains: Vec<Domain>,
    /// Knows whom the identity provider has deactivated or deleted.
    people: Option<Gateway>,
    /// The claims that are kept of users.
    kept: Vec<String>,
}

/// A user of ours, authenticated for one request, whom the identity provider has not deactivated or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who it is.
    pub uri: UserUri,
    /// Seconds since the UNIX epoch at which the token ends, with the allowed clock difference.
    pub until: u64,
    /// What its token says of it; `None` where nothing is to be kept, or a service speaks for it.
    pub claims: Option<people::Claims>,
}

impl Tokens {
    /// Takes the place of the key set, the issuer to ask for and the company's domains. Reads the set at once.
    ///
    /// # Errors
    ///
    /// [`KeysError`] when a key set in a file is not readable. One behind a URL is asked for again with the next token.
    pub async fn open(jwks: &str, issuer: Option<String>, domains: Vec<Domain>) -> Result<Self, KeysError> {
        Ok(Self { verifier: Verifier::open(jwks, issuer, AUDIENCE).await?, domains, people: None, kept: Vec::new() })
    }

    /// The same, and knows whom the identity provider has deactivated or deleted.
    pub(super) fn but_for(self, people: Gateway) -> Self {
        Self { people: Some(people), ..self }
    }

    /// The same, and keeps these claims of users who are registered by tokens of their own.
    #[must_use]
    pub fn keeping(self, claims: Vec<String>) -> Self {
        Self { kept: claims, ..self }
    }

    /// The user that a request's headers speak for.
    ///
    /// # Errors
    ///
    /// [`AuthError`], also where a service token names a user of another company.
    pub async fn user(&self, headers: &HeaderMap) -> Result<User, AuthError> {
        let claims: Claims = self.verifier.claims(headers).await?;
        let until = claims.exp.saturating_add(LEEWAY_SECONDS);
        let subject = self.own(&claims.sub);
        let uri = match (headers.get(ACTING_USER), subject) {
            (Some(named), subject) => {
                let named = named.to_str().ok().and_then(|text| self.own(text)).ok_or(AuthError::ActingUser)?;
                if !claims.may_act() && subject.as_ref() != Some(&named) {
                    return Err(AuthError::ActingUser);
                }
                named
            }
            (None, Some(subject)) => subject,
            (None, None) if claims.may_act() => return Err(AuthError::ActingUserMissing),
            (None, None) => return Err(AuthError::Subject),
        };
        // What a service says of itself holds for nobody else.
        let own = !self.kept.is_empty() && self.own(&claims.sub).as_ref() == Some(&uri);
        let claims = own.then(|| people::Claims::of(&self.kept, &claims.more));
        Ok(User { uri, until, claims })
    }

    /// A user of our domains.
    fn own(&self, text: &str) -> Option<UserUri> {
        UserUri::parse(text).ok().filter(|user| self.domains.contains(&user.domain()))
    }
}

impl User {
    /// The user a request speaks for, within the user's limit. Of somebody who is deactivated it is refused, with its record.
    ///
    /// # Errors
    ///
    /// As [`Self::even_out`], [`GatewayError::Refused`].
    async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let user = Self::even_out(request).await?;
        let tokens = request.app_data::<Data<Tokens>>().ok_or(Problem::Unconfigured)?;
        if let Some(people) = tokens.people.as_ref().filter(|people| people.is_out(&user.uri)) {
            let asked = format!("{} {}", request.method(), request.match_pattern().unwrap_or_default());
            people.refuse_deactivated(user.uri.clone(), asked).await?;
        }
        Ok(user)
    }

    /// The same, whether or not the user is deactivated.
    ///
    /// # Errors
    ///
    /// [`Problem::Auth`], [`GatewayError::TooMany`].
    async fn even_out(request: &HttpRequest) -> Result<Self, Problem> {
        let tokens = request.app_data::<Data<Tokens>>().ok_or(Problem::Unconfigured)?;
        let limit = request.app_data::<Data<Limiter<UserUri>>>().ok_or(Problem::Unconfigured)?;
        let user = tokens.user(request.headers()).await?;
        limit.take(&user.uri).map_err(GatewayError::from)?;
        Ok(user)
    }
}

impl Caller for UserUri {
    const DOOR: &'static str = "provider";

    async fn authenticate(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(User::of(request).await?.uri)
    }

    fn name(&self) -> &str {
        self.as_str()
    }
}

impl FromRequest for User {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::of(&request).await })
    }
}

/// A user of ours, deactivated or not, for the little that somebody without rights may do: leave rooms, drop its own devices, and
/// report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EvenOut(pub(super) User);

impl Caller for EvenOut {
    const DOOR: &'static str = UserUri::DOOR;

    async fn authenticate(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self(User::even_out(request).await?))
    }

    fn name(&self) -> &str {
        self.0.uri.as_str()
    }
}

impl FromRequest for EvenOut {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::authenticate(&request).await })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
    use actix_web::{App, HttpServer, web};
    use jsonwebtoken::jwk::{Jwk, JwkSet};
    use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    const ALICE: &str = "mimi://a.example/u/alice";
    const BOB: &str = "mimi://a.example/u/bob";
    const FOREIGN: &str = "mimi://b.example/u/bob";

    struct Signer {
        kid: &'static str,
        algorithm: Algorithm,
        key: EncodingKey,
    }

    impl Signer {
        fn new(kid: &'static str, algorithm: Algorithm) -> Self {
            let key = match algorithm {
                Algorithm::EdDSA => {
                    EncodingKey::from_ed_pem(KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem().as_bytes())
                }
                Algorithm::ES256 => {
                    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
                    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())
                }
                Algorithm::RS256 => {
                    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
                    EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())
                }
                _ => Ok(EncodingKey::from_secret(b"secret")),
            };
            Self { kid, algorithm, key: key.unwrap() }
        }

        fn public(&self) -> Jwk {
            let jwk = match self.algorithm {
                Algorithm::EdDSA => crate::http::token::public(&self.key),
                _ => Jwk::from_encoding_key(&self.key, self.algorithm),
            };
            let mut jwk = jwk.unwrap();
            jwk.common.key_id = Some(self.kid.to_owned());
            jwk
        }

        fn sign(&self, claims: &Value) -> String {
            let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
            jsonwebtoken::encode(&header, claims, &self.key).unwrap()
        }
    }

    fn publish(dir: &TempDir, signers: &[&Signer]) -> String {
        let path = dir.path().join("jwks.json");
        let set = JwkSet { keys: signers.iter().map(|signer| signer.public()).collect() };
        std::fs::write(&path, serde_json::to_vec(&set).unwrap()).unwrap();
        path.display().to_string()
    }

    async fn tokens(dir: &TempDir, signers: &[&Signer]) -> Tokens {
        let domains = vec![Domain::parse("a.example").unwrap()];
        Tokens::open(&publish(dir, signers), Some("issuer".to_owned()), domains).await.unwrap()
    }

    /// Good claims of Alice, changed by `over`; null takes a claim away.
    fn claims(over: Value) -> Value {
        let now = get_current_timestamp();
        let mut claims = json!({ "sub": ALICE, "aud": AUDIENCE, "iss": "issuer", "exp": now + 600, "nbf": now });
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn headers(token: &str, acting: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        if let Some(user) = acting {
            headers.insert(HeaderName::from_static("portcullis-user"), HeaderValue::from_str(user).unwrap());
        }
        headers
    }

    #[actix_web::test]
    async fn tokens_signed_with_each_of_the_three_algorithms_are_taken() {
        let signers = [
            Signer::new("ed", Algorithm::EdDSA),
            Signer::new("ec", Algorithm::ES256),
            Signer::new("rsa", Algorithm::RS256),
        ];
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &signers.each_ref()).await;
        for signer in &signers {
            let token = signer.sign(&claims(json!({})));
            let user = tokens.user(&headers(&token, None)).await.unwrap();
            assert_eq!(user.uri.as_str(), ALICE, "{}", signer.kid);
        }
    }

    #[actix_web::test]
    async fn a_token_that_is_not_for_this_door_now_is_not_valid() {
        let signer = Signer::new("ed", Algorithm::EdDSA);
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &[&signer]).await;
        let now = get_current_timestamp();
        for over in [
            json!({ "aud": "portcullis-admin" }),
            json!({ "aud": null }),
            json!({ "iss": "another" }),
            json!({ "iss": null }),
            json!({ "exp": now - LEEWAY_SECONDS - 1 }),
            json!({ "exp": null }),
            json!({ "nbf": now + LEEWAY_SECONDS + 60 }),
            json!({ "sub": null }),
        ] {
            let token = signer.sign(&claims(over.clone()));
            let refused = tokens.user(&headers(&token, None)).await;
            assert!(matches!(refused, Err(AuthError::Invalid(_))), "{over}");
        }
    }

    #[actix_web::test]
    async fn a_token_signed_by_another_key_or_by_a_shared_secret_is_not_valid() {
        let (ours, other) = (Signer::new("ed", Algorithm::EdDSA), Signer::new("ed", Algorithm::EdDSA));
        let secret = Signer::new("secret", Algorithm::HS256);
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &[&ours, &secret]).await;
        for token in [other.sign(&claims(json!({}))), secret.sign(&claims(json!({}))), "a.b.c".to_owned()] {
            assert!(matches!(tokens.user(&headers(&token, None)).await, Err(AuthError::Invalid(_))), "{token}");
        }
        assert!(matches!(tokens.user(&HeaderMap::new()).await, Err(AuthError::Missing)));
    }

    #[actix_web::test]
    async fn a_service_acts_for_users_of_the_company_and_for_nobody_else() {
        let signer = Signer::new("ed", Algorithm::EdDSA);
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &[&signer]).await;
        let service = signer.sign(&claims(json!({ "sub": "chat", "scope": "read act" })));
        assert_eq!(tokens.user(&headers(&service, Some(BOB))).await.unwrap().uri.as_str(), BOB);
        assert!(matches!(tokens.user(&headers(&service, Some(FOREIGN))).await, Err(AuthError::ActingUser)));
        assert!(matches!(tokens.user(&headers(&service, None)).await, Err(AuthError::ActingUserMissing)));
        let other = signer.sign(&claims(json!({ "sub": "chat", "scope": "react" })));
        assert!(matches!(tokens.user(&headers(&other, Some(BOB))).await, Err(AuthError::ActingUser)));
        assert!(matches!(tokens.user(&headers(&other, None)).await, Err(AuthError::Subject)));
    }

    #[actix_web::test]
    async fn a_user_speaks_for_itself_alone() {
        let signer = Signer::new("ed", Algorithm::EdDSA);
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &[&signer]).await;
        let alice = signer.sign(&claims(json!({})));
        assert_eq!(tokens.user(&headers(&alice, Some(ALICE))).await.unwrap().uri.as_str(), ALICE);
        assert!(matches!(tokens.user(&headers(&alice, Some(BOB))).await, Err(AuthError::ActingUser)));
        let foreign = signer.sign(&claims(json!({ "sub": FOREIGN })));
        assert!(matches!(tokens.user(&headers(&foreign, None)).await, Err(AuthError::Subject)));
    }

    #[actix_web::test]
    async fn a_new_key_is_found_by_reading_the_set_again() {
        let (old, new) = (Signer::new("old", Algorithm::EdDSA), Signer::new("new", Algorithm::EdDSA));
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &[&old]).await;
        publish(&dir, &[&new]);
        assert!(tokens.user(&headers(&new.sign(&claims(json!({}))), None)).await.is_ok());
        let withdrawn = tokens.user(&headers(&old.sign(&claims(json!({}))), None)).await;
        assert!(matches!(withdrawn, Err(AuthError::Invalid(_))));
    }

    #[actix_web::test]
    async fn a_set_that_became_unreadable_leaves_the_last_good_one() {
        let signer = Signer::new("ed", Algorithm::EdDSA);
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir, &[&signer]).await;
        std::fs::write(dir.path().join("jwks.json"), "{").unwrap();
        let unknown = Signer::new("unknown", Algorithm::EdDSA);
        assert!(tokens.user(&headers(&unknown.sign(&claims(json!({}))), None)).await.is_err());
        assert!(tokens.user(&headers(&signer.sign(&claims(json!({}))), None)).await.is_ok());
    }

    #[actix_web::test]
    async fn a_key_set_behind_a_url_is_asked_for_again_until_it_is_there() {
        let signer = Signer::new("ed", Algorithm::EdDSA);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let domains = vec![Domain::parse("a.example").unwrap()];
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let tokens = Tokens::open(&url, None, domains).await.unwrap();
        let set = serde_json::to_string(&JwkSet { keys: vec![signer.public()] }).unwrap();
        let app = move || {
            let set = set.clone();
            App::new().route("/jwks", web::get().to(move || std::future::ready(set.clone())))
        };
        actix_web::rt::spawn(
            HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", port)).unwrap().run(),
        );
        assert!(tokens.user(&headers(&signer.sign(&claims(json!({}))), None)).await.is_ok());
    }
}
