//! Copies: messages that were posted again while their first copy still waits.
//!
//! The broker drops a copy within its window of two minutes, and what is done is known from the
//! checkpoint. A copy that comes between the two is no message of its own: it is put aside, and
//! acknowledged together with the first, never before.

use std::collections::HashSet;

use super::Item;

/// What one lane holds, by identity.
#[derive(Debug)]
pub(super) struct Copies<M> {
    /// [`omnihub_common::queue::MessageId::short`] of every message that waits or is handled.
    firsts: HashSet<u64>,
    aside: Vec<M>,
}

impl<M> Default for Copies<M> {
    fn default() -> Self {
        Self { firsts: HashSet::new(), aside: Vec::new() }
    }
}

impl<M: Item> Copies<M> {
    /// Gives a message back that is the first of its identity, and puts another one aside.
    pub(super) fn first(&mut self, item: M) -> Option<M> {
        if self.firsts.insert(item.id().short()) {
            return Some(item);
        }
        self.aside.push(item);
        None
    }

    /// Messages that are done leave the lane, and so do their copies, which are added to them.
    pub(super) fn join(&mut self, mut done: Vec<M>) -> Vec<M> {
        for item in &done {
            self.firsts.remove(&item.id().short());
        }
        let firsts = &self.firsts;
        done.extend(self.aside.extract_if(.., |copy| !firsts.contains(&copy.id().short())));
        done
    }

    /// All but what is handled now will be delivered again.
    pub(super) fn begin_again(&mut self, in_flight: &[M]) {
        self.firsts = in_flight.iter().map(|item| item.id().short()).collect();
        self.aside.clear();
    }
}
