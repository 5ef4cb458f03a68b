//! Conversations as chats, each with its traces.

use std::{fmt::Write as _, time::Duration};

use chrono::{DateTime, Utc};
use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};

use super::{
    paint::Paint,
    play::{Message, Played},
    script::{Line, POSTS_OF_A_REPEATED},
    world::Trace,
};

/// Where texts begin, so that their further lines stand below.
const INDENT: &str = "              ";

/// The first words.
pub(super) fn opening(paint: Paint) -> String {
    format!(
        "\n{}\n\n  A whole hub runs here for a moment: its queue (NATS), its database (SQLite), its ingress\n  \
         and its worker, all real. Only WhatsApp (Evolution API) and the agent are played: the\n  \
         agent echoes. Nothing leaves this machine.\n\n",
        paint.bold("  Omnihub demo")
    )
}

/// The hub is there.
pub(super) fn ready(paint: Paint, url: &str, after: Duration) -> String {
    format!("  {} {url}, ready after {} ms\n\n", paint.green("The hub is up:"), after.as_millis())
}

/// One conversation: the chat, and below it the trace of each message.
pub(super) fn conversation(paint: Paint, played: &Played) -> String {
    let mut text = format!("  {}  {}\n", paint.bold(played.scene.name), paint.dim(format!("+{}", played.scene.phone)));
    for (message, nth) in played.messages.iter().zip(1..) {
        chat(&mut text, paint, message, nth);
    }
    if let Some(failure) = &played.failure {
        line(&mut text, "", &paint.red("hub"), "hub", &paint.red(failure));
    }
    text.push('\n');
    for row in traces(&played.messages).lines() {
        // A row's own end is blank padding.
        let _ = writeln!(text, "    {}", paint.dim(row.trim_end()));
    }
    text.push('\n');
    text
}

fn chat(text: &mut String, paint: Paint, message: &Message, nth: usize) {
    let who = if matches!(message.line, Line::Own(_)) { "shop" } else { "customer" };
    line(text, &nth.to_string(), who, who, message.line.text().unwrap_or("[reaction]"));
    for bubble in &message.bubbles {
        line(text, "", &paint.green("bot"), "bot", bubble);
    }
    if let Some(note) = note(message) {
        line(text, "", &paint.yellow("hub"), "hub", &paint.yellow(note));
    }
}

/// What the hub did beside answering.
fn note(message: &Message) -> Option<String> {
    if matches!(message.line, Line::Repeated(_)) {
        let more = POSTS_OF_A_REPEATED - 1;
        let what = if message.counted_once() { "dropped, one answer" } else { "not dropped as it should be" };
        return Some(format!("the same webhook came {more} more times: {what}"));
    }
    if message.bubbles.len() > 1 {
        return Some(format!("one answer, split into {} bubbles at its blank line", message.bubbles.len()));
    }
    let reason = message.trace.outcome_reason.as_deref()?;
    let why = match reason {
        "from_me" => ": the business's own message, nobody to answer",
        "reaction" => ": a reaction asks for nothing",
        _ => "",
    };
    Some(format!("{} ({reason}){why}", message.trace.outcome.as_deref().unwrap_or_default()))
}

/// One line of a chat: the number of the message, who speaks (as painted, and its plain width),
/// and what.
fn line(text: &mut String, nth: &str, who: &str, plain: &str, what: &str) {
    let gap = " ".repeat(10_usize.saturating_sub(plain.len()));
    let mut lines = what.trim().lines();
    let _ = writeln!(text, "    {nth:>2}  {who}{gap}{}", lines.next().unwrap_or_default());
    for further in lines {
        let _ = writeln!(text, "{}", format!("    {INDENT}{further}").trim_end());
    }
}

/// The traces side by side: a column each, a row for each stage.
fn traces(messages: &[Message]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let head = (1..=messages.len()).map(|nth| format!("message {nth}"));
    table.set_header(row("trace", head));
    let mut add = |name: &str, cell: fn(&Message) -> Option<String>| {
        table.add_row(row(name, messages.iter().map(|message| cell(message).unwrap_or_else(|| "-".to_owned()))));
    };
    add("webhook_received", |message| Some(after(&message.trace, message.trace.received_at)));
    add("processing", |message| message.trace.processing_started_at.map(|at| after(&message.trace, at)));
    add("agent_called", |message| message.trace.agent_request_at.map(|at| after(&message.trace, at)));
    add("agent_success", |message| message.trace.agent_response_at.map(|at| after(&message.trace, at)));
    add("formatted", |message| bubbles(&message.trace));
    add("sent", |message| message.trace.channel_send_at.map(|at| after(&message.trace, at)));
    add("completed", |message| message.trace.completed_at.map(|at| after(&message.trace, at)));
    add("outcome", |message| message.trace.outcome.clone());
    table.to_string()
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> Vec<Cell> {
    let cells = cells.map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right));
    std::iter::once(Cell::new(name)).chain(cells).collect()
}

/// How long after the webhook.
fn after(trace: &Trace, at: DateTime<Utc>) -> String {
    format!("{} ms", (at - trace.received_at).num_milliseconds())
}

/// What the answer was formatted into, as the trace's payload keeps it.
fn bubbles(trace: &Trace) -> Option<String> {
    let sent = trace.payloads.iter().find(|payload| payload.stage == "channel_send")?;
    match sent.payload.as_ref()?["bubbles"].as_array()?.len() {
        1 => Some("1 bubble".to_owned()),
        many => Some(format!("{many} bubbles")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{play::tests::perfect, script::scenes};

    fn shown(nth: usize) -> String {
        conversation(Paint::plain(), &perfect(scenes().swap_remove(nth)))
    }

    #[test]
    fn a_chat_has_its_lines_and_its_traces() {
        let text = shown(0);
        assert!(text.contains("     1  customer  Oi, tudo bem?\n        bot       echo: Oi, tudo bem?\n"), "{text}");
        assert!(text.contains("came 2 more times: dropped, one answer"), "{text}");
        for stage in ["webhook_received", "processing", "agent_called", "agent_success", "formatted", "completed"] {
            assert!(text.contains(stage), "{stage}: {text}");
        }
        assert!(text.contains("12 ms") && text.contains("1 bubble") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn ignored_messages_say_why_and_have_no_agent() {
        assert!(shown(1).contains("ignored (from_me)"), "{}", shown(1));
        let text = shown(2);
        assert!(text.contains("[reaction]") && text.contains("ignored (reaction)"), "{text}");
        let asked = text.lines().find(|line| line.contains("agent_called")).unwrap();
        assert!(asked.contains(" - "), "{asked}");
    }

    #[test]
    fn bubbles_stand_below_each_other_and_lines_below_their_text() {
        let text = shown(5);
        assert!(text.contains("split into 2 bubbles"), "{text}");
        assert!(text.contains("echo: Guten Tag!\n                  Ich brauche"), "{text}");
    }
}
