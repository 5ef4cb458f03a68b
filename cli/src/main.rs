//! The `omnihub` program: see [`omnihub_cli`].

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    omnihub_common::process::install_tls();
    omnihub_cli::run(omnihub_cli::Cli::parse())
}
