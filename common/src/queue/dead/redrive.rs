//! Putting messages back into their lanes.
//!
//! ```text
//! objects back  ->  message confirmed at the tail of its lane  ->  letter removed
//! ```
//!
//! Cut anywhere, the letter is still there, and redriving it again publishes the same message with
//! the same id, which the lane knows: nothing is lost and nothing is answered twice.

use super::{DeadLetter, DeadLetterError, DeadLetters, KeptLetter};
use crate::queue::{Envelope, Intake, IntakeError, MediaError, Redrive};

/// Why a letter cannot be redriven; the others can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// The message could not be read, and will not be readable now.
    Unreadable,
    /// A newer version wrote it.
    NewerVersion,
    /// Its body was in the object store and is gone.
    BodyMissing,
    /// Its instance was deleted.
    InstanceDeleted,
    /// Its instance is switched off: the message would be ignored.
    InstanceInactive,
}

impl Skip {
    /// The word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NewerVersion => "newer_version",
            Self::BodyMissing => "body_missing",
            Self::InstanceDeleted => "instance_deleted",
            Self::InstanceInactive => "instance_inactive",
        }
    }

    /// Why and what to do, for people.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::Unreadable => "the message cannot be read: it can only be dropped",
            Self::NewerVersion => "a newer version of the hub wrote it: redrive it with that version",
            Self::BodyMissing => "the message's body was too large for the queue and is gone: it can only be dropped",
            Self::InstanceDeleted => "its instance was deleted: nobody is there to answer",
            Self::InstanceInactive => "its instance is not active: the message would be ignored; activate it first",
        }
    }
}

/// Why a letter was not redriven.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// It cannot be; the others can.
    #[error("{}", .0.detail())]
    Skipped(Skip),
    /// The queue did not take it; again later.
    #[error("the queue did not take the message")]
    Queue(#[from] IntakeError),
    /// The object store does not answer; again later.
    #[error("the message's objects could not be brought back")]
    Objects(#[from] MediaError),
    /// It is back in its lane, but its letter is still there; again later.
    #[error("the message is back in its lane, its dead letter is not removed yet")]
    Letter(#[from] DeadLetterError),
}

/// The message that a letter becomes, which counts from `now`.
fn plan(letter: Option<&DeadLetter>, now: i64) -> Result<Envelope, Skip> {
    let letter = letter.filter(|letter| letter.v <= DeadLetter::VERSION).ok_or(Skip::NewerVersion)?;
    let envelope = letter.envelope.clone().ok_or(Skip::Unreadable)?;
    if envelope.v > Envelope::NEWEST {
        return Err(Skip::NewerVersion);
    }
    let nth = envelope.redrives().saturating_add(1);
    let redrive = Some(Redrive { nth, at: now });
    Ok(Envelope { v: envelope.v.max(Envelope::REDRIVEN), id: envelope.id.redriven(nth), redrive, ..envelope })
}

/// Puts messages back into their lanes.
#[derive(Clone, Debug)]
pub struct Redriver {
    letters: DeadLetters,
    intake: Intake,
}

impl Redriver {
    /// From these letters into this queue.
    #[must_use]
    pub fn new(letters: DeadLetters, intake: Intake) -> Self {
        Self { letters, intake }
    }

    /// The letters.
    #[must_use]
    pub fn letters(&self) -> &DeadLetters {
        &self.letters
    }

    /// Whether a letter can be redriven, as far as it tells itself.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, kept: &KeptLetter) -> Result<(), RedriveError> {
        plan(kept.letter.as_ref(), 0).map_err(RedriveError::Skipped)?;
        match &kept.letter {
            Some(letter) if !self.letters.has_body(letter).await? => Err(RedriveError::Skipped(Skip::BodyMissing)),
            _ => Ok(()),
        }
    }

    /// Puts one message back at the tail of its lane, and removes its letter when the queue has
    /// confirmed. Answers the message as it is queued now.
    ///
    /// # Errors
    /// When it cannot be redriven, or could not be now.
    pub async fn redrive(&self, kept: &KeptLetter, now: i64) -> Result<Envelope, RedriveError> {
        let envelope = plan(kept.letter.as_ref(), now).map_err(RedriveError::Skipped)?;
        if let Some(letter) = &kept.letter
            && !self.letters.restore_objects(letter).await?
        {
            return Err(RedriveError::Skipped(Skip::BodyMissing));
        }
        self.intake.accept(vec![envelope.clone()]).await?;
        self.letters.drop_one(kept).await?;
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::dead::letter::tests::envelope;

    fn letter(envelope: &Envelope) -> DeadLetter {
        DeadLetter::of("too_old", &serde_json::to_vec(envelope).unwrap(), 1)
    }

    #[test]
    fn a_redriven_message_has_a_new_id_and_its_old_trace() {
        let first = plan(Some(&letter(&envelope())), 77).unwrap();
        assert_eq!((first.trace_id, first.counts_from(), first.v), (envelope().trace_id, 77, Envelope::REDRIVEN));
        assert_eq!(first.received_at, envelope().received_at);
        assert_ne!(first.id, envelope().id);
        assert_eq!(plan(Some(&letter(&envelope())), 99).unwrap().id, first.id, "again is the same message");
        let second = plan(Some(&letter(&first)), 99).unwrap();
        assert_eq!((second.redrives(), second.trace_id), (2, first.trace_id));
        assert!(second.id != first.id && second.id != envelope().id);
    }

    #[test]
    fn what_cannot_be_read_is_skipped_with_its_reason() {
        let skipped = |letter: Option<&DeadLetter>| plan(letter, 0).unwrap_err();
        assert_eq!(skipped(None), Skip::NewerVersion);
        assert_eq!(skipped(Some(&DeadLetter::of("unreadable", b"{", 1))), Skip::Unreadable);
        let newer = Envelope { v: Envelope::NEWEST + 1, ..envelope() };
        assert_eq!(skipped(Some(&letter(&newer))), Skip::NewerVersion);
    }
}
