//! `omnihub key`: who else may use the API, over the admin API.

mod rotate;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{api::Api, show};

/// The path of the keys.
const KEYS: &str = "keys";
/// How many keys one call fetches: as many as the API gives.
const PAGE: usize = 500;

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 8] = [
    ("Id", "id"),
    ("Name", "name"),
    ("Key", "hint"),
    ("Scopes", "scopes"),
    ("Instances", "instances"),
    ("Expires", "expires_at"),
    ("Last used", "last_used_at"),
    ("Works", "is_active"),
];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key, and show it this once.
    Create(CreateArgs),
    /// List keys, also those that have ended.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Encrypt all stored secrets anew with the first key of OMNIHUB_ENCRYPTION_KEYS.
    ///
    /// Give every process the new key behind the old one, then in front of it, and restart it each time; then run
    /// this, and take the old key away when nothing lies under it. It can be stopped and run again, beside
    /// anything.
    Rotate(rotate::RotateArgs),
    /// End a key for good.
    Revoke {
        /// Its id, as `list` shows it.
        #[arg(value_name = "ID")]
        id: i64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What `create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What people call it.
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may be used for; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = ["read", "write", "send", "admin"])]
    scopes: Vec<String>,
    /// The instance that it is for; may be given several times.
    #[arg(long = "instance", value_name = "INSTANCE", required_unless_present = "every_instance")]
    instances: Vec<String>,
    /// It is for every instance, and for the hub itself.
    #[arg(long, conflicts_with = "instances")]
    every_instance: bool,
    /// When it ends, as 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl CreateArgs {
    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("name".to_owned(), self.name.clone().into());
        body.insert("scopes".to_owned(), self.scopes.clone().into());
        body.insert("instances".to_owned(), if self.every_instance { json!("*") } else { json!(self.instances) });
        body.extend(self.expires_at.as_ref().map(|at| ("expires_at".to_owned(), at.clone().into())));
        body.into()
    }
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(command: KeyCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&execute(command, target).await?)
}

async fn execute(command: KeyCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        KeyCommand::Create(arguments) => {
            let made = target.call(Method::POST, &[KEYS], &[], Some(&arguments.body())).await?;
            if arguments.json {
                return show::pretty(&made);
            }
            let key = made["key"].as_str().unwrap_or_default();
            Ok(format!("{}\nThe key, shown this once: {key}\n", show::fields(&made, &["key", "is_active"])))
        }
        KeyCommand::List { json } => {
            let all = list(target).await?;
            match all.is_empty() {
                _ if json => show::pretty(&Value::Array(all)),
                true => Ok("No keys beside the root key. Make one with `omnihub key create`.\n".to_owned()),
                false => Ok(format!("{}\n", show::rows(COLUMNS, &all))),
            }
        }
        KeyCommand::Rotate(arguments) => rotate::run(arguments, target).await,
        KeyCommand::Revoke { id, json } => {
            let revoked = target.call(Method::DELETE, &[KEYS, &id.to_string()], &[], None).await?;
            if json { show::pretty(&revoked) } else { Ok(format!("Key {id} opens nothing any more.\n")) }
        }
    }
}

async fn list(target: &Api) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    loop {
        let query = [("skip", all.len().to_string()), ("limit", PAGE.to_string())];
        let Value::Array(page) = target.call(Method::GET, &[KEYS], &query, None).await? else {
            return Err(show::unexpected("a list of keys"));
        };
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}
