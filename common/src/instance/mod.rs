//! Instances: the tenants, each with its own channel account, agent and keys.
//!
//! [`Instances`] is the table, with every secret encrypted; the admin API writes through it.
//! [`Directory`] is what ingress and workers ask on every message: cached, and still answering
//! while the database is down; it hears of changes from the [`Announcer`] of whoever made them.
//! [`seed_default`] makes the first instance out of the environment.

mod agent;
mod budget;
mod budgets;
mod channel_settings;
mod directory;
mod entity;
mod failover;
mod follow;
mod groups;
mod lookup;
mod media;
mod mentioning;
mod model;
mod office;
mod patch;
mod quoting;
mod reachability;
mod repository;
mod roster;
mod row_id;
pub(crate) mod sealed;
mod seed;
mod takeover;
mod trust;
mod turns;
mod url;
mod view;

#[cfg(test)]
pub(crate) mod testing;

pub use agent::{AgentKind, AgentOptions, AgentOptionsPatch, AgentProtocol, AgentSettings, signing_key};
pub use budget::{BudgetPatch, BudgetSettings, Spent};
pub use budgets::Budgets;
pub use directory::{Change, Directory, DirectorySettings, Unavailable};
pub use failover::{FailoverPatch, FailoverSettings, FallbackAgent, FallbackView, OnAgentFailure};
pub use follow::{Announcer, Following};
pub use groups::{GroupPatch, GroupSession, GroupSettings, GroupTrigger};
pub use lookup::Lookup;
pub use media::{MediaDelivery, MediaPatch, MediaSettings, TranscriptSettings};
pub use mentioning::MentionInGroups;
pub use model::{
    AccountWatch, ChannelSettings, DiscordSettings, Instance, InstanceName, NameError, RESERVED_NAMES, ReplySettings,
    SlackSettings, WhatsappSettings,
};
pub use office::{Flaw, OfficePatch, OfficeSettings, OpeningHours, WEEKDAYS};
pub use patch::{AgentPatch, DiscordPatch, Patch, ReplyPatch, SlackPatch, WhatsappPatch};
pub use quoting::QuoteReplies;
pub use reachability::address_warning;
pub use repository::{Deleted, InstanceSummary, Instances, NewInstance, StoreError};
pub use row_id::WHOLE_HUB;
pub(crate) use row_id::{row_id, row_ids, summary};
pub use seed::{EvolutionFallback, Seeded, seed_default};
pub use takeover::{TakeoverPatch, TakeoverSettings};
pub use turns::{OnEdit, Overlap, TurnPatch, TurnSettings};
pub use url::{UrlProblem, public_url, service_url};
pub use view::InstanceView;
