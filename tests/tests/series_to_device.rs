//! Promise: a run on series becomes an image that answers as the trained network does, from the samples of the file to the class, in floats and in integers; a run is
//! a function of its data and its seed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::{Model, State};
use latch_tests::training::Silent;
use latch_trainer::config::Storage;
use latch_trainer::config::{
    ModelConfig, QuantizeConfig, RunConfig, SeriesConfig, TrainConfig, Valid, default_config, model_of,
};
use latch_trainer::dataset::{Columns, Part, Task};
use latch_trainer::error::exit_code;
use latch_trainer::evaluate::evaluate;
use latch_trainer::export::{Export, Trained};
use latch_trainer::learning::training::Outcome;
use latch_trainer::runs::begin::begin;
use latch_trainer::runs::folder::RunFolder;
use latch_trainer::runs::recordings;

/// Recordings of two channels in the format .ts: a swing that is fast or slow, around another level in each, beside a channel that says nothing.
pub(crate) fn swings(count: usize, first: usize) -> String {
    let mut text =
        String::from("@problemName Swings\n@univariate false\n@dimensions 2\n@classLabel true fast slow\n@data\n");
    for number in first..first + count {
        let fast = number.is_multiple_of(2);
        let (speed, phase) = (if fast { 0.9 } else { 0.3 }, number as f64 * 0.7);
        let steps = 20 + number % 7;
        let swing = |step: usize| (step as f64).mul_add(speed, phase).sin().mul_add(3.0, 40.0);
        let noise = |step: usize| (((step * 31 + number * 17) % 13) as f64 - 6.0) / 100.0;
        let channel =
            |of: &dyn Fn(usize) -> f64| (0..steps).map(|step| format!("{:.4}", of(step))).collect::<Vec<_>>().join(",");
        let class = if fast { "fast" } else { "slow" };
        let _ = writeln!(text, "{}:{}:{class}", channel(&swing), channel(&noise));
    }
    text
}

fn data(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("swings.ts");
    fs::write(&path, swings(60, 0))?;
    Ok(path)
}

fn config(data: &Path, model: &str, seed: u64) -> RunConfig {
    let task = Task::Classify(0);
    let model: ModelConfig = model.parse().unwrap_or_else(|error| panic!("{error}"));
    RunConfig {
        latch: String::new(),
        train: TrainConfig {
            model: model_of(task, Some(model)),
            task,
            epochs: 60,
            patience: 60,
            seed,
            learning_rate: 0.02,
            ..default_config()
        },
        data: data.to_owned(),
        data_sha256: String::new(),
        columns: Columns::default(),
        series: Some(SeriesConfig::default()),
        classes: Vec::new(),
        valid: Valid::Fraction(0.2),
        imported: None,
    }
}

fn train(config: RunConfig, folder: &Path) -> Result<Outcome> {
    begin(config, None, &RunFolder::new(folder), &mut Silent)
}

const CHAINS: [&str; 10] = [
    "samples 2 > gru 8 > last > dense",
    "samples scale=minmax difference=1 clip=0.9 > lstm 6 > dense 5 relu > mean > dense",
    "samples 2 > dense 6 tanh > rnn 7 > max > dense",
    "samples 2 > conv1d 8 k5 s2 relu > gru 6 > last > dense",
    "samples 2 > conv1d 8 k5 s2 valid relu > lstm 6 > last > dense",
    "samples 2 > conv1d 8 k5 valid relu > maxpool 2 > conv1d 6 k3 valid relu > maxpool 3 s2 > lstm 6 > last > dense",
    "samples 2 > conv1d 8 k3 relu > conv1d 6 k4 s3 > mean > dense",
    "samples 2 > bilstm 6 steps=48 > last > dense",
    "samples 2 > conv1d 8 k5 s2 relu > bigru 6 average > rnn 5 > max > dense",
    "samples 2 > birnn 4 > bilstm 5 product > mean > dense",
];

