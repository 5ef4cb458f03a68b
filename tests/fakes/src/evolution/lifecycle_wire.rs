//! Evolution's words about the life of an account: what it takes, what it answers. Pure.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::account::Account;
use super::routes::Refusal;
use super::wire::{bad_request, error};

/// The settings that `settings/set` requires, and `create` takes.
const SETTINGS: [&str; 6] =
    ["rejectCall", "groupsIgnore", "alwaysOnline", "readMessages", "readStatus", "syncFullHistory"];

/// The fields of `settings/set` that 2.3.6 knows.
pub(super) const SETTINGS_FIELDS: [&str; 8] = [
    "rejectCall",
    "groupsIgnore",
    "alwaysOnline",
    "readMessages",
    "readStatus",
    "syncFullHistory",
    "msgCall",
    "wavoipToken",
];

/// The fields of `create` that 2.3.6 knows, as far as the hub may need them.
pub(super) const CREATE_FIELDS: [&str; 13] = [
    "instanceName",
    "integration",
    "token",
    "qrcode",
    "number",
    "rejectCall",
    "msgCall",
    "groupsIgnore",
    "alwaysOnline",
    "readMessages",
    "readStatus",
    "syncFullHistory",
    "webhook",
];

/// The fields of a webhook that 2.3.6 reads; `webhookByEvents` and `webhookBase64` are those of the
/// row, and ignored in silence.
pub(super) const WEBHOOK_FIELDS: [&str; 6] = ["enabled", "url", "headers", "byEvents", "base64", "events"];

/// Some of the event names that 2.3.6 takes; enough to catch a word that is none.
const EVENTS: [&str; 9] = [
    "QRCODE_UPDATED",
    "MESSAGES_UPSERT",
    "MESSAGES_EDITED",
    "MESSAGES_UPDATE",
    "MESSAGES_DELETE",
    "SEND_MESSAGE",
    "CONNECTION_UPDATE",
    "PRESENCE_UPDATE",
    "LOGOUT_INSTANCE",
];

/// Characters of the column that keeps an address.
const MAX_URL: usize = 500;

/// The fields of a body that 2.3.6 would ignore.
pub(super) fn unknown(body: &Map<String, Value>, known: &[&str]) -> Vec<String> {
    body.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect()
}

fn refused(message: Value) -> Refusal {
    (StatusCode::BAD_REQUEST, bad_request(message))
}

/// Checks the body of `create`.
///
/// # Errors
/// The 400 that 2.3.6 answers.
pub(super) fn check_create(body: &Map<String, Value>) -> Result<(), Refusal> {
    if body.get("integration").is_none() {
        return Err(refused(json!(["Invalid integration"])));
    }
    match body.get("webhook") {
        Some(webhook) if !webhook["events"].is_array() => {
            Err(refused(json!(["Cannot read properties of undefined (reading 'length')"])))
        }
        _ => Ok(()),
    }
}

/// Checks the body of `settings/set`.
///
/// # Errors
/// The 400 that 2.3.6 answers.
pub(super) fn check_settings(body: &Map<String, Value>) -> Result<(), Refusal> {
    let missing = SETTINGS.into_iter().find(|name| !body.get(*name).is_some_and(Value::is_boolean));
    missing.map_or(Ok(()), |name| Err(refused(json!([[format!("instance requires property \"{name}\"")]]))))
}

/// The settings in a body; what is not there is off.
pub(super) fn settings_of(body: &Map<String, Value>) -> Value {
    let of = |name: &&str| ((*name).to_owned(), Value::Bool(body.get(*name) == Some(&Value::Bool(true))));
    Value::Object(SETTINGS.iter().map(of).collect())
}

