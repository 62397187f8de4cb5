//! JSON of RTNeural, in Keras's layout or PyTorch's, and of AIDA-X, which is the former with a few keys more.
//!
//! ```text
//! Keras    in_shape […, channels]    layers: type, shape […, units], activation, weights
//!          dense W [inputs, units], b [units]          lstm W [inputs, 4·units], U [units, 4·units], b [4·units]; gates i, f, c, o
//!          conv1d W [frames, inputs, units], b [units]  gru W [inputs, 3·units], U [units, 3·units], b [2, 3·units]; gates z, r, h
//! PyTorch  the tensors of a state_dict alone
//! AIDA-X   in_gain, out_gain in dB; in_skip 0 or 1; samplerate; input_batch, output_batch
//!          y = out_gain · (network(in_gain · x) + in_gain · x)                             without the last term where in_skip is 0
//! ```
//!
//! An activation that is a layer of its own is folded into the dense layer or the convolution before it. The files of PyTorch's layout say neither activations nor
//! strides: only recurrent layers and one dense layer are read of them. Sources: `RTNeural/model_loader.h`, `RTNeural/torch_helpers.h` and AIDA-X's manual.

use crate::Error;
use crate::described::{
    Activation, Answer, Cell, Conv1d, Dense, Described, Format, Gain, Input, Kind, Layer, Limits, Matrix, Padding,
    Probe, Recurrent, Samples, Skip, Source, Task, Vector, channel_names,
};
use crate::json::{Json, Object, matrix, place_of, size, vector};
use crate::names::{Family, Layout};
use crate::remark::REMARK;
use crate::torch;

/// Whether an object is such a file.
pub(crate) fn is(object: &Object) -> bool {
    (object.get("in_shape").is_some() && object.get("layers").is_some()) || !stacks(object).is_empty()
}

/// The prefixes of recurrent layers in a `state_dict`, in the order of the file.
fn stacks(object: &Object) -> Vec<String> {
    object.0.iter().filter_map(|(key, _)| key.strip_suffix("weight_ih_l0").map(str::to_owned)).collect()
}

/// Reads a model; `place` is the file.
///
/// # Errors
/// Names the layer that Latch does not have; and the entry or the tensor that is missing or has another size than the one that is declared.
pub(crate) fn read(object: Object, place: &str, limits: &Limits) -> Result<Described, Error> {
    let model = if object.get("layers").is_some() { keras(object, place, limits)? } else { pytorch(object, place)? };
    model.check(place, limits)?;
    Ok(model)
}

/// The model of PyTorch's layout: its recurrent layers, then one dense layer.
fn pytorch(mut tensors: Object, place: &str) -> Result<Described, Error> {
    let prefixes = stacks(&tensors);
    let first = format!("{}weight_ih_l0", prefixes[0]);
    let channels = match tensors.get(&first) {
        Some(Json::Tensor(tensor)) if tensor.shape.len() == 2 => tensor.shape[1],
        other => {
            let problem = format!("it is {}, and no matrix", other.map_or_else(|| "null".into(), Json::shown));
            return Err(Error::new(place_of(place, &first), problem, "save the state_dict of the network"));
        }
    };
    let there = torch::named(&tensors);
    let (mut layers, mut inputs) = (Vec::new(), channels);
    for prefix in prefixes {
        let declared = torch::shown(place, &tensors, &prefix)?;
        layers.extend(torch::stack(place, &mut tensors, &prefix, inputs, declared)?);
        inputs = declared.units;
    }
    let left = |(key, value): &(String, Json)| {
        (*value != Json::Null).then(|| key.strip_suffix("weight")).flatten().map(str::to_owned)
    };
    let dense: Vec<String> = tensors.0.iter().filter_map(left).collect();
    if let [prefix] = dense.as_slice() {
        layers.push(torch::dense(place, &mut tensors, prefix, inputs, None)?);
    }
    if let [_, second, ..] = dense.as_slice() {
        let problem = "a file of tensors does not say what stands between two dense layers or convolutions";
        let remedy = "export the model in Keras's layout, or as GuitarML does";
        return Err(Error::new(place_of(place, &format!("{second}weight")), problem, remedy));
    }
    torch::refuse_left(place, &tensors)?;
    let notes = torch::unbiased(&there, &layers);
    let mut model = described(Layout::PyTorch, Samples { channels, ..Samples::default() }, layers);
    model.source.notes = notes;
    Ok(model)
}

