//! The traces in the database: written in batches by the recorder, read by the admin API.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityName, EntityTrait, IdenStatic, Iterable,
    ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, RuntimeErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sea_query::{Expr, ExprTrait, IntoIden, LockType, OnConflict, Query},
};
use uuid::Uuid;

use crate::{key::Reach, person::note_answered};

use super::{
    Stage, TraceCursor, TraceEvent, TraceFilter, bare_phone,
    batch::Batch,
    entity::{message_trace, trace_payload},
    filter::MAX_LIMIT,
};

/// How many rows one statement writes. A batch is cut into these sizes and no others, so that the
/// driver meets the same few statements again and again and has them prepared; the largest stays
/// far below what SQLite (32,766) and PostgreSQL (65,535) allow in variables.
const STATEMENT_ROWS: [usize; 4] = [64, 16, 4, 1];

/// The traces of one database.
#[derive(Clone, Debug)]
pub struct Traces {
    pub(super) database: DatabaseConnection,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct TracePage {
    /// The newest first.
    pub rows: Vec<message_trace::Model>,
    /// How many there are without limit and offset; not counted behind a cursor.
    pub total: Option<u64>,
    /// Where the next page begins; none when this is the last one.
    pub next: Option<TraceCursor>,
}

/// What became of a batch of events that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Events that are in the database now, or were outdated by a newer one.
    pub kept: usize,
    /// Events of an instance that is no more; nothing of them was written.
    pub dropped: usize,
}

impl Traces {
    /// The traces in this database.
    #[must_use]
    pub fn new(database: DatabaseConnection) -> Self {
        Self { database }
    }

    /// Writes events in one transaction: all of them or none.
    ///
    /// Idempotent, and indifferent to order: what is in the database is never replaced by an event
    /// of a smaller revision. The instances are looked up (and on PostgreSQL held) in the same
    /// transaction, by id and name, so that nothing is written under a name that was given again.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses one of the rows;
    /// [`is_refusal`](super::is_refusal) tells which.
    pub async fn write(&self, events: &[TraceEvent]) -> Result<Written, DbErr> {
        if events.is_empty() {
            return Ok(Written::default());
        }
        let transaction = self.database.begin_with_options(writing()).await?;
        let living = living_instances(&transaction, events).await?;
        let kept: Vec<_> = events
            .iter()
            .filter(|event| living.contains(&(event.record.instance_id, event.record.instance_name.clone())))
            .collect();
        let batch = Batch::of(kept.iter().copied(), Utc::now()).map_err(|error| DbErr::Json(error.to_string()))?;
        upsert(&transaction, &batch.traces, &message_trace::Column::iter().collect::<Vec<_>>(), trace_conflict).await?;
        let columns: Vec<_> =
            trace_payload::Column::iter().filter(|column| !matches!(column, trace_payload::Column::Id)).collect();
        upsert(&transaction, &batch.payloads, &columns, payload_conflict).await?;
        note_answered(&transaction, &batch.traces).await?;
        transaction.commit().await?;
        Ok(Written { kept: kept.len(), dropped: events.len() - kept.len() })
    }

