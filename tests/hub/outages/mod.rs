//! What the hub stands on goes away: the database, the broker, agents, Evolution, an object; and how
//! far what one tenant has waiting, or has changed, reaches the others.

mod broker;
mod config;
mod database;
mod media;
mod outside;
mod quota;
mod start;
mod traces;
mod unreadable;
