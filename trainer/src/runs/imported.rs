//! A run of a network that another tool trained.

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::input::text::Tokens;
use sha2::{Digest, Sha256};

use super::checkpoint::Best;
use super::folder::{RunFolder, read_words};
use super::loaded::Loaded;
use super::opened::load;
use crate::config::chain::Pooling;
use crate::config::{Imported, ModelConfig, NgramConfig, RunConfig, TrainConfig, Valid, Words, default_config};
use crate::dataset::{Columns, Task, hex};
use crate::error::fault;
use crate::exchange::{Answers, Given, Layout, Received, from_bytes, read_file};
use crate::learning::sequences::Sequences;
use crate::learning::training::{self, judge};
use crate::learning::verdict::Verdict;
use crate::metrics::{EpochMetrics, Judgement};
use crate::network::Network;
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
}

/// What came in.
pub struct Arrived {
    /// The model.
    pub model: ModelConfig,
    /// What its outputs mean.
    pub answers: Answers,
    /// How the file names and orders its tensors.
    pub layout: Layout,
    /// Number of weights.
    pub weights: usize,
    /// Loss and accuracy on the validation part, where there is one.
    pub judged: Option<(f64, f64)>,
    /// Keys of the metadata that mean nothing to Latch.
    pub unread: Vec<String>,
    /// Words of the vocabulary that no text gives.
    pub strange: Vec<String>,
    /// Why the network is of no use, where that shows on the validation part.
    pub warning: Option<String>,
}

/// Reads a network and makes a run of it, which can be exported as any other.
///
/// # Errors
/// A fault when the file, the vocabulary, the data or the folder cannot be used. Then the folder is as it was before.
pub fn import(folder: &RunFolder, request: &Request<'_>) -> Result<Arrived> {
    folder.refuse_run()?;
    let bytes = read_file(request.file)?;
    let vocabulary = request.vocabulary.map(read_words).transpose()?;
    let given = Given { vocabulary, pooling: request.pooling, task: request.task, tokens: request.tokens };
    let received = from_bytes(&bytes, request.file.display(), &given)?;
    let Received { network, vocabulary, answers, layout, unread, strange } = received;
    let mut config = configuration(request, &network, &vocabulary, answers, &bytes);
    config.train.check(&format!("{}: ", request.file.display()))?;
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
    Ok(Arrived { model: config.train.model, answers, layout, weights, judged, unread, strange, warning })
}

/// The run's configuration: what the file says, and defaults.
fn configuration(
    request: &Request<'_>,
    network: &Network<f32>,
    vocabulary: &Vocabulary,
    answers: Answers,
    bytes: &[u8],
) -> RunConfig {
    let model = ModelConfig {
        tokens: vocabulary.tokenization.tokens,
        vocab: vocabulary.words().len(),
        chain: network.config().chain.clone(),
        words: Words::Count,
        skip_unknown: vocabulary.rows() == vocabulary.words().len(),
        hashed: None,
        tiers: None,
        ngrams: NgramConfig::NONE,
        samples: None,
    };
    RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        train: TrainConfig { model, task: answers.task, ..default_config() },
        data: request.data.clone().unwrap_or_default(),
        data_sha256: String::new(),
        columns: request.columns.clone(),
        series: None,
        classes: answers.classes,
        valid: request.valid.clone(),
        imported: Some(Imported {
            file: request.absolute_file.clone(),
            sha256: hex(&Sha256::digest(bytes)),
            vocabulary_sha256: vocabulary.sha256(),
        }),
    }
}
