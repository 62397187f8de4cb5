//! The demo: what it trains on and how, and the device that it simulates.

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_firmware_sim::sim::source::{Text, Texts};
use latch_firmware_sim::sim::{Simulator, part};

use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::config::{ModelConfig, RunConfig, Storage, TrainConfig, Valid, default_config, default_model};
use crate::dataset::fetch::{self, Fetched};
use crate::dataset::{Columns, Dataset, Example, Part, built_in, write_tsv_gz};
use crate::shown::for_shell;

/// Where the data came from, with what is trained on it.
pub struct Job {
    /// The labelled texts.
    pub data: Dataset,
    /// The model.
    pub model: ModelConfig,
    /// Epochs.
    pub epochs: u64,
    /// Learning rate at its peak.
    pub learning_rate: f64,
    /// Texts to judge at the end.
    pub texts: &'static [&'static str],
}

/// Examples of the built-in set.
const BUILT_IN_EXAMPLES: usize = 10_000;

const IMDB_TEXTS: &[&str] = &[
    "One of the finest films I have seen in years. The acting is superb and the ending left me speechless. 10/10",
    "I wanted to like it, I really did, but the plot makes no sense and the jokes fall flat. What a waste of two hours!",
    "It starts slowly and the first half hour is rather dull. Stay with it, though: what follows is wonderful.",
];

/// Held-out texts that are judged where the set has none of the demo's own.
pub const HELD_OUT_TEXTS: usize = 4;

/// The images that the demo makes.
pub const PRECISIONS: [Storage; 3] = [Storage::F32, Storage::F16, Storage::Int8];

/// The part that the demo simulates.
pub const DEMO_BOARD: &str = "nrf52840";

/// Held-out texts that run on it.
const DEVICE_TEXTS: usize = 200;

/// What the simulated device showed.
pub struct Device {
    /// In words.
    pub text: String,
    /// The digest of all outputs.
    pub digest: String,
}

