//! `omnihub where`: what a person's message is doing now, over the admin API.

use std::io::{self, Write};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use omnihub_common::conversation::whereabouts::{SeenIn, Whereabouts};
use reqwest::Method;
use serde::Deserialize;

use crate::{api::Api, show};

/// A phone number has so many digits at least.
const SHORTEST_PHONE: usize = 5;

/// Who or what is looked for.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// A phone number, a trace id, or a conversation's name (session_name).
    #[arg(value_name = "PHONE|TRACE ID|CONVERSATION", allow_hyphen_values = true)]
    what: String,
    /// With this instance only.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Answer {
    conversations: Vec<Whereabouts>,
}

/// Asks a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(arguments: WhereArgs, target: &Api) -> anyhow::Result<()> {
    let what = arguments.what.trim();
    let mut query = vec![(parameter(what), what.to_owned())];
    query.extend(arguments.instance.map(|instance| ("instance_name", instance)));
    let found = target.call(Method::GET, &["where"], &query, None).await?;
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&found)?)
    } else {
        let answer: Answer = serde_json::from_value(found).context(show::UNREADABLE)?;
        shown(&answer.conversations, what, Utc::now())
    };
    io::stdout().lock().write_all(text.as_bytes()).context("the answer could not be printed")
}

/// Which question a word asks.
fn parameter(what: &str) -> &'static str {
    let hex = what.chars().filter(char::is_ascii_hexdigit).count();
    if hex == 32 && what.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return "trace_id";
    }
    let digits = what.chars().filter(char::is_ascii_digit).count();
    let number = what.chars().all(|c| c.is_ascii_digit() || c.is_whitespace() || "+-.()".contains(c));
    if number && digits >= SHORTEST_PHONE { "phone" } else { "conversation" }
}

fn shown(found: &[Whereabouts], what: &str, now: DateTime<Utc>) -> String {
    if found.is_empty() {
        return format!("Nothing of {what} waits, and no trace of it is kept.\n");
    }
    let blocks: Vec<String> = found.iter().map(|found| one(found, now)).collect();
    blocks.join("\n")
}

/// One conversation, a few lines.
fn one(found: &Whereabouts, now: DateTime<Utc>) -> String {
    let mut text = format!("{} · {}\n  {}\n", found.instance_name, found.conversation, found.standing.sentence(now));
    let mut line = |words: String| text.push_str(&format!("  {words}\n"));
    if let Some(ahead) = &found.ahead {
        line(format!("The message at the front: {}", ahead.sentence(now)));
    }
    match found.waiting {
        0 => {}
        1 if found.ahead.is_none() => line("1 more message of the conversation waits behind it.".to_owned()),
        n if found.ahead.is_none() => line(format!("{n} more messages of the conversation wait behind it.")),
        // It is one of those that wait.
        _ => {}
    }
    let owner = match (&found.owner, found.seen_in) {
        (Some(owner), _) => format!("worker {owner}"),
        (None, SeenIn::Traces) => String::new(),
        (None, _) => "owner: none (no worker has this conversation now; told by the streams)".to_owned(),
    };
    let trace = found.trace_id.map(|trace| format!("trace {trace}")).unwrap_or_default();
    let both: Vec<String> = [trace, owner].into_iter().filter(|words| !words.is_empty()).collect();
    line(both.join(" · "));
    text
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use omnihub_common::conversation::whereabouts::{Sight, Standing};

    use super::*;

    #[test]
    fn a_word_says_by_itself_what_it_is() {
        for (what, parameter_name) in [
            ("+55 (11) 98765-4321", "phone"),
            ("5511987654321", "phone"),
            ("019a0e14-0b6c-8f3a-9d2e-6f1c2b3a4d5e", "trace_id"),
            ("acme_5511987654321", "conversation"),
            ("1234", "conversation"),
        ] {
            assert_eq!(parameter(what), parameter_name, "{what}");
        }
    }

    #[test]
    fn an_answer_reads_as_sentences() {
        let now = DateTime::UNIX_EPOCH;
        let standing = Standing::Asking { since: Some(now - TimeDelta::seconds(12)), attempt: 1 };
        let sight = Sight { trace_id: None, standing, waiting: 2, asked: None };
        let found = Whereabouts::of("acme", "acme_5511", Some("w1".into()), sight.clone(), None);
        assert_eq!(
            shown(&[found], "5511", now),
            "acme · acme_5511\n  The agent is being asked, for 12 s now.\n  \
             2 more messages of the conversation wait behind it.\n  worker w1\n"
        );
        let alone = Whereabouts::of("acme", "acme_5511", None, Sight { waiting: 0, ..sight }, None);
        assert!(shown(&[alone], "5511", now).contains("owner: none"));
        assert_eq!(shown(&[], "5511", now), "Nothing of 5511 waits, and no trace of it is kept.\n");
    }
}
