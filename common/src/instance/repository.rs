//! The table of instances. Every secret that goes in is encrypted for its row and field.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, EntityTrait, IntoActiveModel, ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    SqlErr, SqliteTransactionMode, TransactionOptions, TransactionTrait, sea_query::Expr,
};

use super::{
    AgentSettings, BudgetSettings, ChannelSettings, FailoverSettings, GroupSettings, Instance, InstanceName,
    InstanceView, Lookup, MediaSettings, OfficeSettings, Patch, ReplySettings, TakeoverSettings, TurnSettings,
    channel_settings::{self, RowSeal},
    entity::{ActiveModel, Column, Entity, Model},
};
use crate::{
    audit::{self, Change},
    key::{Actor, Reach},
    secret::{Keyring, SecretSource},
};

mod agent;
mod error;
mod manners;
mod media;
mod names;
mod page;
mod resolve;
mod rows;

pub use error::StoreError;
pub use names::InstanceSummary;

use error::RowError;

/// The table, as the encryption of its secrets names it. A new name would make them unreadable.
pub(super) const TABLE: &str = "instance_configs";

/// One writer at a time on PostgreSQL too: the default moves over several rows, and two who move it
/// at once would meet in the index that allows one. Readers, and traces that refer to a row, do
/// not wait for it.
const ONE_WRITER: &str = "LOCK TABLE instance_configs IN SHARE ROW EXCLUSIVE MODE";

/// An instance to make.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of `Instance`, described there")]
pub struct NewInstance {
    pub name: InstanceName,
    pub is_active: bool,
    pub is_default: bool,
    pub session_id_prefix: Option<String>,
    pub agent: AgentSettings,
    pub failover: FailoverSettings,
    pub turns: TurnSettings,
    pub takeover: TakeoverSettings,
    pub groups: GroupSettings,
    pub budget: BudgetSettings,
    pub office: OfficeSettings,
    pub reply: ReplySettings,
    pub media: MediaSettings,
    pub trace_retention_days: Option<u32>,
    pub channel: ChannelSettings,
}

/// What is left of a deleted instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its row id, which everything outside SQL that belonged to it carries.
    pub id: i64,
    /// Its name, as the row had it.
    pub name: String,
}

/// The table of instances.
#[derive(Clone, Debug)]
pub struct Instances {
    database: DatabaseConnection,
    keyring: Arc<Keyring>,
    secrets: SecretSource,
    by: Actor,
}

impl Instances {
    /// Over a connection, with the ring that its secrets are encrypted with.
    #[must_use]
    pub fn new(database: DatabaseConnection, keyring: Arc<Keyring>) -> Self {
        Self { database, keyring, secrets: SecretSource::none(), by: Actor::hub("instances") }
    }

    /// The same, with where to ask for secrets that are kept somewhere else.
    #[must_use]
    pub fn with_secrets(self, secrets: SecretSource) -> Self {
        Self { secrets, ..self }
    }

    /// Where secrets are asked for that are kept somewhere else.
    #[must_use]
    pub fn secrets(&self) -> &SecretSource {
        &self.secrets
    }

    /// The same table, changed in somebody's name: the audit log says whose.
    #[must_use]
    pub fn by(&self, actor: &Actor) -> Self {
        Self { by: actor.clone(), ..self.clone() }
    }

    /// Makes an instance; one that is made the default takes that from the one before.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], or a failure of the database.
    pub async fn create(&self, new: NewInstance) -> Result<Instance, StoreError> {
        let transaction = self.begin().await?;
        if Entity::find().filter(Column::Name.eq(new.name.as_str())).count(&transaction).await? > 0 {
            return Err(StoreError::NameTaken);
        }
        let made = self.insert(&transaction, new).await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// Makes the default instance if the table is empty. `None`: it was not, or another process
    /// was quicker.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn create_first(&self, new: NewInstance) -> Result<Option<Instance>, StoreError> {
        if !self.is_empty().await? {
            // Every process comes by at each of its starts: only a first one needs the lock.
            return Ok(None);
        }
        let transaction = self.begin().await?;
        if Entity::find().count(&transaction).await? > 0 {
            return Ok(None);
        }
        let made = match self.insert(&transaction, NewInstance { is_default: true, ..new }).await {
            Err(StoreError::Database(error)) if is_duplicate(&error) => return Ok(None),
            made => made?,
        };
        match transaction.commit().await {
            Err(error) if is_duplicate(&error) => Ok(None),
            done => Ok(done.map(|()| Some(made))?),
        }
    }

