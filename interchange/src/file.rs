//! Safetensors files in PyTorch's and in Keras's layout.
//!
//! What the tensors do not say is a JSON object under the one key `latch` of the file's metadata: one key, because the library writes several in
//! no fixed order, and a model must give the same bytes each time. A file that another program wrote may leave out anything; what it says must be
//! true, and nothing else may stand there.
//!
//! Promised: what [`write`] writes, [`read`] reads back to the bit; a file that is damaged, incomplete, of another shape or not
//! finite is refused with the name of the tensor. Left out: optimizer states, layers in two directions, projections.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::described::{
    Activation, Answer, Cell, Dense, Described, Embedding, Format, Gain, Input, Kind, Layer, Limits, Matrix,
    Normalization, Pooling, Recurrent, Samples, Skip, Source, Task, Text, Tokens, Unknown, Vector,
};
use crate::foreign::{foreign, is_damaged};
use crate::json::{Json, Object, Tensor};
use crate::names::{Family, Layout};
use crate::pytorch;

/// The key of the metadata.
const KEY: &str = "latch";

/// What the metadata of a file says of its model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Note {
    /// Version of the program that wrote the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// The tensors' layout; else their names say it.
    pub(crate) layout: Option<Layout>,
    /// The order of the gates, where all layers have the same: [`Layout::gates`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gates: Option<String>,
    /// What the sums of simple recurrent layers go through; tanh where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activation: Option<Activation>,
    /// Rows of the embedding.
    pub(crate) rows: Option<usize>,
    /// Features of a row.
    pub(crate) embedding: Option<usize>,
    /// Units of each recurrent layer.
    pub(crate) units: Option<Units>,
    /// Recurrent layers.
    pub(crate) layers: Option<usize>,
    /// What the head sees.
    pub(crate) pooling: Option<Pooling>,
    /// What a word does that is not in the vocabulary.
    pub(crate) unknown: Option<Unknown>,
    /// The words in the order of the embedding's rows.
    pub(crate) vocabulary: Option<Vec<String>>,
    /// What a token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<Tokens>,
    /// What the characters beyond ASCII are: the entries of a character table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) characters: Option<Vec<u32>>,
    /// What the head's outputs mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<Task>,
    /// The names of the classes in the order of their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classes: Option<Vec<String>>,
    /// The order of the modules, and what stands between them, of a file whose tensors have the names of modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chain: Option<String>,
    /// What stands around a network that reads samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) samples: Option<NotedSamples>,
}

/// What the metadata says of the samples that a network reads, and of what goes around it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NotedSamples {
    /// What is subtracted from each channel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mean: Vec<f32>,
    /// What the rest is divided by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scale: Vec<f32>,
    /// What each scaled channel is held to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bounds: Vec<f32>,
    /// Frames between the two samples of a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<usize>,
    /// The channel that is added to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<usize>,
    /// Frames before that of the answer from which it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<usize>,
    /// Gains before and behind the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    gains: Option<[f32; 2]>,
}

impl NotedSamples {
    /// Those of a model.
    pub(crate) fn of(model: &Described, samples: &Samples) -> Self {
        let Gain { input, output } = model.gain;
        Self {
            mean: samples.normalization.iter().map(|one| one.mean).collect(),
            scale: samples.normalization.iter().map(|one| one.scale).collect(),
            bounds: samples.bounds.clone(),
            difference: Some(samples.difference).filter(|difference| *difference > 0),
            skip: model.skip.map(|skip| skip.channel),
            lag: model.skip.map(|skip| skip.lag).filter(|lag| *lag > 0),
            gains: Some([input, output]).filter(|_| model.gain != Gain::default()),
        }
    }

    /// Says them of a model; the checks of a description hold them to its channels.
    fn say(self, place: &str, model: &mut Described) -> Result<(), Error> {
        let at = || metadata_of(place, "samples");
        let Input::Samples(samples) = &mut model.input else {
            return Err(Error::new(at(), "the network reads ids, and no samples", "leave it out"));
        };
        if self.mean.len() != self.scale.len() {
            let problem = format!("it has {} means and {} scales", self.mean.len(), self.scale.len());
            return Err(Error::new(at(), problem, "give one of each a channel, or leave both out"));
        }
        let each = self.mean.into_iter().zip(self.scale);
        samples.normalization = each.map(|(mean, scale)| Normalization { mean, scale }).collect();
        (samples.bounds, samples.difference) = (self.bounds, self.difference.unwrap_or(0));
        model.skip = self.skip.map(|channel| Skip { channel, lag: self.lag.unwrap_or(0) });
        if let Some([input, output]) = self.gains {
            model.gain = Gain { input, output };
        }
        Ok(())
    }
}

