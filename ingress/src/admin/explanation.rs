//! `GET /api/v1/traces/{trace_id}/explanation`: why a message was answered, ignored or delayed.

use axum::{Json, extract::State};
use chrono::Utc;
use omnihub_common::{
    queue::DeadLetter,
    trace::{
        Outcome, Traces,
        entity::message_trace::Model,
        explain::{Explanation, explain},
    },
};

use super::{
    access::{Allowed, CanRead},
    door::{Routes, get},
    openapi::{field::TRACE_ID, says},
    path::Path,
    traces::{awaited, unavailable},
    whereabouts::Finder,
};
use crate::{problem::Problem, state::AppState};

/// The route of explanations.
pub fn routes() -> Routes {
    let doc = says("Why a message was answered, ignored or delayed")
        .more("The story in sentences, the timetable, and what to do where something is to be done.")
        .path(TRACE_ID)
        .answers::<Explanation>();
    Routes::new().route("/api/v1/traces/{trace_id}/explanation", get(show).doc(doc))
}

/// `GET /api/v1/traces/{trace_id}/explanation`. What NATS cannot tell at the moment is left out.
async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(trace_id): Path<String>,
) -> Result<Json<Explanation>, Problem> {
    let (traces, reach) = (Traces::new(state.database.clone()), access.reach());
    let trace = awaited(&traces, reach, &trace_id).await?;
    let finder = Finder::new(&state, reach);
    let whereabouts = match &trace.outcome {
        Some(_) => None,
        None => finder.of_trace(&trace).await.ok(),
    };
    let letter = dead_letter(&state, &trace).await;
    let told = explain(&trace, whereabouts.as_ref(), letter.as_ref(), Utc::now());
    let bubbles = traces.bubble_states(&trace).await.map_err(unavailable)?;
    Ok(Json(told.with_bubbles(&bubbles)))
}

async fn dead_letter(state: &AppState, trace: &Model) -> Option<DeadLetter> {
    if trace.outcome.as_deref().and_then(Outcome::parse) != Some(Outcome::Dead) {
        return None;
    }
    let (sightings, conversation) = (state.live.sightings()?, trace.session_name.as_deref()?);
    let lane = sightings.lane(&trace.instance_name, trace.instance_id, conversation);
    sightings.dead_letter(&lane, trace.trace_id).await.ok()?
}
