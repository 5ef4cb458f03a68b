//! Every wrong is planted and must be found; what is right must stay right.

use proptest::prelude::*;

use super::super::facts::{Tenure, Trace};
use super::*;

/// So long a call or a send takes, and the next begins so much later.
const STEP: u64 = 10;

/// Who owns every conversation until [`HANDED_OVER`], and who owns them since.
const OWNER: usize = 1;
const HEIR: usize = 2;
const HANDED_OVER: u64 = 60_000;

/// A run in which everything went well: each answer has two bubbles.
fn good(conversations: usize, messages: usize) -> Facts {
    let mut facts = Facts::default();
    let tenure = |worker, from, to| Tenure { worker: Some(worker), span: Span { from, to } };
    facts.owners.tenures.insert(7, vec![tenure(OWNER, 0, HANDED_OVER), tenure(HEIR, HANDED_OVER, u64::MAX)]);
    for conversation in 0..conversations {
        facts.owners.partition.insert(conversation, 7);
        for nth in 0..messages {
            let at = nth as u64 * 10_000;
            let trace = format!("{conversation}-{nth}");
            facts.accepted.push(Accepted { conversation, nth, bubbles: 2, at, trace: trace.clone() });
            let span = |step: u64| Span { from: at + step * 2 * STEP, to: at + (step * 2 + 1) * STEP };
            facts.calls.push(Call { conversation, key: trace.clone(), span: span(1) });
            for part in 0..2 {
                facts.bubbles.push(Bubble { conversation, nth, part, span: span(2 + part as u64) });
            }
            facts.traces.push(Trace { id: trace, outcome: Some("answered".into()) });
        }
    }
    facts.bubbles.sort_by_key(|bubble| bubble.span.from);
    facts
}

fn fault(kind: FaultKind, from: u64, to: u64) -> Done {
    let cuts = kind != FaultKind::Sigterm;
    let worker = matches!(kind, FaultKind::Kill9 | FaultKind::Freeze | FaultKind::Sigterm).then_some(OWNER);
    Done { kind, worker, what: String::new(), span: Span { from, to }, cuts_sends: cuts, cuts_calls: cuts }
}

/// The place of a bubble in the facts.
fn place(facts: &Facts, conversation: usize, nth: usize, part: usize) -> usize {
    let is = |bubble: &Bubble| (bubble.conversation, bubble.nth, bubble.part) == (conversation, nth, part);
    facts.bubbles.iter().position(is).unwrap()
}

#[test]
fn a_good_run_is_good() {
    let verdict = verdict(&good(3, 4));
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.messages, verdict.answered, verdict.repeated_calls), (12, 12, 0));
    assert_eq!(verdict.longest_silence_ms, 5 * STEP);
}

#[test]
fn a_lost_bubble_is_found() {
    let mut facts = good(2, 2);
    let at = place(&facts, 1, 1, 1);
    facts.bubbles.remove(at);
    let verdict = verdict(&facts);
    assert_eq!((verdict.lost, verdict.answered, verdict.is_good()), (1, 3, false));
}

/// A second copy of bubble 0 of message 1 of conversation 0, at once after the first.
fn repeated(faults: &[Done], copies: usize) -> Verdict {
    let mut facts = good(1, 3);
    let at = place(&facts, 0, 1, 0);
    for _ in 0..copies {
        let mut copy = facts.bubbles[at].clone();
        copy.span = Span { from: copy.span.to + 3_000, to: copy.span.to + 3_005 };
        facts.bubbles.insert(at + 1, copy);
    }
    facts.faults = faults.to_vec();
    verdict(&facts)
}

#[test]
fn a_repeated_bubble_is_found_and_excused_only_by_a_fault_it_was_in_flight_at() {
    // The first copy comes at 10,040 ms and is answered at 10,050; bubble 1 begins at 10,060.
    let seen = |faults: &[Done], copies| {
        let verdict = repeated(faults, copies);
        assert_eq!(verdict.reordered, 0);
        (verdict.duplicated, verdict.duplicated_in_flight)
    };
    let kill = |at| fault(FaultKind::Kill9, at, at);
    assert_eq!(seen(&[], 1), (1, 0));
    assert_eq!(seen(&[kill(10_045)], 1), (0, 1));
    assert_eq!(seen(&[kill(10_060)], 1), (0, 1), "not yet kept");
    assert_eq!(seen(&[kill(10_061)], 1), (1, 0), "the conversation went on");
    assert_eq!(seen(&[kill(10_040 - ARRIVING_MS)], 1), (0, 1), "written before, noted after");
    assert_eq!(seen(&[kill(10_039 - ARRIVING_MS)], 1), (1, 0), "before");
    assert_eq!(seen(&[kill(12_600)], 1), (1, 0), "after");
    assert_eq!(seen(&[kill(13_051)], 1), (1, 0), "the copy is not what was cut");
    let freeze = |from, to| fault(FaultKind::Freeze, from, to);
    assert_eq!(seen(&[freeze(10_045, 12_000)], 1), (0, 1), "in flight when it was frozen");
    assert_eq!(seen(&[freeze(9_000, 11_000)], 1), (1, 0), "a frozen worker sends nothing");
    assert_eq!(seen(&[freeze(9_000, 13_051)], 1), (0, 1), "a thawed worker's last word");
    assert_eq!(seen(&[freeze(9_000, 19_000)], 1), (1, 0), "not thawed yet");
    assert_eq!(seen(&[freeze(12_000, 13_051)], 1), (1, 0), "the first was kept long before");
    assert_eq!(seen(&[fault(FaultKind::Cut, 9_000, 11_000)], 1), (0, 1), "a link that is cut");
    assert_eq!(seen(&[fault(FaultKind::Cut, 9_000, 13_051)], 1), (0, 1), "the last word of one that is cut off");
    assert_eq!(seen(&[fault(FaultKind::Cut, 12_000, 13_051)], 1), (1, 0), "the first was kept long before");
    assert_eq!(seen(&[fault(FaultKind::Sigterm, 10_045, 10_045)], 1), (1, 0), "a polite stop is no excuse");
    assert_eq!(seen(&[kill(10_045)], 2), (1, 1), "one bubble per fault");
    assert_eq!(seen(&[kill(10_045), freeze(10_000, 13_100)], 2), (0, 2));
}

