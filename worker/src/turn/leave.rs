//! The one place where a turn ends, whatever happened.

use omnihub_common::{
    queue::{Checkpoint, now_ms},
    trace::{Outcome, TraceEvent},
};
use uuid::Uuid;

use super::{
    Exit, Turn, TurnEnd, Wait,
    part::{Part, lead},
};

impl Turn {
    /// Ends it: the outcomes told and confirmed, the checkpoint written; or its messages stay.
    ///
    /// Thousands of turns may be here at once, so what is rare is boxed: see [`Turn::walk`].
    pub(super) async fn leave(&mut self, mut parts: Vec<Part>, exit: Exit) -> TurnEnd {
        let (outcome, reason) = match exit {
            Exit::Fenced => return TurnEnd::Fenced,
            Exit::Withdrawn => return TurnEnd::Withdrawn(self.take_checkpoint()),
            Exit::Stopped => return Box::pin(self.cut()).await,
            Exit::Later(at_most, reason) => return self.again(Wait::of(at_most, reason)).await,
            Exit::Retry(at_most, reason) => {
                return match self.write().await {
                    Err(Exit::Fenced) => TurnEnd::Fenced,
                    // What the broker refuses to keep stands in memory, and is asked for again.
                    _ => self.again(Wait::of(at_most, reason)).await,
                };
            }
            Exit::Parked(parked, reason) => {
                return self.again(Wait { circuit: Some(parked.changed), ..Wait::of(parked.at_most, reason) }).await;
            }
            Exit::Vanish => return Box::pin(self.vanish()).await,
            Exit::End(outcome, reason) => (outcome, reason),
        };
        self.progress.finishing();
        let dies = |part: &Part| part.end.as_ref().map_or(outcome, |end| end.0) == Outcome::Dead;
        // The instance went while the message failed.
        if parts.iter().any(dies) && Box::pin(self.is_orphaned()).await {
            return Box::pin(self.vanish()).await;
        }
        let ended = self.end_parts(&mut parts, (outcome, reason)).await;
        if !ended {
            return TurnEnd::Fenced;
        }
        self.remember_ours();
        self.checkpoint.close(&self.ids, now_ms());
        match self.write().await {
            Ok(()) => {
                self.kit.receipts.forget(&self.turn_id());
                TurnEnd::Done(self.take_checkpoint())
            }
            Err(_) => TurnEnd::Fenced,
        }
    }

    pub(super) fn take_checkpoint(&mut self) -> Checkpoint {
        std::mem::replace(&mut self.checkpoint, Checkpoint::new())
    }

    async fn again(&mut self, wait: Wait) -> TurnEnd {
        if let Err(Exit::Fenced) = self.put_aside().await {
            return TurnEnd::Fenced;
        }
        self.progress.waits(wait.at_most, wait.reason, self.attempts() + 1);
        TurnEnd::Again(self.take_checkpoint(), Wait { instance: self.known, ..wait })
    }

    /// Buries what died and tells every outcome, that of the leading message last; `false` when
    /// the partition was lost meanwhile.
    async fn end_parts(&self, parts: &mut [Part], shared: (Outcome, String)) -> bool {
        let leading = lead(parts).map(|lead| lead.item.id);
        let answered_in = lead(parts).and_then(|lead| Some(lead.envelope.as_ref()?.trace_id));
        let order = parts.iter_mut().filter(|part| Some(part.item.id) != leading);
        for part in order {
            let end = part.end.clone();
            let points_to = answered_in.filter(|_| end.is_none());
            if !self.end_part(part, end.as_ref().unwrap_or(&shared), points_to).await {
                return false;
            }
        }
        match parts.iter_mut().find(|part| Some(part.item.id) == leading) {
            Some(lead) => self.end_part(lead, &shared, None).await,
            None => true,
        }
    }

    /// Ends one message; `answered_in` is the trace that carries its reply, when that is another.
    async fn end_part(&self, part: &mut Part, end: &(Outcome, String), answered_in: Option<Uuid>) -> bool {
        let (outcome, reason) = (end.0, end.1.as_str());
        if outcome == Outcome::Dead && !Box::pin(self.bury(part, reason)).await {
            return false;
        }
        let Some(mut story) = part.story.take() else { return true };
        self.kit.metrics.ended(story.instance(), outcome.as_str());
        story.details().answered_in = answered_in;
        // Of an instance that could not be read nobody knows what is to be hidden.
        let carries = answered_in.is_none() && part.end.is_none() && self.known.is_some();
        let payload = if carries { self.sent_payload() } else { None };
        let event = story.end(outcome, Some(reason).filter(|reason| !reason.is_empty()), payload);
        if !self.tell(&event).await {
            return false;
        }
        Box::pin(self.tell_sender(part, &event)).await;
        Box::pin(self.unbury(&story, outcome)).await;
        true
    }

    /// The instance is gone, and whatever was kept of it goes too.
    async fn vanish(&self) -> TurnEnd {
        tracing::warn!(instance.token = %self.lane.instance, "a message of an instance that the database does not have is dropped");
        self.kit.metrics.ended(&self.lane.instance, "dropped");
        self.kit.receipts.forget(&self.turn_id());
        match self.partition.forget(&self.lane).await {
            Ok(()) => TurnEnd::Done(Checkpoint::new()),
            Err(_) => TurnEnd::Fenced,
        }
    }

    /// Publishes the outcome until it is confirmed; `false` when the partition was lost meanwhile.
    async fn tell(&self, outcome: &TraceEvent) -> bool {
        if self.kit.traces.outcome(outcome).await.is_ok() {
            return true;
        }
        // This may take as long as the broker's or the recorder's trouble: that every bubble is
        // out must not stand in memory alone meanwhile.
        if self.checkpoint.open.is_some() && self.write().await.is_err() {
            return false;
        }
        self.kit.traces.outcome_until(outcome, || self.partition.may_act()).await
    }
}
