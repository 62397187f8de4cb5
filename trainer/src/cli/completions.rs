//! `latch completions`: what a shell needs to complete a command line.

use anyhow::Result;
use clap_complete::{Shell, generate};

use super::output::print_bytes;

/// Print the script that completes `latch` commands in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch completions bash > ~/.local/share/bash-completion/completions/latch\n  \
    latch completions zsh > ~/.zfunc/_latch\n  \
    latch completions fish > ~/.config/fish/completions/latch.fish")]
pub struct Args {
    /// Shell to print the script for
    shell: Shell,
}

/// Runs the verb.
///
/// # Errors
/// An error when standard output cannot be written.
pub fn run(args: Args) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::command(), "latch", &mut script);
    print_bytes(&script)
}
