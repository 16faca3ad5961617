//! Edits of valid bytes, so that what is fuzzed gets past the checks that random bytes never pass.

/// Applies the edits that `script` spells: a kind, a position (two bytes) and what the kind takes.
///
/// Positions count modulo the length, from the end where the kind is 4 or more.
pub(super) fn edited(original: &[u8], mut script: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    while let Some((&[kind, high, low, argument], rest)) = script.split_first_chunk() {
        script = rest;
        let position = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
        let at = if kind & 4 == 0 { position } else { bytes.len().saturating_sub(position + 1) };
        match kind & 3 {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = argument;
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= argument;
                }
            }
            2 => {
                let end = bytes.len().min(at + usize::from(argument));
                bytes.drain(at.min(end)..end);
            }
            _ => {
                let count = usize::from(argument).min(script.len());
                let (inserted, rest) = script.split_at(count);
                bytes.splice(at..at, inserted.iter().copied());
                script = rest;
            }
        }
    }
    bytes
}
