//! Explanations read aloud, and every reason found in the code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::trace::{TraceStatus, batch::Batch, fixture::event};

fn row(change: impl FnOnce(&mut Model)) -> Model {
    let mut trace = event(1, 1, TraceStatus::WebhookReceived);
    trace.record.details.sender_name = Some("Maria Silva".into());
    trace.record.details.sender_phone = Some("5511987654321".into());
    trace.record.details.message_type = Some("text".into());
    trace.record.details.message_length = Some(13);
    let mut row = Batch::of([&trace], DateTime::UNIX_EPOCH).unwrap().traces.remove(0);
    row.received_at = at(0);
    change(&mut row);
    row
}

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_760_000_000_000).unwrap() + TimeDelta::milliseconds(ms)
}

fn ended(row: &mut Model, outcome: &str, reason: Option<&str>, after: i64) {
    (row.outcome, row.outcome_reason) = (Some(outcome.into()), reason.map(str::to_owned));
    (row.completed_at, row.total_processing_time_ms) = (Some(at(after)), i32::try_from(after).ok());
}

const ARRIVAL: &str =
    "It came at 2025-10-09 08:53:20 UTC from Maria Silva (+5511987654321) to acme over whatsapp (text, 13 characters).";

#[test]
fn an_answer_is_told_with_its_times() {
    let row = row(|row| {
        (row.processing_started_at, row.agent_request_at, row.agent_response_at) =
            (Some(at(4)), Some(at(6)), Some(at(1206)));
        (row.agent_processing_time_ms, row.agent_response_success, row.agent_response_length) =
            (Some(1200), Some(true), Some(40));
        (row.channel_send_at, row.reply_message_ids) = (Some(at(1300)), json!(["a", "b"]).to_string());
        ended(row, "answered", None, 1310);
    });
    let told = explain(&row, None, None, at(5000));
    assert_eq!(told.verdict, Verdict::Answered);
    assert_eq!(
        told.sentences,
        [
            ARRIVAL,
            "The agent was asked and answered after 1.2 s with 40 characters.",
            "The answer went out in 2 messages.",
            "It was answered 1.3 s after it came.",
        ]
    );
    let steps: Vec<_> = told.steps.iter().map(|step| (step.took_ms, step.what.as_str())).collect();
    let expected = [
        (0, "accepted"),
        (4, "turn begun"),
        (2, "agent asked"),
        (1200, "agent answered"),
        (94, "answer sent"),
        (10, "answered"),
    ];
    assert_eq!((steps.as_slice(), told.remedy), (expected.as_slice(), None));
}

#[test]
fn a_send_is_told_as_one() {
    let row = row(|row| {
        row.message_type = Some("send_text".into());
        row.sender_name = None;
        (row.channel_send_at, row.reply_message_ids) = (Some(at(300)), json!(["a"]).to_string());
        ended(row, "answered", None, 310);
    });
    let expected = [
        "It was asked over the API to be sent at 2025-10-09 08:53:20 UTC from acme to +5511987654321 over whatsapp \
         (text, 13 characters).",
        "It went out in 1 message.",
        "It was sent 310 ms after it came.",
    ];
    assert_eq!(explain(&row, None, None, at(5000)).sentences, expected);
}

#[test]
fn a_silence_says_why_and_what_to_do() {
    let row = row(|row| ended(row, "ignored", Some("group_without_mention"), 3));
    let told = explain(&row, None, None, at(5000));
    assert_eq!(told.verdict, Verdict::Ignored);
    assert_eq!(
        told.sentences[1],
        "It was ignored: in a group the bot answers only when it is mentioned or replied to."
    );
    assert!(told.remedy.unwrap().starts_with("Mention the bot"));
}

#[test]
fn a_delay_says_when_it_goes_on() {
    let row = row(|row| {
        (row.processing_started_at, row.agent_request_at) = (Some(at(4)), Some(at(6)));
        (row.agent_processing_time_ms, row.agent_response_success) = (Some(60_000), Some(false));
        (row.error_stage, row.error_message) =
            (Some("agent_called".into()), Some("the agent did not answer in time".into()));
    });
    let why = "the agent did not answer in time".to_owned();
    let standing = Standing::Retrying { until: at(90_000), attempt: 2, why };
    let found = Whereabouts::ended("acme", "acme_1", None, standing);
    let found = Whereabouts { owner: Some("w1".into()), ..found };
    let told = explain(&row, Some(&found), None, at(62_000));
    assert_eq!(told.verdict, Verdict::Delayed);
    assert_eq!(
        told.sentences[1..],
        [
            "The agent was asked and failed after 1 min 0 s: the agent did not answer in time.",
            "It is tried again in 28 s (attempt 2), because the agent did not answer in time.",
        ]
    );
    assert_eq!(told.steps.last().map(|step| step.what.as_str()), Some("agent failed"));

    let orphaned = Whereabouts { owner: None, standing: Standing::Queued { before: Some(0) }, ..found };
    let told = explain(&row, Some(&orphaned), None, at(62_000));
    assert!(told.sentences.last().unwrap().starts_with("No worker owns"), "{told:?}");
}

