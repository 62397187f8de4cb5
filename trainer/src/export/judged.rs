//! Images judged through the engine: what `latch export` reports beside the image that it writes.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_data::series::Missing;
use latch_engine::Model;
use latch_engine::Precision;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::Answer;
use latch_engine::image::header::Early;
use latch_engine::with_answer;
use serde::Serialize;

use super::beyond::{Cut, cut};
use super::calibrated::{Given, Place, answered};
use super::layers::{self, LayerErrors};
use super::{Calibration, Export, Made, Source, Trained};
use crate::config::warm_up::WarmUp;
use crate::config::{RunConfig, Storage, TrainConfig};
use crate::dataset::{Columns, Dataset, Example, Label, Labels, Part, Reading, Task, numbered};
use crate::early::{self, EarlyReport};
use crate::error::{Fault, fault};
use crate::evaluate::{Evaluation, evaluate};
use crate::folding::{Folded, fold_to};
use crate::quantizer::saturation::{self, Saturation};
use crate::quantizer::{Clipped, clipped};
use crate::report::image::sections_table;
use crate::runs::opened::Opened;
use crate::runs::recordings::{load_for, no_missing_texts};

/// Training texts on which saturation is counted.
const SATURATION_TEXTS: usize = 256;

/// What is asked of an export.
pub struct Options {
    /// How the image is to store its weights.
    pub storage: Storage,
    /// Fold the embedding so that the image has at most so many bytes.
    pub fold_to: Option<usize>,
    /// Scale the head so that probabilities fit the validation part.
    pub calibrate: bool,
    /// Choose thresholds of an early answer that at most this share of the validation texts is harmed by.
    pub early_error: Option<f64>,
    /// Labelled texts to report on, in place of the validation part.
    pub data: Option<PathBuf>,
    /// Where labels and texts are in them; what is not said is as in the run's data.
    pub columns: Columns,
    /// What becomes of their missing values, where it is not what the run does with its own.
    pub missing: Option<Missing>,
    /// Examples that integers are calibrated on, in place of the training part; labels are not needed.
    pub calibrate_on: Option<PathBuf>,
    /// What every stream has read before its first step, in place of what the run says.
    pub warm_up: Option<WarmUp>,
}

/// An image, and what it gives on some texts.
pub struct Judged {
    /// The image.
    pub made: Made,
    /// Its embedding is folded.
    pub folded: bool,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// What the engine says of the texts.
    pub evaluation: Evaluation,
}

/// What came of an export.
pub struct Exported {
    /// One image for each precision that can hold the network, f32 first; then the one that learned with integers, then the folded one.
    pub images: Vec<Judged>,
    /// The place of the image before it was folded.
    pub unfolded: usize,
    /// The folding, where one was asked for.
    pub folded: Option<Folded>,
    /// Precisions that are missing, each with the reason.
    pub missing: Vec<(Storage, anyhow::Error)>,
    /// What was found out about the answers.
    pub findings: Findings,
    /// How often integers reach the end of their range, and on how many training texts; `None` for floats and without training texts.
    pub saturation: Option<(Saturation, usize)>,
    /// Rows of the embedding whose outliers the integers clip, each with its word.
    pub clipped: Vec<(String, Clipped)>,
    /// Layers whose initial states the integers of the image cut.
    pub cut: Vec<Cut>,
    /// Where the bytes of the image lie that was asked for: a table of its sections.
    pub layout: String,
    /// What the answers are.
    pub task: Task,
    /// What the images were judged on.
    pub part: String,
    /// What was filled of that, in words behind a comma.
    pub filled: String,
    /// The share of right answers, of values R², of the folds of a cross-validation to texts that they have not learned from.
    pub folds: Option<f64>,
    /// How many texts or series that has.
    pub texts: usize,
    /// Which of the two.
    pub thing: &'static str,
    /// What the network reads at a time.
    pub step: &'static str,
    /// What was taken for granted of what an imported model reads, in words.
    pub assumed: Option<String>,
    /// What the integers were calibrated on, where that was asked for, in words.
    pub calibrated: Option<String>,
    /// What the integers of the image do to each layer; `None` of floats, and without examples.
    pub layers: Option<LayerErrors>,
    /// A run can go on from this one with the integers of an image: of texts with classes, without n-grams and tiers.
    pub learns_integers: bool,
}

