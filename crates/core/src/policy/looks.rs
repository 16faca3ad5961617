//! Names that people take for others. Cedar looks at what stands in policies; this looks at what stands beside them.

use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton as confusable;

/// What is wrong with how a name looks.
pub(super) fn flaw(name: &str) -> Option<&'static str> {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if name.chars().any(is_hidden) {
        Some("has characters that cannot be seen")
    } else if !name.is_single_script() {
        Some("mixes the letters of several scripts")
    } else {
        None
    }
}

/// Whether a path, with `/` between folders, could name something outside of the folder that it is in.
pub(super) fn leads_out(path: &str) -> bool {
    path.contains(['\\', '\0']) || path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// What names that look alike have in common.
pub(super) fn skeleton(name: &str) -> String {
    confusable(name).collect()
}