#[test]
fn a_death_says_what_is_left_to_do() {
    let row = row(|row| {
        row.attempts = Some(7);
        row.processing_started_at = Some(at(3_600_000));
        (row.error_stage, row.error_message) =
            (Some("channel_send".into()), Some("Evolution cannot be reached".into()));
        row.warnings = json!(["bubble 1 may have been sent twice"]).to_string();
        ended(row, "dead", Some("channel_failed"), 3_601_000);
    });
    let letter = DeadLetter { attempts: 7, ..DeadLetter::of("channel_failed", b"{}", 0) };
    let told = explain(&row, None, Some(&letter), at(4_000_000));
    assert_eq!(told.verdict, Verdict::Dead);
    assert_eq!(
        told.sentences[1..],
        [
            "It took 7 attempts; the last one began 1 h 0 min after it came.",
            "Sending the answer failed: Evolution cannot be reached.",
            "It went to the dead letters 1 h 0 min after it came: the answer could not be sent in any attempt.",
            "The dead letter is kept, after 7 attempts.",
            "Worth a look: bubble 1 may have been sent twice.",
        ]
    );
    assert!(told.remedy.unwrap().contains("omnihub dead redrive"));
}

#[test]
fn what_the_channel_says_of_the_bubbles_is_told() {
    use crate::{channel::DeliveryState, trace::BubbleState};
    let row = row(|row| ended(row, "answered", None, 3));
    let bubble = |state, told: bool| BubbleState { message_id: "3EB0".into(), state, at: told.then(|| at(9)) };
    let told = |bubbles: &[BubbleState]| explain(&row, None, None, at(5000)).with_bubbles(bubbles).sentences;
    let silent = told(&[bubble(DeliveryState::Sent, false)]);
    assert_eq!(silent.len(), 2, "nothing was told");
    let bubbles = [(DeliveryState::Read, true), (DeliveryState::Failed, true), (DeliveryState::Sent, false)];
    assert_eq!(
        told(&bubbles.map(|(state, told)| bubble(state, told)))[2..],
        [
            "Of the 3 messages that went out the channel says: 1 read.",
            "Worth a look: the channel could not deliver bubble 2 (3EB0).",
        ]
    );
}

#[test]
fn an_unheard_of_reason_is_named() {
    let row = row(|row| ended(row, "ignored", Some("levitating"), 3));
    let told = explain(&row, None, None, at(5000));
    assert_eq!(told.sentences[1], "It was ignored: the reason is `levitating`, which this version does not know.");
}

/// Words in the files that make reasons and are none: names of steps, fields, metrics and headers.
const OTHER_WORDS: &str = include_str!("other_words.txt");

/// A file that can make a reason says one of these.
const MAKERS: [&str; 9] = [
    "Decision::Dead",
    "Decision::Hold",
    "dead(\"",
    "fn reason(self)",
    "Exit::Later(",
    "Exit::Parked(",
    "Exit::Retry(",
    "Outcome::Dead, \"",
    "Outcome::Ignored, \"",
];
/// What a reason of a single word stands right behind.
const CALLS: [&str; 10] = [
    "Dead(",
    "Hold(",
    "dead(",
    "misconfigured(",
    "=> ",
    "Outcome::Answered, ",
    "Outcome::Dead, ",
    "Outcome::Ignored, ",
    "retry::HOLD, ",
    "retry::PAUSE, ",
];

#[test]
fn every_reason_in_the_code_has_a_sentence() {
    let known: BTreeSet<&str> = reasons::all().map(|reason| reason.word).collect();
    let other: BTreeSet<&str> = OTHER_WORDS.split_whitespace().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    for folder in ["worker/src", "common/src"] {
        collect(&root.join(folder), &mut sources);
    }
    let mut seen = BTreeSet::new();
    let mut unexplained = Vec::new();
    for source in sources.iter().filter(|path| !path.ends_with("explain/reasons.rs")) {
        let text = fs::read_to_string(source).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if !MAKERS.iter().any(|maker| code.contains(maker)) {
            continue;
        }
        for word in words(code) {
            match known.contains(word.as_str()) {
                true => drop(seen.insert(word)),
                false if other.contains(word.as_str()) => {}
                false => unexplained.push(format!("{word} in {}", source.display())),
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "give each a sentence in reasons.rs, or name it in other_words.txt if it is no reason:\n{}",
        unexplained.join("\n")
    );
    // `agent_failed` and `channel_failed` are put together of a step's name.
    let unheard: Vec<_> = known.iter().filter(|word| !seen.contains(**word) && !word.ends_with("_failed")).collect();
    assert!(unheard.is_empty(), "nothing makes these any more: {unheard:?}");
}

#[test]
fn sentences_and_remedies_are_whole() {
    let mut words = BTreeSet::new();
    for reason in reasons::all() {
        assert!(words.insert(reason.word), "{} twice", reason.word);
        for text in [Some(sentence_of(reason.word)), remedy_of(reason.word).map(Into::into)].into_iter().flatten() {
            assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", reason.word);
        }
    }
}

/// Every Rust file below a folder, but tests.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let test = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
        match path.extension() {
            _ if test => {}
            Some(extension) if extension == "rs" => files.push(path),
            _ if path.is_dir() => collect(&path, files),
            _ => {}
        }
    }
}

/// String literals that could be a reason: lower-case words joined by underscores, and where
/// reasons are made a single one.
fn words(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let pieces: Vec<&str> = line.split('"').collect();
        for pair in pieces.chunks_exact(2) {
            let (before, word) = (pair[0], pair[1]);
            let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if plain && (word.contains('_') || CALLS.iter().any(|call| before.ends_with(call))) {
                found.push(word.to_owned());
            }
        }
    }
    found
}
