//! Channels: one folder each, both directions, the same rooms.
//!
//! `wire` holds the channel's own words, `inbound` turns bytes into messages without any I/O,
//! `outbound` turns a reply into a request. The set is closed: [`ChannelType`] is the registry,
//! so that the compiler lists what a new channel must provide.

mod connection;
mod content;
mod delivery;
mod message;
mod outgoing;
pub mod whatsapp;
mod words;

use serde::{Deserialize, Serialize};

pub use connection::{ConnectionNews, ConnectionState};
pub use content::{
    Album, CalendarEvent, Choice, Content, Detail, GroupInvite, Link, MediaFacts, Order, Place, Poll, Reaction,
    Referral, SharedContact,
};
pub use delivery::{Delivery, DeliveryState};
pub use message::{InboundMessage, MessageKind, Person, Quoted};
pub use outgoing::{ContactCard, File, MediaType, Outgoing, OutgoingContent};

/// The channels that an instance can be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    /// WhatsApp through Evolution API.
    Whatsapp,
    /// A Discord bot.
    Discord,
    /// A Slack app.
    Slack,
}

impl ChannelType {
    /// The word used in rows, answers and agent calls.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whatsapp => "whatsapp",
            Self::Discord => "discord",
            Self::Slack => "slack",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "whatsapp" => Some(Self::Whatsapp),
            "discord" => Some(Self::Discord),
            "slack" => Some(Self::Slack),
            _ => None,
        }
    }
}
