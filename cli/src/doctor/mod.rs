//! `omnihub doctor`: what is right and wrong with a hub, and what to do.
//!
//! It asks the hub, over the admin API as every management command does: only there the keys are at
//! hand, and only from there is an agent or an Evolution server reachable or not. A hub that does not
//! answer cannot tell why: then `direct` looks from here at what it would stand on, with the settings
//! of this folder, as `up` and `migrate` read them.

mod direct;

use anyhow::{Context, bail};
use clap::Args;
use omnihub_common::{
    config::{DataFolder, ProcessSettings},
    doctor::{Finding, Verdict},
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{Api, ApiError},
    show,
};

/// What is looked at.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Of the instances only this one.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only what is not as it should be.
    #[arg(long, short)]
    quiet: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A page of the hub's answer.
#[derive(Deserialize)]
struct Page {
    findings: Vec<Finding>,
    next_skip: Option<u64>,
}

/// Looks, and prints what was found.
///
/// # Errors
/// When there is a problem: the exit code is 0 only without one.
pub async fn run(arguments: DoctorArgs) -> anyhow::Result<()> {
    let settings = ProcessSettings::load()?;
    let data = DataFolder::open_if_present(&settings)?;
    let found = match Api::load(&settings, &data) {
        Ok(api) => match ask(&api, arguments.instance.as_deref()).await? {
            Asked::Told(found) => found,
            Asked::Refused(refusal) => vec![refusal],
            Asked::Silent(silence) => {
                let mut found = vec![silence];
                // The settings of this folder are of no hub that is elsewhere.
                if api.is_here() {
                    found.extend(direct::look(settings, &data).await);
                }
                found
            }
        },
        Err(error) => vec![of_error(&error)],
    };
    show::print(&text(&arguments, found.clone())?)?;
    match found.iter().filter(|finding| finding.verdict == Verdict::Problem).count() {
        0 => Ok(()),
        1 => bail!("there is 1 problem"),
        problems => bail!("there are {problems} problems"),
    }
}

/// What came of asking a hub.
enum Asked {
    Told(Vec<Finding>),
    /// It is there, and does not tell.
    Refused(Finding),
    /// It is not there.
    Silent(Finding),
}

/// Asks a hub, page by page.
async fn ask(api: &Api, instance: Option<&str>) -> anyhow::Result<Asked> {
    let mut found = vec![Finding::ok("hub", format!("The hub at {} answers.", api.shown()))];
    let mut skip = 0;
    loop {
        let mut query = vec![("skip", skip.to_string())];
        query.extend(instance.map(|name| ("instance_name", name.to_owned())));
        let page = match api.call(Method::GET, &["doctor"], &query, None).await {
            Ok(page) => page,
            Err(error @ (ApiError::Unauthorized { .. } | ApiError::Refused { status: ..503, .. })) => {
                return Ok(Asked::Refused(of_error(&error)));
            }
            // Nobody, or one that still waits for what it stands on.
            Err(error) => return Ok(Asked::Silent(of_error(&error))),
        };
        let page: Page = serde_json::from_value(page).context(show::UNREADABLE)?;
        found.extend(page.findings);
        match page.next_skip {
            Some(next) if next > skip => skip = next,
            _ => break,
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    Ok(Asked::Told(found))
}

/// Why the hub did not tell. What to do stands behind the colon of an error, or on the lines below it.
fn of_error(error: &ApiError) -> Finding {
    let words = error.to_string();
    let (says, remedy) = match error {
        ApiError::Refused { .. } => words.split_once('\n').unwrap_or((words.as_str(), "See the hub's log.")),
        _ => words.split_once(": ").unwrap_or((words.as_str(), "See the hub's log.")),
    };
    let sentence = |words: &str| format!("{}.", capital(words.trim().trim_end_matches('.')));
    Finding::problem("hub", sentence(says), sentence(remedy))
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn text(arguments: &DoctorArgs, mut found: Vec<Finding>) -> anyhow::Result<String> {
    let count = |verdict| found.iter().filter(|finding| finding.verdict == verdict).count();
    let (problems, hints, ok) = (count(Verdict::Problem), count(Verdict::Hint), count(Verdict::Ok));
    if arguments.quiet {
        found.retain(|finding| finding.verdict != Verdict::Ok);
    }
    if arguments.json {
        return show::pretty(&json!({"problems": problems, "hints": hints, "ok": ok, "findings": found}));
    }
    let counted = format!("{}, {}, {ok} ok.\n", many(problems, "problem"), many(hints, "hint"));
    if found.is_empty() {
        return Ok(counted);
    }
    let mut table = show::table();
    table.set_header(["", "Check", "Instance", "What is found", "What to do"]);
    for Finding { check, instance, verdict, says, remedy } in found {
        let cells =
            [verdict.as_str().to_owned(), check, instance.unwrap_or_default(), says, remedy.unwrap_or_default()];
        table.add_row(cells);
    }
    Ok(format!("{table}\n{counted}"))
}

fn many(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn found() -> Vec<Finding> {
        vec![
            Finding::problem("agent", "Nobody answers.", "Start it.").of("acme"),
            Finding::hint("disk", "It may lose two minutes.", "Write through."),
            Finding::ok("database", "The database answers."),
        ]
    }

    #[test]
    fn a_table_for_people_and_an_object_for_programs() {
        let arguments = |quiet, json| DoctorArgs { instance: None, quiet, json };
        let table = text(&arguments(false, false), found()).unwrap();
        for words in ["problem", "acme", "Nobody answers.", "Start it.", "1 problem, 1 hint, 1 ok."] {
            assert!(table.contains(words), "{table}");
        }
        assert!(!text(&arguments(true, false), found()).unwrap().contains("The database answers."));
        let object: Value = serde_json::from_str(&text(&arguments(true, true), found()).unwrap()).unwrap();
        assert_eq!((&object["problems"], object["findings"].as_array().unwrap().len()), (&json!(1), 2));
        assert_eq!(object["findings"][0]["verdict"], "problem");
        let well = text(&arguments(true, false), vec![Finding::ok("hub", "x")]).unwrap();
        assert_eq!(well, "0 problems, 0 hints, 1 ok.\n");
    }

    #[test]
    fn what_the_hub_says_no_with_is_a_line_like_the_others() {
        let refused = of_error(&ApiError::Unauthorized { url: "http://hub".to_owned() });
        assert_eq!(refused.says, "The hub at http://hub does not take this key.");
        assert!(
            refused.remedy.as_deref().is_some_and(|remedy| remedy.starts_with("Set OMNIHUB_API_KEY")),
            "{refused:?}"
        );
    }
}
