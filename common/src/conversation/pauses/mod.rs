//! Conversations in which the bot is silent because somebody wants it so.
//!
//! A pause is a decision of an operator, or of somebody who answers from the paired phone, kept in the table `conversations` by the conversation's
//! name. A conversation of which nothing was decided has no row and is active.

mod entity;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;
use utoipa::ToSchema;

use self::entity::{ActiveModel, Column, Entity, Model};
use crate::{
    audit::{self, Change},
    database,
    instance::row_id,
    key::{Actor, Reach},
};

/// Conversations of one statement.
const FORGOTTEN_AT_ONCE: usize = 500;

/// What an operator has decided about a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConversationStanding)]
pub struct Standing {
    /// Its instance.
    pub instance_name: String,
    /// Its name, as its messages' traces have it.
    pub session_name: String,
    /// Since when the bot is silent; none when it is not.
    pub paused_at: Option<DateTime<Utc>>,
    /// Until when; none for until somebody resumes it.
    pub paused_until: Option<DateTime<Utc>>,
    /// Who wanted it.
    pub paused_by: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl Standing {
    /// That of a conversation of which nothing was decided.
    #[must_use]
    pub fn active(instance_name: &str, session_name: &str) -> Self {
        Self {
            instance_name: instance_name.to_owned(),
            session_name: session_name.to_owned(),
            paused_at: None,
            paused_until: None,
            paused_by: None,
            reason: None,
        }
    }

    /// Whether the bot is silent at this moment.
    #[must_use]
    pub fn is_paused(&self, now: DateTime<Utc>) -> bool {
        self.paused_at.is_some() && self.paused_until.is_none_or(|end| end > now)
    }
}

impl From<Model> for Standing {
    fn from(row: Model) -> Self {
        Self {
            instance_name: row.instance_name,
            session_name: row.session_name,
            paused_at: row.paused_at,
            paused_until: row.paused_until,
            paused_by: row.paused_by,
            reason: row.reason,
        }
    }
}

/// Who silences the bot when somebody writes on the paired phone.
const TAKEOVER: &str = "takeover";

/// A pause as messages meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until when; none for until somebody resumes it.
    pub until: Option<DateTime<Utc>>,
    /// Whether a person has taken over by writing on the paired phone.
    pub is_takeover: bool,
}

impl Pause {
    fn of(until: Option<DateTime<Utc>>, by: Option<&str>) -> Self {
        Self { until, is_takeover: by == Some(Actor::hub(TAKEOVER).name.as_str()) }
    }
}

/// The paused conversations of an instance.
pub type Paused = HashMap<String, Pause>;

/// Instance, conversation, end, and who wanted it.
type PausedRow = (String, String, Option<DateTime<Utc>>, Option<String>);

/// The table of what was decided about conversations.
#[derive(Clone, Debug)]
pub struct Pauses(DatabaseConnection);

impl Pauses {
    /// Over a connection.
    #[must_use]
    pub fn new(database: DatabaseConnection) -> Self {
        Self(database)
    }

