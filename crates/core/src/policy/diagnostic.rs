//! What is wrong with a file of a bundle, and where.

use std::fmt;

use cedar_policy::ffi::DetailedError;

use crate::yaml::YamlError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The bundle is not taken.
    Error,
    /// The bundle is taken, and does perhaps not what its author meant.
    Warning,
}

impl Severity {
    /// As reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

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
    /// How bad it is.
    pub severity: Severity,
    /// How much of the line it is about, in bytes; 0 where it is about a place.
    pub length: usize,
}

impl Diagnostic {
    /// The same, as something that the bundle is taken with.
    pub(super) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
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
        let (file, message) = (self.file.to_owned(), message.into());
        Diagnostic { file, line, column, message, help, severity: Severity::Error, length: 0 }
    }

    /// A diagnostic about the `length` bytes from `offset` on, as far as they stand in one line.
    pub(super) fn span(
        &self,
        offset: usize,
        length: usize,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let line = self.text.get(offset..).and_then(|rest| rest.lines().next()).map_or(0, |line| line.trim_end().len());
        Diagnostic { length: length.min(line), ..self.at(offset, message, help) }
    }

    /// A diagnostic at the first place from `from` on where `needle` stands, or at `from` itself.
    pub(super) fn near(&self, from: usize, needle: &str, message: String, help: Option<String>) -> Diagnostic {
        match self.text.get(from..).and_then(|rest| rest.find(needle)) {
            Some(found) => self.span(from + found, needle.len(), message, help),
            None => self.at(from, message, help),
        }
    }

    /// What the YAML parser found.
    pub(super) fn yaml(&self, error: YamlError) -> Diagnostic {
        Diagnostic {
            file: self.file.to_owned(),
            line: error.line.unwrap_or(1),
            column: error.column.unwrap_or(1),
            message: error.message,
            help: None,
            severity: Severity::Error,
            length: 0,
        }
    }

    /// One of Cedar's errors, at its own position or at `fallback`.
    pub(super) fn cedar(&self, error: DetailedError, fallback: usize) -> Diagnostic {
        let place = error.source_locations.first().map(|label| (label.loc.start, label.loc.end));
        let (start, end) = place.unwrap_or((fallback, fallback));
        let label = error.source_locations.into_iter().find_map(|label| label.label);
        // What looks like a letter of Cedar's language and is none.
        let strange = self.text.get(start..).and_then(|rest| rest.chars().next()).filter(|c| !c.is_ascii());
        let strange = strange.map(|c| format!("`{c}` is U+{:04X}, which can stand in a text only", u32::from(c)));
        self.span(start, end.saturating_sub(start), error.message, error.help.or(label).or(strange))
    }
}

/// Places in a text, asked for from its beginning to its end, so that lines are counted once.
pub(super) struct Cursor<'a> {
    source: Source<'a>,
    at: usize,
    line: usize,
    /// Where the line begins.
    start: usize,
    /// How far the text was searched.
    searched: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, at: 0, line: 1, start: 0, searched: 0 }
    }

    /// A diagnostic, with nothing said yet, about the rest of the line from the byte `offset` on.
    pub(super) fn place(&mut self, offset: usize) -> Diagnostic {
        if offset < self.at {
            *self = Self { searched: self.searched, ..Self::new(self.source) };
        }
        let passed = self.source.text.get(self.at..offset).unwrap_or_default();
        self.line += passed.matches('\n').count();
        self.start = passed.rfind('\n').map_or(self.start, |end| self.at + end + 1);
        self.at = offset;
        let column = self.source.text.get(self.start..offset).map_or(0, |before| before.chars().count()) + 1;
        let rest = self.source.text.get(offset..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let (file, length) = (self.source.file.to_owned(), rest.trim_end().len());
        let (message, severity) = (String::new(), Severity::Error);
        Diagnostic { file, line: self.line, column, message, help: None, severity, length }
    }

    /// Where `needle` stands next, after what was searched for last; at the last place, if it does not.
    pub(super) fn next(&mut self, needle: &str) -> usize {
        let rest = self.source.text.get(self.searched..).unwrap_or_default();
        let Some(found) = rest.find(needle).map(|found| self.searched + found) else { return self.at };
        self.searched = found + needle.len();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_finds_the_same_places() {
        let source = Source { file: "x", text: "äb\ncd  \n\nef" };
        let mut cursor = Cursor::new(source);
        for offset in [0, 2, 4, 5, 8, 9, 10, 4, 0] {
            assert_eq!(cursor.place(offset), source.span(offset, usize::MAX, "", None), "{offset}");
        }
        let mut next = |needle: &str| {
            let at = cursor.next(needle);
            cursor.place(at).line
        };
        assert_eq!((next("d"), next("ef"), next("ef"), next("x")), (2, 4, 4, 4));
    }

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

    #[test]
    fn what_it_is_about_ends_with_its_line() {
        let source = Source { file: "x", text: "one two\nthree" };
        let length = |offset, length| source.span(offset, length, "", None).length;
        assert_eq!((length(0, 3), length(4, 100), length(8, 5), length(13, 1)), (3, 3, 5, 0));
        assert_eq!(source.near(0, "two", String::new(), None).length, 3);
    }
}
