//! Read receipts: what Evolution is asked to mark as read.
//!
//! Source: Evolution API 2.3.6, `/chat/markMessageAsRead`. It skips chats by `@lid` in silence, so a
//! person is named by the phone where it is known; of a group's message it loses the author, without
//! whom WhatsApp takes no receipt there, so none is asked for.

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};

use super::{
    answer::{self, SendError},
    outbound::{Evolution, recipient},
};
use crate::channel::InboundMessage;

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Evolution {
    /// Marks messages as read, by their [`read_key`].
    ///
    /// # Errors
    /// As [`Evolution::send`]; a message that stays unread is nothing to act on.
    pub async fn mark_read(&self, keys: &[Value], headers: HeaderMap) -> Result<(), SendError> {
        let body = json!({ "readMessages": keys });
        let answer = self.post(["chat", "markMessageAsRead"], &body, headers, TIMEOUT).await?;
        answer::accepted(answer).map(|_| ())
    }
}

/// How a message is named to be marked as read; none where it cannot be.
#[must_use]
pub fn read_key(message: &InboundMessage) -> Option<Value> {
    if message.is_group || message.from_me || message.provider_id.is_empty() {
        return None;
    }
    let phone = recipient(&message.chat, message.sender.alt_id.as_deref());
    let is_phone = !phone.is_empty() && phone.bytes().all(|byte| byte.is_ascii_digit());
    let chat = format!("{phone}@s.whatsapp.net");
    is_phone.then(|| json!({"id": message.provider_id, "fromMe": false, "remoteJid": chat}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Content, Person};

    #[test]
    fn a_person_is_named_by_the_phone_and_what_cannot_be_marked_is_left_out() {
        let message = |chat: &str, alt_id: Option<&str>| InboundMessage {
            provider_id: "3EB0".into(),
            chat: chat.into(),
            is_group: chat.ends_with("@g.us"),
            from_me: false,
            sender: Person { alt_id: alt_id.map(Into::into), ..Person::default() },
            sent_at_ms: None,
            content: Content::of_text("hi"),
            quoted: None,
            mentions: Vec::new(),
        };
        let phone = "5511987654321@s.whatsapp.net";
        let key = json!({"id": "3EB0", "fromMe": false, "remoteJid": phone});
        assert_eq!(read_key(&message(phone, None)), Some(key.clone()));
        assert_eq!(read_key(&message("112233@lid", Some(phone))), Some(key));
        assert_eq!(read_key(&message("112233@lid", None)), None);
        assert_eq!(read_key(&message("120363042000000001@g.us", Some(phone))), None);
        assert_eq!(read_key(&InboundMessage { from_me: true, ..message(phone, None) }), None);
    }
}
