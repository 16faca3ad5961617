//! How deep a policy or schema is nested. Parsers and everything after them go down by calling themselves, so what is too
//! deep would take the stack of the process and not be an error.

/// Most brackets in each other.
const MOST_NESTED: usize = 64;
/// Most operators in one policy that may stand on each other: accesses, arithmetic, negations, `&&`, `||`, `if`.
const MOST_CHAINED: usize = 1000;

/// Where a file is nested too deep, if Cedar is to read it.
pub(super) fn of_file(extension: &str, text: &str) -> Option<(usize, &'static str)> {
    match extension {
        "cedar" => too_deep(text, false),
        "cedarschema" => too_deep(text, true),
        _ => None,
    }
}

/// Where a text of Cedar is nested too deep, in bytes from its start, and what is meant by that.
fn too_deep(text: &str, is_schema: bool) -> Option<(usize, &'static str)> {
    let (mut nested, mut chained): (usize, usize) = (0, 0);
    // Whether what stands before is something that `[` looks into, and not the beginning of a set.
    let mut is_value = false;
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let looks_into = *byte == b'[' && is_value;
        is_value = match (byte, next) {
            (b'/', Some(b'/')) => is_value,
            (byte, _) if byte.is_ascii_whitespace() => is_value,
            (byte, _) => matches!(byte, b')' | b']' | b'}' | b'"' | b'_') || byte.is_ascii_alphanumeric(),
        };
        chained += usize::from(looks_into);
        match (byte, next) {
            (b'/', Some(b'/')) => {
                at = text.get(at..).and_then(|rest| rest.find('\n')).map_or(bytes.len(), |end| at + end);
            }
            (b'"', _) => at = end_of_string(bytes, at),
            (b'(' | b'[' | b'{', _) => nested += 1,
            (b')' | b']' | b'}', _) => nested = nested.saturating_sub(1),
            (b'<', _) if is_schema => nested += 1,
            (b'>', _) if is_schema => nested = nested.saturating_sub(1),
            (b';', _) if nested == 0 => chained = 0,
            (b'&', Some(b'&')) | (b'|', Some(b'|')) | (b'i', Some(b'f')) | (b'.' | b'+' | b'-' | b'*' | b'!', _) => {
                chained += 1;
            }
            _ => {}
        }
        if nested > MOST_NESTED {
            return Some((at, "brackets are nested too deep"));
        }
        if chained > MOST_CHAINED && !is_schema {
            return Some((at, "policy has too many operators"));
        }
        at += 1;
    }
    None
}

/// What is expected instead.
pub(super) fn expected() -> String {
    format!("expected at most {MOST_NESTED} brackets in each other and {MOST_CHAINED} operators in a policy; split it")
}

/// The closing quote of the string that begins at `at`.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end).filter(|byte| **byte != b'"') {
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_where_they_stand_for_nesting() {
        let nested = |depth| format!("x {}{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(too_deep(&nested(64), false), None);
        assert_eq!(too_deep(&nested(65), false), Some((66, "brackets are nested too deep")));
        assert_eq!(too_deep(&"() ".repeat(1000), false), None);
        assert_eq!(too_deep(&format!("// {}\n\"{}\\\"(\"", "(".repeat(99), "(".repeat(99)), false), None);
        assert_eq!(too_deep(&"a < ".repeat(99), false), None);
        assert!(too_deep(&"Set<".repeat(99), true).is_some());
    }

    #[test]
    fn operators_are_counted_for_each_policy() {
        assert_eq!(too_deep(&format!("{};", "1 + ".repeat(900)).repeat(5), false), None);
        assert!(too_deep(&"1 + ".repeat(1001), false).is_some());
        assert!(too_deep(&"if a then b else ".repeat(1001), false).is_some());
        for into in ["[\"x\"]", " [\"x\"]", "// x\n[\"x\"]"] {
            for before in ["a", "(a)", "{x: 1}", "?principal", "\"a\"", "a_"] {
                assert_eq!(too_deep(&format!("{before}{};", into.repeat(900)).repeat(2), false), None);
                assert!(too_deep(&format!("{before}{}", into.repeat(1001)), false).is_some(), "{before}{into}");
            }
        }
        assert_eq!(too_deep(&"x in [a], ".repeat(900), false), None);
        assert_eq!(too_deep(&"== [a], ".repeat(1001), false), None);
    }
}
