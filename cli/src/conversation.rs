//! `omnihub conversation`: how conversations stand, pause and resume, over the admin API.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};

use crate::{api::Api, show};

/// How many conversations one call fetches: as many as the API gives.
const PAGE: usize = 500;

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 5] = [
    ("Conversation", "session_name"),
    ("Paused at", "paused_at"),
    ("Until", "paused_until"),
    ("By", "paused_by"),
    ("Reason", "reason"),
];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum ConversationCommand {
    /// List the paused conversations of an instance.
    List {
        /// The instance.
        #[arg(long, value_name = "NAME")]
        instance: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say how a conversation stands.
    Show(OneArgs),
    /// Silence the bot in a conversation.
    Pause {
        /// Which one.
        #[command(flatten)]
        which: OneArgs,
        /// For so many minutes; without it until it is resumed.
        #[arg(long)]
        minutes: Option<u64>,
        /// Why, for people.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let the bot answer again.
    Resume(OneArgs),
}

/// Which conversation is meant.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Its name, as its traces show it (`session_name`).
    #[arg(value_name = "SESSION")]
    session: String,
    /// Its instance.
    #[arg(long, value_name = "NAME")]
    instance: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl OneArgs {
    async fn call(&self, target: &Api, method: Method, verb: &[&str], body: Option<&Value>) -> anyhow::Result<String> {
        let one = ["instances", &self.instance, "conversations", &self.session];
        let said = target.call(method, &[&one[..], verb].concat(), &[], body).await?;
        if self.json {
            return show::pretty(&said);
        }
        let until = said["paused_until"].as_str().map(|end| format!(" until {end}")).unwrap_or_default();
        Ok(format!("{} is {}{until}.\n", self.session, show::word(&said["state"])))
    }
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(command: ConversationCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&execute(command, target).await?)
}

async fn execute(command: ConversationCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        ConversationCommand::List { instance, json } => {
            let all = list(&instance, target).await?;
            match all.is_empty() {
                _ if json => show::pretty(&Value::Array(all)),
                true => Ok("No conversation is paused.\n".to_owned()),
                false => Ok(format!("{}\n", show::rows(COLUMNS, &all))),
            }
        }
        ConversationCommand::Show(which) => which.call(target, Method::GET, &[], None).await,
        ConversationCommand::Pause { which, minutes, reason } => {
            let mut body = Map::new();
            body.extend(minutes.map(|minutes| ("minutes".to_owned(), minutes.into())));
            body.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
            which.call(target, Method::POST, &["pause"], Some(&body.into())).await
        }
        ConversationCommand::Resume(which) => which.call(target, Method::POST, &["resume"], None).await,
    }
}

async fn list(instance: &str, target: &Api) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    loop {
        let query = [("skip", all.len().to_string()), ("limit", PAGE.to_string())];
        let path = ["instances", instance, "conversations"];
        let Value::Array(page) = target.call(Method::GET, &path, &query, None).await? else {
            return Err(show::unexpected("a list of conversations"));
        };
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}
