//! `cargo xtask`: what plain cargo cannot say, and the only installer.
//!
//! - [`setup`] installs what boards and tests need and cargo does not bring.
//! - [`test`] checks everything, in one order, with one summary.
//! - [`instructions`] counts what a step costs and holds it against the record in `benches/results/`.
//! - [`chips`] counts the same on every emulated chip, and holds it to what Latch promises.
//! - [`images`] writes the images that both count on.
//! - [`foreign`] runs the engine's tests on processors that this machine is not.
//! - [`size`] weighs engine and firmware on every chip, and holds them to limits and record.
//! - [`default_model`] records what the default model reaches, and [`results`] makes tables of all records.
//! - [`peers`] compares one step with other engines.
//! - [`frameworks`] runs what is exported in ONNX Runtime, Keras and PyTorch.
//! - [`amp`] says what a sample of an imported amplifier costs.
//! - [`elsewhere`] compares the verdicts of an imported network with those of Keras, which trained it.
//! - [`keras`] compares the speed of training with Keras.
//! - [`small_sets`] compares the defaults on small sets of texts with linear baselines.
//! - [`series`] records what the defaults reach on published sets of time series.
//! - [`latch`] is the command that these run.
//! - [`device`] runs a model on an emulated board.
//! - [`wasm`] runs the engine's tests as WebAssembly.
//! - [`whole`] writes files whole or not at all.
//! - [`wrapper`] lets a backend be forced without compiling the dependencies again.

mod amp;
mod chips;
mod default_model;
mod device;
mod elsewhere;
mod foreign;
mod frameworks;
mod images;
mod instructions;
mod keras;
mod latch;
mod peers;
mod results;
mod series;
mod setup;
mod size;
mod small_sets;
mod test;
mod wasm;
mod whole;
mod wrapper;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use latch_emulator::command::Command;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Installs what boards and tests need, checks everything, counts instructions, runs the chips' boards"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what boards need: QEMU and a compiler for the chips (LATCH_TOOLCHAIN=rustup or =debian chooses which); says sizes first, and asks on a terminal
    Setup(setup::Wanted),
    /// Checks everything: format, lints, tests, documentation, the scalar backend, foreign processors, WebAssembly, the chips, instruction counts
    Test {
        /// Leaves out the slow steps (scalar backend, foreign processors, WebAssembly, chips, instruction counts) and the slow tests, and names them
        #[arg(long)]
        quick: bool,
    },
    /// Counts instructions and fails where a line is more than 3 % above its record
    Instructions {
        /// Writes the counts into the record
        #[arg(long)]
        update: bool,
        #[command(flatten)]
        built: images::Built,
    },
    /// Counts the instructions of one step on every emulated chip, and fails where one exceeds its limit or its record
    Chips {
        /// Writes the counts into the record
        #[arg(long)]
        update: bool,
        #[command(flatten)]
        built: images::Built,
    },
    /// Measures the bytes of engine and firmware on every chip, and fails if one exceeds its limit, or its record by more than 1 % and 64 bytes
    Size {
        /// Writes the sizes into the record
        #[arg(long)]
        update: bool,
    },
    /// Trains the default model with some seeds and records accuracy and bytes of its images; takes minutes
    #[command(after_help = "Example: cargo xtask default-model --train imdb_train.tsv.gz --test imdb_test.tsv.gz")]
    DefaultModel(default_model::Options),
    /// Writes docs/results/latest.md from the records in benches/results/
    Results,
    /// Compares the time of one LSTM step with other engines, and of a GRU step with RTNeural, in tables; the first time takes half an hour and 6 GB
    #[command(after_help = "Example: cargo xtask peers --rounds 5 --out docs/results")]
    Peers(peers::Options),
    /// Runs what Latch exports in ONNX Runtime, Keras and PyTorch, and fails if one answers something else; installs 5 GB
    Frameworks,
    /// Counts what a sample of imported amplifiers costs on a Cortex-M7, in f32, int16 and int8, and how far integers are from floats
    Amp,
    /// Trains `examples/keras` on texts, imports the network, and fails if fewer than 99 % of the int8 image's verdicts are those of Keras; installs 1.4 GB
    #[command(after_help = "Example: cargo xtask elsewhere --train imdb_train.tsv.gz --test imdb_test.tsv.gz")]
    Elsewhere(elsewhere::Options),
    /// Compares the speed of training with Keras, from the same weights on the same batches, and fails if the loss curves differ; installs 1.4 GB
    #[command(after_help = "Example: cargo xtask keras --rounds 3 --out training-speed.md")]
    Keras(keras::Options),
    /// Compares the defaults on small public sets of texts with TF-IDF and logistic regression, and records both; takes many minutes
    #[command(after_help = "Example: cargo xtask small-sets --text data/text --sst2 data")]
    SmallSets(small_sets::Options),
    /// Trains on the published sets of time series with the defaults and records what the images reach; takes many minutes
    #[command(after_help = "Example: cargo xtask series --only basic-motions")]
    Series(series::Options),
    /// Builds the firmware of a board, boots it in QEMU with an image in its flash, and judges texts there
    #[command(after_help = "Example: cargo xtask device microbit --image imdb.latch --text \"a fine film\"\n\n\
        LATCH_TOOLCHAIN=rustup or =debian chooses the compiler for the chips; without it the first that can.")]
    Device {
        /// BOARD --image FILE, and what `latch-sim device --help` lists
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Draws README's picture into docs/picture.svg
    Picture,
    /// Boots a program that cargo has built for a chip: `cargo run --target …` calls this
    #[command(
        after_help = "LATCH_IMAGE names the image for the board's flash; the text is LATCH_TEXT, or comes from standard input."
    )]
    Boot {
        /// The program, an ELF file
        elf: String,
    },
}

fn main() -> ExitCode {
    if let Some(code) = wrapper::run() {
        return code;
    }
    let result = match Arguments::parse().verb {
        Verb::Device { arguments } => return finish(device::run(&arguments)),
        Verb::Boot { elf } => return finish(device::boot(&elf)),
        Verb::Picture => return finish(picture()),
        Verb::Amp => return finish(amp::run().map(|()| 0)),
        Verb::Frameworks => return finish(frameworks::run().map(|()| 0)),
        Verb::Elsewhere(options) => return finish(elsewhere::run(&options).map(|()| 0)),
        Verb::Keras(options) => return finish(keras::run(&options).map(|()| 0)),
        Verb::Peers(options) => return finish(peers::run(&options).map(|()| 0)),
        Verb::DefaultModel(options) => return finish(default_model::run(&options).map(|()| 0)),
        Verb::SmallSets(options) => return finish(small_sets::run(&options).map(|()| 0)),
        Verb::Series(options) => return finish(series::run(&options).map(|()| 0)),
        Verb::Results => return finish(results::run().map(|()| 0)),
        Verb::Setup(wanted) => setup::run(wanted).map(|missing| missing.is_empty()),
        Verb::Test { quick } => Ok(test::run(quick)),
        Verb::Instructions { update, built } => instructions::run(update, built),
        Verb::Chips { update, built } => chips::run(update, built),
        Verb::Size { update } => size::run(update),
    };
    finish(result.map(|well| u8::from(!well)))
}

/// Draws README's picture, by the library that draws those of runs. Gives cargo's exit code.
fn picture() -> anyhow::Result<u8> {
    Command::new("cargo run --quiet --profile checked -p latch-benches --bin picture").run_in_place()
}

/// The exit code, or the error shown and 1.
fn finish(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
