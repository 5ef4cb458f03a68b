//! Tickets: what an agent that answers later shows with its answer.
//!
//! A ticket says which turn of which conversation an answer is for, and until when it is waited for. It
//! is encrypted with the hub's ring for its instance, so nobody else can make, read or change one;
//! whoever has it may answer that one turn and nothing else. A ring that loses its key loses the tickets
//! that were made with it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secret::{Keyring, Place, Secret};

/// Longer ones are none.
const LONGEST: usize = 4096;

/// Which answer a ticket is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The row id of the instance.
    pub instance_id: i64,
    /// The conversation.
    pub session_name: String,
    /// The turn.
    pub turn_id: String,
    /// The trace of the message that leads the turn.
    pub trace_id: Uuid,
    /// The fallback agent that is to answer; none for the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Until when, in milliseconds since 1970.
    pub until: i64,
}

/// Makes tickets and reads them.
#[derive(Clone, Debug)]
pub struct Tickets(Arc<Keyring>);

impl Tickets {
    /// With the hub's ring.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self(keyring)
    }

    /// The ticket as text, of characters that an URL takes. `None`: the ring cannot encrypt.
    #[must_use]
    pub fn seal(&self, ticket: &Ticket) -> Option<String> {
        let words = Secret::new(serde_json::to_string(ticket).ok()?);
        let sealed = self.0.encrypt(place(ticket.instance_id), &words).ok()?;
        Some(URL_SAFE_NO_PAD.encode(format!("{}:{sealed}", ticket.instance_id)))
    }

    /// Reads a ticket that this hub has made. `None`: it is none.
    #[must_use]
    pub fn open(&self, text: &str) -> Option<Ticket> {
        let bytes = URL_SAFE_NO_PAD.decode(text.get(..text.len().min(LONGEST))?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (instance, sealed) = text.split_once(':')?;
        let words = self.0.decrypt(place(instance.parse().ok()?), sealed).ok()?;
        serde_json::from_str(words.expose()).ok()
    }
}

/// Tickets are kept nowhere; a secret of a table would not open in their place.
fn place(instance: i64) -> Place {
    Place { instance, table: "replies", row: 0, field: "ticket" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_back_by_its_own_hub_and_nobody_reads_or_changes_it() {
        let tickets = Tickets::new(Arc::new(Keyring::generate()));
        let ticket = Ticket {
            instance_id: 7,
            session_name: "acme_14155550001".into(),
            turn_id: "t".into(),
            trace_id: Uuid::nil(),
            fallback: Some("backup".into()),
            until: 9,
        };
        let text = tickets.seal(&ticket).unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(tickets.open(&text), Some(ticket.clone()));
        let inside = String::from_utf8(URL_SAFE_NO_PAD.decode(&text).unwrap()).unwrap();
        assert!(!inside.contains("acme"), "{inside}");
        let other = URL_SAFE_NO_PAD.encode(inside.replacen("7:", "8:", 1));
        let stranger = Tickets::new(Arc::new(Keyring::generate())).seal(&ticket).unwrap();
        for wrong in ["", "x", "é", &text[1..], &text[..text.len() - 4], &other, &stranger, &"A".repeat(100_000)] {
            assert_eq!(tickets.open(wrong), None, "{wrong}");
        }
    }
}
