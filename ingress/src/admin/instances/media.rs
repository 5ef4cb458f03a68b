//! The fields of what becomes of files.

use omnihub_common::{
    instance::{MediaPatch, MediaSettings},
    secret::MayRefer,
};

use super::body::url;
use crate::admin::fields::Fields;

/// Every field that can be changed.
pub(super) fn patch(fields: &mut Fields, current: Option<&MediaSettings>, may: &MayRefer) -> MediaPatch {
    let key = current.and_then(|media| media.transcript.api_key.as_ref());
    let language = fields.text("transcript_language").check(fields, "transcript_language", |word| {
        let known = (2..=3).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
        known.then_some(word).ok_or("must be a language as ISO 639-1 writes it, as pt or en")
    });
    MediaPatch {
        transcript_api_url: url(fields, "transcript_api_url").clearable(),
        transcript_api_key: fields.secret("transcript_api_key", key, may).clearable(),
        transcript_model: fields.text("transcript_model").clearable(),
        transcript_language: language.clearable(),
    }
}

/// What becomes of the files of an instance that is made.
pub(super) fn new(patch: MediaPatch) -> MediaSettings {
    let mut settings = MediaSettings::default();
    patch.apply(&mut settings);
    settings
}
