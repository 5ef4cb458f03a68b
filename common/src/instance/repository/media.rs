//! The columns of what becomes of files.

use super::{super::entity::Model, error::RowError};
use crate::instance::{MediaDelivery, MediaSettings, TranscriptSettings, channel_settings::RowSeal};

/// What becomes of files, its secret decrypted.
pub(super) fn read(row: &Model, seal: &RowSeal<'_>) -> Result<MediaSettings, RowError> {
    Ok(MediaSettings {
        transcript: TranscriptSettings {
            api_url: row.transcript_api_url.clone(),
            api_key: seal.decrypt_some("transcript_api_key", row.transcript_api_key.as_deref())?,
            model: row.transcript_model.clone(),
            language: row.transcript_language.clone(),
        },
        delivery: MediaDelivery::parse(&row.media_delivery).ok_or(RowError::Column("media_delivery"))?,
    })
}
