//! What a fake remembers, and how a test waits for it without sleeping.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::watch;

/// A list that only grows, with a count that can be awaited.
#[derive(Debug)]
pub(crate) struct Record<T> {
    entries: Mutex<Vec<T>>,
    count: watch::Sender<usize>,
}

impl<T: Clone> Record<T> {
    /// An empty record.
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::new(Vec::new()), count: watch::Sender::new(0) }
    }

    /// Adds an entry and answers its place.
    pub(crate) fn push(&self, entry: T) -> usize {
        let mut entries = lock(&self.entries);
        entries.push(entry);
        // Still under the lock, so that the count never goes backwards.
        self.count.send_replace(entries.len());
        entries.len() - 1
    }

    /// Changes the entry at `place`.
    pub(crate) fn change(&self, place: usize, change: impl FnOnce(&mut T)) {
        if let Some(entry) = lock(&self.entries).get_mut(place) {
            change(entry);
        }
    }

    /// Everything so far, in the order of arrival.
    pub(crate) fn all(&self) -> Vec<T> {
        lock(&self.entries).clone()
    }

    /// Waits until there are at least `wanted` entries.
    ///
    /// # Errors
    /// When `deadline` passes first; the error says how many there were.
    pub(crate) async fn wait_for(&self, what: &str, wanted: usize, deadline: Duration) -> anyhow::Result<Vec<T>> {
        let mut count = self.count.subscribe();
        let reached = tokio::time::timeout(deadline, count.wait_for(|count| *count >= wanted)).await;
        anyhow::ensure!(
            matches!(reached, Ok(Ok(_))),
            "wanted {wanted} {what} within {deadline:?}, saw {}",
            lock(&self.entries).len()
        );
        Ok(self.all())
    }
}

/// Locks, also after a panic elsewhere: what a fake has recorded stays true.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Headers as a map of lower-case names; the values of a repeated name are joined with `, `.
pub(crate) fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.to_string())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_when_the_last_wanted_entry_arrives() {
        let record = std::sync::Arc::new(Record::new());
        let writer = std::sync::Arc::clone(&record);
        let waiting = tokio::spawn(async move { record.wait_for("numbers", 2, Duration::from_secs(5)).await });
        writer.push(1);
        writer.push(2);
        assert_eq!(waiting.await.unwrap().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn a_missed_deadline_says_what_was_seen() {
        let record = Record::new();
        record.push(());
        let error = record.wait_for("replies", 3, Duration::from_millis(5)).await.unwrap_err();
        assert_eq!(error.to_string(), "wanted 3 replies within 5ms, saw 1");
    }
}
