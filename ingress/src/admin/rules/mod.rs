//! `/api/v1/access`: the rules that say who is answered.
//!
//! `body` knows the fields of a rule, `bulk` imports and exports many, `csv` is how spreadsheets
//! write them. Rules for all instances are for keys that reach all.

mod body;
mod bulk;
mod csv;
#[cfg(test)]
mod tests;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use omnihub_common::{
    access::{AccessError, AccessRules, Action, Pattern, Rule, RuleFilter, decide},
    key::Everyone,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    TOTAL_COUNT,
    access::{Allowed, CanRead, CanWrite, no_such_instance},
    body::Body,
    door::{Routes, get, post},
    fields::{Fields, invalid, page},
    openapi::{
        Doc,
        field::{Field, ID, INSTANCE_NAME, Kind, PAGE, WHO, WHOM, field},
        says,
    },
    path::Path,
    query::Pairs,
};
use crate::{
    problem::{FieldError, Problem},
    state::AppState,
};

/// What [`Asked::filter`] reads.
const FILTER: [Field; 4] = [
    INSTANCE_NAME,
    field("action", Kind::OneOf(&body::ACTIONS), "Only rules that do this."),
    field("rule_type", Kind::OneOf(&body::ACTIONS), "The older system's name of `action`."),
    field("phone_number", WHOM, "Only rules for this number or beginning."),
];

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let change = says("Change a rule")
        .more("What is absent stays.")
        .body(&body::changes(), json!({"action": "block", "reason": "asked us to"}))
        .answers::<RuleAnswer>()
        .problem(409, "There is such a rule already.");
    let making = says("Make a rule")
        .body(&body::FIELDS, json!({"phone_number": "+5511*", "action": "allow", "instance_name": "acme"}))
        .makes::<RuleAnswer>()
        .problem(404, "There is no such instance, or not for this key.")
        .problem(409, "There is such a rule already.");
    let one = get(show)
        .doc(says("A rule").path(ID).answers::<RuleAnswer>())
        .put(update)
        .patch(update)
        .doc(change.path(ID))
        .delete(delete)
        .doc(says("Delete a rule").path(ID).answers_nothing());
    let listing = says("Rules, the newest first").query(FILTER).query(PAGE).lists::<RuleAnswer>().with_total();
    Routes::new()
        .route("/api/v1/access/rules", get(list).doc(listing).post(create).doc(making))
        .route("/api/v1/access/rules/import", post(bulk::import).doc(bulk::importing()))
        .route("/api/v1/access/rules/export", get(bulk::export).doc(bulk::exporting()))
        .route("/api/v1/access/rules/{id}", one)
        .route("/api/v1/access/check", get(check).doc(checking()))
}

/// A rule as it is shown; `rule_type` is what the older system called its action.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessRule)]
struct RuleAnswer {
    #[serde(flatten)]
    rule: Rule,
    rule_type: Action,
}

impl From<Rule> for RuleAnswer {
    fn from(rule: Rule) -> Self {
        Self { rule_type: rule.action, rule }
    }
}

fn checking() -> Doc {
    says("Whether somebody would be answered now")
        .more("Without an instance only the rules for all of them are asked, which needs a key that reaches all.")
        .query([field("phone_number", WHO, "Who.").required(), INSTANCE_NAME])
        .answers::<CheckAnswer>()
}

/// `POST /api/v1/access/rules`.
async fn create(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    body: Body,
) -> Result<(StatusCode, Json<RuleAnswer>), Problem> {
    let new = body::read_new(Fields::read(body)?, None)?;
    may_rule(&access, new.instance_name.as_deref())?;
    let name = new.instance_name.clone();
    let made = AccessRules::new(state.database.clone()).create(access.actor(), new).await;
    let (rule, changed) = made.map_err(|error| problem(error, name.as_deref()))?;
    state.announcer.changed(changed).await;
    Ok((StatusCode::CREATED, Json(rule.into())))
}

/// `GET /api/v1/access/rules`: newest first, narrowed by `instance_name`, `action` (or `rule_type`)
/// and `phone_number`.
async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    let asked = Asked::of(pairs)?;
    let (skip, limit) = page(&asked.0)?;
    let rules = AccessRules::new(state.database);
    let (rules, total) =
        rules.list(access.reach(), &asked.filter()?, skip, limit).await.map_err(|error| problem(error, None))?;
    let answers: Vec<RuleAnswer> = rules.into_iter().map(RuleAnswer::from).collect();
    Ok(([(TOTAL_COUNT, total.to_string())], Json(answers)).into_response())
}

/// `GET /api/v1/access/rules/{id}`.
async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<RuleAnswer>, Problem> {
    let found = match id.parse() {
        Ok(id) => AccessRules::new(state.database).get(access.reach(), id).await,
        Err(_) => Ok(None),
    };
    let rule = found.map_err(|error| problem(error, None))?.ok_or_else(|| no_such_rule(&id))?;
    Ok(Json(rule.into()))
}

