//! The conversation: who is talking to whom, what may happen next, and how a reply is cut.

mod bubbles;
mod decision;

pub use bubbles::bubbles;
pub use decision::Decision;
