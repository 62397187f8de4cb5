//! What a run writes into its folder, by whoever holds the folder's lock.

use std::io::{ErrorKind, Write};
use std::ops::Deref;

use anyhow::{Context, Result};
use serde::Serialize;

use super::checkpoint::{Best, BestQuantized, Checkpoint};
use super::folder::{Occurrences, RunFolder, ValidDigest, stage_words};
use super::lock::Lock;
use super::summary::Facts;
use crate::config::{RunConfig, Storage, Valid};
use crate::defaults::choice::Trials;
use crate::error::{fault, writing};
use crate::exchange::samples::Probe;
use crate::files::{OutputFolder, write_atomically};
use crate::learning::sequences::{HeldOut, Targets};
use crate::metrics::EpochMetrics;
use crate::ngrams::Fitted;
use crate::vocabulary::Vocabulary;

/// A run's folder, held by this process: no other writes there until this is dropped.
#[derive(Debug)]
pub struct RunWriter {
    folder: RunFolder,
    // Before the folder that was made: with the lock's file in it, it would not be empty.
    _lock: Lock,
    _made: Option<OutputFolder>,
}

impl Deref for RunWriter {
    type Target = RunFolder;

    fn deref(&self) -> &RunFolder {
        &self.folder
    }
}

/// `config.json` as it is stored: the configuration, and the digest of a validation part that has data of its own.
#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    config: &'a RunConfig,
    #[serde(flatten)]
    validation: ValidDigest,
}

impl RunFolder {
    /// Takes the folder for a run that is to begin here; makes it where it is missing.
    ///
    /// # Errors
    /// A fault when a run has begun here, when another process writes here, or when the folder cannot be made or written.
    pub fn claim(&self) -> Result<RunWriter> {
        let made = OutputFolder::create(self.path())?;
        let writer = RunWriter::new(self, Some(made))?;
        self.refuse_run()?;
        // What a run left here that was stopped before it had a configuration.
        writer.remove_beginning()?;
        Ok(writer)
    }

    /// Takes the folder, which is there, for whatever is to be written.
    ///
    /// # Errors
    /// A fault when another process writes here, or when the folder cannot be written.
    pub fn hold(&self) -> Result<RunWriter> {
        RunWriter::new(self, None)
    }
}

impl RunWriter {
    /// Holds a folder that is there; one that was `made` for it is removed again where nothing comes of it.
    fn new(folder: &RunFolder, made: Option<OutputFolder>) -> Result<Self> {
        let lock = Lock::take(folder.path(), "training")?;
        Ok(RunWriter { folder: folder.clone(), _lock: lock, _made: made })
    }

    /// Removes what a run wrote that has learned nothing yet.
    ///
    /// # Errors
    /// A fault when a file cannot be removed.
    pub fn remove_beginning(&self) -> Result<()> {
        for name in [
            "data.json",
            "trials.json",
            "occurrences",
            "ngrams",
            "teachers",
            "vocabulary.txt",
            "characters",
            "probe",
            "scaling",
            "checkpoint",
            "best.network",
            "latch.toml",
            "config.json",
        ] {
            let path = self.folder.file(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(writing(&path, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the configuration, the digest of the validation part where that has data of its own, and the options where they are kept.
    ///
    /// # Errors
    /// A fault when the folder cannot be written, or when a path of the configuration is no UTF-8.
    pub fn write_config(&self, config: &RunConfig, valid_sha256: Option<String>) -> Result<()> {
        let valid = if let Valid::Path(path) = &config.valid { Some(path) } else { None };
        let file = config.imported.as_ref().map(|imported| &imported.file);
        for path in [&config.data].into_iter().chain(valid).chain(file) {
            if path.to_str().is_none() {
                return Err(fault(
                    path.display(),
                    "this path is no UTF-8, so that the run could not name its data",
                    "rename it",
                )
                .into());
            }
        }
        let json = serde_json::to_string_pretty(&Stored { config, validation: ValidDigest { valid_sha256 } })?;
        // First what resuming does without: where there is a configuration, there is a whole run.
        if let Some(settings) = self.folder.settings() {
            self.write("latch.toml", |out| out.write_all(settings.as_bytes()))?;
        }
        self.write("config.json", |out| writeln!(out, "{json}"))
    }

    /// Writes the vocabulary and the character table.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_vocabulary(&self, vocabulary: &Vocabulary) -> Result<()> {
        self.write_coded("characters", &vocabulary.tokenization.characters())?;
        stage_words(&self.folder.file("vocabulary.txt"), vocabulary)?.keep()
    }

    /// Writes how samples are scaled, of a model that reads some.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_scaling(&self, vocabulary: &Vocabulary) -> Result<()> {
        vocabulary.scaling.as_ref().map_or(Ok(()), |scaling| self.write_coded("scaling", scaling))
    }

    /// Writes what the data has, in numbers.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_facts(&self, facts: &Facts) -> Result<()> {
        let json = serde_json::to_string(facts)?;
        self.write("data.json", |out| writeln!(out, "{json}"))
    }

    /// Writes which models were tried.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_trials(&self, trials: &Trials) -> Result<()> {
        let json = serde_json::to_string_pretty(trials)?;
        self.write("trials.json", |out| writeln!(out, "{json}"))
    }

    /// Writes how often each id of the vocabulary occurs in the training texts.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_occurrences(&self, vocabulary: &Vocabulary, counts: &[u32]) -> Result<()> {
        let occurrences = Occurrences { vocabulary_sha256: vocabulary.sha256(), counts: counts.to_vec() };
        self.write_coded("occurrences", &occurrences)
    }

