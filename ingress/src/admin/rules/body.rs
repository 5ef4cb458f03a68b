//! The fields of a rule. `rule_type` is the older system's word for `action`.

use std::collections::BTreeSet;

use omnihub_common::access::{Action, NewRule, Pattern, RulePatch};
use serde_json::{Map, Value};

use super::csv;
use crate::{
    admin::{
        body::Body,
        fields::{Fields, Given, invalid, warn_of_unknown},
        openapi::field::{Field, Kind, WHOM, field, text},
    },
    problem::{FieldError, Problem},
};

/// What a rule may do.
pub(super) const ACTIONS: [&str; 2] = ["allow", "block"];
/// The fields of a rule.
pub(super) const FIELDS: [Field; 5] = [
    field("phone_number", WHOM, "Whom it means: a number, or a beginning and `*`.").required(),
    field("action", Kind::OneOf(&ACTIONS), "What it does."),
    field("rule_type", Kind::OneOf(&ACTIONS), "The older system's name of `action`."),
    text("reason", "Why, for people."),
    text("instance_name", "The instance that it is for; all of them unless said."),
];

/// Rules of one import: with more of them it would hold the table for too long.
const MAX_RULES: usize = 10_000;
/// Wrong fields that an import names.
const MAX_ERRORS: usize = 50;

/// The fields that may be changed.
pub(super) fn changes() -> [Field; 4] {
    let [_, action, rule_type, reason, _] = FIELDS;
    let whom = field("phone_number", WHOM, "Whom it means: a number, or a beginning and `*`.");
    [whom.kept(), action.kept(), rule_type.kept(), reason]
}

/// Reads a rule to make; `instance` is what it is for when it does not say.
pub(super) fn read_new(fields: Fields, instance: Option<&str>) -> Result<NewRule, Problem> {
    let (new, fields) = read_rule(fields.without_empty(), instance);
    fields.finish()?;
    Ok(new)
}

fn read_rule(mut fields: Fields, instance: Option<&str>) -> (NewRule, Fields) {
    let whom = whom(&mut fields);
    let whom = fields.kept("phone_number", whom);
    if whom.is_none() {
        fields.require::<()>("phone_number", None);
    }
    let action = action(&mut fields);
    if action.is_none() && !fields.has("rule_type") {
        fields.require::<()>("action", None);
    }
    let reason = fields.text("reason").clearable().flatten();
    let named = fields.text("instance_name").clearable().flatten();
    let (phone_number, pattern) = whom.unwrap_or_else(|| (String::new(), Pattern::everybody()));
    let instance_name = named.or_else(|| instance.map(str::to_owned));
    (NewRule { instance_name, phone_number, pattern, action: action.unwrap_or(Action::Block), reason }, fields)
}

/// Reads what is changed of a rule.
pub(super) fn read_patch(mut fields: Fields) -> Result<RulePatch, Problem> {
    let whom = whom(&mut fields);
    let whom = fields.kept("phone_number", whom);
    let action = action(&mut fields);
    let reason = fields.text("reason").clearable();
    fields.finish()?;
    Ok(RulePatch { whom, action, reason })
}

fn whom(fields: &mut Fields) -> Given<(String, Pattern)> {
    fields.text("phone_number").check(fields, "phone_number", |written| {
        let pattern = Pattern::parse(&written)?;
        Ok::<_, omnihub_common::access::PatternError>((written, pattern))
    })
}

fn action(fields: &mut Fields) -> Option<Action> {
    // An answer has both, and so has what is sent back of it: both must be words, the first counts.
    let mut read = |name| fields.text(name).check(fields, name, |word| word.parse::<Action>());
    let (action, older) = (read("action"), read("rule_type"));
    match fields.has("action") {
        true => fields.kept("action", action),
        false => fields.kept("rule_type", older),
    }
}

/// Reads many rules: a JSON list, an object with the list `rules`, or CSV.
pub(super) fn read_many(body: &Body, instance: Option<&str>) -> Result<Vec<NewRule>, Problem> {
    let rows = rows(body)?;
    if rows.len() > MAX_RULES {
        return Err(wrong_body(format!("must have at most {MAX_RULES} rules; import the rest in another call")));
    }
    let (mut rules, mut errors) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut unknown = BTreeSet::new();
    for (at, row) in rows.into_iter().enumerate() {
        let (rule, fields) = read_rule(Fields::of(row).without_empty(), instance);
        unknown.extend(fields.unknown().map(str::to_owned));
        errors.extend(fields.errors_under(&format!("rules[{at}]")));
        rules.push(rule);
        if errors.len() >= MAX_ERRORS {
            break;
        }
    }
    warn_of_unknown(&body.beside(), unknown.iter().map(String::as_str));
    if errors.is_empty() { Ok(rules) } else { Err(invalid(errors)) }
}

fn rows(body: &Body) -> Result<Vec<Map<String, Value>>, Problem> {
    if let Some(table) = body.table()? {
        return csv::read(table, "phone_number").map_err(|error| wrong_body(error.to_string()));
    }
    let list = match body.json()? {
        Value::Array(list) => Some(list),
        Value::Object(mut object) => match object.remove("rules") {
            Some(Value::Array(list)) => Some(list),
            _ => None,
        },
        _ => None,
    };
    let list =
        list.ok_or_else(|| wrong_body("must be a list of rules, or an object with the list `rules`".to_owned()))?;
    let rows: Option<Vec<_>> = list
        .into_iter()
        .map(|row| match row {
            Value::Object(row) => Some(row),
            _ => None,
        })
        .collect();
    rows.ok_or_else(|| wrong_body("each rule must be an object".to_owned()))
}

fn wrong_body(message: String) -> Problem {
    invalid(vec![FieldError { field: "body".to_owned(), message }])
}
