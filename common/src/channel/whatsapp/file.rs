//! The file of a message, asked of Evolution: for one that no webhook brought.
//!
//! Source: Evolution API 2.3.6, `/chat/getBase64FromMediaMessage`: it finds the message by its key,
//! fetches the file from WhatsApp (once more after 5 s) and answers it as base64, with 201.

use std::{borrow::Cow, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    bounds::{ID, LINE, field},
    outbound::Evolution,
    wire,
};

/// How long Evolution may take: it fetches the file while it is asked.
const PATIENCE: Duration = Duration::from_secs(25);

/// What an answer holds beside the file, in bytes; a caption has at most so many.
const BESIDE: u64 = 1024 * 1024;

/// What Evolution knows a message by.
#[derive(Clone, Debug, PartialEq)]
pub struct FileKey(Value);

impl FileKey {
    /// Of the `data` object of a message; none where it has no id.
    #[must_use]
    pub fn of(data: &Value) -> Option<Self> {
        let key = &data["key"];
        let mut named = json!({"id": field(key, "id", LINE)?, "fromMe": wire::from_me(data)});
        for name in ["remoteJid", "participant"] {
            if let Some(id) = field(key, name, ID) {
                named[name] = id.into();
            }
        }
        Some(Self(named))
    }
}

/// Why there is no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It has more bytes than were asked for.
    #[error("it is larger than Evolution said")]
    TooLarge,
    /// Evolution does not have it, or does not give it to us.
    #[error("Evolution answered with status {0}")]
    Refused(u16),
    /// Evolution did not answer, or not to the end.
    #[error("Evolution did not answer")]
    Away,
    /// The answer holds no file.
    #[error("Evolution's answer holds no file")]
    Unreadable,
}

impl FileError {
    /// Whether the same may go well a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Away => true,
            Self::Refused(status) => matches!(status, 408 | 429 | 500..),
            Self::TooLarge | Self::Unreadable => false,
        }
    }
}

#[derive(Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    base64: Cow<'a, str>,
}

impl Evolution {
    /// The file of a message, of at most so many bytes.
    ///
    /// # Errors
    /// When there is none to be had; see [`FileError::may_pass`].
    pub async fn file(&self, key: &FileKey, most: u64) -> Result<Vec<u8>, FileError> {
        let url = self.at(&["chat", "getBase64FromMediaMessage", self.instance()]);
        let body = json!({"message": {"key": key.0}, "convertToMp4": false});
        let request = self.client().post(url).timeout(PATIENCE).json(&body);
        let mut response = self.answered(request).await.map_err(|_| FileError::Away)?;
        let status = response.status();
        if !status.is_success() {
            return Err(FileError::Refused(status.as_u16()));
        }
        let limit = most.saturating_add(BESIDE).saturating_mul(4) / 3;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| FileError::Away)? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(FileError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        let kept: Kept<'_> = serde_json::from_slice(&bytes).map_err(|_| FileError::Unreadable)?;
        let file = STANDARD.decode(kept.base64.trim()).map_err(|_| FileError::Unreadable)?;
        match file.len() as u64 {
            0 => Err(FileError::Unreadable),
            size if size > most => Err(FileError::TooLarge),
            _ => Ok(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::Path, http::StatusCode};
    use tokio::net::TcpListener;

    use super::*;
    use crate::secret::Secret;

    /// A server that answers this to every such call.
    async fn account(status: u16, answer: Value) -> Evolution {
        let served = move |Path(name): Path<String>, Json(body): Json<Value>| async move {
            assert_eq!(name, "acme");
            assert_eq!(body["message"]["key"]["id"], "3EB0");
            (StatusCode::from_u16(status).expect("a status"), Json(answer))
        };
        let route = axum::routing::post(served);
        let app = Router::new().route("/chat/getBase64FromMediaMessage/{instance}", route);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Evolution::new(reqwest::Client::new(), &url, &Secret::new("k"), "acme").expect("an account")
    }

    fn key() -> FileKey {
        FileKey::of(&json!({"key": {"id": "3EB0", "remoteJid": "1@s.whatsapp.net", "more": 1}})).expect("a key")
    }

    #[test]
    fn a_key_says_what_evolution_knows_the_message_by() {
        let known = json!({"id": "3EB0", "fromMe": false, "remoteJid": "1@s.whatsapp.net"});
        assert_eq!(key().0, known);
        assert_eq!(FileKey::of(&json!({"key": {"remoteJid": "1@s.whatsapp.net"}})), None);
    }

    #[tokio::test]
    async fn a_file_is_read_and_bounded() {
        let evolution = account(201, json!({"mimetype": "image/jpeg", "base64": "aGVsbG8="})).await;
        assert_eq!(evolution.file(&key(), 5).await, Ok(b"hello".to_vec()));
        assert_eq!(evolution.file(&key(), 4).await, Err(FileError::TooLarge));
        let huge = account(201, json!({"base64": "a".repeat(3 * 1024 * 1024)})).await;
        assert_eq!(huge.file(&key(), 1024).await, Err(FileError::TooLarge), "it is not read to its end");
    }

    #[tokio::test]
    async fn what_is_no_file_is_told_apart() {
        for (status, answer, error, passes) in [
            (400, json!({"response": {"message": ["Message not found"]}}), FileError::Refused(400), false),
            (503, json!({}), FileError::Refused(503), true),
            (201, json!({"base64": null}), FileError::Unreadable, false),
            (201, json!({"base64": ""}), FileError::Unreadable, false),
            (201, json!({"base64": "?"}), FileError::Unreadable, false),
        ] {
            assert_eq!(account(status, answer).await.file(&key(), 100).await, Err(error.clone()));
            assert_eq!(error.may_pass(), passes, "{error}");
        }
        let nobody = Evolution::new(reqwest::Client::new(), "http://127.0.0.1:1", &Secret::new("k"), "acme");
        assert_eq!(nobody.expect("an account").file(&key(), 1).await, Err(FileError::Away));
    }
}
