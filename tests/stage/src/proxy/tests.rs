//! The proxy on loopback, against a server that echoes.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::until;

const SOON: Duration = Duration::from_secs(10);

/// An echo server's port.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

async fn link() -> (Proxy, TcpStream) {
    let proxy = Proxy::to(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert_eq!(say(&mut stream, b"a").await, b"a");
    (proxy, stream)
}

async fn say(stream: &mut TcpStream, word: &[u8]) -> Vec<u8> {
    stream.write_all(word).await.unwrap();
    hear(stream, word.len()).await
}

async fn hear(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut heard = vec![0; length];
    tokio::time::timeout(SOON, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    heard
}

/// How a read ends: an error's kind, or the end of the stream.
async fn last_read(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let mut buffer = [0; 64];
    tokio::time::timeout(SOON, stream.read(&mut buffer)).await.unwrap().map_err(|error| error.kind())
}

#[tokio::test]
async fn a_whole_link_carries_much_and_ends_with_its_sides() {
    let (proxy, stream) = link().await;
    let much: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let (mut read, mut write) = stream.into_split();
    let sent = much.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    read.read_to_end(&mut heard).await.unwrap();
    writing.await.unwrap();
    assert!(heard == much);
    until("the connection is gone", SOON, async || proxy.connections() == 0).await.unwrap();
}

#[tokio::test]
async fn latency_delays_and_keeps_the_order() {
    let (proxy, mut stream) = link().await;
    let delay = Duration::from_millis(50);
    proxy.set(Condition::Latency { delay, jitter: Duration::from_millis(30) });
    let started = std::time::Instant::now();
    for n in 0..20_u8 {
        stream.write_all(&[n]).await.unwrap();
    }
    assert_eq!(hear(&mut stream, 20).await, (0..20).collect::<Vec<u8>>());
    assert!(started.elapsed() >= delay * 2, "there and back");
}

#[tokio::test]
async fn a_silent_link_delivers_late() {
    let (proxy, mut stream) = link().await;
    proxy.set(Condition::Silent);
    stream.write_all(b"late").await.unwrap();
    let mut waiting = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    waiting.write_all(b"too").await.unwrap();
    let mut buffer = [0; 1];
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buffer)).await.is_err());
    proxy.heal();
    assert_eq!(hear(&mut stream, 4).await, b"late");
    assert_eq!(hear(&mut waiting, 3).await, b"too");
}

#[tokio::test]
async fn a_blackhole_swallows_and_resets_what_lost_something() {
    let (proxy, mut stream) = link().await;
    proxy.set(Condition::Blackhole);
    stream.write_all(b"lost").await.unwrap();
    let mut swallowed = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    swallowed.write_all(b"lost").await.unwrap();
    let mut buffer = [0; 1];
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buffer)).await.is_err());
    proxy.heal();
    for mut stream in [stream, swallowed] {
        assert_eq!(last_read(&mut stream).await, Err(ErrorKind::ConnectionReset));
    }
}

#[tokio::test]
async fn a_reset_breaks_one_or_all() {
    let (proxy, mut first) = link().await;
    let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert_eq!(say(&mut second, b"b").await, b"b");
    proxy.reset(Which::Nth(3));
    assert_eq!(last_read(&mut second).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(say(&mut first, b"still").await, b"still");
    proxy.reset(Which::All);
    assert_eq!(last_read(&mut first).await, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_half_closed_link_still_carries_the_other_way() {
    let (proxy, mut stream) = link().await;
    proxy.half_close(Which::All, Side::Client);
    assert_eq!(last_read(&mut stream).await, Ok(0));
    stream.write_all(b"nobody hears the echo").await.unwrap();
    assert_eq!(proxy.connections(), 1);

    let (proxy, mut stream) = link().await;
    proxy.half_close(Which::All, Side::Server);
    // The echo ends when its input does.
    assert_eq!(last_read(&mut stream).await, Ok(0));
    drop(proxy);
}

#[tokio::test]
async fn a_refusing_link_refuses_and_is_there_again() {
    let (proxy, mut stream) = link().await;
    proxy.set(Condition::Refuse);
    let dial = async || TcpStream::connect(("127.0.0.1", proxy.port())).await;
    until("it refuses", SOON, async || dial().await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
        .await
        .unwrap();
    assert_eq!(say(&mut stream, b"stays").await, b"stays");
    proxy.heal();
    until("it is there again", SOON, async || dial().await.is_ok()).await.unwrap();
}
