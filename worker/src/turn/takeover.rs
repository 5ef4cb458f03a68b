//! Takeover: somebody answers from the paired phone, and the bot is silent in that conversation.
//!
//! ```text
//! own message delivered  ->  the running turn stops where it is (asking: at once; sending: after
//!   the bubble in flight)  ->  its command runs: the pause is kept  ->  ack
//! ->  the turn that stopped, and what waits, begins again and ends `handed_off`
//! ```
//!
//! The command goes before everything else in its lane, also after a crash, and is acknowledged
//! only once the table of conversations has the pause: while the database is away the lane waits
//! behind it, silent. Whether the message is a takeover is decided here and nowhere else: what we
//! have sent ourselves, and Evolution shows us, is none.

use chrono::{DateTime, TimeDelta, Utc};
use omnihub_common::{
    channel::{
        InboundMessage,
        whatsapp::{call::without_mention, inbound::read_message},
    },
    instance::{Instance, TakeoverSettings},
    queue::{Answer, Checkpoint, Command, EnvelopeBody, InstanceToken, MessageId, OpenTurn, Phase, now_ms},
    trace::{Outcome, TraceDetails},
};
use serde_json::Value;

use super::{
    Exit, Opened, Turn, admit::Ignored, candidates::HANDED_OVER, ignored, part::Part, retry, send::note_out,
    story::Story,
};

/// The reason of messages that a person answers instead of the bot.
pub(super) const TAKEN_OVER: &str = "taken_over";
/// A takeover is not kept anew for a person's every message: its end moves in steps of this part
/// of its time.
const STEPS: i32 = 10;

/// What a message from our own account does.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    /// Nothing.
    Nothing,
    /// The bot is silent until then.
    TakesOver(DateTime<Utc>),
    /// The bot answers again.
    HandsBack,
}

impl Turn {
    /// Does what a command says.
    pub(super) async fn obey(&mut self, parts: &mut [Part], instance: &Instance) -> Result<(), Exit> {
        let Some(part) = parts.first_mut() else { return Ok(()) };
        let (Some(envelope), Some(mut story)) = (&mut part.envelope, part.story.take()) else { return Ok(()) };
        story.hide(instance);
        let body = std::mem::replace(&mut envelope.body, EnvelopeBody::Inline(Value::Null));
        let at = envelope.provider_at.map_or(envelope.received_at, |at| at.min(envelope.received_at));
        let (session, command) = (envelope.session_name.clone(), envelope.command);
        if envelope.answers {
            // It belongs to the trace of its question, and has none of its own.
            let body = match body {
                EnvelopeBody::Inline(body) => Ok(body),
                EnvelopeBody::Object(name) => self.fetch_body(&name).await?,
            };
            self.take_answer(instance, body.unwrap_or_default());
            return Err(Exit::End(Outcome::Ignored, String::new()));
        }
        let message = match body {
            EnvelopeBody::Inline(body) => read_message(&body),
            // What is so large is no bubble of ours and no keyword.
            EnvelopeBody::Object(_) => read_message(&Value::Null),
        };
        self.learn_from(&message, envelope.own_id.as_deref()).await;
        let done = match command {
            Some(Command::Revoke) => self.revoke(&mut story, &message),
            _ => self.own_message(instance, &mut story, &session, &message, at).await,
        };
        part.story = Some(story);
        done
    }

    async fn own_message(
        &mut self,
        instance: &Instance,
        story: &mut Story,
        session: &str,
        message: &InboundMessage,
        at: i64,
    ) -> Result<(), Exit> {
        story.read(TraceDetails::of(message));
        let id = self.items.first().map(|item| item.id);
        let own = match id {
            Some(id) if is_ours(&mut self.checkpoint, id, message) => Own::Nothing,
            _ if !instance.is_active => Own::Nothing,
            _ => decide(&instance.takeover, message, at, now_ms()),
        };
        let (pauses, name) = (&self.kit.pauses, instance.name.as_str());
        let (changed, notice) = match own {
            Own::Nothing => return Err(ignored(Ignored::FromMe)),
            Own::TakesOver(until) => {
                let slack = TimeDelta::minutes(instance.takeover.minutes.into()) / STEPS;
                let notice =
                    format!("a person answers in this conversation: the bot is silent until {}", until.to_rfc3339());
                (pauses.take_over(name, session, until, slack).await, notice)
            }
            Own::HandsBack => {
                (pauses.hand_back(name, session).await, "the person has let the bot answer again".to_owned())
            }
        };
        self.make_known(changed).await?;
        story.details().warnings.push(notice);
        Err(ignored(Ignored::FromMe))
    }

    /// Nothing of the lane begins before every worker can know.
    pub(super) async fn make_known<E: std::fmt::Display>(&self, changed: Result<Option<i64>, E>) -> Result<(), Exit> {
        match changed {
            Ok(None) => Ok(()),
            Ok(Some(instance)) => {
                self.kit.announcer.changed(instance).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error.message = %error, "a takeover cannot be kept yet");
                Err(Exit::Later(retry::PAUSE, "database_away"))
            }
        }
    }

    /// An answer that is out in part ends here, when a person has taken over since.
    pub(super) async fn find_not_taken_over(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        answer: &Answer,
    ) -> Result<(), Exit> {
        // Its text tells of the handoff that silenced the bot.
        if answer.instead_of.as_deref() == Some(HANDED_OVER) {
            return Ok(());
        }
        match self.kept_out(&opened.instance, &opened.envelope.session_name, &opened.message).await? {
            Some((Outcome::HandedOff, reason)) => {
                story.answered(answer);
                note_out(story, answer);
                let (out, of) = (answer.sent.len(), answer.bubbles.len());
                story.details().warnings.push(format!("a person has taken over: {out} of {of} bubbles went out"));
                Err(Exit::End(Outcome::HandedOff, reason))
            }
            // Who was let in before the first bubble went out stays so.
            _ => Ok(()),
        }
    }

    /// The checkpoint is to know our bubbles, so that none is taken for a person's words later.
    pub(super) fn remember_ours(&mut self) {
        let Some(instance) = InstanceToken::row_id(&self.lane.instance) else { return };
        let sent = self.answer_so_far().map(|answer| answer.sent.clone()).unwrap_or_default();
        for id in sent.iter().filter(|id| !id.is_empty()) {
            self.checkpoint.sent(MessageId::of_own(instance, &self.lane.conversation, id));
        }
    }
}

