//! Where secrets come from that are kept somewhere else.
//!
//! [`SecretSource`] is the one door: it asks the environment, a file or `vault`, and remembers what
//! it was told. What is remembered is good for a while without asking; when the one to ask is away,
//! it is good for longer.

mod vault;

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::{future::Cache, ops::compute::Op};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use self::vault::Vault;
use super::{MayRefer, Reference, Secret};
use crate::config::{ConfigError, Settings, number_or};

/// The setting for how long an answer is good without asking again, in seconds.
const TTL_SECONDS: &str = "OMNIHUB_SECRET_TTL";
/// The setting for how long it is good while the one to ask is away, in hours: as for instances.
const STALE_HOURS: &str = "OMNIHUB_INSTANCE_CACHE_HOURS";
/// The setting for where in Vault a key of some instances may refer to, with `{instance}` in it.
const TENANT_PATH: &str = "OMNIHUB_VAULT_TENANT_PATH";
/// So many are asked for at once.
const AT_ONCE: usize = 16;
/// One that was away is asked again after this time.
const PAUSE: Duration = Duration::from_secs(1);
/// So many are remembered: ten for each instance that we plan for.
const CAPACITY: u64 = 100_000;
/// A larger file is no secret.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a secret that is kept somewhere else cannot be had. None of these says anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The one to ask does not answer, or not now: again later.
    #[error("`{reference}` cannot be asked for now: {why}")]
    Away {
        /// What was asked for.
        reference: String,
        /// What is wrong.
        why: String,
    },
    /// It answers, and does not give it: somebody must mend that.
    #[error("`{reference}` is not to be had: {why}")]
    Refused {
        /// What was asked for.
        reference: String,
        /// What is wrong.
        why: String,
    },
}

impl SourceError {
    /// Whether the same may succeed later without anybody's doing.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// What one who was asked says instead of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Away(String),
    Refused(String),
}

impl Trouble {
    fn of(self, reference: &Reference) -> SourceError {
        let reference = reference.to_string();
        match self {
            Self::Away(why) => SourceError::Away { reference, why },
            Self::Refused(why) => SourceError::Refused { reference, why },
        }
    }
}

/// What was told, and when.
#[derive(Clone)]
struct Told {
    value: Arc<Zeroizing<String>>,
    at: Instant,
}

/// The one door to secrets that are kept somewhere else. Cheap to clone.
#[derive(Clone)]
pub struct SecretSource(Arc<Inner>);

struct Inner {
    settings: Arc<dyn Settings>,
    vault: Option<Vault>,
    told: Cache<Reference, Told>,
    ttl: Duration,
    stale_for: Duration,
    tenant_path: Option<String>,
    seats: Semaphore,
    /// When a Vault that was away may be asked again.
    ask_again: Mutex<Option<Instant>>,
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSource").field("vault", &self.0.vault).finish_non_exhaustive()
    }
}

