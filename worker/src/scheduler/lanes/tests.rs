//! Lanes, told what happened step by step.

use std::time::Duration;

use omnihub_common::queue::MessageKey;

use super::*;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::scheduler) struct Message {
    sequence: u64,
    name: u64,
    published: i64,
    delivery: u8,
    alone: bool,
    command: bool,
}

impl Item for Message {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn id(&self) -> MessageId {
        let provider_id = self.name.to_string();
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

    fn published(&self) -> i64 {
        self.published
    }

    fn stands_alone(&self) -> bool {
        self.alone
    }

    fn is_command(&self) -> bool {
        self.command
    }

    /// One in the first place does not.
    fn stops(&self) -> bool {
        self.command && self.sequence > 1
    }
}

pub(super) const TAG: (u64, u64) = (1, 0);

pub(super) fn lane(name: &str) -> LaneAddress {
    LaneAddress { partition: 0, instance: "acme-1".into(), conversation: name.into() }
}

pub(super) fn message(sequence: u64) -> Message {
    message_at(sequence, 0)
}

pub(in crate::scheduler) fn message_at(sequence: u64, published: i64) -> Message {
    Message { sequence, name: sequence, published, delivery: 0, alone: false, command: false }
}

/// What a program sends.
pub(in crate::scheduler) fn send_at(sequence: u64, published: i64) -> Message {
    Message { alone: true, ..message_at(sequence, published) }
}

/// What acts on its lane.
pub(super) fn command(sequence: u64) -> Message {
    command_of(message(sequence))
}

/// The same, made of this.
pub(super) fn command_of(message: Message) -> Message {
    Message { alone: true, command: true, ..message }
}

/// The message of an earlier place, posted once more.
pub(super) fn copy(sequence: u64, of: u64, published: i64) -> Message {
    Message { name: of, ..message_at(sequence, published) }
}

fn again(sequence: u64) -> Message {
    Message { delivery: 1, ..message(sequence) }
}

/// How the instances of these tests gather.
pub(super) const PLAIN: TurnSettings = TurnSettings {
    debounce_ms: 0,
    debounce_max_ms: 10_000,
    overlap: Overlap::Queue,
    max_backlog: None,
    turns_per_minute: 0,
    on_edit: omnihub_common::instance::OnEdit::Ignore,
};

pub(super) fn owning() -> Lanes<Message> {
    let mut lanes = Lanes::new(10, 10);
    lanes.owned(0, TAG);
    lanes
}

pub(super) fn started(actions: &[Action<Message>]) -> Vec<u64> {
    let items = actions.iter().filter_map(|action| match action {
        Action::Start { items, .. } => Some(items[0].sequence),
        _ => None,
    });
    items.collect()
}

pub(super) fn acked(actions: &[Action<Message>]) -> Vec<Message> {
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
    assert!(matches!(lanes.arrived(lane("a"), TAG, message(1))[..], [Action::Load(..)]));
    assert!(lanes.arrived(lane("a"), TAG, message(2)).is_empty());
    assert!(lanes.dispatch().is_empty(), "nothing starts before the checkpoint is known");
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [1]);
    assert!(lanes.dispatch().is_empty());
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])), None);
    assert_eq!(acked(&actions), [message(1)]);
    assert_eq!(started(&lanes.dispatch()), [2]);
    lanes.ended(&a, TurnEnd::Done(done(&[1, 2])), None);
    assert_eq!(lanes.figures(), (0, 0), "an idle lane is forgotten");
}

#[test]
fn what_is_done_already_is_acknowledged_and_not_run() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    let actions = lanes.loaded(&a, TAG, done(&[1]), PLAIN);
    assert_eq!(acked(&actions), [message(1)]);
    assert_eq!(started(&lanes.dispatch()), [2]);
}

#[test]
fn a_lane_that_waits_for_its_next_attempt_keeps_its_order_and_delays_nobody() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    for (name, sequence) in [("a", 1), ("a", 2), ("b", 3)] {
        lanes.arrived(lane(name), TAG, message(sequence));
    }
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [1]);
    lanes.ended(&a, TurnEnd::Again(Checkpoint::new(), Wait::of(Duration::from_secs(1), "agent")), None);
    lanes.loaded(&Arc::new(lane("b")), TAG, Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [3]);
    lanes.woken(&a, 1);
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_new_generation_replaces_what_waited_and_leaves_running_turns_alone() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    lanes.dispatch();
    lanes.owned(0, (1, 1));
    assert!(lanes.arrived(lane("a"), TAG, message(2)).is_empty(), "the old consumer is not listened to");
    lanes.arrived(lane("a"), (1, 1), again(1));
    lanes.arrived(lane("a"), (1, 1), again(2));
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])), None);
    assert_eq!(acked(&actions), [again(1)], "the newest delivery is acknowledged");
    assert_eq!(started(&lanes.dispatch()), [2]);
}

