//! Lanes, told what happened step by step.

use std::time::Duration;

use omnihub_common::queue::MessageKey;

use super::*;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    sequence: u64,
    delivery: u8,
}

impl Item for Message {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn id(&self) -> MessageId {
        let provider_id = self.sequence.to_string();
        let key = MessageKey {
            instance_id: 1,
            kind: "message",
            chat: "c",
            from_me: false,
            provider_id: &provider_id,
            discriminator: "",
        };
        MessageId::of(&key)
    }
}

const TAG: (u64, u64) = (1, 0);

pub(super) fn lane(name: &str) -> LaneAddress {
    LaneAddress { partition: 0, instance: "acme-1".into(), conversation: name.into() }
}

pub(super) fn message(sequence: u64) -> Message {
    Message { sequence, delivery: 0 }
}

fn owning() -> Lanes<Message> {
    let mut lanes = Lanes::new(10, 10);
    lanes.owned(0, TAG);
    lanes
}

fn started(actions: &[Action<Message>]) -> Vec<u64> {
    let items = actions.iter().filter_map(|action| match action {
        Action::Start { items, .. } => Some(items[0].sequence),
        _ => None,
    });
    items.collect()
}

fn acked(actions: &[Action<Message>]) -> Vec<Message> {
    let items = actions.iter().filter_map(|action| match action {
        Action::Ack(items) => Some(items.clone()),
        _ => None,
    });
    items.flatten().collect()
}

fn done(sequences: &[u64]) -> Checkpoint {
    let mut checkpoint = Checkpoint::new();
    checkpoint.close(&sequences.iter().map(|s| message(*s).id()).collect::<Vec<_>>(), 1);
    checkpoint
}

#[test]
fn one_turn_at_a_time_in_stream_order_and_ack_last() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    assert!(matches!(lanes.arrived(lane("a"), TAG, message(1))[..], [Action::Load(_)]));
    assert!(lanes.arrived(lane("a"), TAG, message(2)).is_empty());
    assert!(lanes.dispatch().is_empty(), "nothing starts before the checkpoint is known");
    lanes.loaded(&a, 1, Checkpoint::new());
    assert_eq!(started(&lanes.dispatch()), [1]);
    assert!(lanes.dispatch().is_empty());
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])));
    assert_eq!(acked(&actions), [message(1)]);
    assert_eq!(started(&lanes.dispatch()), [2]);
    lanes.ended(&a, TurnEnd::Done(done(&[1, 2])));
    assert_eq!(lanes.figures(), (0, 0), "an idle lane is forgotten");
}

#[test]
fn what_is_done_already_is_acknowledged_and_not_run() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    let actions = lanes.loaded(&a, 1, done(&[1]));
    assert_eq!(acked(&actions), [message(1)]);
    assert_eq!(started(&lanes.dispatch()), [2]);
}

#[test]
fn a_lane_that_waits_for_its_next_attempt_keeps_its_order_and_delays_nobody() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    for (name, sequence) in [("a", 1), ("a", 2), ("b", 3)] {
        lanes.arrived(lane(name), TAG, message(sequence));
    }
    lanes.loaded(&a, 1, Checkpoint::new());
    assert_eq!(started(&lanes.dispatch()), [1]);
    lanes.ended(&a, TurnEnd::Again(Checkpoint::new(), Wait { at_most: Duration::from_secs(1), instance: None }));
    lanes.loaded(&Arc::new(lane("b")), 1, Checkpoint::new());
    assert_eq!(started(&lanes.dispatch()), [3]);
    lanes.woken(&a, 1);
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_new_generation_replaces_what_waited_and_leaves_running_turns_alone() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    lanes.loaded(&a, 1, Checkpoint::new());
    lanes.dispatch();
    lanes.owned(0, (1, 1));
    assert!(lanes.arrived(lane("a"), TAG, message(2)).is_empty(), "the old consumer is not listened to");
    lanes.arrived(lane("a"), (1, 1), Message { sequence: 1, delivery: 1 });
    lanes.arrived(lane("a"), (1, 1), Message { sequence: 2, delivery: 1 });
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])));
    assert_eq!(acked(&actions), [Message { sequence: 1, delivery: 1 }], "the newest delivery is acknowledged");
    assert_eq!(started(&lanes.dispatch()), [2]);
}

#[test]
fn a_fenced_turn_stops_its_partition_until_it_is_verified() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    lanes.loaded(&a, 1, Checkpoint::new());
    lanes.dispatch();
    let actions = lanes.ended(&a, TurnEnd::Fenced);
    assert!(actions.iter().any(|action| matches!(action, Action::Doubt(0))));
    lanes.loaded(&a, 1, Checkpoint::new());
    assert!(lanes.dispatch().is_empty(), "message 2 must not overtake message 1");
    lanes.owned(0, (1, 1));
    lanes.arrived(lane("a"), (1, 1), message(1));
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn after_a_loss_the_orphaned_turn_neither_acknowledges_nor_hides_a_replay() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.loaded(&a, 1, Checkpoint::new());
    lanes.dispatch();
    lanes.lost(0);
    lanes.owned(0, (3, 0));
    assert!(lanes.arrived(lane("a"), (3, 0), message(1)).is_empty());
    let actions = lanes.ended(&a, TurnEnd::Fenced);
    assert!(matches!(actions[..], [Action::Load(_)]));
    lanes.loaded(&a, 3, Checkpoint::new());
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_release_waits_for_running_turns_and_starts_nothing_new() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    lanes.loaded(&a, 1, Checkpoint::new());
    lanes.dispatch();
    assert!(lanes.release(0).is_empty());
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])));
    assert!(actions.iter().any(|action| matches!(action, Action::Drained(0))));
    assert!(lanes.dispatch().is_empty());
}

#[test]
fn what_was_read_or_slept_under_an_older_ownership_counts_for_nothing() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.lost(0);
    lanes.owned(0, (2, 0));
    lanes.arrived(lane("a"), (2, 0), message(1));
    lanes.loaded(&a, 1, done(&[1]));
    assert!(lanes.dispatch().is_empty());
    lanes.loaded(&a, 2, Checkpoint::new());
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_release_holds_back_what_is_ready_and_what_comes_even_where_nothing_runs() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.loaded(&a, 1, Checkpoint::new());
    assert!(matches!(lanes.release(0)[..], [Action::Drained(0)]));
    assert!(lanes.dispatch().is_empty());
    lanes.arrived(lane("b"), TAG, message(2));
    lanes.loaded(&Arc::new(lane("b")), 1, Checkpoint::new());
    assert!(lanes.dispatch().is_empty());
}
