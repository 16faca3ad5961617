use std::collections::BTreeMap;

use super::TelemetryError;
use crate::config::{self, Secret};

/// Where logs, traces and metrics go, and by which right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    origin: String,
    /// Sent with every request; may hold secrets.
    headers: BTreeMap<String, String>,
}

impl Collector {
    /// The collector at an origin such as `http://127.0.0.1:4318`.
    pub fn at(origin: &str) -> Self {
        Self { origin: origin.trim_end_matches('/').to_owned(), headers: BTreeMap::new() }
    }

    /// The collector that the configuration names, with the secrets that it refers to; `None` when it names none.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Secret`].
    pub fn of(config: &config::Telemetry) -> Result<Option<Self>, TelemetryError> {
        let Some(origin) = &config.otlp else { return Ok(None) };
        let headers = config.headers.iter().map(|(name, secret)| Ok((name.clone(), reveal(name, secret)?)));
        Ok(Some(Self { headers: headers.collect::<Result<_, TelemetryError>>()?, ..Self::at(origin) }))
    }

    /// The address for a signal: `logs`, `traces` or `metrics`.
    pub fn url(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.origin)
    }

    /// Names and values of headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn reveal(header: &str, secret: &Secret) -> Result<String, TelemetryError> {
    let missing =
        |source: Box<dyn std::error::Error + Send + Sync>| TelemetryError::Secret { header: header.to_owned(), source };
    let value = match (&secret.file, &secret.env) {
        (Some(file), None) => std::fs::read_to_string(file).map_err(|error| missing(error.into()))?,
        (None, Some(name)) => std::env::var(name).map_err(|error| missing(error.into()))?,
        (Some(_), Some(_)) | (None, None) => return Err(missing("expected either `file` or `env`".into())),
    };
    Ok(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(secret: Secret) -> config::Telemetry {
        let headers = [("authorization".to_owned(), secret)].into();
        config::Telemetry { otlp: Some("http://127.0.0.1:4318/".to_owned()), headers, log: None }
    }

    #[test]
    fn a_header_is_read_from_its_file_without_the_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Bearer abc\n").unwrap();
        let secret = Secret { file: Some(file.path().to_owned()), env: None };
        let collector = Collector::of(&configured(secret)).unwrap().unwrap();
        assert_eq!(collector.headers().collect::<Vec<_>>(), [("authorization", "Bearer abc")]);
        assert_eq!(collector.url("logs"), "http://127.0.0.1:4318/v1/logs");
    }

    #[test]
    fn a_secret_that_is_nowhere_or_in_two_places_is_an_error_that_names_the_header() {
        let nowhere = Secret { file: None, env: Some("PORTCULLIS_NO_SUCH_VARIABLE".to_owned()) };
        let twice = Secret { file: Some("token".into()), env: Some("TOKEN".to_owned()) };
        for secret in [nowhere, twice, Secret::default()] {
            let error = Collector::of(&configured(secret)).unwrap_err();
            assert_eq!(error.to_string(), "header `authorization` for the collector cannot be read");
        }
    }
}
