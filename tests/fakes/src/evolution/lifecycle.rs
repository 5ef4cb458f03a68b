//! The doors about the life of an account, with the oddities of 2.3.6.
//!
//! Guards in its order: the instance exists (404), on `create` the name is free (403), the key
//! (401). `connect` and `restart` answer 200 to their own failures; `create` takes the global key only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::account::{Account, AdminCall, Fault, qr};
use super::routes::{Refusal, authorize, key_of, note_unknown, read_object};
use super::{Instance, Rejected, State, lifecycle_wire as wire};
use crate::record::lock;

/// The routes.
pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/instance/create", post(create))
        .route("/instance/connect/{instance}", get(connect))
        .route("/instance/restart/{instance}", post(restart))
        .route("/instance/logout/{instance}", delete(logout))
        .route("/instance/delete/{instance}", delete(remove))
        .route("/settings/set/{instance}", post(set_settings))
        .route("/webhook/set/{instance}", post(set_webhook))
        .route("/webhook/find/{instance}", get(find_webhook))
}

/// What a call did.
pub(super) type Done = Result<(StatusCode, Value), Refusal>;

/// Remembers a call, fails it as scripted, else does it.
pub(super) fn serve(
    state: &State,
    operation: &'static str,
    instance: &str,
    (headers, body): (&HeaderMap, &Bytes),
    act: impl FnOnce(&Map<String, Value>) -> Done,
) -> Response {
    let posted = serde_json::from_slice(body).unwrap_or_default();
    let key = key_of(headers);
    state.admin_calls.push(AdminCall { operation, instance: instance.to_owned(), key, body: posted });
    let fault = state.fault(operation);
    let answer = match &fault {
        Some(Fault { status, body, done_anyway: false, .. }) => Err((*status, body.clone())),
        _ => read_object(headers, body).and_then(|body| act(&body)),
    };
    let answer = match fault {
        Some(Fault { status, body, done_anyway: true, .. }) => Err((status, body)),
        _ => answer,
    };
    let (status, body) = match answer {
        Ok(done) => done,
        Err((status, body)) => {
            state.rejected.push(Rejected { instance: instance.to_owned(), operation, status, at: Instant::now() });
            (status, body)
        }
    };
    (status, Json(body)).into_response()
}

fn changed<T>(state: &State, instance: &str, change: impl FnOnce(&mut Instance) -> T) -> Result<T, Refusal> {
    let gone = || (StatusCode::NOT_FOUND, super::wire::no_such_instance(instance));
    state.change(instance, change).ok_or_else(gone)
}

async fn create(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let named: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = named["instanceName"].as_str().unwrap_or_default().to_owned();
    serve(&state, "create", &name, (&headers, &body), |body| {
        let in_use = lock(&state.instances).contains_key(&name) || lock(&state.occupied).contains(&name);
        if in_use {
            return Err((StatusCode::FORBIDDEN, wire::name_in_use(&name)));
        }
        if lock(&state.global_key).as_ref() != Some(&key_of(&headers)) {
            return Err((StatusCode::UNAUTHORIZED, super::wire::unauthorized()));
        }
        note_unknown(&state, "create", &wire::unknown(body, &wire::CREATE_FIELDS));
        wire::check_create(body)?;
        let id = state.next_id();
        let token = body.get("token").and_then(Value::as_str);
        let key = token.map_or_else(|| format!("GENERATED-{id:08X}"), str::to_owned);
        let mut account = Account::new(id);
        account.settings = wire::settings_of(body);
        account.webhook = body.get("webhook").map(|webhook| wire::created_webhook(webhook, &account.id));
        let answer = wire::created(&name, &key, &account);
        let connection = if body.get("qrcode") == Some(&json!(true)) { "connecting" } else { "close" };
        let mut instance = Instance { key, connection: connection.to_owned(), account };
        if connection == "connecting" {
            instance.connects();
        }
        lock(&state.instances).insert(name.clone(), instance);
        Ok((StatusCode::CREATED, answer))
    })
}

/// A code to type in comes only with the number, and only where no connection is under way.
async fn connect(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    serve(&state, "connect", &name, (&headers, &Bytes::new()), |_| {
        authorize(&state, &name, &headers)?;
        let answer = changed(&state, &name, |known| match known.connection.as_str() {
            "open" => json!({"instance": {"instanceName": name, "state": "open"}}),
            "connecting" => qr(),
            _ => {
                known.connection = "connecting".to_owned();
                known.connects();
                let mut told = qr();
                if query.contains_key("number") {
                    told["pairingCode"] = json!("WZYE-H1YY");
                }
                told
            }
        })?;
        Ok((StatusCode::OK, answer))
    })
}

async fn restart(Shared(state): Shared<Arc<State>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&state, "restart", &name, (&headers, &Bytes::new()), |_| {
        authorize(&state, &name, &headers)?;
        let answer = changed(&state, &name, |known| {
            if known.connection == "close" {
                return json!({"error": true, "message": "[object Object]"});
            }
            known.connects();
            json!({"instance": {"instanceName": name, "state": known.connection}})
        })?;
        Ok((StatusCode::OK, answer))
    })
}

async fn logout(Shared(state): Shared<Arc<State>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&state, "logout", &name, (&headers, &Bytes::new()), |_| {
        authorize(&state, &name, &headers)?;
        let was = changed(&state, &name, |known| std::mem::replace(&mut known.connection, "close".to_owned()))?;
        if was == "close" {
            return Err((StatusCode::BAD_REQUEST, wire::not_connected(&name)));
        }
        Ok((StatusCode::OK, wire::success("Instance logged out")))
    })
}

async fn remove(Shared(state): Shared<Arc<State>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&state, "delete", &name, (&headers, &Bytes::new()), |_| {
        authorize(&state, &name, &headers)?;
        lock(&state.instances).remove(&name);
        Ok((StatusCode::OK, wire::success("Instance deleted")))
    })
}

async fn set_settings(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    serve(&state, "settings/set", &name, (&headers, &body), |body| {
        authorize(&state, &name, &headers)?;
        note_unknown(&state, "settings/set", &wire::unknown(body, &wire::SETTINGS_FIELDS));
        wire::check_settings(body)?;
        let settings = wire::settings_of(body);
        changed(&state, &name, |known| known.account.settings = settings.clone())?;
        Ok((StatusCode::CREATED, json!({"settings": {"instanceName": name, "settings": settings}})))
    })
}

async fn set_webhook(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    serve(&state, "webhook/set", &name, (&headers, &body), |body| {
        authorize(&state, &name, &headers)?;
        let webhook = wire::check_webhook(body)?;
        note_unknown(&state, "webhook/set", &wire::unknown(webhook, &wire::WEBHOOK_FIELDS));
        let row = changed(&state, &name, |known| {
            let row = wire::webhook_row(webhook, known.account.webhook.as_ref(), &known.account.id);
            known.account.webhook = Some(row.clone());
            row
        })?;
        Ok((StatusCode::CREATED, row))
    })
}

async fn find_webhook(Shared(state): Shared<Arc<State>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&state, "webhook/find", &name, (&headers, &Bytes::new()), |_| {
        authorize(&state, &name, &headers)?;
        Ok((StatusCode::OK, changed(&state, &name, |known| known.account.webhook.clone())?.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests;
