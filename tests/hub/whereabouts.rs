//! Where a message is, why, and the live view: asked of a running hub, over REST and by command.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::{AgentCall, Answer, Behaviour};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, DEADLINE, Database, INSTANCE, Site, omnihub, on_both_databases, until};

on_both_databases!(
    a_hanging_agent_is_being_asked_and_the_next_message_waits,
    a_failing_agent_is_tried_again_and_the_end_is_told,
    what_is_gathered_is_seen_as_one,
    without_a_worker_the_streams_tell,
);

const PHONE: &str = "14155559100";

/// Where something is, once it is as wanted.
async fn found_when(site: &Site, query: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until(&format!("{query}: {what}"), DEADLINE, async || {
        found = site.get(&format!("/api/v1/where?{query}")).await["conversations"][0].clone();
        wanted(&found)
    })
    .await;
    found
}

async fn in_state(site: &Site, query: &str, state: &str) -> Value {
    found_when(site, query, state, |found| found["state"] == state).await
}

async fn explained(site: &Site, trace: &str) -> Value {
    site.get(&format!("/api/v1/traces/{trace}/explanation")).await
}

fn sentences(explanation: &Value) -> String {
    let sentences = explanation["sentences"].as_array().expect("sentences");
    sentences.iter().map(|sentence| sentence.as_str().expect("a sentence")).collect::<Vec<_>>().join(" ")
}

/// What a command prints.
async fn printed(site: &Site, args: &[&str]) -> (bool, String) {
    let env = HashMap::from([
        ("OMNIHUB_URL".to_owned(), site.hub.url()),
        ("OMNIHUB_API_KEY".to_owned(), ADMIN_KEY.to_owned()),
    ]);
    let output = omnihub(args, &env).await;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

async fn a_hanging_agent_is_being_asked_and_the_next_message_waits(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    let first = site.say(PHONE, "are you there?").await;
    let found = in_state(&site, &format!("trace_id={first}"), "asking").await;
    assert_eq!((&found["instance_name"], &found["attempt"]), (&json!(INSTANCE), &json!(1)), "{found}");
    assert_eq!((&found["seen_in"], &found["conversation"]), (&json!("memory"), &json!(format!("acme_{PHONE}"))));
    assert!(found["since"].is_string() && found["owner"].is_string(), "{found}");

    let second = site.say(PHONE, "hello?").await;
    let third = site.say(PHONE, "anybody?").await;
    let behind = in_state(&site, &format!("trace_id={third}"), "queued").await;
    assert_eq!((&behind["before"], &behind["ahead"]["state"]), (&json!(2), &json!("asking")), "{behind}");
    let found = site.get(&format!("/api/v1/where?trace_id={second}")).await;
    assert_eq!(found["conversations"][0]["before"], 1, "{found}");

    // The same by the person and by the conversation, however the number is written.
    for query in ["phone=%2B1%20415-555-9100".to_owned(), format!("conversation=acme_{PHONE}&instance_name=acme")] {
        let found = found_when(&site, &query, "has two behind it", |found| found["waiting"] == 2).await;
        assert_eq!((&found["state"], &found["trace_id"]), (&json!("asking"), &json!(first)), "{query}: {found}");
    }

    let told = explained(&site, &second).await;
    assert_eq!(told["verdict"], "under_way", "{told}");
    assert!(sentences(&told).contains("1 message comes before it."), "{told}");
    let (well, text) = printed(&site, &["where", "+14155559100"]).await;
    assert!(well && text.contains("The agent is being asked, for "), "{text}");
    assert!(text.contains("2 more messages of the conversation wait behind it."), "{text}");
    let (well, text) = printed(&site, &["explain", &third]).await;
    assert!(well && text.starts_with(&format!("Under way · trace {third}\n")), "{text}");
    assert!(text.contains("Of the message at the front: The agent is being asked"), "{text}");

    // Nobody knows these.
    let nobody = site.get("/api/v1/where?phone=999999").await;
    assert_eq!(nobody, json!({"v": 1, "conversations": []}));
    let (well, text) = printed(&site, &["where", "acme_999999"]).await;
    assert!(well && text == "Nothing of acme_999999 waits, and no trace of it is kept.\n", "{text}");
    let unknown = "/api/v1/where?trace_id=01900000-0000-8000-8000-000000000001";
    site.api(Method::GET, unknown, None).await.assert_problem(404, "trace_not_found");
    let other = format!("/api/v1/where?phone={PHONE}&instance_name=globex");
    site.api(Method::GET, &other, None).await.assert_problem(404, "instance_not_found");
    site.api(Method::GET, "/api/v1/where", None).await.assert_problem(422, "invalid_parameter");
    let open = reqwest::get(format!("{}/api/v1/where?phone={PHONE}", site.hub.url())).await.unwrap();
    assert_eq!(open.status().as_u16(), 401);
    // Of another tenant the same phone shows nothing.
    site.add_instance("globex", json!({})).await;
    assert_eq!(site.get(&other).await["conversations"], json!([]));
}

/// An agent that fails until it is well, and refuses what is forbidden.
fn failing(well: &Arc<AtomicBool>) -> Behaviour {
    let well = Arc::clone(well);
    Behaviour::custom(move |call: &AgentCall| match call.message() {
        "forbidden" => Answer::json(StatusCode::NOT_FOUND, &json!({"detail": "no such agent"})),
        _ if well.load(Ordering::Relaxed) => Answer::text(call, "one\n\ntwo\n\nthree"),
        _ => Answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"detail": "overloaded"})),
    })
}

