//! Check 7: the Welcome is for exactly the KeyPackages that the commit adds (C-9).

use openmls_traits::types::Ciphersuite;

use crate::mls::{Effect, Part};
use crate::wire::mls::Welcome;

use super::CheckId;

/// Compares the Welcome with the Adds and returns the KeyPackageRefs.
pub(in crate::mls) fn check(
    welcome: Option<&Welcome>,
    parts: &[Part],
    suite: Ciphersuite,
) -> Result<Vec<Vec<u8>>, CheckId> {
    let references = welcome.map(Welcome::references).unwrap_or_default();
    let (mut welcomed, mut added) = (references.clone(), added(parts));
    welcomed.sort_unstable();
    added.sort_unstable();
    let same_suite = match welcome {
        Some(welcome) => welcome.clone().into_openmls().is_ok_and(|welcome| welcome.ciphersuite() == suite),
        None => true,
    };
    if same_suite && welcomed == added { Ok(references) } else { Err(CheckId::Welcome) }
}

fn added(parts: &[Part]) -> Vec<Vec<u8>> {
    let reference = |part: &Part| match &part.effect {
        Effect::Add { key_package_ref, .. } => Some(key_package_ref.clone()),
        _ => None,
    };
    parts.iter().filter_map(reference).collect()
}
