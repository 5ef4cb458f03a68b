//! What `omnihub dead` takes.

use clap::{Args, Subcommand};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List dead letters, the newest first.
    List(ListArgs),
    /// Show a dead letter with its payload, secrets masked.
    Show {
        /// Its id: the message's trace id, or what `list` shows.
        #[arg(value_name = "ID")]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put messages back at the end of their conversations, to be answered after all.
    ///
    /// One by its id, those of a filter, or --all. Of many it asks first.
    Redrive(WorkArgs),
    /// Remove dead letters for good.
    ///
    /// One by its id, those of a filter, or --all. Asks first.
    Drop(WorkArgs),
}

/// Which letters: each option narrows them.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Of this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// That died for this reason, as `list` shows it, e.g. agent_failed.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Of the person or conversation with this phone number.
    #[arg(long, value_name = "PHONE")]
    phone: Option<String>,
    /// Of the conversation with this session name.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// That died at or after this time: RFC 3339, a day, or an age as 24h or 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// That died at or before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// What `list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most, from 1 to 500.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Go on where an earlier list ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What `redrive` and `drop` take.
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// One letter: the message's trace id, or what `list` shows.
    #[arg(value_name = "ID", conflicts_with_all = ["all", "instance", "reason", "phone", "session", "since", "until"])]
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// All of them, of every instance.
    #[arg(long, conflicts_with_all = ["instance", "reason", "phone", "session", "since", "until"])]
    pub(super) all: bool,
    /// Only say what would happen.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl FilterArgs {
    /// Whether it narrows nothing. An empty word narrows nothing either: it comes of a script's
    /// unset variable.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// The options under the API's names.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("instance_name", &self.instance),
            ("reason", &self.reason),
            ("phone", &self.phone),
            ("session_name", &self.session),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = |(name, text): (&'static str, &Option<String>)| Some((name, text.clone()?));
        pairs.into_iter().filter_map(given).filter(|(_, text)| !text.trim().is_empty()).collect()
    }
}

impl ListArgs {
    /// The query of the call.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.filter.pairs();
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(self.cursor.clone().map(|cursor| ("cursor", cursor)));
        query
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: DeadCommand,
    }

    fn parse(line: &str) -> Result<DeadCommand, String> {
        let line = std::iter::once("dead").chain(line.split_whitespace());
        Line::try_parse_from(line).map(|line| line.command).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
        let Ok(DeadCommand::Redrive(arguments)) = parse("redrive --instance acme --since 24h --dry-run") else {
            panic!("a redrive");
        };
        assert_eq!(arguments.filter.pairs(), [("instance_name", "acme".to_owned()), ("since", "24h".to_owned())]);
        let Ok(DeadCommand::List(arguments)) = parse("list --limit 5 --cursor 9") else { panic!("a list") };
        assert_eq!(arguments.query(), [("limit", "5".to_owned()), ("cursor", "9".to_owned())]);
    }

    #[test]
    fn one_and_many_and_all_exclude_each_other() {
        for line in ["redrive x --all", "drop x --reason y", "drop --all --instance acme"] {
            assert!(parse(line).unwrap_err().contains("cannot be used with"), "{line}");
        }
    }

    #[test]
    fn an_unset_variable_is_no_filter() {
        let line = ["dead", "drop", "--instance", ""];
        let Ok(Line { command: DeadCommand::Drop(arguments) }) = Line::try_parse_from(line) else { panic!("a drop") };
        assert!(arguments.filter.is_empty());
    }
}
