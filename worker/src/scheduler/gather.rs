//! Gathering: which of a lane's waiting messages become its next turn, and when.
//!
//! A turn is a prefix of what waits. With `debounce_ms`, messages that follow each other closely
//! are one thought and one turn:
//!
//! ```text
//! published    m1   m2  m3            m4
//!              |----|---|-----debounce|      m1 m2 m3 are one turn, ready when the silence has
//!                                            lasted, or when the first has waited debounce_max
//! ```
//!
//! A message that stands alone (what a program sends) is a turn of its own: the thought before it
//! ends with it.
//!
//! Only the broker's times count, and they are the same for whoever owns the lane: a new owner
//! gathers the same messages, and nothing need be written for that.

use std::collections::VecDeque;

use omnihub_common::{
    instance::TurnSettings,
    queue::{OpenTurn, Phase},
};

use super::lanes::Item;

/// A turn has at most so many messages: its ids are in every checkpoint.
pub(super) const MOST_IN_A_TURN: usize = 100;

/// What a lane may begin with what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// Nothing yet; the next delivery will tell.
    Nothing,
    /// A turn at this time (the broker's clock, in milliseconds since 1970), unless more comes.
    At(i64),
    /// A turn with so many of the messages, from the front.
    Now(usize),
}

/// What a lane knows beside its messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knowledge<'a> {
    /// The turn that was begun and has not ended: its set of messages stays as it was.
    pub(super) open: Option<&'a OpenTurn>,
    /// So many messages from the front belong together already: they waited while a turn ran.
    pub(super) together: usize,
    /// How the instance gathers.
    pub(super) settings: &'a TurnSettings,
    /// Whether everything that was in the stream when we became its owner has been delivered.
    pub(super) caught_up: bool,
    /// The broker's clock, in milliseconds since 1970.
    pub(super) now: i64,
}

/// Decides.
pub(super) fn take<M: Item>(queue: &VecDeque<M>, know: Knowledge<'_>) -> Taking {
    if queue.is_empty() {
        return Taking::Nothing;
    }
    if let Some(open) = know.open {
        // Before bubbles that may be cancelled goes what may be on its way to do that.
        let there = queue.iter().take_while(|item| open.ids.contains(&item.id())).count();
        let is_asking = matches!(open.phase, Phase::Asking);
        if (there == open.ids.len() && is_asking) || (there > 0 && know.caught_up) {
            // A build that does not know those that stand alone may have gathered them too.
            return Taking::Now(there.min(before_loner(queue)));
        }
        if !know.caught_up {
            return Taking::Nothing;
        }
        // None of its messages is there any more: it is not about what waits.
    }
    let (taken, closed) = prefix(queue, know.together, know.settings);
    if closed || know.settings.debounce_ms == 0 {
        return Taking::Now(taken);
    }
    if !know.caught_up {
        return Taking::Nothing;
    }
    match ready_at(queue, taken, know.settings) {
        at if at > know.now => Taking::At(at),
        _ => Taking::Now(taken),
    }
}

/// How many messages from the front are one thought, and whether no later one can join them.
fn prefix<M: Item>(queue: &VecDeque<M>, together: usize, settings: &TurnSettings) -> (usize, bool) {
    let (debounce, longest) = (i64::from(settings.debounce_ms), millis(settings.debounce_max()));
    let reach = before_loner(queue);
    if queue.front().is_some_and(Item::stands_alone) {
        return (reach, true);
    }
    let together = together.clamp(1, reach);
    let mut taken = together.min(MOST_IN_A_TURN);
    if taken < together {
        return (taken, true);
    }
    while let (Some(last), Some(next)) = (queue.get(taken - 1), queue.get(taken)) {
        let first = queue.front().map_or(0, Item::published);
        let close = next.published() - last.published() < debounce && next.published() - first < longest;
        let follows = close && taken < reach;
        if !follows || taken >= MOST_IN_A_TURN {
            return (taken, true);
        }
        taken += 1;
    }
    (taken, taken >= MOST_IN_A_TURN)
}

/// How many messages from the front stand before the first that stands alone, as far as it matters;
/// at least one.
fn before_loner<M: Item>(queue: &VecDeque<M>) -> usize {
    queue.iter().take(MOST_IN_A_TURN + 1).take_while(|item| !item.stands_alone()).count().max(1)
}

