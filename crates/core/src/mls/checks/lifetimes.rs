//! Check 4: KeyPackages of Adds have an acceptable lifetime with enough of it left.

use openmls::key_packages::KeyPackage;

use crate::mls::error::HandshakeError;
use crate::mls::key_package::{MINIMUM_REMAINING, check_lifetime};
use crate::time::Millis;

use super::CheckId;

pub(in crate::mls) fn check<'a>(
    mut added: impl Iterator<Item = &'a KeyPackage>,
    now: Millis,
) -> Result<(), HandshakeError> {
    let good = added.all(|key_package| check_lifetime(key_package.life_time(), MINIMUM_REMAINING, now).is_ok());
    if good { Ok(()) } else { Err(HandshakeError::proposals(CheckId::Lifetimes)) }
}
