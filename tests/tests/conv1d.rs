//! Promise: a causal convolution of the trainer, and of the engine in floats, computes what Keras computes with the same weights, at the same frames.

use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::input::text::Unknown;
use latch_tests::tolerances::{CHAINS, KERAS_F64, TRAINER_F32};
use latch_trainer::config::Storage;
use latch_trainer::config::chain::Pooling;
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::real::Real;
use latch_trainer::vocabulary::Vocabulary;
use nalgebra::DMatrix;
use serde::Deserialize;

type Matrix = Vec<Vec<f64>>;

/// One model of `make_conv1d.py`, in Keras's layout.
#[derive(Deserialize)]
struct Golden {
    name: String,
    /// Frames × channels.
    series: Matrix,
    layers: Vec<Layer>,
    /// Of each layer, answers × units.
    keras: Vec<Matrix>,
}

#[derive(Deserialize)]
struct Layer {
    /// Frames of the window × inputs × units.
    kernel: Vec<Matrix>,
    bias: Vec<f64>,
    stride: usize,
    activation: String,
}

fn number<T: Real>(value: f64) -> T {
    T::of(f64::from(value as f32))
}

impl Golden {
    fn all() -> Vec<Self> {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("../goldens/conv1d.json")).expect("make_conv1d.py writes this");
        assert_eq!(goldens.len(), 7);
        goldens
    }

    /// The network up to a layer, whose embedding has a row for each frame, and whose answers are the layer's values.
    fn network<T: Real>(&self, layer: usize, pooling: Option<Pooling>) -> Network<T> {
        let layers = &self.layers[..=layer];
        let text = |Layer { kernel, bias, stride, activation }: &Layer| {
            format!("conv1d {} k{} s{stride} {activation}", bias.len(), kernel.len())
        };
        let mut chain: Vec<String> = layers.iter().map(text).collect();
        chain.extend(pooling.map(|pooling| pooling.name().to_owned()));
        let chain = format!("embedding {} > {} > dense", self.series[0].len(), chain.join(" > "));
        let units = layers[layer].bias.len();
        let config =
            NetworkConfig { vocabulary: self.series.len(), outputs: units, chain: chain.parse().expect("a chain") };
        let frames = self.series.iter().flatten().map(|&value| number(value));
        let mut tensors = vec![DMatrix::from_iterator(self.series[0].len(), self.series.len(), frames)];
        for Layer { kernel, bias, .. } in layers {
            // A column for each value of the window.
            let columns: Vec<&Vec<f64>> = kernel.iter().flatten().collect();
            let values = columns.iter().flat_map(|column| column.iter()).map(|&value| number(value));
            tensors.push(DMatrix::from_iterator(bias.len(), columns.len(), values));
            tensors.push(DMatrix::from_iterator(bias.len(), 1, bias.iter().map(|&value| number(value))));
        }
        tensors.extend([DMatrix::identity(units, units), DMatrix::zeros(units, 1)]);
        Network::from_tensors(config, tensors).expect("the weights of the chain")
    }

    /// Frames from one answer of a layer to the next.
    fn stride(&self, layer: usize) -> usize {
        self.layers[..=layer].iter().map(|layer| layer.stride).product()
    }

    fn ids(&self) -> Vec<u32> {
        (0..self.series.len() as u32).collect()
    }
}

fn differences<T: Real>(tolerance: f64) {
    for golden in Golden::all() {
        for (layer, expected) in golden.keras.iter().enumerate() {
            let found =
                golden.network::<T>(layer, None).forward(&[&golden.ids()]).expect("its ids are in its vocabulary");
            let stride = golden.stride(layer);
            assert_eq!(expected.len(), golden.series.len().div_ceil(stride), "{}", golden.name);
            for frame in 0..golden.series.len() {
                for (found, expected) in found.column(frame).iter().zip(&expected[frame / stride]) {
                    let difference = (found.as_f64() - expected).abs();
                    assert!(difference <= tolerance, "{}, frame {frame}: {found} is not {expected}", golden.name);
                }
            }
        }
    }
}

#[test]
fn the_trainer_in_f64_computes_the_convolutions_of_keras() {
    differences::<f64>(KERAS_F64);
}

#[test]
fn the_trainer_in_f32_computes_the_convolutions_of_keras() {
    differences::<f32>(TRAINER_F32);
}

#[test]
fn the_engine_in_floats_computes_the_convolutions_of_keras_at_the_same_frames() {
    for golden in Golden::all() {
        let layer = golden.layers.len() - 1;
        let network = golden.network::<f32>(layer, Some(Pooling::Last));
        let words = golden.ids().iter().map(|id| format!("w{}", "x".repeat(*id as usize))).collect();
        let vocabulary = Vocabulary::from_words(words, Unknown::Skip);
        let bytes = to_image(&Weights::of(&network), &vocabulary, Storage::F32, &Origin::default()).expect("an image");
        let model = Model::new(&Image::open(&bytes).expect("it opens"));
        let mut state = latch_trainer::evaluate::state_for(&model);
        let mut session = model.session_in(&mut state).expect("there is room");
        let stride = golden.stride(layer);
        for id in golden.ids() {
            session.push_token(id);
            for (output, &expected) in golden.keras[layer][id as usize / stride].iter().enumerate() {
                let found = f64::from(session.logit(output).to_f32());
                assert!((found - expected).abs() < f64::from(CHAINS), "{}: {found} is not {expected}", golden.name);
            }
        }
    }
}
