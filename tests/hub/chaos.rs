//! The short chaos run: a hub of real processes under mixed faults, and not one message astray.
//!
//! It is the command that an operator would run (`omnihub bench chaos`); a failure names the seed
//! and shows what the ledger found. The long runs are commands of their own, see the README.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

/// Load, faults, and what they leave behind; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(280);

/// What the child may know of this machine.
const INHERITED: [&str; 5] = ["HOME", "PATH", "TMPDIR", "LLVM_PROFILE_FILE", "OMNIHUB_NATS_SERVER"];

#[tokio::test]
async fn under_mixed_faults_every_message_is_answered_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_omnihub"));
    command.args(["bench", "chaos", "--fault", "mixed", "--seed", "3", "--seconds", "45"]);
    command.args(["--messages", "1500", "--conversations", "150", "--report"]).arg(&report);
    command.env_clear().envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.expect("the run ends").unwrap();
    let told = [ended.stdout, ended.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).join("\n");
    println!("{told}");
    assert!(ended.status.success(), "the ledger does not balance:\n{told}");

    // A run in which nothing happened would prove nothing.
    let runs: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let (run, verdict) = (&runs[0], &runs[0]["verdict"]);
    assert_eq!((&verdict["messages"], &verdict["answered"]), (&1500.into(), &1500.into()));
    // The machine's own stalls are beside the schedule.
    let done = run["done"].as_array().unwrap().iter().filter_map(|done| done["kind"].as_str());
    let mut kinds: Vec<&str> = done.filter(|kind| *kind != "stall").collect();
    assert_eq!(kinds.len(), run["schedule"].as_array().unwrap().len());
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["cut", "database", "freeze", "kill9", "nats", "sigterm"]);
}
