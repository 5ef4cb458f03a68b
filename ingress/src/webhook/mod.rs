//! The public door: webhooks of the channels, and agents that answer later (`replies`).
//!
//! The journey of a webhook: `route` finds whose it is, `verify` whether its sender knows the
//! instance's secret, the channel's folder reads and splits it, `accept` names each message and
//! hands it to the queue, and only when the queue has confirmed all of them is the answer 200.
//!
//! Evolution drops a message for ever on 400, 401, 403, 404 and 422, so those are answered only
//! when the same webhook could never become fine; whatever may is a 503.

mod accept;
mod correct;
mod deliveries;
mod documented;
mod late;
mod meters;
mod quota;
mod replies;
mod route;
mod session;
mod verify;

pub(crate) use accept::received;
pub(crate) use late::{accept_late, trace_of};

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use omnihub_common::{
    channel::whatsapp::{
        event::Event,
        webhook::{Webhook, WebhookError, read_webhook},
    },
    conversation::Tickets,
    instance::Directory,
    queue::{Intake, IntakeError, TraceBus},
    telemetry::propagation,
    trace::Traces,
};
use serde::Serialize;
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

pub use meters::WebhookMeters;
pub use quota::Quota;
pub use session::Sessions;

use crate::{
    admin::door::{Routes, open_post},
    evolution::Connections,
    problem::Problem,
};
use route::Target;

/// Seconds after which a sender should post again; Evolution has its own schedule and ignores it.
const RETRY_AFTER: u64 = 5;

/// What the webhook door works with.
#[derive(Clone, Debug)]
pub struct WebhookState {
    /// The instances: cached, and there while the database is down.
    pub directory: Arc<Directory>,
    /// The queue.
    pub intake: Intake,
    /// How much may wait for one instance.
    pub quota: Quota,
    /// Where traces begin.
    pub traces: TraceBus,
    /// What is recorded of them.
    pub recorded: Traces,
    /// What is counted.
    pub webhooks: WebhookMeters,
    /// How accounts are connected.
    pub connections: Connections,
    /// What agents show that answer later.
    pub tickets: Tickets,
    /// Which conversations messages belong to.
    pub sessions: Sessions,
}

/// Larger bodies are not read on the threads that serve everybody.
const READ_INLINE: usize = 256 * 1024;

/// The routes of the webhooks, for bodies of at most `limit` bytes.
pub fn routes(limit: usize) -> Router<WebhookState> {
    Router::from(recorded()).layer(DefaultBodyLimit::max(limit))
}

/// The same with what is recorded of them.
pub(crate) fn recorded() -> Routes<WebhookState> {
    Routes::new()
        .route("/webhook/evolution", open_post(legacy).doc(documented::default()))
        .route("/webhook/evolution/{instance}", open_post(named).doc(documented::named()))
        .route("/webhook/evolution/{instance}/{event}", open_post(named_by_event).doc(documented::by_event()))
        .route("/api/v1/replies/{ticket}", open_post(replies::answer).doc(replies::doc()))
}

/// The answer to an accepted webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAnswer)]
struct Answer {
    status: &'static str,
    instance: String,
    /// The event, where nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_event: Option<String>,
    trace_id: Option<Uuid>,
    trace_ids: Vec<Uuid>,
}

async fn legacy(
    State(state): State<WebhookState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    receive(&state, Target::Default, None, query.as_deref(), &headers, body).await
}

async fn named(
    State(state): State<WebhookState>,
    Path(word): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    // A by-events URL without an instance: `/webhook/evolution/messages-upsert`.
    let (target, event) = match Target::of_word(&word) {
        Target::Default => (Target::Default, Some(word.as_str())),
        named => (named, None),
    };
    receive(&state, target, event, query.as_deref(), &headers, body).await
}

