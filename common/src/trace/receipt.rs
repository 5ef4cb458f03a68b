//! Receipts: how far the bubbles of an answer have come, beside the traces.
//!
//! A receipt names a bubble by the channel's id and knows no trace: it may come before the answer
//! to the send does, and then nobody knows yet whose bubble it is. Ingress tells it among the steps
//! of traces, the recorder keeps it, and who reads a trace joins both by `reply_message_ids`. Like a
//! step it may be dropped in a long outage.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
    TransactionTrait,
    sea_query::{DeleteStatement, Expr, ExprTrait, LockType, OnConflict, Query},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Traces, Written,
    batch::moment,
    entity::{
        message_receipt::{Column, Entity, Model},
        message_trace,
    },
    mask::{head, without_nul},
    repository::{excluded, upsert, writing},
};
use crate::channel::DeliveryState;

/// The version that this build writes into each [`ReceiptEvent`]: above that of a
/// [`TraceEvent`](super::TraceEvent), so that an older recorder leaves it to a newer one.
pub const RECEIPT_EVENT_VERSION: u8 = 2;

/// The most bytes of an id: more than any channel's has.
const ID_CAP: usize = 256;
/// So many receipts that are too old go at once.
const BATCH: u64 = 5000;

/// What the channel told of a bubble of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The immutable row id of the instance.
    pub instance_id: i64,
    /// The channel's id of the bubble.
    pub provider_id: String,
    /// How far it is.
    pub state: DeliveryState,
    /// When that was told, in milliseconds since 1970.
    pub at: i64,
}

/// A receipt on its way to the recorder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptEvent {
    /// [`RECEIPT_EVENT_VERSION`] of the writer.
    pub v: u8,
    /// The receipt.
    pub receipt: Receipt,
}

impl From<Receipt> for ReceiptEvent {
    fn from(receipt: Receipt) -> Self {
        Self { v: RECEIPT_EVENT_VERSION, receipt }
    }
}

/// How far a bubble of an answer has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BubbleState {
    /// The channel's id of the bubble.
    pub message_id: String,
    /// The last that the channel told; `sent` while it has told nothing since it took the bubble.
    pub state: DeliveryState,
    /// When it told that.
    pub at: Option<DateTime<Utc>>,
}

impl Traces {
    /// Keeps receipts in one transaction, in whatever order they come: a state never goes back.
    /// Those of an instance that is no more are dropped.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses one of the rows.
    pub async fn note_receipts(&self, receipts: &[Receipt]) -> Result<Written, DbErr> {
        if receipts.is_empty() {
            return Ok(Written::default());
        }
        let transaction = self.database.begin_with_options(writing()).await?;
        let living = living(&transaction, receipts).await?;
        let kept: Vec<_> = receipts.iter().filter(|receipt| living.contains(&receipt.instance_id)).collect();
        let columns = [Column::InstanceId, Column::ProviderId, Column::State, Column::At];
        upsert(&transaction, &rows(&kept), &columns, further).await?;
        transaction.commit().await?;
        Ok(Written { kept: kept.len(), dropped: receipts.len() - kept.len() })
    }

    /// How far the bubbles of a trace have come, in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn bubble_states(&self, trace: &message_trace::Model) -> Result<Vec<BubbleState>, DbErr> {
        let ids = ids_of(&trace.reply_message_ids);
        let told: HashMap<String, Model> = match ids.is_empty() {
            true => HashMap::new(),
            false => Entity::find()
                .filter(Column::InstanceId.eq(trace.instance_id))
                .filter(Column::ProviderId.is_in(&ids))
                .all(&self.database)
                .await?
                .into_iter()
                .map(|row| (row.provider_id.clone(), row))
                .collect(),
        };
        let state = |message_id: String| {
            let row = told.get(&message_id);
            let state = row.and_then(|row| DeliveryState::of_rank(row.state)).unwrap_or(DeliveryState::Sent);
            BubbleState { message_id, state, at: row.map(|row| row.at) }
        };
        Ok(ids.into_iter().map(state).collect())
    }
}

