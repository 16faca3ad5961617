//! Check 10: authenticated data is exactly one SafeAAD where the group uses it.
//!
//! openmls takes a SafeAAD followed by anything, by a path that asserts on truncated input in debug builds (C-13);
//! draft-ietf-mls-extensions, section 4.9 says that the whole field is the struct.

use openmls::group::GroupContext;

use crate::mls::component_updates::dictionary;
use crate::wire::Wire;
use crate::wire::components::SafeAadComponents;
use crate::wire::frank::SafeAad;

use super::CheckId;

pub(in crate::mls) fn check(authenticated_data: &[u8], context: &GroupContext) -> Result<(), CheckId> {
    let components = dictionary(context.extensions().app_data_dictionary().map(|extension| extension.dictionary()));
    let allowed = components.read::<SafeAadComponents>().map_err(|_| CheckId::AuthenticatedData)?;
    let Some(allowed) = allowed else { return Ok(()) };
    let aad = SafeAad::decode(authenticated_data).map_err(|_| CheckId::AuthenticatedData)?;
    let known = aad.components().all(|component| allowed.components.contains(&component));
    if known { Ok(()) } else { Err(CheckId::AuthenticatedData) }
}
