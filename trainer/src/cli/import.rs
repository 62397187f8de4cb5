//! `latch import`: from a safetensors file of another framework to a run folder.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::args::{ValidArg, absolute};
use super::output::{answer, print_json, warn};
use crate::config::chain::Pooling;
use crate::config::{Imported, ModelConfig, NgramConfig, Objective, RunConfig, TrainConfig, Words, default_config};
use crate::dataset::hex;
use crate::error::fault;
use crate::exchange::{Given, from_bytes, read_file};
use crate::learning::sequences::Sequences;
use crate::learning::training::{judge, uselessness};
use crate::metrics::EpochMetrics;
use crate::runs::checkpoint::Best;
use crate::runs::folder::{RunFolder, read_words};
use crate::runs::opened::load;

/// Make a run folder of a network that PyTorch or Keras trained.
///
/// The file is safetensors, in either layout that `latch export --format safetensors` writes; docs/frameworks.md has the names of the tensors.
/// Training data is not needed, but with it the int8 image keeps the most frequent words most exactly, and says what it was trained on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch import net.safetensors --data imdb/train.tsv.gz --valid imdb/valid.tsv.gz --out runs/torch\n  \
    latch import weights.safetensors --vocabulary vocabulary.txt --readout last --out runs/torch")]
pub struct Args {
    /// File of the network
    file: PathBuf,
    /// Its words, one a line in their byte order, if its metadata does not hold them
    #[arg(long)]
    vocabulary: Option<PathBuf>,
    /// What the head sees, if its metadata does not say it
    #[arg(long, value_enum)]
    readout: Option<Pooling>,
    /// Labelled texts that it was trained on: a folder, or .tsv, .csv, .jsonl, each also .gz
    #[arg(long)]
    data: Option<PathBuf>,
    /// Validation part: a path, or the share of the data to set apart
    #[arg(long, default_value = "0.1", requires = "data")]
    valid: ValidArg,
    /// Folder of the run
    #[arg(long)]
    out: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    run: &'a str,
    layout: &'static str,
    words: usize,
    embedding: usize,
    units: usize,
    layers: usize,
    readout: Pooling,
    weights: usize,
    /// Null without data.
    valid_accuracy: Option<f64>,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the file, the vocabulary, the data or the folder cannot be used. Then the folder is as it was before.
pub fn run(args: Args) -> Result<()> {
    let folder = RunFolder::new(&args.out);
    folder.refuse_run()?;
    let bytes = read_file(&args.file)?;
    let vocabulary = args.vocabulary.as_deref().map(read_words).transpose()?;
    let received = from_bytes(&bytes, args.file.display(), &Given { vocabulary, readout: args.readout })?;
    let (network, vocabulary) = (received.network, received.vocabulary);
    let chain = network.config().chain.clone();
    let (units, layers) = (chain.cells().next().map_or(0, |cell| cell.units), chain.cells().count());
    let (embedding, readout) = (chain.embedding, chain.pooling().unwrap_or_default());
    let mut config = RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        train: TrainConfig {
            model: ModelConfig {
                vocab: vocabulary.words().len(),
                chain,
                words: Words::Count,
                skip_unknown: vocabulary.rows() == vocabulary.words().len(),
                hashed: None,
                tiers: None,
                ngrams: NgramConfig::NONE,
            },
            ..default_config()
        },
        data: args.data.as_deref().map(absolute).unwrap_or_default(),
        data_sha256: String::new(),
        valid: args.valid.absolute(),
        imported: Some(Imported {
            file: absolute(&args.file),
            sha256: hex(&Sha256::digest(&bytes)),
            vocabulary_sha256: vocabulary.sha256(),
        }),
    };
    config.train.check(&format!("{}: ", args.file.display()))?;
    let (training, validation, valid_sha256) = load(&mut config)?;
    let (mut judged, mut warning) = (None, None);
    if !validation.is_empty() {
        let sequences = Sequences::read(&validation, &vocabulary, usize::MAX);
        let (loss, accuracy) = judge(&network, &sequences, Objective::CrossEntropy)?;
        if !loss.is_finite() {
            let problem = format!("the validation loss is {loss}");
            return Err(fault(args.file.display(), problem, "import a network whose training has not diverged").into());
        }
        judged = Some((loss, accuracy));
        warning = uselessness(&network, &sequences, Objective::CrossEntropy)?;
    }
    let (valid_loss, valid_accuracy) = judged.unwrap_or_default();
    let metrics = EpochMetrics {
        epoch: 0,
        train_loss: 0.0,
        train_accuracy: 0.0,
        valid_loss,
        valid_accuracy,
        gradient_norm: 0.0,
        learning_rate: 0.0,
        tokens: 0,
    };
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

    let accuracy = match judged {
        Some((loss, accuracy)) => format!("validation accuracy {:.2} %, loss {loss:.4}", 100.0 * accuracy),
        None => "not judged, as no data was given".to_owned(),
    };
    answer(
        args.json,
        format_args!(
            "{}, {weights} weights in the layout {}; {accuracy}; run in {}",
            config.train.model,
            received.layout.name(),
            folder.path().display(),
        ),
    )?;
    if !received.unread.is_empty() {
        let keys: Vec<String> = received.unread.iter().map(|key| format!("{key:?}")).collect();
        let (place, keys) = (args.file.display(), keys.join(", "));
        warn(format_args!(
            "{place}: metadata {keys}: not read; what Latch is to know stands in one object under the key \"latch\""
        ));
    }
    if let Some(warning) = warning {
        warn(format_args!("{warning}"));
    }
    if args.json {
        print_json(&Line {
            run: &folder.path().display().to_string(),
            layout: received.layout.name(),
            words: vocabulary.words().len(),
            embedding,
            units,
            layers,
            readout,
            weights,
            valid_accuracy: judged.map(|(_, accuracy)| accuracy),
        })?;
    }
    Ok(())
}
