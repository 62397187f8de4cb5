//! A network as a safetensors file, for the frameworks that teams train with, and back.
//!
//! | tensor | PyTorch | Keras |
//! | --- | --- | --- |
//! | embedding | `embedding.weight`, rows × width | `embedding.embeddings`, rows × width |
//! | W of layer N | `lstm.weight_ih_lN`, 4·units × inputs | `lstm.N.kernel`, inputs × 4·units |
//! | U of layer N | `lstm.weight_hh_lN`, 4·units × units | `lstm.N.recurrent_kernel`, units × 4·units |
//! | b of layer N | `lstm.bias_ih_lN` + `lstm.bias_hh_lN`, 4·units each | `lstm.N.bias`, 4·units |
//! | head | `head.weight`, outputs × units; `head.bias`, outputs | `head.kernel`, units × outputs; `head.bias`, outputs |
//!
//! Gates stand in the order input, forget, cell, output in both, as they do in the trainer. What the tensors do not say is a JSON object,
//! [`Note`], under the one key `latch` of the file's metadata: one key, because the library writes several in no fixed order, and a network
//! must give the same bytes each time.
//!
//! Promised: what [`to_bytes`] writes, [`from_bytes`] reads back to the bit; a file that is damaged, incomplete, of another shape or not
//! finite is a fault that names the tensor. Left out: optimizer states, layers in two directions, projections, and heads of several outputs.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use half::{bf16, f16};
use latch_engine::image::manifest::{MAX_LAYERS, MAX_ROWS, MAX_WIDTH, Unknown};
use nalgebra::DMatrix;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Fault, LARGEST_FILE, fault};
use crate::network::dense::Dense;
use crate::network::embedding::Embedding;
use crate::network::lstm::Lstm;
use crate::network::readout::Readout;
use crate::network::{Network, NetworkConfig};
use crate::vocabulary::Vocabulary;

/// Whose names and shapes the tensors of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `load_state_dict` of a module with `embedding`, `lstm` and `head` takes the tensors as they are
    #[value(name = "pytorch")]
    PyTorch,
    /// `set_weights` of each layer takes the tensors as they are
    Keras,
}

/// What the metadata of a file says of its network. A file that another program wrote may leave out anything; what it says must be true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Version of Latch that wrote the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tensors' layout; else their names say it.
    pub layout: Option<Layout>,
    /// The order of the gates: [`Layout::gates`].
    pub gates: Option<String>,
    /// Rows of the embedding.
    pub rows: Option<usize>,
    /// Features of a row.
    pub embedding: Option<usize>,
    /// Units of each LSTM layer.
    pub units: Option<usize>,
    /// LSTM layers.
    pub layers: Option<usize>,
    /// What the head sees: `last`, `mean` or `max`.
    pub readout: Option<Readout>,
    /// What a word does that is not in the vocabulary: `row`, it has the embedding's last row, or `skip`, it is left out.
    pub unknown: Option<UnknownRule>,
    /// The words in the order of the embedding's rows.
    pub vocabulary: Option<Vec<String>>,
}

/// What a word does that is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum UnknownRule {
    /// It has the last row of the embedding
    Row,
    /// It is left out
    Skip,
}

impl From<UnknownRule> for Unknown {
    fn from(rule: UnknownRule) -> Self {
        match rule {
            UnknownRule::Row => Unknown::LastRow,
            UnknownRule::Skip => Unknown::Skip,
        }
    }
}

impl UnknownRule {
    /// The rule of a vocabulary.
    ///
    /// # Errors
    /// A fault where unknown words share rows by their hash, which no other framework's tokens do.
    fn of(unknown: Unknown) -> Result<Self> {
        match unknown {
            Unknown::LastRow => Ok(UnknownRule::Row),
            Unknown::Skip => Ok(UnknownRule::Skip),
            Unknown::Hashed(_) => {
                let problem = "its unknown words share rows by their hash, which a file of tensors cannot say";
                Err(fault("unknown", problem, "train with --model unknown=row or unknown=skip, or export an image")
                    .into())
            }
        }
    }
}

