//! Who began a turn: a message that kills its workers is found out by how often it was begun, and
//! only by that.
//!
//! ```text
//! delivered for the first time      nothing is written: the next delivery is a replay
//! a replay, or after a wait         fenced: begun by this process, before anything is read
//! begun by another that is gone     counted, and a wait that grows: those who merely ran beside a
//!                                   message that kills have ended before it is begun again
//! counted seven times in a phase    a dead letter
//! ```
//!
//! A turn that this very process began and that was cut (the broker was away, the lease lapsed) has
//! killed nobody, unless it panicked. One that waits, or that was cut because its partition is given
//! back, says so in its checkpoint and has killed nobody either.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use omnihub_common::{
    instance::Instance,
    queue::{OpenTurn, Phase},
};

use super::{Exit, Turn, TurnEnd, candidates::all_parked, retry};
use crate::breaker::Address;

/// More panics are not remembered; then a message that panics counts as cut by an outage.
const KEPT: usize = 10_000;

/// What beginning a turn takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Nothing: whoever comes after this process sees by itself that it was begun.
    Known,
    /// It is written first that this process begins it.
    Told,
    /// Whoever began it is gone: that is counted first.
    Counted,
}

/// This process, as the one that begins turns.
#[derive(Debug)]
pub(crate) struct Beginner {
    nonce: u64,
    /// Turns that panicked here since they were last begun.
    panicked: Mutex<HashSet<String>>,
}

impl Beginner {
    pub(crate) fn new() -> Self {
        Self { nonce: rand::random(), panicked: Mutex::default() }
    }

    /// The name of this process in checkpoints.
    pub(super) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Decides; `replayed` says that its messages may have been begun before, or that they are to
    /// stay together.
    pub(super) fn judge(&self, open: Option<&OpenTurn>, replayed: bool, turn_id: &str) -> Beginning {
        match open {
            None if replayed => Beginning::Told,
            None => Beginning::Known,
            Some(open) if open.counted => Beginning::Told,
            Some(open) if open.begun_by == Some(self.nonce) && !self.has_panicked(turn_id) => Beginning::Known,
            Some(_) => Beginning::Counted,
        }
    }

    fn has_panicked(&self, turn_id: &str) -> bool {
        self.panicked.lock().unwrap_or_else(PoisonError::into_inner).remove(turn_id)
    }

    /// Notices when the turn panics before the watch is dropped.
    pub(super) fn watch(&self, turn_id: String) -> Watch<'_> {
        Watch { beginner: self, turn_id }
    }
}

/// See [`Beginner::watch`].
pub(super) struct Watch<'a> {
    beginner: &'a Beginner,
    turn_id: String,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut panicked = self.beginner.panicked.lock().unwrap_or_else(PoisonError::into_inner);
            if panicked.len() < KEPT {
                panicked.insert(std::mem::take(&mut self.turn_id));
            }
        }
    }
}

impl Turn {
    /// Makes known that the turn begins, before anything of its messages is looked at; `false` when
    /// it was begun too often.
    pub(super) async fn begin(&mut self, instance: &Instance) -> Result<bool, Exit> {
        let replayed = self.items.len() > 1 || self.was_delivered_before();
        let beginning = self.kit.beginner.judge(self.open_turn(), replayed, &self.turn_id());
        let open = self.open_turn().cloned().unwrap_or_else(|| OpenTurn::new(self.ids.clone()));
        let begun_by = Some(self.kit.beginner.nonce());
        match beginning {
            Beginning::Known => Ok(true),
            Beginning::Told => {
                self.find_circuit_closed(instance)?;
                self.checkpoint.open = Some(OpenTurn { counted: false, begun_by, ..open });
                self.write().await.map(|()| true)
            }
            Beginning::Counted => {
                let beginnings = open.beginnings + 1;
                let Some(wait) = retry::wait(beginnings, None, rand::random()) else { return Ok(false) };
                self.checkpoint.open = Some(OpenTurn { beginnings, counted: true, begun_by, ..open });
                Err(Exit::Retry(wait, "turn_cut"))
            }
        }
    }

