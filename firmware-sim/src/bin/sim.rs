//! `latch-sim`: tries an image on a named part before there is a chip.
//!
//! Exit codes: 0 done, 1 an internal failure, 2 the input's or the user's fault. With `--json` one line for machines goes to standard
//! output and nothing else does.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use latch_data::dataset::{self, Part};
use latch_data::error::{exit_code, fault, open_file};
use latch_firmware_sim::app::INPUT_BYTES;
use latch_firmware_sim::board::Verdict;
use latch_firmware_sim::sim::source::{Lines, Source, Text, Texts};
use latch_firmware_sim::sim::{Outcome, Simulator, budget, parts};
use serde::Serialize;

/// Runs a Latch image on a simulated part: its flash and its RAM under their rules, on this machine's processor.
#[derive(Debug, Parser)]
#[command(name = "latch-sim", version, about, propagate_version = true)]
#[command(after_help = "Examples:\n  \
    latch-sim run --image model.latch --board nrf52840 --text \"a wonderful film\"\n  \
    latch-sim parts")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Run),
    Parts(Parts),
}

/// Program an image into a part's flash, run it there, and report memory, latency and digest.
///
/// Without --text and --data every line of standard input is a text, and gets a line with its verdict. Latencies are those of this
/// machine, not of the part.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch-sim run --image model.latch --board nrf52840 --text \"a wonderful film\"\n  \
    latch-sim run --image model.latch --board stm32f446 --data imdb/test.tsv.gz --limit 1000 --json")]
struct Run {
    /// The image, as the trainer wrote it
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The part; `latch-sim parts` lists them
    #[arg(long, value_name = "NAME")]
    board: String,
    /// One text
    #[arg(long, conflicts_with = "data")]
    text: Option<String>,
    /// Labelled texts: a file or folder in any format that the trainer reads; of a folder with parts, the test part
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Only the first N texts of --data, in their order there
    #[arg(long, value_name = "N", requires = "data", conflicts_with = "text", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// List the parts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch-sim parts")]
struct Parts {}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with exit code 0; usage errors have 2.
            let _ = error.print();
            return ExitCode::from(error.exit_code().clamp(0, 2) as u8);
        }
    };
    let result = match cli.verb {
        Verb::Run(args) => run(&args),
        Verb::Parts(Parts {}) => list_parts(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latch-sim: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// True when whoever read our output has stopped reading, as `head` does: that is no error of this program.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// What all texts together gave.
#[derive(Default)]
struct Tally {
    labelled: u64,
    correct: u64,
    positive: u64,
    last: Option<Verdict>,
}

impl Tally {
    fn add(&mut self, verdict: Verdict, label: Option<u32>) {
        self.labelled += u64::from(label.is_some());
        self.correct += u64::from(label == Some(u32::from(verdict.class)));
        self.positive += u64::from(verdict.class > 0);
        self.last = Some(verdict);
    }

    fn accuracy(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.correct as f64 / self.labelled as f64)
    }
}

fn run(args: &Run) -> Result<()> {
    let part = parts::find(&args.board)?;
    let simulator = Simulator::load(part, &read_image(&args.image)?, &args.image.display().to_string())?;

    let speaks = !args.json && args.text.is_none() && args.data.is_none();
    let mut source: Box<dyn Source> = match (&args.text, &args.data) {
        (Some(text), _) => Box::new(Texts::new(std::iter::once(Ok(Text { bytes: text.clone().into(), label: None })))),
        (None, Some(path)) => {
            let examples = dataset::open(path, Part::Test)?.take(args.limit.map_or(usize::MAX, |limit| limit as usize));
            Box::new(Texts::new(examples.map(|example| {
                example.map(|example| Text { bytes: example.text.into_bytes(), label: Some(example.label) })
            })))
        }
        (None, None) => {
            if io::stdin().is_terminal() {
                eprintln!("latch-sim: reading texts from standard input, one a line");
            }
            Box::new(Lines::new(io::stdin().lock()))
        }
    };

    let mut tally = Tally::default();
    let mut judged = |verdict: Verdict, label: Option<u32>| {
        tally.add(verdict, label);
        if speaks {
            writeln!(io::stdout().lock(), "{}", sentence(&verdict)).context("writing to standard output")?;
        }
        Ok(())
    };
    let outcome = simulator.run(source.as_mut(), INPUT_BYTES, &mut judged)?;
    if outcome.summary.texts == 0 {
        return Err(fault(
            "standard input",
            "there is no text in it",
            "write one text a line, or give --text or --data",
        )
        .into());
    }
    let output =
        if args.json { json(&simulator, &outcome, &tally, args)? } else { table(&simulator, &outcome, &tally, args)? };
    io::stdout().lock().write_all(output.as_bytes()).context("writing to standard output")
}

/// The largest file that is read in search of an image. No part has as much flash.
const LARGEST_FILE: u64 = 64 << 20;

fn read_image(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_file(path)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| latch_data::error::reading(path, error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(
            fault(path.display(), "the file has more than 64 MiB, which no part can hold", "name an image").into()
        );
    }
    Ok(bytes)
}

/// A verdict for people. The names of classes are those of the trainer where there are two.
fn sentence(verdict: &Verdict) -> String {
    let name = ["negative", "positive"]
        .get(usize::from(verdict.class))
        .map_or_else(|| format!("class {}", verdict.class), ToString::to_string);
    format!("{name}, probability of positive {:.4}, {} tokens", verdict.logit.probability(), verdict.tokens)
}

/// The line for machines: the first seven keys are fixed in name and order.
#[derive(Serialize)]
struct Line<'a> {
    board: &'a str,
    flash_used: usize,
    ram_used: usize,
    tokens: u64,
    p50_ns: u32,
    p99_ns: u32,
    digest: String,
    max_ns: u32,
    clock_ns: u32,
    texts: u64,
    flash_total: usize,
    ram_total: usize,
    image_bytes: usize,
    state_bytes: usize,
    backend: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
}

