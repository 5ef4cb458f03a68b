//! The conversation: who is talking to whom, what may happen next, and how a reply is cut.

mod bubbles;
mod decision;
mod pauses;
mod session;
mod ticket;
pub mod whereabouts;

pub use bubbles::{bubbles, bubbles_so_far};
pub use decision::Decision;
pub use pauses::{Pause, Paused, Pauses, Standing};
pub(crate) use pauses::{forget, names_ending_with};
pub use session::{session_id, user_id, whatsapp_session_name};
pub use ticket::{Ticket, Tickets};
