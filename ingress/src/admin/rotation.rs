//! `POST /api/v1/keys/rotate`: everything that is encrypted, anew under the ring's first key.
//!
//! A call does what it can within its time, and says whether that was all; the caller calls again.
//! Where it stands is in what is encrypted itself: nothing is to be handed from call to call.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use omnihub_common::sealed::{Rotation, SealedValues, Stuck, Survey};
use sea_orm::DbErr;
use serde_json::{Map, Value, json};

use super::{
    access::{Allowed, CanAdmin},
    body::Body,
    door::{Routes, post},
    fields::{Fields, Given},
    openapi::{field::flag, says},
};
use crate::{problem::Problem, state::AppState};

/// A call goes on for so long, and a little longer for what it has begun.
const WORK_FOR: Duration = Duration::from_secs(5);
/// Seconds after which a database that was away is worth another try.
const RETRY_AFTER: u64 = 5;

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let doc = says("Encrypt every secret anew under the ring's first key")
        .more("A call does what it can in its time; `finished` says whether that was all. Call again until it is.")
        .optional_body(&[flag("dry_run", "Only count.")], json!({"dry_run": true}))
        .answers_like(json!({
            "dry_run": false,
            "first_key": "k2",
            "keys": {"k2": {"in_ring": true, "rows": 12, "secrets": 31}},
            "malformed": 0,
            "rotated": 31,
            "remaining": 0,
            "stuck": 0,
            "stuck_secrets": [],
            "finished": true,
        }));
    Routes::new().route("/api/v1/keys/rotate", post(rotate).doc(doc))
}

async fn rotate(access: Allowed<CanAdmin>, State(state): State<AppState>, body: Body) -> Result<Json<Value>, Problem> {
    access.everyone()?;
    let dry_run = is_dry_run(body)?;
    let rotation = match dry_run {
        true => Rotation { finished: true, ..Rotation::default() },
        false => state.sealed.rotate(access.actor(), WORK_FOR).await.map_err(|error| not_done(&error))?,
    };
    let survey = state.sealed.survey().await.map_err(|error| not_done(&error))?;
    if !dry_run {
        tracing::info!(
            key.id = state.sealed.first_key(),
            secrets.rotated = rotation.rotated,
            secrets.stuck = rotation.stuck,
            rotation.finished,
            "secrets were encrypted anew"
        );
    }
    Ok(Json(answer(dry_run, &state.sealed, &rotation, &survey)))
}

/// `dry_run`; an empty body has none.
fn is_dry_run(body: Body) -> Result<bool, Problem> {
    if body.is_blank() {
        return Ok(false);
    }
    let mut fields = Fields::read(body)?;
    let dry_run = fields.flag("dry_run");
    fields.finish()?;
    Ok(dry_run == Given::Value(true))
}

fn answer(dry_run: bool, sealed: &SealedValues, rotation: &Rotation, survey: &Survey) -> Value {
    let keys = survey.keys.iter().map(|(id, count)| {
        (id.clone(), json!({"in_ring": count.in_ring, "rows": count.rows, "secrets": count.values}))
    });
    json!({
        "dry_run": dry_run,
        "first_key": sealed.first_key(),
        "keys": keys.collect::<Map<_, _>>(),
        "malformed": survey.malformed,
        "rotated": rotation.rotated,
        "remaining": survey.beside(sealed.first_key()),
        "stuck": rotation.stuck,
        "stuck_secrets": rotation.named.iter().map(stuck).collect::<Vec<_>>(),
        "finished": rotation.finished,
    })
}

fn stuck(stuck: &Stuck) -> Value {
    json!({
        "table": stuck.place.table,
        "row": stuck.place.row,
        "field": stuck.place.field,
        "detail": stuck.why.to_string(),
    })
}

fn not_done(error: &DbErr) -> Problem {
    tracing::error!(error.message = %error, "secrets could not be encrypted anew");
    let detail = "The database did not do it. What was done before stays done; again goes on from there.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use omnihub_common::secret::Keyring;
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::admin::testing::Hub;

    /// A hub that was given a new first key.
    async fn hub() -> Hub {
        let (old, new) =
            ("k0:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "k9:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let ring = |keys: &str| Arc::new(Keyring::parse(keys).unwrap());
        let mut hub = Hub::new_with_ring(ring(old)).await;
        hub.add_instance("a").await;
        hub.state.sealed = SealedValues::new(hub.state.database.clone(), ring(&format!("{new},{old}")));
        hub
    }

    #[tokio::test]
    async fn a_dry_run_counts_and_a_run_leaves_nothing() {
        let hub = hub().await;
        let counted = hub.call("POST", "/keys/rotate", json!({"dry_run": true})).await.json;
        assert_eq!(counted["keys"], json!({"k0": {"in_ring": true, "rows": 1, "secrets": 1}}), "{counted}");
        assert_eq!(
            (&counted["remaining"], &counted["rotated"], &counted["dry_run"]),
            (&json!(1), &json!(0), &json!(true))
        );
        let done = hub.call("POST", "/keys/rotate", "").await.json;
        assert_eq!((&done["rotated"], &done["remaining"], &done["finished"]), (&json!(1), &json!(0), &json!(true)));
        assert_eq!(done["first_key"], "k9");
        let lines = hub.call("GET", "/audit?action=key.rotate", "").await.text;
        assert!(lines.contains("k9") && lines.contains("instance_configs"), "{lines}");
        assert_eq!(hub.call("POST", "/keys/rotate", json!({"dry_run": "yes"})).await.wrong_fields(), ["dry_run"]);
    }

    #[tokio::test]
    async fn what_is_stuck_is_named_without_its_text() {
        let hub = hub().await;
        let spoil = "UPDATE instance_configs SET agent_api_key = 'v1.gone.cGxhbnRlZA=='";
        hub.state.database.execute_unprepared(spoil).await.unwrap();
        let told = hub.call("POST", "/keys/rotate", "{}").await;
        assert_eq!((told.status, &told.json["stuck"], &told.json["finished"]), (200, &json!(1), &json!(true)));
        let stuck = &told.json["stuck_secrets"][0];
        assert_eq!((&stuck["table"], &stuck["field"]), (&json!("instance_configs"), &json!("agent_api_key")));
        assert!(stuck["detail"].as_str().unwrap().contains("`gone`"), "{stuck}");
        assert!(!told.text.contains("cGxhbnRlZA"));
    }

    #[tokio::test]
    async fn only_who_reaches_everyone_may() {
        let hub = hub().await;
        let some = json!({"name": "some", "instances": ["a"], "scopes": ["admin"]});
        let every = json!({"name": "every", "instances": "*", "scopes": ["write"]});
        for (body, code) in [(some, "whole_hub_only"), (every, "scope_missing")] {
            let key = hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
            let refused = hub.call_as(&key, "POST", "/keys/rotate", "{}").await;
            assert_eq!((refused.status, &refused.json["code"]), (403, &json!(code)));
        }
    }
}
