//! The worker: it runs turns.
//!
//! A turn answers the next message of one conversation: admit it, ask the instance's agent, send
//! the reply bubble by bubble, record what happened, acknowledge. The cast:
//!
//! - [`ownership`]: claims partitions and feeds their messages to the scheduler.
//! - [`scheduler`]: lanes (one per conversation, one turn at a time) and who is next.
//! - [`turn`]: the steps of one turn.
//! - [`agent`]: one file per agent protocol.
//! - `breaker`: which agents and Evolution servers are not called for a while, since they fail.
//! - `files`, `transcription`: what came with messages beside their words, and what is said in it.
//! - `outbound`: what every call that leaves the worker has in common.
//! - [`recorder`]: writes the traces to the database, for all workers together.
//! - [`retention`]: removes those that are old enough, in one worker for all.
//!
//! What is absent: the worker serves no public HTTP, and nothing here depends on ingress.

pub mod agent;
mod breaker;
mod files;
mod outbound;
pub mod ownership;
pub mod recorder;
pub mod retention;
pub mod role;
pub mod scheduler;
pub mod settings;
mod transcription;
pub mod turn;

mod run;

pub use run::{Tenants, Worker, WorkerError};