impl Exported {
    /// The image that was asked for.
    pub fn chosen(&self) -> &Judged {
        &self.images[if self.folded.is_some() { self.images.len() - 1 } else { self.unfolded }]
    }
}

/// What an export finds out about the answers: `calibration.json` in the run's folder.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// On which answers.
    pub answers: &'static str,
    /// The temperature.
    pub calibration: Option<Calibration>,
    /// The thresholds of an early answer.
    pub early: Option<EarlyAnswers>,
}

/// The thresholds of an early answer, and what they do on the validation part.
#[derive(Debug, Serialize)]
pub struct EarlyAnswers {
    /// The share of the texts that may be harmed.
    pub allowed: f64,
    /// What the thresholds do.
    pub report: EarlyReport,
    /// The thresholds.
    pub thresholds: Vec<Early>,
}

/// Makes the image of a run that is asked for, and judges it beside those of all other precisions.
///
/// # Errors
/// A fault when an option does not suit the run, when its data cannot be used, or when the image cannot hold the weights.
pub fn export(run: &Trained, options: &Options) -> Result<Exported> {
    check(run, options)?;
    let storage = options.storage;
    let given = given(run, options)?;
    let source = Source { warm_up: effective(run, options).and_then(WarmUp::prefix), ..given.source(run) };
    let task = source.config.train.task;
    let labelled = options.data.as_ref().map(|path| labelled(path, source.config, options)).transpose()?;
    // The labels of a probe are the model's own answers, to which no probability needs to be fitted.
    let export = Export::of(source, options.calibrate && run.opened.probe.is_none())?;
    let (mut made, missing) = all_precisions(&export, storage)?;
    let Reported { examples, part, filled } = reported(run, (&given, &made[0]), (options, labelled))?;
    let reported = &examples[..];
    let Some(unfolded) = made.iter().rposition(|made| made.storage == storage) else {
        anyhow::bail!("no image of precision {}", storage.name());
    };
    let early = match options.early_error {
        Some(allowed) => {
            let (bytes, early) = answer_early(&made[unfolded].bytes, &source, allowed)?;
            made[unfolded].bytes = bytes;
            Some(early)
        }
        None => None,
    };
    let layers = layer_errors(&export, (&made[unfolded], &source), (&given, reported, &part))?;
    let mut layout = String::new();
    let (mut images, mut saturation, mut folded) = (Vec::new(), None, None);
    for (place, made) in made.into_iter().enumerate() {
        let image = Image::open(&made.bytes)?;
        if place == unfolded {
            layout = sections_table(&image);
            saturation = saturated(&image, &source);
            folded = options.fold_to.map(|budget| fold_to(&image, export.weights(storage), budget)).transpose()?;
        }
        let judgement = judgement(&image, reported)?;
        images.push(judgement.of(made));
    }
    if let Some(Folded { bytes, .. }) = &folded {
        let image = Image::open(bytes)?;
        layout = sections_table(&image);
        let aware = images[unfolded].made.aware;
        images.push(judgement(&image, reported)?.of(Made { storage, aware, bytes: bytes.clone() }));
    }
    let answers = if source.held_out.is_some() { "answers of the folds" } else { "validation part" };
    let findings = Findings { answers, calibration: export.calibration(storage), early };
    let word =
        |id: u32| source.vocabulary.words().get(id as usize).map_or("(unknown words)", String::as_str).to_owned();
    let clipped = clipped(export.weights(storage), storage).into_iter().map(|row| (word(row.id), row)).collect();
    let (texts, thing) = (reported.len(), source.config.train.example());
    let chain = &source.config.train.model.chain;
    let folds = source.held_out.map(|_| export.valid_accuracy(storage));
    Ok(Exported {
        images,
        unfolded,
        folded,
        missing,
        findings,
        saturation,
        clipped,
        cut: if storage.precision().is_integer() { cut(export.weights(storage), chain) } else { Vec::new() },
        layout,
        task,
        part,
        filled,
        folds,
        texts,
        thing,
        step: source.config.train.step(),
        assumed: given.assumed(run),
        calibrated: given.words(run),
        layers,
        learns_integers: learns_integers(&source.config.train),
    })
}

/// Whether `latch train --resume-from` goes on from a run.
fn learns_integers(train: &TrainConfig) -> bool {
    let model = &train.model;
    model.samples.is_none() && !train.task.has_values() && model.ngrams.count == 0 && model.tiers.is_none()
}

