//! Evolution's admin API: the life of an account there.
//!
//! [`Servers`] gives accounts; [`EvolutionAdmin`] is one as its owner sees it; `read` knows what Evolution answers,
//! `error` why it did not do it. `book` reads the account's contacts and chats out of answers of any length, which
//! `elements` takes apart, `history` the messages that it has kept,
//! and `profile` is what people see of it. Every call is bounded in time and size.
//!
//! What is absent: no call is repeated, no order of calls is decided and nothing is stored here.
//! Source: Evolution API 2.3.6. Its oddities that matter: an unknown instance is 404 even without
//! a key; `connect` and `restart` answer 200 to their own failures; the query of a URL overwrites the
//! instance of its path, so only `fetchInstances` has one.

mod book;
mod elements;
mod error;
mod history;
mod profile;
mod read;

use std::{fmt, time::Duration};

use reqwest::{Client, Method, RequestBuilder, redirect::Policy};
use serde_json::{Value, json};

pub use self::{
    book::{Chat, Contact},
    error::AdminError,
    history::Stretch,
    profile::Profile,
    read::{Account, Connecting, Connection, Pairing, WebhookRow},
};
use super::{
    answer::{self, Answer},
    outbound::Evolution,
};
use crate::secret::Secret;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The same where Evolution itself waits for a QR code, two seconds and more.
const SLOW: Duration = Duration::from_secs(12);
/// The same where it asks WhatsApp several times, or has a long list to give.
const PATIENT: Duration = Duration::from_secs(18);
/// How long it may take until a connection stands.
const CONNECT: Duration = Duration::from_secs(4);
/// Bytes of an answer; a QR code's picture has some 20 KB.
const MAX_ANSWER: usize = 512 * 1024;
/// Bytes of a list of all instances: some 2 KB each.
const MAX_LIST: usize = 32 * 1024 * 1024;

/// The settings that an account gets when the hub takes it on: groups reach the hub, which decides
/// itself whom it answers; the status feed and the history do not.
const SETTINGS: [(&str, bool); 6] = [
    ("rejectCall", false),
    ("groupsIgnore", false),
    ("alwaysOnline", false),
    ("readMessages", true),
    ("readStatus", false),
    ("syncFullHistory", false),
];

/// Calls Evolution servers, and keeps connections to them.
#[derive(Clone, Debug)]
pub struct Servers(Client);

impl Servers {
    /// Without redirects: a redirected call would carry keys elsewhere.
    ///
    /// # Errors
    /// When the TLS provider cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let agent = concat!("omnihub/", env!("CARGO_PKG_VERSION"));
        Ok(Self(Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).user_agent(agent).build()?))
    }

    /// An account: the server's base URL, a key, and the account's name there.
    ///
    /// # Errors
    /// [`AdminError::Misconfigured`] when the URL or the key cannot be used.
    pub fn account(&self, url: &str, key: &Secret, whatsapp_instance: &str) -> Result<EvolutionAdmin, AdminError> {
        Ok(EvolutionAdmin(Evolution::new(self.0.clone(), url, key, whatsapp_instance)?))
    }
}

/// Which instances to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The one of this name.
    Name(&'a str),
    /// The one with Evolution's id.
    Id(&'a str),
    /// All that the key may see.
    All,
}

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewAccount<'a> {
    /// The key that it shall have.
    pub token: &'a Secret,
    /// Its webhook from the first moment on.
    pub webhook: Option<&'a WebhookRow>,
    /// The digits of the phone that it is meant for; Evolution keeps them beside it.
    pub number: Option<&'a str>,
}

/// One account on an Evolution server, with a key that may look after it.
#[derive(Clone)]
pub struct EvolutionAdmin(Evolution);

