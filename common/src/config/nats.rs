//! `NATS_URL`: one server or several, with a login in the URL.

use async_nats::ConnectOptions;
use url::Url;

use super::{ConfigError, Settings};
use crate::secret::Secret;

/// The setting that names the servers.
const NAME: &str = "NATS_URL";

/// `NATS_URL`; user, password or token may stand in it.
///
/// Several servers of one cluster are separated by commas; the login of the first one that has
/// one counts for all.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    /// The URL.
    pub url: Secret,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsLogin {
    /// The server asks for nothing.
    Open,
    /// `nats://token@host`.
    Token(Secret),
    /// `nats://user:password@host`.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl NatsSettings {
    /// Reads `NATS_URL`, by default `nats://127.0.0.1:4222`.
    ///
    /// # Errors
    /// When a part of it is not a `nats://` or `tls://` URL.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let url = settings.get(NAME).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
        let settings = Self { url: Secret::new(url.trim()) };
        settings.parse()?;
        Ok(settings)
    }

    /// The servers, without any login: what `async_nats` dials.
    ///
    /// # Errors
    /// As [`NatsSettings::load`].
    pub fn servers(&self) -> Result<Vec<String>, ConfigError> {
        Ok(self.parse()?.0)
    }

    /// The login.
    ///
    /// # Errors
    /// As [`NatsSettings::load`].
    pub fn login(&self) -> Result<NatsLogin, ConfigError> {
        Ok(self.parse()?.1)
    }

    /// Connect options with the login set. Needed because `async_nats` (0.51) reads a URL's
    /// login and then does not send it.
    ///
    /// # Errors
    /// As [`NatsSettings::load`].
    pub fn connect_options(&self) -> Result<ConnectOptions, ConfigError> {
        Ok(match self.login()? {
            NatsLogin::Open => ConnectOptions::new(),
            NatsLogin::Token(token) => ConnectOptions::with_token(token.expose().to_owned()),
            NatsLogin::Password { user, password } => {
                ConnectOptions::with_user_and_password(user, password.expose().to_owned())
            }
        })
    }

    fn parse(&self) -> Result<(Vec<String>, NatsLogin), ConfigError> {
        let expected =
            || ConfigError::bad(NAME, "expected nats://host:port, with token@ or user:password@ before the host");
        let mut servers = Vec::new();
        let mut login = NatsLogin::Open;
        for part in self.url.expose().split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let part = if part.contains("://") { part.to_owned() } else { format!("nats://{part}") };
            let url = Url::parse(&part).map_err(|_| expected())?;
            let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(expected)?;
            if !matches!(url.scheme(), "nats" | "tls") {
                return Err(expected());
            }
            servers.push(format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(4222)));
            if login == NatsLogin::Open {
                login = read_login(&url);
            }
        }
        if servers.is_empty() { Err(expected()) } else { Ok((servers, login)) }
    }
}

fn read_login(url: &Url) -> NatsLogin {
    match (percent_decode(url.username()), url.password()) {
        (user, None) if user.is_empty() => NatsLogin::Open,
        (token, None) => NatsLogin::Token(Secret::new(token)),
        (user, Some(password)) => NatsLogin::Password { user, password: Secret::new(percent_decode(password)) },
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex::decode([*high, *low]).ok(),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.extend(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn parse(url: &str) -> (Vec<String>, NatsLogin) {
        NatsSettings { url: Secret::new(url) }.parse().unwrap()
    }

    #[test]
    fn servers_and_login_come_apart() {
        assert_eq!(parse("nats://a"), (vec!["nats://a:4222".to_owned()], NatsLogin::Open));
        assert_eq!(parse("nats://t%2Fk@a:1").1, NatsLogin::Token(Secret::new("t/k")));
        let (servers, login) = parse("a:1, tls://u:p%40ss@b:2,nats://[::1]:3");
        assert_eq!(servers, ["nats://a:1", "tls://b:2", "nats://[::1]:3"]);
        assert_eq!(login, NatsLogin::Password { user: "u".into(), password: Secret::new("p@ss") });
    }

    #[test]
    fn the_default_is_the_local_server() {
        let settings = NatsSettings::load(&HashMap::new()).unwrap();
        assert_eq!(settings.servers().unwrap(), ["nats://127.0.0.1:4222"]);
        assert!(settings.connect_options().is_ok());
    }

    #[test]
    fn a_refused_url_is_named_and_not_shown() {
        for url in ["http://planted@a", "nats://", "nats://planted@"] {
            let settings = HashMap::from([(NAME.to_owned(), url.to_owned())]);
            let error = NatsSettings::load(&settings).unwrap_err().to_string();
            assert!(error.contains(NAME) && !error.contains("planted"), "{error}");
        }
    }
}
