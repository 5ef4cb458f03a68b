//! The ledger: a pure verdict over the facts of a run.
//!
//! A fault excuses a repeated bubble, or two calls at once, when it hurt the worker that owned the
//! conversation (by the broker's ownership records), or all workers, and the bubble or the earlier
//! of the calls was *in flight* when it struck. A kill and a freeze strike once, a broker that is
//! away or a link that is cut strikes as long as it lasts, a SIGTERM never does: what runs is
//! finished before a process ends.
//!
//! A bubble is in flight from the arrival of its send until the hub has kept that it was sent. That
//! is not seen from outside; it is taken to be the moment when the conversation went on (another
//! bubble, or another call), and at most [`Verdict::kept_within_ms`] after the answer of the send,
//! which is measured in the same run. A second copy may also be the last word of a worker that was
//! just thawed or is cut off, which had begun it before, while another one has sent the first since.
//!
//! A fault excuses at most one bubble, and one pair of calls, of a conversation.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::facts::{ARRIVING_MS, Accepted, Bubble, Call, Conversation, Done, Facts, Owners, Span};
use super::schedule::FaultKind;

/// The bounds of [`Verdict::kept_within_ms`]: the hub keeps that a bubble was sent with a fenced
/// write, which waits behind those of the other conversations of its partition.
pub const KEPT_WITHIN_MS: (u64, u64) = (100, 1_000);

/// How much slower than 99 of 100 a write may be.
const SLOWER: u64 = 3;

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
    /// How long the hub is given, after a send was answered, to keep that it was: three times what
    /// lies between the answer of a bubble and the arrival of the next one of the same message, 99
    /// of 100 times while no fault lasted.
    pub kept_within_ms: u64,
    /// The longest time in which nobody got a bubble while an accepted message waited.
    pub longest_silence_ms: u64,
    /// What is left in the queue, what the fakes accuse, what reached a person and is no answer,
    /// processes that ended by themselves.
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
    verdict.kept_within_ms = kept_within(&bubbles, &facts.faults);
    let (none, unasked) = (Vec::new(), Vec::new());
    for conversation in accepted.keys().chain(bubbles.keys()).copied().collect::<BTreeSet<_>>() {
        let got = bubbles.get(&conversation).unwrap_or(&none);
        verdict.losses(accepted.get(&conversation).map_or(&[], Vec::as_slice), got);
        let asked = calls.get(&conversation).unwrap_or(&unasked);
        verdict.repetitions(got, asked, facts);
        verdict.order(got);
    }
    verdict.repeated_calls(&facts.calls);
    calls.into_values().for_each(|calls| verdict.overlaps(calls, facts));
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
    fn repetitions(&mut self, got: &[&Bubble], calls: &[&Call], Facts { faults, owners, .. }: &Facts) {
        let mut last: HashMap<(usize, usize), Span> = HashMap::new();
        let mut used: HashSet<usize> = HashSet::new();
        for bubble in got {
            let Some(before) = last.insert((bubble.nth, bubble.part), bubble.span) else { continue };
            let in_flight = in_flight(bubble, before, got, calls, self.kept_within_ms);
            match excuse(faults, &used, |fault| excuses_copy(fault, before, bubble, in_flight, owners)) {
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
    fn overlaps(&mut self, mut calls: Vec<&Call>, Facts { faults, owners, .. }: &Facts) {
        calls.sort_by_key(|call| call.span.from);
        let mut used = HashSet::new();
        for (nth, later) in calls.iter().enumerate() {
            // One that ends at the moment the next begins does not run beside it.
            let beside = |call: &&&Call| call.span.to > later.span.from && call.key != later.key;
            for earlier in calls[..nth].iter().filter(beside) {
                match excuse(faults, &used, |fault| excuses_calls(fault, earlier, later, owners)) {
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

/// Whether a fault excuses a second copy of a bubble: it cut the first one, or the second is the
/// last word of a worker that it hurt, in whose place another one has sent the first since.
fn excuses_copy(fault: &Done, before: Span, copy: &Bubble, in_flight: Span, owners: &Owners) -> bool {
    let last_word = || {
        let since = before.from + ARRIVING_MS >= fault.span.from;
        since && fault.last_words().is_some_and(|words| copy.span.overlaps(words))
    };
    fault.cuts_sends && fault.touches(copy.conversation, owners) && (in_flight.overlaps(fault.strikes()) || last_word())
}

/// Whether a fault excuses two calls at once: the earlier was cut by it, the later began since.
fn excuses_calls(fault: &Done, earlier: &Call, later: &Call, owners: &Owners) -> bool {
    fault.cuts_calls
        && fault.touches(later.conversation, owners)
        && earlier.span.overlaps(fault.strikes())
        && later.span.from >= fault.span.from
}

/// From the arrival of a bubble's earlier copy until the hub has kept that it was sent.
fn in_flight(bubble: &Bubble, before: Span, got: &[&Bubble], calls: &[&Call], within_ms: u64) -> Span {
    let others = got.iter().filter(|other| (other.nth, other.part) != (bubble.nth, bubble.part));
    let starts = others.map(|other| other.span.from).chain(calls.iter().map(|call| call.span.from));
    let went_on = starts.filter(|start| *start >= before.to).min().unwrap_or(u64::MAX);
    let kept = before.longer(within_ms);
    Span { to: kept.to.min(went_on), ..kept }
}

/// A fault that excuses this, and has excused nothing here yet.
fn excuse(faults: &[Done], used: &HashSet<usize>, excuses: impl Fn(&Done) -> bool) -> Option<usize> {
    let mut usable = faults.iter().enumerate().filter(|(nth, _)| !used.contains(nth));
    usable.find(|(_, fault)| excuses(fault)).map(|(nth, _)| nth)
}

/// What [`Verdict::kept_within_ms`] says.
fn kept_within(bubbles: &BTreeMap<Conversation, Vec<&Bubble>>, faults: &[Done]) -> u64 {
    let next = |pair: &&[&Bubble]| pair[0].nth == pair[1].nth && pair[0].part + 1 == pair[1].part;
    let between = |pair: &[&Bubble]| Span { from: pair[0].span.to, to: pair[1].span.from.max(pair[0].span.to) };
    let quiet = |time: &Span| !faults.iter().any(|fault| fault.span.overlaps(*time));
    let times = bubbles.values().flat_map(|got| got.windows(2)).filter(next).map(between).filter(quiet);
    let mut times: Vec<u64> = times.map(|time| time.to - time.from).collect();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    let (least, most) = KEPT_WITHIN_MS;
    (p99 * SLOWER).clamp(least, most)
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
