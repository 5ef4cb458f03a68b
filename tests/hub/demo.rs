//! `omnihub demo` as a newcomer runs it.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Hub, until};

/// How long a demo may take, on a machine that does other things too. A newcomer waits a tenth.
const DEADLINE: Duration = Duration::from_secs(60);

/// Settings of a user's own hub, which are none of the demo's business: with any of them the demo
/// would fail, or write where it must not.
fn the_users_own() -> HashMap<String, String> {
    [
        ("AGENT_API_URL", "http://127.0.0.1:1"),
        ("AGENT_API_KEY", "planted-agent-key"),
        ("EVOLUTION_API_URL", "http://127.0.0.1:1"),
        ("EVOLUTION_API_KEY", "planted-evolution-key"),
        ("WHATSAPP_INSTANCE", "demo"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none"),
        ("NATS_URL", "nats://127.0.0.1:1"),
        ("OMNIHUB_API_KEY", "planted-admin-key"),
        ("OMNIHUB_DATA_DIR", "of-the-user"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// An environment whose temporary folder is the test's own, and that folder.
fn environment() -> (HashMap<String, String>, tempfile::TempDir) {
    let temporary = tempfile::Builder::new().prefix("omnihub-demo-test-").tempdir().expect("a temporary folder");
    let mut environment = the_users_own();
    environment.insert("TMPDIR".to_owned(), temporary.path().display().to_string());
    (environment, temporary)
}

fn left_in(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect()
}

async fn ended(hub: &mut Hub) {
    until("the demo ends", DEADLINE, async || !hub.is_running()).await;
}

#[tokio::test]
async fn a_demo_shows_everything_and_leaves_nothing() {
    let (environment, temporary) = environment();
    let mut hub = Hub::spawn(&["demo"], &environment);
    ended(&mut hub).await;
    let text = hub.log();
    assert_eq!(hub.exit_code(), Some(0), "{text}");
    for words in [
        "customer  Oi, tudo bem?",
        "bot       echo: Oi, tudo bem?",
        "the same webhook came 2 more times: dropped, one answer",
        "ignored (from_me)",
        "ignored (reaction)",
        "split into 2 bubbles",
        "agent_success",
        "messages accepted   15 (from 17 webhooks)",
        "replies             13 (in 14 bubbles)",
        "duplicates dropped  2",
        "ignored             2 (1 from_me, 1 reaction)",
        "lost                0",
        "webhook to reply    median ",
        "omnihub up ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // No log line and no colour mixes with it, and nothing stays behind.
    assert!(!text.contains("WARN") && !text.contains("ERROR") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(left_in(temporary.path()), Vec::<std::path::PathBuf>::new());
    assert!(!hub.folder().join("of-the-user").exists() && !hub.folder().join("data").exists());
}

#[tokio::test]
async fn a_demo_that_is_kept_says_where() {
    let (environment, temporary) = environment();
    let mut hub = Hub::spawn(&["demo", "--keep"], &environment);
    ended(&mut hub).await;
    let text = hub.log();
    assert_eq!(hub.exit_code(), Some(0), "{text}");
    let kept = left_in(temporary.path()).remove(0).join("data");
    assert!(kept.join("omnihub.db").is_file(), "{}", kept.display());
    assert!(text.contains(&format!("OMNIHUB_DATA_DIR={} omnihub up", kept.display())), "{text}");
}

#[tokio::test]
async fn a_stopped_demo_cleans_up() {
    let (mut environment, temporary) = environment();
    // A server that never answers: the demo is surely there when the signal comes.
    let stuck = temporary.path().join("stuck");
    std::fs::write(&stuck, "#!/bin/sh\n[ \"$1\" = -v ] && echo nats-server: v2.15.1 || exec sleep 600\n").unwrap();
    std::fs::set_permissions(&stuck, std::fs::Permissions::from_mode(0o755)).unwrap();
    environment.insert("OMNIHUB_NATS_SERVER".to_owned(), stuck.display().to_string());
    let mut hub = Hub::spawn(&["demo"], &environment);
    let mut pid = String::new();
    until("the demo waits for its NATS server", DEADLINE, async || {
        let files = left_in(temporary.path()).into_iter().map(|folder| folder.join("data/nats/nats.pid"));
        pid = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        !pid.is_empty()
    })
    .await;
    hub.terminate().await;
    assert_eq!(hub.exit_code(), Some(1), "{}", hub.log());
    assert!(hub.log().contains("the demo was stopped before its end"), "{}", hub.log());
    assert_eq!(left_in(temporary.path()), [stuck]);
    // A zombie is gone as well: who reaps it depends on the machine.
    let is_gone = async || {
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap().stdout;
        state.is_empty() || state.starts_with(b"Z")
    };
    until("the server is gone too", DEADLINE, is_gone).await;
}

#[tokio::test]
async fn without_a_nats_server_the_remedy_is_named() {
    let (mut environment, temporary) = environment();
    environment.insert("OMNIHUB_NATS_SERVER".to_owned(), "/nonexistent/nats-server".to_owned());
    let mut hub = Hub::spawn(&["demo"], &environment);
    ended(&mut hub).await;
    assert_eq!(hub.exit_code(), Some(1));
    assert!(hub.log().contains("run deploy/quickstart.sh"), "{}", hub.log());
    assert_eq!(left_in(temporary.path()), Vec::<std::path::PathBuf>::new());
}
