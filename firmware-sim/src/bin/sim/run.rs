//! `latch-sim run`: an image on a simulated part.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use latch_data::counted::counted;
use latch_data::shown::shown;
use latch_emulator::cycles::Estimate;
use latch_emulator::elf::Elf;
use latch_emulator::firmware::Port;
use latch_firmware_sim::app::INPUT_BYTES;
use latch_firmware_sim::board::{Summary, Verdict};
use latch_firmware_sim::link::host::batch::Batch;
use latch_firmware_sim::sim::source::Text;
use latch_firmware_sim::sim::{Answered, EarlyAnswers, Outcome, Simulator, budget, part};
use latch_parts::boards::Board;
use latch_parts::parts::Part;
use serde::Serialize;

use crate::emulated::{self, Costs};
use crate::texts::{Answers, Arguments, Loaded, Tally, no_text, read_image};

/// Program an image into a part's flash, run it there, and report memory, latency and digest.
///
/// Without --text and --data every line of standard input is a text, and gets a line with its verdict. An image of
/// samples reads the series of --data. Latency is measured on this machine. The estimate for the part comes from
/// instructions counted on an emulated board with the same core.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch-sim run --image model.latch --board nrf52840 --text \"a wonderful film\"\n  \
    latch-sim run --image vowels.latch --board rp2040 --data vowels_TEST.ts\n  \
    latch-sim run --image model.latch --board stm32f446 --data imdb/test.tsv.gz --limit 1000 --json")]
pub(crate) struct Args {
    /// Image that `latch export` wrote
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The part; `latch-sim parts` lists them
    #[arg(long, value_name = "NAME")]
    board: String,
    #[command(flatten)]
    input: Arguments,
    /// Leave out the estimate, which builds firmware and needs QEMU
    #[arg(long)]
    no_estimate: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Texts of --data that are counted for the estimate.
const COUNTED_TEXTS: usize = 3;

/// What a token takes on the part: an estimate, never a measurement.
struct Expected {
    /// The emulated board that was counted.
    board: &'static Board,
    instructions: f64,
    /// Of a token, with the waits of the part's memories.
    cycles: Estimate,
    /// Joules of a token, where the part's current is known.
    joules: Option<f64>,
}

/// Counts the firmware over the first texts and estimates from that. The reason, where there is no estimate.
fn expect(part: &Part, image: &Loaded, args: &Args) -> Result<Expected, String> {
    let texts: Vec<Text> = match (&args.input.text, &args.input.data) {
        _ if args.no_estimate => return Err("left out".into()),
        (Some(text), _) => vec![Text { bytes: text.clone().into(), label: None }],
        (None, Some(path)) => args
            .input
            .labelled(path, Some(COUNTED_TEXTS as u64), &image.answers, Some(image))
            .and_then(|texts| texts.take(COUNTED_TEXTS).collect())
            .map_err(|error| format!("{error:#}"))?,
        (None, None) => return Err("give --text or --data".into()),
    };
    let board = part.board().ok_or_else(|| format!("no emulated board has a {}", part.core))?;
    count(part, board, &texts, image).map_err(|error| format!("{error:#}"))
}

fn count(part: &Part, board: &'static Board, texts: &[Text], image: &Loaded) -> Result<Expected> {
    let (bytes, slot) = (image.bytes.len(), board.slot_bytes());
    if bytes > slot as usize {
        // The part itself has room: its own slot was checked before.
        bail!(
            "instructions are counted on the emulated board {}, whose slot of {slot} bytes is smaller than that of {}",
            board.name,
            part.name
        );
    }
    let batch = Batch::new(texts.iter().map(|text| &text.bytes), false);
    let elf = emulated::build(board, image, false, Port::Semihosting)?;
    let plugin = emulated::counter(board, &Elf::read(&elf)?)?;
    let (transcript, outcome) = emulated::session(board, &elf, image, &batch, Some(plugin))?;
    let costs = Costs::new(board, &outcome.plugin, transcript.summary.tokens, part.memory)?
        .context("the model reads no token of these texts")?;
    let cycles = costs.cycles.with_context(|| format!("there is no table of costs of a {}", board.core))?;
    let joules = part.current.map(|current| cycles.joules(current.microamps_per_mhz, current.volts));
    Ok(Expected { board, instructions: costs.instructions, cycles, joules })
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    let part = part(&args.board)?;
    let simulator = Simulator::load(part, &read_image(&args.image)?, &args.image.display().to_string())?;
    let image = Loaded::read(&args.image)?;
    let answers = image.answers.clone();

    let speaks = !args.json && args.input.text.is_none() && args.input.data.is_none();
    let mut source = args.input.source(&answers, Some(&image))?;

    let mut tally = Tally::default();
    let mut judged = |answered: Answered| {
        tally.add(answered.verdict, answered.probability, answered.label);
        if speaks {
            writeln!(io::stdout().lock(), "{}", answers.sentence(&answered.verdict, answered.probability))
                .context("writing to standard output")?;
        }
        Ok(())
    };
    let outcome = simulator.run(source.as_mut(), INPUT_BYTES, &mut judged)?;
    if outcome.summary.texts == 0 {
        return Err(no_text().into());
    }
    let expected = expect(simulator.part(), &image, args);
    let output = if args.json {
        json(&simulator, &answers, &outcome, expected.as_ref().ok(), &tally, args)?
    } else {
        table(&simulator, &answers, &outcome, &expected, &tally, args)?
    };
    io::stdout().lock().write_all(output.as_bytes()).context("writing to standard output")
}

/// The line for machines: the first seven keys are fixed in name and order.
#[derive(Serialize)]
struct Line<'a> {
    board: &'a str,
    flash_used: usize,
    ram_used: usize,
    tokens: u32,
    p50_ns: u32,
    p99_ns: u32,
    digest: String,
    max_ns: u32,
    clock_ns: u32,
    texts: u32,
    flash_total: usize,
    ram_total: usize,
    image_bytes: usize,
    state_bytes: usize,
    backend: &'a str,
    /// Estimates of the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_cycles_per_token: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_us_per_token: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_us_per_text: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_uj_per_token: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    early_saved: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    early_accuracy: Option<f64>,
}

