//! What each reason means, and what to do about it.
//!
//! A reason is the snake_case word of an ignored, held or dead message. Every word that the code
//! can produce stands here; a test reads the code and misses none.

use std::borrow::Cow;

/// A reason for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason {
    /// The word.
    pub(super) word: &'static str,
    /// What it means, as what follows a colon.
    sentence: &'static str,
    /// What to do, where something is to be done.
    remedy: Option<&'static str>,
}

const fn plain(word: &'static str, sentence: &'static str) -> Reason {
    Reason { word, sentence, remedy: None }
}

const fn mended(word: &'static str, sentence: &'static str, remedy: &'static str) -> Reason {
    Reason { word, sentence, remedy: Some(remedy) }
}

/// Messages that get no answer, by choice.
const IGNORED: &[Reason] = &[
    mended(
        "inactive",
        "the instance is switched off.",
        "Switch it on with `omnihub instance update NAME --active true`; messages that came meanwhile stay unanswered.",
    ),
    mended(
        "blocked",
        "an access rule blocks the person who wrote it.",
        "`omnihub access check PHONE --instance NAME` shows the rule; what comes once it is gone is answered.",
    ),
    mended(
        "paused",
        "the bot was silent in this conversation, because somebody had paused it.",
        "Resume it with `omnihub conversation resume SESSION --instance NAME`; what came meanwhile stays unanswered.",
    ),
    mended(
        "taken_over",
        "somebody answered from the paired phone, and the bot was silent in this conversation since.",
        "Resume it with `omnihub conversation resume SESSION --instance NAME`; `takeover_minutes` says how long it lasts.",
    ),
    mended(
        "handed_over",
        "no agent of the instance answered it, and the conversation was left to people (`on_agent_failure`).",
        "Answer it from the phone; `omnihub conversation resume SESSION --instance NAME` lets the bot answer again.",
    ),
    mended(
        "turn_budget",
        "the conversation had used up its turns of that minute, as when two bots answer each other.",
        "If people write as much, raise it with `omnihub instance update NAME --turns-per-minute TURNS`.",
    ),
    plain(
        "answer_superseded",
        "more messages came while the agent was still speaking, and the rest was not waited for.",
    ),
    plain("revoked", "the person took it back before the agent was asked about it."),
    plain("revocation", "it says that a message was taken back; that message's own trace tells what became of it."),
    plain("edit_applied", "it is an edit that came in time: its message was answered as it says."),
    mended(
        "edit_late",
        "it is an edit of a message that the agent had been asked about already.",
        "To answer such edits as new messages: `omnihub instance update NAME --on-edit new_turn`.",
    ),
    plain("status_broadcast", "it is a WhatsApp status, which is for all contacts and for nobody to answer."),
    plain("newsletter", "it came through a WhatsApp channel (newsletter), which takes no answers."),
    plain("from_me", "it was written from the bot's own account."),
    plain("reaction", "it is a reaction to a message, which asks for nothing."),
    plain("pin", "it only pins a message."),
    plain("album", "it announces an album; its pictures come as messages of their own."),
    plain("business_template", "a business sent it from a template, which no person answers with."),
    plain("unsupported_type", "it is of a type that the hub does not understand."),
    plain("empty", "it has no text."),
    mended(
        "group_without_mention",
        "in a group the bot answers only when it is mentioned or replied to.",
        "Mention the bot's number, or reply to one of its messages.",
    ),
    plain("group_never", "the instance does not answer in groups (`group_trigger` is `never`)."),
    mended(
        "group_without_keyword",
        "in a group the bot answers to its keywords, or when it is mentioned or replied to.",
        "Use one of the instance's `group_keywords`, or mention the bot's number.",
    ),
    plain("out_of_office", "it came outside of the instance's `opening_hours`, so the agent was not asked."),
    mended(
        "turn_budget_minute",
        "the instance had begun as many turns in that minute as it may.",
        "Raise it with `omnihub instance update NAME --budget-turns-per-minute TURNS`.",
    ),
    mended(
        "turn_budget_day",
        "the instance had begun as many turns on that day (UTC) as it may.",
        "Raise it with `omnihub instance update NAME --budget-turns-per-day TURNS`.",
    ),
    mended(
        "token_budget_day",
        "the instance's agent had used as many tokens on that day (UTC) as it may.",
        "Raise it with `omnihub instance update NAME --budget-tokens-per-day TOKENS`.",
    ),
    plain("lost", "NATS no longer has it: its store was put back from before the message came."),
    mended(
        "empty_answer",
        "the agent answered with no text, so there was nothing to send.",
        "If an answer was expected, look at the agent's own log; `omnihub trace show` has its answer as it came.",
    ),
];

