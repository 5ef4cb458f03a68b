//! The ledger: a pure verdict over the facts of a run.
//!
//! *In flight at a fault* means, for a bubble: a fault that hurt a worker, the broker, or a
//! worker's link to it overlaps the time from the arrival of the bubble's send until the hub has
//! kept that it was sent. That is not seen from outside; it is taken to be the moment when the
//! conversation went on (another bubble, or another call), and at most [`RECORDING_MS`] after the
//! answer of the send. A second copy is in flight too when it came while a worker was frozen or cut
//! off, or was just thawed: that worker had begun it before. A fault excuses at most one repeated
//! bubble per conversation.
//!
//! For two calls at once it means that the earlier one overlaps a fault that cuts calls; again a
//! fault excuses one per conversation. A SIGTERM excuses nothing: what runs is finished before a
//! process ends.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::facts::{Accepted, Bubble, Call, Conversation, Done, Facts, Span};
use super::schedule::FaultKind;

/// How long the hub may take, after a send was answered, to keep that it was: a fenced write, which
/// on a busy machine waits behind those of the other conversations of its partition. How long it
/// really took is in [`Verdict::recorded_p99_ms`].
pub const RECORDING_MS: u64 = 2_000;

/// How many examples of each wrong are shown.
const SHOWN: usize = 20;

/// What the ledger says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Messages that were accepted.
    pub messages: usize,
    /// Of these, how many were answered with all their bubbles.
    pub answered: usize,
    /// Messages that were never accepted.
    pub never_accepted: usize,
    /// Bubbles of accepted messages that nobody got.
    pub lost: usize,
    /// Bubbles that came again though nothing was in flight at a fault.
    pub duplicated: usize,
    /// Bubbles that came again and were in flight at a fault.
    pub duplicated_in_flight: usize,
    /// These and the calls below by the kind of the fault.
    pub in_flight_by: BTreeMap<FaultKind, usize>,
    /// Bubbles that came first after a later one.
    pub reordered: usize,
    /// Pairs of calls of one conversation that ran at once with different keys.
    pub overlapping: usize,
    /// Such pairs of which the earlier was in flight at a fault.
    pub overlapping_in_flight: usize,
    /// Calls with a key that had been asked before.
    pub repeated_calls: usize,
    /// Accepted messages without an outcome in their trace, and traces without a message.
    pub orphan_traces: usize,
    /// Messages that ended otherwise than answered.
    pub not_answered: usize,
    /// Between the answer of a bubble and the arrival of the next one of the same message, 99 of
    /// 100 times: what keeping a send takes.
    pub recorded_p99_ms: u64,
    /// The longest time in which nobody got a bubble while an accepted message waited.
    pub longest_silence_ms: u64,
    /// Processes that gave up by themselves, naming the cause, as a start without a broker does;
    /// they were started again, as a supervisor does, and fail no run.
    pub gave_up: Vec<String>,
    /// What is left in the queue, what the fakes accuse, what reached a person and is no answer.
    pub wrong: Vec<String>,
    /// Examples of everything above that should not be.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let broken = [
            self.never_accepted,
            self.lost,
            self.duplicated,
            self.reordered,
            self.overlapping,
            self.orphan_traces,
            self.not_answered,
            self.wrong.len(),
        ];
        broken.iter().all(|count| *count == 0)
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < SHOWN {
            self.examples.push(text());
        }
    }
}

/// Balances the ledger.
#[must_use]
pub fn verdict(facts: &Facts) -> Verdict {
    let mut verdict =
        Verdict { messages: facts.accepted.len(), never_accepted: facts.never_accepted, ..Verdict::default() };
    verdict.gave_up.clone_from(&facts.gave_up);
    verdict.wrong = [&facts.left, &facts.violations, &facts.strange].into_iter().flatten().cloned().collect();
    let mut accepted: BTreeMap<Conversation, Vec<&Accepted>> = BTreeMap::new();
    for message in &facts.accepted {
        accepted.entry(message.conversation).or_default().push(message);
    }
    let mut bubbles: BTreeMap<Conversation, Vec<&Bubble>> = BTreeMap::new();
    for bubble in &facts.bubbles {
        bubbles.entry(bubble.conversation).or_default().push(bubble);
    }
    let mut calls: BTreeMap<Conversation, Vec<&Call>> = BTreeMap::new();
    for call in &facts.calls {
        calls.entry(call.conversation).or_default().push(call);
    }
    let (none, unasked) = (Vec::new(), Vec::new());
    for conversation in accepted.keys().chain(bubbles.keys()).copied().collect::<BTreeSet<_>>() {
        let got = bubbles.get(&conversation).unwrap_or(&none);
        verdict.losses(accepted.get(&conversation).map_or(&[], Vec::as_slice), got);
        let asked = calls.get(&conversation).unwrap_or(&unasked);
        verdict.repetitions(got, asked, &facts.faults);
        verdict.order(got);
    }
    verdict.repeated_calls(&facts.calls);
    calls.into_values().for_each(|calls| verdict.overlaps(calls, &facts.faults));
    verdict.recorded_p99_ms = recorded_p99(&bubbles);
    verdict.traces(facts);
    verdict.longest_silence_ms = longest_silence(facts);
    verdict
}