/// Units of all layers, or of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Units {
    All(usize),
    Each(Vec<usize>),
}

impl Units {
    fn of(model: &Described) -> Option<Self> {
        let units: Vec<usize> = model.recurrent().map(|layer| layer.units).collect();
        let &first = units.first()?;
        Some(if units.iter().all(|&units| units == first) { Units::All(first) } else { Units::Each(units) })
    }

    fn shown(&self) -> String {
        match self {
            Units::All(units) => units.to_string(),
            Units::Each(units) => format!("{units:?}"),
        }
    }
}

impl Cell {
    fn family(self) -> Family {
        match self {
            Cell::Lstm => Family::Lstm,
            Cell::Gru { .. } => Family::Gru,
            Cell::Rnn => Family::Rnn,
        }
    }
}

/// The place of an entry of the metadata.
fn metadata_of(place: &str, entry: &str) -> String {
    let entry = if entry.is_empty() { String::new() } else { format!(".{entry}") };
    format!("{place}: metadata {KEY}{entry}")
}

/// A tensor of a file: its name, its shape, its values.
pub(crate) type Written = (String, Vec<usize>, Vec<f32>);

/// What such a file can hold of a model.
struct Parts<'a> {
    embedding: &'a Embedding,
    text: &'a Text,
    recurrent: Vec<&'a Recurrent>,
    head: &'a Dense,
}

/// The file of a model in a layout, with all numbers in f32: the same model gives the same bytes. `version` is that of the program that writes.
///
/// # Errors
/// Names what the layout has no form for; where the library refuses to write, its reason.
pub fn write(model: &Described, layout: Layout, version: &str) -> Result<Vec<u8>, Error> {
    let Parts { embedding, text, recurrent, head } = parts(model)?;
    let table = &embedding.table;
    let mut tensors: Vec<Written> =
        vec![(layout.embedding().into(), vec![table.rows, table.columns], table.values.clone())];
    for (number, layer) in recurrent.iter().enumerate() {
        let family = layer.cell.family();
        for (name, kernel) in [
            (layout.kernel(family, number), &layer.kernel),
            (layout.recurrent_kernel(family, number), &layer.recurrent_kernel),
        ] {
            let shape = layout.kernel_shape(kernel.rows, kernel.columns).to_vec();
            tensors.push((name, shape, layout.of_kernel(family, kernel)));
        }
        biases(layout, number, layer, &mut tensors)?;
    }
    // A dense layer has no gates to swap.
    let values = layout.of_kernel(Family::Rnn, &head.kernel);
    tensors.push((layout.head().into(), layout.kernel_shape(head.kernel.rows, head.kernel.columns).to_vec(), values));
    tensors.push(("head.bias".into(), vec![head.bias.values.len()], head.bias.values.clone()));

    let families: BTreeSet<Family> = recurrent.iter().map(|layer| layer.cell.family()).collect();
    let family = families.first().filter(|_| families.len() == 1);
    let note = Note {
        version: Some(version.into()),
        layout: Some(layout),
        gates: family.and_then(|&family| layout.gates(family)).map(str::to_owned),
        activation: activation(&recurrent)?,
        rows: Some(table.rows),
        embedding: Some(table.columns),
        units: Units::of(model),
        layers: Some(recurrent.len()),
        pooling: model.pooling(),
        unknown: text.unknown,
        vocabulary: text.vocabulary.clone(),
        tokens: text.tokens,
        characters: text.characters.clone(),
        task: model.answer.task,
        classes: model.answer.classes.clone(),
        ..Note::default()
    };
    serialized(tensors, &note)
}

