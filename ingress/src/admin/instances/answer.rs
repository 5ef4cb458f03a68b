//! An instance as the API shows it.

use omnihub_common::instance::{ChannelSettings, Instance, InstanceView, address_warning};
use serde::Serialize;
use utoipa::ToSchema;

use super::connected::EvolutionStatus;

/// An instance as it is, and what is odd about it.
#[derive(Serialize, ToSchema)]
#[schema(as = Instance)]
pub(super) struct InstanceAnswer {
    #[serde(flatten)]
    instance: InstanceView,
    /// What Evolution tells right now, where it was asked for.
    evolution_status: Option<EvolutionStatus>,
    /// Things worth a look that stopped nothing.
    warnings: Vec<String>,
}

impl InstanceAnswer {
    /// Shows an instance, with remarks of the request before those of its own.
    pub(super) fn new(instance: &Instance, mut warnings: Vec<String>) -> Self {
        let mut address = |field: &str, url: &str| {
            warnings.extend(address_warning(url).map(|warning| format!("{field} {warning}")));
        };
        address("agent_api_url", &instance.agent.api_url);
        instance.media.transcript.api_url.iter().for_each(|url| address("transcript_api_url", url));
        for (nth, fallback) in instance.failover.agents.iter().enumerate() {
            address(&format!("fallback_agents[{nth}].agent_api_url"), &fallback.agent.api_url);
        }
        match &instance.channel {
            ChannelSettings::Whatsapp(settings) => {
                address("evolution_url", &settings.evolution_url);
                if let Some(url) = &settings.webhook_url {
                    address("webhook_url", url);
                }
            }
            ChannelSettings::Discord(_) => {
                warnings.push("discord: the settings are kept, and the bot is not connected yet".to_owned());
            }
            ChannelSettings::Slack(_) => {
                warnings.push("slack: the settings are kept, and the app is not connected yet".to_owned());
            }
        }
        Self { instance: InstanceView::new(instance), evolution_status: None, warnings }
    }

    /// The same with what Evolution tells.
    pub(super) fn with_status(self, status: EvolutionStatus) -> Self {
        Self { evolution_status: Some(status), ..self }
    }
}
