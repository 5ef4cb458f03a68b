//! Corrections: edits and messages that were taken back.
//!
//! An edit that is gathered together with its message takes the place of its content; a later one
//! is ignored or a message of its own, as the instance says. A message that was taken back is not
//! asked about, unless it was already.

use omnihub_common::{
    channel::InboundMessage,
    instance::{Instance, OnEdit},
    queue::Command,
    trace::{Outcome, TraceDetails},
};

use super::{Exit, Turn, part::Part, story::Story};

impl Turn {
    /// The message is not to be asked about any more.
    pub(super) fn revoke(&mut self, story: &mut Story, message: &InboundMessage) -> Result<(), Exit> {
        story.read(TraceDetails::of(message));
        self.checkpoint.revoke(&message.provider_id);
        Err(Exit::End(Outcome::Ignored, "revocation".to_owned()))
    }

    /// Gives edited messages their new content, and ends those that were taken back and the edits
    /// themselves.
    pub(super) fn correct(&self, parts: &mut [Part], instance: &Instance) {
        for at in 0..parts.len() {
            let (before, [edit, ..]) = parts.split_at_mut(at) else { return };
            if is_edit(edit) {
                apply(edit, before, instance.turns.on_edit);
            }
        }
        // The key of a question that was asked stands for its messages.
        let was_asked = self.open_turn().is_some_and(|open| open.attempt > 0 || open.beginnings > 0);
        let is_revoked = |message: &InboundMessage| self.checkpoint.revoked.contains(&message.provider_id);
        for part in parts.iter_mut().filter(|part| part.end.is_none() && !was_asked && !self.is_sending()) {
            if part.message.as_ref().is_some_and(is_revoked) {
                part.end = Some((Outcome::Ignored, "revoked".to_owned()));
            }
        }
    }
}

fn is_edit(part: &Part) -> bool {
    part.envelope.as_ref().is_some_and(|envelope| envelope.command == Some(Command::Edit))
}

/// Applies one edit to its message, the last one of its id, if that is among those before it.
fn apply(edit: &mut Part, before: &mut [Part], on_edit: OnEdit) {
    let Some(new) = edit.message.as_ref() else { return };
    let same = |part: &&mut Part| {
        let old = part.message.as_ref().is_some_and(|old| old.provider_id == new.provider_id);
        old && part.end.is_none() && !is_edit(part)
    };
    if let Some(part) = before.iter_mut().rev().find(same) {
        if let (Some(old), Some(story)) = (&mut part.message, &mut part.story) {
            old.content = new.content.clone();
            story.read(TraceDetails::of(old));
        }
        edit.end = Some((Outcome::Ignored, "edit_applied".to_owned()));
    } else if on_edit == OnEdit::Ignore || new.chat.is_empty() {
        edit.end = Some((Outcome::Ignored, "edit_late".to_owned()));
    }
}
