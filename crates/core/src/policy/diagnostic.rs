//! What is wrong with a file of a bundle, and where.

use std::fmt;

use cedar_policy::ffi::DetailedError;

use crate::yaml::YamlError;

/// One thing that is wrong. Bundles list all of theirs, in the order of files and lines, each once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Path of the file in the bundle.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A text file of the bundle, for turning offsets into positions.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// A diagnostic at the byte `offset`.
    pub(super) fn at(&self, offset: usize, message: impl Into<String>, help: Option<String>) -> Diagnostic {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Diagnostic { file: self.file.to_owned(), line, column, message: message.into(), help }
    }

    /// A diagnostic at the first place from `from` on where `needle` stands, or at `from` itself.
    pub(super) fn near(&self, from: usize, needle: &str, message: String, help: Option<String>) -> Diagnostic {
        let found = self.text.get(from..).and_then(|rest| rest.find(needle));
        self.at(from + found.unwrap_or(0), message, help)
    }

    /// What the YAML parser found.
    pub(super) fn yaml(&self, error: YamlError) -> Diagnostic {
        Diagnostic {
            file: self.file.to_owned(),
            line: error.line.unwrap_or(1),
            column: error.column.unwrap_or(1),
            message: error.message,
            help: None,
        }
    }

    /// One of Cedar's errors, at its own position or at `fallback`.
    pub(super) fn cedar(&self, error: DetailedError, fallback: usize) -> Diagnostic {
        let offset = error.source_locations.first().map_or(fallback, |label| label.loc.start);
        let label = error.source_locations.into_iter().find_map(|label| label.label);
        self.at(offset, error.message, error.help.or(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source { file: "x", text: "äb\ncd" };
        let position = |offset| {
            let diagnostic = source.at(offset, "", None);
            (diagnostic.line, diagnostic.column)
        };
        assert_eq!(position(0), (1, 1));
        assert_eq!(position(2), (1, 2));
        assert_eq!(position(5), (2, 2));
        assert_eq!(position(99), (2, 3));
    }
}
