//! The broker of the model: records with sequences, members that fall out, one consumer per
//! partition, fenced writes.

use std::collections::{BTreeMap, BTreeSet};

use omnihub_common::queue::{Contest, OwnershipRecord, contest};

/// Milliseconds a silent member stays.
pub(super) const TTL: u64 = 600;

#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) tag: (u64, u64),
    pub(super) nonce: String,
}

/// What the broker has on its disk, and the consumers in its memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Broker {
    sequence: u64,
    pub(super) own: BTreeMap<u16, (OwnershipRecord, u64)>,
    /// Nonce, revision and time of each heartbeat.
    alive: BTreeMap<String, (u32, u64, u64)>,
    ready: BTreeMap<String, u64>,
    pub(super) consumers: BTreeMap<u16, Consumer>,
    pub(super) posted: BTreeMap<u16, Vec<u64>>,
    pub(super) done: BTreeSet<u64>,
}

impl Broker {
    pub(super) fn expire(&mut self, now: u64) {
        self.alive.retain(|_, (_, _, written)| *written + TTL > now);
        self.ready.retain(|_, written| *written + TTL > now);
    }

    /// The compare-and-set of a heartbeat, with the reading that follows when it is refused.
    pub(super) fn beat(&mut self, id: &str, nonce: u32, confirmed: u64, now: u64) -> Option<u64> {
        if let Some((found_nonce, found, _)) = self.alive.get(id)
            && contest(confirmed, *found, *found_nonce == nonce) == Contest::Lost
        {
            return None;
        }
        self.sequence += 1;
        self.alive.insert(id.to_owned(), (nonce, self.sequence, now));
        Some(self.sequence)
    }

    /// What a process that has just started does first: it takes its id's record over.
    pub(super) fn join(&mut self, id: &str, nonce: u32, now: u64) -> u64 {
        self.sequence += 1;
        self.alive.insert(id.to_owned(), (nonce, self.sequence, now));
        self.sequence
    }

    pub(super) fn say_ready(&mut self, id: &str, now: u64) {
        self.ready.insert(id.to_owned(), now);
    }

    pub(super) fn retire(&mut self, id: &str) {
        self.ready.remove(id);
    }

    pub(super) fn leave(&mut self, id: &str) {
        self.alive.remove(id);
    }

    pub(super) fn ready(&self) -> Vec<String> {
        self.ready.keys().cloned().collect()
    }

    pub(super) fn alive(&self) -> Vec<String> {
        self.alive.keys().cloned().collect()
    }

    /// Writes an ownership record over the one with the sequence `expected`.
    pub(super) fn claim(&mut self, partition: u16, record: OwnershipRecord, expected: u64) -> Option<u64> {
        if self.fence(partition) != expected {
            return None;
        }
        self.sequence += 1;
        self.own.insert(partition, (record, self.sequence));
        Some(self.sequence)
    }

    /// Writes a checkpoint under a fence.
    pub(super) fn write(&mut self, partition: u16, fence: u64, id: u64) -> bool {
        let accepted = self.fence(partition) == fence;
        if accepted {
            self.sequence += 1;
            self.done.insert(id);
        }
        accepted
    }

    /// Other writes take the sequences up to this one.
    pub(super) fn count_to(&mut self, sequence: u64) {
        assert!(self.sequence <= sequence, "sequences only grow");
        self.sequence = sequence;
    }

    fn fence(&self, partition: u16) -> u64 {
        self.own.get(&partition).map_or(0, |(_, sequence)| *sequence)
    }

    pub(super) fn next_message(&self, partition: u16) -> Option<u64> {
        self.posted.get(&partition)?.iter().copied().find(|id| !self.done.contains(id))
    }

    /// What a power loss leaves: the store of an earlier time, and nothing of the memory.
    pub(super) fn put_back(&mut self, snapshot: &Self) {
        *self = Self { consumers: BTreeMap::new(), ..snapshot.clone() };
    }
}
