//! Vault's key-value store, version 2, as far as a reader needs it: `GET /v1/{mount}/data/{path}`.
//!
//! The token may lie in a file, which an agent of Vault renews: it is read for each question.

use std::{fmt, fs, path::PathBuf, time::Duration};

use reqwest::{Client, Response, StatusCode, Url, header::HeaderValue, redirect::Policy};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Secret, Trouble};
use crate::config::{ConfigError, Settings};

/// The settings, by the names that Vault's own tools use.
const ADDRESS: &str = "VAULT_ADDR";
const TOKEN: &str = "VAULT_TOKEN";
const TOKEN_FILE: &str = "VAULT_TOKEN_FILE";
const NAMESPACE: &str = "VAULT_NAMESPACE";
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A larger answer is none of Vault's: it keeps at most 1 MiB for a secret.
const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// Where the token is.
enum Token {
    Here(Secret),
    File(PathBuf),
}

/// A Vault to ask.
pub(super) struct Vault {
    client: Client,
    address: Url,
    token: Token,
    namespace: Option<String>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address.origin().ascii_serialization())
    }
}

/// An answer with a secret. One that was deleted has metadata and no data, with status 404.
#[derive(Deserialize)]
struct Answer {
    data: Version,
}

/// A version of a secret.
#[derive(Deserialize)]
struct Version {
    data: Option<Map<String, Value>>,
}

impl Vault {
    /// As the settings have it; `None` when none is set.
    pub(super) fn load(settings: &dyn Settings) -> Result<Option<Self>, ConfigError> {
        let Some(address) = settings.get(ADDRESS) else { return Ok(None) };
        let address = Url::parse(address.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let address = address
            .filter(Url::has_host)
            .ok_or_else(|| ConfigError::bad(ADDRESS, "expected a URL that begins with http:// or https://"))?;
        let token = match (settings.get(TOKEN), settings.get(TOKEN_FILE)) {
            (Some(token), _) => Token::Here(Secret::new(token.trim())),
            (None, Some(file)) => Token::File(file.trim().into()),
            (None, None) => {
                let remedy = format!("{ADDRESS} is set: set {TOKEN}, or {TOKEN_FILE} to the file that an agent renews");
                return Err(ConfigError::Missing { name: TOKEN, remedy });
            }
        };
        // A redirect would carry the token to another server.
        let client = Client::builder().redirect(Policy::none()).timeout(TIMEOUT).build();
        let client = client.map_err(|_| ConfigError::bad(ADDRESS, "no HTTP client can be made for it"))?;
        let namespace = settings.get(NAMESPACE).map(|namespace| namespace.trim().to_owned());
        Ok(Some(Self { client, address, token, namespace }))
    }

    /// A field of the newest version of a secret.
    pub(super) async fn read(&self, mount: &str, path: &str, key: &str) -> Result<Zeroizing<String>, Trouble> {
        let unusable = |_| Trouble::Refused("the token of Vault cannot be sent in a header".to_owned());
        let mut token = HeaderValue::from_str(self.token()?.expose()).map_err(unusable)?;
        token.set_sensitive(true);
        let mut request = self.client.get(self.url(mount, path)).header("X-Vault-Request", "true");
        request = request.header("X-Vault-Token", token);
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        // The error could show the URL, which is no secret, and nothing else.
        let unreachable =
            |error: reqwest::Error| Trouble::Away(format!("Vault does not answer: {}", error.without_url()));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status));
        }
        field(&body(response).await?, key)
    }

    fn url(&self, mount: &str, path: &str) -> Url {
        let mut url = self.address.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", mount, "data"]).extend(path.split('/'));
        }
        url
    }

    fn token(&self) -> Result<Secret, Trouble> {
        match &self.token {
            Token::Here(token) => Ok(token.clone()),
            Token::File(path) => {
                let text = fs::read_to_string(path);
                let unread = |error: std::io::Error| {
                    Trouble::Away(format!("the file of {TOKEN_FILE} cannot be read: {}", error.kind()))
                };
                Ok(Secret::new(text.map(Zeroizing::new).map_err(unread)?.trim()))
            }
        }
    }
}

async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let broken = |_| Trouble::Away("Vault's answer ended too soon".to_owned());
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Trouble::Refused("Vault's answer is too large".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an answer without a secret means. Vault says 404 of what is not there, of what was deleted
/// and of a mount that is none, and 403 of a token that it does not know or that may not.
fn refusal(status: StatusCode) -> Trouble {
    match status {
        StatusCode::FORBIDDEN => Trouble::Refused("Vault does not allow it (403): the token or its policy".to_owned()),
        StatusCode::NOT_FOUND => Trouble::Refused(
            "Vault has no such secret in a key-value store of version 2 (404), or it was deleted".to_owned(),
        ),
        // Sealed, starting, standing by, behind, or limiting its callers.
        StatusCode::PRECONDITION_FAILED | StatusCode::TOO_MANY_REQUESTS => {
            Trouble::Away(format!("Vault answers {}", status.as_u16()))
        }
        status if status.is_server_error() => {
            Trouble::Away(format!("Vault answers {}: it may be sealed", status.as_u16()))
        }
        status => Trouble::Refused(format!("Vault answers {}", status.as_u16())),
    }
}

fn field(body: &[u8], key: &str) -> Result<Zeroizing<String>, Trouble> {
    let strange = |_| Trouble::Refused("the answer is not that of a key-value store of version 2".to_owned());
    let answer: Answer = serde_json::from_slice(body).map_err(strange)?;
    let deleted = || Trouble::Refused("the secret was deleted".to_owned());
    match answer.data.data.ok_or_else(deleted)?.remove(key) {
        Some(Value::String(value)) => Ok(Zeroizing::new(value)),
        Some(_) => Err(Trouble::Refused("the field is not a text".to_owned())),
        None => Err(Trouble::Refused("the secret has no such field".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(body: &str, key: &str) -> String {
        match field(body.as_bytes(), key) {
            Err(Trouble::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_field_is_taken_out_of_the_newest_version() {
        let answer = r#"{"request_id": "1", "lease_duration": 0, "data": {"data": {"key": "planted", "n": 1},
                         "metadata": {"version": 3, "destroyed": false}}, "auth": null}"#;
        assert_eq!(field(answer.as_bytes(), "key").unwrap().as_str(), "planted");
        assert_eq!(trouble(answer, "other"), "the secret has no such field");
        assert_eq!(trouble(answer, "n"), "the field is not a text");
        let deleted = r#"{"data": {"data": null, "metadata": {"deletion_time": "2026-01-01T00:00:00Z"}}}"#;
        assert_eq!(trouble(deleted, "key"), "the secret was deleted");
        for other in ["{}", r#"{"data": {"key": "planted"}}"#, "<html>"] {
            assert!(!trouble(other, "key").contains("planted"), "{other}");
        }
    }

    #[test]
    fn who_is_away_is_told_from_who_refuses() {
        for away in [412, 429, 500, 502, 503] {
            assert!(matches!(refusal(StatusCode::from_u16(away).unwrap()), Trouble::Away(_)), "{away}");
        }
        for refused in [301, 307, 400, 403, 404, 405] {
            assert!(matches!(refusal(StatusCode::from_u16(refused).unwrap()), Trouble::Refused(_)), "{refused}");
        }
    }
}
