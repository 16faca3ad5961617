//! Bodies and path segments, read under a limit and parsed once.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::http::Method;
use actix_web::web::{Bytes, Path, Payload, Query};
use actix_web::{FromRequest, HttpRequest, dev};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::intake::{Intake, Refused};
use super::problem::Problem;

/// Longest body of a route, in bytes; stands in the data of each resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) usize);

/// The same by method, where those of a resource differ in it.
#[derive(Clone, Debug)]
pub(crate) struct LimitOf(pub(crate) Vec<(Method, usize)>);

/// Reads a body within the limit of its route. One that declares more is refused before any of it is read, and one that
/// is too much beside the others of the door, or of its caller, as it grows.
pub(crate) async fn read(request: &HttpRequest, payload: Payload, caller: &str) -> Result<Bytes, Problem> {
    let Limit(of_all) = *request.app_data::<Limit>().ok_or(Problem::Unconfigured)?;
    let of_method = request.app_data::<LimitOf>();
    let of_method = of_method.and_then(|LimitOf(all)| all.iter().find(|(method, _)| method == request.method()));
    let limit_bytes = of_method.map_or(of_all, |(_, limit_bytes)| *limit_bytes);
    let intake = request.app_data::<Intake>().ok_or(Problem::Unconfigured)?;
    intake.read(request, payload.into_inner(), caller, limit_bytes).await.map_err(|refused| match refused {
        Refused::Oversize => Problem::Oversize(limit_bytes),
        Refused::Slow => Problem::SlowBody,
        Refused::Broken(_) => Problem::Malformed("the body ended early".to_owned()),
        Refused::Busy(error) => error.into(),
    })
}

/// Parses a JSON body.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        // The error's own text may quote values; only its place is given.
        let (line, column) = (error.line(), error.column());
        Problem::Malformed(format!("the JSON body is not what the route takes, line {line} column {column}"))
    })
}

/// Parses the query of a request.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let parsed = Query::<T>::from_query(request.query_string());
    parsed.map(Query::into_inner).map_err(|_| Problem::Malformed("a parameter is not what the route takes".to_owned()))
}

/// The identifier in the path: a MIMI identifier as one percent-encoded segment.
#[derive(Clone, Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let parsed = Path::<String>::extract(request).into_inner().ok().and_then(|text| text.parse().ok());
        ready(parsed.map(Self).ok_or_else(|| {
            Problem::Malformed("the path segment is no MIMI identifier of the kind the route takes".to_owned())
        }))
    }
}

/// Bytes that stand in JSON as base64 with padding (RFC 4648, section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| serde::de::Error::custom("expected base64"))
    }
}
