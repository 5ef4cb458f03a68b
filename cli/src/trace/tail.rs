//! `omnihub trace tail`: a line for each step of a message, while it happens.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, bail};
use omnihub_common::trace::{Outcome, TailLine, TraceStatus};
use serde_json::Value;

use super::{
    TailArgs,
    events::{Event, Events},
    table::{phone, span},
};
use crate::api::Api;

/// The hub shows every 15 s that it is there; three times that is a connection that is not.
const SILENCE: Duration = Duration::from_secs(45);
/// So much of a message stands in a line.
const SHOWN: usize = 40;

/// What comes of an event.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Print(String),
    Note(String),
    End,
    Fail(String),
}

/// Prints lines until the hub stops.
///
/// # Errors
/// When the hub is not reachable or refuses, or the tail is cut off.
pub(super) async fn run(arguments: &TailArgs, target: &Api) -> anyhow::Result<()> {
    let mut query = vec![("errors", arguments.errors.to_string())];
    let given = [("instance_name", &arguments.instance), ("outcome", &arguments.outcome)];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    let mut response = target.open(&["traces", "tail"], &query).await?;
    let mut events = Events::default();
    loop {
        let chunk = tokio::time::timeout(SILENCE, response.chunk()).await.context(
            "the hub has fallen silent: run the command again, and look at the hub's log when it happens again",
        )?;
        let Some(chunk) = chunk.context("the connection to the hub broke: run the command again")? else {
            bail!("the hub ended the tail, as it does when it stops: run the command again")
        };
        for event in events.take(&chunk).context(
            "what answers is no stream of events: a proxy may have changed it, set OMNIHUB_URL to the hub itself",
        )? {
            let print = match next(&event, arguments.json) {
                Next::Print(line) => put(&mut io::stdout().lock(), &line),
                Next::Note(line) => put(&mut io::stderr().lock(), &line),
                Next::End => return Ok(()),
                Next::Fail(why) => bail!(why),
            };
            match print {
                // Whoever read has read enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                printed => printed.context("a line could not be printed")?,
            }
        }
    }
}

fn put(out: &mut impl Write, line: &str) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}

fn next(event: &Event, json: bool) -> Next {
    let data = || serde_json::from_str::<Value>(&event.data).unwrap_or_default();
    match event.name.as_str() {
        "trace" if json => Next::Print(event.data.clone()),
        "trace" => match serde_json::from_str(&event.data) {
            Ok(line) => Next::Print(shown(&line)),
            Err(_) => Next::Note("A line of a newer version cannot be shown; --json prints it.".to_owned()),
        },
        "hello" => Next::Note("Watching; Ctrl-C ends it.".to_owned()),
        "gap" => Next::Note("The hub's connection to NATS changed: lines may be missing here.".to_owned()),
        "cut" if data()["reason"] == "stopped" => Next::End,
        "cut" => {
            Next::Fail(format!("the tail was cut off: {}", data()["detail"].as_str().unwrap_or("no reason given")))
        }
        // Something of a newer version.
        _ => Next::Note(String::new()),
    }
}

/// One line for people.
fn shown(line: &TailLine) -> String {
    let time = line.at.format("%H:%M:%S%.3f");
    let who = line.sender_phone.as_deref().map(phone).unwrap_or_default();
    let said = line.message.as_deref().map(|text| format!("  “{}”", head(text))).unwrap_or_default();
    let said = if line.outcome.is_none() && line.status == TraceStatus::WebhookReceived { said } else { String::new() };
    format!("{time}  {}  {:<12} {who:<15} {}{said}", line.trace_id, line.instance_name, step(line))
}

fn step(line: &TailLine) -> String {
    let took = |ms: Option<i32>| ms.map(|ms| format!(" after {}", span(i64::from(ms)))).unwrap_or_default();
    let why = line.outcome_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let total = took(line.total_processing_time_ms);
    match (line.outcome, &line.error_message) {
        (Some(Outcome::Answered), _) => format!("answered{total}{}", messages(line.sent)),
        (Some(Outcome::Ignored), _) => format!("ignored{why}"),
        (Some(Outcome::HandedOff), _) => "handed off".to_owned(),
        (Some(Outcome::Dead), _) => format!("dead{total}{why}"),
        (None, Some(error)) => format!("{} failed: {error}{}", stage(line), attempt(line)),
        (None, None) => match line.status {
            TraceStatus::WebhookReceived => "received".to_owned(),
            TraceStatus::Processing => format!("begun{}", attempt(line)),
            TraceStatus::AgentCalled => format!("agent asked{}", attempt(line)),
            TraceStatus::AgentSuccess => format!("agent answered{}", took(line.agent_processing_time_ms)),
            TraceStatus::Formatted => "sending the answer".to_owned(),
            TraceStatus::Completed => "completed".to_owned(),
            TraceStatus::Error => "error".to_owned(),
        },
    }
}

fn stage(line: &TailLine) -> &str {
    match line.error_stage.as_deref() {
        Some("agent_called") => "agent",
        Some("channel_send") => "sending",
        Some(other) => other,
        None => "an attempt",
    }
}

fn attempt(line: &TailLine) -> String {
    line.attempts.filter(|attempt| *attempt > 1).map(|attempt| format!(" (attempt {attempt})")).unwrap_or_default()
}

fn messages(sent: usize) -> String {
    if sent > 1 { format!(" in {sent} messages") } else { String::new() }
}

/// The beginning of a text, on one line.
pub(super) fn head(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if text.chars().count() > SHOWN { format!("{line}…") } else { line }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: &Value) -> Event {
        Event { name: name.into(), data: data.to_string() }
    }

    fn line(fields: Value) -> Value {
        let mut line = json!({
            "at": "2026-01-31T09:00:00.125Z", "trace_id": "01900000-0000-8000-8000-000000000001",
            "instance_name": "acme", "status": "webhook_received", "sender_phone": "5511987654321",
            "message": "Hello\nthere", "attempts": 1, "sent": 0,
        });
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        line
    }

    #[test]
    fn lines_read_as_what_happens() {
        let beginning = "09:00:00.125  01900000-0000-8000-8000-000000000001  acme         +5511987654321  ";
        for (fields, words) in [
            (json!({}), "received  “Hello there”"),
            (json!({"status": "agent_called", "attempts": 2}), "agent asked (attempt 2)"),
            (json!({"status": "agent_success", "agent_processing_time_ms": 1250}), "agent answered after 1.2 s"),
            (
                json!({"status": "agent_called", "error_stage": "agent_called", "error_message": "it did not answer"}),
                "agent failed: it did not answer",
            ),
            (
                json!({"status": "completed", "outcome": "answered", "sent": 2, "total_processing_time_ms": 61_000}),
                "answered after 1 min 1 s in 2 messages",
            ),
            (json!({"outcome": "ignored", "outcome_reason": "from_me"}), "ignored: from_me"),
            (json!({"status": "error", "outcome": "dead", "outcome_reason": "agent_failed"}), "dead: agent_failed"),
        ] {
            assert_eq!(next(&event("trace", &line(fields)), false), Next::Print(format!("{beginning}{words}")));
        }
    }

    #[test]
    fn the_end_says_why() {
        let cut = |reason: &str| next(&event("cut", &json!({"reason": reason, "detail": "because"})), false);
        assert_eq!((cut("stopped"), cut("slow")), (Next::End, Next::Fail("the tail was cut off: because".into())));
        assert!(matches!(next(&event("gap", &json!({})), true), Next::Note(_)));
    }
}