/// What must be changed before an attempt is worth it.
const HELD: &[Reason] = &[
    mended(
        "agent_webhook_secret_unusable",
        "the secret that calls to the agent are signed with is not one of Standard Webhooks.",
        "Set one with `omnihub instance update NAME --agent-webhook-secret whsec_…`; what waits goes on at once.",
    ),
    mended(
        "agent_key_refused",
        "the agent refused the instance's key.",
        "Set the right key with `omnihub instance update NAME --agent-api-key KEY`; what waits goes on at once.",
    ),
    mended(
        "evolution_key_refused",
        "Evolution refused the instance's key.",
        "Set the right key with `omnihub instance update NAME --evolution-key KEY`; what waits goes on at once.",
    ),
    mended(
        "evolution_url_invalid",
        "the address of the instance's Evolution server cannot be used.",
        "Correct it with `omnihub instance update NAME --evolution-url URL`; what waits goes on at once.",
    ),
    mended(
        "evolution_key_invalid",
        "the instance's Evolution key has characters that no HTTP header takes.",
        "Set the right key with `omnihub instance update NAME --evolution-key KEY`; what waits goes on at once.",
    ),
    mended(
        "instance_unreadable",
        "what the database holds of the instance cannot be read: a secret in it does not open with the worker's keys, \
         one that is kept elsewhere is not to be had there, or the row is damaged.",
        "Give the workers the keys with which it was written (`OMNIHUB_ENCRYPTION_KEYS`), or mend the reference that \
         their log names; what waits then goes on, and what has died can be redriven.",
    ),
    mended(
        "newer_version",
        "a newer version of Omnihub accepted it, and this worker cannot read it.",
        "Bring the workers to the version of the ingress.",
    ),
];

/// What a conversation waits for beside its own attempts.
const WAITING: &[Reason] = &[
    mended(
        "agent_breaker_open",
        "most calls to the agent's server failed lately, so it is left alone for a moment.",
        "Look at the agent's server; what waits goes on by itself when it is well, and no attempt is counted.",
    ),
    mended(
        "channel_breaker_open",
        "most calls to the Evolution server failed lately, so it is left alone for a moment.",
        "Look at the Evolution server; what waits goes on by itself when it is well, and no attempt is counted.",
    ),
    plain("turn_cut", "its turn was cut in the middle, as if its worker had died, and is begun again after a while."),
    plain("database_away", "the hub's database does not answer."),
    mended(
        "secret_away",
        "who keeps a secret of the instance does not answer.",
        "Look at Vault (it may be sealed), or at what the worker's log says of the reference; what waits goes on by \
         itself.",
    ),
    plain("answer_awaited", "the agent has said that it answers later, and its answer is waited for."),
    plain("queue_away", "NATS does not answer."),
    plain("object_store_away", "the object store does not answer."),
];

