//! Who redrives and drops what, in the audit log.
//!
//! Letters are not in the database, so that nothing is done in the transaction of its line. The line
//! is written first: nothing is done without one, and what could not be done after all is told to
//! whoever asked for it.

use omnihub_common::{
    audit::{self, Change},
    key::Actor,
    person::masked,
    queue::{
        InstanceToken,
        dead::{DeadFilter, KeptLetter},
    },
};
use sea_orm::DbErr;
use serde_json::{Map, Value, json};

use super::{Asked, work::Meant};
use crate::{admin::users::unavailable, problem::Problem, state::AppState};

/// What is done with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Redrive,
    Drop,
}

impl Deed {
    fn action(self) -> &'static str {
        match self {
            Self::Redrive => "dead.redrive",
            Self::Drop => "dead.drop",
        }
    }
}

/// One letter, by its id.
pub(super) async fn one(state: &AppState, by: &Actor, deed: Deed, kept: &KeptLetter) -> Result<(), Problem> {
    let letter = json!({"reason": kept.summary().reason});
    let noted = note(state, by, deed, (&kept.id, &kept.instance_token), letter).await;
    noted.map_err(|error| unavailable(&error))
}

/// Many: a line for each instance that has some of them.
pub(super) async fn many(
    state: &AppState,
    by: &Actor,
    deed: Deed,
    asked: &Asked,
    meant: &Meant,
) -> Result<(), Problem> {
    if asked.dry_run {
        return Ok(());
    }
    for (token, count) in &meant.instances {
        let letters = json!({"letters": count, "filter": shown(&asked.filter)});
        let noted = note(state, by, deed, (InstanceToken::name(token), token), letters).await;
        noted.map_err(|error| unavailable(&error))?;
    }
    Ok(())
}

async fn note(
    state: &AppState,
    by: &Actor,
    deed: Deed,
    (target, token): (&str, &str),
    before: Value,
) -> Result<(), DbErr> {
    let instance = InstanceToken::row_id(token).map(|id| (id, InstanceToken::name(token)));
    let change = Change { action: deed.action(), target, instance, before: Some(before), after: None };
    audit::record(&state.database, by, change).await
}

/// A filter as it stands in a line, which stays when a person is erased: nobody is named.
fn shown(filter: &DeadFilter) -> Value {
    let hidden = |text: &Option<String>| text.as_deref().map(|text| Value::from(masked(text)));
    let fields = [
        ("reason", filter.reason.clone().map(Value::from)),
        ("phone", hidden(&filter.phone)),
        ("session_name", hidden(&filter.session_name)),
        ("since", filter.since.map(Value::from)),
        ("until", filter.until.map(Value::from)),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_nobody() {
        let text = |text: &str| Some(text.to_owned());
        let filter = DeadFilter {
            reason: text("too_old"),
            phone: text("+5511987654321"),
            session_name: text("acme_5511987654321"),
            since: Some(7),
            ..DeadFilter::default()
        };
        let expected = json!({"reason": "too_old", "phone": "****4321", "session_name": "****4321", "since": 7});
        assert_eq!(shown(&filter), expected);
        assert_eq!(shown(&DeadFilter::default()), json!({}));
    }
}
