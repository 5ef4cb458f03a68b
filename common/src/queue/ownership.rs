//! Who owns what: decisions without I/O.

use serde::{Deserialize, Serialize};

/// What `own.<p>` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnershipRecord {
    /// The version of this record.
    pub v: u8,
    /// The owner's id; empty when it was released.
    pub owner: String,
    /// Grows with each change of owner.
    pub epoch: u64,
}

impl OwnershipRecord {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;

    /// A record.
    #[must_use]
    pub fn new(owner: impl Into<String>, epoch: u64) -> Self {
        Self { v: Self::VERSION, owner: owner.into(), epoch }
    }
}

/// The worker that should own a partition: rendezvous hashing over the ready workers, so that a
/// change of members moves only the partitions it must.
#[must_use]
pub fn owner_of(partition: u16, ready: &[String]) -> Option<&str> {
    let weight = |worker: &str| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&partition.to_be_bytes());
        hasher.update(worker.as_bytes());
        *hasher.finalize().as_bytes()
    };
    ready.iter().map(String::as_str).max_by_key(|worker| (weight(worker), *worker))
}

/// What to do about a partition that should be mine and is not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the record with this epoch, expecting the subject's last sequence to be `expected`.
    Claim {
        /// The epoch to write.
        epoch: u64,
        /// The sequence of the record that was read; 0 when there is none.
        expected: u64,
    },
    /// Somebody else who is alive holds it and will release it.
    Wait,
}

/// The step for a partition that rendezvous gives to `me`.
///
/// `record` is what `own.<p>` said and its sequence; `alive` tells whether a worker is alive and
/// **must be asked after the record was read**: asked before, an owner that has just restarted
/// looks dead while its fresh record is already there, and is robbed.
pub fn step(me: &str, record: Option<(&OwnershipRecord, u64)>, alive: impl FnOnce(&str) -> bool) -> Step {
    match record {
        None => Step::Claim { epoch: 1, expected: 0 },
        Some((record, sequence)) => {
            let free = record.owner.is_empty() || record.owner == me || !alive(&record.owner);
            if free { Step::Claim { epoch: record.epoch + 1, expected: sequence } } else { Step::Wait }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_free_own_or_dead_partition_is_claimed_and_a_live_one_waited_for() {
        let held = OwnershipRecord::new("other", 7);
        assert_eq!(step("me", None, |_| true), Step::Claim { epoch: 1, expected: 0 });
        assert_eq!(step("me", Some((&held, 40)), |_| true), Step::Wait);
        assert_eq!(step("me", Some((&held, 40)), |_| false), Step::Claim { epoch: 8, expected: 40 });
        let mine = OwnershipRecord::new("me", 7);
        assert_eq!(step("me", Some((&mine, 41)), |_| true), Step::Claim { epoch: 8, expected: 41 });
        let released = OwnershipRecord::new("", 7);
        assert_eq!(step("me", Some((&released, 42)), |_| true), Step::Claim { epoch: 8, expected: 42 });
    }

    proptest! {
        #[test]
        fn a_worker_that_leaves_moves_only_its_own_partitions(count in 2_usize..8, gone in 0_usize..8) {
            let all: Vec<String> = (0..count).map(|n| format!("w{n}")).collect();
            let gone = format!("w{}", gone % count);
            let rest: Vec<String> = all.iter().filter(|w| **w != gone).cloned().collect();
            for p in 0..64 {
                let before = owner_of(p, &all).unwrap();
                let after = owner_of(p, &rest).unwrap();
                prop_assert!(before == gone || before == after);
            }
        }
    }
}
