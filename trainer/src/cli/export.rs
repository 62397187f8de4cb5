//! `latch export`: from a run folder to one image, or to a file for another framework.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::error::Error;
use latch_engine::image::manifest::Precision;
use latch_engine::model::Model;
use rayon::prelude::*;
use serde::Serialize;

use super::train::Beginning;
use super::{answer, print_json, say};
use crate::dataset::{Dataset, Example, Part};
use crate::error::fault;
use crate::evaluate::{Evaluation, evaluate, image_fault};
use crate::exchange::{Layout, to_bytes};
use crate::files::write_atomically;
use crate::folding::{Folded, fold_to, parse_bytes};
use crate::network::Network;
use crate::ngrams::Fitted;
use crate::quantizer::aware::Integers;
use crate::quantizer::{Origin, Storage, Weights, saturation, to_image};
use crate::report::table;
use crate::run::{Best, BestQuantized, RunConfig, RunFolder, weights};
use crate::training::{Sequences, fused};
use crate::vocabulary::Vocabulary;

/// Write a run's best network as an image, or as safetensors for PyTorch or Keras.
///
/// An image is of a network that learned with integers, if the run has such for the precision asked for.
///
/// For an image, prints what each precision would give on the validation part, through the engine, and where the bytes of the image lie.
/// A safetensors file holds the weights in f32 and the vocabulary; docs/frameworks.md has the names of its tensors.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch export --run runs/imdb --precision int8 --out imdb.latch\n  \
                  latch export --run runs/imdb --fold-to 512KiB --out imdb-folded.latch\n  \
                  latch export --run runs/imdb --format safetensors --layout pytorch --out net.safetensors")]
pub struct Args {
    /// Folder of a run
    #[arg(long)]
    run: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value = "image")]
    format: Format,
    /// Precision of the image [default: int8]
    #[arg(long, value_enum)]
    precision: Option<Storage>,
    /// Names and shapes of the tensors of safetensors [default: pytorch]
    #[arg(long, value_enum)]
    layout: Option<Layout>,
    /// File of the image or of the tensors
    #[arg(long)]
    out: PathBuf,
    /// Fold the embedding into the first layer: for as many of the most frequent ids as fit, their part of the first layer's gates stands ready
    /// in the image. At most so many bytes for the whole image: 262144, 256KiB or 1MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    fold_to: Option<usize>,
    /// Labelled texts to report on, in place of the run's validation part
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What the engine runs
    Image,
    /// What PyTorch and Keras read
    Safetensors,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    precision: &'static str,
    image_bytes: usize,
    state_bytes: usize,
    accuracy: f64,
    agreement: f64,
    /// The network learned with the integers of this precision.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quantization_aware: bool,
    /// Ids with ready gates, where the embedding is folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded: Option<usize>,
    /// The part of the training examples' tokens that are folded ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded_share: Option<f64>,
}

#[derive(Serialize)]
struct TensorsLine<'a> {
    path: &'a str,
    layout: &'static str,
    weights: usize,
    words: usize,
    bytes: usize,
}

/// An image at one precision, and what it gives on some texts.
pub(crate) struct Candidate {
    pub(crate) storage: Storage,
    /// The network learned with the integers of this storage.
    pub(crate) aware: bool,
    /// The embedding is folded.
    pub(crate) folded: bool,
    pub(crate) bytes: AlignedBytes,
    pub(crate) state_bytes: usize,
    pub(crate) evaluation: Evaluation,
}

/// The weights of a run's network, calibrated on its training examples, and fused with the run's n-grams on its validation part by the logits of `judged`,
/// the network itself or what it becomes.
pub(crate) fn calibrated(
    network: &Network<f32>,
    judged: &Network<f32>,
    vocabulary: &Vocabulary,
    ngrams: Option<Fitted>,
    training: &[Example],
    validation: &[Example],
) -> Result<Weights> {
    let ids: Vec<Vec<u32>> = training.par_iter().map(|example| vocabulary.ids(&example.text)).collect();
    let mut weights = weights(network).calibrated(ids.iter().map(Vec::as_slice));
    if let Some(Fitted { mut table, .. }) = ngrams {
        let validation =
            Sequences::read(validation, vocabulary, usize::MAX).beside(validation, vocabulary.units, &table);
        if let (_, Some(fusion)) = fused(judged, &validation)? {
            weights.head.iter_mut().chain(&mut weights.head_bias).for_each(|weight| *weight *= fusion.network);
            weights.head_bias.iter_mut().for_each(|bias| *bias += fusion.bias);
            table.weights.iter_mut().for_each(|weight| *weight *= fusion.ngrams);
            table.bias *= fusion.ngrams;
        }
        weights.ngrams = Some(table);
    }
    Ok(weights)
}

/// A network at each of some precisions, judged through the engine.
pub(crate) fn candidates(
    weights: &Weights,
    vocabulary: &Vocabulary,
    origin: &Origin,
    examples: &[Example],
    storages: &[Storage],
) -> Result<Vec<Candidate>> {
    storages.iter().map(|&storage| candidate(weights, vocabulary, storage, origin, examples)).collect()
}