/// A file of these tensors, with what the metadata says.
///
/// # Errors
/// Where the library refuses to write, its reason.
pub(crate) fn serialized(tensors: Vec<Written>, note: &Note) -> Result<Vec<u8>, Error> {
    let failed = |error: String| Error::new("safetensors", error, "report this");
    let coded: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = coded
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| failed(error.to_string()))?;
    let note = serde_json::to_string(note).map_err(|error| failed(error.to_string()))?;
    safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), note)])))
        .map_err(|error| failed(error.to_string()))
}

/// Whether a model is an embedding, recurrent layers, a pooling and a head, and nothing else: then [`write`] has its tensors.
pub fn is_plain(model: &Described) -> bool {
    parts(model).is_ok()
}

/// The parts of a model of the one form that such a file has: an embedding, recurrent layers, a pooling, a linear head.
fn parts(model: &Described) -> Result<Parts<'_>, Error> {
    const IMAGE: &str = "export an image";
    let refuse = |problem: &str| Error::new("the network's layers", problem, IMAGE);
    let Input::Ids(text) = &model.input else {
        let problem = "it reads samples, and a file of tensors has an embedding";
        return Err(Error::new("the network's input", problem, IMAGE));
    };
    if model.gain != Gain::default() {
        return Err(Error::new("the network's gain", "a file of tensors has none", IMAGE));
    }
    let (mut embedding, mut recurrent, mut head) = (None, Vec::new(), None);
    for (number, layer) in model.layers.iter().enumerate() {
        let last = number + 1 == model.layers.len();
        match &layer.kind {
            Kind::Embedding(Embedding { mask_zero: true, .. }) => {
                return Err(refuse("a file of tensors does not say that id 0 is padding"));
            }
            Kind::Embedding(layer) => embedding = Some(layer),
            Kind::Recurrent(Recurrent { backwards: true, .. }) | Kind::Bidirectional(_) => {
                return Err(refuse("a file of tensors has no layer that reads back"));
            }
            Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) | Kind::Activation(_) => {
                return Err(refuse(&format!("a file of tensors has no {}", layer.kind.name())));
            }
            Kind::Recurrent(layer)
                if layer.peepholes.is_some() || layer.coupled || layer.clip.is_some() || layer.projection.is_some() =>
            {
                return Err(refuse("a file of tensors has no peepholes, no coupled gates, no clip and no projection"));
            }
            Kind::Recurrent(layer) => {
                let plain = match layer.cell {
                    Cell::Lstm | Cell::Gru { .. } => {
                        layer.activation == Activation::Tanh
                            && layer.gate_activation == Activation::Sigmoid
                            && layer.output_activation.is_none()
                    }
                    Cell::Rnn => matches!(layer.activation, Activation::Tanh | Activation::Relu),
                };
                if !plain {
                    return Err(refuse(
                        "a file of tensors has tanh and sigmoid in recurrent layers, or relu in simple ones",
                    ));
                }
                if layer.begins_elsewhere() {
                    return Err(refuse("a file of tensors has no state to begin with"));
                }
                recurrent.push(layer);
            }
            Kind::Conv1d(_) => return Err(refuse("a file of tensors has no convolution")),
            Kind::Dense(layer) if last && layer.activation == Activation::Linear => head = Some(layer),
            Kind::Dense(_) if last => return Err(refuse("the head of a file of tensors is linear")),
            Kind::Dense(_) => return Err(refuse("a file of tensors has one dense layer, the last")),
            Kind::Pooling(_) => {}
        }
    }
    match (embedding, head) {
        (Some(embedding), Some(head)) => Ok(Parts { embedding, text, recurrent, head }),
        _ => Err(refuse("a file of tensors has an embedding first and a dense layer last")),
    }
}

/// What the sums of simple recurrent layers go through, where there are any.
fn activation(layers: &[&Recurrent]) -> Result<Option<Activation>, Error> {
    let mut activations = layers.iter().filter(|layer| layer.cell == Cell::Rnn).map(|layer| layer.activation);
    let activation = activations.next();
    if activations.all(|other| Some(other) == activation) {
        return Ok(activation);
    }
    let problem = "simple recurrent layers with tanh and with relu stand in one model, which the metadata cannot say";
    Err(Error::new("the model's layers", problem, "export an image"))
}

