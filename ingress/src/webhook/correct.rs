//! Edits and messages that were taken back: from the webhook to their conversation.
//!
//! An edit names its message and not its chat, which is looked up among the traces. Evolution
//! holds back all later messages of the instance until an edit has its 2xx: so an edit that cannot
//! be kept is let go of with a 200, which is the one event that is. A message that was taken back is
//! kept as messages are, or refused with 503.

use std::time::Duration;

use chrono::Utc;
use omnihub_common::{
    channel::whatsapp::{
        correction::Correction,
        event::Event,
        webhook::{Webhook, read_webhook},
    },
    instance::Instance,
    queue::{
        Command, Envelope, EnvelopeBody, EnvelopeKind, IntakeError, MessageId, MessageKey, now_ms, token, trace_id,
    },
};
use uuid::Uuid;

use super::{Answer, WebhookState, accept::received, refused};
use crate::problem::Problem;

/// What whoever posts it may know of a refusal.
const POSTED_AGAIN: &str = "nothing is lost when the webhook is posted again";
/// WhatsApp takes edits for a quarter of an hour, and Evolution tells of one for half an hour.
const EDITED_WITHIN: Duration = Duration::from_hours(1);

/// Queues what a person did to a message of theirs; none where nothing is to be done.
pub(super) async fn accept(
    state: &WebhookState,
    instance: &Instance,
    webhook: Webhook,
) -> Result<Option<Uuid>, Problem> {
    let Some(correction) = webhook.correction else { return Ok(None) };
    let place = place(state, instance, &correction).await;
    let Some((session_name, chat)) = place.map_err(|error| refused(&error, POSTED_AGAIN))? else { return Ok(None) };
    let envelope = envelope(instance, correction, session_name, &chat, webhook.own_id);
    let trace = envelope.trace_id;
    let confirmed = state.intake.accept(vec![envelope.clone()]).await;
    confirmed.map_err(|error| refused(&error, POSTED_AGAIN))?;
    state.traces.step(&received(instance, envelope)).await;
    Ok(Some(trace))
}

/// An edit gets its 200, whatever stands in its way.
pub(super) fn unless_edit(body: &[u8], event: Option<&str>, problem: Problem) -> Result<(Event, Answer), Problem> {
    match read_webhook(body, event) {
        Ok(webhook) if webhook.event == Event::MessagesEdited => {
            tracing::warn!(error.code = problem.code, "an edit was not kept");
            let instance = webhook.instance.unwrap_or_default();
            let ignored_event = Some(webhook.event.as_str().to_owned());
            let answer = Answer { status: "success", instance, ignored_event, trace_id: None, trace_ids: Vec::new() };
            Ok((webhook.event, answer))
        }
        _ => Err(problem),
    }
}

/// The conversation and the chat; an empty chat where nobody knows it.
async fn place(
    state: &WebhookState,
    instance: &Instance,
    correction: &Correction,
) -> Result<Option<(String, String)>, IntakeError> {
    if let Some(mut part) = correction.place() {
        let session_name = state.sessions.of(instance, &mut part).await?;
        return Ok(Some((session_name, part.chat)));
    }
    let (name, since) = (instance.name.as_str(), Utc::now() - EDITED_WITHIN);
    let found = state.recorded.conversation_of(instance.id, name, correction.provider_id(), since).await;
    Ok(found.unwrap_or_else(|error| {
        tracing::warn!(error.message = %error, "the message of an edit could not be looked for");
        None
    }))
}

fn envelope(
    instance: &Instance,
    correction: Correction,
    session_name: String,
    chat: &str,
    own_id: Option<String>,
) -> Envelope {
    let (command, kind, at) = match &correction {
        Correction::Edit { at_ms, .. } => (Command::Edit, "edit", *at_ms),
        Correction::Revoke { .. } => (Command::Revoke, "revoke", None),
    };
    let id = MessageId::of(&MessageKey {
        instance_id: instance.id,
        kind,
        chat: &token(&session_name),
        from_me: false,
        provider_id: correction.provider_id(),
        discriminator: &at.unwrap_or_default().to_string(),
    });
    let received_at = now_ms();
    Envelope {
        v: Envelope::VERSION,
        kind: EnvelopeKind::Message,
        command: Some(command),
        answers: false,
        id,
        // What has no time of its own gets that of its coming: it is traced among its like.
        trace_id: trace_id(at, id),
        instance_id: instance.id,
        instance: instance.name.as_str().to_owned(),
        channel: instance.channel_type().as_str().to_owned(),
        session_name,
        received_at,
        provider_at: at,
        own_id,
        warnings: Vec::new(),
        redrive: None,
        body: EnvelopeBody::Inline(correction.body(chat)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_edit_is_let_go_of_with_a_200() {
        let away = || Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "queue_unavailable", "away");
        let body = |event: &str| format!(r#"{{"event": "{event}", "data": {{"key": {{"id": "1"}}}}}}"#);
        let (event, answer) = unless_edit(body("messages.edited").as_bytes(), None, away()).unwrap();
        assert_eq!((event, answer.trace_id), (Event::MessagesEdited, None));
        assert!(unless_edit(b"{\"data\": {}}", Some("messages-edited"), away()).is_ok());
        for other in ["messages.upsert", "messages.delete", "call"] {
            assert!(unless_edit(body(other).as_bytes(), None, away()).is_err(), "{other}");
        }
        assert!(unless_edit(b"{", None, away()).is_err());
    }
}
