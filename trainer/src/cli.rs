//! What a user types: plain data first, one verb a file.
//!
//! Exit codes: 0 done, 1 an internal failure, 2 the input's or the user's fault. With `--json` a verb prints one line for machines on
//! standard output and everything else on standard error.

mod args;
mod columns;
pub mod completions;
pub mod data;
pub mod demo;
pub mod doctor;
pub mod eval;
pub mod experiment;
pub mod export;
pub mod import;
pub mod init;
pub mod inspect;
mod interrupt;
mod kinds;
pub mod layers;
pub mod man;
mod output;
pub mod predict;
mod repeat;
pub mod report;
pub mod run;
pub mod search;
pub mod tokens;
pub mod train;
mod unknown;
mod waiting;

use std::process::ExitCode;

use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use latch_data::misuse::sentence;

use args::parse_bytes;

use crate::dataset::set_memory_limit;
use crate::error::exit_code;
use crate::settings::{missing, with_file};

/// Train a recurrent network on texts or series, quantize it into one image, and run that image on a microcontroller, step by step.
#[derive(Debug, Parser)]
#[command(name = "latch", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Limit on the memory for the texts or series of one data set, and for the embedding in training: bytes, KiB or MiB
    #[arg(long, global = true, value_name = "BYTES", value_parser = parse_bytes, default_value = "1024MiB")]
    max_memory: usize,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Data(data::Args),
    Init(init::Args),
    Train(Box<train::Args>),
    Search(search::Args),
    Export(export::Args),
    Import(import::Args),
    Tokens(tokens::Args),
    Eval(eval::Args),
    Predict(predict::Args),
    Run(run::Args),
    Inspect(inspect::Args),
    Report(report::Args),
    Layers(layers::Args),
    Experiment(experiment::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses the command line, runs the verb, and turns an error into a sentence and an exit code.
pub fn main() -> ExitCode {
    interrupt::outlive_large_files();
    let line = match with_file(&command(), "train", &train::OF_A_CALL, std::env::args_os().collect()) {
        Ok(line) => line,
        Err(error) => return fail(&error),
    };
    let (cli, called) = match parse(line.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            if let Some(fault) = missing(&command(), "train", &line, &error) {
                return fail(&fault.into());
            }
            // Help and version come this way too, with exit code 0; usage errors have 2.
            match sentence(&error) {
                Some(sentence) => output::misused(&sentence),
                None => drop(error.print()),
            }
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
        Verb::Init(args) => init::run(args),
        Verb::Train(args) => train::run(*args, called.subcommand_matches("train").unwrap_or(&called)),
        Verb::Search(args) => search::run(args),
        Verb::Export(args) => export::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Tokens(args) => tokens::run(args),
        Verb::Eval(args) => eval::run(args),
        Verb::Predict(args) => predict::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Report(args) => report::run(args),
        Verb::Layers(args) => layers::run(args),
        Verb::Experiment(args) => experiment::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Completions(args) => completions::run(args),
        Verb::Man(args) => man::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The command with all of its verbs.
fn command() -> clap::Command {
    // Clap gives a general option to every verb that has none of its name: these read no texts, and their help need not have it.
    let hidden = || Arg::new("max_memory").long("max-memory").value_parser(parse_bytes).hide(true);
    let verbs = ["init", "predict", "inspect", "layers", "experiment", "doctor", "completions", "man"];
    verbs.into_iter().fold(Cli::command(), |command, verb| command.mut_subcommand(verb, |verb| verb.arg(hidden())))
}

/// The verb with its options, and what the command line says of each of them.
fn parse(line: Vec<std::ffi::OsString>) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = command().try_get_matches_from(line)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    Ok((cli, matches))
}

/// Says what went wrong, and gives the exit code.
fn fail(error: &anyhow::Error) -> ExitCode {
    output::failed(error);
    ExitCode::from(exit_code(error))
}

/// True when whoever read our output has stopped reading, as `head` does: that is no error of this program.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
