//! What the text formats have in common: lines, numbers and base64, each in its one canonical form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Hash, MAX_PATH};

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// `None` for what [`base64`] does not give: the engine refuses missing padding and bits left over.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A number in decimal without leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

/// The lines of `text`, each of which ends in a newline; `None` where the last one does not.
pub(crate) fn lines(text: &str) -> Option<impl Iterator<Item = &str>> {
    text.strip_suffix('\n').map(|text| text.split('\n'))
}

/// One hash a line. `None` for more than a tree can need.
pub(crate) fn hashes<'t>(lines: impl Iterator<Item = &'t str>) -> Option<Vec<Hash>> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == MAX_PATH {
            return None;
        }
        hashes.push(line.parse().ok()?);
    }
    Some(hashes)
}

/// The lines before the first empty line, and what follows it: a checkpoint in all formats that begin like this.
pub(crate) fn before_checkpoint(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (lines, checkpoint) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
    Some((lines, checkpoint.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for (text, number) in [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("7", Some(7))] {
            assert_eq!(decimal(text), number);
        }
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "١"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(from_base64("AAE="), Some(vec![0, 1]));
        for text in ["AAE", "AAF=", "AAE==", "AA E=", "AAE=\n", "-_8="] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }
}