/// Programs the image into the flash of a simulated part and runs the chip's application over some texts.
///
/// # Errors
/// A fault when the image does not fit the part.
pub fn simulate(image: &[u8], examples: &[Example]) -> Result<Device> {
    let part = part(DEMO_BOARD)?;
    let simulator = Simulator::load(part, image, "the int8 image")?;
    let texts = examples.iter().take(DEVICE_TEXTS);
    let mut source = Texts::new(
        texts.map(|example| Ok(Text { bytes: example.text.as_bytes().to_vec(), label: Some(example.label) })),
    );
    let mut right = 0;
    let outcome = simulator.run(&mut source, 16, &mut |answered| {
        right += u32::from(answered.label == Some(u32::from(answered.verdict.class)));
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

/// IMDb where it can be had and the built-in set is not `forced`, else the latter, saying why.
///
/// # Errors
/// A fault when the reviews that were fetched cannot be read.
pub fn job(forced: bool, seed: u64, note: &mut dyn FnMut(&str)) -> Result<Job> {
    if !forced {
        match fetch::imdb()? {
            Fetched::Ready(path) => {
                return Ok(Job {
                    data: fetch::load(&path)?,
                    model: default_model(),
                    epochs: 5,
                    learning_rate: 5e-3,
                    texts: IMDB_TEXTS,
                });
            }
            Fetched::Offline(reason) => note(&format!(
                "the IMDb reviews cannot be fetched ({reason}) and were not fetched before: going on with the built-in set"
            )),
        }
    }
    Ok(Job {
        data: Dataset::new("built-in", built_in::generate(seed, BUILT_IN_EXAMPLES)).named(built_in::CLASSES),
        model: ModelConfig { vocab: 1_000, chain: built_in_chain(), ..default_model() },
        epochs: 8,
        learning_rate: 5e-3,
        texts: &[],
    })
}

/// The layers for the built-in set: `embedding 8 > lstm 32 > mean > dense`, a tenth of everything dropped but whole
/// tokens.
fn built_in_chain() -> Chain {
    let cell = CellConfig { units: 32, dropout: 0.1, recurrent_dropout: 0.1 };
    let head = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.1 };
    let layers = vec![LayerConfig::Lstm(cell), LayerConfig::Pooling(Pooling::Mean), head];
    Chain { embedding: 8, word_dropout: 0.0, layers }
}

/// The folder's name where none is given.
pub const FOLDER: &str = "latch-demo";

/// A folder below `place` for a demo: [`FOLDER`], and where there is one already, the first number behind it that is free.
pub fn free_folder(place: &Path) -> PathBuf {
    let numbered = (2_u32..).map(|number| format!("{FOLDER}-{number}"));
    let names = std::iter::once(FOLDER.to_owned()).chain(numbered);
    let free = names.map(|name| place.join(name)).find(|path| path.symlink_metadata().is_err());
    free.unwrap_or_else(|| place.join(FOLDER))
}

/// A demo's run, ready to be trained.
pub struct Prepared {
    /// The run's configuration.
    pub config: RunConfig,
    /// Texts of the training, the validation and the test part.
    pub counts: [usize; 3],
}

/// Writes the three parts and gives the run's configuration.
///
/// # Errors
/// A fault when the folder cannot be written.
pub fn prepare(job: Job, seed: u64, folder: &Path) -> Result<Prepared> {
    let Job { data, model, epochs, learning_rate, .. } = job;
    let parts = data.split(seed, [0.8, 0.1, 0.1])?;
    let counts = parts.each_ref().map(|part| part.examples.len());
    for (part, kind) in parts.iter().zip([Part::Train, Part::Valid, Part::Test]) {
        write_tsv_gz(&folder.join(format!("{kind}.tsv.gz")), &part.classes, &part.examples)?;
    }
    let path = |kind: Part| std::path::absolute(folder.join(format!("{kind}.tsv.gz")));
    let config = RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        // A set in which order decides begins on a plateau of the loss: no stop before the end.
        train: TrainConfig {
            model,
            epochs,
            patience: epochs,
            learning_rate,
            max_tokens: 250,
            seed,
            ..default_config()
        },
        data: path(Part::Train)?,
        data_sha256: String::new(),
        series: None,
        columns: Columns::default(),
        classes: Vec::new(),
        valid: Valid::Path(path(Part::Valid)?),
        imported: None,
    };
    Ok(Prepared { config, counts })
}

/// Commands that come next, each with what it is for.
///
/// They are written for who typed `program`: a shell in a clone of the project, or one that has `latch` installed.
pub fn next_commands(folder: &Path, program: Program) -> Vec<(&'static str, String)> {
    let file = |name: &str| for_shell(&folder.join(name).display().to_string());
    let latch = program.latch();
    let board = match program {
        Program::Clone => "cargo xtask device mps2-an386".to_owned(),
        Program::Installed => format!("latch-sim run --board {DEMO_BOARD}"),
    };
    let commands = [
        (
            "train on a file: put your own in place of this one",
            format!("{latch} train --data {} --out latch-run", file("train.tsv.gz")),
        ),
        (
            "run the image on an emulated Cortex-M4",
            format!("{board} --image {} --text 'a fine film'", file("int8.latch")),
        ),
        ("write the options of a training into a file to edit", format!("{latch} init")),
        ("write a page with pictures of this run", format!("{latch} report {}", file("run"))),
    ];
    commands.map(|(purpose, command)| (purpose, in_lines(&command))).to_vec()
}

/// A command in lines that a terminal of 80 columns holds and a shell takes: broken before its last option where it is long.
fn in_lines(command: &str) -> String {
    match command.rsplit_once(" --") {
        Some((before, option)) if command.chars().count() > 76 => format!("{before} \\\n      --{option}"),
        _ => command.to_owned(),
    }
}

/// How this program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// By cargo, in a clone of the project.
    Clone,
    /// By its name.
    Installed,
}

impl Program {
    /// The program that is running, in the current folder.
    pub fn of_this_process() -> Self {
        let built =
            std::env::current_exe().is_ok_and(|path| path.components().any(|part| part.as_os_str() == "target"));
        if built && Path::new("xtask/Cargo.toml").exists() { Program::Clone } else { Program::Installed }
    }

    /// What to type for `latch`.
    pub fn latch(self) -> &'static str {
        match self {
            Program::Clone => "cargo run --release --",
            Program::Installed => "latch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_never_goes_into_a_folder_that_is_there() {
        let place = tempfile::tempdir().expect("a folder");
        for name in ["latch-demo", "latch-demo-2", "latch-demo-3"] {
            let free = free_folder(place.path());
            assert_eq!(free, place.path().join(name));
            std::fs::create_dir(free).expect("a folder");
        }
    }

    #[test]
    fn what_comes_next_is_typed_as_this_program_was() {
        for (program, first) in [(Program::Clone, "cargo "), (Program::Installed, "latch")] {
            let commands = next_commands(Path::new("my demo"), program);
            assert_eq!(commands.len(), 4);
            assert!(commands.iter().all(|(_, command)| command.lines().all(|line| line.chars().count() <= 78)));
            assert!(commands.iter().all(|(_, command)| command.starts_with(first)), "{commands:?}");
            assert!(commands[0].1.contains("'my demo/train.tsv.gz'"), "{commands:?}");
        }
    }
}
