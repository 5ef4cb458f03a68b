//! What is said of contacts, chats and channels in the OpenAPI document.

use super::{
    asked::{DEEPEST, LARGEST_PAGE},
    chats::{ChatAnswer, ChatsPage, TYPES},
    contacts::{ContactAnswer, ContactsPage, STATUSES},
    overview::Overview,
};
use crate::admin::{
    instances::SUPPORTED_CHANNELS,
    openapi::{
        Doc,
        field::{Field, Kind, PAGE, field, flag, text},
        says,
    },
};

/// What every list takes.
const LIST: [Field; 4] = [
    field("page", Kind::Whole(1, DEEPEST), "The page; 1 unless said. It must end within the first 20,000 rows."),
    field("page_size", Kind::Whole(1, LARGEST_PAGE), "Rows of a page; 50 unless said."),
    field("channel_type", CHANNEL, "An instance on another channel has nothing then."),
    text("search_query", "Only those with this in their name, number or id, in small letters or not."),
];
const CHANNEL: Kind = Kind::OneOf(&SUPPORTED_CHANNELS);
const WHOLE: &str =
    "Filters come before paging, and `total_count` is of what they leave. `partial_errors` says what is missing.";

pub(super) fn contacts() -> Doc {
    let status =
        field("status_filter", Kind::OneOf(&STATUSES), "Only who is there like this, where the channel tells.");
    asked(says("People and groups that an instance's account knows, by name").more(WHOLE))
        .query(LIST.into_iter().chain([status]))
        .answers::<ContactsPage>()
}

pub(super) fn contact() -> Doc {
    let doc = says("A person or a group that an instance's account knows");
    asked(doc.path(text("contact", "The JID, or a phone number."))).answers::<ContactAnswer>()
}

pub(super) fn chats() -> Doc {
    let own = [
        field("chat_type_filter", Kind::OneOf(&TYPES), "Only chats of this type."),
        flag("archived", "Only those that are put away, or that are not."),
        flag("unread", "Only those with messages that nobody has read, or without."),
    ];
    asked(says("Chats of an instance's account, the latest first").more(WHOLE))
        .query(LIST.into_iter().chain(own))
        .answers::<ChatsPage>()
}

pub(super) fn chat() -> Doc {
    let doc = says("A chat of an instance's account");
    asked(doc.path(text("chat", "The JID, or a phone number."))).answers::<ChatAnswer>()
}

pub(super) fn overview() -> Doc {
    says("How every instance is connected, and how much it has")
        .more("The server of each is asked; one that does not tell is in `partial_errors`.")
        .query(PAGE.into_iter().chain([field("channel_type", CHANNEL, "Only instances on this channel.")]))
        .answers::<Overview>()
}

/// What a route adds that reads what Evolution has.
fn asked(doc: Doc) -> Doc {
    doc.problem(400, "The query cannot be read, or the channel cannot tell this.")
        .problem(409, "Evolution has no such account.")
        .problem(502, "Evolution did not tell, or not what is expected.")
}
