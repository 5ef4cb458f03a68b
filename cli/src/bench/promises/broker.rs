//! The nats-servers of a measurement, and links to them that can be cut.

use std::path::Path;

use omnihub_stage::{FsyncMode, Nats, NatsCluster, Proxy};

/// One nats-server, or three that replicate.
#[derive(Debug)]
pub(super) struct Broker {
    servers: Servers,
    /// A link to each server, or none: then the hub dials the servers themselves.
    links: Vec<Proxy>,
}

#[derive(Debug)]
enum Servers {
    One(Box<Nats>),
    Three(NatsCluster),
}

impl Broker {
    /// Starts so many, which the hub dials itself.
    pub(super) async fn start(servers: usize) -> anyhow::Result<Self> {
        let servers = match servers {
            3 => Servers::Three(NatsCluster::start(FsyncMode::Default).await?),
            _ => Servers::One(Box::new(Nats::start(FsyncMode::Default).await?)),
        };
        Ok(Self { servers, links: Vec::new() })
    }

    /// The same behind links, for what happens to all servers at once.
    pub(super) async fn start_behind_links(servers: usize) -> anyhow::Result<Self> {
        let mut broker = Self::start(servers).await?;
        let ports: Vec<u16> = match &broker.servers {
            Servers::One(nats) => vec![nats.port()],
            Servers::Three(cluster) => cluster.servers().iter().map(Nats::port).collect(),
        };
        for port in ports {
            broker.links.push(Proxy::to(port).await?);
        }
        Ok(broker)
    }

    /// As the hub dials them.
    pub(super) fn url(&self) -> String {
        if self.links.is_empty() {
            return self.own_url();
        }
        self.links.iter().map(|link| format!("nats://127.0.0.1:{}", link.port())).collect::<Vec<_>>().join(",")
    }

    /// The servers themselves, past every link.
    pub(super) fn own_url(&self) -> String {
        match &self.servers {
            Servers::One(nats) => nats.url(),
            Servers::Three(cluster) => cluster.url(),
        }
    }

    /// Cuts every link: the hub reaches none of them.
    pub(super) fn cut(&self) {
        self.links.iter().for_each(Proxy::cut);
    }

    /// Makes every link whole.
    pub(super) fn heal(&self) {
        self.links.iter().for_each(Proxy::heal);
    }

    /// Copies all stores into `to`, while the servers run.
    pub(super) fn snapshot(&self, to: &Path) -> anyhow::Result<()> {
        match &self.servers {
            Servers::One(nats) => nats.snapshot(&to.join(nats.name())),
            Servers::Three(cluster) => cluster.snapshot(to),
        }
    }

    /// Kills all servers, puts their stores back, and starts them.
    pub(super) async fn put_back(&mut self, snapshot: &Path) -> anyhow::Result<()> {
        match &mut self.servers {
            Servers::One(nats) => {
                nats.put_back(&snapshot.join(nats.name()))?;
                nats.start_again().await
            }
            Servers::Three(cluster) => {
                cluster.put_back(snapshot)?;
                cluster.start_again().await
            }
        }
    }

    /// The same with one of three.
    pub(super) async fn put_one_back(&mut self, server: &str, snapshot: &Path) -> anyhow::Result<()> {
        let found = match &mut self.servers {
            Servers::One(_) => None,
            Servers::Three(cluster) => cluster.named(server),
        };
        let found = found.ok_or_else(|| anyhow::anyhow!("no server {server:?} among three"))?;
        found.put_back(&snapshot.join(server))?;
        found.start_again().await
    }
}
