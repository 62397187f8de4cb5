//! A run that begins with the network of another one, trained or imported: its words, its classes and its chain are those of that network, and its optimizer is a fresh one.
//!
//! The network is judged before the first step, as epoch 0, so that what is learned is only taken where it is better. Where the run goes on with integers and no epochs are asked for, they are the
//! first thing that is learned.

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::input::text::Tokens;
use sha2::{Digest, Sha256};

use super::begin::{go, known};
use super::checkpoint::Best;
use super::folder::RunFolder;
use super::loaded::Loaded;
use super::opened::{Opened, load, without_probe};
use crate::config::{RunConfig, StartConfig, Words};
use crate::dataset::{Example, Label, hex};
use crate::defaults::carry_of;
use crate::error::{Fault, fault, read_file};
use crate::exchange::samples::Probe;
use crate::learning::sequences::{Read, Scale, Texts, class_weights, read_known};
use crate::learning::training::{Outcome, Progress, beginning, judge};
use crate::metrics::{EpochMetrics, Judgement};
use crate::network::Network;
use crate::vocabulary::{Vocabulary, rank};

/// The largest network that is read.
const LARGEST: u64 = 1 << 32;

/// What a run begins with.
struct Begun {
    best: Best,
    vocabulary: Vocabulary,
    run: RunConfig,
    /// In which the network answers, where it gives values.
    scale: Option<Scale>,
}

