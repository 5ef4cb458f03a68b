//! Ingress: the door. It accepts webhooks and serves the admin API.
//!
//! What is absent: it reads of a message only what it must to verify, split, name and thin it,
//! answers 2xx only after the queue has confirmed, asks no agent a question and sends no message.

pub mod admin;
pub mod doctor;
pub mod evolution;
pub mod live;
pub mod media;
pub mod problem;
pub mod purge;
pub mod role;
pub mod server;
pub mod settings;
pub mod state;
pub mod webhook;
