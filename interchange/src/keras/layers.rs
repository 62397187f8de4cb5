//! The layers of a description from those of a configuration and their tensors.
//!
//! Dropout and noise are left out, shapes that change nothing too; batch normalization goes into the layer beside it. What has no place in one chain of layers
//! is refused with the layer's name.

mod affine;
mod recurrent;
mod shapes;
mod simple;

use affine::Affine;
use serde_json::Value;

use super::config::Declared;
use super::entry::Entry;
use super::h5::Stored;
use super::weights::Weights;
use crate::Error;
use crate::described::{
    Activation, Answer, Described, Gain, Input, Kind, Layer, Matrix, Normalization, Pooling, Samples, Source, Task,
    Text, Vector,
};

/// What to do with tensors that do not belong together.
const ONE_NETWORK: &str = "save configuration and weights of one model together";

/// Layers that do nothing outside of training.
const OF_TRAINING: [&str; 9] = [
    "Dropout",
    "SpatialDropout1D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
    "InputLayer",
    "NotEqual",
];

/// Steps of what a layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    /// One vector of each, so many where the model says it.
    Each(Option<usize>),
    /// One vector.
    One,
}

/// A chain while it is built.
pub(super) struct Builder<'a> {
    weights: &'a Weights,
    declared: &'a Declared,
    layers: Vec<Layer>,
    steps: Steps,
    /// Features of the last layer; none until a kernel says those of the input.
    features: Option<usize>,
    /// Channels of the input, once they are known.
    channels: Option<usize>,
    normalization: Vec<Normalization>,
    /// A scale and a shift that a layer above must take in.
    pending: Option<Affine>,
    /// The layer that makes ids of texts.
    pub(super) text: Option<Entry>,
}

/// The description of a model; its source says the file. The layer that makes ids of texts is given beside it.
pub(super) fn described(
    declared: &Declared,
    weights: &Weights,
    source: Source,
    place: &str,
) -> Result<(Described, Option<Entry>), Error> {
    let mut builder = Builder::of(declared, weights)?;
    for entry in &declared.chain {
        builder.add(entry, entry)?;
    }
    if let Some(affine) = &builder.pending {
        return Err(affine.refuse("no layer stands behind it that could take it in"));
    }
    let answer = Answer { task: builder.task(), classes: None };
    let is_ids = matches!(builder.layers.first(), Some(Layer { kind: Kind::Embedding(_), .. }));
    let input = if is_ids {
        Input::Ids(Text::default())
    } else {
        let channels = builder.channels.or(builder.features).unwrap_or(0);
        Input::Samples(Samples { channels, normalization: builder.normalization, ..Samples::default() })
    };
    if builder.layers.is_empty() {
        return Err(Error::new(place, "it has no layer", "save the whole model"));
    }
    let gain = Gain::default();
    Ok((Described { source, input, layers: builder.layers, skip: None, gain, answer }, builder.text))
}

impl<'a> Builder<'a> {
    fn of(declared: &'a Declared, weights: &'a Weights) -> Result<Self, Error> {
        let (steps, features) = match declared.shape.as_deref() {
            None => (Steps::Each(None), None),
            // A vector: one step, or ids.
            Some(&[features]) => (Steps::One, features),
            Some(&[steps, features]) => (Steps::Each(steps), features),
            Some(shape) => {
                let at = declared.chain.first().map_or_else(String::new, Entry::at);
                let problem = format!("the input has {} axes beside that of sequences: {shape:?}", shape.len());
                return Err(Error::new(at, problem, "only sequences of features and of ids are read"));
            }
        };
        let (layers, normalization) = (Vec::new(), Vec::new());
        let (channels, pending, text) = (None, None, None);
        Ok(Self { weights, declared, layers, steps, features, channels, normalization, pending, text })
    }

    /// Adds a layer; `owner` is the one whose tensors it has, which is another one where a wrapper stands around it.
    fn add(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        match entry.class.as_str() {
            class if OF_TRAINING.contains(&class) => Ok(()),
            "TextVectorization" => self.texts(entry),
            "Embedding" => self.embedding(entry, owner),
            "LSTM" | "GRU" | "SimpleRNN" | "CuDNNLSTM" | "CuDNNGRU" => self.recurrent(entry, owner),
            "RNN" => self.of_cell(entry, owner),
            "Bidirectional" => self.bidirectional(entry),
            "TimeDistributed" => self.each_step(entry),
            "Dense" => self.dense(entry, owner),
            "Conv1D" => self.conv1d(entry, owner),
            "MaxPooling1D" => self.max_pooling(entry),
            "GlobalAveragePooling1D" => self.pool(entry, Pooling::Mean),
            "GlobalMaxPooling1D" => self.pool(entry, Pooling::Max),
            "Activation" => {
                let activation = entry.activation("activation", Activation::Linear)?;
                self.activation(entry, activation)
            }
            "ReLU" => {
                for (key, plain) in [("negative_slope", 0.0), ("threshold", 0.0)] {
                    if entry.number(key, plain)? != plain {
                        return Err(entry.refuse(key, "only a plain relu is read", "train with relu"));
                    }
                }
                entry.only("max_value", &Value::Null, "train with relu")?;
                self.activation(entry, Activation::Relu)
            }
            "Softmax" => self.activation(entry, Activation::Softmax),
            "Masking" => self.masking(entry),
            "Flatten" => self.flatten(entry),
            "Reshape" => self.reshape(entry),
            "BatchNormalization" => self.batch_normalization(entry, owner),
            "Normalization" => self.normalization(entry, owner),
            "LayerNormalization" => self.layer_normalization(entry, owner),
            "Lambda" => Err(entry.refuse("", "it runs Python code of its own (Lambda)", "build the model without it")),
            class => {
                let problem = format!("its class is {class:?}, which is not read");
                Err(entry.refuse("", problem, "docs/frameworks.md has the layers that are read"))
            }
        }
    }

