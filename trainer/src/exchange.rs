//! A network for the frameworks that teams train with, and back: the trainer's side of [`latch_interchange`].
//!
//! A description has every matrix row-major and the gates in one order; the trainer's are column-major and in the same order. Here also stands what a file
//! must have besides its tensors: a vocabulary that Latch's tokenizer gives, a pooling, and sizes that an image can hold.
//!
//! Promised: what [`to_bytes`] writes, [`from_bytes`] reads back to the bit.

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use latch_data::composed::composed;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::MAX_LAYERS;
use latch_engine::layers::MAX_WIDTH;
use latch_engine::layers::embedding::MAX_ROWS;
pub use latch_interchange::Layout;
use latch_interchange::{self as interchange, Described, Kind, Limits, Matrix, Recurrent};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::counted::counted;
use crate::dataset::{MAX_CLASSES, MAX_NAME, Task};
use crate::error::{Fault, LARGEST_FILE, fault};
use crate::network::layer::Layer;
use crate::network::{Network, NetworkConfig};
use crate::tokenization::Tokenization;
use crate::vocabulary::Vocabulary;

/// What an image can hold.
const LIMITS: Limits = Limits { rows: MAX_ROWS as usize, width: MAX_WIDTH as usize, layers: MAX_LAYERS };

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

impl From<interchange::Unknown> for UnknownRule {
    fn from(rule: interchange::Unknown) -> Self {
        match rule {
            interchange::Unknown::Row => UnknownRule::Row,
            interchange::Unknown::Skip => UnknownRule::Skip,
        }
    }
}

impl From<interchange::Pooling> for Pooling {
    fn from(pooling: interchange::Pooling) -> Self {
        match pooling {
            interchange::Pooling::Last => Pooling::Last,
            interchange::Pooling::Mean => Pooling::Mean,
            interchange::Pooling::Max => Pooling::Max,
            interchange::Pooling::Attention => Pooling::Attention,
        }
    }
}

/// The task that a file states; the classes are still to be counted.
fn task_of(task: interchange::Task) -> Task {
    match task {
        interchange::Task::Classify => Task::Classify(0),
        interchange::Task::Regress => Task::Regress,
        interchange::Task::Tag => Task::Tag(0),
        interchange::Task::RegressEach => Task::RegressEach,
    }
}

/// The task as a file states it.
fn stated(task: Task) -> interchange::Task {
    match task {
        Task::Classify(_) => interchange::Task::Classify,
        Task::Regress => interchange::Task::Regress,
        Task::Tag(_) => interchange::Task::Tag,
        Task::RegressEach => interchange::Task::RegressEach,
    }
}

impl From<Pooling> for interchange::Pooling {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Last => interchange::Pooling::Last,
            Pooling::Mean => interchange::Pooling::Mean,
            Pooling::Max => interchange::Pooling::Max,
            Pooling::Attention => interchange::Pooling::Attention,
        }
    }
}

/// What a token is, as a file states it.
fn tokens_stated(tokens: Tokens) -> interchange::Tokens {
    match tokens {
        Tokens::Words => interchange::Tokens::Words,
        Tokens::Syllables => interchange::Tokens::Syllables,
        Tokens::Characters => interchange::Tokens::Chars,
        Tokens::CasedCharacters => interchange::Tokens::CharsCased,
    }
}

/// What a token is that a file states.
fn tokens_of(tokens: interchange::Tokens) -> Tokens {
    match tokens {
        interchange::Tokens::Words => Tokens::Words,
        interchange::Tokens::Syllables => Tokens::Syllables,
        interchange::Tokens::Chars => Tokens::Characters,
        interchange::Tokens::CharsCased => Tokens::CasedCharacters,
    }
}

/// The fault of a refused file.
fn refused(error: interchange::Error) -> Fault {
    fault(error.place, error.problem, error.remedy)
}

/// A matrix of the trainer, row-major.
fn described(matrix: &DMatrix<f32>) -> Matrix {
    let (rows, columns) = matrix.shape();
    // The storage of a column-major matrix is the row-major storage of its transpose.
    Matrix { source: String::new(), rows, columns, values: matrix.transpose().as_slice().to_vec() }
}

/// The trainer's matrix of a description's.
fn tensor(matrix: &Matrix) -> DMatrix<f32> {
    DMatrix::from_row_slice(matrix.rows, matrix.columns, &matrix.values)
}

