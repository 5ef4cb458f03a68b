//! Overtaking: a send does not wait for the next attempt of what was before it.
//!
//! ```text
//! queue   m1  m2  S        m1 waits for its agent: S runs now, m1 and m2 wait on
//! ```
//!
//! Only a turn that waits is overtaken, only by a send, and no send by another. The checkpoint keeps
//! both turns, so that whoever owns the lane next goes on with the send first.

use std::ops::Range;

use omnihub_common::queue::Checkpoint;

use super::{Item, Lane, State, Taking};

impl<M: Item> Lane<M> {
    /// Which of the waiting messages a turn can begin with now.
    pub(super) fn ready(&self, caught_up: bool, now: i64) -> Option<Range<usize>> {
        if let Some(at) = self.commanded() {
            return Some(at..at + 1);
        }
        match self.state {
            State::Idle => match (self.cut_overtaker(), self.taking(caught_up, now)) {
                (Some(at), _) => Some(at..at + 1),
                (None, Taking::Now(count)) => Some(0..count),
                (None, _) => None,
            },
            State::Waiting { .. } if self.yields => self.overtaker().map(|at| at..at + 1),
            _ => None,
        }
    }

    /// Takes these messages for a turn: with the checkpoint to begin from, and whether it overtakes.
    pub(super) fn begin(&mut self, range: Range<usize>) -> (Vec<M>, Checkpoint, bool) {
        let overtakes = range.start > 0;
        self.leave_together(&range);
        let items: Vec<M> = self.queue.drain(range).collect();
        let before = std::mem::replace(&mut self.state, State::Running);
        self.beside = overtakes.then_some(before);
        self.in_flight.clone_from(&items);
        let mut checkpoint = match &self.checkpoint {
            Some(checkpoint) => checkpoint.clone(),
            None => Checkpoint::new(),
        };
        let is_open = |item: &M| checkpoint.open.as_ref().is_some_and(|open| open.ids.contains(&item.id()));
        match (overtakes, items.iter().any(is_open)) {
            (true, true) => {}
            (true, false) => checkpoint.overtaken = checkpoint.open.take(),
            (false, true) => checkpoint.overtaken = None,
            (false, false) if checkpoint.overtaken.is_some() => checkpoint.open = checkpoint.overtaken.take(),
            (false, false) => {}
        }
        (items, checkpoint, overtakes)
    }

    /// This is where the conversation stands.
    pub(super) fn know(&mut self, mut checkpoint: Checkpoint) {
        checkpoint.resume();
        self.checkpoint = Some(checkpoint);
    }

    /// The first send behind what waits; none when that is a send itself.
    fn overtaker(&self) -> Option<usize> {
        if self.queue.front()?.stands_alone() {
            return None;
        }
        self.queue.iter().position(Item::stands_alone)
    }

