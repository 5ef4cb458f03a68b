//! Faults that are planted into the model, to show that it would find them.

/// The seven that were once made, and two more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ownership::book) enum Fault {
    /// The protocol as it is.
    None,
    /// A claim reads who is alive before it reads the record: an owner that has just restarted is
    /// robbed.
    LivenessFirst,
    /// A stop drops readiness and liveness together: what still runs is taken over.
    LeavesAtOnce,
    /// A heartbeat renews a lease that lapsed before anybody noticed.
    LapseForgotten,
    /// A doubt is settled by a new claim: the fence changes under the turns that run.
    ResyncBumpsEpoch,
    /// A consumer that is refused or ends is made again without a look at the record.
    RetriesWithoutVerifying,
    /// The heartbeat waits for the claims.
    HeartBehindClaims,
    /// A worker that was frozen begins calls after its heartbeat and before it drops everything.
    ZombieCalls,
    /// Writes go on over a new connection before the record was seen again.
    WritesUnverified,
    /// A release that was overtaken counts for the ownership that came after it.
    LateNewsCounts,
}
