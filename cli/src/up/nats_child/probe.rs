//! Asking a port whether our nats-server answers there.

use std::{io, net::Ipv4Addr, time::Duration};

use omnihub_common::secret::Secret;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::binary::Version;

/// How long one answer may take; on loopback it takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// The part of `INFO` that is read. Source: NATS client protocol.
#[derive(Deserialize)]
struct Info {
    version: String,
}

/// Logs in with our token and waits for the answer: the server's version.
///
/// nats-server opens the port after JetStream has read its store, so an answer means ready.
///
/// # Errors
/// `ConnectionRefused` when nobody listens, `PermissionDenied` when it is not ours, `TimedOut`.
pub(super) async fn probe(port: u16, token: &Secret) -> io::Result<Version> {
    tokio::time::timeout(PATIENCE, log_in(port, token)).await?
}

async fn log_in(port: u16, token: &Secret) -> io::Result<Version> {
    let foreign = || io::Error::from(io::ErrorKind::PermissionDenied);
    let mut stream = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let info = line.strip_prefix("INFO ").ok_or_else(foreign)?;
    let version = serde_json::from_str::<Info>(info).ok().and_then(|info| Version::parse(&info.version));
    let version = version.ok_or_else(foreign)?;

    let login = serde_json::json!({ "verbose": false, "pedantic": false, "auth_token": token.expose() });
    stream.write_all(format!("CONNECT {login}\r\nPING\r\n").as_bytes()).await?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 || line.starts_with("-ERR") {
            return Err(foreign());
        }
        if line.starts_with("PONG") {
            return Ok(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that says its lines and then hangs up.
    async fn answers(lines: &'static str) -> io::Result<Version> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(lines.as_bytes()).await.unwrap();
            let mut login = String::new();
            let mut stream = BufReader::new(stream);
            while !login.contains("PING") && stream.read_line(&mut login).await.unwrap() > 0 {}
        };
        let token = Secret::new("t");
        tokio::join!(probe(port, &token), server).0
    }

    #[tokio::test]
    async fn only_a_server_that_takes_the_token_is_ours() {
        let version = answers("INFO {\"version\":\"2.15.1\",\"x\":1}\r\nPONG\r\n").await.unwrap();
        assert_eq!(version.to_string(), "2.15.1");
        for foreign in [
            "INFO {\"version\":\"2.15.1\"}\r\n-ERR 'Authorization Violation'\r\n",
            "INFO {}\r\nPONG\r\n",
            "HTTP/1.1 400\r\n",
        ] {
            assert_eq!(answers(foreign).await.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{foreign}");
        }
    }
}
