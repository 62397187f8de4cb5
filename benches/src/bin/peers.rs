//! The two ends of `cargo xtask peers`, which runs the engines in between.
//!
//! ```text
//! peers prepare FOLDER [SIZE…]            writes weights, inputs and answers of each size as the engines read them
//! peers check FILE…                       holds the answers in files of rows to their tolerances
//! peers table FOLDER [--json] [--out FOLDER] [--suffix TEXT] [--command TEXT] [--note TEXT]…
//!                                         merges round-N-*.csv of a folder into the tables
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use latch_benches::peers::cell::{SHAPES, Shape};
use latch_benches::peers::page::{About, csv, json, machine, markdown, said, tables};
use latch_benches::peers::plot::svg;
use latch_benches::peers::prepare;
use latch_benches::peers::rounds::{Rounds, Row, read};
use latch_trainer::files::write_atomically;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Writes what the engines read
    Prepare {
        folder: PathBuf,
        /// As `64` or `1x40`; without any, all
        sizes: Vec<Shape>,
    },
    /// Fails where an engine's answer is wrong
    Check { files: Vec<PathBuf> },
    /// Prints the tables
    Table {
        /// Has the rounds, `round-1-rust.csv` and so on
        folder: PathBuf,
        /// One line of JSON a row in place of tables
        #[arg(long)]
        json: bool,
        /// Writes page, plot and CSV there as well
        #[arg(long)]
        out: Option<PathBuf>,
        /// What the files' names end with, as `avx2`
        #[arg(long)]
        suffix: Option<String>,
        /// The command that the page names
        #[arg(long, default_value = "cargo xtask peers")]
        command: String,
        /// A paragraph for the page
        #[arg(long)]
        note: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Prepare { folder, sizes } => prepare::write(&folder, if sizes.is_empty() { &SHAPES } else { &sizes }),
        Verb::Check { files } => {
            for file in files {
                read(&file)?.iter().try_for_each(Row::check)?;
            }
            Ok(())
        }
        Verb::Table { folder, json: true, out, suffix, command, note } => {
            let rounds = read_rounds(&folder)?;
            print!("{}", json(&rounds)?);
            out.map_or(Ok(()), |out| write(&out, suffix.as_deref(), &rounds, command, note))
        }
        Verb::Table { folder, json: false, out, suffix, command, note } => {
            let rounds = read_rounds(&folder)?;
            for table in tables(&rounds) {
                println!("{}", table.plain());
            }
            for paragraph in &note {
                println!("{paragraph}");
            }
            out.map_or(Ok(()), |out| write(&out, suffix.as_deref(), &rounds, command, note))
        }
    }
}

/// All files `round-N-NAME.csv` of a folder, those of one N together, and every answer held to its tolerance.
fn read_rounds(folder: &Path) -> Result<Rounds> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let mut files: BTreeMap<u32, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_suffix(".csv").and_then(|name| name.strip_prefix("round-"));
        if let Some(number) = number.and_then(|name| name.split_once('-')?.0.parse().ok()) {
            files.entry(number).or_default().push(path);
        }
    }
    ensure!(!files.is_empty(), "{} has no rounds, as round-1-rust.csv", folder.display());
    let mut rounds = Rounds::default();
    for paths in files.values_mut() {
        // Ours come first in every table.
        paths.sort_by_key(|path| {
            (!path.ends_with("rust.csv") && !path.to_string_lossy().ends_with("-rust.csv"), path.clone())
        });
        let mut rows = Vec::new();
        for path in paths {
            rows.extend(read(path)?);
        }
        rows.iter().try_for_each(Row::check)?;
        rounds.push(rows)?;
    }
    Ok(rounds)
}

/// Writes `DATE-peers.md`, `.svg` and `.csv`, or with a suffix `DATE-peers-SUFFIX.md` and so on.
fn write(out: &Path, suffix: Option<&str>, rounds: &Rounds, command: String, notes: Vec<String>) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let date = said("date", &["-u", "+%Y-%m-%d"])?;
    let name = suffix.map_or_else(|| format!("{date}-peers"), |suffix| format!("{date}-peers-{suffix}"));
    let about = About {
        machine: machine(),
        compiler: said("rustc", &["--version"])?,
        command,
        notes,
        plot: format!("{name}.svg"),
        date: date.clone(),
    };
    for (name, text) in [
        (format!("{name}.csv"), csv(rounds)),
        (about.plot.clone(), svg(rounds)?),
        (format!("{name}.md"), markdown(&about, rounds)),
    ] {
        let path = out.join(name);
        write_atomically(&path, |file| Ok(file.write_all(text.as_bytes())?))?;
        eprintln!("written: {}", path.display());
    }
    Ok(())
}