    /// One trace, or `None` when there is none within this reach.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn get(&self, reach: &Reach, trace_id: Uuid) -> Result<Option<message_trace::Model>, DbErr> {
        let query = message_trace::Entity::find_by_id(trace_id).filter(within(reach));
        query.one(&self.database).await
    }

    /// The conversation in which a customer's message came since a moment, by the channel's id of
    /// it, and the chat, which is empty where the author is not the whole of it.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn conversation_of(
        &self,
        instance_id: i64,
        instance_name: &str,
        provider_id: &str,
        since: DateTime<Utc>,
    ) -> Result<Option<(String, String)>, DbErr> {
        use message_trace::Column;
        let columns = [Column::SessionName, Column::SenderId, Column::SenderPhone];
        let found: Option<(Option<String>, Option<String>, Option<String>)> = message_trace::Entity::find()
            .select_only()
            .columns(columns)
            .filter(Column::InstanceName.eq(instance_name))
            .filter(Column::ReceivedAt.gte(since))
            .filter(Column::InstanceId.eq(instance_id))
            .filter(Column::ProviderMessageId.eq(provider_id))
            .order_by_asc(Column::ReceivedAt)
            .limit(1)
            .into_tuple()
            .one(&self.database)
            .await?;
        Ok(found.and_then(|(session, id, phone)| {
            let (session, id) = (session?, id.unwrap_or_default());
            let address = phone.or_else(|| id.split('@').next().map(str::to_owned)).unwrap_or_default();
            let rest = session.strip_suffix(&address).filter(|_| !address.is_empty());
            let is_theirs = rest.is_some_and(|rest| rest.ends_with(&format!("{instance_name}_")));
            Some((session, if is_theirs { id } else { String::new() }))
        }))
    }

    /// Traces, newest first. A page behind a cursor is the same whatever has arrived meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, reach: &Reach, filter: &TraceFilter) -> Result<TracePage, DbErr> {
        let query = message_trace::Entity::find().filter(within(reach)).filter(condition(filter));
        let total = match filter.after {
            None => Some(query.clone().count(&self.database).await?),
            Some(_) => None,
        };
        let limit = Ord::min(filter.limit, MAX_LIMIT);
        // One more than asked for tells whether there is more.
        let mut rows = query
            .filter(Condition::all().add_option(filter.after.map(TraceCursor::behind)))
            .order_by_desc(message_trace::Column::ReceivedAt)
            .order_by_desc(message_trace::Column::TraceId)
            .limit(limit + 1)
            .offset(filter.offset)
            .all(&self.database)
            .await?;
        let more = rows.len() as u64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = rows.last().filter(|_| more).map(TraceCursor::of);
        Ok(TracePage { rows, total, next })
    }

    /// The payloads of a trace, in the order of a message's way; none when the trace is not
    /// within this reach. Unpack them with [`decompress`](super::decompress).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn payloads(&self, reach: &Reach, trace_id: Uuid) -> Result<Vec<trace_payload::Model>, DbErr> {
        let visible = message_trace::Entity::find_by_id(trace_id)
            .filter(within(reach))
            .select_only()
            .column(message_trace::Column::TraceId);
        let mut rows = trace_payload::Entity::find()
            .filter(trace_payload::Column::TraceId.in_subquery(sea_orm::QueryTrait::into_query(visible)))
            .all(&self.database)
            .await?;
        // A quick agent answers within the millisecond: then the stages' own order decides.
        rows.sort_by_key(|row| (row.at, Stage::ALL.iter().position(|stage| stage.as_str() == row.stage)));
        Ok(rows)
    }
}

/// The instances of the events that exist, by id and name. Held with `FOR KEY SHARE` on
/// PostgreSQL, so that none of them is deleted before the rows are in; SQLite has one writer.
pub(super) async fn living_instances<C: ConnectionTrait>(
    connection: &C,
    events: &[TraceEvent],
) -> Result<HashSet<(i64, String)>, DbErr> {
    let ids: HashSet<i64> = events.iter().map(|event| event.record.instance_id).collect();
    let query = Query::select()
        .columns(["id", "name"])
        .from("instance_configs")
        .and_where(Expr::col("id").is_in(ids))
        .lock(LockType::KeyShare)
        .to_owned();
    let rows = connection.query_all(&query).await?;
    rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "name")?))).collect()
}

