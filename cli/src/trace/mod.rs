//! `omnihub trace`: what happened to each message, over the admin API.

mod analytics;
mod cleanup;
mod events;
mod table;
mod tail;

use clap::{Args, Subcommand};
use omnihub_common::trace::DEFAULT_RETENTION_DAYS;
use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, show};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// List messages, the newest first.
    List(ListArgs),
    /// Show everything that is kept of a message.
    Show {
        /// Its trace id.
        #[arg(value_name = "TRACE ID")]
        trace_id: String,
        /// Show what was received and sent on the way, too.
        #[arg(long)]
        payloads: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Watch messages go through, live, until Ctrl-C.
    Tail(TailArgs),
    /// Say how many messages ended how, and how long they took.
    Analytics(AnalyticsArgs),
    /// Remove old messages with everything that is kept of them. Asks first.
    Cleanup(CleanupArgs),
}

/// What narrows a list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this instance only.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Of the person with this phone number.
    #[arg(long, value_name = "PHONE")]
    phone: Option<String>,
    /// Which ended so: answered, ignored, handed_off or dead.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Which are so far: webhook_received, processing, agent_called, agent_success, formatted, completed or error.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Received at or after this time, RFC 3339 or a day.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Received at or before this time; a day means its end.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many, 1000 at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u64,
    /// From where an earlier list ended; it said so below. The other options as they were there.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What narrows the figures.
#[derive(Debug, Args)]
pub struct AnalyticsArgs {
    /// Of this instance only.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Received at or after this time, RFC 3339 or a day; without any, of the last 24 hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Received at or before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of all messages that are kept.
    #[arg(long, conflicts_with_all = ["since", "until"])]
    all_time: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is to be removed.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Messages of so many days ago and before, of which nothing was told since.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_RETENTION_DAYS)]
    days_old: u32,
    /// Of this instance only.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only say how many.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What narrows a tail.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Of this instance only.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only messages that end so: answered, ignored, handed_off or dead.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only what goes wrong.
    #[arg(long)]
    errors: bool,
    /// Print JSON, an object a line.
    #[arg(long)]
    json: bool,
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(command: TraceCommand, target: &Api) -> anyhow::Result<()> {
    let text = match command {
        TraceCommand::List(arguments) => return list(&arguments, target).await,
        TraceCommand::Show { trace_id, payloads, json } => show(&trace_id, payloads, json, target).await?,
        TraceCommand::Analytics(arguments) => analytics::run(&arguments, target).await?,
        TraceCommand::Cleanup(arguments) => cleanup::run(&arguments, target).await?,
        TraceCommand::Tail(arguments) => return tail::run(&arguments, target).await,
    };
    show::print(&text)
}

async fn list(arguments: &ListArgs, target: &Api) -> anyhow::Result<()> {
    let (found, next) = target.page(&["traces"], &arguments.query()).await?;
    let Value::Array(traces) = &found else { return Err(show::unexpected("a list of traces")) };
    show::print(&if arguments.json { show::pretty(&found)? } else { table::many(traces) })?;
    if let Some(next) = next {
        show::note(&format!("There are older ones: --cursor {next}"));
    }
    Ok(())
}

impl ListArgs {
    /// The options under the API's names.
    fn query(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("instance_name", &self.instance),
            ("phone", &self.phone),
            ("outcome", &self.outcome),
            ("status", &self.status),
            ("start_date", &self.since),
            ("end_date", &self.until),
            ("cursor", &self.cursor),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        std::iter::once(("limit", self.limit.to_string())).chain(given).collect()
    }
}

async fn show(trace_id: &str, payloads: bool, json: bool, target: &Api) -> anyhow::Result<String> {
    let trace = target.call(Method::GET, &["traces", trace_id], &[], None).await?;
    if json { show::pretty(&trace) } else { Ok(table::one(&trace, payloads)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: TraceCommand,
    }

    #[tokio::test]
    async fn a_list_is_narrowed_by_time() {
        let hub = testing::Hub::start().await;
        let body = json!({"name": "acme", "channel_type": "discord", "agent_api_url": "http://agent.test",
                          "agent_api_key": "k", "default_agent": "bot"});
        hub.api().call(Method::POST, &["instances"], &[], Some(&body)).await.unwrap();
        // Received on 2025-10-09.
        hub.answered("acme", "14155550100").await;
        for (options, there) in [
            ("", 1),
            ("--since 2025-10-09", 1),
            ("--until 2025-10-09 --since 2025-10-09", 1),
            ("--since 2025-10-10", 0),
            ("--until 2025-10-08T23:59:59Z", 0),
        ] {
            let words = ["trace", "list"].into_iter().chain(options.split_whitespace());
            let TraceCommand::List(arguments) = Line::try_parse_from(words).unwrap().command else { panic!("a list") };
            let (found, _) = hub.api().page(&["traces"], &arguments.query()).await.unwrap();
            assert_eq!(found.as_array().unwrap().len(), there, "{options}");
        }
        let refused = hub.api().page(&["traces"], &[("start_date", "soon".to_owned())]).await.unwrap_err().to_string();
        assert!(refused.contains("start_date") && refused.contains("--since"), "{refused}");
    }
}
