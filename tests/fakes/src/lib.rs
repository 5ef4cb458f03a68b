//! Fakes of what stands outside the hub: Evolution, agents, customers, Vault.
//!
//! The hub itself, its queue and its database are never faked. [`FakeEvolution`] takes the
//! replies and checks them as the real Evolution API does, [`FakeAgent`] answers turns as the
//! `automagik` protocol asks, and [`customers`] writes the webhooks that start it all. Tests use
//! them, and so do the demo and the load generator: so nothing here panics, and both servers
//! listen on the loopback only and stop when they are dropped.
//!
//! A fake remembers two things: what it was sent, and each *violation*: something that a real
//! server may swallow in silence and that the hub must never do. A test ends with
//! `assert_eq!(fake.violations(), Vec::<String>::new())`.

pub mod agent;
pub mod customers;
pub mod evolution;
mod record;
mod server;
pub mod vault;

pub use agent::{AgentCall, Answer, Behaviour, FakeAgent, Pieces, Voice};
pub use evolution::{AdminCall, FakeEvolution, Marked, Presence, Rejected, Sent};
pub use vault::{FakeVault, VaultRead};
