//! The machine's own faults: moments in which the broker, asked directly and past every link, did
//! not keep a write in time though nobody had hurt it.
//!
//! A hub cannot tell a broker that waits for a processor or a disk from one that was cut off: its
//! leases lapse rightly. Such moments are counted as faults of a kind of their own, so that a busy
//! machine shows in the report and not as a broken promise.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    facts::{Done, Span},
    schedule::{FaultKind, Shape},
    site::Site,
};

/// The stream of the probe; the hub knows nothing of it.
const PROBE: &str = "CHAOS_PROBE";

/// How often a write is tried.
const EVERY: Duration = Duration::from_millis(100);

/// A write that takes a quarter of the lease is late: a heartbeat beside it may be, too.
const LATE: u32 = 4;

/// Watches until it is dropped, and adds to `stalls` what it sees.
pub(super) async fn watch(site: &Site, shape: &Shape, began: Instant, stalls: &mut Vec<Done>) -> anyhow::Result<()> {
    let url = site.broker.lock().await.url();
    let client = async_nats::connect(url.split(',').collect::<Vec<_>>()).await?;
    let js = jetstream::new(client);
    let config = stream::Config {
        name: PROBE.to_owned(),
        subjects: vec!["chaos.probe".to_owned()],
        max_messages_per_subject: 1,
        num_replicas: shape.brokers,
        ..stream::Config::default()
    };
    js.create_stream(config).await?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let late = shape.lease / LATE;
    loop {
        let due = ticks.tick().await;
        // One that fails is late too: the next one that succeeds ends the stall.
        while !write(&js).await {
            sleep(EVERY).await;
        }
        if due.elapsed() > late {
            let ms = |at: Instant| u64::try_from((at - began).as_millis()).unwrap_or(u64::MAX);
            let span = Span { from: ms(due), to: ms(Instant::now()) };
            let what = "the broker kept a write late".to_owned();
            let kind = FaultKind::Stall;
            stalls.push(Done { kind, worker: None, what, span, cuts_sends: true, cuts_calls: true });
        }
    }
}

async fn write(js: &jetstream::Context) -> bool {
    match js.publish("chaos.probe", "".into()).await {
        Ok(confirmed) => confirmed.await.is_ok(),
        Err(_) => false,
    }
}

/// Those that no planned fault of the broker explains.
pub(super) fn unexplained(stalls: Vec<Done>, planned: &[Done]) -> Vec<Done> {
    let explained = |stall: &Done| {
        planned.iter().any(|fault| fault.kind == FaultKind::Nats && fault.span.longer(1_000).overlaps(stall.span))
    };
    stalls.into_iter().filter(|stall| !explained(stall)).collect()
}
