//! The conversation: who is talking to whom, what may happen next, and how a reply is cut.

mod decision;

pub use decision::Decision;
