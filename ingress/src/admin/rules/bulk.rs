//! Many rules at once.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use omnihub_common::{
    access::{AccessRules, Imported, Rule, RuleFilter},
    key::Reach,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Asked, FILTER, RuleAnswer, body, csv, may_rule, problem, wrong};
use crate::{
    admin::{
        access::{Allowed, CanRead, CanWrite},
        body::Body,
        openapi::{
            Doc,
            field::{Kind, field, flag, object, text},
            says,
        },
        query::Pairs,
    },
    problem::Problem,
    state::AppState,
};

/// Rules that one read fetches.
const AT_ONCE: u64 = 2_000;
/// The columns of a table of rules; an import takes them in any order.
const COLUMNS: [&str; 4] = ["phone_number", "action", "reason", "instance_name"];

/// What is said of an import.
pub(super) fn importing() -> Doc {
    let rule = object(&body::FIELDS);
    let rules = json!({"oneOf": [
        {"type": "array", "items": rule},
        {"type": "object", "properties": {"rules": {"type": "array", "items": rule}}, "required": ["rules"]},
    ]});
    let example = json!([{"phone_number": "+5511987654321", "action": "allow"}]);
    says("Make many rules, or none")
        .more("A rule that is there takes the reason, where one is given.")
        .query([
            text("instance_name", "The instance of the rules that name none."),
            flag("dry_run", "Whether only to say what would be done."),
        ])
        .content("application/json", rules, example, true)
        .content("text/csv", json!({"type": "string"}), "phone_number,action\n+5511987654321,allow\n".into(), true)
        .answers::<ImportAnswer>()
}

/// What is said of an export.
pub(super) fn exporting() -> Doc {
    says("All rules, as an import takes them")
        .query(FILTER)
        .query([field("format", Kind::OneOf(&["json", "csv"]), "`json` unless said.")])
        .lists::<RuleAnswer>()
        .answers_text("text/csv", "All rules.")
}

/// The answer to an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessImport)]
pub(super) struct ImportAnswer {
    #[serde(flatten)]
    imported: Imported,
    dry_run: bool,
}

/// `POST /api/v1/access/rules/import?instance_name=&dry_run=`: a JSON list or CSV, all or nothing.
pub(super) async fn import(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
    body: Body,
) -> Result<Json<ImportAnswer>, Problem> {
    let asked = Asked::of(pairs)?;
    let dry_run = match asked.text("dry_run") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(wrong("dry_run", "must be true or false")),
    };
    let rules = body::read_many(&body, asked.text("instance_name"))?;
    let mut named = None;
    for rule in &rules {
        may_rule(&access, rule.instance_name.as_deref())?;
        // One instance that is not there is named as well as another.
        if let Some(name) = rule.instance_name.as_deref().filter(|name| Some(*name) != named) {
            super::super::narrowed(&state.directory, name).await?;
            named = Some(name);
        }
    }
    let table = AccessRules::new(state.database.clone());
    let imported = table.import(access.actor(), rules, dry_run).await.map_err(|error| problem(error, None))?;
    for changed in &imported.announce {
        state.announcer.changed(*changed).await;
    }
    Ok(Json(ImportAnswer { imported, dry_run }))
}

/// `GET /api/v1/access/rules/export?format=json|csv`, narrowed as a list is: what an import takes.
pub(super) async fn export(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    let asked = Asked::of(pairs)?;
    let filter = asked.filter()?;
    let format = asked.text("format").unwrap_or("json");
    if !matches!(format, "json" | "csv") {
        return Err(wrong("format", "must be json or csv"));
    }
    let rules = all(&AccessRules::new(state.database), access.reach(), filter).await?;
    if format == "json" {
        return Ok(Json(rules.into_iter().map(RuleAnswer::from).collect::<Vec<_>>()).into_response());
    }
    let mut table = csv::line(COLUMNS);
    for rule in &rules {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
        let (reason, instance) = (or_nothing(&rule.reason), or_nothing(&rule.instance_name));
        table.push_str(&csv::line([&*rule.phone_number, rule.action.as_str(), &reason, &instance]));
    }
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], table).into_response())
}

/// All that match, newest first, page by page.
async fn all(table: &AccessRules, reach: &Reach, mut filter: RuleFilter) -> Result<Vec<Rule>, Problem> {
    let mut all = Vec::new();
    loop {
        let page = table.list(reach, &filter, 0, AT_ONCE).await;
        let (page, _) = page.map_err(|error| problem(error, None))?;
        let is_last = (page.len() as u64) < AT_ONCE;
        filter.before = page.last().map(|rule| rule.id);
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}
