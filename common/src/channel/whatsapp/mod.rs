//! WhatsApp through Evolution API.
//!
//! [`webhook`] reads what Evolution posts and splits it into messages (ingress), [`inbound`] reads
//! one message as a turn sees it (worker), [`outbound`] speaks Evolution's REST API (worker), [`admin`]
//! looks after an account there and [`registration`] knows how our webhook should stand (ingress).
//! [`connection`] reads what its webhooks tell of an account (ingress).
//! [`recipient`] and [`mentions`] read whom a program wants to write to (ingress), [`call`] makes
//! Evolution's request of it (worker). [`file`](mod@file) fetches what somebody sent, [`sent`] finds
//! what we did (worker).
//! All reading is pure; the fixtures are bodies recorded from Evolution API 2.3.6, each with its
//! golden reading. What is absent: no room here opens media, keeps state or logs.

pub mod admin;
mod answer;
mod bounds;
pub mod call;
pub mod connection;
mod contents;
pub mod correction;
mod delivery;
mod details;
pub mod event;
pub mod file;
pub mod inbound;
pub mod mentions;
pub mod outbound;
pub mod receipt;
pub mod recipient;
pub mod registration;
pub mod sent;
mod surrogates;
mod vcard;
pub mod webhook;
mod wire;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod hostile;
