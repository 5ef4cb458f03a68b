//! The ledger of a store that was put back: what it lost, and whether the hub lost, repeated or
//! swapped anything else. Pure.
//!
//! A message that was accepted before is the store's to lose when it waited there at the power
//! loss, is not in the copy, and was not answered yet. A bubble may go out a second time when the
//! copy still has its message as one to be answered: the store has forgotten the answer, and a
//! worker that gave the conversation up meanwhile knows no more than the store.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use super::super::{
    load::phone,
    outside::{Bubble, Call, answer_to},
};

/// A message that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) customer: usize,
    pub(super) text: String,
    pub(super) accepted: Instant,
}

/// What happened to the store.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// Texts that waited in it at the power loss and are not in the copy.
    pub(super) gone: HashSet<String>,
    /// Texts that wait in the copy.
    pub(super) kept: HashSet<String>,
    /// When the hub reached the servers again.
    pub(super) healed: Instant,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Messages accepted before and after the servers were back.
    pub(super) before: usize,
    pub(super) after: usize,
    /// Of those before, unanswered when the servers were back, and gone from the store.
    pub(super) forgotten: usize,
    /// Of the forgotten, answered all the same; and those whose agent had been asked by then.
    pub(super) ran_through: usize,
    pub(super) ran_through_asked: usize,
    /// Of those before, never answered; and those that the store did have.
    pub(super) lost: usize,
    pub(super) lost_beyond: usize,
    /// Of those after, answered.
    pub(super) after_answered: usize,
    /// Bubbles that went out again: those whose answer the store has forgotten, and all others.
    pub(super) repeated: usize,
    pub(super) repeated_beyond: usize,
    /// Messages answered before one that was written earlier in their conversation.
    pub(super) overtaken: usize,
    /// Bubbles that reached somebody else than who had written, or answer what nobody wrote.
    pub(super) astray: usize,
}

/// Everything written, in the order of each customer's writing; every bubble of it; every call.
pub(super) fn verdict(written: &[Written], bubbles: &HashMap<String, Bubble>, calls: &[Call], loss: &Loss) -> Verdict {
    let asked: HashSet<&str> =
        calls.iter().filter(|call| call.at < loss.healed).map(|call| call.text.as_str()).collect();
    let mut verdict = Verdict::default();
    for message in written {
        let bubble = bubbles.get(&answer_to(&message.text));
        if message.accepted >= loss.healed {
            verdict.after += 1;
            verdict.after_answered += usize::from(bubble.is_some());
        } else {
            verdict.before += 1;
            verdict.account_for(message, bubble, &asked, loss);
        }
        let Some(bubble) = bubble else { continue };
        let again = bubble.to.len().saturating_sub(1);
        // Once more, and only what had been answered when the store forgot it.
        let forgiven = usize::from(loss.kept.contains(&message.text) && bubble.first < loss.healed).min(again);
        verdict.repeated += forgiven;
        verdict.repeated_beyond += again - forgiven;
    }
    verdict.overtaken = overtaken(written, bubbles);
    verdict.astray = astray(written, bubbles);
    verdict
}

impl Verdict {
    /// Accounts for a message that was accepted before the servers were back.
    fn account_for(&mut self, message: &Written, bubble: Option<&Bubble>, asked: &HashSet<&str>, loss: &Loss) {
        let is_gone = loss.gone.contains(&message.text);
        if is_gone && bubble.is_none_or(|bubble| bubble.first >= loss.healed) {
            self.forgotten += 1;
            if bubble.is_some() {
                self.ran_through += 1;
                self.ran_through_asked += usize::from(asked.contains(message.text.as_str()));
            }
        }
        if bubble.is_none() {
            self.lost += 1;
            self.lost_beyond += usize::from(!is_gone);
        }
    }
}

fn overtaken(written: &[Written], bubbles: &HashMap<String, Bubble>) -> usize {
    let mut latest: HashMap<usize, Instant> = HashMap::new();
    let mut overtaken = 0;
    for message in written {
        let Some(bubble) = bubbles.get(&answer_to(&message.text)) else { continue };
        let latest = latest.entry(message.customer).or_insert(bubble.first);
        overtaken += usize::from(bubble.first < *latest);
        *latest = bubble.first.max(*latest);
    }
    overtaken
}

