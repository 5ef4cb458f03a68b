//! The rooms that both ingress and worker enter.
//!
//! A message's journey, room by room: [`channel`] reads the webhook and names each message,
//! [`queue`] keeps it until its turn has ended, [`instance`] says whose it is and which agent
//! answers, [`access`] who is answered and [`person`] what is known of them, [`conversation`] says
//! who is talking and cuts the reply into bubbles, and [`trace`] remembers every step. [`audit`]
//! remembers who changed what, and [`sealed`] keeps what lies encrypted readable when keys change.
//! [`secret`], [`key`], [`config`], [`database`] and [`telemetry`] are
//! what they all stand on, and [`process`] is how a program begins and ends; [`doctor`] looks whether they are well.
//!
//! What is absent: apart from [`health`] this crate serves no HTTP route; it runs no turn and calls
//! no agent.

pub mod access;
pub mod audit;
pub mod channel;
pub mod config;
pub mod conversation;
pub mod database;
pub mod doctor;
pub mod health;
pub mod instance;
pub mod key;
pub mod person;
pub mod process;
pub mod queue;
pub mod sealed;
pub mod secret;
pub mod telemetry;
pub mod trace;