/// Begins a run in a folder that has none with the best network of the run in `from`, and trains it.
///
/// # Errors
/// A fault when the run in `from` cannot be gone on from, when the data or an option contradicts it, and those of [`super::begin::begin`]. If nothing was learned by then, the folder is as it was before.
pub(super) fn begin(
    mut config: RunConfig,
    from: PathBuf,
    tokens: Option<Tokens>,
    folder: &RunFolder,
    progress: &mut dyn Progress,
) -> Result<Outcome> {
    folder.refuse_run()?;
    let begun = read(&from)?;
    agree(&mut config, &begun, tokens)?;
    let bytes = read_file(&RunFolder::new(&from).file("best.network"), LARGEST)?;
    config.train.start = Some(StartConfig { run: from.clone(), sha256: hex(&Sha256::digest(&bytes)) });
    config.train.check("")?;
    let Loaded { training, validation, valid_sha256, summary, notes, facts } =
        load(&mut config, &mut |done, all| progress.preparing("reading the data", done, all))?;
    if let (Some(own), Some(series)) = (&config.series, &begun.run.series) {
        refuse_other_order(&own.columns.channels, &series.columns.channels)?;
    }
    if config.series.is_some() && config.train.carry.is_none() {
        config.train.carry = carry_of(&config.train, &training);
    }
    let Begun { best: Best { mut network, .. }, vocabulary, scale, .. } = begun;
    check_network(&config, &network, &vocabulary)?;
    if let Some(scale) = scale {
        scale.bring(&mut network, Scale::of(&config.train, &training));
    }
    class_weights(&config, &training)?;
    let (facts, of_test) = if config.series.is_some() {
        (facts, Vec::new())
    } else {
        let ranked = rank(&vocabulary.tokenization, Words::Count, &training);
        known(&config, facts, &ranked, &vocabulary, (&training, &validation))
    };
    let (metrics, occurrences) = judged(&config, &vocabulary, &network, (&training, &validation))?;

    // Reading the data took time, in which another run may have begun.
    let writer = folder.claim()?;
    let said = [summary].into_iter().chain(notes).chain(of_test).chain(facts.unknown.words());
    said.for_each(|line| progress.note(&line));
    progress.note(&format!("beginning with the network of {}: {}", from.display(), config.train.model));
    if let Some(warning) = facts.unknown.warning() {
        progress.warn(&warning);
    }
    let mut checkpoint = beginning(network.clone(), &config.train);
    checkpoint.metrics.push(metrics);
    let written = writer.write_facts(&facts).and_then(|()| {
        writer.write_scaling(&vocabulary)?;
        writer.write_occurrences(&vocabulary, &occurrences)?;
        writer.write_vocabulary(&vocabulary)?;
        // With these a run has learned something: what has a configuration is gone on with, and all else begun anew.
        writer.write_checkpoint(&checkpoint, false)?;
        writer.write_best(&Best { metrics, network })?;
        writer.write_config(&config, valid_sha256)
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = writer.remove_beginning();
    }
    written?;
    let opened = Opened {
        config,
        vocabulary,
        occurrences: Some(occurrences),
        ngrams: None,
        targets: None,
        training,
        validation,
        probe: None,
    };
    go(opened, None, &writer, Some(checkpoint), progress)
}

/// Reads the run that is gone on from, without its data.
fn read(from: &Path) -> Result<Begun> {
    let folder = RunFolder::new(from);
    let run = folder.config()?;
    let model = &run.train.model;
    let refused =
        |problem: &str, remedy: &str| Err(fault(format!("--resume-from {}", from.display()), problem, remedy).into());
    if model.ngrams.count > 0 || model.tiers.is_some() {
        let problem = "n-grams and rows that are not whole are those of its own texts";
        return refused(problem, "train a run of its own on the data, with --model");
    }
    let best = folder.best()?;
    let vocabulary = match (model.samples.is_some(), folder.probe()?, folder.scaling()?) {
        (false, ..) => words(&folder, &run)?,
        (true, Some(Probe { scaling, .. }), _) | (true, None, Some(scaling)) => Vocabulary::of_samples(scaling),
        (true, None, None) if run.imported.is_some() => return Err(without_probe(&folder).into()),
        (true, None, None) => {
            let remedy = "take the file from a copy, or train the run again";
            let problem = "the scaling of the samples is missing";
            return Err(fault(folder.file("scaling").display(), problem, remedy).into());
        }
    };
    if *best.network.config() != run.train.network(vocabulary.rows()) {
        let remedy = "take both files from one run";
        return Err(
            fault(folder.file("best.network").display(), "its network is not the one of config.json", remedy).into()
        );
    }
    // Values are learned in a scale, which the labels of the run's own data give.
    let scale = match run.train.task.has_values() {
        true if run.imported.is_some() => Some(Scale::UNIT),
        true => Some(Scale::of_run(&run, &Opened::read(&folder)?.training)),
        false => None,
    };
    Ok(Begun { best, vocabulary, run, scale })
}

/// Takes model and classes over, and refuses what contradicts them.
fn agree(config: &mut RunConfig, begun: &Begun, tokens: Option<Tokens>) -> Result<(), Fault> {
    let (own, run) = (config.train.task, &begun.run);
    match (config.series.is_some(), run.train.model.samples.is_some()) {
        (true, false) => {
            let problem = "it holds series, and the network reads texts";
            return Err(fault(config.data.display(), problem, "name labelled texts"));
        }
        (false, true) if std::fs::metadata(&config.data).is_ok_and(|file| file.is_file() && file.len() == 0) => {
            let (problem, remedy) = ("the file is empty", "name a file with labelled series");
            return Err(fault(config.data.display(), problem, remedy));
        }
        (false, true) => {
            let problem = "no series are in it, and the network reads samples";
            return Err(fault(config.data.display(), problem, "name labelled series"));
        }
        _ => {}
    }
    if let (Some(own), Some(series)) = (&mut config.series, &run.series)
        && own.columns.channels.is_empty()
    {
        // The channels of a table, by the names that the network has learned.
        own.columns.channels.clone_from(&series.columns.channels);
    }
    if own.name() != run.train.task.name() {
        let problem = format!("the network was made for {}", run.train.task.name());
        return Err(fault("--task", problem, format!("give --task {}", run.train.task.name())));
    }
    if tokens.is_some_and(|tokens| tokens != run.train.model.tokens) {
        return Err(fault("--tokens", "the network reads another kind of token", "leave it out"));
    }
    config.train.model = run.train.model.clone();
    config.train.task = own.with_classes(run.train.task.classes());
    config.classes.clone_from(&run.classes);
    Ok(())
}

/// Refuses the channels of the network in another order. Other names are those of another table; a network that names none reads all in their order, by their numbers.
fn refuse_other_order(own: &[String], learned: &[String]) -> Result<(), Fault> {
    let all: Vec<String> = (1..=own.len()).map(|number| number.to_string()).collect();
    let learned = if learned.is_empty() { &all } else { learned };
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if own == learned || sorted(own) != sorted(learned) {
        return Ok(());
    }
    let problem = format!("it names {}, and the network reads {}", own.join(","), learned.join(","));
    Err(fault("--channels", problem, "name them in the order of the network, or leave it out"))
}

/// The words that a network has learned with, where the digest that its run keeps beside them is theirs.
fn words(folder: &RunFolder, run: &RunConfig) -> Result<Vocabulary> {
    let vocabulary = folder.vocabulary(&run.train)?;
    let learned = match &run.imported {
        Some(imported) => Some(imported.vocabulary_sha256.clone()),
        None => folder.occurrences()?.map(|known| known.vocabulary_sha256),
    };
    if learned.is_some_and(|learned| learned != vocabulary.sha256()) {
        let place = folder.file("vocabulary.txt");
        let problem = "the words are not those that the network has learned with";
        return Err(fault(place.display(), problem, "take the file from a copy").into());
    }
    Ok(vocabulary)
}

/// Checks that a network answers with as many classes as the data has.
fn check_network(config: &RunConfig, network: &Network<f32>, vocabulary: &Vocabulary) -> Result<(), Fault> {
    if *network.config() == config.train.network(vocabulary.rows()) {
        return Ok(());
    }
    let (classes, outputs) = (config.train.task.classes(), network.config().outputs);
    let problem = format!("it has {classes} classes, and the network has {outputs} outputs");
    Err(fault(config.data.display(), problem, "name data with the classes of the network"))
}

/// What a network is worth on both parts before its first step, and how often each id occurs in the training texts.
fn judged(
    config: &RunConfig,
    vocabulary: &Vocabulary,
    network: &Network<f32>,
    (training, validation): (&[Example<Label>], &[Example<Label>]),
) -> Result<(EpochMetrics, Vec<u32>)> {
    let Read { training, validation, .. } = read_known(config, vocabulary, None, Texts { training, validation }, None)?;
    let objective = config.train.objective();
    let on = |part| judge(network, part, objective);
    let (learned, held_out): (Judgement, Judgement) = (on(&training)?, on(&validation)?);
    let metrics = EpochMetrics {
        train_loss: learned.loss,
        train_accuracy: learned.accuracy,
        valid_loss: held_out.loss,
        valid_accuracy: held_out.accuracy,
        valid_macro_f1: held_out.macro_f1,
        valid_rmse: validation.scale.map(|scale| held_out.loss.sqrt() * scale.deviation),
        ..EpochMetrics::default()
    };
    Ok((metrics, training.occurrences))
}

#[cfg(test)]
mod tests {
    use super::refuse_other_order;

    #[test]
    fn channels_are_in_another_order_where_they_are_the_same_ones() {
        let of = |names: &str| names.split_terminator(',').map(str::to_owned).collect::<Vec<_>>();
        for (own, learned, is_fine) in [
            ("x,y", "x,y", true),
            ("y,x", "x,y", false),
            ("a,b", "x,y", true),
            ("2,1", "", false),
            ("1,2", "", true),
            ("3,1", "", true),
            ("", "", true),
        ] {
            assert_eq!(refuse_other_order(&of(own), &of(learned)).is_ok(), is_fine, "{own} {learned}");
        }
    }
}
