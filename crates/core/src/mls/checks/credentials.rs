//! Check 5: a renewed leaf is still of the client and of the user it was of: a certificate names the two independently.
//! That credentials name clients at all is checked where they are read.

use crate::wire::uri::{ClientUri, UserUri};

use super::CheckId;

pub(in crate::mls) fn continued(
    before: &(ClientUri, UserUri),
    after: Option<&(ClientUri, UserUri)>,
) -> Result<(), CheckId> {
    match after {
        Some(after) if after != before => Err(CheckId::Credentials),
        Some(_) | None => Ok(()),
    }
}
