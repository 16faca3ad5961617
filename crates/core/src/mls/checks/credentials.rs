//! Check 5: a renewed leaf is still of the client it was of. That credentials name clients at all is checked where
//! they are read.

use crate::wire::uri::ClientUri;

use super::CheckId;

pub(in crate::mls) fn continued(before: &ClientUri, after: Option<&ClientUri>) -> Result<(), CheckId> {
    match after {
        Some(after) if after != before => Err(CheckId::Credentials),
        Some(_) | None => Ok(()),
    }
}
