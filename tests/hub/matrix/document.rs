//! The hub's document, as requests.

use std::fmt;

use reqwest::Method;
use serde_json::{Value, json};

use super::tenant::Tenant;
use crate::harness::Site;

/// A method of a path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: String,
    /// What a key needs; none where no key is asked for.
    pub(super) scope: Option<String>,
    /// The parameters of the query: each name, and whether it must be there.
    query: Vec<(String, bool)>,
    /// The example of its JSON body, and the fields that a body has.
    body: Option<(Value, Vec<String>)>,
    /// Its answer has no end.
    pub(super) streams: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.path, self.body.as_ref().unwrap_or(&Value::Null))
    }
}

/// Every operation of the document that the hub serves.
pub(super) async fn operations(site: &Site) -> Vec<Operation> {
    let document = site.api_as("", Method::GET, "/api/v1/openapi.json", None).await;
    assert_eq!(document.status, 200, "{}", document.text);
    let paths = document.body["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        item.as_object().unwrap().iter().map(|(method, told)| Operation::read(path, method, told)).collect::<Vec<_>>()
    };
    let operations: Vec<_> = paths.iter().flat_map(of).collect();
    assert!(operations.len() > 40, "{}", operations.len());
    operations
}

impl Operation {
    fn read(path: &str, method: &str, told: &Value) -> Self {
        let query = told["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "query");
        let named = |parameter: &Value| {
            (parameter["name"].as_str().unwrap().to_owned(), parameter["required"].as_bool().unwrap())
        };
        let body = &told["requestBody"]["content"]["application/json"];
        let fields = body["schema"]["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned());
        Self {
            method: method.to_uppercase().parse().unwrap(),
            path: path.to_owned(),
            scope: told["security"][0]
                .as_object()
                .map(|needs| needs.values().next().unwrap()[0].as_str().unwrap().to_owned()),
            query: query.map(named).collect(),
            body: body.pointer("/examples/example/value").map(|example| (example.clone(), fields.collect())),
            streams: told["responses"]["200"]["content"].get("text/event-stream").is_some(),
        }
    }

    /// Whether it changes nothing.
    pub(super) fn reads(&self) -> bool {
        self.method == Method::GET
    }

    /// Requests about what is a tenant's: as it is, and narrowed by each parameter of the query that
    /// names something of theirs.
    pub(super) fn about(&self, tenant: &Tenant) -> Vec<Asked> {
        let value = |name: &str| tenant.of_query(name);
        let must: Vec<_> = self.query.iter().filter(|(_, must)| *must).collect();
        let must: Vec<_> = must.iter().map(|(name, _)| pair(name, &value(name).unwrap_or_default())).collect();
        let may = self.query.iter().filter(|(_, must)| !must);
        let may = may.filter_map(|(name, _)| Some(pair(name, &value(name)?)));
        // A stream is asked for only where it must be refused, or it would never end.
        let bare = (!self.streams).then(|| must.clone());
        let queries = bare.into_iter().chain(may.map(|pair| must.iter().cloned().chain([pair]).collect()));
        let path = self.filled(|name| tenant.of_path(&self.path, name));
        queries.map(|query| self.asked(&path, &query, self.body_about(&tenant.name))).collect()
    }

    /// A request about something that nobody has.
    pub(super) fn about_nobody(&self) -> Asked {
        let query: Vec<_> = self.query.iter().filter(|(name, must)| *must || name == "instance_name").collect();
        let query: Vec<_> = query.iter().map(|(name, _)| pair(name, "nobody")).collect();
        self.asked(&self.filled(|_| "nobody".to_owned()), &query, self.body_about("nobody"))
    }

    /// The request that changes everything that the caller may change, where there is one.
    pub(super) fn to_all(&self) -> Option<Asked> {
        let all = [("all", "true"), ("dry_run", "false"), ("days_old", "1")];
        if self.reads() || self.path.contains('{') {
            return None;
        }
        let query: Vec<_> = all
            .into_iter()
            .filter(|(name, _)| self.query.iter().any(|(known, _)| known == name))
            .map(|(name, value)| pair(name, value))
            .collect();
        let body = self.body.as_ref().map(|(example, fields)| {
            let named = all.into_iter().filter(|(name, _)| fields.iter().any(|known| known == name));
            let named: serde_json::Map<_, _> = named.map(|(name, value)| (name.to_owned(), value.into())).collect();
            if named.is_empty() { example.clone() } else { Value::Object(named) }
        });
        Some(self.asked(&self.path, &query, body))
    }

    /// The example, about this instance.
    fn body_about(&self, instance: &str) -> Option<Value> {
        let (mut body, fields) = self.body.clone()?;
        for (field, value) in [("instance_name", json!(instance)), ("instances", json!([instance]))] {
            if fields.iter().any(|known| known == field) {
                body[field] = value;
            }
        }
        Some(body)
    }

    fn filled(&self, value: impl Fn(&str) -> String) -> String {
        let fill = |word: &str| match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
            Some(name) => encoded(&value(name)),
            None => word.to_owned(),
        };
        self.path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    fn asked(&self, path: &str, query: &[String], body: Option<Value>) -> Asked {
        let query = query.join("&");
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Asked { method: self.method.clone(), path, body }
    }
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", encoded(value))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