    /// A wrapper around a layer that acts on each step by itself.
    fn each_step(&mut self, entry: &Entry) -> Result<(), Error> {
        let Some(inner) = entry.wrapped("layer")? else {
            return Err(entry.refuse("layer", "it is missing", "save the model again"));
        };
        let of_steps =
            ["Dense", "Activation", "ReLU", "Softmax", "BatchNormalization", "LayerNormalization", "Flatten"];
        match inner.class.as_str() {
            // The features of a step are one axis already.
            "Flatten" => Ok(()),
            class if of_steps.contains(&class) || OF_TRAINING.contains(&class) => self.add(&inner, entry),
            class => {
                let problem = format!("{class} in a TimeDistributed is not read");
                Err(entry.refuse("layer", problem, "use layers that act on each step, as Dense"))
            }
        }
    }

    /// The tensors of a layer.
    fn tensors(&self, owner: &Entry) -> Result<Vec<Stored>, Error> {
        self.weights.tensors(owner, &self.declared.all)
    }

    /// The tensors of a layer that has so many.
    fn exactly(&self, owner: &Entry, count: usize) -> Result<Vec<Stored>, Error> {
        let tensors = self.tensors(owner)?;
        if tensors.len() == count {
            return Ok(tensors);
        }
        let problem = format!("it has {} tensors, but its configuration declares {count}", tensors.len());
        Err(owner.refuse("", problem, ONE_NETWORK))
    }

    /// Refuses a tensor of another shape than the one that is declared.
    fn expect(&self, tensor: &Stored, shape: &[usize]) -> Result<(), Error> {
        if tensor.shape == shape {
            return Ok(());
        }
        let problem = format!("its shape is {:?}, but {shape:?} is declared", tensor.shape);
        Err(Error::new(self.weights.h5.at_tensor(tensor), problem, ONE_NETWORK))
    }

    /// A matrix outputs × inputs of a tensor inputs × outputs.
    fn kernel(&self, tensor: &Stored, inputs: usize, outputs: usize) -> Result<Matrix, Error> {
        self.expect(tensor, &[inputs, outputs])?;
        let values = self.weights.h5.turned(tensor, outputs)?;
        Ok(Matrix { source: tensor.name.clone(), rows: outputs, columns: inputs, values })
    }

    /// A vector of a tensor.
    fn vector(&self, tensor: &Stored, length: usize) -> Result<Vector, Error> {
        self.expect(tensor, &[length])?;
        Ok(Vector { source: tensor.name.clone(), values: self.weights.h5.values(tensor)? })
    }

    /// A bias that may be missing.
    fn bias(&self, tensor: Option<&Stored>, length: usize) -> Result<Vector, Error> {
        match tensor {
            Some(tensor) => self.vector(tensor, length),
            None => Ok(Vector { source: String::new(), values: vec![0.0; length] }),
        }
    }

    /// The features that a layer reads: those of the layer below, or what its kernel says of the input.
    fn inputs(&mut self, tensor: &Stored, axis: usize) -> usize {
        let features = self.features.unwrap_or_else(|| tensor.shape.get(axis).copied().unwrap_or(0));
        self.known(features);
        features
    }

    /// Says the features of the input, where nothing has said them.
    fn known(&mut self, features: usize) {
        if self.layers.is_empty() {
            self.channels.get_or_insert(features);
        }
    }

    fn push(&mut self, name: &str, kind: Kind, features: usize) {
        self.layers.push(Layer { name: name.to_owned(), kind });
        self.features = Some(features);
    }

    /// Refuses a layer that reads steps where there is one vector.
    fn steps_of(&self, entry: &Entry) -> Result<Option<usize>, Error> {
        match self.steps {
            Steps::Each(steps) => Ok(steps),
            Steps::One => {
                let class = &entry.class;
                let problem = format!("it ({class}) reads steps, and what is below gives one vector");
                Err(entry.refuse("", problem, "let the layer below return sequences"))
            }
        }
    }

    /// Refuses a layer that cannot take in the scale and shift before it.
    fn nothing_pending(&self, reason: &str) -> Result<(), Error> {
        self.pending.as_ref().map_or(Ok(()), |affine| Err(affine.refuse(reason)))
    }

    /// What the outputs mean, where the last layer says it.
    fn task(&self) -> Option<Task> {
        let last = self.layers.last()?;
        let (activation, outputs) = match &last.kind {
            Kind::Dense(dense) => (dense.activation, dense.kernel.rows),
            Kind::Activation(activation) => (*activation, self.features.unwrap_or(0)),
            _ => return None,
        };
        let is_one = self.steps == Steps::One && !self.declared.stepped && self.is_pooled();
        match (activation, outputs, is_one) {
            (Activation::Softmax, _, true) | (Activation::Sigmoid, 1, true) => Some(Task::Classify),
            (Activation::Softmax, _, false) | (Activation::Sigmoid, 1, false) => Some(Task::Tag),
            (Activation::Linear, _, true) => Some(Task::Regress),
            (Activation::Linear, _, false) => Some(Task::RegressEach),
            _ => None,
        }
    }

    fn is_pooled(&self) -> bool {
        self.layers.iter().any(|layer| match &layer.kind {
            Kind::Pooling(_) => true,
            Kind::Bidirectional(both) => !both.each_step,
            _ => false,
        })
    }
}