/// A model without gains and skip.
fn described(layout: Layout, samples: Samples, layers: Vec<Layer>) -> Described {
    Described {
        source: Source::of(Format::RtNeural(layout)),
        input: Input::Samples(samples),
        layers,
        skip: None,
        gain: Gain::default(),
        answer: Answer { task: Some(Task::RegressEach), classes: None },
    }
}

/// The last value of a shape, whose others may be null.
fn last(place: &str, name: &str, json: Option<&Json>, most: usize) -> Result<usize, Error> {
    let value = match json {
        Some(Json::Tensor(tensor)) if tensor.shape.len() == 1 => {
            tensor.values.last().map(|&last| Json::Number(f64::from(last)))
        }
        Some(Json::Array(items)) => items.last().cloned(),
        other => other.cloned(),
    };
    size(place, name, value.as_ref(), most)
}

/// The model of Keras's layout.
fn keras(mut object: Object, place: &str, limits: &Limits) -> Result<Described, Error> {
    let channels = last(place, "in_shape", object.get("in_shape"), limits.width)?;
    let rate = object.object("metadata").and_then(|metadata| metadata.number("samplerate"));
    let rate = rate.or_else(|| object.number("samplerate"));
    let is_aida = rate.is_some() || ["in_skip", "in_gain", "out_gain"].iter().any(|key| object.get(key).is_some());
    let names = if is_aida { channel_names(channels) } else { Vec::new() };
    let Some(items) = object.take("layers").and_then(Json::into_items) else {
        return Err(Error::new(format!("{place}: layers"), "they are no array", "export the model again"));
    };
    let (mut layers, mut inputs): (Vec<Layer>, usize) = (Vec::new(), channels);
    for (number, item) in items.into_iter().enumerate() {
        let Json::Object(item) = item else {
            let problem = format!("it is {}, and no layer", item.shown());
            return Err(Error::new(format!("{place}: layers[{number}]"), problem, "export the model again"));
        };
        let before = layers.last_mut().map(|layer| &mut layer.kind);
        if let Some(kind) = (Reading { place, number, inputs, limits }).layer(item, before)? {
            inputs = kind.features(inputs);
            layers.push(Layer { name: format!("layers[{number}], {}", kind.name()), kind });
        }
    }
    let mut model = described(Layout::Keras, Samples { channels, names, rate, ..Samples::default() }, layers);
    model.skip = match object.get("in_skip") {
        None => None,
        Some(Json::Number(number)) if *number == 0.0 => None,
        Some(Json::Number(number)) if *number == 1.0 => Some(Skip::of(0)),
        Some(other) => {
            let problem = format!("it is {}, and one input goes around the network, or none", other.shown());
            return Err(Error::new(format!("{place}: in_skip"), problem, "train with a skip of 0 or 1"));
        }
    };
    // A gain of d dB is 10^(d/20).
    let gain = |key: &str| object.number(key).map_or(1.0, |decibels| 10_f64.powf(decibels / 20.0) as f32);
    model.gain = Gain { input: gain("in_gain"), output: gain("out_gain") };
    match (object.get("input_batch"), object.get("output_batch")) {
        (Some(Json::Tensor(input)), Some(Json::Tensor(output))) if input.shape == output.shape && channels == 1 => {
            let (input, output) = (input.values.clone(), output.values.clone());
            model.source.probe = Some(Probe { input, output });
        }
        (None, None) => {}
        (input, output) => model.source.notes.push((REMARK.to_owned(), unusable(input, output, channels))),
    }
    Ok(model)
}

/// Why the samples that a file brings, with what it answers to them, are not compared.
fn unusable(input: Option<&Json>, output: Option<&Json>, channels: usize) -> String {
    let shown = |json: Option<&Json>| json.map_or_else(|| "missing".to_owned(), Json::shown);
    let reason = if channels == 1 {
        "an answer a sample is needed".to_owned()
    } else {
        format!("the model reads {channels} channels, and one is needed")
    };
    let (input, output) = (shown(input), shown(output));
    format!(
        "the file's own input and answers are not compared: input_batch is {input}, output_batch is {output}, and {reason}"
    )
}