/// Inserts rows; what becomes of those that are there, `on_conflict` says.
pub(super) async fn upsert<M, C>(
    connection: &impl ConnectionTrait,
    mut rows: &[M],
    columns: &[C],
    on_conflict: fn() -> OnConflict,
) -> Result<(), DbErr>
where
    M: ModelTrait,
    M::Entity: EntityTrait<Column = C> + Default,
    C: ColumnTrait,
{
    for size in STATEMENT_ROWS {
        while rows.len() >= size {
            let (now, later) = rows.split_at(size);
            let mut insert = Query::insert();
            insert.into_table(M::Entity::default().table_ref()).columns(columns.iter().copied());
            for row in now {
                let values = columns.iter().map(|column| Expr::val(row.get(*column)));
                insert.values(values).map_err(|error| DbErr::Exec(RuntimeErr::Internal(error.to_string())))?;
            }
            connection.execute(insert.on_conflict(on_conflict())).await?;
            rows = later;
        }
    }
    Ok(())
}

/// A newer event takes the whole row, except when it was first received and made.
fn trace_conflict() -> OnConflict {
    use message_trace::{Column, Entity};
    let kept = [Column::TraceId, Column::ReceivedAt, Column::CreatedAt];
    let columns = Column::iter().filter(|column| !kept.iter().any(|kept| kept.as_str() == column.as_str()));
    let (old, new) = (Expr::col((Entity, Column::ReceivedAt)), excluded(Column::ReceivedAt));
    let earlier = Expr::case(new.clone().lt(old.clone()), new).finally(old);
    OnConflict::column(Column::TraceId)
        .update_columns(columns)
        .value(Column::ReceivedAt, earlier)
        .action_and_where(Expr::col((Entity, Column::Revision)).lte(excluded(Column::Revision)))
        .to_owned()
}

/// A newer event takes the stage's row.
fn payload_conflict() -> OnConflict {
    use trace_payload::{Column, Entity};
    OnConflict::columns([Column::TraceId, Column::Stage])
        .update_columns([
            Column::At,
            Column::StatusCode,
            Column::Payload,
            Column::PayloadSizeOriginal,
            Column::Revision,
        ])
        .action_and_where(Expr::col((Entity, Column::Revision)).lte(excluded(Column::Revision)))
        .to_owned()
}

/// The value that the insert came with, as both databases call it.
pub(super) fn excluded(column: impl IntoIden) -> Expr {
    Expr::col(("excluded", column))
}

/// Immediate: a SQLite transaction that reads before it writes cannot wait for its turn.
pub(super) fn writing() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// The traces of these tenants.
pub(super) fn within(reach: &Reach) -> Condition {
    match reach.names() {
        Some(names) => Condition::all().add(message_trace::Column::InstanceName.is_in(names)),
        None => Condition::all(),
    }
}

/// What a filter asks for, apart from its page.
pub(super) fn condition(filter: &TraceFilter) -> Condition {
    use message_trace::Column;
    let phone = filter.phone.as_deref().map(bare_phone);
    Condition::all()
        .add_option(filter.instance_name.as_ref().map(|name| Column::InstanceName.eq(name)))
        .add_option(phone.map(|phone| Column::SenderPhone.eq(phone)))
        .add_option(filter.session_name.as_ref().map(|name| Column::SessionName.eq(name)))
        .add_option(filter.session_id.as_ref().map(|id| Column::SessionId.eq(id)))
        .add_option(filter.status.map(|status| Column::Status.eq(status.as_str())))
        .add_option(filter.outcome.map(|outcome| Column::Outcome.eq(outcome.as_str())))
        .add_option(filter.outcome_reason.as_ref().map(|reason| Column::OutcomeReason.eq(reason)))
        .add_option(filter.error_stage.as_ref().map(|stage| Column::ErrorStage.eq(stage)))
        .add_option(filter.message_type.as_ref().map(|kind| Column::MessageType.eq(kind)))
        .add_option(filter.has_media.map(|has| Column::HasMedia.eq(has)))
        .add_option(filter.from.map(|from| Column::ReceivedAt.gte(from)))
        .add_option(filter.to.map(|to| Column::ReceivedAt.lte(to)))
}
