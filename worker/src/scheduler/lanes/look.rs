//! A look at one lane, which changes nothing.

use omnihub_common::queue::LaneAddress;

use super::{Item, Lane, Lanes, State, Taking};

/// Where the messages of a lane stand.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::scheduler) struct Place<M> {
    /// The message that is handled now, or comes next.
    pub(in crate::scheduler) front: Option<M>,
    /// Whether a turn runs for it, or has run and waits for another attempt.
    pub(in crate::scheduler) is_begun: bool,
    /// Until when further messages are waited for, in milliseconds since 1970.
    pub(in crate::scheduler) gathers_until: Option<i64>,
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
        let caught_up = self.owned.get(&address.partition).is_some_and(|owned| owned.caught_up);
        let messages = || lane.in_flight.iter().chain(&lane.queue);
        let taking = if lane.state == State::Idle { lane.taking(caught_up, self.now) } else { Taking::Nothing };
        let handled = match (&lane.state, taking) {
            (State::Running, _) => lane.in_flight.len(),
            (State::Waiting { .. }, _) => lane.put_aside(),
            (_, Taking::Now(count)) => count,
            (_, Taking::At(_)) => lane.queue.len(),
            (_, Taking::Nothing) => 1,
        };
        Some(Place {
            front: messages().next().cloned(),
            is_begun: matches!(lane.state, State::Running | State::Waiting { .. }),
            gathers_until: if let Taking::At(at) = taking { Some(at) } else { None },
            handled: handled.max(1),
            waiting: messages().count().saturating_sub(handled.max(1)),
            asked: messages().position(is_asked),
        })
    }
}

impl<M: Item> Lane<M> {
    /// How many of the waiting messages belong to the turn that waits for another attempt.
    fn put_aside(&self) -> usize {
        let open = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.open.as_ref());
        open.map_or(1, |open| self.queue.iter().take_while(|item| open.ids.contains(&item.id())).count())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use omnihub_common::{instance::TurnSettings, queue::Checkpoint};

    use super::*;
    use crate::{
        scheduler::lanes::tests::{Message, lane, message},
        turn::{TurnEnd, Wait},
    };

    fn look(lanes: &Lanes<Message>, sequence: u64) -> Option<Place<Message>> {
        lanes.look(&lane("a"), |message| message.sequence() == sequence)
    }

    fn place(is_begun: bool, waiting: usize, asked: Option<usize>) -> Option<Place<Message>> {
        Some(Place { front: Some(message(1)), is_begun, gathers_until: None, handled: 1, waiting, asked })
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
        lanes.loaded(&address, (1, 0), Checkpoint::new(), TurnSettings::default());
        lanes.dispatch();
        assert_eq!(look(&lanes, 1), place(true, 2, Some(0)), "a turn runs");
        assert_eq!(look(&lanes, 9), place(true, 2, None), "another one's message");

        let wait = Wait::of(Duration::from_secs(1), "agent");
        lanes.ended(&address, TurnEnd::Again(Checkpoint::new(), wait), None);
        assert_eq!(look(&lanes, 2), place(true, 2, Some(1)), "it waits for another attempt");
        lanes.lost(0, 1);
        assert_eq!(look(&lanes, 2), None);
    }
    #[test]
    fn messages_that_are_gathered_are_one() {
        let mut lanes = Lanes::new(10, 10);
        lanes.owned(0, (1, 0));
        lanes.caught_up(0, (1, 0));
        for sequence in 1..=2 {
            lanes.arrived(lane("a"), (1, 0), message(sequence));
        }
        let settings = TurnSettings { debounce_ms: 60_000, ..TurnSettings::default() };
        lanes.loaded(&Arc::new(lane("a")), (1, 0), Checkpoint::new(), settings);
        let place = look(&lanes, 2).unwrap();
        assert!(place.gathers_until.is_some_and(|until| until > 0), "{place:?}");
        assert_eq!((place.handled, place.waiting, place.asked), (2, 0, Some(1)));
    }
}
