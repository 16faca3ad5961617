//! What is wrong with the files of a policy bundle, shown where it stands.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};
use portcullis_core::policy::{Diagnostic, Severity};

/// A report for each diagnostic, with the lines that it is about.
pub(super) fn reports(
    folder: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    diagnostics: impl IntoIterator<Item = Diagnostic>,
) -> Vec<Report> {
    diagnostics
        .into_iter()
        .map(|diagnostic| {
            let text = files.get(&diagnostic.file).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            report(&folder.join(&diagnostic.file), text.unwrap_or_default(), diagnostic)
        })
        .collect()
}

fn report(path: &Path, text: String, diagnostic: Diagnostic) -> Report {
    let mut shown = MietteDiagnostic::new(diagnostic.message);
    shown.help = diagnostic.help;
    shown.severity = Some(match diagnostic.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    });
    let excerpt = Excerpt::of(&text, diagnostic.line, diagnostic.column, diagnostic.length);
    shown = shown.with_label(LabeledSpan::at(excerpt.span, "here"));
    Report::new(shown).with_source_code(NamedSource::new(path.display().to_string(), excerpt.text))
}

/// A file as a terminal can show it: nothing in it controls one, and no line fills it.
struct Excerpt {
    text: String,
    /// What it is about, in bytes.
    span: Range<usize>,
}

impl Excerpt {
    /// Longest line, in characters.
    const WIDTH: usize = 160;
    /// How many characters of a longer one stand before what it is about.
    const BEFORE: usize = 60;

    fn of(text: &str, line: usize, column: usize, length: usize) -> Self {
        let (mut shown, mut span) = (String::new(), 0..0);
        for (number, written) in text.split('\n').enumerate() {
            let is_meant = number + 1 == line;
            let first = if is_meant { column.saturating_sub(1 + Self::BEFORE) } else { 0 };
            let count = written.chars().count();
            let first = if count > Self::WIDTH { first } else { 0 };
            if is_meant {
                let bytes = |part: &str| part.chars().map(Self::plain).map(char::len_utf8).sum::<usize>();
                let before: String = written.chars().take(column.saturating_sub(1)).skip(first).collect();
                let meant = written
                    .char_indices()
                    .nth(column.saturating_sub(1))
                    .and_then(|(at, _)| written.get(at..at + length));
                let room: String = meant.unwrap_or_default().chars().take(Self::WIDTH - Self::BEFORE).collect();
                let start = shown.len() + bytes(&before);
                span = start..start + bytes(&room);
            }
            shown.extend(written.chars().skip(first).take(Self::WIDTH).map(Self::plain));
            shown.push('\n');
        }
        Self { text: shown, span }
    }

    fn plain(c: char) -> char {
        if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str, line: usize, column: usize, length: usize) -> String {
        let excerpt = Excerpt::of(text, line, column, length);
        excerpt.text[excerpt.span].to_owned()
    }

    #[test]
    fn an_excerpt_shows_what_it_is_about() {
        assert_eq!(meant("one two\nthree", 1, 5, 3), "two");
        assert_eq!(meant("äö two\nthree", 2, 1, 5), "three");
        assert_eq!(meant("one", 9, 9, 9), "");
        assert_eq!(meant("", 1, 1, 0), "");
    }

    #[test]
    fn what_it_is_about_stays_in_sight_on_a_line_of_any_length() {
        let long = format!("{}two{}", "x".repeat(100_000), "y".repeat(100_000));
        assert_eq!(meant(&long, 1, 100_001, 3), "two");
        assert!(Excerpt::of(&long, 1, 100_001, 3).text.len() < 200);
        assert_eq!(meant(&long, 1, 1, 200_003).len(), 100);
    }

    #[test]
    fn nothing_in_it_controls_a_terminal() {
        assert_eq!(Excerpt::of("a\u{1b}[2Jb\r", 1, 1, 0).text, "a\u{fffd}[2Jb\u{fffd}\n");
        assert_eq!(meant("\u{1b}\u{1b}two", 1, 3, 3), "two");
    }
}
