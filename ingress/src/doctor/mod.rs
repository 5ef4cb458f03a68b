//! What an ingress finds when it is asked how the hub is: of the hub as a whole, and of an instance.
//!
//! The cast: [`DoctorDesk`] looks at what the hub stands on; `instance` at one tenant, whose account
//! `evolution` asks about, and whose agent `agent`.
//!
//! Why here and not in the program that is called: the database holds the keys encrypted, references to
//! secrets lead somewhere only from the hub's machine, and an address is reachable or not from there. A
//! worker on another machine may still see another network; of its calls the traces tell.

mod agent;
mod evolution;
mod hub;
mod instance;

use std::{sync::Arc, time::Duration};

use omnihub_common::{
    config::Settings,
    doctor::{Finding, Probe, broker},
    health::Health,
    queue::{Layout, Nats},
};

pub(crate) use instance::examine;

/// How long a look at one part may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to look at one instance; more than its slowest question.
const PATIENCE_WITH_INSTANCE: Duration = Duration::from_secs(12);

/// What the hub stands on, to be looked at.
#[derive(Clone)]
pub struct DoctorDesk {
    settings: Arc<dyn Settings>,
    nats: Nats,
    wanted: Option<Layout>,
    health: Health,
    public_url: Option<String>,
    probe: Probe,
}

impl DoctorDesk {
    /// Of this process.
    ///
    /// # Errors
    /// When a setting cannot be used, or calls out cannot be set up.
    pub fn new(
        settings: Arc<dyn Settings>,
        nats: Nats,
        health: Health,
        public_url: Option<String>,
    ) -> anyhow::Result<Self> {
        let wanted = broker::wanted(&*settings)?;
        Ok(Self { settings, nats, wanted, health, public_url, probe: Probe::new()? })
    }

    /// Who asks what answers HTTP.
    pub(crate) fn probe(&self) -> &Probe {
        &self.probe
    }
}

impl std::fmt::Debug for DoctorDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DoctorDesk")
    }
}

/// All that was found, the worst first, and else in the order in which it was looked at.
pub(crate) fn sorted(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    found
}
