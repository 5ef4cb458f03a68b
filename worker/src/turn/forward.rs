//! What a program sends: a turn that asks nobody.
//!
//! It goes out as an agent's answer does, under the same checkpoints; whoever asked for it is told
//! its end.

use omnihub_common::{
    channel::{Outgoing, OutgoingContent, whatsapp::outbound::recipient},
    conversation::bubbles,
    instance::Instance,
    queue::{Answer, EnvelopeBody, EnvelopeKind, Phase, SendOutcome},
    trace::{TraceDetails, TraceEvent, TraceStatus},
};
use serde_json::Value;

use super::{
    Exit, Turn,
    admit::Ignored,
    answer::WHATSAPP_LIMIT,
    dead, ignored,
    part::{Part, is_too_old},
    send::Parcel,
    story::Story,
};

impl Turn {
    /// Sends it on.
    pub(super) async fn forward(&mut self, parts: &mut [Part], instance: &Instance) -> Result<(), Exit> {
        let Some(part) = parts.first_mut() else { return Ok(()) };
        // What cannot be read has its end already.
        let (Some(envelope), Some(mut story)) = (&mut part.envelope, part.story.take()) else { return Ok(()) };
        tracing::Span::current().record("trace.id", tracing::field::display(envelope.trace_id));
        story.hide(instance);
        let body = std::mem::replace(&mut envelope.body, EnvelopeBody::Inline(Value::Null));
        let counts_from = envelope.counts_from();
        let done = self.forward_body(instance, &mut story, body, counts_from).await;
        part.story = Some(story);
        done
    }

    async fn forward_body(
        &mut self,
        instance: &Instance,
        story: &mut Story,
        body: EnvelopeBody,
        counts_from: i64,
    ) -> Result<(), Exit> {
        let body = match body {
            EnvelopeBody::Inline(body) => Ok(body),
            EnvelopeBody::Object(name) => self.fetch_body(&name).await?,
        };
        let unreadable = ("body_unreadable", "what is to be sent cannot be read");
        let read = body.and_then(|body| serde_json::from_value::<Outgoing>(body).map_err(|_| unreadable));
        let outgoing = match read {
            Ok(outgoing) => outgoing,
            Err((reason, words)) => {
                story.note_error(TraceStatus::Processing.as_str(), words);
                return Err(dead(reason));
            }
        };
        story.read(TraceDetails::of_outgoing(&outgoing));
        if is_too_old(counts_from) {
            return Err(dead("too_old"));
        }
        if !instance.is_active && !self.is_sending() {
            return Err(ignored(Ignored::Inactive));
        }
        let answer = match self.open_turn().map(|open| &open.phase) {
            Some(Phase::Sending(answer)) => answer.clone(),
            _ => Answer { bubbles: bubbles_of(&outgoing, instance), ..Answer::default() },
        };
        story.step(TraceStatus::Processing, None).await;
        let number = recipient(&outgoing.chat, None);
        Box::pin(self.send(&Parcel::outgoing(instance, &number, &outgoing), story, answer)).await
    }

    /// Tells whoever waits for the end of what a program sends.
    pub(super) async fn tell_sender(&self, part: &Part, event: &TraceEvent) {
        if part.item.kind == EnvelopeKind::Send
            && let Some(outcome) = SendOutcome::of_event(event)
        {
            self.kit.outcomes.tell(event.record.trace_id, &outcome).await;
        }
    }
}

/// A text is split as an answer is, unless it was asked for otherwise; of everything else the
/// checkpoint keeps a word, since the queue has the whole.
fn bubbles_of(outgoing: &Outgoing, instance: &Instance) -> Vec<String> {
    match &outgoing.content {
        OutgoingContent::Text { text, split, .. } => {
            let split = split.unwrap_or(instance.reply.enable_auto_split);
            bubbles(text, split, instance.reply.split_over, WHATSAPP_LIMIT)
        }
        other => vec![other.kind().to_owned()],
    }
}
