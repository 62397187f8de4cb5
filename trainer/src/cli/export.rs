//! `latch export`: from a run folder to one image, or to a file for another framework.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use latch_engine::Precision;
use latch_engine::image::Image;
use latch_engine::image::header::{Answer, AnswerKind, Early};
use serde::Serialize;

use super::args::{parse_bytes, parse_share};
use super::output::{answer, print_json, say};
use crate::config::Storage;
use crate::dataset::{Dataset, Part};
use crate::early::EarlyReport;
use crate::error::fault;
use crate::exchange::{Layout, to_bytes};
use crate::export::{Calibration, Candidate, answer_early, calibrated, candidate, fits_integers, judged, origin};
use crate::files::write_atomically;
use crate::folding::{Folded, fold_to};
use crate::learning::sequences::Scale;
use crate::metrics::BINS;
use crate::network::integers::Integers;
use crate::quantizer::{Weights, saturation};
use crate::report::table;
use crate::runs::checkpoint::{Best, BestQuantized};
use crate::runs::folder::RunFolder;
use crate::runs::opened::Opened;
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
                  latch export --run runs/imdb --early-error 0.5% --out imdb-early.latch\n  \
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
    /// Leave the probabilities as they were learned. Else the head is scaled so that they fit the validation part (temperature scaling)
    #[arg(long)]
    no_calibrate: bool,
    /// Let a stream stop as soon as its verdict is certain: thresholds by which at most this share of the validation texts turns from right to
    /// wrong, as 0.5% or 0.005
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    early_error: Option<f64>,
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
    /// By which the logits were divided, where they were calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// What an early answer saves on the validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    early: Option<EarlyReport>,
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

/// Runs the verb.
///
/// # Errors
/// A fault when the run, its data or the output cannot be used.
pub fn run(args: Args) -> Result<()> {
    let folder = RunFolder::new(&args.run);
    let began = Opened::read(&folder)?;
    let best = folder.best()?;
    began.check_network(&folder, "best.network", &best.network)?;
    let quantized = folder.quantized()?;
    if let Some(quantized) = &quantized {
        began.check_network(&folder, "quantized.network", &quantized.best.network)?;
    }
    let Opened { config, vocabulary, ngrams, training, validation, .. } = began;
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
    let task = config.train.task;
    let kind = if task.has_values() { AnswerKind::Values } else { AnswerKind::Classes };
    let answer_of = Answer { kind, each_step: task.each_step() };
    if args.early_error.is_some() && (answer_of != Answer::default() || task.outputs() > 1) {
        return Err(fault(
            "--early-error",
            "only a verdict of two classes on a whole text can be given early",
            "leave it out for this run",
        )
        .into());
    }
    if args.early_error.is_some() && validation.is_empty() {
        let problem = "the run has no validation part to choose thresholds on";
        return Err(fault("--early-error", problem, "train on labelled texts, or leave it out").into());
    }
    let mut weights = calibrated(&best.network, &best.network, &vocabulary, ngrams.clone(), &training, &validation)?;
    weights.tiers = config.train.model.tiers;
    let mut aware = match quantized {
        Some(BestQuantized { best, storage, embedding_scales }) => {
            let judged = Integers::new(&best.network, storage, embedding_scales.clone())?.real;
            let weights = calibrated(&best.network, &judged, &vocabulary, ngrams, &training, &validation)?;
            Some((Weights { embedding_scales, ..weights }, storage, origin(&config, &best, training.len())?))
        }
        None => None,
    };
    let (reported, part) = match &args.data {
        Some(path) => (&Dataset::load_for(path, Part::Test, task)?.examples, path.display().to_string()),
        None => (&validation, "the run's validation part".to_owned()),
    };
    let best_origin = origin(&config, &best, training.len())?;
    let storage = args.precision.unwrap_or(Storage::Int8);
    let mut found = Findings { answers: "validation part", ..Findings::default() };
    if task.has_values() {
        let scale = Scale::of(&training);
        weights = weights.in_the_unit_of(scale);
        aware = aware.map(|(aware, storage, origin)| (aware.in_the_unit_of(scale), storage, origin));
    } else if !args.no_calibrate && !validation.is_empty() {
        let plain = candidate(&weights, &vocabulary, Storage::F32, &best_origin, answer_of, &validation)?;
        let calibration = Calibration::of(&plain.evaluation);
        weights = weights.at_temperature(calibration.temperature);
        // The weights that learned with integers are those of the same network some epochs later: its temperature is theirs.
        aware = aware.map(|(aware, storage, origin)| (aware.at_temperature(calibration.temperature), storage, origin));
        found.calibration = Some(calibration);
    }
    let mut candidates = Vec::new();
    for each in Storage::ALL {
        let made = fits_integers(&weights, each, task)
            .and_then(|()| candidate(&weights, &vocabulary, each, &best_origin, answer_of, reported));
        match made {
            Ok(candidate) => candidates.push(candidate),
            // A precision that was not asked for is only missed in the table.
            Err(error) if each != storage && each != Storage::F32 => {
                say(args.json, format_args!("no {} in this table: {error:#}", each.name()));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((aware, learned, origin)) = aware {
        fits_integers(&aware, learned, task)?;
        let candidate = candidate(&aware, &vocabulary, learned, &origin, answer_of, reported)?;
        candidates.push(Candidate { aware: true, ..candidate });
        if learned == storage {
            weights = aware;
        }
    }
    let Some(unfolded) = candidates.iter().rposition(|candidate| candidate.storage == storage) else {
        anyhow::bail!("no image of precision {}", storage.name());
    };
    if let Some(allowed) = args.early_error {
        let (bytes, steps, report) = answer_early(&candidates[unfolded].bytes, &validation, allowed)?;
        candidates[unfolded].bytes = bytes;
        found.early = Some(EarlyAnswers { allowed, report, thresholds: steps });
    }
    let folded = match args.fold_to {
        Some(budget) => Some(fold_to(&Image::open(&candidates[unfolded].bytes)?, &weights, budget)?),
        None => None,
    };
    if let Some(folded) = &folded {
        let aware = candidates[unfolded].aware;
        candidates.push(Candidate { aware, ..judged(folded.bytes.clone(), storage, reported)? });
    }
    let chosen = if folded.is_some() { &candidates[candidates.len() - 1] } else { &candidates[unfolded] };
    write_atomically(&args.out, |out| Ok(out.write_all(&chosen.bytes)?))?;
    if found.calibration.is_some() || found.early.is_some() {
        // The image is what was asked for; a run that cannot be written to is no reason to do without it.
        if let Err(error) = folder.write_calibration(&found) {
            say(args.json, format_args!("calibration.json is not kept in the run: {error:#}"));
        }
    }

    answer(
        args.json,
        format_args!("{} texts of {part}, through the engine:\n\n{}", reported.len(), precision_table(&candidates)),
    )?;
    if let Some(text) = found.words() {
        answer(args.json, format_args!("{text}"))?;
    }
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
            temperature: found.calibration.map(|calibration| calibration.temperature),
            early: found.early.as_ref().map(|early| early.report),
            folded: folded.as_ref().map(|folded| folded.ids),
            folded_share: folded.and_then(|folded| folded.share),
        })?;
    }
    Ok(())
}

