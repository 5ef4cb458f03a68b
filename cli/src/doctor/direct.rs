//! What a hub that does not answer would stand on, looked at from here.
//!
//! Nothing is made for it: a database file that is not there is said to be missing.

use std::{path::Path, sync::Arc, time::Duration};

use omnihub_common::{
    config::{DataFolder, DatabaseSettings, NatsSettings, ProcessSettings, Settings},
    database,
    doctor::{Finding, broker, database as tables, told, within, workers},
    queue,
    sealed::SealedValues,
    secret::{CreateMissing, Keyring},
};
use sea_orm::DatabaseConnection;

/// How long a look at one part may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is found.
pub(super) async fn look(settings: ProcessSettings, data: &DataFolder) -> Vec<Finding> {
    let settings: Arc<dyn Settings> = Arc::new(settings);
    let database = within(PATIENCE, "database", of_database(&*settings, data));
    let broker = within(PATIENCE, "broker", of_broker(&*settings));
    let (database, broker) = tokio::join!(database, broker);
    let mut found = [database, broker].concat();
    found.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    found
}

async fn of_database(settings: &dyn Settings, data: &DataFolder) -> Vec<Finding> {
    let check = "database";
    let wanted = match DatabaseSettings::load(settings, data) {
        Ok(wanted) => wanted,
        Err(error) => return vec![Finding::problem(check, format!("{error}."), "Correct the setting.")],
    };
    if wanted.is_sqlite() && !Path::new(&wanted.place()).exists() {
        let says = format!("There is no database file {} yet, seen from this folder.", wanted.place());
        let remedy =
            "Call from the hub's own folder; where there is none yet, `omnihub up` or `omnihub migrate up` makes it.";
        return vec![Finding::hint(check, says, remedy)];
    }
    let remedy = "Start it, or correct DATABASE_URL.";
    match database::connect(&wanted).await {
        Ok(database) => of_tables(&database, settings, data).await,
        Err(error) => vec![Finding::problem(check, format!("{}.", told(&error)), remedy)],
    }
}

async fn of_tables(database: &DatabaseConnection, settings: &dyn Settings, data: &DataFolder) -> Vec<Finding> {
    let mut found = tables::reached(database).await;
    found.push(tables::tables(omnihub_migrations::pending(database).await));
    match Keyring::load(settings, data, CreateMissing::No) {
        Ok(keyring) => {
            let sealed = SealedValues::new(database.clone(), Arc::new(keyring));
            found.push(tables::keys(&sealed, settings).await);
        }
        Err(error) => {
            let remedy = "Give the hub its keys again: without them it does not start, and what they encrypt is lost.";
            found.push(Finding::problem("encryption keys", format!("{}.", told(&error)), remedy));
        }
    }
    found
}

async fn of_broker(settings: &dyn Settings) -> Vec<Finding> {
    let check = "broker";
    if settings.get("NATS_URL").is_none() {
        let says = "NATS_URL is not set here: `omnihub up` runs a NATS server of its own, which ends with it.";
        return vec![Finding::ok(check, says)];
    }
    let (nats, wanted) = match (NatsSettings::load(settings), broker::wanted(settings)) {
        (Ok(nats), Ok(wanted)) => (nats, wanted),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Finding::problem(check, format!("{error}."), "Correct the setting.")];
        }
    };
    let remedy = "Start the NATS server with JetStream, or correct NATS_URL.";
    match tokio::time::timeout(PATIENCE / 2, queue::connect(&nats, "omnihub-doctor")).await {
        Ok(Ok(nats)) => {
            let (mut found, layout) = broker::look(&nats, wanted.as_ref()).await;
            if let Some(layout) = layout {
                found.extend(workers::look(&nats, &layout).await);
            }
            found
        }
        Ok(Err(error)) => vec![Finding::problem(check, format!("{}.", told(&error)), remedy)],
        Err(_) => vec![Finding::problem(check, "NATS does not answer at NATS_URL.", remedy)],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use omnihub_common::{doctor::Verdict, secret::Secret};

    use super::*;

    #[tokio::test]
    async fn a_folder_without_a_hub_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().join("data"));
        let found = of_database(&HashMap::new(), &data).await;
        assert_eq!((found[0].verdict, found[0].check.as_str()), (Verdict::Hint, "database"));
        assert!(!data.0.exists());
        assert_eq!(of_broker(&HashMap::new()).await[0].verdict, Verdict::Ok);
    }

    #[tokio::test]
    async fn tables_that_nobody_made_and_keys_that_nobody_has_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().to_owned());
        let url = Secret::new(format!("sqlite://{}", data.join("omnihub.db").display()));
        let database = database::connect(&DatabaseSettings { url, connections: 1 }).await.unwrap();
        let before = of_tables(&database, &HashMap::new(), &data).await;
        assert!(before.iter().any(|found| found.says.contains("migrations are missing")), "{before:?}");
        crate::migrate::apply(&database).await.unwrap();
        let after = of_database(&HashMap::new(), &data).await;
        assert!(after.contains(&Finding::ok("migrations", "The tables are up to date.")), "{after:?}");
        assert!(after.iter().any(|found| found.check == "encryption keys" && found.verdict == Verdict::Problem));
    }
}
