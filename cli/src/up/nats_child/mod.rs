//! The NATS server of `omnihub up`: found, started, watched, respawned and stopped.
//!
//! The cast: [`NatsChild`] is what `up` holds; `binary` finds a nats-server, `site` is its place
//! in the data folder, `process` the running thing, `probe` asks whether it answers.
//!
//! A child that outlives a killed hub is adopted by the next one: two servers on one store would
//! damage it. It is known by its pid file, by its command line, and by taking our token.
//!
//! What is absent: no stream and no client. The hub dials the child as any server.

mod binary;
mod probe;
mod process;
mod site;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use omnihub_common::{
    config::{DataFolder, NatsSettings, Settings},
    secret::Secret,
};
use rustix::process::Pid;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use process::Process;
use site::Site;

/// The broker of an `omnihub up` that runs on this data folder, for a command beside it.
pub(crate) fn running_broker(data: &DataFolder) -> Option<NatsSettings> {
    site::running_url(data).map(|url| NatsSettings { url })
}

/// When a starting child is asked: often at first, since it answers after 15 ms with an empty
/// store, then more and more rarely while it reads a large one.
const ASK_FIRST: Duration = Duration::from_millis(2);
/// See [`ASK_FIRST`].
const ASK_LAST: Duration = Duration::from_millis(100);

/// How long a child may read its store before it counts as stuck.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How long an orphan may take to answer before it is replaced.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(10);

/// A child that ran this long was well; its next death starts the schedule anew.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// Ports that are tried at a first start, since a free one may be taken before the child has it.
const PORTS: usize = 3;

/// nats-server cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum NatsChildError {
    /// There is no binary.
    #[error(
        "nats-server is not installed: run deploy/quickstart.sh, which puts version {} into data/bin, or set \
         OMNIHUB_NATS_SERVER to its path",
        binary::OLDEST
    )]
    NotFound,
    /// `OMNIHUB_NATS_SERVER` names something else.
    #[error("setting OMNIHUB_NATS_SERVER: not a nats-server that can be run; unset it and run deploy/quickstart.sh")]
    NotUsable,
    /// The binary is too old.
    #[error(
        "nats-server {} is version {version}, and {} is needed: run deploy/quickstart.sh, which puts it into data/bin, \
         or set OMNIHUB_NATS_SERVER to its path",
        path.display(),
        binary::OLDEST
    )]
    TooOld {
        /// The binary.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// Its files cannot be written, or the process not be started.
    #[error("nats-server cannot be started; check the permissions of the data folder and its free disk")]
    Io(#[from] io::Error),
    /// It ended before it answered.
    #[error("nats-server ended at its start ({how}); its log is {}", log.display())]
    Ended {
        /// How it ended, or its last words.
        how: String,
        /// Where to read more.
        log: PathBuf,
    },
    /// It runs and does not answer.
    #[error("nats-server does not answer; its log is {}", log.display())]
    Silent {
        /// Where to read more.
        log: PathBuf,
    },
}

/// A running nats-server on loopback, kept running until [`NatsChild::stop`].
#[derive(Debug)]
pub struct NatsChild {
    url: Secret,
    supervisor: JoinHandle<()>,
    /// Stops the supervisor, and so the child, also when this is only dropped.
    stop: DropGuard,
}

impl NatsChild {
    /// Starts the child, or adopts the one that a killed hub left, and waits until it answers.
    ///
    /// # Errors
    /// When there is no binary that is new enough, or it does not start; each names the remedy.
    pub async fn start(data: &DataFolder, settings: &dyn Settings) -> Result<Self, NatsChildError> {
        let binary = binary::find(settings, data).await?;
        let site = Site::open(data)?;
        let (process, port) = match adopt(&site).await {
            Some(adopted) => adopted,
            None => start_on_some_port(&binary, &site).await?,
        };
        let url = site::url(port, &site.token);
        let stop = CancellationToken::new();
        let supervisor = Supervisor { binary, site: Arc::new(site), port, stop: stop.clone() };
        Ok(Self { url, supervisor: tokio::spawn(supervisor.watch(process)), stop: stop.drop_guard() })
    }

    /// Where it is reached, with the token: the same for the life of the hub, respawns included.
    #[must_use]
    pub fn url(&self) -> Secret {
        self.url.clone()
    }

    /// Stops the child and waits for its end.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            tracing::error!(error.message = %error, "the watch over nats-server failed");
        }
    }
}