/// What an export finds out about the answers: `calibration.json` in the run's folder.
#[derive(Default, Serialize)]
struct Findings {
    /// On which examples.
    answers: &'static str,
    calibration: Option<Calibration>,
    early: Option<EarlyAnswers>,
}

/// The thresholds of an early answer, and what they do on the validation part.
#[derive(Serialize)]
struct EarlyAnswers {
    allowed: f64,
    report: EarlyReport,
    thresholds: Vec<Early>,
}

impl Findings {
    fn words(&self) -> Option<String> {
        let mut text = String::new();
        if let Some(found) = &self.calibration {
            text += &format!(
                "temperature {:.3}, fitted on the validation part and folded into the head: log loss {:.4} (before {:.4}), expected calibration \
                 error {:.2} % (before {:.2} %; {BINS} bins)\n",
                found.temperature,
                found.log_loss,
                found.log_loss_before,
                100.0 * found.calibration_error,
                100.0 * found.calibration_error_before
            );
        }
        if let Some(early) = &self.early {
            text += &format!("{}\n", early_words(&early.report, "of the validation part"));
            for Early { tokens, logit } in &early.thresholds {
                text += &format!("  from {tokens:>5} tokens on a logit of {:.3}\n", f64::from(*logit) / 65_536.0);
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// What early answers save and cost, in words.
pub(crate) fn early_words(report: &EarlyReport, of: &str) -> String {
    format!(
        "early answers: {} of {} texts {of} stop before their end, {:.1} % of the tokens saved; accuracy {:.2} %, to the end {:.2} %",
        report.stopped,
        report.texts,
        100.0 * report.saved(),
        100.0 * report.early_accuracy,
        100.0 * report.accuracy
    )
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
    let values = candidates.iter().any(|candidate| candidate.evaluation.errors.is_some());
    let (first, second) = if values { ("RMSE", "R² to f32") } else { ("accuracy", "agrees with f32") };
    let heading = ["precision", first, second, "image bytes", "RAM bytes a stream", "host ns per token"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for candidate in candidates {
        let evaluation = &candidate.evaluation;
        let agreement = evaluation.agreement(&candidates[0].evaluation);
        let (first, second) = match evaluation.errors {
            Some(errors) => (format!("{:.4}", errors.rmse), format!("{agreement:.6}")),
            None => (format!("{:.2} %", 100.0 * evaluation.accuracy), format!("{:.2} %", 100.0 * agreement)),
        };
        rows.push(vec![
            format!(
                "{}{}{}",
                candidate.storage.name(),
                if candidate.aware { ", trained" } else { "" },
                if candidate.folded { ", folded" } else { "" }
            ),
            first,
            second,
            candidate.bytes.len().to_string(),
            candidate.state_bytes.to_string(),
            format!("{:.0}", evaluation.ns_per_token),
        ]);
    }
    table(&rows)
}
