//! The doors of the fake: auth first, then the body, then the script.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Failure, Marked, Presence, Rejected, Sent, State,
    message::{Message, Operation},
    wire,
};
use crate::record::{headers as map_of, lock};

/// What the real one takes.
const LARGEST_BODY: usize = 136 * 1024 * 1024;

/// A presence call blocks for its delay, but no test should wait longer than this.
const LONGEST_PRESENCE: Duration = Duration::from_secs(2);

/// The routes that the hub uses.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/message/{operation}/{instance}", post(send_message))
        .route("/chat/sendPresence/{instance}", post(send_presence))
        .route("/chat/markMessageAsRead/{instance}", post(mark_read))
        .route("/instance/connectionState/{instance}", get(connection_state))
        .route("/instance/fetchInstances", get(fetch_instances))
        .merge(super::lifecycle::router())
        .merge(super::book::router())
        .merge(super::history::router())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(state)
}

async fn send_message(
    Shared(state): Shared<Arc<State>>,
    Path((word, instance)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(operation) = Operation::of(&word) else {
        state.violations.push(format!("{word}: no such operation"));
        return StatusCode::NOT_FOUND.into_response();
    };
    let asked = (|| {
        let key = authorize(&state, &instance, &headers)?;
        let body = read_object(&headers, &body)?;
        note_unknown(&state, operation.word, &operation.unknown(&body));
        let message = operation.read(body).map_err(|body| (StatusCode::BAD_REQUEST, body))?;
        Ok((key, message))
    })();
    let (key, message) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refuse(&state, instance, operation.word, refusal),
    };
    let task = deliver(Arc::clone(&state), instance, key, message, headers);
    // A task of its own: the real one sends also when the caller has hung up meanwhile.
    match tokio::spawn(task).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Waits as scripted, then sends, fails, or both.
async fn deliver(state: Arc<State>, instance: String, key: String, message: Message, headers: HeaderMap) -> Response {
    let started = Instant::now();
    let delay = *lock(&state.delay);
    wait(&state, delay).await;
    let Message { operation, text, body: whole } = message;
    let failure = lock(&state.failures).pop_front();
    if let Some(Failure { status, body, sent_anyway: false }) = failure {
        return refuse(&state, instance, operation, (status, body));
    }
    let connected = lock(&state.instances).get(&instance).is_some_and(|known| known.connection == "open");
    if !connected {
        return refuse(&state, instance, operation, (StatusCode::BAD_REQUEST, wire::not_connected()));
    }
    let message_id = state.next_message_id();
    let answer = wire::sent_message(&text, &message_id, now_seconds(), &whole);
    state.change(&instance, |known| known.account.history.keep_sent(answer.clone()));
    let headers = map_of(&headers);
    let at = Instant::now();
    let name = instance.clone();
    let wire::Text { number, text } = text;
    state.sent.push(Sent { instance, key, number, text, operation, body: whole, headers, started, at, message_id });
    let answered_after = *lock(&state.answered_after);
    wait(&state, answered_after).await;
    match failure {
        Some(Failure { status, body, .. }) => refuse(&state, name, operation, (status, body)),
        None => (StatusCode::CREATED, Json(answer)).into_response(),
    }
}

async fn send_presence(
    Shared(state): Shared<Arc<State>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = (|| {
        authorize(&state, &instance, &headers)?;
        let body = read_object(&headers, &body)?;
        note_unknown(&state, "sendPresence", &wire::unknown_presence_fields(&body));
        wire::read_presence(&body).map_err(|body| (StatusCode::BAD_REQUEST, body))
    })();
    let shown = match asked {
        Ok(shown) => shown,
        Err(refusal) => return refuse(&state, instance, "sendPresence", refusal),
    };
    let delay = Duration::from_millis(shown.delay_ms);
    let presence = shown.presence.clone();
    state.presences.push(Presence {
        instance,
        number: shown.number,
        presence: shown.presence,
        delay,
        at: Instant::now(),
    });
    wait(&state, delay.min(LONGEST_PRESENCE)).await;
    (StatusCode::CREATED, Json(json!({ "presence": presence }))).into_response()
}

async fn mark_read(
    Shared(state): Shared<Arc<State>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = state.fault("markMessageAsRead").map_or(Ok(()), |fault| Err((fault.status, fault.body)));
    let asked = fault.and_then(|()| {
        authorize(&state, &instance, &headers)?;
        wire::read_marks(&read_object(&headers, &body)?).map_err(|body| (StatusCode::BAD_REQUEST, body))
    });
    match asked {
        Ok(keys) => {
            for (chat, id) in keys {
                state.read.push(Marked { instance: instance.clone(), chat, id });
            }
            (StatusCode::CREATED, Json(json!({"message": "Read messages", "read": "success"}))).into_response()
        }
        Err(refusal) => refuse(&state, instance, "markMessageAsRead", refusal),
    }
}

async fn connection_state(
    Shared(state): Shared<Arc<State>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
) -> Response {
    state.note_admin_call("connectionState", &instance, &key_of(&headers));
    let fault = state.fault("connectionState").map_or(Ok(()), |fault| Err((fault.status, fault.body)));
    if let Err(refusal) = fault.and_then(|()| authorize(&state, &instance, &headers)) {
        return refuse(&state, instance, "connectionState", refusal);
    }
    let connection = lock(&state.instances).get(&instance).map(|known| known.connection.clone());
    Json(json!({ "instance": { "instanceName": instance, "state": connection } })).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    instance_name: Option<String>,
    instance_id: Option<String>,
}

async fn fetch_instances(
    Shared(state): Shared<Arc<State>>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Response {
    let key = key_of(&headers);
    state.note_admin_call("fetchInstances", "", &key);
    if let Some(fault) = state.fault("fetchInstances") {
        return refuse(&state, String::new(), "fetchInstances", (fault.status, fault.body));
    }
    let all = lock(&state.global_key).as_ref() == Some(&key);
    let instances = lock(&state.instances);
    let wanted = |name: &String, id: &String| {
        filter.instance_name.as_ref().is_none_or(|wanted| wanted == name)
            && filter.instance_id.as_ref().is_none_or(|wanted| wanted == id)
    };
    let rows: Vec<Value> = instances
        .iter()
        .filter(|(name, known)| (all || known.key == key) && wanted(name, &known.account.id))
        .map(|(name, known)| {
            let mut row = wire::instance_row(name, &known.account.id, &known.key, &known.connection);
            row["_count"] = State::counts(&known.account.book);
            row
        })
        .collect();
    let may = all || instances.values().any(|known| known.key == key);
    drop(instances);
    match filter.instance_name.or(filter.instance_id) {
        _ if !may => refuse(&state, String::new(), "fetchInstances", (StatusCode::UNAUTHORIZED, wire::unauthorized())),
        Some(name) if rows.is_empty() => {
            let body = wire::no_such_instance(&name);
            refuse(&state, name, "fetchInstances", (StatusCode::NOT_FOUND, body))
        }
        _ => Json(rows).into_response(),
    }
}

pub(super) type Refusal = (StatusCode, Value);

/// The key that opens `instance`: first whether it exists, then whose key it is.
pub(super) fn authorize(state: &State, instance: &str, headers: &HeaderMap) -> Result<String, Refusal> {
    let key = key_of(headers);
    let instances = lock(&state.instances);
    let Some(known) = instances.get(instance) else {
        return Err((StatusCode::NOT_FOUND, wire::no_such_instance(instance)));
    };
    if known.key == key || lock(&state.global_key).as_ref() == Some(&key) {
        return Ok(key);
    }
    Err((StatusCode::UNAUTHORIZED, wire::unauthorized()))
}

pub(super) fn key_of(headers: &HeaderMap) -> String {
    headers.get("apikey").map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned()).unwrap_or_default()
}

/// The body as an object. Without the JSON content type the real one sees an empty object.
pub(super) fn read_object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|problem| {
        let message = json!(problem.to_string());
        let body = json!({ "status": 400, "error": "Internal Server Error", "response": { "message": message } });
        (StatusCode::BAD_REQUEST, body)
    })
}

