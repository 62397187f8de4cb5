//! `latch-sim`: tries an image on a named part before there is a chip, on an emulated board, or on a board at the end of a serial line.
//!
//! Exit codes: 0 done, 1 an internal failure or a board that computes something else, 2 the input's or the user's fault. With `--json`
//! one line for machines goes to standard output (of `verify` one line a firmware), and nothing else does.

mod device;
mod emulated;
mod link;
mod parts;
mod run;
mod series;
mod texts;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use latch_data::error::{EXIT_FAULT, exit_code};
use latch_data::misuse::{MORE, sentence};
use latch_data::shown::shown_lines;
use latch_emulator::toolchain::Missing;

/// Run a Latch image of texts or of samples on a simulated part, on an emulated board, or on a board at the end of a
/// serial line.
#[derive(Debug, Parser)]
#[command(name = "latch-sim", version, propagate_version = true)]
#[command(after_help = "Examples:\n  \
    latch-sim run --image model.latch --board nrf52840 --text \"a wonderful film\"\n  \
    latch-sim device microbit --image model.latch --text \"a wonderful film\"\n  \
    latch-sim run --image vowels.latch --board nrf52840 --data vowels_TEST.ts\n  \
    latch-sim verify --image model.latch --board all\n  \
    latch-sim link --port /dev/ttyACM0 --image model.latch\n  \
    latch-sim parts")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Parts(parts::Args),
    Device(device::Args),
    Verify(verify::Args),
    Link(link::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with exit code 0; usage errors have 2.
            match sentence(&error) {
                Some(sentence) => eprintln!("error: {}\n\n{MORE}", shown_lines(&sentence)),
                None => drop(error.print()),
            }
            return ExitCode::from(error.exit_code().clamp(0, 2) as u8);
        }
    };
    let result = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Parts(_) => parts::list(),
        Verb::Device(args) => device::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Link(args) => link::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latch-sim: {}", shown_lines(&format!("{error:#}")));
            let missing = error.chain().any(|cause| cause.is::<Missing>());
            ExitCode::from(if missing { EXIT_FAULT } else { exit_code(&error) })
        }
    }
}

/// True when whoever read our output has stopped reading, as `head` does: that is no error of this program.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}
