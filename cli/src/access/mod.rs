//! `omnihub access`: who is answered and who is not, over the admin API.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{api::Api, show};

/// The path of the rules.
const RULES: [&str; 2] = ["access", "rules"];
/// How many rules one call fetches: as many as the API gives.
const PAGE: usize = 500;

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 5] = [
    ("Id", "id"),
    ("Instance", "instance_name"),
    ("Phone", "phone_number"),
    ("Action", "action"),
    ("Reason", "reason"),
];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// List rules, the newest first. A rule without an instance is for all of them.
    List(ListArgs),
    /// Block somebody: their messages are taken and not answered.
    Block(RuleArgs),
    /// Allow somebody whom a shorter rule, or a rule for all instances, blocks.
    Allow(RuleArgs),
    /// Remove a rule.
    Remove {
        /// Its id, as `list` shows it.
        #[arg(value_name = "ID")]
        id: i64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say whether somebody would be answered now, and which rule says so.
    Check(CheckArgs),
    /// Make the rules of a file, all or none: CSV with the columns phone_number, action, reason and
    /// instance_name, or a JSON list of such objects.
    Import(ImportArgs),
    /// Print all rules, as `import` takes them.
    Export {
        /// Only those of this instance.
        #[arg(long, value_name = "NAME")]
        instance: Option<String>,
        /// How they are written.
        #[arg(long, default_value = "csv", value_parser = ["csv", "json"])]
        format: String,
    },
}

/// What `list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only those that do this.
    #[arg(long, value_parser = ["allow", "block"])]
    action: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `block` and `allow` take.
#[derive(Debug, Args)]
pub struct RuleArgs {
    /// A phone number; `*` at its end stands for any more digits.
    #[arg(value_name = "PHONE")]
    phone: String,
    /// The instance that it is for.
    #[arg(long, value_name = "NAME", required_unless_present = "every_instance")]
    instance: Option<String>,
    /// It is for every instance.
    #[arg(long, conflicts_with = "instance")]
    every_instance: bool,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl RuleArgs {
    fn body(&self, action: &str) -> Value {
        let mut body = Map::new();
        body.insert("phone_number".to_owned(), self.phone.clone().into());
        body.insert("action".to_owned(), action.into());
        body.extend(self.instance.clone().map(|name| ("instance_name".to_owned(), name.into())));
        body.extend(self.reason.clone().map(|reason| ("reason".to_owned(), reason.into())));
        body.into()
    }
}

/// What `check` takes.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A phone number.
    #[arg(value_name = "PHONE")]
    phone: String,
    /// The instance that they write to; without it only the rules for all instances are asked.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `import` takes.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The instance of the rules that name none.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(command: AccessCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&execute(command, target).await?)
}

async fn execute(command: AccessCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        AccessCommand::List(arguments) => list(&arguments, target).await,
        AccessCommand::Block(arguments) => make(&arguments, "block", target).await,
        AccessCommand::Allow(arguments) => make(&arguments, "allow", target).await,
        AccessCommand::Remove { id, json } => {
            target.call(Method::DELETE, &[&RULES[..], &[&id.to_string()]].concat(), &[], None).await?;
            if json { show::pretty(&json!({"removed": id})) } else { Ok(format!("Rule {id} is gone.\n")) }
        }
        AccessCommand::Check(arguments) => check(&arguments, target).await,
        AccessCommand::Import(arguments) => import(&arguments, target).await,
        AccessCommand::Export { instance, format } => {
            let mut query = vec![("format", format)];
            query.extend(instance.map(|name| ("instance_name", name)));
            let answer = target.open(&[&RULES[..], &["export"]].concat(), &query).await?;
            Ok(answer.text().await.context("the rules did not arrive whole: run the command again")?)
        }
    }
}

async fn list(arguments: &ListArgs, target: &Api) -> anyhow::Result<String> {
    let mut narrowed = Vec::new();
    narrowed.extend(arguments.instance.clone().map(|name| ("instance_name", name)));
    narrowed.extend(arguments.action.clone().map(|action| ("action", action)));
    let mut all = Vec::new();
    loop {
        let mut query = vec![("skip", all.len().to_string()), ("limit", PAGE.to_string())];
        query.extend(narrowed.iter().cloned());
        let Value::Array(page) = target.call(Method::GET, &RULES, &query, None).await? else {
            return Err(show::unexpected("a list of rules"));
        };
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            break;
        }
    }
    match all.is_empty() {
        _ if arguments.json => show::pretty(&Value::Array(all)),
        true if !narrowed.is_empty() => Ok("No such rules. `omnihub access list` shows all.\n".to_owned()),
        true => Ok("No rules. Block somebody with `omnihub access block`.\n".to_owned()),
        false => {
            for rule in all.iter_mut().filter(|rule| rule["instance_name"].is_null()) {
                rule["instance_name"] = "(every)".into();
            }
            Ok(format!("{}\n", show::rows(COLUMNS, &all)))
        }
    }
}

async fn make(arguments: &RuleArgs, action: &str, target: &Api) -> anyhow::Result<String> {
    let made = target.call(Method::POST, &RULES, &[], Some(&arguments.body(action))).await?;
    if arguments.json {
        return show::pretty(&made);
    }
    let whose = arguments.instance.as_deref().unwrap_or("every instance");
    let done = if action == "block" { "is blocked" } else { "is allowed" };
    Ok(format!("{} {done} on {whose}, by rule {}.\n", arguments.phone, made["id"]))
}

async fn check(arguments: &CheckArgs, target: &Api) -> anyhow::Result<String> {
    let mut query = vec![("phone_number", arguments.phone.clone())];
    query.extend(arguments.instance.clone().map(|name| ("instance_name", name)));
    let said = target.call(Method::GET, &["access", "check"], &query, None).await?;
    if arguments.json {
        return show::pretty(&said);
    }
    let verdict = if said["allowed"] == json!(true) { "is answered" } else { "is blocked" };
    let why = match (said["scope"].as_str(), &said["rule"]) {
        (None, _) => "there is no rule about them".to_owned(),
        (Some("global"), Value::Null) => "a rule for all instances says so".to_owned(),
        (_, rule) => {
            let reason = rule["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("rule {} for {} says so{reason}", rule["id"], show::word(&rule["phone_number"]))
        }
    };
    Ok(format!("{} {verdict}: {why}.\n", arguments.phone))
}

async fn import(arguments: &ImportArgs, target: &Api) -> anyhow::Result<String> {
    let name = arguments.file.display();
    let file = tokio::fs::read(&arguments.file).await.with_context(|| format!("the file {name} cannot be read"))?;
    let mut query = vec![("dry_run", arguments.dry_run.to_string())];
    query.extend(arguments.instance.clone().map(|name| ("instance_name", name)));
    let did = target.upload(&[&RULES[..], &["import"]].concat(), &query, file).await?;
    if arguments.json {
        return show::pretty(&did);
    }
    let would = if arguments.dry_run { "would be " } else { "" };
    Ok(format!(
        "{} rules {would}made, {} {would}changed, {} there already.\n",
        did["created"], did["updated"], did["unchanged"]
    ))
}