    /// Whether there is no instance at all.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(Entity::find().count(&self.database).await? == 0)
    }

    /// The instance of this name.
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<Instance>, StoreError> {
        self.first(&Lookup::Name(name.to_owned())).await
    }

    /// The instance with this row id.
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn get_by_id(&self, id: i64) -> Result<Option<Instance>, StoreError> {
        self.first(&Lookup::Id(id)).await
    }

    /// The default instance.
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn default(&self) -> Result<Option<Instance>, StoreError> {
        self.first(&Lookup::Default).await
    }

    /// A page of the instances within a reach, oldest first.
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn list(&self, reach: &Reach, skip: u64, limit: u64) -> Result<Vec<Instance>, StoreError> {
        let within = reach.names().map(|names| Column::Name.is_in(names));
        let page = Entity::find().filter(within.unwrap_or_else(|| Expr::value(true))).order_by_asc(Column::Id);
        let page = page.offset(skip).limit(limit);
        page.all(&self.database).await?.into_iter().map(|row| self.read(row)).collect()
    }

    /// When each instance last changed, by row id: the cheap look for changes made by hand.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn versions(&self) -> Result<HashMap<i64, DateTime<Utc>>, StoreError> {
        let columns = Entity::find().select_only().columns([Column::Id, Column::UpdatedAt]);
        Ok(columns.into_tuple().all(&self.database).await?.into_iter().collect())
    }

    /// Changes an instance; `None` when there is none of this name.
    ///
    /// # Errors
    /// [`StoreError::Changed`], a failure of the database, or a row that cannot be read.
    pub async fn update(&self, name: &str, patch: Patch) -> Result<Option<Instance>, StoreError> {
        let transaction = self.begin().await?;
        let Some(row) = Entity::find().filter(Column::Name.eq(name)).one(&transaction).await? else {
            return Ok(None);
        };
        let mut instance = self.read(row)?;
        if patch.based_on.is_some_and(|seen| seen != instance.updated_at) {
            return Err(StoreError::Changed);
        }
        let before = InstanceView::new(&instance);
        patch.apply(&mut instance);
        instance.updated_at = now();
        if instance.is_default {
            clear_default(&transaction, instance.id).await?;
        }
        self.write(&instance)?.into_active_model().reset_all().update(&transaction).await?;
        self.note(&transaction, "instance.update", &instance, Some(before)).await?;
        transaction.commit().await?;
        Ok(Some(instance))
    }

    /// Makes an instance the default, and no other one; `None` when there is none of this name.
    ///
    /// # Errors
    /// A failure of the database, or a row that cannot be read.
    pub async fn set_default(&self, name: &str) -> Result<Option<Instance>, StoreError> {
        self.update(name, Patch { is_default: Some(true), ..Patch::default() }).await
    }

    /// Deletes an instance with its users and traces; `None` when there is none of this name.
    /// Its secrets need not be readable: this is also the way out of a lost key.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn delete(&self, name: &str) -> Result<Option<Deleted>, StoreError> {
        let transaction = self.begin().await?;
        let Some(row) = Entity::find().filter(Column::Name.eq(name)).one(&transaction).await? else {
            return Ok(None);
        };
        let deleted = Deleted { id: row.id, name: row.name.clone() };
        let before = self.read(row.clone()).ok().and_then(|instance| json(&InstanceView::new(&instance)));
        let instance = Some((deleted.id, deleted.name.as_str()));
        let change = Change { action: "instance.delete", target: &deleted.name, instance, before, after: None };
        audit::record(&transaction, &self.by, change).await?;
        row.delete(&transaction).await?;
        transaction.commit().await?;
        Ok(Some(deleted))
    }

    /// A line of the audit log.
    async fn note(
        &self,
        transaction: &DatabaseTransaction,
        action: &'static str,
        instance: &Instance,
        before: Option<InstanceView>,
    ) -> Result<(), DbErr> {
        let name = instance.name.as_str();
        let (before, after) = (before.as_ref().and_then(json), json(&InstanceView::new(instance)));
        let change = Change { action, target: name, instance: Some((instance.id, name)), before, after };
        audit::record(transaction, &self.by, change).await
    }

    async fn first(&self, lookup: &Lookup) -> Result<Option<Instance>, StoreError> {
        let row = Entity::find().filter(lookup.condition()).one(&self.database).await?;
        row.map(|row| self.read(row)).transpose()
    }

    /// A write transaction, the only one on this table. On SQLite it takes the write lock at
    /// once: one that reads first and writes later is refused when another writer came between.
    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.database.begin_with_options(options).await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            transaction.execute_unprepared(ONE_WRITER).await?;
        }
        Ok(transaction)
    }

    /// The secrets are encrypted for the row's id, which is known only after the insert: so the
    /// row goes in without them, and gets them in the same transaction.
    async fn insert(&self, transaction: &DatabaseTransaction, new: NewInstance) -> Result<Instance, StoreError> {
        let now = now();
        let mut instance = Instance {
            id: 0,
            name: new.name,
            is_active: new.is_active,
            is_default: new.is_default,
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
            created_at: now,
            updated_at: now,
        };
        if instance.is_default {
            clear_default(transaction, instance.id).await?;
        }
        let draft = self.write(&instance)?;
        let draft = ActiveModel {
            id: sea_orm::ActiveValue::NotSet,
            agent_api_key: Set(String::new()),
            agent_webhook_secret: Set(None),
            agent_webhook_secret_previous: Set(None),
            transcript_api_key: Set(None),
            fallback_agents: Set(None),
            channel_settings: Set(serde_json::json!({})),
            ..ActiveModelTrait::reset_all(draft.into_active_model())
        };
        instance.id = draft.insert(transaction).await?.id;
        let row = self.write(&instance)?;
        let secrets = ActiveModel {
            id: sea_orm::ActiveValue::Unchanged(row.id),
            agent_api_key: Set(row.agent_api_key),
            agent_webhook_secret: Set(row.agent_webhook_secret),
            agent_webhook_secret_previous: Set(row.agent_webhook_secret_previous),
            transcript_api_key: Set(row.transcript_api_key),
            fallback_agents: Set(row.fallback_agents),
            channel_settings: Set(row.channel_settings),
            ..Default::default()
        };
        secrets.update(transaction).await?;
        self.note(transaction, "instance.create", &instance, None).await?;
        Ok(instance)
    }

    fn read(&self, row: Model) -> Result<Instance, StoreError> {
        let name = row.name.clone();
        read_row(row, &self.keyring).map_err(|source| StoreError::Unreadable { name, source })
    }

    fn write(&self, instance: &Instance) -> Result<Model, StoreError> {
        write_row(instance, &self.keyring)
            .map_err(|source| StoreError::Unreadable { name: instance.name.to_string(), source })
    }
}

