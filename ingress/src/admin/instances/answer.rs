//! An instance as the API shows it.

use omnihub_common::instance::{ChannelSettings, Instance, InstanceView};
use serde::Serialize;

/// The answer.
#[derive(Serialize)]
pub(super) struct InstanceAnswer {
    #[serde(flatten)]
    instance: InstanceView,
    /// Things worth a look that stopped nothing.
    warnings: Vec<String>,
}

impl InstanceAnswer {
    /// Shows an instance, with remarks of the request before those of its own.
    pub(super) fn new(instance: &Instance, mut warnings: Vec<String>) -> Self {
        if let ChannelSettings::Discord(_) = &instance.channel {
            warnings.push("discord: the settings are kept, and the bot is not connected yet".to_owned());
        }
        Self { instance: InstanceView::new(instance), warnings }
    }
}
