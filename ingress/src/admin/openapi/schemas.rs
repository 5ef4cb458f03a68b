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
    flat(schema)
}

/// An object of one of several forms as one object with the fields of all, each said form by form:
/// generators of clients read no choice that is a part of a larger object.
fn flat(schema: Value) -> Value {
    let Some((word, forms)) = told_apart(&schema) else { return schema };
    let (mut fields, mut words) = (Map::new(), Vec::new());
    for (name, form) in &forms {
        words.push(json!(name));
        let properties = form["properties"].as_object().into_iter().flatten();
        for (field, of_form) in properties {
            let says = if *field == word { &form["description"] } else { &of_form["description"] };
            let says = format!("`{name}`: {}", says.as_str().unwrap_or_default());
            let known = fields.entry(field.clone()).or_insert_with(|| json!({}));
            let says = known["description"].as_str().map_or_else(|| says.clone(), |before| format!("{before} {says}"));
            // What may be null in one form may be null.
            if known.get("type").is_none_or(Value::is_string) {
                *known = of_form.clone();
            }
            known["description"] = says.into();
        }
    }
    fields[&word]["enum"] = words.into();
    json!({"type": "object", "description": schema["description"], "properties": fields, "required": [word]})
}

/// The field whose word says which form it is, and the forms by their words; none where the schema
/// is not such a choice.
fn told_apart(schema: &Value) -> Option<(String, Vec<(&str, &Value)>)> {
    let forms = schema.get("oneOf")?.as_array()?;
    let word_of = |form: &Value| {
        let mut fields = form.get("properties")?.as_object()?.iter();
        fields.find_map(|(name, field)| (field["enum"].as_array()?.len() == 1).then(|| name.clone()))
    };
    let field = word_of(forms.first()?)?;
    let named = forms.iter().map(|form| Some((form["properties"][&field]["enum"].get(0)?.as_str()?, form)));
    Some((field.clone(), named.collect::<Option<_>>()?))
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
