//! The JSON column `channel_settings`: what only one channel has, its secrets encrypted.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AccountWatch, ChannelSettings, DiscordSettings, SlackSettings, WhatsappSettings, repository::TABLE};
use crate::{
    channel::ChannelType,
    secret::{Keyring, Place, SealError, Secret},
};

/// The secrets in the column: the JSON key of each, and the field that it is encrypted for.
const SEALED: [(&str, &str); 6] = [
    ("evolution_key", "evolution_key"),
    ("webhook_secret", "webhook_secret"),
    ("webhook_secret_previous", "webhook_secret_previous"),
    ("bot_token", "discord_bot_token"),
    ("slack_bot_token", "slack_bot_token"),
    ("slack_signing_secret", "slack_signing_secret"),
];

/// Why the column cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChannelSettingsError {
    /// A secret in it does not open.
    #[error("secret `{field}` cannot be read")]
    Secret {
        /// The field.
        field: &'static str,
        /// Why.
        #[source]
        source: SealError,
    },
    /// It does not have the fields of its channel.
    #[error("the channel's settings are not in the form of this version")]
    Form(#[source] serde_json::Error),
    /// The row names a channel that this version does not know.
    #[error("this version has no such channel")]
    Channel,
}

/// WhatsApp's part. `whatsapp_instance` is a column of its own.
#[derive(Serialize, Deserialize)]
struct StoredWhatsapp {
    evolution_url: String,
    evolution_key: String,
    webhook_base64: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_secret_previous: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    #[serde(default = "catch_up_minutes")]
    catch_up_minutes: u32,
    #[serde(default)]
    restart_when_silent: bool,
}

/// Of rows from before there was a choice.
fn catch_up_minutes() -> u32 {
    AccountWatch::default().catch_up_minutes
}

/// Discord's part.
#[derive(Serialize, Deserialize)]
struct StoredDiscord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bot_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guild_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_channel_id: Option<String>,
}

/// Slack's part; the names of its secrets are its own, so that each names one field in [`SEALED`].
#[derive(Serialize, Deserialize)]
struct StoredSlack {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack_bot_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack_signing_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace_id: Option<String>,
}

/// Encrypts and decrypts the secrets of one row.
pub(super) struct RowSeal<'a> {
    /// The ring.
    pub(super) keyring: &'a Keyring,
    /// The row's id.
    pub(super) id: i64,
}

impl RowSeal<'_> {
    fn place(&self, field: &'static str) -> Place {
        Place { instance: self.id, table: TABLE, row: self.id, field }
    }

    /// Encrypts a field's secret.
    pub(super) fn encrypt(&self, field: &'static str, secret: &Secret) -> Result<String, ChannelSettingsError> {
        let kept = Secret::new(secret.stored().as_str());
        self.keyring.encrypt(self.place(field), &kept).map_err(|source| ChannelSettingsError::Secret { field, source })
    }

    /// Decrypts a field's secret.
    pub(super) fn decrypt(&self, field: &'static str, text: &str) -> Result<Secret, ChannelSettingsError> {
        let kept = self.keyring.decrypt(self.place(field), text);
        let kept = kept.map_err(|source| ChannelSettingsError::Secret { field, source })?;
        Ok(Secret::read(kept.expose()))
    }

    fn encrypt_some(
        &self,
        field: &'static str,
        secret: Option<&Secret>,
    ) -> Result<Option<String>, ChannelSettingsError> {
        secret.map(|secret| self.encrypt(field, secret)).transpose()
    }

    fn decrypt_some(&self, field: &'static str, text: Option<&str>) -> Result<Option<Secret>, ChannelSettingsError> {
        text.map(|text| self.decrypt(field, text)).transpose()
    }
}

/// The column's value.
pub(super) fn write(channel: &ChannelSettings, seal: &RowSeal<'_>) -> Result<Value, ChannelSettingsError> {
    let value = match channel {
        ChannelSettings::Whatsapp(settings) => serde_json::to_value(StoredWhatsapp {
            evolution_url: settings.evolution_url.clone(),
            evolution_key: seal.encrypt("evolution_key", &settings.evolution_key)?,
            webhook_base64: settings.webhook_base64,
            webhook_secret: seal.encrypt_some("webhook_secret", settings.webhook_secret.as_ref())?,
            webhook_secret_previous: seal
                .encrypt_some("webhook_secret_previous", settings.webhook_secret_previous.as_ref())?,
            webhook_url: settings.webhook_url.clone(),
            catch_up_minutes: settings.watch.catch_up_minutes,
            restart_when_silent: settings.watch.restart_when_silent,
        }),
        ChannelSettings::Discord(settings) => serde_json::to_value(StoredDiscord {
            bot_token: seal.encrypt_some("discord_bot_token", settings.bot_token.as_ref())?,
            client_id: settings.client_id.clone(),
            guild_id: settings.guild_id.clone(),
            default_channel_id: settings.default_channel_id.clone(),
        }),
        ChannelSettings::Slack(settings) => serde_json::to_value(StoredSlack {
            slack_bot_token: seal.encrypt_some("slack_bot_token", settings.bot_token.as_ref())?,
            slack_signing_secret: seal.encrypt_some("slack_signing_secret", settings.signing_secret.as_ref())?,
            workspace_id: settings.workspace_id.clone(),
        }),
    };
    value.map_err(ChannelSettingsError::Form)
}

