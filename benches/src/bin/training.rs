//! The two ends of `cargo xtask keras`, and our side of what lies between.
//!
//! ```text
//! training prepare FOLDER --batch 32,128          writes weights and batches as both sides read them
//! training run FILE --batch 32 --threads 2        trains once and appends a line to FILE
//! training table FILE [--json] [--out FILE] [--command TEXT] [--note TEXT]…
//!                                                 merges the lines, and fails where the loss curves part
//! ```

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use latch_benches::keras::report::{Row, Run, TOLERANCE, WANTED, agreement, rows, tables};
use latch_benches::keras::task;
use latch_benches::peers::page::{machine, said};
use latch_benches::peers::roofline::multiply_add_nanoseconds;
use latch_benches::peers::table::number;
use latch_engine::kernels::AnyBackend;
use latch_trainer::files::write_atomically;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Writes what both sides read
    Prepare {
        folder: PathBuf,
        #[arg(long, value_delimiter = ',')]
        batch: Vec<usize>,
    },
    /// Trains once
    Run {
        file: PathBuf,
        #[arg(long)]
        batch: usize,
        #[arg(long)]
        threads: usize,
    },
    /// Prints the tables
    Table {
        file: PathBuf,
        /// One line of JSON a row in place of tables
        #[arg(long)]
        json: bool,
        /// Writes a page in Markdown as well
        #[arg(long)]
        out: Option<PathBuf>,
        /// The command that the page names
        #[arg(long, default_value = "cargo xtask keras")]
        command: String,
        /// A paragraph for the page
        #[arg(long)]
        note: Vec<String>,
    },
}

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Prepare { folder, batch } => task::prepare(&folder, &batch),
        Verb::Run { file, batch, threads } => {
            let line = serde_json::to_string(&task::run(batch, threads)?)?;
            let opened = OpenOptions::new().append(true).create(true).open(&file);
            opened
                .and_then(|mut lines| writeln!(lines, "{line}"))
                .with_context(|| format!("cannot write {}", file.display()))
        }
        Verb::Table { file, json, out, command, note } => table(&file, json, out.as_deref(), &command, &note),
    }
}

/// Prints, writes the page, and judges.
fn table(file: &Path, json: bool, out: Option<&Path>, command: &str, notes: &[String]) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let runs: Vec<Run> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} has a line that is no run", file.display()))?;
    let agreed = agreement(&runs);
    let verdict = agreed.as_ref().map(|difference| {
        format!("The largest difference of the curves that follow one rule is {difference:.1e}, the tolerance {TOLERANCE:.0e}.")
    });
    let (threads, wanted) = WANTED;
    let rows = rows(&runs)?;
    let least = |stock: bool| {
        let theirs = rows.iter().filter(|row| row.engine != "latch" && row.engine.ends_with("stock") == stock);
        theirs.filter(|row| row.threads == threads).map(|row| row.ratio).min_by(f64::total_cmp)
    };
    let least = match (least(true), least(false)) {
        (Some(stock), Some(fastest)) => format!(
            "With {threads} threads Latch is at least {stock:.2} times as fast as Keras as it comes, and {fastest:.2} times as fast as \
             Keras in its fastest mode; {wanted} is wanted."
        ),
        _ => format!("Nothing was measured with {threads} threads, for which {wanted} is wanted."),
    };
    let peak = peak(&rows);
    let tables = tables(&runs)?;
    if json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        tables.iter().for_each(|table| println!("{}", table.plain()));
        println!("{least}");
        peak.iter().for_each(|peak| println!("{peak}"));
        if let Ok(verdict) = &verdict {
            println!("{verdict}");
        }
    }
    if let (Some(out), Ok(verdict)) = (out, &verdict) {
        let date = said("date", &["-u", "+%Y-%m-%d"])?;
        let mut page = format!("# {date} · The speed of training beside Keras\n\n{}. ", machine());
        page.push_str(&format!("{}.\n\n```sh\n{command}\n```\n\n", said("rustc", &["--version"])?));
        notes.iter().chain(&peak).for_each(|note| page.push_str(&format!("{note}\n\n")));
        page.push_str(&format!("{least} {verdict}\n\n"));
        page.push_str(&tables.iter().map(|table| table.markdown()).collect::<Vec<_>>().join("\n"));
        write_atomically(out, |file| Ok(file.write_all(page.as_bytes())?))?;
        eprintln!("written: {}", out.display());
    }
    agreed.map(|_| ())
}

/// What no training by the same sums can exceed here: a paragraph a size of batch, from the peak of one core, measured now.
fn peak(rows: &[Row]) -> Vec<String> {
    let Some(nanoseconds) = multiply_add_nanoseconds("f32", AnyBackend::detect()) else { return Vec::new() };
    let batches: BTreeSet<usize> = rows.iter().map(|row| row.batch).collect();
    let paragraph = |batch: usize| {
        let [own, all] = [false, true].map(|all| task::multiply_adds(batch, all));
        let of = |engine: &str, threads: usize| {
            let same = |row: &&Row| (row.batch, row.threads) == (batch, threads) && row.engine.ends_with(engine);
            rows.iter().find(same).map_or(f64::NAN, |row| row.speed)
        };
        let threads: BTreeSet<usize> = rows.iter().filter(|row| row.batch == batch).map(|row| row.threads).collect();
        let limits = threads.into_iter().map(|threads| {
            let most = threads as f64 * 1e9 / (nanoseconds * own);
            let [reached, needed] = [of("latch", threads), WANTED.1 * of("stock", threads)].map(|speed| 100.0 * speed / most);
            let most = number(most);
            format!("{most} with {threads}, of which Latch reaches {reached:.0} %, and {} times Keras as it comes would be {needed:.0} %", WANTED.1)
        });
        format!(
            "At batch {batch} a token takes {} multiply-adds, {} if each token were taken by itself. One core does {:.1} a nanosecond on registers \
             alone, measured after the rounds. So many tokens a second are the most for so many threads: {}.",
            number(own),
            number(all),
            1.0 / nanoseconds,
            limits.collect::<Vec<_>>().join("; "),
        )
    };
    batches.into_iter().map(paragraph).collect()
}
