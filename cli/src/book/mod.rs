//! `omnihub contacts`, `omnihub chats` and `omnihub channels`: what the accounts of instances know, over
//! the admin API.

#[cfg(test)]
mod tests;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, show};

/// The columns of the lists: head and field.
const CONTACTS: [(&str, &str); 3] = [("Name", "name"), ("Phone", "phone_number"), ("Id", "id")];
const CHATS: [(&str, &str); 5] = [
    ("Name", "name"),
    ("Type", "chat_type"),
    ("Unread", "unread_count"),
    ("Last message (UTC)", "last_message_at"),
    ("Id", "id"),
];
const CHANNELS: [(&str, &str); 5] = [
    ("Instance", "instance_name"),
    ("Channel", "channel_type"),
    ("Status", "status"),
    ("Contacts", "total_contacts"),
    ("Chats", "total_chats"),
];

/// The commands about contacts.
#[derive(Debug, Subcommand)]
pub enum ContactsCommand {
    /// List the people and groups that an instance's account knows, by name.
    List(ContactsArgs),
    /// Show one of them.
    Show(OneArgs),
}

/// The commands about chats.
#[derive(Debug, Subcommand)]
pub enum ChatsCommand {
    /// List the chats of an instance's account, the latest first.
    List(ChatsArgs),
    /// Show one of them.
    Show(OneArgs),
}

/// Which page of which instance.
#[derive(Debug, Args)]
struct PageArgs {
    /// The instance.
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Only those with this in their name, number or id.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    search: Option<String>,
    /// The page.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// Rows of a page.
    #[arg(long, value_name = "ROWS", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    page_size: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `contacts list` takes.
#[derive(Debug, Args)]
pub struct ContactsArgs {
    #[command(flatten)]
    page: PageArgs,
    /// Only who is there like this, where the channel tells.
    #[arg(long, value_parser = ["online", "offline", "away", "dnd", "unknown"])]
    status: Option<String>,
}

/// What `chats list` takes.
#[derive(Debug, Args)]
pub struct ChatsArgs {
    #[command(flatten)]
    page: PageArgs,
    /// Only chats of this type.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["direct", "group", "channel", "thread"])]
    chat_type: Option<String>,
    /// Only those that are put away, or (false) that are not.
    #[arg(long, value_name = "BOOL")]
    archived: Option<bool>,
    /// Only those with messages that nobody has read, or (false) without.
    #[arg(long, value_name = "BOOL")]
    unread: Option<bool>,
}

/// Which one.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The instance.
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// The id as the list shows it, or a phone number.
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `channels` takes.
#[derive(Debug, Args)]
pub struct ChannelsArgs {
    /// Only instances on this channel.
    #[arg(long, value_name = "CHANNEL", value_parser = ["whatsapp", "discord", "slack"])]
    channel: Option<String>,
    /// At most so many: the server of each is asked.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Leave out so many first.
    #[arg(long, default_value_t = 0)]
    skip: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a command about contacts and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run_contacts(command: ContactsCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&contacts(command, target).await?)
}

/// Runs a command about chats and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run_chats(command: ChatsCommand, target: &Api) -> anyhow::Result<()> {
    show::print(&chats(command, target).await?)
}

/// Says how every instance is connected.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run_channels(arguments: ChannelsArgs, target: &Api) -> anyhow::Result<()> {
    show::print(&channels(arguments, target).await?)
}

async fn contacts(command: ContactsCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        ContactsCommand::List(ContactsArgs { page, status }) => {
            let answer = list(target, &page, "contacts", [("status_filter", status)]).await?;
            listed(answer, &page, "contacts", CONTACTS)
        }
        ContactsCommand::Show(one) => shown(target, &one, "contacts").await,
    }
}

async fn chats(command: ChatsCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        ChatsCommand::List(ChatsArgs { page, chat_type, archived, unread }) => {
            let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
            let filters = [("chat_type_filter", chat_type), ("archived", flag(archived)), ("unread", flag(unread))];
            let answer = list(target, &page, "chats", filters).await?;
            listed(answer, &page, "chats", CHATS)
        }
        ChatsCommand::Show(one) => shown(target, &one, "chats").await,
    }
}

async fn channels(arguments: ChannelsArgs, target: &Api) -> anyhow::Result<String> {
    let mut query = vec![("skip", arguments.skip.to_string()), ("limit", arguments.limit.to_string())];
    query.extend(arguments.channel.map(|channel| ("channel_type", channel)));
    let overview = target.call(Method::GET, &["channels"], &query, None).await?;
    if arguments.json {
        return show::pretty(&overview);
    }
    let Some(channels) = overview["channels"].as_array() else { bail!("the hub's answer is no list of channels") };
    note_what_is_missing(&overview);
    if channels.is_empty() {
        return Ok("No instances here. Make one with `omnihub instance add`.\n".to_owned());
    }
    let (healthy, total) = (&overview["healthy_count"], &overview["total_count"]);
    Ok(format!("{}\n{} of {total}, {healthy} of them connected.\n", show::rows(CHANNELS, channels), channels.len()))
}

async fn list<const N: usize>(
    target: &Api,
    page: &PageArgs,
    what: &str,
    filters: [(&'static str, Option<String>); N],
) -> anyhow::Result<Value> {
    let mut query = vec![("page", page.page.to_string()), ("page_size", page.page_size.to_string())];
    let filters = filters.into_iter().chain([("search_query", page.search.clone())]);
    query.extend(filters.filter_map(|(name, value)| Some((name, value?))));
    Ok(target.call(Method::GET, &["instances", &page.instance, what], &query, None).await?)
}

/// A page as a table, and where it stands in the list.
fn listed<const N: usize>(
    mut answer: Value,
    page: &PageArgs,
    what: &str,
    columns: [(&str, &str); N],
) -> anyhow::Result<String> {
    if page.json {
        return show::pretty(&answer);
    }
    note_what_is_missing(&answer);
    let (total, has_more) = (answer["total_count"].clone(), answer["has_more"] == true);
    let Some(rows) = answer[what].as_array_mut() else { bail!("the hub's answer is no list of {what}") };
    for row in rows.iter_mut() {
        row["phone_number"] = row["channel_data"]["phone_number"].take();
    }
    if rows.is_empty() {
        return Ok(format!("None on this page, of {total} {what}.\n"));
    }
    let next = if has_more { format!(" The next: --page {}", page.page + 1) } else { String::new() };
    Ok(format!("{}\n{} of {total} {what}.{next}\n", show::rows(columns, rows), rows.len()))
}

/// Where a program that reads the answer does not stumble over it.
fn note_what_is_missing(answer: &Value) {
    for error in answer["partial_errors"].as_array().into_iter().flatten() {
        show::note(&format!("{}: {}", show::word(&error["instance_name"]), show::word(&error["message"])));
    }
}

async fn shown(target: &Api, one: &OneArgs, what: &str) -> anyhow::Result<String> {
    let path = ["instances", &one.instance, what, &one.id];
    let mut found = target.call(Method::GET, &path, &[], None).await?;
    if one.json {
        return show::pretty(&found);
    }
    found["phone_number"] = found["channel_data"]["phone_number"].take();
    Ok(format!("{}\n", show::fields(&found, &["channel_data"])))
}
