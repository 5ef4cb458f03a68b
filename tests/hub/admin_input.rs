//! Whatever is sent to whichever route of the admin API: the hub answers with what was wanted or says
//! what is wrong, never that it failed, tells a tenant nothing of another one, and goes on.
//!
//! The inputs are generated, the same ones each time, so that what fails once fails again. The
//! routes are the ones that the ingress has: a new one is under test from its first day.

use omnihub_fakes::Behaviour;
use omnihub_ingress::admin::every_route;
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};

use crate::harness::{ADMIN_KEY, Answer, DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(nothing_that_is_sent_breaks_it, who_asks_too_often_waits_and_nobody_else);

const CASES: u32 = 700;

/// The tenant that asks beside the root key.
const OTHER: &str = "globex";

/// What the first tenant alone knows.
const PLANTED: &str = "planted-of-acme";

/// A customer of both tenants, and one whom no input names.
const PHONES: [&str; 2] = ["14155558800", "14155558899"];

/// Fields and parameters, each with a value that some route takes.
const KNOWN: &str = r#"{
    "name": "initech", "channel_type": "whatsapp", "is_active": true, "is_default": false,
    "evolution_url": "http://127.0.0.1:9", "evolution_key": "k", "whatsapp_instance": "initech",
    "webhook_secret": "s", "webhook_base64": true, "discord_bot_token": "t", "session_id_prefix": "p-",
    "agent_api_url": "http://127.0.0.1:9", "agent_api_key": "k", "default_agent": "helper", "agent_timeout": 5,
    "agent_instance_type": "automagik", "agent_id": "7", "agent_error_message": "sorry",
    "agent_type": "team", "agent_stream_mode": true, "agent_system_prompt": "be kind", "agent_history_turns": 3,
    "agent_webhook_secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    "fallback_agents": [{"name": "backup", "agent_api_url": "http://127.0.0.1:9", "agent_api_key": "k"}],
    "on_agent_failure": "handoff", "late_answer_minutes": 5, "enable_auto_split": true, "split_over": 100, "debounce_ms": 10, "debounce_max_ms": 100, "overlap": "merge",
    "max_backlog": 5, "trace_retention_days": 3, "turns_per_minute": 9, "takeover_minutes": 5, "resume_keyword": "bot",
    "on_edit": "new_turn", "group_trigger": "always", "group_keywords": ["bot"], "group_session": "user",
    "budget_turns_per_minute": 5, "budget_turns_per_day": 6, "budget_tokens_per_day": 7, "quote_replies": "groups",
    "mention_in_groups": "sender",
    "opening_hours": {"time_zone": "UTC", "monday": ["09:00-18:00"]}, "out_of_office_message": "later", "mark_read": true,
    "typing_speed": 50, "sends_per_minute": 30,
    "stream_replies": true,
    "transcript_api_url": "http://127.0.0.1:9", "transcript_api_key": "k", "transcript_model": "m",
    "transcript_language": "pt", "media_delivery": "url",
    "instances": ["globex"], "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z",
    "phone_number": "14155558800", "phone": "14155558800", "action": "block", "rule_type": "allow",
    "reason": "spam", "instance_name": "globex", "email": "a@b.test", "user_data": {"plan": "gold"},
    "provider": "crm", "external_id": "4711", "minutes": 5, "until": "2099-01-01T00:00:00Z",
    "session_name": "globex_14155558800",
    "skip": 1, "limit": 2, "offset": 1, "cursor": "1", "format": "csv", "dry_run": true, "all": true,
    "since": "24h", "start_date": "2020-01-01", "end_date": "2099-01-01T00:00:00Z", "all_time": true,
    "trace_status": "completed", "outcome": "answered", "has_media": false, "message_type": "text",
    "error_stage": "asking", "agent_session_id": "s", "include_payload": false, "errors": true,
    "trace_id": "01a201e5-5b10-8066-bb37-454d8891c2bd", "conversation": "globex_14155558800",
    "actor": "root", "from": "2020-01-01", "to": "2099-01-01", "days_old": 30,
    "page": 1, "page_size": 2, "search_query": "a", "status_filter": "unknown", "chat_type_filter": "direct",
    "archived": false, "unread": true, "to": "14155558800", "picture_base64": "aGk=",
    "text": "hello", "message": "hello", "wait": 0, "unknown": 1
}"#;

