//! The client for agents: thousands of calls wait at once, so a call that waits must be small.
//!
//! An agent at `http://`, where most live (beside the hub), is called by [`Plain`]: while it takes
//! its time the call holds a socket and some words about it, nothing else. A general client holds
//! buffers from the moment it connects: hyper 8 KB to read, 8 KB to write and 9 KB for a queue of
//! requests, reqwest 13 KB of layers above (by a heap profile). Only the first can be set smaller, and
//! would then bound the head of an answer; another allocator made no difference.
//!
//! Everything else goes over the worker's shared client: `https://`, where it may speak HTTP/2 (all
//! calls of a host over one connection), and whatever the environment sends through a proxy.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Uri, header};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Body;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::{
    answer::{Answer, Failure},
    plain::Plain,
    stream::Ear,
};

/// A question on its way: a body to post.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// From the first byte to the last one of the answer.
    pub(super) timeout: Duration,
    /// What is made of events that come in the place of an answer.
    pub(super) ear: Option<Ear>,
    /// The room in memory that its files have, until they are written.
    pub(super) seat: Option<OwnedSemaphorePermit>,
}

impl Call {
    /// A call with these headers and a JSON body; what every call has is added when it is sent.
    pub(super) fn new(url: &str, headers: HeaderMap, body: &Value, timeout: Duration) -> Result<Self, Failure> {
        let url = Url::parse(url).map_err(|_| Failure::Unusable)?;
        Ok(Self { url, headers, body: body.to_string().into_bytes(), timeout, ear: None, seat: None })
    }

    /// Where to, when that can be said in the plain way: not encrypted, no user in the URL.
    fn plain_target(&self) -> Option<Uri> {
        let plain = self.url.scheme() == "http" && self.url.username().is_empty() && self.url.password().is_none();
        plain.then(|| self.url.as_str().parse().ok()).flatten()
    }
}

/// Calls agents. A clone is the same client.
#[derive(Clone, Debug)]
pub struct Client {
    plain: Arc<Plain>,
    proxies: Arc<Matcher>,
    shared: reqwest::Client,
}

impl Client {
    /// A client; `shared` makes the calls that are not its own.
    pub(crate) fn new(shared: reqwest::Client) -> Self {
        Self { plain: Plain::start(), proxies: Arc::new(Matcher::from_system()), shared }
    }

    /// Sends a call and reads the whole answer, bounded in size and time, whatever its status. What
    /// waits is in a box of its own size, and holds of the call what is not written yet.
    pub(super) fn post(&self, call: Call) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + '_>> {
        match call.plain_target().filter(|target| self.proxies.intercept(target).is_none()) {
            Some(target) => Box::pin(self.plain.post(target, call)),
            None => Box::pin(through(&self.shared, call)),
        }
    }
}

/// A body whose room is given back when the client has dropped it.
struct Seated {
    bytes: Vec<u8>,
    _seat: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Seated {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sends a call with the shared client.
async fn through(client: &reqwest::Client, call: Call) -> Result<Answer, Failure> {
    let body = Body::from(Bytes::from_owner(Seated { bytes: call.body, _seat: call.seat }));
    let mut request = client.post(call.url).headers(call.headers).body(body).timeout(call.timeout);
    if call.ear.is_some() {
        request = request.header(header::ACCEPT_ENCODING, "identity");
    }
    let mut response = request.send().await?;
    let mut answer = Answer { status: response.status().as_u16(), ear: call.ear, ..Answer::default() };
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            answer.note(name.as_str(), value.as_bytes());
        }
    }
    while let Some(chunk) = response.chunk().await? {
        if answer.take(&chunk)? {
            break;
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{io::AsyncReadExt, net::TcpListener, sync::mpsc};

    use super::*;

    fn call(url: &str) -> Call {
        Call::new(url, HeaderMap::new(), &json!({"message": "Hello"}), Duration::from_secs(60)).unwrap()
    }

    fn client() -> Client {
        Client { proxies: Arc::new(Matcher::builder().build()), ..Client::new(crate::outbound::client().unwrap()) }
    }

    #[test]
    fn only_what_can_be_said_in_the_plain_way_is() {
        for (url, plain) in [
            ("http://agent.test:8000/api?a=b", Some("http://agent.test:8000/api?a=b")),
            ("http://[::1]:80/", Some("http://[::1]/")),
            ("https://agent.test/", None),
            ("http://user:word@agent.test/", None),
            ("ftp://agent.test/", None),
        ] {
            assert_eq!(call(url).plain_target().map(|target| target.to_string()).as_deref(), plain, "{url}");
        }
        assert_eq!(Call::new("not a url", HeaderMap::new(), &json!(1), Duration::ZERO).unwrap_err(), Failure::Unusable);
    }

    #[tokio::test]
    async fn a_call_goes_through_the_proxy_that_it_must_go_through() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let shared = reqwest::Client::builder().proxy(reqwest::Proxy::http(&proxy).unwrap()).build().unwrap();
        let proxies = Arc::new(Matcher::builder().http(proxy).no("agent.test").build());
        let client = Client { proxies, ..Client::new(shared) };
        let asking = tokio::spawn(async move { client.post(call("http://other.test/")).await });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut line = [0; 24];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"POST http://other.test/ ");
        asking.abort();
    }

    /// The memory of this process that belongs to no file.
    #[cfg(target_os = "linux")]
    fn memory() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_call_that_waits_is_small() {
        const CALLS: usize = 400;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (arrived, mut arrivals) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                arrived.send(stream).await.unwrap();
            }
        });
        let client = client();
        let ask = |client: Client| {
            let call = call(&url);
            tokio::spawn(async move { client.post(call).await })
        };
        let mut held = vec![(ask(client.clone()), arrivals.recv().await.unwrap())];
        let before = memory();
        for _ in 0..CALLS {
            held.push((ask(client.clone()), arrivals.recv().await.unwrap()));
        }
        let each = memory().saturating_sub(before) / CALLS;
        assert!(each < 8 * 1024, "{each} bytes");
        held.iter().for_each(|(asking, _)| asking.abort());
    }
}
