//! Promise: a network that PyTorch or Keras has saved computes here what it computed there. Their files stand in `goldens/`, with the script
//! that made them out of the modules in `examples/`.

use std::collections::HashMap;

use latch_engine::image::Image;
use latch_engine::{Model, Precision, State};
use latch_tests::models::ROOM;
use latch_tests::tolerances;
use latch_trainer::config::chain::Pooling;
use latch_trainer::exchange::{Format, Given, Layout, Received, from_bytes};
use latch_trainer::quantizer::Weights;
use latch_trainer::quantizer::{Origin, to_image};
use serde::Deserialize;

/// What the frameworks computed.
#[derive(Deserialize)]
struct Golden {
    words: Vec<String>,
    texts: Vec<Vec<u32>>,
    /// By framework and pooling, a logit a text.
    logits: HashMap<String, HashMap<String, Vec<f64>>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../goldens/safetensors_logits.json")).expect("make_safetensors.py writes this")
}

const PYTORCH: &[u8] = include_bytes!("../goldens/pytorch.safetensors");
const KERAS: &[u8] = include_bytes!("../goldens/keras.safetensors");

const POOLINGS: [(Pooling, &str); 4] =
    [(Pooling::Last, "last"), (Pooling::Mean, "mean"), (Pooling::Max, "max"), (Pooling::Attention, "attention")];

/// PyTorch's file, which has no metadata.
fn pytorch(golden: &Golden, pooling: Pooling) -> Received {
    let given = Given { vocabulary: Some(golden.words.clone()), pooling: Some(pooling), ..Given::default() };
    from_bytes(PYTORCH, "pytorch.safetensors", &given).expect("save_file wrote it")
}

fn worst(found: impl Iterator<Item = f64>, expected: &[f64]) -> f64 {
    let differences: Vec<f64> = found.zip(expected).map(|(a, b)| (a - b).abs()).collect();
    assert_eq!(differences.len(), expected.len());
    differences.into_iter().fold(0.0, f64::max)
}

/// Compares the trainer's and the engine's logits of every text with the framework's.
fn assert_agrees(what: &str, received: &Received, texts: &[Vec<u32>], expected: &[f64]) {
    let ids: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let logits = received.network.convert::<f64>().forward(&ids).expect("the ids are in the vocabulary");
    let trainer = worst(logits.iter().copied(), expected);

    let bytes = to_image(&Weights::of(&received.network), &received.vocabulary, Precision::F32, &Origin::default())
        .expect("it fits an image");
    let image = Image::open(&bytes).expect("the image was just made");
    let model = Model::new(&image);
    let engine = texts.iter().map(|text| {
        let mut state = State::<ROOM>::new();
        let mut session = model.session(&mut state).expect("there is room");
        assert!(text.iter().all(|&id| session.push_token(id)));
        f64::from(session.output().to_f32())
    });
    let engine = worst(engine, expected);
    println!("{what}: trainer off by {trainer:.1e}, engine by {engine:.1e}");
    assert!(trainer <= tolerances::FRAMEWORK_F32, "{what}: the trainer is off by {trainer:.1e}");
    assert!(engine <= tolerances::ENGINE_F32, "{what}: the engine is off by {engine:.1e}");
}

#[test]
fn what_pytorch_saved_without_a_word_of_metadata_computes_what_pytorch_computed() {
    let golden = golden();
    for (pooling, name) in POOLINGS {
        let received = pytorch(&golden, pooling);
        assert_eq!(
            (received.format, received.network.config().chain.cells().count()),
            (Format::Safetensors(Layout::PyTorch), 2)
        );
        assert_agrees(&format!("pytorch, {name}"), &received, &golden.texts, &golden.logits["pytorch"][name]);
    }
}

#[test]
fn what_the_keras_example_saved_says_all_and_computes_what_keras_computed() {
    let golden = golden();
    let received = from_bytes(KERAS, "keras.safetensors", &Given::default()).expect("the example wrote it");
    assert_eq!(
        (received.format, received.vocabulary.words()),
        (Format::Safetensors(Layout::Keras), golden.words.as_slice())
    );
    assert_agrees("keras, mean", &received, &golden.texts, &golden.logits["keras"]["mean"]);
}

#[test]
fn the_weights_of_one_framework_compute_the_same_in_the_layout_of_the_other() {
    let golden = golden();
    for (pooling, name) in POOLINGS {
        let received = pytorch(&golden, pooling);
        let bytes = latch_trainer::exchange::to_bytes(
            &received.network,
            &received.vocabulary,
            &received.answers,
            Layout::Keras,
        )
        .expect("a network can be written");
        let again = from_bytes(&bytes, "again", &Given::default()).expect("Latch wrote it");
        assert_eq!((again.network == received.network, again.format), (true, Format::Safetensors(Layout::Keras)));
        assert_agrees(&format!("keras, {name}"), &again, &golden.texts, &golden.logits["pytorch"][name]);
    }
}
