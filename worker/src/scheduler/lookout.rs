//! The lookout: it tells those who ask what the conversations of this worker are doing.
//!
//! Each owned partition has a subject of its own to be asked on; it is listened to for as long as
//! the partition is ours, so that where nobody owns one, nobody answers. A question becomes an
//! [`Event::Look`] and is answered from memory; it touches neither the streams nor a turn.

use std::{collections::HashMap, sync::Arc};

use chrono::DateTime;
use futures_util::StreamExt;
use omnihub_common::{
    conversation::whereabouts::{Look, Seen, Sight, Sought, Standing, WHEREABOUTS_VERSION},
    queue::{LaneAddress, Nats, SharedPartition, Subjects},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{Event, lanes::Lanes};
use crate::turn::{Message, Progress, TurnEnd};

/// Answers questions, and keeps how far the turns are.
#[derive(Debug)]
pub(crate) struct Lookout {
    nats: Nats,
    worker: Arc<str>,
    /// The epoch under which a partition is listened to.
    watched: HashMap<u16, u64>,
    /// Of turns that run, and of lanes that wait for another attempt.
    progress: HashMap<Arc<LaneAddress>, Arc<Progress>>,
}

impl Lookout {
    pub(crate) fn new(nats: Nats, worker: &str) -> Self {
        Self { nats, worker: worker.into(), watched: HashMap::new(), progress: HashMap::new() }
    }

    /// Listens to the questions about a partition for as long as it is ours; a new consumer of the
    /// same ownership changes nothing.
    pub(super) fn watch(&mut self, partition: &SharedPartition, events: &mpsc::UnboundedSender<Event>) {
        if self.watched.insert(partition.number(), partition.epoch()) == Some(partition.epoch()) {
            return;
        }
        let (nats, worker, partition, events) =
            (self.nats.clone(), self.worker.clone(), partition.clone(), events.clone());
        tokio::spawn(async move {
            let gone = partition.gone().clone();
            tokio::select! {
                () = gone.cancelled() => {}
                () = answer(&nats, &worker, &partition, &events) => {}
            }
        });
    }

    /// The partition is no longer ours.
    pub(super) fn lost(&mut self, partition: u16) {
        self.watched.remove(&partition);
        self.progress.retain(|lane, _| lane.partition != partition);
    }

    /// A turn begins; it tells its progress here.
    pub(super) fn began(&mut self, lane: &Arc<LaneAddress>) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        self.progress.insert(lane.clone(), progress.clone());
        progress
    }

    /// A turn has ended; of one that is tried again it stays known why.
    pub(super) fn ended(&mut self, lane: &Arc<LaneAddress>, end: &TurnEnd) {
        if !matches!(end, TurnEnd::Again(..)) {
            self.progress.remove(lane);
        }
    }

    /// What a conversation is doing; none when it has nothing to do.
    pub(super) fn sight(&self, lanes: &Lanes<Message>, lane: &LaneAddress, asked: Option<Uuid>) -> Option<Sight> {
        let place = lanes.look(lane, |message| asked.is_some() && message.trace_id == asked)?;
        let gathering = place.gathers_until.and_then(DateTime::from_timestamp_millis);
        let standing = match (self.progress.get(lane).filter(|_| place.is_begun), gathering) {
            (Some(progress), _) => progress.standing(),
            (None, Some(until)) => Standing::Gathering { until },
            (None, None) => Standing::Queued { before: Some(0) },
        };
        let asked = place.asked.map(|position| match position {
            position if position < place.handled => standing.clone(),
            position => Standing::Queued { before: Some(position as u64) },
        });
        let trace_id = place.front.and_then(|message| message.trace_id);
        Some(Sight { trace_id, standing, waiting: place.waiting as u64, asked })
    }
}

/// Answers questions until nobody can ask any more.
async fn answer(nats: &Nats, worker: &str, partition: &SharedPartition, events: &mpsc::UnboundedSender<Event>) {
    let client = nats.js.client();
    let mut questions = match client.subscribe(Subjects::look(partition.number())).await {
        Ok(questions) => questions,
        Err(error) => {
            tracing::warn!(error.message = %error, "nobody can ask where the messages of a partition are");
            return;
        }
    };
    while let Some(question) = questions.next().await {
        let Some(reply) = question.reply else { continue };
        // A worker that was frozen must not speak of what another one owns by now.
        let Ok(look) = serde_json::from_slice::<Look>(&question.payload) else { continue };
        if !partition.may_act() {
            continue;
        }
        let lane = |sought: Sought| {
            let lane = LaneAddress {
                partition: partition.number(),
                instance: sought.instance,
                conversation: sought.conversation,
            };
            (lane, sought.trace_id)
        };
        let (answered, sights) = oneshot::channel();
        let _ = events.send(Event::Look(look.lanes.into_iter().map(lane).collect(), answered));
        let Ok(lanes) = sights.await else { return };
        let seen = Seen { v: WHEREABOUTS_VERSION, worker: worker.to_owned(), lanes };
        if let Ok(payload) = serde_json::to_vec(&seen)
            && let Err(error) = client.publish(reply, payload.into()).await
        {
            tracing::debug!(error.message = %error, "a question where a message is was not answered");
        }
    }
}
