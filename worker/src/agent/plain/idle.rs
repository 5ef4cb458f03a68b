//! Connections that wait for their next call.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use http::uri::Authority;
use tokio::net::TcpStream;

use crate::outbound::{IDLE, IDLE_PER_HOST};

/// Those of every host; the one that was used last is taken first.
#[derive(Debug, Default)]
pub(super) struct Idle {
    hosts: Mutex<HashMap<Authority, Vec<(Instant, TcpStream)>>>,
}

impl Idle {
    /// A connection that the server has not closed.
    pub(super) fn take(&self, host: &Authority) -> Option<TcpStream> {
        let mut hosts = self.lock();
        let streams = hosts.get_mut(host)?;
        while let Some((since, stream)) = streams.pop() {
            if since.elapsed() < IDLE && is_quiet(&stream) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection, unless there are enough.
    pub(super) fn keep(&self, host: Authority, stream: TcpStream) {
        let mut hosts = self.lock();
        let streams = hosts.entry(host).or_default();
        if streams.len() < IDLE_PER_HOST {
            streams.push((Instant::now(), stream));
        }
    }

    /// Closes what nobody needed for long, again and again, as long as there is somebody to need it.
    pub(super) async fn sweep(idle: Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE / 3).await;
            let Some(idle) = idle.upgrade() else { return };
            idle.lock().retain(|_, streams| {
                streams.retain(|(since, stream)| since.elapsed() < IDLE && is_quiet(stream));
                !streams.is_empty()
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Authority, Vec<(Instant, TcpStream)>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing has come: neither an end nor bytes that nobody asked for.
fn is_quiet(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}
