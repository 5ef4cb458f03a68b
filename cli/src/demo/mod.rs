//! `omnihub demo`: the hub at work, without an account anywhere.
//!
//! The cast: `script` says what the customers write; `world` is what stands around the hub (a
//! fake Evolution, an agent that echoes) and the hub's own door; `play` lets the conversations
//! happen; `show` prints them as chats with their traces; `summary` counts, and says what was
//! missing.
//!
//! What is absent: a second hub. What runs is [`crate::up`] in a temporary folder, with settings
//! of its own: nothing of the user's environment or `.env` names its instance, database or keys.

mod paint;
mod play;
mod script;
mod show;
mod summary;
mod world;

use std::{
    collections::HashMap,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use futures_util::future::join_all;
use omnihub_common::{
    config::{LogSettings, ProcessSettings, Settings as _},
    process::{Program, Stop},
    telemetry::{self, MetricsPage},
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::up::{self, Banner};
use paint::Paint;
use summary::Summary;
use world::World;

/// How long the whole play may take, before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a hub that is asked to stop may still take to come up, so that it can go down in
/// order; it comes up in less unless it is stuck.
const LATE_START: Duration = Duration::from_secs(1);

/// How long the hub may take to finish its turns at the end, in seconds: they are all done.
const STOP_GRACE: &str = "2";

/// What is taken from the user's settings: where to find nats-server, and nothing else.
const INHERITED: [&str; 2] = ["PATH", "OMNIHUB_NATS_SERVER"];

/// Options of `omnihub demo`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DemoArgs {
    /// Keep the data folder (database, queue, keys) and say where it lies.
    #[arg(long)]
    pub keep: bool,
}

/// Something that the demo promises did not happen.
#[derive(Debug, thiserror::Error)]
#[error(
    "the demo did not show all that it should:{}\nLOG_LEVEL=info and --keep show more",
    .0.iter().map(|problem| format!("\n  - {problem}")).collect::<String>()
)]
struct Missed(Vec<String>);

/// Runs the demo.
///
/// # Errors
/// When the hub cannot start (each cause with its remedy), when an expectation did not hold, or
/// when it was stopped before its end.
pub async fn run(arguments: DemoArgs) -> anyhow::Result<()> {
    // First of all: from here on a signal cleans up.
    let stop = Stop::on_signals()?;
    let folder =
        tempfile::Builder::new().prefix("omnihub-demo-").tempdir().context("no temporary folder can be made")?;
    let data = folder.path().join("data");
    let settings = settings(&data)?;
    let telemetry = telemetry::init(&LogSettings::load(&settings)?, "omnihub-demo", &settings)?;
    let ended = stage(settings, telemetry.metrics_page(), &stop).await;
    telemetry.shutdown().await;
    let kept = clean_up(folder, data, arguments.keep);
    let summary = ended?;
    say(&summary.next_steps(Paint::of_stdout(), kept.as_deref()));
    if summary.problems.is_empty() { Ok(()) } else { Err(Missed(summary.problems).into()) }
}

/// The settings of the demo's hub.
fn settings(data: &Path) -> anyhow::Result<HashMap<String, String>> {
    let users = ProcessSettings::load()?;
    let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), users.get(name)?)));
    // Quiet, so that the log does not mix with the chats. Not from `.env`: that is for `up`.
    let level = std::env::var("LOG_LEVEL").unwrap_or_default();
    let level = if level.trim().is_empty() { "warn".to_owned() } else { level };
    let own = [
        ("API_HOST", "127.0.0.1".to_owned()),
        ("API_PORT", "0".to_owned()),
        ("LOG_LEVEL", level),
        ("OMNIHUB_DATA_DIR", data.display().to_string()),
        ("OMNIHUB_STOP_GRACE", STOP_GRACE.to_owned()),
    ];
    Ok(inherited.chain(own.map(|(name, value)| (name.to_owned(), value))).collect())
}