pub(super) fn note_unknown(state: &State, operation: &str, fields: &[String]) {
    for field in fields {
        state.violations.push(format!("{operation}: unknown field {field}"));
    }
}

fn refuse(state: &State, instance: String, operation: &'static str, (status, body): Refusal) -> Response {
    state.rejected.push(Rejected { instance, operation, status, at: Instant::now() });
    (status, Json(body)).into_response()
}

/// Waits, but not beyond the life of the fake.
async fn wait(state: &State, time: Duration) {
    if !time.is_zero() {
        state.stop.run_until_cancelled(tokio::time::sleep(time)).await;
    }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::super::FakeEvolution;
    use super::*;

    async fn fake() -> FakeEvolution {
        let fake = FakeEvolution::start().await.unwrap();
        fake.add_instance("acme", "acme-key");
        fake
    }

    async fn post_to(fake: &FakeEvolution, path: &str, key: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", fake.url());
        let answer = reqwest::Client::new().post(url).header("apikey", key).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    #[tokio::test]
    async fn a_text_is_answered_and_remembered() {
        let fake = fake().await;
        let body = json!({"number": "5511987654321", "text": "Olá"});
        let (status, answer) = post_to(&fake, "/message/sendText/acme", "acme-key", body).await;
        assert_eq!(status, 201);
        let sent = fake.wait_for_sent(1, Duration::from_secs(1)).await.unwrap();
        assert_eq!((sent[0].instance.as_str(), sent[0].key.as_str()), ("acme", "acme-key"));
        assert_eq!((sent[0].number.as_str(), sent[0].text.as_str()), ("5511987654321", "Olá"));
        assert_eq!(sent[0].headers["content-type"], "application/json");
        assert_eq!(answer["key"]["id"], sent[0].message_id);
        assert_eq!(answer["message"]["conversation"], "Olá");
        assert_eq!(fake.violations(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_instance_is_looked_up_before_the_key() {
        let fake = fake().await;
        let body = json!({"number": "1", "text": "a"});
        assert_eq!(post_to(&fake, "/message/sendText/nobody", "", body.clone()).await.0, 404);
        assert_eq!(post_to(&fake, "/message/sendText/acme", "wrong", body.clone()).await.0, 401);
        assert_eq!(post_to(&fake, "/message/sendText/acme", "acme-key", json!({"number": 1})).await.0, 400);
        fake.set_global_key("everything");
        assert_eq!(post_to(&fake, "/message/sendText/acme", "everything", body).await.0, 201);
        let statuses: Vec<u16> = fake.rejected().iter().map(|refusal| refusal.status.as_u16()).collect();
        assert_eq!(statuses, [404, 401, 400]);
        assert_eq!(fake.sent().len(), 1);
    }

    #[tokio::test]
    async fn a_field_that_evolution_would_ignore_is_a_violation() {
        let fake = fake().await;
        let body = json!({"number": "1", "text": "a", "idempotencyKey": "x"});
        assert_eq!(post_to(&fake, "/message/sendText/acme", "acme-key", body).await.0, 201);
        assert_eq!(fake.violations(), ["sendText: unknown field idempotencyKey"]);
    }

    #[tokio::test]
    async fn scripted_failures_come_first_and_may_have_been_sent() {
        let fake = fake().await;
        let body = json!({"number": "1", "text": "a"});
        fake.fail_next(1, StatusCode::BAD_GATEWAY, &json!({"down": true}));
        fake.fail_next_after_sending(1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
        let path = "/message/sendText/acme";
        assert_eq!(post_to(&fake, path, "acme-key", body.clone()).await, (502, json!({"down": true})));
        assert_eq!(fake.sent().len(), 0);
        assert_eq!(post_to(&fake, path, "acme-key", body.clone()).await.0, 504);
        assert_eq!(fake.sent().len(), 1);
        assert_eq!(post_to(&fake, path, "acme-key", body).await.0, 201);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_stop_the_send() {
        let fake = fake().await;
        fake.delay(Duration::from_millis(100));
        let request = reqwest::Client::new()
            .post(format!("{}/message/sendText/acme", fake.url()))
            .header("apikey", "acme-key")
            .json(&json!({"number": "1", "text": "a"}))
            .timeout(Duration::from_millis(50));
        assert!(request.send().await.unwrap_err().is_timeout());
        assert_eq!(fake.wait_for_sent(1, Duration::from_secs(5)).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_presence_blocks_for_its_delay() {
        let fake = fake().await;
        let started = Instant::now();
        let body = json!({"number": "1", "presence": "composing", "delay": 60});
        let (status, answer) = post_to(&fake, "/chat/sendPresence/acme", "acme-key", body).await;
        assert_eq!((status, answer), (201, json!({"presence": "composing"})));
        assert!(started.elapsed() >= Duration::from_millis(60));
        let shown = fake.wait_for_presences(1, Duration::from_secs(1)).await.unwrap();
        assert_eq!((shown[0].presence.as_str(), shown[0].delay), ("composing", Duration::from_millis(60)));
    }

    #[tokio::test]
    async fn a_closed_instance_says_so_and_cannot_send() {
        let fake = fake().await;
        fake.set_connection("acme", "close");
        let client = reqwest::Client::new();
        let url = format!("{}/instance/connectionState/acme", fake.url());
        let answer: Value = client.get(url).header("apikey", "acme-key").send().await.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"instance": {"instanceName": "acme", "state": "close"}}));
        let (status, answer) =
            post_to(&fake, "/message/sendText/acme", "acme-key", json!({"number": "1", "text": "a"})).await;
        assert_eq!((status, answer), (400, wire::not_connected()));
    }

    #[tokio::test]
    async fn an_instance_key_lists_only_its_own() {
        let fake = fake().await;
        fake.add_instance("other", "other-key");
        let client = reqwest::Client::new();
        let get = |query: &str, key: &'static str| {
            client.get(format!("{}/instance/fetchInstances{query}", fake.url())).header("apikey", key).send()
        };
        let rows: Value = get("", "acme-key").await.unwrap().json().await.unwrap();
        assert_eq!((rows.as_array().unwrap().len(), &rows[0]["name"]), (1, &json!("acme")));
        assert_eq!(get("", "wrong").await.unwrap().status(), 401);
        assert_eq!(get("?instanceName=other", "acme-key").await.unwrap().status(), 404);
    }

    #[tokio::test]
    async fn a_dropped_fake_refuses() {
        let fake = fake().await;
        let url = fake.url().to_owned();
        drop(fake);
        // The accept loop ends in a task of its own: ask until it has.
        let gone = async { while reqwest::get(&url).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    }
}
