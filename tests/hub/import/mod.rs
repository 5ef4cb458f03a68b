//! `omnihub import`: databases of the three schemas, taken over into a hub on both databases.
//!
//! The source is on the same kind of database as the hub: SQLite's times and truth values are texts
//! and numbers, PostgreSQL's are not.

mod again;
mod hostile;
mod taken;

use std::{collections::HashMap, process::Output};

use omnihub_fakes::Behaviour;
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::harness::{Database, ENCRYPTION_KEYS, Site, Store, omnihub};

const ROADMAP: &str = include_str!("sources/roadmap.sql");
const GUIDE: &str = include_str!("sources/guide.sql");
const OMNI: &str = include_str!("sources/omni-0.5.2.sql");

/// A running hub, and a database of a Python hub beside it.
struct Stage {
    site: Site,
    source: Store,
    env: HashMap<String, String>,
}

impl Stage {
    async fn new(database: Database, sql: &str) -> Self {
        // Nobody finds out by themselves: what is served was announced.
        let site = Site::parts_with(database, Behaviour::Echo, &[("OMNIHUB_INSTANCE_POLL", "3600")]).await;
        site.evolution.add_instance("main-at-evolution", "planted-evolution-main");
        let source = Store::new(database).await;
        let sql = sql.replace("{EVOLUTION}", site.evolution.url()).replace("{AGENT}", site.agent.url());
        run(&source, database, &sql.replace("planted-agent-main", site.agent.key())).await;
        let env = [
            ("DATABASE_URL", site.database_url()),
            ("NATS_URL", site.nats.as_ref().expect("a broker").url()),
            ("OMNIHUB_ENCRYPTION_KEYS", ENCRYPTION_KEYS.to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Self { site, source, env }
    }

    /// `omnihub import` with these options.
    async fn run(&self, options: &[&str]) -> Output {
        let url = self.source.url();
        let done = omnihub(&[&["import", url.as_str()], options].concat(), &self.env).await;
        for text in [&done.stdout, &done.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!text.contains("planted-") && !text.contains(self.site.agent.key()), "a secret is shown: {text}");
        }
        done
    }

    /// The report for people, the source's place left out.
    async fn page(&self, options: &[&str]) -> String {
        let done = self.run(options).await;
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.stdout.is_empty(), "{told}");
        format!("{}{told}", String::from_utf8_lossy(&done.stdout))
    }

    /// The report for programs.
    async fn report(&self, options: &[&str]) -> Value {
        let done = self.run(&[options, &["--json"]].concat()).await;
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{told}"))
    }

    /// Everything that an import could write.
    async fn everything(&self) -> String {
        let mut all = String::new();
        for path in ["instances", "users", "access/rules", "traces?limit=1000", "audit"] {
            all.push_str(&self.site.get(&format!("/api/v1/{path}")).await.to_string());
        }
        all
    }
}

/// The line of the report of an instance.
fn of<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["instances"].as_array().unwrap_or_else(|| panic!("{report}"));
    all.iter().find(|instance| instance["source_name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

/// Runs statements on a database, in its own words for types.
async fn run(store: &Store, database: Database, sql: &str) {
    let (url, sql) = match database {
        Database::Sqlite => (format!("{}?mode=rwc", store.url()), sql.to_owned()),
        Database::Postgres => (store.url(), sql.replace("DATETIME", "TIMESTAMP").replace("STRING", "VARCHAR")),
    };
    let connection = sea_orm::Database::connect(url).await.expect("a database for the source");
    connection.execute_unprepared(&sql).await.expect("the source's statements");
    connection.close().await.expect("an end");
}
