//! What is wrong with the files of a policy bundle, shown where it stands.

use std::collections::BTreeMap;
use std::path::Path;

use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report, SourceOffset};
use portcullis_core::policy::{Diagnostic, Severity};
use serde_json::{Value, json};

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
    let offset = SourceOffset::from_location(&text, diagnostic.line, diagnostic.column).offset();
    shown = shown.with_label(LabeledSpan::at(offset..offset + diagnostic.length, "here"));
    Report::new(shown).with_source_code(NamedSource::new(path.display().to_string(), text))
}

/// A diagnostic for programs.
pub(super) fn as_json(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { file, line, column, message, help, severity, length } = diagnostic;
    json!({
        "severity": severity.name(), "file": file, "line": line, "column": column, "length": length,
        "message": message, "help": help,
    })
}