#[test]
fn images_of_a_run_on_series_answer_as_its_network_does_and_know_the_classes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    let test = folder.path().join("test.ts");
    fs::write(&test, swings(100, 1_001))?;
    for (number, chain) in CHAINS.into_iter().enumerate() {
        let place = folder.path().join(number.to_string());
        train(config(&data, chain, 1), &place)?;
        let run = Trained::read(&RunFolder::new(&place))?;
        let source = run.source();
        let RunConfig { train, series, classes, .. } = source.config;
        assert_eq!((&classes[..], train.model.chain.embedding), (&["fast".to_owned(), "slow".to_owned()][..], 2));
        let series = series.as_ref().expect("it reads series");
        let examples = recordings::load_for(&test, Part::Test, (train.task, series), classes, 2, None)?.examples;
        let export = Export::of(source, true)?;
        let scaling = source.vocabulary.scaling.as_ref().expect("samples are scaled");
        let mut float = Vec::new();
        for storage in [Storage::F32, Storage::F16, Storage::Int8, Storage::Int4] {
            let made = export.image(storage)?;
            let image = Image::open(&made.bytes)?;
            assert_eq!(image.class_names().collect::<Vec<_>>(), ["fast", "slow"]);
            let model = Model::new(&image);
            let evaluation = evaluate(&model, &examples)?;
            assert!(evaluation.accuracy > 0.9, "{chain} in {}: {}", storage.name(), evaluation.accuracy);
            if storage == Storage::F32 {
                float.clone_from(&evaluation.logits);
            }
            let far = evaluation.logits.iter().zip(&float).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let bound = match storage {
                Storage::F32 => 0.0,
                Storage::F16 => 0.05,
                Storage::Int8 => 2.0,
                _ => 8.0,
            };
            assert!(far <= bound, "{chain} in {}: {far} from f32", storage.name());
            // Counts of the image's unit stand for the values.
            let recording = examples[0].recording.as_ref().expect("a recording");
            let count = |(place, &value): (usize, &f32)| (value / scaling.channels[place % 2].unit).round() as i16;
            let counts: Vec<i16> = recording.frames.iter().enumerate().map(count).collect();
            let (mut state, mut other) = (State::<32768>::new(), State::<32768>::new());
            let (mut session, mut second) = (model.session(&mut state)?, model.session(&mut other)?);
            session.push_samples(&counts)?;
            second.push_samples_f32(&recording.frames)?;
            let (of_counts, of_values) = (session.output().to_f32(), second.output().to_f32());
            let close = if storage.precision().is_integer() { 0.0 } else { 0.01 };
            assert!((of_counts - of_values).abs() <= close, "{of_counts} and {of_values}");
        }
    }
    Ok(())
}

#[test]
fn the_network_in_the_trainer_computes_what_the_image_in_floats_computes() -> Result<()> {
    use latch_trainer::learning::sequences::Sequences;
    use latch_trainer::learning::training::answers;

    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    for (number, chain) in CHAINS.into_iter().enumerate() {
        let place = folder.path().join(number.to_string());
        train(config(&data, chain, 2), &place)?;
        let run = Trained::read(&RunFolder::new(&place))?;
        let source = run.source();
        let read = Sequences::read(source.validation, source.vocabulary, usize::MAX);
        let (logits, labels) = answers(&source.best.network, &read, source.config.train.objective())?;
        let made = Export::of(source, false)?.image(Storage::F32)?;
        let image = Image::open(&made.bytes)?;
        let evaluation = evaluate(&Model::new(&image), source.validation)?;
        assert_eq!(labels, evaluation.labels);
        for (ours, engines) in logits.iter().zip(&evaluation.logits) {
            assert!((ours - engines).abs() < 1e-3 * (1.0 + ours.abs()), "{chain}: {ours} and {engines}");
        }
    }
    Ok(())
}

/// A recording of one channel whose level drifts and whose season has eight steps.
fn drifting(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("drift.csv");
    let mut text = String::from("level\n");
    for step in 0..240_u32 {
        let season = (f64::from(step) * std::f64::consts::TAU / 8.0).sin() * (2.0 + f64::from(step) / 80.0);
        let noise = f64::from(step * 37 % 11) / 50.0;
        // Counts, so that integers read what floats read.
        let _ = writeln!(text, "{:.0}", 50.0 * (f64::from(step).mul_add(0.5, 100.0) + season + noise));
    }
    fs::write(&path, text)?;
    Ok(path)
}

