use std::str::FromStr;

use data_encoding::HEXLOWER;

/// Digest of a bundle, 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleId(pub [u8; 32]);

impl FromStr for BundleId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let octets = HEXLOWER.decode(text.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or("expected the digest of a bundle, 64 hexadecimal digits")
    }
}

impl std::fmt::Display for BundleId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}
