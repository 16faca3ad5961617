//! Policies in their one form.

use cedar_policy::ffi::DetailedError;
use cedar_policy::{ParseErrors, PolicySet};
use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::depth;
use super::diagnostic::{Diagnostic, Source};

/// Longest line of a policy, in characters; comments stay as long as they are.
const LINE_WIDTH: usize = 100;

/// The policies of a file as everybody writes them: comments and order stay, meaning never changes.
///
/// # Errors
///
/// Everything that keeps them from being read, under the name `file`.
pub fn format(file: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    let source = Source { file, text };
    if let Some((offset, message)) = depth::of_file("cedar", text) {
        return Err(vec![source.at(offset, message, Some(depth::expected()))]);
    }
    if let Err(errors) = text.parse::<PolicySet>() {
        let errors: &ParseErrors = &errors;
        return Err(errors.iter().map(|error| source.cedar(DetailedError::from(error), 0)).collect());
    }
    let (heading, policies) = text.split_at(heading(text));
    let config = Config { line_width: LINE_WIDTH, indent_width: 2 };
    let formatted = policies_str_to_pretty(policies, &config);
    let formatted = formatted.map_err(|error| vec![source.at(0, error.to_string(), None)])?;
    let heading = heading.trim();
    if heading.is_empty() { Ok(formatted) } else { Ok(format!("{heading}\n\n{}", formatted.trim_start())) }
}

/// Where the comment ends that a file begins with, if a blank line stands between it and the first policy: the formatter
/// would take it for the policy's own.
fn heading(text: &str) -> usize {
    let (mut at, mut end) = (0, 0);
    for line in text.split_inclusive('\n') {
        match line.trim() {
            "" => end = at,
            comment if comment.starts_with("//") => {}
            _ => return end,
        }
        at += line.len();
    }
    0
}