#[test]
fn a_fenced_turn_stops_its_partition_until_it_is_verified() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    lanes.dispatch();
    let actions = lanes.ended(&a, TurnEnd::Fenced, None);
    assert!(actions.iter().any(|action| matches!(action, Action::Doubt(0))));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    assert!(lanes.dispatch().is_empty(), "message 2 must not overtake message 1");
    lanes.owned(0, (1, 1));
    lanes.arrived(lane("a"), (1, 1), message(1));
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn after_a_loss_the_orphaned_turn_neither_acknowledges_nor_hides_a_replay() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    lanes.dispatch();
    lanes.lost(0, 1);
    lanes.owned(0, (3, 0));
    assert!(lanes.arrived(lane("a"), (3, 0), message(1)).is_empty());
    let actions = lanes.ended(&a, TurnEnd::Fenced, None);
    assert!(matches!(actions[..], [Action::Load(..)]));
    lanes.loaded(&a, (3, 0), Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_release_waits_for_running_turns_and_starts_nothing_new() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.arrived(lane("a"), TAG, message(2));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    lanes.dispatch();
    assert!(lanes.release(0).is_empty());
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])), None);
    assert!(actions.iter().any(|action| matches!(action, Action::Drained(0))));
    assert!(lanes.dispatch().is_empty());
}

#[test]
fn what_was_read_or_slept_under_an_older_ownership_counts_for_nothing() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.lost(0, 1);
    lanes.owned(0, (2, 0));
    lanes.arrived(lane("a"), (2, 0), message(1));
    lanes.loaded(&a, TAG, done(&[1]), PLAIN);
    assert!(lanes.dispatch().is_empty());
    lanes.loaded(&a, (2, 0), Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_checkpoint_that_was_not_read_is_read_for_the_next_consumer() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    for tag in [TAG, (1, 1), (2, 0)] {
        lanes.owned(0, tag);
        assert_eq!(lanes.figures(), (0, 0), "what is being read for an older consumer is forgotten");
        let actions = lanes.arrived(lane("a"), tag, message(1));
        assert!(matches!(actions[..], [Action::Load(_, loads)] if loads == tag));
    }
    lanes.loaded(&a, (1, 1), done(&[1]), PLAIN);
    assert!(lanes.dispatch().is_empty(), "out of date");
    lanes.loaded(&a, (2, 0), Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [1]);
}

#[test]
fn a_release_holds_back_what_is_ready_and_what_comes_even_where_nothing_runs() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    assert!(matches!(lanes.release(0)[..], [Action::Drained(0)]));
    assert!(lanes.dispatch().is_empty());
    lanes.arrived(lane("b"), TAG, message(2));
    lanes.loaded(&Arc::new(lane("b")), TAG, Checkpoint::new(), PLAIN);
    assert!(lanes.dispatch().is_empty());
}

const GATHERING: TurnSettings = TurnSettings { debounce_ms: 100, debounce_max_ms: 1_000, ..PLAIN };

fn all_started(actions: &[Action<Message>]) -> Vec<Vec<u64>> {
    let items = actions.iter().filter_map(|action| match action {
        Action::Start { items, .. } => Some(items.iter().map(|item| item.sequence).collect()),
        _ => None,
    });
    items.collect()
}

#[test]
fn messages_that_follow_each_other_are_one_turn_when_the_silence_has_lasted() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message_at(1, 1_000));
    lanes.caught_up(0, TAG);
    lanes.set_now(1_010);
    let actions = lanes.loaded(&a, TAG, Checkpoint::new(), GATHERING);
    assert!(matches!(actions[..], [Action::LookAt(_, 1_100)]));
    assert!(lanes.arrived(lane("a"), TAG, message_at(2, 1_060)).is_empty(), "somebody will look already");
    lanes.set_now(1_100);
    assert!(matches!(lanes.looked_at(&a)[..], [Action::LookAt(_, 1_160)]));
    assert!(lanes.dispatch().is_empty());
    lanes.set_now(1_160);
    lanes.looked_at(&a);
    assert_eq!(all_started(&lanes.dispatch()), [[1, 2]]);
}

#[test]
fn a_replay_is_waited_for_before_a_thought_counts_as_whole() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.set_now(60_000);
    lanes.arrived(lane("a"), TAG, message_at(1, 1_000));
    lanes.loaded(&a, TAG, Checkpoint::new(), GATHERING);
    assert!(lanes.dispatch().is_empty(), "its silence is long over, and the next may already be on its way");
    lanes.arrived(lane("a"), TAG, message_at(2, 1_060));
    lanes.caught_up(0, TAG);
    assert_eq!(all_started(&lanes.dispatch()), [[1, 2]]);
}

