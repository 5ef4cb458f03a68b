//! How much of what somebody sends is kept: more than any client of WhatsApp can make.

use serde_json::Value;

use super::wire;

/// A text or a caption, in characters.
pub(super) const TEXT: usize = 1024 * 1024;

/// A name, a title, an address, a description.
pub(super) const LINE: usize = 1024;

/// An id.
pub(super) const ID: usize = 256;

/// The address of a page.
pub(super) const URL: usize = 2048;

/// The entries of a list: contacts, the options of a poll.
pub(super) const LIST: usize = 100;

/// The people that a message mentions; a group has at most 1,024.
pub(super) const MENTIONS: usize = 1024;

/// The beginning of a text, in characters.
pub(super) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

/// A field that says something, trimmed and bounded.
pub(super) fn field(body: &Value, name: &str, most: usize) -> Option<String> {
    wire::word(body, name).map(|word| clip(word, most))
}

/// A field of one line.
pub(super) fn line(body: &Value, name: &str) -> Option<String> {
    field(body, name, LINE)
}

/// A field that counts something.
pub(super) fn count(body: &Value, name: &str) -> Option<u64> {
    wire::int64(&body[name]).and_then(|number| u64::try_from(number).ok())
}

/// A field that says yes.
pub(super) fn flag(body: &Value, name: &str) -> bool {
    body[name].as_bool().unwrap_or(false)
}
