//! From what was built to the document.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    doc::{Answer, Body, Doc},
    field::INSTANCE_NAME,
    groups,
    schemas::Schemas,
};
use crate::{admin::door::Recorded, problem::Problem};

/// What the document says of the API as a whole.
const ABOUT: &str = "A hub between people on WhatsApp and the AI agents that answer them.\n\n\
    Every route but those of webhooks and health needs a key: the root key of the hub, or one that \
    `POST /api/v1/keys` made. A key has scopes (`read`, `write`, `send`; `admin` is for everything) \
    and reaches some instances or all; what is outside its reach does not exist for it. Errors are \
    problem details as RFC 9457 has them, with a stable `code`.\n\n\
    An empty text counts as none, in a body as in a query. A field of a body that is not known is ignored and named \
    in a `Warning` header, except where the schema says that there are no others.";

/// The schemes by which a key is shown; either will do.
const SCHEMES: [&str; 2] = ["ApiKeyAuth", "BearerAuth"];

/// The document of these routes. What nobody has documented is left out.
pub(super) fn document(routes: &[Recorded]) -> Value {
    let mut schemas = Schemas::default();
    schemas.named::<Problem>();
    let paths = paths(routes, &mut schemas);
    let tags: Vec<_> = groups::all().map(|(name, says)| json!({"name": name, "description": says})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Omnihub API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The hub that serves this document."}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas.named, "securitySchemes": schemes()},
    })
}

/// Each path with its operations.
pub(super) fn paths(routes: &[Recorded], schemas: &mut Schemas) -> Map<String, Value> {
    let mut paths = Map::new();
    for (route, doc) in routes.iter().filter_map(|route| Some((route, route.doc.as_ref()?))) {
        let at = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        at[route.method.as_str().to_lowercase()] = operation(route, doc, schemas);
    }
    paths
}

fn schemes() -> Value {
    json!({
        "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A key of the hub."},
        "BearerAuth": {"type": "http", "scheme": "bearer", "description": "The same key."},
    })
}

fn operation(route: &Recorded, doc: &Doc, schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "operationId": operation_id(&route.method, &route.path),
        "summary": doc.summary,
        "tags": [groups::of(&route.path)],
        "security": match route.scope {
            Some(scope) => SCHEMES.map(|scheme| json!({(scheme): [scope.word()]})).to_vec(),
            None => Vec::new(),
        },
        "parameters": parameters(&route.path, doc),
        "responses": responses(route, doc, schemas),
    });
    let needs = route.scope.map(|scope| format!("Needs the scope `{}`.", scope.word()));
    let description = [Some(doc.more.to_owned()).filter(|more| !more.is_empty()), needs];
    operation["description"] = description.into_iter().flatten().collect::<Vec<_>>().join("\n\n").into();
    if let Some(body) = &doc.body {
        let content: Map<_, _> = body
            .contents
            .iter()
            .map(|(media, schema, example)| ((*media).to_owned(), content(schema.clone(), Some(example.clone()))))
            .collect();
        operation["requestBody"] = json!({"required": body.is_required, "content": content});
    }
    operation
}

/// `GET /api/v1/keys/{id}` is `get_keys_by_id`.
fn operation_id(method: &Method, path: &str) -> String {
    let below = path.strip_prefix("/api/v1").unwrap_or(path);
    let words = below.split('/').filter(|word| !word.is_empty()).map(|word| {
        let named = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
        named.map_or_else(|| word.replace(['-', '.'], "_"), |name| format!("by_{name}"))
    });
    let words: Vec<_> = std::iter::once(method.as_str().to_lowercase()).chain(words).collect();
    words.join("_")
}

/// The names in braces.
fn named_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'))
}

fn parameters(path: &str, doc: &Doc) -> Vec<Value> {
    let said = |name: &str| doc.path.iter().find(|field| field.name == name);
    let of_path = named_in(path).map(|name| match said(name) {
        Some(field) => field.parameter("path"),
        None => json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": what(name),
            "schema": {"type": "string"},
        }),
    });
    let of_query = doc.query.iter().map(|field| field.parameter("query"));
    of_path.chain(of_query).chain(doc.headers.iter().map(|field| field.parameter("header"))).collect()
}

/// What a name in a path stands for.
fn what(name: &str) -> &'static str {
    match name {
        "name" | "instance" => "The instance's name.",
        "phone" => "A phone number, in any spelling.",
        "session" => "The conversation, as `session_name` of its traces has it.",
        "event" => "The event's name, as Evolution writes it in paths.",
        _ => "Its id.",
    }
}

fn responses(route: &Recorded, doc: &Doc, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for answer in &doc.answers {
        let shown = response(answer, schemas);
        match responses.get_mut(&answer.status.to_string()) {
            // The same in another form.
            Some(known) => {
                known["content"].as_object_mut().into_iter().for_each(|known| known.extend(contents(&shown)))
            }
            None => drop(responses.insert(answer.status.to_string(), shown)),
        }
    }
    let body_names_one =
        |body: &Body| body.contents.iter().any(|(_, schema, _)| schema["properties"].get(INSTANCE_NAME.name).is_some());
    let names_one = route.path.contains('{')
        || doc.query.iter().any(|field| field.name == INSTANCE_NAME.name)
        || doc.body.as_ref().is_some_and(body_names_one);
    let has_input = doc.body.is_some() || !doc.query.is_empty();
    let follow = [
        (400, has_input, "The query or the body cannot be read."),
        (401, route.scope.is_some(), "No key was shown, or it is none of this hub."),
        (403, route.scope.is_some(), "The key has not the scope, or this concerns the whole hub and the key does not."),
        (404, names_one && route.scope.is_some(), "There is none, or not for this key."),
        (413, doc.body.is_some(), "The body is too large."),
        (415, doc.body.is_some() && route.scope.is_some(), "The body is said to be something that is not read here."),
        (422, has_input || route.path.contains('{'), "Fields or parameters are wrong; `errors` names each."),
        (429, route.scope.is_some(), "The key, or unknown keys of the address, asked too often; see `Retry-After`."),
        (
            500,
            route.scope.is_some() && route.path.starts_with("/api/v1/instance"),
            "The instance was written with a key that this process has not.",
        ),
        (
            503,
            route.scope.is_some(),
            "The database or the queue does not answer; `Retry-After` says when to come back.",
        ),
    ];
    let follow = follow.into_iter().filter(|(_, it_does, _)| *it_does).map(|(status, _, says)| (status, says));
    // What the route says of a status itself is said rather than what follows.
    for (status, says) in doc.problems.iter().copied().chain(follow) {
        responses.entry(status.to_string()).or_insert_with(|| problem(says));
    }
    responses.sort_keys();
    Value::Object(responses)
}

/// A media type's schema with its example. It stands among `examples`, since the page shows no object
/// that is the one `example`.
fn content(schema: Value, example: Option<Value>) -> Value {
    let mut content = json!({"schema": schema});
    if let Some(example) = example {
        content["examples"]["example"]["value"] = example;
    }
    content
}

fn contents(response: &Value) -> Map<String, Value> {
    response["content"].as_object().cloned().unwrap_or_default()
}

fn response(answer: &Answer, schemas: &mut Schemas) -> Value {
    let mut response = json!({"description": answer.says});
    if let Some((media, schema, example)) = answer.content.shown(schemas) {
        response["content"][media] = content(schema, example);
    }
    for (name, says) in &answer.headers {
        response["headers"][*name] = json!({"description": says, "schema": {"type": "string"}});
    }
    response
}

fn problem(says: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    json!({"description": says, "content": {"application/problem+json": {"schema": schema}}})
}