fn astray(written: &[Written], bubbles: &HashMap<String, Bubble>) -> usize {
    let people: HashMap<String, String> =
        written.iter().map(|message| (answer_to(&message.text), phone(message.customer))).collect();
    let strangers =
        |(text, bubble): (&String, &Bubble)| bubble.to.iter().filter(|to| people.get(text) != Some(*to)).count();
    bubbles.iter().map(strangers).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A scene in seconds: the servers are back at 10.
    struct Scene {
        start: Instant,
        written: Vec<Written>,
        bubbles: HashMap<String, Bubble>,
        calls: Vec<Call>,
        loss: Loss,
    }

    impl Scene {
        fn new(gone: &[&str], kept: &[&str]) -> Self {
            let start = Instant::now();
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let loss = Loss { gone: texts(gone), kept: texts(kept), healed: start + Duration::from_secs(10) };
            Self { start, written: Vec::new(), bubbles: HashMap::new(), calls: Vec::new(), loss }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        fn writes(mut self, second: u64, customer: usize, text: &str) -> Self {
            self.written.push(Written { customer, text: text.to_owned(), accepted: self.at(second) });
            self
        }

        fn hears(mut self, second: u64, customer: usize, text: &str) -> Self {
            let first = self.at(second);
            let new = || Bubble { first, to: Vec::new() };
            self.bubbles.entry(answer_to(text)).or_insert_with(new).to.push(phone(customer));
            self
        }

        fn asks(mut self, second: u64, text: &str) -> Self {
            self.calls.push(Call { text: text.to_owned(), at: self.at(second), answered: true });
            self
        }

        fn verdict(&self) -> Verdict {
            verdict(&self.written, &self.bubbles, &self.calls, &self.loss)
        }
    }

    #[test]
    fn what_the_store_lost_unanswered_may_be_lost_and_nothing_else() {
        let scene = Scene::new(&["a", "b", "c"], &["d"]).writes(1, 1, "a").writes(2, 1, "b").writes(3, 2, "c");
        let scene = scene.writes(4, 3, "d").writes(11, 1, "e");
        // "b" was answered and only not yet acknowledged; the turn of "c" ran through.
        let good = scene.hears(5, 1, "b").asks(9, "c").hears(12, 2, "c").hears(13, 3, "d").hears(14, 1, "e");
        let wanted = Verdict {
            before: 4,
            after: 1,
            forgotten: 2,
            ran_through: 1,
            ran_through_asked: 1,
            lost: 1,
            after_answered: 1,
            ..Verdict::default()
        };
        assert_eq!(good.verdict(), wanted);

        let worse = good.writes(5, 4, "f").writes(12, 4, "g");
        let seen = worse.verdict();
        assert_eq!((seen.lost, seen.lost_beyond), (2, 1), "the store never lost f");
        assert_eq!((seen.after, seen.after_answered), (2, 1), "g is new");
    }

    #[test]
    fn a_bubble_may_be_repeated_once_where_the_store_forgot_its_answer() {
        let scene = Scene::new(&[], &["a", "b"]).writes(1, 1, "a").writes(1, 2, "b").writes(1, 3, "c");
        let scene = scene.hears(2, 1, "a").hears(11, 1, "a");
        assert_eq!((scene.verdict().repeated, scene.verdict().repeated_beyond), (1, 0));
        let thrice = scene.hears(12, 1, "a");
        assert_eq!((thrice.verdict().repeated, thrice.verdict().repeated_beyond), (1, 1));
        // First answered when the store was back already; and one that the store has not.
        let more = thrice.hears(12, 2, "b").hears(13, 2, "b").hears(3, 3, "c").hears(13, 3, "c");
        assert_eq!((more.verdict().repeated, more.verdict().repeated_beyond), (1, 3));
    }

    #[test]
    fn a_swapped_an_overtaken_and_an_unasked_for_answer_are_seen() {
        let scene = Scene::new(&[], &[]).writes(1, 1, "a").writes(2, 1, "b").writes(2, 2, "c");
        let scene = scene.hears(5, 1, "b").hears(6, 1, "a").hears(7, 1, "c").hears(8, 1, "x");
        let seen = scene.verdict();
        assert_eq!((seen.overtaken, seen.astray), (1, 2));
    }
}