impl Verdict {
    fn losses(&mut self, accepted: &[&Accepted], got: &[&Bubble]) {
        let got: HashSet<(usize, usize)> = got.iter().map(|bubble| (bubble.nth, bubble.part)).collect();
        for message in accepted {
            let missing = (0..message.bubbles).filter(|part| !got.contains(&(message.nth, *part))).count();
            self.lost += missing;
            self.answered += usize::from(missing == 0);
            if missing > 0 {
                let Accepted { conversation, nth, bubbles, trace, .. } = message;
                self.example(|| {
                    format!("lost: {missing} of {bubbles} bubbles of message {nth} of {conversation}, trace {trace}")
                });
            }
        }
        let known: HashMap<usize, usize> = accepted.iter().map(|message| (message.nth, message.bubbles)).collect();
        for (nth, part) in got {
            if known.get(&nth).is_none_or(|bubbles| part >= *bubbles) {
                self.wrong.push(format!("an answer to nothing: bubble {part} of message {nth}"));
            }
        }
    }

    /// Copies of a bubble beyond its first; each fault excuses one of a conversation.
    fn repetitions(&mut self, got: &[&Bubble], calls: &[&Call], faults: &[Done]) {
        let mut last: HashMap<(usize, usize), Span> = HashMap::new();
        let mut used: HashSet<usize> = HashSet::new();
        for bubble in got {
            let Some(before) = last.insert((bubble.nth, bubble.part), bubble.span) else { continue };
            let in_flight = in_flight(bubble, before, got, calls);
            let excuses = |fault: &Done| {
                let late = matches!(fault.kind, FaultKind::Freeze | FaultKind::Cut);
                fault.cuts_sends && (in_flight.overlaps(fault.span) || late && bubble.span.overlaps(fault.span))
            };
            match excuse(faults, &used, excuses) {
                Some(fault) => {
                    used.insert(fault);
                    self.duplicated_in_flight += 1;
                    *self.in_flight_by.entry(faults[fault].kind).or_default() += 1;
                }
                None => {
                    self.duplicated += 1;
                    let Bubble { conversation, nth, part, span } = bubble;
                    self.example(|| {
                        format!(
                            "duplicated: bubble {part} of message {nth} of {conversation} at {} to {} ms and again at {} to {} ms",
                            before.from, before.to, span.from, span.to
                        )
                    });
                }
            }
        }
    }

    /// First arrivals go up.
    fn order(&mut self, got: &[&Bubble]) {
        let mut seen = HashSet::new();
        let mut highest = None;
        for bubble in got {
            let place = (bubble.nth, bubble.part);
            if !seen.insert(place) {
                continue;
            }
            if highest.is_some_and(|highest| place < highest) {
                self.reordered += 1;
                self.example(|| {
                    format!(
                        "reordered: bubble {} of message {} of {} at {} ms, after {highest:?}",
                        bubble.part, bubble.nth, bubble.conversation, bubble.span.from
                    )
                });
            }
            highest = highest.max(Some(place));
        }
    }

    fn repeated_calls(&mut self, calls: &[Call]) {
        let mut keys = HashSet::new();
        self.repeated_calls = calls.iter().filter(|call| !keys.insert(call.key.as_str())).count();
    }