fn known() -> Vec<(String, Value)> {
    let known: Map<String, Value> = serde_json::from_str(KNOWN).expect("JSON");
    known.into_iter().collect()
}

/// Words that somebody might try.
const HOSTILE: [&str; 36] = [
    "",
    " ",
    "0",
    "-1",
    "99999999999999999999",
    "9223372036854775807",
    "-9223372036854775808",
    "1e999",
    "NaN",
    "+1 415 555 8800",
    "1415*",
    "*",
    ">",
    "a.b",
    "in.>",
    "*.*.acme.>",
    "$JS.API.STREAM.DELETE.INBOUND",
    "..",
    "../../etc/passwd",
    "+262142-12-31T23:59:59Z",
    "-0001-01-01",
    "9999-12-31T23:59:59+23:59",
    "1970-01-01T00:00:00.999999999999Z",
    "36500d",
    "4294967295d",
    "' OR 1=1; DROP TABLE users; --",
    "'||(SELECT evolution_key FROM instance_configs)||'",
    "%' ESCAPE '",
    "%%%_\\",
    "1); DELETE FROM api_keys; --",
    "\0",
    "a\0b",
    "a\r\nx-api-key: b",
    "\u{202e}\u{e9}\u{1f600}\u{feff}",
    "${jndi:ldap://x}",
    "****",
];

#[derive(Clone, Debug)]
struct Asked {
    method: String,
    path: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    as_tenant: bool,
}

impl Asked {
    /// Whether it would take away one of the two tenants, and with it what the rest is about.
    fn ends_a_tenant(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let named = [INSTANCE, OTHER].map(|name| format!("/api/v1/instances/{name}"));
        self.method == "DELETE" && named.contains(&path.to_owned())
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(&HOSTILE[..]).prop_map(str::to_owned),
        2 => select(&[INSTANCE, OTHER, "nobody", "true", "1", "2"][..]).prop_map(str::to_owned),
        2 => ".{0,30}",
        1 => "[a-z]{300,5000}",
    ]
}

fn number() -> impl Strategy<Value = Value> {
    let edges = [u64::MAX, u64::from(u32::MAX) + 1, i64::MAX as u64, 0];
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(edges.to_vec()).prop_map(Value::from)
    ]
}

/// A value within so many others that a reader without a bound would fall.
fn deep(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, at| if at % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => number(),
        1 => (1..120_usize).prop_map(deep),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let fields = prop::collection::vec((word(), inner.clone()), 0..4);
        let object = fields.prop_map(|fields| Value::Object(fields.into_iter().collect()));
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), object]
    })
}

/// Known fields, most of them as they should be.
fn object() -> impl Strategy<Value = Value> {
    let known = known();
    let field = select(known.clone()).prop_flat_map(|(name, good)| {
        let value = prop_oneof![2 => Just(good), 1 => json_value()];
        (Just(name), value)
    });
    let some = prop::collection::vec(field, 0..10);
    // All of them, with one that is not as it should be.
    let all = (select(known.clone()), json_value()).prop_map(move |((name, _), wrong)| {
        let mut all: Vec<_> = known.clone();
        all.push((name, wrong));
        all
    });
    prop_oneof![3 => some, 1 => all].prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let table = prop::collection::vec(prop::collection::vec(word(), 0..5), 0..4).prop_map(|lines| {
        let lines: Vec<String> = lines.into_iter().map(|line| line.join(",")).collect();
        format!("phone_number,action,reason,instance_name\n{}\n", lines.join("\n")).into_bytes()
    });
    prop_oneof![
        12 => object().prop_map(|body| body.to_string().into_bytes()),
        2 => prop::collection::vec(object(), 0..4).prop_map(|list| Value::from(list).to_string().into_bytes()),
        1 => json_value().prop_map(|body| body.to_string().into_bytes()),
        1 => table,
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (1000..50_000_usize).prop_map(|depth| "[{\"a\":".repeat(depth).into_bytes()),
    ]
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// A part of a path, each byte escaped; some of them no text at all.
fn part() -> impl Strategy<Value = String> {
    let known = [INSTANCE, OTHER, "1", "2", "3", PHONES[0], "acme_14155558800", "globex_14155558800"];
    let bytes = prop_oneof![word().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 1..12)];
    prop_oneof![2 => select(known.to_vec()).prop_map(str::to_owned), 1 => bytes.prop_map(|bytes| escaped(&bytes))]
}

