//! The hub's integration tests: one binary, real nats-server, real databases, the real `omnihub`.
//!
//! Only what stands outside is faked (`tests/fakes`). `tests/run.sh` runs them all.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod harness;
