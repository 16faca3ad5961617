//! What users want to be found by, and who is found.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use portcullis_core::search::Field;
use portcullis_core::wire::identifier_query::FieldSource;
use portcullis_core::wire::uri::{Domain, UserUri};
use portcullis_store::profiles;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::User;
use super::body::{self, Id, json};
use super::{Post, Problem, Reply};
use crate::gateway::{Caller, Gateway, GatewayError};

/// One value of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileField {
    /// Where its name comes from: `oidc_std_claim`, a standard claim of OpenID Connect, or `vcard_field`, a property of
    /// vCard.
    #[schema(value_type = String, example = "oidc_std_claim")]
    pub source: FieldSource,
    /// The claim, such as `nickname`, or the property, such as `IMPP` for handles.
    #[schema(example = "given_name")]
    pub name: String,
    /// Its value: 1 to 1024 bytes.
    #[schema(example = "Alice")]
    pub value: String,
    /// Whether others may find the user by it, and see it then. The company's `settings.yaml` must let the field be
    /// searched, too.
    #[serde(default)]
    pub searchable: bool,
}

/// What a user wants to be found by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Whether the user wants to be found by nobody, whatever its fields say.
    #[serde(default)]
    pub hidden: bool,
    /// At most 64; a name may stand more than once.
    #[serde(default)]
    pub fields: Vec<ProfileField>,
}

impl From<profiles::Profile> for Profile {
    fn from(profile: profiles::Profile) -> Self {
        let fields = profile.fields.into_iter().map(|profiles::ProfileField { field, value, searchable }| {
            let Field { source, name } = field;
            ProfileField { source, name, value, searchable }
        });
        Self { hidden: profile.hidden, fields: fields.collect() }
    }
}

impl TryFrom<Profile> for profiles::Profile {
    type Error = Problem;

    fn try_from(profile: Profile) -> Result<Self, Problem> {
        let fields = profile.fields.into_iter().map(|ProfileField { source, name, value, searchable }| {
            let field = Field::new(source, &name).map_err(|error| Problem::Malformed(error.to_string()))?;
            Ok(profiles::ProfileField { field, value, searchable })
        });
        Ok(Self { hidden: profile.hidden, fields: fields.collect::<Result<_, Problem>>()? })
    }
}

/// Say what a user wants to be found by
///
/// In the place of what it was before; nobody is found who has said nothing. The gateway does not check that what is said
/// is true: where users have tokens of their own, a policy can keep `publishProfile` to the backend's word.
#[utoipa::path(
    put,
    path = "/v1/users/{user}/profile",
    tag = "users",
    params(("user" = String, Path, description = "User identifier, percent-encoded")),
    request_body(content = Profile),
    responses((status = 204, description = "It is taken"))
)]
pub(super) async fn put(
    caller: User,
    user: Id<UserUri>,
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let body = body::read(&request, payload, caller.uri.as_str()).await?;
    if caller.uri != user.0 {
        return Err(GatewayError::WrongIdentity.into());
    }
    let profile: Profile = json(&body)?;
    let decision = gateway.put_profile(caller.uri, profile.try_into()?).await?;
    Ok(Reply::empty(Some(decision)).into())
}

/// Show what a user wants to be found by
#[utoipa::path(
    get,
    path = "/v1/users/{user}/profile",
    tag = "users",
    params(("user" = String, Path, description = "User identifier, percent-encoded")),
    responses((status = 200, description = "The profile; an empty one when nothing was said", body = Profile))
)]
pub(super) async fn show(caller: User, user: Id<UserUri>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    if caller.uri != user.0 {
        return Err(GatewayError::WrongIdentity.into());
    }
    let profile = Profile::from(gateway.profile(caller.uri).await?);
    Ok(Reply::json(StatusCode::OK, &profile, None)?.into())
}

/// Find users
///
/// Of this gateway, or of another provider, which is asked then. Who is found fits everything in the query.
#[utoipa::path(
    post,
    path = "/v1/search/{domain}",
    tag = "users",
    params(("domain" = String, Path, description = "Provider domain of those who are looked for")),
    request_body(content = String, content_type = "application/octet-stream", description = "`IdentifierRequest`, TLS-encoded"),
    responses((
        status = 200, description = "`IdentifierResponse`, TLS-encoded; what the protocol can refuse is in it",
        body = String, content_type = "application/octet-stream"
    ))
)]
pub(super) async fn search(post: Post, domain: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let malformed = |_| Problem::Malformed("the path segment is no provider domain".to_owned());
    let domain = Domain::parse(&domain).map_err(malformed)?;
    post.once(async move |once, user, body| Ok(gateway.search(once, Caller::User(user), domain, body).await?)).await
}

/// Find a user by an e-mail address
///
/// At the provider that has the addresses of its domain: of this gateway, or of another provider, which is asked then. The query has
/// one e-mail address. A domain of which nobody knows a provider is asked itself where the company lets it be (`addresses.probe`);
/// where there is none in the end, nobody is found.
#[utoipa::path(
    post,
    path = "/v1/search",
    tag = "users",
    request_body(content = String, content_type = "application/octet-stream", description = "`IdentifierRequest`, TLS-encoded"),
    responses((
        status = 200, description = "`IdentifierResponse`, TLS-encoded; what the protocol can refuse is in it",
        body = String, content_type = "application/octet-stream"
    ))
)]
pub(super) async fn search_by_address(post: Post, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(async move |once, user, body| Ok(gateway.search_by_address(once, user, body).await?)).await
}