impl Layout {
    /// The order of the gates, in the framework's own letters; it is the same order, as Keras calls c what PyTorch calls g.
    pub fn gates(self) -> &'static str {
        match self {
            Layout::PyTorch => "i,f,g,o",
            Layout::Keras => "i,f,c,o",
        }
    }

    /// The layout's name, as `--layout` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::PyTorch => "pytorch",
            Layout::Keras => "keras",
        }
    }

    fn embedding(self) -> &'static str {
        match self {
            Layout::PyTorch => "embedding.weight",
            Layout::Keras => "embedding.embeddings",
        }
    }

    fn kernel(self, layer: usize) -> String {
        match self {
            Layout::PyTorch => format!("lstm.weight_ih_l{layer}"),
            Layout::Keras => format!("lstm.{layer}.kernel"),
        }
    }

    fn recurrent_kernel(self, layer: usize) -> String {
        match self {
            Layout::PyTorch => format!("lstm.weight_hh_l{layer}"),
            Layout::Keras => format!("lstm.{layer}.recurrent_kernel"),
        }
    }

    /// The tensors whose sum is the bias.
    fn biases(self, layer: usize) -> Vec<String> {
        match self {
            Layout::PyTorch => vec![format!("lstm.bias_ih_l{layer}"), format!("lstm.bias_hh_l{layer}")],
            Layout::Keras => vec![format!("lstm.{layer}.bias")],
        }
    }

    /// All tensors of a layer.
    fn of_layer(self, layer: usize) -> Vec<String> {
        let mut names = self.biases(layer);
        names.extend([self.kernel(layer), self.recurrent_kernel(layer)]);
        names
    }

    fn head(self) -> &'static str {
        match self {
            Layout::PyTorch => "head.weight",
            Layout::Keras => "head.kernel",
        }
    }

    /// Shape and row-major values of a kernel, outputs × inputs in the trainer.
    fn of_kernel(self, kernel: &DMatrix<f32>) -> (Vec<usize>, Vec<f32>) {
        let (outputs, inputs) = kernel.shape();
        match self {
            // The trainer's matrices are column-major: the storage of one is the row-major storage of its transpose.
            Layout::PyTorch => (vec![outputs, inputs], kernel.transpose().as_slice().to_vec()),
            Layout::Keras => (vec![inputs, outputs], kernel.as_slice().to_vec()),
        }
    }

    /// The kernel, outputs × inputs, of the row-major values that [`Layout::of_kernel`] gives.
    fn to_kernel(self, values: Vec<f32>, outputs: usize, inputs: usize) -> DMatrix<f32> {
        match self {
            Layout::PyTorch => DMatrix::from_vec(inputs, outputs, values).transpose(),
            Layout::Keras => DMatrix::from_vec(outputs, inputs, values),
        }
    }

    /// The shape of a kernel in a file.
    fn kernel_shape(self, outputs: usize, inputs: usize) -> [usize; 2] {
        match self {
            Layout::PyTorch => [outputs, inputs],
            Layout::Keras => [inputs, outputs],
        }
    }
}

/// The key of the metadata under which the [`Note`] stands.
const KEY: &str = "latch";

/// The file of a network: f32, the vocabulary and all that is not in the tensors in its metadata. The same network gives the same bytes.
///
/// # Errors
/// A fault where unknown words share rows by their hash; an internal failure when the library refuses to write it.
pub fn to_bytes(network: &Network<f32>, vocabulary: &Vocabulary, layout: Layout) -> Result<Vec<u8>> {
    let config = network.config();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    // Features × ids and column-major: ids × features and row-major.
    let table = &network.embedding.table;
    tensors.push((layout.embedding().into(), vec![table.ncols(), table.nrows()], table.as_slice().to_vec()));
    for (number, layer) in network.layers.iter().enumerate() {
        let (shape, values) = layout.of_kernel(&layer.kernel);
        tensors.push((layout.kernel(number), shape, values));
        let (shape, values) = layout.of_kernel(&layer.recurrent_kernel);
        tensors.push((layout.recurrent_kernel(number), shape, values));
        let mut values = layer.bias.as_slice().to_vec();
        for name in layout.biases(number) {
            tensors.push((name, vec![values.len()], values.clone()));
            // The whole bias stands in the first.
            values.fill(0.0);
        }
    }
    let (shape, values) = layout.of_kernel(&network.head.kernel);
    tensors.push((layout.head().into(), shape, values));
    tensors.push(("head.bias".into(), vec![config.outputs], network.head.bias.as_slice().to_vec()));

    let note = Note {
        version: Some(env!("CARGO_PKG_VERSION").into()),
        layout: Some(layout),
        gates: Some(layout.gates().into()),
        rows: Some(config.vocabulary),
        embedding: Some(config.embedding),
        units: Some(config.units),
        layers: Some(config.layers),
        readout: Some(config.readout),
        unknown: Some(UnknownRule::of(vocabulary.unknown)?),
        vocabulary: Some(vocabulary.words().to_vec()),
    };
    let coded: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = coded
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&note)?)]);
    Ok(safetensors::serialize(views, Some(metadata))?)
}

