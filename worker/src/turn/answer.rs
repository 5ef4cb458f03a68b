//! A stored answer: what is kept of the agent's reply while its bubbles go out.

use omnihub_common::{conversation::bubbles, instance::Instance, queue::Answer};

use crate::agent::Reply;

/// WhatsApp takes texts of up to so many characters.
pub(super) const WHATSAPP_LIMIT: usize = 4096;
/// An answer is kept up to so many bytes, so that a checkpoint always fits into a message.
const LARGEST_TEXT: usize = 64 * 1024;

/// Cuts a reply into bubbles. The second value tells whether the text had to be shortened.
pub(super) fn stored(instance: &Instance, reply: &Reply, asked_at: i64, answered_at: i64) -> (Answer, bool) {
    let mut end = reply.text.len().min(LARGEST_TEXT);
    while !reply.text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &reply.text[..end];
    let settings = instance.reply;
    let answer = Answer {
        bubbles: bubbles(text, settings.enable_auto_split, settings.split_over, WHATSAPP_LIMIT),
        text: text.to_owned(),
        asked_at,
        answered_at,
        tokens: reply.tokens,
        tools_used: reply.tools_used,
        ..Answer::default()
    };
    (answer, end < reply.text.len())
}

/// The instance's own text, sent once when the agent has failed for the last time.
pub(super) fn apology(instance: &Instance, text: &str, reason: &str, now: i64) -> Answer {
    let reply = Reply { text: text.to_owned(), ..Reply::default() };
    let (answer, _) = stored(instance, &reply, now, now);
    Answer { instead_of: Some(reason.to_owned()), ..answer }
}

/// A short stable hash, in hexadecimal.
pub(super) fn hash_of(text: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::tests::instance;

    fn reply(text: String) -> Reply {
        Reply { text, ..Reply::default() }
    }

    #[test]
    fn short_answers_stay_whole_and_long_ones_are_split_on_blank_lines() {
        let (answer, cut) = stored(&instance(), &reply("one\n\ntwo".into()), 1, 2);
        assert_eq!((answer.bubbles, cut), (vec!["one\n\ntwo".to_owned()], false));
        let long = format!("{}\n\n{}", "a".repeat(600), "b".repeat(600));
        assert_eq!(stored(&instance(), &reply(long), 1, 2).0.bubbles.len(), 2);
        assert!(stored(&instance(), &reply("  ".into()), 1, 2).0.bubbles.is_empty());
    }

    #[test]
    fn a_huge_answer_is_shortened_between_characters() {
        let (answer, cut) = stored(&instance(), &reply("é".repeat(40_000)), 1, 2);
        assert!(cut && answer.text.len() <= LARGEST_TEXT);
        assert!(answer.bubbles.iter().all(|bubble| bubble.chars().count() <= WHATSAPP_LIMIT));
    }
}
