//! What Evolution's admin routes answer. Pure and total: what is of an unexpected kind reads as
//! absent. Source: Evolution API 2.3.6, with the forms of 1.x where they differ.

use std::fmt;

use serde_json::{Map, Value, json};

use super::super::wire::word;
use crate::secret::Secret;

/// How an account is connected to WhatsApp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Connected.
    Open,
    /// On its way: a QR code waits, or the phone is being reached.
    Connecting,
    /// Not connected.
    Close,
    /// A word that this version does not know; blank when there was none.
    Other(String),
}

impl Connection {
    /// Reads Evolution's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "open" => Self::Open,
            "connecting" => Self::Connecting,
            "close" | "closed" => Self::Close,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Evolution's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Open => "open",
            Self::Connecting => "connecting",
            Self::Close => "close",
            Self::Other(word) => word,
        }
    }
}

/// An instance as an Evolution server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Evolution's id, a UUID.
    pub id: Option<String>,
    /// Its name there.
    pub name: String,
    /// Its own key; none when the server does not tell it.
    pub token: Option<Secret>,
    /// How it is connected.
    pub connection: Connection,
    /// The number that it is paired with, as Evolution writes it.
    pub owner: Option<String>,
    /// The name that its number shows.
    pub profile_name: Option<String>,
    /// The address of the picture that its number shows.
    pub picture: Option<String>,
    /// How many contacts it knows.
    pub contacts: Option<u64>,
    /// How many chats it has.
    pub chats: Option<u64>,
}

/// Reads `fetchInstances`: an array, of rows that are flat (2.x) or wrapped in `instance` (1.x).
pub(super) fn accounts(body: &Value) -> Option<Vec<Account>> {
    let rows = match body {
        Value::Array(rows) => rows.iter().collect(),
        Value::Object(_) => vec![body],
        _ => return None,
    };
    Some(rows.into_iter().filter_map(account).collect())
}

fn account(row: &Value) -> Option<Account> {
    let row = if row["instance"].is_object() { &row["instance"] } else { row };
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| word(row, name)).map(str::to_owned);
    Some(Account {
        name: first(["name", "instanceName"])?,
        id: first(["id", "instanceId"]),
        token: first(["token", "apikey"]).map(Secret::new),
        connection: Connection::parse(&first(["connectionStatus", "status"]).unwrap_or_default()),
        owner: first(["ownerJid", "owner"]),
        profile_name: word(row, "profileName").map(str::to_owned),
        picture: first(["profilePicUrl", "profilePictureUrl"]),
        contacts: row["_count"]["Contact"].as_u64(),
        chats: row["_count"]["Chat"].as_u64(),
    })
}

/// The token in the answer to a creation: `hash`, or `hash.apikey`.
pub(super) fn token(body: &Value) -> Option<Secret> {
    word(body, "hash").or_else(|| word(&body["hash"], "apikey")).map(Secret::new)
}

/// Reads `connectionState`.
pub(super) fn connection(body: &Value) -> Option<Connection> {
    let state = word(&body["instance"], "state").or_else(|| word(&body["instance"], "status"))?;
    Some(Connection::parse(state))
}

/// What a phone scans to be paired.
#[derive(Clone, PartialEq, Eq)]
pub struct Pairing {
    /// The picture, as a `data:image/png;base64,` URL.
    pub picture: Option<String>,
    /// The text of the QR code.
    pub code: Option<String>,
    /// The eight characters to type instead of scanning.
    pub pairing_code: Option<String>,
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pairing([hidden])")
    }
}

/// What came of asking for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// It is connected already.
    Open,
    /// This is to be scanned.
    Scan(Pairing),
    /// It is on its way and there is nothing to scan yet.
    NotYet,
    /// It could not begin; in Evolution's words.
    Failed(String),
}

/// Reads `connect`, which answers 200 to its own failures too.
pub(super) fn connecting(body: &Value) -> Connecting {
    if is_error(body) {
        return Connecting::Failed(word(body, "message").unwrap_or("no reason was given").to_owned());
    }
    if connection(body) == Some(Connection::Open) {
        return Connecting::Open;
    }
    let qr = if body["qrcode"].is_object() { &body["qrcode"] } else { body };
    let field = |name| word(qr, name).map(str::to_owned);
    let pairing = Pairing { picture: field("base64"), code: field("code"), pairing_code: field("pairingCode") };
    // While it is being made there is only `{"count": 0}`.
    if pairing.picture.is_none() && pairing.code.is_none() { Connecting::NotYet } else { Connecting::Scan(pairing) }
}

/// `{"error": true}` under a 200, as `connect` and `restart` answer.
pub(super) fn is_error(body: &Value) -> bool {
    body["error"] == Value::Bool(true)
}

/// A webhook as Evolution keeps it.
#[derive(Clone, PartialEq)]
pub struct WebhookRow {
    /// Where it posts.
    pub url: String,
    /// Whether it posts.
    pub enabled: bool,
    /// What it posts, in the configuration's words; empty means everything.
    pub events: Vec<String>,
    /// Whether each event has a path of its own.
    pub by_events: bool,
    /// Whether files come inside.
    pub base64: bool,
    /// The headers that it sends; `jwt_key` is the secret that it signs with.
    pub headers: Map<String, Value>,
}

