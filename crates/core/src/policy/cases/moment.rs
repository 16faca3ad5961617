use serde::de::{Deserializer, Error, Unexpected, Visitor};

use crate::time::Millis;

/// A point in time as tests write it: `2026-11-20T21:30:00+01:00`, or milliseconds since the UNIX epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Millis);

impl<'de> serde::Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Moment;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a point in time such as 2026-11-20T21:30:00Z, from 1970 on")
            }

            fn visit_u64<E: Error>(self, millis: u64) -> Result<Moment, E> {
                Ok(Moment(Millis(millis)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
                Millis::from_rfc3339(text).map(Moment).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Written)
    }
}