/// Checks the body of `webhook/set` and gives its inner object.
///
/// # Errors
/// What 2.3.6 answers: 400, and 500 to a webhook without events or with an address too long.
pub(super) fn check_webhook(body: &Map<String, Value>) -> Result<&Map<String, Value>, Refusal> {
    let missing = |name: &str| refused(json!([[format!("instance requires property \"{name}\"")]]));
    let Some(webhook) = body.get("webhook").and_then(Value::as_object) else { return Err(missing("webhook")) };
    let Some(enabled) = webhook.get("enabled").and_then(Value::as_bool) else { return Err(missing("enabled")) };
    let Some(url) = webhook.get("url").and_then(Value::as_str) else { return Err(missing("url")) };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(refused(json!(["Invalid \"url\" property"])));
    }
    let broken =
        |words: &str| Err((StatusCode::INTERNAL_SERVER_ERROR, error(StatusCode::INTERNAL_SERVER_ERROR, &json!(words))));
    match webhook.get("events").and_then(Value::as_array) {
        None if enabled => return broken("Cannot read properties of undefined (reading 'length')"),
        Some(events) if !events.iter().all(|event| event.as_str().is_some_and(|word| EVENTS.contains(&word))) => {
            return Err(refused(json!([["webhook.events[0] is not one of enum values"]])));
        }
        _ => {}
    }
    if url.len() > MAX_URL {
        return broken("The provided value for the column is too long for the column's type. Column: url");
    }
    Ok(webhook)
}

/// The row that `webhook/set` leaves; headers that are not given stay.
pub(super) fn webhook_row(webhook: &Map<String, Value>, before: Option<&Value>, instance_id: &str) -> Value {
    let enabled = webhook.get("enabled") == Some(&Value::Bool(true));
    let events = webhook.get("events").filter(|_| enabled).cloned().unwrap_or_else(|| json!([]));
    let headers = webhook.get("headers").cloned().or_else(|| before.map(|row| row["headers"].clone()));
    let flag = |name| Value::Bool(webhook.get(name) == Some(&Value::Bool(true)));
    json!({
        "id": "cmfake0000000000000000000",
        "url": webhook.get("url"),
        "headers": headers,
        "enabled": enabled,
        "events": events,
        "webhookByEvents": flag("byEvents"),
        "webhookBase64": flag("base64"),
        "createdAt": "2026-11-22T00:00:00.000Z",
        "updatedAt": "2026-11-22T00:00:00.000Z",
        "instanceId": instance_id,
    })
}

/// The row that `create` leaves: enabled, whatever the body says.
pub(super) fn created_webhook(webhook: &Value, instance_id: &str) -> Value {
    let mut webhook = webhook.as_object().cloned().unwrap_or_default();
    webhook.insert("enabled".to_owned(), Value::Bool(true));
    webhook_row(&webhook, None, instance_id)
}

/// The 201 of `create`.
pub(super) fn created(name: &str, key: &str, account: &Account) -> Value {
    let webhook = account.webhook.as_ref().unwrap_or(&Value::Null);
    json!({
        "instance": {
            "instanceName": name,
            "instanceId": account.id,
            "integration": "WHATSAPP-BAILEYS",
            "webhookWaBusiness": null,
            "accessTokenWaBusiness": "",
            "status": "close",
        },
        "hash": key,
        "webhook": {
            "webhookUrl": webhook["url"],
            "webhookHeaders": webhook["headers"],
            "webhookByEvents": webhook["webhookByEvents"],
            "webhookBase64": webhook["webhookBase64"],
        },
        "settings": account.settings,
    })
}

/// The 200 of `logout` and `delete`.
pub(super) fn success(message: &str) -> Value {
    json!({"status": "SUCCESS", "error": false, "response": {"message": message}})
}

/// The 403 of a name in use.
pub(super) fn name_in_use(name: &str) -> Value {
    error(StatusCode::FORBIDDEN, &json!([format!("This name \"{name}\" is already in use.")]))
}

/// The 400 of `logout` on an instance that is closed.
pub(super) fn not_connected(name: &str) -> Value {
    bad_request(json!([format!("The \"{name}\" instance is not connected")]))
}
