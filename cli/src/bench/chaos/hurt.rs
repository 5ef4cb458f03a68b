//! The schedule, done: each fault at its time, each with what it hurt well again at its end.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use omnihub_stage::Hub;
use tokio::{
    sync::MutexGuard,
    time::{Instant, sleep, sleep_until},
};

use super::{
    facts::{Done, Span, THAWING_MS, Worker},
    play::name_of,
    schedule::{Cut, Deed, Fault, Link, Role},
    site::Site,
};

use omnihub_stage::proxy::{Condition, Which};

/// The number of the signal that asks a process to end. Source: POSIX, `signal.h`.
const SIGTERM: i32 = 15;

/// What the faults found and did.
#[derive(Debug, Default)]
pub(super) struct Hurt {
    pub(super) done: Vec<Done>,
    /// Processes that ended by themselves, or badly.
    pub(super) wrong: Vec<String>,
}

/// Does every fault of a schedule, and leaves everything running and whole.
pub(super) async fn hurt(site: &Site, faults: &[Fault], began: Instant) -> anyhow::Result<Hurt> {
    let each = try_join_all(faults.iter().map(|fault| one(site, fault, began))).await?;
    site.heal();
    let mut hurt = Hurt::default();
    for (done, told) in each {
        hurt.done.push(done);
        hurt.wrong.extend(told);
    }
    for member in &site.members {
        let mut hub = member.hub.lock().await;
        supervise(member.role, &mut hub, &mut hurt.wrong)?;
    }
    Ok(hurt)
}

async fn one(site: &Site, fault: &Fault, began: Instant) -> anyhow::Result<(Done, Vec<String>)> {
    sleep_until(began + Duration::from_millis(fault.at_ms)).await;
    let now = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (lasts, mut told, from) = (Duration::from_millis(fault.lasts_ms), Vec::new(), now());
    let mut span = Span { from, to: from };
    match fault.deed {
        Deed::Kill(role) => {
            let mut hub = running(site, role, &mut told).await?;
            span.from = now();
            hub.kill9();
            span.to = now();
            sleep(lasts).await;
            hub.start_again()?;
        }
        Deed::Freeze(role) => {
            let hub = running(site, role, &mut told).await?;
            span.from = now();
            hub.freeze();
            sleep(lasts).await;
            hub.thaw();
            span.to = now() + THAWING_MS;
        }
        Deed::Stop(role) => {
            let mut hub = running(site, role, &mut told).await?;
            told.extend(stop(&mut hub, role, lasts).await?);
        }
        Deed::Broker { server } => {
            let mut broker = site.broker.lock().await;
            span.from = now();
            broker.kill9(server);
            sleep(lasts).await;
            broker.start_again().await?;
        }
        Deed::Database => {
            let postgres = site.postgres.lock().await;
            span.from = now();
            postgres.halt().await?;
            sleep(lasts).await;
            postgres.start_again().await?;
        }
        Deed::Link { link, connection, cut } => cut_link(site, link, Deed::which(connection), cut, lasts).await,
    }
    if !matches!(fault.deed, Deed::Kill(_) | Deed::Freeze(_)) {
        span.to = now();
    }
    let (cuts_sends, cuts_calls) = cuts(&fault.deed);
    let (kind, worker, what) = (fault.deed.kind(), worker(&fault.deed), format!("{:?}", fault.deed));
    Ok((Done { kind, worker, what, span, cuts_sends, cuts_calls }, told))
}

/// Whether a send, and whether an agent call, may be cut by it.
fn cuts(deed: &Deed) -> (bool, bool) {
    match deed {
        Deed::Kill(Role::Worker(_)) | Deed::Freeze(Role::Worker(_)) | Deed::Broker { .. } => (true, true),
        Deed::Link { link: Link::Broker(Role::Worker(_)), .. } => (true, true),
        Deed::Link { link: Link::Agent, .. } => (false, true),
        Deed::Kill(_) | Deed::Freeze(_) | Deed::Stop(_) | Deed::Database | Deed::Link { .. } => (false, false),
    }
}

/// The worker that it hurts alone.
fn worker(deed: &Deed) -> Option<Worker> {
    match deed {
        Deed::Kill(role) | Deed::Freeze(role) | Deed::Stop(role) => role.worker(),
        Deed::Link { link: Link::Broker(role), .. } => role.worker(),
        Deed::Broker { .. } | Deed::Database | Deed::Link { .. } => None,
    }
}

/// A process, started again when it had ended by itself.
async fn running<'s>(site: &'s Site, role: Role, told: &mut Vec<String>) -> anyhow::Result<MutexGuard<'s, Hub>> {
    let mut hub = site.member(role).context("no such process")?.hub.lock().await;
    supervise(role, &mut hub, told)?;
    Ok(hub)
}

/// What a supervisor does: a process that ended by itself is started again. None has a reason to:
/// what it needs and does not find, it waits for.
fn supervise(role: Role, hub: &mut Hub, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    if let Some(text) = ended_by_itself(role, hub) {
        wrong.push(text);
        hub.start_again()?;
    }
    Ok(())
}

fn ended_by_itself(role: Role, hub: &mut Hub) -> Option<String> {
    if hub.is_running() {
        return None;
    }
    let (code, signal, log) = (hub.exit_code(), hub.ended_by(), hub.tail());
    let said: Vec<&str> = log.lines().rev().take(3).collect();
    Some(format!("{} ended by itself ({code:?}, signal {signal:?}): {}", name_of(role), said.join(" / ")))
}

/// Processes that have ended since the last fault.
pub(super) async fn ended_since(site: &Site) -> Vec<String> {
    let mut ended = Vec::new();
    for member in &site.members {
        ended.extend(ended_by_itself(member.role, &mut *member.hub.lock().await));
    }
    ended
}

/// SIGTERM, the end, and the start again.
async fn stop(hub: &mut Hub, role: Role, lasts: Duration) -> anyhow::Result<Option<String>> {
    let began = Instant::now();
    hub.terminate().await?;
    let wrong = match (hub.exit_code(), hub.ended_by()) {
        // The signal itself: it was told before it could listen for it.
        (Some(0), _) | (None, Some(SIGTERM)) => None,
        (code, signal) => Some(format!("{} stopped with {code:?}, signal {signal:?}", name_of(role))),
    };
    sleep_until(began + lasts).await;
    hub.start_again()?;
    Ok(wrong)
}

async fn cut_link(site: &Site, link: Link, which: Which, cut: Cut, lasts: Duration) {
    let proxies = site.link(link);
    let set = |condition| match which {
        Which::All => proxies.iter().for_each(|proxy| proxy.set(condition)),
        Which::Nth(_) => proxies.iter().for_each(|proxy| proxy.set_for(which, condition)),
    };
    match cut {
        Cut::Reset => proxies.iter().for_each(|proxy| proxy.reset(which)),
        Cut::HalfClose { towards_client } => {
            proxies.iter().for_each(|proxy| proxy.half_close(which, Cut::side(towards_client)));
        }
        Cut::Latency { delay_ms, jitter_ms } => {
            let [delay, jitter] = [delay_ms, jitter_ms].map(Duration::from_millis);
            set(Condition::Latency { delay, jitter });
        }
        Cut::Silent => set(Condition::Silent),
        Cut::Blackhole => set(Condition::Blackhole),
        Cut::Refuse => proxies.iter().for_each(|proxy| proxy.cut()),
    }
    sleep(lasts).await;
    proxies.iter().for_each(|proxy| proxy.heal());
}
