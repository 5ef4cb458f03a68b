//! Three nats-servers that replicate everything among themselves, on loopback.

use std::path::Path;

use anyhow::Context as _;

use crate::nats::{FsyncMode, Nats, Routes};
use crate::process::free_port;

/// How many servers stand in it: the smallest number of which one may be lost.
const SERVERS: usize = 3;

/// A free port may be taken before a server has it.
const TRIES: usize = 3;

/// A cluster of three. Its streams are replicated when the hub asks for it
/// (`OMNIHUB_NATS_REPLICAS=3`). Killed on drop, the stores deleted.
///
/// Clients are told no other address than those of [`NatsCluster::url`] (`no_advertise`), so that
/// a proxy in front of each server stays between.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<Nats>,
}

impl NatsCluster {
    /// Starts three servers with empty stores, and waits until they are one cluster.
    ///
    /// # Errors
    /// When there is no usable nats-server, or when they do not come together.
    pub async fn start(fsync: FsyncMode) -> anyhow::Result<Self> {
        let mut tried = 1;
        loop {
            let mut cluster = Self::prepare(fsync)?;
            match cluster.start_again().await {
                Ok(()) => return Ok(cluster),
                Err(_) if tried < TRIES => tried += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn prepare(fsync: FsyncMode) -> anyhow::Result<Self> {
        let all_ports = (0..SERVERS).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let server = |(nth, own_port): (usize, &u16)| {
            let routes = Routes { own_port: *own_port, all_ports: all_ports.clone() };
            Nats::prepare(&format!("n{}", nth + 1), fsync, Some(routes))
        };
        Ok(Self { servers: all_ports.iter().enumerate().map(server).collect::<anyhow::Result<_>>()? })
    }

    /// All three, as `NATS_URL` takes them.
    #[must_use]
    pub fn url(&self) -> String {
        self.servers.iter().map(Nats::url).collect::<Vec<_>>().join(",")
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[Nats] {
        &self.servers
    }

    /// One of them, to hurt it: counted modulo three.
    pub fn server(&mut self, nth: usize) -> &mut Nats {
        &mut self.servers[nth % SERVERS]
    }

    /// The server of this name (the `leader` in a stream's information).
    pub fn named(&mut self, name: &str) -> Option<&mut Nats> {
        self.servers.iter_mut().find(|server| server.name() == name)
    }

    /// Kills all of them (SIGKILL). The stores stay.
    pub fn kill9(&mut self) {
        self.servers.iter_mut().for_each(Nats::kill9);
    }

    /// Copies the stores of all into `to`, each under its server's name; see [`Nats::snapshot`].
    ///
    /// # Errors
    /// When a copy cannot be made.
    pub fn snapshot(&self, to: &Path) -> anyhow::Result<()> {
        self.servers.iter().try_for_each(|server| server.snapshot(&to.join(server.name())))
    }

    /// Kills all of them and puts the copies back in the place of their stores; start them again
    /// after.
    ///
    /// # Errors
    /// When a store cannot be replaced.
    pub fn put_back(&mut self, snapshot: &Path) -> anyhow::Result<()> {
        self.kill9();
        self.servers.iter_mut().try_for_each(|server| server.put_back(&snapshot.join(server.name())))
    }

    /// Starts all that do not run on their ports and stores, and waits until all are well.
    ///
    /// # Errors
    /// When one does not start, or when they do not come together.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            if !server.process().is_some_and(crate::Process::is_running) {
                server.launch()?;
            }
        }
        for server in &mut self.servers {
            let name = server.name().to_owned();
            server.wait_ready().await.with_context(|| format!("server {name} of the cluster"))?;
        }
        Ok(())
    }
}
