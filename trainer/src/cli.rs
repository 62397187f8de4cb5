//! What a user types: plain data first, one verb a file.
//!
//! Exit codes: 0 done, 1 an internal failure, 2 the input's or the user's fault. With `--json` a verb prints one line for machines on
//! standard output and everything else on standard error.

mod args;
mod columns;
pub mod data;
pub mod demo;
pub mod eval;
pub mod export;
pub mod import;
pub mod inspect;
mod output;
pub mod predict;
pub mod report;
pub mod search;
pub mod tokens;
pub mod train;
mod waiting;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use args::parse_bytes;

use crate::dataset::set_memory_limit;
use crate::error::exit_code;

/// Trains an LSTM, packs it into one image for a microcontroller, and runs that image token by token.
#[derive(Debug, Parser)]
#[command(name = "latch", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Memory that the texts of one data set may take: bytes, KiB or MiB
    #[arg(long, global = true, value_name = "BYTES", value_parser = parse_bytes, default_value = "1024MiB")]
    max_memory: usize,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Data(data::Args),
    Train(Box<train::Args>),
    Search(search::Args),
    Export(export::Args),
    Import(import::Args),
    Tokens(tokens::Args),
    Eval(eval::Args),
    Predict(predict::Args),
    Inspect(inspect::Args),
    Report(report::Args),
}

/// Parses the command line, runs the verb, and turns an error into a sentence and an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with exit code 0; usage errors have 2.
            let _ = error.print();
            return ExitCode::from(error.exit_code().clamp(0, 2) as u8);
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("LATCH_LOG").unwrap_or_else(|_| "warn".into()))
        .without_time()
        .init();
    set_memory_limit(cli.max_memory as u64);
    let result = match cli.verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Data(args) => data::run(args),
        Verb::Train(args) => train::run(*args),
        Verb::Search(args) => search::run(args),
        Verb::Export(args) => export::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Tokens(args) => tokens::run(args),
        Verb::Eval(args) => eval::run(args),
        Verb::Predict(args) => predict::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Report(args) => report::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::failed(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// True when whoever read our output has stopped reading, as `head` does: that is no error of this program.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
