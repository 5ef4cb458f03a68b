//! Traces of the Python hub, written as they ended there.
//!
//! What is absent: nothing here reads the other database; and unlike the recorder an import never
//! changes a trace that is there, and says nothing of who was answered, which the import of people
//! does.

use std::{collections::HashSet, io};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::Utc;
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, Iterable, QueryFilter, QuerySelect, TransactionTrait, sea_query::OnConflict,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Outcome, TraceEvent, TraceStatus, Traces,
    batch::Batch,
    entity::{message_trace, trace_payload},
    payload,
    repository::{living_instances, upsert, writing},
};
use crate::{
    audit::{self, Change},
    key::Actor,
};

/// The most that an older payload may unpack to: it has its files in it, which are taken out here.
const MOST_UNPACKED: u64 = 64 * 1024 * 1024;

/// How a trace ended, by the Python hub's word for it: status, outcome and reason here.
///
/// It left for ever `processing` what it dropped, and what was lost when it stopped.
#[must_use]
pub fn ended_before(status: &str) -> (TraceStatus, Outcome, Option<&'static str>) {
    let ended = |status, (outcome, reason): (Outcome, &'static str)| (status, outcome, Some(reason));
    match status {
        "completed" => (TraceStatus::Completed, Outcome::Answered, None),
        "failed" | "error" => ended(TraceStatus::Error, (Outcome::Dead, "imported_failed")),
        _ => ended(TraceStatus::Completed, (Outcome::Ignored, "imported_unfinished")),
    }
}

/// A payload as the Python hub kept it: JSON, compressed with zlib, in base64.
///
/// # Errors
/// When it is not that, or unpacks to more than any message has.
pub fn older_payload(text: &str) -> io::Result<Value> {
    let bytes = BASE64_STANDARD.decode(text.trim()).map_err(io::Error::other)?;
    payload::decompress_up_to(&bytes, MOST_UNPACKED)
}

impl Traces {
    /// Which of these traces are there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known(&self, ids: &[Uuid]) -> Result<HashSet<Uuid>, DbErr> {
        let query = message_trace::Entity::find().select_only().column(message_trace::Column::TraceId);
        let query = query.filter(message_trace::Column::TraceId.is_in(ids.iter().copied()));
        Ok(query.into_tuple().all(&self.database).await?.into_iter().collect())
    }

    /// Writes traces of one instance with their payloads in one transaction; those that are there
    /// stay as they are. With somebody who wants it and where from, it brings the line of the audit
    /// log, which tells of the whole import. How many traces are there now; none when the instance
    /// is no more.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses one of the rows;
    /// [`is_refusal`](super::is_refusal) tells which.
    pub async fn import(&self, events: &[TraceEvent], wanted: Option<(&Actor, &str)>) -> Result<usize, DbErr> {
        let Some(first) = events.first().map(|event| &event.record) else { return Ok(0) };
        let transaction = self.database.begin_with_options(writing()).await?;
        let instance = (first.instance_id, first.instance_name.clone());
        if !living_instances(&transaction, &events[..1]).await?.contains(&instance) {
            return Ok(0);
        }
        let batch = Batch::of(events, Utc::now()).map_err(|error| DbErr::Json(error.to_string()))?;
        let traces: Vec<_> = message_trace::Column::iter().collect();
        upsert(&transaction, &batch.traces, &traces, untouched_trace).await?;
        let payloads: Vec<_> =
            trace_payload::Column::iter().filter(|column| !matches!(column, trace_payload::Column::Id)).collect();
        upsert(&transaction, &batch.payloads, &payloads, untouched_payload).await?;
        if let Some((by, from)) = wanted {
            let (id, name) = (instance.0, instance.1.as_str());
            let after = Some(json!({"from": from}));
            let change =
                Change { action: "trace.import", target: name, instance: Some((id, name)), before: None, after };
            audit::record(&transaction, by, change).await?;
        }
        transaction.commit().await?;
        Ok(batch.traces.len())
    }
}

fn untouched_trace() -> OnConflict {
    OnConflict::column(message_trace::Column::TraceId).do_nothing().to_owned()
}

fn untouched_payload() -> OnConflict {
    OnConflict::columns([trace_payload::Column::TraceId, trace_payload::Column::Stage]).do_nothing().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{Everyone, Reach},
        trace::{Stage, StagePayload, TraceFilter, decompress, fixture},
    };

    fn with_payload(n: u128) -> TraceEvent {
        let mut event = fixture::event(n, 1, TraceStatus::Completed);
        event.record.details.outcome = Some(Outcome::Answered);
        event.record.details.sender_phone = Some("5511987654321".to_owned());
        let body = json!({"text": "hello"});
        event.payload = Some(StagePayload { stage: Stage::WebhookReceived, at: 7, status_code: None, body });
        event
    }

    #[tokio::test]
    async fn what_is_there_stays_and_nobody_was_answered_by_it() {
        for database in fixture::databases().await.connections {
            let (traces, everyone) = (Traces::new(database.clone()), Reach::Everyone(Everyone::for_admin()));
            let by = Actor::hub("import");
            assert_eq!(traces.import(&[with_payload(1), with_payload(2)], Some((&by, "theirs"))).await.unwrap(), 2);
            let mut changed = with_payload(1);
            changed.revision = 9;
            changed.record.details.sender_name = Some("Ana".to_owned());
            traces.import(&[changed], None).await.unwrap();
            let found = traces.get(&everyone, Uuid::from_u128(1)).await.unwrap().unwrap();
            assert_eq!((found.sender_name, found.revision), (None, 1));
            assert_eq!(traces.list(&everyone, &TraceFilter::default()).await.unwrap().total, Some(2));
            let payloads = traces.payloads(&everyone, Uuid::from_u128(1)).await.unwrap();
            assert_eq!(decompress(&payloads[0].payload).unwrap(), json!({"text": "hello"}));
            let ids = [1, 3].map(Uuid::from_u128);
            assert_eq!(traces.known(&ids).await.unwrap(), HashSet::from([ids[0]]));

            let mut gone = with_payload(4);
            gone.record.instance_id = 77;
            assert_eq!(traces.import(&[gone], None).await.unwrap(), 0);
            let people = crate::person::People::new(database.clone());
            assert_eq!(people.list(&everyone, &crate::person::PersonFilter::default(), 0, 10).await.unwrap().1, 0);
            let log = audit::AuditLog::new(database);
            let lines = log.list(&everyone, &audit::AuditFilter::default(), 10).await.unwrap();
            assert_eq!((lines.len(), lines[0].action.as_str(), lines[0].target.as_str()), (1, "trace.import", "acme"));
        }
    }

    #[test]
    fn an_older_payload_is_read_and_rubbish_is_not() {
        // python: base64.b64encode(zlib.compress(b'{"a": 1}'))
        assert_eq!(older_payload("eJyrVkpUslIwrAUACeUCKQ==").unwrap(), json!({"a": 1}));
        assert!(older_payload("not base64!").is_err() && older_payload("aGVsbG8=").is_err());
    }

    #[test]
    fn everything_older_has_ended() {
        assert_eq!(ended_before("completed").1, Outcome::Answered);
        assert_eq!(ended_before("failed").2, Some("imported_failed"));
        for word in ["received", "processing", "agent_called", ""] {
            assert_eq!(ended_before(word).1, Outcome::Ignored, "{word}");
        }
    }
}
