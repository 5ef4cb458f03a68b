//! A message as a turn sees it, the same for every channel.

use serde::{Deserialize, Serialize};

use super::Content;

/// One message of a person, read from its channel's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The channel's own id of the message.
    pub provider_id: String,
    /// The chat as the channel addresses it: where the reply goes.
    pub chat: String,
    /// Whether the chat has more than two members.
    pub is_group: bool,
    /// Whether our own account wrote it (a person at the paired phone).
    pub from_me: bool,
    /// Who wrote it. Of an own message in a one-to-one chat: the person it went to, unnamed, since
    /// the channel tells nothing of our own account there.
    pub sender: Person,
    /// When the channel says it was sent, in milliseconds since 1970.
    pub sent_at_ms: Option<i64>,
    /// What it says.
    pub content: Content,
    /// The message it replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<Quoted>,
    /// The ids it mentions, as the channel writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
}

/// The author of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The channel's own id of the person.
    pub id: String,
    /// The other id the channel knows the same person by (WhatsApp: phone beside `@lid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_id: Option<String>,
    /// The phone number in digits, without `+`, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The name the person shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a message replies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// The channel's id of the quoted message.
    pub provider_id: String,
    /// Who wrote the quoted message, as the channel names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Its text or caption, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The kinds of content, over all channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name is the field's own word for the kind")]
pub enum MessageKind {
    Text,
    Image,
    Video,
    Gif,
    VideoNote,
    Audio,
    Voice,
    Document,
    Sticker,
    Location,
    LiveLocation,
    Contact,
    Contacts,
    Reaction,
    Poll,
    ButtonReply,
    TemplateReply,
    ListReply,
    InteractiveReply,
    Template,
    Album,
    GroupInvite,
    Pin,
    Event,
    Order,
    Unknown,
}

impl MessageKind {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Text,
        Self::Image,
        Self::Video,
        Self::Gif,
        Self::VideoNote,
        Self::Audio,
        Self::Voice,
        Self::Document,
        Self::Sticker,
        Self::Location,
        Self::LiveLocation,
        Self::Contact,
        Self::Contacts,
        Self::Reaction,
        Self::Poll,
        Self::ButtonReply,
        Self::TemplateReply,
        Self::ListReply,
        Self::InteractiveReply,
        Self::Template,
        Self::Album,
        Self::GroupInvite,
        Self::Pin,
        Self::Event,
        Self::Order,
        Self::Unknown,
    ];

    /// The word in traces; the same as when serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::Gif => "gif",
            Self::VideoNote => "video_note",
            Self::Audio => "audio",
            Self::Voice => "voice",
            Self::Document => "document",
            Self::Sticker => "sticker",
            Self::Location => "location",
            Self::LiveLocation => "live_location",
            Self::Contact => "contact",
            Self::Contacts => "contacts",
            Self::Reaction => "reaction",
            Self::Poll => "poll",
            Self::ButtonReply => "button_reply",
            Self::TemplateReply => "template_reply",
            Self::ListReply => "list_reply",
            Self::InteractiveReply => "interactive_reply",
            Self::Template => "template",
            Self::Album => "album",
            Self::GroupInvite => "group_invite",
            Self::Pin => "pin",
            Self::Event => "event",
            Self::Order => "order",
            Self::Unknown => "unknown",
        }
    }

    /// The word of an agent's `message_type`, which knows fewer kinds than the trace: what a person
    /// chose is text, and what differs only in how it was recorded is one.
    #[must_use]
    pub fn agent_word(self) -> &'static str {
        match self {
            Self::Text | Self::ButtonReply | Self::TemplateReply | Self::ListReply | Self::InteractiveReply => "text",
            Self::Video | Self::Gif | Self::VideoNote => "video",
            Self::Audio | Self::Voice => "audio",
            Self::Location | Self::LiveLocation => "location",
            Self::Contact | Self::Contacts => "contact",
            other => other.as_str(),
        }
    }

    /// Whether the content is a file.
    #[must_use]
    pub fn has_media(self) -> bool {
        matches!(
            self,
            Self::Image
                | Self::Video
                | Self::Gif
                | Self::VideoNote
                | Self::Audio
                | Self::Voice
                | Self::Document
                | Self::Sticker
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_word_is_its_serialised_form() {
        for kind in MessageKind::ALL {
            let word = serde_json::to_value(kind).expect("a word");
            assert_eq!(word, kind.as_str());
            assert_eq!(serde_json::from_value::<MessageKind>(word).expect("a kind"), kind);
        }
    }
}
