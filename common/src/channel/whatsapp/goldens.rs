//! Every recorded webhook and its golden reading.

use std::{fs, path::PathBuf};

use serde::Serialize;

use super::{inbound::read_message, webhook::read_webhook};
use crate::channel::InboundMessage;

/// What a recorded body reads as.
#[derive(Serialize)]
struct Reading {
    event: String,
    instance: Option<String>,
    own_id: Option<String>,
    parts: Vec<PartReading>,
}

#[derive(Serialize)]
struct PartReading {
    address: String,
    provider_id: String,
    chat: String,
    from_me: bool,
    provider_at_ms: Option<i64>,
    message: InboundMessage,
}

fn recorded() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/channel/whatsapp/fixtures");
    let entries = fs::read_dir(folder).expect("the fixtures").map(|entry| entry.expect("an entry").path());
    let numbered = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    let mut paths: Vec<_> = entries.filter(numbered).collect();
    paths.sort();
    paths
}

/// The bodies of all recordings, in their order.
pub(super) fn recorded_bodies() -> Vec<Vec<u8>> {
    recorded().iter().map(|path| fs::read(path).expect("the fixture")).collect()
}

fn reading(body: &[u8]) -> Reading {
    let webhook = read_webhook(body, None).expect("a recorded body");
    let parts = webhook.parts.into_iter().map(|part| PartReading {
        address: part.address(),
        message: read_message(&part.data),
        provider_id: part.provider_id,
        chat: part.chat,
        from_me: part.from_me,
        provider_at_ms: part.provider_at_ms,
    });
    Reading {
        event: webhook.event.as_str().to_owned(),
        instance: webhook.instance,
        own_id: webhook.own_id,
        parts: parts.collect(),
    }
}

#[test]
fn every_recorded_webhook_has_its_golden_reading() {
    let paths = recorded();
    assert_eq!(paths.len(), 84);
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let reading = reading(&fs::read(&path).expect("the fixture"));
        insta::with_settings!({ snapshot_path => "readings", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(name, reading);
        });
    }
}

#[test]
fn nothing_of_the_server_is_kept() {
    for path in recorded() {
        let webhook = read_webhook(&fs::read(&path).expect("the fixture"), None).expect("a recorded body");
        let kept = format!("{webhook:?}");
        assert!(!kept.contains("7F4C2E90") && !kept.contains("127.0.0.1:18080"), "{}", path.display());
    }
}
