//! The one place that knows which YAML implementation is used: configuration, room templates and tests all
//! come through here.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// What is wrong with a YAML file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// What was expected, in the parser's words without its position.
    pub message: String,
    /// Line, from 1, where the parser knows it.
    pub line: Option<usize>,
    /// Column, from 1, where the parser knows it.
    pub column: Option<usize>,
}

/// Reads one YAML document. Unknown keys are errors where `T` denies them.
///
/// # Errors
///
/// [`YamlError`] with the position of the first thing that does not fit `T`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    // Aliases repeat what stands elsewhere, and what they repeat may hold aliases: a few lines become gigabytes.
    if text.contains('*') {
        let left = Cell::new(MOST_UNFOLDED);
        Measure(&left).deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| explain(&error))?;
    }
    serde_yaml::from_str(text).map_err(|error| explain(&error))
}

/// Writes a YAML document.
///
/// # Errors
///
/// [`YamlError`] for what YAML cannot hold, such as a map whose keys are maps.
pub fn write<T: serde::Serialize>(value: &T) -> Result<String, YamlError> {
    serde_yaml::to_string(value).map_err(|error| explain(&error))
}

fn explain(error: &serde_yaml::Error) -> YamlError {
    let location = error.location();
    let message = error.to_string();
    let message = match message.rsplit_once(" at line ") {
        Some((before, _)) if location.is_some() => before.to_owned(),
        _ => message,
    };
    YamlError {
        message,
        line: location.as_ref().map(serde_yaml::Location::line),
        column: location.as_ref().map(serde_yaml::Location::column),
    }
}

/// How much a document may be once its aliases are written out: bytes of text and one for each value.
const MOST_UNFOLDED: usize = 8 << 20;

/// Reads a document without keeping it, and fails once it is larger than what is left.
#[derive(Clone, Copy)]
struct Measure<'a>(&'a Cell<usize>);

impl Measure<'_> {
    fn take<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(bytes + 1);
        self.0.set(left.ok_or_else(|| E::custom("aliases of the document unfold to more than 8 MiB"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Measure<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Measure<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.take(0)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<(), E> {
        self.take(0)
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<(), E> {
        self.take(0)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.take(text.len())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take(0)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {
            self.take(0)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let ((), value) = data.variant_seed(self)?;
        value.newtype_variant_seed(self)
    }
}

/// Line and column, from 1, of the value at `path`: keys, and positions from 0, with dots between them. Where the
/// document ends before the path does, the place of what it has of it, so that a missing key is found at its parent.
pub fn locate(text: &str, path: &str) -> Option<(usize, usize)> {
    let steps: Vec<&str> = path.split('.').collect();
    (1..=steps.len()).rev().find_map(|length| {
        let probe = Probe(steps.get(..length)?);
        let failed = probe.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
        failed.location().map(|place| (place.line(), place.column()))
    })
}

/// Fails at the value that the steps lead to: the parser knows its position only while it reads it.
#[derive(Clone, Copy)]
struct Probe<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path that goes on")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (step, rest) = self.0.split_first().ok_or_else(found)?;
        while let Some(key) = map.next_key::<String>()? {
            if key == *step {
                map.next_value_seed(Probe(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (step, rest) = self.0.split_first().ok_or_else(found)?;
        for _ in 0..step.parse().unwrap_or(usize::MAX) {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Probe(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

fn found<E: serde::de::Error>() -> E {
    E::custom("here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its presence matters")]
        name: String,
    }

    #[test]
    fn an_unknown_key_is_reported_with_its_line() {
        let error = parse::<Sample>("name: x\nnmae: y\n").unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.message.contains("unknown field `nmae`"), "{}", error.message);
    }

    #[test]
    fn aliases_that_unfold_without_end_are_an_error() {
        let mut laughs = String::from("a0: &a0 [x]\n");
        for level in 1..30 {
            let of = format!("*a{}, ", level - 1).repeat(9);
            laughs.push_str(&format!("a{level}: &a{level} [{of}]\n"));
        }
        let wide = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(100_000), "*a, ".repeat(100_000));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), "*a, ".repeat(100_000));
        for bomb in [laughs, wide, long] {
            let error = parse::<IgnoredAny>(&bomb).unwrap_err();
            assert!(error.message.contains("unfold") || error.message.contains("limit"), "{}", error.message);
        }
    }

    #[test]
    fn aliases_in_measure_are_read() {
        let parsed: std::collections::BTreeMap<String, Vec<u32>> = parse("a: &a [1, 2]\nb: *a\n").unwrap();
        assert_eq!(parsed["b"], [1, 2]);
    }

    const NESTED: &str = "\
# peers: not here
peers:
  - domain: b.example
    spki: aa
  - { domain: c.example, spki: bb }
keys:
  hub: hub.key
";

    #[test]
    fn a_value_is_found_by_its_path() {
        let line = |path| locate(NESTED, path).map(|(line, _)| line);
        assert_eq!(locate(NESTED, "peers.0.spki"), Some((4, 11)));
        assert_eq!(locate(NESTED, "peers.1.spki"), Some((5, 32)));
        assert_eq!(locate(NESTED, "peers.1"), Some((5, 5)));
        assert_eq!(line("keys.hub"), Some(7));
    }

    #[test]
    fn what_is_missing_is_found_at_what_should_hold_it() {
        assert_eq!(locate(NESTED, "keys.trust"), locate(NESTED, "keys"));
        assert_eq!(locate(NESTED, "peers.7.spki"), locate(NESTED, "peers"));
        assert_eq!(locate(NESTED, "policies"), None);
    }
}
