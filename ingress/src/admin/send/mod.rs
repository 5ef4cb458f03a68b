//! `POST /api/v1/instance/{name}/send-...`: a program sends a message.
//!
//! `body` and `contents` read what is asked for, [`SendDesk`] puts it into the queue as a message of
//! its conversation and waits for its end, `answer` says what became of it. A worker sends it, in
//! order with the bot's own replies; nothing is sent from here.

mod answer;
mod body;
mod contents;
mod desk;
mod documented;

use std::{collections::HashMap, convert::Infallible, time::Duration};

use axum::{
    extract::{FromRequestParts, Query, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use omnihub_common::{
    channel::{ChannelType, OutgoingContent},
    key::Reach,
    person::People,
};

pub(super) use self::{
    body::{recipient, user_id},
    contents::file,
};
pub use desk::SendDesk;

use super::{
    access::{Allowed, CanSend},
    body::Body,
    door::{Route, Routes, post},
    fields::Fields,
    narrowed,
    path::Path,
};
use crate::{problem::Problem, state::AppState};

/// How long a caller may let a send be waited for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A file in base64 with its words: what WhatsApp takes at once, and a little more.
const LARGEST_BODY: usize = 24 * 1024 * 1024;
/// Seconds after which a send that was not taken in may be asked for again.
const RETRY_AFTER: u64 = 5;

/// Reads what a kind of message says; wrong fields are noted.
type Reader = fn(&mut Fields) -> OutgoingContent;

/// The routes, with their whole path.
pub fn routes() -> Routes {
    Routes::new()
        .route("/api/v1/instance/{name}/send-text", sends(contents::text).doc(documented::text_message()))
        .route("/api/v1/instance/{name}/send-media", sends(contents::media).doc(documented::media()))
        .route("/api/v1/instance/{name}/send-audio", sends(contents::audio).doc(documented::audio()))
        .route("/api/v1/instance/{name}/send-sticker", sends(contents::sticker).doc(documented::sticker()))
        .route("/api/v1/instance/{name}/send-contact", sends(contents::contact).doc(documented::contact()))
        .route("/api/v1/instance/{name}/send-reaction", sends(contents::reaction).doc(documented::reaction()))
        .route("/api/v1/instance/{name}/send-location", sends(contents::location).doc(documented::location()))
        .route("/api/v1/instance/{name}/send-poll", sends(contents::poll).doc(documented::poll()))
        .with_bodies_up_to(LARGEST_BODY)
}

/// What the request says beside its body.
struct Manner {
    /// `wait`, in the query.
    wait: Option<String>,
    /// `Idempotency-Key`; an error when it is no text.
    key: Option<Result<String, ()>>,
}

impl<S: Sync> FromRequestParts<S> for Manner {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri);
        let wait = query.ok().and_then(|Query(mut given)| given.remove("wait"));
        let key = parts.headers.get("idempotency-key");
        let key = key.map(|key| key.to_str().map(str::to_owned).map_err(|_| ()));
        Ok(Self { wait, key })
    }
}

fn sends(read: Reader) -> Route {
    post(
        move |access: Allowed<CanSend>,
              State(state): State<AppState>,
              Path(name): Path<String>,
              manner: Manner,
              body: Body| send(access, state, name, manner, body, read),
    )
}

async fn send(
    access: Allowed<CanSend>,
    state: AppState,
    name: String,
    manner: Manner,
    body: Body,
    read: Reader,
) -> Result<Response, Problem> {
    access.sees(&name)?;
    let Some(instance) = narrowed(&state.directory, &name).await? else {
        let detail = "the instance cannot be looked up right now; nothing was sent";
        return Err(unavailable("database_unavailable", detail));
    };
    if instance.channel_type() != ChannelType::Whatsapp {
        let detail = format!(
            "Instance '{name}' is on {}, over which nothing can be sent yet.",
            instance.channel_type().as_str()
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "channel_cannot_send", detail));
    }
    let mut fields = Fields::read(body)?;
    let person = match body::user_id(&mut fields) {
        Some(id) => Some(phone_of_user(&state, &name, id).await?),
        None => None,
    };
    let asked = body::read(fields, manner, person.as_deref(), read)?;
    if !instance.is_active {
        let detail = format!("Instance '{name}' is switched off.");
        return Err(Problem::new(StatusCode::CONFLICT, "inactive", detail));
    }
    let Some(desk) = &state.sends else {
        return Err(unavailable("queue_unavailable", "this process has no queue; nothing was sent"));
    };
    let (trace, end) = desk.send(&state, &instance, asked, access.actor()).await?;
    answer::of(trace, end)
}

/// The number of a person that the instance knows.
pub(super) async fn phone_of_user(state: &AppState, instance: &str, id: i64) -> Result<String, Problem> {
    let found = People::new(state.database.clone()).get(&Reach::one(instance), id).await;
    let away = |_| unavailable("database_unavailable", "the person cannot be looked up right now; nothing was sent");
    found
        .map_err(away)?
        .map(|user| user.phone_number)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "user_not_found", format!("User with ID {id} not found")))
}

fn unavailable(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests;
