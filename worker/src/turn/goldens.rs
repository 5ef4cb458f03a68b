//! Every recorded webhook, and what the agent is asked because of it.
//!
//! Beside the golden questions stands the table of `docs/whatsapp.md`: each of its rows is made
//! here from a recording, so that the page cannot say what the hub does not do.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use omnihub_common::{
    channel::{
        InboundMessage, MessageKind,
        whatsapp::{inbound::read_message, webhook::read_webhook},
    },
    conversation::whatsapp_session_name,
    queue::{AgentSession, Envelope, EnvelopeBody, EnvelopeKind, MessageId, MessageKey, trace_id},
};
use serde::Serialize;
use serde_json::Value;

use super::{Opened, admit::admit, own::Own, question::question, tests::instance};
use crate::agent;

/// What comes of a recorded message.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Reading {
    Ignored(&'static str),
    Asked(Value),
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn recorded() -> Vec<PathBuf> {
    let folder = root().join("common/src/channel/whatsapp/fixtures");
    let entries = fs::read_dir(folder).expect("the fixtures").map(|entry| entry.expect("an entry").path());
    let numbered = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    let mut paths: Vec<_> = entries.filter(numbered).collect();
    paths.sort();
    paths
}

/// The messages of a recorded body, each with what comes of it.
fn readings(path: &PathBuf) -> Vec<(InboundMessage, Reading)> {
    let webhook = read_webhook(&fs::read(path).expect("the fixture"), None).expect("a recorded body");
    let own_id = webhook.own_id;
    let reading = |part: omnihub_common::channel::whatsapp::webhook::Part| {
        let message = read_message(&part.data);
        let session_name = whatsapp_session_name(None, "acme", &part.address());
        let reading = match admit(&instance(), &message, &Own::of(own_id.as_deref())) {
            Err(ignored) => Reading::Ignored(ignored.reason()),
            Ok(()) => Reading::Asked(asked(&message, session_name)),
        };
        (message, reading)
    };
    webhook.parts.into_iter().map(reading).collect()
}

fn asked(message: &InboundMessage, session_name: String) -> Value {
    let instance = Arc::new(instance());
    let opened = Opened {
        fallback: None,
        instance: instance.clone(),
        envelope: envelope(session_name),
        message: message.clone(),
        earlier: Vec::new(),
        files: Vec::new(),
    };
    agent::request(&instance, &question(&opened, "t".to_owned(), AgentSession::default(), None), &[])
}

fn envelope(session_name: String) -> Envelope {
    let key =
        MessageKey { instance_id: 1, kind: "message", chat: "c", from_me: false, provider_id: "1", discriminator: "" };
    let id = MessageId::of(&key);
    Envelope {
        v: Envelope::VERSION,
        kind: EnvelopeKind::Message,
        command: None,
        answers: false,
        id,
        trace_id: trace_id(None, id),
        instance_id: 1,
        instance: "acme".into(),
        channel: "whatsapp".into(),
        session_name,
        received_at: 0,
        provider_at: None,
        own_id: None,
        warnings: Vec::new(),
        redrive: None,
        body: EnvelopeBody::Inline(Value::Null),
    }
}

#[test]
fn every_recorded_webhook_has_its_golden_question() {
    let paths = recorded();
    assert_eq!(paths.len(), 84);
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let readings: Vec<Reading> = readings(&path).into_iter().map(|(_, reading)| reading).collect();
        insta::with_settings!({ snapshot_path => "questions", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(name, readings);
        });
    }
}

/// A row of the page's table: the kind, what the agent reads, its type, and where more of it is.
fn row(kind: MessageKind, reading: &Reading) -> String {
    let kind = kind.as_str();
    match reading {
        Reading::Ignored(reason) => format!("| `{kind}` | ignored: `{reason}` | | |"),
        Reading::Asked(request) => {
            let said = request["message"].as_str().expect("a message").replace('\n', " ⏎ ").replace('|', "\\|");
            let word = request["message_type"].as_str().expect("a type");
            let media = request["media_contents"].as_array().map(|_| "`media_contents`".to_owned());
            let data = request["context"]["contents"][0].as_object().into_iter().flatten();
            let data = data.map(|(name, _)| name.as_str()).filter(|name| !matches!(*name, "type" | "message_id"));
            let more: Vec<String> = media.into_iter().chain(data.map(|name| format!("`contents.{name}`"))).collect();
            format!("| `{kind}` | {said} | `{word}` | {} |", more.join(", "))
        }
    }
}

#[test]
fn the_page_about_whatsapp_has_a_row_for_every_kind() {
    let mut rows = BTreeMap::new();
    for (message, reading) in recorded().iter().flat_map(readings) {
        // In the order of the enum; of two recordings the first one.
        let place = MessageKind::ALL.iter().position(|kind| *kind == message.content.kind).expect("a kind");
        if !message.from_me && !message.is_group && message.chat != "status@broadcast" {
            rows.entry(place).or_insert_with(|| row(message.content.kind, &reading));
        }
    }
    assert_eq!(rows.len(), MessageKind::ALL.len(), "each kind is recorded: {rows:?}");
    let table: String = rows.into_values().map(|row| row.trim_end().to_owned() + "\n").collect();
    let page = fs::read_to_string(root().join("docs/whatsapp.md")).expect("the page");
    assert!(page.contains(&table), "docs/whatsapp.md must have these rows:\n{table}");
}
