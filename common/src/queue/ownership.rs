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
    /// Tells two records apart that a broker gave one sequence: when its store was put back from a
    /// copy, it counts anew from there. Records of older versions have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

impl OwnershipRecord {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;

    /// A record that no other one equals.
    #[must_use]
    pub fn new(owner: impl Into<String>, epoch: u64) -> Self {
        Self { v: Self::VERSION, owner: owner.into(), epoch, nonce: hex::encode(rand::random::<[u8; 6]>()) }
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

/// Under which terms a partition is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Epochs up to this one were seen before and are not used again, even when a store that was
    /// put back knows nothing of them.
    pub above: u64,
    /// Whether a silent owner counts as dead. Soon after a reconnection it does not: a broker that
    /// was away, or lost what it had, has no heartbeats of workers whose leases still hold.
    pub from_the_dead: bool,
}

/// The step for a partition that rendezvous gives to `me`.
///
/// `record` is what `own.<p>` said and its sequence; `alive` tells whether a worker is alive and
/// **must be asked after the record was read**: asked before, an owner that has just restarted
/// looks dead while its fresh record is already there, and is robbed.
pub fn step(me: &str, record: Option<(&OwnershipRecord, u64)>, terms: Terms, alive: impl FnOnce(&str) -> bool) -> Step {
    let Some((record, sequence)) = record else { return Step::Claim { epoch: terms.above + 1, expected: 0 } };
    let nobodys = record.owner.is_empty() || record.owner == me;
    if nobodys || (terms.from_the_dead && !alive(&record.owner)) {
        Step::Claim { epoch: record.epoch.max(terms.above) + 1, expected: sequence }
    } else {
        Step::Wait
    }
}

/// Whose a heartbeat's record is that was found in the place of mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contest {
    /// Mine, or one that mine replaced: go on from its revision.
    Mine,
    /// A later process has my id.
    Lost,
}

/// Decides a compare-and-set of the heartbeat that failed. `last` is the revision of my last
/// confirmed heartbeat. A stranger's record that is older than that was there before me: the
/// store was put back to a time before I came.
#[must_use]
pub fn contest(last: u64, found: u64, mine: bool) -> Contest {
    if mine || found < last { Contest::Mine } else { Contest::Lost }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_free_own_or_dead_partition_is_claimed_and_a_live_one_waited_for() {
        let terms = Terms { above: 0, from_the_dead: true };
        let held = OwnershipRecord::new("other", 7);
        assert_eq!(step("me", None, terms, |_| true), Step::Claim { epoch: 1, expected: 0 });
        assert_eq!(step("me", Some((&held, 40)), terms, |_| true), Step::Wait);
        assert_eq!(step("me", Some((&held, 40)), terms, |_| false), Step::Claim { epoch: 8, expected: 40 });
        let mine = OwnershipRecord::new("me", 7);
        assert_eq!(step("me", Some((&mine, 41)), terms, |_| true), Step::Claim { epoch: 8, expected: 41 });
        let released = OwnershipRecord::new("", 7);
        assert_eq!(step("me", Some((&released, 42)), terms, |_| true), Step::Claim { epoch: 8, expected: 42 });
    }

    #[test]
    fn after_a_reconnection_only_what_is_free_or_mine_is_claimed() {
        let terms = Terms { above: 0, from_the_dead: false };
        let held = OwnershipRecord::new("other", 7);
        assert_eq!(step("me", Some((&held, 40)), terms, |_| false), Step::Wait);
        let mine = OwnershipRecord::new("me", 7);
        assert_eq!(step("me", Some((&mine, 41)), terms, |_| false), Step::Claim { epoch: 8, expected: 41 });
    }

    #[test]
    fn an_epoch_that_was_seen_is_not_used_again_by_a_store_that_was_put_back() {
        let terms = Terms { above: 9, from_the_dead: true };
        assert_eq!(step("me", None, terms, |_| true), Step::Claim { epoch: 10, expected: 0 });
        let old = OwnershipRecord::new("me", 7);
        assert_eq!(step("me", Some((&old, 3)), terms, |_| true), Step::Claim { epoch: 10, expected: 3 });
        let newer = OwnershipRecord::new("me", 12);
        assert_eq!(step("me", Some((&newer, 3)), terms, |_| true), Step::Claim { epoch: 13, expected: 3 });
    }

    #[test]
    fn two_claims_of_one_epoch_are_told_apart_and_old_records_are_read() {
        assert_ne!(OwnershipRecord::new("me", 1), OwnershipRecord::new("me", 1));
        let old: OwnershipRecord = serde_json::from_str(r#"{"v":1,"owner":"w1","epoch":4}"#).unwrap();
        assert_eq!((old.owner.as_str(), old.epoch, old.nonce.as_str()), ("w1", 4, ""));
    }

    #[test]
    fn a_heartbeat_gives_way_only_to_a_process_that_came_later() {
        assert_eq!(contest(10, 12, true), Contest::Mine);
        assert_eq!(contest(10, 12, false), Contest::Lost);
        assert_eq!(contest(10, 7, false), Contest::Mine);
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
