//! A run opened again: its configuration, its words and its data, checked to be what the run began with. Nothing here writes.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::folder::{FROM_A_COPY, IMPORT_AGAIN, RunFolder};
use super::loaded::Loaded;
use super::recordings;
use super::summary::{self, Facts};
use crate::config::{Fold, RunConfig, TrainConfig, Valid};
use crate::dataset::{Dataset, Example, Label, Labels, Part, Reading, Watch, has_part, locate};
use crate::error::{Fault, fault};
use crate::exchange::samples::Probe;
use crate::learning::sequences::Targets;
use crate::network::Network;
use crate::ngrams::Fitted;
use crate::vocabulary::Vocabulary;

/// What a run began with.
pub struct Opened {
    /// The configuration.
    pub config: RunConfig,
    /// The words.
    pub vocabulary: Vocabulary,
    /// How often each id occurs in the training texts, where the run keeps it.
    pub occurrences: Option<Vec<u32>>,
    /// The n-grams beside the network, where there are some.
    pub ngrams: Option<Fitted>,
    /// What teachers say of the training texts, where there are some.
    pub targets: Option<Targets>,
    /// The training texts; none where a network was imported without data.
    pub training: Vec<Example<Label>>,
    /// The validation texts, likewise; of an imported model of samples its probe.
    pub validation: Vec<Example<Label>>,
    /// What an imported model of samples brings in place of data.
    pub probe: Option<Probe>,
}

impl Opened {
    /// Reads the configuration, the data and the vocabulary of a run, and checks that they are what the run began with. Of a run that was
    /// stopped before it had learned anything, n-grams and targets may be missing.
    ///
    /// # Errors
    /// A fault that names the file that is missing, damaged or another one.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        Self::read_watched(folder, &mut |_, _| {})
    }

    /// As [`Opened::read`]; says how far it has come with the data.
    ///
    /// # Errors
    /// As [`Opened::read`].
    pub fn read_watched(folder: &RunFolder, watch: Watch<'_>) -> Result<Self> {
        let began = folder.config()?;
        // What streams begin behind is no part of the network, and an export may say otherwise.
        let train = TrainConfig { warm_up: None, ..began.train.clone() };
        train.check(&format!("{}: ", folder.file("config.json").display()))?;
        let mut config = began.clone();
        let Loaded { training, validation, valid_sha256, .. } = load(&mut config, watch)
            .map_err(|error| error.context("the run's data is needed again; where it has moved, put it back"))?;
        let changed = |path: &Path| {
            let problem = "the data is not what the run began with: its SHA-256 differs";
            fault(path.display(), problem, "put the old data back, or begin a new run")
        };
        if config.data_sha256 != began.data_sha256 || config.classes != began.classes {
            return Err(changed(&config.data).into());
        }
        if let Valid::Path(path) = &config.valid
            && folder.valid_sha256()?.is_some_and(|began| Some(began) != valid_sha256)
        {
            return Err(changed(path).into());
        }
        let path = folder.file("vocabulary.txt");
        if config.imported.is_some() && config.train.model.samples.is_some() {
            return sampled(folder, config);
        }
        if let Some(imported) = &config.imported {
            let vocabulary = folder.vocabulary(&config.train)?;
            if vocabulary.sha256() != imported.vocabulary_sha256 {
                let remedy = "take the file from a copy, or import the network again into another folder";
                let problem = "the words are not those of the imported network";
                return Err(fault(path.display(), problem, remedy).into());
            }
            let occurrences = folder.occurrences()?.map(|known| known.counts);
            let (ngrams, targets, probe) = (None, None, None);
            return Ok(Opened { config, vocabulary, occurrences, ngrams, targets, training, validation, probe });
        }
        let (vocabulary, occurrences) = words(folder, &config, &training)?;
        let there = |name: &str| folder.file(name).exists() || folder.has_learned();
        let targets = if there("teachers") { folder.targets(&config.train)? } else { None };
        if targets.as_ref().is_some_and(|targets| targets.len() != training.len()) {
            let problem = "the teachers' probabilities are not those of the run's training texts";
            return Err(fault(folder.file("teachers").display(), problem, FROM_A_COPY).into());
        }
        let ngrams = if there("ngrams") { folder.ngrams(&config.train)? } else { None };
        let answers: usize = training.iter().map(|example| example.label.numbers().len()).sum();
        let outputs = config.train.task.outputs();
        if ngrams.as_ref().is_some_and(|ngrams| !ngrams.is_of(answers, outputs, config.train.task.each_step())) {
            let problem = "the n-grams are not those of the run's training texts";
            return Err(fault(folder.file("ngrams").display(), problem, FROM_A_COPY).into());
        }
        Ok(Opened { config, vocabulary, occurrences, ngrams, targets, training, validation, probe: None })
    }

    /// Checks that a network has the shape that the configuration and the vocabulary give it.
    ///
    /// # Errors
    /// A fault naming `file`, in which the network was.
    pub fn check_network(&self, folder: &RunFolder, file: &str, network: &Network<f32>) -> Result<(), Fault> {
        if *network.config() == self.config.train.network(self.vocabulary.rows()) {
            return Ok(());
        }
        let remedy = "take both files from one run, or train again into another folder";
        Err(fault(folder.file(file).display(), "its network is not the one of config.json", remedy))
    }
}

