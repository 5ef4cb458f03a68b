//! The calls against a scripted server.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method as Verb, StatusCode, Uri},
    response::IntoResponse,
};
use tokio::net::TcpListener;

use super::*;
use crate::channel::whatsapp::registration::{EVENTS, Registration};

/// What the server saw, and what it will say.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    seen: Vec<(String, Value)>,
    answers: VecDeque<(u16, String)>,
}

impl Script {
    fn seen(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.lock().unwrap().seen)
    }
}

async fn answers(
    State(script): State<Script>,
    verb: Verb,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    assert_eq!(headers.get_all("apikey").iter().collect::<Vec<_>>(), ["planted-key"]);
    let mut script = script.0.lock().unwrap();
    script.seen.push((format!("{verb} {uri}"), serde_json::from_slice(&body).unwrap_or_default()));
    let (status, body) = script.answers.pop_front().unwrap_or((500, String::new()));
    (StatusCode::from_u16(status).unwrap(), body)
}

/// An account on a server that gives these answers, one after the other.
async fn account(said: &[(u16, Value)]) -> (EvolutionAdmin, Script) {
    let script = Script::default();
    script.0.lock().unwrap().answers = said.iter().map(|(status, body)| (*status, body.to_string())).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/evo/", listener.local_addr().unwrap());
    let app = Router::new().fallback(answers).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Servers::new().unwrap().account(&url, &Secret::new("planted-key"), "my shop").unwrap(), script)
}

fn refusal(status: u16, message: Value) -> (u16, Value) {
    (status, json!({"status": status, "error": "Bad Request", "response": {"message": message}}))
}

#[tokio::test]
async fn each_call_is_as_evolution_reads_it() {
    let state = json!({"instance": {"instanceName": "my shop", "state": "open"}});
    let done = json!({"status": "SUCCESS", "error": false, "response": {"message": "done"}});
    let said = [state.clone(), json!({}), json!({}), state.clone(), state, done.clone(), done];
    let (account, script) = account(&said.map(|body| (200, body))).await;
    assert_eq!(account.connection().await, Ok(Connection::Open));
    account.set_settings().await.unwrap();
    let ours = Registration { url: "http://hub/w".into(), secret: Secret::new("s"), base64: true };
    account.set_webhook(&ours.row()).await.unwrap();
    assert_eq!(account.connect(Some("14155550000")).await, Ok(Connecting::Open));
    assert_eq!(
        (account.restart().await, account.log_out().await, account.remove().await),
        (Ok(true), Ok(true), Ok(true))
    );
    let seen = script.seen();
    let calls: Vec<&str> = seen.iter().map(|(call, _)| call.as_str()).collect();
    let expected = [
        "GET /evo/instance/connectionState/my%20shop",
        "POST /evo/settings/set/my%20shop",
        "POST /evo/webhook/set/my%20shop",
        "GET /evo/instance/connect/my%20shop?number=14155550000",
        "POST /evo/instance/restart/my%20shop",
        "DELETE /evo/instance/logout/my%20shop",
        "DELETE /evo/instance/delete/my%20shop",
    ];
    assert_eq!(calls, expected);
    let settings = json!({"rejectCall": false, "groupsIgnore": false, "alwaysOnline": false, "readMessages": true,
                          "readStatus": false, "syncFullHistory": false});
    assert_eq!(seen[1].1, settings);
    let webhook = json!({"webhook": {"enabled": true, "url": "http://hub/w", "headers": {"jwt_key": "s"},
                         "byEvents": false, "base64": true, "events": EVENTS}});
    assert_eq!(seen[2].1, webhook);
}

#[tokio::test]
async fn an_account_is_made_with_the_key_that_it_shall_have() {
    let (account, script) = account(&[(201, json!({"hash": "THE-OTHER"})), (201, json!({"hash": null}))]).await;
    let ours = Registration { url: "http://hub/w".into(), secret: Secret::new("s"), base64: false }.row();
    let token = Secret::new("OWN");
    let made =
        account.create(&NewAccount { token: &token, webhook: Some(&ours), number: Some("14155550000") }).await.unwrap();
    assert_eq!(made.expose(), "THE-OTHER");
    let made = account.create(&NewAccount { token: &token, webhook: None, number: None }).await.unwrap();
    assert_eq!(made.expose(), "OWN", "never none");
    let seen = script.seen();
    assert_eq!((seen[0].0.as_str(), &seen[0].1["token"]), ("POST /evo/instance/create", &json!("OWN")));
    assert_eq!((&seen[0].1["instanceName"], &seen[0].1["qrcode"]), (&json!("my shop"), &json!(false)));
    assert_eq!((&seen[0].1["webhook"]["events"], &seen[0].1["webhook"]["enabled"]), (&json!(EVENTS), &json!(null)));
    assert_eq!(seen[1].1["webhook"], json!(null));
}

