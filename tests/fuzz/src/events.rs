//! The reader of server-sent events: whatever an agent streams, wherever the network cuts it.
#![no_main]

#[path = "../../../worker/src/agent/events.rs"]
mod events;

use events::{Event, EventReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(cut % (bytes.len() + 1));
    assert_eq!(heard(&[first, second]), heard(&[bytes]));
});

/// What is heard of these pieces; none when an event is too large.
fn heard(pieces: &[&[u8]]) -> Option<(Vec<Event>, Option<Event>)> {
    let mut reader = EventReader::default();
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(reader.read(piece).ok()?);
    }
    Some((events, reader.end()))
}
