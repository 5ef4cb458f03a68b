//! Dead letters: what cannot be answered is kept with its reason, and never acknowledged before.

use base64::{Engine, engine::general_purpose::STANDARD};
use omnihub_common::queue::{DeadLetter, Delivery, Envelope, LaneAddress, SharedPartition, now_ms, until_confirmed};

use super::{Kit, Turn, part::Part, story::Story};

impl Turn {
    /// Keeps the dead letter of a message; `false` when the partition was lost meanwhile.
    pub(super) async fn bury(&self, part: &Part, reason: &str) -> bool {
        // As it was queued: a large body stays in the object store.
        let letter = DeadLetter {
            attempts: self.open_turn().map_or(0, |open| open.attempt) + 1,
            error_message: part.story.as_ref().map(Story::error_message).unwrap_or_default(),
            ..letter(reason, part.payload.as_deref().unwrap_or_default())
        };
        if !keep(&self.kit, &self.partition, &self.lane, &part.item.id.to_hex(), &letter).await {
            return false;
        }
        tracing::warn!(instance.token = %self.lane.instance, dead.reason = reason, "a message went to the dead letters");
        true
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
    let letter = letter("unreadable", delivery.payload.as_deref().unwrap_or_default());
    let name = format!("seq-{}-{}", delivery.lane.partition, delivery.sequence);
    if keep(kit, partition, &delivery.lane, &name, &letter).await
        && let Err(error) = delivery.ack().await
    {
        tracing::debug!(error.message = %error, "an acknowledgement was not confirmed");
    }
}

fn letter(reason: &str, payload: &[u8]) -> DeadLetter {
    let envelope = serde_json::from_slice::<Envelope>(payload).ok();
    DeadLetter {
        v: DeadLetter::VERSION,
        reason: reason.to_owned(),
        error_message: String::new(),
        attempts: 1,
        at: now_ms(),
        raw: envelope.is_none().then(|| STANDARD.encode(payload)),
        envelope,
    }
}

async fn keep(kit: &Kit, partition: &SharedPartition, lane: &LaneAddress, name: &str, letter: &DeadLetter) -> bool {
    let keep = || kit.dead.keep(lane, name, letter);
    until_confirmed("dead letter", || partition.may_act(), keep).await.is_some()
}
