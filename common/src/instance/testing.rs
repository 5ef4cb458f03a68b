//! What the tests of this room share.

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use omnihub_migrations::Migrator;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait;

use super::{
    AccountWatch, AgentOptions, AgentProtocol, AgentSettings, BudgetSettings, ChannelSettings, FailoverSettings,
    GroupSettings, Instance, InstanceName, Instances, NewInstance, OfficeSettings, ReplySettings, TakeoverSettings,
    TurnSettings, WhatsappSettings,
};
use crate::{
    key::{Everyone, Reach},
    secret::{Keyring, Secret},
};

/// A WhatsApp instance that no table has.
pub(crate) fn instance(name: &str) -> Instance {
    let new = new_instance(name);
    Instance {
        id: 1,
        name: new.name,
        is_active: true,
        is_default: false,
        session_id_prefix: new.session_id_prefix,
        agent: new.agent,
        failover: new.failover,
        turns: new.turns,
        takeover: new.takeover,
        groups: new.groups,
        budget: new.budget,
        office: new.office,
        reply: new.reply,
        media: new.media,
        trace_retention_days: new.trace_retention_days,
        channel: new.channel,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

/// A WhatsApp instance to make; Evolution knows it as `wa-<name>`.
pub(crate) fn new_instance(name: &str) -> NewInstance {
    NewInstance {
        name: InstanceName::parse(name).unwrap(),
        is_active: true,
        is_default: false,
        session_id_prefix: Some("dev-".to_owned()),
        agent: AgentSettings {
            api_url: "http://agent.test".to_owned(),
            api_key: Secret::new("planted-agent-key"),
            agent_id: Some("bot".to_owned()),
            default_agent: None,
            timeout: Duration::from_secs(30),
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
        media: Default::default(),
        trace_retention_days: None,
        channel: ChannelSettings::Whatsapp(WhatsappSettings {
            evolution_url: "http://evolution.test".to_owned(),
            evolution_key: Secret::new("planted-evolution-key"),
            whatsapp_instance: format!("wa-{name}"),
            webhook_base64: true,
            webhook_secret: None,
            webhook_secret_previous: None,
            webhook_url: None,
            watch: AccountWatch::default(),
        }),
    }
}

/// An empty table in a file of its own.
pub(crate) struct TestTable {
    pub(crate) instances: Instances,
    pub(crate) database: DatabaseConnection,
    pub(crate) folder: tempfile::TempDir,
}

impl TestTable {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = connect(&folder).await;
        Migrator::up(&database, None).await.unwrap();
        let instances = Instances::new(database.clone(), Arc::new(Keyring::generate()));
        Self { instances, database, folder }
    }
}

/// A connection of its own to the same file, as another process would have.
pub(crate) async fn connect(folder: &tempfile::TempDir) -> DatabaseConnection {
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("t.db").display());
    Database::connect(ConnectOptions::new(url).sqlx_logging(false).to_owned()).await.unwrap()
}

/// Everybody's rows.
pub(crate) fn everyone() -> Reach {
    Reach::Everyone(Everyone::for_admin())
}
