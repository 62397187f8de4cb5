//! The trials of a small set: every candidate learns from the same parts of the training texts, and answers the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use latch_engine::image::encode::{Notes, encoded_bytes};
use latch_engine::image::header::Input;
use rayon::ThreadPoolBuilder;

use super::candidates::{Ahead, candidates, ngrams, of_samples};
use super::choice::{NOTHING, Trials, Tried, rows, smoothed_row};
use super::size::cut;
use super::{FEWEST, Open, fewest};
use super::{patience_of, schedule, schedule_of_series};
use crate::calibration::temperature;
use crate::config::{ClassWeights, ModelConfig, NgramConfig, RunConfig, Storage, TrainConfig};
use crate::dataset::{Dataset, Example, Label, Labels, Recording, Task};
use crate::error::exit_code;
use crate::learning::cross_fitted;
use crate::learning::diverged::Diverged;
use crate::learning::rehearsal::rehearse;
use crate::learning::sequences::{Read, Scale, Texts, class_counts, fit_ngrams, read};
use crate::learning::training::Job;
use crate::learning::verdict::Chosen;
use crate::metrics::scores::rarer;
use crate::metrics::{class_of, cross_entropy, determination_of, weight_of};
use crate::ngrams::{Answers, Fitted, rank};
use crate::quantizer::describe;
use crate::search::candidates::Sizer;
use crate::tokenization::Tokenization;
use crate::vocabulary::{self, Vocabulary};

/// In each division one of so many parts judges; there are as many divisions at most.
const MOST_DIVISIONS: usize = 5;

/// Fewest divisions: one alone may be a lucky one.
const FEWEST_DIVISIONS: usize = 2;

/// Fewer series than this are divided twice: one model more often wins by luck on a few.
const DIVIDED_TWICE: usize = 100;

/// Texts that judge, over all divisions: enough to see a difference of a point or two.
const JUDGES: usize = 1_000;

/// Most texts that are divided, and most tokens of them; what is better on so many is better on more.
pub const MOST_TEXTS: usize = 6_000;
const MOST_TOKENS: usize = 300_000;

/// Bytes of a word with the space behind it.
const BYTES_OF_A_WORD: usize = 6;

/// Texts that are learned from, and texts that judge.
struct Division {
    /// The seed of what learns from it.
    seed: u64,
    training: Vec<Example<Label>>,
    validation: Vec<Example<Label>>,
    /// The n-grams of the candidates, each fitted once.
    tables: Vec<(NgramConfig, Fitted)>,
}

/// How a model answered in a division.
struct Answered {
    losses: Vec<f64>,
    /// The label and the class of each answer; of values these and their labels.
    answers: Vec<(usize, usize)>,
    values: (Vec<f32>, Vec<f32>),
}

/// The candidates for some training texts, each cut so that its int8 image has 64 KiB, with the bytes of these; none for texts without a token. Tokens, task and classes of `run` are those of the
/// texts.
///
/// # Errors
/// An error of the engine when no image can hold a model.
pub fn sized(run: &RunConfig, training: &[Example<Label>]) -> Result<Vec<(ModelConfig, usize)>> {
    let RunConfig { train, classes, .. } = run;
    if train.model.samples.is_some() {
        let models = of_samples(train.task, train.model.chain.embedding, Ahead::of(run));
        return models.into_iter().map(|model| Ok((model.clone(), image_bytes(&model, train, classes)?))).collect();
    }
    let tokens = train.tokens();
    let tokenization = Tokenization::of_examples(tokens, training);
    let ranked = vocabulary::rank(&tokenization, train.model.words, training);
    if ranked.is_empty() {
        return Ok(Vec::new());
    }
    // Of how many there are, only the first count.
    let beside = ngrams(train.task, tokens, 1);
    let keys =
        if beside.count == 0 { Vec::new() } else { rank(&tokenization, training, Answers::of(train.task), &beside) };
    let sizer = Sizer::of_ranked(train, tokenization, &ranked, keys, training.len()).of_classes(classes);
    candidates(train.task, tokens).iter().map(|model| cut(&sizer, model)).collect()
}