/// The ids of a trace's bubbles; one that the channel gave no id to is left out.
fn ids_of(reply_message_ids: &str) -> Vec<String> {
    let ids: Vec<String> = serde_json::from_str(reply_message_ids).unwrap_or_default();
    ids.into_iter().filter(|id| !id.is_empty()).collect()
}

/// The furthest of each bubble, sorted by key; PostgreSQL refuses a statement that touches a row twice.
fn rows(receipts: &[&Receipt]) -> Vec<Model> {
    let mut furthest: BTreeMap<(i64, String), &Receipt> = BTreeMap::new();
    for receipt in receipts {
        let id = head(&without_nul(&receipt.provider_id), ID_CAP).to_owned();
        let known = furthest.entry((receipt.instance_id, id)).or_insert(receipt);
        if receipt.state > known.state {
            *known = receipt;
        }
    }
    let row = |((instance_id, provider_id), receipt): ((i64, String), &Receipt)| Model {
        instance_id,
        provider_id,
        state: receipt.state.rank(),
        at: moment(receipt.at),
    };
    furthest.into_iter().map(row).collect()
}

/// A state that is further takes the row.
fn further() -> OnConflict {
    OnConflict::columns([Column::InstanceId, Column::ProviderId])
        .update_columns([Column::State, Column::At])
        .action_and_where(Expr::col((Entity, Column::State)).lt(excluded(Column::State)))
        .to_owned()
}

/// Those of the instances that exist, held on PostgreSQL until the rows are in.
async fn living(connection: &impl ConnectionTrait, receipts: &[Receipt]) -> Result<HashSet<i64>, DbErr> {
    let ids: HashSet<i64> = receipts.iter().map(|receipt| receipt.instance_id).collect();
    let query = Query::select()
        .column("id")
        .from("instance_configs")
        .and_where(Expr::col("id").is_in(ids))
        .lock(LockType::KeyShare)
        .to_owned();
    connection.query_all(&query).await?.iter().map(|row| row.try_get("", "id")).collect()
}

/// Removes some of an instance's receipts that are older than this.
pub(super) fn older(instance: &str, than: DateTime<Utc>) -> DeleteStatement {
    let id = Query::select().column("id").from("instance_configs").and_where(Expr::col("name").eq(instance)).to_owned();
    let of_instance = || Expr::col(Column::InstanceId).in_subquery(id.clone());
    let oldest = Query::select()
        .column(Column::ProviderId)
        .from(Entity)
        .and_where(of_instance())
        .and_where(Expr::col(Column::At).lt(than))
        .limit(BATCH)
        .to_owned();
    Query::delete()
        .from_table(Entity)
        .and_where(of_instance())
        .and_where(Expr::col(Column::ProviderId).in_subquery(oldest))
        .to_owned()
}

#[derive(FromQueryResult)]
struct Replies {
    reply_message_ids: String,
}

