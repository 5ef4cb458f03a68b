//! The first instance, made out of the environment that a single-tenant installation has.
//!
//! Only an empty table is seeded, so a later change of the environment overwrites nothing. Every
//! process may try at its start: one succeeds.

use std::time::Duration;

use super::{
    AccountWatch, AgentOptions, AgentProtocol, AgentSettings, BudgetSettings, ChannelSettings, FailoverSettings,
    GroupSettings, InstanceName, Instances, MediaSettings, NewInstance, OfficeSettings, ReplySettings, StoreError,
    TakeoverSettings, TranscriptSettings, TurnSettings, UrlProblem, WhatsappSettings, service_url,
};
use crate::{config::Settings, secret::Secret};

/// The settings that must all be there: an instance lacking one could not answer anybody.
const NEEDED: [&str; 4] = ["AGENT_API_URL", "AGENT_API_KEY", "EVOLUTION_API_URL", "EVOLUTION_API_KEY"];

/// What became of the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// The default instance was made.
    Made(InstanceName),
    /// There are instances already, or another process was quicker.
    NotEmpty,
    /// The environment describes no instance.
    NotDescribed,
    /// The environment describes one, but not well enough; the log says what is wrong.
    Unusable,
}

/// The Evolution server of the environment, for WhatsApp instances that name none.
#[derive(Clone, Debug, Default)]
pub struct EvolutionFallback {
    /// `EVOLUTION_API_URL`.
    pub url: Option<String>,
    /// `EVOLUTION_API_KEY`.
    pub key: Option<Secret>,
}

impl EvolutionFallback {
    /// Reads the two settings.
    #[must_use]
    pub fn load(settings: &dyn Settings) -> Self {
        Self {
            url: settings.get("EVOLUTION_API_URL").map(|url| url.trim().to_owned()),
            key: settings.get("EVOLUTION_API_KEY").map(|key| Secret::new(key.trim())),
        }
    }
}

/// Makes the default instance from `WHATSAPP_INSTANCE`, `SESSION_ID_PREFIX`, `EVOLUTION_API_URL`,
/// `EVOLUTION_API_KEY`, `AGENT_API_URL`, `AGENT_API_KEY`, `DEFAULT_AGENT_NAME`,
/// `AGENT_API_TIMEOUT`, `EVOLUTION_TRANSCRIPT_API` and `EVOLUTION_TRANSCRIPT_API_KEY`, if the table is empty and they describe one. A description that is no
/// good is logged and stops nothing: the instance can still be made by API or command line.
///
/// # Errors
/// A failure of the database.
pub async fn seed_default(instances: &Instances, settings: &dyn Settings) -> Result<Seeded, StoreError> {
    let described = match describe(settings) {
        Ok(described) => described,
        Err(problem) => {
            // Once there are instances, nobody needs the description.
            if !instances.is_empty().await? {
                return Ok(Seeded::NotEmpty);
            }
            tracing::warn!(error.message = %problem, "the environment's default instance was not made");
            return Ok(Seeded::Unusable);
        }
    };
    let Some(new) = described else { return Ok(Seeded::NotDescribed) };
    let Some(made) = instances.create_first(new).await? else { return Ok(Seeded::NotEmpty) };
    tracing::info!(instance.name = %made.name, "the default instance was made from the environment");
    Ok(Seeded::Made(made.name))
}

/// What is wrong with a description. Names settings, never their values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum SeedProblem {
    #[error("missing: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    #[error("{0} {1}")]
    Url(&'static str, UrlProblem),
    #[error("AGENT_API_TIMEOUT must be a number of seconds from 1 to 600")]
    Timeout,
}

/// The instance that the environment describes. `None`: it names neither agent nor Evolution key
/// beyond the fallback for instances made later.
fn describe(settings: &dyn Settings) -> Result<Option<NewInstance>, SeedProblem> {
    let get = |name: &str| settings.get(name).map(|value| value.trim().to_owned());
    if get("AGENT_API_URL").is_none() {
        return Ok(None);
    }
    let [Some(agent_url), Some(agent_key), Some(evolution_url), Some(evolution_key)] = NEEDED.map(get) else {
        return Err(SeedProblem::Missing(NEEDED.into_iter().filter(|name| get(name).is_none()).collect()));
    };
    let slug = get("WHATSAPP_INSTANCE");
    let name = name_after(slug.as_deref());
    Ok(Some(NewInstance {
        is_active: true,
        is_default: true,
        session_id_prefix: get("SESSION_ID_PREFIX"),
        agent: AgentSettings {
            api_url: service_url(&agent_url).map_err(|problem| SeedProblem::Url("AGENT_API_URL", problem))?,
            api_key: Secret::read(agent_key),
            agent_id: None,
            default_agent: get("DEFAULT_AGENT_NAME"),
            timeout: timeout(get("AGENT_API_TIMEOUT"))?,
            protocol: AgentProtocol::Automagik,
            error_message: None,
            options: AgentOptions::default(),
        },
        failover: FailoverSettings::default(),
        turns: TurnSettings::default(),
        takeover: TakeoverSettings::default(),
        groups: GroupSettings::default(),
        budget: BudgetSettings::default(),
        office: OfficeSettings::default(),
        reply: ReplySettings::default(),
        media: MediaSettings { transcript: transcript(settings)?, ..MediaSettings::default() },
        trace_retention_days: None,
        channel: ChannelSettings::Whatsapp(WhatsappSettings {
            evolution_url: service_url(&evolution_url)
                .map_err(|problem| SeedProblem::Url("EVOLUTION_API_URL", problem))?,
            evolution_key: Secret::read(evolution_key),
            whatsapp_instance: slug.unwrap_or_else(|| name.to_string()),
            webhook_base64: true,
            watch: AccountWatch::default(),
            webhook_secret: None,
            webhook_secret_previous: None,
            webhook_url: None,
        }),
        name,
    }))
}