/// The bias tensors of a layer.
fn biases(layout: Layout, number: usize, layer: &Recurrent, tensors: &mut Vec<Written>) -> Result<(), Error> {
    let family = layer.cell.family();
    let of = |bias: &Vector| {
        let mut values = bias.values.clone();
        layout.swap_gates(family, &mut values);
        values
    };
    let (first, length) = (of(&layer.bias), layer.bias.values.len());
    let second = layer.recurrent_bias.as_ref().map(of);
    let mut names = layout.biases(family, number).into_iter();
    match (layout, second) {
        (Layout::PyTorch, None) if family == Family::Gru => {
            let problem = "its reset acts before the product, which PyTorch's GRU cannot";
            let remedy = "export with --layout keras, or train with the reset after the product";
            return Err(Error::new(format!("gru layer {number}"), problem, remedy));
        }
        (Layout::PyTorch, second) => {
            // The whole bias stands in the first where there is one.
            let second = second.unwrap_or_else(|| vec![0.0; length]);
            tensors.extend(names.by_ref().zip([first, second]).map(|(name, values)| (name, vec![length], values)));
        }
        (Layout::Keras, Some(second)) => {
            tensors.extend(names.next().map(|name| (name, vec![2, length], [first, second].concat())));
        }
        (Layout::Keras, None) => tensors.extend(names.next().map(|name| (name, vec![length], first))),
    }
    Ok(())
}

/// Reads a model from the bytes of a safetensors file; `place` is for the errors.
///
/// # Errors
/// Names the place and the tensor or the entry of the metadata: when the bytes are damaged; when a tensor is missing, has another shape, no
/// floats, a value that is not finite, or no place in a model; when the model is beyond the limits; and when the metadata contradicts the tensors.
pub fn read(bytes: &[u8], place: &str, limits: &Limits) -> Result<Described, Error> {
    read_with(bytes, place, None, limits)
}

/// Reads a model as [`read`] does; of the `state_dict` of any module a chain says the order of its modules.
///
/// # Errors
/// Those of [`read`], and where the order of the modules is not known.
pub(crate) fn read_with(bytes: &[u8], place: &str, chain: Option<&str>, limits: &Limits) -> Result<Described, Error> {
    let broken = |error: safetensors::SafeTensorError| {
        if let Some((what, remedy)) = foreign(bytes) {
            let besides = if is_damaged(what) { "" } else { ", and not a safetensors file" };
            return Error::new(place, format!("this is {what}{besides}"), remedy);
        }
        let problem = format!("this is no whole safetensors file ({error})");
        Error::new(place, problem, "save or copy it again, with safetensors")
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let note: Note = match metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) {
        Some(text) => serde_json::from_str(text).map_err(|error| {
            let problem = format!("it is not what Latch writes there: {error}");
            Error::new(metadata_of(place, ""), problem, "correct it, or leave the metadata out")
        })?,
        None => Note::default(),
    };
    let chain = chain.or(note.chain.as_deref());
    let file = File { place, tensors };
    let known = file.layout(&note).filter(|layout| note.layout.is_some() || file.has(layout.embedding()));
    let layout = known.unwrap_or(Layout::PyTorch);
    let mut model = match known.filter(|_| chain.is_none()) {
        Some(layout) => file.model(layout, note.activation.unwrap_or_default(), limits)?,
        None => pytorch::read(file.all()?, place, chain, limits)?,
    };
    check_note(place, &note, &model, layout)?;
    if let Some(characters) = &note.characters
        && !characters.is_sorted_by(|one, next| one < next)
    {
        let problem = "the entries of the character table are not in ascending order";
        return Err(Error::new(metadata_of(place, "characters"), problem, "leave it out, or take it from an export"));
    }
    if let (Some(stated), Some(found)) = (note.pooling, model.pooling())
        && stated != found
    {
        let problem = format!("it says {}, and the chain says {}", stated.name(), found.name());
        return Err(Error::new(metadata_of(place, "pooling"), problem, "correct one of them"));
    }
    if model.pooling().is_none() {
        let head = model.layers.len() - 1;
        let pooling = |pooling| Layer { name: "pooling".into(), kind: Kind::Pooling(pooling) };
        model.layers.splice(head..head, note.pooling.map(pooling));
    }
    let Note { vocabulary, tokens, characters, unknown, task, classes, samples, .. } = note;
    if let Some(samples) = samples {
        samples.say(place, &mut model)?;
    }
    if let Input::Ids(text) = &mut model.input {
        *text = Text { vocabulary, tokens, characters, unknown, cutting: None };
    }
    model.answer = Answer { task, classes };
    model.source.version = note.version;
    model.check(place, limits)?;
    Ok(model)
}