    /// Calls of one conversation that ran at once.
    fn overlaps(&mut self, mut calls: Vec<&Call>, faults: &[Done]) {
        calls.sort_by_key(|call| call.span.from);
        let mut used = HashSet::new();
        for (nth, later) in calls.iter().enumerate() {
            // One that ends at the moment the next begins does not run beside it.
            let beside = |call: &&&Call| call.span.to > later.span.from && call.key != later.key;
            for earlier in calls[..nth].iter().filter(beside) {
                match excuse(faults, &used, |fault| fault.cuts_calls && earlier.span.overlaps(fault.span)) {
                    Some(fault) => {
                        used.insert(fault);
                        self.overlapping_in_flight += 1;
                        *self.in_flight_by.entry(faults[fault].kind).or_default() += 1;
                    }
                    None => {
                        self.overlapping += 1;
                        let (who, one, other) = (later.conversation, earlier.span, later.span);
                        self.example(|| format!("overlapping: calls of {who} at {one:?} and {other:?}"));
                    }
                }
            }
        }
    }

    fn traces(&mut self, facts: &Facts) {
        let messages: HashMap<&str, &Accepted> =
            facts.accepted.iter().map(|message| (message.trace.as_str(), message)).collect();
        let mut told = HashSet::new();
        for trace in &facts.traces {
            match (messages.get(trace.id.as_str()), trace.outcome.as_deref()) {
                (Some(_), Some("answered")) => {}
                (Some(message), Some(outcome)) => {
                    self.not_answered += 1;
                    let (nth, conversation) = (message.nth, message.conversation);
                    self.example(|| format!("{outcome}: message {nth} of {conversation}, trace {}", trace.id));
                }
                (Some(_), None) | (None, _) => {
                    self.orphan_traces += 1;
                    self.example(|| format!("orphan trace: {} ({:?})", trace.id, trace.outcome));
                }
            }
            told.insert(trace.id.as_str());
        }
        for message in messages.values().filter(|message| !told.contains(message.trace.as_str())) {
            self.orphan_traces += 1;
            self.example(|| format!("no trace: message {} of {}", message.nth, message.conversation));
        }
    }
}

/// From the arrival of a bubble's earlier copy until the hub has kept that it was sent.
fn in_flight(bubble: &Bubble, before: Span, got: &[&Bubble], calls: &[&Call]) -> Span {
    let others = got.iter().filter(|other| (other.nth, other.part) != (bubble.nth, bubble.part));
    let starts = others.map(|other| other.span.from).chain(calls.iter().map(|call| call.span.from));
    let went_on = starts.filter(|start| *start >= before.to).min().unwrap_or(u64::MAX);
    let kept = before.longer(RECORDING_MS);
    Span { to: kept.to.min(went_on), ..kept }
}

/// A fault that excuses this, and has excused nothing here yet.
fn excuse(faults: &[Done], used: &HashSet<usize>, excuses: impl Fn(&Done) -> bool) -> Option<usize> {
    let mut usable = faults.iter().enumerate().filter(|(nth, _)| !used.contains(nth));
    usable.find(|(_, fault)| excuses(fault)).map(|(nth, _)| nth)
}

/// The time between two bubbles of one message that came one after the other, 99 of 100 times.
fn recorded_p99(bubbles: &BTreeMap<Conversation, Vec<&Bubble>>) -> u64 {
    let next = |pair: &[&Bubble]| pair[0].nth == pair[1].nth && pair[0].part + 1 == pair[1].part;
    let pairs = bubbles.values().flat_map(|got| got.windows(2)).filter(|pair| next(pair));
    let mut times: Vec<u64> = pairs.map(|pair| pair[1].span.from.saturating_sub(pair[0].span.to)).collect();
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

/// The longest time between two bubbles of anybody while an accepted message waited.
fn longest_silence(facts: &Facts) -> u64 {
    let mut last_of: HashMap<(Conversation, usize), u64> = HashMap::new();
    for bubble in &facts.bubbles {
        let last = last_of.entry((bubble.conversation, bubble.nth)).or_default();
        *last = bubble.span.to.max(*last);
    }
    // (when, +1 accepted or -1 answered, whether a bubble came)
    let mut events: Vec<(u64, i64)> = Vec::new();
    for message in &facts.accepted {
        let answered = last_of.get(&(message.conversation, message.nth)).copied().unwrap_or(message.at);
        events.push((message.at.min(answered), 1));
        events.push((answered, -1));
    }
    events.extend(facts.bubbles.iter().map(|bubble| (bubble.span.to, 0)));
    events.sort_unstable();
    let (mut waiting, mut since, mut longest) = (0, 0, 0);
    for (at, change) in events {
        if waiting > 0 {
            longest = longest.max(at.saturating_sub(since));
        }
        // Another message that begins to wait does not end a silence.
        if change <= 0 || waiting == 0 {
            since = at;
        }
        waiting += change;
    }
    longest
}

#[cfg(test)]
mod tests;