/// The fault of an imported model of samples that has lost what came with it.
pub(super) fn without_probe(folder: &RunFolder) -> Fault {
    fault(folder.file("probe").display(), "the model's scaling and probe are missing", IMPORT_AGAIN)
}

/// An imported model of samples: it has no data, and a probe in its place.
fn sampled(folder: &RunFolder, config: RunConfig) -> Result<Opened> {
    let Some(probe) = folder.probe()? else { return Err(without_probe(folder).into()) };
    if probe.scaling.channels.len() != config.train.model.chain.embedding {
        let problem = "its scaling has other channels than the model of config.json";
        return Err(fault(folder.file("probe").display(), problem, "take both files from one run").into());
    }
    Ok(Opened {
        vocabulary: Vocabulary::of_samples(probe.scaling.clone()),
        occurrences: Some(Vec::new()),
        ngrams: None,
        targets: None,
        training: Vec::new(),
        validation: vec![probe.example(config.train.task)],
        probe: Some(probe),
        config,
    })
}

/// How the channels of a run's samples are scaled. A run that was stopped before it had learned anything may not have it yet.
fn known_scaling(folder: &RunFolder, config: &RunConfig, training: &[Example<Label>]) -> Result<Vocabulary> {
    match folder.scaling()? {
        Some(scaling) if scaling.channels.len() == config.train.model.chain.embedding => {
            Ok(Vocabulary::of_samples(scaling))
        }
        Some(_) => {
            let problem = "it has other channels than the model of config.json";
            Err(fault(folder.file("scaling").display(), problem, "take both files from one run").into())
        }
        None if folder.has_learned() || config.train.start.is_some() => {
            Err(fault(folder.file("scaling").display(), "the scaling of the samples is missing", FROM_A_COPY).into())
        }
        None => Ok(Vocabulary::of_run(&config.train, training)),
    }
}

/// The words of a run and how often each id occurs. Where the run keeps the latter, with the digest of the words, no text is tokenized for them.
fn words(
    folder: &RunFolder,
    config: &RunConfig,
    training: &[Example<Label>],
) -> Result<(Vocabulary, Option<Vec<u32>>)> {
    if config.train.model.samples.is_some() {
        return Ok((known_scaling(folder, config, training)?, Some(Vec::new())));
    }
    let path = folder.file("vocabulary.txt");
    let others = || fault(path.display(), "the words are not those of the run's training texts", FROM_A_COPY);
    if let Some(known) = folder.occurrences()? {
        let vocabulary = folder.vocabulary(&config.train)?;
        if vocabulary.sha256() != known.vocabulary_sha256 || vocabulary.rows() != known.counts.len() {
            return Err(others().into());
        }
        return Ok((vocabulary, Some(known.counts)));
    }
    let vocabulary = Vocabulary::of_run(&config.train, training);
    vocabulary.check(&config.data, "--model text")?;
    if (path.exists() || folder.has_learned()) && folder.vocabulary(&config.train)? != vocabulary {
        return Err(others().into());
    }
    Ok((vocabulary, None))
}

