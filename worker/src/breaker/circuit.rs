//! One circuit: when calls to a server that keeps failing are not made. Pure; the time is given.
//!
//! ```text
//!          70 % of at least 10 calls failed within 5 minutes
//! closed ----------------------------------------------------> open for 30 s
//!    ^                                                            |
//!    |  the probe succeeds                                        v
//!    +------------------------------------------------ half-open: one probe
//!                                                        |  it fails: open again
//! ```

use std::{collections::VecDeque, time::Duration};

/// Failures are counted over so long.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Calls are counted in slots of this length.
const SLOT: Duration = Duration::from_secs(10);
/// Fewer calls tell nothing.
const FEWEST_CALLS: u32 = 10;
/// Out of a hundred calls, so many failures open it.
const FAILURES_IN_A_HUNDRED: u32 = 70;
/// An open circuit lets nothing through for so long, then one probe.
pub(super) const OPEN_FOR: Duration = Duration::from_secs(30);

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Go,
    /// Yes, and what comes of it decides.
    Probe,
    /// No; ask again after so long, or when the circuit has changed.
    Wait(Duration),
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The server did its work, whatever it said.
    Answered,
    /// It did not.
    Failed,
    /// Nobody knows: it was cut on our side.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Duration,
    },
    /// A probe is on its way.
    HalfOpen,
}

/// The circuit to one server. Times count from any fixed moment.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// Start, calls and failures, oldest first.
    slots: VecDeque<(Duration, u32, u32)>,
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self { state: State::Closed, slots: VecDeque::new() }
    }

    fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether calls are held back now.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        self.held(now).is_some()
    }

    /// How long calls are held back from now on, if they are.
    pub(super) fn held(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed => None,
            State::Open { until } => until.checked_sub(now).filter(|left| !left.is_zero()),
            State::HalfOpen => Some(OPEN_FOR),
        }
    }

    /// Whether nothing is known that would matter: it may be forgotten.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let last = self.slots.back().map_or(Duration::ZERO, |slot| slot.0);
        match self.state {
            State::Closed => now.saturating_sub(last) > WINDOW,
            State::Open { until } => now.saturating_sub(until) > WINDOW,
            State::HalfOpen => false,
        }
    }

    pub(super) fn admit(&mut self, now: Duration) -> Admission {
        match (self.held(now), self.state) {
            (Some(left), _) => Admission::Wait(left),
            (None, State::Closed) => Admission::Go,
            (None, _) => {
                self.state = State::HalfOpen;
                Admission::Probe
            }
        }
    }

    /// What came of an admitted call; answers whether the state has changed.
    pub(super) fn record(&mut self, admitted: Admission, call: Call, now: Duration) -> bool {
        let before = self.state;
        match (admitted, call) {
            (Admission::Wait(_), _) | (Admission::Go, Call::Cut) => {}
            // Another one may try at once.
            (Admission::Probe, Call::Cut) => self.state = State::Open { until: now },
            (Admission::Probe, Call::Answered) => {
                self.state = State::Closed;
                self.slots.clear();
            }
            (Admission::Probe, Call::Failed) => self.state = State::Open { until: now + OPEN_FOR },
            (Admission::Go, call) => self.count(call, now),
        }
        self.state != before
    }

    fn count(&mut self, call: Call, now: Duration) {
        while self.slots.front().is_some_and(|slot| now.saturating_sub(slot.0) >= WINDOW) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|slot| now.saturating_sub(slot.0) >= SLOT) {
            self.slots.push_back((now, 0, 0));
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.1 += 1;
            slot.2 += u32::from(call == Call::Failed);
        }
        let (calls, failures) = self.slots.iter().fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2));
        // A call that began before the circuit opened says nothing new.
        if self.is_closed() && calls >= FEWEST_CALLS && failures * 100 >= calls * FAILURES_IN_A_HUNDRED {
            self.state = State::Open { until: now + OPEN_FOR };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail(circuit: &mut Circuit, times: u32, now: u64) {
        for _ in 0..times {
            circuit.record(Admission::Go, Call::Failed, at(now));
        }
    }

    #[test]
    fn ten_calls_of_which_seven_fail_open_it() {
        let mut circuit = Circuit::new();
        for _ in 0..3 {
            circuit.record(Admission::Go, Call::Answered, at(0));
        }
        fail(&mut circuit, 6, 0);
        assert_eq!(circuit.admit(at(0)), Admission::Go);
        assert!(circuit.record(Admission::Go, Call::Failed, at(1)));
        assert_eq!(circuit.admit(at(11)), Admission::Wait(at(20)));
    }

    #[test]
    fn what_failed_long_ago_no_longer_counts() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, 9, 0);
        fail(&mut circuit, 1, 301);
        assert_eq!(circuit.admit(at(301)), Admission::Go);
        assert!(!circuit.is_idle(at(600)) && circuit.is_idle(at(700)));
    }

    #[test]
    fn an_open_circuit_that_nobody_asks_any_more_is_forgotten() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, 10, 0);
        assert!(circuit.is_open(at(29)) && !circuit.is_open(at(30)));
        assert!(!circuit.is_idle(at(330)) && circuit.is_idle(at(331)));
    }

    #[test]
    fn one_probe_decides() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, 10, 0);
        assert_eq!(circuit.admit(at(30)), Admission::Probe);
        assert_eq!(circuit.admit(at(30)), Admission::Wait(OPEN_FOR), "one at a time");
        assert!(circuit.record(Admission::Probe, Call::Failed, at(35)));
        assert_eq!(circuit.admit(at(64)), Admission::Wait(at(1)));
        assert_eq!(circuit.admit(at(65)), Admission::Probe);
        assert!(circuit.record(Admission::Probe, Call::Cut, at(66)), "nobody knows: another one may try");
        assert_eq!(circuit.admit(at(66)), Admission::Probe);
        assert!(circuit.record(Admission::Probe, Call::Answered, at(67)));
        assert_eq!(circuit.admit(at(67)), Admission::Go);
        fail(&mut circuit, 9, 68);
        assert_eq!(circuit.admit(at(68)), Admission::Go, "it counts anew");
    }

    #[test]
    fn calls_that_began_before_it_opened_change_nothing() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, 10, 0);
        assert!(!circuit.record(Admission::Go, Call::Failed, at(20)));
        assert!(!circuit.record(Admission::Go, Call::Answered, at(20)));
        assert_eq!(circuit.admit(at(30)), Admission::Probe);
    }
}
