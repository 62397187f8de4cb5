//! `cargo xtask`: what plain cargo cannot say, and the only installer.
//!
//! - [`setup`] installs what the tests need and cargo does not bring.
//! - [`test`] checks everything, in one order, with one summary.
//! - [`instructions`] counts what a step costs and holds it against the record in `benches/results/`.
//! - [`wrapper`] lets a backend be forced without compiling the dependencies again.
//! - [`command`] runs a program and shows what it ran.

mod command;
mod instructions;
mod setup;
mod test;
mod wrapper;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Installs what the tests need, checks everything, counts instructions")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what the tests need: valgrind, and a compiler for the chips
    Setup,
    /// Checks everything: format, lints, tests, documentation, the scalar backend, the chips, instruction counts
    Test {
        /// Leaves out the slow steps: scalar backend, chips, instruction counts
        #[arg(long)]
        quick: bool,
    },
    /// Counts instructions and fails where a line is more than 3 % above its record
    Instructions {
        /// Writes the counts into the record
        #[arg(long)]
        update: bool,
    },
}

fn main() -> ExitCode {
    if let Some(code) = wrapper::run() {
        return code;
    }
    let result = match Arguments::parse().verb {
        Verb::Setup => setup::run().map(|missing| missing.is_empty()),
        Verb::Test { quick } => Ok(test::run(quick)),
        Verb::Instructions { update } => instructions::run(update),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
