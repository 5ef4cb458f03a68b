//! Instances over the command line and REST, and what is left of a deleted one.

use std::collections::HashMap;
use std::process::Output;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::TryStreamExt as _;
use omnihub_fakes::{Answer, Behaviour};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    ADMIN_KEY, DEADLINE, Database, EVOLUTION_KEY, INSTANCE, Site, message_id, omnihub, on_both_databases, until,
    webhook,
};

on_both_databases!(an_instance_by_the_command_line, nothing_is_left_of_a_deleted_instance);

/// `omnihub instance <args>` against a site.
async fn instance(site: &Site, args: &[&str]) -> Output {
    let env = [("OMNIHUB_URL", site.hub.url()), ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned())];
    let env: HashMap<String, String> = env.map(|(name, value)| (name.to_owned(), value)).into();
    let mut all = vec!["instance"];
    all.extend(args);
    omnihub(&all, &env).await
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it printed, when it went well.
async fn well(site: &Site, args: &[&str]) -> String {
    let ended = instance(site, args).await;
    assert!(ended.status.success(), "{args:?}: {}", said(&ended.stderr));
    said(&ended.stdout)
}

/// What it complained of, when it did not.
async fn badly(site: &Site, args: &[&str], code: i32) -> String {
    let ended = instance(site, args).await;
    assert_eq!(ended.status.code(), Some(code), "{args:?}: {}", said(&ended.stdout));
    said(&ended.stderr)
}

async fn an_instance_by_the_command_line(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.evolution.add_instance("evo_slug", EVOLUTION_KEY);
    let (evolution, agent) = (site.evolution.url().to_owned(), site.agent.url().to_owned());
    let options = [
        "add",
        "shop",
        "--evolution-url",
        &evolution,
        "--evolution-key",
        EVOLUTION_KEY,
        "--whatsapp-instance",
        "evo_slug",
        "--session-id-prefix",
        "cli-",
        "--agent-api-url",
        &agent,
        "--agent-api-key",
        site.agent.key(),
        "--default-agent",
        "helper",
        "--agent-timeout=30",
        "--provision=false",
        "--json",
    ];
    let made: Value = serde_json::from_str(&well(&site, &options).await).unwrap();
    assert_eq!(
        (&made["name"], &made["agent_timeout"], &made["is_default"]),
        (&json!("shop"), &json!(30), &json!(false))
    );
    assert!(!made.to_string().contains(EVOLUTION_KEY) && !made.to_string().contains(site.agent.key()));

    // It works at once, under its slug and prefix.
    let trace = site.say_to("shop", "14155554100", "hi").await;
    assert_eq!(site.ended(&trace).await["session_name"], "cli-shop_14155554100");
    assert_eq!(site.evolution.sent()[0].instance, "evo_slug");

    let shown = well(&site, &["show", "--name", "shop"]).await;
    assert!(shown.contains("evo_slug") && !shown.contains(EVOLUTION_KEY), "{shown}");
    let listed: Value = serde_json::from_str(&well(&site, &["list", "--json"]).await).unwrap();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, [INSTANCE, "shop"]);
    assert!(well(&site, &["list"]).await.contains("shop"));

    let changed =
        well(&site, &["update", "shop", "--agent-id", "other", "--clear", "session_id_prefix", "--json"]).await;
    let changed: Value = serde_json::from_str(&changed).unwrap();
    let fields = (&changed["agent_id"], &changed["session_id_prefix"], &changed["whatsapp_instance"]);
    assert_eq!(fields, (&json!("other"), &Value::Null, &json!("evo_slug")), "the rest stays");
    well(&site, &["set-default", "shop"]).await;
    let defaults: Vec<Value> = serde_json::from_str(&well(&site, &["list", "--json"]).await).unwrap();
    let defaults: Vec<&Value> =
        defaults.iter().filter(|row| row["is_default"] == true).map(|row| &row["name"]).collect();
    assert_eq!(defaults, ["shop"]);

    refusals(&site, &options).await;
    well(&site, &["delete", "shop", "--force"]).await;
    site.api(Method::GET, "/api/v1/instances/shop", None).await.assert_problem(404, "instance_not_found");
    until("its webhooks are refused", DEADLINE, async || {
        site.post("/webhook/evolution/shop", &webhook("14155554100", "hi")).await.status == 404
    })
    .await;
    site.assert_no_violations();
}

/// What the command line says no to; `options` make an instance that is there already.
async fn refusals(site: &Site, options: &[&str]) {
    let bare = ["add", "bare", "--evolution-url", "http://127.0.0.1:9", "--evolution-key", "key"];
    assert!(badly(site, &bare, 1).await.contains("agent_api_key"));
    let mut misnamed = options.to_vec();
    misnamed[1] = "no good name";
    assert!(badly(site, &misnamed, 1).await.contains("name"));
    assert!(badly(site, options, 1).await.contains("exists"));
    assert!(badly(site, &["show", "nobody"], 1).await.contains("nobody"));
    assert!(badly(site, &["update", "shop"], 1).await.contains("nothing to change"));
    assert!(badly(site, &["delete"], 2).await.contains("NAME"));
    assert!(badly(site, &["delete", "shop"], 1).await.contains("--force"));
    assert_eq!(site.api(Method::GET, "/api/v1/instances/shop", None).await.status, 200, "nothing was deleted");
}

