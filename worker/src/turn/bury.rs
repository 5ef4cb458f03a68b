//! Dead letters: what cannot be answered is kept with its reason, and never acknowledged before.

use std::time::Duration;

use omnihub_common::{
    queue::{DeadLetter, DeadLetters, Delivery, LaneAddress, SharedPartition, dead::LetterId, now_ms, until_confirmed},
    trace::Outcome,
};

use super::{BEGUN_TOO_OFTEN, Kit, Turn, part::Part, story::Story};

/// Copying a message's objects is tried so often while the store answers at all.
const COPY_ATTEMPTS: u32 = 3;
/// And that long between two attempts.
const COPY_PAUSE: Duration = Duration::from_secs(1);

impl Turn {
    /// Keeps the dead letter of a message; `false` when the partition was lost meanwhile.
    pub(super) async fn bury(&self, part: &Part, reason: &str) -> bool {
        // As it was queued: a large body stays in an object store.
        let payload = part.payload.as_deref().unwrap_or_default();
        let mut letter = match reason {
            BEGUN_TOO_OFTEN => DeadLetter::unread(reason, payload, now_ms()),
            _ => DeadLetter::of(reason, payload, now_ms()),
        };
        letter.attempts = self.attempts() + 1;
        letter.error_message = part.story.as_ref().map(Story::error_message).unwrap_or_default();
        letter.phone = letter.phone.or_else(|| part.story.as_ref().and_then(Story::phone));
        let id = match &letter.envelope {
            Some(envelope) => LetterId::of_trace(envelope.trace_id),
            None => unreadable(&part.item.delivery, payload),
        };
        if !keep(&self.kit, &self.partition, &self.lane, &id, letter).await {
            return false;
        }
        tracing::warn!(instance.token = %self.lane.instance, dead.reason = reason, "a message went to the dead letters");
        true
    }

    /// A message has ended otherwise than dead: a letter of it that is still there goes, so that
    /// nobody redrives it once more. One that was neither redriven nor delivered before has none.
    pub(super) async fn unbury(&self, story: &Story, outcome: Outcome) {
        if outcome == Outcome::Dead || (story.redrives() == 0 && !self.was_delivered_before()) {
            return;
        }
        if let Err(error) = self.kit.dead.settle(&self.lane, story.trace_id(), story.redrives()).await {
            tracing::debug!(error.message = %error, "an answered message's dead letter could not be looked for");
        }
    }
}

/// A message without an identity: no lane holds it, so it is buried and acknowledged here.
pub(crate) async fn bury_unreadable(
    kit: &Kit,
    partition: &SharedPartition,
    delivery: &Delivery,
    error: &serde_json::Error,
) {
    tracing::error!(instance.token = %delivery.lane.instance, error.message = %error, "an unreadable message went to the dead letters");
    let payload = delivery.payload.as_deref().unwrap_or_default();
    let letter = DeadLetter::of(DeadLetter::UNREADABLE, payload, now_ms());
    if keep(kit, partition, &delivery.lane, &unreadable(delivery, payload), letter).await
        && let Err(error) = delivery.ack().await
    {
        tracing::debug!(error.message = %error, "an acknowledgement was not confirmed");
    }
}

fn unreadable(delivery: &Delivery, payload: &[u8]) -> LetterId {
    LetterId::unreadable(delivery.lane.partition, delivery.sequence, payload)
}

async fn keep(
    kit: &Kit,
    partition: &SharedPartition,
    lane: &LaneAddress,
    id: &LetterId,
    mut letter: DeadLetter,
) -> bool {
    if !keep_objects(kit, partition, &mut letter).await {
        return false;
    }
    let keep = || kit.dead.keep(lane, id, &letter);
    until_confirmed("dead letter", || partition.may_act(), keep).await.is_some()
}

/// Copies what the message refers to. The letter matters more than its objects: a store that
/// answers and does not copy is not waited for. `false` when the partition was lost meanwhile.
async fn keep_objects(kit: &Kit, partition: &SharedPartition, letter: &mut DeadLetter) -> bool {
    let mut attempts = 0;
    while partition.may_act() {
        let error = match kit.dead.keep_objects(letter).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        attempts += u32::from(kit.dead.connected());
        tracing::warn!(error.message = %error, attempts, "an object of a dead letter is not copied yet");
        if attempts >= COPY_ATTEMPTS {
            DeadLetters::give_up_objects(letter);
            return true;
        }
        tokio::time::sleep(COPY_PAUSE).await;
    }
    false
}
