//! The objects that a message refers to, and their copies that live as long as its letter.
//!
//! A living message's objects are removed after seven days, a letter is kept for thirty: so they
//! are copied when it is buried and copied back when it is redriven. A copy's name ends with the
//! number of redrives, so that a message that is redriven and dies again at once has copies of its
//! own and loses nothing when the earlier ones are removed.

use serde_json::Value;

use super::{DeadLetter, DeadLetters};
use crate::queue::{Envelope, EnvelopeBody, MediaError};

/// An object that a message refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referred {
    pub(super) name: String,
    /// Whether it is there for certain; the file of a message whose body is an object itself is
    /// only guessed at.
    pub(super) certain: bool,
}

/// What a message refers to.
pub(super) fn referred(envelope: &Envelope) -> Vec<Referred> {
    let certain = |name: &str| Referred { name: name.to_owned(), certain: true };
    match &envelope.body {
        EnvelopeBody::Inline(body) => {
            body.pointer("/message/mediaObject").and_then(Value::as_str).map(certain).into_iter().collect()
        }
        EnvelopeBody::Object(name) => {
            let file = name.strip_suffix("/body").map(|message| format!("{message}/media"));
            let guessed = file.map(|name| Referred { name, certain: false });
            std::iter::once(certain(name)).chain(guessed).collect()
        }
    }
}

/// The name of a letter's copy of an object.
pub(super) fn copy_name(object: &str, redrives: u32) -> String {
    format!("{object}/{redrives}")
}

impl DeadLetter {
    /// The message's body, when it is an object.
    #[must_use]
    pub fn body_object(&self) -> Option<&str> {
        match &self.envelope.as_ref()?.body {
            EnvelopeBody::Object(name) => Some(name),
            EnvelopeBody::Inline(_) => None,
        }
    }

    fn copies(&self) -> impl Iterator<Item = String> {
        let redrives = self.envelope.as_ref().map_or(0, Envelope::redrives);
        self.objects.iter().map(move |object| copy_name(object, redrives))
    }
}

impl DeadLetters {
    /// Copies what a message refers to, and notes in its letter what is kept and what is missing.
    /// An object that is gone, or for which there is no room, stops nothing: the letter says so.
    ///
    /// # Errors
    /// When a store does not answer; then again, until [`DeadLetters::give_up_objects`].
    pub async fn keep_objects(&self, letter: &mut DeadLetter) -> Result<(), MediaError> {
        let Some(envelope) = letter.envelope.clone() else { return Ok(()) };
        for Referred { name, certain } in referred(&envelope) {
            if letter.objects.contains(&name) || letter.missing.contains(&name) {
                continue;
            }
            match self.media.copy(&name, &self.copies, &copy_name(&name, envelope.redrives())).await {
                Ok(()) => letter.objects.push(name),
                Err(MediaError::Absent) if !certain => {}
                Err(MediaError::Absent | MediaError::Full) => letter.missing.push(name),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes everything that was not copied as missing.
    pub fn give_up_objects(letter: &mut DeadLetter) {
        let Some(envelope) = &letter.envelope else { return };
        for Referred { name, certain } in referred(envelope) {
            if certain && !letter.objects.contains(&name) && !letter.missing.contains(&name) {
                letter.missing.push(name);
            }
        }
    }

    /// Whether a store may answer: without a connection nothing counts as missing.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.nats.connected()
    }

    /// Whether the message's body is to be had.
    pub(super) async fn has_body(&self, letter: &DeadLetter) -> Result<bool, MediaError> {
        let Some(body) = letter.body_object() else { return Ok(true) };
        let redrives = letter.envelope.as_ref().map_or(0, Envelope::redrives);
        let kept = letter.objects.iter().any(|object| object == body);
        Ok((kept && self.copies.has(&copy_name(body, redrives)).await?) || self.media.has(body).await?)
    }

    /// Brings the objects back to where a turn looks for them. `false` when the body is nowhere.
    pub(super) async fn restore_objects(&self, letter: &DeadLetter) -> Result<bool, MediaError> {
        let redrives = letter.envelope.as_ref().map_or(0, Envelope::redrives);
        for name in letter.objects.iter().chain(&letter.missing) {
            let copied = match letter.objects.contains(name) {
                true => self.copies.copy(&copy_name(name, redrives), &self.media, name).await,
                false => Err(MediaError::Absent),
            };
            let there = match copied {
                Ok(()) => true,
                // It may still be where it was at first.
                Err(MediaError::Absent) => self.media.has(name).await?,
                Err(error) => return Err(error),
            };
            if !there && letter.body_object() == Some(name) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a letter's copies; what is not removed expires by itself.
    pub(super) async fn remove_objects(&self, letter: &DeadLetter) {
        for copy in letter.copies() {
            if let Err(error) = self.copies.remove(&copy).await {
                tracing::warn!(error.message = %error, "a dead letter's copy of an object will expire by itself");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::queue::dead::letter::tests::envelope;

    #[test]
    fn a_message_refers_to_its_file_and_its_body() {
        assert_eq!(referred(&envelope()), []);
        let file = EnvelopeBody::Inline(json!({"message": {"mediaObject": "acme-1/ff/media"}}));
        let names = |body| {
            let found = referred(&Envelope { body, ..envelope() });
            found.into_iter().map(|object| (object.name, object.certain)).collect::<Vec<_>>()
        };
        assert_eq!(names(file), [("acme-1/ff/media".to_owned(), true)]);
        let body = EnvelopeBody::Object("acme-1/ff/body".into());
        assert_eq!(names(body), [("acme-1/ff/body".to_owned(), true), ("acme-1/ff/media".to_owned(), false)]);
    }

    #[test]
    fn what_was_not_copied_is_missing() {
        let mut letter = DeadLetter {
            envelope: Some(Envelope { body: EnvelopeBody::Object("acme-1/ff/body".into()), ..envelope() }),
            ..DeadLetter::of("x", b"", 1)
        };
        DeadLetters::give_up_objects(&mut letter);
        DeadLetters::give_up_objects(&mut letter);
        assert_eq!(letter.missing, ["acme-1/ff/body"]);
        assert_eq!(letter.body_object(), Some("acme-1/ff/body"));
    }
}
