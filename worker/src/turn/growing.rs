//! An answer that goes out while the agent is still giving it: what of its words is new. No I/O.
//!
//! ```text
//! first attempt   "One.  Two.  Thr"    the stream breaks; One and Two are out
//! second attempt  "One.  Two.  Three." One and Two were begun: Three is new
//! ```
//!
//! What went out stays, and is never sent again where the agent says it again. An agent that says
//! something else the second time is not held to its first words: all of what is new goes out.

use omnihub_common::{
    conversation::bubbles_so_far,
    queue::{Answer, now_ms},
};

use super::{
    Exit,
    answer::{LARGEST_TEXT, WHATSAPP_LIMIT, shortened},
};
use crate::agent::Reply;

/// The bubbles of all attempts together may have so many bytes, so that the checkpoint keeps them.
const LARGEST: usize = 4 * LARGEST_TEXT;

/// An answer of which the agent has not said all.
pub(super) struct Growing {
    /// What is out of it, and then what is to go out.
    pub(super) answer: Answer,
    /// Why nothing of it goes out any more, although the agent is heard out.
    pub(super) trouble: Option<Exit>,
    /// Bubbles of an earlier attempt that the agent has not said again yet.
    unsaid: Vec<String>,
    /// What it has said in this attempt.
    said: Vec<String>,
}

impl Growing {
    /// One of which nothing is said yet.
    pub(super) fn begin(asked_at: i64) -> Self {
        Self::go_on(Answer { asked_at, answered_at: asked_at, ..Answer::default() })
    }

    /// One that an earlier attempt has left: what it had only heard, and not begun to send, is forgotten.
    pub(super) fn go_on(answer: Answer) -> Self {
        let mut growing = Self { answer, trouble: None, unsaid: Vec::new(), said: Vec::new() };
        growing.stop();
        growing.unsaid.clone_from(&growing.answer.bubbles);
        growing.answer.growing = true;
        growing
    }

    /// Nothing more is begun.
    pub(super) fn stop(&mut self) {
        let out = self.answer.sent.len() + usize::from(self.answer.in_doubt);
        self.answer.bubbles.truncate(out);
        self.answer.text = self.answer.bubbles.join("\n\n");
    }

    /// Whether more of it is to go out.
    pub(super) fn is_behind(&self) -> bool {
        self.trouble.is_none() && self.answer.sent.len() < self.answer.bubbles.len()
    }

    /// The agent has said so much.
    pub(super) fn hear(&mut self, text: &str) {
        self.take(bubbles_so_far(shortened(text), false, WHATSAPP_LIMIT));
        self.answer.text = self.answer.bubbles.join("\n\n");
        self.answer.answered_at = now_ms();
    }

    /// The agent has said all of it; how many bubbles that are out were not said again.
    pub(super) fn end(&mut self, reply: &Reply, answered_at: i64) -> usize {
        let text = shortened(&reply.text);
        self.take(bubbles_so_far(text, true, WHATSAPP_LIMIT));
        let said = Answer { text: text.to_owned(), answered_at, tokens: reply.tokens, ..Answer::default() };
        let answer = std::mem::take(&mut self.answer);
        let (bubbles, sent, in_doubt, asked_at) = (answer.bubbles, answer.sent, answer.in_doubt, answer.asked_at);
        let (by, tools_used) = (answer.by, reply.tools_used);
        self.answer = Answer { bubbles, sent, in_doubt, asked_at, by, tools_used, ..said };
        self.unsaid.len()
    }

