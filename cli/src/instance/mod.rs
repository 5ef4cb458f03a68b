//! `omnihub instance`: the tenants, over the admin API.

mod arguments;
mod life;
mod table;
#[cfg(test)]
mod tests;
mod values;

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

pub use self::arguments::{AddArgs, DiscoverArgs, FieldArgs, InstanceCommand, NameArgs, OneArgs, QrArgs, UpdateArgs};
use crate::{api::Api, show};

/// How many instances one call fetches: as many as the API gives.
const PAGE: usize = 500;

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses, or a deletion is not confirmed.
pub async fn run(command: InstanceCommand, target: &Api) -> anyhow::Result<()> {
    let text = execute(command, target).await?;
    show::print(&text)
}

/// Runs a command and gives what it prints.
async fn execute(command: InstanceCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        InstanceCommand::List { json } => {
            let all = list(target).await?;
            if json { show::pretty(&Value::Array(all)) } else { Ok(table::many(&all)) }
        }
        InstanceCommand::Show { name, json } => {
            let found = target.call(Method::GET, &["instances", name.get()], &[], None).await?;
            answer(&found, json, "")
        }
        InstanceCommand::Add(arguments) => {
            let body = arguments.body();
            let made = target.call(Method::POST, &["instances"], &[], Some(&body)).await?;
            answer(&made, arguments.fields.json, "Made:\n")
        }
        InstanceCommand::Update(arguments) => {
            let body = arguments.body();
            if body.as_object().is_none_or(serde_json::Map::is_empty) {
                bail!("nothing to change: name at least one option, see `omnihub instance update --help`");
            }
            let path = ["instances", arguments.name.get()];
            let changed = target.call(Method::PUT, &path, &[], Some(&body)).await?;
            answer(&changed, arguments.fields.json, "Changed:\n")
        }
        InstanceCommand::Delete { name, evolution, force, json } => {
            if !force && !may_delete(name.get(), &evolution, target).await? {
                return Ok("Nothing was deleted.\n".to_owned());
            }
            delete(name.get(), evolution, json, target).await
        }
        InstanceCommand::Status(one) => life::status(&one, target).await,
        InstanceCommand::Qr(arguments) => life::qr(&arguments, target).await,
        InstanceCommand::Connect(one) => life::change("connect", &one, target).await,
        InstanceCommand::Disconnect(one) => life::change("disconnect", &one, target).await,
        InstanceCommand::Restart(one) => life::change("restart", &one, target).await,
        InstanceCommand::Logout(one) => life::change("logout", &one, target).await,
        InstanceCommand::Discover(arguments) => life::discover(&arguments, target).await,
        InstanceCommand::SetDefault { name, json } => {
            let path = ["instances", name.get(), "set-default"];
            let changed = target.call(Method::POST, &path, &[], Some(&json!({}))).await?;
            if json {
                return show::pretty(&changed);
            }
            Ok(format!("/webhook/evolution means {} now.\n", show::word(&changed["name"])))
        }
    }
}

async fn list(target: &Api) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    loop {
        let query = [("skip", all.len().to_string()), ("limit", PAGE.to_string())];
        let page = target.call(Method::GET, &["instances"], &query, None).await?;
        let Value::Array(page) = page else { return Err(show::unexpected("a list of instances")) };
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// Asks whoever is there, about an instance that is there.
async fn may_delete(name: &str, evolution: &str, target: &Api) -> anyhow::Result<bool> {
    target.call(Method::GET, &["instances", name], &[], None).await?;
    let account = if evolution == "remove" { ", and its account at Evolution" } else { "" };
    show::confirmed(format!("Delete `{name}` with its users and traces{account}?"), "--force").await
}

async fn delete(name: &str, evolution: String, json: bool, target: &Api) -> anyhow::Result<String> {
    let answer = target.call(Method::DELETE, &["instances", name], &[("evolution", evolution)], None).await?;
    if json {
        return show::pretty(&answer);
    }
    Ok(format!("{}\n{}", answer["message"].as_str().unwrap_or("Deleted"), table::warnings(&answer)))
}

/// One instance, for programs or with a head line for people.
fn answer(instance: &Value, json: bool, head: &str) -> anyhow::Result<String> {
    if json { show::pretty(instance) } else { Ok(format!("{head}{}", table::one(instance))) }
}
