use clap::Parser;
use serde_json::json;

use super::*;
use crate::{Cli, Command, testing::Hub};

fn parsed(words: &[&str]) -> SendCommand {
    let words = ["omnihub", "send"].iter().chain(words);
    match Cli::try_parse_from(words).unwrap().command {
        Command::Send(command) => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_becomes_its_request() {
    let command = parsed(&["text", "acme", "+55 11 98765-4321", "- hello", "--wait", "0", "--idempotency-key", "k"]);
    let (word, body, how) = command.request().unwrap();
    assert_eq!((word, how.instance(), how.wait, how.key.as_deref()), ("send-text", "acme", 0, Some("k")));
    assert_eq!(body, json!({"to": "+55 11 98765-4321", "text": "- hello"}));
    let words = ["text", "acme", "1@g.us", "hi", "--mention", "5511", "--mention", "5512", "--mention-all", "--whole"];
    let command = parsed(&[&words[..], &["--quoted", "3EB0", "--delay", "500"]].concat());
    let expected = json!({"to": "1@g.us", "text": "hi", "mentions": ["5511", "5512"], "mention_all": true,
        "split_message": false, "quoted": "3EB0", "delay": 500});
    assert_eq!(command.request().unwrap().1, expected);
    assert!(Cli::try_parse_from(["omnihub", "send", "text", "acme", "1", "x", "--wait", "61"]).is_err());
}

#[test]
fn every_kind_becomes_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "hi").unwrap();
    let file = path.to_str().unwrap();
    for (words, word, body) in [
        (
            &["media", "acme", "551", "--type", "document", "--file", file, "--caption", "read"][..],
            "send-media",
            json!({"to": "551", "media_type": "document", "media_base64": "aGk=", "filename": "a.txt",
                "caption": "read"}),
        ),
        (&["audio", "acme", "551", "--url", "u"], "send-audio", json!({"to": "551", "audio_url": "u"})),
        (&["sticker", "acme", "551", "--url", "u"], "send-sticker", json!({"to": "551", "sticker_url": "u"})),
        (
            &["contact", "acme", "551", "Ana", "+55 11", "--email", "a@b"],
            "send-contact",
            json!({"to": "551", "contacts": [{"full_name": "Ana", "phone_number": "+55 11", "email": "a@b"}]}),
        ),
        (
            &["reaction", "acme", "551", "3EB0", "", "--from-me"],
            "send-reaction",
            json!({"to": "551", "message_id": "3EB0", "reaction": "", "from_me": true}),
        ),
        (
            &["location", "acme", "551", "-23.5", "46.25", "Office", "Main Street"],
            "send-location",
            json!({"to": "551", "latitude": -23.5, "longitude": 46.25, "name": "Office", "address": "Main Street"}),
        ),
        (
            &["poll", "acme", "551", "Lunch?", "yes", "no", "--selectable", "0"],
            "send-poll",
            json!({"to": "551", "name": "Lunch?", "values": ["yes", "no"], "selectable_count": 0}),
        ),
    ] {
        let command = parsed(words);
        let (got, got_body, how) = command.request().unwrap();
        assert_eq!((got, got_body, how.instance()), (word, body, "acme"));
    }
    for words in [&["audio", "acme", "551"][..], &["audio", "acme", "551", "--url", "u", "--file", "f"]] {
        assert!(Cli::try_parse_from(["omnihub", "send"].iter().chain(words)).is_err(), "{words:?}");
    }
    let missing = parsed(&["audio", "acme", "551", "--file", "/nowhere/at.all"]);
    assert!(missing.request().unwrap_err().to_string().contains("/nowhere/at.all cannot be read"));
}

#[test]
fn the_end_is_told_in_a_line() {
    let sent = json!({"status": "sent", "message_id": "3EB0", "trace_id": "t"});
    assert_eq!(told(&sent), "Sent: message 3EB0 (trace t).\n");
    let queued = json!({"status": "queued", "error": "Evolution cannot be reached", "trace_id": "t"});
    let line = "It waits in its conversation. So far: Evolution cannot be reached. See `omnihub trace show t`.\n";
    assert_eq!(told(&queued), line);
}

#[tokio::test]
async fn what_the_hub_refuses_is_told() {
    let hub = Hub::start().await;
    let refused = execute(&parsed(&["text", "nobody", "5511987654321", "hi"]), &hub.api()).await.unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.starts_with("Instance 'nobody' not found\n") && refused.contains("omnihub instance list"),
        "{refused}"
    );
}
