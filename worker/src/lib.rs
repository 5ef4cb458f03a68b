//! The worker: it takes messages from the queue, asks the agent, sends the reply and records the
//! trace.
//!
//! What is absent: it serves no public HTTP, only its own health and metrics.

pub mod role;
