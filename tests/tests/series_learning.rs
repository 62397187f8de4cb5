//! Promises of learning from series: augmentation changes the training part alone, and a state that is carried reaches beyond a window.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::Model;
use latch_engine::image::Image;
use latch_tests::training::Silent;
use latch_trainer::config::{
    ModelConfig, RunConfig, SeriesConfig, Storage, TrainConfig, Valid, default_config, model_of,
};
use latch_trainer::dataset::{Columns, Part, Task};
use latch_trainer::error::exit_code;
use latch_trainer::evaluate::evaluate;
use latch_trainer::export::{Export, Trained};
use latch_trainer::learning::sequences::Sequences;
use latch_trainer::learning::training::answers;
use latch_trainer::metrics::mean_loss;
use latch_trainer::runs::begin::begin;
use latch_trainer::runs::folder::RunFolder;
use latch_trainer::runs::recordings;

/// Recordings of one channel, each of another length, in which a pulse up or down says the class of all steps up to the next pulse, some forty steps later.
fn pulses(folder: &Path, name: &str, recordings: usize, seed: u64) -> Result<PathBuf> {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut rows = "series,value,label\n".to_owned();
    for recording in 0..recordings {
        let (mut class, mut left) = (0, 0);
        for _ in 0..100 + next(60) {
            let mut value = (next(200) as f64 - 100.0) / 1_000.0;
            if left == 0 {
                (class, left) = (next(2), 30 + next(20));
                value += if class == 1 { 2.0 } else { -2.0 };
            }
            left -= 1;
            rows += &format!("r{recording},{value},{}\n", ["down", "up"][class as usize]);
        }
    }
    let path = folder.join(name);
    fs::write(&path, rows)?;
    Ok(path)
}

fn config(data: &Path, model: &str) -> RunConfig {
    let task = Task::Tag(0);
    let model: ModelConfig = model.parse().unwrap_or_else(|error| panic!("{error}"));
    RunConfig {
        latch: String::new(),
        train: TrainConfig {
            model: model_of(task, Some(model)),
            task,
            epochs: 30,
            patience: 30,
            batch: 8,
            seed: 1,
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

fn train(config: RunConfig, folder: &Path) -> Result<Trained> {
    begin(config, None, &RunFolder::new(folder), &mut Silent)?;
    Trained::read(&RunFolder::new(folder))
}

#[test]
fn augmentation_changes_the_training_part_alone_and_one_seed_gives_one_network() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = pulses(folder.path(), "pulses.csv", 20, 3)?;
    let run = |name: &str, augment: Option<&str>, seed: u64| -> Result<Trained> {
        let mut config = config(&data, "samples > conv1d 6 k4 relu > gru 6 > dense");
        config.train = TrainConfig { epochs: 3, seed, ..config.train };
        config.train.augment = augment.map(|text| text.parse().expect("changes"));
        train(config, &folder.path().join(name))
    };
    let changes = Some("noise=0.2,scale=0.2,shift=3");
    let first = run("a", changes, 1)?;
    assert!(run("b", changes, 1)?.best.network == first.best.network);
    assert!(run("c", changes, 2)?.best.network != first.best.network);
    assert!(run("d", None, 1)?.best.network != first.best.network);
    // The figures of the validation part are those of the recordings as they are.
    let source = first.source();
    assert_eq!(source.config.train.augment.map(|augment| augment.to_string()).as_deref(), changes);
    let validation = Sequences::read(source.validation, source.vocabulary, usize::MAX);
    let (logits, labels) = answers(&first.best.network, &validation, source.config.train.objective())?;
    let loss = mean_loss(&logits, &labels, 1, 1.0);
    assert!((loss - first.best.metrics.valid_loss).abs() < 1e-9, "{loss} {}", first.best.metrics.valid_loss);
    Ok(())
}

#[test]
fn with_a_window_as_long_as_the_recordings_a_carried_state_changes_no_bit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = pulses(folder.path(), "pulses.csv", 20, 3)?;
    for (number, model) in ["samples > gru 6 > dense", "samples > conv1d 6 k4 s2 relu > lstm 5 dropout=0.1 > dense"]
        .into_iter()
        .enumerate()
    {
        let run = |name: &str, carry: Option<usize>| -> Result<Trained> {
            let mut config = config(&data, model);
            config.train = TrainConfig { epochs: 3, carry, ..config.train };
            train(config, &folder.path().join(format!("{name}{number}")))
        };
        let whole = run("whole", None)?;
        assert!(run("carried", Some(200))?.best.network == whole.best.network, "{model}");
        assert!(run("short", Some(20))?.best.network != whole.best.network, "{model}");
    }
    Ok(())
}

#[test]
fn a_carried_state_learns_what_lies_beyond_a_window() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = pulses(folder.path(), "pulses.csv", 40, 3)?;
    let test = pulses(folder.path(), "test.csv", 20, 99)?;
    let accuracy = |name: &str, carried: bool| -> Result<f64> {
        let mut config = config(&data, "samples > lstm 6 > dense");
        if carried {
            config.train.carry = Some(10);
        } else {
            config.series = Some(SeriesConfig { window: Some((10, 10)), ..SeriesConfig::default() });
        }
        let run = train(config, &folder.path().join(name))?;
        let source = run.source();
        // As a device runs it: whole recordings.
        let series = SeriesConfig::default();
        let task = source.config.train.task;
        let examples =
            recordings::load_for(&test, Part::Test, (task, &series), &source.config.classes, 1, None)?.examples;
        let made = Export::of(source, false)?.image(Storage::F32)?;
        let found = evaluate(&Model::new(&Image::open(&made.bytes)?), &examples)?.accuracy;
        if carried {
            // It was judged on whole recordings, as the engine runs them.
            let validation = evaluate(&Model::new(&Image::open(&made.bytes)?), source.validation)?.accuracy;
            assert!((validation - run.best.metrics.valid_accuracy).abs() < 1e-3, "{validation}");
        }
        Ok(found)
    };
    let (cut, carried) = (accuracy("cut", false)?, accuracy("carried", true)?);
    assert!(carried > 0.97 && carried > cut + 0.05, "carried {carried}, cut {cut}");
    Ok(())
}

#[test]
fn what_does_not_go_with_series_or_with_a_carried_state_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = pulses(folder.path(), "pulses.csv", 8, 3)?;
    let refused = |change: &dyn Fn(&mut RunConfig), sentence: &str| {
        let mut config = config(&data, "samples > conv1d 4 k3 s2 > gru 4 > dense");
        change(&mut config);
        let error = train(config, &folder.path().join("run")).err().expect("it makes no sense");
        assert_eq!(exit_code(&error), 2, "{error:#}");
        assert!(format!("{error:#}").contains(sentence), "{error:#}");
        assert!(!folder.path().join("run").exists());
    };
    refused(&|config| config.train.carry = Some(9), "--window: must be a multiple of 2");
    refused(
        &|config| {
            config.train.carry = Some(8);
            config.train.task = Task::Classify(0);
            let model = "samples > gru 4 > last > dense".parse().expect("a model");
            config.train.model = model_of(Task::Classify(0), Some(model));
        },
        "--carry: must be left out unless each step of a series has an answer",
    );
    refused(
        &|config| {
            config.train.augment = "noise=1".parse().ok();
            config.series = None;
            config.train.model = model_of(Task::Tag(0), Some("embedding 4 > gru 4 > dense".parse().expect("a model")));
        },
        "--augment: must be left out unless the data is series",
    );
    Ok(())
}
