//! What is said in a run: customers' texts, the agent's answers, and how to know them again. Pure.

use std::time::Duration;

use omnihub_fakes::{AgentCall, Answer, Behaviour};

use super::{
    facts::Conversation,
    schedule::{Dice, Role},
    site::INSTANCES,
};

/// The name of an instance.
pub(super) fn instance(conversation: Conversation) -> String {
    format!("chaos{}", conversation % INSTANCES)
}

/// A process's name in logs and among the workers.
pub(super) fn name_of(role: Role) -> String {
    match role {
        Role::Worker(nth) => format!("worker-{nth}"),
        Role::Ingress(nth) => format!("ingress-{nth}"),
    }
}

/// The phone of a conversation's customer.
pub(super) fn phone(conversation: Conversation) -> String {
    format!("1415{:07}", 1_000_000 + conversation)
}

/// What a customer writes.
pub(super) fn text(conversation: Conversation, nth: usize) -> String {
    format!("c{conversation} m{nth}")
}

/// How many bubbles the answer to a message has: one to three, so that most can be cut between two.
pub(super) fn bubbles(conversation: Conversation, nth: usize) -> usize {
    1 + (conversation + nth) % 3
}

/// Reads `c<conversation> m<nth>` at the beginning of a text, and what follows.
pub(super) fn read(text: &str) -> Option<(Conversation, usize, &str)> {
    let (conversation, rest) = text.strip_prefix('c')?.split_once(" m")?;
    let (nth, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((conversation.parse().ok()?, nth.parse().ok()?, rest))
}

/// Reads a bubble: conversation, message, part.
pub(super) fn read_bubble(text: &str) -> Option<(Conversation, usize, usize)> {
    let (conversation, nth, rest) = read(text)?;
    Some((conversation, nth, rest.strip_prefix('b')?.parse().ok()?))
}

/// The agent: it answers each message with its bubbles as paragraphs, after 20 to 400 ms.
pub(super) fn agent() -> Behaviour {
    Behaviour::paced(|call: &AgentCall| {
        let Some((conversation, nth, _)) = read(call.message()) else {
            return (Duration::ZERO, Answer::text(call, "not understood"));
        };
        let part = |part: usize| format!("{} b{part}", text(conversation, nth));
        let answer: Vec<String> = (0..bubbles(conversation, nth)).map(part).collect();
        let takes = Dice((conversation as u64) << 32 | nth as u64).between(20, 400);
        (Duration::from_millis(takes), Answer::text(call, &answer.join("\n\n")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_known_again() {
        assert_eq!(read(&text(12, 3)), Some((12, 3, "")));
        assert_eq!(read_bubble("c12 m3 b1"), Some((12, 3, 1)));
        assert_eq!(read_bubble("c12 m3"), None);
        assert_eq!(read_bubble("sorry"), None);
        assert_ne!(phone(1), phone(2));
        let counts: Vec<usize> = (0..6).map(|nth| bubbles(0, nth)).collect();
        assert_eq!(counts, [1, 2, 3, 1, 2, 3]);
    }
}
