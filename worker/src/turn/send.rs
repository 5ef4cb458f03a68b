//! Sending an answer, or what a program sends, bubble by bubble.

use std::{borrow::Cow, time::Instant};

use omnihub_common::{
    channel::{
        Outgoing,
        whatsapp::{
            call::{Call, mention_of, with_mention},
            outbound::{Evolution, SendError, Sent},
            sent::Sought,
        },
    },
    conversation::Decision,
    instance::{ChannelSettings, Instance, MentionInGroups},
    queue::{Answer, Phase, now_ms},
    telemetry::propagation,
    trace::{Stage, TraceStatus},
};
use serde_json::{Value, json};

use super::{
    Exit, Kit, Opened, Running, Turn,
    reception::{ended_instead, is_out_of_office},
    story::Story,
};
use crate::breaker::{Address, Permit};

/// The instance's account on its Evolution server.
pub(super) fn evolution(kit: &Kit, instance: &Instance) -> Result<Evolution, SendError> {
    match &instance.channel {
        ChannelSettings::Whatsapp(whatsapp) => Evolution::new(
            kit.http.clone(),
            &whatsapp.evolution_url,
            &whatsapp.evolution_key,
            &whatsapp.whatsapp_instance,
        ),
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => Err(SendError {
            status: None,
            message: "this channel cannot send yet".to_owned(),
            decision: Decision::Dead("channel_not_connected".to_owned()),
            may_have_sent: false,
        }),
    }
}

/// What goes out bubble by bubble, through whom and to whom.
#[derive(Clone, Copy)]
pub(super) struct Parcel<'a> {
    pub(super) instance: &'a Instance,
    pub(super) number: &'a str,
    /// What a program sends; none when it is an agent's answer.
    outgoing: Option<&'a Outgoing>,
    /// The id of the message that the first bubble of an answer quotes.
    quoted: Option<&'a str>,
    /// Whom the first bubble of an answer mentions.
    mentioned: Option<&'a str>,
}

impl<'a> Parcel<'a> {
    /// An agent's answer: where the instance wants that, it quotes the message that it answers, and
    /// mentions in a group who wrote that.
    pub(super) fn answer(Opened { instance, message, .. }: &'a Opened, number: &'a str) -> Self {
        let quotes = instance.reply.quote.applies(message.is_group) && !message.provider_id.is_empty();
        let mentions = message.is_group && instance.reply.mention == MentionInGroups::Sender;
        let quoted = quotes.then_some(message.provider_id.as_str());
        let mentioned = mention_of(&message.sender).filter(|_| mentions);
        Self { instance, number, outgoing: None, quoted, mentioned }
    }

    /// Whether an agent has said it.
    pub(super) fn is_answer(&self) -> bool {
        self.outgoing.is_none()
    }

    /// What a program sends.
    pub(super) fn outgoing(instance: &'a Instance, number: &'a str, outgoing: &'a Outgoing) -> Self {
        Self { instance, number, outgoing: Some(outgoing), quoted: None, mentioned: None }
    }

    /// What to look for where a bubble may be out; none where it could not be told from another.
    pub(super) fn sought<'b>(&'b self, bubble: &'b str, first: bool) -> Option<Sought<'b>> {
        match self.outgoing {
            Some(outgoing) => Sought::of(outgoing, self.number, bubble),
            None => Some(Sought::text(self.number, self.words(bubble, first))),
        }
    }

    fn call(&self, bubble: &str, first: bool) -> Call {
        match self.outgoing {
            Some(outgoing) => Call::of(outgoing, bubble, first),
            None => Call::text(self.number, &self.words(bubble, first))
                .quoting(self.quoted.filter(|_| first))
                .mentioning(self.mentioned.filter(|_| first)),
        }
    }

    /// The words of an answer's bubble.
    fn words<'b>(&self, bubble: &'b str, first: bool) -> Cow<'b, str> {
        match self.mentioned.filter(|_| first) {
            Some(person) => with_mention(person, bubble).into(),
            None => bubble.into(),
        }
    }
}

impl Turn {
    /// Sends what is not out yet.
    pub(super) async fn send(
        &mut self,
        parcel: &Parcel<'_>,
        story: &mut Story,
        mut answer: Answer,
    ) -> Result<(), Exit> {
        self.settle(parcel, story, &mut answer).await?;
        let payload = (Stage::ChannelSend, None, outgoing(parcel.number, &answer, None));
        story.step(TraceStatus::Formatted, Some(payload)).await;
        while answer.sent.len() < answer.bubbles.len() {
            if self.reins.stop.is_cancelled() {
                self.remember_sending(answer);
                return Err(Exit::Stopped);
            }
            Box::pin(self.send_next(parcel, story, &mut answer)).await?;
        }
        // For the end: what is surely out stands in memory.
        let instead_of = answer.instead_of.clone();
        self.remember_sending(answer);
        match instead_of {
            Some(reason) => Err(ended_instead(reason)),
            None => Ok(()),
        }
    }

    /// What is known, or can be, of the bubbles that are out already, or may be.
    pub(super) async fn settle(
        &mut self,
        parcel: &Parcel<'_>,
        story: &mut Story,
        answer: &mut Answer,
    ) -> Result<(), Exit> {
        self.kit.receipts.complete(&self.turn_id(), answer);
        note_out(story, answer);
        if answer.in_doubt { Box::pin(self.settle_doubt(parcel, story, answer)).await } else { Ok(()) }
    }

