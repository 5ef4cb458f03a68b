//! The contacts and chats of an account, read one by one out of an answer of any length.
//!
//! Evolution's own paging is not used: contacts come in no order, so that two pages may show the same
//! one, and of chats 2.3.6 passes over twice as many as it is told. So the whole list is asked for,
//! and never held: a row at a time is, and what of it is kept the caller decides.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    super::{
        answer,
        outbound::{self, unanswered},
        wire::{self, timestamp_ms, word},
    },
    AdminError, EvolutionAdmin, MAX_ANSWER, PATIENT,
    elements::Elements,
};

/// How much of a list is read: some 100,000 contacts, or 30,000 chats with their last messages.
const BOUNDS: Bounds = Bounds { bytes: 64 * 1024 * 1024, rows: 500_000 };
/// Bytes of a row: a chat has its last message in it.
const LARGEST_ROW: usize = 256 * 1024;
/// Bytes of a row that is shown as it came.
const LARGEST_SHOWN: usize = 16 * 1024;
/// Bytes of an id, and of an address.
const LONGEST_ID: usize = 256;
const LONGEST_ADDRESS: usize = 2048;
/// Characters of a name or a description.
const LONGEST_TEXT: usize = 512;

/// How much of a list is read.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    bytes: usize,
    rows: usize,
}

/// A person or a group that an account knows.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The JID.
    pub id: String,
    /// The name in the account's address book.
    pub name: Option<String>,
    /// The name that they gave themselves; of a group its subject.
    pub push_name: Option<String>,
    /// The address of the picture.
    pub picture: Option<String>,
    /// Whether they are more than somebody from a group.
    pub is_saved: bool,
    /// Since when the account knows them.
    pub created_at: Option<DateTime<Utc>>,
    /// The row as it came, without the account's key; none where it is large.
    pub raw: Option<Box<RawValue>>,
}

/// A conversation that an account has.
#[derive(Clone, Debug)]
pub struct Chat {
    /// The JID.
    pub id: String,
    /// The name that the account gave it.
    pub name: Option<String>,
    /// The name that the other side gave itself.
    pub push_name: Option<String>,
    /// The address of the picture.
    pub picture: Option<String>,
    /// What a group says of itself.
    pub description: Option<String>,
    /// People in a group, where it is told.
    pub participants: Option<u64>,
    /// Put away.
    pub is_archived: bool,
    /// Kept on top.
    pub is_pinned: bool,
    /// Without notifications.
    pub is_muted: bool,
    /// Messages that nobody has read.
    pub unread: u64,
    /// Since when it is there.
    pub created_at: Option<DateTime<Utc>>,
    /// When the last message came or went.
    pub last_message_at: Option<DateTime<Utc>>,
    /// The row as it came, without the account's key; none where it is large.
    pub raw: Option<Box<RawValue>>,
}

impl EvolutionAdmin {
    /// Hands over every contact, or those with one JID or number. Versions that know no such filter
    /// give others too. Of a row that cannot be read it is told that it is there.
    ///
    /// # Errors
    /// Why Evolution did not tell, or not all; [`AdminError::TooLarge`] beyond 64 MiB or 500,000 rows.
    pub async fn contacts(
        &self,
        only: Option<&str>,
        each: impl FnMut(Option<Contact>) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        self.list("findContacts", only, BOUNDS, Contact::read, each).await
    }

    /// The same of chats.
    ///
    /// # Errors
    /// As [`Self::contacts`].
    pub async fn chats(
        &self,
        only: Option<&str>,
        each: impl FnMut(Option<Chat>) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        self.list("findChats", only, BOUNDS, Chat::read, each).await
    }

