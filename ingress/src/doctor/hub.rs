//! The hub as a whole: its database, its broker, its workers, and its own door.

use omnihub_common::{
    doctor::{Finding, Verdict, broker, database, within, workers},
    health::Need,
    instance::address_warning,
    sealed::SealedValues,
};
use sea_orm::DatabaseConnection;

use super::{DoctorDesk, PATIENCE};

impl DoctorDesk {
    /// What is found, in the order of a message's way.
    pub(crate) async fn look(&self, database: &DatabaseConnection, sealed: &SealedValues) -> Vec<Finding> {
        let database = within(PATIENCE, "database", async {
            let mut found = database::reached(database).await;
            if found.iter().any(|finding| finding.verdict == Verdict::Problem && finding.check == "database") {
                // Each further question would wait as long again.
                return found;
            }
            found.push(database::tables(omnihub_migrations::pending(database).await));
            found.push(database::keys(sealed, &*self.settings).await);
            found
        });
        let broker = within(PATIENCE, "broker", async {
            let (mut found, layout) = broker::look(&self.nats, self.wanted.as_ref()).await;
            if let Some(layout) = layout {
                found.extend(workers::look(&self.nats, &layout).await);
            }
            found
        });
        let ingress = within(PATIENCE, "ingress", self.door());
        let (ingress, database, broker) = tokio::join!(ingress, database, broker);
        [ingress, database, broker].concat()
    }

    /// What this ingress says of itself, and where Evolution is told to find it.
    async fn door(&self) -> Vec<Finding> {
        let parts = self.health.look().await;
        let down: Vec<&str> = parts
            .iter()
            .filter(|(_, need, found)| *need == Need::Needed && found.is_err())
            .map(|part| part.0)
            .collect();
        let ready = if down.is_empty() {
            Finding::ok("ingress", "The ingress is ready.")
        } else {
            let says = format!("The ingress is not ready, for want of: {}.", down.join(", "));
            Finding::problem("ingress", says, "See what is said of those; `/health` on its port has more.")
        };
        vec![ready, self.address().await]
    }

    async fn address(&self) -> Finding {
        let check = "public address";
        let Some(url) = &self.public_url else {
            let says = "OMNIHUB_PUBLIC_URL is not set: webhooks are registered at an address of this machine.";
            return Finding::hint(check, says, "Set it to the hub's address as Evolution reaches it.");
        };
        if let Some(warning) = address_warning(url) {
            let remedy = "Set it to an address that the Evolution servers reach.";
            return Finding::hint(check, format!("OMNIHUB_PUBLIC_URL {warning}."), remedy);
        }
        let remedy = "Look whether the address, its proxy and its certificate lead to an ingress. Some networks let nobody \
                      reach their own public address from inside: then try it from where Evolution runs.";
        match self.probe.get(url, &["livez"], "the public address").await {
            Ok(seen) if seen.status == 200 => Finding::ok(check, "OMNIHUB_PUBLIC_URL leads back to a hub."),
            Ok(seen) => {
                let says = format!("OMNIHUB_PUBLIC_URL leads to something that answers {} to /livez.", seen.status);
                Finding::hint(check, says, remedy)
            }
            Err(silence) => {
                Finding::hint(check, format!("OMNIHUB_PUBLIC_URL leads nowhere from here: {silence}."), remedy)
            }
        }
    }
}
