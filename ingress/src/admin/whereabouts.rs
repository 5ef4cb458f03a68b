//! `GET /api/v1/where`: what a person's message is doing now.
//!
//! The question is one of `phone`, `trace_id` and `conversation`, narrowed by `instance_name`. The
//! workers are asked first, since they know; the streams and the database tell the rest. See
//! [`omnihub_common::conversation::whereabouts`].

mod candidates;
mod find;

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use omnihub_common::{
    conversation::whereabouts::{WHEREABOUTS_VERSION, Whereabouts},
    trace::Traces,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::{Allowed, CanRead},
    door::{Routes, get},
    narrowed,
    openapi::{
        field::{INSTANCE_NAME, Kind, field as parameter, text as words},
        says,
    },
    query::Parameters,
    traces::{awaited, field, invalid},
};
use crate::{problem::Problem, state::AppState};

pub(super) use find::Finder;

/// The route of whereabouts.
pub fn routes() -> Routes {
    let doc = says("What a person's message is doing now")
        .more("Exactly one of `phone`, `trace_id` and `conversation` is asked for.")
        .query([
            words("phone", "A person."),
            parameter("trace_id", Kind::Uuid, "A message."),
            words("conversation", "A conversation, as `session_name` has it."),
            INSTANCE_NAME,
        ])
        .answers::<Answer>();
    Routes::new().route("/api/v1/where", get(find).doc(doc))
}

/// The answer: what has something to do comes first, then what has ended last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WhereAnswer)]
struct Answer {
    v: u8,
    conversations: Vec<Whereabouts>,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Trace(String),
    Phone(String),
    Conversation(String),
}

/// `GET /api/v1/where`.
async fn find(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Parameters(given): Parameters,
) -> Result<Json<Answer>, Problem> {
    let question = question(&given)?;
    let (reach, instance) = (access.reach(), text(&given, "instance_name"));
    if let Some(name) = instance {
        access.sees(name)?;
        narrowed(&state.directory, name).await?;
    }
    let finder = Finder::new(&state, reach);
    let conversations = match question {
        Question::Trace(id) => {
            let trace = awaited(&Traces::new(state.database.clone()), reach, &id).await?;
            if instance.is_some_and(|name| name != trace.instance_name) {
                let detail = format!("Trace '{id}' not found");
                return Err(Problem::new(StatusCode::NOT_FOUND, "trace_not_found", detail));
            }
            vec![finder.of_trace(&trace).await?]
        }
        Question::Phone(phone) => finder.of_person(&phone, instance).await?,
        Question::Conversation(name) => finder.of_conversation(&name, instance).await?,
    };
    Ok(Json(Answer { v: WHEREABOUTS_VERSION, conversations }))
}

fn text<'a>(given: &'a HashMap<String, String>, name: &str) -> Option<&'a str> {
    given.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn question(given: &HashMap<String, String>) -> Result<Question, Problem> {
    let asked = ["trace_id", "phone", "conversation"].map(|name| (name, text(given, name)));
    let mut asked = asked.into_iter().filter_map(|(name, text)| Some((name, text?)));
    let (Some((name, text)), None) = (asked.next(), asked.next()) else {
        let named = "exactly one of phone, trace_id and conversation must be given";
        return Err(invalid(vec![field("query", named)]));
    };
    if text.contains('\0') {
        return Err(invalid(vec![field(name, "expected text without U+0000")]));
    }
    match name {
        "trace_id" => Ok(Question::Trace(text.to_owned())),
        "phone" => {
            let digits = candidates::digits(text).ok_or_else(|| invalid(vec![field("phone", "expected digits")]))?;
            Ok(Question::Phone(digits))
        }
        _ => Ok(Question::Conversation(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_asked_at_a_time() {
        let asked = |pairs: &[(&str, &str)]| {
            let given = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            question(&given).map_err(|problem| problem.status)
        };
        assert_eq!(asked(&[("phone", " 55 11-9 "), ("instance_name", "a")]), Ok(Question::Phone("55119".into())));
        assert_eq!(asked(&[("conversation", "a_1")]), Ok(Question::Conversation("a_1".into())));
        assert_eq!(asked(&[("trace_id", "x"), ("phone", "")]), Ok(Question::Trace("x".into())));
        for wrong in [&[][..], &[("phone", "1"), ("trace_id", "x")], &[("phone", "Maria")], &[("conversation", "a\0")]]
        {
            assert_eq!(asked(wrong), Err(422), "{wrong:?}");
        }
    }
}
