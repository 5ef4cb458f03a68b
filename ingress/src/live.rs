//! What happens in the hub at this moment, as far as an ingress can tell: it asks the workers where
//! a message is, and it overhears what is told of all messages.
//!
//! What this is not for: nothing here is needed to accept a message, and nothing here can slow one
//! down.

mod tails;

use std::sync::Arc;

use omnihub_common::queue::{Layout, Nats, Sightings};
use tokio_util::sync::CancellationToken;

pub use tails::{Ending, Said, Tail, TailError, Tails};

/// The live view. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Option<Arc<View>>);

#[derive(Debug)]
struct View {
    sightings: Sightings,
    tails: Tails,
}

impl Live {
    /// Over this connection; every tail ends when `stop` is cancelled.
    #[must_use]
    pub fn new(nats: Nats, layout: Layout, stop: CancellationToken) -> Self {
        let sightings = Sightings::new(nats.clone(), layout);
        Self(Some(Arc::new(View { sightings, tails: Tails::new(nats, stop) })))
    }

    /// One that sees nothing, for a process without a queue.
    #[must_use]
    pub fn idle() -> Self {
        Self(None)
    }

    /// Whom to ask where conversations stand.
    #[must_use]
    pub fn sightings(&self) -> Option<&Sightings> {
        self.0.as_deref().map(|view| &view.sightings)
    }

    /// What is told of messages.
    #[must_use]
    pub fn tails(&self) -> Option<&Tails> {
        self.0.as_deref().map(|view| &view.tails)
    }
}
