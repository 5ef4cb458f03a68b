//! `omnihub-ingress`: the ingress alone, the same code as `omnihub ingress`.

use std::process::ExitCode;

use omnihub_common::process;

fn main() -> ExitCode {
    process::install_tls();
    process::run("omnihub-ingress", omnihub_ingress::role::run_alone)
}
