//! Server-sent events as they come over the wire.

/// An event may have so many bytes; the hub's are far below it.
const LONGEST: usize = 64 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// Bytes that are not yet an event.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: Vec<u8>,
    name: String,
    data: String,
}

impl Events {
    /// Takes bytes and gives the events that are whole now; none when what comes is no stream of
    /// events.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Vec<Event>> {
        self.rest.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\r', '\n']), &mut whole);
        }
        (self.rest.len() + self.data.len() <= LONGEST).then_some(whole)
    }

    fn line(&mut self, line: &str, whole: &mut Vec<Event>) {
        match line.split_once(':') {
            _ if line.is_empty() => {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if !name.is_empty() || !data.is_empty() {
                    whole.push(Event { name, data });
                }
            }
            Some(("event", name)) => name.trim_start().clone_into(&mut self.name),
            Some(("data", data)) => self.data.push_str(data.strip_prefix(' ').unwrap_or(data)),
            // A comment, or a field that means nothing here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_however_they_are_cut() {
        let wire = ": still here\n\nevent: hello\ndata: {\"v\":1}\n\nevent: trace\r\ndata: {\"a\":\"b: c\"}\r\n\r\n";
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        let expected = [event("hello", "{\"v\":1}"), event("trace", "{\"a\":\"b: c\"}")];
        assert_eq!(Events::default().take(wire.as_bytes()).unwrap(), expected);
        let mut events = Events::default();
        let bytewise: Vec<_> = wire.bytes().flat_map(|byte| events.take(&[byte]).unwrap()).collect();
        assert_eq!(bytewise, expected);
        assert_eq!(Events::default().take(&[b'x'; LONGEST + 1]), None);
    }
}