    /// Writes what an imported model of samples brings in place of data.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_probe(&self, probe: &Probe) -> Result<()> {
        self.write_coded("probe", probe)
    }

    /// Writes the n-grams.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_ngrams(&self, ngrams: &Fitted) -> Result<()> {
        self.write_coded("ngrams", ngrams)
    }

    /// Writes the answers to the parts that a cross-validation has held out.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_held_out(&self, held_out: &HeldOut) -> Result<()> {
        self.write_coded("held-out", held_out)
    }

    /// Writes what the teachers say of the training texts.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_targets(&self, targets: &Targets) -> Result<()> {
        self.write_coded("teachers", targets)
    }

    /// Writes the figures of all epochs; the last `quantized.1` of them learned with integers.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_metrics(&self, metrics: &[EpochMetrics], quantized: Option<(Storage, usize)>) -> Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            metrics: &'a EpochMetrics,
            #[serde(skip_serializing_if = "Option::is_none")]
            quantize: Option<Storage>,
        }
        let float = metrics.len() - quantized.map_or(0, |(_, epochs)| epochs);
        let line = |(place, metrics)| {
            let quantize = quantized.filter(|_| place >= float).map(|(storage, _)| storage);
            serde_json::to_string(&Line { metrics, quantize })
        };
        let lines = metrics.iter().enumerate().map(line).collect::<Result<Vec<_>, _>>()?;
        self.write("metrics.jsonl", |out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
    }

    /// Writes loss and accuracy by epoch as they were drawn, as SVG.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_curves(&self, svg: &str) -> Result<()> {
        self.write("curves.svg", |out| out.write_all(svg.as_bytes()))
    }

    /// Writes the same as PNG.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_curves_png(&self, png: &[u8]) -> Result<()> {
        self.write("curves.png", |out| out.write_all(png))
    }

    /// Writes what an export found out about the answers.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_calibration(&self, calibration: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(calibration)?;
        self.write("calibration.json", |out| writeln!(out, "{json}"))
    }

    /// Writes the best network.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_best(&self, best: &Best) -> Result<()> {
        self.write_coded("best.network", best)
    }

    /// Writes the best network of those that learned with integers.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_quantized(&self, best: &BestQuantized) -> Result<()> {
        self.write_coded("quantized.network", best)
    }

    /// Writes a checkpoint; `quantized` is one of the epochs that learn with integers.
    ///
    /// # Errors
    /// A fault when the folder cannot be written.
    pub fn write_checkpoint(&self, checkpoint: &Checkpoint, quantized: bool) -> Result<()> {
        self.write_coded(if quantized { "quantized.checkpoint" } else { "checkpoint" }, checkpoint)
    }

    fn write(&self, name: &str, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        write_atomically(&self.folder.file(name), |out| Ok(content(out)?))
    }

    fn write_coded<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut bytes = postcard::to_stdvec(value).context("coding a run's file")?;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        bytes.extend(crc.sum().to_le_bytes());
        self.write(name, |out| out.write_all(&bytes))
    }
}
