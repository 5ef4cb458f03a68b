//! The admin API as management commands call it. What a refusal means for who sits at a terminal is in
//! `remedy`.

mod remedy;

use std::{fs, io, time::Duration};

use omnihub_common::{
    config::{DataFolder, Settings},
    key::admin_key_file,
    secret::Secret,
};
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{HeaderMap, HeaderValue, RETRY_AFTER, WARNING},
    redirect::Policy,
};
use serde::Deserialize;
use serde_json::Value;

use crate::show;

/// Where a hub on this machine listens unless it is told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8882";
/// The settings that may hold the key, as the hub itself reads them.
const KEY_SETTINGS: [&str; 2] = ["OMNIHUB_API_KEY", "AUTOMAGIK_OMNI_API_KEY"];
/// The hub answers at once; more than this is a network that does not.
const TIMEOUT: Duration = Duration::from_secs(30);
/// For an answer without an end.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);
/// Where the answer of a list says that the next page begins.
const NEXT_CURSOR: &str = "x-next-cursor";

/// Why a call gave nothing. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// `OMNIHUB_URL` is no address of a hub.
    #[error("OMNIHUB_URL must be a URL that begins with http:// or https:// (default {DEFAULT_URL})")]
    Url,
    /// There is no key to show.
    #[error("no admin key: set OMNIHUB_API_KEY to the key that `omnihub up` showed on its first run{0}")]
    NoKey(String),
    /// The key is none that can be shown.
    #[error("the key in OMNIHUB_API_KEY holds a line break or another character that no key has: copy it again, whole")]
    Key,
    /// Nobody answers.
    #[error("no hub answers at {url}: start it with `omnihub up`, or set OMNIHUB_URL")]
    NotReachable {
        /// Where it was called.
        url: String,
        /// Why it did not answer.
        #[source]
        source: reqwest::Error,
    },
    /// Somebody is there and says nothing.
    #[error("the hub at {url} does not answer in time: look at its log and its load, then try again")]
    Silent {
        /// Where it was called.
        url: String,
    },
    /// The hub does not take the key.
    #[error(
        "the hub at {url} does not take this key: set OMNIHUB_API_KEY to one that it has; the first stands in the file \
         admin.key of its data folder, and others end when they expire or are revoked"
    )]
    Unauthorized {
        /// Where it was called.
        url: String,
    },
    /// The hub says what is wrong.
    #[error("{detail}{}{}", lines(.fields), .remedy.iter().map(|words| format!("\n  {words}")).collect::<String>())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What is wrong.
        detail: String,
        /// The fields that are wrong, each with why.
        fields: Vec<(String, String)>,
        /// What to do.
        remedy: Option<String>,
    },
    /// What answers is not a hub.
    #[error("what answers at {url} with status {status} is not a hub: check OMNIHUB_URL")]
    NotAHub {
        /// Where it was called.
        url: String,
        /// The HTTP status.
        status: u16,
    },
}

/// Fields that are wrong, a line each.
fn lines(fields: &[(String, String)]) -> String {
    fields.iter().map(|(field, message)| format!("\n  {field}: {message}")).collect()
}

/// What the hub says of an error (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<WrongField>,
}

#[derive(Deserialize)]
struct WrongField {
    field: String,
    message: String,
}

/// A hub to call, and the key to show it.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: Url,
    key: Secret,
}

impl Api {
    /// The hub at `OMNIHUB_URL` with the key in `OMNIHUB_API_KEY`; for a hub on this machine the
    /// key may also lie in the data folder, where the hub put it when it made one.
    ///
    /// # Errors
    /// When the URL is none, or there is no key.
    pub fn load(settings: &dyn Settings, data: &DataFolder) -> Result<Self, ApiError> {
        let text = settings.get("OMNIHUB_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
        let base = Url::parse(text.trim()).map_err(|_| ApiError::Url)?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(ApiError::Url);
        }
        let key = match KEY_SETTINGS.iter().find_map(|name| settings.get(name)) {
            Some(key) => Secret::new(key.trim()),
            None if is_this_machine(&base) => key_in_file(data)?,
            None => return Err(ApiError::NoKey(String::new())),
        };
        if HeaderValue::from_str(key.expose()).is_err() {
            return Err(ApiError::Key);
        }
        Self::new(base, key)
    }

    /// The hub at an address.
    ///
    /// # Errors
    /// When no HTTP client can be made for it.
    pub fn new(base: Url, key: Secret) -> Result<Self, ApiError> {
        let client = Client::builder().redirect(Policy::none()).timeout(TIMEOUT).build();
        let client = client.map_err(|source| ApiError::NotReachable { url: base.to_string(), source })?;
        Ok(Self { client, base, key })
    }