/// Bytes of the int8 image of a model that reads samples.
fn image_bytes(model: &ModelConfig, train: &TrainConfig, classes: &[String]) -> Result<usize> {
    let (channels, samples) = (model.chain.embedding, model.samples.unwrap_or_default());
    let chain = describe::Chain::of(&model.chain, train.task.outputs(), 1, Storage::Int8);
    let description =
        chain.describe(Input::Samples(samples.shape(channels)), (0, channels), None, None, Storage::Int8)?;
    let notes = Notes { class_names: classes.to_vec(), ..Notes::default() };
    Ok(encoded_bytes(&description, &notes)?)
}

/// Tries the candidates on divisions of training texts; `done` is told how many trials are over, of how many. `None` where so many texts are the same that they cannot be divided. The same arguments give the same bits on any
/// number of threads.
///
/// # Errors
/// Those of training, but for weights that diverge: such a candidate is not taken.
pub fn try_all(
    run: &RunConfig,
    open: Open,
    models: &[(ModelConfig, usize)],
    training: &[Example<Label>],
    done: &mut dyn FnMut(usize, usize),
) -> Result<Option<Trials>> {
    let texts = training.len().min(MOST_TEXTS).min(texts_of_most_tokens(&run.train, training));
    let count = (JUDGES * MOST_DIVISIONS).div_ceil(texts.max(1)).clamp(FEWEST_DIVISIONS, MOST_DIVISIONS);
    let in_time = divides_in_time(run, training);
    let count = if run.series.is_some() && !in_time && texts < DIVIDED_TWICE { 2 * count } else { count };
    let data = Dataset::new("the training data", training.to_vec()).sample(run.train.seed, texts)?;
    let divide = |number| {
        if in_time { Ok(earlier(run.train.seed, training, number)) } else { divide(run, models, &data, number) }
    };
    let divisions = match (0..count).map(divide).collect::<Result<Vec<Division>>>() {
        // Too many of the texts that are left are the same.
        Err(error) if exit_code(&error) == 2 => return Ok(None),
        divisions => divisions?,
    };
    let learned = divisions.first().map_or(0, |division| division.training.len());
    let mut run = run.clone();
    // Integers and teachers come after the choice.
    (run.train.quantize, run.train.distill) = (None, None);
    let (epochs, patience) = match run.series {
        Some(_) => {
            let epochs = divisions.first().map_or(1, |division| schedule_of_series(&run.train, &division.training));
            (epochs, patience_of(epochs))
        }
        None => schedule(run.train.batch, learned, learned),
    };
    // Who is ahead shows before the end.
    run.train.epochs = if open.epochs { epochs.div_ceil(2) } else { run.train.epochs };
    run.train.patience = if open.patience { patience } else { run.train.patience };
    let tried = all_of(&run, models, &divisions, done)?;
    let mut trials = Trials {
        texts,
        divisions: count,
        training: learned,
        select: run.train.select,
        models: rows(&tried, run.train.select),
        smoothed: None,
    };
    if weighs(&run, training) {
        let taken = trials.taken();
        run.train.class_weights = ClassWeights::Smoothed;
        let smoothed = all_of(&run, &models[taken..=taken], &divisions, done)?;
        trials.smoothed = smoothed.first().map(|smoothed| smoothed_row(&tried[taken], smoothed));
    }
    Ok(Some(trials))
}

/// Whether it is open how much the classes count, and these differ so much in size that it may matter.
fn weighs(run: &RunConfig, training: &[Example<Label>]) -> bool {
    let RunConfig { train, .. } = run;
    let is_open = train.class_weights == ClassWeights::Auto && !train.task.has_values() && !train.task.each_step();
    is_open && ClassWeights::are_unequal(&class_counts(run, training))
}