    fn take(&mut self, said: Vec<String>) {
        if !said.starts_with(&self.said) {
            // It has begun anew: another agent, or a team after one of its members.
            self.unsaid.clone_from(&self.answer.bubbles);
            self.said.clear();
        }
        for bubble in &said[self.said.len()..] {
            let size: usize = self.answer.bubbles.iter().map(String::len).sum();
            match self.unsaid.iter().position(|unsaid| unsaid == bubble) {
                Some(at) => drop(self.unsaid.remove(at)),
                None if size + bubble.len() <= LARGEST => self.answer.bubbles.push(bubble.clone()),
                None => {}
            }
        }
        self.said = said;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(text: &str) -> Reply {
        Reply { text: text.to_owned(), tokens: (Some(1), Some(2)), ..Reply::default() }
    }

    /// Sends what is to go out.
    fn send(growing: &mut Growing) {
        while growing.is_behind() {
            let id = growing.answer.sent.len().to_string();
            growing.answer.sent.push(id);
        }
    }

    #[test]
    fn a_paragraph_goes_out_when_it_has_ended_and_the_rest_at_the_end() {
        let mut growing = Growing::begin(7);
        growing.hear("One.\n");
        assert!(!growing.is_behind());
        growing.hear("One.\n\nTw");
        assert_eq!(growing.answer.bubbles, ["One."]);
        send(&mut growing);
        assert!(growing.answer.is_out() && growing.answer.growing);
        assert_eq!(growing.end(&reply("One.\n\nTwo."), 9), 0);
        let Answer { bubbles, sent, text, growing, asked_at, answered_at, tokens, .. } = growing.answer;
        assert_eq!(
            (bubbles.as_slice(), sent.len(), growing),
            (["One.", "Two."].map(str::to_owned).as_slice(), 1, false)
        );
        assert_eq!((text.as_str(), asked_at, answered_at, tokens), ("One.\n\nTwo.", 7, 9, (Some(1), Some(2))));
    }

    #[test]
    fn what_is_out_is_not_sent_again_and_what_was_only_heard_is_forgotten() {
        let mut first = Growing::begin(7);
        first.hear("One.\n\nTwo.\n\n");
        first.answer.sent.push("1".into());
        let mut second = Growing::go_on(first.answer.clone());
        assert_eq!(second.answer.bubbles, ["One."], "nothing of Two was begun");
        second.hear("Uno.\n\nOne.\n\nTwo!\n\n");
        assert_eq!(second.answer.bubbles, ["One.", "Uno.", "Two!"]);
        send(&mut second);
        assert_eq!(second.end(&reply("Uno.\n\nOne.\n\nTwo!\n\nOne."), 9), 0);
        assert_eq!(second.answer.bubbles, ["One.", "Uno.", "Two!", "One."], "said twice in one answer");

        first.answer.in_doubt = true;
        let mut other = Growing::go_on(first.answer);
        assert_eq!(other.end(&reply("Something else."), 9), 2);
        assert_eq!(other.answer.bubbles, ["One.", "Two.", "Something else."]);
    }

    #[test]
    fn an_agent_that_begins_anew_is_heard_from_there() {
        let mut growing = Growing::begin(7);
        growing.hear("A member's thought.\n\nOne.\n\n");
        send(&mut growing);
        growing.hear("One.\n\nTwo.\n\n");
        assert_eq!(growing.answer.bubbles, ["A member's thought.", "One.", "Two."]);
    }

    #[test]
    fn what_an_agent_says_anew_for_ever_is_bounded() {
        let mut growing = Growing::begin(7);
        for n in 0..100 {
            growing.hear(&format!("{n}{}\n\n", "x".repeat(60_000)));
            growing = Growing::go_on({
                send(&mut growing);
                growing.answer
            });
        }
        assert!(growing.answer.bubbles.iter().map(String::len).sum::<usize>() <= LARGEST);
    }

    proptest! {
        /// Wherever it is cut, and heard however often: the customer has every paragraph once, in order.
        #[test]
        fn every_paragraph_goes_out_once(
            paragraphs in proptest::collection::vec("[a-z]{1,6}(\n[a-z]{1,6})?", 1..8),
            cuts in proptest::collection::vec((0..100_usize, any::<bool>()), 0..4),
        ) {
            let text = paragraphs.join("\n\n");
            let mut growing = Growing::begin(0);
            for (cut, sends) in cuts {
                growing.hear(&text[..cut.min(text.len())]);
                if sends {
                    send(&mut growing);
                }
                growing = Growing::go_on(growing.answer);
            }
            prop_assert_eq!(growing.end(&reply(&text), 1), 0);
            prop_assert_eq!(growing.answer.bubbles, paragraphs);
        }
    }
}
