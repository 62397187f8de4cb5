//! A run of a network that another tool trained.

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::input::text::Tokens;
use latch_interchange::Described;
use sha2::{Digest, Sha256};

use super::checkpoint::Best;
use super::folder::{RunFolder, read_list};
use super::loaded::Loaded;
use super::opened::load;
use crate::config::chain::{LONGEST, Pooling};
use crate::config::{
    Imported, ModelConfig, NgramConfig, RunConfig, SeriesConfig, TrainConfig, Valid, Words, default_config,
    default_model,
};
use crate::dataset::{Columns, Part, Task, hex};
use crate::error::{Fault, fault};
use crate::exchange::inspected::Inspected;
use crate::exchange::parity::{Difference, check_sums, compare, compare_ids, seeded_ids};
use crate::exchange::{Answers, Format, Given, GivenKeras, GivenProbe, Received, from_bytes, inspected, read_file};
use crate::learning::sequences::Sequences;
use crate::learning::training::{self, judge};
use crate::learning::verdict::Verdict;
use crate::metrics::{EpochMetrics, Judgement};
use crate::series::{self, SeriesReading};
use crate::vocabulary::Vocabulary;

/// What is imported.
pub struct Request<'a> {
    /// The network's file, as it was named.
    pub file: &'a Path,
    /// The same as an absolute path, which the run keeps.
    pub absolute_file: PathBuf,
    /// The file of its words, where its metadata does not hold them.
    pub vocabulary: Option<&'a Path>,
    /// What the head sees, where its metadata does not say it.
    pub pooling: Option<Pooling>,
    /// What its outputs mean, where its metadata does not say it.
    pub task: Option<Task>,
    /// What a token is, where its metadata does not say it.
    pub tokens: Option<Tokens>,
    /// What it was trained on, as an absolute path.
    pub data: Option<PathBuf>,
    /// The validation part of that.
    pub valid: Valid,
    /// Where labels and texts are in it.
    pub columns: Columns,
    /// A series like those that a model of samples will read.
    pub probe: Option<&'a Path>,
    /// The largest magnitude of its samples.
    pub full_scale: Option<f32>,
    /// Steps of the longest sequence, of a model with two directions.
    pub longest: Option<usize>,
    /// The layers of weights of Keras that stand alone.
    pub chain: Option<&'a str>,
    /// The last layer that is read of a model of Keras.
    pub until: Option<&'a str>,
    /// The file of the words of a tokenizer of Keras.
    pub tokenizer: Option<&'a Path>,
}

impl Request<'_> {
    /// What is given besides the file.
    fn given(&self) -> Result<Given> {
        let probe = |path: &Path| -> Result<GivenProbe> {
            let set =
                series::load(path, Part::Test, &SeriesReading::one_series()).map_err(|error| of_probe(path, error))?;
            let [one] = &set.series[..] else {
                let problem = format!("it has {} series", set.series.len());
                return Err(fault(path.display(), problem, "give one of them as a file of its own").into());
            };
            let (name, channels) = (path.display().to_string(), set.channels.len());
            Ok(GivenProbe { name, channels, frames: one.frames.to_vec() })
        };
        let tokenizer = |path: &Path| anyhow::Ok((path.display().to_string(), read_file(path)?));
        Ok(Given {
            vocabulary: self.vocabulary.map(read_list).transpose()?,
            pooling: self.pooling,
            task: self.task,
            tokens: self.tokens,
            probe: self.probe.map(probe).transpose()?,
            full_scale: self.full_scale,
            longest: self.longest,
            keras: GivenKeras {
                chain: self.chain.map(str::to_owned),
                until: self.until.map(str::to_owned),
                tokenizer: self.tokenizer.map(tokenizer).transpose()?,
            },
        })
    }
}

/// The error of reading a probe, with a remedy that an import has: other verbs choose channels and fill missing values.
fn of_probe(path: &Path, error: anyhow::Error) -> anyhow::Error {
    let Some(Fault { place, problem, remedy }) = error.downcast_ref::<Fault>() else { return error };
    let place = if place.starts_with("--") { path.display().to_string() } else { place.clone() };
    let remedy = if remedy.contains("--missing") {
        "write it, or name another --probe: a model is compared on whole values"
    } else if remedy.contains("--channels") || remedy.contains("-column") {
        "write a file of the channels that the model reads and of nothing else, a frame a row, and name that"
    } else {
        return error;
    };
    fault(place, problem, remedy).into()
}

/// Refuses a folder that is not there for this import: with a run, or with files of another kind in it.
fn refuse_folder(folder: &RunFolder) -> Result<(), Fault> {
    let place = folder.path().display();
    if folder.has_run() {
        return Err(fault(place, "this folder already holds a run", "name another folder, or remove this one"));
    }
    let Ok(mut entries) = std::fs::read_dir(folder.path()) else { return Ok(()) };
    // What begins with a dot is none of the user's: a lock, or what a stopped write has left.
    let name = entries.find_map(|entry| {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        (!name.starts_with('.')).then_some(name)
    });
    match name {
        None => Ok(()),
        Some(name) => {
            let problem = format!("this folder holds other files, such as {name}, and no run");
            Err(fault(place, problem, "name a new folder, or an empty one"))
        }
    }
}

