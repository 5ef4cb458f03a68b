//! `omnihub profile`: what an account sees of a person, and what people see of it, over the admin API.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{api::Api, show};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Show what WhatsApp tells of a person.
    Fetch(FetchArgs),
    /// Give an instance's account another picture.
    SetPicture(SetPictureArgs),
}

/// What `fetch` takes.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The instance whose account asks.
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// The person's phone number with its country code.
    #[arg(value_name = "PHONE", allow_hyphen_values = true)]
    phone: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `set-picture` takes.
#[derive(Debug, Args)]
pub struct SetPictureArgs {
    /// The instance.
    #[arg(value_name = "INSTANCE")]
    instance: String,
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A picture, here or at an address.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The picture's address, from which Evolution fetches it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The picture, of this machine.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

impl Source {
    fn body(&self) -> anyhow::Result<Value> {
        let Some(path) = &self.file else { return Ok(json!({ "picture_url": self.url })) };
        let file = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(json!({ "picture_base64": STANDARD.encode(file) }))
    }
}

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(command: ProfileCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&execute(&command, target).await?)
}

async fn execute(command: &ProfileCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        ProfileCommand::Fetch(FetchArgs { instance, phone, json }) => {
            let body = json!({ "phone_number": phone });
            let answer = target.call(Method::POST, &["instance", instance, "fetch-profile"], &[], Some(&body)).await?;
            if *json { show::pretty(&answer) } else { Ok(format!("{}\n", show::fields(&answer["profile"], &[]))) }
        }
        ProfileCommand::SetPicture(SetPictureArgs { instance, source, json }) => {
            let path = ["instance", instance, "update-profile-picture"];
            let answer = target.call(Method::POST, &path, &[], Some(&source.body()?)).await?;
            if *json { show::pretty(&answer) } else { Ok(format!("The picture of {instance} is set.\n")) }
        }
    }
}
