//! The folder of a training run: what it holds, and how it is written so that nothing half-written remains.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `config.json` | the configuration, the data's place and digest, the validation part |
//! | `vocabulary.txt` | the words in the order of their ids, one a line |
//! | `metrics.jsonl` | an epoch a line; equal in two runs of one seed |
//! | `curves.svg`, `curves.png` | loss and accuracy by epoch |
//! | `best.network` | the network of the best epoch |
//! | `checkpoint` | what `--resume` goes on from |
//!
//! The last two are postcard with a CRC-32 behind it. Every file is written to a temporary name and renamed.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bptt::Trainer;
use crate::error::{fault, reading};
use crate::files::write_atomically;
use crate::network::Network;
use crate::optimizer::{Adam, Ema};
use crate::quantizer::{LstmWeights, Weights};
use crate::report;
use crate::training::{EpochMetrics, TrainConfig, adam};
use crate::vocabulary::Vocabulary;

/// `config.json`: everything that a run needs to be repeated, resumed or exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Version of Latch that began the run.
    pub latch: String,
    /// What decides the run besides its data.
    pub train: TrainConfig,
    /// Where the data lies.
    pub data: PathBuf,
    /// SHA-256 of the data's examples.
    pub data_sha256: String,
    /// The validation part.
    pub valid: Valid,
}

/// Where the validation part comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Valid {
    /// A share of the data, set apart by the seed.
    Fraction(f64),
    /// Data of its own.
    Path(PathBuf),
}

/// The best epoch and its network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Best {
    /// The epoch's figures.
    pub metrics: EpochMetrics,
    /// The network.
    pub network: Network<f32>,
}

/// Sums over the batches of the running epoch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    pub(crate) loss: f64,
    pub(crate) correct: u64,
    pub(crate) sequences: u64,
    pub(crate) tokens: u64,
    pub(crate) gradient_norm: f64,
}

/// All that a run remembers between two batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    pub(crate) network: Network<f32>,
    pub(crate) adam: Adam<f32>,
    pub(crate) average: Option<Ema<f32>>,
    /// Epochs done.
    pub(crate) epoch: u64,
    /// Batches done in the running epoch.
    pub(crate) batch: u64,
    pub(crate) sums: Sums,
    pub(crate) metrics: Vec<EpochMetrics>,
}