/// The encrypted secrets in the column, each with the field that it is encrypted for.
pub(super) fn sealed(column: &Value) -> impl Iterator<Item = (&'static str, &str)> {
    SEALED.into_iter().filter_map(|(key, field)| Some((field, column.get(key)?.as_str()?)))
}

/// Puts an encrypted secret in the place of the one that is encrypted for the same field.
pub(super) fn put_sealed(column: &mut Value, field: &str, text: &str) {
    let found = SEALED.into_iter().find(|(_, known)| *known == field).and_then(|(key, _)| column.get_mut(key));
    if let Some(found) = found {
        *found = text.into();
    }
}

/// Reads the column back. `whatsapp_instance` is the row's own column; a row without one means
/// that Evolution knows the instance by our `name`.
pub(super) fn read(
    channel_type: &str,
    whatsapp_instance: &str,
    value: Value,
    seal: &RowSeal<'_>,
) -> Result<ChannelSettings, ChannelSettingsError> {
    match ChannelType::parse(channel_type) {
        Some(ChannelType::Whatsapp) => {
            let stored: StoredWhatsapp = serde_json::from_value(value).map_err(ChannelSettingsError::Form)?;
            Ok(ChannelSettings::Whatsapp(WhatsappSettings {
                evolution_url: stored.evolution_url,
                evolution_key: seal.decrypt("evolution_key", &stored.evolution_key)?,
                whatsapp_instance: whatsapp_instance.to_owned(),
                webhook_base64: stored.webhook_base64,
                webhook_secret: seal.decrypt_some("webhook_secret", stored.webhook_secret.as_deref())?,
                webhook_secret_previous: seal
                    .decrypt_some("webhook_secret_previous", stored.webhook_secret_previous.as_deref())?,
                webhook_url: stored.webhook_url,
                watch: AccountWatch {
                    catch_up_minutes: stored.catch_up_minutes,
                    restart_when_silent: stored.restart_when_silent,
                },
            }))
        }
        Some(ChannelType::Discord) => {
            let stored: StoredDiscord = serde_json::from_value(value).map_err(ChannelSettingsError::Form)?;
            Ok(ChannelSettings::Discord(DiscordSettings {
                bot_token: seal.decrypt_some("discord_bot_token", stored.bot_token.as_deref())?,
                client_id: stored.client_id,
                guild_id: stored.guild_id,
                default_channel_id: stored.default_channel_id,
            }))
        }
        Some(ChannelType::Slack) => {
            let stored: StoredSlack = serde_json::from_value(value).map_err(ChannelSettingsError::Form)?;
            Ok(ChannelSettings::Slack(SlackSettings {
                bot_token: seal.decrypt_some("slack_bot_token", stored.slack_bot_token.as_deref())?,
                signing_secret: seal.decrypt_some("slack_signing_secret", stored.slack_signing_secret.as_deref())?,
                workspace_id: stored.workspace_id,
            }))
        }
        None => Err(ChannelSettingsError::Channel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_of_a_channel_is_named() {
        let secret = || Some(Secret::new("planted-secret"));
        let whatsapp = WhatsappSettings {
            evolution_url: "http://evolution.test".to_owned(),
            evolution_key: Secret::new("planted-secret"),
            whatsapp_instance: "wa".to_owned(),
            webhook_base64: true,
            webhook_secret: secret(),
            webhook_secret_previous: secret(),
            webhook_url: None,
            watch: AccountWatch::default(),
        };
        let discord =
            DiscordSettings { bot_token: secret(), client_id: None, guild_id: None, default_channel_id: None };
        let slack = SlackSettings { bot_token: secret(), signing_secret: secret(), workspace_id: None };
        let (keyring, newer) = (Keyring::generate(), Keyring::generate());
        let channels = [
            ("whatsapp", ChannelSettings::Whatsapp(whatsapp)),
            ("discord", ChannelSettings::Discord(discord)),
            ("slack", ChannelSettings::Slack(slack)),
        ];
        for (word, channel) in channels {
            let mut column = write(&channel, &RowSeal { keyring: &keyring, id: 1 }).unwrap();
            let texts = column.as_object().unwrap().values().filter_map(Value::as_str);
            let encrypted = texts.filter(|text| text.starts_with("v1.")).count();
            let named: Vec<(&str, String)> = sealed(&column).map(|(field, text)| (field, text.to_owned())).collect();
            assert_eq!(named.len(), encrypted, "{channel:?}");
            for (field, text) in named {
                let place = Place { instance: 1, table: TABLE, row: 1, field };
                let again = newer.encrypt(place, &keyring.decrypt(place, &text).unwrap()).unwrap();
                put_sealed(&mut column, field, &again);
            }
            read(word, "wa", column, &RowSeal { keyring: &newer, id: 1 }).unwrap();
        }
    }
}
