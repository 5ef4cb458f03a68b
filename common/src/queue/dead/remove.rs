//! Removing letters.

use uuid::Uuid;

use super::{DeadLetterError, DeadLetters, KeptLetter, LetterId, failed};
use crate::queue::{Envelope, LaneAddress, Subjects};

impl DeadLetters {
    /// Removes a letter as it was read, and its copies of objects: a newer letter of the same
    /// message stays. One that is gone is removed already.
    ///
    /// # Errors
    /// When the broker does not confirm.
    pub async fn drop_one(&self, kept: &KeptLetter) -> Result<(), DeadLetterError> {
        let purge = self.stream().await?.purge().sequence(kept.sequence + 1).filter(kept.subject.clone());
        purge.await.map_err(failed)?;
        if let Some(letter) = &kept.letter {
            self.remove_objects(letter).await;
        }
        Ok(())
    }

    /// A message that was redriven `nth` times has ended well. A letter of an earlier life was
    /// removed when it was put back into its lane, or should have been; one of this life was kept
    /// by a turn that was cut before its end was recorded. What is left goes now, so that an
    /// answered message is not redriven.
    ///
    /// # Errors
    /// When the broker does not confirm.
    pub async fn settle(&self, lane: &LaneAddress, trace: Uuid, nth: u32) -> Result<(), DeadLetterError> {
        let subject = Subjects::dead(&lane.instance, &lane.conversation, LetterId::of_trace(trace).as_str());
        let Some(kept) = self.read(&subject).await? else { return Ok(()) };
        let envelope = kept.letter.as_ref().and_then(|letter| letter.envelope.as_ref());
        match envelope.map(Envelope::redrives) {
            Some(lives) if lives <= nth => self.drop_one(&kept).await,
            _ => Ok(()),
        }
    }
}
