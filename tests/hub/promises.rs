//! The figures that the hub promises, in small: whether the right things are done. How long they
//! take is for `omnihub bench promises` on a machine that has nothing else to do.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

/// Three hubs, one after the other; far above what they take.
const PATIENCE: Duration = Duration::from_secs(280);

/// What the child may know of this machine.
const INHERITED: [&str; 5] = ["HOME", "PATH", "TMPDIR", "LLVM_PROFILE_FILE", "OMNIHUB_NATS_SERVER"];

#[tokio::test]
async fn a_restart_a_burst_and_a_quota_go_as_promised() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_omnihub"));
    command.args(["bench", "promises", "--quick", "--only", "restart,burst,quota", "--json", "--report"]).arg(&page);
    command.env_clear().envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.expect("the measurements end").unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    // The exit code also tells of times.
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("no report: {told}"));
    let rows = report["rows"].as_array().unwrap();
    for figure in ["restart", "quota", "burst"] {
        assert!(rows.iter().any(|row| row["figure"] == figure && row["ok"] == true), "nothing of {figure}: {rows:#?}");
    }
    let broken: Vec<&Value> = rows.iter().filter(|row| row["about"] == "deeds" && row["ok"] == false).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(std::fs::read_to_string(page).unwrap().contains("| burst |"));
}
