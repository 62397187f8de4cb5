//! The demo: what it trains on and how, and the device that it simulates.

use std::path::Path;

use anyhow::Result;
use latch_firmware_sim::sim::source::{Text, Texts};
use latch_firmware_sim::sim::{Simulator, part};

use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::config::{ModelConfig, RunConfig, Storage, TrainConfig, Valid, default_config, default_model};
use crate::dataset::fetch::{self, Fetched};
use crate::dataset::{Columns, Dataset, Example, Part, built_in, write_tsv_gz};

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

/// Writes the three parts and gives the run's configuration.
///
/// # Errors
/// A fault when the folder cannot be written.
pub fn prepare(job: Job, seed: u64, folder: &Path) -> Result<RunConfig> {
    let Job { data, model, epochs, learning_rate, .. } = job;
    let parts = data.split(seed, [0.8, 0.1, 0.1])?;
    for (part, kind) in parts.iter().zip([Part::Train, Part::Valid, Part::Test]) {
        write_tsv_gz(&folder.join(format!("{kind}.tsv.gz")), &part.classes, &part.examples)?;
    }
    let path = |kind: Part| std::path::absolute(folder.join(format!("{kind}.tsv.gz")));
    Ok(RunConfig {
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
        columns: Columns::default(),
        classes: Vec::new(),
        valid: Valid::Path(path(Part::Valid)?),
        imported: None,
    })
}
