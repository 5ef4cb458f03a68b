//! How a program ends.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Signals this close together are one: `timeout` and many wrappers signal the process and then
/// its group, and nobody means "at once" by it.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// The request to stop, in two steps.
///
/// 1. The first SIGTERM or Ctrl-C cancels [`Stop::token`]. Every part that holds the token takes
///    no new work, finishes what is in flight within its own grace, and returns.
/// 2. A second signal, half a second later or more, ends the process at once, whatever is in flight, with the exit code that
///    shells give for it (128 + the signal's number). That is safe: what was accepted is in the
///    queue and is taken up by the next start.
///
/// Clones and tokens of one `Stop` all mean the same request.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
}

impl Stop {
    /// Listens to SIGTERM and SIGINT from now on, within a Tokio runtime.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(listen(terminate, interrupt, stop.token.clone()));
        Ok(stop)
    }

    /// The token to hand to the parts.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Asks everybody to stop, as a signal does.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let name = next(&mut terminate, &mut interrupt).await.0;
    tracing::info!(signal.name = name, "stopping; a second signal stops at once");
    token.cancel();
    let since = Instant::now();
    loop {
        let (name, code) = next(&mut terminate, &mut interrupt).await;
        if since.elapsed() >= SAME_SIGNAL {
            tracing::warn!(signal.name = name, "stopped at once");
            std::process::exit(code);
        }
    }
}

/// The next signal: its name and the exit code that stands for it.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 128 + 15),
        _ = interrupt.recv() => ("SIGINT", 128 + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clones_and_tokens_hear_the_same_request() {
        let stop = Stop::default();
        let (clone, token) = (stop.clone(), stop.token());
        clone.request();
        stop.requested().await;
        assert!(token.is_cancelled());
    }
}
