//! Promise: a run that is exported behind a prefix, or with the initial states of its layers, gives one image whoever asks, which begins there in every precision, and the
//! trainer's network computes what the image in floats computes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::start::Start;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Logit, Model, SelfTest, State};
use latch_tests::training::Silent;
use latch_trainer::config::warm_up::WarmUp;
use latch_trainer::config::{ModelConfig, RunConfig, SeriesConfig, Storage, TrainConfig, Valid, default_config};
use latch_trainer::dataset::{Columns, Task};
use latch_trainer::error::exit_code;
use latch_trainer::evaluate::evaluate;
use latch_trainer::export::judged::{self, Options};
use latch_trainer::export::{Export, Source, Trained};
use latch_trainer::learning::sequences::Sequences;
use latch_trainer::learning::training::answers;
use latch_trainer::network::initial::Initial;
use latch_trainer::runs::begin::begin;
use latch_trainer::runs::folder::RunFolder;

use crate::series_to_device::swings;

/// Texts of two classes.
fn texts(count: usize) -> String {
    let words = ["good", "bad", "film", "a", "the", "not"];
    let text =
        |number: usize| (0..6).map(|place| words[(number * 7 + place * place) % 6]).collect::<Vec<_>>().join(" ");
    (0..count).fold("label\ttext\n".to_owned(), |all, number| {
        all + &format!("{}\t{} {}\n", number % 2, words[number % 2], text(number))
    })
}

fn data(folder: &Path, series: bool) -> Result<PathBuf> {
    let path = folder.join(if series { "swings.ts" } else { "texts.tsv" });
    fs::write(&path, if series { swings(40, 0) } else { texts(80) })?;
    Ok(path)
}

/// A run of two epochs.
fn run(folder: &Path, data: &Path, model: &str, warm_up: Option<&str>) -> Result<Trained> {
    let model: ModelConfig = model.parse().unwrap_or_else(|error| panic!("{error}"));
    let series = model.samples.map(|_| SeriesConfig::default());
    let warm_up = warm_up.map(|warm_up| warm_up.parse().expect("a prefix"));
    let config = RunConfig {
        latch: String::new(),
        train: TrainConfig {
            model,
            task: Task::Classify(if series.is_some() { 0 } else { 2 }),
            epochs: 2,
            learning_rate: 0.02,
            average: 0.0,
            warm_up,
            ..default_config()
        },
        data: data.to_owned(),
        data_sha256: String::new(),
        columns: Columns::default(),
        series,
        classes: Vec::new(),
        valid: Valid::Fraction(0.2),
        imported: None,
    };
    let folder = RunFolder::new(folder);
    begin(config, None, &folder, &mut Silent)?;
    Trained::read(&folder)
}

const ROOM: usize = 8192;

const STORAGES: [Storage; 5] = [Storage::F32, Storage::F16, Storage::Int16, Storage::Int8, Storage::Int4];

const SERIES: [&str; 4] = [
    "samples 2 > lstm 6 > last > dense",
    "samples 2 scale=minmax > dense 5 tanh > gru 6 > mean > dense 5 relu > dense",
    "samples 2 > conv1d 6 k4 > rnn 5 > max > dense",
    "samples 2 > conv1d 6 k5 s3 > gru 4 > last > dense",
];

