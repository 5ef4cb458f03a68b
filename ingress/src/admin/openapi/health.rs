//! What is said of the routes of health, which every role of the hub serves.

use axum::http::Method;
use serde_json::json;

use super::doc::{Doc, says};
use crate::admin::door::Recorded;

/// The routes that [`omnihub_common::health::routes`] builds.
pub(super) fn recorded() -> impl Iterator<Item = Recorded> {
    let open =
        |(path, doc): (&str, Doc)| Recorded { path: path.to_owned(), method: Method::GET, scope: None, doc: Some(doc) };
    [("/health", show()), ("/livez", livez()), ("/readyz", readyz()), ("/metrics", metrics())].into_iter().map(open)
}

fn show() -> Doc {
    let example = json!({
        "status": "healthy",
        "timestamp": "2026-11-22T09:00:00Z",
        "services": {"database": {"status": "up"}, "nats": {"status": "down", "detail": "not connected to NATS"}},
    });
    says("Each part, and how the whole is")
        .more("`status` is `healthy`, `degraded` while a part that is only wanted is down, or `unhealthy`.")
        .answers_like(example)
        .also_unwell("A part that is needed is down.")
}

fn livez() -> Doc {
    says("Whether the process runs").answers_text("text/plain", "It does.")
}

fn readyz() -> Doc {
    says("Whether the process can do its work")
        .answers_text("text/plain", "It can.")
        .also_unwell("It cannot: what is missing.")
}

fn metrics() -> Doc {
    says("What is counted, for Prometheus").answers_text("text/plain", "In Prometheus' text format.")
}
