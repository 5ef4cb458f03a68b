//! Sends over the API: in order with the bot's own replies, once for each key, told how they end.

mod doubt;
mod failures;
mod idempotency;
mod killed;
mod kinds;
mod order;

use omnihub_fakes::Sent;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, DEADLINE, INSTANCE, Site};

/// Sends a message of a kind (`text`, `text?wait=0`); its end is waited for as for everything here.
async fn send(site: &Site, kind: &str, body: &Value) -> Answer {
    send_with(site, kind, body, None).await
}

/// The same with an idempotency key.
async fn send_with(site: &Site, kind: &str, body: &Value, key: Option<&str>) -> Answer {
    let mut headers = vec![("x-api-key", ADMIN_KEY)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    let wait = if kind.contains('?') { String::new() } else { format!("?wait={}", DEADLINE.as_secs()) };
    let path = format!("/api/v1/instance/{INSTANCE}/send-{kind}{wait}");
    site.post_bytes(&path, body.to_string().into_bytes(), &headers).await
}

fn text(to: &str, text: &str) -> Value {
    json!({"phone_number": to, "text": text})
}

/// The id that Evolution gave, of an answer that says so.
fn message_id(answer: &Answer) -> &str {
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("sent")), "{}", answer.text);
    answer.body["message_id"].as_str().expect("a message id")
}

/// The trace of an answer.
fn trace_id(answer: &Answer) -> String {
    answer.body["trace_id"].as_str().unwrap_or_else(|| panic!("a trace id: {}", answer.text)).to_owned()
}

/// What went out to a number or chat.
fn sent_to(site: &Site, number: &str) -> Vec<Sent> {
    site.evolution.sent().into_iter().filter(|sent| sent.number == number).collect()
}
