//! Bringing an account on an Evolution server into the state that its instance wants.
//!
//! [`EvolutionDesk::look`] reads only; [`EvolutionDesk::settle`] makes or adopts the account and
//! registers the webhook, noting in a [`Progress`] what it changed; [`EvolutionDesk::undo`] takes that
//! back. Each may be done again: what is right already is left alone.

use omnihub_common::{
    channel::whatsapp::{
        admin::{Account, AdminError, Connection, EvolutionAdmin, NewAccount, Wanted, WebhookRow},
        registration::Registration,
    },
    instance::WhatsappSettings,
    key::Everyone,
    secret::Secret,
};
use uuid::Uuid;

use super::{EvolutionDesk, Trouble};

/// What a server knows of the account that an instance wants.
#[derive(Clone, Debug)]
pub struct Look {
    /// The account's name there; of an id the name that it stands for.
    pub name: String,
    /// The account's own key, also of one that is yet to be made.
    pub token: Secret,
    /// Whether the server has it.
    pub is_there: bool,
    /// The digits of the phone that one which is yet to be made is meant for.
    pub number: Option<String>,
    /// The key that may make it, first the likeliest.
    keys: Vec<Secret>,
}

/// What was changed on the server so far.
#[derive(Debug, Default)]
pub struct Progress {
    /// The account was made.
    made: bool,
    /// The webhook was replaced, and this is what was there.
    replaced: Option<Option<WebhookRow>>,
    /// The own key that Evolution chose in place of ours.
    pub token: Option<Secret>,
}

/// What registering the webhook came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// What was wrong with the webhook that was there; nothing when it was left alone.
    pub wrong: Vec<&'static str>,
    /// What did not work and does not matter enough to fail.
    pub warnings: Vec<String>,
}

impl EvolutionDesk {
    /// Looks for the account of an instance; for who may act on the whole hub also with the key of
    /// the settings, which opens every account there.
    ///
    /// # Errors
    /// When the server does not tell, or what it tells cannot be used.
    pub async fn look(&self, settings: &WhatsappSettings, whole_hub: Option<Everyone>) -> Result<Look, Trouble> {
        let slug = settings.whatsapp_instance.as_str();
        let mut keys = vec![Self::key(settings).clone()];
        let shared = whole_hub.and_then(|_| self.shared_key(settings)).filter(|key| !keys.contains(key));
        keys.extend(shared);
        let found = self.find(settings, &keys).await?;
        if let Some(account) = found {
            let token = account.token.ok_or(Trouble::TokenNotTold)?;
            return Ok(Look { name: account.name, token, is_there: true, number: None, keys });
        }
        if Uuid::parse_str(slug).is_ok() {
            return Err(Trouble::UnknownId);
        }
        let token = Secret::new(Uuid::new_v4().to_string().to_uppercase());
        Ok(Look { name: slug.to_owned(), token, is_there: false, number: None, keys })
    }

    /// The account of an instance as its server tells it to the instance's own key; none when the
    /// server has no such account.
    ///
    /// # Errors
    /// Why it was not told.
    pub async fn told(&self, settings: &WhatsappSettings) -> Result<Option<Account>, Trouble> {
        self.find(settings, &[Self::key(settings).clone()]).await
    }

