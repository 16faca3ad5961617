use portcullis_core::wire::uri::Domain;
use reqwest::Response;
use reqwest::header::{ACCEPT, FROM, HeaderMap};
use tracing::Instrument as _;

use super::{Endpoint, PeerError, Peers, unreachable, url_of};

impl Peers {
    /// Asks the hub `to` for a file, in the name of `own`, and gives what it answers, whatever that is, as soon as its head is
    /// there. `headers` say what of the file is wanted.
    ///
    /// # Errors
    ///
    /// [`PeerError`] when there is no answer.
    pub async fn download(
        &self,
        own: &Domain,
        to: &Domain,
        url: &str,
        headers: HeaderMap,
    ) -> Result<Response, PeerError> {
        let peer = self.peer(to)?;
        let asker = peer.askers.get(own).ok_or_else(|| PeerError::UnknownOwn(own.clone()))?;
        let endpoint = Endpoint::ProxyDownload(url.to_owned());
        let span = tracing::info_span!("peer.download", otel.kind = "client", peer = %to);
        let answered = async {
            let at = url_of(&peer.directory(None).await?.directory, &endpoint)?;
            let request = asker.get(at).headers(headers).header(FROM, format!("mimi@{own}")).header(ACCEPT, "*/*");
            request.send().await.map_err(unreachable)
        };
        answered.instrument(span).await
    }
}
