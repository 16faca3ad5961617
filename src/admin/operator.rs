//! Who asks at the admin door: people, with what their identity provider says they are.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::AdminListener;
use crate::gateway::GatewayError;
use crate::gateway::admin::Operator;
use crate::http::token::ADMIN_AUDIENCE;
use crate::http::{AuthError, Caller, KeysError, Problem, Verifier};
use crate::limits::Limiter;

/// Longest subject, in bytes: it stands in every record of what the person does.
const MAX_SUBJECT_BYTES: usize = 256;

/// Most roles that are looked at.
const MAX_ROLES: usize = 64;

/// Checks the tokens of people.
pub(super) struct Operators {
    verifier: Verifier,
    roles_claim: String,
}

#[derive(Clone, Deserialize)]
struct Claims {
    sub: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Operators {
    /// Takes what the configuration says of the door. Reads the key set at once.
    ///
    /// # Errors
    ///
    /// [`KeysError`] when a key set in a file is not readable.
    pub(super) async fn open(listener: &AdminListener) -> Result<Self, KeysError> {
        let verifier = Verifier::open(&listener.jwks, listener.issuer.clone(), ADMIN_AUDIENCE).await?;
        Ok(Self { verifier, roles_claim: listener.roles_claim.clone() })
    }

    async fn operator(&self, request: &HttpRequest) -> Result<Operator, AuthError> {
        let Claims { sub: subject, others } = self.verifier.claims(request.headers()).await?;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.chars().any(char::is_control) {
            return Err(AuthError::Invalid(None));
        }
        Ok(Operator { subject, roles: roles(&others, &self.roles_claim) })
    }
}

impl Caller for Operator {
    const DOOR: &'static str = "admin";

    async fn authenticate(request: &HttpRequest) -> Result<Self, Problem> {
        let operators = request.app_data::<Data<Operators>>().ok_or(Problem::Unconfigured)?;
        let limit = request.app_data::<Data<Limiter<String>>>().ok_or(Problem::Unconfigured)?;
        let operator = operators.operator(request).await?;
        limit.take(&operator.subject).map_err(GatewayError::from)?;
        Ok(operator)
    }

    fn name(&self) -> &str {
        &self.subject
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::authenticate(&request).await })
    }
}

/// The roles in a claim: a list of texts, or a text of words. A claim that is not there by its whole name is looked for
/// inside others, at the dots of the name. Whatever is something else gives no role.
fn roles(claims: &Map<String, Value>, name: &str) -> BTreeSet<String> {
    let nested = || {
        let mut parts = name.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    };
    match claims.get(name).or_else(nested) {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).take(MAX_ROLES).map(str::to_owned).collect(),
        Some(Value::String(words)) => words.split_whitespace().take(MAX_ROLES).map(str::to_owned).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(claims: Value, name: &str) -> Vec<String> {
        let Value::Object(claims) = claims else { panic!("not an object") };
        roles(&claims, name).into_iter().collect()
    }

    #[test]
    fn roles_are_a_list_or_words_also_inside_other_claims() {
        assert_eq!(found(json!({ "roles": ["operator", "auditor"] }), "roles"), ["auditor", "operator"]);
        assert_eq!(found(json!({ "roles": "operator auditor" }), "roles"), ["auditor", "operator"]);
        assert_eq!(found(json!({ "realm_access": { "roles": ["admin"] } }), "realm_access.roles"), ["admin"]);
        assert_eq!(found(json!({ "https://id.example/roles": ["admin"] }), "https://id.example/roles"), ["admin"]);
    }

    #[test]
    fn what_is_no_role_gives_none() {
        for claims in [json!({}), json!({ "roles": 7 }), json!({ "roles": [7, {}] }), json!({ "roles": { "a": "b" } })]
        {
            assert!(found(claims.clone(), "roles").is_empty(), "{claims}");
        }
    }
}