#[tokio::test]
async fn accounts_are_those_that_were_asked_for() {
    let rows = json!([{"id": "AB", "name": "my shop", "token": "t"}, {"id": "cd", "name": "other"}]);
    let (account, script) =
        account(&[(200, rows.clone()), (200, rows.clone()), (200, rows), refusal(404, json!(["no"]))]).await;
    assert_eq!(account.accounts(Wanted::Name("other")).await.unwrap().len(), 1);
    assert_eq!(account.accounts(Wanted::Id("ab")).await.unwrap()[0].name, "my shop");
    assert_eq!(account.accounts(Wanted::All).await.unwrap().len(), 2);
    assert_eq!(account.accounts(Wanted::Name("a&b")).await, Ok(Vec::new()));
    let calls: Vec<String> = script.seen().into_iter().map(|(call, _)| call).collect();
    assert_eq!(calls[0], "GET /evo/instance/fetchInstances?instanceName=other");
    assert_eq!(calls[1], "GET /evo/instance/fetchInstances?instanceId=ab");
    assert_eq!(calls[3], "GET /evo/instance/fetchInstances?instanceName=a%26b");
}

#[tokio::test]
async fn odd_answers_are_understood() {
    let closed = json!({"error": true, "message": "[object Object]"});
    let state = |state: &str| (200, json!({"instance": {"instanceName": "my shop", "state": state}}));
    let not_connected = || refusal(400, json!(["The \"my shop\" instance is not connected"]));
    let said =
        [(200, closed), not_connected(), state("close"), not_connected(), state("open"), refusal(404, json!(["no"]))];
    let (account, _) = account(&said).await;
    assert_eq!(account.restart().await, Ok(false), "a 200 that says no");
    assert_eq!(account.log_out().await, Ok(false), "it was not connected");
    assert!(matches!(account.log_out().await, Err(AdminError::Refused { status: 400, .. })));
    assert_eq!(account.remove().await, Ok(false));
}

#[tokio::test]
async fn every_refusal_is_known_and_none_shows_the_key() {
    let said = [
        refusal(401, json!("Unauthorized planted-key")),
        refusal(403, json!(["This name \"my shop\" is already in use. planted-key"])),
        refusal(400, json!([["instance requires property \"webhook\""], "planted-key"])),
        refusal(500, json!("planted-key")),
        (200, json!("neither this")),
        (302, json!({})),
    ];
    let (account, _) = account(&said).await;
    let mut errors = Vec::new();
    for _ in 0..said.len() {
        errors.push(account.connection().await.unwrap_err());
    }
    assert_eq!(errors[0], AdminError::KeyRefused);
    assert!(matches!(&errors[1], AdminError::Forbidden(words) if words.contains("in use")));
    assert!(matches!(&errors[2], AdminError::Refused { status: 400, .. }));
    assert!(matches!(&errors[3], AdminError::Failing { status: 500, .. }));
    assert_eq!(errors[4], AdminError::Unreadable);
    assert!(matches!(&errors[5], AdminError::Refused { status: 302, .. }));
    assert!(!format!("{errors:?}").contains("planted"), "{errors:?}");
}

#[tokio::test]
async fn a_server_that_is_away_has_done_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let account = Servers::new().unwrap().account(&url, &Secret::new("k"), "a").unwrap();
    let error = account.connection().await.unwrap_err();
    assert!(error.is_away() && !error.may_have_done(), "{error:?}");
    let wrong = Servers::new().unwrap().account("evolution", &Secret::new("k"), "a").unwrap_err();
    assert!(matches!(wrong, AdminError::Misconfigured(_)));
}
