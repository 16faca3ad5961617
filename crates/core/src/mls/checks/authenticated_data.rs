//! Check 10: authenticated data is exactly one SafeAAD where the group uses it.
//!
//! openmls takes a SafeAAD followed by anything, by a path that asserts on truncated input in debug builds (C-13);
//! draft-ietf-mls-extensions, section 4.9 says that the whole field is the struct.

use openmls::group::GroupContext;

use crate::mls::component_updates::dictionary;
use crate::wire::Wire;
use crate::wire::components::{Dictionary, SafeAadComponents};
use crate::wire::frank::SafeAad;

use super::CheckId;

pub(in crate::mls) fn check(authenticated_data: &[u8], context: &GroupContext) -> Result<(), CheckId> {
    let components = dictionary(context.extensions().app_data_dictionary().map(|extension| extension.dictionary()));
    let Some(allowed) = allowed(&components)? else { return Ok(()) };
    let aad = SafeAad::decode(authenticated_data).map_err(|_| CheckId::AuthenticatedData)?;
    let known = aad.components().all(|component| allowed.components.contains(&component));
    if known { Ok(()) } else { Err(CheckId::AuthenticatedData) }
}

/// The components that may stand in authenticated data; `None` where it is free. A group in which this cannot be read
/// could take no further handshake.
pub(in crate::mls) fn allowed(components: &Dictionary) -> Result<Option<SafeAadComponents>, CheckId> {
    components.read().map_err(|_| CheckId::AuthenticatedData)
}
