//! Calls over HTTP/1.1 that hold next to nothing while they wait: the bytes of the question are
//! gone once they are written, and a buffer is made when the answer comes.
//!
//! The connector is hyper's (names, IPv6 beside IPv4), the head of an answer is read by hyper's
//! parser. What is absent: encryption, proxies, redirects, questions or answers in pieces.

mod idle;
mod reading;
#[cfg(test)]
mod tests;

use std::{
    io::{self, ErrorKind},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tower::ServiceExt;

use super::{
    answer::{Answer, Failure},
    client::Call,
    stream::Ear,
};
use crate::outbound::{CONNECT, USER_AGENT};
use idle::Idle;
use reading::Reading;

/// A peer that has gone without a word is found out: silence for so long, then so often.
const PROBE: (Duration, u32) = (Duration::from_secs(15), 3);
/// What was sent is confirmed by the peer's machine within this time.
#[cfg(target_os = "linux")]
const UNCONFIRMED: Duration = Duration::from_secs(30);
/// Room for an answer as it comes in.
const ROOM: usize = 8 * 1024;

/// Makes plain calls, and keeps their connections.
#[derive(Debug)]
pub(super) struct Plain {
    connector: HttpConnector,
    idle: Arc<Idle>,
}

impl Plain {
    /// Starts without connections.
    pub(super) fn start() -> Arc<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(PROBE.0));
        connector.set_keepalive_interval(Some(PROBE.0));
        connector.set_keepalive_retries(Some(PROBE.1));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(UNCONFIRMED));
        let idle = Arc::new(Idle::default());
        tokio::spawn(Idle::sweep(Arc::downgrade(&idle)));
        Arc::new(Self { connector, idle })
    }

    /// Sends a call and reads the whole answer, within the call's time.
    pub(super) fn post(
        &self,
        target: Uri,
        call: Call,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + use<'_> {
        let question = Question { bytes: written(&target, &call), _seat: call.seat };
        let exchange = self.exchange(question, target, call.ear);
        timeout(call.timeout, exchange).map(|ended| ended.unwrap_or(Err(Failure::Late)))
    }

    async fn exchange(&self, request: Question, target: Uri, ear: Option<Ear>) -> Result<Answer, Failure> {
        let host = target.authority().cloned().ok_or(Failure::Unusable)?;
        let stream = match self.idle.take(&host) {
            Some(stream) => stream,
            None => Box::pin(self.connect(target)).await?,
        };
        let (answer, kept) = talk(&stream, request, ear).await?;
        if kept {
            self.idle.keep(host, stream);
        }
        Ok(answer)
    }

    async fn connect(&self, target: Uri) -> Result<TcpStream, Failure> {
        let connecting = timeout(CONNECT, self.connector.clone().oneshot(target));
        match connecting.await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(_)) => Err(Failure::Unreachable),
            Err(_) => Err(Failure::Late),
        }
    }
}

/// The bytes of a call, and the room that its files have: both are gone once it is written.
struct Question {
    bytes: Vec<u8>,
    _seat: Option<OwnedSemaphorePermit>,
}

/// The bytes of a call.
fn written(target: &Uri, call: &Call) -> Vec<u8> {
    let host = target.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    // A compressed stream could only be read when it has ended.
    let coding = if call.ear.is_some() { "identity" } else { "gzip" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {USER_AGENT}\r\naccept: */*\r\n\
         accept-encoding: {coding}\r\ncontent-length: {}\r\n",
        call.body.len()
    );
    let mut bytes = head.into_bytes();
    for (name, value) in &call.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&call.body);
    bytes
}

/// Writes the question and reads the answer, and says whether the connection can be used again. An
/// answer may come before all of the question is written, or where the rest of it is not wanted.
async fn talk(stream: &TcpStream, request: Question, ear: Option<Ear>) -> Result<(Answer, bool), Failure> {
    let mut answering = pin!(receive(stream, ear));
    let (answered, whole) = tokio::select! {
        answered = &mut answering => (answered, false),
        sent = send(stream, request) => (answering.await, sent.is_ok()),
    };
    answered.map(|(answer, kept)| (answer, kept && whole))
}

async fn send(stream: &TcpStream, question: Question) -> io::Result<()> {
    let mut rest = &question.bytes[..];
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn receive(stream: &TcpStream, ear: Option<Ear>) -> Result<(Answer, bool), Failure> {
    let mut reading = Reading::of(ear);
    loop {
        stream.readable().await.map_err(|_| Failure::Broken)?;
        reading.unread.reserve(ROOM);
        match stream.try_read_buf(&mut reading.unread) {
            Ok(0) => {
                reading.close()?;
                return reading.end();
            }
            Ok(_) if reading.advance()? => return reading.end(),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Failure::Broken),
        }
        if reading.is_untouched() {
            // A false alarm, and the wait goes on.
            reading.unread = Vec::new();
        }
    }
}
