//! A stored answer: what is kept of the agent's reply while its bubbles go out.

use omnihub_common::{conversation::bubbles, instance::Instance, queue::Answer};

use crate::agent::Reply;

/// WhatsApp takes texts of up to so many characters.
pub(super) const WHATSAPP_LIMIT: usize = 4096;
/// An answer is kept up to so many bytes, so that a checkpoint always fits into a message.
pub(super) const LARGEST_TEXT: usize = 64 * 1024;

/// Cuts a reply into bubbles.
pub(super) fn stored(instance: &Instance, reply: &Reply, asked_at: i64, answered_at: i64) -> Answer {
    let text = shortened(&reply.text);
    let settings = instance.reply;
    Answer {
        bubbles: bubbles(text, settings.enable_auto_split, settings.split_over, WHATSAPP_LIMIT),
        text: text.to_owned(),
        asked_at,
        answered_at,
        tokens: reply.tokens,
        tools_used: reply.tools_used,
        ..Answer::default()
    }
}

/// The same behind what is out of an answer that was not given to its end.
pub(super) fn after(out: Option<Answer>, answer: Answer) -> Answer {
    let Some(Answer { mut bubbles, sent, in_doubt, .. }) = out else { return answer };
    bubbles.extend(answer.bubbles);
    Answer { bubbles, sent, in_doubt, ..answer }
}

/// As much of a text as is kept.
pub(super) fn shortened(text: &str) -> &str {
    let mut end = text.len().min(LARGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The instance's own text, sent once when the agent has failed for the last time.
pub(super) fn apology(instance: &Instance, text: &str, reason: &str, now: i64) -> Answer {
    let reply = Reply { text: text.to_owned(), ..Reply::default() };
    Answer { instead_of: Some(reason.to_owned()), ..stored(instance, &reply, now, now) }
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
        let answer = stored(&instance(), &reply("one\n\ntwo".into()), 1, 2);
        assert_eq!(answer.bubbles, ["one\n\ntwo"]);
        let long = format!("{}\n\n{}", "a".repeat(600), "b".repeat(600));
        assert_eq!(stored(&instance(), &reply(long), 1, 2).bubbles.len(), 2);
        assert!(stored(&instance(), &reply("  ".into()), 1, 2).bubbles.is_empty());
    }

    #[test]
    fn a_huge_answer_is_shortened_between_characters() {
        let answer = stored(&instance(), &reply("é".repeat(40_000)), 1, 2);
        assert_eq!(answer.text.len(), LARGEST_TEXT);
        assert!(answer.bubbles.iter().all(|bubble| bubble.chars().count() <= WHATSAPP_LIMIT));
    }
}