    async fn list<T>(
        &self,
        verb: &str,
        only: Option<&str>,
        bounds: Bounds,
        read: fn(&Value) -> Option<T>,
        mut each: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        let body = only.map_or_else(|| json!({}), |id| json!({"where": {"remoteJid": id}}));
        let request = self.on(Method::POST, ["chat", verb]).json(&body).timeout(PATIENT);
        let mut response = self.0.answered(request).await?;
        if !response.status().is_success() {
            return self.accepted(outbound::read(response, MAX_ANSWER).await?).map(drop);
        }
        let (mut elements, mut bytes, mut rows) = (Elements::new(LARGEST_ROW), 0, 0);
        while let Some(piece) = response.chunk().await.map_err(|error| unanswered(&error))? {
            let mut flow = ControlFlow::Continue(());
            bytes += piece.len();
            let told = elements.read(&piece, |element| {
                rows += 1;
                if flow.is_continue() && rows <= bounds.rows {
                    flow = each(element.and_then(|element| self.row(element)).and_then(|row| read(&row)));
                }
            });
            told.map_err(|_| AdminError::Unreadable)?;
            if flow.is_break() {
                return Ok(());
            }
            if bytes > bounds.bytes || rows > bounds.rows {
                return Err(AdminError::TooLarge);
            }
        }
        if elements.is_whole() { Ok(()) } else { Err(AdminError::Unreadable) }
    }

    /// A row without the account's key; none of what is no JSON, or deeper than any row.
    fn row(&self, element: &[u8]) -> Option<Value> {
        let mut row = serde_json::from_slice(element).ok()?;
        answer::hide(&mut row, self.0.key().expose());
        Some(row)
    }
}

impl Contact {
    fn read(row: &Value) -> Option<Self> {
        Some(Self {
            id: jid(row)?,
            name: text(row, "name"),
            push_name: text(row, "pushName"),
            picture: picture(row),
            is_saved: row["isSaved"] == true || row["type"] == "contact",
            created_at: time(&row["createdAt"]),
            raw: shown(row),
        })
    }
}

impl Chat {
    fn read(row: &Value) -> Option<Self> {
        let said_at = timestamp_ms(&row["lastMessage"]["messageTimestamp"]).and_then(DateTime::from_timestamp_millis);
        let unread = ["unreadCount", "unreadMessages"].into_iter().find_map(|name| row[name].as_u64());
        let people = row["participants"].as_array().and_then(|people| u64::try_from(people.len()).ok());
        Some(Self {
            id: jid(row)?,
            name: text(row, "name"),
            push_name: text(row, "pushName"),
            picture: picture(row),
            description: text(row, "description").or_else(|| text(row, "desc")),
            participants: people.or_else(|| row["size"].as_u64()),
            is_archived: is_set(row, ["archived", "archive"]),
            is_pinned: is_set(row, ["pinned", "pin"]),
            is_muted: is_set(row, ["muted", "mute"]),
            unread: unread.unwrap_or_default(),
            created_at: time(&row["createdAt"]),
            last_message_at: said_at.or_else(|| time(&row["updatedAt"])),
            raw: shown(row),
        })
    }
}

/// The JID; in rows of older versions it is the id.
fn jid(row: &Value) -> Option<String> {
    let id = word(row, "remoteJid").or_else(|| word(row, "id").filter(|id| id.contains('@')))?;
    (id.len() <= LONGEST_ID).then(|| id.to_owned())
}

fn text(row: &Value, name: &str) -> Option<String> {
    word(row, name).map(|text| text.chars().take(LONGEST_TEXT).collect())
}

fn picture(row: &Value) -> Option<String> {
    let address = word(row, "profilePicUrl").or_else(|| word(row, "profilePictureUrl"))?;
    (address.len() <= LONGEST_ADDRESS).then(|| address.to_owned())
}

/// A flag, or the time since when or until when it holds.
fn is_set(row: &Value, names: [&str; 2]) -> bool {
    names.into_iter().any(|name| match &row[name] {
        Value::Bool(flag) => *flag,
        time => wire::int64(time).is_some_and(|time| time > 0),
    })
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(value.as_str()?).ok()?.with_timezone(&Utc))
}

fn shown(row: &Value) -> Option<Box<RawValue>> {
    to_raw_value(row).ok().filter(|raw| raw.get().len() <= LARGEST_SHOWN)
}

#[cfg(test)]
mod tests;
