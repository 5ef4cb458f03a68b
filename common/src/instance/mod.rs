//! Instances: the tenants, each with its own channel account, agent and keys.

mod model;

pub use model::{
    AgentProtocol, AgentSettings, ChannelSettings, DiscordSettings, Instance, InstanceName, NameError, RESERVED_NAMES, ReplySettings,
    WhatsappSettings,
};