/// A forecast of the next step of such a recording, by a network with this chain.
fn forecast(folder: &Path, chain: &str) -> Result<Trained> {
    let mut config = config(&drifting(folder)?, chain, 3);
    let model: ModelConfig = chain.parse().unwrap_or_else(|error| panic!("{error}"));
    config.train.task = Task::RegressEach;
    config.train.model = model_of(Task::RegressEach, Some(model));
    config.train.select = latch_trainer::config::Select::Loss;
    config.series = Some(SeriesConfig { horizon: Some(1), ..SeriesConfig::default() });
    let place = folder.join(chain.replace([' ', '>'], "_"));
    train(config, &place)?;
    Trained::read(&RunFolder::new(&place))
}

#[test]
fn a_run_on_series_learns_with_the_integers_that_its_image_answers_with() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    let held_out = folder.path().join("valid.ts");
    fs::write(&held_out, swings(40, 2_001))?;
    let chains = ["samples 2 > gru 6 > last > dense", "samples 2 > conv1d 6 k3 relu > lstm 5 > mean > dense"];
    for (number, (chain, storage)) in chains.into_iter().zip([Storage::Int8, Storage::Int4]).enumerate() {
        let place = folder.path().join(number.to_string());
        let mut config = config(&data, chain, 1);
        config.valid = Valid::Path(held_out.clone());
        config.train.quantize = Some(QuantizeConfig { storage, epochs: 3, learning_rate: 1e-3 });
        let outcome = train(config, &place)?;
        let quantized = outcome.quantized.expect("it learned with integers");
        let run = Trained::read(&RunFolder::new(&place))?;
        let source = run.source();
        let RunConfig { train, series, classes, .. } = source.config;
        let series = series.as_ref().expect("it reads series");
        let examples = recordings::load_for(&held_out, Part::Valid, (train.task, series), classes, 2, None)?.examples;
        // As it was trained, before its probabilities are fitted.
        let export = Export::of(source, false)?;
        let made = export.image(storage)?;
        let evaluation = evaluate(&Model::new(&Image::open(&made.bytes)?), &examples)?;
        // A value is rounded to counts before it is rounded to integers.
        let accuracy = (evaluation.accuracy - quantized.valid_accuracy).abs();
        assert!(accuracy <= 0.025, "{chain}: {} {}", evaluation.accuracy, quantized.valid_accuracy);
        let loss = (evaluation.log_loss - quantized.valid_loss).abs();
        assert!(loss < 0.02, "{chain}: {} {}", evaluation.log_loss, quantized.valid_loss);
    }
    Ok(())
}

#[test]
fn a_skip_goes_around_the_network_in_the_trainer_as_in_every_image() -> Result<()> {
    use latch_trainer::learning::sequences::{Scale, Sequences};
    use latch_trainer::learning::training::answers;

    let folder = tempfile::tempdir()?;
    let mut errors = Vec::new();
    for chain in [
        "samples 1 > gru 6 > dense",
        "samples 1 > gru 6 > dense > skip lag=7",
        "samples 1 difference=8 > lstm 5 > skip",
        "samples 1 difference=2 > rnn 5 > dense > skip lag=7",
    ] {
        let run = forecast(folder.path(), chain)?;
        let source = run.source();
        let scale = Scale::of(&source.config.train, source.training);
        let read = Sequences::read(source.validation, source.vocabulary, usize::MAX).normalised(scale);
        let (values, _) = answers(&source.best.network, &read, source.config.train.objective())?;
        let export = Export::of(source, false)?;
        let mut mean_squares = Vec::new();
        for (storage, bound) in
            [(Storage::F32, 0.05), (Storage::F16, 20.0), (Storage::Int16, 1.0), (Storage::Int8, 40.0)]
        {
            let made = export.image(storage)?;
            let image = Image::open(&made.bytes)?;
            assert_eq!(image.description().features().any(|feature| feature == "skip"), chain.contains("skip"));
            let evaluation = evaluate(&Model::new(&image), source.validation)?;
            assert!(evaluation.labels.len() > 20);
            for (&value, engines) in values.iter().zip(&evaluation.logits) {
                let ours = scale.restored(value);
                assert!((ours - engines).abs() < bound, "{chain} in {}: {ours} and {engines}", storage.name());
            }
            mean_squares.push(evaluation.errors.expect("values have errors").rmse);
        }
        errors.push(mean_squares[0]);
    }
    // What drifts out of the range of the training part is followed only around the network.
    assert!(errors[1] < 0.5 * errors[0], "{errors:?}");
    Ok(())
}

