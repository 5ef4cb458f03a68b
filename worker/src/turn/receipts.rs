//! Receipts: bubbles that the channel has confirmed, until the end of their turn is recorded.
//!
//! A checkpoint says "sending i" before bubble i goes out, and learns that it is out with the
//! next write. When the broker is away for so long that the lease lapses, that write never comes,
//! the turn is cut, and the same worker takes it up again later: it need not send again what it
//! has itself seen confirmed.
//!
//! What this is not: it is gone with the process, and another worker knows nothing of it. Then
//! the bubble in flight may go out twice, as promised.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use omnihub_common::queue::Answer;

/// Turns whose receipts are kept. Only those that were cut stay for long, as many as ran at once.
const KEPT: usize = 20_000;

/// The channel's ids of confirmed bubbles, by turn.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    sent: HashMap<String, Vec<String>>,
    order: VecDeque<String>,
}

impl Receipts {
    /// Keeps what is surely out of a turn's answer.
    pub(super) fn keep(&self, turn_id: &str, answer: &Answer) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if book.sent.insert(turn_id.to_owned(), answer.sent.clone()).is_none() {
            book.order.push_back(turn_id.to_owned());
        }
        while book.order.len() > KEPT {
            let oldest = book.order.pop_front();
            oldest.and_then(|oldest| book.sent.remove(&oldest));
        }
    }

    /// Adds to a stored answer what is known here and not there.
    pub(super) fn complete(&self, turn_id: &str, answer: &mut Answer) {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sent) = book.sent.get(turn_id).filter(|sent| sent.len() > answer.sent.len()) {
            answer.sent.clone_from(sent);
            answer.in_doubt = false;
        }
    }

    /// The turn's end is recorded.
    pub(super) fn forget(&self, turn_id: &str) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.sent.remove(turn_id);
        // Turns end about in the order they began, so the search is short.
        if let Some(at) = book.order.iter().position(|known| known == turn_id) {
            book.order.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sent: &[&str], in_doubt: bool) -> Answer {
        let bubbles = ["a", "b", "c"].map(str::to_owned).into();
        Answer { bubbles, sent: sent.iter().map(|&id| id.to_owned()).collect(), in_doubt, ..Answer::default() }
    }

    #[test]
    fn a_cut_turn_learns_what_was_confirmed_and_never_forgets_what_it_knew() {
        let receipts = Receipts::default();
        receipts.keep("t", &answer(&["1"], false));
        receipts.keep("t", &answer(&["1", "2"], false));
        let mut stored = answer(&["1"], true);
        receipts.complete("t", &mut stored);
        assert_eq!(stored, answer(&["1", "2"], false));

        let mut further = answer(&["1", "2"], true);
        receipts.complete("t", &mut further);
        assert_eq!(further, answer(&["1", "2"], true), "bubble 3 is another one's doubt");
        let mut other = answer(&[], true);
        receipts.complete("u", &mut other);
        assert!(other.in_doubt);

        receipts.forget("t");
        let mut forgotten = answer(&["1"], true);
        receipts.complete("t", &mut forgotten);
        assert!(forgotten.in_doubt);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let receipts = Receipts::default();
        for turn in 0..KEPT + 5 {
            receipts.keep(&turn.to_string(), &answer(&["1"], false));
        }
        let book = receipts.0.lock().unwrap();
        assert_eq!((book.sent.len(), book.order.len()), (KEPT, KEPT));
        assert!(!book.sent.contains_key("0"));
    }
}