async fn named_by_event(
    State(state): State<WebhookState>,
    Path((instance, event)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    receive(&state, Target::Named(instance), Some(&event), query.as_deref(), &headers, body).await
}

async fn receive(
    state: &WebhookState,
    target: Target,
    event: Option<&str>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let span = tracing::info_span!("webhook", instance.name = tracing::field::Empty);
    propagation::set_parent(&span, propagation::extract_http(headers));
    let result = match body {
        Ok(body) => match handle(state, target, event, query, headers, body.clone()).instrument(span).await {
            // Evolution posts nothing more of the instance before this one has its 2xx.
            Err(problem) if problem.status == 503 => correct::unless_edit(&body, event, problem),
            handled => handled,
        },
        Err(rejection) => Err(unread(&rejection)),
    };
    match &result {
        Ok((event, _)) => state.webhooks.accepted(event),
        Err(problem) => state.webhooks.refused(problem.code),
    }
    result.map(|(_, answer)| Json(answer).into_response())
}

async fn handle(
    state: &WebhookState,
    target: Target,
    event: Option<&str>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Event, Answer), Problem> {
    let proof = verify::Proof::read(headers, query);
    // Where the path decides, a stranger's body is not even read.
    let named = match &target {
        Target::Named(_) => Some(route::find(state, &target, None, &proof).await?),
        Target::Default => None,
    };
    let webhook = read(body, event)
        .await
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "webhook_unreadable", error.to_string()))?;
    let instance = match named {
        Some(instance) => instance,
        None => route::find(state, &target, webhook.instance.as_deref(), &proof).await?,
    };
    tracing::Span::current().record("instance.name", instance.name.as_str());
    let event = webhook.event.clone();
    if let Some(news) = &webhook.connection {
        state.connections.tell(instance.id, news.clone());
    }
    let mut answer = Answer {
        status: "success",
        instance: instance.name.as_str().to_owned(),
        ignored_event: None,
        trace_id: None,
        trace_ids: Vec::new(),
    };
    match &event {
        Event::MessagesUpsert => {
            quota::check(state, &instance).await?;
            let accepted = accept::accept(state, &instance, webhook, &target).await;
            answer.trace_ids =
                accepted.map_err(|error| refused(&error, "nothing is lost when the webhook is posted again"))?;
            answer.trace_id = answer.trace_ids.first().copied();
        }
        Event::MessagesEdited | Event::MessagesDelete => {
            answer.trace_id = correct::accept(state, &instance, webhook).await?;
            answer.trace_ids.extend(answer.trace_id);
            answer.ignored_event = answer.trace_id.is_none().then(|| event.as_str().to_owned());
        }
        Event::Other(_) if !webhook.deliveries.is_empty() => {
            deliveries::tell(state, &instance, webhook.deliveries).await;
        }
        Event::Other(name) => answer.ignored_event = Some(name.clone()),
    }
    Ok((event, answer))
}

/// Reads the body; a large one on a thread that may take its time.
async fn read(body: Bytes, event: Option<&str>) -> Result<Webhook, WebhookError> {
    if body.len() <= READ_INLINE {
        return read_webhook(&body, event);
    }
    let event = event.map(str::to_owned);
    let read = tokio::task::spawn_blocking(move || read_webhook(&body, event.as_deref()));
    read.await.unwrap_or_else(|_| Err(WebhookError::NotJson("the body could not be read".to_owned())))
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = "the webhook's body is larger than OMNIHUB_WEBHOOK_LIMIT allows";
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "webhook_too_large", detail);
    }
    // The connection broke while the body was read: the sender tries again.
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "body_unread", "the body could not be read").retry_after(RETRY_AFTER)
}

/// What the queue did not take; `what` says what can be done about it.
pub(crate) fn refused(error: &IntakeError, what: &str) -> Problem {
    tracing::warn!(error.message = %error, "a message was not accepted");
    let code = match error {
        IntakeError::Busy => "queue_busy",
        IntakeError::Full => "queue_full",
        IntakeError::Unavailable(_) => "queue_unavailable",
    };
    let detail = format!("{error}; {what}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(RETRY_AFTER)
}
