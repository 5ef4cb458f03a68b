//! `GET /api/v1/traces/tail`: what happens to messages, while it happens, as server-sent events.
//!
//! ```text
//! event: hello   the tail has begun: what happens from now on is shown
//! event: trace   a step of a message, as JSON
//! event: gap     the connection to NATS was lost or came back; something may be missing
//! event: cut     the end, with a reason: slow, stopped or lost
//! ```
//!
//! A comment every 15 s shows that it is still there.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, Stream};
use omnihub_common::{
    key::Reach,
    trace::{Outcome, TailFilter},
};
use serde_json::json;

use super::{
    access::{Allowed, CanRead},
    door::{Routes, get},
    narrowed,
    openapi::{
        field::{INSTANCE_NAME, Kind, field as parameter, flag},
        says,
    },
    query::Parameters,
    traces::{OUTCOMES, field, invalid},
};
use crate::{
    live::{Ending, Said, Tail, TailError},
    problem::Problem,
    state::AppState,
};

/// How often a silent tail shows that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The route of the tail.
pub fn routes() -> Routes {
    let doc = says("What happens to messages, while it happens")
        .more(
            "Server-sent events: `hello`, a `trace` for each step of a message, `gap` when something may be missing, \
             `cut` at the end with a reason.",
        )
        .query([
            INSTANCE_NAME,
            parameter("outcome", Kind::OneOf(&OUTCOMES), "Only messages that ended so."),
            flag("errors", "Only what went wrong."),
        ])
        .answers_text("text/event-stream", "The events.");
    Routes::new().route("/api/v1/traces/tail", get(tail).doc(doc))
}

/// `GET /api/v1/traces/tail`, narrowed by `instance_name`, `outcome` and `errors`.
async fn tail(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Parameters(given): Parameters,
) -> Result<Response, Problem> {
    let filter = filter(access.reach(), &given)?;
    if let Some(name) = &filter.instance_name {
        access.sees(name)?;
        narrowed(&state.directory, name).await?;
    }
    let tails = state.live.tails().ok_or_else(|| refused(TailError::Unavailable))?;
    let tail = tails.open(filter).await.map_err(refused)?;
    Ok(Sse::new(events(tail)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")).into_response())
}

fn filter(reach: &Reach, given: &HashMap<String, String>) -> Result<TailFilter, Problem> {
    let text = |name: &str| given.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let mut errors = Vec::new();
    let outcome = text("outcome").map(Outcome::parse);
    if outcome == Some(None) {
        errors.push(field("outcome", "expected answered, ignored, handed_off or dead"));
    }
    let only_errors = match text("errors") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => {
            errors.push(field("errors", "expected true or false"));
            false
        }
    };
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    let instance_name = text("instance_name").map(str::to_owned);
    Ok(TailFilter { reach: reach.clone(), instance_name, outcome: outcome.flatten(), errors: only_errors })
}

fn refused(error: TailError) -> Problem {
    let code = match error {
        TailError::Full => "too_many_tails",
        TailError::Unavailable => "queue_unavailable",
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, format!("{error}; try again later")).retry_after(5)
}

/// Where a stream of events is.
enum At {
    Beginning(Tail),
    Running(Tail),
    End,
}

fn events(tail: Tail) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(At::Beginning(tail), async |at| {
        let (event, next) = match at {
            At::Beginning(tail) => (said("hello", &json!({"v": 1})), At::Running(tail)),
            At::Running(mut tail) => match tail.next().await {
                Ok(Said::Line(line)) => (said("trace", &*line), At::Running(tail)),
                Ok(Said::Gap) => (said("gap", &json!({})), At::Running(tail)),
                Err(ending) => (said("cut", &json!({"reason": word(ending), "detail": detail(ending)})), At::End),
            },
            At::End => return None,
        };
        Some((Ok(event), next))
    })
}

fn said(name: &str, data: &impl serde::Serialize) -> Event {
    // JSON of our own making is always data.
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().event(name).data("{}"))
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Slow => "slow",
        Ending::Stopped => "stopped",
        Ending::Lost => "lost",
    }
}

fn detail(ending: Ending) -> &'static str {
    match ending {
        Ending::Slow => "you do not read as fast as messages pass; narrow the tail, or read faster",
        Ending::Stopped => "the hub stops",
        Ending::Lost => "the connection to NATS has ended",
    }
}
