//! Server-sent events out of the bytes of an answer, as they come. No I/O.
//!
//! It follows the HTML standard (section 9.2.6) on bytes, so that it does not matter where the network
//! cuts: inside a character, or between `\r` and `\n`. What an event says is handed on as bytes, for
//! whoever reads JSON out of it to judge. It differs from the standard in two places: an event is
//! bounded in size, and one that lacks the empty line at the very end can be had by [`EventReader::end`].

use std::mem;

/// A line, and the data of an event, may have so many bytes.
pub(super) const LARGEST_EVENT: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What `event:` says; empty when it says nothing.
    pub(super) name: Vec<u8>,
    /// What the lines of `data:` say, one below the other.
    pub(super) data: Vec<u8>,
}

/// A line or an event is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Reads events.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    event: Event,
    /// Whether the event has data at all; an empty line of it counts.
    has_data: bool,
    /// Whether the first line, which may begin with a mark, is behind.
    begun: bool,
    /// Whether the line before ended with `\r`, to which a `\n` may belong.
    after_return: bool,
}

impl EventReader {
    /// The events that are complete with these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        while let Some(first) = bytes.first() {
            if mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() > LARGEST_EVENT {
                return Err(TooLarge);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            events.extend(self.line_ended()?);
        }
        Ok(events)
    }

    /// What was begun when the bytes ended.
    pub(super) fn end(mut self) -> Option<Event> {
        if !self.line.is_empty() {
            self.line_ended().ok()?;
        }
        self.dispatched()
    }

    fn line_ended(&mut self) -> Result<Option<Event>, TooLarge> {
        let line = mem::take(&mut self.line);
        let line = match mem::replace(&mut self.begun, true) {
            true => &line[..],
            false => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line),
        };
        if line.is_empty() {
            return Ok(self.dispatched());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.event.name = value.to_vec(),
            b"data" => self.add(value)?,
            // A comment (no name before the colon), `id`, `retry`, or what nobody knows.
            _ => {}
        }
        Ok(None)
    }

    fn add(&mut self, value: &[u8]) -> Result<(), TooLarge> {
        if mem::replace(&mut self.has_data, true) {
            self.event.data.push(b'\n');
        }
        if self.event.data.len() + value.len() > LARGEST_EVENT {
            return Err(TooLarge);
        }
        self.event.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatched(&mut self) -> Option<Event> {
        let event = mem::take(&mut self.event);
        mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    fn whole(bytes: &[u8]) -> Vec<Event> {
        EventReader::default().read(bytes).unwrap()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        for (bytes, events) in [
            ("data: a\n\n", vec![event("", "a")]),
            ("data:a\r\rdata: b\r\n\r\ndata:  c\n\n", vec![event("", "a"), event("", "b"), event("", " c")]),
            ("event: x\ndata: a\ndata\ndata: b: c\n\n", vec![event("x", "a\n\nb: c")]),
            (": a comment\n\nid: 1\nretry: 5\ndata: a\n\n", vec![event("", "a")]),
            ("event: lost\n\ndata: a\n\n", vec![event("", "a")]),
            ("data\n\n", vec![event("", "")]),
            ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec![event("", "a")]),
            ("data: a\ndata: not ended", vec![]),
        ] {
            assert_eq!(whole(bytes.as_bytes()), events, "{bytes:?}");
        }
    }

    #[test]
    fn what_lacks_its_last_line_can_be_had_at_the_end() {
        let ended = |bytes: &[u8]| {
            let mut reader = EventReader::default();
            assert_eq!(reader.read(bytes), Ok(vec![]));
            reader.end()
        };
        assert_eq!(ended(b"data: [DONE]"), Some(event("", "[DONE]")));
        assert_eq!(ended(b"event: x\rdata: a\r"), Some(event("x", "a")));
        assert_eq!(ended(b"event: x"), None);
        assert_eq!(ended(b""), None);
    }

    #[test]
    fn what_is_huge_is_refused_before_it_is_kept() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 64 * 1024];
        let refused = (0..100).position(|_| reader.read(&piece).is_err());
        assert_eq!(refused, Some(LARGEST_EVENT / piece.len()));
        assert!(reader.line.len() <= LARGEST_EVENT);
        let lines = "data: 0123456789\n".repeat(200_000);
        let mut reader = EventReader::default();
        assert_eq!(reader.read(lines.as_bytes()), Err(TooLarge));
        assert!(reader.event.data.len() <= LARGEST_EVENT);
    }

    /// The same, read from the whole text at once and in another way.
    fn expected(bytes: &[u8]) -> Vec<Event> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        // One character a byte, so that lines can be looked at as a text.
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let back = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<u8>>();
        let Some((text, _unfinished)) = text.rsplit_once('\n') else { return Vec::new() };
        let (mut events, mut name, mut data) = (Vec::new(), String::new(), Vec::new());
        for line in text.split('\n') {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (line, field) {
                ("", _) => {
                    if !data.is_empty() {
                        events.push(Event { name: back(&name), data: back(&data.join("\n")) });
                    }
                    (name, data) = (String::new(), Vec::new());
                }
                (_, "event") => name = value.to_owned(),
                (_, "data") => data.push(value.to_owned()),
                _ => {}
            }
        }
        events
    }

    /// Bytes of a stream: what streams are made of, in any order, and anything else.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            6 => prop::sample::select(vec![
                "data:", "data: ", "data", "event: ", "event:RunContent", ": comment", "id: 1", "retry: 1", "\n", "\n\n",
                "\r\n", "\r", "\r\n\r\n", "\u{feff}", "{\"content\":\"é😀\"}", "[DONE]", ":", " ", "é", "😀",
            ])
            .prop_map(|word| word.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        // `PROPTEST_CASES=1000000` asks for as many.
        #[test]
        fn it_does_not_matter_where_the_network_cuts(
            bytes in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut reader, mut events) = (EventReader::default(), Vec::new());
            for part in cuts.windows(2) {
                events.extend(reader.read(&bytes[part[0]..part[1]]).unwrap());
            }
            let _ = reader.end();
            prop_assert_eq!(&events, &expected(&bytes));
            prop_assert_eq!(events, whole(&bytes));
        }
    }
}
