//! One connection through a proxy: two pumps, and the orders they follow.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Condition, Side};

/// How much may be on its way in one direction: what a slow link holds.
const ON_ITS_WAY: usize = 4 << 20;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// How a connection ends by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A TCP reset to both sides.
    Reset,
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub(super) condition: Condition,
    pub(super) end: Option<End>,
    pub(super) client_closed: bool,
    pub(super) server_closed: bool,
}

impl Order {
    fn is_closed(&self, towards: Side) -> bool {
        match towards {
            Side::Client => self.client_closed,
            Side::Server => self.server_closed,
        }
    }
}

/// Carries a connection until it ends.
pub(super) async fn carry(mut client: TcpStream, target: u16, mut told: watch::Receiver<Order>) {
    let Some(mut server) = dial(&mut client, target, &mut told).await else { return reset(&client) };
    // Small requests must not wait for each other's acknowledgements.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pump(from_client, to_server, Side::Server, told.clone());
        let back = pump(from_server, to_client, Side::Client, told.clone());
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.map(drop),
            _ = told.wait_for(|order| order.end.is_some()) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// The other side, when the link lets it be dialled; `None` when the connection must be reset.
async fn dial(client: &mut TcpStream, target: u16, told: &mut watch::Receiver<Order>) -> Option<TcpStream> {
    let swallow = async {
        let mut buffer = [0; 1024];
        while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        std::future::pending::<()>().await;
    };
    let first = told.borrow_and_update().condition;
    if first == Condition::Blackhole {
        tokio::select! {
            () = swallow => {}
            _ = told.wait_for(|order| order.condition != Condition::Blackhole || order.end.is_some()) => {}
        }
        return None;
    }
    told.wait_for(|order| order.condition != Condition::Silent || order.end.is_some()).await.ok()?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.ok()
}

fn reset(stream: &TcpStream) {
    // Without it an unread or lingering byte would make a polite end of it.
    let _ = stream.set_zero_linger();
}

/// What was read and has not arrived.
#[derive(Default)]
struct OnItsWay {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// Something was swallowed: the connection can never be right again.
    lost: bool,
}

impl OnItsWay {
    fn swallow(&mut self) {
        self.lost |= !self.chunks.is_empty();
        (self.chunks, self.bytes) = (VecDeque::new(), 0);
    }

    /// Takes what was read; answers it when it arrives at once.
    fn take(&mut self, chunk: Bytes, condition: Condition) -> Option<Bytes> {
        if chunk.is_empty() {
            return None;
        }
        if condition == Condition::Blackhole {
            self.lost = true;
            return None;
        }
        let Some(due) = arrival(condition, self.chunks.back().map(|(due, _)| *due)) else { return Some(chunk) };
        self.bytes += chunk.len();
        self.chunks.push_back((due, chunk));
        None
    }

    fn next(&mut self) -> Option<Bytes> {
        let (_, chunk) = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }
}

/// Carries one direction until its end; an error ends the whole connection by a reset.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    towards: Side,
    mut told: watch::Receiver<Order>,
) -> io::Result<()> {
    let (mut queue, mut buffer) = (OnItsWay::default(), BytesMut::new());
    let (mut ended, mut closed) = (false, false);
    loop {
        let order = *told.borrow_and_update();
        if order.is_closed(towards) && !closed {
            closed = true;
            to.shutdown().await?;
        }
        match order.condition {
            Condition::Silent => {
                changed(&mut told).await?;
                continue;
            }
            Condition::Blackhole => queue.swallow(),
            _ if queue.lost => return Err(io::ErrorKind::ConnectionReset.into()),
            _ if ended && queue.chunks.is_empty() => return if closed { Ok(()) } else { to.shutdown().await },
            _ => {}
        }
        let due = queue.chunks.front().map(|(due, _)| *due);
        let arrived = tokio::select! {
            moved = changed(&mut told) => moved.map(|()| None)?,
            read = from.read_buf(&mut buffer), if !ended && queue.bytes < ON_ITS_WAY => {
                ended = read? == 0;
                let chunk = buffer.split().freeze();
                buffer.reserve(CHUNK);
                queue.take(chunk, order.condition)
            }
            () = async { if let Some(due) = due { sleep_until(due).await } }, if due.is_some() => queue.next(),
        };
        if let Some(chunk) = arrived.filter(|_| !closed) {
            to.write_all(&chunk).await?;
        }
    }
}

/// When a chunk that was read now arrives; `None` = at once. `last` is on its way before it.
fn arrival(condition: Condition, last: Option<Instant>) -> Option<Instant> {
    let due = match condition {
        Condition::Latency { delay, jitter } => Some(Instant::now() + delay + jitter.mul_f64(rand::random())),
        _ => None,
    };
    due.max(last)
}

/// A proxy that is gone ends its connections.
async fn changed(told: &mut watch::Receiver<Order>) -> io::Result<()> {
    told.changed().await.map_err(|_| io::ErrorKind::ConnectionReset.into())
}