impl SecretSource {
    /// As the settings have it: `VAULT_ADDR` with `VAULT_TOKEN` or `VAULT_TOKEN_FILE`,
    /// `VAULT_NAMESPACE`, and how long answers are good.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn load(settings: Arc<dyn Settings>) -> Result<Self, ConfigError> {
        let ttl = number_or(&*settings, TTL_SECONDS, 60, 1..=86_400)? as u64;
        let hours = number_or(&*settings, STALE_HOURS, 24, 1..=8760)? as u64;
        let (ttl, stale_for) = (Duration::from_secs(ttl), Duration::from_hours(hours));
        let vault = Vault::load(&*settings)?;
        Ok(Self::new(settings, vault, ttl, stale_for))
    }

    /// One that knows of no Vault, and no settings either.
    #[must_use]
    pub fn none() -> Self {
        let nothing: Arc<dyn Settings> = Arc::new(std::collections::HashMap::new());
        Self::new(nothing, None, PAUSE, PAUSE)
    }

    fn new(settings: Arc<dyn Settings>, vault: Option<Vault>, ttl: Duration, stale_for: Duration) -> Self {
        let tenant_path = settings.get(TENANT_PATH).map(|path| path.trim().trim_matches('/').to_owned());
        Self(Arc::new(Inner {
            settings,
            vault,
            told: Cache::builder().max_capacity(CAPACITY).time_to_live(stale_for).build(),
            ttl,
            stale_for,
            tenant_path,
            seats: Semaphore::new(AT_ONCE),
            ask_again: Mutex::new(None),
        }))
    }

    /// Which references may be given for an instance by a key of some instances: those below the
    /// folder that was set aside for it, and none if none was.
    #[must_use]
    pub fn for_tenant(&self, instance: &str) -> MayRefer {
        match &self.0.tenant_path {
            // A folder for all would be everybody's.
            Some(path) if path.contains("{instance}") => MayRefer::Below(path.replace("{instance}", instance)),
            Some(_) | None => MayRefer::Nowhere,
        }
    }

    /// The same secret with its value; one that is kept by the hub itself is there already. The
    /// value is at most `OMNIHUB_SECRET_TTL` old, older when the one to ask is away; with a `max_age`
    /// it is at most that old, whoever is away.
    ///
    /// # Errors
    /// When it cannot be had, and what is remembered is too old.
    pub async fn resolve(&self, secret: &Secret, max_age: Option<Duration>) -> Result<Secret, SourceError> {
        let Some(reference) = secret.reference() else { return Ok(secret.clone()) };
        let stale_for = if max_age.is_some() { Duration::ZERO } else { self.0.stale_for };
        let max_age = max_age.map_or(self.0.ttl, |age| age.min(self.0.ttl));
        let is_good = |told: &Told| told.at.elapsed() < max_age;
        if let Some(told) = self.0.told.get(reference).await.filter(is_good) {
            return Ok(secret.resolved(told.value.as_str()));
        }
        let load = async |present: Option<moka::Entry<Reference, Told>>| {
            // Whoever asked before us may have been told meanwhile.
            let present = present.map(moka::Entry::into_value);
            match present {
                Some(told) if is_good(&told) => Ok(Op::Nop),
                known => self.ask_or(reference, known, stale_for).await.map(|told| told.map_or(Op::Nop, Op::Put)),
            }
        };
        let loaded = self.0.told.entry_by_ref(reference).and_try_compute_with(load).await?;
        let gone = || Trouble::Away("it was forgotten meanwhile".to_owned()).of(reference);
        Ok(secret.resolved(loaded.into_entry().ok_or_else(gone)?.into_value().value.as_str()))
    }

    /// What is told now; `None` when what is known must do, since the one to ask is away.
    async fn ask_or(
        &self,
        reference: &Reference,
        known: Option<Told>,
        stale_for: Duration,
    ) -> Result<Option<Told>, SourceError> {
        let trouble = match self.ask(reference).await {
            Ok(value) => return Ok(Some(Told { value: Arc::new(value), at: Instant::now() })),
            Err(trouble) => trouble,
        };
        let may_do = |told: &Told| matches!(trouble, Trouble::Away(_)) && told.at.elapsed() < stale_for;
        if known.as_ref().is_some_and(may_do) {
            tracing::debug!(secret.reference = %reference, "a secret is used as it was known");
            return Ok(None);
        }
        // Whoever asked says so in the log, with what they needed it for.
        Err(trouble.of(reference))
    }

    async fn ask(&self, reference: &Reference) -> Result<Zeroizing<String>, Trouble> {
        let value = match reference {
            Reference::Environment(name) => {
                let unset = || Trouble::Refused("it is not set where this process runs".to_owned());
                self.0.settings.get(name).map(Zeroizing::new).ok_or_else(unset)?
            }
            Reference::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.map_err(|_| Trouble::Away("it could not be read".to_owned()))??
            }
            Reference::Vault { mount, path, key } => self.ask_vault(mount, path, key).await?,
        };
        usable(&value)?;
        Ok(value)
    }

    /// One that is away is left alone for a moment: whoever needs a secret does not wait for it
    /// more than once a second.
    async fn ask_vault(&self, mount: &str, path: &str, key: &str) -> Result<Zeroizing<String>, Trouble> {
        let unset = || Trouble::Refused("no Vault is set: VAULT_ADDR and VAULT_TOKEN say which".to_owned());
        let vault = self.0.vault.as_ref().ok_or_else(unset)?;
        let closed = |_| Trouble::Away("the process ends".to_owned());
        let _seat = self.0.seats.acquire().await.map_err(closed)?;
        let resting = *self.0.ask_again.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.is_some_and(|until| Instant::now() < until) {
            return Err(Trouble::Away("Vault did not answer a moment ago".to_owned()));
        }
        let answer = vault.read(mount, path, key).await;
        let rests = matches!(answer, Err(Trouble::Away(_))).then(|| Instant::now() + PAUSE);
        *self.0.ask_again.lock().unwrap_or_else(PoisonError::into_inner) = rests;
        answer
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Trouble> {
    let refused = |error: io::Error| Trouble::Refused(format!("the file cannot be read: {}", error.kind()));
    // A pipe or a device could keep us for ever: it is not opened.
    if !fs::metadata(path).map_err(refused)?.is_file() {
        return Err(Trouble::Refused("it is no regular file".to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    let length =
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text)).map_err(refused)?;
    if length as u64 > MAX_BYTES {
        return Err(Trouble::Refused(format!("the file has more than {MAX_BYTES} bytes")));
    }
    // An editor ends a file with a line break, which is not the secret's.
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// As a secret that is given over the API must be.
fn usable(value: &str) -> Result<(), Trouble> {
    if value.is_empty() {
        Err(Trouble::Refused("it is empty".to_owned()))
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Err(Trouble::Refused("it must be printable ASCII, since it travels in a header".to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
