//! Instances as tables for people.

use serde_json::Value;

use crate::show;

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
    format!("{}\n", show::rows(COLUMNS, instances))
}

/// One instance, one line per field that is set, and its warnings.
pub(super) fn one(instance: &Value) -> String {
    format!("{}\n{}", show::fields(instance, &["warnings"]), warnings(instance))
}

/// The warnings of an answer, one line each.
pub(super) fn warnings(answer: &Value) -> String {
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    warnings.map(|warning| format!("Warning: {}\n", show::word(warning))).collect()
}
