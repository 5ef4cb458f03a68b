//! Messages that no webhook brought: fetched from the channel's server after an outage.

use omnihub_common::{
    channel::whatsapp::{
        event::Event,
        webhook::{Part, Webhook},
    },
    instance::Instance,
    queue::IntakeError,
};
use uuid::Uuid;

use super::{
    WebhookState,
    accept::{accept, identity},
    route::Target,
};

/// The trace that a message has, whether a webhook brings it or somebody fetches it.
///
/// # Errors
/// When nobody can be asked whose it is.
pub(crate) async fn trace_of(state: &WebhookState, instance: &Instance, part: &mut Part) -> Result<Uuid, IntakeError> {
    let session_name = state.sessions.of(instance, part).await?;
    Ok(identity(instance, part, &session_name).1)
}

/// Accepts messages as if a webhook had brought them; `own_id` is our own id at the channel.
///
/// # Errors
/// When the queue did not confirm all of them; those that it did are known by their ids.
pub(crate) async fn accept_late(
    state: &WebhookState,
    instance: &Instance,
    parts: Vec<Part>,
    own_id: Option<String>,
) -> Result<Vec<Uuid>, IntakeError> {
    let webhook =
        Webhook { event: Event::MessagesUpsert, instance: None, own_id, parts, correction: None, connection: None };
    accept(state, instance, webhook, &Target::Default).await
}
