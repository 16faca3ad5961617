//! Entries as a table (RFC 4180), safe to be opened by a spreadsheet: what would be a formula there is kept from being one.

use super::super::Shown;

pub(super) const HEADER: [&str; 17] = [
    "seq", "time", "at", "kind", "outcome", "decision", "room", "actor", "peer", "policy", "reason", "bundle", "epoch",
    "exchange", "trace", "event", "detail",
];

/// One line, with its end.
pub(super) fn line<T: AsRef<str>>(fields: impl IntoIterator<Item = T>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|field| quoted(field.as_ref())).collect();
    format!("{}\r\n", fields.join(","))
}

/// The line of an entry.
pub(super) fn entry(entry: &Shown, time: &str) -> String {
    let text = |value: Option<String>| value.unwrap_or_default();
    line([
        entry.seq.to_string(),
        time.to_owned(),
        entry.at.0.to_string(),
        entry.kind.clone(),
        entry.outcome.to_owned(),
        text(entry.decision.map(|id| id.to_string())),
        text(entry.room.as_ref().map(ToString::to_string)),
        text(entry.actor.clone()),
        text(entry.peer.as_ref().map(ToString::to_string)),
        entry.policy.join(" "),
        entry.reason.clone(),
        text(entry.bundle.clone()),
        text(entry.epoch.map(|epoch| epoch.to_string())),
        text(entry.exchange.clone()),
        text(entry.trace.clone()),
        entry.event.to_string(),
        if entry.detail.is_null() { String::new() } else { entry.detail.to_string() },
    ])
}

/// A spreadsheet takes what begins so for a formula, also after spaces, which it drops.
fn quoted(field: &str) -> String {
    let is_formula = field
        .trim_start_matches([' ', '\u{a0}', '\u{feff}'])
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']);
    let field = if is_formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\r', '\n', '\'', ';', '\t']) || field.starts_with(' ') {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_take_for_a_formula_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "|cmd", "%x"] {
            assert_eq!(quoted(formula), format!("\"'{formula}\""), "{formula:?}");
        }
        assert_eq!(quoted("mimi://a.example/u/alice"), "mimi://a.example/u/alice");
        assert_eq!(quoted("1-2=3"), "1-2=3");
    }

    #[test]
    fn a_field_with_a_separator_a_quote_or_a_line_end_is_quoted() {
        assert_eq!(
            line(["a,b", "say \"no\"", "two\nlines", "plain"]),
            "\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",plain\r\n"
        );
    }
}
