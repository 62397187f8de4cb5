//! The folder of a training run: what it holds, and how it is written so that nothing half-written remains.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `config.json` | the configuration, the data's place and digest, the validation part |
//! | `latch.toml` | the options of `latch train`, for `--config` of another run; nothing here reads it |
//! | `vocabulary.txt` | the words in the order of their ids, one a line |
//! | `characters` | what the characters beyond ASCII are: the table that goes into the image |
//! | `occurrences` | how often each id occurs in the training texts, with the digest of vocabulary and characters |
//! | `data.json` | what the data has, in numbers: texts, words, unknown tokens |
//! | `trials.json` | the models that were tried, where the data decided which is taken |
//! | `ngrams` | the n-grams beside the network, where there are some |
//! | `teachers` | what the teachers say of the training texts, where there are some |
//! | `metrics.jsonl` | an epoch a line; equal in two runs of one seed |
//! | `curves.svg`, `curves.png` | loss and accuracy by epoch; the PNG is written at the end |
//! | `best.network` | the network of the best epoch |
//! | `checkpoint` | what `--resume` goes on from |
//! | `quantized.network`, `quantized.checkpoint` | the same of the epochs that learned with integers, where there are any |
//! | `held-out` | after a cross-validation: what the networks of the folds answer to the parts that they have not learned from |
//! | `scaling` | of a model of samples that was trained: how its channels are scaled |
//! | `probe` | of an imported model of samples: its scaling, and samples with the answers that it gives where it came from |
//! | `calibration.json` | what `latch export` last found out about the answers: temperature, thresholds of an early one |
//!
//! The folder of an imported network has `config.json`, `vocabulary.txt`, `characters` and `best.network`, and `probe` where it reads samples. Networks and checkpoints are postcard with a CRC-32 behind it.
//! Every file is written to a temporary name and renamed. Whoever writes here holds the folder's lock: see [`super::writer`].

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Best, BestQuantized, Checkpoint};
use super::summary::Facts;
use crate::config::{RunConfig, TrainConfig};
use crate::defaults::choice::Trials;
use crate::error::{Fault, LARGEST_FILE, fault, read_bytes, read_string, reading};
use crate::exchange::samples::Probe;
use crate::files::{Staged, stage};
use crate::learning::sequences::{HeldOut, Targets};
use crate::ngrams::Fitted;
use crate::samples::Scaling;
use crate::tokenization::Tokenization;
use crate::vocabulary::Vocabulary;

#[derive(Serialize, Deserialize)]
pub(super) struct ValidDigest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) valid_sha256: Option<String>,
}

/// The first line of a run's `latch.toml`.
pub const SETTINGS_HEADING: &str =
    "`latch train --config latch.toml --out FOLDER` repeats this run into another folder.";

/// The files of a run, besides `latch.toml`.
const FILES: [&str; 19] = [
    "config.json",
    "vocabulary.txt",
    "characters",
    "occurrences",
    "data.json",
    "trials.json",
    "teachers",
    "ngrams",
    "metrics.jsonl",
    "curves.svg",
    "curves.png",
    "best.network",
    "checkpoint",
    "calibration.json",
    "held-out",
    "probe",
    "scaling",
    "quantized.network",
    "quantized.checkpoint",
];

/// What to do about a file that belongs to another run, or to none.
pub(super) const FROM_A_COPY: &str = "take the file from a copy, or train again into another folder";

/// The same of a file that came with an imported model.
pub(super) const IMPORT_AGAIN: &str = "take the file from a copy, or import the model again into another folder";

/// How often each id occurs in a run's training texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Occurrences {
    /// SHA-256 of the vocabulary that gives the ids.
    pub vocabulary_sha256: String,
    /// One number an id.
    pub counts: Vec<u32>,
}

/// How often a running epoch is kept besides its end.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    checkpoint_interval: Duration,
    settings: Option<String>,
}