/// `WHATSAPP_INSTANCE` is Evolution's name and may hold anything: ours is the same if it can be,
/// else `default`.
fn name_after(slug: Option<&str>) -> InstanceName {
    slug.and_then(|slug| InstanceName::parse(slug).ok()).unwrap_or_default()
}

/// Who writes down what is said, as the older system's environment names it.
fn transcript(settings: &dyn Settings) -> Result<TranscriptSettings, SeedProblem> {
    const URL: &str = "EVOLUTION_TRANSCRIPT_API";
    let get = |name: &str| settings.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let api_url = get(URL).map(|url| service_url(&url)).transpose();
    Ok(TranscriptSettings {
        api_url: api_url.map_err(|problem| SeedProblem::Url(URL, problem))?,
        api_key: get("EVOLUTION_TRANSCRIPT_API_KEY").map(Secret::read),
        ..TranscriptSettings::default()
    })
}

fn timeout(given: Option<String>) -> Result<Duration, SeedProblem> {
    let Some(text) = given else { return Ok(AgentSettings::DEFAULT_TIMEOUT) };
    let seconds = text.parse().ok().filter(|seconds| AgentSettings::TIMEOUT_SECONDS.contains(seconds));
    seconds.map(Duration::from_secs).ok_or(SeedProblem::Timeout)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use super::*;
    use crate::{
        instance::testing::{TestTable, connect, everyone, new_instance},
        secret::Keyring,
    };

    fn settings(more: &[(&str, &str)]) -> HashMap<String, String> {
        let base = [
            ("WHATSAPP_INSTANCE", "shop"),
            ("SESSION_ID_PREFIX", "dev-"),
            ("EVOLUTION_API_URL", "http://evolution.test"),
            ("EVOLUTION_API_KEY", "planted-evolution-key"),
            ("AGENT_API_URL", "http://agent.test"),
            ("AGENT_API_KEY", "planted-agent-key"),
            ("DEFAULT_AGENT_NAME", "bot"),
            ("AGENT_API_TIMEOUT", "90"),
            ("EVOLUTION_TRANSCRIPT_API", "http://localhost:9000"),
            ("EVOLUTION_TRANSCRIPT_API_KEY", "planted-transcript-key"),
        ];
        base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn made_once_and_never_overwritten() {
        let table = TestTable::new().await;
        let made = seed_default(&table.instances, &settings(&[])).await.unwrap();
        assert_eq!(made, Seeded::Made(InstanceName::parse("shop").unwrap()));
        let first = table.instances.default().await.unwrap().unwrap();
        assert_eq!(first.agent.timeout, Duration::from_secs(90));
        assert_eq!(first.agent.effective_agent(), "bot");
        let transcript = first.media.transcript;
        let key = transcript.api_key.as_ref().map(Secret::expose);
        assert_eq!(
            (transcript.api_url.as_deref(), key),
            (Some("http://localhost:9000"), Some("planted-transcript-key"))
        );

        let changed = settings(&[("AGENT_API_URL", "http://other.test"), ("WHATSAPP_INSTANCE", "other")]);
        assert_eq!(seed_default(&table.instances, &changed).await.unwrap(), Seeded::NotEmpty);
        let all = table.instances.list(&everyone(), 0, 10).await.unwrap();
        assert_eq!((all.len(), all[0].agent.api_url.as_str()), (1, "http://agent.test"));
    }

    #[tokio::test]
    async fn all_who_start_at_once_make_one() {
        let table = TestTable::new().await;
        let keyring = Arc::new(Keyring::generate());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let instances = Instances::new(connect(&table.folder).await, Arc::clone(&keyring));
            tasks.spawn(async move { seed_default(&instances, &settings(&[])).await.unwrap() });
        }
        let seeded = tasks.join_all().await;
        assert_eq!(seeded.iter().filter(|seeded| matches!(seeded, Seeded::Made(_))).count(), 1, "{seeded:?}");
        assert_eq!(seeded.iter().filter(|seeded| **seeded == Seeded::NotEmpty).count(), 5, "{seeded:?}");
    }

    #[tokio::test]
    async fn an_environment_that_is_no_good_stops_nothing() {
        let table = TestTable::new().await;
        let seed = async |name, value| seed_default(&table.instances, &settings(&[(name, value)])).await.unwrap();
        assert_eq!(seed("AGENT_API_URL", "").await, Seeded::NotDescribed);
        for (name, value) in [
            ("AGENT_API_KEY", ""),
            ("EVOLUTION_API_URL", "evolution:8080"),
            ("AGENT_API_TIMEOUT", "601"),
            ("EVOLUTION_TRANSCRIPT_API", "stt:9000"),
        ] {
            assert_eq!(seed(name, value).await, Seeded::Unusable, "{name}");
            let problem = describe(&settings(&[(name, value)])).unwrap_err().to_string();
            assert!(problem.contains(name), "{problem}");
        }
        table.instances.create(new_instance("a")).await.unwrap();
        assert_eq!(seed("AGENT_API_KEY", "").await, Seeded::NotEmpty);
    }

    #[test]
    fn a_name_that_cannot_be_ours_stays_evolutions() {
        for slug in ["", "my shop", "messages-upsert"] {
            let new = describe(&settings(&[("WHATSAPP_INSTANCE", slug)])).unwrap().unwrap();
            assert_eq!(new.name.as_str(), "default");
            let ChannelSettings::Whatsapp(channel) = new.channel else { panic!("it is on WhatsApp") };
            assert_eq!(channel.whatsapp_instance, if slug.is_empty() { "default" } else { slug });
        }
    }
}
