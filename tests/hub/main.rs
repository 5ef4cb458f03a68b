//! The hub's integration tests: one binary, real nats-server, real databases, the real `omnihub`.
//!
//! Only what stands outside is faked (`tests/fakes`). `tests/run.sh` runs them all.

#[cfg(test)]
mod access;
#[cfg(test)]
mod admin_input;
#[cfg(test)]
mod agent_failures;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod body_forms;
#[cfg(test)]
mod book;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod dead;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod health;
#[cfg(test)]
mod import;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod later;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod live;
#[cfg(test)]
mod manners;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod media;
#[cfg(test)]
mod media_links;
#[cfg(test)]
mod names;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod references;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod seeding;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transcription;
#[cfg(test)]
mod troubleshooting;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod whereabouts;