#[test]
fn the_fault_of_a_worker_excuses_only_what_it_owned() {
    let hurt = |worker| Done { worker, ..fault(FaultKind::Kill9, 10_045, 10_045) };
    assert_eq!(repeated(&[hurt(Some(OWNER))], 1).duplicated, 0);
    assert_eq!(repeated(&[hurt(Some(HEIR))], 1).duplicated, 1, "it owns the conversation only later");
    assert_eq!(repeated(&[hurt(Some(9))], 1).duplicated, 1);
    assert_eq!(repeated(&[hurt(None)], 1).duplicated, 0, "all workers");
    let mut facts = good(1, 1);
    facts.owners.tenures.entry(7).or_default()[0].worker = None;
    let held = |worker, at| facts.owners.held(0, worker, Span { from: at, to: at });
    assert!(held(9, 10) && !held(9, HANDED_OVER + 1), "a record was missed: it may have been anybody");
}

#[test]
fn what_is_last_in_its_conversation_is_kept_after_a_while() {
    let run = |kill: u64| {
        let mut facts = good(1, 1);
        let at = place(&facts, 0, 0, 1);
        let answered = facts.bubbles[at].span.to;
        let mut copy = facts.bubbles[at].clone();
        copy.span = Span { from: answered + 9_000, to: answered + 9_001 };
        facts.bubbles.push(copy);
        facts.faults = vec![fault(FaultKind::Kill9, answered + kill, answered + kill)];
        verdict(&facts).duplicated
    };
    let (least, _) = KEPT_WITHIN_MS;
    assert_eq!((run(least), run(least + 1)), (0, 1));
}

#[test]
fn a_fault_excuses_one_bubble_in_each_conversation() {
    let mut facts = good(3, 1);
    for conversation in 0..3 {
        for part in 0..2 {
            let at = place(&facts, conversation, 0, part);
            let copy = facts.bubbles[at].clone();
            facts.bubbles.push(copy);
        }
    }
    facts.faults = vec![fault(FaultKind::Nats, 0, 1_000)];
    let verdict = verdict(&facts);
    assert_eq!((verdict.duplicated, verdict.duplicated_in_flight), (3, 3));
}

#[test]
fn a_swapped_bubble_is_found_even_at_a_fault() {
    let mut facts = good(1, 2);
    let (one, other) = (place(&facts, 0, 0, 1), place(&facts, 0, 1, 0));
    facts.bubbles.swap(one, other);
    facts.faults = vec![fault(FaultKind::Nats, 0, 100_000)];
    let verdict = verdict(&facts);
    assert_eq!((verdict.reordered, verdict.lost, verdict.is_good()), (1, 0, false));
}

#[test]
fn two_calls_at_once_are_found_unless_they_are_one() {
    let run = |key: &str, faults: Vec<Done>| {
        let mut facts = good(1, 1);
        let first = facts.calls[0].span;
        facts.calls.push(Call {
            conversation: 0,
            key: key.into(),
            span: Span { from: first.to - 1, to: first.to + 5 },
        });
        facts.faults = faults;
        let verdict = verdict(&facts);
        (verdict.overlapping, verdict.overlapping_in_flight, verdict.repeated_calls)
    };
    assert_eq!(run("another", vec![]), (1, 0, 0));
    assert_eq!(run("0-0", vec![]), (0, 0, 1), "the same key is the same call");
    // The first call runs from 20 to 30 ms, the second from 29 ms.
    assert_eq!(run("another", vec![fault(FaultKind::Freeze, 25, 900)]), (0, 1, 0));
    assert_eq!(run("another", vec![fault(FaultKind::Freeze, 31, 900)]), (1, 0, 0), "after both began");
    assert_eq!(run("another", vec![Done { worker: Some(HEIR), ..fault(FaultKind::Freeze, 25, 900) }]), (1, 0, 0));
}

