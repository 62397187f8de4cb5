//! `latch demo`: the whole main job on real reviews, from the data to the simulated device.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::manifest;
use latch_engine::model::Model;
use latch_firmware_sim::sim::source::{Text, Texts};
use latch_firmware_sim::sim::{Simulator, part};
use serde::Serialize;

use super::export::words::precision_table;
use super::output::{print_json, say as say_to};
use super::predict::{judge, sentence, trail};
use super::train::terminal::Terminal;
use crate::config::{DEFAULT_MODEL, ModelConfig, Readout, RunConfig, Storage, TrainConfig, Valid, default_config};
use crate::dataset::fetch::{self, Fetched};
use crate::dataset::{Dataset, Example, Part, built_in, write_tsv_gz};
use crate::error::fault;
use crate::evaluate::state_for;
use crate::export::judged::judge as judge_image;
use crate::export::{Export, Trained};
use crate::files::{create_folder, write_atomically};
use crate::runs::begin::begin;
use crate::runs::folder::RunFolder;

/// Run the whole job once: fetch IMDb reviews, train, quantize, pack images, simulate a device, judge reviews.
///
/// Takes a few minutes. Without a network and without reviews fetched before, it goes on with a built-in set of made-up reviews.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch demo\n  latch demo --text \"I expected a bore and got a gem.\" --out demo")]
pub struct Args {
    /// A text of yours to judge, besides the demo's own; may be repeated
    #[arg(long)]
    text: Vec<String>,
    /// Seed of the split and the training
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to keep data, run and images in [default: a temporary one, removed at the end]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Use the built-in set although the reviews could be had
    #[arg(long)]
    built_in: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Where the data came from, with what is trained on it.
struct Task {
    data: Dataset,
    model: ModelConfig,
    epochs: u64,
    learning_rate: f64,
    texts: &'static [&'static str],
}

/// Examples of the built-in set.
const BUILT_IN_EXAMPLES: usize = 10_000;

const IMDB_TEXTS: &[&str] = &[
    "One of the finest films I have seen in years. The acting is superb and the ending left me speechless. 10/10",
    "I wanted to like it, I really did, but the plot makes no sense and the jokes fall flat. What a waste of two hours!",
    "It starts slowly and the first half hour is rather dull. Stay with it, though: what follows is wonderful.",
];

/// Held-out texts that are judged where the set has none of the demo's own.
const HELD_OUT_TEXTS: usize = 4;

/// The images that the demo makes.
const PRECISIONS: [Storage; 3] = [Storage::F32, Storage::F16, Storage::Int8];

