//! `omnihub send`: a message to a person or a group, over the admin API.

mod arguments;

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use crate::{api::Api, show};
use arguments::{AudioArgs, ContactArgs, How, LocationArgs, MediaArgs, PollArgs, ReactionArgs, StickerArgs, TextArgs};

/// The hub answers so much later than it was asked to wait, at most.
const MARGIN: Duration = Duration::from_secs(30);

/// The commands, one for each kind of message.
#[derive(Debug, Subcommand)]
pub enum SendCommand {
    /// Send a text.
    Text(TextArgs),
    /// Send a picture, a video, a recording or a document.
    Media(MediaArgs),
    /// Send a voice message.
    Audio(AudioArgs),
    /// Send a sticker.
    Sticker(StickerArgs),
    /// Send a person's card.
    Contact(ContactArgs),
    /// React to a message.
    Reaction(ReactionArgs),
    /// Send a place.
    Location(LocationArgs),
    /// Ask a question with answers to choose from.
    Poll(PollArgs),
}

impl SendCommand {
    /// The last word of the path, the body, and how it is sent.
    fn request(&self) -> anyhow::Result<(&'static str, Value, &How)> {
        Ok(match self {
            Self::Text(arguments) => ("send-text", arguments.body(), &arguments.how),
            Self::Media(arguments) => ("send-media", arguments.body()?, &arguments.how),
            Self::Audio(arguments) => ("send-audio", arguments.body()?, &arguments.how),
            Self::Sticker(arguments) => ("send-sticker", arguments.body()?, &arguments.how),
            Self::Contact(arguments) => ("send-contact", arguments.body(), &arguments.how),
            Self::Reaction(arguments) => ("send-reaction", arguments.body(), &arguments.how),
            Self::Location(arguments) => ("send-location", arguments.body(), &arguments.how),
            Self::Poll(arguments) => ("send-poll", arguments.body(), &arguments.how),
        })
    }
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses, or the message could not be sent.
pub async fn run(command: SendCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&execute(&command, target).await?)
}

async fn execute(command: &SendCommand, target: &Api) -> anyhow::Result<String> {
    let (word, body, how) = command.request()?;
    let path = ["instance", how.instance(), word];
    let patience = MARGIN + Duration::from_secs(how.wait);
    let answer =
        target.post_once(&path, &[("wait", how.wait.to_string())], &body, how.key.as_deref(), patience).await?;
    if how.json { show::pretty(&answer) } else { Ok(told(&answer)) }
}

fn told(answer: &Value) -> String {
    let word = |name: &str| show::word(&answer[name]);
    match answer["status"].as_str() {
        Some("sent") => format!("Sent: message {} (trace {}).\n", word("message_id"), word("trace_id")),
        _ => {
            let error = answer["error"].as_str().map(|error| format!(" So far: {error}.")).unwrap_or_default();
            let trace = word("trace_id");
            format!("It waits in its conversation.{error} See `omnihub trace show {trace}`.\n")
        }
    }
}

#[cfg(test)]
mod tests;
