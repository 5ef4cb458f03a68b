//! A bubble in doubt: its send was cut or not answered, so it may be out.
//!
//! Before it is sent again, Evolution is asked for what the account has sent since the question came:
//! a message with the bubble's very words, in this chat, with an id that is of no other bubble of
//! ours, is it. A send that goes on at Evolution without its caller may land a moment later, so
//! Evolution is asked more than once.
//!
//! What this is not: certain. An Evolution that keeps no messages, or fails, knows nothing; then the
//! bubble is sent again, and the trace says that it may be out twice.

use std::time::Duration;

use chrono::DateTime;
use omnihub_common::{
    channel::{
        InboundMessage,
        whatsapp::{
            outbound::{Evolution, SendError},
            sent::Sought,
        },
    },
    queue::{Answer, InstanceToken, MessageId},
    telemetry::propagation,
};

use super::{
    Exit, Turn,
    send::{Parcel, evolution, note_out},
    story::Story,
};
use crate::breaker::Address;

/// How long before each look.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];
/// How long one may take, with all its pages.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many pages are looked at, the newest first.
const PAGES: u64 = 10;
/// Evolution's clock may be behind ours by so much, in milliseconds.
const SLACK_MS: i64 = 60_000;

impl Turn {
    /// Finds out whether the bubble in doubt is out, as far as that can be known.
    pub(super) async fn settle_doubt(
        &mut self,
        parcel: &Parcel<'_>,
        story: &mut Story,
        answer: &mut Answer,
    ) -> Result<(), Exit> {
        if let Some(parked) = Address::channel(parcel.instance).and_then(|address| self.kit.breakers.parked(&address)) {
            self.remember_sending(answer.clone());
            return Err(Exit::Parked(parked, "channel_breaker_open"));
        }
        let found = tokio::select! {
            // Whoever resumes it asks again.
            () = self.reins.stop.cancelled() => {
                self.remember_sending(answer.clone());
                return Err(Exit::Stopped);
            }
            found = self.find_out(parcel, answer) => found,
        };
        let bubble = answer.sent.len() + 1;
        let note = match found {
            Some(id) => {
                answer.sent.push(id);
                answer.in_doubt = false;
                self.kit.receipts.keep(&self.turn_id(), answer);
                note_out(story, answer);
                format!(
                    "bubble {bubble} was not sent again: Evolution has it, though its first send was cut or unanswered"
                )
            }
            None => format!("bubble {bubble} may have been sent twice: its first send was cut or unanswered"),
        };
        story.details().warnings.push(note);
        Ok(())
    }

    /// The id of the bubble in doubt, where Evolution has it.
    async fn find_out(&self, parcel: &Parcel<'_>, answer: &Answer) -> Option<String> {
        let nth = answer.sent.len();
        let sought = parcel.sought(answer.bubbles.get(nth)?, nth == 0)?;
        let evolution = evolution(&self.kit, parcel.instance).ok()?;
        let since_ms = self.items.iter().map(|item| item.counts_from).min()?.max(answer.asked_at) - SLACK_MS;
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            let look = self.look(&evolution, &sought, since_ms, answer);
            match tokio::time::timeout(PATIENCE, look).await {
                Ok(Ok(None)) => {}
                Ok(Ok(found)) => return found,
                Ok(Err(error)) => {
                    tracing::debug!(http.status = error.status, "Evolution did not tell what the account has sent");
                    return None;
                }
                Err(_) => return None,
            }
        }
        None
    }

    async fn look(
        &self,
        evolution: &Evolution,
        sought: &Sought<'_>,
        since_ms: i64,
        answer: &Answer,
    ) -> Result<Option<String>, SendError> {
        let since = DateTime::from_timestamp_millis(since_ms).unwrap_or_default();
        for page in 1..=PAGES {
            let page = evolution.sent_since(since, page, propagation::inject_current()).await?;
            let found =
                page.messages.into_iter().find(|message| sought.is(message) && !self.is_another(answer, message));
            match found {
                Some(found) => return Ok(Some(found.provider_id)),
                None if page.goes_on => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// Whether a message is a bubble of ours that is known to be out.
    fn is_another(&self, answer: &Answer, message: &InboundMessage) -> bool {
        let Some(instance) = InstanceToken::row_id(&self.lane.instance) else { return false };
        let id = MessageId::of_own(instance, &self.lane.conversation, &message.provider_id);
        answer.sent.contains(&message.provider_id) || self.checkpoint.ours.contains(&id.short())
    }
}