/// The file of a network: f32, the vocabulary and all that is not in the tensors in its metadata. The same network gives the same bytes.
///
/// # Errors
/// A fault where unknown words share rows by their hash, or where the layout has no form for a layer; an internal failure when the library refuses
/// to write it.
pub fn to_bytes(network: &Network<f32>, vocabulary: &Vocabulary, answers: &Answers, layout: Layout) -> Result<Vec<u8>> {
    let unknown = match vocabulary.unknown {
        Unknown::LastRow => interchange::Unknown::Row,
        Unknown::Skip => interchange::Unknown::Skip,
        Unknown::Hashed(_) => {
            let problem = "its unknown words share rows by their hash, which a file of tensors cannot say";
            return Err(fault(
                "unknown",
                problem,
                "train with unknown=row or unknown=skip in the text of --model, or export an image",
            )
            .into());
        }
    };
    let table = &network.embedding.table;
    // Features × ids and column-major: ids × features and row-major.
    let (source, values) = (String::new(), table.as_slice().to_vec());
    let mut model = Described {
        layout,
        embedding: Matrix { source, rows: table.ncols(), columns: table.nrows(), values },
        layers: Vec::new(),
        head: Matrix::default(),
        head_bias: Vec::new(),
        pooling: network.config().chain.pooling().map(Into::into),
        unknown: Some(unknown),
        vocabulary: Some(vocabulary.words().to_vec()),
        tokens: Some(tokens_stated(vocabulary.tokenization.tokens)),
        characters: Some(vocabulary.tokenization.characters()),
        task: Some(stated(answers.task)),
        classes: Some(answers.classes.clone()).filter(|classes| !classes.is_empty()),
    };
    let foreign =
        || fault("the network's layers", "a file of tensors has one dense layer, the last", "export an image");
    for (number, layer) in network.layers.iter().enumerate() {
        let (kind, recurrent_kernel, recurrent_bias) = match layer {
            Layer::Lstm(layer) => (Kind::Lstm, &layer.recurrent_kernel, None),
            Layer::Gru(layer) => {
                let kind = Kind::Gru { reset_after: layer.reset_after() };
                (kind, &layer.recurrent_kernel, layer.recurrent_bias.as_ref())
            }
            Layer::Rnn(layer) => {
                let relu = layer.activation == Activation::Relu;
                let activation = if relu { interchange::Activation::Relu } else { interchange::Activation::Tanh };
                (Kind::Rnn { activation }, &layer.recurrent_kernel, None)
            }
            Layer::Dense(layer) if number + 1 == network.layers.len() => {
                (model.head, model.head_bias) = (described(&layer.kernel), layer.bias.as_slice().to_vec());
                continue;
            }
            Layer::Conv1d(_) => {
                let problem = "a file of tensors has no convolution";
                return Err(fault("the network's layers", problem, "export an image").into());
            }
            Layer::Dense(_) => return Err(foreign().into()),
            Layer::Pooling(_) => continue,
        };
        let Some((kernel, bias)) = layer.projection() else { continue };
        model.layers.push(Recurrent {
            kind,
            units: recurrent_kernel.ncols(),
            kernel: described(kernel),
            recurrent_kernel: described(recurrent_kernel),
            bias: bias.as_slice().to_vec(),
            recurrent_bias: recurrent_bias.map(|bias| bias.as_slice().to_vec()),
        });
    }
    Ok(interchange::write(&model, env!("CARGO_PKG_VERSION")).map_err(refused)?)
}

/// What a network's outputs mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The task.
    pub task: Task,
    /// The names of the classes in the order of their numbers; empty of values, and where nobody has named them.
    pub classes: Vec<String>,
}

impl Default for Answers {
    /// Two classes without names.
    fn default() -> Self {
        Answers { task: Task::Classify(2), classes: Vec::new() }
    }
}

/// What a user says of a file besides what stands in it.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The words in the order of the embedding's rows.
    pub vocabulary: Option<Vec<String>>,
    /// What the head sees.
    pub pooling: Option<Pooling>,
    /// What its outputs mean; how many classes there are the head says.
    pub task: Option<Task>,
    /// What a token is.
    pub tokens: Option<Tokens>,
}