async fn a_failing_agent_is_tried_again_and_the_end_is_told(database: Database) {
    let well = Arc::new(AtomicBool::new(false));
    let site = Site::up(database, failing(&well)).await;
    site.add_instance("chatty", json!({"split_over": 0})).await;
    let id = site.say_to("chatty", PHONE, "hello").await;
    let query = format!("trace_id={id}");
    let found = found_when(&site, &query, "waits for the third attempt", |found| found["attempt"] == 3).await;
    assert_eq!(found["state"], "retrying", "{found}");
    assert!(found["why"].as_str().is_some_and(|why| why.contains("status 503")) && found["until"].is_string());
    let told = explained(&site, &id).await;
    assert_eq!(told["verdict"], "delayed", "{told}");
    assert!(sentences(&told).contains("It is tried again in "), "{told}");

    // Every bubble is seen on its way.
    site.evolution.delay(Duration::from_millis(600));
    well.store(true, Ordering::Relaxed);
    let found = found_when(&site, &query, "sends the second bubble", |found| found["bubble"] == 2).await;
    assert_eq!((&found["state"], &found["of"]), (&json!("sending"), &json!(3)), "{found}");
    site.ended(&id).await;
    let found = in_state(&site, &query, "done").await;
    assert_eq!(
        (&found["outcome"], &found["owner"], &found["seen_in"]),
        (&json!("answered"), &Value::Null, &json!("traces"))
    );
    let told = explained(&site, &id).await;
    assert_eq!((&told["verdict"], &told["remedy"]), (&json!("answered"), &Value::Null), "{told}");
    assert!(sentences(&told).contains("It took 3 attempts; ") && sentences(&told).contains("in 3 messages."), "{told}");
    assert!(told["steps"].as_array().is_some_and(|steps| steps.len() == 6), "{told}");
    site.evolution.delay(Duration::ZERO);

    // Refused for good: dead, with the remedy.
    let id = site.say_to("chatty", PHONE, "forbidden").await;
    site.ended(&id).await;
    let found = in_state(&site, &format!("trace_id={id}"), "dead").await;
    assert_eq!((&found["reason"], &found["attempts"]), (&json!("agent_rejected"), &json!(1)), "{found}");
    let told = explained(&site, &id).await;
    assert_eq!(told["verdict"], "dead");
    assert!(sentences(&told).contains("The dead letter is kept, after 1 attempt."), "{told}");
    assert!(told["remedy"].is_string());
    // The person's last message is what is told of the person.
    let found = in_state(&site, &format!("phone={PHONE}"), "dead").await;
    assert_eq!(found["trace_id"], json!(id));

    // A wrong key holds.
    site.add_instance("mistyped", json!({"agent_api_key": "not the agent's key"})).await;
    let id = site.say_to("mistyped", PHONE, "hello").await;
    let found = in_state(&site, &format!("phone={PHONE}&instance_name=mistyped"), "held").await;
    assert_eq!((&found["why"], &found["trace_id"]), (&json!("agent_key_refused"), &json!(id)), "{found}");
    let (ran, text) = printed(&site, &["explain", &id]).await;
    assert!(ran && text.contains("It is held: the agent refused the instance's key."), "{text}");
    assert!(
        text.contains("What to do: Set the right key with `omnihub instance update mistyped --agent-api-key"),
        "{text}"
    );
}