/// What a user says of a file besides what stands in it.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The words in the order of the embedding's rows.
    pub vocabulary: Option<Vec<String>>,
    /// What the head sees.
    pub readout: Option<Readout>,
}

/// A network that another framework trained.
#[derive(Clone, Debug)]
pub struct Received {
    /// The network, without dropout.
    pub network: Network<f32>,
    /// Its words.
    pub vocabulary: Vocabulary,
    /// The layout of its file.
    pub layout: Layout,
}

/// Reads a file that may be safetensors.
///
/// # Errors
/// A fault naming the file when it cannot be read or is no ordinary file.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    crate::error::read_file(path, LARGEST_FILE)
}

/// Reads a network and its vocabulary from the bytes of a safetensors file; `place` is for the errors.
///
/// # Errors
/// A fault that names the place and the tensor or the entry of the metadata: when the bytes are damaged; when a tensor is missing, has another
/// shape, no floats, a value that is not finite, or no place in a network; when the network is larger than an image can be; and when readout
/// or vocabulary are unknown, contradictory or do not fit.
pub fn from_bytes(bytes: &[u8], place: impl Display, given: &Given) -> Result<Received> {
    let place = place.to_string();
    let broken = |error: safetensors::SafeTensorError| {
        let problem = format!("this is no whole safetensors file ({error})");
        fault(&place, problem, "save or copy it again, with safetensors")
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let note: Note = match metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) {
        Some(text) => serde_json::from_str(text).map_err(|error| {
            let problem = format!("it is not what Latch writes there: {error}");
            fault(metadata_of(&place, ""), problem, "correct it, or leave the metadata out")
        })?,
        None => Note::default(),
    };
    let file = File { place: &place, tensors };
    let layout = file.layout(&note)?;
    let network = file.network(layout, file.readout(&note, given)?)?;
    check_note(&place, &note, layout, network.config())?;
    let vocabulary = words(&place, &note, given, layout, network.config().vocabulary)?;
    Ok(Received { network, vocabulary, layout })
}

