//! Dead letters: what cannot be answered is kept with its reason, and never acknowledged before.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use omnihub_common::queue::{DeadLetter, Delivery, Envelope, LaneAddress, now_ms};

use super::{Kit, Opened, Turn, story::Story};

impl Turn {
    /// Keeps the dead letter; `false` when the partition was lost meanwhile.
    pub(super) async fn bury(&self, opened: Option<&Opened>, story: Option<&Story>, reason: &str) -> bool {
        let attempts = self.open_turn().map_or(0, |open| open.attempt) + 1;
        for item in &self.items {
            let envelope = match opened {
                Some(opened) => Some(opened.envelope.clone()),
                None => serde_json::from_slice::<Envelope>(&item.delivery.payload).ok(),
            };
            let raw = envelope.is_none().then(|| STANDARD.encode(&item.delivery.payload));
            let letter = DeadLetter {
                v: DeadLetter::VERSION,
                reason: reason.to_owned(),
                error_message: story.map(Story::error_message).unwrap_or_default(),
                attempts,
                at: now_ms(),
                envelope,
                raw,
            };
            let may_go_on = || self.partition.may_act();
            if !keep(&self.kit, &self.lane, &item.id.to_hex(), &letter, may_go_on).await {
                return false;
            }
        }
        tracing::warn!(instance.token = %self.lane.instance, dead.reason = reason, "a message went to the dead letters");
        true
    }
}

/// A message without an identity: no lane holds it, so it is buried and acknowledged here.
pub(crate) async fn bury_unreadable(kit: &Kit, delivery: &Delivery, error: &serde_json::Error) {
    tracing::error!(instance.token = %delivery.lane.instance, error.message = %error, "an unreadable message went to the dead letters");
    let letter = DeadLetter {
        v: DeadLetter::VERSION,
        reason: "unreadable".to_owned(),
        error_message: "the queued message is not readable".to_owned(),
        attempts: 1,
        at: now_ms(),
        envelope: None,
        raw: Some(STANDARD.encode(&delivery.payload)),
    };
    let name = format!("seq-{}-{}", delivery.lane.partition, delivery.sequence);
    if keep(kit, &delivery.lane, &name, &letter, || true).await
        && let Err(error) = delivery.ack().await
    {
        tracing::debug!(error.message = %error, "an acknowledgement was not confirmed");
    }
}

async fn keep(kit: &Kit, lane: &LaneAddress, name: &str, letter: &DeadLetter, may_go_on: impl Fn() -> bool) -> bool {
    let mut pause = Duration::from_millis(50);
    while may_go_on() {
        match kit.dead.keep(lane, name, letter).await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(error.message = %error, "a dead letter was not confirmed, trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
    false
}
