//! `latch-sim device`: an image on an emulated board, with what it costs there.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use latch_data::counted::counted;
use latch_data::error::fault;
use latch_emulator::elf::Elf;
use latch_emulator::firmware::Port;
use latch_engine::kernels::AnyBackend;
use latch_firmware_sim::link::host::batch::{Batch, Transcript};
use latch_firmware_sim::link::host::reference;
use latch_parts::boards::Board;
use latch_parts::cores::MemoryTiming;
use serde::Serialize;

use crate::emulated::{self, Costs};
use crate::texts::{Answers, Arguments, Loaded, Tally};

/// Build the firmware for a board, boot it in QEMU with an image in its flash, and judge texts or series there.
///
/// Without --text and --data every line of standard input is a text. An image of samples reads the series of --data.
/// Instructions are counted exactly; cycles are an estimate, since QEMU models no time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch-sim device microbit --image model.latch --text \"a wonderful film\"\n  \
    latch-sim device mps2-an386 --image model.latch --data imdb/test.tsv.gz --limit 20 --json\n\n\
    Boards: microbit, mps2-an386, mps2-an500, mps2-an505, mps3-an547, riscv32imac. `cargo xtask setup` installs what they need.")]
pub(crate) struct Args {
    /// The board
    board: String,
    /// Image that `latch export` wrote
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    #[command(flatten)]
    input: Arguments,
    /// Use this firmware, already built for the board, instead of building one
    #[arg(long, value_name = "FILE", conflicts_with = "scalar")]
    elf: Option<PathBuf>,
    /// Use the reference kernels instead of the board's own
    #[arg(long)]
    scalar: bool,
    /// Do not count instructions: faster, and for a QEMU without plugins
    #[arg(long)]
    no_counts: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// The line for machines: the first twelve keys are fixed in name and order. What is not known is null.
#[derive(Serialize)]
struct Line {
    board: &'static str,
    precision: &'static str,
    tokens: u32,
    digest: String,
    host_digest: String,
    instructions_per_token: Option<f64>,
    loads_per_token: Option<f64>,
    stores_per_token: Option<f64>,
    stack_bytes: Option<u32>,
    text_bytes: u64,
    data_bytes: u64,
    estimated_cycles_per_token: Option<f64>,
    texts: u32,
    /// The estimate's band, per token as well.
    estimated_cycles_low: Option<f64>,
    estimated_cycles_high: Option<f64>,
    scalar: bool,
    image_bytes: usize,
    state_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    let board = emulated::board(&args.board)?;
    let image = Loaded::read(&args.image)?;
    let texts = args.input.all(&image)?;
    let batch = Batch::new(texts.iter().map(|text| &text.bytes), false);
    let elf = match &args.elf {
        Some(elf) => elf.clone(),
        None => emulated::build(board, &image, args.scalar, Port::Semihosting)?,
    };
    let program = Elf::read(&elf)?;
    if program.board() != Some(board) {
        let problem = match program.board() {
            Some(other) => format!("it was built for {}, and not for {}", other.name, board.name),
            None => "it is no program of Latch for a chip".to_owned(),
        };
        return Err(fault(elf.display(), problem, "name a program for this board, or leave out --elf").into());
    }
    let plugin = (!args.no_counts).then(|| emulated::counter(board, &program)).transpose()?;
    let (transcript, outcome) = emulated::session(board, &elf, &image, &batch, plugin)?;
    let costs = (!args.no_counts)
        .then(|| Costs::new(board, &outcome.plugin, transcript.summary.tokens, MemoryTiming::NO_WAITS))
        .transpose()?
        .flatten();
    let here = reference::transcript(&image.bytes, AnyBackend::detect(), &batch)?;

