//! Traces as tables for people.

use serde_json::Value;

use super::tail::head;
use crate::show;

/// The payloads of a trace, which are long.
const PAYLOADS: [&str; 5] = [
    "incoming_payload",
    "transcription_payload",
    "agent_request_payload",
    "agent_response_payload",
    "outgoing_payload",
];
/// Other names of columns that are shown already.
const ALIASES: [&str; 4] = ["whatsapp_message_id", "sender_jid", "agent_session_id", "evolution_send_at"];

/// Many traces, one line each.
pub(super) fn many(traces: &[Value]) -> String {
    if traces.is_empty() {
        return "No messages.\n".to_owned();
    }
    let lines: Vec<_> = traces.iter().map(line).collect();
    show::with_ids(["Received (UTC)", "Trace", "Instance", "From", "Message", "Ended", "Took"], 1, &lines)
}

fn line(trace: &Value) -> [String; 7] {
    let text = |field: &str| trace[field].as_str().unwrap_or_default();
    let took = trace["total_processing_time_ms"].as_i64().map(span).unwrap_or_default();
    let (received, from) = (show::cell(&trace["received_at"]), phone(text("sender_phone")));
    let [id, instance] = ["trace_id", "instance_name"].map(|field| text(field).to_owned());
    [received, id, instance, from, head(text("message_content")), ended(trace), took]
}

/// How it ended, or how far it is.
fn ended(trace: &Value) -> String {
    let text = |field: &str| trace[field].as_str().unwrap_or_default().to_owned();
    match (text("outcome"), text("outcome_reason")) {
        (outcome, _) if outcome.is_empty() => format!("… {}", text("status").replace('_', " ")),
        (outcome, reason) if reason.is_empty() => outcome.replace('_', " "),
        (outcome, reason) => format!("{}: {reason}", outcome.replace('_', " ")),
    }
}

/// One trace, one line per column that is set, its payloads below.
pub(super) fn one(trace: &Value, payloads: bool) -> String {
    let without = [&PAYLOADS[..], &ALIASES[..]].concat();
    let mut shown = trace.clone();
    if let Some(bubbles) = trace["reply_states"].as_array() {
        shown["reply_states"] = bubbles.iter().map(bubble).collect();
    }
    let table = show::fields(&shown, &without);
    let mut text = format!("{table}\n");
    for name in PAYLOADS.into_iter().filter(|name| payloads && !trace[*name].is_null()) {
        text.push_str(&format!("\n{name}:\n{:#}\n", trace[name]));
    }
    text
}

/// How far a bubble has come, and when that was told.
fn bubble(state: &Value) -> Value {
    let word = state["state"].as_str().unwrap_or_default();
    let told = if state["at"].is_null() { String::new() } else { format!(" {}", show::cell(&state["at"])) };
    format!("{word}{told}").into()
}

/// A phone number as people write it.
pub(super) fn phone(digits: &str) -> String {
    if digits.is_empty() { String::new() } else { format!("+{digits}") }
}

/// A time span in its largest units.
pub(super) use omnihub_common::conversation::whereabouts::span;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_says_how_each_message_ended() {
        let trace = json!({
            "received_at": "2026-01-31T09:00:00.125Z", "trace_id": "t1", "instance_name": "acme",
            "sender_phone": "5511987654321", "message_content": "Hello\nthere", "outcome": "ignored",
            "outcome_reason": "from_me", "total_processing_time_ms": 12, "status": "completed",
        });
        let text = many(&[trace.clone(), json!({"status": "agent_called"})]);
        for word in ["2026-01-31 09:00:00", "t1", "+5511987654321", "Hello there", "ignored: from_me", "12 ms"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        assert!(text.contains("… agent called"), "{text}");
        assert_eq!(many(&[]), "No messages.\n");

        let mut whole = trace;
        whole["incoming_payload"] = json!({"key": "value"});
        whole["warnings"] = json!(["one", "two"]);
        whole["reply_states"] = json!([{"message_id": "A", "state": "read", "at": "2026-01-31T09:00:07Z"},
            {"message_id": "B", "state": "sent", "at": null}]);
        assert!(one(&whole, false).contains("read 2026-01-31 09:00:07"));
        assert!(!one(&whole, false).contains("incoming_payload") && one(&whole, false).contains("two"));
        assert!(one(&whole, true).contains("incoming_payload:\n{\n"));
    }
}
