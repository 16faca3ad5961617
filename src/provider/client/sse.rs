//! The wire format of server-sent events, as far as this door uses it (HTML standard, section 9.2).

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// The last `id` field.
    pub(super) id: Option<String>,
    /// The last `event` field.
    pub(super) event: Option<String>,
    /// The `data` lines, joined by line feeds.
    pub(super) data: String,
}

/// Cuts bytes that arrive in any pieces into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    frame: Frame,
}

impl Parser {
    /// Takes bytes and gives the events that are complete now. Frames without data (comments, `retry`) are dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if line.is_empty() {
                let frame = std::mem::take(&mut self.frame);
                if !frame.data.is_empty() {
                    frames.push(frame);
                }
            } else {
                self.field(&line);
            }
        }
        frames
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.frame.id = Some(value.to_owned()),
            "data" => {
                if !self.frame.data.is_empty() {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            "event" => self.frame.event = Some(value.to_owned()),
            // Comments have an empty name.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"retry: 1000\n\n:\n\nid: 7\nevent: commit\ndata: {\"a\":1}\n\nid: 8\r\ndata: x\r\ndata: y\r\n\r\n";

    #[test]
    fn events_are_the_same_however_their_bytes_are_cut() {
        let frame = |id: &str, event: Option<&str>, data: &str| Frame {
            id: Some(id.to_owned()),
            event: event.map(str::to_owned),
            data: data.to_owned(),
        };
        let expected = vec![frame("7", Some("commit"), "{\"a\":1}"), frame("8", None, "x\ny")];
        assert_eq!(Parser::default().push(STREAM), expected);
        let mut parser = Parser::default();
        let one_by_one: Vec<Frame> = STREAM.iter().flat_map(|byte| parser.push(&[*byte])).collect();
        assert_eq!(one_by_one, expected);
    }

    #[test]
    fn an_event_cut_off_by_the_end_is_not_given() {
        assert_eq!(Parser::default().push(b"id: 7\ndata: x\n"), []);
    }
}
