//! Where the users of a room keep files (asset_policy, draft-ietf-mimi-room-policy).

use std::collections::BTreeSet;

use crate::mls::GroupView;
use crate::wire::components::{AssetDomains, AssetPolicy, AssetUploadLocation};
use crate::wire::uri::{Domain, UriError};

use super::Breach;
use super::well_formed::require;

/// Most hosts of one room: the gateway fetches from all of them on request.
const MAX_HOSTS: usize = 64;

/// A host, and the provider whose users keep files there.
pub type AssetHost = (Domain, Domain);

/// The hosts that a room names, of providers with a participant in it: provider and host. None for a room without a policy, or with one that was never well formed.
pub fn asset_hosts(group: &GroupView) -> BTreeSet<AssetHost> {
    let policy = group.components.read::<AssetPolicy>().ok().flatten();
    let mut hosts = policy.and_then(|policy| hosts(&policy).ok()).unwrap_or_default();
    if !hosts.is_empty() {
        let list = group.components.participants().ok().flatten();
        let of = |provider: &Domain| {
            let mut listed = list.iter().flat_map(|list| &list.participants);
            listed.any(|participant| participant.user.domain() == *provider)
        };
        let named: BTreeSet<Domain> = hosts.iter().map(|(provider, _)| provider.clone()).collect();
        let present: BTreeSet<Domain> = named.into_iter().filter(of).collect();
        hosts.retain(|(provider, _)| present.contains(provider));
    }
    hosts
}

/// Checks what can be said of the policy by itself. Rooms whose hub keeps the files are not supported: there is no place for them.
pub(super) fn well_formed(policy: &AssetPolicy) -> Result<(), Breach> {
    require(policy.upload_location != AssetUploadLocation::Hub, Breach::NotSupported)?;
    let privacy = &policy.download_privacy;
    let allowed = privacy.allowed.is_empty() || privacy.allowed.contains(&privacy.default);
    let contradicts = privacy.forbidden.contains(&privacy.default)
        || privacy.allowed.iter().any(|way| privacy.forbidden.contains(way));
    require(allowed && !contradicts, Breach::Malformed)?;
    let providers: BTreeSet<&str> = policy.upload_domains.iter().map(|of| of.provider.as_str()).collect();
    require(providers.len() == policy.upload_domains.len(), Breach::Malformed)?;
    let hosts = hosts(policy).map_err(|_| Breach::Malformed)?;
    require(hosts.len() <= MAX_HOSTS, Breach::NotSupported)
}

fn hosts(policy: &AssetPolicy) -> Result<BTreeSet<AssetHost>, UriError> {
    let of_provider = |of: &AssetDomains| {
        let provider = Domain::parse(&of.provider)?;
        let hosts = of.destinations.iter().map(|host| Ok((provider.clone(), Domain::parse(host)?)));
        hosts.collect::<Result<Vec<_>, UriError>>()
    };
    let all = policy.upload_domains.iter().map(of_provider).collect::<Result<Vec<_>, UriError>>()?;
    Ok(all.into_iter().flatten().collect())
}