fn query() -> impl Strategy<Value = String> {
    let pair = select(known()).prop_flat_map(|(name, good)| {
        let good = good.as_str().map_or_else(|| good.to_string(), str::to_owned);
        (Just(name), prop_oneof![2 => Just(good), 1 => word()])
    });
    prop::collection::vec(pair, 0..4).prop_map(|pairs| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, text)| format!("{name}={}", escaped(text.as_bytes()))).collect();
        pairs.join("&")
    })
}

/// A path with something in each of its places.
fn path() -> impl Strategy<Value = (String, String)> {
    let all = every_route();
    let guarded = all.recorded().iter().filter(|route| route.scope.is_some());
    let routes: Vec<_> = guarded.map(|route| (route.method.to_string(), route.path.clone())).collect();
    (select(routes), prop::collection::vec(part(), 4)).prop_map(|((method, path), parts)| {
        let mut parts = parts.into_iter();
        let filled: Vec<String> = path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => parts.next().expect("few places"),
                false => segment.to_owned(),
            })
            .collect();
        (method, filled.join("/"))
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let kinds = [
        Some("application/json"),
        Some("application/json"),
        Some("application/merge-patch+json; charset=utf-8"),
        Some("application/x-www-form-urlencoded"),
        Some("text/csv"),
        Some("multipart/form-data; boundary=x"),
        None,
    ];
    (path(), query(), select(kinds.to_vec()), body(), any::<bool>()).prop_map(
        |((method, path), query, content_type, body, as_tenant)| {
            let path = format!("{path}?{query}");
            Asked { method, path, content_type, body, as_tenant }
        },
    )
}

/// Two tenants, each with customers; answers the key of the second.
async fn two_tenants(site: &Site) -> String {
    site.add_instance(OTHER, json!({"whatsapp_instance": OTHER})).await;
    for phone in PHONES {
        for (instance, text) in [(INSTANCE, PLANTED), (OTHER, "hello")] {
            site.ended(&site.say_to(instance, phone, text).await).await;
        }
        let rule = json!({"phone_number": phone, "action": "allow", "reason": PLANTED, "instance_name": INSTANCE});
        assert_eq!(site.api(Method::POST, "/api/v1/access/rules", Some(&rule)).await.status, 201);
        let pause = format!("/api/v1/instances/{INSTANCE}/conversations/acme_{phone}/pause");
        assert_eq!(site.api(Method::POST, &pause, Some(&json!({"reason": PLANTED}))).await.status, 200);
    }
    let users = site.get(&format!("/api/v1/users?instance_name={INSTANCE}")).await;
    for user in users.as_array().expect("people") {
        let path = format!("/api/v1/users/{}", user["id"]);
        let told = json!({"user_data": {"of": PLANTED}});
        assert_eq!(site.api(Method::PATCH, &path, Some(&told)).await.status, 200);
    }
    site.change_instance(INSTANCE, json!({"agent_error_message": PLANTED})).await;
    // The first ones are for inputs that revoke.
    let mut key = Value::Null;
    for _ in 0..4 {
        let body = json!({"name": "k", "instances": [OTHER], "scopes": ["read", "write", "send", "admin"]});
        key = site.api(Method::POST, "/api/v1/keys", Some(&body)).await.body["key"].clone();
    }
    key.as_str().expect("a key").to_owned()
}

async fn nothing_that_is_sent_breaks_it(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let key = two_tenants(&site).await;
    let (mut runner, mut welcome) = (TestRunner::deterministic(), 0);
    for _ in 0..CASES {
        let asked = asked().new_tree(&mut runner).expect("an input").current();
        if asked.ends_a_tenant() {
            continue;
        }
        let answer = send(&site, if asked.as_tenant { &key } else { ADMIN_KEY }, &asked).await;
        check(&asked, &answer);
        welcome += u32::from(answer.status < 400);
    }
    assert!(welcome > CASES / 10, "only {welcome} of {CASES} were understood");
    nothing_too_large(&site).await;
    let still = site.api_as(&key, Method::GET, "/api/v1/instances", None).await;
    assert_eq!((still.status, still.text.contains(OTHER)), (200, true), "{}", still.text);
    assert_eq!(site.get(&format!("/api/v1/instances/{INSTANCE}")).await["name"], INSTANCE);
    site.assert_no_violations();
}