/// What each model does in all divisions.
fn all_of(
    run: &RunConfig,
    models: &[(ModelConfig, usize)],
    divisions: &[Division],
    done: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Tried>> {
    let jobs = divisions.len() * models.len();
    let answered = on_all_cores(
        jobs,
        |job| {
            let answered = trial(run, &models[job % models.len()].0, &divisions[job / models.len()]);
            match answered {
                // Weights that diverge are the candidate's fault; any other error is that of the run.
                Err(error) if error.is::<Diverged>() => Ok(None),
                answered => answered.map(Some),
            }
        },
        &mut |over| done(over, jobs),
    )?;
    let tried = models.iter().enumerate().map(|(number, (model, bytes))| {
        let own: Option<Vec<&Answered>> =
            answered.iter().skip(number).step_by(models.len()).map(Option::as_ref).collect();
        let is_finite =
            |own: &Vec<&Answered>| own.iter().flat_map(|answered| &answered.losses).all(|loss| loss.is_finite());
        let own = own.filter(is_finite).unwrap_or_default();
        Tried {
            model: model.clone(),
            bytes: *bytes,
            losses: own.iter().flat_map(|answered| answered.losses.iter().copied()).collect(),
            answers: own.iter().flat_map(|answered| answered.answers.iter().copied()).collect(),
            accuracy: accuracy(&own, run.train.task),
        }
    });
    Ok(tried.collect())
}

/// Whether trials of a configuration divide all of these texts, and not only as many as are enough to see what is better.
pub fn tries_all(config: &TrainConfig, training: &[Example<Label>]) -> bool {
    training.len() <= MOST_TEXTS.min(texts_of_most_tokens(config, training))
}

/// About as many of these texts as have [`MOST_TOKENS`], at least as many as a division can have.
fn texts_of_most_tokens(config: &TrainConfig, training: &[Example<Label>]) -> usize {
    let size = if config.tokens().are_characters() { 1 } else { BYTES_OF_A_WORD };
    let tokens = |example: &Example<Label>| match &example.recording {
        Some(recording) => recording.frames.steps().max(1),
        None => (example.text.len() / size).clamp(1, config.max_tokens),
    };
    let all: usize = training.iter().map(tokens).sum();
    (training.len() as u64 * MOST_TOKENS as u64 / all.max(1) as u64).max(FEWEST as u64) as usize
}

/// Steps of a recording that are divided in time; what is better on so many is better on more.
const MOST_STEPS: usize = 20_000;

/// Fewest steps of a division in time, of all recordings together.
const FEWEST_STEPS: usize = 40;

/// Whether recordings with answers at their steps are too few to be divided, and long enough to be divided in time.
pub fn divides_in_time(run: &RunConfig, training: &[Example<Label>]) -> bool {
    let steps = || training.iter().filter_map(|example| Some(example.recording.as_ref()?.frames.steps()));
    run.train.task.each_step() && training.len() < fewest(run) && steps().sum::<usize>() >= FEWEST_STEPS
}

/// A division in time by its number: each recording's beginning is learned from, and the next tenth of its steps judges (a rolling origin, Tashman 2000). The past
/// is known when the future is asked for.
fn earlier(seed: u64, training: &[Example<Label>], number: usize) -> Division {
    let mut division = Division { seed, training: Vec::new(), validation: Vec::new(), tables: Vec::new() };
    for example in training {
        let Some(Recording { frames, first }) = example.recording.as_deref() else { continue };
        let from = frames.steps().saturating_sub(MOST_STEPS);
        let parts = 2 * MOST_DIVISIONS;
        let share = |part: usize| from + (frames.steps() - from) * part / parts;
        let (cut, end) = (share(MOST_DIVISIONS + number), share(MOST_DIVISIONS + number + 1));
        let labels = example.label.numbers();
        let piece = |begin: usize, end: usize| {
            let begin = begin.max(*first);
            let labels = labels.get(begin - first..end.saturating_sub(*first)).filter(|labels| !labels.is_empty())?;
            let recording = Recording { frames: frames.cut(from, end), first: begin - from };
            Some(Example::recorded(Label::Each(labels.to_vec()), example.text.clone(), recording))
        };
        division.training.extend(piece(from, cut));
        division.validation.extend(piece(cut, end));
    }
    division
}

/// A division by its number, with the n-grams of the models fitted to what is learned from. No text judges in two of five divisions, and equal texts stay together. The next five are others.
fn divide(run: &RunConfig, models: &[(ModelConfig, usize)], texts: &Dataset<Label>, number: usize) -> Result<Division> {
    let seed = run.train.seed.wrapping_add((number / MOST_DIVISIONS) as u64);
    let [training, validation] = texts.clone().fold(seed, number % MOST_DIVISIONS + 1, MOST_DIVISIONS)?;
    let (training, validation) = (training.examples, validation.examples);
    let mut division = Division { seed, training, validation, tables: Vec::new() };
    let tokenization = Tokenization::of_examples(run.train.tokens(), &division.training);
    for (model, _) in models {
        if division.tables.iter().all(|(config, _)| *config != model.ngrams) {
            let config = TrainConfig { model: model.clone(), distill: None, ..run.train.clone() };
            let fitted = fit_ngrams(&config, &tokenization, &division.training, None);
            division.tables.extend(fitted.map(|fitted| (model.ngrams, fitted)));
        }
    }
    Ok(division)
}

/// Trains a model on a part of a division and asks it for the other.
fn trial(run: &RunConfig, model: &ModelConfig, division: &Division) -> Result<Answered> {
    let Division { seed, training, validation, tables } = division;
    let train = TrainConfig { model: model.clone(), seed: *seed, ..run.train.clone() };
    let run = RunConfig { train, ..run.clone() };
    let (config, task) = (&run.train, run.train.task);
    // Models that learn what is left of a value have other scales; all are compared in that of the values.
    let common = Scale::of_labels(training);
    let vocabulary = Vocabulary::of_run(config, training);
    let ngrams = tables.iter().find(|(of, _)| *of == model.ngrams).map(|(_, fitted)| fitted);
    let Read { training, validation } = read(&run, &vocabulary, ngrams, Texts { training, validation })?;
    let job = Job { config, vocabulary: &vocabulary, training: &training, validation: &validation, folder: None };
    let best = rehearse(&job, NOTHING)?;
    let (logits, labels) = cross_fitted::answers(&best.network, &validation, config.objective())?;
    if task.has_values() {
        let labelled = logits.iter().zip(&labels).filter(|(_, label)| !label.is_nan());
        let in_common = |value: f32| match validation.scale {
            Some(scale) if run.series.is_some() => common.normalised(scale.restored(value)),
            _ => value,
        };
        let values: (Vec<f32>, Vec<f32>) =
            labelled.map(|(&value, &label)| (in_common(value), in_common(label))).unzip();
        let losses = values.0.iter().zip(&values.1).map(|(value, label)| f64::from(value - label).powi(2)).collect();
        return Ok(Answered { losses, answers: Vec::new(), values });
    }
    let outputs = task.outputs();
    let labelled = || logits.chunks_exact(outputs).zip(&labels).filter(|(_, label)| !label.is_nan());
    let known: Vec<f32> = labelled().map(|(_, &label)| label).collect();
    let plain: Vec<f32> = labelled().flat_map(|(logits, _)| logits).copied().collect();
    // As the image has them: no model is to lose for being too sure.
    let temperature = temperature(&plain, &known, outputs);
    let scaled: Vec<f32> = plain.iter().map(|&logit| (f64::from(logit) / temperature) as f32).collect();
    // At the threshold of the image, where one is chosen.
    let threshold = Chosen::of(config, rarer(&known), &plain, &known).map_or(0.0, |threshold| threshold.logit);
    let answer = |(logits, &label): (&[f32], &f32)| {
        let logits: Vec<f32> = logits.iter().map(|logit| logit - threshold).collect();
        (label as usize, class_of(&logits))
    };
    let each = || scaled.chunks_exact(outputs).zip(&known);
    let loss = |(logits, &label): (&[f32], &f32)| weight_of(&validation.weights, label) * cross_entropy(logits, label);
    Ok(Answered {
        losses: each().map(loss).collect(),
        answers: plain.chunks_exact(outputs).zip(&known).map(answer).collect(),
        values: (Vec::new(), Vec::new()),
    })
}

/// The accuracy of the answers in all divisions; of values R².
fn accuracy(answered: &[&Answered], task: Task) -> f64 {
    if task.has_values() {
        let all =
            |part: fn(&Answered) -> &Vec<f32>| answered.iter().flat_map(|each| part(each).clone()).collect::<Vec<_>>();
        return determination_of(&all(|each| &each.values.0), &all(|each| &each.values.1));
    }
    let answers = || answered.iter().flat_map(|each| &each.answers);
    answers().filter(|(label, answer)| label == answer).count() as f64 / answers().count().max(1) as f64
}

/// Does jobs, each on one thread, as many at a time as there are threads: small trainings gain nothing from several. `done` is told how many are over.
fn on_all_cores<T: Send>(
    jobs: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
    done: &mut dyn FnMut(usize),
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(jobs) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                let pool = ThreadPoolBuilder::new().num_threads(1).build();
                while let Some(job) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&job| job < jobs) {
                    let result = match &pool {
                        Ok(pool) => pool.install(|| work(job)),
                        Err(_) => work(job),
                    };
                    if sender.send((job, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut results: Vec<Option<Result<T>>> = (0..jobs).map(|_| None).collect();
        for (over, (job, result)) in receiver.iter().enumerate() {
            results[job] = Some(result);
            done(over + 1);
        }
        results.into_iter().map(|result| result.context("a trial has ended without a result")?).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Valid, default_config};
    use latch_data::series::Frames;

    #[test]
    fn a_division_in_time_learns_from_the_past_and_judges_what_follows_once() {
        let frames = Frames::new((0..200).map(|value| value as f32).collect(), 2);
        let labels = (4..100).map(|step| step as f32).collect();
        let recording = Recording { frames, first: 4 };
        let training = [Example::recorded(Label::Each(labels), "a", recording)];
        let mut judged = Vec::new();
        for number in 0..MOST_DIVISIONS {
            let Division { training, validation, .. } = earlier(1, &training, number);
            let learned = training[0].label.numbers().into_owned();
            let answers = validation[0].label.numbers().into_owned();
            assert_eq!(learned, (4..50 + 10 * number).map(|step| step as f32).collect::<Vec<_>>());
            let Recording { frames, first } = &**validation[0].recording.as_ref().expect("a recording");
            assert_eq!((*first, frames.steps()), (50 + 10 * number, 60 + 10 * number), "the past is known");
            assert_eq!(frames[2 * first], 2.0 * answers[0]);
            judged.extend(answers);
        }
        assert_eq!(judged, (50..100).map(|step| step as f32).collect::<Vec<_>>());
    }

    /// What is said of a model that is tried on a hundred texts of two classes.
    fn tried(change: impl Fn(&mut TrainConfig)) -> Result<Option<Trials>> {
        let training: Vec<Example<Label>> = (0..100)
            .map(|number| Example::new(Label::Class(number % 2), format!("text {number} of {}", number % 2)))
            .collect();
        let model = "text 50 > embedding 4 > gru 4 > last > dense".parse::<ModelConfig>().expect("a model");
        let mut train = TrainConfig { task: Task::Classify(2), epochs: 1, ..default_config() };
        change(&mut train);
        let run = RunConfig {
            latch: String::new(),
            train,
            data: Default::default(),
            data_sha256: String::new(),
            columns: Default::default(),
            classes: vec!["a".into(), "b".into()],
            valid: Valid::Fraction(0.1),
            series: None,
            imported: None,
        };
        try_all(&run, Open::default(), &[(model, 1_000)], &training, &mut |_, _| {})
    }

    #[test]
    fn a_model_whose_weights_diverge_is_not_taken_and_any_other_fault_ends_the_trials() {
        let diverged = tried(|train| train.learning_rate = 1e30).expect("a trial").expect("a table");
        assert_eq!((diverged.models.len(), diverged.models[0].loss), (1, None));
        let sound = tried(|_| {}).expect("a trial").expect("a table");
        assert!(sound.models[0].loss.is_some());
        let error = tried(|train| train.epochs = 0).expect_err("there is no epoch");
        assert!(error.to_string().contains("the run has no epoch") && exit_code(&error) == 2, "{error}");
    }

    #[test]
    fn jobs_come_back_in_their_order_and_the_first_error_counts() {
        let mut seen = 0;
        let done = on_all_cores(20, |job| Ok(job * job), &mut |over| seen = over).expect("all are done");
        assert_eq!((done.len(), done[7], seen), (20, 49, 20));
        let failed = on_all_cores(5, |job| if job == 3 { anyhow::bail!("{job}") } else { Ok(job) }, &mut |_| {});
        assert_eq!(failed.expect_err("one fails").to_string(), "3");
        assert!(on_all_cores(0, Ok, &mut |_| {}).expect("nothing to do").is_empty());
    }
}
