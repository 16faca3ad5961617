use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{FROM, HOST, HeaderName};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use portcullis_core::identity::certificate::{IdentityError, PeerCertificate, host_tenant};
use portcullis_core::wire::uri::Domain;

use super::FederationError;
use super::door::Door;
use crate::gateway::GatewayError;
use crate::peer::{CertificateEnd, has_pin};

/// The leaf certificate of a connection, verified against our trust anchors.
pub(super) struct Certificate(pub(super) Result<PeerCertificate, IdentityError>);

/// A request that is for one of our domains (reading D-11).
pub(super) struct ForUs;

impl FromRequest for ForUs {
    type Error = FederationError;
    type Future = Ready<Result<Self, FederationError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(for_us(request))
    }
}

/// The provider that calls: by its certificate, its `From`, and our list of peers (reading D-10). The request is for us,
/// and within the peer's limit.
#[derive(Debug)]
pub(super) struct Peer(pub(super) Domain);

/// The same beside a request whose [`Peer`] has been let in, for whatever is taken from the request after it.
pub(super) struct LetIn(pub(super) Domain);

impl FromRequest for Peer {
    type Error = FederationError;
    type Future = Ready<Result<Self, FederationError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(peer(request))
    }
}

fn for_us(request: &HttpRequest) -> Result<ForUs, FederationError> {
    // HTTP/2 carries the authority in the request line.
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => only(request, HOST)?,
    };
    let door = door(request)?;
    host_tenant(authority, &door.domains, &door.authorities)?;
    Ok(ForUs)
}

fn peer(request: &HttpRequest) -> Result<Peer, FederationError> {
    for_us(request)?;
    let Certificate(certificate) = request.conn_data().ok_or(FederationError::NoCertificate)?;
    let certificate: &PeerCertificate = certificate.as_ref().map_err(Clone::clone)?;
    let domain = certificate.speaks_for(only(request, FROM)?)?;
    let door = door(request)?;
    let list = door.peers.list();
    let pins = list.admits(&domain).ok_or(FederationError::NotAPeer)?;
    if !has_pin(certificate.spki_sha256, &pins) {
        return Err(FederationError::NotAPeer);
    }
    let PeerCertificate { spki_sha256, until, .. } = certificate;
    list.note(&CertificateEnd { domain: domain.clone(), spki_sha256: *spki_sha256, until: *until });
    door.rates.get(&domain).unwrap_or(&door.rate).take(&domain).map_err(GatewayError::from)?;
    request.extensions_mut().insert(LetIn(domain.clone()));
    Ok(Peer(domain))
}

fn door(request: &HttpRequest) -> Result<&Data<Door>, FederationError> {
    request.app_data().ok_or(FederationError::NotSetUp)
}

/// The value of a header that must occur exactly once.
fn only(request: &HttpRequest, name: HeaderName) -> Result<&str, FederationError> {
    let mut values = request.headers().get_all(&name);
    let value = values.next().and_then(|value| value.to_str().ok());
    match (value, values.next()) {
        (Some(value), None) => Ok(value),
        (_, Some(_)) | (None, None) => Err(FederationError::Header(name)),
    }
}