impl RunFolder {
    /// The folder at a path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        RunFolder { path: path.into(), checkpoint_interval: CHECKPOINT_INTERVAL, settings: None }
    }

    /// The same folder, in which a running epoch is kept so often besides its end. Results do not depend on it.
    #[must_use]
    pub fn with_checkpoints_every(self, checkpoint_interval: Duration) -> Self {
        RunFolder { checkpoint_interval, ..self }
    }

    /// The same folder, for a run that keeps its options as the text of `latch.toml`.
    #[must_use]
    pub fn with_settings(self, settings: String) -> Self {
        RunFolder { settings: Some(settings), ..self }
    }

    /// The text of `latch.toml`, where the run is to keep one.
    pub(super) fn settings(&self) -> Option<&str> {
        self.settings.as_deref()
    }

    /// How often a running epoch is kept besides its end.
    pub fn checkpoint_interval(&self) -> Duration {
        self.checkpoint_interval
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// True when a run has begun here, or when a file lies here that a run would replace.
    pub fn has_run(&self) -> bool {
        self.has_files() || self.has_foreign_settings()
    }

    fn has_files(&self) -> bool {
        let mut there = FILES.iter().filter(|name| self.file(name).exists());
        there.any(|name| !self.is_of_a_beginning(name))
    }

    /// Whether a file is one that a run wrote before its `config.json`, and there was stopped: alone it is no run yet, and nobody else's.
    fn is_of_a_beginning(&self, name: &str) -> bool {
        match name {
            "data.json" => self.facts().is_ok_and(|facts| facts.is_some()),
            "scaling" => self.scaling().is_ok_and(|scaling| scaling.is_some()),
            "occurrences" => self.occurrences().is_ok_and(|known| known.is_some()),
            "characters" => self.read_coded::<Vec<u32>>(name).is_ok_and(|table| table.is_some()),
            // The network of another run, from which nothing was learned here yet.
            "checkpoint" => self.checkpoint().is_ok_and(|checkpoint| {
                checkpoint.is_some_and(|Checkpoint { epoch, batch, metrics, .. }| {
                    (epoch, batch) == (0, 0) && metrics.iter().all(|metrics| metrics.epoch == 0)
                })
            }),
            "best.network" => self.is_of_a_beginning("checkpoint"),
            // Its words are plain text: what stands beside them says whose they are.
            "vocabulary.txt" => ["characters", "occurrences"].iter().all(|name| self.is_of_a_beginning(name)),
            _ => false,
        }
    }

    /// True when a `latch.toml` lies here that no run wrote. One that a run wrote is the first of its files, and alone it is no run yet.
    fn has_foreign_settings(&self) -> bool {
        let path = self.file("latch.toml");
        let own = |text: String| text.starts_with(&format!("# {SETTINGS_HEADING}\n"));
        path.exists() && !read_string(&path, LARGEST_FILE).is_ok_and(own)
    }

    /// Checks that no run has begun here.
    ///
    /// # Errors
    /// A fault naming the folder where one has.
    pub fn refuse_run(&self) -> Result<(), Fault> {
        if !self.has_files() && self.has_foreign_settings() {
            let problem = "a run writes its own file of this name, and this one is not from a run";
            return Err(fault(self.file("latch.toml").display(), problem, "name another folder, or move this file"));
        }
        if self.has_run() {
            let remedy = "go on with it by --resume, or name another folder";
            return Err(fault(self.path.display(), "this folder already holds a run", remedy));
        }
        Ok(())
    }

    /// True when something that was learned is kept here.
    pub fn has_learned(&self) -> bool {
        self.file("checkpoint").exists() || self.file("best.network").exists()
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// A fault naming the folder when it holds no run, or the file when it is no configuration.
    pub fn config(&self) -> Result<RunConfig> {
        self.read_config()
    }

    /// Reads the digest of a validation part that has data of its own; `None` where it is a share of the data.
    ///
    /// # Errors
    /// As [`RunFolder::config`].
    pub fn valid_sha256(&self) -> Result<Option<String>> {
        Ok(self.read_config::<ValidDigest>()?.valid_sha256)
    }

    fn read_config<T: DeserializeOwned>(&self) -> Result<T> {
        let path = self.file("config.json");
        if matches!(std::fs::metadata(&path), Err(error) if error.kind() == ErrorKind::NotFound) {
            let problem = "there is no run in this folder, because it has no config.json";
            let remedy = "name the folder that `latch train --out` made; if that was stopped at once, begin it again without --resume";
            return Err(fault(self.path.display(), problem, remedy).into());
        }
        serde_json::from_str(&read_text(&path)?).map_err(|error| {
            let problem = format!("this is no run's configuration: {error}");
            fault(path.display(), problem, FROM_A_COPY).into()
        })
    }

    /// Reads the vocabulary of a run.
    ///
    /// # Errors
    /// A fault naming the file when it is missing or is no text.
    pub fn vocabulary(&self, config: &TrainConfig) -> Result<Vocabulary> {
        let words = read_words(&self.file("vocabulary.txt"))?;
        let Some(characters) = self.read_coded::<Vec<u32>>("characters")? else {
            let remedy = FROM_A_COPY;
            return Err(fault(self.file("characters").display(), "the run's character table is missing", remedy).into());
        };
        Ok(Vocabulary::new(words, config.unknown(), Tokenization::with(config.tokens(), &characters)))
    }

    /// Reads how often each id occurs in the training texts; `None` where the run does not keep it.
    ///
    /// # Errors
    /// A fault when the file is damaged.
    pub fn occurrences(&self) -> Result<Option<Occurrences>> {
        self.read_coded("occurrences")
    }

    /// Reads what the data has, in numbers; `None` where the run does not keep it.
    ///
    /// # Errors
    /// A fault when the file is damaged.
    pub fn facts(&self) -> Result<Option<Facts>> {
        self.read_noted("data.json", "a report of these numbers")
    }

    /// Reads what was tried; `None` where the model was not chosen by trials.
    ///
    /// # Errors
    /// A fault when the file is damaged.
    pub fn trials(&self) -> Result<Option<Trials>> {
        self.read_noted("trials.json", "a report of what was tried")
    }

    /// Reads a file of JSON that nothing but `reader` needs; `None` where it is not there.
    fn read_noted<T: DeserializeOwned>(&self, name: &str, reader: &str) -> Result<Option<T>> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(None);
        }
        let damaged = |error: serde_json::Error| {
            let remedy = format!("remove it: nothing but {reader} needs it");
            fault(path.display(), format!("the file is damaged ({error})"), remedy)
        };
        Ok(Some(serde_json::from_str(&read_text(&path)?).map_err(damaged)?))
    }

    /// Reads the n-grams; `None` where the run has none.
    ///
    /// # Errors
    /// A fault when the file is damaged, or missing although the configuration has n-grams.
    pub fn ngrams(&self, config: &TrainConfig) -> Result<Option<Fitted>> {
        if config.model.ngrams.count == 0 {
            return Ok(None);
        }
        let ngrams: Option<Fitted> = self.read_coded("ngrams")?;
        if ngrams.is_none() {
            let remedy = FROM_A_COPY;
            return Err(fault(self.file("ngrams").display(), "the run's n-grams are missing", remedy).into());
        }
        Ok(ngrams)
    }

    /// Reads what the teachers say of the training texts; `None` where the run has no teachers.
    ///
    /// # Errors
    /// A fault when the file is damaged, or missing although the configuration has teachers.
    pub fn targets(&self, config: &TrainConfig) -> Result<Option<Targets>> {
        if config.distill.is_none() {
            return Ok(None);
        }
        let targets: Option<Targets> = self.read_coded("teachers")?;
        if targets.is_none() {
            let remedy = FROM_A_COPY;
            return Err(fault(self.file("teachers").display(), "what the teachers say is missing", remedy).into());
        }
        if targets.as_ref().is_some_and(|targets| !targets.is_of(config.task)) {
            let problem = "what stands in it is no answer to this run's task";
            let remedy = FROM_A_COPY;
            return Err(fault(self.file("teachers").display(), problem, remedy).into());
        }
        Ok(targets)
    }

    /// Reads the answers to the parts that a cross-validation has held out; `None` before its end.
    ///
    /// # Errors
    /// A fault when the file is damaged.
    pub fn held_out(&self) -> Result<Option<HeldOut>> {
        self.read_coded("held-out")
    }

    /// Reads the best network.
    ///
    /// # Errors
    /// A fault when there is none, or when it is damaged.
    pub fn best(&self) -> Result<Best> {
        if let Some(best) = self.read_coded("best.network")? {
            return Ok(best);
        }
        if self.config().is_ok_and(|config| config.imported.is_some()) {
            let problem = "the imported network is missing";
            return Err(fault(self.file("best.network").display(), problem, IMPORT_AGAIN).into());
        }
        if self.file("metrics.jsonl").exists() {
            return Err(fault(
                self.file("best.network").display(),
                "the file is missing although the run has finished an epoch",
                "take it from a copy, or train again into another folder",
            )
            .into());
        }
        Err(fault(
            self.path.display(),
            "the run has no finished epoch",
            "go on with it: `latch train --resume --out` this folder",
        )
        .into())
    }

    /// Reads what an imported model of samples brings in place of data; `None` of all others.
    ///
    /// # Errors
    /// A fault when the file is damaged.
    pub fn probe(&self) -> Result<Option<Probe>> {
        self.read_coded("probe")
    }

    /// Reads how the channels of a trained model of samples are scaled; `None` of others.
    ///
    /// # Errors
    /// A fault when the file is damaged.
    pub fn scaling(&self) -> Result<Option<Scaling>> {
        self.read_coded("scaling")
    }

    /// Reads the best network of those that learned with integers; `None` where none has.
    ///
    /// # Errors
    /// A fault when it is damaged.
    pub fn quantized(&self) -> Result<Option<BestQuantized>> {
        self.read_coded("quantized.network")
    }

    /// Reads the checkpoint of the epochs that learn with integers; `None` before the first.
    ///
    /// # Errors
    /// A fault when it is damaged.
    pub fn quantized_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.read_coded("quantized.checkpoint")
    }

    /// Reads the checkpoint; `None` when the run was stopped before the first.
    ///
    /// # Errors
    /// A fault when it is damaged.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.read_coded("checkpoint")
    }

    fn read_coded<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.file(name);
        let bytes = match read_bytes(&path, LARGEST_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(reading(&path, error)),
        };
        // Only an import writes a probe.
        let remedy = if name == "probe" { IMPORT_AGAIN } else { FROM_A_COPY };
        let damaged = |problem: &str| fault(path.display(), problem, remedy);
        let (coded, stated) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("the file is cut off"))?;
        let mut crc = flate2::Crc::new();
        crc.update(coded);
        if crc.sum() != u32::from_le_bytes(*stated) {
            return Err(damaged("the file is damaged: its checksum is wrong").into());
        }
        postcard::from_bytes(coded)
            .map(Some)
            .map_err(|_| damaged("the file was written by another version of Latch").into())
    }
}