/// Reads the data of a run. Its digest and its classes go into the configuration.
///
/// # Errors
/// A fault when the data cannot be used, or is its own validation part.
pub fn load(config: &mut RunConfig, watch: Watch<'_>) -> Result<Loaded> {
    let task = config.train.task;
    if config.imported.is_some() && config.data.as_os_str().is_empty() {
        config.train.task = task.with_classes(task.classes().max(2));
        let (training, validation, notes) = (Vec::new(), Vec::new(), Vec::new());
        let (summary, facts) = (String::new(), Facts::default());
        return Ok(Loaded { training, validation, valid_sha256: None, summary, notes, facts });
    }
    if let Some(series) = config.series.clone() {
        return recordings::load(config, &series);
    }
    let reading = Reading::of(task).within(config.columns.clone());
    // A network comes with its classes, where its file names them.
    let is_given = config.imported.is_some() || config.train.start.is_some();
    let reading = if is_given { reading.among(&config.classes) } else { reading };
    if let Valid::Path(valid) = &config.valid {
        refuse_same_file(&config.data, valid)?;
    }
    let mut data = Dataset::load_watched(&config.data, Part::Train, &reading, watch)?;
    let repeated = data.repeated();
    let read = summary::of(&data, task, &repeated);
    let mut notes: Vec<String> = summary::disputed(&data, &repeated).into_iter().collect();
    notes.extend(summary::mixed(&data.classes).into_iter().chain(summary::alike(&data.classes)));
    notes.extend(summary::guessed(&data, task));
    if matches!(config.valid, Valid::Fold(_) | Valid::All { .. }) && has_part(&config.data, Part::Valid) {
        notes.push(summary::unread_validation(&config.data));
    }
    let facts = Facts {
        texts: data.examples.len(),
        duplicates: repeated.copies,
        disputed: repeated.disputed,
        ..Facts::default()
    };
    // A fault of the split is one of this file.
    data.name = config.data.display().to_string();
    config.classes = data.classes.clone();
    config.train.task = task.with_classes(data.classes.len() as u32);
    config.data_sha256 = data.sha256.clone();
    let (training, validation, valid_sha256) = match &config.valid {
        Valid::Fraction(share) => {
            let [training, validation] = data.split(config.train.seed, [1.0 - share, *share])?;
            (training.examples, validation.examples, None)
        }
        Valid::Fold(Fold { number, of }) => {
            let [training, validation] = data.fold(config.train.seed, *number as usize, *of as usize)?;
            (training.examples, validation.examples, None)
        }
        Valid::All { .. } => (data.examples, Vec::new(), None),
        Valid::Path(path) => {
            let reading = Reading { columns: config.columns.clone(), ..Reading::of(task).among(&config.classes) };
            let validation = Dataset::load_for(path, Part::Valid, &reading)?;
            if validation.sha256 == data.sha256 {
                return Err(same_data(&config.data, path).into());
            }
            (data.examples, validation.examples, Some(validation.sha256))
        }
    };
    let training = left(training, config)?;
    let summary = read + &summary::parts(training.len(), validation.len(), &config.valid);
    if !validation.is_empty() {
        notes.extend(summary::lacking((&config.classes, "text"), &training, &validation));
    }
    // A part that was divided from the data has none.
    if matches!(config.valid, Valid::Path(_)) {
        notes.extend(summary::shared(&training, "validation", &validation));
    }
    let facts = Facts { training: training.len(), validation: validation.len(), ..facts };
    Ok(Loaded { training, validation, valid_sha256, summary, notes, facts })
}

/// Refuses a validation part that is the training data itself.
fn refuse_same_file(data_path: &Path, valid: &Path) -> Result<()> {
    let real = |path: &Path, part| -> Option<PathBuf> { locate(path, part).ok()?.canonicalize().ok() };
    match (real(data_path, Part::Train), real(valid, Part::Valid)) {
        (Some(data), Some(valid_file)) if data == valid_file => Err(same_data(data_path, valid).into()),
        _ => Ok(()),
    }
}

fn same_data(data: &Path, valid: &Path) -> Fault {
    if data == valid {
        // The folder's own validation file, which nobody named.
        let file = locate(valid, Part::Valid).unwrap_or_else(|_| valid.to_owned());
        let problem = "this validation file holds the same texts as the training file beside it";
        let remedy = "put other texts into it, or hold out a tenth of the training texts with --valid 0.1";
        return fault(file.display(), problem, remedy);
    }
    let problem = format!("{} holds the texts that the network learns from", valid.display());
    fault("--valid", problem, "name other texts, or leave it out: a tenth of the data is set apart then")
}

/// The training texts without the part that the run leaves out.
fn left(mut training: Vec<Example<Label>>, config: &RunConfig) -> Result<Vec<Example<Label>>> {
    if let Some(fold) = config.train.leave_out {
        training.retain(|example| !fold.holds(&example.text));
        if training.is_empty() {
            let problem = "no training text is left";
            return Err(fault("--leave-out", problem, "divide the texts into more parts, or leave it out").into());
        }
    }
    Ok(training)
}
