//! What an operator may set about a worker.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use omnihub_common::{
    config::{ConfigError, Settings, number_or, write_private},
    instance::public_url,
    trace::{DEFAULT_RETENTION_DAYS, RETENTION_DAYS},
};
use url::Url;

/// What agents are given of files unless an operator says.
const MEDIA_TO_AGENT: usize = 20 * 1024 * 1024;

/// What `OMNIHUB_TRANSCRIPT_TIMEOUT` may be, in seconds.
const TRANSCRIPT_TIMEOUT: RangeInclusive<usize> = 1..=300;

/// More is never given.
pub(crate) const MOST_TO_AGENT: usize = 64 * 1024 * 1024;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// This worker's name among the others, `OMNIHUB_WORKER_ID`.
    pub id: String,
    /// Turns at once in this worker, `OMNIHUB_WORKER_TURNS`.
    pub turns: usize,
    /// Turns at once of one instance in this worker, `OMNIHUB_INSTANCE_TURNS`.
    pub turns_per_instance: usize,
    /// Bytes of waiting messages that are held in memory, `OMNIHUB_WORKER_PAYLOADS` in MB; beyond
    /// it they are fetched again when their turn comes.
    pub payload_bytes: usize,
    /// For how many days traces are kept, `OMNIHUB_TRACE_RETENTION_DAYS`, unless the instance says.
    pub trace_retention_days: u32,
    /// The files that an agent is given with one question have so many bytes together,
    /// `OMNIHUB_MEDIA_TO_AGENT`; 0 = it is told of them only.
    pub media_to_agent: usize,
    /// The hub's address as agents reach it, `OMNIHUB_PUBLIC_URL`, for links to files and
    /// for later answers.
    pub public_url: Option<String>,
    /// How long a server may take to write down what is said in a message,
    /// `OMNIHUB_TRANSCRIPT_TIMEOUT` in seconds.
    pub transcript_patience: Duration,
    /// Where Evolution's file store is reached, `EVOLUTION_MINIO_URL`, when only Evolution's own
    /// network knows the host in its links.
    pub media_store: Option<Url>,
    /// How long a stop waits for running turns, `OMNIHUB_STOP_GRACE` in seconds.
    pub grace: Duration,
}

impl WorkerSettings {
    /// Reads the settings. Without `OMNIHUB_WORKER_ID` the id is the host's name and a random
    /// suffix kept in the data folder, so that a restarted worker is known as the same one.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn load(settings: &dyn Settings, data: &Path) -> Result<Self, ConfigError> {
        let id = match settings.get("OMNIHUB_WORKER_ID") {
            Some(id) => id,
            None => remembered_id(data),
        };
        Ok(Self {
            id,
            turns: number_or(settings, "OMNIHUB_WORKER_TURNS", 10_000, 1..=1_000_000)?,
            turns_per_instance: number_or(settings, "OMNIHUB_INSTANCE_TURNS", 1_000, 1..=1_000_000)?,
            payload_bytes: number_or(settings, "OMNIHUB_WORKER_PAYLOADS", 256, 1..=1_000_000)? * 1_000_000,
            trace_retention_days: retention_days(settings)?,
            media_to_agent: number_or(settings, "OMNIHUB_MEDIA_TO_AGENT", MEDIA_TO_AGENT, 0..=MOST_TO_AGENT)?,
            transcript_patience: Duration::from_secs(number_or(
                settings,
                "OMNIHUB_TRANSCRIPT_TIMEOUT",
                60,
                TRANSCRIPT_TIMEOUT,
            )? as u64),
            public_url: public_url(settings)?,
            media_store: media_store(settings)?,
            grace: Duration::from_secs(number_or(settings, "OMNIHUB_STOP_GRACE", 25, 0..=3600)? as u64),
        })
    }
}

fn media_store(settings: &dyn Settings) -> Result<Option<Url>, ConfigError> {
    const NAME: &str = "EVOLUTION_MINIO_URL";
    let Some(given) = settings.get(NAME).filter(|given| !given.trim().is_empty()) else { return Ok(None) };
    let url = Url::parse(given.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| ConfigError::bad(NAME, "expected an http or https URL"))
}

/// Under our name or the older system's.
fn retention_days(settings: &dyn Settings) -> Result<u32, ConfigError> {
    let ours = "OMNIHUB_TRACE_RETENTION_DAYS";
    let name = if settings.get(ours).is_some() { ours } else { "AUTOMAGIK_OMNI_TRACE_RETENTION_DAYS" };
    let number = |days: u64| usize::try_from(days).unwrap_or(usize::MAX);
    let range = number(*RETENTION_DAYS.start())..=number(*RETENTION_DAYS.end());
    let days = number_or(settings, name, number(DEFAULT_RETENTION_DAYS.into()), range)?;
    Ok(u32::try_from(days).unwrap_or(DEFAULT_RETENTION_DAYS))
}

/// The id kept in `worker.id` of the data folder; where that cannot be written, a new one each
/// time, which costs a restart the wait until the old one counts as dead.
fn remembered_id(data: &Path) -> String {
    let file = data.join("worker.id");
    if let Ok(kept) = std::fs::read_to_string(&file)
        && !kept.trim().is_empty()
    {
        return kept.trim().to_owned();
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = if host.is_empty() { "worker".to_owned() } else { host };
    let id = format!("{host}-{:08x}", rand::random::<u32>());
    if let Err(error) = write_private(&file, id.as_bytes()) {
        tracing::warn!(error.message = %error, "the worker's id could not be kept: a restart will look like a new worker");
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_id_survives_a_restart_and_the_environment_wins() {
        let folder = tempfile::tempdir().unwrap();
        let empty = HashMap::new();
        let first = WorkerSettings::load(&empty, folder.path()).unwrap();
        assert_eq!(WorkerSettings::load(&empty, folder.path()).unwrap().id, first.id);
        let named = HashMap::from([("OMNIHUB_WORKER_ID".to_owned(), "w1".to_owned())]);
        assert_eq!(WorkerSettings::load(&named, folder.path()).unwrap().id, "w1");
        assert_eq!(WorkerSettings::load(&named, folder.path()).unwrap().trace_retention_days, 30);
        let older = HashMap::from([("AUTOMAGIK_OMNI_TRACE_RETENTION_DAYS".to_owned(), "7".to_owned())]);
        assert_eq!(WorkerSettings::load(&older, folder.path()).unwrap().trace_retention_days, 7);
        let store = |url: &str| {
            let given = HashMap::from([("EVOLUTION_MINIO_URL".to_owned(), url.to_owned())]);
            WorkerSettings::load(&given, folder.path()).map(|settings| settings.media_store.is_some())
        };
        assert_eq!((store(" http://minio.test:9000").unwrap(), store("").unwrap()), (true, false));
        assert!(store("minio:9000").unwrap_err().to_string().contains("EVOLUTION_MINIO_URL"));
        let bad = HashMap::from([("OMNIHUB_WORKER_TURNS".to_owned(), "0".to_owned())]);
        assert!(WorkerSettings::load(&bad, folder.path()).unwrap_err().to_string().contains("OMNIHUB_WORKER_TURNS"));
    }
}
