//! `GET /api/v1/audit`: who changed what, the newest first.

use std::collections::HashMap;

use axum::{Json, extract::State};
use chrono::NaiveTime;
use omnihub_common::audit::{AuditFilter, AuditLog, Entry};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::{Allowed, CanAdmin},
    door::{Routes, get},
    openapi::{
        field::{Field, INSTANCE_NAME, Kind, field as parameter, text},
        says,
    },
    query::Parameters,
    traces::{END_OF_DAY, field, invalid, moment, unavailable},
};
use crate::{problem::Problem, state::AppState};

/// How many lines a page holds when nobody says.
const DEFAULT_LIMIT: u64 = 100;
/// How many it holds at most.
const MAX_LIMIT: u64 = 500;

/// What [`asked`] reads.
const PARAMETERS: [Field; 7] = [
    INSTANCE_NAME,
    text("actor", "Only what this key, by its name, or `root` did."),
    text("action", "Only this action, or those that begin with it: `instance`, `key.create`."),
    parameter("from", Kind::TimeOrDay, "Only since then."),
    parameter("to", Kind::TimeOrDay, "Only until then."),
    parameter("limit", Kind::Whole(1, MAX_LIMIT), "How many to answer; 100 when nothing is said."),
    parameter("cursor", Kind::Like("^[0-9]{1,18}$"), "`next_cursor` of the page before."),
];

/// The route of the audit log.
pub fn routes() -> Routes {
    let doc = says("Changes, the newest first").query(PARAMETERS).answers::<Page>();
    Routes::new().route("/api/v1/audit", get(list).doc(doc))
}

/// A page of lines.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
struct Page {
    items: Vec<Entry>,
    /// Where the next page begins; none when this is the last one.
    next_cursor: Option<String>,
}

/// `GET /api/v1/audit`, narrowed by `instance_name`, `actor`, `action`, `from` and `to`; `limit`
/// and `cursor` page through it.
async fn list(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    Parameters(given): Parameters,
) -> Result<Json<Page>, Problem> {
    let (filter, limit) = asked(&given)?;
    let log = AuditLog::new(state.database);
    // One more than asked for tells whether there is more.
    let mut items = log.list(access.reach(), &filter, limit + 1).await.map_err(unavailable)?;
    let more = items.len() as u64 > limit;
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = items.last().filter(|_| more).map(|line| line.id.to_string());
    Ok(Json(Page { items, next_cursor }))
}

fn asked(given: &HashMap<String, String>) -> Result<(AuditFilter, u64), Problem> {
    let text = |name: &str| given.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let mut errors = Vec::new();
    let mut time = |name: &str, time_of_day: NaiveTime| {
        let read = text(name).map(|text| moment(text, time_of_day));
        if read == Some(None) {
            errors.push(field(name, "expected an RFC 3339 time or a day"));
        }
        read.flatten()
    };
    let (from, to) = (time("from", NaiveTime::MIN), time("to", END_OF_DAY));
    let limit = text("limit").map_or(Some(DEFAULT_LIMIT), |text| text.parse().ok());
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    if limit.is_none() {
        errors.push(field("limit", format!("expected a whole number from 1 to {MAX_LIMIT}")));
    }
    let before = text("cursor").map(|text| text.parse::<i64>());
    if let Some(Err(_)) = before {
        errors.push(field("cursor", "expected the next_cursor of an earlier answer"));
    }
    for name in ["instance_name", "actor", "action"] {
        if text(name).is_some_and(|text| text.contains('\0')) {
            errors.push(field(name, "expected text without U+0000"));
        }
    }
    let owned = |name| text(name).map(str::to_owned);
    match (limit, errors.is_empty()) {
        (Some(limit), true) => {
            let before = before.and_then(Result::ok);
            let (instance_name, actor, action) = (owned("instance_name"), owned("actor"), owned("action"));
            Ok((AuditFilter { instance_name, actor, action, from, to, before }, limit))
        }
        _ => Err(invalid(errors)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::admin::testing::{Hub, KEY};

    #[tokio::test]
    async fn changes_are_listed_by_page_and_without_secrets() {
        let hub = Hub::new().await;
        for name in ["a", "b", "c"] {
            hub.add_instance(name).await;
        }
        let first = hub.call("GET", "/audit?limit=2&action=instance", "").await;
        let targets = |page: &serde_json::Value| -> Vec<String> {
            page["items"].as_array().unwrap().iter().map(|line| line["target"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!((targets(&first.json), first.status), (vec!["c".to_owned(), "b".to_owned()], 200));
        assert_eq!(first.json["items"][0]["actor"], "root");
        let cursor = first.json["next_cursor"].as_str().unwrap().to_owned();
        let last = hub.call("GET", &format!("/audit?limit=2&cursor={cursor}"), "").await.json;
        assert_eq!((targets(&last), &last["next_cursor"]), (vec!["a".to_owned()], &json!(null)));
        let wrong = hub.call("GET", "/audit?limit=0&cursor=x&from=soon&actor=%00", "").await;
        assert_eq!(wrong.wrong_fields(), ["from", "limit", "cursor", "actor"]);
    }

    #[tokio::test]
    async fn a_key_sees_the_changes_of_its_instances() {
        let hub = Hub::new().await;
        hub.add_instance("a").await;
        hub.add_instance("b").await;
        let body = json!({"name": "k", "instances": ["a"], "scopes": ["admin"]});
        let key = hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
        let seen = hub.call_as(&key, "GET", "/audit", "").await;
        assert_eq!(seen.json["items"].as_array().unwrap().len(), 1, "{}", seen.text);
        let all = hub.call_as(KEY, "GET", "/audit?action=key.create", "").await;
        assert_eq!(all.json["items"][0]["target"], "k");
        assert!(!all.text.contains(&key));
    }
}