/// What the options give in place of what the run has.
fn given(run: &Trained, options: &Options) -> Result<Given> {
    let Options { columns, missing, data, .. } = options;
    let place = options.calibrate_on.as_ref().map(|path| Place { path, columns, missing: *missing });
    Given::of(run, place.as_ref(), data.is_some())
}

/// Labelled examples that the options name, and what was filled of them, in words behind a comma.
type Named = (Vec<Example<Label>>, String);

/// What images are judged on.
struct Reported<'a> {
    examples: Cow<'a, [Example<Label>]>,
    part: String,
    /// What was filled, in words behind a comma.
    filled: String,
}

/// What images are judged on: what the options name and is `labelled`, else the run's own, else what is given, with the answers of the f32 image.
fn reported<'a>(
    run: &'a Trained,
    (given, float): (&Given, &Made),
    (options, labelled): (&Options, Option<Named>),
) -> Result<Reported<'a>> {
    let Opened { config, training, validation, probe, .. } = &run.opened;
    let own = |examples: &'a [Example<Label>], part: String| {
        Ok(Reported { examples: Cow::Borrowed(examples), part, filled: String::new() })
    };
    if let (Some(path), Some((examples, filled))) = (&options.data, labelled) {
        return Ok(Reported { examples: Cow::Owned(examples), part: path.display().to_string(), filled });
    }
    if run.held_out.is_some() {
        return own(training, "those that the run has learned from".to_owned());
    }
    if let Some(unlabelled) = given.judging(run) {
        let examples = Cow::Owned(answered(unlabelled, float, config.train.task)?);
        let part = format!("{}, with the answers of the f32 image as labels", unlabelled.of);
        return Ok(Reported { examples, part, filled: String::new() });
    }
    match probe {
        Some(probe) => own(validation, format!("{}, as its file describes them", probe.of)),
        None => own(validation, "the run's validation part".to_owned()),
    }
}

