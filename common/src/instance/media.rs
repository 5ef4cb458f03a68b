//! What becomes of the files that people send, before the agent is asked.

use super::patch::{change_secret, put};
use crate::secret::Secret;

/// How agents get the files of a question (`media_delivery`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaDelivery {
    /// In the question itself.
    #[default]
    Base64,
    /// As a link to the hub, where the agent's protocol has a place for one.
    Url,
}

impl MediaDelivery {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Base64, Self::Url];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Url => "url",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|delivery| delivery.as_str() == word)
    }
}

/// What becomes of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaSettings {
    /// Who writes down what is said in voice messages; unset = nobody.
    pub transcript: TranscriptSettings,
    /// How agents get them.
    pub delivery: MediaDelivery,
}

/// An OpenAI-compatible server that writes down what is said (`POST .../v1/audio/transcriptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranscriptSettings {
    /// The base URL; unset = nothing is written down, whatever else is set.
    pub api_url: Option<String>,
    /// The key, sent as `Authorization: Bearer`; a server of one's own may need none.
    pub api_key: Option<Secret>,
    /// The model; unset = [`TranscriptSettings::DEFAULT_MODEL`].
    pub model: Option<String>,
    /// The language that is spoken, as ISO 639-1 writes it; unset = the server finds out.
    pub language: Option<String>,
}

impl TranscriptSettings {
    /// The model that such servers know.
    pub const DEFAULT_MODEL: &str = "whisper-1";

    /// The model to name in a call.
    #[must_use]
    pub fn effective_model(&self) -> &str {
        self.model.as_deref().unwrap_or(Self::DEFAULT_MODEL)
    }
}

/// A change of [`MediaSettings`]; `None` keeps, `Some(None)` empties.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `MediaSettings`, described there")]
pub struct MediaPatch {
    pub transcript_api_url: Option<Option<String>>,
    pub transcript_api_key: Option<Option<Secret>>,
    pub transcript_model: Option<Option<String>>,
    pub transcript_language: Option<Option<String>>,
    pub delivery: Option<MediaDelivery>,
}

impl MediaPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut MediaSettings) {
        let transcript = &mut settings.transcript;
        put(&mut transcript.api_url, self.transcript_api_url);
        change_secret(&mut transcript.api_key, self.transcript_api_key);
        put(&mut transcript.model, self.transcript_model);
        put(&mut transcript.language, self.transcript_language);
        put(&mut settings.delivery, self.delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays_and_a_mask_keeps_the_key() {
        let mut settings = MediaSettings::default();
        let url = Some(Some("http://stt.test".to_owned()));
        let given =
            |key: &str| MediaPatch { transcript_api_key: Some(Some(Secret::new(key))), ..MediaPatch::default() };
        MediaPatch { transcript_api_url: url, ..given("planted-key-1234") }.apply(&mut settings);
        given("****1234").apply(&mut settings);
        let transcript = &settings.transcript;
        assert_eq!(transcript.api_key.as_ref().map(Secret::expose), Some("planted-key-1234"));
        assert_eq!(
            (transcript.api_url.as_deref(), transcript.effective_model()),
            (Some("http://stt.test"), "whisper-1")
        );
        let model = Some(Some("whisper-large-v3".to_owned()));
        MediaPatch { transcript_api_key: Some(None), transcript_model: model, ..MediaPatch::default() }
            .apply(&mut settings);
        let transcript = &settings.transcript;
        assert_eq!((&transcript.api_key, transcript.effective_model()), (&None, "whisper-large-v3"));
    }
}