fn candidate(
    weights: &Weights,
    vocabulary: &Vocabulary,
    storage: Storage,
    origin: &Origin,
    examples: &[Example],
) -> Result<Candidate> {
    let bytes =
        to_image(weights, vocabulary, storage, origin).map_err(|error| match error.downcast_ref::<Error>() {
            Some(&refused) => image_fault(format_args!("the {} image", storage.name()), refused).into(),
            None => error,
        })?;
    judged(bytes, storage, examples)
}

/// An image, judged through the engine.
fn judged(bytes: AlignedBytes, storage: Storage, examples: &[Example]) -> Result<Candidate> {
    let (folded, state_bytes, evaluation) = {
        let image = Image::open(&bytes)?;
        let model = Model::new(&image);
        (model.shape().folded, model.state_bytes(), evaluate(&model, examples)?)
    };
    Ok(Candidate { storage, aware: false, folded, bytes, state_bytes, evaluation })
}

/// Where the network of a run comes from, for the image.
pub(crate) fn origin(config: &RunConfig, best: &Best, examples: usize) -> Result<Origin> {
    let mut data_sha256 = [0; 32];
    for (byte, digits) in data_sha256.iter_mut().zip(config.data_sha256.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits)?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(Origin {
        seed: config.train.seed,
        data_sha256,
        examples: examples as u32,
        epochs: best.metrics.epoch as u32,
        valid_accuracy: best.metrics.valid_accuracy as f32,
    })
}