fn json(
    simulator: &Simulator,
    answers: &Answers,
    outcome: &Outcome,
    expected: Option<&Expected>,
    tally: &Tally,
    args: &Args,
) -> Result<String> {
    let (part, budget, latency) = (simulator.part(), simulator.budget(), outcome.latency);
    let verdict = tally.last.filter(|_| args.input.text.is_some());
    let meaning = answers.meaning;
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
        estimated_cycles_per_token: expected.map(|expected| expected.cycles.cycles),
        estimated_us_per_token: expected.map(|expected| micros(part, expected.cycles.cycles)),
        estimated_us_per_text: expected
            .map(|expected| micros(part, expected.cycles.cycles) * tokens_per_text(&outcome.summary)),
        estimated_uj_per_token: expected.and_then(|expected| expected.joules).map(|joules| 1e6 * joules),
        class: verdict.and_then(|verdict| answers.class_of(&verdict)),
        logit: verdict.filter(|_| !meaning.values).map(|verdict| verdict.logit.to_f32()),
        probability: verdict.and_then(|verdict| answers.probability_of(&verdict, tally.probability)),
        accuracy: tally.accuracy(),
        value: verdict.filter(|_| meaning.values).map(|verdict| verdict.logit.to_f32()),
        early_saved: outcome.early.as_ref().map(|early| saved(early, &outcome.summary)),
        early_accuracy: outcome
            .early
            .filter(|early| early.labelled > 0)
            .map(|early| early.correct as f64 / early.labelled as f64),
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

fn table(
    simulator: &Simulator,
    answers: &Answers,
    outcome: &Outcome,
    expected: &Result<Expected, String>,
    tally: &Tally,
    args: &Args,
) -> Result<String> {
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
    let [thing, step] = answers.things();
    writeln!(t, "{:<9} {} in {}", format!("{step}s"), summary.tokens, counted(summary.texts, thing))?;
    writeln!(
        t,
        "latency   p50 {:.2} µs, p99 {:.2} µs, max {:.2} µs a {step} on this host (backend {}; reading the clock is {:.2} µs of it)",
        micro(latency.p50),
        micro(latency.p99),
        micro(latency.max),
        simulator.backend(),
        micro(latency.clock)
    )?;
    match expected {
        Ok(Expected { board, instructions, cycles, joules }) => {
            let Estimate { cycles, low, high, .. } = *cycles;
            writeln!(
                t,
                "estimate  {cycles:.0} cycles a {step} ({low:.0} to {high:.0}): {:.0} µs at {} MHz, {:.1} ms a {thing}; \
                 from {instructions:.0} instructions counted on {}, not measured",
                micros(part, cycles),
                part.clock_hz / 1_000_000,
                micros(part, cycles) * tokens_per_text(&summary) / 1000.0,
                board.name
            )?;
            if let (Some(joules), Some(current)) = (joules, part.current) {
                writeln!(
                    t,
                    "energy    {:.1} µJ a {step}, {:.2} mJ a {thing}: that estimate at {} µA/MHz and {} V",
                    1e6 * joules,
                    1e3 * joules * tokens_per_text(&summary),
                    current.microamps_per_mhz,
                    current.volts
                )?;
            }
        }
        Err(why) => writeln!(t, "estimate  none: {why}")?,
    }
    if let (Some(verdict), true) = (&tally.last, args.input.text.is_some()) {
        writeln!(t, "verdict   {}", answers.sentence(verdict, tally.probability))?;
        if !outcome.steps.is_empty() {
            let step = |(word, verdict): &(String, Verdict)| match answers.meaning.values {
                true => format!("{} {:.4}", shown(word), verdict.logit.to_f32()),
                false => format!("{} {}", shown(word), shown(&answers.class(verdict.class))),
            };
            writeln!(t, "answers   {}", outcome.steps.iter().map(step).collect::<Vec<_>>().join(", "))?;
        }
    }
    if let Some(accuracy) = tally.accuracy() {
        writeln!(t, "accuracy  {:.2} % ({} of {})", 100.0 * accuracy, tally.correct, tally.labelled)?;
    }
    if let Some(early) = &outcome.early {
        let accuracy = match early.labelled {
            0 => String::new(),
            labelled => format!("; accuracy then {:.2} %", 100.0 * early.correct as f64 / labelled as f64),
        };
        writeln!(
            t,
            "early     {} certain before the end, {:.1} % of the {step}s could be saved{accuracy}",
            counted(early.stopped, thing),
            100.0 * saved(early, &summary)
        )?;
    }
    writeln!(t, "digest    {}", summary.digest)?;
    Ok(text)
}

/// The share of the tokens that early answers save.
fn saved(early: &EarlyAnswers, summary: &Summary) -> f64 {
    1.0 - early.read as f64 / f64::from(summary.tokens.max(1))
}

/// Microseconds of so many cycles at the part's highest clock.
fn micros(part: &Part, cycles: f64) -> f64 {
    1e6 * cycles / f64::from(part.clock_hz)
}

fn tokens_per_text(summary: &Summary) -> f64 {
    f64::from(summary.tokens) / f64::from(summary.texts.max(1))
}