/// The names and shapes of the tensors of a safetensors file, in the order of the names; nothing of other bytes.
pub(crate) fn shapes(bytes: &[u8]) -> Option<Vec<(String, Vec<usize>)>> {
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let mut shapes: Vec<_> = tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect();
    shapes.sort();
    Some(shapes)
}

/// The keys of a file's metadata that [`read`] does not read, in order: all but `latch`. None where the bytes are no safetensors file.
pub fn other_metadata(bytes: &[u8]) -> Vec<String> {
    let metadata = SafeTensors::read_metadata(bytes).ok().and_then(|(_, metadata)| metadata.metadata().clone());
    let mut keys: Vec<String> = metadata.into_iter().flatten().map(|(key, _)| key).filter(|key| key != KEY).collect();
    keys.sort_unstable();
    keys
}

/// A file as the library has opened it.
struct File<'a> {
    place: &'a str,
    tensors: SafeTensors<'a>,
}

impl File<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// The layout that the metadata states, or that the tensors' names show.
    fn layout(&self, note: &Note) -> Option<Layout> {
        let shows = |layout: &Layout| Family::ALL.iter().any(|&family| self.has(&layout.kernel(family, 0)));
        note.layout.or_else(|| Layout::ALL.into_iter().find(shows))
    }

    /// All tensors, in the order of their names; of other numbers than floats nothing but the name.
    fn all(&self) -> Result<Object, Error> {
        let mut names = self.tensors.names();
        names.sort_unstable();
        let json = |name: &str| {
            let view = self.view(name)?;
            let is_float = matches!(view.dtype(), Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16);
            let shape = view.shape().to_vec();
            if !is_float || shape.is_empty() || shape.contains(&0) {
                return Ok(Json::Array(Vec::new()));
            }
            Ok(Json::Tensor(Tensor { values: self.values(name, &shape)?, shape }))
        };
        names.into_iter().map(|name| Ok((name.to_owned(), json(name)?))).collect::<Result<_, _>>().map(Object)
    }

    /// The place of a tensor.
    fn at(&self, name: &str) -> String {
        format!("{}: tensor {name}", self.place)
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, Error> {
        self.tensors
            .tensor(name)
            .map_err(|_| Error::new(self.at(name), "it is missing", "save it too; docs/frameworks.md has all names"))
    }

    /// The two sizes of a matrix, neither of them zero.
    fn sizes(&self, name: &str) -> Result<(usize, usize), Error> {
        match *self.view(name)?.shape() {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            ref shape => {
                let problem = format!("its shape is {shape:?}, but two sizes from 1 are wanted");
                Err(Error::new(self.at(name), problem, "save it as docs/frameworks.md says"))
            }
        }
    }

    /// The values of a tensor of this shape, row-major.
    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let view = self.view(name)?;
        if view.shape() != shape {
            let problem = format!("its shape is {:?}, but {shape:?} fits the other tensors", view.shape());
            return Err(Error::new(self.at(name), problem, "save all tensors of one network, in one layout"));
        }
        let data = view.data();
        Ok(match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
            other => {
                let problem = format!("its numbers are of the type {other:?}");
                return Err(Error::new(self.at(name), problem, "save it as F32, F64, F16 or BF16"));
            }
        })
    }

    /// The values of a tensor of one size.
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vector, Error> {
        Ok(Vector { source: name.to_owned(), values: self.values(name, shape)? })
    }

    /// The family of each recurrent layer, from the names.
    fn families(&self, layout: Layout, limits: &Limits) -> Result<Vec<Family>, Error> {
        let mut found: BTreeMap<usize, BTreeSet<Family>> = BTreeMap::new();
        for (family, layer) in self.tensors.names().into_iter().filter_map(|name| layout.layer_of(name)) {
            found.entry(layer).or_default().insert(family);
        }
        let mut families = Vec::new();
        for (layer, of) in &found {
            let family = of.first().copied().unwrap_or(Family::Lstm);
            if *layer != families.len() {
                let missing = layout.kernel(families.last().copied().unwrap_or(family), families.len());
                let problem = format!("it is missing: there is a layer {layer}, but no layer {}", families.len());
                let remedy = "save it too; layers are numbered from 0 without gaps";
                return Err(Error::new(self.at(&missing), problem, remedy));
            }
            if of.len() > 1 {
                let kinds: Vec<&str> = of.iter().map(|family| family.name()).collect();
                let problem = format!("layer {layer} is of more than one kind: {}", kinds.join(" and "));
                return Err(Error::new(self.place, problem, "number the layers of all kinds together"));
            }
            families.push(family);
        }
        let beyond = || self.at(&layout.kernel(families[limits.layers], limits.layers));
        limits.layers(&beyond, families.len())?;
        if families.is_empty() {
            // Names the tensor that is looked for first.
            self.view(&layout.kernel(Family::Lstm, 0))?;
        }
        Ok(families)
    }

    fn model(&self, layout: Layout, activation: Activation, limits: &Limits) -> Result<Described, Error> {
        let (rows, width) = self.sizes(layout.embedding())?;
        limits.rows(&|| self.at(layout.embedding()), rows)?;
        let families = self.families(layout, limits)?;
        let mut units = Vec::new();
        let mut inputs = width;
        for (layer, &family) in families.iter().enumerate() {
            let name = layout.recurrent_kernel(family, layer);
            let (first, second) = self.sizes(&name)?;
            units.push(first.min(second));
            limits.width(&|| self.at(&name), inputs, units[layer])?;
            inputs = units[layer];
        }
        self.check_names(layout, &families)?;

        let values = self.values(layout.embedding(), &[rows, width])?;
        let table = Matrix { source: layout.embedding().into(), rows, columns: width, values };
        let embedding = Kind::Embedding(Embedding { table, mask_zero: false });
        let mut layers = vec![Layer { name: "embedding".into(), kind: embedding }];
        let mut inputs = width;
        for ((layer, &family), units) in families.iter().enumerate().zip(units) {
            let matrix = |name: String, columns: usize| {
                let rows = family.gates() * units;
                let values = self.values(&name, &layout.kernel_shape(rows, columns))?;
                Ok(layout.to_kernel(family, name, values, rows, columns))
            };
            let kernel = matrix(layout.kernel(family, layer), inputs)?;
            let recurrent_kernel = matrix(layout.recurrent_kernel(family, layer), units)?;
            let (bias, recurrent_bias) = self.biases(layout, family, layer, family.gates() * units)?;
            let cell = match family {
                Family::Lstm => Cell::Lstm,
                Family::Gru => Cell::Gru { reset_after: recurrent_bias.is_some() },
                Family::Rnn => Cell::Rnn,
            };
            let recurrent = Recurrent {
                activation: if family == Family::Rnn { activation } else { Activation::Tanh },
                recurrent_bias,
                ..Recurrent::new(cell, units, (kernel, recurrent_kernel), bias)
            };
            layers.push(Layer { name: format!("{}.{layer}", family.name()), kind: Kind::Recurrent(recurrent) });
            inputs = units;
        }
        let outputs = self.view("head.bias")?.shape().iter().product();
        let values = self.values(layout.head(), &layout.kernel_shape(outputs, inputs))?;
        let kernel = layout.to_kernel(Family::Rnn, layout.head().into(), values, outputs, inputs);
        let bias = self.vector("head.bias", &[outputs])?;
        let head = Kind::Dense(Dense { kernel, bias, activation: Activation::Linear });
        layers.push(Layer { name: "head".into(), kind: head });
        Ok(Described {
            source: Source::of(Format::Safetensors(layout)),
            layers,
            skip: None,
            gain: Gain::default(),
            // What the metadata says.
            input: Input::Ids(Text::default()),
            answer: Answer::default(),
        })
    }

    /// The bias of a layer, and that of its product with U where it has its own.
    fn biases(
        &self,
        layout: Layout,
        family: Family,
        layer: usize,
        rows: usize,
    ) -> Result<(Vector, Option<Vector>), Error> {
        let ordered = |mut vector: Vector| {
            layout.swap_gates(family, &mut vector.values);
            vector
        };
        let names = layout.biases(family, layer);
        if let [first, second] = names.as_slice() {
            let mut bias = self.vector(first, &[rows])?;
            let other = self.vector(second, &[rows])?;
            if family == Family::Gru {
                return Ok((ordered(bias), Some(ordered(other))));
            }
            let all_finite = |vector: &Vector| vector.values.iter().all(|value| value.is_finite());
            let first_is = all_finite(&bias);
            // Where the second is zero the first keeps its bits.
            for (sum, value) in bias.values.iter_mut().zip(&other.values).filter(|(_, value)| **value != 0.0) {
                *sum += value;
            }
            if first_is && !all_finite(&bias) {
                // The check of the whole chain names the tensor that spoils it.
                bias.source.clone_from(second);
            }
            return Ok((bias, None));
        }
        let name = &names[0];
        if family == Family::Gru && self.view(name)?.shape().len() == 2 {
            let mut bias = self.vector(name, &[2, rows])?;
            let second = Vector { source: name.clone(), values: bias.values.split_off(rows) };
            return Ok((bias, Some(second)));
        }
        Ok((self.vector(name, &[rows])?, None))
    }

    /// Checks that every tensor has its place in a network of these layers.
    fn check_names(&self, layout: Layout, families: &[Family]) -> Result<(), Error> {
        let mut known = BTreeSet::from([layout.embedding().to_owned(), layout.head().into(), "head.bias".into()]);
        for (layer, &family) in families.iter().enumerate() {
            known.extend(layout.of_layer(family, layer));
        }
        let strange = self.tensors.names().into_iter().filter(|&name| !known.contains(name)).min();
        let Some(name) = strange else { return Ok(()) };
        let problem = format!(
            "it has no place in the layout {} with {} recurrent layer{}: Latch knows an embedding, LSTM, GRU and simple recurrent layers in one \
             direction without projection, and a dense head",
            layout.name(),
            families.len(),
            if families.len() == 1 { "" } else { "s" }
        );
        let name: String = name.escape_debug().collect();
        Err(Error::new(self.at(&name), problem, "leave it out if the network does not need it"))
    }
}

