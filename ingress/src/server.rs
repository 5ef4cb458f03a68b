//! The server: every route behind one stack of layers.

use std::{any::Any, net::SocketAddr, time::Duration};

use axum::{
    BoxError, Router,
    error_handling::HandleErrorLayer,
    extract::Request,
    http::{Response, StatusCode},
    response::IntoResponse,
};
use axum::{ServiceExt, body::Body};
use omnihub_common::{health, health::Health, telemetry::MetricsPage};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder, limit::GlobalConcurrencyLimitLayer};
use tower_http::{catch_panic::CatchPanicLayer, normalize_path::NormalizePathLayer, trace::TraceLayer};

use crate::{
    admin::{self, send::LONGEST_WAIT},
    media::{self, MediaState},
    problem::Problem,
    settings::IngressSettings,
    state::AppState,
    webhook::{self, WebhookMeters, WebhookState},
};

/// Everything an ingress serves.
pub struct Doors {
    /// For the admin API.
    pub admin: AppState,
    /// For the webhooks.
    pub webhook: WebhookState,
    /// For the files that agents fetch.
    pub media: MediaState,
    /// For `/health` and its siblings.
    pub health: Health,
    /// For `/metrics`.
    pub metrics: MetricsPage,
}

/// Serves until told to stop, then finishes what is in flight.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    doors: Doors,
    settings: &IngressSettings,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let grace = settings.grace;
    // Whoever shows wrong keys is known by the address.
    let app = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(app(doors, settings));
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = too_long => {
            tracing::warn!("requests were cut at the end of the grace");
            Ok(())
        }
    }
}

/// Every route and layer, with or without a trailing slash.
fn app(doors: Doors, settings: &IngressSettings) -> tower_http::normalize_path::NormalizePath<Router> {
    let meters = doors.webhook.webhooks.clone();
    let api = Router::new()
        .merge(admin::quick_routes().with_state(doors.admin.clone()))
        .merge(webhook::routes(settings.webhook_limit).with_state(doors.webhook))
        .merge(media::routes().with_state(doors.media))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path") })
        .method_not_allowed_fallback(wrong_method);
    let waiting = admin::waiting_routes().with_state(doors.admin).method_not_allowed_fallback(wrong_method);
    // One limit for all routes together.
    let limit = GlobalConcurrencyLimitLayer::new(settings.concurrency);
    let api = stack(api, &limit, REQUEST_TIMEOUT, meters.clone());
    let api = api.merge(stack(waiting, &limit, REQUEST_TIMEOUT + LONGEST_WAIT, meters));
    // Health answers outside the limits: a probe of a busy hub must not be shed.
    NormalizePathLayer::trim_trailing_slash().layer(health::routes(doors.health, doors.metrics).merge(api))
}

async fn wrong_method() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// The stack, outermost first.
fn stack(api: Router, limit: &GlobalConcurrencyLimitLayer, timeout: Duration, meters: WebhookMeters) -> Router {
    let failed = move |error: BoxError| {
        let problem = overloaded(&error);
        meters.refused(problem.code);
        async move { problem }
    };
    let layers = ServiceBuilder::new()
        // A span per request, without its query and without what opens a file: tokens stand there.
        // Failures are counted and logged where they are understood.
        .layer(TraceLayer::new_for_http().on_failure(()).make_span_with(|request: &Request| {
            tracing::debug_span!("http", http.method = %request.method(), http.path = shown(request.uri().path()))
        }))
        // A bug costs one request.
        .layer(CatchPanicLayer::custom(panicked))
        // What the next three refuse becomes a 503 that says when to come back.
        .layer(HandleErrorLayer::new(failed))
        // At the limit a request is refused at once instead of waiting: senders have timeouts.
        .load_shed()
        .layer(limit.clone())
        // Evolution gives up after 30 s; an answer after that would only make it post again.
        .timeout(timeout);
    api.layer(layers)
}

/// A path as logs may show it: whoever knows the rest of these may fetch a file, or answer for an agent.
fn shown(path: &str) -> &str {
    let hidden = ["/media/", "/api/v1/replies/"];
    hidden.into_iter().find(|hidden| path.starts_with(hidden)).unwrap_or(path)
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

fn overloaded(error: &BoxError) -> Problem {
    let (code, detail) = if error.is::<tower::timeout::error::Elapsed>() {
        ("timeout", "the request took too long")
    } else {
        ("overloaded", "too many requests at once")
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(5)
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a request handler panicked");
    let detail = "something went wrong here; it is in the log";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).into_response()
}
