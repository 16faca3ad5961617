use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceOffset, SourceSpan};
use portcullis_core::yaml::{self, YamlError};

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

/// A configuration as it stands in its file.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// A text that stands in this file, or is to.
    pub fn new(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::new(path.to_owned(), text)),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// The folder that relative paths are taken from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new("."))
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Something is wrong with the value at `key`, such as `peers.0.spki`.
    pub fn fault(&self, key: &str, message: impl Into<String>) -> ConfigError {
        self.at(message.into(), yaml::locate(&self.text, key))
    }

    pub(super) fn unparsed(&self, error: YamlError) -> ConfigError {
        self.at(error.message, error.line.zip(error.column))
    }

    fn at(&self, message: String, position: Option<(usize, usize)>) -> ConfigError {
        let at =
            position.map(|(line, column)| SourceSpan::new(SourceOffset::from_location(&self.text, line, column), 1));
        let file = Arc::new(NamedSource::new(self.path.display().to_string(), self.text.clone()));
        ConfigError::Invalid { message, file, at, position }
    }
}

impl ConfigError {
    /// Line and column, from 1, where they are known.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            Self::Read { .. } => None,
            Self::Invalid { position, .. } => *position,
        }
    }
}
