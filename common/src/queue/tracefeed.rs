//! The trace feed: what is told of all messages, overheard while it is published.
//!
//! It listens beside the streams and takes nothing out of them; what passes while nobody listens
//! is not heard again.

use async_nats::{SubscribeError, Subscriber};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::watch;

use super::{Nats, Subjects};
use crate::trace::{TRACE_EVENT_VERSION, TraceRecord, unpack};

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// A step or an outcome of a message.
    Step(Box<TraceRecord>),
    /// The connection was lost or came back: something may have been missed.
    Gap,
}

/// An event without its payload, which nobody needs to read here.
#[derive(Deserialize)]
struct Head {
    v: u8,
    record: TraceRecord,
}

fn read(payload: &[u8]) -> Option<TraceRecord> {
    let head: Head = serde_json::from_slice(&unpack(payload).ok()?).ok()?;
    (head.v == TRACE_EVENT_VERSION).then_some(head.record)
}

/// Everything that is told of messages from now on.
#[derive(Debug)]
pub struct TraceFeed {
    steps: Subscriber,
    outcomes: Subscriber,
    changes: watch::Receiver<u64>,
}

impl TraceFeed {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn open(nats: &Nats) -> Result<Self, SubscribeError> {
        let client = nats.js.client();
        let mut changes = nats.changes.clone();
        changes.mark_unchanged();
        let steps = client.subscribe(Subjects::every_step()).await?;
        let outcomes = client.subscribe(Subjects::every_trace()).await?;
        Ok(Self { steps, outcomes, changes })
    }

    /// The next thing that is told; none when the client has ended.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            // Steps first: where both are there, an outcome was published after its steps.
            let message = tokio::select! {
                biased;
                Ok(()) = self.changes.changed() => return Some(Heard::Gap),
                message = self.steps.next() => message?,
                message = self.outcomes.next() => message?,
            };
            // What cannot be read the recorder speaks of, once for all.
            if let Some(record) = read(&message.payload) {
                return Some(Heard::Step(Box::new(record)));
            }
        }
    }
}
