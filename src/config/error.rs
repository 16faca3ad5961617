use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceOffset, SourceSpan};
use portcullis_core::yaml::YamlError;

/// Why a configuration is not taken. Shown with file, line and caret; the process exits with 3.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no valid configuration.
    #[error("{message}")]
    Invalid {
        /// What was expected.
        message: String,
        /// The file and its text.
        #[source_code]
        file: Arc<NamedSource<String>>,
        /// Where.
        #[label("here")]
        at: Option<SourceSpan>,
        /// Line and column, from 1.
        position: Option<(usize, usize)>,
    },
}

impl ConfigError {
    pub(super) fn parse(path: &Path, text: &str, error: &YamlError) -> Self {
        let position = error.line.zip(error.column);
        Self::at(path, text, error.message.clone(), position)
    }

    pub(super) fn invalid(path: &Path, text: &str, key: &str, expected: String) -> Self {
        let position = text
            .lines()
            .enumerate()
            .find_map(|(index, line)| line.find(&format!("{key}:")).map(|column| (index + 1, column + 1)));
        Self::at(path, text, format!("expected {expected}"), position)
    }

    fn at(path: &Path, text: &str, message: String, position: Option<(usize, usize)>) -> Self {
        let at = position.map(|(line, column)| SourceSpan::new(SourceOffset::from_location(text, line, column), 1));
        Self::Invalid {
            message,
            file: Arc::new(NamedSource::new(path.display().to_string(), text.to_owned())),
            at,
            position,
        }
    }

    /// Line and column, from 1, where they are known.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            Self::Read { .. } => None,
            Self::Invalid { position, .. } => *position,
        }
    }
}
