//! Who asks at this door, and what stands in a request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::web::{self, Data};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use portcullis_core::scim::{ScimError, ScimType};
use serde_json::Value;
use uuid::Uuid;

use super::problem::Refusal;
use crate::gateway::people::{Place, Provisioner};
use crate::gateway::{Gateway, GatewayError};
use crate::http::{AuthError, Problem, body};
use crate::limits::Limiter;

/// An identity provider, authenticated for one request.
pub(super) struct Caller(pub(super) Provisioner);

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await.map(Self) })
    }
}

async fn authenticate(request: &HttpRequest) -> Result<Provisioner, Refusal> {
    let gateway = request.app_data::<Data<Gateway>>().ok_or(Problem::Unconfigured)?;
    let limit = request.app_data::<Data<Limiter<String>>>().ok_or(Problem::Unconfigured)?;
    let place = request.app_data::<Data<Arc<Place>>>().ok_or(Problem::Unconfigured)?;
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = header.and_then(|header| header.split_once(' ')).ok_or(Problem::Auth(AuthError::Missing))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::Auth(AuthError::Missing).into());
    }
    let found = gateway.directory_token(token.trim()).await.map_err(Problem::from)?;
    let found = found.ok_or(Problem::Auth(AuthError::Invalid(None)))?;
    limit.take(&found.name).map_err(|many| Problem::from(GatewayError::from(many)))?;
    Ok(Provisioner { name: found.name, token: found.id, place: Arc::clone(place) })
}

/// The JSON body of a request by somebody who is known: nothing is read before that.
pub(super) struct Sent {
    pub(super) by: Provisioner,
    pub(super) body: Value,
}

impl FromRequest for Sent {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload));
        Box::pin(async move {
            let by = authenticate(&request).await?;
            let payload = payload.await.map_err(|_| Problem::Unconfigured)?;
            let bytes = body::read(&request, payload, &by.name).await?;
            let body = serde_json::from_slice(&bytes)
                .map_err(|_| ScimError::new(ScimType::InvalidSyntax, "the body is not JSON, or is too deep"))?;
            Ok(Self { by, body })
        })
    }
}

/// The identifier in the path.
pub(super) fn id(path: &web::Path<String>) -> Result<Uuid, Refusal> {
    path.parse().map_err(|_| GatewayError::NotFound.into())
}

/// A header that stands in a request.
pub(super) fn header(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
