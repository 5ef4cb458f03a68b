//! `omnihub dead`: messages that could not be answered, over the admin API.

mod arguments;
mod table;

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

pub use self::arguments::{DeadCommand, FilterArgs, ListArgs, WorkArgs};
use crate::{api::Api, progress, show};

/// The path of the letters.
const LETTERS: &str = "dead-letters";

/// Runs a command against a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses, or a redrive or a drop is not confirmed.
pub async fn run(command: DeadCommand, target: &Api) -> anyhow::Result<()> {
    let text = execute(command, target).await?;
    show::print(&text)
}

async fn execute(command: DeadCommand, target: &Api) -> anyhow::Result<String> {
    match command {
        DeadCommand::List(arguments) => {
            let page = target.call(Method::GET, &[LETTERS], &arguments.query(), None).await?;
            if arguments.json { show::pretty(&page) } else { Ok(table::page(&page)) }
        }
        DeadCommand::Show { id, json } => {
            let letter = target.call(Method::GET, &[LETTERS, &id], &[], None).await?;
            if json { show::pretty(&letter) } else { Ok(table::letter(&letter)) }
        }
        DeadCommand::Redrive(arguments) => work(&REDRIVE, &arguments, target).await,
        DeadCommand::Drop(arguments) => work(&DROP, &arguments, target).await,
    }
}

/// How to go on where nobody can be asked.
const UNASKED: &str = "--yes, or --dry-run to see what would happen";

/// What is done with letters, in words.
struct Work {
    verb: &'static str,
    /// The field of the answer that counts what was done.
    done: &'static str,
    /// What follows from it, for the question.
    meaning: &'static str,
}

const REDRIVE: Work =
    Work { verb: "redrive", done: "redriven", meaning: "their people get an answer, however late it is" };
const DROP: Work = Work { verb: "drop", done: "dropped", meaning: "they are gone for good" };

async fn work(work: &Work, arguments: &WorkArgs, target: &Api) -> anyhow::Result<String> {
    match arguments.id.as_deref() {
        Some(id) => one(work, id, arguments, target).await,
        None => many(work, arguments, target).await,
    }
}

async fn one(work: &Work, id: &str, arguments: &WorkArgs, target: &Api) -> anyhow::Result<String> {
    if arguments.dry_run {
        let letter = target.call(Method::GET, &[LETTERS, id], &[], None).await?;
        return if arguments.json { show::pretty(&letter) } else { Ok(table::letter(&letter)) };
    }
    if work.verb == DROP.verb
        && !arguments.yes
        && !show::confirmed(format!("Drop dead letter {id} for good?"), UNASKED).await?
    {
        return Ok("Nothing was done.\n".to_owned());
    }
    let answer = match work.verb {
        "drop" => target.call(Method::DELETE, &[LETTERS, id], &[], None).await?,
        _ => target.call(Method::POST, &[LETTERS, id, "redrive"], &[], None).await?,
    };
    match arguments.json {
        true => show::pretty(&answer),
        false if work.verb == DROP.verb => Ok(format!("Dropped {id}.\n")),
        false => Ok(format!("Redriven: {id} waits at the end of its conversation again.\n")),
    }
}

async fn many(work: &Work, arguments: &WorkArgs, target: &Api) -> anyhow::Result<String> {
    if arguments.filter.is_empty() && !arguments.all {
        bail!(
            "which ones? Name an id, narrow them with --instance, --reason, --phone, --since or --until, \
             or say --all; see `omnihub dead list`"
        );
    }
    if !arguments.dry_run && !arguments.yes {
        let counted = call(work, arguments, target, None, true).await?;
        let matched = number(&counted["matched"]);
        let question = format!("{matched} dead letters match. {} them ({})?", capital(work.verb), work.meaning);
        if matched > 0 && !show::confirmed(question, UNASKED).await? {
            return Ok("Nothing was done.\n".to_owned());
        }
    }
    let total = all_rounds(work, arguments, target).await?;
    if arguments.json { show::pretty(&total) } else { Ok(table::tally(work.verb, work.done, &total)) }
}

/// The hub does a part per call and says where to go on.
async fn all_rounds(work: &Work, arguments: &WorkArgs, target: &Api) -> anyhow::Result<Value> {
    let mut total = call(work, arguments, target, None, arguments.dry_run).await?;
    let bar = progress::bar_for_people(arguments.json, "dead letters looked at", number(&total["matched"]));
    while let Some(cursor) = total["next_cursor"].as_str().map(str::to_owned) {
        progress::show(&bar, looked_at(work, &total));
        let round = call(work, arguments, target, Some(cursor), arguments.dry_run).await?;
        for count in [work.done, "redrivable"] {
            if !total[count].is_null() {
                total[count] = (number(&total[count]) + number(&round[count])).into();
            }
        }
        if let (Value::Object(skipped), Value::Object(more)) = (&mut total["skipped"], &round["skipped"]) {
            for (reason, count) in more {
                let sum = skipped.get(reason).map_or(0, number) + number(count);
                skipped.insert(reason.clone(), sum.into());
            }
        }
        if let (Value::Array(named), Value::Array(more)) = (&mut total["skipped_letters"], &round["skipped_letters"]) {
            named.extend(more.iter().cloned());
        }
        total["next_cursor"] = round["next_cursor"].clone();
    }
    Ok(total)
}

/// How many letters something has been said of.
fn looked_at(work: &Work, total: &Value) -> u64 {
    let skipped: u64 = total["skipped"].as_object().into_iter().flatten().map(|(_, count)| number(count)).sum();
    number(&total[work.done]) + number(&total["redrivable"]) + skipped
}

async fn call(
    work: &Work,
    arguments: &WorkArgs,
    target: &Api,
    cursor: Option<String>,
    dry_run: bool,
) -> anyhow::Result<Value> {
    let mut pairs = arguments.filter.pairs();
    pairs.push(("dry_run", dry_run.to_string()));
    if arguments.all {
        pairs.push(("all", true.to_string()));
    }
    pairs.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = match work.verb {
        "drop" => target.call(Method::DELETE, &[LETTERS], &pairs, None).await?,
        _ => {
            let body: Value = pairs.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
            target.call(Method::POST, &[LETTERS, "redrive"], &[], Some(&body)).await?
        }
    };
    Ok(answer)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
