//! The events that Evolution posts.

/// The longest event word that is kept of an unknown event, in characters.
const MAX_WORD: usize = 64;

/// Every event that Evolution API 2.3.6 can post, as it writes them (wa.types.ts, main.ts).
const KNOWN: [&str; 32] = [
    "application.startup",
    "call",
    "chats.delete",
    "chats.set",
    "chats.update",
    "chats.upsert",
    "connection.update",
    "contacts.set",
    "contacts.update",
    "contacts.upsert",
    "error",
    "group-participants.update",
    "groups.update",
    "groups.upsert",
    "instance.create",
    "instance.delete",
    "labels.association",
    "labels.edit",
    "logout.instance",
    "messages.delete",
    "messages.edited",
    "messages.set",
    "messages.update",
    "messages.upsert",
    "presence.update",
    "qrcode.updated",
    "remove.instance",
    "send.message",
    "send.message.update",
    "status.instance",
    "typebot.change-status",
    "typebot.start",
];

/// What a webhook tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Messages that somebody sent.
    MessagesUpsert,
    /// A message that somebody edited.
    MessagesEdited,
    /// A message that somebody deleted for everyone.
    MessagesDelete,
    /// Everything else, in Evolution's dotted lower case.
    Other(String),
}

impl Event {
    /// Reads an event's word: `messages.upsert`, the configuration's `MESSAGES_UPSERT` or the
    /// by-events path's `messages-upsert`; blank is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let folded = fold(word);
        if folded.is_empty() {
            return None;
        }
        let known = KNOWN.into_iter().find(|known| fold(known) == folded);
        Some(match known {
            Some("messages.upsert") => Self::MessagesUpsert,
            Some("messages.edited") => Self::MessagesEdited,
            Some("messages.delete") => Self::MessagesDelete,
            Some(known) => Self::Other(known.to_owned()),
            None => Self::Other(folded),
        })
    }

    /// The word, dotted lower case; of an unknown event whatever was posted, so not for a metric.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::MessagesUpsert => "messages.upsert",
            Self::MessagesEdited => "messages.edited",
            Self::MessagesDelete => "messages.delete",
            Self::Other(word) => word,
        }
    }

    /// The word for a metric: one of Evolution's own, or `unknown`, so that a stranger's bodies
    /// cannot multiply time series.
    #[must_use]
    pub fn label(&self) -> &'static str {
        KNOWN.into_iter().find(|known| *known == self.as_str()).unwrap_or("unknown")
    }
}

/// The word with every separator a dot, which is how the three spellings become equal.
fn fold(word: &str) -> String {
    let dotted = |c: char| if matches!(c, '_' | '-') { '.' } else { c.to_ascii_lowercase() };
    word.trim().chars().take(MAX_WORD).map(dotted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_are_one_event() {
        for word in ["messages.upsert", "MESSAGES_UPSERT", "messages-upsert", " Messages.Upsert "] {
            assert_eq!(Event::parse(word), Some(Event::MessagesUpsert), "{word}");
        }
        for word in ["group-participants.update", "GROUP_PARTICIPANTS_UPDATE", "group-participants-update"] {
            assert_eq!(Event::parse(word), Some(Event::Other("group-participants.update".into())), "{word}");
        }
        assert_eq!(Event::parse("typebot-change-status"), Some(Event::Other("typebot.change-status".into())));
        assert_eq!(Event::parse("  "), None);
    }

    #[test]
    fn an_unknown_event_keeps_its_word_but_shares_one_label() {
        let event = Event::parse("SOMETHING_NEW").expect("an event");
        assert_eq!((event.as_str(), event.label()), ("something.new", "unknown"));
        for event in [Event::MessagesUpsert, Event::MessagesEdited, Event::MessagesDelete] {
            assert_eq!(Event::parse(event.label()), Some(event));
        }
        assert_eq!(Event::parse("CALL").expect("an event").label(), "call");
        let long = Event::parse(&"x".repeat(5000)).expect("an event");
        assert_eq!(long.as_str().len(), MAX_WORD);
    }
}