/// The time, as both databases can keep it: PostgreSQL has microseconds.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

fn is_duplicate(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Takes the default from every other instance.
async fn clear_default(transaction: &impl ConnectionTrait, but: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::IsDefault, Expr::value(false))
        .col_expr(Column::UpdatedAt, Expr::value(now()))
        .filter(Column::IsDefault.eq(true))
        .filter(Column::Id.ne(but))
        .exec(transaction)
        .await
        .map(|_| ())
}

fn read_row(row: Model, keyring: &Keyring) -> Result<Instance, RowError> {
    let seal = RowSeal { keyring, id: row.id };
    let slug = row.whatsapp_instance.as_deref().unwrap_or(&row.name);
    let (turns, takeover) = (rows::turns(&row)?, rows::takeover(&row)?);
    let (groups, agent, failover) = (rows::groups(&row)?, agent::read(&row, &seal)?, agent::failover(&row, &seal)?);
    let (budget, office, reply) = (manners::budget(&row)?, manners::office(&row)?, manners::reply(&row)?);
    let media = media::read(&row, &seal)?;
    let channel = channel_settings::read(&row.channel_type, slug, row.channel_settings, &seal)?;
    Ok(Instance {
        id: row.id,
        channel,
        name: InstanceName::parse(&row.name).map_err(|_| RowError::Column("name"))?,
        is_active: row.is_active,
        is_default: row.is_default,
        session_id_prefix: row.session_id_prefix,
        agent,
        failover,
        turns,
        takeover,
        groups,
        budget,
        office,
        reply,
        media,
        trace_retention_days: rows::days(row.trace_retention_days)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

#[expect(clippy::too_many_lines, reason = "a line for each column")]
fn write_row(instance: &Instance, keyring: &Keyring) -> Result<Model, RowError> {
    let seal = RowSeal { keyring, id: instance.id };
    let (agent, transcript) = (&instance.agent, &instance.media.transcript);
    Ok(Model {
        id: instance.id,
        name: instance.name.to_string(),
        channel_type: instance.channel_type().as_str().to_owned(),
        is_active: instance.is_active,
        is_default: instance.is_default,
        session_id_prefix: instance.session_id_prefix.clone(),
        whatsapp_instance: whatsapp_instance(&instance.channel),
        agent_api_url: agent.api_url.clone(),
        agent_api_key: seal.encrypt("agent_api_key", &agent.api_key)?,
        agent_id: agent.agent_id.clone(),
        default_agent: agent.default_agent.clone(),
        agent_timeout: rows::integer(agent.timeout.as_secs(), "agent_timeout")?,
        agent_instance_type: agent.protocol.as_str().to_owned(),
        agent_error_message: agent.error_message.clone(),
        agent_type: agent.options.kind.as_str().to_owned(),
        agent_stream_mode: agent.options.stream,
        agent_system_prompt: agent.options.system_prompt.clone(),
        agent_history_turns: i32::try_from(agent.options.history_turns).unwrap_or(i32::MAX),
        agent_webhook_secret: seal.encrypt_some("agent_webhook_secret", agent.options.webhook_secret.as_ref())?,
        agent_webhook_secret_previous: seal
            .encrypt_some("agent_webhook_secret_previous", agent.options.webhook_secret_previous.as_ref())?,
        fallback_agents: agent::fallbacks(&instance.failover, &seal)?,
        on_agent_failure: instance.failover.on_failure.as_str().to_owned(),
        late_answer_minutes: i32::try_from(agent.options.late_answer_minutes).unwrap_or(i32::MAX),
        enable_auto_split: instance.reply.enable_auto_split,
        split_over: rows::integer(instance.reply.split_over, "split_over")?,
        debounce_ms: rows::integer(instance.turns.debounce_ms, "debounce_ms")?,
        debounce_max_ms: rows::integer(instance.turns.debounce_max_ms, "debounce_max_ms")?,
        overlap: instance.turns.overlap.as_str().to_owned(),
        max_backlog: instance.turns.max_backlog.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)),
        turns_per_minute: i32::try_from(instance.turns.turns_per_minute).unwrap_or(i32::MAX),
        on_edit: instance.turns.on_edit.as_str().to_owned(),
        takeover_minutes: i32::try_from(instance.takeover.minutes).unwrap_or(i32::MAX),
        resume_keyword: instance.takeover.resume_keyword.clone(),
        trace_retention_days: instance.trace_retention_days.map(|days| i32::try_from(days).unwrap_or(i32::MAX)),
        group_trigger: instance.groups.trigger.as_str().to_owned(),
        group_keywords: serde_json::json!(instance.groups.keywords).to_string(),
        group_session: instance.groups.session.as_str().to_owned(),
        budget_turns_per_minute: manners::limit(instance.budget.turns_per_minute),
        budget_turns_per_day: manners::limit(instance.budget.turns_per_day),
        budget_tokens_per_day: manners::limit(instance.budget.tokens_per_day),
        opening_hours: instance.office.hours.as_ref().map(|hours| hours.to_json().to_string()),
        out_of_office_message: instance.office.message.clone(),
        quote_replies: instance.reply.quote.as_str().to_owned(),
        mention_in_groups: instance.reply.mention.as_str().to_owned(),
        mark_read: instance.reply.mark_read,
        typing_speed: rows::integer(instance.reply.typing_speed, "typing_speed")?,
        sends_per_minute: rows::integer(instance.reply.sends_per_minute, "sends_per_minute")?,
        stream_replies: instance.reply.stream,
        transcript_api_url: transcript.api_url.clone(),
        transcript_api_key: seal.encrypt_some("transcript_api_key", transcript.api_key.as_ref())?,
        transcript_model: transcript.model.clone(),
        transcript_language: transcript.language.clone(),
        media_delivery: instance.media.delivery.as_str().to_owned(),
        channel_settings: channel_settings::write(&instance.channel, &seal)?,
        created_at: instance.created_at,
        updated_at: instance.updated_at,
    })
}

fn whatsapp_instance(channel: &ChannelSettings) -> Option<String> {
    match channel {
        ChannelSettings::Whatsapp(settings) => Some(settings.whatsapp_instance.clone()),
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => None,
    }
}

/// What the audit log keeps of an instance; a view of our own always is JSON.
fn json(view: &InstanceView) -> Option<serde_json::Value> {
    serde_json::to_value(view).ok()
}

#[cfg(test)]
mod tests;
