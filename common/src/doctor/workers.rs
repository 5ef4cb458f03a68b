//! The workers: whether there are any, and whether each partition has one.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Finding;
use crate::queue::{Layout, Nats, Roll, owner_recorded};

/// The word for what is looked at.
const CHECK: &str = "workers";
/// Partitions that are asked for at once.
const AT_ONCE: usize = 8;
/// How long a partition may be between two owners before that is a problem.
const CHANGING_HANDS: Duration = Duration::from_secs(6);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What is found. Partitions that are just being handed over are looked at again for a while.
pub async fn look(nats: &Nats, layout: &Layout) -> Vec<Finding> {
    let until = Instant::now() + CHANGING_HANDS;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some((ready, owners)) = read(nats, layout).await else {
            let remedy = "See what is said of the broker.";
            return vec![Finding::problem(CHECK, "Nobody can say which workers there are.", remedy)];
        };
        let (found, settled) = judge(&ready, &owners);
        if settled || Instant::now() >= until {
            return vec![found];
        }
    }
}

/// The ready workers, and the owner of each partition.
async fn read(nats: &Nats, layout: &Layout) -> Option<(Vec<String>, Vec<Option<String>>)> {
    let ready = Roll::open(&nats.js).await.ok()?.ready().await.ok()?;
    let owners: Vec<_> = (0..layout.partitions).map(|partition| owner_recorded(&nats.js, layout, partition)).collect();
    Some((ready, stream::iter(owners).buffered(AT_ONCE).try_collect().await.ok()?))
}

/// The finding, and whether another look would change nothing.
fn judge(ready: &[String], owners: &[Option<String>]) -> (Finding, bool) {
    if ready.is_empty() {
        let remedy = "Start one with `omnihub worker`, with the same NATS_URL, DATABASE_URL and encryption keys; what \
                      waits is answered then.";
        return (Finding::problem(CHECK, "No worker is there: messages are accepted and wait.", remedy), true);
    }
    let mut owned: BTreeMap<&str, usize> = ready.iter().map(|worker| (worker.as_str(), 0)).collect();
    let mut orphans = 0;
    for owner in owners {
        match owner.as_deref().and_then(|owner| owned.get_mut(owner)) {
            Some(count) => *count += 1,
            None => orphans += 1,
        }
    }
    if orphans > 0 {
        let says = format!("{orphans} of {} partitions have no worker, and their messages wait.", owners.len());
        let remedy = "Look at the workers' logs: one may be stopping, or cut off from NATS.";
        return (Finding::problem(CHECK, says, remedy), false);
    }
    let shares: Vec<String> = owned.iter().map(|(worker, count)| format!("{worker} {count}")).collect();
    let workers = if ready.len() == 1 { "1 worker has".to_owned() } else { format!("{} workers have", ready.len()) };
    let says = format!("{workers} all {} partitions ({}).", owners.len(), shares.join(", "));
    (Finding::ok(CHECK, says), true)
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn every_partition_wants_a_worker_that_is_there() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let owners = |owners: &[&str]| owners.iter().map(|&owner| Some(owner.to_owned())).collect::<Vec<_>>();
        let (none, settled) = judge(&[], &owners(&["w1"]));
        assert!(settled && none.says.starts_with("No worker is there"), "{none:?}");
        let (all, _) = judge(&names(&["w1", "w2"]), &owners(&["w1", "w2", "w1"]));
        assert_eq!(all, Finding::ok(CHECK, "2 workers have all 3 partitions (w1 2, w2 1)."));
        let (gone, settled) = judge(&names(&["w1"]), &[owners(&["w1", "gone"]), vec![None]].concat());
        assert_eq!((gone.verdict, settled), (Verdict::Problem, false));
        assert_eq!(gone.says, "2 of 3 partitions have no worker, and their messages wait.");
    }
}
