//! "Typing ...": shown while the agent is asked, never waited for.

use std::{sync::Arc, time::Duration};

use omnihub_common::{
    channel::whatsapp::outbound::{Presence, recipient},
    telemetry::propagation,
};
use tokio::{
    sync::Semaphore,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{Kit, Opened, send::evolution};

/// Evolution shows a presence for the time it is asked to, and blocks the call for as long.
const SHOWN_FOR: Duration = Duration::from_secs(10);

/// It is asked for again after this part of that time at the earliest. Turns that began together,
/// as those of an instance whose agent hangs, then do not all ask in the same moment for ever.
const AGAIN_FROM: f64 = 0.75;

/// It goes on showing it when the caller hangs up, so a call is held only until it has surely
/// begun: thousands of turns that wait would else hold a second connection each.
const HELD_FOR: Duration = Duration::from_secs(1);

/// So many of these calls run at once in a worker; a turn that finds no seat asks for one again
/// when the next presence is due.
const SEATS: usize = 500;

/// The seats of a worker.
pub(crate) fn seats() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SEATS))
}

/// Typing is shown until this is dropped.
pub(super) struct Typing(Option<AbortHandle>);

impl Typing {
    pub(super) fn begin(kit: &Kit, opened: &Opened) -> Self {
        let Ok(evolution) = evolution(kit, &opened.instance) else { return Self(None) };
        let number = recipient(&opened.message.chat, opened.message.sender.alt_id.as_deref());
        let headers = propagation::inject_current();
        let delay = u64::try_from(SHOWN_FOR.as_millis()).unwrap_or_default();
        let seats = kit.typing.clone();
        let task = tokio::spawn(async move {
            loop {
                // A server that answers at once must not be asked at once again.
                let next = Instant::now() + SHOWN_FOR.mul_f64(rand::random_range(AGAIN_FROM..=1.0));
                if let Ok(_seat) = seats.try_acquire() {
                    // Boxed, since it is gone when the wait for the next one begins.
                    let shown = Box::pin(evolution.send_presence(&number, Presence::Composing, delay, headers.clone()));
                    if let Ok(Err(error)) = timeout(HELD_FOR, shown).await {
                        tracing::debug!(error.message = %error, "typing could not be shown");
                        return;
                    }
                }
                sleep_until(next).await;
            }
        });
        Self(Some(task.abort_handle()))
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