#[test]
fn an_image_behind_frames_of_rest_begins_where_the_cold_one_is_after_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path(), true)?;
    for (number, model) in SERIES.into_iter().enumerate() {
        let trained = run(&folder.path().join(number.to_string()), &data, model, Some("30"))?;
        let (source, vocabulary) = (trained.source(), &trained.opened.vocabulary);
        assert_eq!(source.warm_up, Some(&WarmUp::Frames(30)));
        let export = Export::of(source, false)?;
        let plain = Export::of(Source { warm_up: None, ..source }, false)?;
        let scaling = vocabulary.scaling.as_ref().expect("samples are scaled");
        let rest: Vec<f32> = scaling.channels.iter().map(|channel| channel.offset).collect();
        assert!((30.0..50.0).contains(&rest[0]), "the mean of a swing around 40, or the middle of its range: {rest:?}");
        for storage in STORAGES {
            let (warm, cold) = (export.image(storage)?, plain.image(storage)?);
            let (warm, cold) = (Image::open(&warm.bytes)?, Image::open(&cold.bytes)?);
            assert_eq!((warm.description().start, cold.description().start), (Start::behind(30), Start::NONE));
            let scalar = AnyBackend::by_name("scalar").expect("every machine has it");
            let (warm, cold) = (Model::new(&warm).with_backend(scalar), Model::new(&cold).with_backend(scalar));
            let (mut first, mut second) = (State::<ROOM>::new(), State::<ROOM>::new());
            let (mut found, mut expected) = (warm.session(&mut first)?, cold.session(&mut second)?);
            for _ in 0..30 {
                expected.push_samples_f32(&rest)?;
            }
            for layer in 0..usize::from(warm.layers()) - 1 {
                let is_pooling = model.contains("mean") || model.contains("max");
                let state = found.layer_state(layer);
                assert!(is_pooling || state == expected.layer_state(layer), "{model} in {}", storage.name());
            }
            for step in 0..9 {
                let frame = [rest[0] + f32::from(step as i8), rest[1]];
                found.push_samples_f32(&frame)?;
                expected.push_samples_f32(&frame)?;
                if model.contains("last") {
                    assert_eq!(found.output(), expected.output(), "{model} in {}", storage.name());
                }
            }
            let self_test = warm.self_test(State::<ROOM>::new().as_bytes_mut())?;
            let expected = if storage.precision().is_integer() { SelfTest::Passed } else { SelfTest::Absent };
            assert_eq!(self_test, expected);
        }
    }
    Ok(())
}

#[test]
fn an_image_behind_a_text_begins_after_its_words_and_whoever_asks_gets_the_same_bytes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = data(folder.path(), false)?;
    let (place, other) = (folder.path().join("run"), folder.path().join("plain"));
    let model = "text 9 > embedding 4 > lstm 5 > attention > dense";
    let trained = run(&place, &data, model, Some("the film, a unheard film"))?;
    let plain = run(&other, &data, model, None)?;
    // Training is unchanged.
    assert_eq!(trained.best.network, plain.best.network);
    let options = |storage, warm_up: Option<&str>| Options {
        storage,
        fold_to: None,
        calibrate: true,
        early_error: None,
        data: None,
        columns: Columns::default(),
        missing: None,
        calibrate_on: None,
        warm_up: warm_up.map(|warm_up| warm_up.parse().expect("a prefix")),
    };
    let export = Export::of(trained.source(), true)?;
    for storage in STORAGES {
        let made = export.image(storage)?;
        let exported = judged::export(&trained, &options(storage, None))?;
        assert!(exported.chosen().made.bytes[..] == made.bytes[..], "{}", storage.name());
        let over = options(storage, Some("the film, a unheard film"));
        let exported = judged::export(&plain, &over)?;
        assert!(exported.chosen().made.bytes[..] == made.bytes[..], "{}", storage.name());
        // What is judged is the image.
        let image = Image::open(&made.bytes)?;
        let evaluation = evaluate(&Model::new(&image), &trained.opened.validation)?;
        assert_eq!(exported.chosen().evaluation.logits, evaluation.logits);
        // Marks and unknown words are read as the model reads them.
        let words = trained.opened.vocabulary.ids("the film, a unheard film").len() as u32;
        assert_eq!(image.description().start, Start::behind(words));
        let other = judged::export(&trained, &options(storage, Some("not")))?;
        let other = Image::open(&other.chosen().made.bytes)?.description().start;
        assert_eq!(other, Start::behind(1));
    }
    Ok(())
}

