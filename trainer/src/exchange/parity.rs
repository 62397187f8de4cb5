//! Whether an image computes what a description says: the f32 image through the engine against the plain reference in f64, layer by layer.
//!
//! The outputs of a layer are those of a network that ends with it and an identity, which is run as an image of its own. The last row is the model itself, with its gains
//! and what goes around it.

use std::borrow::Cow;

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::header::{Answer, AnswerKind};
use latch_engine::layers::dense::MAX_OUTPUTS;
use latch_engine::with_answer;
use latch_engine::{Error, Model, Session};
use latch_interchange::reference::{self, Computed};
use latch_interchange::{Activation, Dense, Described, Gain, Kind, Layer, Matrix, Pooling, Source, Vector};
use rand::RngExt;
use serde::Serialize;

use super::network::of_layers;
use super::samples::{Probe, amplify, answering, rhythm};
use crate::batches::generator;
use crate::config::Storage;
use crate::config::chain::LayerConfig;
use crate::error::{Fault, fault};
use crate::evaluate::{image_fault, state_for};
use crate::network::Network;
use crate::outputs::outputs_of;
use crate::quantizer::{Origin, Weights, to_image};
use crate::vocabulary::Vocabulary;

/// How far an image is from its description behind one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The layer as its file calls it; `answer` of the whole model.
    pub layer: String,
    /// Its kind.
    pub kind: &'static str,
    /// Values that were compared.
    pub values: usize,
    /// The largest magnitude among them.
    pub largest_value: f64,
    /// The largest difference.
    pub largest_difference: f64,
}

/// What a model and its image read.
#[derive(Clone, Copy)]
enum Fed<'a> {
    /// Samples.
    Samples(&'a Probe),
    /// Ids of words.
    Ids(&'a [u32], &'a Vocabulary),
}

/// Compares a model of samples with its f32 image on a probe.
///
/// # Errors
/// An internal failure where an image cannot be made or run.
pub fn compare(place: &str, model: &Described, probe: &Probe) -> Result<Vec<Difference>> {
    let layers = reference::of_samples(model, &probe.frames).layers;
    let answers: Vec<f64> = probe.answers.iter().map(|&answer| f64::from(answer)).collect();
    compared(place, model, Fed::Samples(probe), Computed { layers, answers })
}

/// Compares a model of texts with its f32 image on ids. Its pooling is one of its layers.
///
/// # Errors
/// An internal failure where an image cannot be made or run.
pub fn compare_ids(place: &str, model: &Described, vocabulary: &Vocabulary, ids: &[u32]) -> Result<Vec<Difference>> {
    compared(place, model, Fed::Ids(ids, vocabulary), reference::of_ids(model, ids))
}

/// Seeded ids of the words of a model: as many as let every layer answer, and no more than a layer of two directions keeps.
pub fn seeded_ids(model: &Described, rows: usize, longest: usize) -> Vec<u32> {
    let mut random = generator([2, 0, 0, 0x7072_6f62]);
    let both = model.layers.iter().any(|layer| matches!(layer.kind, Kind::Bidirectional(_)));
    let steps = STEPS + rhythm(&model.layers).first;
    let steps = if both { steps.min(longest) } else { steps };
    (0..steps).map(|_| random.random_range(0..rows.max(1) as u32)).collect()
}

/// Words that a model of texts is compared on, behind those before its first answer.
const STEPS: usize = 64;

/// Compares what a model computes with its f32 image, layer by layer and in the end.
fn compared(place: &str, model: &Described, fed: Fed<'_>, computed: Computed) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (number, (layer, inputs)) in model.fed().enumerate() {
        // The probe has nothing that is masked.
        if matches!(layer.kind, Kind::Masking(_)) {
            continue;
        }
        let features = layer.kind.features(inputs);
        let expected = &computed.layers[number];
        let mut difference = Difference::of(&layer.name, layer.kind.name());
        // A head has no more outputs than an image's.
        for from in (0..features).step_by(MAX_OUTPUTS) {
            let shown = from..features.min(from + MAX_OUTPUTS);
            let part = Cow::Owned(up_to(model, number, features, shown.clone()));
            let found = run(place, part, fed)?;
            // An output of a stride holds until the next, and what stands before the first is none; the reference has each once.
            let (layers, rhythm) = (&model.layers[..=number], rhythm(&model.layers[..=number]));
            let before = if answers_once(layers) { 0 } else { rhythm.first };
            let found = found.chunks_exact(shown.len()).skip(before).step_by(rhythm.stride).flatten().copied();
            // Two directions have one answer, behind the last step.
            let first = if reads_whole(&model.layers[..=number]) { expected.len().saturating_sub(features) } else { 0 };
            let steps = expected[first..].chunks_exact(features);
            difference.take(found, steps.flat_map(|step| step[shown.clone()].iter().copied()));
        }
        differences.push(difference);
    }
    let mut difference = Difference::of("answer", "output");
    difference.take(run(place, Cow::Borrowed(model), fed)?.into_iter(), computed.answers.into_iter());
    differences.push(difference);
    Ok(differences)
}

