//! The recorder's decisions, without any I/O.

use std::{ops::Range, time::Duration};

use omnihub_common::trace::{RECEIPT_EVENT_VERSION, Receipt, ReceiptEvent, TRACE_EVENT_VERSION, TraceEvent, unpack};
use serde::Deserialize;

/// What the bytes of a message turned out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// An event.
    Event(Box<TraceEvent>),
    /// How far a bubble of ours has come.
    Receipt(Receipt),
    /// An event of a newer build, which a newer worker can read: not ours to give up.
    Newer,
    /// Nothing that any build wrote; the reason names no content.
    Unreadable(String),
}

/// Reads the bytes of a message.
pub(super) fn read(bytes: &[u8]) -> Reading {
    let Ok(json) = unpack(bytes) else { return Reading::Unreadable("it cannot be unpacked".to_owned()) };
    match serde_json::from_slice::<TraceEvent>(&json) {
        Ok(event) if event.v <= TRACE_EVENT_VERSION => Reading::Event(Box::new(event)),
        Ok(_) => Reading::Newer,
        Err(error) => read_other(&json, &error),
    }
}

/// What is no trace event, and why.
fn read_other(json: &[u8], error: &serde_json::Error) -> Reading {
    #[derive(Deserialize)]
    struct Version {
        v: u8,
    }

    match serde_json::from_slice::<ReceiptEvent>(json) {
        Ok(event) if event.v <= RECEIPT_EVENT_VERSION => return Reading::Receipt(event.receipt),
        _ => {}
    }
    match serde_json::from_slice::<Version>(json) {
        Ok(Version { v }) if v > TRACE_EVENT_VERSION => Reading::Newer,
        // serde_json's message may quote a value; where it stands is enough to find it.
        _ => Reading::Unreadable(format!(
            "{:?} error at line {} column {}",
            error.classify(),
            error.line(),
            error.column()
        )),
    }
}

/// The search for the events that the database refuses.
///
/// A batch is offered as a whole; when it is refused, its halves are, and so on, until single
/// events are left, which are parked. One bad event among 500 costs at most 18 further writes,
/// and every other event is written.
#[derive(Debug)]
pub(super) struct Bisect {
    /// What is still to be offered, the next one last.
    open: Vec<Range<usize>>,
    /// The events that were refused on their own.
    parked: Vec<usize>,
}

impl Bisect {
    /// Over so many events.
    pub(super) fn new(events: usize) -> Self {
        Self { open: (events > 0).then_some(0..events).into_iter().collect(), parked: Vec::new() }
    }

    /// What to offer next; the same again until its answer is told.
    pub(super) fn next(&self) -> Option<Range<usize>> {
        self.open.last().cloned()
    }

    /// What was offered is written.
    pub(super) fn written(&mut self) {
        self.open.pop();
    }

    /// What was offered is refused.
    pub(super) fn refused(&mut self) {
        match self.open.pop() {
            Some(range) if range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                self.open.extend([middle..range.end, range.start..middle]);
            }
            Some(range) => self.parked.push(range.start),
            None => {}
        }
    }

    /// Whether this event was refused on its own.
    pub(super) fn is_parked(&self, event: usize) -> bool {
        self.parked.binary_search(&event).is_ok()
    }
}

/// Finds what a stream dropped before any recorder saw it, by the numbers of first deliveries: the
/// consumer counts each delivery, so where the stream's numbers ran ahead of the consumer's,
/// messages are missing.
///
/// Deliveries that were repeated (in a long outage all that is in hand, every ten seconds) count
/// for the consumer alone and are left out. All recorders share one consumer, and each sees every
/// gap that lies between two of its own deliveries, while what was repeated to another one hides as
/// many. So it is exact for one worker, and of several the largest figure is the nearest.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    last: Option<(u64, u64)>,
    repeated: u64,
}

impl Gaps {
    /// From what the consumer had delivered when it was opened: its number, and the stream's. Where
    /// this recorder has followed it before, that is known better.
    pub(super) fn opened(&mut self, consumer: u64, stream: u64) {
        self.last.get_or_insert((consumer, stream));
    }

    /// A delivery that was there before.
    pub(super) fn repeated(&mut self) {
        self.repeated += 1;
    }

    /// A first delivery; answers how many messages are missing before it.
    pub(super) fn delivered(&mut self, consumer: u64, stream: u64) -> u64 {
        let repeated = std::mem::take(&mut self.repeated);
        let Some((before_consumer, before_stream)) = self.last.replace((consumer, stream)) else { return 0 };
        if consumer <= before_consumer || stream <= before_stream {
            // A consumer or a stream that was made anew.
            return 0;
        }
        (stream - before_stream).saturating_sub((consumer - before_consumer).saturating_sub(repeated).max(1))
    }
}