async fn what_is_gathered_is_seen_as_one(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("patient", json!({"debounce_ms": 4000, "debounce_max_ms": 8000})).await;
    let first = site.say_to("patient", PHONE, "I have").await;
    let second = site.say_to("patient", PHONE, "a question").await;
    for trace in [&first, &second] {
        let found = in_state(&site, &format!("trace_id={trace}"), "gathering").await;
        assert!(found["until"].is_string() && found["ahead"].is_null(), "{found}");
    }
    let found = site.get(&format!("/api/v1/where?phone={PHONE}")).await;
    assert_eq!(found["conversations"][0]["waiting"], 0, "{found}");
    site.ended(&second).await;
    site.ended(&first).await;
    let told = explained(&site, &first).await;
    assert!(
        sentences(&told).contains(&format!(
            "together with a later message of the conversation, whose trace has the rest: {second}."
        )),
        "{told}"
    );
}

async fn without_a_worker_the_streams_tell(database: Database) {
    let mut site = Site::parts(database, Behaviour::Hang).await;
    let first = site.say(PHONE, "are you there?").await;
    in_state(&site, &format!("trace_id={first}"), "asking").await;
    let second = site.say(PHONE, "hello?").await;
    in_state(&site, &format!("trace_id={second}"), "queued").await;
    site.worker.as_mut().unwrap().kill9();

    let found =
        found_when(&site, &format!("trace_id={second}"), "has no owner", |found| found["owner"].is_null()).await;
    let told = (&found["state"], &found["before"], &found["seen_in"]);
    assert_eq!(told, (&json!("queued"), &json!(1), &json!("streams")), "{found}");
    let found = found_when(&site, &format!("phone={PHONE}"), "has no owner", |found| found["owner"].is_null()).await;
    assert_eq!((&found["waiting"], &found["trace_id"]), (&json!(1), &json!(first)), "{found}");
    let told = explained(&site, &second).await;
    assert!(sentences(&told).contains("No worker owns its conversation"), "{told}");
    let (well, text) = printed(&site, &["where", &second]).await;
    assert!(well && text.contains("owner: none"), "{text}");

    // Nobody has recorded this one, and nobody has looked at it: it is found by its name.
    let third = site.say("14155559101", "is anybody there?").await;
    let found = found_when(&site, "phone=14155559101", "is found", |found| found["state"] == "queued").await;
    assert_eq!((&found["trace_id"], &found["before"]), (&json!(third), &json!(0)), "{found}");

    // A worker takes over, and is asked again.
    site.worker.as_mut().unwrap().start_again();
    site.worker.as_mut().unwrap().wait_ready().await;
    let found = in_state(&site, &format!("trace_id={first}"), "asking").await;
    assert!(found["owner"].is_string(), "{found}");
}

/// A tail that is read as it comes.
struct Tail {
    response: reqwest::Response,
    text: String,
}

impl Tail {
    async fn open(site: &Site, query: &str) -> Self {
        let url = format!("{}/api/v1/traces/tail?{query}", site.hub.url());
        let response = reqwest::Client::new().get(url).header("x-api-key", ADMIN_KEY).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut tail = Self { response, text: String::new() };
        tail.read_until("event: hello").await;
        tail
    }

    /// Reads on until this was said.
    async fn read_until(&mut self, words: &str) {
        let reading = async {
            while !self.text.contains(words) {
                let chunk = self.response.chunk().await.expect("a chunk");
                let chunk = chunk.unwrap_or_else(|| panic!("ended without {words:?}: {}", self.text));
                self.text.push_str(&String::from_utf8_lossy(&chunk));
            }
        };
        let read = tokio::time::timeout(DEADLINE, reading).await;
        assert!(read.is_ok(), "never said {words:?}: {}", self.text);
    }

    /// What was said of messages so far.
    fn lines(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok())
            .filter(|line: &Value| line["status"].is_string())
            .collect()
    }
}

