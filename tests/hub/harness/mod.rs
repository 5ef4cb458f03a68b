//! What a test stands on: a NATS server, a PostgreSQL database and a hub of its own.
//!
//! The children and their faults are `omnihub_stage`'s, which the load generator uses too; here
//! stands what only tests need. Everything is killed or dropped with the value that stands for it. The harness panics
//! where a test would: each panic names what is missing and the remedy.

mod command;
mod databases;
mod deployment;
mod forwarder;
mod hub;
mod ledger;
mod nats;
mod postgres;
mod site;
mod smoke;
mod wait;

pub(crate) use command::omnihub;
pub(crate) use databases::{Database, Store, on_both_databases};
pub(crate) use deployment::Deployment;
pub(crate) use forwarder::Forwarder;
pub(crate) use hub::Hub;
pub(crate) use ledger::{Ledger, phone};
pub(crate) use nats::Nats;
pub(crate) use omnihub_stage::is_alive;
pub(crate) use postgres::Postgres;
pub(crate) use site::{
    ADMIN_KEY, Answer, DEADLINE, ENCRYPTION_KEYS, EVOLUTION_KEY, INSTANCE, Site, message_id, now, webhook,
};
pub(crate) use wait::until;
