//! The OpenAPI document of the hub, and the page that shows it.
//!
//! Each room says of its routes what they do, with [`Doc`], where it builds them; the door records
//! method, path and scope ([`Recorded`]). `assemble` makes the document of both, so that there is
//! no list of routes beside the routes.
//!
//! Both are open to everybody, as the older system had them: they say what this program can do, and
//! nothing of what a hub has in it.

mod assemble;
mod doc;
pub(crate) mod field;
mod groups;
mod health;
mod page;
mod schemas;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{
    http::header,
    response::{IntoResponse, Redirect},
};
use bytes::Bytes;
use serde_json::{Value, json};

pub use doc::Doc;
pub(crate) use doc::says;

use super::door::{Recorded, Routes, open_get};
use crate::{media, webhook};

/// The document as it is served. It is the same for every hub of this build.
static TEXT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let moved = || async { Redirect::permanent("/api/v1/docs") };
    Routes::new()
        .route(
            "/api/v1/openapi.json",
            open_get(text).doc(says("This document").answers_like(json!({"openapi": "3.1.0"}))),
        )
        .route(
            "/api/v1/docs",
            open_get(page::html).doc(says("This document, to be read").answers_text("text/html", "A page.")),
        )
        .route(
            "/api/v1/docs/rapidoc.js",
            open_get(page::script).doc(
                says("The script of the page").answers_text("text/javascript", "RapiDoc, as its authors made it."),
            ),
        )
        .route(
            "/api/v1/redoc",
            open_get(moved).doc(says("The older system's other page").moved("It is `/api/v1/docs` now.")),
        )
}

/// The document.
#[must_use]
pub fn document() -> Value {
    assemble::document(&recorded())
}

/// The statuses that the document has for a request, so that a test can hold an answer against it;
/// none where there is no such route.
#[must_use]
pub fn statuses(method: &str, path: &str) -> Option<BTreeSet<u16>> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    let asked: Vec<_> = path.split('?').next()?.split('/').collect();
    let fits = |known: &str| {
        let known: Vec<_> = known.split('/').collect();
        let mut both = known.iter().zip(&asked);
        known.len() == asked.len() && both.all(|(known, asked)| known == asked || is_name(known) && !asked.is_empty())
    };
    // A word comes before a name, as it does for the router.
    let paths = DOCUMENT["paths"].as_object()?.iter().filter(|(known, _)| fits(known));
    let (_, found) = paths.max_by_key(|(known, _)| known.split('/').filter(|word| !is_name(word)).count())?;
    let answers = found.get(method.to_lowercase())?["responses"].as_object()?;
    Some(answers.keys().filter_map(|status| status.parse().ok()).collect())
}

fn is_name(word: &str) -> bool {
    word.starts_with('{')
}

/// Every route of the hub as it was built.
fn recorded() -> Vec<Recorded> {
    let (admin, webhooks) = (super::every_route(), webhook::recorded());
    admin
        .recorded()
        .iter()
        .chain(webhooks.recorded())
        .chain(media::recorded().recorded())
        .cloned()
        .chain(health::recorded())
        .collect()
}

async fn text() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}