#[tokio::test]
async fn a_tail_shows_each_step_of_the_messages_it_is_for() {
    let site = Site::up(Database::Sqlite, failing(&Arc::new(AtomicBool::new(true)))).await;
    site.add_instance("globex", json!({})).await;
    let mut acme = Tail::open(&site, "instance_name=acme").await;
    let mut errors = Tail::open(&site, "errors=true").await;
    let mut answered = Tail::open(&site, "outcome=answered").await;
    site.say_to("globex", PHONE, "of another tenant").await;
    let id = site.say(PHONE, "hello").await;
    acme.read_until("\"outcome\":\"answered\"").await;
    let lines = acme.lines();
    assert!(lines.iter().all(|line| line["trace_id"] == json!(id) && line["instance_name"] == "acme"), "{lines:?}");
    let mut steps: Vec<&str> = lines.iter().filter_map(|line| line["status"].as_str()).collect();
    // The door tells of the message beside the worker.
    let received = steps.iter().position(|step| *step == "webhook_received").expect("it was received");
    steps.remove(received);
    assert_eq!(steps, ["processing", "agent_called", "agent_success", "formatted", "completed"]);

    let dead = site.say(PHONE, "forbidden").await;
    errors.read_until("\"outcome\":\"dead\"").await;
    assert!(errors.lines().iter().all(|line| line["trace_id"] == json!(dead)), "{:?}", errors.lines());
    answered.read_until(&id).await;
    assert!(answered.lines().iter().all(|line| line["outcome"] == "answered"), "{:?}", answered.lines());

    for wrong in ["outcome=maybe", "errors=perhaps"] {
        let path = format!("/api/v1/traces/tail?{wrong}");
        site.api(Method::GET, &path, None).await.assert_problem(422, "invalid_parameter");
    }
    let path = "/api/v1/traces/tail?instance_name=nobody";
    site.api(Method::GET, path, None).await.assert_problem(404, "instance_not_found");

    // A stop ends every tail, and none of them holds it up.
    site.hub.ask_to_stop();
    acme.read_until("\"reason\":\"stopped\"").await;
    let rest = tokio::time::timeout(DEADLINE, acme.response.chunk()).await.expect("the end");
    assert!(matches!(rest, Ok(None)), "{rest:?}");
}

#[tokio::test]
async fn too_many_tails_are_refused_and_a_seat_is_free_again_when_one_leaves() {
    let site = Site::up(Database::Sqlite, Behaviour::Echo).await;
    let mut tails = Vec::new();
    for _ in 0..32 {
        tails.push(Tail::open(&site, "").await);
    }
    let path = "/api/v1/traces/tail";
    site.api(Method::GET, path, None).await.assert_problem(503, "too_many_tails");
    tails.pop();
    let url = format!("{}{path}", site.hub.url());
    until("a seat is free", DEADLINE, async || {
        let tail = reqwest::Client::new().get(&url).header("x-api-key", ADMIN_KEY).send().await.unwrap();
        tail.status().as_u16() == 200
    })
    .await;
}

#[tokio::test]
async fn the_commands_show_what_happens() {
    let site = Site::up(Database::Sqlite, Behaviour::Echo).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_omnihub"));
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    command.args(["trace", "tail", "--instance", "acme"]).env("OMNIHUB_URL", site.hub.url());
    command.env("OMNIHUB_API_KEY", ADMIN_KEY).current_dir(folder.path()).kill_on_drop(true);
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let mut tail = command.spawn().unwrap();
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    until("the tail watches", DEADLINE, async || read(&err).contains("Watching")).await;
    let id = site.say(PHONE, "hello").await;
    until("the answer is shown", DEADLINE, async || read(&out).contains("answered after")).await;
    let text = read(&out);
    for words in [
        format!("{id}  acme         +{PHONE}    received  “hello”"),
        "agent asked".into(),
        "agent answered after".into(),
    ] {
        assert!(text.contains(&words), "{words} in\n{text}");
    }

    site.ended(&id).await;
    let (well, text) = printed(&site, &["trace", "list", "--phone", PHONE]).await;
    assert!(well && text.contains(&id) && text.contains("answered"), "{text}");
    let (well, text) = printed(&site, &["trace", "show", &id, "--payloads"]).await;
    assert!(well && text.contains("echo: hello") && text.contains("incoming_payload:"), "{text}");
    let (well, text) = printed(&site, &["where", &id]).await;
    assert!(well && text.contains("It was answered, ") && text.contains(&format!("trace {id}")), "{text}");
    let (well, text) = printed(&site, &["trace", "show", "no-id"]).await;
    assert!(!well && text.contains("expected a UUID"), "{text}");
    let (well, text) = printed(&site, &["trace", "tail", "--outcome", "maybe"]).await;
    assert!(!well && text.contains("outcome: expected"), "{text}");

    site.hub.ask_to_stop();
    let ended = tokio::time::timeout(DEADLINE, tail.wait()).await.expect("the tail ends").unwrap();
    assert!(ended.success(), "{}", read(&err));
}
