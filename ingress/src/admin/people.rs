//! `/api/v1/instances/{name}/people/{phone}`: everything of one person, to be taken out or erased.

#[cfg(test)]
mod tests;

use axum::{Json, extract::State};
use omnihub_common::{
    access::{AccessRules, Pattern, Rule, RuleFilter},
    conversation::{Pauses, Standing},
    key::Reach,
    person::{Erased, People, PersonFilter, User, Whom, erase, tracks},
    trace::{MAX_LIMIT, TraceFilter, Traces, entity::message_trace},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::{Allowed, CanRead, CanWrite, no_such_instance},
    dead,
    door::{Routes, delete, get},
    fields::{invalid, page},
    narrowed,
    openapi::{
        field::{Kind, WHO, field},
        says,
    },
    path::Path,
    query::Pairs,
    users::unavailable,
};
use crate::{
    problem::{FieldError, Problem},
    state::AppState,
};

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let forgetting = says("Erase a person")
        .more(
            "Rows, traces with their payloads, dead letters, checkpoints and media. Rules that mean them stay. \
             Erasing again is harmless, and takes what was `under_way`.",
        )
        .answers::<Forgotten>();
    let exporting = says("Everything that is known of a person")
        .more("A page of their messages at a time.")
        .query([field("skip", Kind::Whole(0, u32::MAX as u64), "`next_skip` of the page before.")])
        .answers::<Export>();
    let whom = field("phone", WHO, "A phone number, in any spelling.");
    Routes::new()
        .route("/api/v1/instances/{name}/people/{phone}", delete(forget).doc(forgetting.path(whom)))
        .route("/api/v1/instances/{name}/people/{phone}/export", get(export).doc(exporting.path(whom)))
}

/// Everything that is known of a person, a page of their messages at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PersonExport)]
struct Export {
    instance_name: String,
    phone_number: String,
    user: Option<User>,
    /// The rules that mean exactly this number.
    access_rules: Vec<Rule>,
    /// What was decided about their conversations on this page.
    conversations: Vec<Standing>,
    /// Their messages and the answers, newest first.
    messages: Vec<message_trace::Model>,
    total_messages: u64,
    /// `skip` of the next page; none when this is the last one.
    next_skip: Option<u64>,
}

/// `GET .../export?skip=`.
async fn export(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path((name, phone)): Path<(String, String)>,
    Pairs(pairs): Pairs,
) -> Result<Json<Export>, Problem> {
    access.sees(&name)?;
    narrowed(&state.directory, &name).await?;
    let whom = number(&phone)?;
    let (skip, _) = page(&pairs)?;
    let reach = Reach::one(name.clone());
    let filter = TraceFilter {
        instance_name: Some(name.clone()),
        phone: Some(whom.text().to_owned()),
        limit: MAX_LIMIT,
        offset: skip,
        ..TraceFilter::default()
    };
    let traces = Traces::new(state.database.clone());
    let page = traces.list(&reach, &filter).await.map_err(|error| unavailable(&error))?;
    let filter = PersonFilter { phone_number: Some(whom.text().to_owned()), ..PersonFilter::default() };
    let people = People::new(state.database.clone());
    let (mut users, _) = people.list(&reach, &filter, 0, 1).await.map_err(|error| unavailable(&error))?;
    let next = page.next.map(|_| skip + page.rows.len() as u64);
    Ok(Json(Export {
        phone_number: format!("+{}", whom.text()),
        user: users.pop(),
        access_rules: rules_about(&state, &reach, whom).await?,
        conversations: conversations(&state, &name, &page.rows).await?,
        next_skip: next,
        messages: page.rows,
        total_messages: page.total.unwrap_or_default(),
        instance_name: name,
    }))
}

async fn rules_about(state: &AppState, reach: &Reach, whom: Pattern) -> Result<Vec<Rule>, Problem> {
    let filter = RuleFilter { pattern: Some(whom), ..RuleFilter::default() };
    let rules = AccessRules::new(state.database.clone()).list(reach, &filter, 0, MAX_LIMIT).await;
    rules.map(|(rules, _)| rules).map_err(|error| super::rules::problem(error, None))
}

/// The conversations of these messages about which anything was decided.
async fn conversations(
    state: &AppState,
    name: &str,
    messages: &[message_trace::Model],
) -> Result<Vec<Standing>, Problem> {
    let mut sessions: Vec<&str> = messages.iter().filter_map(|message| message.session_name.as_deref()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    let pauses = Pauses::new(state.database.clone());
    let mut decided = Vec::new();
    for session in sessions {
        let standing = pauses.get(name, session).await.map_err(|error| unavailable(&error))?;
        decided.extend(Some(standing).filter(|standing| *standing != Standing::active(name, session)));
    }
    Ok(decided)
}

/// The answer to an erasure.
#[derive(Debug, Serialize, ToSchema)]
struct Forgotten {
    #[serde(flatten)]
    erased: Erased,
    dead_letters: u64,
    /// Something of theirs is being answered or not recorded yet: erase once more.
    under_way: bool,
}

/// `DELETE /api/v1/instances/{name}/people/{phone}`: rows, traces with their payloads, dead
/// letters, checkpoints and media. Rules that mean them stay, so that whoever is blocked stays so.
/// Erasing again is harmless, and takes what was `under_way`.
async fn forget(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path((name, phone)): Path<(String, String)>,
) -> Result<Json<Forgotten>, Problem> {
    access.sees(&name)?;
    let whom = number(&phone)?;
    let (phone, later) = (whom.text(), || dead::queue_unavailable("the queue does not answer; erase again"));
    let find = async |lane| {
        let found = tracks(&state.database, &name, Whom { phone, lane }).await.map_err(|error| unavailable(&error))?;
        found.ok_or_else(|| no_such_instance(&name))
    };
    let mut found = find(None).await?;
    let id = found.instance_id;
    let lane = match &state.sessions {
        Some(sessions) => sessions.lane_of(id, phone).await.map_err(|_| later())?,
        None => None,
    };
    if lane.is_some() {
        found = find(lane.as_deref()).await?;
    }
    // The rows go last: without them nobody could find the rest again.
    let dead_letters = dead::drop_of_person(&state, &found).await?;
    let under_way = state.purger.erase(found.clone()).await;
    let slow = || dead::queue_unavailable("the queue has not let go of everything yet; erase again");
    let under_way = under_way.ok_or_else(slow)?;
    let whom = Whom { phone, lane: lane.as_deref() };
    let erased = erase(&state.database, access.actor(), &name, whom).await;
    let erased = erased.map_err(|error| unavailable(&error))?.ok_or_else(|| no_such_instance(&name))?;
    state.announcer.changed(erased.tracks.instance_id).await;
    if erased.tracks != found {
        // What came meanwhile has lost its rows too.
        state.purger.erase(erased.tracks.clone()).await;
    }
    // What else they are called goes when nothing is left to be found by it.
    if let Some(sessions) = state.sessions.as_ref().filter(|_| !under_way) {
        sessions.forget(id, phone).await.map_err(|_| later())?;
    }
    tracing::info!(instance.id = erased.tracks.instance_id, erased.messages, "a person was erased");
    Ok(Json(Forgotten { erased, dead_letters, under_way }))
}

/// One number, in any spelling.
fn number(phone: &str) -> Result<Pattern, Problem> {
    let wrong = |message: String| invalid(vec![FieldError { field: "phone".to_owned(), message }]);
    let whom = Pattern::parse(phone).map_err(|error| wrong(error.to_string()))?;
    match !whom.is_prefix() && whom.text().bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(whom),
        false => Err(wrong("must be one phone number".to_owned())),
    }
}