fn ready_at<M: Item>(queue: &VecDeque<M>, taken: usize, settings: &TurnSettings) -> i64 {
    let first = queue.front().map_or(0, Item::published);
    let last = queue.get(taken - 1).map_or(0, Item::published);
    (last + i64::from(settings.debounce_ms)).min(first + millis(settings.debounce_max()))
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use omnihub_common::queue::MessageId;

    use super::*;
    use crate::scheduler::lanes::tests::{Message, message_at, send_at};

    const DEBOUNCE: TurnSettings = TurnSettings {
        debounce_ms: 100,
        debounce_max_ms: 250,
        overlap: omnihub_common::instance::Overlap::Queue,
        max_backlog: None,
        turns_per_minute: 0,
        on_edit: omnihub_common::instance::OnEdit::Ignore,
    };

    fn queue(times: &[i64]) -> VecDeque<Message> {
        (1..).zip(times).map(|(sequence, &at)| message_at(sequence, at)).collect()
    }

    fn knowing(settings: &TurnSettings, now: i64) -> Knowledge<'_> {
        Knowledge { open: None, together: 0, settings, caught_up: true, now }
    }

    #[test]
    fn without_debounce_each_message_is_a_turn_at_once() {
        let know = knowing(&TurnSettings { debounce_ms: 0, ..DEBOUNCE }, 0).settings.to_owned();
        let know = Knowledge { caught_up: false, ..knowing(&know, 0) };
        assert_eq!(take(&queue(&[5, 6, 7]), know), Taking::Now(1));
        assert_eq!(take(&queue(&[]), know), Taking::Nothing);
        assert_eq!(take(&queue(&[5, 6, 7]), Knowledge { together: 2, ..know }), Taking::Now(2));
    }

    #[test]
    fn a_thought_ends_with_a_silence_with_the_longest_wait_or_with_the_next_thought() {
        let know = |now| knowing(&DEBOUNCE, now);
        assert_eq!(take(&queue(&[0, 50]), know(60)), Taking::At(150));
        assert_eq!(take(&queue(&[0, 50]), know(150)), Taking::Now(2));
        assert_eq!(take(&queue(&[0, 90, 180]), know(200)), Taking::At(250), "the first has waited long enough then");
        assert_eq!(take(&queue(&[0, 50, 150]), know(151)), Taking::Now(2), "a silence lies before the third");
        assert_eq!(take(&queue(&[0, 90, 180, 250]), know(251)), Taking::Now(3));
    }

    #[test]
    fn nothing_is_decided_before_a_replay_is_over_unless_it_is_sure() {
        let replaying = Knowledge { caught_up: false, ..knowing(&DEBOUNCE, 10_000) };
        assert_eq!(take(&queue(&[0, 50]), replaying), Taking::Nothing);
        assert_eq!(take(&queue(&[0, 50, 500]), replaying), Taking::Now(2));
    }

    #[test]
    fn an_open_turn_keeps_its_messages() {
        let waiting = queue(&[0, 50, 60]);
        let ids: Vec<MessageId> = waiting.iter().take(2).map(Item::id).collect();
        let open = OpenTurn { attempt: 1, failures: 1, ..OpenTurn::new(ids) };
        let know = Knowledge { open: Some(&open), caught_up: false, ..knowing(&DEBOUNCE, 70) };
        assert_eq!(take(&waiting, know), Taking::Now(2), "whatever the debounce says");
        assert_eq!(take(&queue(&[0]), know), Taking::Nothing, "the second is still on its way");
        let later = Knowledge { caught_up: true, ..know };
        assert_eq!(take(&queue(&[0]), later), Taking::Now(1), "the second is lost");
        let others: VecDeque<_> = waiting.iter().skip(2).cloned().collect();
        assert_eq!(take(&others, Knowledge { now: 500, ..later }), Taking::Now(1), "it is about others");
    }

    #[test]
    fn a_send_is_a_turn_of_its_own_at_once_and_ends_the_thought_before_it() {
        let queue = |kinds: &[(i64, bool)]| -> VecDeque<Message> {
            let item = |(sequence, &(at, alone))| if alone { send_at(sequence, at) } else { message_at(sequence, at) };
            (1..).zip(kinds).map(item).collect()
        };
        let know = knowing(&DEBOUNCE, 60);
        let replaying = Knowledge { caught_up: false, ..know };
        assert_eq!(take(&queue(&[(50, true), (55, false)]), replaying), Taking::Now(1));
        assert_eq!(take(&queue(&[(40, false), (50, false), (55, true)]), know), Taking::Now(2));
        let merging = Knowledge { together: 4, ..know };
        assert_eq!(take(&queue(&[(1, false), (2, false), (3, true), (4, false)]), merging), Taking::Now(2));
        // An earlier build has gathered it with others.
        let mixed = queue(&[(1, false), (2, true), (3, false)]);
        let open = OpenTurn::new(mixed.iter().map(Item::id).collect());
        let resumed = Knowledge { open: Some(&open), ..know };
        assert_eq!(take(&mixed, resumed), Taking::Now(1));
        assert_eq!(take(&mixed.iter().skip(1).cloned().collect(), resumed), Taking::Now(1));
    }

    #[test]
    fn a_turn_has_a_largest_size() {
        let many = queue(&[0; 250]);
        assert_eq!(take(&many, knowing(&DEBOUNCE, 0)), Taking::Now(MOST_IN_A_TURN));
        assert_eq!(take(&many, Knowledge { together: 200, ..knowing(&DEBOUNCE, 0) }), Taking::Now(MOST_IN_A_TURN));
    }
}
