//! How a run begins, and how it goes on after it was stopped.

use std::path::Path;

use anyhow::Result;
use latch_engine::input::text::Tokens;

use super::checkpoint::Checkpoint;
use super::folder::RunFolder;
use super::loaded::Loaded;
use super::opened::{Opened, load};
use super::summary::{self, Facts};
use super::writer::RunWriter;
use crate::config::{RunConfig, TrainConfig};
use crate::dataset::{Dataset, Example, Label, Part, Reading, has_part, memory_limit};
use crate::defaults::choice::Trials;
use crate::defaults::size::{cut, warning};
use crate::distillation::teach;
use crate::error::{Fault, fault};
use crate::learning::sequences::{Targets, Texts, class_weights, fit_ngrams, labels_as_learned, read_known};
use crate::learning::training::{Job, Outcome, Progress, answers, train};
use crate::learning::verdict::Verdict;
use crate::metrics::{determination_of, judge};
use crate::search::candidates::Sizer;
use crate::tokenization::{Tokenization, advice, resolve};
use crate::unknown::{UnknownByPart, UnknownTokens};
use crate::vocabulary::{Ranked, Vocabulary, rank_keeping};

/// Begins a run in a folder that has none, and trains it. The digest of the data and what a token is are filled in here: syllables or words as the
/// training texts have them where neither `tokens` nor the model says it.
///
/// # Errors
/// A fault when the folder already holds a run, or when the data or the folder cannot be used. If nothing was learned by then, the folder
/// is as it was before.
pub fn begin(
    mut config: RunConfig,
    tokens: Option<Tokens>,
    folder: &RunFolder,
    progress: &mut dyn Progress,
) -> Result<Outcome> {
    config.train.check("")?;
    folder.refuse_run()?;
    let read = &mut |done, all| progress.preparing("reading the data", done, all);
    let loaded = load(&mut config, read)?;
    begin_loaded(config, loaded, tokens, folder, None, progress)
}

/// What a run keeps whose model the data decides.
pub(super) struct Decided<'a> {
    /// The text of its `latch.toml`.
    pub(super) settings: &'a dyn Fn(&TrainConfig) -> String,
    /// Whether the model is still to be cut until its image has 64 KiB.
    pub(super) cuts: bool,
    /// What was tried, if anything was.
    pub(super) trials: Option<&'a Trials>,
}

/// As [`begin`], with data that has been read.
pub(super) fn begin_loaded(
    mut config: RunConfig,
    loaded: Loaded,
    tokens: Option<Tokens>,
    folder: &RunFolder,
    decided: Option<&Decided<'_>>,
    progress: &mut dyn Progress,
) -> Result<Outcome> {
    let Loaded { training, validation, valid_sha256, summary, notes, facts } = loaded;
    // What the number of classes decides.
    config.train.check("")?;
    // A class that is named and not there is said before anything is written.
    class_weights(&config, &training)?;
    if config.train.model.samples.is_some() {
        let vocabulary = Vocabulary::of_run(&config.train, &training);
        let settings = decided.map(|decided| (decided.settings)(&config.train));
        let folder = settings.map_or_else(|| folder.clone(), |settings| folder.clone().with_settings(settings));
        let said = [summary].into_iter().chain(notes).collect();
        let start =
            Start { config, vocabulary, targets: None, ids: None, training, validation, valid_sha256, facts, said };
        return start.run(&folder, decided, progress);
    }
    let tokens = resolve(tokens, &config.train.model, &training);
    config.train.model.tokens = tokens;
    let counted = &mut |done, all| progress.preparing("counting the words", done, all);
    let tokenization = Tokenization::of_examples(tokens, &training);
    let (ranked, interned) = rank_keeping(&tokenization, config.train.model.words, &training, counted);
    if decided.is_some_and(|decided| decided.cuts) && !ranked.is_empty() {
        cut_model(&mut config, &tokenization, &ranked, training.len(), progress)?;
    }
    let settings = decided.map(|decided| (decided.settings)(&config.train));
    let folder = settings.map_or_else(|| folder.clone(), |settings| folder.clone().with_settings(settings));
    let vocabulary = Vocabulary::of_ranked(&config.train, tokenization, &ranked);
    vocabulary.check(&config.data, "--model text")?;
    check_tiers(&config, &vocabulary)?;
    check_memory(&config, &vocabulary)?;
    let ids = interned.map(|texts| vocabulary.ids_of(texts));
    let (facts, of_test) = known(&config, facts, &ranked, &vocabulary, (&training, &validation));
    drop(ranked);
    let targets = teach(&config, &training, &validation)?;
    let things = if tokens == Tokens::Words { "words" } else { "tokens" };
    let said = [summary + &facts.words(things)].into_iter().chain(vocabulary.tokenization.summary(&training));
    let said = said.chain(notes).chain(of_test).chain(facts.unknown.words()).collect();
    let start = Start { config, vocabulary, targets, ids, training, validation, valid_sha256, facts, said };
    start.run(&folder, decided, progress)
}

