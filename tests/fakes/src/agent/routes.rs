//! The doors of the fake agent.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{AgentCall, Answer, Behaviour, Pieces, Protocol, State, check};
use crate::record::{headers as map_of, lock};

/// The routes of the protocol.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/api/agent/chat", post(chat))
        .route("/api/v1/agent/{agent}/run", post(chat))
        .route("/agents/{agent}/runs", post(chat))
        .route("/teams/{agent}/runs", post(chat))
        .route("/v1/chat/completions", post(chat))
        .route("/hook", post(chat))
        .route("/health", get(async || Json(json!({ "status": "healthy" }))))
        .with_state(state)
}

async fn chat(Shared(state): Shared<Arc<State>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let headers = map_of(&headers);
    let content_type = headers.get("content-type").map(String::as_str).unwrap_or_default();
    let protocol = Protocol::of(uri.path());
    let fields = protocol.body(content_type, &body);
    let call = AgentCall {
        path: uri.path().to_owned(),
        message: protocol.message(&fields),
        body: fields,
        bytes: body.into(),
        headers,
        started: Instant::now(),
        ended: None,
        status: None,
    };
    let running = Running::begin(Arc::clone(&state), &call);
    let answer = match refusal(&state, &call) {
        Some(refusal) => refusal,
        None => {
            state.note_problems(&call);
            let behaviour = lock(&state.behaviour).next();
            if let Behaviour::Voice(voice) = behaviour {
                running.end(StatusCode::OK);
                return voice.answer(&call);
            }
            let answer = perform(&state, &behaviour, &call).await;
            if let Behaviour::Pieces(pieces) = behaviour {
                running.end(answer.status);
                return in_pieces(pieces);
            }
            answer
        }
    };
    running.end(answer.status);
    (answer.status, [(CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

/// A chunk for each piece. One that is sent only when the one before has gone stands for itself on
/// the wire.
fn in_pieces(Pieces { content_type, pieces, broken }: Pieces) -> Response {
    let end = broken.then(|| Err(io::Error::other("the connection breaks")));
    let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))).chain(end));
    let pieces = pieces.then(async |piece| {
        tokio::task::yield_now().await;
        piece
    });
    ([(CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response()
}

/// Why the call is not answered at all: 401 without the key, 422 without a required field.
fn refusal(state: &State, call: &AgentCall) -> Option<Answer> {
    if !check::is_authorized(&call.headers, &state.key) {
        return Some(Answer::json(StatusCode::UNAUTHORIZED, &json!({ "detail": "Invalid API key" })));
    }
    let missing = check::missing_fields(Protocol::of(&call.path), &call.body);
    if missing.is_empty() {
        return None;
    }
    for field in &missing {
        state.violations.push(format!("field {field} is missing"));
    }
    let detail: Vec<Value> = missing
        .iter()
        .map(|field| json!({ "type": "missing", "loc": ["body", field], "msg": "Field required" }))
        .collect();
    Some(Answer::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": detail })))
}

/// Waits as the behaviour says, but not beyond the life of the fake, and answers.
async fn perform(state: &State, behaviour: &Behaviour, call: &AgentCall) -> Answer {
    let wait = behaviour.wait(call);
    let answer = async {
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
        match behaviour.answer(call) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    };
    let stopped = || Answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "detail": "stopped" }));
    state.stop.run_until_cancelled(answer).await.unwrap_or_else(stopped)
}

impl State {
    fn note_problems(&self, call: &AgentCall) {
        for problem in check::problems(&call.path, &call.headers, &call.body, &self.key) {
            self.violations.push(problem);
        }
        let key = call.idempotency_key();
        if key.is_empty() {
            return;
        }
        let mut questions = lock(&self.questions);
        let first = questions.entry(key.to_owned()).or_insert_with(|| call.message().to_owned());
        if first != call.message() {
            self.violations.push(format!("Idempotency-Key {key} came with two different questions"));
        }
    }
}

/// A call that runs: it ends when it is answered, and also when the caller hangs up, because the
/// server drops the handler then.
struct Running {
    state: Arc<State>,
    place: usize,
    session: String,
    key: String,
}

impl Running {
    /// Records the call, and accuses when its conversation has one running already.
    fn begin(state: Arc<State>, call: &AgentCall) -> Self {
        let place = state.calls.push(call.clone());
        let (session, key) = (call.session_name().to_owned(), call.idempotency_key().to_owned());
        if !session.is_empty() {
            let mut running = lock(&state.running);
            let others = running.entry(session.clone()).or_default();
            for other in others.iter() {
                state.violations.push(format!("two calls at once in one conversation: {other} and {key}"));
            }
            others.push(key.clone());
        }
        Self { state, place, session, key }
    }

    fn end(self, status: StatusCode) {
        self.state.calls.change(self.place, |call| call.status = Some(status.as_u16()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.calls.change(self.place, |call| call.ended = Some(Instant::now()));
        let mut running = lock(&self.state.running);
        let Some(keys) = running.get_mut(&self.session) else { return };
        if let Some(at) = keys.iter().position(|key| *key == self.key) {
            keys.swap_remove(at);
        }
        if keys.is_empty() {
            running.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FakeAgent;
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn body(session: &str, message: &str) -> Value {
        json!({
            "user_id": "u1", "session_id": "s1", "session_name": session, "message": message,
            "message_type": "text", "session_origin": "whatsapp", "user": {"phone_number": "+5511987654321"},
            "context": {"instance": "acme", "channel": "whatsapp", "agent_id": "support"},
        })
    }

    fn request(agent: &FakeAgent, key: &str, turn: &str, body: &Value) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .post(format!("{}/api/agent/chat", agent.url()))
            .bearer_auth(key)
            .header("x-api-key", key)
            .header("idempotency-key", turn)
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .header("x-request-id", "r1")
            .header("x-agent-id", "support")
            .json(body)
    }

    async fn ask(agent: &FakeAgent, key: &str, turn: &str, body: &Value) -> (u16, Value) {
        let answer = request(agent, key, turn, body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    #[tokio::test]
    async fn an_echo_keeps_session_and_user() {
        let agent = FakeAgent::start(Behaviour::Echo).await.unwrap();
        let (status, answer) = ask(&agent, agent.key(), "t1", &body("acme_1", "good day")).await;
        assert_eq!(status, 200);
        assert_eq!(
            answer,
            json!({
                "message": "echo: good day", "success": true, "session_id": "s1", "user_id": "u1",
                "tool_calls": [], "tool_outputs": [],
                "usage": {"tokens": 5, "request_tokens": 2, "response_tokens": 3},
            })
        );
        let calls = agent.wait_for_calls(1, DEADLINE).await.unwrap();
        assert_eq!((calls[0].idempotency_key(), calls[0].status), ("t1", Some(200)));
        assert!(calls[0].ended.is_some());
        assert_eq!(agent.violations(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_key_is_checked_before_the_fields() {
        let agent = FakeAgent::start_with_key(Behaviour::Echo, "its-own").await.unwrap();
        assert_eq!(ask(&agent, FakeAgent::KEY, "t1", &json!({})).await.0, 401);
        assert_eq!(agent.violations(), Vec::<String>::new());
        let mut lacking = body("acme_1", "hi");
        lacking.as_object_mut().unwrap().remove("user_id");
        let (status, answer) = ask(&agent, "its-own", "t1", &lacking).await;
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "user_id"])));
        assert_eq!(agent.violations(), ["field user_id is missing"]);
    }

    #[tokio::test]
    async fn behaviours_follow_each_other() {
        let agent = FakeAgent::start(Behaviour::Sequence(vec![
            Behaviour::Status(StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "busy"})),
            Behaviour::SuccessFalse,
            Behaviour::custom(|call| Answer::text(call, &call.message().to_uppercase())),
        ]))
        .await
        .unwrap();
        let question = body("acme_1", "hi");
        assert_eq!(ask(&agent, agent.key(), "t1", &question).await, (503, json!({"detail": "busy"})));
        assert_eq!(ask(&agent, agent.key(), "t1", &question).await.1["success"], false);
        assert_eq!(ask(&agent, agent.key(), "t1", &question).await.1["message"], "HI");
        agent.set_behaviour(Behaviour::Fixed("done".into()));
        assert_eq!(ask(&agent, agent.key(), "t1", &question).await.1["message"], "done");
        let raw = Behaviour::Raw(StatusCode::OK, "text/plain".into(), b"\xff".to_vec());
        agent.set_behaviour(raw);
        let answer = request(&agent, agent.key(), "t1", &question).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain");
        assert_eq!(answer.bytes().await.unwrap(), b"\xff".as_slice());
    }

    #[tokio::test]
    async fn two_calls_at_once_in_one_conversation_are_a_violation() {
        let agent = FakeAgent::start(Behaviour::Hang).await.unwrap();
        let first = tokio::spawn(request(&agent, agent.key(), "t1", &body("acme_1", "a")).send());
        let other = tokio::spawn(request(&agent, agent.key(), "t2", &body("acme_2", "b")).send());
        agent.wait_for_calls(2, DEADLINE).await.unwrap();
        assert_eq!(agent.violations(), Vec::<String>::new());
        agent.set_behaviour(Behaviour::Echo);
        ask(&agent, agent.key(), "t3", &body("acme_1", "c")).await;
        assert_eq!(agent.violations(), ["two calls at once in one conversation: t1 and t3"]);
        drop(agent);
        assert_eq!(first.await.unwrap().unwrap().status(), 503);
        assert_eq!(other.await.unwrap().unwrap().status(), 503);
    }

    #[tokio::test]
    async fn a_caller_that_hangs_up_ends_its_call() {
        let agent = FakeAgent::start(Behaviour::Hang).await.unwrap();
        let call = tokio::spawn(request(&agent, agent.key(), "t1", &body("acme_1", "a")).send());
        agent.wait_for_calls(1, DEADLINE).await.unwrap();
        call.abort();
        let ended = async {
            while agent.calls()[0].ended.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, ended).await.unwrap();
        assert_eq!(agent.calls()[0].status, None);
        agent.set_behaviour(Behaviour::Echo);
        ask(&agent, agent.key(), "t1", &body("acme_1", "a")).await;
        assert_eq!(agent.violations(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn one_idempotency_key_means_one_question() {
        let agent = FakeAgent::start(Behaviour::slow(Duration::from_millis(1), Behaviour::Echo)).await.unwrap();
        ask(&agent, agent.key(), "t1", &body("acme_1", "a")).await;
        ask(&agent, agent.key(), "t1", &body("acme_1", "a")).await;
        assert_eq!(agent.violations(), Vec::<String>::new());
        ask(&agent, agent.key(), "t1", &body("acme_1", "b")).await;
        assert_eq!(agent.violations(), ["Idempotency-Key t1 came with two different questions"]);
    }
}