/// How long to wait after so many failures in a row:
///
/// ```text
/// failures  0     1     2     3     4      5      6 ...
/// wait      100ms 200ms 400ms 800ms 1.6s   3.2s   5s
/// ```
///
/// Short at first, because most failures are a restart; never longer than a person who mends the
/// database wants to wait for the traces.
pub(super) fn backoff(failures: u32) -> Duration {
    Duration::from_millis(100 << failures.min(6)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use omnihub_common::trace::pack;
    use serde_json::json;

    use super::*;

    fn event() -> serde_json::Value {
        json!({
            "v": 1, "revision": 3, "payload": null,
            "record": {
                "trace_id": "00000000-0000-8000-8000-000000000001", "instance_id": 1, "instance_name": "acme",
                "channel_type": "whatsapp", "status": "processing", "received_at": 7, "sender_phone": "5511",
            },
        })
    }

    #[test]
    fn events_are_told_from_newer_ones_and_from_rubbish() {
        let Reading::Event(read_event) = read(event().to_string().as_bytes()) else { panic!("an event") };
        assert_eq!(read_event.record.details.sender_phone.as_deref(), Some("5511"));

        let mut newer = event();
        newer["v"] = json!(TRACE_EVENT_VERSION + 1);
        assert_eq!(read(newer.to_string().as_bytes()), Reading::Newer);
        newer["record"] = json!({"another": "shape"});
        assert_eq!(read(newer.to_string().as_bytes()), Reading::Newer);

        let mut receipt = json!({"v": RECEIPT_EVENT_VERSION, "receipt":
            {"instance_id": 1, "provider_id": "3EB0", "state": "delivered", "at": 7}});
        assert!(matches!(read(receipt.to_string().as_bytes()), Reading::Receipt(read) if read.provider_id == "3EB0"));
        receipt["receipt"]["state"] = "burnt".into();
        assert_eq!(read(receipt.to_string().as_bytes()), Reading::Newer);

        let mut wrong = event();
        wrong["record"]["received_at"] = json!("+5511999990000");
        for bytes in [wrong.to_string().as_bytes(), b"{\"v\":1}", b"", b"\xff"] {
            let Reading::Unreadable(reason) = read(bytes) else { panic!("unreadable") };
            assert!(!reason.contains("5511"), "{reason}");
        }
    }

    /// Plays a database that refuses every write with a bad event in it.
    fn played(events: usize, bad: &BTreeSet<usize>) -> (BTreeSet<usize>, Vec<usize>, usize) {
        let (mut bisect, mut written, mut writes) = (Bisect::new(events), BTreeSet::new(), 0);
        while let Some(range) = bisect.next() {
            writes += 1;
            if range.clone().any(|event| bad.contains(&event)) {
                bisect.refused();
            } else {
                written.extend(range);
                bisect.written();
            }
        }
        let parked = (0..events).filter(|event| bisect.is_parked(*event)).collect();
        (written, parked, writes)
    }

    #[test]
    fn only_the_bad_events_are_parked_wherever_they_are() {
        for bad in [vec![], vec![0], vec![499], vec![250], vec![3, 4, 499], (0..500).collect()] {
            let bad: BTreeSet<usize> = bad.into_iter().collect();
            let (written, parked, _) = played(500, &bad);
            assert_eq!(parked, bad.iter().copied().collect::<Vec<_>>());
            assert_eq!(written, (0..500).filter(|event| !bad.contains(event)).collect());
        }
        assert_eq!(played(0, &BTreeSet::new()).2, 0);
        assert_eq!(played(500, &BTreeSet::new()).2, 1);
        assert!(played(500, &BTreeSet::from([77])).2 <= 19);
    }

    #[test]
    fn a_write_that_had_no_answer_is_offered_again() {
        let mut bisect = Bisect::new(4);
        assert_eq!(bisect.next(), Some(0..4));
        assert_eq!(bisect.next(), Some(0..4));
        bisect.refused();
        assert_eq!(bisect.next(), Some(0..2));
        assert_eq!(bisect.next(), Some(0..2));
    }

    #[test]
    fn what_a_stream_dropped_is_counted_once() {
        let mut gaps = Gaps::default();
        gaps.opened(10, 10);
        assert_eq!(gaps.delivered(11, 11), 0);
        assert_eq!(gaps.delivered(12, 30), 18, "12 to 29 were dropped");
        (0..7).for_each(|_| gaps.repeated());
        assert_eq!(gaps.delivered(20, 41), 10, "13 to 19 were repeated, 31 to 40 dropped");
        let mut gaps = Gaps::default();
        gaps.opened(12, 30);
        gaps.opened(1, 1);
        assert_eq!(gaps.delivered(13, 31), 0, "opened again, it goes on");
        assert_eq!(gaps.delivered(20, 34), 0, "others had some, and some were repeated");
        assert_eq!(gaps.delivered(1, 1), 0, "the stream was made anew");
        assert_eq!(gaps.delivered(2, 2), 0);
        assert_eq!(Gaps::default().delivered(5, 500), 0, "nothing is known from before");
    }

    #[test]
    fn packed_events_are_read_and_damaged_ones_are_not() {
        let mut long = event();
        long["record"]["message_content"] = json!("word ".repeat(500));
        let packed = pack(long.to_string().into_bytes());
        assert!(packed.len() < 1000);
        assert!(matches!(read(&packed), Reading::Event(_)));
        assert!(matches!(read(&packed[..packed.len() - 20]), Reading::Unreadable(_)));
        long["v"] = json!(TRACE_EVENT_VERSION + 1);
        assert_eq!(read(&pack(long.to_string().into_bytes())), Reading::Newer);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let waits: Vec<_> = (0..8).map(|failures| backoff(failures).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff(u32::MAX), Duration::from_secs(5));
    }
}
