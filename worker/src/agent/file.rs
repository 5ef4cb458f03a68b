//! The files that a question carries.
//!
//! They are put into the request just before it is written, each protocol in its own way, and are
//! gone once it is: neither the trace nor a checkpoint has them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

/// One file.
#[derive(Debug)]
pub struct File {
    /// What the agent is told of it, as in `media_contents`.
    pub about: Value,
    /// Its bytes; none where it is given as a link.
    pub bytes: Vec<u8>,
    /// Where the agent fetches it, when it is not given itself.
    pub link: Option<String>,
}

/// The files of a question, and the room in memory that was set aside for them.
#[derive(Debug, Default)]
pub struct Files {
    /// In the order in which they came.
    pub list: Vec<File>,
    /// Given back when their bytes are gone.
    pub seat: Option<OwnedSemaphorePermit>,
}

/// How a file is written into a request.
pub(super) type Show = fn(&File) -> String;

impl Files {
    /// Gives back what is more than so many KiB.
    pub(crate) fn keep_room(&mut self, kib: usize) {
        if let Some(seat) = &mut self.seat {
            drop(seat.split(seat.num_permits().saturating_sub(kib)));
        }
    }
}

impl File {
    /// Its link, else itself in base64.
    pub(super) fn data(&self) -> String {
        self.link.clone().unwrap_or_else(|| STANDARD.encode(&self.bytes))
    }

    /// The field that holds it.
    pub(super) fn field(&self) -> &'static str {
        if self.link.is_some() { "media_url" } else { "data" }
    }

    /// What stands for it in a trace, which opens nothing.
    pub(super) fn note(&self) -> String {
        if self.link.is_some() {
            return "[media link]".to_owned();
        }
        format!("[media {} bytes]", self.bytes.len())
    }

    fn word(&self, name: &str) -> &str {
        self.about[name].as_str().unwrap_or_default()
    }

    /// The channel's id of the message that it came with.
    pub(super) fn message_id(&self) -> &str {
        self.word("message_id")
    }

    /// Its kind: `image`, `audio`, ...
    pub(super) fn kind(&self) -> &str {
        self.word("type")
    }

    /// Its media type.
    pub(crate) fn media_type(&self) -> String {
        media_type(&self.about)
    }

    /// Its name, or one made of what it is.
    pub(super) fn name(&self) -> String {
        match self.word("file_name") {
            "" => {
                let media_type = self.media_type();
                let (_, subtype) = media_type.split_once('/').unwrap_or_default();
                format!("{}.{}", self.kind(), if subtype.is_empty() { "bin" } else { subtype })
            }
            name => name.to_owned(),
        }
    }
}

/// The media type of what is told of a file, in lower case and without its parameters; empty when it
/// is not one.
pub(crate) fn media_type(about: &Value) -> String {
    let given = about["mime_type"].as_str().unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'+' | b'_');
    if essence.bytes().all(is_letter) { essence } else { String::new() }
}

/// Writes each file beside what is told of it: the object of `told` with the same message.
pub(super) fn put_beside<'a>(told: impl Iterator<Item = (String, &'a mut Value)>, files: &[File], show: Show) {
    for (id, about) in told {
        if let Some(file) = files.iter().find(|file| file.message_id() == id) {
            about[file.field()] = show(file).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_file_has_a_type_and_a_name() {
        let file = |about: Value| File { about, bytes: b"hello".to_vec(), link: None };
        let voice = file(json!({"type": "audio", "mime_type": "Audio/OGG; codecs=opus"}));
        assert_eq!((voice.media_type().as_str(), voice.name().as_str()), ("audio/ogg", "audio.ogg"));
        let forged = file(json!({"type": "image", "mime_type": "image/png\r\nx: y", "file_name": "a.png"}));
        assert_eq!((forged.media_type().as_str(), forged.name().as_str()), ("", "a.png"));
        assert_eq!(file(json!({"type": "document"})).name(), "document.bin");
        let room = Arc::new(Semaphore::new(10));
        let mut files = Files { list: Vec::new(), seat: room.clone().try_acquire_many_owned(8).ok() };
        for (kept, left) in [(9, 2), (3, 7), (0, 10)] {
            files.keep_room(kept);
            assert_eq!(room.available_permits(), left);
        }
        assert_eq!((voice.data().as_str(), voice.note().as_str()), ("aGVsbG8=", "[media 5 bytes]"));
        let linked = File { link: Some("http://hub.test/media/t".into()), ..voice };
        assert_eq!((linked.data().as_str(), linked.note().as_str()), ("http://hub.test/media/t", "[media link]"));
        let mut about = json!({});
        put_beside([(String::new(), &mut about)].into_iter(), &[linked], File::data);
        assert_eq!(about, json!({"media_url": "http://hub.test/media/t"}));
    }
}