/// Holds what the metadata says of sizes and gates to the tensors.
fn check_note(place: &str, note: &Note, model: &Described, layout: Layout) -> Result<(), Error> {
    if let Some(activation) = note.activation
        && !matches!(activation, Activation::Tanh | Activation::Relu)
    {
        let problem = format!("it says {}, and simple recurrent layers have tanh or relu", activation.name());
        return Err(Error::new(metadata_of(place, "activation"), problem, "correct it, or leave it out"));
    }
    let stated = note.gates.as_deref().map(|gates| gates.split_whitespace().collect::<String>());
    for order in model.recurrent().filter_map(|layer| layout.gates(layer.cell.family())) {
        if let Some(stated) = stated.as_deref().filter(|stated| *stated != order) {
            let problem = format!("the gates are in the order {stated:?}, but {} is {order:?}", layout.name());
            return Err(Error::new(metadata_of(place, "gates"), problem, "save the tensors in that order"));
        }
    }
    let plain = |stated: Option<usize>, found: usize| (stated.map(|stated| stated.to_string()), found.to_string());
    let found = Units::of(model).map_or_else(String::new, |units| units.shown());
    let layers = model.recurrent().count();
    let table = model
        .layers
        .first()
        .and_then(|layer| layer.kind.matrices().first().copied().map(|table| (table.rows, table.columns)));
    let (rows, width) = table.unwrap_or_default();
    let units = note.units.as_ref().map(|units| match units {
        // A list of equal numbers is the number.
        Units::Each(each) if !each.is_empty() && each.len() == layers => {
            let same = each.iter().all(|units| *units == each[0]);
            if same { each[0].to_string() } else { units.shown() }
        }
        _ => units.shown(),
    });
    for (entry, (stated, found)) in [
        ("rows", plain(note.rows, rows)),
        ("embedding", plain(note.embedding, width)),
        ("units", (units, found)),
        ("layers", plain(note.layers, layers)),
    ] {
        if let Some(stated) = stated.filter(|stated| *stated != found) {
            let problem = format!("it says {stated}, but the tensors have {found}");
            return Err(Error::new(metadata_of(place, entry), problem, "correct it, or leave it out"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
