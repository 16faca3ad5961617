use std::net::SocketAddr;

use serde::Deserialize;

/// Most claims that are kept of a user.
pub(super) const MOST_CLAIMS: usize = 16;

/// The provider door: HTTP with bearer tokens. Put it behind the company's own TLS when it leaves the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderListener {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Keys that sign the tokens: a JWKS file, or an `https:`/`http:` URL.
    pub jwks: String,
    /// Required `iss` of tokens, when set.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Claims of users' own tokens that are kept when they are registered, for the rules of the policies; at most 16 names.
    #[serde(default)]
    pub claims: Vec<String>,
}