/// Checks that the sums of a network stay within f32, as an engine does that opens its image.
///
/// # Errors
/// A fault that names the file and the layer whose weights are too large.
pub fn check_sums(place: &str, model: &Described, network: &Network<f32>, vocabulary: &Vocabulary) -> Result<()> {
    let made = to_image(&Weights::of(network), vocabulary, Storage::F32, &Origin::default());
    let opened = made.and_then(|bytes| Ok(Image::open(&bytes).map(|_| ())?));
    let Err(error) = opened else { return Ok(()) };
    match error.downcast_ref::<Error>() {
        Some(&Error::TooLarge { layer, .. }) => Err(too_large(place, model, network, layer).into()),
        Some(&other) => Err(image_fault(place, other).into()),
        None => Err(error),
    }
}

/// A layer of an image whose weights are too large, by the names of the file.
fn too_large(place: &str, model: &Described, network: &Network<f32>, layer: u8) -> Fault {
    let has_weights = |layer: &&LayerConfig| !matches!(layer, LayerConfig::Pooling(_) | LayerConfig::MaxPool { .. });
    let below = network.config().chain.layers.iter().take(layer.into()).filter(has_weights).count();
    let is_of_image = |layer: &&Layer| {
        let is_empty = layer.kind.matrices().is_empty() && layer.kind.vectors().is_empty();
        !is_empty && !matches!(layer.kind, Kind::Embedding(_))
    };
    let of_file: Vec<&Layer> = model.layers.iter().filter(is_of_image).collect();
    let remedy = "train it with a lower learning rate or with weight decay, or scale what it reads";
    // Behind the last there may be an identity.
    let Some(found) = of_file.get(below).or(of_file.last()) else {
        return fault(place, "its weights are too large for sums in f32", remedy);
    };
    let largest = |matrix: &Matrix| matrix.values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let matrices = found.kind.matrices();
    let reached = matrices.into_iter().max_by(|a, b| largest(a).total_cmp(&largest(b)));
    let tensor = reached.filter(|matrix| !matrix.source.is_empty());
    let tensor = tensor.map_or_else(String::new, |matrix| format!(", tensor {}", matrix.source.escape_debug()));
    let reach = reached.map_or(f32::INFINITY, largest);
    let problem = format!("its weights reach {reach:.1e}, so that a sum in f32 may become an infinity");
    fault(format!("{place}: layer {}{tensor}", found.name.escape_debug()), problem, remedy)
}

/// A difference beyond this part of the largest value is none of rounding: a hundred times what f32 loses in a recurrent layer.
const ROUNDING: f64 = 1e-3;

impl Difference {
    /// Whether the image computes something else than the file says.
    pub fn is_large(&self) -> bool {
        self.largest_difference > ROUNDING * self.largest_value.max(ROUNDING)
    }

    fn of(layer: &str, kind: &'static str) -> Self {
        Difference { layer: layer.to_owned(), kind, values: 0, largest_value: 0.0, largest_difference: 0.0 }
    }

    /// Takes in what an image gave and what was to come out.
    fn take(&mut self, found: impl Iterator<Item = f32>, expected: impl Iterator<Item = f64>) {
        for (found, expected) in found.zip(expected) {
            self.values += 1;
            self.largest_value = self.largest_value.max(expected.abs());
            self.largest_difference = self.largest_difference.max((f64::from(found) - expected).abs());
        }
    }
}

/// The model up to a layer of so many features, some of which are its outputs.
fn up_to(model: &Described, number: usize, features: usize, shown: std::ops::Range<usize>) -> Described {
    let mut layers = model.layers[..=number].to_vec();
    let values = shown.clone().flat_map(|unit| (0..features).map(move |column| f32::from(column == unit))).collect();
    let kernel = Matrix { source: String::new(), rows: shown.len(), columns: features, values };
    let bias = Vector { source: String::new(), values: vec![0.0; shown.len()] };
    let identity = Dense { kernel, bias, activation: Activation::Linear };
    if reads_whole(&layers) {
        layers.push(Layer { name: "last".to_owned(), kind: Kind::Pooling(Pooling::Last) });
    }
    layers.push(Layer { name: "identity".to_owned(), kind: Kind::Dense(identity) });
    Described {
        source: Source::of(model.source.format),
        input: model.input.clone(),
        layers,
        skip: None,
        gain: Gain { output: 1.0, ..model.gain },
        answer: model.answer.clone(),
    }
}