    /// Calls `/api/v1/` and the segments of a path, and gives the answer's JSON.
    ///
    /// # Errors
    /// When the hub is not reachable or refuses.
    pub async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        Ok(self.send(method, path, query, body).await?.1)
    }

    /// Gets a page of a list, and the `cursor` of the next one; none when this is the last.
    ///
    /// # Errors
    /// When the hub is not reachable or refuses.
    pub async fn page(&self, path: &[&str], query: &[(&str, String)]) -> Result<(Value, Option<String>), ApiError> {
        let (headers, found) = self.send(Method::GET, path, query, None).await?;
        let next = headers.get(NEXT_CURSOR).and_then(|cursor| cursor.to_str().ok());
        Ok((found, next.map(str::to_owned)))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<(HeaderMap, Value), ApiError> {
        let mut request = self.client.request(method, self.url(path)).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.deliver(request).await?;
        if is_empty(&answer.1)
            && let Some((_, instance)) = query.iter().find(|(name, _)| *name == "instance_name")
        {
            self.must_know(instance).await?;
        }
        Ok(answer)
    }

    /// Nothing was found of an instance: that there is none of this name is another thing.
    async fn must_know(&self, instance: &str) -> Result<(), ApiError> {
        let asked = self.deliver(self.client.get(self.url(&["instances", instance]))).await;
        match asked {
            Err(unknown @ ApiError::Refused { status: 404, .. }) => Err(unknown),
            _ => Ok(()),
        }
    }

    /// A POST that is done once for each `key`, and answered within this time.
    ///
    /// # Errors
    /// When the hub is not reachable or refuses.
    pub async fn post_once(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: &Value,
        key: Option<&str>,
        patience: Duration,
    ) -> Result<Value, ApiError> {
        let mut request = self.client.post(self.url(path)).query(query).json(body).timeout(patience);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Ok(self.deliver(request).await?.1)
    }

    /// Posts a file as it is, and gives the answer's JSON.
    ///
    /// # Errors
    /// When the hub is not reachable or refuses.
    pub async fn upload(&self, path: &[&str], query: &[(&str, String)], file: Vec<u8>) -> Result<Value, ApiError> {
        Ok(self.deliver(self.client.post(self.url(path)).query(query).body(file)).await?.1)
    }

    async fn deliver(&self, request: RequestBuilder) -> Result<(HeaderMap, Value), ApiError> {
        let request = request.header("x-api-key", self.key.expose());
        let response = request.send().await.map_err(|error| self.unanswered(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| self.unanswered(error))?;
        let read = self.read(status, &headers, &body)?;
        for warning in headers.get_all(WARNING).iter().filter_map(warned) {
            show::note(warning);
        }
        Ok((headers, read))
    }

    /// Nobody is there, or nobody who answers.
    fn unanswered(&self, error: reqwest::Error) -> ApiError {
        if error.is_timeout() && !error.is_connect() {
            return ApiError::Silent { url: self.shown() };
        }
        ApiError::NotReachable { url: self.shown(), source: error.without_url() }
    }

    /// Opens an answer that goes on for as long as both sides like; the caller bounds its silence.
    ///
    /// # Errors
    /// When the hub is not reachable or refuses.
    pub async fn open(&self, path: &[&str], query: &[(&str, String)]) -> Result<Response, ApiError> {
        let request = self.client.get(self.url(path)).query(query).header("x-api-key", self.key.expose());
        let sent = tokio::time::timeout(TIMEOUT, request.timeout(FOR_EVER).send()).await;
        let response = match sent {
            Ok(sent) => sent.map_err(|error| self.unanswered(error))?,
            Err(_) => return Err(ApiError::Silent { url: self.shown() }),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unanswered(error))?;
        self.read(status, &headers, &body)?;
        Err(ApiError::NotAHub { url: self.shown(), status: status.as_u16() })
    }

    fn read(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
        let not_a_hub = || ApiError::NotAHub { url: self.shown(), status: status.as_u16() };
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|_| not_a_hub());
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(ApiError::Unauthorized { url: self.shown() });
        }
        let problem: Problem = serde_json::from_slice(body).map_err(|_| not_a_hub())?;
        let Problem { code, detail, errors } = problem;
        // What the detail has named already is not said twice.
        let unsaid = |error: &WrongField| !detail.contains(&format!("{}: {}", error.field, error.message));
        let fields = errors.into_iter().filter(unsaid).map(|error| (error.field, error.message)).collect();
        let wait = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        let remedy = remedy::remedy(status.as_u16(), &code, wait);
        Err(ApiError::Refused { status: status.as_u16(), detail, fields, remedy })
    }

    /// The path under the base, each segment escaped.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    /// Whether the hub is on this machine.
    #[must_use]
    pub fn is_here(&self) -> bool {
        is_this_machine(&self.base)
    }

    /// The address without anything secret that may stand in it.
    #[must_use]
    pub fn shown(&self) -> String {
        self.base.origin().ascii_serialization()
    }
}