/// Decides what a message from our own account does that is not ours; `at` is when it was written,
/// both in milliseconds since 1970.
fn decide(settings: &TakeoverSettings, message: &InboundMessage, at: i64, now: i64) -> Own {
    if !settings.is_on() {
        return Own::Nothing;
    }
    if settings.is_resume(message.content.text.as_deref().unwrap_or_default()) {
        return Own::HandsBack;
    }
    let until = at.saturating_add(i64::from(settings.minutes) * 60_000);
    // One that comes late, as after an outage, is a takeover that is over.
    match DateTime::from_timestamp_millis(until) {
        Some(end) if until > now => Own::TakesOver(end),
        _ => Own::Nothing,
    }
}

/// Whether the message is one of our bubbles: of an earlier turn, or of the one that stopped for
/// it. One whose send had begun, and of which nobody knows whether it is out, is out when its very
/// words come back: then it is not sent again.
fn is_ours(checkpoint: &mut Checkpoint, id: MessageId, message: &InboundMessage) -> bool {
    if checkpoint.ours.contains(&id.short()) {
        return true;
    }
    let Some(OpenTurn { phase: Phase::Sending(answer), .. }) = &mut checkpoint.overtaken else { return false };
    if answer.sent.contains(&message.provider_id) {
        return true;
    }
    let doubtful = answer.bubbles.get(answer.sent.len()).filter(|_| answer.in_doubt);
    let words = message.content.text.as_deref().map(str::trim);
    // In a group the first one may mention who asked.
    let bare = words.map(without_mention).filter(|_| message.is_group && answer.sent.is_empty());
    let confirms = doubtful.is_some_and(|text| words == Some(text.trim()) || bare == Some(text.trim()));
    if confirms {
        answer.sent.push(message.provider_id.clone());
        answer.in_doubt = false;
    }
    confirms
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn written(id: &str, text: &str) -> InboundMessage {
        read_message(&json!({
            "key": {"remoteJid": "14155550001@s.whatsapp.net", "fromMe": true, "id": id},
            "message": {"conversation": text},
        }))
    }

    fn own(id: &str) -> MessageId {
        MessageId::of_own(1, "acme_1", id)
    }

    #[test]
    fn a_takeover_lasts_from_when_it_was_written_and_one_that_is_over_is_none() {
        let settings = TakeoverSettings { minutes: 30, resume_keyword: Some("#bot".into()) };
        let decide = |text, now| decide(&settings, &written("A", text), 0, now);
        let end = DateTime::from_timestamp_millis(30 * MINUTE).unwrap();
        assert_eq!(decide("one moment", MINUTE), Own::TakesOver(end));
        assert_eq!(decide("one moment", 30 * MINUTE), Own::Nothing);
        assert_eq!(decide("#BOT", MINUTE), Own::HandsBack);
        let off = TakeoverSettings { minutes: 0, ..settings.clone() };
        assert_eq!(super::decide(&off, &written("A", "#bot"), 0, 1), Own::Nothing);
    }

    #[test]
    fn our_bubbles_are_no_person_s_words() {
        let mut checkpoint = Checkpoint::new();
        checkpoint.sent(own("A"));
        assert!(is_ours(&mut checkpoint, own("A"), &written("A", "hi")));
        assert!(!is_ours(&mut checkpoint, own("B"), &written("B", "hi")));
        let answer = Answer {
            bubbles: ["one", "two", "three"].map(str::to_owned).into(),
            sent: vec!["C".into()],
            ..Answer::default()
        };
        let sending = |answer| Some(OpenTurn { phase: Phase::Sending(answer), ..OpenTurn::new(Vec::new()) });
        checkpoint.overtaken = sending(answer.clone());
        assert!(is_ours(&mut checkpoint, own("C"), &written("C", "one")));
        assert!(!is_ours(&mut checkpoint, own("D"), &written("D", "two")), "nothing is in doubt");

        checkpoint.overtaken = sending(Answer { in_doubt: true, ..answer.clone() });
        assert!(!is_ours(&mut checkpoint, own("D"), &written("D", "three")), "not that one");
        assert!(is_ours(&mut checkpoint, own("D"), &written("D", " two\n")));
        let first = Answer { sent: Vec::new(), in_doubt: true, ..answer.clone() };
        for (chat, is_confirmed) in [("1@g.us", true), ("14155550001@s.whatsapp.net", false)] {
            let mut sending_first = Checkpoint { overtaken: sending(first.clone()), ..Checkpoint::new() };
            let mentioning = InboundMessage { is_group: chat.ends_with("@g.us"), ..written("E", "@5511 one") };
            assert_eq!(is_ours(&mut sending_first, own("E"), &mentioning), is_confirmed, "{chat}");
        }
        let confirmed = Answer { sent: vec!["C".into(), "D".into()], ..answer };
        assert_eq!(checkpoint.overtaken, sending(confirmed));
    }
}