/// What an agent can do to a message.
const AGENT: &[Reason] = &[
    mended(
        "agent_failed",
        "the agent failed in every attempt.",
        "When the agent is well again, send the message through once more with `omnihub dead redrive`.",
    ),
    mended(
        "agent_rejected",
        "the agent refused the question for good.",
        "Look at the agent's answer in the trace and at the instance's agent settings, then redrive it.",
    ),
    mended(
        "agent_redirect",
        "the agent's address points to another one, and a call with a key is not sent elsewhere.",
        "Set the final address with `omnihub instance update NAME --agent-api-url URL`, then redrive it.",
    ),
    mended(
        "agent_answer_unreadable",
        "the agent's answer is not what its protocol says.",
        "Look at the answer in the trace: the URL may lead to something that is no agent. Then redrive it.",
    ),
    mended(
        "agent_answer_too_large",
        "the agent's answer is larger than 1 MiB.",
        "Make the agent answer with text for a chat, then redrive it.",
    ),
    mended(
        "agent_unsuccessful",
        "the agent itself said that it cannot answer this, and that trying again is of no use.",
        "Look at the agent's answer in the trace and at its log, then redrive it.",
    ),
    mended(
        "agent_answers_later",
        "the agent means to answer later (202), and the hub knows no address of its own for that.",
        "Set `OMNIHUB_PUBLIC_URL`, or let the agent answer in the same call, within `agent_timeout`; then redrive it.",
    ),
    mended(
        "agent_never_answered",
        "the agent meant to answer later (202), and did not within `late_answer_minutes`.",
        "Look at the agent's log for what became of its POST to the `reply_url`, then redrive it.",
    ),
    mended(
        "agent_url_unusable",
        "the agent's address cannot be used.",
        "Correct it with `omnihub instance update NAME --agent-api-url URL`, then redrive it.",
    ),
];

/// What a channel can do to an answer.
const CHANNEL: &[Reason] = &[
    mended(
        "channel_failed",
        "the answer could not be sent in any attempt.",
        "When Evolution is well again, redrive it with `omnihub dead redrive`.",
    ),
    mended(
        "evolution_rejected",
        "Evolution refused the answer for good.",
        "The error says what it objects to; mend that, then redrive it.",
    ),
    mended(
        "evolution_redirect",
        "Evolution's address points to another one, and a call with a key is not sent elsewhere.",
        "Set the final address with `omnihub instance update NAME --evolution-url URL`, then redrive it.",
    ),
    mended(
        "evolution_instance_not_found",
        "the Evolution server has no instance of this name.",
        "Set the right one with `omnihub instance update NAME --whatsapp-instance NAME`, then redrive it.",
    ),
    plain("not_on_whatsapp", "the number is not on WhatsApp, so the answer has nowhere to go."),
    plain("channel_not_connected", "answers cannot be sent over this channel yet."),
];

/// What had become of a message in the Python hub.
const IMPORTED: &[Reason] = &[
    plain(
        "imported_failed",
        "it had failed in the Python hub before its trace was imported, so nothing is to redrive.",
    ),
    plain(
        "imported_unfinished",
        "the Python hub had not ended it when its trace was imported: it had dropped it, or lost it in a restart.",
    ),
];

/// What happens to a message inside the hub.
const HUB: &[Reason] = &[
    mended(
        "too_old",
        "it had waited for more than a day, and an answer would have come as a surprise.",
        "Redrive it if the person still wants an answer.",
    ),
    mended(
        "begun_too_often",
        "its turn was begun and cut again and again, as if the message killed its worker.",
        "Look at the workers' logs at the times of its attempts before you redrive it.",
    ),
    plain("unreadable", "what stood in the queue cannot be read as a message; its bytes are kept in the dead letter."),
    plain("body_missing", "its body was too large for the queue, and the object store no longer has it."),
    plain("body_unreadable", "its body was too large for the queue, and what the object store has cannot be read."),
    mended(
        "checkpoint_refused",
        "what has to be remembered of its turn is larger than NATS takes.",
        "Raise max_payload of the NATS server, then redrive it.",
    ),
];

/// Every reason.
pub(super) fn all() -> impl Iterator<Item = &'static Reason> {
    IGNORED.iter().chain(HELD).chain(WAITING).chain(AGENT).chain(CHANNEL).chain(IMPORTED).chain(HUB)
}

fn find(word: &str) -> Option<&'static Reason> {
    all().find(|reason| reason.word == word)
}

/// What a reason means, as what follows a colon.
#[must_use]
pub fn sentence_of(word: &str) -> Cow<'static, str> {
    match find(word) {
        Some(reason) => reason.sentence.into(),
        // Written by another version.
        None => format!("the reason is `{word}`, which this version does not know.").into(),
    }
}

/// What to do about a reason, where something is to be done.
#[must_use]
pub fn remedy_of(word: &str) -> Option<&'static str> {
    find(word)?.remedy
}
