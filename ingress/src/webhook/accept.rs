//! From the messages of a webhook to the queue.

use base64::{Engine, engine::general_purpose::STANDARD};
use omnihub_common::{
    channel::{
        MessageKind, Outgoing,
        whatsapp::{
            inbound::read_message,
            webhook::{Part, Webhook},
        },
    },
    instance::{ChannelSettings, Instance},
    queue::{
        Accepted, Command, Envelope, EnvelopeBody, EnvelopeKind, InstanceToken, IntakeError, Media, MessageId,
        MessageKey, now_ms, token, trace_id,
    },
    secret::Secret,
    trace::{Stage, StagePayload, TraceDetails, TraceEvent, TraceRecord, TraceStatus, revision},
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::WebhookState;
use super::route::Target;

/// Names, stores and queues each message; answers their traces, in the body's order, when the
/// queue has confirmed all of them.
pub(super) async fn accept(
    state: &WebhookState,
    instance: &Instance,
    webhook: Webhook,
    target: &Target,
) -> Result<Vec<Uuid>, IntakeError> {
    let warnings = warnings(instance, webhook.instance.as_deref(), target);
    let mut envelopes = Vec::with_capacity(webhook.parts.len());
    for mut part in webhook.parts {
        let session = state.sessions.of(instance, &mut part).await?;
        let envelope = envelope(state, instance, (part, session), webhook.own_id.clone(), warnings.clone()).await?;
        envelopes.push(envelope);
    }
    let traces: Vec<Uuid> = envelopes.iter().map(|envelope| envelope.trace_id).collect();
    let confirmed = state.intake.accept(envelopes.clone()).await?;
    for (envelope, Accepted { duplicate }) in envelopes.into_iter().zip(confirmed) {
        state.webhooks.message(instance.name.as_str(), duplicate);
        // For a duplicate too: its first delivery may have been cut between the queue's word and
        // this step. A recorder that has it already changes nothing.
        state.traces.step(&received(instance, envelope)).await;
    }
    Ok(traces)
}

/// What a message of this conversation is known by: its id in the queue, and its trace.
pub(super) fn identity(instance: &Instance, part: &Part, session_name: &str) -> (MessageId, Uuid) {
    let id = match command(instance, part) {
        Some(Command::Own) => MessageId::of_own(instance.id, &token(session_name), &part.provider_id),
        _ => MessageId::of(&MessageKey {
            instance_id: instance.id,
            kind: "message",
            chat: &part.chat,
            from_me: part.from_me,
            provider_id: &part.provider_id,
            discriminator: "",
        }),
    };
    (id, trace_id(part.provider_at_ms, id))
}

async fn envelope(
    state: &WebhookState,
    instance: &Instance,
    (mut part, session_name): (Part, String),
    own_id: Option<String>,
    mut warnings: Vec<String>,
) -> Result<Envelope, IntakeError> {
    let (id, trace_id) = identity(instance, &part, &session_name);
    let command = command(instance, &part);
    if let Some(media) = part.take_media() {
        let name = Media::name(&InstanceToken::new(instance.name.as_str(), instance.id), id, "media");
        // What is not base64 is kept as it came: whoever uses the media will see it.
        let bytes = STANDARD.decode(media.trim()).unwrap_or_else(|_| media.into_bytes());
        match state.intake.store(&name, &bytes).await {
            Ok(()) => part.put_media_ref(&name),
            // The message matters more than its file, which Evolution can give again.
            Err(IntakeError::Full) => warnings.push("the media store is full: the file was not kept".to_owned()),
            Err(error) => return Err(error),
        }
    }
    Ok(Envelope {
        v: Envelope::VERSION,
        kind: EnvelopeKind::Message,
        command,
        answers: false,
        id,
        trace_id,
        instance_id: instance.id,
        instance: instance.name.as_str().to_owned(),
        channel: instance.channel_type().as_str().to_owned(),
        session_name,
        received_at: now_ms(),
        provider_at: part.provider_at_ms,
        own_id,
        warnings,
        redrive: None,
        body: EnvelopeBody::Inline(part.data),
    })
}

/// What somebody wrote on the paired phone, into a chat that the bot answers in too, matters to
/// the conversation at once. A reaction says nothing to the customer that an answer would repeat.
fn command(instance: &Instance, part: &Part) -> Option<Command> {
    let answers = || {
        let kind = read_message(&part.data).content.kind;
        !matches!(kind, MessageKind::Reaction | MessageKind::Pin | MessageKind::Unknown)
    };
    let elsewhere = part.chat == "status@broadcast" || part.chat.ends_with("@newsletter");
    let matters = part.from_me && instance.takeover.is_on() && !elsewhere && answers();
    matters.then_some(Command::Own)
}

/// On a named path the path decides; a body that names another account is worth a look.
fn warnings(instance: &Instance, named_in_body: Option<&str>, target: &Target) -> Vec<String> {
    let ChannelSettings::Whatsapp(whatsapp) = &instance.channel else { return Vec::new() };
    match named_in_body {
        Some(slug) if *target != Target::Default && slug != whatsapp.whatsapp_instance => {
            vec![format!("the body names the Evolution instance {slug:?}, the path decided")]
        }
        _ => Vec::new(),
    }
}

/// The first event of a trace: what came in.
pub(crate) fn received(instance: &Instance, envelope: Envelope) -> TraceEvent {
    let body = match envelope.body {
        EnvelopeBody::Inline(body) => body,
        EnvelopeBody::Object(name) => Value::String(name),
    };
    let said = match envelope.kind {
        EnvelopeKind::Message => TraceDetails::of(&read_message(&body)),
        EnvelopeKind::Send => {
            Outgoing::deserialize(&body).map(|sent| TraceDetails::of_outgoing(&sent)).unwrap_or_default()
        }
    };
    let details = TraceDetails { session_name: Some(envelope.session_name), warnings: envelope.warnings, ..said };
    let record = TraceRecord {
        trace_id: envelope.trace_id,
        instance_id: envelope.instance_id,
        instance_name: envelope.instance,
        channel_type: envelope.channel,
        status: TraceStatus::WebhookReceived,
        received_at: envelope.received_at,
        details,
    };
    let payload = StagePayload { stage: Stage::WebhookReceived, at: envelope.received_at, status_code: None, body };
    let secrets: Vec<&str> = instance.secrets().into_iter().map(Secret::expose).collect();
    TraceEvent::new(revision(0, TraceStatus::WebhookReceived, None), record, Some(payload), &secrets)
}
