//! `latch-sim parts`: the table of parts.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::{Context, Result};
use latch_parts::parts;

/// List the parts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch-sim parts")]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn list() -> Result<()> {
    let mut text = String::new();
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    writeln!(
        text,
        "{:<13} {:<37} {:<11} {:>8} {:>9} {:>9} {:>14} {:>6}  {:<10} {:<10}",
        "NAME", "PART", "CORE", "CLOCK", "FLASH", "RAM", "PAGE", "WORD", "FLASH AT", "RAM AT"
    )?;
    for part in parts::PARTS {
        let mut sizes: Vec<usize> = part.flash.pages.iter().map(|pages| pages.bytes / 1024).collect();
        sizes.dedup();
        let pages = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("/") + " KiB";
        writeln!(
            text,
            "{:<13} {:<37} {:<11} {:>4} MHz {:>9} {:>9} {:>14} {:>4} B  {:#010x} {:#010x}",
            part.name,
            part.title,
            part.core,
            part.clock_hz / 1_000_000,
            kib(part.flash.bytes()),
            kib(part.ram.total),
            pages,
            part.flash.word_bytes,
            part.flash.base,
            part.ram.base
        )?;
        if part.ram.block < part.ram.total {
            writeln!(
                text,
                "{:<13} a program may use {} of its RAM: the largest block without a gap",
                "",
                kib(part.ram.block)
            )?;
        }
    }
    io::stdout().lock().write_all(text.as_bytes()).context("writing to standard output")
}
