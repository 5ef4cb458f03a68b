//! What the hub is tried on: real servers and real processes, as children that a test can hurt.
//!
//! The cast: [`Hub`] is the real `omnihub` or one role of it; [`Nats`] a nats-server and
//! [`NatsCluster`] three of them; [`Postgres`] a PostgreSQL cluster with its [`Database`]s;
//! [`Proxy`] a TCP link that can be slowed, cut and silenced while it is used; [`until`] waits for
//! a condition. The integration tests stand on it, and so does `omnihub bench`: nothing here
//! panics, each error names what is missing and the remedy.
//!
//! Every child is killed with the value that stands for it, also in a panic, and a *guardian*
//! (`guardian`) kills what is left when this very process is killed. Its folders under `TMPDIR`
//! stay behind then.
//!
//! What is absent: fakes (`tests/fakes`), what is outside the hub; and any knowledge of the hub's
//! inside. Faults are done to processes and links, never by a switch in the product.

mod cluster;
mod guardian;
mod hub;
mod nats;
mod postgres;
mod process;
pub mod proxy;
mod wait;

pub use cluster::NatsCluster;
pub use hub::Hub;
pub use nats::{FsyncMode, Nats, is_nats_server, nats_greets, nats_server_version};
pub use postgres::{Database, Postgres, connect_postgres};
pub use process::{Process, command_line, free_port, is_alive};
pub use proxy::Proxy;
pub use wait::until;

#[cfg(test)]
mod servers_tests;
