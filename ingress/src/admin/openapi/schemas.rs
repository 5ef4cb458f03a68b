//! Schemas of answers: of types, and of examples where an answer has no type.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The schemas that have names.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    pub(super) named: Map<String, Value>,
    /// Names that two types share.
    pub(super) torn: Vec<String>,
}

impl Schemas {
    /// The schema of a type, kept under its name with those of its parts.
    pub(super) fn named<T: ToSchema>(&mut self) -> Value {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        for (name, schema) in parts {
            self.keep(name, shown(&schema));
        }
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }

    /// The schema of a list of a type.
    pub(super) fn list<T: ToSchema>(&mut self) -> Value {
        json!({"type": "array", "items": self.named::<T>()})
    }

    fn keep(&mut self, name: String, schema: Value) {
        match self.named.get(&name) {
            Some(known) if *known != schema => self.torn.push(name),
            _ => drop(self.named.insert(name, schema)),
        }
    }
}

/// As JSON, without the marks of Rust's own documents.
fn shown(schema: &impl serde::Serialize) -> Value {
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    plain(&mut schema);
    schema
}

/// Takes rustdoc's links out of descriptions.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(entries) => entries.iter_mut().for_each(plain),
        _ => {}
    }
}

/// The schema of values like this one: null stands for anything.
pub(super) fn like(example: &Value) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) => json!({"type": if number.is_f64() { "number" } else { "integer" }}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(entries) => json!({"type": "array", "items": entries.first().map_or(json!({}), like)}),
        Value::Object(fields) => {
            let properties: Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), like(value))).collect();
            json!({"type": "object", "properties": properties})
        }
    }
}
