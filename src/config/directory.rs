use std::collections::BTreeMap;
use std::net::SocketAddr;

use portcullis_core::wire::uri::Domain;
use serde::Deserialize;

/// The directory door: SCIM for the company's identity provider. Put it behind the company's own TLS when it leaves the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryListener {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// Origin that the identity provider uses, such as `https://id.a.example`; stands in the URLs of users and groups.
    pub url: String,
    /// What stands behind the `@` of user names, beside the domains themselves, and which of the domains that is.
    #[serde(default)]
    pub mail_domains: BTreeMap<String, Domain>,
}
