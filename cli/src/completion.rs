//! `omnihub completion`: what a shell must know to complete our commands.

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::{Cli, show};

/// For which shell.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When nobody can take it.
pub fn run(arguments: CompletionArgs) -> anyhow::Result<()> {
    show::print(&script(arguments.shell)?)
}

fn script(shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "omnihub", &mut script);
    Ok(String::from_utf8(script)?)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        let shells = Shell::value_variants();
        assert_eq!(shells.len(), 5, "{shells:?}");
        for shell in shells {
            let script = script(*shell).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