impl fmt::Debug for WebhookRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = f.debug_struct("WebhookRow");
        row.field("enabled", &self.enabled).field("events", &self.events).field("base64", &self.base64);
        row.finish_non_exhaustive()
    }
}

impl WebhookRow {
    /// The secret that it signs with.
    #[must_use]
    pub fn jwt_key(&self) -> Option<&str> {
        self.headers.get("jwt_key").and_then(Value::as_str)
    }

    /// The body of `webhook/set`. The names differ from those of the row.
    pub(super) fn body(&self) -> Value {
        json!({"webhook": {
            "enabled": self.enabled,
            "url": self.url,
            "headers": self.headers,
            "byEvents": self.by_events,
            "base64": self.base64,
            "events": self.events,
        }})
    }
}

/// Reads `webhook/find`: a row, or nothing (null, or one without an address).
pub(super) fn webhook(body: &Value) -> Option<WebhookRow> {
    let flag = |names: [&str; 2]| names.iter().any(|name| body[*name] == Value::Bool(true));
    let events = body["events"].as_array().into_iter().flatten();
    Some(WebhookRow {
        url: word(body, "url")?.to_owned(),
        enabled: body["enabled"] == Value::Bool(true),
        events: events.filter_map(Value::as_str).map(str::to_owned).collect(),
        by_events: flag(["webhookByEvents", "webhook_by_events"]),
        base64: flag(["webhookBase64", "webhook_base64"]),
        headers: body["headers"].as_object().cloned().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_both_versions_are_read() {
        let two = json!([{"id": "20b5", "name": "acme", "connectionStatus": "open", "token": "planted",
                          "ownerJid": "551@s.whatsapp.net", "profileName": null, "profilePicUrl": "http://p",
                          "_count": {"Message": 9, "Contact": 3, "Chat": -1}}, {"noise": 1}, 7]);
        let read = accounts(&two).unwrap();
        assert_eq!((read[0].picture.as_deref(), read[0].contacts, read[0].chats), (Some("http://p"), Some(3), None));
        assert_eq!((read.len(), read[0].name.as_str(), &read[0].connection), (1, "acme", &Connection::Open));
        assert_eq!(read[0].token.as_ref().unwrap().expose(), "planted");
        assert!(!format!("{read:?}").contains("planted"));
        let one = json!({"instance": {"instanceName": "acme", "instanceId": "x", "apikey": "k", "status": "close"}});
        let read = accounts(&one).unwrap();
        assert_eq!((read[0].id.as_deref(), &read[0].connection), (Some("x"), &Connection::Close));
        assert_eq!(accounts(&json!("no")), None);
    }

    #[test]
    fn every_answer_to_connect_is_one_of_four() {
        let scan = json!({"pairingCode": null, "code": "2@x", "base64": "data:image/png;base64,AA", "count": 1});
        let Connecting::Scan(pairing) = connecting(&scan) else { panic!("something to scan") };
        assert_eq!((pairing.code.as_deref(), pairing.pairing_code.as_deref()), (Some("2@x"), None));
        assert_eq!(connecting(&json!({"qrcode": scan})), connecting(&scan));
        assert_eq!(connecting(&json!({"instance": {"instanceName": "a", "state": "open"}})), Connecting::Open);
        for nothing in [json!({"count": 0}), json!(null), json!({}), json!({"instance": {"state": "connecting"}})] {
            assert_eq!(connecting(&nothing), Connecting::NotYet);
        }
        let failed = json!({"error": true, "message": "[object Object]"});
        assert_eq!(connecting(&failed), Connecting::Failed("[object Object]".to_owned()));
    }

    #[test]
    fn tokens_states_and_webhooks_are_read() {
        let exposed = |body: Value| token(&body).map(|token| token.expose().to_owned());
        assert_eq!(exposed(json!({"hash": "A-B"})).as_deref(), Some("A-B"));
        assert_eq!(exposed(json!({"hash": {"apikey": "A-B"}})).as_deref(), Some("A-B"));
        assert_eq!(exposed(json!({"hash": null})), None);
        assert_eq!(connection(&json!({"instance": {"state": "refused"}})).unwrap().as_str(), "refused");
        assert_eq!(connection(&json!({"instance": {}})), None);
        let row = json!({"id": "1", "url": "http://hub/w", "enabled": true, "events": ["MESSAGES_UPSERT"],
                         "headers": {"jwt_key": "planted"}, "webhookByEvents": false, "webhookBase64": true});
        let read = webhook(&row).unwrap();
        assert_eq!((read.jwt_key(), read.base64, read.by_events), (Some("planted"), true, false));
        assert!(!format!("{read:?}").contains("planted"));
        assert_eq!(read.body()["webhook"]["base64"], true);
        assert_eq!(webhook(&json!(null)), None);
    }
}
