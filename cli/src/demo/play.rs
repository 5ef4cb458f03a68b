//! The conversations happen: each customer waits for the answer before the next message.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use omnihub_fakes::customers::message_id;

use super::{
    script::{Ending, Line, Scene},
    world::{INSTANCE, Trace, World},
};

/// How long one message may take to its end, on a machine that does other things too.
const MESSAGE_WITHIN: Duration = Duration::from_secs(20);

/// The payloads that the trace of an answered message keeps.
const STAGES: [&str; 4] = ["webhook_received", "agent_request", "agent_response", "channel_send"];

/// A conversation that has happened.
#[derive(Clone, Debug)]
pub(super) struct Played {
    /// What was meant to happen.
    pub(super) scene: Scene,
    /// What happened, a message each; fewer than lines when one of them failed.
    pub(super) messages: Vec<Message>,
    /// Why it broke off.
    pub(super) failure: Option<String>,
}

/// A message that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// What it was.
    pub(super) line: Line,
    /// Its trace.
    pub(super) trace: Trace,
    /// Whether every post of its webhook was answered with the same trace.
    pub(super) one_trace: bool,
    /// What reached the customer for it.
    pub(super) bubbles: Vec<String>,
    /// From the webhook to the first bubble.
    pub(super) reply_after: Option<Duration>,
}

impl Message {
    /// Whether it brought what it must, and its webhook counted once however often it came.
    pub(super) fn counted_once(&self) -> bool {
        let wanted = match self.line.ending() {
            Ending::Answered(bubbles) => bubbles,
            Ending::Ignored(_) => Vec::new(),
        };
        self.one_trace && self.bubbles == wanted
    }
}

/// Plays a scene; `nth` sets its message ids apart from those of the others.
pub(super) async fn play(world: &World, scene: Scene, nth: u64) -> Played {
    let mut played = Played { scene, messages: Vec::new(), failure: None };
    for (line, place) in played.scene.lines.clone().into_iter().zip(0..) {
        let id = message_id(seconds_now(), nth * 1_000 + place);
        match play_line(world, &played.scene, line, &id).await {
            Ok(message) => played.messages.push(message),
            Err(error) => {
                played.failure = Some(format!("{error:#}"));
                break;
            }
        }
    }
    played
}

/// A webhook that comes more than once comes at the same moment, and again after the answer.
async fn play_line(world: &World, scene: &Scene, line: Line, id: &str) -> anyhow::Result<Message> {
    let webhook = line.webhook(scene, INSTANCE, id, seconds_now());
    let before = world.received_by(scene.phone).len();
    let posted = Instant::now();
    let (trace_id, again) = match line.posts() {
        1 => (world.post(&webhook).await?, None),
        _ => {
            let (first, second) = tokio::try_join!(world.post(&webhook), world.post(&webhook))?;
            (first, Some(second))
        }
    };
    let stages = if matches!(line.ending(), Ending::Answered(_)) { STAGES.as_slice() } else { &STAGES[..1] };
    let trace = world.trace(&trace_id, stages, MESSAGE_WITHIN).await?;
    let mut one_trace = again.is_none_or(|again| again == trace_id);
    for _ in 2..line.posts() {
        one_trace &= world.post(&webhook).await? == trace_id;
    }
    let sent = world.received_by(scene.phone).split_off(before);
    Ok(Message {
        line,
        trace,
        one_trace,
        reply_after: sent.first().map(|first| first.at.saturating_duration_since(posted)),
        bubbles: sent.into_iter().map(|sent| sent.text).collect(),
    })
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::{script::scenes, world::Payload};

    /// A scene that went as it should.
    pub(in crate::demo) fn perfect(scene: Scene) -> Played {
        let messages = scene.lines.iter().map(|line| message(*line)).collect();
        Played { scene, messages, failure: None }
    }

    fn message(line: Line) -> Message {
        let (bubbles, outcome, reason, stages) = match line.ending() {
            Ending::Answered(bubbles) => (bubbles, "answered", None, STAGES.as_slice()),
            Ending::Ignored(reason) => (Vec::new(), "ignored", Some(reason), &STAGES[..1]),
        };
        let at = |ms: u32| json!(format!("2026-11-22T01:20:17.{ms:03}Z"));
        let answered = |ms| if bubbles.is_empty() { json!(null) } else { at(ms) };
        let trace = json!({
            "status": "completed", "outcome": outcome, "outcome_reason": reason, "received_at": at(100),
            "processing_started_at": at(103), "agent_request_at": answered(105), "agent_response_at": answered(107),
            "channel_send_at": answered(111), "completed_at": at(112),
        });
        let mut trace: Trace = serde_json::from_value(trace).unwrap();
        let payload = |stage: &&str| Payload { stage: (*stage).to_owned(), payload: Some(json!({"bubbles": bubbles})) };
        trace.payloads = stages.iter().map(payload).collect();
        let reply_after = (!bubbles.is_empty()).then_some(Duration::from_millis(11));
        Message { line, trace, one_trace: true, bubbles, reply_after }
    }

    #[test]
    fn every_line_of_a_perfect_play_has_its_message() {
        assert!(scenes().into_iter().all(|scene| perfect(scene.clone()).messages.len() == scene.lines.len()));
    }
}
