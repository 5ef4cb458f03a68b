//! Commands: what acts on a lane as soon as it is delivered.
//!
//! ```text
//! queue   m1  m2  C        C runs next, whatever m1 waits for; while m1 runs, it is told to stop,
//!                          and begins again behind C
//! ```
//!
//! A command is read again like every message that was not acknowledged, so it goes first after a
//! crash too. For that an answer of which bubbles may be out is not gone on with before everything
//! that waited in the stream is here.

use std::ops::Range;

use super::{Item, Lane, State};

impl<M: Item> Lane<M> {
    /// The command that is to run now.
    pub(super) fn commanded(&self) -> Option<usize> {
        let may = match self.state {
            State::Idle => true,
            State::Waiting { .. } => !self.obeys,
            State::Loading | State::Running => false,
        };
        self.queue.iter().position(Item::is_command).filter(|_| may)
    }

    /// Whether the running turn is to stop for what has just arrived. What a program sends, and
    /// another command, go on to their end.
    pub(super) fn stops_for(&self, item: &M) -> bool {
        item.stops() && self.state == State::Running && !self.in_flight.iter().any(Item::stands_alone)
    }

    /// These leave the queue for a turn: what is together stays so behind what is taken out of it,
    /// and ends with a turn from the front.
    pub(super) fn leave_together(&mut self, range: &Range<usize>) {
        let command = self.queue.get(range.start).is_some_and(Item::is_command);
        if command {
            self.together -= usize::from(range.start < self.together);
        } else if range.start == 0 {
            self.together = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use omnihub_common::queue::{Answer, Checkpoint, OpenTurn, Phase};

    use crate::{
        scheduler::lanes::{
            Action, Lanes,
            tests::{Message, PLAIN, TAG, acked, command, lane, message, owning, send_at, started},
        },
        turn::{TurnEnd, Wait},
    };

    fn wait() -> Wait {
        Wait::of(Duration::from_secs(300), "agent")
    }

    fn done(lanes: &mut Lanes<Message>, sequences: &[u64]) -> Vec<Action<Message>> {
        let mut checkpoint = Checkpoint::new();
        checkpoint.close(&sequences.iter().map(|n| super::Item::id(&message(*n))).collect::<Vec<_>>(), 1);
        lanes.ended(&Arc::new(lane("a")), TurnEnd::Done(checkpoint), None)
    }

    fn loaded(items: Vec<Message>) -> Lanes<Message> {
        let mut lanes = owning();
        for item in items {
            lanes.arrived(lane("a"), TAG, item);
        }
        lanes.loaded(&Arc::new(lane("a")), TAG, Checkpoint::new(), PLAIN);
        lanes
    }

    #[test]
    fn a_running_turn_stops_and_begins_again_behind_the_command() {
        let mut lanes = loaded(vec![message(1), message(2)]);
        assert_eq!(started(&lanes.dispatch()), [1]);
        let told = lanes.arrived(lane("a"), TAG, command(3));
        assert!(matches!(told[..], [Action::Stop(_)]), "{told:?}");
        assert!(lanes.dispatch().is_empty(), "one at a time");
        lanes.ended(&Arc::new(lane("a")), TurnEnd::Cut(Checkpoint::new()), None);
        assert_eq!(started(&lanes.dispatch()), [3]);
        assert_eq!(acked(&done(&mut lanes, &[3])), [command(3)]);
        assert_eq!(started(&lanes.dispatch()), [1]);
        done(&mut lanes, &[3, 1]);
        assert_eq!(started(&lanes.dispatch()), [2]);
    }

    #[test]
    fn a_turn_that_waits_is_overtaken_and_waits_no_longer() {
        let mut lanes = loaded(vec![message(1)]);
        assert_eq!(started(&lanes.dispatch()), [1]);
        let open = OpenTurn { attempt: 1, ..OpenTurn::new(vec![super::Item::id(&message(1))]) };
        let waits = Checkpoint { open: Some(open.clone()), ..Checkpoint::new() };
        lanes.ended(&Arc::new(lane("a")), TurnEnd::Again(waits, wait()), None);
        lanes.arrived(lane("a"), TAG, command(2));
        let actions = lanes.dispatch();
        assert_eq!(started(&actions), [2]);
        let [Action::Start { checkpoint, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((&checkpoint.open, &checkpoint.overtaken), (&None, &Some(open)), "its turn is kept");
        done(&mut lanes, &[2]);
        assert_eq!(started(&lanes.dispatch()), [1]);
    }

    #[test]
    fn a_command_that_cannot_be_done_yet_holds_everything_up_and_does_not_spin() {
        let mut lanes = loaded(vec![message(1), command(2), send_at(3, 0)]);
        assert_eq!(started(&lanes.dispatch()), [2]);
        let told = lanes.ended(&Arc::new(lane("a")), TurnEnd::Again(Checkpoint::new(), wait()), None);
        assert!(matches!(told[..], [Action::Sleep(..)]));
        assert!(lanes.dispatch().is_empty());
        lanes.woken(&Arc::new(lane("a")), 1);
        assert_eq!(started(&lanes.dispatch()), [2]);
        done(&mut lanes, &[2]);
        assert_eq!(started(&lanes.dispatch()), [1]);
    }

    #[test]
    fn sends_go_on_and_commands_that_came_together_run_one_after_the_other() {
        let mut lanes = loaded(vec![send_at(1, 0)]);
        assert_eq!(started(&lanes.dispatch()), [1]);
        assert!(lanes.arrived(lane("a"), TAG, command(2)).is_empty());
        assert!(lanes.arrived(lane("a"), TAG, command(3)).is_empty());
        done(&mut lanes, &[1]);
        assert_eq!(started(&lanes.dispatch()), [2]);
        assert!(lanes.arrived(lane("a"), TAG, command(4)).is_empty());
        done(&mut lanes, &[1, 2]);
        assert_eq!(started(&lanes.dispatch()), [3]);
    }

    #[test]
    fn an_answer_that_is_out_in_part_waits_for_the_rest_of_a_replay() {
        let (mut lanes, a) = (owning(), Arc::new(lane("a")));
        lanes.arrived(lane("a"), TAG, message(1));
        let phase = Phase::Sending(Answer::default());
        let open = OpenTurn { phase, ..OpenTurn::new(vec![super::Item::id(&message(1))]) };
        lanes.loaded(&a, TAG, Checkpoint { open: Some(open), ..Checkpoint::new() }, PLAIN);
        assert!(lanes.dispatch().is_empty(), "a command may be on its way");
        lanes.arrived(lane("a"), TAG, command(2));
        assert_eq!(started(&lanes.dispatch()), [2]);
        done(&mut lanes, &[2]);
        lanes.caught_up(0, TAG);
        assert_eq!(started(&lanes.dispatch()), [1]);
    }
}