#[test]
fn a_skip_is_refused_where_it_has_nothing_to_add_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    let error = train(config(&data, "samples 2 > gru 4 > last > dense > skip", 1), &folder.path().join("run"));
    let error = error.expect_err("classes are no values");
    assert!(exit_code(&error) == 2 && format!("{error:#}").contains("skip"), "{error:#}");
    for (text, problem) in [
        ("text 50 > embedding 8 > gru 4 > skip", "adds samples to the answer"),
        ("samples 1 > gru 4 > skip > dense", "stands at the end"),
        ("samples 1 > gru 4 > skip 3", "has no size"),
        ("samples 2 > gru 4 > skip channel=2", "below 2"),
        ("samples 1 > gru 4 > skip lag=257", "from 0 to 256"),
        ("samples 1 lag=3 > gru 4", "`lag=` is no option of `samples`"),
    ] {
        let error = text.parse::<ModelConfig>().expect_err(text).to_string();
        assert!(error.contains(problem), "{error}");
    }
    for text in
        ["samples 3 scale=none difference=2 > gru 4 > dense > skip channel=1 lag=11", "samples > lstm 4 > dense > skip"]
    {
        assert_eq!(text.parse::<ModelConfig>().expect("a model").to_string(), text);
    }
    Ok(())
}

#[test]
fn one_seed_gives_the_same_network_and_a_finished_run_is_resumed_to_its_end() -> Result<()> {
    use latch_trainer::runs::begin::resume;

    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    let network = |name: &str, seed: u64| -> Result<Vec<u8>> {
        let place = folder.path().join(name);
        train(config(&data, CHAINS[0], seed), &place)?;
        resume(&RunFolder::new(&place), &mut Silent)?;
        Ok(fs::read(place.join("best.network"))?)
    };
    let first = network("a", 1)?;
    assert_eq!(first, network("b", 1)?);
    assert_ne!(first, network("c", 2)?);
    Ok(())
}

#[test]
fn windows_of_a_recording_are_cut_after_the_split_and_each_has_its_class() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    let mut config = config(&data, CHAINS[0], 1);
    config.series = Some(SeriesConfig { window: Some((10, 5)), ..SeriesConfig::default() });
    let place = folder.path().join("run");
    train(config, &place)?;
    let run = Trained::read(&RunFolder::new(&place))?;
    let ids = |examples: &[latch_trainer::dataset::Example<latch_trainer::dataset::Label>]| {
        examples.iter().map(|example| example.text.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let (training, validation) = (run.source().training, run.source().validation);
    assert!(
        training.len() > 100
            && training
                .iter()
                .all(|example| { example.recording.as_ref().is_some_and(|recording| recording.frames.steps() <= 10) })
    );
    assert!(ids(training).is_disjoint(&ids(validation)));
    Ok(())
}

#[test]
fn what_does_not_go_with_series_is_refused_by_its_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path())?;
    let refused = |config: RunConfig| {
        let error = train(config, &folder.path().join("run")).expect_err("it makes no sense");
        assert_eq!(exit_code(&error), 2, "{error:#}");
        assert!(!folder.path().join("run").exists());
        format!("{error:#}")
    };
    let other = refused(config(&data, "samples 3 > gru 4 > last > dense", 1));
    assert!(other.contains("2 channels") && other.contains("reads 3"), "{other}");
    let mut zero = config(&data, CHAINS[0], 1);
    zero.series = Some(SeriesConfig { window: Some((0, 1)), ..SeriesConfig::default() });
    assert!(refused(zero).contains("--window"));
    for (text, problem) in [
        ("samples 2 > embedding 8 > gru 4 > last > dense", "samples have no embedding"),
        ("samples 65 > gru 4 > last > dense", "from 1 to 64"),
        ("samples scale=log > gru 4 > last > dense", "standardize, minmax or none"),
        ("samples difference=0 > gru 4 > last > dense", "from 1 to 256"),
        ("samples clip=-1 > gru 4 > last > dense", "positive number"),
        ("samples ngrams=20 > gru 4 > last > dense", "ngrams"),
    ] {
        let error = text.parse::<ModelConfig>().expect_err(text).to_string();
        assert!(error.contains(problem), "{error}");
    }
    for model in CHAINS {
        let model: ModelConfig = model.parse().expect("a model");
        assert_eq!(model.to_string().parse::<ModelConfig>().as_ref(), Ok(&model));
    }
    Ok(())
}