fn json(simulator: &Simulator, outcome: &Outcome, tally: &Tally, args: &Run) -> Result<String> {
    let (part, budget, latency) = (simulator.part(), simulator.budget(), outcome.latency);
    let verdict = tally.last.filter(|_| args.text.is_some());
    let line = Line {
        board: part.name,
        flash_used: budget.flash_used(),
        ram_used: budget.ram_used(),
        tokens: outcome.summary.tokens,
        p50_ns: latency.p50,
        p99_ns: latency.p99,
        digest: outcome.summary.digest.to_string(),
        max_ns: latency.max,
        clock_ns: latency.clock,
        texts: outcome.summary.texts,
        flash_total: part.flash.bytes(),
        ram_total: part.ram.block,
        image_bytes: simulator.image_bytes(),
        state_bytes: budget.state_bytes(),
        backend: simulator.backend(),
        class: verdict.map(|verdict| verdict.class),
        logit: verdict.map(|verdict| verdict.logit.to_f32()),
        probability: verdict.map(|verdict| verdict.logit.probability()),
        accuracy: tally.accuracy(),
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

fn table(simulator: &Simulator, outcome: &Outcome, tally: &Tally, args: &Run) -> Result<String> {
    let (part, used, latency, summary) = (simulator.part(), simulator.budget(), outcome.latency, outcome.summary);
    let programmed = simulator.programmed();
    let micro = |nanoseconds: u32| f64::from(nanoseconds) / 1000.0;
    let mut text = String::new();
    let t = &mut text;
    writeln!(t, "part      {} ({}, {} MHz)", part.title, part.core, part.clock_hz / 1_000_000)?;
    writeln!(t, "flash     {} of {} bytes: {}", used.flash_used(), part.flash.bytes(), budget::list(&used.flash))?;
    let address = part.flash.base as usize + simulator.slot().start();
    writeln!(
        t,
        "image     {} bytes at {address:#010x}, {} pages erased, {} words programmed, verified",
        simulator.image_bytes(),
        programmed.pages,
        programmed.words
    )?;
    writeln!(t, "RAM       {} of {} bytes: {}", used.ram_used(), part.ram.block, budget::list(&used.ram))?;
    writeln!(t, "tokens    {} in {} text(s)", summary.tokens, summary.texts)?;
    writeln!(
        t,
        "latency   p50 {:.2} µs, p99 {:.2} µs, max {:.2} µs a token on this host (backend {}; reading the clock is {:.2} µs of it)",
        micro(latency.p50),
        micro(latency.p99),
        micro(latency.max),
        simulator.backend(),
        micro(latency.clock)
    )?;
    if let (Some(verdict), true) = (&tally.last, args.text.is_some()) {
        writeln!(t, "verdict   {}", sentence(verdict))?;
    }
    if let Some(accuracy) = tally.accuracy() {
        writeln!(t, "accuracy  {:.2} % ({} of {})", 100.0 * accuracy, tally.correct, tally.labelled)?;
    }
    writeln!(t, "digest    {}", summary.digest)?;
    Ok(text)
}

fn list_parts() -> Result<()> {
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
                "{:<13} of its RAM {} lie without a gap, and a program is held to these",
                "",
                kib(part.ram.block)
            )?;
        }
    }
    io::stdout().lock().write_all(text.as_bytes()).context("writing to standard output")
}