/// What a `Warning` header says (RFC 7234, section 5.5: code, agent and a quoted text).
fn warned(header: &HeaderValue) -> Option<&str> {
    let (_, quoted) = header.to_str().ok()?.split_once('"')?;
    quoted.rsplit_once('"').map(|(text, _)| text)
}

/// Whether an answer is a list, or a page of one, with nothing in it.
fn is_empty(answer: &Value) -> bool {
    let lists = ["items", "dead_letters"].into_iter().filter_map(|field| answer[field].as_array());
    answer.as_array().into_iter().chain(lists).any(Vec::is_empty)
}

/// Whether the hub is on this machine: the key file is shown to nobody else.
fn is_this_machine(base: &Url) -> bool {
    match base.host_str().unwrap_or_default().trim_matches(['[', ']']) {
        "localhost" => true,
        host => host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback()),
    }
}

fn key_in_file(data: &DataFolder) -> Result<Secret, ApiError> {
    let path = admin_key_file(data);
    match fs::read_to_string(&path) {
        Ok(key) if !key.trim().is_empty() => Ok(Secret::new(key.trim())),
        Ok(_) => Err(ApiError::NoKey(format!(" (the file {} is empty)", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ApiError::NoKey(format!(", or call from the folder where the hub keeps {}", path.display())))
        }
        Err(error) => Err(ApiError::NoKey(format!(" (the file {} cannot be read: {error})", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn load(pairs: &[(&str, &str)], data: &DataFolder) -> Result<Api, ApiError> {
        let settings: HashMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Api::load(&settings, data)
    }

    #[test]
    fn the_key_file_is_for_this_machine_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().to_owned());
        assert!(matches!(load(&[], &data), Err(ApiError::NoKey(_))));
        fs::write(admin_key_file(&data), "from-file\n").unwrap();
        assert_eq!(load(&[], &data).unwrap().key.expose(), "from-file");
        for here in ["http://localhost:1", "http://[::1]:1", "http://127.0.0.2"] {
            assert!(load(&[("OMNIHUB_URL", here)], &data).is_ok(), "{here}");
        }
        for away in ["http://hub.test", "http://127.0.0.1.test"] {
            assert!(matches!(load(&[("OMNIHUB_URL", away)], &data), Err(ApiError::NoKey(_))), "{away}");
        }
        let set = [("OMNIHUB_URL", "http://hub.test"), ("OMNIHUB_API_KEY", " set ")];
        assert_eq!(load(&set, &data).unwrap().key.expose(), "set");
        assert!(matches!(load(&[("OMNIHUB_API_KEY", "half\nof-it")], &data), Err(ApiError::Key)));
        assert!(matches!(load(&[("OMNIHUB_URL", "hub.test:80")], &data), Err(ApiError::Url)));
    }

    #[test]
    fn a_warning_is_shown_as_its_text() {
        let said = |text: &'static str| warned(&HeaderValue::from_static(text)).map(str::to_owned);
        assert_eq!(said("299 omnihub \"unknown fields were ignored: a\"").unwrap(), "unknown fields were ignored: a");
        assert_eq!(said("299 omnihub"), None);
    }

    #[test]
    fn nothing_found_is_told_from_something() {
        use serde_json::json;
        for nothing in [json!([]), json!({"items": []}), json!({"dead_letters": [], "total": 0})] {
            assert!(is_empty(&nothing), "{nothing}");
        }
        for something in [json!([1]), json!({"items": [1]}), json!({"success_rate": null}), json!(null)] {
            assert!(!is_empty(&something), "{something}");
        }
    }

    #[test]
    fn paths_are_escaped_and_errors_readable() {
        let api = Api::new("http://u:planted@hub.test/base/".parse().unwrap(), Secret::new("planted")).unwrap();
        assert_eq!(api.url(&["instances", "a/b?"]).path(), "/base/api/v1/instances/a%2Fb%3F");
        let read = |status, body: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
            api.read(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
        };
        let wrong = r#"{"detail": "Not valid.", "errors": [{"field": "name", "message": "is required"}]}"#;
        let wrong = read(422, wrong).unwrap_err().to_string();
        assert!(wrong.starts_with("Not valid.\n  name: is required\n  Correct what is named"), "{wrong}");
        let away = r#"{"code": "database_unavailable", "detail": "It is away."}"#;
        assert_eq!(
            read(503, away).unwrap_err().to_string(),
            "It is away.\n  Try again in 7 s. `omnihub doctor` says what is away."
        );
        assert!(matches!(read(401, ""), Err(ApiError::Unauthorized { .. })));
        for (status, body) in [(200, "<html>"), (404, "nginx"), (302, "")] {
            let error = read(status, body).unwrap_err();
            assert!(matches!(error, ApiError::NotAHub { .. }) && !error.to_string().contains("planted"), "{error}");
        }
    }
}
