//! The accounts of WhatsApp instances on their Evolution servers.
//!
//! The cast: [`EvolutionDesk`] makes, adopts, registers and silences accounts; [`Door`] knows where
//! Evolution is to post; [`watch`] looks again and again whether it still does. [`Connections`] hears how accounts are
//! connected, [`CatchUp`] fetches what was missed, and `silence` finds accounts of which nothing comes.
//!
//! What is absent: HTTP of our own, and the table of instances but for `watch`, which may have to
//! tell it a new address.

mod account;
mod connections;
mod door;
mod missed;
mod silence;
mod trouble;
pub mod watch;

use std::sync::Arc;

use omnihub_common::{
    channel::whatsapp::admin::{Account, AdminError, EvolutionAdmin, Servers, Wanted},
    instance::{EvolutionFallback, InstanceName, WhatsappSettings},
    queue::PayloadBudget,
    secret::Secret,
};

pub use self::{
    account::{Look, Progress, Registered},
    connections::Connections,
    door::{Door, WebhookUrl},
    missed::{CatchUp, CatchUpError},
    trouble::Trouble,
};

/// Bytes of lists that are held at once.
const LISTS: usize = 256 * 1024 * 1024;

/// Looks after accounts.
#[derive(Clone, Debug)]
pub struct EvolutionDesk {
    servers: Servers,
    door: Door,
    fallback: Arc<EvolutionFallback>,
    lists: PayloadBudget,
}

impl EvolutionDesk {
    /// Whether it is known how others reach the hub.
    #[must_use]
    pub fn has_public_url(&self) -> bool {
        self.door.public.is_some()
    }

    /// With the server of the settings, whose key may make accounts there.
    ///
    /// # Errors
    /// When calls out cannot be set up.
    pub fn new(door: Door, fallback: Arc<EvolutionFallback>) -> anyhow::Result<Self> {
        Ok(Self { servers: Servers::new()?, door, fallback, lists: PayloadBudget::new(LISTS) })
    }

    /// The account of an instance, with the key that the instance has.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn account(&self, settings: &WhatsappSettings) -> Result<EvolutionAdmin, AdminError> {
        self.account_with(settings, Self::key(settings))
    }

    /// The key that an instance has: the one place that takes it.
    fn key(settings: &WhatsappSettings) -> &Secret {
        &settings.evolution_key
    }

    fn account_with(&self, settings: &WhatsappSettings, key: &Secret) -> Result<EvolutionAdmin, AdminError> {
        self.servers.account(&settings.evolution_url, key, &settings.whatsapp_instance)
    }

    /// The memory that what servers list may take, in all requests together: a page far down a list
    /// holds what comes before it, and a server may be hostile.
    #[must_use]
    pub fn lists(&self) -> &PayloadBudget {
        &self.lists
    }

    /// The key of the settings, for accounts on the server of the settings.
    fn shared_key(&self, settings: &WhatsappSettings) -> Option<Secret> {
        let shared = self.fallback.url.as_deref().is_some_and(|url| same_server(url, &settings.evolution_url));
        self.fallback.key.clone().filter(|_| shared)
    }

    /// Where Evolution is to post for an instance.
    pub async fn webhook_url(&self, name: &InstanceName, evolution_url: &str) -> WebhookUrl {
        self.door.webhook_url(name, evolution_url).await
    }

    /// All accounts that a server shows to a key.
    ///
    /// # Errors
    /// Why the server did not tell.
    pub async fn accounts_at(&self, url: &str, key: &Secret) -> Result<Vec<Account>, AdminError> {
        self.servers.account(url, key, "")?.accounts(Wanted::All).await
    }
}

/// Whether two base URLs mean the same server, as far as can be seen without asking it.
#[must_use]
pub fn same_server(one: &str, other: &str) -> bool {
    let plain = |url: &str| url.trim().trim_end_matches('/').to_ascii_lowercase();
    plain(one) == plain(other)
}
