//! A look at one lane, which changes nothing.

use omnihub_common::queue::LaneAddress;

use super::{Item, Lanes, State};

/// Where the messages of a lane stand.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::scheduler) struct Place<M> {
    /// The message that is handled now, or comes next.
    pub(in crate::scheduler) front: Option<M>,
    /// Whether a turn runs for it, or has run and waits for another attempt.
    pub(in crate::scheduler) is_begun: bool,
    /// How many messages that turn is about; the next one will be about one at least.
    pub(in crate::scheduler) handled: usize,
    /// How many wait behind those.
    pub(in crate::scheduler) waiting: usize,
    /// How many come before the message that was asked for, if it is here.
    pub(in crate::scheduler) asked: Option<usize>,
}

impl<M: Item> Lanes<M> {
    /// What a lane holds; none when it has nothing to do. `is_asked` knows the message that
    /// matters.
    pub(in crate::scheduler) fn look(&self, address: &LaneAddress, is_asked: impl Fn(&M) -> bool) -> Option<Place<M>> {
        let lane = self.lanes.get(address)?;
        let messages = || lane.in_flight.iter().chain(&lane.queue);
        let handled = match lane.state {
            State::Running => lane.in_flight.len(),
            State::Waiting => lane.checkpoint.as_ref()?.open.as_ref().map_or(1, |open| open.ids.len()),
            State::Loading | State::Idle => 1,
        };
        let total = messages().count();
        Some(Place {
            front: messages().next().cloned(),
            is_begun: matches!(lane.state, State::Running | State::Waiting),
            handled: handled.max(1),
            waiting: total.saturating_sub(handled.max(1)),
            asked: messages().position(is_asked),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use omnihub_common::queue::Checkpoint;

    use super::*;
    use crate::{
        scheduler::lanes::tests::{Message, lane, message},
        turn::{TurnEnd, Wait},
    };

    fn look(lanes: &Lanes<Message>, sequence: u64) -> Option<Place<Message>> {
        lanes.look(&lane("a"), |message| message.sequence() == sequence)
    }

    fn place(is_begun: bool, waiting: usize, asked: Option<usize>) -> Option<Place<Message>> {
        Some(Place { front: Some(message(1)), is_begun, handled: 1, waiting, asked })
    }

    #[test]
    fn a_lane_is_seen_from_its_arrival_to_its_end() {
        let mut lanes = Lanes::new(10, 10);
        lanes.owned(0, (1, 0));
        assert_eq!(look(&lanes, 1), None);
        for sequence in 1..=3 {
            lanes.arrived(lane("a"), (1, 0), message(sequence));
        }
        assert_eq!(look(&lanes, 3), place(false, 2, Some(2)), "its checkpoint is being read");

        let address = Arc::new(lane("a"));
        lanes.loaded(&address, 1, Checkpoint::new());
        lanes.dispatch();
        assert_eq!(look(&lanes, 1), place(true, 2, Some(0)), "a turn runs");
        assert_eq!(look(&lanes, 9), place(true, 2, None), "another one's message");

        let wait = Wait { at_most: Duration::from_secs(1), instance: None };
        lanes.ended(&address, TurnEnd::Again(Checkpoint::new(), wait));
        assert_eq!(look(&lanes, 2), place(true, 2, Some(1)), "it waits for another attempt");
        lanes.lost(0);
        assert_eq!(look(&lanes, 2), None);
    }
}
