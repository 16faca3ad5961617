//! Whether something is optional, required or forbidden, and what goes with it where it is not forbidden.

use std::io::{Read, Write};

use tls_codec::{Deserialize, Error, Serialize, Size, TlsDeserialize, TlsSerialize, TlsSize};

/// `Optionality` (reading P-1).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserialize, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Optionality {
    /// As each user likes.
    Optional = 0,
    /// Always.
    Required = 1,
    /// Never.
    Forbidden = 2,
}

/// An [`Optionality`] followed by `T` unless it is forbidden.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "use", rename_all = "snake_case")]
pub enum Conditional<T> {
    /// As each user likes, within `T`.
    Optional(T),
    /// Always, within `T`.
    Required(T),
    /// Never.
    Forbidden,
}

impl<T> Conditional<T> {
    /// Which of the three it is.
    pub fn optionality(&self) -> Optionality {
        match self {
            Self::Optional(_) => Optionality::Optional,
            Self::Required(_) => Optionality::Required,
            Self::Forbidden => Optionality::Forbidden,
        }
    }

    /// What goes with it; `None` where it is forbidden.
    pub fn terms(&self) -> Option<&T> {
        match self {
            Self::Optional(terms) | Self::Required(terms) => Some(terms),
            Self::Forbidden => None,
        }
    }
}

impl<T: Size> Size for Conditional<T> {
    fn tls_serialized_len(&self) -> usize {
        self.optionality().tls_serialized_len() + self.terms().map_or(0, T::tls_serialized_len)
    }
}

impl<T: Serialize> Serialize for Conditional<T> {
    fn tls_serialize<W: Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let head = self.optionality().tls_serialize(writer)?;
        let rest = self.terms().map_or(Ok(0), |terms| terms.tls_serialize(writer))?;
        Ok(head + rest)
    }
}

impl<T: Deserialize> Deserialize for Conditional<T> {
    fn tls_deserialize<R: Read>(reader: &mut R) -> Result<Self, Error> {
        match Optionality::tls_deserialize(reader)? {
            Optionality::Optional => T::tls_deserialize(reader).map(Self::Optional),
            Optionality::Required => T::tls_deserialize(reader).map(Self::Required),
            Optionality::Forbidden => Ok(Self::Forbidden),
        }
    }
}
