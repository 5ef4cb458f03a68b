//! A TCP link between two processes that can be slowed, cut and silenced while it is used.
//!
//! The cast: [`Proxy`] listens on a loopback port and carries each connection to another one;
//! [`Condition`] is how the link is; `wire` carries one connection. A condition is set for all
//! connections, those to come included, or for some of them; [`Proxy::reset`] and
//! [`Proxy::half_close`] happen once, to connections that are there.
//!
//! What is absent: any knowledge of what is said over it.

mod wire;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::process::free_port;
use wire::{End, Order};

/// How long after a refusal the port is asked for again.
const REBIND: Duration = Duration::from_millis(5);

/// How a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It carries at once.
    #[default]
    Whole,
    /// Each byte arrives after `delay` and up to `jitter` more, in order.
    Latency {
        /// At least so much later.
        delay: Duration,
        /// And up to so much more.
        jitter: Duration,
    },
    /// Nothing arrives and nothing is lost: what was sent meanwhile arrives when the link is whole
    /// again, as after a broken route. New connections are taken and wait.
    Silent,
    /// New connections are taken; whatever is sent is swallowed. A connection that lost something
    /// is reset when the link is whole again, since it can never be right.
    Blackhole,
    /// New connections are refused; those that are there stay.
    Refuse,
}

/// Which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// The nth oldest, modulo their number.
    Nth(usize),
}

/// An end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Client,
    /// Who is dialled.
    Server,
}

type Connections = BTreeMap<u64, watch::Sender<Order>>;

#[derive(Debug)]
struct Shared {
    target: u16,
    condition: watch::Sender<Condition>,
    connections: Mutex<Connections>,
}

/// Carries connections from a loopback port to another one. Everything is cut on drop.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A whole link to `127.0.0.1:<target>`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn to(target: u16) -> anyhow::Result<Self> {
        let (listener, port) = listen().await?;
        let shared =
            Arc::new(Shared { target, condition: watch::Sender::new(Condition::Whole), connections: Mutex::default() });
        let serving = tokio::spawn(serve(listener, port, Arc::clone(&shared)));
        Ok(Self { port, shared, serving })
    }

    /// The port to dial instead of the target's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections are there.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections().len()
    }

    /// Sets the condition of all connections and of those to come.
    pub fn set(&self, condition: Condition) {
        self.shared.condition.send_replace(condition);
        self.order(Which::All, |order| order.condition = condition);
    }

    /// Sets the condition of some of the connections that are there.
    pub fn set_for(&self, which: Which, condition: Condition) {
        self.order(which, |order| order.condition = condition);
    }

    /// Makes the link whole.
    pub fn heal(&self) {
        self.set(Condition::Whole);
    }

    /// Breaks connections with a TCP reset, towards both ends.
    pub fn reset(&self, which: Which) {
        self.order(which, |order| order.end = Some(End::Reset));
    }

    /// Cuts the link: new connections are refused, those that are there are reset.
    pub fn cut(&self) {
        self.set(Condition::Refuse);
        self.reset(Which::All);
    }

    /// Tells one side that the other has nothing more to say (FIN), while it is still listened to.
    pub fn half_close(&self, which: Which, towards: Side) {
        self.order(which, |order| match towards {
            Side::Client => order.client_closed = true,
            Side::Server => order.server_closed = true,
        });
    }

    fn order(&self, which: Which, change: impl Fn(&mut Order)) {
        let connections = self.shared.connections();
        match which {
            Which::All => connections.values().for_each(|order| order.send_modify(&change)),
            Which::Nth(nth) => {
                let nth = nth.checked_rem(connections.len()).unwrap_or_default();
                if let Some(order) = connections.values().nth(nth) {
                    order.send_modify(&change);
                }
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
        self.reset(Which::All);
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen() -> anyhow::Result<(TcpListener, u16)> {
    let mut tried = 0;
    loop {
        let port = free_port()?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok((listener, port)),
            Err(_) if tried < 10 => tried += 1,
            Err(error) => return Err(error).context("no port for a proxy"),
        }
    }
}

async fn serve(listener: TcpListener, port: u16, shared: Arc<Shared>) {
    let mut condition = shared.condition.subscribe();
    let mut listener = Some(listener);
    let mut next = 0;
    loop {
        let refusing = *condition.borrow_and_update() == Condition::Refuse;
        let Some(open) = listener.as_ref().filter(|_| !refusing) else {
            // A closed listener is the only true refusal.
            drop(listener.take());
            if condition.wait_for(|condition| *condition != Condition::Refuse).await.is_err() {
                return;
            }
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok();
            if listener.is_none() {
                tokio::time::sleep(REBIND).await;
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                start(client, next, &shared);
                next += 1;
            },
            changed = condition.changed() => if changed.is_err() { return },
        }
    }
}

fn start(client: TcpStream, id: u64, shared: &Arc<Shared>) {
    let mut connections = shared.connections();
    // Read under the lock: whoever changes the condition tells the connections after it.
    let order = Order { condition: *shared.condition.borrow(), ..Order::default() };
    let (tell, told) = watch::channel(order);
    connections.insert(id, tell);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        wire::carry(client, shared.target, told).await;
        shared.connections().remove(&id);
    });
}

#[cfg(test)]
mod tests;