/// Raises the hub and its surroundings, plays, and takes all of it down again.
async fn stage(settings: HashMap<String, String>, metrics: MetricsPage, stop: &Stop) -> anyhow::Result<Summary> {
    let paint = Paint::of_stdout();
    say(&show::opening(paint));
    let (tell, told) = oneshot::channel();
    let program = Program { settings: Arc::new(settings), metrics, stop: stop.clone() };
    // Nobody listens any more when the demo was stopped meanwhile.
    let hub = tokio::spawn(up::run_and_tell(program, move |banner| drop(tell.send(banner))));
    let Some(banner) = told_unless_stuck(told, stop).await else {
        return Err(ended_early(hub).await);
    };
    let played = tokio::select! {
        played = tokio::time::timeout(PATIENCE, play_all(&banner, paint)) => {
            played.unwrap_or_else(|_| Err(anyhow::anyhow!("the demo is stuck: not through within {PATIENCE:?}")))
        }
        () = stop.requested() => Err(stopped()),
    };
    stop.request();
    let hub = hub.await.context("the hub panicked")?;
    // A hub that fails also ends the play: its failure is the one to tell.
    hub.and(played)
}

/// Where the hub is; `None` when it has ended, or is stuck in its start and was told to stop.
async fn told_unless_stuck(told: oneshot::Receiver<Banner<PathBuf>>, stop: &Stop) -> Option<Banner<PathBuf>> {
    let stuck = async {
        stop.requested().await;
        tokio::time::sleep(LATE_START).await;
    };
    tokio::select! {
        banner = told => banner.ok(),
        () = stuck => None,
    }
}

/// Why the hub was over before it had begun.
async fn ended_early(hub: JoinHandle<anyhow::Result<()>>) -> anyhow::Error {
    // Changes nothing for one that has ended; a stuck one takes its nats-server along.
    hub.abort();
    match hub.await {
        Ok(Err(error)) => error,
        Err(panicked) if panicked.is_panic() => anyhow::Error::new(panicked).context("the hub panicked"),
        Ok(Ok(())) | Err(_) => stopped(),
    }
}

fn stopped() -> anyhow::Error {
    anyhow::anyhow!("the demo was stopped before its end")
}

/// Plays every conversation at once, and prints them one after the other.
async fn play_all(banner: &Banner<PathBuf>, paint: Paint) -> anyhow::Result<Summary> {
    let world = World::open(banner).await?;
    say(&show::ready(paint, &banner.url, banner.started.elapsed()));
    let scenes = script::scenes();
    let began = Instant::now();
    let played = join_all(scenes.into_iter().zip(0..).map(|(scene, nth)| play::play(&world, scene, nth))).await;
    let took = began.elapsed();
    for conversation in &played {
        say(&show::conversation(paint, conversation));
    }
    let summary = Summary::of(&played, &world.noticed());
    say(&summary.show(paint, took));
    Ok(summary)
}

/// Removes what the demo made, or says where it was kept.
fn clean_up(folder: TempDir, data: PathBuf, keep: bool) -> Option<PathBuf> {
    if keep {
        let _ = folder.keep();
        return Some(data);
    }
    if let Err(error) = folder.close() {
        tracing::warn!(error.message = %error, "the temporary folder of the demo could not be removed");
    }
    None
}

/// Prints; a closed standard output is nobody's loss.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_of_the_demo_has_no_instance_and_no_database_of_the_users() {
        let settings = settings(Path::new("/tmp/x/data")).unwrap();
        let mut names: Vec<&str> =
            settings.keys().map(String::as_str).filter(|name| !INHERITED.contains(name)).collect();
        names.sort_unstable();
        assert_eq!(names, ["API_HOST", "API_PORT", "LOG_LEVEL", "OMNIHUB_DATA_DIR", "OMNIHUB_STOP_GRACE"]);
    }

    #[test]
    fn the_error_lists_what_was_missing() {
        let error = Missed(vec!["one reply".to_owned(), "another".to_owned()]).to_string();
        assert!(error.contains("\n  - one reply\n  - another\n"), "{error}");
    }
}