/// Runs the verb.
///
/// # Errors
/// A fault when the run, its data or the output cannot be used.
pub fn run(args: Args) -> Result<()> {
    let folder = RunFolder::new(&args.run);
    let began = Beginning::read(&folder)?;
    let best = folder.best()?;
    began.check_network(&folder, "best.network", &best.network)?;
    let quantized = folder.quantized()?;
    if let Some(quantized) = &quantized {
        began.check_network(&folder, "quantized.network", &quantized.best.network)?;
    }
    let Beginning { config, vocabulary, ngrams, training, validation } = began;
    if args.format == Format::Safetensors {
        if ngrams.is_some() {
            let problem = "the run has n-grams, which no other framework knows, and the network was fused with them";
            return Err(fault(args.run.display(), problem, "train a run without n-grams to exchange").into());
        }
        return write_tensors(&args, &best, &vocabulary);
    }
    if args.layout.is_some() {
        return Err(
            fault("--layout", "an image has no layout to choose", "add --format safetensors, or leave it out").into()
        );
    }
    if config.data.as_os_str().is_empty() && args.data.is_none() {
        let problem = "its network was imported without data, so that there is no text to judge the image by";
        return Err(fault(args.run.display(), problem, "add --data, labelled texts to report on").into());
    }
    let mut weights = calibrated(&best.network, &best.network, &vocabulary, ngrams.clone(), &training, &validation)?;
    let aware = match quantized {
        Some(BestQuantized { best, storage, embedding_scales }) => {
            let judged = Integers::new(&best.network, storage, embedding_scales.clone())?.real;
            let weights = calibrated(&best.network, &judged, &vocabulary, ngrams, &training, &validation)?;
            Some((Weights { embedding_scales, ..weights }, storage, origin(&config, &best, training.len())?))
        }
        None => None,
    };
    let (reported, part) = match &args.data {
        Some(path) => (Dataset::load_part(path, Part::Test)?.examples, path.display().to_string()),
        None => (validation, "the run's validation part".to_owned()),
    };
    let best_origin = origin(&config, &best, training.len())?;
    let storage = args.precision.unwrap_or(Storage::Int8);
    let mut candidates = Vec::new();
    for each in Storage::ALL {
        match candidate(&weights, &vocabulary, each, &best_origin, &reported) {
            Ok(candidate) => candidates.push(candidate),
            // A precision that was not asked for is only missed in the table.
            Err(error) if each != storage && each != Storage::F32 => {
                say(args.json, format_args!("no {} in this table: {error:#}", each.name()));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((aware, learned, origin)) = aware {
        let candidate = candidate(&aware, &vocabulary, learned, &origin, &reported)?;
        candidates.push(Candidate { aware: true, ..candidate });
        if learned == storage {
            weights = aware;
        }
    }
    let Some(unfolded) = candidates.iter().rposition(|candidate| candidate.storage == storage) else {
        anyhow::bail!("no image of precision {}", storage.name());
    };
    let folded = match args.fold_to {
        Some(budget) => Some(fold_to(&Image::open(&candidates[unfolded].bytes)?, &weights, budget)?),
        None => None,
    };
    if let Some(folded) = &folded {
        let aware = candidates[unfolded].aware;
        candidates.push(Candidate { aware, ..judged(folded.bytes.clone(), storage, &reported)? });
    }
    let chosen = if folded.is_some() { &candidates[candidates.len() - 1] } else { &candidates[unfolded] };
    write_atomically(&args.out, |out| Ok(out.write_all(&chosen.bytes)?))?;

    answer(
        args.json,
        format_args!("{} texts of {part}, through the engine:\n\n{}", reported.len(), precision_table(&candidates)),
    )?;
    let image = Image::open(&candidates[unfolded].bytes)?;
    if storage.precision() == Precision::Int8 && !training.is_empty() {
        let calibration: Vec<Vec<u32>> =
            training.iter().take(CALIBRATION_TEXTS).map(|example| vocabulary.ids(&example.text)).collect();
        let counts = saturation::count(&image, &calibration);
        answer(
            args.json,
            format_args!(
                "saturated on {} training texts: gates {}, cells {}, hidden states {}; embedding weights {}\n",
                calibration.len(),
                counts.gates,
                counts.cells,
                counts.hidden,
                counts.embedding
            ),
        )?;
    }
    if let Some(folded) = &folded {
        answer(args.json, format_args!("{}", folding(folded, args.fold_to, chosen, &candidates[unfolded])))?;
    }
    answer(args.json, format_args!("{}", super::inspect::sections_table(&Image::open(&chosen.bytes)?)))?;
    answer(args.json, format_args!("wrote {} ({}, {} bytes)", args.out.display(), storage.name(), chosen.bytes.len()))?;
    if args.json {
        print_json(&Line {
            path: &args.out.display().to_string(),
            precision: storage.name(),
            quantization_aware: chosen.aware,
            image_bytes: chosen.bytes.len(),
            state_bytes: chosen.state_bytes,
            accuracy: chosen.evaluation.accuracy,
            agreement: chosen.evaluation.agreement(&candidates[0].evaluation),
            folded: folded.as_ref().map(|folded| folded.ids),
            folded_share: folded.and_then(|folded| folded.share),
        })?;
    }
    Ok(())
}

/// Writes the network as it was trained, in f32, with its vocabulary.
fn write_tensors(args: &Args, best: &Best, vocabulary: &Vocabulary) -> Result<()> {
    for (option, given) in [
        ("--precision", args.precision.is_some()),
        ("--fold-to", args.fold_to.is_some()),
        ("--data", args.data.is_some()),
    ] {
        if given {
            return Err(fault(option, "it is for images, and safetensors hold f32", "leave it out").into());
        }
    }
    let layout = args.layout.unwrap_or(Layout::PyTorch);
    let bytes = to_bytes(&best.network, vocabulary, layout)?;
    write_atomically(&args.out, |out| Ok(out.write_all(&bytes)?))?;
    let weights = best.network.weights();
    answer(
        args.json,
        format_args!(
            "wrote {} (safetensors in the layout {}, {weights} weights, {} words, {} bytes)",
            args.out.display(),
            layout.name(),
            vocabulary.words().len(),
            bytes.len()
        ),
    )?;
    if args.json {
        print_json(&TensorsLine {
            path: &args.out.display().to_string(),
            layout: layout.name(),
            weights,
            words: vocabulary.words().len(),
            bytes: bytes.len(),
        })?;
    }
    Ok(())
}

/// What folding did, in words.
fn folding(folded: &Folded, budget: Option<usize>, chosen: &Candidate, unfolded: &Candidate) -> String {
    let share = folded.share.map_or(String::new(), |share| format!(", {:.2} % of the training tokens", 100.0 * share));
    let same =
        chosen.evaluation.logits.iter().zip(&unfolded.evaluation.logits).filter(|(a, b)| a.to_bits() == b.to_bits());
    format!(
        "folded the {} most frequent ids{share}: {} bytes of a budget of {}; {} of {} logits are the bits of the unfolded image\n",
        folded.ids,
        folded.bytes.len(),
        budget.unwrap_or(folded.bytes.len()),
        same.count(),
        chosen.evaluation.n
    )
}

/// Training texts on which saturation is counted.
const CALIBRATION_TEXTS: usize = 256;

/// Precision against accuracy, agreement with f32, image bytes, RAM and time.
pub(crate) fn precision_table(candidates: &[Candidate]) -> String {
    let heading =
        ["precision", "accuracy", "agrees with f32", "image bytes", "RAM bytes a stream", "host ns per token"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for candidate in candidates {
        let evaluation = &candidate.evaluation;
        rows.push(vec![
            format!(
                "{}{}{}",
                candidate.storage.name(),
                if candidate.aware { ", trained" } else { "" },
                if candidate.folded { ", folded" } else { "" }
            ),
            format!("{:.2} %", 100.0 * evaluation.accuracy),
            format!("{:.2} %", 100.0 * evaluation.agreement(&candidates[0].evaluation)),
            candidate.bytes.len().to_string(),
            candidate.state_bytes.to_string(),
            format!("{:.0}", evaluation.ns_per_token),
        ]);
    }
    table(&rows)
}