#[test]
fn the_network_in_the_trainer_begins_where_the_image_in_floats_begins() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (series, words) = (data(folder.path(), true)?, data(folder.path(), false)?);
    let models = [
        (&series, "samples 2 > lstm 6 > last > dense"),
        (&series, "samples 2 > conv1d 6 k3 > lstm 6 > mean > dense"),
        (&words, "text 9 > embedding 4 > lstm 5 > lstm 3 > attention > dense"),
        (&words, "text 9 > embedding 4 > lstm 5 > gru 3 > max > dense 3 tanh > dense"),
        (&words, "text 9 > embedding 4 > rnn 5 > last > dense"),
    ];
    for (number, (data, model)) in models.into_iter().enumerate() {
        let mut trained = run(&folder.path().join(number.to_string()), data, model, None)?;
        let layers = &trained.best.network.config().chain.layers;
        let recurrent = layers.iter().enumerate().find_map(|(place, layer)| Some((place, layer.cell()?.units)));
        let (place, units) = recurrent.expect("it has a recurrent layer");
        let of = |count: usize, scale: f32| {
            (0..count).map(|unit| scale * ((unit * 5 % 7) as f32 - 3.0)).collect::<Vec<f32>>()
        };
        let cell = of(if model.contains("rnn") { 0 } else { units }, 0.5);
        let initial = Initial { layer: place, hidden: of(units, 0.25), cell };
        let cold = trained.best.network.clone();
        trained.best.network.begin_in(std::slice::from_ref(&initial))?;
        let source = trained.source();
        let read = Sequences::read(source.validation, source.vocabulary, usize::MAX);
        let (logits, _) = answers(&source.best.network, &read, source.config.train.objective())?;
        let (before, _) = answers(&cold, &read, source.config.train.objective())?;
        let far = logits.iter().zip(&before).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far > 1e-3, "{model}: the initial states change nothing");
        let export = Export::of(source, false)?;
        for storage in STORAGES {
            let made = export.image(storage)?;
            let image = Image::open(&made.bytes)?;
            assert_eq!(image.description().start, Start::behind(0));
            let evaluation = evaluate(&Model::new(&image), source.validation)?;
            let bound = match storage {
                Storage::F32 => 1e-4,
                Storage::F16 => 0.02,
                Storage::Int16 => 0.02,
                Storage::Int8 => 0.2,
                _ => 2.0,
            };
            for (ours, engines) in logits.iter().zip(&evaluation.logits) {
                assert!(
                    (ours - engines).abs() < bound * (1.0 + ours.abs()),
                    "{model}: {ours} and {engines} in {}",
                    storage.name()
                );
            }
            // Integers agree on every backend.
            let all: Vec<Vec<u32>> = AnyBackend::all()
                .map(|backend| {
                    let model = Model::new(&image).with_backend(backend);
                    let evaluation = evaluate(&model, source.validation).expect("it was judged before");
                    evaluation.logits.iter().map(|logit| Logit::Float(*logit).to_bits()).collect()
                })
                .collect();
            assert!(!storage.precision().is_integer() || all.iter().all(|bits| *bits == all[0]), "{model}");
        }
        // A warm-up goes on from them.
        let warm_up: WarmUp = if data == &series { "4" } else { "good film" }.parse().expect("a prefix");
        let made = Export::of(Source { warm_up: Some(&warm_up), ..source }, false)?.image(Storage::F32)?;
        assert_eq!(Image::open(&made.bytes)?.description().start, Start::behind(if data == &series { 4 } else { 2 }));
    }
    Ok(())
}

#[test]
fn a_prefix_that_a_model_cannot_read_is_refused_with_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (series, words) = (data(folder.path(), true)?, data(folder.path(), false)?);
    for (data, model, warm_up, problem) in [
        (&series, SERIES[0], "a text", "a number of frames from 1"),
        (&series, SERIES[0], "1000001", "a number of frames from 1"),
        (&series, "samples 2 > mean > dense", "30", "left out of a model without a recurrent layer"),
        (&words, "text 9 > embedding 4 > mean > dense", "film", "left out of a model without a recurrent layer"),
        (&words, "text 9 > embedding 4 > lstm 3 > last > dense", "250", "give the text itself"),
        (&series, SERIES[3], "31", "a multiple of 3"),
        (
            &series,
            "samples 2 > conv1d 4 k3 valid > gru 4 > last > dense",
            "30",
            "left out of a model with a valid convolution",
        ),
        (&series, "samples 2 difference=1 > gru 4 > last > dense", "30", "left out of a model with difference="),
        (
            &words,
            "text 9 > embedding 4 > conv1d 3 k2 s2 > last > dense",
            "film",
            "left out of a model of text with a stride",
        ),
    ] {
        let Err(error) = run(&folder.path().join("refused"), data, model, Some(warm_up)) else { panic!("{model}") };
        let said = format!("{error:#}");
        assert!(exit_code(&error) == 2 && said.contains("--warm-up") && said.contains(problem), "{said}");
        assert!(!folder.path().join("refused").exists(), "nothing is left behind");
    }
    let place = folder.path().join("run");
    let trained = run(&place, &words, "text 9 unknown=skip > embedding 4 > lstm 3 > last > dense", None)?;
    let warm_up: WarmUp = "unheard of".parse().expect("a prefix");
    let export = Export::of(Source { warm_up: Some(&warm_up), ..trained.source() }, false)?;
    let Err(error) = export.image(Storage::Int8) else { panic!("no word is known") };
    assert!(format!("{error:#}").contains("the network reads none of its words"), "{error:#}");
    Ok(())
}
