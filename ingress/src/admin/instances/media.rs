//! The fields of what becomes of files.

use omnihub_common::{
    instance::{Instance, MediaDelivery, MediaPatch, MediaSettings},
    secret::MayRefer,
};

use super::body::url;
use crate::{admin::fields::Fields, evolution::EvolutionDesk};

/// Every field that can be changed.
pub(super) fn patch(fields: &mut Fields, current: Option<&MediaSettings>, may: &MayRefer) -> MediaPatch {
    let key = current.and_then(|media| media.transcript.api_key.as_ref());
    let language = fields.text("transcript_language").check(fields, "transcript_language", |word| {
        let known = (2..=3).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
        known.then_some(word).ok_or("must be a language as ISO 639-1 writes it, as pt or en")
    });
    let delivery = fields.text("media_delivery").check(fields, "media_delivery", |word| {
        let words = MediaDelivery::ALL.map(MediaDelivery::as_str).join(", ");
        MediaDelivery::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    MediaPatch {
        transcript_api_url: url(fields, "transcript_api_url").clearable(),
        transcript_api_key: fields.secret("transcript_api_key", key, may).clearable(),
        transcript_model: fields.text("transcript_model").clearable(),
        transcript_language: language.clearable(),
        delivery: delivery.or_default(MediaDelivery::default()),
    }
}

/// A remark where agents are to get links and nobody has said how they reach the hub.
pub(super) fn out_of_reach(evolution: &EvolutionDesk, instance: &Instance) -> Option<String> {
    let is_lost = instance.media.delivery == MediaDelivery::Url && !evolution.has_public_url();
    is_lost
        .then(|| "OMNIHUB_PUBLIC_URL is not set: files are given in base64 as long as media_delivery is url".to_owned())
}

/// What becomes of the files of an instance that is made.
pub(super) fn new(patch: MediaPatch) -> MediaSettings {
    let mut settings = MediaSettings::default();
    patch.apply(&mut settings);
    settings
}