    /// A send that had begun to overtake, here or elsewhere, and has not ended.
    fn cut_overtaker(&self) -> Option<usize> {
        let open = self.checkpoint.as_ref()?.open.as_ref()?;
        let [id] = open.ids[..] else { return None };
        if self.queue.front()?.id() == id {
            return None;
        }
        self.queue.iter().position(|item| item.stands_alone() && item.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use omnihub_common::queue::{LaneAddress, OpenTurn};

    use super::*;
    use crate::{
        scheduler::lanes::{
            Action, Lanes,
            tests::{Message, PLAIN, TAG, acked, lane, message, owning, send_at, started},
        },
        turn::{TurnEnd, Wait},
    };

    fn wait() -> Wait {
        Wait::of(Duration::from_secs(300), "agent")
    }

    fn open(sequence: u64, attempt: u32) -> OpenTurn {
        OpenTurn { attempt, ..OpenTurn::new(vec![message(sequence).id()]) }
    }

    fn with(open: OpenTurn) -> Checkpoint {
        Checkpoint { open: Some(open), ..Checkpoint::new() }
    }

    /// The checkpoint that the one turn begins from, which overtakes.
    fn overtaking(actions: &[Action<Message>], sequence: u64) -> Checkpoint {
        assert_eq!(started(actions), [sequence]);
        match actions {
            [Action::Start { checkpoint, overtakes: true, .. }] => (**checkpoint).clone(),
            other => panic!("{other:?}"),
        }
    }

    /// A lane whose first message waits for its third attempt, with another behind it.
    fn waiting() -> (Lanes<Message>, Arc<LaneAddress>) {
        let (mut lanes, a) = (owning(), Arc::new(lane("a")));
        lanes.arrived(lane("a"), TAG, message(1));
        lanes.arrived(lane("a"), TAG, message(2));
        lanes.loaded(&a, TAG, Checkpoint::new(), PLAIN);
        assert_eq!(started(&lanes.dispatch()), [1]);
        lanes.ended(&a, TurnEnd::Again(with(open(1, 2)), wait()), None);
        assert!(lanes.dispatch().is_empty());
        (lanes, a)
    }

    #[test]
    fn sends_overtake_what_waits_one_after_the_other_and_it_goes_on_as_it_was() {
        let (mut lanes, a) = waiting();
        lanes.arrived(lane("a"), TAG, send_at(3, 0));
        lanes.arrived(lane("a"), TAG, send_at(4, 0));
        let mut checkpoint = overtaking(&lanes.dispatch(), 3);
        assert_eq!((&checkpoint.open, &checkpoint.overtaken), (&None, &Some(open(1, 2))));
        assert!(lanes.dispatch().is_empty(), "one turn at a time");
        checkpoint.close(&[message(3).id()], 1);
        assert_eq!(acked(&lanes.ended(&a, TurnEnd::Done(checkpoint), None)), [send_at(3, 0)]);
        let mut checkpoint = overtaking(&lanes.dispatch(), 4);
        checkpoint.close(&[message(4).id()], 1);
        lanes.ended(&a, TurnEnd::Done(checkpoint), None);
        assert!(lanes.dispatch().is_empty(), "its time has not come");
        lanes.woken(&a, 1);
        let actions = lanes.dispatch();
        let [Action::Start { items, checkpoint, overtakes: false, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((items[0].clone(), &checkpoint.open), (message(1), &Some(open(1, 2))));
    }

    #[test]
    fn what_waits_goes_on_at_once_when_its_time_came_meanwhile() {
        let (mut lanes, a) = waiting();
        lanes.arrived(lane("a"), TAG, send_at(3, 0));
        let mut checkpoint = overtaking(&lanes.dispatch(), 3);
        assert!(lanes.woken(&a, 1).is_empty());
        checkpoint.close(&[message(3).id()], 1);
        lanes.ended(&a, TurnEnd::Done(checkpoint), None);
        assert_eq!(started(&lanes.dispatch()), [1]);
    }

    #[test]
    fn a_send_that_fails_waits_and_no_other_overtakes_it() {
        let (mut lanes, a) = waiting();
        lanes.arrived(lane("a"), TAG, send_at(3, 0));
        let mut checkpoint = overtaking(&lanes.dispatch(), 3);
        checkpoint.open = Some(open(3, 1));
        let actions = lanes.ended(&a, TurnEnd::Again(checkpoint, wait()), None);
        assert!(matches!(actions[..], [Action::Sleep(..)]));
        assert!(lanes.dispatch().is_empty(), "not at once again");
        lanes.arrived(lane("a"), TAG, send_at(4, 0));
        assert!(lanes.dispatch().is_empty());
        lanes.woken(&a, 1);
        let mut checkpoint = overtaking(&lanes.dispatch(), 3);
        assert_eq!((&checkpoint.open, &checkpoint.overtaken), (&Some(open(3, 1)), &Some(open(1, 2))));
        checkpoint.close(&[message(3).id()], 1);
        lanes.ended(&a, TurnEnd::Done(checkpoint), None);
        assert_eq!(started(&lanes.dispatch()), [1], "it has waited long enough");
    }

    #[test]
    fn the_next_owner_goes_on_with_the_send_first() {
        let (mut lanes, a) = (owning(), Arc::new(lane("a")));
        for item in [message(1), message(2), send_at(3, 0)] {
            lanes.arrived(lane("a"), TAG, item);
        }
        let cut = Checkpoint { overtaken: Some(open(1, 2)), ..with(open(3, 0)) };
        lanes.loaded(&a, TAG, cut, PLAIN);
        let mut checkpoint = overtaking(&lanes.dispatch(), 3);
        assert_eq!((&checkpoint.open, &checkpoint.overtaken), (&Some(open(3, 0)), &Some(open(1, 2))));
        checkpoint.close(&[message(3).id()], 1);
        lanes.ended(&a, TurnEnd::Done(checkpoint), None);
        assert_eq!(started(&lanes.dispatch()), [1]);

        // It was not delivered yet, or the broker has lost it.
        let mut lanes = owning();
        lanes.arrived(lane("a"), TAG, message(1));
        lanes.loaded(&a, TAG, Checkpoint { overtaken: Some(open(1, 2)), ..with(open(3, 0)) }, PLAIN);
        assert!(lanes.dispatch().is_empty());
        lanes.caught_up(0, TAG);
        let actions = lanes.dispatch();
        let [Action::Start { checkpoint, overtakes: false, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((&checkpoint.open, &checkpoint.overtaken), (&Some(open(1, 2)), &None));
    }
}