/// Forgets what was told of the bubbles of some traces of an instance.
///
/// # Errors
/// When the database cannot be written.
pub(crate) async fn forget(
    connection: &impl ConnectionTrait,
    instance_id: i64,
    traces: Condition,
) -> Result<(), DbErr> {
    let replies: Vec<Replies> = message_trace::Entity::find()
        .select_only()
        .column(message_trace::Column::ReplyMessageIds)
        .filter(message_trace::Column::InstanceId.eq(instance_id))
        .filter(message_trace::Column::ReplyMessageIds.ne("[]"))
        .filter(traces)
        .into_model()
        .all(connection)
        .await?;
    let ids: Vec<String> = replies.iter().flat_map(|row| ids_of(&row.reply_message_ids)).collect();
    for some in ids.chunks(500) {
        Entity::delete_many()
            .filter(Column::InstanceId.eq(instance_id))
            .filter(Column::ProviderId.is_in(some))
            .exec(connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        key::{Actor, Reach},
        person,
        trace::{
            TraceStatus,
            fixture::{databases, event},
        },
    };

    fn receipt(instance_id: i64, id: &str, state: DeliveryState, at: i64) -> Receipt {
        Receipt { instance_id, provider_id: id.into(), state, at }
    }

    async fn states(traces: &Traces) -> Vec<(String, DeliveryState, Option<i64>)> {
        let trace = traces.get(&Reach::one("acme"), Uuid::from_u128(1)).await.unwrap().unwrap();
        let states = traces.bubble_states(&trace).await.unwrap();
        let told = |bubble: BubbleState| (bubble.message_id, bubble.state, bubble.at.map(|at| at.timestamp_millis()));
        states.into_iter().map(told).collect()
    }

    #[tokio::test]
    async fn a_state_never_goes_back_and_may_come_before_its_trace() {
        use DeliveryState::{Delivered, Failed, Read, Sent};
        for connection in databases().await.connections {
            let traces = Traces::new(connection);
            let early = [receipt(1, "A", Read, 3), receipt(1, "A", Sent, 4), receipt(2, "A", Failed, 5)];
            assert_eq!(traces.note_receipts(&early).await.unwrap(), Written { kept: 3, dropped: 0 });
            let mut answered = event(1, 1, TraceStatus::Completed);
            answered.record.details.reply_message_ids = ["A", "B", "", "C"].map(str::to_owned).into();
            traces.write(&[answered]).await.unwrap();
            let late = [receipt(1, "A", Delivered, 9), receipt(1, "B", Failed, 6), receipt(99, "B", Read, 6)];
            assert_eq!(traces.note_receipts(&late).await.unwrap(), Written { kept: 2, dropped: 1 });
            let expected = [("A", Read, Some(3)), ("B", Failed, Some(6)), ("C", Sent, None)];
            assert_eq!(states(&traces).await, expected.map(|(id, state, at)| (id.to_owned(), state, at)));

            traces.note_receipts(&[receipt(1, "B", Delivered, 7)]).await.unwrap();
            traces.note_receipts(&[receipt(1, "B", Sent, 8)]).await.unwrap();
            assert_eq!(states(&traces).await[1].1, Delivered, "it had not failed after all");
        }
    }

    #[tokio::test]
    async fn they_go_with_age_and_with_their_traces() {
        for connection in databases().await.connections {
            let traces = Traces::new(connection.clone());
            let mut answered = event(1, 1, TraceStatus::Completed);
            answered.record.details.reply_message_ids = vec!["A".into()];
            answered.record.details.sender_phone = Some("5511".into());
            traces.write(&[answered]).await.unwrap();
            let told = ["A", "B"].map(|id| receipt(1, id, DeliveryState::Read, 1_000));
            let other = receipt(2, "A", DeliveryState::Read, 1_000);
            traces.note_receipts(&[told.as_slice(), &[other]].concat()).await.unwrap();
            person::erase(&connection, &Actor::hub("test"), "acme", person::Whom { phone: "5511", lane: None })
                .await
                .unwrap();
            let left = async || Entity::find().all(&connection).await.unwrap().len();
            assert_eq!(left().await, 2);
            traces.remove_older("acme", moment(1_000), None).await.unwrap();
            assert_eq!(left().await, 2, "not older");
            traces.remove_older("acme", moment(1_001), None).await.unwrap();
            assert_eq!(left().await, 1, "another instance's");
            connection.execute_unprepared("DELETE FROM instance_configs WHERE id = 2").await.unwrap();
            assert_eq!(left().await, 0);
        }
    }

    #[test]
    fn an_older_recorder_leaves_it_to_a_newer_one() {
        let event = ReceiptEvent::from(receipt(1, "A", DeliveryState::Read, 1));
        let told = json!({"v": 2, "receipt": {"instance_id": 1, "provider_id": "A", "state": "read", "at": 1}});
        assert_eq!(serde_json::to_value(event).unwrap(), told);
        const { assert!(RECEIPT_EVENT_VERSION > crate::trace::TRACE_EVENT_VERSION) };
    }
}
