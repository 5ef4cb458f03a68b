//! Who began a turn: a message that kills its workers is found out by how often it was begun, and
//! only by that.
//!
//! A turn that another process began and did not end may have killed it. A turn that this very
//! process began and that was cut (the broker was away, the lease lapsed) has killed nobody, unless
//! it panicked.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use omnihub_common::queue::OpenTurn;

/// More panics are not remembered; then a message that panics counts as cut by an outage.
const KEPT: usize = 10_000;

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

    /// Whether taking up an open turn counts as one more beginning.
    pub(super) fn counts(&self, open: &OpenTurn, turn_id: &str) -> bool {
        if open.counted {
            return false;
        }
        let panicked = self.panicked.lock().unwrap_or_else(PoisonError::into_inner).remove(turn_id);
        panicked || open.begun_by != Some(self.nonce)
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

#[cfg(test)]
mod tests {
    use omnihub_common::queue::Phase;

    use super::*;

    fn open(begun_by: Option<u64>) -> OpenTurn {
        OpenTurn { ids: Vec::new(), attempt: 0, failures: 0, phase: Phase::Asking, counted: false, begun_by }
    }

    #[test]
    fn what_this_process_was_cut_in_does_not_count_and_what_another_left_does() {
        let (here, there) = (Beginner::new(), Beginner::new());
        assert!(!here.counts(&open(Some(here.nonce())), "t"));
        assert!(here.counts(&open(Some(there.nonce())), "t"));
        assert!(here.counts(&open(None), "t"), "an earlier build left it");
        assert!(!here.counts(&OpenTurn { counted: true, ..open(None) }, "t"));
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
        assert!(!here.counts(&open(Some(here.nonce())), "other"));
        assert!(here.counts(&open(Some(here.nonce())), "t"));
        assert!(!here.counts(&open(Some(here.nonce())), "t"));
    }
}
