//! The real `omnihub` as a command that ends by itself.

use std::collections::HashMap;
use std::process::{Output, Stdio};
use std::time::Duration;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `omnihub <args>` with this environment and nothing else, in an empty folder and without a
/// terminal, to its end.
///
/// # Panics
/// When it does not end.
pub(crate) async fn omnihub(args: &[&str], env: &HashMap<String, String>) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_omnihub"));
    command.args(args).current_dir(folder.path()).env_clear().envs(env);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("omnihub {} does not end", args.join(" ")));
    ended.expect("the omnihub program")
}