/// What came in.
pub struct Arrived {
    /// The model.
    pub model: ModelConfig,
    /// What its outputs mean.
    pub answers: Answers,
    /// The file's format.
    pub format: Format,
    /// Number of weights.
    pub weights: usize,
    /// Loss and accuracy on the validation part, where there is one.
    pub judged: Option<(f64, f64)>,
    /// Keys of the metadata that mean nothing to Latch.
    pub unread: Vec<String>,
    /// Words of the vocabulary that no text gives.
    pub strange: Vec<String>,
    /// A text that the tool that trained the network cuts otherwise than Latch, in words.
    pub cut_otherwise: Option<String>,
    /// Why the network is of no use, where that shows on the validation part.
    pub warning: Option<String>,
    /// What was taken for granted where the file leaves something open, each in a sentence.
    pub remarks: Vec<String>,
    /// How far the f32 image is from its description.
    pub parity: Option<Parity>,
}

/// A comparison of an image with what its file describes.
pub struct Parity {
    /// What was taken for granted of the samples, in words; empty of texts.
    pub assumed: String,
    /// What both read, in words.
    pub probe: String,
    /// A row a layer, and one for the answer.
    pub differences: Vec<Difference>,
    /// The largest difference of the answers that the file brings from those of its description, where it brings some.
    pub own: Option<f64>,
}

/// What is inside a file, and what would stop its import with what is requested.
///
/// # Errors
/// A fault when the file, the vocabulary or the probe cannot be used.
pub fn inspect(request: &Request<'_>) -> Result<Inspected> {
    let (bytes, given, place) = (read_file(request.file)?, request.given()?, request.file.display());
    let mut inspected = inspected(&bytes, &place, &given)?;
    if inspected.stops.is_none() {
        let stops = match from_bytes(&bytes, &place, &given) {
            Ok(received) => {
                let checked = check(request, &configured(request, &received, &bytes)).map_err(anyhow::Error::from);
                let Received { described, network, vocabulary, .. } = &received;
                checked.and_then(|()| check_sums(&place.to_string(), described, network, vocabulary)).err()
            }
            Err(error) => Some(error),
        };
        inspected.stops = stops.map(|error| format!("{error:#}"));
    }
    Ok(inspected)
}

/// Checks that a run can have such a model; an import has no options to correct.
fn check(request: &Request<'_>, config: &RunConfig) -> Result<(), Fault> {
    config.train.check("").map_err(|Fault { place, problem, .. }| {
        let what = match place.strip_prefix("--model") {
            Some("") => "the model".to_owned(),
            Some(part) => format!("the model's{part}"),
            None => place,
        };
        fault(request.file.display(), format!("{what} {problem}"), "train such a model, and import that")
    })
}

