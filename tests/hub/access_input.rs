//! Whatever is sent to the routes of access rules, people, conversations and dead letters: the hub
//! answers with what was wanted or says what is wrong, never that it failed, and tells a tenant
//! nothing of another one.
//!
//! The inputs are generated, the same ones each time, so that what fails once fails again.

use omnihub_fakes::Behaviour;
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{ADMIN_KEY, Answer, Database, INSTANCE, Site, on_both_databases};

on_both_databases!(nothing_that_is_sent_breaks_it);

const CASES: u32 = 400;

/// What the first tenant alone knows.
const PLANTED: &str = "planted-of-acme";

const PHONE: &str = "14155558800";

/// Each route with a place for what is generated.
const ROUTES: [(&str, &[&str]); 14] = [
    ("/access/rules", &["GET", "POST"]),
    ("/access/rules/{}", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/access/rules/import", &["POST"]),
    ("/access/rules/export", &["GET"]),
    ("/access/check", &["GET"]),
    ("/users", &["GET"]),
    ("/users/{}", &["GET", "PUT", "PATCH"]),
    ("/users/{}/external-ids", &["POST", "DELETE"]),
    ("/instances/{}/people/{}", &["DELETE"]),
    ("/instances/{}/people/{}/export", &["GET"]),
    ("/instances/{}/conversations", &["GET"]),
    ("/instances/{}/conversations/{}/pause", &["POST"]),
    ("/instances/{}/conversations/{}/resume", &["POST"]),
    ("/dead-letters/{}", &["GET", "DELETE"]),
];

const FIELDS: [&str; 20] = [
    "phone_number",
    "phone",
    "action",
    "rule_type",
    "reason",
    "instance_name",
    "email",
    "user_data",
    "provider",
    "external_id",
    "minutes",
    "until",
    "skip",
    "limit",
    "format",
    "dry_run",
    "all",
    "since",
    "session_name",
    "unknown",
];

/// Words that one route or another takes, and words that somebody might try.
const WORDS: [&str; 28] = [
    "",
    " ",
    "acme",
    "globex",
    "nobody",
    "1",
    "0",
    "-1",
    "99999999999999999999",
    "14155558800",
    "+1 415 555 8800",
    "1415*",
    "*",
    ">",
    "a.b",
    "..",
    "block",
    "allow",
    "true",
    "csv",
    "a@b.test",
    "2099-01-01T00:00:00Z",
    "9999-12-31T23:59:59+23:59",
    "' OR 1=1; DROP TABLE users; --",
    "%' ESCAPE '",
    "\0",
    "\u{202e}é\u{1f600}",
    "acme_14155558800",
];

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    path: String,
    body: Vec<u8>,
    as_tenant: bool,
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(&WORDS[..]).prop_map(str::to_owned), 1 => ".{0,30}", 1 => "[a-z]{300,5000}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let fields = prop::collection::vec((word(), inner.clone()), 0..4);
        let object = fields.prop_map(|fields| Value::Object(fields.into_iter().collect()));
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), object]
    })
}

fn object() -> impl Strategy<Value = Value> {
    let field = (select(&FIELDS[..]), json_value());
    let fields = prop::collection::vec(field, 0..8);
    fields.prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let table = prop::collection::vec(prop::collection::vec(word(), 0..5), 0..4).prop_map(|lines| {
        let lines: Vec<String> = lines.into_iter().map(|line| line.join(",")).collect();
        format!("phone_number,action,reason,instance_name\n{}\n", lines.join("\n")).into_bytes()
    });
    prop_oneof![
        6 => object().prop_map(|body| body.to_string().into_bytes()),
        2 => prop::collection::vec(object(), 0..4).prop_map(|list| Value::from(list).to_string().into_bytes()),
        1 => json_value().prop_map(|body| body.to_string().into_bytes()),
        1 => table,
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// A part of a path, each byte escaped; some of them no text at all.
fn part() -> impl Strategy<Value = String> {
    let known = select(&[INSTANCE, "globex", "1", "2", PHONE, "acme_14155558800"][..]).prop_map(str::to_owned);
    let bytes = prop_oneof![word().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 1..12)];
    prop_oneof![2 => known, 1 => bytes.prop_map(|bytes| escaped(&bytes))]
}

fn query() -> impl Strategy<Value = String> {
    let pairs = prop::collection::vec((select(&FIELDS[..]), word()), 0..5);
    pairs.prop_map(|pairs| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, text)| format!("{name}={}", escaped(text.as_bytes()))).collect();
        pairs.join("&")
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let route = select(&ROUTES[..]).prop_flat_map(|(path, methods)| (Just(path), select(methods)));
    (route, part(), part(), query(), body(), any::<bool>()).prop_map(
        |((path, method), first, second, query, body, as_tenant)| {
            let path = path.replacen("{}", &first, 1).replacen("{}", &second, 1);
            Asked { method, path: format!("/api/v1{path}?{query}"), body, as_tenant }
        },
    )
}

async fn nothing_that_is_sent_breaks_it(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("globex", json!({"whatsapp_instance": "globex"})).await;
    for (instance, text) in [(INSTANCE, PLANTED), ("globex", "hello")] {
        site.ended(&site.say_to(instance, PHONE, text).await).await;
    }
    let rule = json!({"phone_number": "1", "action": "block", "reason": PLANTED, "instance_name": INSTANCE});
    assert_eq!(site.api(Method::POST, "/api/v1/access/rules", Some(&rule)).await.status, 201);
    let key = json!({"name": "k", "instances": ["globex"], "scopes": ["read", "write"]});
    let key = site.api(Method::POST, "/api/v1/keys", Some(&key)).await.body["key"].clone();

    let (mut runner, mut welcome) = (TestRunner::deterministic(), 0);
    for _ in 0..CASES {
        let asked = asked().new_tree(&mut runner).expect("an input").current();
        let key = if asked.as_tenant { key.as_str().expect("a key") } else { ADMIN_KEY };
        let answer = send(&site, key, &asked).await;
        let said = || format!("{asked:?}: {} {}", answer.status, answer.text);
        assert!(answer.status < 500, "{}", said());
        if answer.status < 400 {
            welcome += 1;
        } else {
            assert!(answer.body["code"].is_string(), "{}", said());
            answer.assert_problem(answer.status, answer.body["code"].as_str().unwrap_or_default());
        }
        assert!(!asked.as_tenant || !answer.text.contains(PLANTED), "{}", said());
    }
    assert!(welcome > CASES / 10, "only {welcome} of {CASES} were understood");
    site.assert_no_violations();
}

async fn send(site: &Site, key: &str, asked: &Asked) -> Answer {
    let method = Method::from_bytes(asked.method.as_bytes()).expect("a method");
    let request = reqwest::Client::new().request(method, format!("{}{}", site.hub.url(), asked.path));
    let response = request.header("x-api-key", key).body(asked.body.clone()).send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a text");
    let body = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, body }
}
