//! The one place that knows which YAML implementation is used: configuration, room templates and tests all
//! come through here.

use serde::de::DeserializeOwned;

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
    serde_yaml::from_str(text).map_err(|error| {
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
    })
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
}
