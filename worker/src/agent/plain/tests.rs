//! Against a server that does what each test says, byte by byte.

use std::io::Write;

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use url::Url;

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Reads an answer out of pieces of this size, the connection ending behind them.
fn read(bytes: &[u8], piece: usize) -> Result<(u16, Vec<u8>, bool), Failure> {
    let mut reading = Reading::default();
    for piece in bytes.chunks(piece) {
        reading.unread.extend_from_slice(piece);
        reading.advance()?;
    }
    reading.close()?;
    reading.end().map(|(answer, kept)| (answer.status, answer.bytes, kept))
}

/// The same in one piece and byte by byte, which must not differ.
fn both(bytes: &[u8]) -> Result<(u16, Vec<u8>, bool), Failure> {
    let (whole, bitwise) = (read(bytes, usize::MAX), read(bytes, 1));
    assert_eq!(whole, bitwise, "{}", String::from_utf8_lossy(bytes));
    whole
}

#[test]
fn an_answer_ends_where_its_head_says() {
    for (bytes, status, body, kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, "hi", true),
        ("HTTP/1.1 200\r\nContent-Length: 2, 2\r\n\r\nhi", 200, "hi", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more", 200, "hi", false),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", 500, "", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nhi", 200, "hi", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, "hi", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: Keep-Alive\r\n\r\nhi", 200, "hi", true),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\na: b\r\n\r\nHTTP/1.1 204 \r\n\r\n", 204, "", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n2;x=y\r\ni!\r\n0\r\n\r\n", 200, "hi!", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\na\r\n0123456789\r\n0\r\nt: 1\r\n\r\n",
            200,
            "0123456789",
            true,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n0\r\n\r\n", 200, "", false),
    ] {
        assert_eq!(both(bytes.as_bytes()), Ok((status, body.as_bytes().to_vec(), kept)), "{bytes}");
    }
}

#[test]
fn an_answer_that_is_cut_or_contradicts_itself_is_none() {
    for bytes in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        "SSH-2.0-server\r\n",
    ] {
        assert_eq!(both(bytes.as_bytes()), Err(Failure::Broken), "{bytes}");
    }
}

#[test]
fn what_is_too_large_is_not_read() {
    let rest = |size: usize| [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; size]].concat();
    assert_eq!(read(&rest(1024 * 1024), 4096).unwrap().1.len(), 1024 * 1024);
    assert_eq!(read(&rest(1024 * 1024 + 1), 4096), Err(Failure::TooLarge(200)));
    let head = [b"HTTP/1.1 200 OK\r\na: ".to_vec(), vec![b'x'; 70_000]].concat();
    assert_eq!(read(&head, 4096), Err(Failure::Broken));
    let many = "a: b\r\n".repeat(101);
    assert_eq!(read(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes(), 4096), Err(Failure::Broken));
}

#[test]
fn a_compressed_answer_is_unpacked_within_the_same_bound() {
    let packed = |size: usize| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b'x'; size]).unwrap();
        let body = packer.finish().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body].concat()
    };
    assert_eq!(both(&packed(5)), Ok((200, b"xxxxx".to_vec(), true)));
    assert_eq!(read(&packed(2 * 1024 * 1024), 4096), Err(Failure::TooLarge(200)));
    let broken = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nxyz";
    assert_eq!(both(broken), Err(Failure::Broken));
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api?a=b", listener.local_addr().unwrap());
    (listener, url)
}

fn call(url: &str) -> Call {
    let headers = HeaderMap::from_iter([(http::header::RANGE, HeaderValue::from_static("some"))]);
    Call::new(url, headers, &json!({"a": 1}), Duration::from_secs(20)).unwrap()
}

async fn post(plain: &Plain, call: Call) -> Result<Answer, Failure> {
    let target = call.url.as_str().parse().unwrap();
    plain.post(target, call).await
}

/// What arrives of a question, up to the end of its body.
async fn asked(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"{\"a\":1}") {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "{}", String::from_utf8_lossy(&bytes));
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn calls_that_follow_each_other_share_a_connection_as_long_as_it_lives() {
    let (listener, url) = listener().await;
    let host = Url::parse(&url).unwrap().authority().to_owned();
    let server: JoinHandle<()> = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let question = asked(&mut first).await;
            assert!(question.starts_with(&format!("POST /api?a=b HTTP/1.1\r\nhost: {host}\r\n")), "{question}");
            assert!(question.contains("\r\ncontent-length: 7\r\n") && question.contains("\r\nrange: some\r\n"));
            first.write_all(OK).await.unwrap();
        }
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        asked(&mut second).await;
        second.write_all(OK).await.unwrap();
    });
    let plain = Plain::start();
    for _ in 0..2 {
        assert_eq!(post(&plain, call(&url)).await.unwrap().bytes, b"hi");
    }
    let authority = url.parse::<Uri>().unwrap().authority().cloned().unwrap();
    // The end of the first connection has come when it is not given any more.
    while let Some(stream) = plain.idle.take(&authority) {
        plain.idle.keep(authority.clone(), stream);
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&plain, call(&url)).await.unwrap().bytes, b"hi");
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_counts_although_the_question_is_not_wanted_to_its_end() {
    let (listener, url) = listener().await;
    let question = Value::String("x".repeat(16 * 1024 * 1024));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Large\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // Nothing is read, and the connection stays.
        stream
    });
    let plain = Plain::start();
    let large = Call::new(&url, HeaderMap::new(), &question, Duration::from_secs(20)).unwrap();
    let answer = post(&plain, large).await.unwrap();
    assert_eq!((answer.status, answer.retry_after), (413, Some(Duration::from_secs(7))));
    let authority = url.parse::<Uri>().unwrap().authority().cloned().unwrap();
    assert!(plain.idle.take(&authority).is_none(), "a connection with half a question is not used again");
    drop(server.await.unwrap());
}

#[tokio::test]
async fn each_way_to_fail_has_its_name() {
    let (listener, url) = listener().await;
    let plain = Plain::start();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        drop(stream);
        let (hanging, _) = listener.accept().await.unwrap();
        (listener, hanging)
    });
    assert_eq!(post(&plain, call(&url)).await.unwrap_err(), Failure::Broken);
    let hasty = Call { timeout: Duration::from_millis(50), ..call(&url) };
    assert_eq!(post(&plain, hasty).await.unwrap_err(), Failure::Late);
    drop(server.await.unwrap());
    assert_eq!(post(&plain, call(&url)).await.unwrap_err(), Failure::Unreachable);
}

#[tokio::test]
async fn an_agent_may_live_at_an_ipv6_address() {
    // A machine without IPv6 has no such agents.
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        stream.write_all(OK).await.unwrap();
    });
    assert_eq!(post(&Plain::start(), call(&url)).await.unwrap().bytes, b"hi");
    server.await.unwrap();
}