    /// A turn that waits for a server is not begun for that: nothing need be written.
    fn find_circuit_closed(&self, instance: &Instance) -> Result<(), Exit> {
        let (address, reason) = match self.open_turn().map(|open| &open.phase) {
            // Nobody outside is asked.
            Some(Phase::Asking) if self.is_command() => return Ok(()),
            Some(Phase::Asking) if self.is_send() => (Address::channel(instance), "channel_breaker_open"),
            Some(_) if self.open_turn().is_some_and(|open| open.awaiting.is_some()) => return Ok(()),
            Some(phase) if is_asking(phase) => {
                let parked = all_parked(&self.kit.breakers, instance);
                return parked.map_or(Ok(()), |parked| Err(Exit::Parked(parked, "agent_breaker_open")));
            }
            Some(_) => (Address::channel(instance), "channel_breaker_open"),
            None => return Ok(()),
        };
        match address.and_then(|address| self.kit.breakers.parked(&address)) {
            Some(parked) => Err(Exit::Parked(parked, reason)),
            None => Ok(()),
        }
    }

    /// Nothing runs for it from here on: what becomes of this process is not its doing.
    pub(super) async fn put_aside(&mut self) -> Result<(), Exit> {
        match self.begun_here() {
            Some(open) if !open.counted => open.counted = true,
            _ => return Ok(()),
        }
        self.write().await
    }

    /// Its partition is given back while it runs. What stands in memory may not be written yet.
    pub(super) async fn cut(&mut self) -> TurnEnd {
        let turn_id = self.turn_id();
        if self.ids.iter().all(|id| self.checkpoint.has_done(*id)) {
            // Its outcome is told: nothing but this write was left.
            return match self.write().await {
                Ok(()) => TurnEnd::Done(self.take_checkpoint()),
                Err(_) => TurnEnd::Fenced,
            };
        }
        let kit = self.kit.clone();
        if let Some(open) = self.begun_here() {
            open.counted = true;
            if let Phase::Sending(answer) = &mut open.phase {
                kit.receipts.complete(&turn_id, answer);
            }
            if let Err(Exit::Fenced) = self.write().await {
                return TurnEnd::Fenced;
            }
        }
        TurnEnd::Cut(self.take_checkpoint())
    }

    /// The open turn, if this process begins it: what another one has left is not to be forgiven.
    fn begun_here(&mut self) -> Option<&mut OpenTurn> {
        let nonce = self.kit.beginner.nonce();
        self.checkpoint.open.as_mut().filter(|open| open.begun_by == Some(nonce))
    }
}

/// Whether an agent is still to be asked.
fn is_asking(phase: &Phase) -> bool {
    match phase {
        Phase::Asking => true,
        Phase::Sending(answer) => answer.growing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(begun_by: Option<u64>) -> OpenTurn {
        OpenTurn { begun_by, ..OpenTurn::new(Vec::new()) }
    }

    #[test]
    fn what_this_process_was_cut_in_does_not_count_and_what_another_left_does() {
        let (here, there) = (Beginner::new(), Beginner::new());
        let judge = |open: &OpenTurn| here.judge(Some(open), true, "t");
        assert_eq!(judge(&open(Some(here.nonce()))), Beginning::Known, "and it is written already");
        assert_eq!(judge(&open(Some(there.nonce()))), Beginning::Counted);
        assert_eq!(judge(&open(None)), Beginning::Counted, "an earlier build left it");
        for begun_by in [here.nonce(), there.nonce()] {
            let waits = OpenTurn { counted: true, ..open(Some(begun_by)) };
            assert_eq!(judge(&waits), Beginning::Told, "nothing ran for it");
        }
    }

    #[test]
    fn only_what_comes_for_the_first_time_is_begun_without_a_word() {
        let here = Beginner::new();
        assert_eq!(here.judge(None, false, "t"), Beginning::Known);
        assert_eq!(here.judge(None, true, "t"), Beginning::Told);
    }

    #[test]
    fn a_panic_counts_once() {
        let here = Beginner::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _watch = here.watch("t".to_owned());
            panic!("a bug");
        }));
        assert!(panicked.is_err());
        drop(here.watch("other".to_owned()));
        let mine = open(Some(here.nonce()));
        assert_eq!(here.judge(Some(&mine), true, "other"), Beginning::Known);
        assert_eq!(here.judge(Some(&mine), true, "t"), Beginning::Counted);
        assert_eq!(here.judge(Some(&mine), true, "t"), Beginning::Known);
    }
}