/// Writes the words of a vocabulary in the order of their ids, one a line, under a temporary name.
///
/// # Errors
/// A fault when the file cannot be written.
pub fn stage_words(path: &Path, vocabulary: &Vocabulary) -> Result<Staged> {
    stage(path, |out| Ok(vocabulary.words().iter().try_for_each(|word| writeln!(out, "{word}"))?))
}

/// The words of a vocabulary's file, one a line.
///
/// # Errors
/// A fault naming the file when it is missing or is no text.
fn read_words(path: &Path) -> Result<Vec<String>> {
    Ok(read_text(path)?.lines().map(str::to_owned).collect())
}

/// The words of a user's list, one a line.
///
/// # Errors
/// A fault when the file cannot be read.
pub fn read_list(path: &Path) -> Result<Vec<String>> {
    let text = read_string(path, LARGEST_FILE).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => fault(path.display(), "it is no UTF-8", "save it as a text in UTF-8").into(),
        _ => reading(path, error),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).lines().map(str::to_owned).collect())
}

/// A text file of a run.
fn read_text(path: &Path) -> Result<String> {
    read_string(path, LARGEST_FILE).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => fault(path.display(), "the file is damaged: it is no UTF-8", FROM_A_COPY).into(),
        _ => reading(path, error),
    })
}