impl EvolutionAdmin {
    /// The instances that the server shows to this key. One that is not there is an empty list, also
    /// where Evolution says 404; so nothing is said of the key then.
    ///
    /// # Errors
    /// Why Evolution did not tell.
    pub async fn accounts(&self, wanted: Wanted<'_>) -> Result<Vec<Account>, AdminError> {
        let mut url = self.0.at(&["instance", "fetchInstances"]);
        match wanted {
            Wanted::Name(name) => drop(url.query_pairs_mut().append_pair("instanceName", name)),
            Wanted::Id(id) => drop(url.query_pairs_mut().append_pair("instanceId", id)),
            Wanted::All => {}
        }
        let limit = if wanted == Wanted::All { MAX_LIST } else { MAX_ANSWER };
        let body = match self.ask(self.0.client().get(url), TIMEOUT, limit).await {
            Err(AdminError::NotFound) => return Ok(Vec::new()),
            body => body?,
        };
        let mut accounts = read::accounts(&body).ok_or(AdminError::Unreadable)?;
        // With an instance's own key some versions answer that instance, whatever was asked for.
        accounts.retain(|account| match wanted {
            Wanted::Name(name) => account.name == name,
            Wanted::Id(id) => account.id.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(id)),
            Wanted::All => true,
        });
        Ok(accounts)
    }

    /// Makes the account, not connected yet, and gives its own key.
    ///
    /// # Errors
    /// [`AdminError::Forbidden`] when the name is in use, [`AdminError::KeyRefused`] when the key may
    /// not make accounts, or another reason.
    pub async fn create(&self, new: &NewAccount<'_>) -> Result<Secret, AdminError> {
        let mut body = json!({
            "instanceName": self.0.instance(),
            "integration": "WHATSAPP-BAILEYS",
            "token": new.token.expose(),
            // With a QR code it would connect before it has its webhook, and not read its settings again.
            "qrcode": false,
        });
        for (name, value) in SETTINGS {
            body[name] = value.into();
        }
        if let Some(number) = new.number {
            body["number"] = number.into();
        }
        if let Some(webhook) = new.webhook {
            body["webhook"] = webhook.body()["webhook"].clone();
            // This route takes it for granted, and does not know the word.
            if let Some(webhook) = body["webhook"].as_object_mut() {
                webhook.remove("enabled");
            }
        }
        let request = self.0.client().post(self.0.at(&["instance", "create"])).json(&body);
        let made = self.ask(request, SLOW, MAX_ANSWER).await?;
        Ok(read::token(&made).unwrap_or_else(|| new.token.clone()))
    }

    /// Gives it the settings that the hub needs.
    ///
    /// # Errors
    /// Why Evolution did not do it.
    pub async fn set_settings(&self) -> Result<(), AdminError> {
        let body: serde_json::Map<String, Value> =
            SETTINGS.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        self.ask(self.on(Method::POST, ["settings", "set"]).json(&body), TIMEOUT, MAX_ANSWER).await.map(drop)
    }

    /// Its webhook, if it has one.
    ///
    /// # Errors
    /// Why Evolution did not tell.
    pub async fn webhook(&self) -> Result<Option<WebhookRow>, AdminError> {
        let found = self.ask(self.on(Method::GET, ["webhook", "find"]), TIMEOUT, MAX_ANSWER).await?;
        Ok(read::webhook(&found))
    }

    /// Sets its webhook. Whether files come inside is read again only when it connects.
    ///
    /// # Errors
    /// Why Evolution did not do it.
    pub async fn set_webhook(&self, webhook: &WebhookRow) -> Result<(), AdminError> {
        let request = self.on(Method::POST, ["webhook", "set"]).json(&webhook.body());
        self.ask(request, TIMEOUT, MAX_ANSWER).await.map(drop)
    }

    /// How it is connected.
    ///
    /// # Errors
    /// Why Evolution did not tell.
    pub async fn connection(&self) -> Result<Connection, AdminError> {
        let told = self.ask(self.on(Method::GET, ["instance", "connectionState"]), TIMEOUT, MAX_ANSWER).await?;
        read::connection(&told).ok_or(AdminError::Unreadable)
    }

    /// Begins to connect, and gives what is to be scanned. With the digits of the phone that is to be
    /// paired there is also a code to type in there; Evolution gives one only where no connection is
    /// under way.
    ///
    /// # Errors
    /// Why Evolution did not answer; that it could not begin is [`Connecting::Failed`].
    pub async fn connect(&self, number: Option<&str>) -> Result<Connecting, AdminError> {
        let request = self.on(Method::GET, ["instance", "connect"]).query(&number.map(|number| [("number", number)]));
        let told = self.ask(request, SLOW, MAX_ANSWER).await?;
        Ok(read::connecting(&told))
    }

    /// Connects it anew; `false` when it was not connected, so that there was nothing to do.
    ///
    /// # Errors
    /// Why Evolution did not answer.
    pub async fn restart(&self) -> Result<bool, AdminError> {
        let told = self.ask(self.on(Method::POST, ["instance", "restart"]), SLOW, MAX_ANSWER).await?;
        Ok(!read::is_error(&told))
    }

    /// Unpairs the phone; `false` when it was not paired. Evolution says 400 to that, as to
    /// everything that fails there.
    ///
    /// # Errors
    /// Why Evolution did not do it.
    pub async fn log_out(&self) -> Result<bool, AdminError> {
        match self.ask(self.on(Method::DELETE, ["instance", "logout"]), SLOW, MAX_ANSWER).await {
            Ok(_) => Ok(true),
            Err(error @ (AdminError::Refused { status: 400, .. } | AdminError::Failing { status: 400, .. })) => {
                match self.connection().await {
                    Ok(Connection::Close) => Ok(false),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes it from the server; `false` when it was not there. Evolution cleans up later: its name
    /// may stay in use for a while.
    ///
    /// # Errors
    /// Why Evolution did not do it.
    pub async fn remove(&self) -> Result<bool, AdminError> {
        match self.ask(self.on(Method::DELETE, ["instance", "delete"]), SLOW, MAX_ANSWER).await {
            Ok(_) => Ok(true),
            Err(AdminError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A request about this account.
    fn on(&self, method: Method, [room, verb]: [&str; 2]) -> RequestBuilder {
        self.0.client().request(method, self.0.at(&[room, verb, self.0.instance()]))
    }

    /// The body of a 2xx.
    async fn ask(&self, request: RequestBuilder, timeout: Duration, limit: usize) -> Result<Value, AdminError> {
        let answer = self.accepted(self.0.call(request.timeout(timeout), limit).await?)?;
        answer.body.ok_or(AdminError::Unreadable)
    }

    /// Passes a 2xx on; of anything else the words, without the key.
    fn accepted(&self, mut answer: Answer) -> Result<Answer, AdminError> {
        if !(200..300).contains(&answer.status)
            && let Some(body) = &mut answer.body
        {
            answer::hide(body, self.0.key().expose());
        }
        Ok(answer::accepted(answer)?)
    }
}

impl fmt::Debug for EvolutionAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