/// Reads a network and makes a run of it, which can be exported as any other.
///
/// # Errors
/// A fault when the file, the vocabulary, the data or the folder cannot be used. Then the folder is as it was before.
pub fn import(folder: &RunFolder, request: &Request<'_>) -> Result<Arrived> {
    refuse_folder(folder)?;
    let bytes = read_file(request.file)?;
    let received = from_bytes(&bytes, request.file.display(), &request.given()?)?;
    let mut config = configured(request, &received, &bytes);
    drop(bytes);
    check(request, &config)?;
    let place = request.file.display().to_string();
    check_sums(&place, &received.described, &received.network, &received.vocabulary)?;
    if received.samples.is_some() {
        return import_samples(folder, request, received, config);
    }
    let Received { network, vocabulary, format, unread, strange, cut_otherwise, remarks, described, .. } = received;
    let parity = Some(parity_of_ids(&place, &described, &vocabulary, request.longest.unwrap_or(LONGEST))?);
    drop(described);
    let Loaded { training, validation, valid_sha256, .. } = load(&mut config, &mut |_, _| {})?;
    let (task, outputs) = (config.train.task, network.config().outputs);
    if task.outputs() != outputs {
        let problem = format!(
            "its head has {outputs} outputs, and the {} classes of the data need {}",
            task.classes(),
            task.outputs()
        );
        return Err(fault(request.file.display(), problem, "name the data that it was trained on").into());
    }
    let (mut judged, mut warning) = (None, None);
    if !validation.is_empty() {
        let sequences = Sequences::read(&validation, &vocabulary, usize::MAX);
        let objective = config.train.objective();
        let Judgement { loss, accuracy, .. } = judge(&network, &sequences, objective)?;
        if !loss.is_finite() {
            let problem = format!("the validation loss is {loss}");
            let remedy = "import a network whose training has not diverged";
            return Err(fault(request.file.display(), problem, remedy).into());
        }
        judged = Some((loss, accuracy));
        warning = Verdict::of(&config.train, training::answers(&network, &sequences, objective)?, &[], &[]).useless;
    }
    let (valid_loss, valid_accuracy) = judged.unwrap_or_default();
    let valid_rmse = config.train.task.has_values().then(|| valid_loss.sqrt());
    let metrics = EpochMetrics { valid_loss, valid_accuracy, valid_rmse, ..EpochMetrics::default() };
    let weights = network.weights();

    // Reading the data took time, in which a run may have begun.
    let writer = folder.claim()?;
    let written = writer.write_config(&config, valid_sha256).and_then(|()| {
        writer.write_vocabulary(&vocabulary)?;
        if !training.is_empty() {
            writer.write_occurrences(&vocabulary, &vocabulary.occurrences(&training))?;
        }
        writer.write_best(&Best { metrics, network })
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = writer.remove_beginning();
    }
    written?;
    let answers = Answers { task: config.train.task, classes: config.classes };
    let model = config.train.model;
    Ok(Arrived { model, answers, format, weights, judged, unread, strange, cut_otherwise, warning, remarks, parity })
}

/// The same of a model of samples: it is compared with what its file describes, and its run keeps the probe in place of data.
fn import_samples(folder: &RunFolder, request: &Request<'_>, received: Received, config: RunConfig) -> Result<Arrived> {
    if let Some(data) = &request.data {
        let problem = format!("{} is for models of texts, and this one reads samples", data.display());
        let remedy =
            "name a series like those that it will read with --probe, and labelled ones with `latch export --data`";
        return Err(fault("--data", problem, remedy).into());
    }
    let place = request.file.display().to_string();
    let Received { network, vocabulary, answers, format, unread, strange, cut_otherwise, remarks, described, samples } =
        received;
    let Some(samples) = samples else { anyhow::bail!("no samples came in") };
    let differences = compare(&place, &described, &samples.probe)?;
    check_finite(&place, &differences)?;
    let own = described.source.probe.as_ref().filter(|_| request.probe.is_none()).map(|own| {
        let pairs = own.output.iter().zip(&samples.probe.answers);
        pairs.map(|(own, answer)| f64::from(own - answer).abs()).fold(0.0, f64::max)
    });
    let (assumed, probe) = (samples.probe.assumed(&config.train.model.chain.layers), samples.probe.of.clone());
    let parity = Some(Parity { assumed, probe, differences, own });
    let weights = network.weights();
    let metrics = EpochMetrics::default();
    let writer = folder.claim()?;
    let written = writer.write_config(&config, None).and_then(|()| {
        writer.write_vocabulary(&vocabulary)?;
        writer.write_probe(&samples.probe)?;
        writer.write_best(&Best { metrics, network })
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = writer.remove_beginning();
    }
    written?;
    let (model, judged, warning) = (config.train.model, None, None);
    Ok(Arrived { model, answers, format, weights, judged, unread, strange, cut_otherwise, warning, remarks, parity })
}

/// Compares a model of texts with its f32 image on seeded words.
fn parity_of_ids(place: &str, described: &Described, vocabulary: &Vocabulary, longest: usize) -> Result<Parity> {
    let ids = seeded_ids(described, vocabulary.rows(), longest);
    let differences = compare_ids(place, described, vocabulary, &ids)?;
    check_finite(place, &differences)?;
    let probe = format!("{} seeded words", ids.len());
    Ok(Parity { assumed: String::new(), probe, differences, own: None })
}

/// Refuses a model that computes no numbers on its probe.
fn check_finite(place: &str, differences: &[Difference]) -> Result<(), Fault> {
    match differences.iter().find(|row| !(row.largest_value.is_finite() && row.largest_difference.is_finite())) {
        None => Ok(()),
        Some(row) => {
            let problem = format!("{} gives values beyond f32 on the probe", row.layer);
            Err(fault(place, problem, "import a model whose weights are of usual size, or name another --probe"))
        }
    }
}

/// The run's configuration: what the file says, and defaults.
fn configured(request: &Request<'_>, received: &Received, bytes: &[u8]) -> RunConfig {
    let Received { network, vocabulary, answers, samples, .. } = received;
    let chain = network.config().chain.clone();
    let model = match samples {
        Some(samples) => ModelConfig { chain, samples: Some(samples.config), ..default_model() },
        None => ModelConfig {
            tokens: vocabulary.tokenization.tokens,
            vocab: vocabulary.words().len(),
            chain,
            words: Words::Count,
            skip_unknown: vocabulary.rows() == vocabulary.words().len(),
            hashed: None,
            tiers: None,
            ngrams: NgramConfig::NONE,
            samples: None,
        },
    };
    RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        train: TrainConfig { model, task: answers.task, ..default_config() },
        data: request.data.clone().unwrap_or_default(),
        data_sha256: String::new(),
        columns: request.columns.clone(),
        series: samples.as_ref().map(|_| SeriesConfig::default()),
        classes: answers.classes.clone(),
        valid: request.valid.clone(),
        imported: Some(Imported {
            file: request.absolute_file.clone(),
            sha256: hex(&Sha256::digest(bytes)),
            vocabulary_sha256: vocabulary.sha256(),
        }),
    }
}