/// Whether the image of some layers has one answer in all.
fn answers_once(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| matches!(layer.kind, Kind::Bidirectional(_) | Kind::Pooling(_)))
}

/// Whether layers answer each step when the whole sequence is known only.
fn reads_whole(layers: &[Layer]) -> bool {
    let each_step = layers.iter().map(|layer| match &layer.kind {
        Kind::Bidirectional(both) => Some(both.each_step),
        Kind::Pooling(_) => Some(false),
        _ => None,
    });
    // The last of them says what comes out.
    each_step.flatten().next_back().unwrap_or(false)
}

/// The outputs of a model's f32 image, step after step. Each form of the weights goes when the next one is made of it.
fn run(place: &str, model: Cow<'_, Described>, fed: Fed<'_>) -> Result<Vec<f32>> {
    let (longest, vocabulary) = match fed {
        Fed::Samples(probe) => {
            let scaling = answering(&model, &probe.scaling);
            let channels = probe.scaling.channels.len().max(1);
            (probe.frames.len() / channels, Cow::Owned(Vocabulary::of_samples(scaling)))
        }
        Fed::Ids(ids, vocabulary) => (ids.len(), Cow::Borrowed(vocabulary)),
    };
    let mut network = of_layers(place, &model, None, longest)?;
    amplify(&mut network, model.gain.output);
    let kind = if model.skip.is_some() { AnswerKind::Values } else { AnswerKind::Classes };
    let answer = Answer { kind, each_step: model.pooling().is_none() };
    drop(model);
    let weights = Weights::of(&network);
    drop(network);
    let bytes = to_image(&weights, &vocabulary, Storage::F32, &Origin::default())?;
    drop(weights);
    let bytes = with_answer(&Image::open(&bytes)?, answer, &[])?;
    let image = Image::open(&bytes)?;
    let model = Model::new(&image);
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    match fed {
        Fed::Samples(probe) => Ok(outputs_of(&mut session, &probe.frames)?.values),
        Fed::Ids(ids, _) => Ok(outputs_of_ids(&mut session, ids)),
    }
}

/// The outputs after each id, or after the last where the answer is one.
fn outputs_of_ids(session: &mut Session<'_, '_, '_>, ids: &[u32]) -> Vec<f32> {
    let (outputs, each_step) = (session.model().outputs(), session.model().answer().each_step);
    let mut values = Vec::new();
    for (place, &id) in ids.iter().enumerate() {
        session.push_token(id);
        if each_step || place + 1 == ids.len() {
            values.extend((0..usize::from(outputs)).map(|output| session.logit(output).to_f32()));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use latch_interchange::{Answer, Cell, Format, Input, Recurrent, Samples};

    use super::*;
    use crate::samples::Scaling;

    #[test]
    fn weights_that_are_too_large_are_refused_by_the_layer_and_the_tensor() {
        let matrix = |source: &str, rows, value: f32| Matrix {
            source: source.to_owned(),
            rows,
            columns: 2,
            values: vec![value; 2 * rows],
        };
        let vector = |units| Vector { source: String::new(), values: vec![0.0; units] };
        let model = |below: f32, recurrent: f32, head: f32| {
            let kernels = (matrix("W", 2, below), matrix("U", 2, recurrent));
            let cell = Kind::Recurrent(Recurrent::new(Cell::Rnn, 2, kernels, vector(2)));
            let kernel = matrix("V", 1, head);
            let dense = Kind::Dense(Dense { kernel, bias: vector(1), activation: Activation::Linear });
            Described {
                source: Source::of(Format::Keras),
                input: Input::Samples(Samples { channels: 2, ..Samples::default() }),
                layers: vec![Layer { name: "cell".into(), kind: cell }, Layer { name: "head".into(), kind: dense }],
                skip: None,
                gain: Gain::default(),
                answer: Answer::default(),
            }
        };
        let check = |model: &Described| {
            let network = of_layers("net", model, None, 1).expect("a network");
            let Input::Samples(samples) = &model.input else { panic!("samples") };
            let scaling: Scaling = super::super::samples::scaling(model, samples, &[1.0, 1.0]);
            check_sums("net", model, &network, &Vocabulary::of_samples(scaling))
        };
        check(&model(0.5, 0.5, 0.5)).expect("usual weights");
        for (model, words) in [
            (model(3e38, 0.5, 0.5), "net: layer cell, tensor W: its weights reach 3.0e38"),
            (model(0.5, 3e38, 0.5), "net: layer cell, tensor U: its weights reach 3.0e38"),
            (model(0.5, 0.5, -3e38), "net: layer head, tensor V: its weights reach 3.0e38"),
        ] {
            let error = check(&model).expect_err(words);
            assert!(error.downcast_ref::<Fault>().is_some() && error.to_string().starts_with(words), "{error}");
        }
    }
}
