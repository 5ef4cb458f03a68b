//! How much of what Evolution servers tell is held in memory, by all requests together.
//!
//! A server may be hostile, and a page far down a list makes the hub hold what comes before it. One
//! answer is bounded where it is read; this bounds how many such answers there are at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that are taken at once.
const PIECE: usize = 64 * 1024;
/// Bytes that all may hold together.
const MOST: usize = 256 * 1024 * 1024;

/// There is no room for more at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What is left. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST / PIECE)))
    }
}

impl Budget {
    /// A share of nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0, pieces: 0, permits: None }
    }
}

/// What one request holds; given back with it.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: usize,
    pieces: usize,
    permits: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Holds so many bytes more.
    ///
    /// # Errors
    /// When all that there may be are held.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = self.bytes.saturating_add(bytes);
        let more = bytes.div_ceil(PIECE).saturating_sub(self.pieces);
        if more > 0 {
            let many = u32::try_from(more).map_err(|_| Full)?;
            let permits = Arc::clone(&self.budget.0).try_acquire_many_owned(many).map_err(|_| Full)?;
            match &mut self.permits {
                Some(held) => held.merge(permits),
                None => self.permits = Some(permits),
            }
        }
        (self.bytes, self.pieces) = (bytes, self.pieces + more);
        Ok(())
    }

    /// Holds so many bytes less. What it had it may have again.
    pub fn let_go(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holds_another_cannot_until_it_is_given_back() {
        let budget = Budget::default();
        let (mut one, mut other) = (budget.share(), budget.share());
        for _ in 0..MOST / 1024 {
            one.hold(1024).unwrap();
        }
        assert_eq!((one.hold(1), other.hold(1)), (Err(Full), Err(Full)));
        one.let_go(1024);
        assert_eq!((one.hold(1024), one.hold(1), other.hold(0)), (Ok(()), Err(Full), Ok(())));
        drop(one);
        assert_eq!((other.hold(MOST), budget.share().hold(1)), (Ok(()), Err(Full)));
        assert_eq!(other.hold(usize::MAX), Err(Full));
        drop(other);
        assert_eq!(budget.share().hold(MOST), Ok(()));
    }
}