    /// How a conversation stands.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn get(&self, instance_name: &str, session_name: &str) -> Result<Standing, DbErr> {
        let row = find(&self.0, instance_name, session_name).await?;
        Ok(row.map_or_else(|| Standing::active(instance_name, session_name), Standing::from))
    }

    /// The paused conversations within this reach, the latest first, and how many there are.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn list(
        &self,
        reach: &Reach,
        instance_name: Option<&str>,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<Standing>, u64), DbErr> {
        let found = Entity::find()
            .filter(paused_now())
            .filter(Condition::all().add_option(reach.names().map(|names| Column::InstanceName.is_in(names))))
            .filter(Condition::all().add_option(instance_name.map(|name| Column::InstanceName.eq(name))));
        let total = found.clone().count(&self.0).await?;
        let rows = found.order_by_desc(Column::PausedAt).order_by_desc(Column::Id).offset(skip).limit(limit);
        Ok((rows.all(&self.0).await?.into_iter().map(Standing::from).collect(), total))
    }

    /// Silences the bot in a conversation until a moment, or until it is resumed. Also answers the
    /// row id of the instance, to be announced as changed; `None` when it is not there.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn pause(
        &self,
        by: &Actor,
        instance_name: &str,
        session_name: &str,
        until: Option<DateTime<Utc>>,
        reason: Option<String>,
    ) -> Result<Option<(Standing, i64)>, DbErr> {
        let standing = Standing {
            paused_at: Some(now()),
            paused_until: until,
            paused_by: Some(by.name.clone()),
            reason,
            ..Standing::active(instance_name, session_name)
        };
        self.decide(by, "conversation.pause", standing).await
    }

    /// Somebody has written on the paired phone: silences the bot until a moment. A pause that lasts
    /// as long, but for `slack`, stays as it is, so that not every message of a person is a change.
    /// Answers what [`Pauses::pause`] does where something was changed.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn take_over(
        &self,
        instance_name: &str,
        session_name: &str,
        until: DateTime<Utc>,
        slack: TimeDelta,
    ) -> Result<Option<i64>, DbErr> {
        let now = self.get(instance_name, session_name).await?;
        let lasts = now.paused_at.is_some() && now.paused_until.is_none_or(|end| end >= until - slack);
        if lasts {
            return Ok(None);
        }
        let reason = Some("somebody answered from the phone".to_owned());
        let done = self.pause(&Actor::hub(TAKEOVER), instance_name, session_name, Some(until), reason).await?;
        Ok(done.map(|(_, instance)| instance))
    }

    /// The conversation is left to people, since no agent answers in it: as a takeover, until a moment
    /// or until somebody resumes it. A pause that is there stays as it is. Answers as
    /// [`Pauses::take_over`].
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn hand_off(
        &self,
        instance_name: &str,
        session_name: &str,
        until: Option<DateTime<Utc>>,
    ) -> Result<Option<i64>, DbErr> {
        if self.get(instance_name, session_name).await?.is_paused(now()) {
            return Ok(None);
        }
        let reason = Some("no agent answered, and somebody is to".to_owned());
        let done = self.pause(&Actor::hub(TAKEOVER), instance_name, session_name, until, reason).await?;
        Ok(done.map(|(_, instance)| instance))
    }

    /// The same person lets the bot answer again.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn hand_back(&self, instance_name: &str, session_name: &str) -> Result<Option<i64>, DbErr> {
        let done = self.resume(&Actor::hub(TAKEOVER), instance_name, session_name).await?;
        Ok(done.map(|(_, instance)| instance))
    }

    /// Lets the bot answer again; see [`Pauses::pause`]. One that is active stays so.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn resume(
        &self,
        by: &Actor,
        instance_name: &str,
        session_name: &str,
    ) -> Result<Option<(Standing, i64)>, DbErr> {
        self.decide(by, "conversation.resume", Standing::active(instance_name, session_name)).await
    }

    /// The paused conversations of an instance.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn of(&self, instance_name: &str) -> Result<Paused, DbErr> {
        let columns =
            Entity::find().select_only().columns([Column::SessionName, Column::PausedUntil, Column::PausedBy]);
        let rows: Vec<(String, Option<DateTime<Utc>>, Option<String>)> = columns
            .filter(Column::InstanceName.eq(instance_name))
            .filter(paused_now())
            .into_tuple()
            .all(&self.0)
            .await?;
        Ok(rows.into_iter().map(|(name, until, by)| (name, Pause::of(until, by.as_deref()))).collect())
    }

    /// All paused conversations, by instance.
    pub(crate) async fn all(&self) -> Result<HashMap<String, Paused>, DbErr> {
        let columns = [Column::InstanceName, Column::SessionName, Column::PausedUntil, Column::PausedBy];
        let rows = Entity::find().select_only().columns(columns).filter(paused_now());
        let rows: Vec<PausedRow> = rows.into_tuple().all(&self.0).await?;
        let mut all: HashMap<String, Paused> = HashMap::new();
        for (instance_name, session_name, until, by) in rows {
            all.entry(instance_name).or_default().insert(session_name, Pause::of(until, by.as_deref()));
        }
        Ok(all)
    }

    async fn decide(
        &self,
        by: &Actor,
        action: &'static str,
        standing: Standing,
    ) -> Result<Option<(Standing, i64)>, DbErr> {
        let transaction = database::begin_write(&self.0).await?;
        let Some(instance) = row_id(&transaction, &standing.instance_name).await? else { return Ok(None) };
        let present = find(&transaction, &standing.instance_name, &standing.session_name).await?;
        let before = present.clone().map(Standing::from);
        if standing.paused_at.is_none() && before.as_ref().is_none_or(|before| before.paused_at.is_none()) {
            return Ok(Some((standing, instance)));
        }
        write(&transaction, present, &standing).await?;
        let json = |standing: &Standing| serde_json::to_value(standing).ok();
        let change = Change {
            action,
            target: &standing.session_name,
            instance: Some((instance, &standing.instance_name)),
            before: before.as_ref().and_then(json),
            after: json(&standing),
        };
        audit::record(&transaction, by, change).await?;
        transaction.commit().await?;
        Ok(Some((standing, instance)))
    }
}

async fn find(
    database: &impl ConnectionTrait,
    instance_name: &str,
    session_name: &str,
) -> Result<Option<Model>, DbErr> {
    let named = Entity::find().filter(Column::InstanceName.eq(instance_name));
    named.filter(Column::SessionName.eq(session_name)).one(database).await
}

/// The conversations of an instance about which anything was decided and whose names end so.
pub(crate) async fn names_ending_with(
    database: &impl ConnectionTrait,
    instance_name: &str,
    end: &str,
) -> Result<Vec<String>, DbErr> {
    let names = Entity::find().select_only().column(Column::SessionName);
    let names = names.filter(Column::InstanceName.eq(instance_name)).filter(Column::SessionName.ends_with(end));
    names.into_tuple().all(database).await
}

/// Forgets what was decided about conversations, since the person they were with is erased.
pub(crate) async fn forget(
    transaction: &impl ConnectionTrait,
    instance_name: &str,
    sessions: &[String],
) -> Result<(), DbErr> {
    for some in sessions.chunks(FORGOTTEN_AT_ONCE) {
        Entity::delete_many()
            .filter(Column::InstanceName.eq(instance_name))
            .filter(Column::SessionName.is_in(some))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

async fn write(transaction: &impl ConnectionTrait, present: Option<Model>, standing: &Standing) -> Result<(), DbErr> {
    let now = now();
    let is_new = present.is_none();
    let mut row = match present {
        Some(row) => row.into_active_model(),
        None => ActiveModel {
            id: NotSet,
            instance_name: Set(standing.instance_name.clone()),
            session_name: Set(standing.session_name.clone()),
            created_at: Set(now),
            ..Default::default()
        },
    };
    row.paused_at = Set(standing.paused_at);
    row.paused_until = Set(standing.paused_until);
    row.paused_by = Set(standing.paused_by.clone());
    row.reason = Set(standing.reason.clone());
    row.updated_at = Set(now);
    match is_new {
        true => row.insert(transaction).await.map(drop),
        false => row.update(transaction).await.map(drop),
    }
}

fn paused_now() -> Condition {
    let open = Condition::any().add(Column::PausedUntil.is_null()).add(Column::PausedUntil.gt(now()));
    Condition::all().add(Column::PausedAt.is_not_null()).add(open)
}

/// PostgreSQL keeps microseconds.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
