//! The `omnihub` program: the hub in one process, its parts, and the commands of an operator.
//!
//! What is absent: SQL and NATS, except in [`up`], [`migrate`], [`import`] and [`mod@bench`], and in
//! [`doctor`] where no hub answers. Management commands speak to the admin API, as any other client does.

pub mod access;
pub mod agent;
pub mod api;
pub mod audit;
pub mod bench;
pub mod book;
pub mod completion;
pub mod conversation;
pub mod dead;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod import;
pub mod instance;
pub mod key;
pub mod migrate;
pub mod profile;
pub mod progress;
pub mod send;
pub mod show;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod up;
pub mod user;
pub mod whereabouts;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use omnihub_common::{
    config::{DataFolder, ProcessSettings},
    process,
};
use omnihub_ingress::admin::openapi;

/// A hub between people on WhatsApp and the AI agents that answer them.
///
/// Settings come from the environment, and below it from the file .env of the working folder.
#[derive(Debug, Parser)]
#[command(name = "omnihub", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole hub in one process, with its own database file and NATS server.
    Up,
    /// Run an ingress: webhooks and the admin API. Uses NATS_URL and DATABASE_URL.
    Ingress,
    /// Run a worker: it asks the agents and sends the replies. Uses NATS_URL and DATABASE_URL.
    Worker,
    /// Make or change the tables of the database, and make the streams of the queue.
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Take over instances, people, access rules and traces from a Python omni-hub's database.
    Import(import::ImportArgs),
    /// Make, show and change instances, over the admin API.
    #[command(subcommand)]
    Instance(instance::InstanceCommand),
    /// Ask an agent's server a few questions as the hub would, and say what works.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Make, list and revoke keys of the API, over the admin API.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Say who is answered and who is not, over the admin API.
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Show and change what is known of people, export and erase them, over the admin API.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Pause and resume conversations, over the admin API.
    #[command(subcommand)]
    Conversation(conversation::ConversationCommand),
    /// Say who changed what, over the admin API.
    Audit(audit::AuditArgs),
    /// Send a message to a person or a group, over the admin API.
    #[command(subcommand)]
    Send(send::SendCommand),
    /// List the people and groups that an instance's account knows, over the admin API.
    #[command(subcommand)]
    Contacts(book::ContactsCommand),
    /// List the chats of an instance's account, over the admin API.
    #[command(subcommand)]
    Chats(book::ChatsCommand),
    /// Say how every instance is connected and how much it has, over the admin API.
    Channels(book::ChannelsArgs),
    /// Show a person's profile, set the account's picture, over the admin API.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// List, show, redrive and drop messages that could not be answered, over the admin API.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// List, show and watch what happens to messages, over the admin API.
    #[command(subcommand)]
    Trace(trace::TraceCommand),
    /// Say what a person's message is doing now, over the admin API.
    Where(whereabouts::WhereArgs),
    /// Say why a message was answered, ignored or delayed, over the admin API.
    Explain(explain::ExplainArgs),
    /// Print the OpenAPI document of the admin API, as a hub serves it at /api/v1/openapi.json.
    Openapi,
    /// Say what is right and wrong with the hub and its instances, and what to do. Exits with 1 when there is a problem.
    Doctor(doctor::DoctorArgs),
    /// Print what a shell needs to complete these commands.
    Completion(completion::CompletionArgs),
    /// See the hub at work: customers and an agent are played, nothing is installed or kept.
    Demo(demo::DemoArgs),
    /// Try what the hub promises, on servers and processes of its own.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

/// Runs a command; the exit code is 0 when it went well and 1 when not (2 for wrong usage, which
/// clap answers by itself).
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Up => process::run("omnihub", up::run),
        Command::Ingress => process::run("omnihub-ingress", omnihub_ingress::role::run_alone),
        Command::Worker => process::run("omnihub-worker", omnihub_worker::role::run_alone),
        Command::Migrate(command) => process::run("omnihub-migrate", |program| migrate::run(command, program)),
        Command::Openapi => process::block_on(async { show::print(&show::pretty(&openapi::document())?) }),
        Command::Import(arguments) => process::block_on(import::run(arguments)),
        Command::Doctor(arguments) => process::block_on(doctor::run(arguments)),
        Command::Completion(arguments) => process::block_on(async move { completion::run(arguments) }),
        Command::Demo(arguments) => process::block_on(demo::run(arguments)),
        Command::Bench(command) => process::block_on(bench::run(command)),
        Command::Instance(command) => process::block_on(async { instance::run(command, &target()?).await }),
        Command::Agent(command) => process::block_on(agent::run(command)),
        Command::Key(command) => process::block_on(async { key::run(command, &target()?).await }),
        Command::Access(command) => process::block_on(async { access::run(command, &target()?).await }),
        Command::User(command) => process::block_on(async { user::run(command, &target()?).await }),
        Command::Conversation(command) => process::block_on(async { conversation::run(command, &target()?).await }),
        Command::Audit(arguments) => process::block_on(async { audit::run(arguments, &target()?).await }),
        Command::Send(command) => process::block_on(async { send::run(command, &target()?).await }),
        Command::Contacts(command) => process::block_on(async { book::run_contacts(command, &target()?).await }),
        Command::Chats(command) => process::block_on(async { book::run_chats(command, &target()?).await }),
        Command::Channels(arguments) => process::block_on(async { book::run_channels(arguments, &target()?).await }),
        Command::Profile(command) => process::block_on(async { profile::run(command, &target()?).await }),
        Command::Dead(command) => process::block_on(async { dead::run(command, &target()?).await }),
        Command::Trace(command) => process::block_on(async { trace::run(command, &target()?).await }),
        Command::Where(arguments) => process::block_on(async { whereabouts::run(arguments, &target()?).await }),
        Command::Explain(arguments) => process::block_on(async { explain::run(arguments, &target()?).await }),
    }
}

/// The hub that management commands speak to.
fn target() -> anyhow::Result<api::Api> {
    let settings = ProcessSettings::load()?;
    let data = DataFolder::open_if_present(&settings)?;
    Ok(api::Api::load(&settings, &data)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["omnihub", "migrate", "down", "--steps", "2"]).is_ok());
        assert_eq!(Cli::try_parse_from(["omnihub", "jump"]).unwrap_err().exit_code(), 2);
    }
}
