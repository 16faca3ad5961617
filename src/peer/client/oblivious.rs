use actix_web::web::Bytes;
use portcullis_core::wire::uri::Domain;
use reqwest::header::{ACCEPT, CONTENT_TYPE, FROM};
use tracing::Instrument as _;

use super::{EXCHANGE_TIMEOUT, PeerError, Peers, read, retry_after, unreachable};
use crate::peer::directory::ohttp_gateway;

/// Longest answer: the largest file, and what is put around it.
const ANSWER_BYTES: usize = (8 << 20) + (64 << 10);

impl Peers {
    /// Hands an encapsulated request to the gateway of Oblivious HTTP of `to`, and gives the encapsulated answer; without one, gives
    /// the keys that requests are encapsulated to. Nothing is tried again: the request is used up.
    ///
    /// # Errors
    ///
    /// [`PeerError`].
    pub async fn oblivious(&self, own: &Domain, to: &Domain, request: Option<Bytes>) -> Result<Bytes, PeerError> {
        let peer = self.peer(to)?;
        let asker = peer.askers.get(own).ok_or_else(|| PeerError::UnknownOwn(own.clone()))?;
        let span = tracing::info_span!("peer.oblivious", otel.kind = "client", peer = %to);
        let asked = async {
            let at = ohttp_gateway(&peer.directory(None).await?.directory)?;
            let request = match request {
                Some(request) => asker.post(at).header(CONTENT_TYPE, "message/ohttp-req").body(request),
                None => asker.get(at),
            };
            let request = request.header(FROM, format!("mimi@{own}")).header(ACCEPT, "*/*");
            let response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            if status.is_success() {
                let body = read(response, ANSWER_BYTES).await.map_err(unreachable)?;
                return body.ok_or(PeerError::Oversize { limit_bytes: ANSWER_BYTES });
            }
            let (transient, retry_after) = (!status.is_client_error(), retry_after(response.headers()));
            let status = status.as_u16();
            Err(if transient { PeerError::Transient { status, retry_after } } else { PeerError::Permanent { status } })
        };
        tokio::time::timeout(EXCHANGE_TIMEOUT, asked).instrument(span).await.map_err(|_| PeerError::TimedOut)?
    }
}