/// The place of an entry of the metadata.
fn metadata_of(place: &str, entry: &str) -> String {
    let entry = if entry.is_empty() { String::new() } else { format!(".{entry}") };
    format!("{place}: metadata {KEY}{entry}")
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
    fn layout(&self, note: &Note) -> Result<Layout, Fault> {
        let shown = [Layout::PyTorch, Layout::Keras].into_iter().find(|layout| self.has(&layout.kernel(0)));
        if let Some(layout) = note.layout.or(shown) {
            return Ok(layout);
        }
        let mut names = self.tensors.names();
        names.sort_unstable();
        let shown: Vec<String> = names.iter().take(4).map(|name| format!("{name:?}")).collect();
        let problem = format!(
            "neither {} nor {} is among its {} tensors ({}{})",
            Layout::PyTorch.kernel(0),
            Layout::Keras.kernel(0),
            names.len(),
            shown.join(", "),
            if names.len() > shown.len() { ", …" } else { "" }
        );
        Err(fault(self.place, problem, "name the tensors as docs/frameworks.md does"))
    }

    fn readout(&self, note: &Note, given: &Given) -> Result<Readout, Fault> {
        match (note.readout, given.readout) {
            (Some(stated), Some(given)) if stated != given => Err(fault(
                "--readout",
                format!("{} says that the readout is another", metadata_of(self.place, "readout")),
                "leave the option out",
            )),
            (stated, given) => stated.or(given).ok_or_else(|| {
                fault(
                    self.place,
                    "what the head sees is not stated in it",
                    "add --readout last, mean, max or attention",
                )
            }),
        }
    }

    /// The place of a tensor.
    fn at(&self, name: &str) -> String {
        format!("{}: tensor {name}", self.place)
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, Fault> {
        self.tensors
            .tensor(name)
            .map_err(|_| fault(self.at(name), "it is missing", "save it too; docs/frameworks.md has all names"))
    }

    /// The two sizes of a matrix, neither of them zero.
    fn sizes(&self, name: &str) -> Result<(usize, usize), Fault> {
        match *self.view(name)?.shape() {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            ref shape => {
                let problem = format!("its shape is {shape:?}, but two sizes from 1 are wanted");
                Err(fault(self.at(name), problem, "save it as docs/frameworks.md says"))
            }
        }
    }

    /// The values of a tensor of this shape, row-major.
    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        let view = self.view(name)?;
        if view.shape() != shape {
            let problem = format!("its shape is {:?}, but {shape:?} fits the other tensors", view.shape());
            return Err(fault(self.at(name), problem, "save all tensors of one network, in one layout"));
        }
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
            other => {
                let problem = format!("its numbers are of the type {other:?}");
                return Err(fault(self.at(name), problem, "save it as F32, F64, F16 or BF16"));
            }
        };
        self.finite(name, values)
    }

    /// These values of a tensor, if they are all finite.
    fn finite(&self, name: &str, values: Vec<f32>) -> Result<Vec<f32>, Fault> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                let problem = format!("value {index} is {} in f32", values[index]);
                Err(fault(self.at(name), problem, "save weights of a training that has not diverged"))
            }
            None => Ok(values),
        }
    }

    fn network(&self, layout: Layout, readout: Readout) -> Result<Network<f32>> {
        let (rows, width) = self.sizes(layout.embedding())?;
        let layers = (0..).take_while(|&layer| layout.of_layer(layer).iter().any(|name| self.has(name))).count().max(1);
        let (first, second) = self.sizes(&layout.recurrent_kernel(0))?;
        let units = first.min(second);
        self.check_limits(layout, [rows, width, units, layers])?;
        self.check_names(layout, layers)?;

        let matrix = |name: &str, outputs, inputs| {
            let values = self.values(name, &layout.kernel_shape(outputs, inputs))?;
            Ok::<_, Fault>(layout.to_kernel(values, outputs, inputs))
        };
        let embedding = DMatrix::from_vec(width, rows, self.values(layout.embedding(), &[rows, width])?);
        let mut stack = Vec::with_capacity(layers);
        for layer in 0..layers {
            let inputs = if layer == 0 { width } else { units };
            let mut bias: Option<Vec<f32>> = None;
            for name in layout.biases(layer) {
                let values = self.values(&name, &[4 * units])?;
                bias = Some(match bias {
                    None => values,
                    Some(mut sum) => {
                        for (sum, value) in sum.iter_mut().zip(values).filter(|(_, value)| *value != 0.0) {
                            *sum += value;
                        }
                        self.finite(&name, sum)?
                    }
                });
            }
            stack.push(Lstm {
                kernel: matrix(&layout.kernel(layer), 4 * units, inputs)?,
                recurrent_kernel: matrix(&layout.recurrent_kernel(layer), 4 * units, units)?,
                bias: DMatrix::from_vec(4 * units, 1, bias.unwrap_or_default()),
            });
        }
        let outputs = self.view("head.bias")?.shape().iter().product();
        if outputs != 1 {
            let problem = format!("the head has {outputs} outputs, but `latch` judges two classes by one logit");
            return Err(fault(self.at("head.bias"), problem, "train it with a head of one output").into());
        }
        let head = Dense {
            kernel: matrix(layout.head(), 1, units)?,
            bias: DMatrix::from_vec(1, 1, self.values("head.bias", &[1])?),
        };
        let config = NetworkConfig {
            vocabulary: rows,
            embedding: width,
            units,
            layers,
            readout,
            outputs,
            ..NetworkConfig::default()
        };
        Ok(Network::from_weights(config, Embedding { table: embedding }, stack, head)?)
    }

    /// Checks that every tensor has its place in a network of so many layers.
    fn check_names(&self, layout: Layout, layers: usize) -> Result<(), Fault> {
        let mut known = BTreeSet::from([layout.embedding().to_owned(), layout.head().into(), "head.bias".into()]);
        for layer in 0..layers {
            known.extend(layout.of_layer(layer));
        }
        let strange = self.tensors.names().into_iter().filter(|&name| !known.contains(name)).min();
        let Some(name) = strange else { return Ok(()) };
        let problem = format!(
            "it has no place in the layout {} with {layers} LSTM layer{}: Latch knows an embedding, LSTM layers in one direction without \
             projection, and a dense head",
            layout.name(),
            if layers == 1 { "" } else { "s" }
        );
        let name: String = name.escape_debug().collect();
        Err(fault(self.at(&name), problem, "leave it out if the network does not need it"))
    }

    /// What an image can hold.
    fn check_limits(&self, layout: Layout, [rows, width, units, layers]: [usize; 4]) -> Result<(), Fault> {
        let most = usize::from(MAX_WIDTH);
        let (embedding, first, second) = (layout.embedding(), layout.recurrent_kernel(0), layout.kernel(1));
        for (name, fits, problem) in [
            (embedding, rows <= MAX_ROWS as usize, format!("it has {rows} rows, more than an image's {MAX_ROWS}")),
            (
                &first,
                width + units <= most,
                format!("{width} features and {units} units are together more than an image's {most}"),
            ),
            (
                &second,
                layers == 1 || 2 * units <= most,
                format!("{units} units in more than one layer are more than an image's {}", most / 2),
            ),
            (&second, layers <= MAX_LAYERS, format!("there are {layers} layers, more than an image's {MAX_LAYERS}")),
        ] {
            if !fits {
                return Err(fault(self.at(name), problem, "train a smaller network"));
            }
        }
        Ok(())
    }
}