/// A run of which everything is known before its folder is touched.
struct Start {
    config: RunConfig,
    vocabulary: Vocabulary,
    targets: Option<Targets>,
    /// The ids of the training texts, where they are known.
    ids: Option<Vec<Vec<u32>>>,
    training: Vec<Example<Label>>,
    validation: Vec<Example<Label>>,
    valid_sha256: Option<String>,
    facts: Facts,
    /// What a person may want to know, a line each.
    said: Vec<String>,
}

impl Start {
    /// Writes the beginning of the run and trains it.
    fn run(self, folder: &RunFolder, decided: Option<&Decided<'_>>, progress: &mut dyn Progress) -> Result<Outcome> {
        let Start { config, vocabulary, targets, ids, training, validation, valid_sha256, facts, said } = self;
        // Reading the data took time, in which another run may have begun.
        let writer = folder.claim()?;
        said.iter().for_each(|line| progress.note(line));
        if let Some(warning) = facts.unknown.warning() {
            progress.warn(&warning);
        }
        // Before the configuration, with which there is a run: resuming does without these numbers.
        let began = writer.write_facts(&facts).and_then(|()| writer.write_config(&config, valid_sha256));
        let outcome = began.and_then(|()| {
            writer.write_vocabulary(&vocabulary)?;
            writer.write_scaling(&vocabulary)?;
            if let Some(trials) = decided.and_then(|decided| decided.trials) {
                writer.write_trials(trials)?;
            }
            if let Some(targets) = &targets {
                writer.write_targets(targets)?;
            }
            let ngrams = fit_ngrams(&config.train, &vocabulary.tokenization, &training, targets.as_ref());
            if let Some(ngrams) = &ngrams {
                writer.write_ngrams(ngrams)?;
            }
            let opened =
                Opened { config, vocabulary, occurrences: None, ngrams, targets, training, validation, probe: None };
            go(opened, ids, &writer, None, progress)
        });
        if outcome.is_err() && !writer.has_learned() {
            // The first error is the one to report.
            let _ = writer.remove_beginning();
        }
        outcome
    }
}

/// Cuts the model until its int8 image has 64 KiB.
pub(super) fn cut_model(
    config: &mut RunConfig,
    tokenization: &Tokenization,
    ranked: &[Ranked],
    examples: usize,
    progress: &mut dyn Progress,
) -> Result<()> {
    let sizer = Sizer::of_ranked(&config.train, tokenization.clone(), ranked, Vec::new(), examples);
    let (model, bytes) = cut(&sizer.of_classes(&config.classes), &config.train.model)?;
    if model != config.train.model {
        progress.note(&format!("the model is cut, so that its int8 image has {bytes} bytes: {model}"));
        config.train.model = model;
    }
    if let Some(warning) = warning(bytes) {
        progress.warn(&warning);
    }
    Ok(())
}

