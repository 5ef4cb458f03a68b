//! Instances as tables for people.

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 7] = [
    ("Name", "name"),
    ("Channel", "channel_type"),
    ("Active", "is_active"),
    ("Default", "is_default"),
    ("WhatsApp instance", "whatsapp_instance"),
    ("Evolution", "evolution_url"),
    ("Agent", "agent_api_url"),
];

/// All instances, one line each.
pub(super) fn many(instances: &[Value]) -> String {
    if instances.is_empty() {
        return "No instances yet. Make one with `omnihub instance add`.\n".to_owned();
    }
    let mut table = plain();
    table.set_header(COLUMNS.map(|(head, _)| head));
    for instance in instances {
        table.add_row(COLUMNS.map(|(_, field)| word(&instance[field])));
    }
    format!("{table}\n")
}

/// One instance, one line per field that is set, and its warnings.
pub(super) fn one(instance: &Value) -> String {
    let mut table = plain();
    let fields = instance.as_object().into_iter().flatten();
    for (field, value) in fields.filter(|(field, value)| !value.is_null() && *field != "warnings") {
        table.add_row([field.clone(), word(value)]);
    }
    let warnings = instance["warnings"].as_array().into_iter().flatten();
    let warnings: String = warnings.map(|warning| format!("Warning: {}\n", word(warning))).collect();
    format!("{table}\n{warnings}")
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value as people write it.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