/// Holds what the metadata says of sizes and gates to the tensors.
fn check_note(place: &str, note: &Note, layout: Layout, config: &NetworkConfig) -> Result<(), Fault> {
    if let Some(gates) = note.gates.as_deref().filter(|gates| *gates != layout.gates()) {
        let problem = format!("the gates are in the order {gates:?}, but {} is {:?}", layout.name(), layout.gates());
        return Err(fault(metadata_of(place, "gates"), problem, "save the tensors in that order"));
    }
    for (entry, stated, found) in [
        ("rows", note.rows, config.vocabulary),
        ("embedding", note.embedding, config.embedding),
        ("units", note.units, config.units),
        ("layers", note.layers, config.layers),
    ] {
        if let Some(stated) = stated.filter(|&stated| stated != found) {
            let problem = format!("it says {stated}, but the tensors have {found}");
            return Err(fault(metadata_of(place, entry), problem, "correct it, or leave it out"));
        }
    }
    Ok(())
}

/// The vocabulary, held to the rows of the embedding and to what the tokenizer can give.
fn words(place: &str, note: &Note, given: &Given, layout: Layout, rows: usize) -> Result<Vocabulary> {
    let (words, at) = match (&given.vocabulary, &note.vocabulary) {
        (Some(given), Some(stated)) if given != stated => {
            let problem = format!("{} has other words", metadata_of(place, "vocabulary"));
            return Err(fault("--vocabulary", problem, "leave the option out").into());
        }
        (Some(given), _) => (given, "--vocabulary".to_owned()),
        (None, Some(stated)) => (stated, metadata_of(place, "vocabulary")),
        (None, None) => {
            let remedy = "add --vocabulary, the file that `latch tokens` wrote";
            return Err(fault(place, "its vocabulary is not stated in it", remedy).into());
        }
    };
    if words.is_empty() {
        return Err(fault(at, "there is no word in it", "name the file that `latch tokens` wrote").into());
    }
    if let Some(pair) = words.windows(2).find(|pair| pair[0] >= pair[1]) {
        let problem = format!("{:?} stands before {:?}, but words have ids in their byte order", pair[0], pair[1]);
        return Err(fault(at, problem, "number the words as `latch tokens` does").into());
    }
    let unknown = match rows.checked_sub(words.len()) {
        Some(0) => Unknown::Skip,
        Some(1) => Unknown::LastRow,
        _ => {
            let problem = format!(
                "it has {rows} rows for a vocabulary of {} words; wanted are as many, or one more for unknown words",
                words.len()
            );
            let place = format!("{place}: tensor {}", layout.embedding());
            return Err(fault(place, problem, "give the vocabulary that the network was trained with").into());
        }
    };
    if note.unknown.is_some_and(|stated| Unknown::from(stated) != unknown) {
        let problem = format!("the embedding has {rows} rows for {} words, which is the other rule", words.len());
        return Err(fault(metadata_of(place, "unknown"), problem, "correct it, or leave it out").into());
    }
    let vocabulary = Vocabulary::from_words(words.clone(), unknown);
    // A word that was cut in the middle of `don't` may read differently; one in ten that do are another tokenizer's.
    let strange: Vec<&String> =
        (0..).zip(words).filter(|(id, word)| vocabulary.ids(word) != [*id]).map(|(_, word)| word).collect();
    if 10 * strange.len() > words.len() {
        let problem = format!(
            "{} of {} words are none that Latch's tokenizer gives, such as {:?}",
            strange.len(),
            words.len(),
            strange[0]
        );
        return Err(fault(at, problem, "train on the ids that `latch tokens` writes").into());
    }
    vocabulary.encode()?;
    Ok(vocabulary)
}