/// Watches the child and starts it again when it dies.
struct Supervisor {
    binary: PathBuf,
    site: Arc<Site>,
    port: u16,
    stop: CancellationToken,
}

impl Supervisor {
    async fn watch(self, mut process: Process) {
        let mut waits = schedule();
        loop {
            let since = Instant::now();
            let how = tokio::select! {
                how = process.ended(&self.site) => how,
                () = self.stop.cancelled() => break,
            };
            tracing::error!(process.ended = how, "nats-server has died and is started again");
            if since.elapsed() > WELL_AFTER {
                waits = schedule();
            }
            match self.stop.run_until_cancelled(self.respawn(&mut waits)).await {
                Some(again) => process = again,
                // A half-started one ends with its handle.
                None => return self.site.forget(),
            }
        }
        process.stop(&self.site).await;
        self.site.forget();
    }

    async fn respawn(&self, waits: &mut ExponentialBackoff) -> Process {
        loop {
            tokio::time::sleep(waits.next().unwrap_or_default()).await;
            match start(&self.binary, &self.site, self.port).await {
                Ok(process) => {
                    tracing::info!(nats.port = self.port, "nats-server is back");
                    return process;
                }
                Err(error) => tracing::error!(error.message = %error, "nats-server cannot be started again yet"),
            }
        }
    }
}

/// 50 ms, 100 ms, 200 ms ... 5 s, 5 s, each with up to its own length of jitter on top; never ends.
fn schedule() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Takes over the child of a hub that was killed, if it is still there and well; one that is
/// there and does not answer is stopped, since nothing else may use its store.
async fn adopt(site: &Site) -> Option<(Process, u16)> {
    let pid = Pid::from_raw(site.pid()?)?;
    if !process::is_ours(pid, site).await {
        return None;
    }
    let orphan = Process::Adopted(pid);
    let answered = match site.port() {
        Some(port) => wait_for_answer(site, port, ORPHAN_PATIENCE).await.map(|version| (port, version)),
        None => None,
    };
    match answered {
        Some((port, version)) if version >= binary::OLDEST => {
            tracing::info!(
                process.pid = pid.as_raw_nonzero(),
                nats.port = port,
                "nats-server of an earlier run adopted"
            );
            Some((orphan, port))
        }
        _ => {
            tracing::warn!(
                process.pid = pid.as_raw_nonzero(),
                "nats-server of an earlier run is of no use and is replaced"
            );
            orphan.stop(site).await;
            None
        }
    }
}

async fn start_on_some_port(binary: &Path, site: &Site) -> Result<(Process, u16), NatsChildError> {
    let mut tried = 1;
    loop {
        let port = site::free_port()?;
        match start(binary, site, port).await {
            Ok(process) => return Ok((process, port)),
            Err(NatsChildError::Ended { .. }) if tried < PORTS => tried += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Starts the child and waits until it answers.
async fn start(binary: &Path, site: &Site, port: u16) -> Result<Process, NatsChildError> {
    site.prepare(port)?;
    let mut process = Process::spawn(binary, site)?;
    let waited = tokio::select! {
        answer = wait_for_answer(site, port, START_PATIENCE) => answer.ok_or(None),
        how = process.ended(site) => Err(Some(how)),
    };
    match waited {
        Ok(_) => Ok(process),
        Err(Some(how)) => {
            site.forget();
            Err(NatsChildError::Ended { how: site.last_words().unwrap_or(how), log: site.log() })
        }
        Err(None) => {
            process.stop(site).await;
            site.forget();
            Err(NatsChildError::Silent { log: site.log() })
        }
    }
}

/// Asks until our server answers on the port; `None` when it has not within the patience.
async fn wait_for_answer(site: &Site, port: u16, patience: Duration) -> Option<binary::Version> {
    let asking = async {
        let mut wait = ASK_FIRST;
        loop {
            match probe::probe(port, &site.token).await {
                Ok(version) => return version,
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = wait.mul_f32(1.2).min(ASK_LAST);
        }
    };
    tokio::time::timeout(patience, asking).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_grows_to_its_cap_and_never_ends() {
        let waits: Vec<_> = schedule().take(50).collect();
        assert_eq!(waits.len(), 50);
        assert!(waits[0] < Duration::from_millis(101), "{:?}", waits[0]);
        assert!(waits[49] >= Duration::from_secs(5) && waits[49] <= Duration::from_secs(10), "{:?}", waits[49]);
    }
}
