//! `omnihub agent`: whether a server of one's own speaks a protocol as the hub needs it.
//!
//! It calls the server itself, as a worker would; no hub need run.

use std::{convert::Infallible, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use omnihub_common::{
    instance::{AgentKind, AgentProtocol, AgentSettings, service_url, signing_key},
    secret::Secret,
};
use omnihub_worker::agent::conformance::{self, Finding, Target, Verdict};

use crate::show;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Ask a server a few questions as the hub would, and say what works. Exits with 1 when something does not.
    Check(Box<CheckArgs>),
}

/// The server, and how it is spoken to; named as the fields of an instance are.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The server's base URL, as in agent_api_url.
    #[arg(long, value_name = "URL", value_parser = url)]
    url: String,
    /// The protocol: automagik, automagik-v1, hive, openai or webhook.
    #[arg(long = "type", value_name = "PROTOCOL", value_parser = protocol)]
    protocol: AgentProtocol,
    /// The agent's key. Given by the environment it stays out of the shell's history.
    #[arg(long, value_name = "KEY", env = "AGENT_API_KEY", hide_env_values = true, value_parser = secret)]
    key: Option<Secret>,
    /// The agent, or the model, to ask.
    #[arg(long, value_name = "ID")]
    agent_id: Option<String>,
    /// For hive: whether an agent or a team answers.
    #[arg(long, value_name = "KIND", default_value = "agent", value_parser = kind)]
    agent_type: AgentKind,
    /// For hive and openai: ask for an answer that comes piece by piece.
    #[arg(long)]
    stream: bool,
    /// For webhook: what calls are signed with, whsec_ and Base64.
    #[arg(long, value_name = "SECRET", env = "AGENT_WEBHOOK_SECRET", hide_env_values = true, value_parser = signing)]
    webhook_secret: Option<Secret>,
    /// How long one answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = AgentSettings::DEFAULT_TIMEOUT.as_secs(), value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a command.
///
/// # Errors
/// When something does not work: the exit code is 0 only when everything does.
pub async fn run(command: AgentCommand) -> anyhow::Result<()> {
    let AgentCommand::Check(arguments) = command;
    let json = arguments.json;
    let findings = conformance::check(&arguments.target()).await?;
    show::print(&text(&findings, json)?)?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        failed => bail!("{failed} checks failed"),
    }
}

impl CheckArgs {
    fn target(self) -> Target {
        Target {
            url: self.url,
            key: self.key.unwrap_or_else(|| Secret::new("")),
            protocol: self.protocol,
            agent_id: self.agent_id,
            kind: self.agent_type,
            stream: self.stream,
            webhook_secret: self.webhook_secret,
            timeout: Duration::from_secs(self.timeout),
        }
    }
}

fn text(findings: &[Finding], json: bool) -> anyhow::Result<String> {
    if json {
        return show::pretty(&serde_json::json!({ "checks": findings }));
    }
    let mut table = show::table();
    table.set_header(["Check", "Result", "Seen", "ms"]);
    for finding in findings {
        let result = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "-",
        };
        let took = if finding.took_ms == 0 { String::new() } else { finding.took_ms.to_string() };
        table.add_row([finding.check, result, &finding.detail, &took]);
    }
    Ok(format!("{table}\n"))
}

fn url(text: &str) -> Result<String, String> {
    service_url(text).map_err(|problem| problem.to_string())
}

fn protocol(text: &str) -> Result<AgentProtocol, String> {
    let words = AgentProtocol::ALL.map(AgentProtocol::as_str).join(", ");
    AgentProtocol::parse(text).ok_or_else(|| format!("must be one of: {words}"))
}

fn kind(text: &str) -> Result<AgentKind, String> {
    let words = AgentKind::ALL.map(AgentKind::as_str).join(", ");
    AgentKind::parse(text).ok_or_else(|| format!("must be one of: {words}"))
}

fn signing(text: &str) -> Result<Secret, String> {
    let known = signing_key(text).map(|_| Secret::new(text));
    known.ok_or_else(|| "must be whsec_ and the Base64 of 24 to 64 bytes".to_owned())
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests;
