//! `omnihub explain`: why a message was answered, ignored or delayed, over the admin API.

use std::io::{self, Write};

use anyhow::Context;
use clap::Args;
use omnihub_common::{
    conversation::whereabouts::span,
    trace::explain::{Explanation, Step, Verdict},
};
use reqwest::Method;

use crate::{api::Api, show};

/// What is to be explained.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The message's trace id.
    #[arg(value_name = "TRACE ID")]
    trace_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(arguments: ExplainArgs, target: &Api) -> anyhow::Result<()> {
    let path = ["traces", &arguments.trace_id, "explanation"];
    let told = target.call(Method::GET, &path, &[], None).await?;
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&told)?)
    } else {
        shown(&serde_json::from_value(told).context(show::UNREADABLE)?)
    };
    io::stdout().lock().write_all(text.as_bytes()).context("the answer could not be printed")
}

fn shown(told: &Explanation) -> String {
    let mut text = format!("{} · trace {}\n\n", verdict(told.verdict), told.trace_id);
    for sentence in &told.sentences {
        text.push_str(&format!("{sentence}\n"));
    }
    if let Some(remedy) = &told.remedy {
        text.push_str(&format!("\nWhat to do: {remedy}\n"));
    }
    text.push('\n');
    for (nth, step) in told.steps.iter().enumerate() {
        text.push_str(&timed(step, nth == 0));
    }
    text
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Answered => "Answered",
        Verdict::Ignored => "Ignored",
        Verdict::HandedOff => "Handed off",
        Verdict::Dead => "Dead",
        Verdict::UnderWay => "Under way",
        Verdict::Delayed => "Delayed",
    }
}

fn timed(step: &Step, first: bool) -> String {
    let took = if first { String::new() } else { format!("+{}", span(step.took_ms)) };
    format!("  {}  {took:>12}  {}\n", step.at.format("%H:%M:%S%.3f"), step.what)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_reads_from_top_to_bottom() {
        let told = json!({
            "trace_id": "01900000-0000-8000-8000-000000000001", "verdict": "ignored",
            "sentences": ["It came.", "It was ignored."], "remedy": "Do this.",
            "steps": [
                {"at": DateTime::UNIX_EPOCH, "took_ms": 0, "what": "accepted"},
                {"at": DateTime::UNIX_EPOCH, "took_ms": 1250, "what": "ignored"},
            ],
        });
        assert_eq!(
            shown(&serde_json::from_value(told).unwrap()),
            "Ignored · trace 01900000-0000-8000-8000-000000000001\n\nIt came.\nIt was ignored.\n\nWhat to do: Do this.\n\n  \
             00:00:00.000                accepted\n  00:00:00.000        +1.2 s  ignored\n"
        );
    }
}