/// What the words of a run are to its parts, and notes on a test part beside them, which nothing but this reads.
pub(super) fn known(
    config: &RunConfig,
    facts: Facts,
    ranked: &[Ranked],
    vocabulary: &Vocabulary,
    (training, validation): (&[Example<Label>], &[Example<Label>]),
) -> (Facts, Vec<String>) {
    let mut unknown = UnknownByPart {
        training: UnknownTokens::left_over(ranked, vocabulary.words().len()),
        validation: UnknownTokens::of(vocabulary, validation),
        test: None,
    };
    let (mut test, mut notes) = (None, Vec::new());
    if has_part(&config.data, Part::Test) && config.data != Path::new("") {
        let reading = Reading::of(config.train.task).among(&config.classes).within(config.columns.clone());
        // The test part decides nothing here; an evaluation refuses what is wrong with it.
        match Dataset::<Label>::load_for(&config.data, Part::Test, &reading) {
            Ok(data) => {
                unknown.test = Some(UnknownTokens::of(vocabulary, &data.examples));
                test = Some(data.examples.len());
                notes.extend(summary::shared(training, "test", &data.examples));
            }
            Err(error) => notes.push(format!("note: the test part is left out: {error:#}")),
        }
    }
    (Facts { words: ranked.len(), kept: vocabulary.words().len(), unknown, test, ..facts }, notes)
}

/// Checks that an embedding in tiers has rows beyond its whole ones.
fn check_tiers(config: &RunConfig, vocabulary: &Vocabulary) -> Result<(), Fault> {
    let Some(tiers) = config.train.model.tiers else { return Ok(()) };
    let others = (vocabulary.rows() as u32).saturating_sub(tiers.whole);
    if others > 0 && tiers.remainders <= others {
        return Ok(());
    }
    let rows = vocabulary.rows();
    let (problem, remedy) = if others == 0 {
        (
            format!("the texts have words for {rows} rows, and all {} would be whole", tiers.whole),
            format!("give whole= less than {rows}, or leave it out"),
        )
    } else {
        (
            format!("{others} rows are not whole, fewer than the quotient's {}", tiers.remainders),
            format!("give quotient= at most {others}"),
        )
    };
    Err(fault("--model whole", problem, remedy))
}

/// What training keeps of each weight, in bytes: itself, its gradient, the optimizer's two moments, the average and the best so far, all in f32.
const BYTES_OF_A_WEIGHT: u64 = 6 * 4;