/// A network that another framework trained.
#[derive(Clone, Debug)]
pub struct Received {
    /// The network, without dropout.
    pub network: Network<f32>,
    /// Its words.
    pub vocabulary: Vocabulary,
    /// What its outputs mean.
    pub answers: Answers,
    /// The layout of its file.
    pub layout: Layout,
    /// Keys of the file's metadata that are not Latch's, and were not read.
    pub unread: Vec<String>,
    /// Words that no text gives: the tokenizer reads each of them as something else.
    pub strange: Vec<String>,
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
/// A fault that names the place and the tensor or the entry of the metadata: those of [`interchange::read`]; and when pooling or vocabulary are
/// unknown, contradictory or do not fit.
pub fn from_bytes(bytes: &[u8], place: impl Display, given: &Given) -> Result<Received> {
    let place = place.to_string();
    let model = interchange::read(bytes, &place, &LIMITS).map_err(refused)?;
    let answers = answers(&place, &model, given)?;
    let pooling = pooling(&place, model.pooling.map(Into::into), answers.task, given)?;
    let (vocabulary, strange) = words(&place, &model, given)?;
    let unread = interchange::other_metadata(bytes);
    Ok(Received { network: network(&model, pooling)?, vocabulary, answers, layout: model.layout, unread, strange })
}

/// What the outputs mean, by the file or by the user; one or several classes a text where neither says it.
fn answers(place: &str, model: &Described, given: &Given) -> Result<Answers> {
    let stated = model.task.map(task_of);
    if let (Some(stated), Some(given)) = (stated, given.task)
        && stated.name() != given.name()
    {
        let problem = format!("{} says that the task is {}", metadata_of(place, "task"), stated.name());
        return Err(fault("--task", problem, "leave the option out").into());
    }
    let outputs = model.head.rows;
    let task = stated.or(given.task).unwrap_or_default().with_classes(outputs.max(2) as u32);
    let head = format!("{place}: tensor head.bias");
    if outputs > MAX_CLASSES as usize {
        let problem = format!("the head has {outputs} outputs, more than an image's {MAX_CLASSES}");
        return Err(fault(head, problem, "train it with fewer classes").into());
    }
    if task.outputs() != outputs {
        let (problem, remedy) = if task.has_values() {
            (format!("the head has {outputs} outputs, but {} has one value", task.name()), "name another --task")
        } else {
            (
                "the head has 2 outputs, but two classes have one logit, positive for the second".to_owned(),
                "train it with a head of one output; of two logits that is the second less the first",
            )
        };
        return Err(fault(head, problem, remedy).into());
    }
    let classes = model.classes.clone().unwrap_or_default();
    let at = metadata_of(place, "classes");
    if !classes.is_empty() && classes.len() != task.classes() as usize {
        let problem = format!("it names {}, but the task has {}", counted(classes.len(), "class"), task.classes());
        return Err(fault(at, problem, "correct it, or leave it out").into());
    }
    let twice = classes.iter().enumerate().find(|(number, name)| classes[..*number].contains(name));
    let long = |name: &&String| name.is_empty() || name.chars().count() > MAX_NAME;
    if let Some(name) = twice.map(|(_, name)| name).or_else(|| classes.iter().find(long)) {
        let problem = format!("the class {name:?} is named twice, has no name, or has more than {MAX_NAME} characters");
        return Err(fault(at, problem, "correct it, or leave it out").into());
    }
    Ok(Answers { task, classes })
}

/// What the head sees, by the file or by the user; nothing pools where each token has an answer.
fn pooling(place: &str, stated: Option<Pooling>, task: Task, given: &Given) -> Result<Option<Pooling>> {
    if task.each_step() {
        return match stated.or(given.pooling) {
            None => Ok(None),
            Some(_) => {
                let at = if stated.is_some() { metadata_of(place, "pooling") } else { "--pooling".to_owned() };
                Err(fault(at, "each token has an answer, so that nothing is pooled", "leave it out").into())
            }
        };
    }
    match (stated, given.pooling) {
        (Some(stated), Some(given)) if stated != given => {
            let problem = format!("{} names another pooling", metadata_of(place, "pooling"));
            Err(fault("--pooling", problem, "leave the option out").into())
        }
        (stated, given) => stated.or(given).map(Some).ok_or_else(|| {
            let remedy = "add --pooling last, mean, max or attention";
            fault(place, "it does not say which pooling the network has", remedy).into()
        }),
    }
}

/// The trainer's network of a description.
fn network(model: &Described, pooling: Option<Pooling>) -> Result<Network<f32>> {
    let Matrix { rows, columns, ref values, .. } = model.embedding;
    let mut tensors = vec![DMatrix::from_column_slice(columns, rows, values)];
    let mut layers = Vec::new();
    for layer in &model.layers {
        let cell = CellConfig::of(layer.units);
        layers.push(match layer.kind {
            Kind::Lstm => LayerConfig::Lstm(cell),
            Kind::Gru { reset_after } => LayerConfig::Gru { cell, reset_after },
            Kind::Rnn { activation: interchange::Activation::Tanh } => {
                LayerConfig::Rnn { cell, activation: Activation::Tanh }
            }
            Kind::Rnn { activation: interchange::Activation::Relu } => {
                LayerConfig::Rnn { cell, activation: Activation::Relu }
            }
        });
        tensors.extend([tensor(&layer.kernel), tensor(&layer.recurrent_kernel)]);
        let biases = [Some(&layer.bias), layer.recurrent_bias.as_ref()].into_iter().flatten();
        tensors.extend(biases.map(|bias| DMatrix::from_column_slice(bias.len(), 1, bias)));
    }
    tensors.extend([tensor(&model.head), DMatrix::from_column_slice(model.head_bias.len(), 1, &model.head_bias)]);
    let head = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 };
    layers.extend(pooling.map(LayerConfig::Pooling));
    layers.push(head);
    let chain = Chain { embedding: columns, word_dropout: 0.0, layers };
    let config = NetworkConfig { vocabulary: rows, outputs: model.head.rows, chain };
    Ok(Network::from_tensors(config, tensors)?)
}

