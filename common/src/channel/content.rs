//! What a message holds: its kind, what the person wrote, and the rest of it as data.
//!
//! A [`Content`] has the words of the person in `text` and everything else that they sent in one
//! [`Detail`], whose variant follows from the kind. What is absent: the file of a medium, which
//! travels beside the message, and whatever is a secret of the chat (the code of a group's invite,
//! the token of an order). Every text and every list is bounded by whoever reads it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::MessageKind;

/// What a message holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The kind, which also names the trace's `message_type`.
    pub kind: MessageKind,
    /// What the person wrote, or chose: the text, the caption, what was heard in a voice message,
    /// the title of a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The media type, where there is media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mimetype: Option<String>,
    /// The channel's own word for the kind, where the kind is [`MessageKind::Unknown`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_type: Option<String>,
    /// What the kind has beside its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<Detail>>,
    /// The advertisement, or the page, that brought the person here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Box<Referral>>,
    /// Whether it may be looked at once only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub view_once: bool,
    /// Whether the chat forgets it after a time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disappearing: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Content {
    /// A content of a kind that says nothing yet.
    #[must_use]
    pub fn of_kind(kind: MessageKind) -> Self {
        Self {
            kind,
            text: None,
            mimetype: None,
            provider_type: None,
            detail: None,
            referral: None,
            view_once: false,
            disappearing: false,
        }
    }

    /// A text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::of_kind(MessageKind::Text) }
    }
}

/// What a kind has beside its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Of every file.
    Media(MediaFacts),
    /// Of a text that shows a page.
    Link(Link),
    /// Of a location, live or not.
    Location(Place),
    /// Of contact cards, one or many.
    Contacts(Vec<SharedContact>),
    /// Of a reaction.
    Reaction(Reaction),
    /// Of a poll.
    Poll(Poll),
    /// Of a reply to buttons, a list, a template or a form.
    Choice(Choice),
    /// Of an album, whose pictures come as messages of their own.
    Album(Album),
    /// Of an invitation into a group.
    GroupInvite(GroupInvite),
    /// Of an event in a chat.
    Event(CalendarEvent),
    /// Of an order from a catalogue.
    Order(Order),
}

/// What is known of a file without opening it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaFacts {
    /// Its name, without a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How long it plays, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u64>,
    /// The height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// How many pages a document has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// Whether a sticker moves.
    #[serde(skip_serializing_if = "is_false")]
    pub animated: bool,
}

/// A page that a text shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Its address.
    pub url: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Where a person came from: what they clicked before they wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Referral {
    /// Whether it is an advertisement.
    pub is_ad: bool,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The advertisement's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// The id of the click, for those who measure their advertisements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click_id: Option<String>,
    /// The app it was seen in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// A place on earth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Degrees north; absent when the channel says nothing that can be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How exact it is, in metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_m: Option<u64>,
    /// Whether it follows the person.
    #[serde(skip_serializing_if = "is_false")]
    pub live: bool,
}

/// A contact card that somebody sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedContact {
    /// The name.
    pub name: String,
    /// The phone numbers: `+` and digits where the card tells the account, else as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// The e-mail addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// Where the person works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

/// A reaction to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reaction {
    /// The emoji; none = the reaction was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// The channel's id of the message.
    pub message_id: String,
    /// Whether our own account wrote that message.
    pub ours: bool,
}

/// A poll.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Poll {
    /// The question.
    pub question: String,
    /// What can be chosen.
    pub options: Vec<String>,
    /// How many of them; 0 = as many as one likes.
    pub choose: u64,
}

/// What a person chose of what they were offered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The id that whoever offered it gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the person saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What stood below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The name of the form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// What the form answered, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
}

/// An album that is about to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Album {
    /// How many images.
    pub images: u64,
    /// How many videos.
    pub videos: u64,
}

/// An invitation into a group, without the code that opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupInvite {
    /// The group's id.
    pub group: String,
    /// The group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when it opens, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// An event that people of a chat are asked to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CalendarEvent {
    /// Its name.
    pub name: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it begins, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<String>,
    /// When it ends, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The address of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_link: Option<String>,
    /// Whether it was called off.
    #[serde(skip_serializing_if = "is_false")]
    pub cancelled: bool,
}

/// An order from a catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// The channel's id of the order.
    pub id: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many things.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// What they cost together, as a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// In which currency (ISO 4217).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}
