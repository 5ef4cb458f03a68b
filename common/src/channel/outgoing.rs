//! A message that a program asks the hub to send, the same for every channel.

use serde::{Deserialize, Serialize};

/// What goes out, and where: the body of a send in the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The chat as the channel addresses it.
    pub chat: String,
    /// The name of the key that asked for it.
    pub by: String,
    /// What it says.
    pub content: OutgoingContent,
    /// The id of the message that it replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<String>,
    /// The people it mentions, as the channel addresses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// It mentions everybody in the group.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
    /// So long typing is shown before it goes out, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u32>,
}

/// What an [`Outgoing`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutgoingContent {
    /// A text.
    Text {
        /// Its words.
        text: String,
        /// Whether a long one is split on blank lines; none is the instance's choice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        split: Option<bool>,
        /// Whether the first link is shown as a card; none is the channel's choice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link_preview: Option<bool>,
    },
    /// A file with words.
    Media {
        /// How it is shown.
        media_type: MediaType,
        /// The file.
        file: File,
        /// The words beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
        /// The name that it is saved under.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
        /// Its media type, where the file does not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
    /// A voice message.
    Audio {
        /// The recording.
        file: File,
    },
    /// A sticker.
    Sticker {
        /// The picture.
        file: File,
    },
    /// Cards of people.
    Contact {
        /// One at least.
        contacts: Vec<ContactCard>,
    },
    /// A reaction to a message of the chat.
    Reaction {
        /// The message's id.
        message_id: String,
        /// Whether our own account wrote that message.
        from_me: bool,
        /// One emoji; empty takes an earlier one away.
        reaction: String,
    },
    /// A place.
    Location {
        /// In degrees.
        latitude: f64,
        /// In degrees.
        longitude: f64,
        /// What it is called.
        name: String,
        /// Where it is, in words.
        address: String,
    },
    /// A question with answers to choose from.
    Poll {
        /// The question.
        question: String,
        /// The answers.
        answers: Vec<String>,
        /// How many may be chosen; 0 is any number.
        selectable: u8,
    },
}

/// How a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each name is the field's own word")]
pub enum MediaType {
    Image,
    Video,
    Audio,
    Document,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum File {
    /// The channel fetches it from here.
    Url(String),
    /// Here it is.
    Base64(String),
}

/// A person's card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactCard {
    /// The name.
    pub full_name: String,
    /// The phone number.
    pub phone_number: String,
    /// The person's mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where the person works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The person's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl MediaType {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Image, Self::Video, Self::Audio, Self::Document].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl File {
    /// The address, or the file in base64.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Url(text) | Self::Base64(text) => text,
        }
    }
}

impl OutgoingContent {
    /// The word in traces: the `message_type` of a message that was sent over the API.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "send_text",
            Self::Media { .. } => "send_media",
            Self::Audio { .. } => "send_audio",
            Self::Sticker { .. } => "send_sticker",
            Self::Contact { .. } => "send_contact",
            Self::Reaction { .. } => "send_reaction",
            Self::Location { .. } => "send_location",
            Self::Poll { .. } => "send_poll",
        }
    }

    /// The words that a person reads, where there are any.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Media { caption, .. } => caption.as_deref(),
            Self::Contact { contacts } => contacts.first().map(|card| card.full_name.as_str()),
            Self::Reaction { reaction, .. } => Some(reaction),
            Self::Location { name, .. } => Some(name),
            Self::Poll { question, .. } => Some(question),
            Self::Audio { .. } | Self::Sticker { .. } => None,
        }
    }

    /// Whether it is a file.
    #[must_use]
    pub fn has_media(&self) -> bool {
        matches!(self, Self::Media { .. } | Self::Audio { .. } | Self::Sticker { .. })
    }
}
