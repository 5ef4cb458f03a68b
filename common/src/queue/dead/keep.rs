//! Keeping a letter.

use async_nats::HeaderMap;

use super::{DeadLetter, DeadLetterError, DeadLetters, LetterId, SUMMARY_HEADER, failed};
use crate::queue::{LaneAddress, Subjects};

impl DeadLetters {
    /// Keeps a dead letter; the same message again replaces it.
    ///
    /// # Errors
    /// When the broker does not confirm: the message must then stay in its lane.
    pub async fn keep(&self, lane: &LaneAddress, id: &LetterId, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let payload = serde_json::to_vec(letter).map_err(failed)?;
        let mut headers = HeaderMap::new();
        headers.insert(SUMMARY_HEADER, letter.summary().to_header().map_err(failed)?);
        let subject = Subjects::dead(&lane.instance, &lane.conversation, id.as_str());
        let ack = self.nats.js.publish_with_headers(subject, headers, payload.into()).await.map_err(failed)?;
        ack.await.map(drop).map_err(failed)
    }
}