/// A layer of the file, and what it reads.
#[derive(Clone, Copy)]
struct Reading<'a> {
    place: &'a str,
    number: usize,
    inputs: usize,
    limits: &'a Limits,
}

impl Reading<'_> {
    /// The place of an entry.
    fn entry(&self, key: &str) -> String {
        format!("layers[{}].{key}", self.number)
    }

    fn refuse<T>(&self, key: &str, problem: String, remedy: &str) -> Result<T, Error> {
        Err(Error::new(format!("{}: {}", self.place, self.entry(key)), problem, remedy))
    }

    /// What the layer is; nothing of an activation, which goes into the layer `before` it.
    fn layer(&self, mut item: Object, before: Option<&mut Kind>) -> Result<Option<Kind>, Error> {
        let Some(kind) = item.text("type").map(str::to_owned) else {
            return self.refuse("type", "it is missing".into(), "export the model again");
        };
        let activation = self.activation(&item)?;
        if kind == "activation" || Activation::of_layer(&kind).is_some() {
            let activation = Activation::of_layer(&kind).or(activation).unwrap_or(Activation::Linear);
            let sums = match before {
                Some(Kind::Dense(dense)) => Some(&mut dense.activation),
                Some(Kind::Conv1d(conv1d)) => Some(&mut conv1d.activation),
                _ => None,
            };
            let Some(sums) = sums.filter(|sums| **sums == Activation::Linear) else {
                let problem = format!("{} stands behind no dense layer or convolution without one", activation.name());
                return self.refuse("type", problem, "train the network without it, or with a dense layer before it");
            };
            *sums = activation;
            return Ok(None);
        }
        let family = match kind.as_str() {
            "dense" | "time-distributed-dense" => None,
            "conv1d" => None,
            "lstm" => Some(Family::Lstm),
            "gru" => Some(Family::Gru),
            other => {
                let problem = format!(
                    "it is {other:?}, and Latch has dense, conv1d, lstm and gru, and the activations relu, tanh and sigmoid"
                );
                return self.refuse("type", problem, "train the network without it");
            }
        };
        let units = last(self.place, &self.entry("shape"), item.get("shape"), self.limits.width)?;
        let shown = item.get("weights").map_or_else(|| "missing".into(), Json::shown);
        let Some(weights) = item.take("weights").and_then(Json::into_items) else {
            return self.refuse("weights", format!("it is {shown}, and no array of tensors"), "export the model again");
        };
        let wanted = if family.is_some() { 3 } else { 2 };
        if weights.len() != wanted {
            let problem = format!("there are {} tensors, but {wanted} of a {kind} are needed", weights.len());
            return self.refuse("weights", problem, "export a model with biases");
        }
        Ok(Some(match family {
            Some(family) => self.recurrent(family, units, activation, weights)?,
            None if kind == "conv1d" => self.conv1d(&item, units, activation, weights)?,
            None => {
                let (kernel, bias) = self.dense(units, weights)?;
                Kind::Dense(Dense { kernel, bias, activation: activation.unwrap_or(Activation::Linear) })
            }
        }))
    }

    /// What the entry `activation` says; nothing where it says nothing.
    fn activation(&self, item: &Object) -> Result<Option<Activation>, Error> {
        match item.get("activation") {
            None => Ok(None),
            Some(Json::Text(name)) if name.is_empty() => Ok(None),
            Some(Json::Text(name)) => {
                match Activation::of_layer(name).or((name == "linear").then_some(Activation::Linear)) {
                    Some(activation) => Ok(Some(activation)),
                    None => {
                        let problem = format!("it is {name:?}, and Latch has relu, tanh and sigmoid");
                        self.refuse("activation", problem, "train with one of these")
                    }
                }
            }
            Some(other) => self.refuse("activation", format!("it is {}, and no name", other.shown()), "export again"),
        }
    }

    /// The name of one of the layer's tensors.
    fn tensor(&self, number: usize) -> String {
        self.entry(&format!("weights[{number}]"))
    }

    /// A matrix of the file, inputs × outputs, as outputs × inputs; `number` is its place among the layer's tensors.
    fn kernel(
        &self,
        family: Family,
        number: usize,
        json: Json,
        [inputs, outputs]: [usize; 2],
    ) -> Result<Matrix, Error> {
        let Matrix { source, values, .. } = matrix(self.place, self.tensor(number), Some(json), [inputs, outputs])?;
        Ok(Layout::Keras.to_kernel(family, source, values, outputs, inputs))
    }

    fn dense(&self, units: usize, weights: Vec<Json>) -> Result<(Matrix, Vector), Error> {
        let mut weights = weights.into_iter();
        // A dense layer has no gates to swap.
        let kernel = self.kernel(Family::Rnn, 0, weights.next().unwrap_or(Json::Null), [self.inputs, units])?;
        Ok((kernel, vector(self.place, self.tensor(1), weights.next(), units)?))
    }

    fn recurrent(
        &self,
        family: Family,
        units: usize,
        activation: Option<Activation>,
        weights: Vec<Json>,
    ) -> Result<Kind, Error> {
        if let Some(other) = activation.filter(|activation| *activation != Activation::Tanh) {
            let problem = format!("it is {:?}, and RTNeural computes tanh", other.name());
            return self.refuse("activation", problem, "train with tanh");
        }
        let mut weights = weights.into_iter();
        let rows = family.gates() * units;
        let mut kernel =
            |number, inputs| self.kernel(family, number, weights.next().unwrap_or(Json::Null), [inputs, rows]);
        let kernels = (kernel(0, self.inputs)?, kernel(1, units)?);
        if family == Family::Gru {
            let source = self.tensor(2);
            let Matrix { mut values, .. } = matrix(self.place, source.clone(), weights.next(), [2, rows])?;
            let second = Vector { source: source.clone(), values: values.split_off(rows) };
            let recurrent = Recurrent::new(Cell::Gru { reset_after: true }, units, kernels, Vector { source, values });
            return Ok(Kind::Recurrent(Recurrent { recurrent_bias: Some(second), ..recurrent }));
        }
        let bias = vector(self.place, self.tensor(2), weights.next(), rows)?;
        Ok(Kind::Recurrent(Recurrent::new(Cell::Lstm, units, kernels, bias)))
    }

    fn conv1d(
        &self,
        item: &Object,
        units: usize,
        activation: Option<Activation>,
        weights: Vec<Json>,
    ) -> Result<Kind, Error> {
        let named = |key: &str| last(self.place, &self.entry(key), item.get(key), self.limits.width);
        let frames = named("kernel_size")?;
        for (key, what) in [("dilation", "a window with gaps"), ("groups", "channels apart from each other")] {
            if item.get(key).is_some() && named(key)? != 1 {
                let problem = format!("it is {}: {what}, which Latch does not have", named(key)?);
                return self.refuse(key, problem, "train with 1");
            }
        }
        let stride = if item.get("strides").is_some() { named("strides")? } else { 1 };
        let mut weights = weights.into_iter();
        let (source, inputs) = (self.tensor(0), self.inputs);
        let window = weights.next().unwrap_or(Json::Null);
        let values = window.into_tensor(&place_of(self.place, &source), &[frames, inputs, units])?;
        // frames·inputs × units: the oldest frame first.
        let kernel = Matrix { source, rows: frames * inputs, columns: units, values }.transposed();
        let bias = vector(self.place, self.tensor(1), weights.next(), units)?;
        let activation = activation.unwrap_or(Activation::Linear);
        Ok(Kind::Conv1d(Conv1d { frames, stride, padding: Padding::Causal, activation, kernel, bias }))
    }
}

impl Activation {
    /// The activation that a layer of this name is.
    fn of_layer(name: &str) -> Option<Self> {
        [Self::Tanh, Self::Relu, Self::Sigmoid, Self::Softmax].into_iter().find(|activation| activation.name() == name)
    }
}

#[cfg(test)]
mod tests;