    /// The account by its name, or by its id where `whatsapp_instance` is one, with the first key
    /// that is taken.
    async fn find(&self, settings: &WhatsappSettings, keys: &[Secret]) -> Result<Option<Account>, Trouble> {
        let failed = |error| Trouble::at("Looking for the instance")(error);
        let slug = settings.whatsapp_instance.as_str();
        let by_id = Uuid::parse_str(slug).is_ok().then_some(Wanted::Id(slug));
        // A key that is refused proves nothing about the instance.
        let mut told = false;
        for key in keys {
            let account = self.account_with(settings, key).map_err(failed)?;
            for wanted in [Some(Wanted::Name(slug)), by_id].into_iter().flatten() {
                match account.accounts(wanted).await {
                    Ok(found) if found.is_empty() => told = true,
                    Ok(found) => return Ok(found.into_iter().next()),
                    Err(AdminError::KeyRefused) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        if told { Ok(None) } else { Err(failed(AdminError::KeyRefused)) }
    }

    /// Makes the account if the server has none, and registers the webhook. `settings` hold the name
    /// and the key that [`Self::look`] found; an account that is `new_to_us` gets the settings that
    /// the hub needs.
    ///
    /// # Errors
    /// The step that did not work. What was done by then stands in `progress`.
    pub async fn settle(
        &self,
        settings: &WhatsappSettings,
        look: &Look,
        new_to_us: bool,
        progress: &mut Progress,
    ) -> Result<Registered, Trouble> {
        let mut settings = settings.clone();
        if !look.is_there {
            let token = self.make(&settings, look).await?;
            progress.made = true;
            if token != settings.evolution_key {
                settings.evolution_key = token.clone();
                progress.token = Some(token);
            }
        } else if new_to_us {
            let account = self.account(&settings).map_err(Trouble::at("Setting its settings"))?;
            account.set_settings().await.map_err(Trouble::at("Setting its settings"))?;
        }
        self.register(&settings, progress).await
    }

    /// Makes the account. An answer that got lost is made good by asking the account itself.
    async fn make(&self, settings: &WhatsappSettings, look: &Look) -> Result<Secret, Trouble> {
        let failed = Trouble::at("Making the instance");
        let webhook = registration(settings).map(|registration| registration.row());
        let new =
            NewAccount { token: &settings.evolution_key, webhook: webhook.as_ref(), number: look.number.as_deref() };
        let mut error = AdminError::KeyRefused;
        for key in &look.keys {
            let made = match self.account_with(settings, key) {
                Ok(account) => account.create(&new).await,
                Err(error) => Err(error),
            };
            match made {
                Ok(token) => return Ok(token),
                Err(refused @ AdminError::KeyRefused) => error = refused,
                Err(other) => {
                    error = other;
                    break;
                }
            }
        }
        if error.may_have_done()
            && let Ok(account) = self.account(settings)
            && account.connection().await.is_ok()
        {
            return Ok(settings.evolution_key.clone());
        }
        Err(failed(error))
    }

    /// What is wrong with the webhook that is there; nothing where it is not ours to look after.
    ///
    /// # Errors
    /// When Evolution does not tell.
    pub async fn wrong_with(&self, settings: &WhatsappSettings) -> Result<Vec<&'static str>, Trouble> {
        let Some(ours) = registration(settings) else { return Ok(Vec::new()) };
        let account = self.account(settings).map_err(Trouble::at("Reading the webhook"))?;
        let found = account.webhook().await.map_err(Trouble::at("Reading the webhook"))?;
        Ok(ours.wrong_with(found.as_ref()))
    }

    /// Puts the webhook right where it is wrong; without an address of ours it is left alone.
    ///
    /// # Errors
    /// The step that did not work.
    pub async fn register(&self, settings: &WhatsappSettings, progress: &mut Progress) -> Result<Registered, Trouble> {
        let Some(ours) = registration(settings) else { return Ok(Registered::default()) };
        let account = self.account(settings).map_err(Trouble::at("Reading the webhook"))?;
        let found = account.webhook().await.map_err(Trouble::at("Reading the webhook"))?;
        let wrong = ours.wrong_with(found.as_ref());
        let mut registered = Registered { wrong, warnings: Vec::new() };
        if registered.wrong.is_empty() {
            return Ok(registered);
        }
        let files_differ = found.as_ref().is_some_and(|found| found.base64) != ours.base64;
        progress.replaced = Some(found);
        account.set_webhook(&ours.row()).await.map_err(Trouble::at("Registering the webhook"))?;
        if files_differ {
            registered.warnings.extend(restart_if_connected(&account).await);
        }
        Ok(registered)
    }

    /// Takes back what was changed, as far as the server lets it; says what is left.
    pub async fn undo(&self, settings: &WhatsappSettings, progress: Progress) -> Option<&'static str> {
        let mut settings = settings.clone();
        settings.evolution_key = progress.token.unwrap_or(settings.evolution_key);
        let account = self.account(&settings).ok()?;
        if progress.made {
            let left = "The instance was made at Evolution and could not be removed there; another call adopts it.";
            return account.remove().await.is_err().then_some(left);
        }
        let before = progress.replaced?;
        let left = "The webhook at Evolution may have been changed and could not be put back.";
        let before = before.or_else(|| registration(&settings).map(off))?;
        account.set_webhook(&before).await.is_err().then_some(left)
    }

    /// Stops Evolution from posting to us; a webhook that is not ours is left alone. `true` when it
    /// posted.
    ///
    /// # Errors
    /// The step that did not work.
    pub async fn silence(&self, settings: &WhatsappSettings) -> Result<bool, Trouble> {
        let Some(ours) = registration(settings) else { return Ok(false) };
        let account = self.account(settings).map_err(Trouble::at("Reading the webhook"))?;
        let found = match account.webhook().await {
            Err(AdminError::NotFound) => None,
            found => found.map_err(Trouble::at("Reading the webhook"))?,
        };
        if !found.is_some_and(|found| found.enabled && found.url == ours.url) {
            return Ok(false);
        }
        account.set_webhook(&off(ours)).await.map_err(Trouble::at("Turning the webhook off"))?;
        Ok(true)
    }
}

/// The webhook that an instance wants; none when the hub does not look after it.
pub(super) fn registration(settings: &WhatsappSettings) -> Option<Registration> {
    let (url, secret) = (settings.webhook_url.clone()?, settings.webhook_secret.clone()?);
    Some(Registration { url, secret, base64: settings.webhook_base64 })
}

/// Our webhook, turned off and without its secret.
fn off(ours: Registration) -> WebhookRow {
    let mut row = ours.row();
    row.enabled = false;
    row.events.clear();
    row.headers.clear();
    row
}

/// Whether files come inside is read when the account connects; one that is not connected will.
async fn restart_if_connected(account: &EvolutionAdmin) -> Option<String> {
    let restarted = match account.connection().await {
        Ok(Connection::Open | Connection::Connecting) => account.restart().await.map(drop),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    let error = restarted.err()?;
    Some(format!("webhook_base64 takes effect when the account connects again, and it could not be restarted: {error}"))
}
