//! `omnihub-worker`: the worker alone, the same code as `omnihub worker`.

use std::process::ExitCode;

use omnihub_common::process;

fn main() -> ExitCode {
    process::install_tls();
    process::run("omnihub-worker", omnihub_worker::role::run_alone)
}
