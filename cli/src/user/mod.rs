//! `omnihub user`: the people whom an instance has answered, over the admin API.

mod person;
#[cfg(test)]
mod tests;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use self::person::PersonArgs;
use crate::{api::Api, show};

/// The path of the people.
const USERS: &str = "users";

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 5] = [
    ("Id", "id"),
    ("Instance", "instance_name"),
    ("Phone", "phone_number"),
    ("Email", "email"),
    ("Since", "created_at"),
];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List people, the latest first.
    List(ListArgs),
    /// Show a person with their other names.
    Show(OneArgs),
    /// Change what the agent is told of a person.
    Update(UpdateArgs),
    /// Give a person another name.
    Link(NameArgs),
    /// Take a name away from a person.
    Unlink(NameArgs),
    /// Print everything that is known of a person, as JSON.
    Export(PersonArgs),
    /// Forget a person: rows, traces, dead letters, checkpoints and media. Access rules stay.
    Erase {
        /// Who is meant.
        #[command(flatten)]
        person: PersonArgs,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// What `list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only those with this phone number.
    #[arg(long)]
    phone: Option<String>,
    /// Only those with this address.
    #[arg(long)]
    email: Option<String>,
    /// Only those whom somebody calls so.
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Leave out so many first.
    #[arg(long, default_value_t = 0)]
    skip: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Who is meant.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Their id, as `list` shows it.
    #[arg(value_name = "ID")]
    id: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `update` takes.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Who is meant.
    #[command(flatten)]
    who: OneArgs,
    /// Their address; an empty one takes it away.
    #[arg(long)]
    email: Option<String>,
    /// What else the agent is to know, as a JSON object; `null` takes it away.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

/// What `link` and `unlink` take.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Who is meant.
    #[command(flatten)]
    who: OneArgs,
    /// Whose name it is: a channel, or a system of your own.
    #[arg(long)]
    provider: String,
    /// The name.
    #[arg(long, value_name = "ID")]
    external_id: String,
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(command: UserCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&execute(command, target).await?)
}

async fn execute(command: UserCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        UserCommand::List(arguments) => list(arguments, target).await,
        UserCommand::Show(who) => {
            let found = target.call(Method::GET, &[USERS, &who.id.to_string()], &[], None).await?;
            shown(&who, &found)
        }
        UserCommand::Update(arguments) => update(&arguments, target).await,
        UserCommand::Link(name) => {
            let body = json!({"provider": name.provider, "external_id": name.external_id});
            let path = [USERS, &name.who.id.to_string(), "external-ids"];
            let linked = target.call(Method::POST, &path, &[], Some(&body)).await?;
            shown(&name.who, &linked)
        }
        UserCommand::Unlink(name) => {
            let query = [("provider", name.provider), ("external_id", name.external_id)];
            let path = [USERS, &name.who.id.to_string(), "external-ids"];
            let left = target.call(Method::DELETE, &path, &query, None).await?;
            shown(&name.who, &left)
        }
        UserCommand::Export(person) => person.export(target).await,
        UserCommand::Erase { person, yes } => person.erase(target, yes).await,
    }
}

async fn list(arguments: ListArgs, target: &Api) -> anyhow::Result<String> {
    let mut query = vec![("skip", arguments.skip.to_string()), ("limit", arguments.limit.to_string())];
    let narrowing = [
        ("instance_name", arguments.instance),
        ("phone_number", arguments.phone),
        ("email", arguments.email),
        ("external_id", arguments.external_id),
    ];
    query.extend(narrowing.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let Value::Array(found) = target.call(Method::GET, &[USERS], &query, None).await? else {
        return Err(show::unexpected("a list of people"));
    };
    match found.is_empty() {
        _ if arguments.json => show::pretty(&Value::Array(found)),
        true => Ok("Nobody. People stand here as soon as they have been answered.\n".to_owned()),
        false => Ok(format!("{}\n", show::rows(COLUMNS, &found))),
    }
}

async fn update(arguments: &UpdateArgs, target: &Api) -> anyhow::Result<String> {
    let mut body = Map::new();
    body.extend(arguments.email.clone().map(|email| ("email".to_owned(), email.into())));
    if let Some(text) = &arguments.data {
        let Ok(data) = serde_json::from_str::<Value>(text) else {
            bail!("--data must be a JSON object such as '{{\"plan\": \"gold\"}}', or null");
        };
        body.insert("user_data".to_owned(), data);
    }
    if body.is_empty() {
        bail!("nothing to change: say --email or --data");
    }
    let path = [USERS, &arguments.who.id.to_string()];
    let changed = target.call(Method::PATCH, &path, &[], Some(&body.into())).await?;
    shown(&arguments.who, &changed)
}

fn shown(who: &OneArgs, user: &Value) -> anyhow::Result<String> {
    if who.json {
        return show::pretty(user);
    }
    let mut user = user.clone();
    let names = user["external_ids"].as_array().into_iter().flatten();
    let names: Vec<Value> = names
        .map(|name| format!("{}: {}", show::word(&name["provider"]), show::word(&name["external_id"])).into())
        .collect();
    user["external_ids"] = Value::Array(names);
    Ok(format!("{}\n", show::fields(&user, &[])))
}