/// What the integers of an image do to each layer: on what it was calibrated on, else on the training part, else on what it is judged on.
fn layer_errors(
    export: &Export<'_>,
    (made, source): (&Made, &Source<'_>),
    (given, reported, part): (&Given, &[Example<Label>], &str),
) -> Result<Option<LayerErrors>> {
    let storage = made.storage;
    if !storage.precision().is_integer() {
        return Ok(None);
    }
    let (examples, of) = match &given.calibration {
        Some(calibration) => (&calibration.examples[..], calibration.of.as_str()),
        None if !source.training.is_empty() => (source.training, "the training part"),
        None => (reported, part),
    };
    let origin = layers::Origin { weights: export.weights(storage), vocabulary: source.vocabulary, storage };
    layers::compare([&export.twin(storage)?.bytes, &made.bytes], origin, examples, of)
}

/// What every stream has read before its first step: what is asked for, or what the run says.
fn effective<'a>(run: &'a Trained, options: &'a Options) -> Option<&'a WarmUp> {
    options.warm_up.as_ref().or(run.opened.config.train.warm_up.as_ref())
}

/// The labelled texts or series at a path, with the run's classes, read as its data is where the options say nothing else; and what was filled of
/// them, in words behind a comma.
fn labelled(path: &Path, config: &RunConfig, options: &Options) -> Result<Named> {
    let task = config.train.task;
    let numbers = numbered(task.classes() as usize);
    let classes = if config.classes.is_empty() { &numbers } else { &config.classes };
    if let Some(series) = &config.series {
        let channels = config.train.model.chain.embedding;
        let series = series.read_as(&options.columns, options.missing);
        let judging = load_for(path, Part::Test, (task, &series), classes, channels, Some(&config.data))?;
        let filled = judging.filled.map(|filled| format!(", {filled}"));
        return Ok((judging.examples, filled.unwrap_or_default()));
    }
    if options.missing.is_some() {
        return Err(no_missing_texts().into());
    }
    let columns = options.columns.clone().over(config.columns.clone());
    let reading = Reading::of(task).among(classes).within(columns);
    Ok((Dataset::load_for(path, Part::Test, &reading)?.examples, String::new()))
}

/// Checks that the options suit the run.
fn check(run: &Trained, options: &Options) -> Result<(), Fault> {
    let config = &run.opened.config;
    if options.fold_to.is_some() && config.series.is_some() {
        let problem = "it precomputes what a layer reads of words, and this run reads samples";
        return Err(fault("--fold-to", problem, "leave it out for this run"));
    }
    if let Some(warm_up) = effective(run, options) {
        TrainConfig { warm_up: Some(warm_up.clone()), ..config.train.clone() }.check("")?;
    }
    if options.early_error.is_none() {
        return Ok(());
    }
    let task = config.train.task;
    if config.series.is_some() {
        return Err(fault("--early-error", "series are read to their end", "leave it out for this run"));
    }
    if task.has_values() || task.each_step() || task.outputs() > 1 {
        let problem = "only a verdict of two classes on a whole text can be given early";
        return Err(fault("--early-error", problem, "leave it out for this run"));
    }
    if run.opened.validation.is_empty() {
        let problem = "the run has no validation part to choose thresholds on";
        return Err(fault("--early-error", problem, "train with --valid 0.1, or leave it out"));
    }
    Ok(())
}

/// Precisions without an image, each with the reason.
type Absent = Vec<(Storage, anyhow::Error)>;

/// The images of all precisions, the network's that learned with integers last. One that was not asked for may be missing.
fn all_precisions(export: &Export<'_>, asked: Storage) -> Result<(Vec<Made>, Absent)> {
    let (mut made, mut missing) = (Vec::new(), Vec::new());
    for storage in Storage::ALL {
        match export.float_image(storage) {
            Ok(image) => made.push(image),
            // A precision that was not asked for is only missed in the table.
            Err(error) if storage != asked && storage != Storage::F32 => missing.push((storage, error)),
            Err(error) => return Err(error),
        }
    }
    if let Some(storage) = export.learned_integers()
        && let Some(image) = export.aware_image(storage)
    {
        match image {
            Ok(image) => made.push(image),
            Err(error) if storage != asked => missing.push((storage, error)),
            Err(error) => return Err(error),
        }
    }
    Ok((made, missing))
}

/// What the engine says of an image.
struct Judgement {
    folded: bool,
    state_bytes: usize,
    evaluation: Evaluation,
}

impl Judgement {
    fn of(self, made: Made) -> Judged {
        let Judgement { folded, state_bytes, evaluation } = self;
        Judged { made, folded, state_bytes, evaluation }
    }
}

fn judgement<L: Labels>(image: &Image<'_>, examples: &[Example<L>]) -> Result<Judgement> {
    let model = Model::new(image);
    let (folded, state_bytes) = (image.description().embedding.projected > 0, model.state_bytes());
    Ok(Judgement { folded, state_bytes, evaluation: evaluate(&model, examples)? })
}

/// An image, judged through the engine.
///
/// # Errors
/// An error when the image does not open.
pub fn judge<L: Labels>(made: Made, examples: &[Example<L>]) -> Result<Judged> {
    let judgement = judgement(&Image::open(&made.bytes)?, examples)?;
    Ok(judgement.of(made))
}

/// How often the integers of an image reach the end of their range; `None` for floats and without training texts.
fn saturated(image: &Image<'_>, source: &Source<'_>) -> Option<(Saturation, usize)> {
    if image.description().precision != Precision::Int8
        || source.training.is_empty()
        || source.vocabulary.scaling.is_some()
    {
        return None;
    }
    let texts = source.training.iter().take(SATURATION_TEXTS);
    let ids: Vec<Vec<u32>> = texts.map(|example| source.vocabulary.ids(&example.text)).collect();
    Some((saturation::count(image, &ids), ids.len()))
}

/// Training texts that decide in what order the thresholds of an early answer are lowered.
const EARLY_TEXTS: usize = 4_000;

/// Chooses the thresholds of an early answer by what the image itself says after every token.
fn answer_early(bytes: &AlignedBytes, source: &Source<'_>, allowed: f64) -> Result<(AlignedBytes, EarlyAnswers)> {
    let image = Image::open(bytes)?;
    let model = Model::new(&image);
    let &Source { training, validation, .. } = source;
    let every = training.len().div_ceil(EARLY_TEXTS).max(1);
    let learning: Vec<Example<Label>> = training.iter().step_by(every).cloned().collect();
    let thresholds = early::choose(&early::trails(&model, &learning)?, &early::trails(&model, validation)?, allowed);
    let certain = with_answer(&image, Answer::default(), &thresholds)?;
    let report = early::report(&Model::new(&Image::open(&certain)?), validation)?;
    Ok((certain, EarlyAnswers { allowed, report, thresholds: thresholds.to_vec() }))
}
