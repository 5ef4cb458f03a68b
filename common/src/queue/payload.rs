//! Payloads that were left in the stream: beyond its budget a worker remembers only where a
//! message is, and fetches it again when its turn comes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;

use super::{
    claim::{Cause, ClaimError},
    partition::Partition,
};

/// How many bytes a process holds of something that waits, as a worker of payloads.
#[derive(Clone, Debug)]
pub struct PayloadBudget {
    held: Arc<AtomicUsize>,
    limit: usize,
}

/// A place in the budget, given back on drop.
#[derive(Debug)]
pub struct HeldBytes {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl PayloadBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { held: Arc::default(), limit }
    }

    /// Room for so many bytes, if there is.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<HeldBytes> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        // Over the limit it is given back by the drop.
        let held = HeldBytes { held: Arc::clone(&self.held), bytes };
        (before + bytes <= self.limit).then_some(held)
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Partition {
    /// Reads a message's bytes again; `None` when it is no longer there.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn fetch(&self, sequence: u64) -> Result<Option<Bytes>, ClaimError> {
        let failed = |source: Cause| ClaimError::new(self.number(), source);
        let stream = self.js().get_stream_no_info(self.inbound()).await.map_err(|error| failed(error.into()))?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_held_and_given_back() {
        let budget = PayloadBudget::new(10);
        let first = budget.hold(6);
        assert!(first.is_some() && budget.hold(5).is_none());
        assert_eq!(budget.held(), 6);
        let second = budget.hold(4);
        drop((first, second));
        assert_eq!(budget.held(), 0);
    }
}
