//! What Evolution's webhooks tell of an account's connection.
//!
//! Source: `connection.update`, `qrcode.updated`, `status.instance`, `logout.instance`,
//! `remove.instance` and `instance.delete` of Evolution API 2.3.6. Events are not ordered, and while
//! WhatsApp cannot be reached thousands of `connecting` come within a minute: who listens coalesces.

use serde_json::Value;

use super::wire::{int64, word};
use crate::channel::{ConnectionNews, ConnectionState};

/// The reason of a phone that was unpaired.
const LOGGED_OUT: i64 = 401;
/// The longest word of a time, and of an id, that is kept.
const LONGEST: usize = 128;

/// Reads what an event tells of the connection; none of an event that tells nothing of it. `event` is
/// Evolution's dotted lower case, `date_time` the envelope's own.
#[must_use]
pub fn read_connection(event: &str, data: &Value, date_time: Option<&str>) -> Option<ConnectionNews> {
    let (state, reason) = match event {
        "connection.update" => {
            let reason = int64(&data["statusReason"]);
            (updated(word(data, "state")?, reason)?, reason)
        }
        "qrcode.updated" if data["qrcode"].is_object() => (ConnectionState::Pairing, None),
        // Nobody scanned the last of its pictures.
        "qrcode.updated" => (ConnectionState::Closed, int64(&data["statusCode"])),
        "status.instance" if word(data, "status") == Some("closed") => {
            let reason = int64(&data["disconnectionReasonCode"]);
            (closed(reason), reason)
        }
        "logout.instance" => (ConnectionState::LoggedOut, None),
        "remove.instance" | "instance.delete" => (ConnectionState::Removed, None),
        _ => return None,
    };
    let kept = |text: &str| (text.len() <= LONGEST).then(|| text.to_owned());
    Some(ConnectionNews { state, reason, own_id: word(data, "wuid").and_then(kept), told_at: date_time.and_then(kept) })
}

fn updated(state: &str, reason: Option<i64>) -> Option<ConnectionState> {
    match state {
        "open" => Some(ConnectionState::Open),
        "connecting" => Some(ConnectionState::Connecting),
        "close" | "refused" => Some(closed(reason)),
        _ => None,
    }
}

fn closed(reason: Option<i64>) -> ConnectionState {
    if reason == Some(LOGGED_OUT) { ConnectionState::LoggedOut } else { ConnectionState::Closed }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;

    fn recorded(name: &str) -> Option<ConnectionNews> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/channel/whatsapp/fixtures");
        let body: Value = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
        read_connection(body["event"].as_str().unwrap(), &body["data"], body["date_time"].as_str())
    }

    #[test]
    fn the_life_of_a_recorded_account() {
        use ConnectionState::{Closed, Connecting, LoggedOut, Open, Pairing, Removed};
        for (name, state, reason) in [
            ("02-connection-update-connecting.json", Connecting, Some(200)),
            ("03-qrcode-updated.json", Pairing, None),
            ("04-connection-update-open.json", Open, Some(200)),
            ("68-status-instance-closed.json", LoggedOut, Some(401)),
            ("69-logout-instance.json", LoggedOut, None),
            ("70-connection-update-close.json", LoggedOut, Some(401)),
            ("71-instance-delete.json", Removed, None),
            ("72-remove-instance.json", Removed, None),
            ("83-qrcode-limit.json", Closed, Some(500)),
            ("84-connection-update-refused.json", Closed, Some(428)),
        ] {
            let news = recorded(name).expect(name);
            assert_eq!((news.state, news.reason), (state, reason), "{name}");
            assert!(news.told_at.is_some(), "{name}");
        }
        let open = recorded("04-connection-update-open.json").unwrap();
        assert_eq!(open.own_id.as_deref(), Some("5511999990000@s.whatsapp.net"));
        for name in ["01-instance-create.json", "05-text-conversation.json", "64-call.json"] {
            assert_eq!(recorded(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_state_tells_nothing() {
        for data in [json!(null), json!({}), json!({"state": 5}), json!({"state": "dancing"}), json!([])] {
            assert_eq!(read_connection("connection.update", &data, None), None, "{data}");
        }
        let long = "x".repeat(5_000);
        let news = read_connection("connection.update", &json!({"state": "open", "wuid": long}), Some(&long)).unwrap();
        assert_eq!((news.own_id, news.told_at), (None, None));
    }
}
