//! Whose the clients are that are added. A KeyPackage is signed by whoever made it: that it is of the client it names is
//! known by who gave it out.

use std::collections::BTreeSet;

use portcullis_core::mls::{Effect, Part, Proposer};
use portcullis_core::policy::Side;
use portcullis_core::wire::uri::{ClientUri, Domain};
use portcullis_store::{StoreError, devices, key_packages, routes};
use serde_json::json;

use super::decide::{Case, Decision};
use super::{GatewayError, Inner};

/// Refuses the first of `parts` that adds a client by a KeyPackage which the client's provider has not given out: for
/// one of ours it was claimed here, and the client is not lost; for another one, it came through us as hub, or who adds it is of that provider. A
/// follower can tell of its own clients only.
pub(super) fn unclaimed<'a>(
    inner: &Inner,
    side: Side,
    case: &Case<'_>,
    parts: impl Iterator<Item = &'a Part>,
) -> Result<Option<Decision>, GatewayError> {
    let added: Vec<(&Vec<u8>, &ClientUri, &Proposer)> = parts
        .filter_map(|part| match &part.effect {
            Effect::Add { client, key_package_ref, .. } => Some((key_package_ref, client, &part.proposer)),
            _ => None,
        })
        .collect();
    if added.is_empty() {
        return Ok(None);
    }
    let references: Vec<Vec<u8>> = added.iter().map(|(reference, ..)| (*reference).clone()).collect();
    let clients: Vec<ClientUri> = added.iter().map(|(_, client, _)| (*client).clone()).collect();
    let (claimed, routes, (registered, lost)) = inner.store.read(|conn| {
        let mut registered = BTreeSet::new();
        for (_, client, by) in &added {
            if matches!(by, Proposer::Joiner { .. }) && devices::device_user(conn, client)?.is_some() {
                registered.insert((*client).clone());
            }
        }
        let claimed = key_packages::claimed(conn, &references)?;
        let lost = devices::lost(conn, &clients)?;
        Ok::<_, StoreError>((claimed, routes::lookup(conn, &references)?, (registered, lost)))
    })?;
    let unknown = added.into_iter().find(|(reference, client, by)| {
        let provider = client.domain();
        match (side, by) {
            // It proposes itself, and has signed that with its own key.
            (_, Proposer::Joiner { .. }) => inner.is_ours(&provider) && !registered.contains(*client),
            _ if inner.is_ours(&provider) => claimed.get(*reference) != Some(*client) || lost.contains(*client),
            (Side::Follower, _) => false,
            (Side::Hub, by) => routes.get(*reference).cloned().or_else(|| provider_of(by)) != Some(provider),
        }
    });
    Ok(unknown.map(|(_, client, _)| {
        case.refuse("key_package_unknown", "key_package_was_not_given_out", json!({ "client": client }))
    }))
}

fn provider_of(proposer: &Proposer) -> Option<Domain> {
    match proposer {
        Proposer::Member { user, .. } | Proposer::Joiner { user, .. } => Some(user.domain()),
        Proposer::ExternalSender { domain, .. } => domain.clone(),
    }
}