/// The place of an entry of the metadata.
fn metadata_of(place: &str, entry: &str) -> String {
    format!("{place}: metadata latch.{entry}")
}

/// The vocabulary, held to the rows of the embedding and to what the tokenizer can give; and the words in it that the tokenizer never gives.
fn words(place: &str, model: &Described, given: &Given) -> Result<(Vocabulary, Vec<String>)> {
    let (layout, rows) = (model.layout, model.embedding.rows);
    let (words, at) = match (&given.vocabulary, &model.vocabulary) {
        (Some(given), Some(stated)) if given != stated => {
            let problem = format!("{} has other words", metadata_of(place, "vocabulary"));
            return Err(fault("--vocabulary", problem, "leave the option out").into());
        }
        (Some(given), _) => (given, "--vocabulary".to_owned()),
        (None, Some(stated)) => (stated, metadata_of(place, "vocabulary")),
        (None, None) => {
            let remedy = "add --vocabulary, the file that `latch tokens` wrote";
            return Err(fault(place, "it has no vocabulary", remedy).into());
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
    if model.unknown.is_some_and(|stated| Unknown::from(UnknownRule::from(stated)) != unknown) {
        let problem = format!("the embedding has {rows} rows for {} words, which is the other rule", words.len());
        return Err(fault(metadata_of(place, "unknown"), problem, "correct it, or leave it out").into());
    }
    let vocabulary = Vocabulary::new(words.clone(), unknown, tokenization(place, model, given, words)?);
    let are_characters = vocabulary.tokenization.tokens.are_characters();
    // A word that was cut in the middle of `don't` may read differently; one in ten that do are another tokenizer's. A space is a token between two others alone.
    let never = |(id, word): &(u32, &String)| {
        vocabulary.ids(&composed(word)) != [*id] && !(are_characters && word.as_str() == " ")
    };
    let strange: Vec<String> = (0..).zip(words).filter(never).map(|(_, word)| word.clone()).collect();
    if let Some(word) = words.iter().find(|word| word.contains(['\n', '\r'])) {
        return Err(
            fault(at, format!("the word {word:?} has a line's end in it"), "leave it out: no text gives it").into()
        );
    }
    if 10 * strange.len() > words.len() {
        let problem = format!(
            "{} of {} words never come out of Latch's tokenizer, such as {:?}",
            strange.len(),
            words.len(),
            strange[0]
        );
        return Err(fault(at, problem, "train on the ids that `latch tokens` writes").into());
    }
    vocabulary.encode()?;
    Ok((vocabulary, strange))
}

/// How texts are cut into tokens: as the file says, else as the user does, else into words; by the file's table of characters, else by that of the words.
fn tokenization(place: &str, model: &Described, given: &Given, words: &[String]) -> Result<Tokenization, Fault> {
    let stated = model.tokens.map(tokens_of);
    if let (Some(stated), Some(given)) = (stated, given.tokens)
        && stated != given
    {
        let problem = format!("{} names another kind of token", metadata_of(place, "tokens"));
        return Err(fault("--tokens", problem, "leave the option out"));
    }
    let tokens = stated.or(given.tokens).unwrap_or_default();
    Ok(match &model.characters {
        Some(characters) => Tokenization::with(tokens, characters),
        None => Tokenization::of_texts(tokens, words.iter().map(String::as_str)),
    })
}