/// Runs the verb.
///
/// # Errors
/// A fault when a folder cannot be written.
pub fn run(args: Args) -> Result<()> {
    let began = Instant::now();
    let temporary;
    let folder: &Path = match &args.out {
        Some(path) => {
            create_folder(path)?;
            path
        }
        None => {
            temporary = tempfile::Builder::new().prefix("latch-demo-").tempdir()?;
            temporary.path()
        }
    };
    let say = |text: std::fmt::Arguments<'_>| say_to(args.json, text);
    let run = RunFolder::new(folder.join("run"));
    if run.has_run() {
        let remedy = format!(
            "name another folder, or go on with its training: latch train --resume --out {}",
            run.path().display()
        );
        return Err(fault(folder.display(), "this folder already holds a demo", remedy).into());
    }
    let images = PRECISIONS.map(|precision| format!("{}.latch", precision.name()));
    let parts = [Part::Train, Part::Valid, Part::Test].map(|part| format!("{part}.tsv.gz"));
    if let Some(file) = images.iter().chain(&parts).map(|name| folder.join(name)).find(|file| file.exists()) {
        return Err(fault(file.display(), "the demo would overwrite this file", "name another folder").into());
    }

    let task = task(&args, &say)?;
    let name = task.data.name.clone();
    say(format_args!("1. data: {} texts of {name}", task.data.examples.len()));
    let config = prepare(task.data, &task.model, task.epochs, task.learning_rate, args.seed, folder)?;
    let readout = manifest::Readout::from(task.model.readout).name();
    say(format_args!(
        "2. train: {} words > embedding {} > LSTM {} > readout {readout} > 1 logit",
        task.model.vocab, task.model.embedding, task.model.lstm
    ));
    let outcome = {
        let mut terminal = Terminal::new(args.json, &config.train);
        begin(config, None, &run, &mut terminal)?
    };
    say(format_args!(
        "   best epoch {} of {} (lowest validation loss), validation accuracy {:.2} %, {:.0} tokens/s\n",
        outcome.best.epoch,
        outcome.epochs,
        100.0 * outcome.best.valid_accuracy,
        outcome.tokens_per_second
    ));

    let test = Dataset::load_part(folder, Part::Test)?;
    let trained = Trained::read(&run)?;
    let export = Export::of(trained.source(), true)?;
    let candidates = PRECISIONS
        .iter()
        .map(|&storage| judge_image(export.image(storage)?, &test.examples))
        .collect::<Result<Vec<_>>>()?;
    say(format_args!(
        "3. quantize and pack: three images, judged by the engine on {} held-out texts\n",
        test.examples.len()
    ));
    say(format_args!("{}", precision_table(&candidates)));
    for candidate in &candidates {
        let path = folder.join(format!("{}.latch", candidate.made.storage.name()));
        write_atomically(&path, |out| Ok(out.write_all(&candidate.made.bytes)?))?;
    }

    let Some(int8) = candidates.iter().find(|candidate| candidate.made.storage == Storage::Int8) else {
        anyhow::bail!("no int8 image was made");
    };
    let mut texts: Vec<String> = task.texts.iter().map(|text| (*text).to_owned()).collect();
    if texts.is_empty() {
        texts.extend(test.examples.iter().take(HELD_OUT_TEXTS).map(|example| example.text.clone()));
    }
    texts.extend(args.text.iter().cloned());

    let device = simulate(&int8.made.bytes, &test.examples)?;
    say(format_args!("4. flash and run: the int8 image on a simulated device\n"));
    say(format_args!("{}", device.text));

    say(format_args!(
        "5. judge, by the int8 image; the percentage behind a token is the probability of positive after it"
    ));
    let image = Image::open(&int8.made.bytes)?;
    let model = Model::new(&image);
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    for text in &texts {
        let verdict = judge(&mut session, text);
        say(format_args!("\n  \"{text}\"\n  {}\n{}", sentence(&verdict), trail(&verdict)));
    }
    if let Some(path) = &args.out {
        say(format_args!("\nkept in {}: data, run, images", path.display()));
    }
    say(format_args!("\nall in {:.0} s", began.elapsed().as_secs_f64()));
    if args.json {
        print_json(&Line {
            data: &name,
            accuracy: int8.evaluation.accuracy,
            agreement: int8.evaluation.agreement(&candidates[0].evaluation),
            image_bytes: int8.made.bytes.len(),
            state_bytes: int8.state_bytes,
            ns_per_token: int8.evaluation.ns_per_token,
            board: DEMO_BOARD,
            digest: device.digest,
            seconds: began.elapsed().as_secs_f64(),
        })?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    data: &'a str,
    accuracy: f64,
    agreement: f64,
    image_bytes: usize,
    state_bytes: usize,
    ns_per_token: f64,
    board: &'static str,
    digest: String,
    seconds: f64,
}

/// The part that the demo simulates.
const DEMO_BOARD: &str = "nrf52840";

/// Held-out texts that run on it.
const DEVICE_TEXTS: usize = 200;

/// What the simulated device showed.
struct Device {
    text: String,
    digest: String,
}

/// Programs the image into the flash of a simulated part and runs the chip's application over some texts.
fn simulate(image: &[u8], examples: &[Example]) -> Result<Device> {
    let part = part(DEMO_BOARD)?;
    let simulator = Simulator::load(part, image, "the int8 image")?;
    let texts = examples.iter().take(DEVICE_TEXTS);
    let mut source = Texts::new(
        texts.map(|example| Ok(Text { bytes: example.text.as_bytes().to_vec(), label: Some(example.label) })),
    );
    let mut right = 0;
    let outcome = simulator.run(&mut source, 16, &mut |verdict, label| {
        right += u32::from(label == Some(u32::from(verdict.class)));
        Ok(())
    })?;
    let budget = simulator.budget();
    let (summary, latency) = (outcome.summary, outcome.latency);
    let digest = summary.digest.to_string();
    let text = format!(
        "   {}, {} at {} MHz\n   flash {} of {} bytes, RAM {} of {} bytes\n   {} texts in chunks of 16 bytes, {} right; {} tokens\n   \
         a token on this host: p50 {} ns, p99 {} ns, max {} ns\n   digest of all outputs {digest}\n",
        part.title,
        part.core,
        part.clock_hz / 1_000_000,
        budget.flash_used(),
        part.flash.bytes(),
        budget.ram_used(),
        part.ram.total,
        summary.texts,
        right,
        summary.tokens,
        latency.p50,
        latency.p99,
        latency.max,
    );
    Ok(Device { text, digest })
}

/// IMDb where it can be had, else the built-in set, saying why.
fn task(args: &Args, say: &impl Fn(std::fmt::Arguments<'_>)) -> Result<Task> {
    if !args.built_in {
        match fetch::imdb()? {
            Fetched::Ready(path) => {
                return Ok(Task {
                    data: Dataset::load(&path)?,
                    model: DEFAULT_MODEL,
                    epochs: 5,
                    learning_rate: 5e-3,
                    texts: IMDB_TEXTS,
                });
            }
            Fetched::Offline(reason) => say(format_args!(
                "the IMDb reviews cannot be fetched ({reason}) and were not fetched before: going on with the built-in set"
            )),
        }
    }
    Ok(Task {
        data: Dataset::new("built-in", built_in::generate(args.seed, BUILT_IN_EXAMPLES)),
        model: ModelConfig {
            vocab: 1_000,
            readout: Readout::Mean,
            dropout: 0.1,
            recurrent_dropout: 0.1,
            word_dropout: 0.0,
            head_dropout: 0.1,
            ..DEFAULT_MODEL
        },
        epochs: 8,
        learning_rate: 5e-3,
        texts: &[],
    })
}

/// Writes the three parts and gives the run's configuration.
fn prepare(
    data: Dataset,
    model: &ModelConfig,
    epochs: u64,
    learning_rate: f64,
    seed: u64,
    folder: &Path,
) -> Result<RunConfig> {
    let parts = data.split(seed, [0.8, 0.1, 0.1])?;
    for (part, kind) in parts.iter().zip([Part::Train, Part::Valid, Part::Test]) {
        write_tsv_gz(&folder.join(format!("{kind}.tsv.gz")), &part.examples)?;
    }
    let path = |kind: Part| std::path::absolute(folder.join(format!("{kind}.tsv.gz")));
    Ok(RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        // A set in which order decides begins on a plateau of the loss: no stop before the end.
        train: TrainConfig {
            model: model.clone(),
            epochs,
            patience: epochs,
            learning_rate,
            max_tokens: 250,
            seed,
            ..default_config()
        },
        data: path(Part::Train)?,
        data_sha256: String::new(),
        valid: Valid::Path(path(Part::Valid)?),
        imported: None,
    })
}
