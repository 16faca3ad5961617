use std::collections::BTreeMap;

use portcullis_core::wire::uri::{Domain, UriError};
use serde::Deserialize;

/// Which provider has the users of an e-mail address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// The provider of each domain that stands behind the `@`, where that is not the provider's own name.
    pub providers: BTreeMap<Domain, Domain>,
    /// Which other domains may be asked whose they are, at their own name; none when not set.
    pub probe: Vec<Probed>,
}

/// A domain that may be asked whose addresses it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Probed {
    /// Whichever (`*`): everybody who may search has this gateway ask the domain that they name.
    Any,
    /// This one.
    Domain(Domain),
}

impl TryFrom<String> for Probed {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        if text == "*" { Ok(Self::Any) } else { Domain::parse(&text).map(Self::Domain) }
    }
}
