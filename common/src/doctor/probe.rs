//! Asks whatever answers HTTP: whether it is there, what it says of itself, and how late it is.

use std::{error::Error as _, io, time::Duration};

use chrono::DateTime;
use http::header::DATE;
use reqwest::{Client, redirect::Policy};
use url::Url;

use super::{Finding, clock};
use crate::queue::now_ms;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(6);
/// How long it may take until a connection stands.
const CONNECT: Duration = Duration::from_secs(4);

/// Asks. No key is ever sent, and no body is read.
#[derive(Clone, Debug)]
pub struct Probe(Client);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The HTTP status.
    pub status: u16,
    /// What is to be said of the server's clock, where it shows one.
    pub clock: Option<Finding>,
}

/// Why there is none, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The machine is there, and nothing listens.
    #[error("the connection was refused")]
    Refused,
    /// Nothing within the time.
    #[error("no answer in time")]
    TooLate,
    /// The name is unknown, or no way leads there, or the certificate is not trusted.
    #[error("no connection could be made")]
    NoWay,
    /// It began and broke.
    #[error("the connection broke")]
    Broke,
    /// The address is no URL.
    #[error("the address cannot be used")]
    Unusable,
}

impl Probe {
    /// Without redirects: where an address leads is said, not followed.
    ///
    /// # Errors
    /// When the TLS provider cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let agent = concat!("omnihub/", env!("CARGO_PKG_VERSION"), " doctor");
        let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).timeout(TIMEOUT);
        Ok(Self(client.user_agent(agent).build()?))
    }

    /// GET of a path under a base URL. `whose` clock it is stands in the finding about it.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn get(&self, base: &str, path: &[&str], whose: &str) -> Result<Seen, Silence> {
        let mut url = Url::parse(base.trim()).map_err(|_| Silence::Unusable)?;
        url.path_segments_mut().map_err(|()| Silence::Unusable)?.pop_if_empty().extend(path);
        let asked = now_ms();
        let answer = self.0.get(url).send().await.map_err(|error| silence(&error))?;
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let clock = date.map(|date| clock::compare(whose, date.timestamp_millis(), 1_000, asked, now_ms()));
        Ok(Seen { status: answer.status().as_u16(), clock })
    }
}

fn silence(error: &reqwest::Error) -> Silence {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return Silence::Refused;
        }
        cause = error.source();
    }
    match () {
        () if error.is_timeout() => Silence::TooLate,
        () if error.is_connect() => Silence::NoWay,
        () => Silence::Broke,
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::{super::Verdict, *};

    #[tokio::test]
    async fn who_answers_is_seen_and_who_does_not_is_told_apart() {
        crate::process::install_tls();
        let probe = Probe::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/base/", listener.local_addr().unwrap());
        let late = get(async || ([(DATE, "Sun, 06 Nov 1994 08:49:37 GMT")], "late"));
        let routes = Router::new().route("/base/health", get(async || "ok")).route("/base/late", late);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let seen = probe.get(&base, &["health"], "the agent").await.unwrap();
        assert_eq!((seen.status, seen.clock.map(|clock| clock.verdict)), (200, Some(Verdict::Ok)));
        assert_eq!(probe.get(&base, &["nothing"], "the agent").await.unwrap().status, 404);
        let late = probe.get(&base, &["late"], "the agent").await.unwrap().clock.unwrap();
        assert!(late.verdict == Verdict::Problem && late.says.contains("behind the hub's"), "{late:?}");
        server.abort();
        let _ended = server.await;
        assert_eq!(probe.get(&base, &["health"], "the agent").await, Err(Silence::Refused));
        assert_eq!(probe.get("mailto:a@b", &["health"], "").await, Err(Silence::Unusable));
    }
}
