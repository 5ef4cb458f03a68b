//! What was said in a conversation before, for agents that remember nothing themselves.
//!
//! It is read from the traces: what they do not hold (any more, or yet: they are written a moment
//! after an answer is sent) is not told.

use std::{collections::HashMap, sync::Arc};

use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    Outcome, Traces,
    entity::message_trace::{Column, Entity},
    mask::head,
};
use crate::instance::{Directory, Instance, Unavailable};

/// A turn of several messages has a row for each: so many rows are read for one turn, on the whole.
const ROWS_PER_TURN: u64 = 4;
/// The past is told up to so many bytes, the newest first.
const LARGEST_PAST: usize = 32 * 1024;

/// A turn that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTurn {
    /// What the person wrote; several messages one below the other.
    pub asked: String,
    /// What the agent answered.
    pub answered: String,
}

/// The past of conversations.
#[derive(Debug)]
pub struct History {
    traces: Traces,
    directory: Arc<Directory>,
}

/// A row: its trace, the trace that holds its answer if that is another, what was asked and answered.
type Row = (Uuid, Option<Uuid>, Option<String>, Option<String>);

impl History {
    /// Over the traces; the directory knows whether the database can be asked.
    #[must_use]
    pub fn new(traces: Traces, directory: Arc<Directory>) -> Self {
        Self { traces, directory }
    }

    /// The newest turns of a conversation that were answered, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked now.
    pub async fn newest(
        &self,
        instance: &Instance,
        session_name: &str,
        turns: u32,
    ) -> Result<Vec<PastTurn>, Unavailable> {
        if turns == 0 {
            return Ok(Vec::new());
        }
        let rows = self.directory.ask(self.traces.answered(instance, session_name, turns)).await?;
        Ok(past(rows, usize::try_from(turns).unwrap_or(usize::MAX), LARGEST_PAST))
    }
}

impl Traces {
    /// The newest answered messages of a conversation, newest first.
    async fn answered(&self, instance: &Instance, session_name: &str, turns: u32) -> Result<Vec<Row>, DbErr> {
        let columns = [Column::TraceId, Column::AnsweredIn, Column::MessageContent, Column::AgentResponse];
        let rows = Entity::find().select_only().columns(columns);
        let rows = rows
            .filter(Column::SessionName.eq(session_name))
            .filter(Column::InstanceName.eq(instance.name.as_str()))
            .filter(Column::InstanceId.eq(instance.id))
            .filter(Column::Outcome.eq(Outcome::Answered.as_str()));
        let rows = rows.order_by_desc(Column::ReceivedAt).order_by_desc(Column::TraceId);
        rows.limit(u64::from(turns) * ROWS_PER_TURN).into_tuple().all(&self.database).await
    }
}

/// The turns of rows that are given newest first; the turns are oldest first, as many as fit.
fn past(rows: Vec<Row>, turns: usize, bytes: usize) -> Vec<PastTurn> {
    let mut asked: HashMap<Uuid, Vec<String>> = HashMap::new();
    let mut answers = Vec::new();
    for (trace, answered_in, question, answer) in rows {
        asked.entry(answered_in.unwrap_or(trace)).or_default().extend(question.filter(|text| !text.is_empty()));
        answers.extend(answer.filter(|text| !text.is_empty()).map(|text| (trace, text)));
    }
    let (mut past, mut left) = (Vec::new(), bytes);
    for (trace, answered) in answers.into_iter().take(turns) {
        let mut lines = asked.remove(&trace).unwrap_or_default();
        lines.reverse();
        let (asked, answered) = (lines.join("\n"), head(&answered, bytes).to_owned());
        let Some(rest) = left.checked_sub(asked.len() + answered.len()) else { break };
        left = rest;
        if !asked.is_empty() {
            past.push(PastTurn { asked, answered });
        }
    }
    past.reverse();
    past
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instance::testing::instance,
        trace::{
            TraceStatus,
            fixture::{databases, event},
        },
    };

    fn row(n: u128, answered_in: Option<u128>, asked: &str, answered: Option<&str>) -> Row {
        (Uuid::from_u128(n), answered_in.map(Uuid::from_u128), Some(asked.into()), answered.map(Into::into))
    }

    fn turn(asked: &str, answered: &str) -> PastTurn {
        PastTurn { asked: asked.into(), answered: answered.into() }
    }

    #[test]
    fn messages_of_one_turn_are_one_question_and_the_oldest_turn_comes_first() {
        let rows = || {
            vec![
                row(4, None, "and?", Some("Four.")),
                row(3, None, "there?", Some("Hello!")),
                row(2, Some(3), "hello", None),
                row(1, None, "one", Some("One.")),
            ]
        };
        let all = [turn("one", "One."), turn("hello\nthere?", "Hello!"), turn("and?", "Four.")];
        assert_eq!(past(rows(), 20, 1000), all);
        assert_eq!(past(rows(), 2, 1000), all[1..]);
        assert_eq!(past(rows(), 20, 9), all[2..], "the next one would be too long");
        assert_eq!(past(rows(), 20, 0), []);
    }

    #[tokio::test]
    async fn only_what_was_answered_in_this_conversation_of_this_instance_is_read() {
        for database in databases().await.connections {
            let traces = Traces::new(database);
            let said = |n: u128, session: &str, outcome: Outcome, answer: Option<&str>| {
                let mut event = event(n, 1, TraceStatus::Completed);
                event.record.received_at += i64::try_from(n).unwrap();
                let details = &mut event.record.details;
                details.session_name = Some(session.into());
                details.message_content = Some(format!("q{n}"));
                (details.outcome, details.agent_response) = (Some(outcome), answer.map(Into::into));
                event
            };
            let mut other = said(5, "acme_1", Outcome::Answered, Some("another tenant's"));
            (other.record.instance_id, other.record.instance_name) = (2, "globex".into());
            let events = [
                said(1, "acme_1", Outcome::Answered, Some("a1")),
                said(2, "acme_2", Outcome::Answered, Some("another's")),
                said(3, "acme_1", Outcome::Dead, Some("an apology")),
                said(4, "acme_1", Outcome::Answered, Some("a4")),
                other,
            ];
            traces.write(&events).await.unwrap();
            let rows = traces.answered(&instance("acme"), "acme_1", 20).await.unwrap();
            assert_eq!(past(rows, 20, 1000), [turn("q1", "a1"), turn("q4", "a4")]);
            assert_eq!(traces.answered(&instance("acme"), "acme_1", 1).await.unwrap().len(), 2);
        }
    }
}