/// A worker is frozen while it asks, another one takes over and asks; what the first begins when it
/// is thawed is no longer its to begin.
#[test]
fn a_call_that_a_thawed_worker_begins_is_never_excused() {
    let mut facts = good(1, 1);
    let asked = facts.calls[0].span;
    let call = |key: &str, from, to| Call { conversation: 0, key: key.into(), span: Span { from, to } };
    facts.calls[0].span.to = asked.from + 5_000;
    facts.calls.push(call("heir", asked.from + 3_000, asked.from + 9_000));
    facts.faults = vec![fault(FaultKind::Freeze, asked.from + 5, asked.from + 6_000)];
    let lawful = verdict(&facts);
    assert_eq!((lawful.overlapping, lawful.overlapping_in_flight), (0, 1));
    facts.calls.push(call("zombie", asked.from + 6_010, asked.from + 6_100));
    let zombie = verdict(&facts);
    assert_eq!((zombie.overlapping, zombie.is_good()), (1, false));
}

#[test]
fn a_fault_of_the_broker_lasts_until_the_workers_are_well_again() {
    let beats = HashMap::from([(OWNER, vec![900, 1_600, 2_300]), (HEIR, vec![950, 1_250])]);
    let ends = |fault: Done| fault.until_well(&beats, 2_000).span.to;
    assert_eq!(ends(Done { worker: Some(OWNER), ..fault(FaultKind::Cut, 800, 1_000) }), 1_600);
    assert_eq!(ends(fault(FaultKind::Nats, 800, 1_000)), 1_600, "all of them");
    assert_eq!(ends(fault(FaultKind::Nats, 800, 1_400)), 3_400, "one is never heard of again: its lease has ended");
    assert_eq!(ends(fault(FaultKind::Kill9, 1_000, 1_000)), 1_000);
    let agent = Done { cuts_sends: false, ..fault(FaultKind::Cut, 800, 1_000) };
    assert_eq!(ends(agent), 1_000);
}

#[test]
fn how_long_keeping_takes_is_measured_where_no_fault_lasts() {
    let slow = |faults: Vec<Done>| {
        let mut facts = good(1, 3);
        let at = place(&facts, 0, 1, 1);
        facts.bubbles[at].span = Span { from: 10_250, to: 10_260 };
        facts.faults = faults;
        verdict(&facts).kept_within_ms
    };
    assert_eq!(slow(vec![]), 600);
    assert_eq!(slow(vec![fault(FaultKind::Database, 10_100, 10_110)]), KEPT_WITHIN_MS.0);
}

#[test]
fn traces_without_an_end_or_a_message_are_found() {
    let mut facts = good(1, 3);
    facts.traces[0].outcome = None;
    facts.traces[1].outcome = Some("dead".into());
    facts.traces[2].id = "nobody's".into();
    let verdict = verdict(&facts);
    assert_eq!((verdict.orphan_traces, verdict.not_answered, verdict.is_good()), (3, 1, false));
}

#[test]
fn what_is_left_accused_or_strange_fails_a_run() {
    for change in [
        |facts: &mut Facts| facts.left.push("a message".into()),
        |facts: &mut Facts| facts.violations.push("a field".into()),
        |facts: &mut Facts| facts.strange.push("a text".into()),
        |facts: &mut Facts| facts.never_accepted = 1,
        |facts: &mut Facts| facts.bubbles[0].part = 7,
    ] {
        let mut facts = good(1, 1);
        change(&mut facts);
        assert!(!verdict(&facts).is_good());
    }
}

proptest! {
    #[test]
    fn any_one_wrong_makes_a_good_run_bad(
        conversations in 1_usize..5, messages in 1_usize..6, which: proptest::sample::Index, wrong in 0_u8..6,
    ) {
        let mut facts = good(conversations, messages);
        prop_assert!(verdict(&facts).is_good());
        let at = which.index(facts.bubbles.len());
        match wrong {
            0 => drop(facts.bubbles.remove(at)),
            1 => {
                let copy = facts.bubbles[at].clone();
                facts.bubbles.push(copy);
            }
            2 => {
                // An earlier bubble of the same conversation comes last.
                let first = facts.bubbles.remove(place(&facts, facts.bubbles[at].conversation, 0, 0));
                facts.bubbles.push(first);
            }
            3 => {
                let mut call = facts.calls[which.index(facts.calls.len())].clone();
                call.key.push('x');
                facts.calls.push(call);
            }
            4 => drop(facts.traces.remove(which.index(facts.traces.len()))),
            _ => facts.traces[which.index(messages * conversations)].outcome = None,
        }
        prop_assert!(!verdict(&facts).is_good());
    }

    #[test]
    fn faults_never_excuse_a_loss_or_a_swap(from in 0_u64..50_000, lasts in 0_u64..50_000, at: proptest::sample::Index) {
        let mut facts = good(2, 4);
        facts.faults = vec![fault(FaultKind::Kill9, from, from + lasts)];
        let at = at.index(facts.bubbles.len());
        facts.bubbles.remove(at);
        prop_assert_eq!(verdict(&facts).lost, 1);
    }
}