    let mut tally = Tally::default();
    let speaks = !args.json && args.input.text.is_none() && args.input.data.is_none();
    for (answer, text) in transcript.answers.iter().zip(&texts) {
        let probability = image.probability(&text.bytes, &answer.verdict)?;
        tally.add(answer.verdict, probability, text.label);
        if speaks {
            writeln!(io::stdout().lock(), "{}", image.answers.sentence(&answer.verdict, probability))
                .context("writing to standard output")?;
        }
    }
    let verdict = tally.last.filter(|_| args.input.text.is_some());
    let line = Line {
        board: board.name,
        precision: image.precision_name,
        tokens: transcript.summary.tokens,
        digest: digest(&transcript),
        host_digest: digest(&here),
        instructions_per_token: costs.as_ref().map(|costs| costs.instructions),
        loads_per_token: costs.as_ref().map(|costs| costs.loads),
        stores_per_token: costs.as_ref().map(|costs| costs.stores),
        stack_bytes: costs.as_ref().and_then(|costs| costs.stack_bytes),
        text_bytes: program.flash_bytes(),
        data_bytes: program.ram_bytes(),
        estimated_cycles_per_token: costs.as_ref().and_then(|costs| Some(costs.cycles?.cycles)),
        texts: transcript.summary.texts,
        estimated_cycles_low: costs.as_ref().and_then(|costs| Some(costs.cycles?.low)),
        estimated_cycles_high: costs.as_ref().and_then(|costs| Some(costs.cycles?.high)),
        scalar: args.scalar,
        image_bytes: image.bytes.len(),
        state_bytes: image.state_bytes,
        class: verdict.and_then(|verdict| image.answers.class_of(&verdict)),
        logit: verdict.map(|verdict| verdict.logit.to_f32()),
        probability: verdict.and_then(|verdict| image.answers.probability_of(&verdict, tally.probability)),
        accuracy: tally.accuracy(),
    };
    let output = if args.json {
        serde_json::to_string(&line)? + "\n"
    } else {
        table(board, &line, &tally, &image.answers, args)?
    };
    io::stdout().lock().write_all(output.as_bytes()).context("writing to standard output")?;
    if image.precision.is_integer() && line.digest != line.host_digest {
        bail!(
            "{} computes something else than this host (digests {} and {}); `latch-sim verify --board {0}` says where",
            board.name,
            line.digest,
            line.host_digest
        );
    }
    Ok(())
}

fn digest(transcript: &Transcript) -> String {
    format!("{:016x}", transcript.summary.digest)
}

fn table(board: &Board, line: &Line, tally: &Tally, answers: &Answers, args: &Args) -> Result<String> {
    let mut text = String::new();
    let t = &mut text;
    let kernels = match (&args.elf, line.scalar) {
        (Some(_), _) => "the given program",
        (None, true) => "plain kernels",
        (None, false) => "the board's kernels",
    };
    writeln!(t, "board     {} ({}), emulated by QEMU, {kernels}", board.title, board.core)?;
    // The firmware sets aside what its board has for a state, or what the image needs if that is more; of a given program this is not known.
    let reserved = u64::from(board.state_bytes).max(line.state_bytes as u64);
    let (ram, besides) = match args.elf {
        Some(_) => (line.data_bytes, "the stack"),
        None => (line.data_bytes.saturating_sub(reserved), "state and stack"),
    };
    writeln!(t, "firmware  {} bytes of flash, {ram} bytes of RAM besides {besides}", line.text_bytes)?;
    if let Some(bytes) = line.stack_bytes {
        writeln!(t, "stack     {bytes} bytes at the deepest")?;
    }
    writeln!(t, "image     {} bytes, {}, {} bytes of state", line.image_bytes, line.precision, line.state_bytes)?;
    let [thing, step] = answers.things();
    writeln!(t, "{:<9} {} in {}", format!("{step}s"), line.tokens, counted(line.texts, thing))?;
    if let (Some(instructions), Some(loads), Some(stores)) =
        (line.instructions_per_token, line.loads_per_token, line.stores_per_token)
    {
        writeln!(t, "{:<9} {instructions:.0} instructions, {loads:.0} loads, {stores:.0} stores", format!("a {step}"))?;
    }
    if let (Some(cycles), Some(low), Some(high)) =
        (line.estimated_cycles_per_token, line.estimated_cycles_low, line.estimated_cycles_high)
    {
        writeln!(
            t,
            "cycles    an estimated {cycles:.0} a {step}, between {low:.0} and {high:.0}, from memories without waits"
        )?;
    }
    if let (Some(verdict), true) = (&tally.last, args.input.text.is_some()) {
        writeln!(t, "verdict   {}", answers.sentence(verdict, tally.probability))?;
    }
    if let Some(accuracy) = tally.accuracy() {
        writeln!(t, "accuracy  {:.2} % ({} of {})", 100.0 * accuracy, tally.correct, tally.labelled)?;
    }
    let agrees = if line.digest == line.host_digest {
        "this host's as well".into()
    } else {
        format!("this host has {}", line.host_digest)
    };
    writeln!(t, "digest    {}, {agrees}", line.digest)?;
    Ok(text)
}
