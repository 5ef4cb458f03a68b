//! Who is next: round robin over the instances that have a ready lane, under two caps.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Ready lanes by instance. An instance that is busy or dead costs its cap and nothing more.
#[derive(Debug)]
pub(super) struct Ring<L> {
    turns: usize,
    turns_per_instance: usize,
    running: usize,
    order: VecDeque<String>,
    instances: HashMap<String, Entry<L>>,
}

#[derive(Debug)]
struct Entry<L> {
    running: usize,
    ready: VecDeque<L>,
    queued: HashSet<L>,
    in_order: bool,
}

impl<L: Clone + Eq + Hash> Ring<L> {
    pub(super) fn new(turns: usize, turns_per_instance: usize) -> Self {
        Self { turns, turns_per_instance, running: 0, order: VecDeque::new(), instances: HashMap::new() }
    }

    /// Turns that run now.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Lines a lane up, once.
    pub(super) fn line_up(&mut self, instance: &str, lane: L) {
        let entry = self.instances.entry(instance.to_owned()).or_insert_with(|| Entry {
            running: 0,
            ready: VecDeque::new(),
            queued: HashSet::new(),
            in_order: false,
        });
        if entry.queued.insert(lane.clone()) {
            entry.ready.push_back(lane);
        }
        if !entry.in_order {
            entry.in_order = true;
            self.order.push_back(instance.to_owned());
        }
    }

    /// Takes the next lane for which `wanted` still says yes, and counts its turn as running.
    pub(super) fn next(&mut self, mut wanted: impl FnMut(&L) -> bool) -> Option<L> {
        let mut to_visit = self.order.len();
        while self.running < self.turns && to_visit > 0 {
            to_visit -= 1;
            let name = self.order.pop_front()?;
            let entry = self.instances.get_mut(&name)?;
            if entry.running >= self.turns_per_instance {
                self.order.push_back(name);
                continue;
            }
            while let Some(lane) = entry.ready.pop_front() {
                entry.queued.remove(&lane);
                if !wanted(&lane) {
                    continue;
                }
                entry.running += 1;
                self.running += 1;
                self.order.push_back(name);
                return Some(lane);
            }
            entry.in_order = false;
            self.forget_if_idle(&name);
        }
        None
    }

    /// A turn has ended.
    pub(super) fn ended(&mut self, instance: &str) {
        self.running = self.running.saturating_sub(1);
        if let Some(entry) = self.instances.get_mut(instance) {
            entry.running = entry.running.saturating_sub(1);
        }
        self.forget_if_idle(instance);
    }

    fn forget_if_idle(&mut self, instance: &str) {
        if self.instances.get(instance).is_some_and(|e| e.running == 0 && e.ready.is_empty() && !e.in_order) {
            self.instances.remove(instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_take_turns_and_a_full_one_is_passed_over() {
        let mut ring = Ring::new(10, 2);
        for lane in 0..5 {
            ring.line_up("loud", ("loud", lane));
        }
        ring.line_up("quiet", ("quiet", 0));
        ring.line_up("quiet", ("quiet", 0));
        let order: Vec<_> = std::iter::from_fn(|| ring.next(|_| true)).collect();
        assert_eq!(order, [("loud", 0), ("quiet", 0), ("loud", 1)], "two of the loud one, and no lane twice");
        ring.ended("loud");
        assert_eq!(ring.next(|_| true), Some(("loud", 2)));
        assert_eq!(ring.next(|_| true), None);
    }

    #[test]
    fn the_worker_s_cap_holds_and_unwanted_lanes_are_dropped() {
        let mut ring = Ring::new(1, 5);
        ring.line_up("a", 1);
        ring.line_up("a", 2);
        assert_eq!(ring.next(|lane| *lane == 2), Some(2));
        ring.line_up("b", 3);
        assert_eq!(ring.next(|_| true), None);
        ring.ended("a");
        assert_eq!(ring.next(|_| true), Some(3));
        ring.ended("b");
        assert_eq!((ring.running(), ring.next(|_| true)), (0, None));
        assert!(ring.instances.is_empty(), "nothing is kept of idle instances");
    }
}