fn check(asked: &Asked, answer: &Answer) {
    let body = String::from_utf8_lossy(&asked.body);
    let said = || format!("{} {} {body:.2000}: {} {}", asked.method, asked.path, answer.status, answer.text);
    // What a server behind the hub does not do is no fault of the hub's.
    assert!(answer.status < 500 || matches!(answer.status, 502 | 504), "{}", said());
    if answer.status >= 400 {
        assert!(answer.body["code"].is_string(), "{}", said());
        answer.assert_problem(answer.status, answer.body["code"].as_str().unwrap_or_default());
    }
    assert_ne!(answer.body["code"], "invalid_api_key", "{}", said());
    assert!(!asked.as_tenant || !answer.text.contains(PLANTED), "{}", said());
}

/// A body of one byte too many, to every route that reads one.
async fn nothing_too_large(site: &Site) {
    for (path, method) in [("/keys", "POST"), ("/instances/acme", "PUT"), ("/access/rules/import", "POST")] {
        let (path, content_type) = (format!("/api/v1{path}"), Some("application/json"));
        let body = vec![b' '; 2 * 1024 * 1024 + 1];
        let asked = Asked { method: method.to_owned(), path, content_type, body, as_tenant: false };
        send(site, ADMIN_KEY, &asked).await.assert_problem(413, "body_too_large");
    }
}

async fn send(site: &Site, key: &str, asked: &Asked) -> Answer {
    let method = Method::from_bytes(asked.method.as_bytes()).expect("a method");
    let mut request = reqwest::Client::new().request(method.clone(), format!("{}{}", site.hub.url(), asked.path));
    if let Some(content_type) = asked.content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    let response = request.header("x-api-key", key).body(asked.body.clone()).send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // A tail has no end.
    let text = match headers[CONTENT_TYPE] == "text/event-stream" {
        true => String::new(),
        false => response.text().await.expect("a text"),
    };
    let body = serde_json::from_str(&text).unwrap_or_default();
    let answer = Answer { status, headers, text, body };
    answer.assert_documented(&method, &asked.path);
    answer
}

async fn who_asks_too_often_waits_and_nobody_else(database: Database) {
    let settings = [("OMNIHUB_API_RATE", "20"), ("OMNIHUB_PROXY_HOPS", "1")];
    let site = Site::up_with(database, Behaviour::Echo, &settings).await;
    let body = json!({"name": "k", "instances": [INSTANCE], "scopes": ["read"]});
    let key = site.api(Method::POST, "/api/v1/keys", Some(&body)).await.body["key"].clone();
    let key = key.as_str().expect("a key");
    let mut answer = site.api_as(key, Method::GET, "/api/v1/instances", None).await;
    assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, "\"key\";q=20;w=60"));
    // A loaded machine earns tokens while it asks: sooner or later it has asked too often.
    while answer.status == 200 {
        answer = site.api_as(key, Method::GET, "/api/v1/instances", None).await;
    }
    answer.assert_problem(429, "too_many_requests");
    assert!(answer.header("ratelimit").starts_with("\"key\";r=0;t="), "{:?}", answer.headers);
    assert_eq!(site.api(Method::GET, "/api/v1/instances", None).await.status, 200);

    // Somebody shows keys that are none; others ask through the same proxy.
    let (http, url) = (reqwest::Client::new(), format!("{}/api/v1/instances", site.hub.url()));
    let show = async |key: &str, from: &str| {
        let request = http.get(&url).header("x-api-key", key).header("x-forwarded-for", from);
        request.send().await.expect("an answer").status().as_u16()
    };
    until("somebody is stopped, whoever they say they are", DEADLINE, async || {
        let guesses = (0..100).map(async |n| show("wrong", &format!("6.6.6.{n}, 203.0.113.5")).await);
        futures_util::future::join_all(guesses).await.contains(&429)
    })
    .await;
    assert_eq!(show("wrong", "203.0.113.5, 203.0.113.6").await, 401);
    assert_eq!(show(ADMIN_KEY, "203.0.113.5").await, 200);

    // Webhooks and health pass all the same.
    for n in 0..40 {
        site.say(&format!("141555566{n:02}"), "hello").await;
        let health = reqwest::get(format!("{}/livez", site.hub.url())).await.expect("an answer");
        assert_eq!(health.status(), 200);
    }
}
