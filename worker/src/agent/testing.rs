//! What the tests of the protocols share.

use serde_json::{Value, json};

use super::{File, Question, Said};

/// A file of five bytes, of which this is known.
pub(super) fn file(about: Value) -> File {
    File { about, bytes: b"hello".to_vec(), link: None }
}

/// A question of one message.
pub(super) fn question(text: &str) -> Question {
    Question {
        turn_id: "t".into(),
        message: text.into(),
        message_type: "text",
        messages: vec![Said {
            id: "m1".into(),
            kind: "text",
            text: text.into(),
            media: None,
            at_ms: Some(1_760_000_000_000),
        }],
        media_contents: Vec::new(),
        contents: Vec::new(),
        session_name: "acme_1".into(),
        session_id: "s".into(),
        user_id: "u".into(),
        agent_knows_user: false,
        user: json!({"phone_number": "+1"}),
        quoted: None,
        reply_url: None,
    }
}
