//! Our webhook at Evolution: what it should be, and what is wrong with what is there. Pure.

use serde_json::{Map, Value};

use super::admin::WebhookRow;
use crate::secret::Secret;

/// What the hub reads, and so all that it asks Evolution to post: each event more costs calls, and
/// some hold up others while their receiver is away. So do those of an account that is unpaired or
/// removed (its name stays taken until they are delivered), which the hub reads where they come.
///
/// What is sent over Evolution's REST API (`SEND_MESSAGE`) is not asked for. Of our own sends it tells the
/// id that the answer has a moment later; where no answer comes, Evolution is asked for what it has
/// ([`sent`](super::sent)), also by another worker, and receipts are kept by that id whether it is
/// known yet or not. What other programs send there is neither a message to us nor a person who takes over.
pub const EVENTS: [&str; 6] =
    ["MESSAGES_UPSERT", "MESSAGES_UPDATE", "MESSAGES_EDITED", "MESSAGES_DELETE", "CONNECTION_UPDATE", "QRCODE_UPDATED"];

/// Characters that Evolution keeps of an address.
pub const MAX_URL: usize = 500;

/// A webhook as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Where Evolution posts.
    pub url: String,
    /// What it signs with (`jwt_key`).
    pub secret: Secret,
    /// Whether files come inside.
    pub base64: bool,
}

impl Registration {
    /// The row to set.
    #[must_use]
    pub fn row(&self) -> WebhookRow {
        let headers = Map::from_iter([("jwt_key".to_owned(), Value::from(self.secret.expose()))]);
        WebhookRow {
            url: self.url.clone(),
            enabled: true,
            events: EVENTS.map(str::to_owned).into(),
            by_events: false,
            base64: self.base64,
            headers,
        }
    }

    /// What of a webhook keeps messages from us, in words for people; nothing when all is well.
    /// Events beside ours, and a path for each event, are somebody's wish and do no harm.
    #[must_use]
    pub fn wrong_with(&self, found: Option<&WebhookRow>) -> Vec<&'static str> {
        let Some(found) = found else { return vec!["missing"] };
        let misses = |event: &str| !found.events.iter().any(|known| known == event);
        let checks = [
            (!found.enabled, "disabled"),
            (found.url != self.url, "url"),
            (found.enabled && !found.events.is_empty() && EVENTS.into_iter().any(misses), "events"),
            (found.jwt_key() != Some(self.secret.expose()), "secret"),
            (found.base64 != self.base64, "base64"),
        ];
        checks.into_iter().filter_map(|(wrong, word)| wrong.then_some(word)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Registration {
        Registration { url: "https://hub/webhook/evolution/acme".into(), secret: Secret::new("planted"), base64: true }
    }

    #[test]
    fn what_was_set_is_right() {
        assert_eq!(ours().wrong_with(Some(&ours().row())), Vec::<&str>::new());
        let mut generous = ours().row();
        generous.events.push("CONNECTION_UPDATE".to_owned());
        generous.headers.insert("x-more".to_owned(), "1".into());
        generous.by_events = true;
        assert_eq!(ours().wrong_with(Some(&generous)), Vec::<&str>::new());
        generous.events.clear();
        assert_eq!(ours().wrong_with(Some(&generous)), Vec::<&str>::new(), "none named means all");
    }

    #[test]
    fn whatever_keeps_messages_from_us_is_named() {
        assert_eq!(ours().wrong_with(None), ["missing"]);
        let broken = |change: fn(&mut WebhookRow)| {
            let mut row = ours().row();
            change(&mut row);
            ours().wrong_with(Some(&row))
        };
        assert_eq!(broken(|row| row.enabled = false), ["disabled"]);
        assert_eq!(broken(|row| row.url.push('x')), ["url"]);
        assert_eq!(broken(|row| row.events = vec!["SEND_MESSAGE".to_owned()]), ["events"]);
        assert_eq!(broken(|row| row.headers.clear()), ["secret"]);
        assert_eq!(broken(|row| row.headers["jwt_key"] = "other".into()), ["secret"]);
        assert_eq!(broken(|row| row.base64 = false), ["base64"]);
    }
}