impl Checkpoint {
    pub(crate) fn beginning(network: Network<f32>, config: &TrainConfig) -> Self {
        let trainer = Trainer::new(network, &adam(config));
        let trainer = if config.average > 0.0 { trainer.with_ema(config.average) } else { trainer };
        Checkpoint {
            network: trainer.network,
            adam: trainer.adam,
            average: trainer.ema,
            epoch: 0,
            batch: 0,
            sums: Sums::default(),
            metrics: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, trainer: &Trainer<f32>) {
        self.network.clone_from(&trainer.network);
        self.adam.clone_from(&trainer.adam);
        self.average.clone_from(&trainer.ema);
    }

    /// The epoch with the lowest validation loss.
    pub fn best(&self) -> Option<&EpochMetrics> {
        self.metrics.iter().min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss))
    }

    /// True after the last epoch, or after `patience` epochs without a better one.
    pub fn is_finished(&self, config: &TrainConfig) -> bool {
        let stale = self.best().is_some_and(|best| self.epoch >= best.epoch + config.patience);
        self.epoch >= config.epochs || stale
    }
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at a path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        RunFolder { path: path.into() }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// True when a run has begun here.
    pub fn has_run(&self) -> bool {
        self.file("config.json").exists()
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        let json = serde_json::to_string_pretty(config)?;
        self.write("config.json", |out| writeln!(out, "{json}"))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// A fault naming the file when it is missing or is no configuration.
    pub fn config(&self) -> Result<RunConfig> {
        let path = self.file("config.json");
        let text = std::fs::read_to_string(&path).map_err(|error| reading(&path, error))?;
        serde_json::from_str(&text).map_err(|error| {
            fault(path.display(), format!("this is no run's configuration: {error}"), "name the folder that `latch train --out` made").into()
        })
    }

    /// Writes the vocabulary.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_vocabulary(&self, vocabulary: &Vocabulary) -> Result<()> {
        self.write("vocabulary.txt", |out| vocabulary.words().iter().try_for_each(|word| writeln!(out, "{word}")))
    }

    /// Reads the vocabulary of a run.
    ///
    /// # Errors
    /// A fault naming the file when it is missing or is no text.
    pub fn vocabulary(&self, config: &TrainConfig) -> Result<Vocabulary> {
        let path = self.file("vocabulary.txt");
        let text = std::fs::read_to_string(&path).map_err(|error| reading(&path, error))?;
        Ok(Vocabulary::from_words(text.lines().map(str::to_owned).collect(), config.unknown()))
    }

    /// Writes the figures of all epochs.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_metrics(&self, metrics: &[EpochMetrics]) -> Result<()> {
        let lines = metrics.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        self.write("metrics.jsonl", |out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
    }

    /// Draws loss and accuracy by epoch.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_curves(&self, metrics: &[EpochMetrics]) -> Result<()> {
        let svg = report::curves_svg(metrics)?;
        self.write("curves.svg", |out| out.write_all(svg.as_bytes()))?;
        let png = report::curves_png(metrics)?;
        self.write("curves.png", |out| out.write_all(&png))
    }

    /// Writes the best network.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_best(&self, best: &Best) -> Result<()> {
        self.write_coded("best.network", best)
    }

    /// Reads the best network.
    ///
    /// # Errors
    /// A fault when there is none, or when it is damaged.
    pub fn best(&self) -> Result<Best> {
        self.read_coded("best.network")?.ok_or_else(|| {
            fault(self.path.display(), "the run has no finished epoch", "go on with it: `latch train --resume --out` this folder").into()
        })
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.write_coded("checkpoint", checkpoint)
    }

    /// Reads the checkpoint; `None` when the run was stopped before the first.
    ///
    /// # Errors
    /// A fault when it is damaged.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.read_coded("checkpoint")
    }

    fn write(&self, name: &str, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        write_atomically(&self.file(name), |out| Ok(content(out)?))
    }

    fn write_coded<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut bytes = postcard::to_stdvec(value).context("coding a run's file")?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        bytes.extend(crc.sum().to_le_bytes());
        self.write(name, |out| out.write_all(&bytes))
    }

    fn read_coded<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.file(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(reading(&path, error)),
        };
        let damaged = |problem: &str| fault(path.display(), problem, "take the file from a copy, or delete it and train again");
        let (coded, stated) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("the file is cut off"))?;
        let mut crc = flate2::Crc::new();
        crc.update(coded);
        if crc.sum() != u32::from_le_bytes(*stated) {
            return Err(damaged("the file is damaged: its checksum is wrong").into());
        }
        postcard::from_bytes(coded).map(Some).map_err(|_| damaged("the file was written by another version of Latch").into())
    }
}

/// The weights of a network as the quantizer takes them: row-major.
pub fn weights(network: &Network<f32>) -> Weights {
    // nalgebra's matrices are column-major, so that a transpose's storage is the row-major original.
    let rows = |matrix: &nalgebra::DMatrix<f32>| matrix.transpose().as_slice().to_vec();
    Weights {
        // The embedding table is features × ids: its columns are the rows of an image's embedding.
        embedding: network.embedding.table.as_slice().to_vec(),
        width: network.config().embedding,
        layers: network
            .layers
            .iter()
            .map(|layer| LstmWeights {
                inputs: layer.kernel.ncols(),
                units: layer.recurrent_kernel.ncols(),
                kernel: rows(&layer.kernel),
                recurrent_kernel: rows(&layer.recurrent_kernel),
                bias: layer.bias.as_slice().to_vec(),
            })
            .collect(),
        readout: network.config().readout.into(),
        head: rows(&network.head.kernel),
        head_bias: network.head.bias.as_slice().to_vec(),
    }
}