/// `PUT` and `PATCH /api/v1/access/rules/{id}`: what is absent stays.
async fn update(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<RuleAnswer>, Problem> {
    let patch = body::read_patch(Fields::read(body)?)?;
    let rules = AccessRules::new(state.database.clone());
    let changed = match id.parse() {
        Ok(id) => rules.update(access.actor(), access.reach(), id, patch).await,
        Err(_) => Ok(None),
    };
    let (rule, changed) = changed.map_err(|error| problem(error, None))?.ok_or_else(|| no_such_rule(&id))?;
    state.announcer.changed(changed).await;
    Ok(Json(rule.into()))
}

/// `DELETE /api/v1/access/rules/{id}`.
async fn delete(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let rules = AccessRules::new(state.database.clone());
    let gone = match id.parse() {
        Ok(id) => rules.delete(access.actor(), access.reach(), id).await,
        Err(_) => Ok(None),
    };
    let (_, changed) = gone.map_err(|error| problem(error, None))?.ok_or_else(|| no_such_rule(&id))?;
    state.announcer.changed(changed).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What the rules say of somebody.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessCheck)]
struct CheckAnswer {
    phone_number: String,
    instance_name: Option<String>,
    allowed: bool,
    /// `instance`, `global`, or null when there is no rule about them.
    scope: Option<&'static str>,
    /// The rule that says so, as far as the caller may see it.
    rule: Option<RuleAnswer>,
}

/// `GET /api/v1/access/check?phone_number=&instance_name=`: whether somebody would be answered now.
async fn check(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Json<CheckAnswer>, Problem> {
    let asked = Asked::of(pairs)?;
    let phone = asked.text("phone_number").or_else(|| asked.text("phone")).unwrap_or_default();
    let whom = Pattern::parse(phone).map_err(|error| wrong("phone_number", error))?;
    if whom.is_prefix() {
        return Err(wrong("phone_number", "must be one number, without *"));
    }
    let instance_name = asked.text("instance_name");
    match instance_name {
        None => drop::<Everyone>(access.everyone()?),
        Some(name) => {
            access.sees(name)?;
            super::narrowed(&state.directory, name).await?;
        }
    }
    let rules = AccessRules::new(state.database);
    let away = |error: sea_orm::DbErr| problem(error.into(), None);
    let global = rules.set_of(None).await.map_err(away)?;
    let own = match instance_name {
        Some(_) => rules.set_of(instance_name).await.map_err(away)?,
        None => Default::default(),
    };
    let decided = decide(&own, &global, &[whom.text()]);
    let rule = match decided.by {
        Some(weight) => rules.get(access.reach(), weight.rule).await.map_err(|error| problem(error, None))?,
        None => None,
    };
    Ok(Json(CheckAnswer {
        phone_number: phone.to_owned(),
        instance_name: instance_name.map(str::to_owned),
        allowed: !decided.is_blocked(),
        scope: decided.by.map(|_| if decided.global { "global" } else { "instance" }),
        rule: rule.map(RuleAnswer::from),
    }))
}

/// Goes on if the caller may make rules for this instance, or for all.
fn may_rule(access: &Allowed<CanWrite>, instance_name: Option<&str>) -> Result<(), Problem> {
    match instance_name {
        Some(name) => access.sees(name),
        None => access.everyone().map(drop),
    }
}

/// A query about rules.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn of(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let wrong = pairs.iter().filter(|(_, text)| text.contains('\0'));
        let message = "must not contain U+0000";
        let errors: Vec<_> =
            wrong.map(|(name, _)| FieldError { field: name.clone(), message: message.to_owned() }).collect();
        if errors.is_empty() { Ok(Self(pairs)) } else { Err(invalid(errors)) }
    }

    /// A parameter that is there and says something; the last one, where it is given twice.
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(given, _)| given == name);
        found.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
    }

    fn filter(&self) -> Result<RuleFilter, Problem> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| errors.push(FieldError { field: field.to_owned(), message });
        let name = if self.text("action").is_some() { "action" } else { "rule_type" };
        let action = self
            .text(name)
            .and_then(|word| word.parse::<Action>().map_err(|error| wrong(name, error.to_string())).ok());
        let pattern = self
            .text("phone_number")
            .and_then(|written| Pattern::parse(written).map_err(|error| wrong("phone_number", error.to_string())).ok());
        let instance_name = self.text("instance_name").map(str::to_owned);
        match errors.is_empty() {
            true => Ok(RuleFilter { instance_name, action, pattern, before: None }),
            false => Err(invalid(errors)),
        }
    }
}

fn wrong(field: &str, message: impl ToString) -> Problem {
    invalid(vec![FieldError { field: field.to_owned(), message: message.to_string() }])
}

fn no_such_rule(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "rule_not_found", format!("Rule '{id}' not found"))
}

/// The one table from what the table of rules says to a status.
pub(super) fn problem(error: AccessError, instance_name: Option<&str>) -> Problem {
    match error {
        AccessError::AlreadyThere => {
            let detail = "There is such a rule already: the same number, the same action.";
            Problem::new(StatusCode::CONFLICT, "rule_exists", detail)
        }
        AccessError::NoInstance => no_such_instance(instance_name.unwrap_or_default()),
        AccessError::Unreadable(_) | AccessError::Database(_) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(error.message = %error, error.cause = cause, "the table of access rules failed");
            let detail = "The database did not do it. Nothing was changed.";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(5)
        }
    }
}