/// Checks that the rows of the embedding, of which `unknown=hashed:` may ask for a million, fit the memory that one data set may take.
fn check_memory(config: &RunConfig, vocabulary: &Vocabulary) -> Result<(), Fault> {
    let (rows, features) = (vocabulary.rows(), config.train.model.chain.embedding);
    let (needed, most) =
        ((rows as u64).saturating_mul(features as u64).saturating_mul(BYTES_OF_A_WEIGHT), memory_limit());
    if needed <= most {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let problem = format!(
        "{rows} rows of {features} features take {} MiB while they are trained, more than the {} MiB of --max-memory",
        mib(needed),
        mib(most)
    );
    Err(fault(
        "--model embedding",
        problem,
        "take fewer rows (of text, or of unknown=) or features, or raise --max-memory",
    ))
}

/// Goes on with the run in a folder; of one that is done, gives its end again.
///
/// # Errors
/// A fault when the folder holds no run, one that another process trains or one that was imported, and when a file of it or its data is not
/// what the run began with.
pub fn resume(folder: &RunFolder, progress: &mut dyn Progress) -> Result<Outcome> {
    if let Some(imported) = folder.config()?.imported {
        return Err(fault(
            folder.path().display(),
            format!(
                "its network was imported from {}, so that no training is kept to go on with",
                imported.file.display()
            ),
            "train on where it comes from and import it again, or train a network of your own into another folder",
        )
        .into());
    }
    let writer = folder.hold()?;
    let mut opened = Opened::read_watched(folder, &mut |done, all| progress.preparing("reading the data", done, all))?;
    mend(&writer, &mut opened)?;
    let checkpoint = folder.checkpoint()?;
    if let Some(checkpoint) = folder.quantized_checkpoint()? {
        opened.check_network(folder, "quantized.checkpoint", checkpoint.network())?;
    }
    if checkpoint.is_none() && opened.config.train.start.is_some() {
        let problem = "the file is missing, and with it the network that the run began with";
        let remedy = "take the file from a copy, or begin again with --resume-from into another folder";
        return Err(fault(folder.file("checkpoint").display(), problem, remedy).into());
    }
    if let Some(checkpoint) = &checkpoint {
        opened.check_network(folder, "checkpoint", checkpoint.network())?;
        if checkpoint.best(opened.config.train.select).is_some() {
            opened.check_network(folder, "best.network", &folder.best()?.network)?;
        }
    }
    go(opened, None, &writer, checkpoint, progress)
}

/// Writes what a run lacks that was stopped between its first files.
fn mend(folder: &RunWriter, opened: &mut Opened) -> Result<()> {
    if folder.has_learned() {
        return Ok(());
    }
    let Opened { config, vocabulary, ngrams, targets, training, validation, .. } = opened;
    folder.write_vocabulary(vocabulary)?;
    folder.write_scaling(vocabulary)?;
    if targets.is_none() {
        *targets = teach(config, training, validation)?;
        if let Some(targets) = targets {
            folder.write_targets(targets)?;
        }
    }
    if ngrams.is_none() {
        *ngrams = fit_ngrams(&config.train, &vocabulary.tokenization, training, targets.as_ref());
        if let Some(ngrams) = ngrams {
            folder.write_ngrams(ngrams)?;
        }
    }
    Ok(())
}

/// Words of a vocabulary that is not small.
const MANY_WORDS: usize = 1_000;

/// Reads the texts into ids, where those of the training texts are not known, lets go of them, and trains.
pub(super) fn go(
    opened: Opened,
    ids: Option<Vec<Vec<u32>>>,
    folder: &RunWriter,
    checkpoint: Option<Checkpoint>,
    progress: &mut dyn Progress,
) -> Result<Outcome> {
    let Opened { config, vocabulary, occurrences, ngrams, targets, training, validation, .. } = opened;
    let reads_samples = vocabulary.scaling.is_some();
    if !reads_samples {
        progress.preparing("looking up the words", 0, 0);
    }
    let texts = Texts { training: &training, validation: &validation };
    let mut read = read_known(&config, &vocabulary, ngrams.as_ref(), texts, ids)?;
    read.training.targets = targets.unwrap_or_default().as_read(&config.train, &training, &vocabulary);
    let known = if ngrams.is_some() { labels_as_learned(&config.train, &training) } else { Vec::new() };
    drop((training, validation));
    if occurrences.is_none() && !reads_samples {
        folder.write_occurrences(&vocabulary, &read.training.occurrences)?;
    }
    if let Some(ngrams) = ngrams.filter(|_| checkpoint.is_none()) {
        let values = config.train.task.has_values();
        let alone = |offsets: &[f32], labels: &[f32]| {
            if values {
                return format!("R² {:.4}", determination_of(offsets, labels));
            }
            let (loss, accuracy) = judge(offsets, labels, &read.training.weights);
            format!("{} {loss:.4}, accuracy {:.2} %", config.train.loss_name(), 100.0 * accuracy)
        };
        let labels = read.validation.judged(Vec::new(), 0, &[]).1;
        let known: Vec<f32> = ngrams.judged.iter().map(|&answer| known[answer as usize]).collect();
        progress.note(&format!(
            "{} n-grams alone: cross-validated {}; validation {}",
            ngrams.table.len(),
            alone(&ngrams.offsets, &known),
            alone(&read.validation.offsets, &labels)
        ));
        progress.note("training figures of an epoch are the network's alone, validation figures are of both");
    }
    if checkpoint.is_none() && !config.train.task.each_step() && !reads_samples {
        let (lengths, unknown) = read.unknown(&vocabulary);
        // Where few words were asked for, more of them are the remedy.
        let is_cut = vocabulary.words().len() == config.train.model.vocab && config.train.model.vocab < MANY_WORDS;
        let unknown = if is_cut { 0.0 } else { unknown };
        if let Some(advice) = advice(vocabulary.tokenization.tokens, lengths, unknown) {
            progress.note(&advice);
        }
    }
    let job = Job {
        config: &config.train,
        vocabulary: &vocabulary,
        training: &read.training,
        validation: &read.validation,
        folder: Some(folder),
    };
    let outcome = train(&job, checkpoint, progress)?;
    if read.validation.is_empty() {
        return Ok(outcome);
    }
    let judged = answers(&folder.best()?.network, &read.validation, config.train.objective())?;
    let verdict = Verdict::of(&config.train, judged, &read.validation.weights, &read.training.labels);
    Ok(Outcome { verdict: Some(verdict), ..outcome })
}
