use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use jsonschema::Validator;
use omnihub_common::{health::Health, telemetry::MetricsPage};
use serde_json::{Value, json};

use super::*;
use crate::admin::testing::Hub;

/// The paths of a router, which it tells nobody but who debugs it.
fn paths<S: Clone + Send + Sync + 'static>(router: &Router<S>) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let named = shown.split("RouteId(").filter_map(|part| part.split_once("): \"")?.1.split_once('"'));
    named.map(|(path, _)| path.to_owned()).collect()
}

/// Every operation of the document with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all
}

#[test]
fn every_route_says_what_it_does() {
    let silent: Vec<_> = recorded()
        .into_iter()
        .filter(|route| route.doc.is_none())
        .map(|route| format!("  {} {}", route.method, route.path))
        .collect();
    assert!(
        silent.is_empty(),
        "these routes are in no document:\n{}\n\
         Say what they do where they are built, after the method and its handler:\n  \
         .route(path, post(pause).doc(says(\"Silence the bot\").body(&FIELDS, json!({{..}})).answers::<Conversation>()))\n\
         with `openapi::says` and the fields of `openapi::field`; method, path, scope and the problems that \
         follow from them are known without being said.",
        silent.join("\n")
    );
    let wordless: Vec<_> =
        recorded().into_iter().filter(|route| route.doc.as_ref().unwrap().answers.is_empty()).collect();
    let wordless: Vec<_> = wordless.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(
        wordless,
        Vec::<&str>::new(),
        "say what these answer: .answers::<T>(), .lists::<T>(), .answers_like(json!(..))"
    );
}

#[test]
fn the_document_has_the_routes_that_the_routers_have() {
    let health = omnihub_common::health::routes(Health::new(Default::default()), MetricsPage::default());
    let mut built = paths(&crate::admin::routes());
    built.extend(paths(&crate::webhook::routes(1)));
    built.extend(paths(&crate::media::routes()));
    built.extend(paths(&health));
    let document = document();
    let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    // Where axum keeps what answers for no path at all.
    built.retain(|path| !path.contains("__private") && (path != "/" || documented.contains(path)));
    assert!(built.len() > 30, "{built:?}");
    assert_eq!(
        built, documented,
        "left: what the routers have, right: what the document has. Build routes with `door::Routes` and merge them \
         in `admin::all`, so that they are recorded; those of health are said in `openapi/health.rs`."
    );
}

#[test]
fn the_document_is_valid() {
    let document = document();
    let schema: Value = serde_json::from_str(include_str!("../../../assets/openapi/schema-3.1.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&document).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert_eq!(wrong, Vec::<String>::new());
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let wrong = jsonschema::draft202012::meta::validate(schema).map_err(|error| error.to_string());
        assert_eq!(wrong, Ok(()), "{name}");
    }
}

/// The example of a body or an answer.
fn example_of(content: &Value) -> Option<&Value> {
    content.pointer("/examples/example/value")
}

/// A validator of a schema that may refer to the named ones.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = json!({"components": document["components"]});
    whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
    jsonschema::draft202012::new(&whole).unwrap()
}

#[test]
fn every_example_is_one() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let bodies = operation["requestBody"]["content"].as_object();
        assert!(bodies.is_none_or(|bodies| bodies.values().all(|body| example_of(body).is_some())), "{method} {path}");
        let answers =
            operation["responses"].as_object().unwrap().values().filter_map(|answer| answer["content"].as_object());
        for content in bodies.into_iter().chain(answers).flat_map(|content| content.values()) {
            let Some(example) = example_of(content) else { continue };
            let wrong: Vec<_> = validator(&document, &content["schema"])
                .iter_errors(example)
                .map(|error| format!("{} at {}", error, error.instance_path()))
                .collect();
            assert_eq!(wrong, Vec::<String>::new(), "{method} {path}: {example}");
            // A body's example names no field that the body does not have.
            if let (Some(fields), Some(known)) = (example.as_object(), content["schema"]["properties"].as_object()) {
                assert!(fields.keys().all(|name| known.contains_key(name)), "{method} {path}: {example}");
            }
        }
    }
}

#[test]
fn operations_are_told_apart_and_grouped() {
    let document = document();
    let groups: BTreeSet<_> = groups::all().map(|(name, _)| name).collect();
    let mut ids = BTreeMap::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert_eq!(ids.insert(id, (method, path.clone())), None, "{path}");
        let group = operation["tags"][0].as_str().unwrap();
        assert!(groups.contains(group), "{path} is in no group: name one for it in `openapi/groups.rs`");
        assert!(!operation["summary"].as_str().unwrap().ends_with('.'), "{path}: a summary is no sentence");
    }
    let mut schemas = schemas::Schemas::default();
    assert_eq!(assemble::paths(&recorded(), &mut schemas).len(), document["paths"].as_object().unwrap().len());
    assert_eq!(schemas.torn, Vec::<String>::new(), "two types of one name: tell them apart with #[schema(as = ..)]");
}