#[test]
fn merge_takes_together_what_waited_while_a_turn_ran() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.loaded(&a, TAG, Checkpoint::new(), TurnSettings { overlap: Overlap::Merge, ..PLAIN });
    assert_eq!(all_started(&lanes.dispatch()), [[1]]);
    for sequence in [2, 3, 4] {
        lanes.arrived(lane("a"), TAG, message(sequence));
    }
    lanes.ended(&a, TurnEnd::Done(done(&[1])), None);
    assert_eq!(all_started(&lanes.dispatch()), [[2, 3, 4]]);
    lanes.arrived(lane("a"), TAG, message(5));
    lanes.ended(&a, TurnEnd::Done(done(&[1, 2, 3, 4])), Some(PLAIN));
    assert_eq!(all_started(&lanes.dispatch()), [[5]]);
}

#[test]
fn a_message_posted_again_while_it_waits_is_one_and_its_copy_goes_with_it() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(1));
    lanes.loaded(&a, TAG, Checkpoint::new(), TurnSettings { overlap: Overlap::Merge, ..PLAIN });
    assert_eq!(all_started(&lanes.dispatch()), [[1]]);
    for item in [message(2), copy(3, 1, 0), copy(4, 2, 0)] {
        assert!(lanes.arrived(lane("a"), TAG, item).is_empty());
    }
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1])), None);
    assert_eq!(acked(&actions), [message(1), copy(3, 1, 0)]);
    assert_eq!(all_started(&lanes.dispatch()), [[2]], "its text is not there twice");
    // A new consumer delivers both once more.
    lanes.owned(0, (1, 1));
    for item in [message(2), copy(4, 2, 0)] {
        assert!(lanes.arrived(lane("a"), (1, 1), item).is_empty());
    }
    let actions = lanes.ended(&a, TurnEnd::Done(done(&[1, 2])), None);
    assert_eq!(acked(&actions), [message(2), copy(4, 2, 0)]);
    assert_eq!(lanes.figures(), (0, 0));
}

#[test]
fn supersede_asks_again_with_all_and_only_for_a_while() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message_at(1, 0));
    lanes.loaded(&a, TAG, Checkpoint::new(), TurnSettings { overlap: Overlap::Supersede, ..PLAIN });
    assert_eq!(all_started(&lanes.dispatch()), [[1]]);
    let actions = lanes.arrived(lane("a"), TAG, message_at(2, 9_999));
    assert!(matches!(&actions[..], [Action::Supersede(_, item, Until::Answered)] if item.sequence == 2));
    lanes.ended(&a, TurnEnd::Withdrawn(Checkpoint::new()), None);
    assert_eq!(all_started(&lanes.dispatch()), [[1, 2]]);
    assert!(lanes.arrived(lane("a"), TAG, message_at(3, 10_000)).is_empty(), "the first has waited long enough");
    lanes.ended(&a, TurnEnd::Done(done(&[1, 2])), None);
    assert_eq!(all_started(&lanes.dispatch()), [[3]]);
}

#[test]
fn what_is_gathered_joins_a_turn_that_has_not_asked() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.caught_up(0, TAG);
    lanes.arrived(lane("a"), TAG, message_at(1, 0));
    let settings = TurnSettings { debounce_ms: 100, debounce_max_ms: 200, ..PLAIN };
    lanes.loaded(&a, TAG, Checkpoint::new(), settings);
    lanes.set_now(100);
    lanes.looked_at(&a);
    assert_eq!(all_started(&lanes.dispatch()), [[1]]);
    let actions = lanes.arrived(lane("a"), TAG, message_at(2, 5_000));
    assert!(matches!(&actions[..], [Action::Supersede(_, item, Until::Asked)] if item.sequence == 2), "{actions:?}");
    assert!(lanes.arrived(lane("a"), TAG, message_at(3, 600_200)).is_empty(), "nothing is prepared for so long");
    lanes.set_now(600_300);
    lanes.ended(&a, TurnEnd::Withdrawn(Checkpoint::new()), None);
    assert_eq!(all_started(&lanes.dispatch()), [[1, 2, 3]]);
    lanes.ended(&a, TurnEnd::Done(done(&[1, 2, 3])), None);

    // A message that is a turn of its own changes no other.
    lanes.arrived(lane("a"), TAG, message_at(4, 700_000));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    assert_eq!(all_started(&lanes.dispatch()), [[4]]);
    assert!(lanes.arrived(lane("a"), TAG, message_at(5, 700_001)).is_empty());
}

#[test]
fn a_new_message_with_the_place_of_an_old_one_is_not_taken_for_it() {
    let (mut lanes, a) = (owning(), Arc::new(lane("a")));
    lanes.arrived(lane("a"), TAG, message(7));
    lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
    assert_eq!(started(&lanes.dispatch()), [7]);
    // The broker's store was put back, and counts from there: place 7 is another message's now.
    lanes.owned(0, (1, 1));
    let other = Message { sequence: 7, ..message(8) };
    lanes.arrived(lane("a"), (1, 1), other);
    lanes.ended(&a, TurnEnd::Done(done(&[7])), None);
    assert_eq!(lanes.figures(), (0, 1), "it still waits");
}
