//! Retention: traces that are older than their instance keeps them go by themselves.
//!
//! The owner of partition 0 does it for all workers: at once when it gets the partition, then once
//! an hour, in small batches with a pause after each. Nothing is lost when two do it for a moment.
//!
//! What is absent: no line in the audit log. What goes was decided when the days were set, and that
//! is in the log; the counter says how many went.

use std::time::Duration;

use chrono::{DateTime, Utc};
use omnihub_common::trace::{Traces, kept_since};
use opentelemetry::metrics::Counter;
use sea_orm::DbErr;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::ownership::Owned;

/// So often the instances are gone through.
const EVERY: Duration = Duration::from_hours(1);
/// After each batch the database is left to the others for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Removes old traces.
#[derive(Debug)]
pub struct Retention {
    traces: Traces,
    /// For instances that do not say how long their traces are kept.
    days: u32,
    expired: Counter<u64>,
}

impl Retention {
    /// Of these tables; traces are kept for so many days where the instance says nothing.
    #[must_use]
    pub fn new(traces: Traces, days: u32) -> Self {
        let expired = opentelemetry::global::meter("omnihub")
            .u64_counter("omnihub_traces_expired_total")
            .with_description("Traces that were removed since they were older than their instance keeps them")
            .build();
        Self { traces, days, expired }
    }

    /// Runs as long as the worker, and works while it owns partition 0.
    pub async fn run(self, mut owned: watch::Receiver<Option<Owned>>) {
        while owned.wait_for(is_first).await.map(drop).is_ok() {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = given_away(&mut owned) => break,
                    _ = ticks.tick() => self.pass(Utc::now()).await,
                }
            }
        }
    }

    /// Goes through all instances; what fails is tried again by the next pass.
    pub async fn pass(&self, now: DateTime<Utc>) {
        match self.expire(now).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(traces.deleted = removed, "old traces were removed"),
            Err(error) => {
                tracing::warn!(error.message = %error, "old traces cannot be removed; the next pass tries again");
            }
        }
    }

    async fn expire(&self, now: DateTime<Utc>) -> Result<u64, DbErr> {
        let mut all = 0;
        for (instance, days) in self.traces.retentions().await? {
            let since = kept_since(now, days.unwrap_or(self.days));
            loop {
                let removed = self.traces.remove_older(&instance, since, None).await?;
                if removed == 0 {
                    break;
                }
                self.expired.add(removed, &[]);
                all += removed;
                sleep(PAUSE).await;
            }
        }
        Ok(all)
    }
}

/// Also when the worker ends.
async fn given_away(owned: &mut watch::Receiver<Option<Owned>>) {
    let _ended = owned.wait_for(|owned| !is_first(owned)).await.map(drop);
}

fn is_first(owned: &Option<Owned>) -> bool {
    owned.is_some_and(|owned| owned.first)
}