#[test]
fn what_a_key_needs_is_said() {
    let document = document();
    let said = |path: &str, method: &str| document["paths"][path][method]["security"].clone();
    assert_eq!(said("/api/v1/traces", "get"), json!([{"ApiKeyAuth": ["read"]}, {"BearerAuth": ["read"]}]));
    assert_eq!(said("/api/v1/keys", "post"), json!([{"ApiKeyAuth": ["admin"]}, {"BearerAuth": ["admin"]}]));
    let open: Vec<_> = operations(&document)
        .into_iter()
        .filter(|(_, _, operation)| operation["security"] == json!([]))
        .map(|(_, path, _)| path)
        .collect();
    let known = [
        "/api/v1/docs",
        "/api/v1/openapi.json",
        "/api/v1/redoc",
        "/api/v1/replies",
        "/health",
        "/livez",
        "/media",
        "/metrics",
        "/readyz",
        "/webhook",
    ];
    assert!(open.iter().all(|path| known.iter().any(|known| path.starts_with(known))), "open to everybody: {open:?}");
}

#[tokio::test]
async fn the_document_and_its_page_need_no_key_and_nobody_else() {
    let hub = Hub::new().await;
    let served = hub.call_as("no key at all", "GET", "/openapi.json", "").await;
    assert_eq!((served.status, &served.json), (200, &document()));
    let page = hub.call_as("", "GET", "/docs", "").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(page.status == 200 && policy.contains("default-src 'none'") && policy.contains("script-src 'self'"));
    assert!(!page.text.contains("://"), "the page names another place: {}", page.text);
    let script = hub.call_as("", "GET", "/docs/rapidoc.js", "").await;
    assert_eq!(
        (script.status, script.headers["content-type"].to_str().unwrap()),
        (200, "text/javascript; charset=utf-8")
    );
    assert!(script.text.contains("RapiDoc"));
    let older = hub.call_as("", "GET", "/redoc", "").await;
    assert_eq!((older.status, older.headers["location"].to_str().unwrap()), (308, "/api/v1/docs"));
}

/// A field that is documented and not read is either ignored, and named beside the answer, or
/// refused.
#[tokio::test]
async fn every_field_of_a_body_is_one_that_is_read() {
    let hub = Hub::new().await;
    let instance = json!({
        "name": "a",
        "evolution_url": "http://evolution.test",
        "evolution_key": "planted-evolution",
        "agent_api_url": "http://agent.test",
        "agent_api_key": "planted-agent",
        "provision": false,
    });
    assert_eq!(hub.call("POST", "/instances", instance).await.status, 201);
    let (document, mut tried) = (document(), 0);
    for (method, path, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"];
        let (Some(known), Some(path)) = (body["schema"]["properties"].as_object(), path.strip_prefix("/api/v1")) else {
            continue;
        };
        let mut fields: serde_json::Map<_, _> = known.keys().map(|name| (name.clone(), Value::Null)).collect();
        fields.extend(example_of(body).unwrap().as_object().unwrap().clone());
        // No server is asked for anything.
        for (name, value) in [("provision", json!(false)), ("evolution_url", json!("http://127.0.0.1:9"))] {
            fields.entry(name).and_modify(|field| *field = value);
        }
        let path = path.replace("{name}", "a").replace("{id}", "1").replace("{session}", "s");
        let answer = hub.call(&method, &path, Value::Object(fields)).await;
        let refused = ["is not known here", "expected one of"].iter().any(|words| answer.text.contains(words));
        let ignored = answer.headers.get("warning");
        assert!(ignored.is_none() && !refused, "{method} {path}: {ignored:?} {}", answer.text);
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn the_statuses_of_a_request_are_those_of_the_route_that_answers_it() {
    let has = |method: &str, path: &str, status: u16| statuses(method, path).map(|known| known.contains(&status));
    assert_eq!(has("GET", "/api/v1/traces/cleanup", 404), None, "it is no trace, and not asked for so");
    assert_eq!(has("GET", "/api/v1/traces/0?include_payload=true", 404), Some(true));
    assert_eq!(has("DELETE", "/api/v1/access/rules/1", 204), Some(true));
    assert_eq!(has("DELETE", "/api/v1/access/rules/", 204), None);
    assert_eq!(has("GET", "/api/v1/audit", 201), Some(false));
}

/// A part that is one of several forms can be flattened into a larger object, as generators of
/// clients read it.
#[test]
fn forms_that_a_word_tells_apart_are_one_object() {
    let document = document();
    let standing = &document["components"]["schemas"]["MessageStanding"];
    assert_eq!((&standing["oneOf"], &standing["required"]), (&Value::Null, &json!(["state"])));
    let fields = &standing["properties"];
    assert!(fields["state"]["enum"].as_array().unwrap().iter().any(|word| word == "held"));
    assert!(fields["state"]["description"].as_str().unwrap().contains("`held`: Nothing is tried until"));
    // It is always there in one form, and may be null in another.
    assert_eq!(fields["until"]["type"], json!(["string", "null"]));
    assert_eq!(fields["until"]["format"], "date-time");
}
