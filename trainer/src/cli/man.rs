//! `latch man`: the manual's pages.

use std::path::PathBuf;

use anyhow::Result;
use clap_mangen::Man;

use super::output::{answer, print_bytes};
use crate::files::{create_folder, write_atomically};

/// Print the manual page of latch, or write it and those of all verbs into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch man | man -l -\n  \
    latch man --out ~/.local/share/man/man1")]
pub struct Args {
    /// Folder of the pages: latch.1, latch-train.1 and so on [default: the page of latch goes to standard output]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the folder cannot be written, an error when standard output cannot.
pub fn run(args: Args) -> Result<()> {
    let mut command = super::command();
    command.build();
    let page = |command: clap::Command| -> Result<Vec<u8>> {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        Ok(page)
    };
    let Some(folder) = args.out else {
        return print_bytes(&page(command)?);
    };
    create_folder(&folder)?;
    // Once built, a verb is called by its whole name, `latch-train`.
    let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    let mut count = 0;
    for command in std::iter::once(&command).chain(verbs) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let bytes = page(command.clone())?;
        write_atomically(&folder.join(format!("{name}.1")), |out| Ok(out.write_all(&bytes)?))?;
        count += 1;
    }
    answer(false, format_args!("wrote {count} pages into {}", folder.display()))
}