    /// Sends the first bubble that is not out.
    pub(super) async fn send_next(
        &mut self,
        parcel: &Parcel<'_>,
        story: &mut Story,
        answer: &mut Answer,
    ) -> Result<(), Exit> {
        Box::pin(self.keep_pace(parcel, answer)).await?;
        if Box::pin(self.is_orphaned()).await {
            return Err(Exit::Vanish);
        }
        let permit = match self.permit_to_send(parcel.instance) {
            Ok(permit) => permit,
            // With the answer in the checkpoint: who goes on with it need not ask again.
            Err(exit) => {
                self.remember_sending(answer.clone());
                return Err(exit);
            }
        };
        answer.in_doubt = true;
        let nth = answer.sent.len();
        self.progress.sending(nth + 1, answer.bubbles.len());
        self.checkpoint_sending(answer).await?;
        if !self.partition.may_act() {
            return Err(Exit::Fenced);
        }
        let since = Instant::now();
        let call = parcel.call(&answer.bubbles[nth], nth == 0);
        let sent = match evolution(&self.kit, parcel.instance) {
            Ok(evolution) => evolution.send(&call, propagation::inject_current()).await,
            Err(error) => Err(error),
        };
        self.kit.metrics.took("send", since);
        tell_breaker(permit, &sent);
        match sent {
            Ok(sent) => {
                note_sent(story, answer, sent);
                self.kit.receipts.keep(&self.turn_id(), answer);
                Ok(())
            }
            Err(error) => Err(Box::pin(self.send_failed(parcel.instance, story, answer.clone(), error)).await),
        }
    }

    /// Whether the Evolution server may be called now.
    fn permit_to_send(&self, instance: &Instance) -> Result<Option<Permit>, Exit> {
        let Some(address) = Address::channel(instance) else { return Ok(None) };
        let permit = self.kit.breakers.admit(&address);
        permit.map(Some).map_err(|parked| Exit::Parked(parked, "channel_breaker_open"))
    }

    /// The first time, the schedule of waits begins anew: the agent's failures are past.
    pub(super) fn remember_sending(&mut self, answer: Answer) {
        let (attempt, failures) = match self.open_turn() {
            Some(open) if matches!(open.phase, Phase::Sending(_)) => (open.attempt, open.failures),
            Some(open) => (open.attempt, 0),
            None => (0, 0),
        };
        self.remember(attempt, failures, Phase::Sending(answer), Running::GoesOn);
    }

    /// "sent up to i-1, sending i": from here on bubble i may be out.
    async fn checkpoint_sending(&mut self, answer: &Answer) -> Result<(), Exit> {
        self.remember_sending(answer.clone());
        self.write().await
    }

    async fn send_failed(
        &mut self,
        instance: &Instance,
        story: &mut Story,
        mut answer: Answer,
        error: SendError,
    ) -> Exit {
        self.kit.metrics.failed(instance.name.as_str(), "send");
        answer.in_doubt = error.may_have_sent;
        let details = story.details();
        details.evolution_success = Some(false);
        details.channel_success = Some(false);
        details.evolution_response_code = error.status.map(i32::from);
        let payload = outgoing("", &answer, Some(json!({"status": error.status, "error": error.message})));
        let reason = answer.instead_of.clone();
        let exit = self.fail(story, "channel", error.decision, Phase::Sending(answer));
        story.failed("channel_send", &error.message, Some((Stage::ChannelSend, error.status, payload))).await;
        self.progress.failed(story.error_message());
        match (exit, reason) {
            // An apology that cannot be sent either changes nothing about why the message died.
            (Exit::End(..), Some(reason)) if !is_out_of_office(&reason) => ended_instead(reason),
            (exit, _) => exit,
        }
    }

    /// The payload of the outcome: what went out.
    pub(super) fn sent_payload(&self) -> Option<(Stage, Option<u16>, Value)> {
        let answer = self.answer_so_far()?;
        let ids = json!({"message_ids": answer.sent});
        Some((Stage::ChannelSend, Some(201).filter(|_| !answer.sent.is_empty()), outgoing("", answer, Some(ids))))
    }
}

/// Only a server that does not do its work counts as failing: what it says of one account or one
/// recipient is no matter of the others.
fn tell_breaker(permit: Option<Permit>, sent: &Result<Sent, SendError>) {
    let Some(permit) = permit else { return };
    match sent {
        Err(SendError { status: None | Some(429 | 502..=504), decision: Decision::Again(_), .. }) => permit.failed(),
        _ => permit.answered(),
    }
}

fn note_sent(story: &mut Story, answer: &mut Answer, sent: Sent) {
    answer.in_doubt = false;
    answer.sent.push(sent.message_id.unwrap_or_default());
    let details = story.details();
    details.channel_send_at = Some(now_ms());
    details.evolution_response_code = Some(i32::from(sent.status));
    note_out(story, answer);
}

/// What is surely out: since this turn began, or since an earlier beginning of it.
pub(super) fn note_out(story: &mut Story, answer: &Answer) {
    if answer.sent.is_empty() {
        return;
    }
    let details = story.details();
    details.evolution_success = Some(true);
    details.channel_success = Some(true);
    details.reply_message_ids.clone_from(&answer.sent);
}

fn outgoing(number: &str, answer: &Answer, result: Option<Value>) -> Value {
    let mut payload = json!({"bubbles": answer.bubbles, "sent": answer.sent.len()});
    if !number.is_empty() {
        payload["number"] = number.into();
    }
    if let Some(result) = result {
        payload["result"] = result;
    }
    payload
}