/// Every subject that is kept, of every stream, that names this instance.
async fn kept(site: &Site, token: &str) -> Vec<String> {
    let client = async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let names: Vec<String> = jetstream.stream_names().try_collect().await.unwrap();
    let mut kept = Vec::new();
    for name in names {
        let stream = jetstream.get_stream(&name).await.unwrap();
        let mut subjects = stream.info_with_subjects(">").await.unwrap();
        while let Some((subject, _)) = subjects.try_next().await.unwrap() {
            if subject.split('.').any(|word| word == token) {
                kept.push(subject);
            }
        }
    }
    let media = jetstream.get_object_store("media").await.unwrap();
    let objects: Vec<_> = media.list().await.unwrap().try_collect().await.unwrap();
    kept.extend(objects.into_iter().map(|object| object.name).filter(|name| name.contains(token)));
    kept
}

async fn nothing_is_left_of_a_deleted_instance(database: Database) {
    let behaviour = Behaviour::custom(|call| match call.message() {
        "die" => Answer::json(axum::http::StatusCode::NOT_FOUND, &json!({})),
        text => {
            let mut answer = Answer::text(call, &format!("echo: {text}"));
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
            body["session_id"] = "the first life's session".into();
            answer.body = body.to_string().into_bytes();
            answer
        }
    });
    let site = Site::parts(database, behaviour).await;
    let made = site.add_instance("phoenix", json!({})).await;
    let token = format!("phoenix-{}", made["id"]);
    let answered = site.say_to("phoenix", "14155554200", "hello").await;
    assert_eq!(site.ended(&answered).await["outcome"], "answered");
    let dead = site.say_to("phoenix", "14155554201", "die").await;
    assert_eq!(site.ended(&dead).await["outcome"], "dead");
    let mut image = webhook("14155554202", "");
    image["data"]["message"] = json!({"imageMessage": {"mimetype": "image/png"}, "base64": "iVBORw0KGgo="});
    let image = site.accepted("/webhook/evolution/phoenix", &image).await.remove(0);
    assert_eq!(site.ended(&image).await["outcome"], "answered");
    // One that is being answered while the instance goes, and one that waits behind it.
    site.agent.set_behaviour(Behaviour::slow(Duration::from_secs(2), Behaviour::Echo));
    let running =
        [site.say_to("phoenix", "14155554203", "slow").await, site.say_to("phoenix", "14155554203", "next").await];
    site.agent.wait_for_calls(4, DEADLINE).await.unwrap();
    let before = kept(&site, &token).await;
    for kind in ["in.", "turn.", "dead.", &token] {
        assert!(before.iter().any(|subject| subject.starts_with(kind)), "{kind} in {before:?}");
    }

    let deleted = site.api(Method::DELETE, "/api/v1/instances/phoenix", None).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    for trace in [&answered, &dead, &image, &running[0], &running[1]] {
        site.api(Method::GET, &format!("/api/v1/traces/{trace}"), None).await.assert_problem(404, "trace_not_found");
    }
    // What was running ends by itself, and then nothing is kept either.
    until("the running call has ended", DEADLINE, async || site.agent.calls().iter().all(|call| call.ended.is_some()))
        .await;
    let mut left = Vec::new();
    let settled = tokio::time::timeout(DEADLINE, async {
        loop {
            left = kept(&site, &token).await;
            if left.is_empty() {
                return;
            }
        }
    });
    assert!(settled.await.is_ok(), "this is kept: {left:?}");

    second_life(&site, &made["id"]).await;
    assert!(kept(&site, &token).await.is_empty());
    site.assert_no_violations();
}

/// The name is given again: it knows nothing of its first life.
async fn second_life(site: &Site, first_id: &Value) {
    site.agent.set_behaviour(Behaviour::Echo);
    let again = site.add_instance("phoenix", json!({})).await;
    assert_ne!(&again["id"], first_id);
    assert_eq!(site.get("/api/v1/traces?instance_name=phoenix").await, json!([]));
    until("the second life takes webhooks", DEADLINE, async || {
        let webhook =
            omnihub_fakes::customers::webhook("phoenix", "14155554200", &message_id(), "anew", crate::harness::now());
        site.post("/webhook/evolution/phoenix", &webhook).await.status == 200
    })
    .await;
    until("it is answered", DEADLINE, async || site.replies_to("14155554200").contains(&"echo: anew".to_owned())).await;
    let calls = site.agent.calls();
    let call = calls.iter().find(|call| call.message() == "anew").unwrap();
    assert_ne!(call.field("session_id"), "the first life's session");
    assert!(!calls.iter().any(|call| call.message() == "next"), "what waited was not asked any more");
}
