//! The chain of layers, as text and as data: `"embedding 8 > gru 24 > attention > dense"`.
//!
//! ```text
//! chain      = embedding ">" layer { ">" layer }
//! embedding  = "embedding" FEATURES [ "word_dropout=" SHARE ]
//! layer      = "lstm" UNITS { dropouts }
//!            | "gru"  UNITS { "reset_before" | dropouts }         without it the reset gate acts after the product
//!            | "rnn"  UNITS { "tanh" | "relu" | dropouts }        tanh unless said otherwise
//!            | "dense" [ UNITS ] { "linear" | "relu" | "tanh" | "sigmoid" | "dropout=" SHARE }
//!            | "last" | "mean" | "max" | "attention"              the poolings, at most one of them
//! dropouts   = "dropout=" SHARE | "recurrent_dropout=" SHARE
//! ```
//!
//! A chain ends with a linear `dense` without units: the task says how many outputs it has. Without a pooling every step has an answer.
//! Nothing recurrent comes after the pooling. [`Chain`] is plain data; its [`Display`](fmt::Display) form is read back to the same chain.
//! [`super::notation`] reads the same text with the model's input in front.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use clap::ValueEnum;
use latch_engine::layers::embedding::MAX_ROWS;
use serde::{Deserialize, Serialize};

/// The most units or features of a layer.
const MAX_SIZE: usize = 65_535;

/// A network's layers in their order: an embedding, and what lies above it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Chain {
    /// Features of an embedded token.
    pub embedding: usize,
    /// Share of the tokens whose whole embedding is dropped while the network learns.
    pub word_dropout: f64,
    /// The layers above the embedding, the lowest first. The last is a dense layer.
    pub layers: Vec<LayerConfig>,
}

/// One layer of a chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LayerConfig {
    /// An LSTM layer.
    Lstm(CellConfig),
    /// A gated recurrent unit.
    Gru {
        /// What every recurrent layer has.
        cell: CellConfig,
        /// True where the reset gate multiplies the product `U·h + b` (Keras's default, PyTorch, cuDNN), false where it multiplies h
        /// before the product (Cho et al. 2014, ONNX's default).
        reset_after: bool,
    },
    /// A simple recurrent layer.
    Rnn {
        /// What every recurrent layer has.
        cell: CellConfig,
        /// Tanh or relu.
        activation: Activation,
    },
    /// A dense layer, at each step or after the pooling.
    Dense {
        /// Its units; none for the answer, whose outputs the task gives.
        units: Option<usize>,
        /// What its sums go through.
        activation: Activation,
        /// Share of its input features that is dropped, the same at every step of a sequence.
        dropout: f64,
    },
    /// From all steps of a sequence to one vector.
    Pooling(Pooling),
}

/// What every recurrent layer has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellConfig {
    /// Hidden features.
    pub units: usize,
    /// Share of the input features that is dropped, the same at every step of a sequence.
    pub dropout: f64,
    /// Share of the features of h_{t-1} that is dropped, the same at every step of a sequence.
    pub recurrent_dropout: f64,
}

impl CellConfig {
    /// A cell of so many units without dropout.
    pub const fn of(units: usize) -> Self {
        Self { units, dropout: 0.0, recurrent_dropout: 0.0 }
    }
}

/// What the sums of a layer go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// x
    #[default]
    Linear,
    /// max(x, 0)
    Relu,
    /// tanh(x)
    Tanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
}

impl Activation {
    /// Its name in a chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Linear, Self::Relu, Self::Tanh, Self::Sigmoid].into_iter().find(|activation| activation.name() == name)
    }
}

/// How the steps of a sequence become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The vector after the last token.
    #[default]
    Last,
    /// The mean over all steps.
    Mean,
    /// The largest value of each feature over all steps; of equal values the earliest counts.
    Max,
    /// The mean over all steps, each with the weight e^(4·h) of its first feature's h, held to [-1, 1].
    Attention,
}

impl Pooling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Last, Self::Mean, Self::Max, Self::Attention];

    /// Its name in a chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Attention => "attention",
        }
    }
}

impl LayerConfig {
    /// The name of its kind in a chain, and in the names of its tensors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lstm(_) => "lstm",
            Self::Gru { .. } => "gru",
            Self::Rnn { .. } => "rnn",
            Self::Dense { .. } => "dense",
            Self::Pooling(pooling) => pooling.name(),
        }
    }

    /// The cell of a recurrent layer.
    pub fn cell(&self) -> Option<&CellConfig> {
        match self {
            Self::Lstm(cell) | Self::Gru { cell, .. } | Self::Rnn { cell, .. } => Some(cell),
            Self::Dense { .. } | Self::Pooling(_) => None,
        }
    }

    /// Share of the input features that is dropped.
    pub fn dropout(&self) -> f64 {
        match self {
            Self::Dense { dropout, .. } => *dropout,
            Self::Pooling(_) => 0.0,
            _ => self.cell().map_or(0.0, |cell| cell.dropout),
        }
    }

    /// Features of its output, from those of its input and the outputs of the answer.
    pub fn features(&self, inputs: usize, outputs: usize) -> usize {
        match self {
            Self::Dense { units, .. } => units.unwrap_or(outputs),
            Self::Pooling(_) => inputs,
            _ => self.cell().map_or(inputs, |cell| cell.units),
        }
    }
}

impl Chain {
    /// An embedding, `layers` LSTM layers of `units` each, the pooling where there is one, and a dense answer; nothing is dropped.
    pub fn stacked(embedding: usize, layers: usize, units: usize, pooling: Option<Pooling>) -> Self {
        let mut chain = vec![LayerConfig::Lstm(CellConfig::of(units)); layers];
        chain.extend(pooling.map(LayerConfig::Pooling));
        chain.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 });
        Self { embedding, word_dropout: 0.0, layers: chain }
    }

    /// The pooling, where there is one; without, every step has an answer.
    pub fn pooling(&self) -> Option<Pooling> {
        self.layers.iter().find_map(|layer| match layer {
            LayerConfig::Pooling(pooling) => Some(*pooling),
            _ => None,
        })
    }

    /// The recurrent layers, the lowest first.
    pub fn cells(&self) -> impl Iterator<Item = &CellConfig> {
        self.layers.iter().filter_map(LayerConfig::cell)
    }

    /// Says why the layers cannot stand in this order, and which of them is meant: 0 is the embedding, 1 the lowest layer.
    pub fn fault(&self) -> Option<(usize, &'static str)> {
        let mut pooled = false;
        for (number, layer) in (1..).zip(&self.layers) {
            let last = number == self.layers.len();
            match layer {
                LayerConfig::Pooling(_) if pooled => return Some((number, "a sequence is pooled once")),
                LayerConfig::Pooling(Pooling::Attention) if self.cells().next().is_none() => {
                    return Some((number, "attention weighs the states of a recurrent layer, and there is none"));
                }
                LayerConfig::Pooling(_) => pooled = true,
                LayerConfig::Dense { units: None, .. } if !last => {
                    return Some((number, "this dense layer needs its units, as in `dense 16 relu`"));
                }
                LayerConfig::Dense { units, activation, .. } if last => match (units, activation) {
                    (Some(_), _) => return Some((number, "the last dense layer has no number: the task gives it")),
                    (_, Activation::Linear) => {}
                    _ => return Some((number, "the answer is linear: what follows it belongs to the loss")),
                },
                LayerConfig::Dense { .. } => {}
                _ if pooled => return Some((number, "a recurrent layer reads steps: put it before the pooling")),
                _ => {}
            }
        }
        match self.layers.last() {
            Some(LayerConfig::Dense { .. }) => None,
            _ => Some((self.layers.len(), "a chain ends with `> dense`, which gives the answer")),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |f: &mut fmt::Formatter<'_>, name: &str, value: f64| {
            if value == 0.0 { Ok(()) } else { write!(f, " {name}={value}") }
        };
        write!(f, "embedding {}", self.embedding)?;
        share(f, "word_dropout", self.word_dropout)?;
        for layer in &self.layers {
            write!(f, " > {}", layer.name())?;
            if let Some(cell) = layer.cell() {
                write!(f, " {}", cell.units)?;
            }
            match layer {
                LayerConfig::Gru { reset_after: false, .. } => write!(f, " reset_before")?,
                LayerConfig::Rnn { activation: Activation::Relu, .. } => write!(f, " relu")?,
                LayerConfig::Dense { units, activation, .. } => {
                    units.map_or(Ok(()), |units| write!(f, " {units}"))?;
                    if *activation != Activation::Linear {
                        write!(f, " {}", activation.name())?;
                    }
                }
                _ => {}
            }
            share(f, "dropout", layer.dropout())?;
            share(f, "recurrent_dropout", layer.cell().map_or(0.0, |cell| cell.recurrent_dropout))?;
        }
        Ok(())
    }
}

impl From<Chain> for String {
    fn from(chain: Chain) -> Self {
        chain.to_string()
    }
}

impl TryFrom<String> for Chain {
    /// The mistake in one line, as a file's error has it.
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: ChainError| format!("{} (at `{}`)", error.problem, &error.text[error.place()]))
    }
}

/// A mistake in the text of a chain, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainError {
    text: String,
    /// The place in bytes.
    place: Range<usize>,
    problem: String,
}

impl ChainError {
    /// The place of the mistake in the text, in bytes.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// What is wrong, without the text.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for ChainError {
    /// The problem, the text, and carets below the place of the mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text[..self.place.start].chars().count();
        let length = self.text[self.place.clone()].chars().count().max(1);
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "{}\n  {shown}\n  {:before$}{:^<length$}", self.problem, "", "")
    }
}

impl std::error::Error for ChainError {}

/// The names of layers, and that of a model's input in front of them.
const NAMES: [&str; 10] = ["text", "embedding", "lstm", "gru", "rnn", "dense", "last", "mean", "max", "attention"];

/// The options that say something of a model besides its layers.
const SETTINGS: [&str; 11] = [
    "words=",
    "unknown=",
    "ngrams=",
    "longest=",
    "ngram_texts=",
    "ngram_bits=",
    "ngram_dropout=",
    "whole=",
    "rare=",
    "rare_bits=",
    "quotient=",
];

/// The options of a layer, of the input or, in a whole model, of the embedding; those with `=` take a value.
fn options(layer: &str, of_model: bool) -> &'static [&'static str] {
    match layer {
        "text" => &SETTINGS[..7],
        "embedding" if of_model => &["word_dropout=", "whole=", "rare=", "rare_bits=", "quotient="],
        "embedding" => &["word_dropout="],
        "lstm" => &["dropout=", "recurrent_dropout="],
        "gru" => &["reset_before", "dropout=", "recurrent_dropout="],
        "rnn" => &["tanh", "relu", "dropout=", "recurrent_dropout="],
        "dense" => &["linear", "relu", "tanh", "sigmoid", "dropout="],
        _ => &[],
    }
}

/// A word of the text and its place.
type Word<'t> = (&'t str, usize);

/// One layer of the text: its words, and its place.
struct Element<'t> {
    words: Vec<Word<'t>>,
    place: Range<usize>,
}

/// What the options of a layer say.
#[derive(Default)]
struct Options<'t> {
    size: Option<usize>,
    word: Option<&'static str>,
    dropout: f64,
    recurrent_dropout: f64,
    settings: Vec<Setting<'t>>,
}

impl Options<'_> {
    /// The layer of a name; none of the embedding.
    fn layer(&self, name: &str) -> Option<LayerConfig> {
        let Options { size, word, dropout, recurrent_dropout, .. } = *self;
        let cell = CellConfig { units: size.unwrap_or_default(), dropout, recurrent_dropout };
        let activation = word.and_then(Activation::named);
        Some(match name {
            "lstm" => LayerConfig::Lstm(cell),
            "gru" => LayerConfig::Gru { cell, reset_after: word.is_none() },
            "rnn" => LayerConfig::Rnn { cell, activation: activation.unwrap_or(Activation::Tanh) },
            "dense" => LayerConfig::Dense { units: size, activation: activation.unwrap_or_default(), dropout },
            _ => LayerConfig::Pooling(Pooling::ALL.into_iter().find(|pooling| pooling.name() == name)?),
        })
    }
}

/// An option that says something of a model besides its layers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting<'t> {
    /// Its name.
    pub(super) key: &'static str,
    /// What stands behind the `=`.
    pub(super) value: &'t str,
    /// The place of both in the text, in bytes.
    place: Range<usize>,
}

/// The text of a whole model: its input, where it is said, and its layers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notation<'t> {
    text: &'t str,
    /// The layers, with the pooling and the answer that may be left out.
    pub(super) chain: Chain,
    /// Words of the vocabulary, where they are said.
    pub(super) words: Option<usize>,
    /// Whether the text has a pooling.
    pub(super) is_pooled: bool,
    /// What is said besides the layers, in the order of the text.
    pub(super) settings: Vec<Setting<'t>>,
}

impl<'t> Notation<'t> {
    /// Reads the text of a model: `[ "text" [ WORDS ] { option } ">" ] chain`. A pooling that is missing is `last`, or
    /// `mean` without a recurrent layer; a last `dense` that is missing is added.
    ///
    /// # Errors
    /// The first mistake of the text.
    pub(super) fn read(text: &'t str) -> Result<Self, ChainError> {
        let mut notation = Self::parse(text, true)?;
        notation.is_pooled = notation.chain.pooling().is_some();
        if !notation.is_pooled {
            let Chain { layers, .. } = &mut notation.chain;
            let recurrent = layers.iter().rposition(|layer| layer.cell().is_some());
            let pooling = if recurrent.is_some() { Pooling::Last } else { Pooling::Mean };
            layers.insert(recurrent.map_or(0, |last| last + 1), LayerConfig::Pooling(pooling));
        }
        Ok(notation)
    }

    /// A mistake of a setting, or of the whole text.
    pub(super) fn error(&self, setting: Option<&Setting<'_>>, problem: String) -> ChainError {
        let place = setting.map_or(0..self.text.len(), |setting| setting.place.clone());
        ChainError { text: self.text.to_owned(), place, problem }
    }
}

impl FromStr for Chain {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        Notation::parse(text, false).map(|notation| notation.chain)
    }
}

impl<'t> Notation<'t> {
    /// Reads a chain, or, where it is `of_model`, a whole model.
    fn parse(text: &'t str, of_model: bool) -> Result<Self, ChainError> {
        let names = &NAMES[usize::from(!of_model)..];
        let (mut words_of_text, mut settings) = (None, Vec::new());
        let elements = elements(text)?;
        let error = |place: Range<usize>, problem: String| ChainError { text: text.to_owned(), place, problem };
        let mut chain: Option<Chain> = None;
        for (number, Element { words, place }) in elements.iter().enumerate() {
            let (name, at) = words[0];
            let here = at..at + name.len();
            if !names.contains(&name) {
                let nearest = nearest(name, names);
                return Err(error(here, format!("unknown layer `{name}`; {nearest}")));
            }
            let mut options = read_options(text, words, of_model)?;
            settings.append(&mut options.settings);
            if name == "text" {
                if number > 0 {
                    return Err(error(here, "the input `text` comes first, and once".into()));
                }
                words_of_text = options.size;
                continue;
            }
            let has_size = ["embedding", "lstm", "gru", "rnn"].contains(&name);
            if has_size && options.size.is_none() {
                let unit = if name == "embedding" { "features" } else { "units" };
                return Err(error(place.clone(), format!("`{name}` needs its {unit}, as in `{name} 16`")));
            }
            match (&mut chain, options.layer(name)) {
                (Some(chain), Some(layer)) => chain.layers.push(layer),
                (None, None) => {
                    let embedding = options.size.unwrap_or_default();
                    // The share of an embedding's option is the share of its tokens.
                    chain = Some(Chain { embedding, word_dropout: options.dropout, layers: Vec::new() });
                }
                (Some(_), None) => return Err(error(here, "there is one embedding, and it comes first".into())),
                (None, Some(_)) => {
                    let problem = "a chain begins with an embedding, as in `embedding 8 > gru 24 > attention > dense`";
                    return Err(error(here, problem.into()));
                }
            }
        }
        let mut chain = chain.ok_or_else(|| error(0..text.len(), "an embedding is missing behind the input".into()))?;
        if of_model && !matches!(chain.layers.last(), Some(LayerConfig::Dense { units: None, .. })) {
            chain.layers.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 });
        }
        match chain.fault() {
            Some((layer, problem)) => {
                let input = elements.iter().filter(|element| element.words[0].0 == "text").count();
                let place = elements[(layer + input).min(elements.len() - 1)].place.clone();
                Err(error(place, problem.into()))
            }
            None => Ok(Self { text, chain, words: words_of_text, is_pooled: false, settings }),
        }
    }
}

/// Cuts a text at every `>`.
fn elements(text: &str) -> Result<Vec<Element<'_>>, ChainError> {
    let mut elements = Vec::new();
    let mut start = 0;
    for part in text.split('>') {
        let words: Vec<Word<'_>> =
            part.split_whitespace().map(|word| (word, word.as_ptr() as usize - text.as_ptr() as usize)).collect();
        let (Some(&(_, first)), Some(&(word, last))) = (words.first(), words.last()) else {
            let place = start.min(text.len())..(start + part.len()).min(text.len());
            let problem = "a layer is missing here: a chain is `embedding 8 > gru 24 > attention > dense`".into();
            return Err(ChainError { text: text.to_owned(), place, problem });
        };
        elements.push(Element { words, place: first..last + word.len() });
        start += part.len() + 1;
    }
    Ok(elements)
}

/// Reads what stands behind the name of a layer.
fn read_options<'t>(text: &str, words: &[Word<'t>], of_model: bool) -> Result<Options<'t>, ChainError> {
    let name = words[0].0;
    let known = options(name, of_model);
    let most = if name == "text" { MAX_ROWS as usize } else { MAX_SIZE };
    let mut found = Options::default();
    let mut seen: Vec<&str> = Vec::new();
    for &(word, at) in &words[1..] {
        let error = |problem: String| ChainError { text: text.to_owned(), place: at..at + word.len(), problem };
        let (key, value) = word.find('=').map_or((word, None), |equals| (&word[..=equals], Some(&word[equals + 1..])));
        if value.is_none() && word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            if Pooling::ALL.iter().any(|pooling| pooling.name() == name) {
                return Err(error(format!("`{name}` has no units: it keeps the features of what it reads")));
            }
            match word.parse() {
                Ok(size) if !(1..=most).contains(&size) => {
                    return Err(error(format!("a size is a whole number from 1 to {most}")));
                }
                Ok(_) if found.size.is_some() => return Err(error(format!("`{name}` has its size already"))),
                Ok(size) => found.size = Some(size),
                Err(_) => return Err(error(format!("a size is a whole number from 1 to {most}"))),
            }
            continue;
        }
        let Some(&option) = known.iter().find(|option| **option == key) else {
            let nearest = if known.is_empty() { format!("`{name}` has none") } else { nearest(key, known) };
            return Err(error(format!("unknown option `{word}` of `{name}`; {nearest}")));
        };
        if seen.contains(&option) {
            return Err(error(format!("`{}` is said twice", option.trim_end_matches('='))));
        }
        seen.push(option);
        match value {
            None if found.word.is_some() => return Err(error(format!("`{name}` has one activation"))),
            None => found.word = Some(option),
            Some(value) if SETTINGS.contains(&option) => {
                let (key, place) = (option.trim_end_matches('='), at..at + word.len());
                found.settings.push(Setting { key, value, place });
            }
            Some(value) => {
                let share = value.parse().ok().filter(|share| (0.0..1.0).contains(share)).ok_or_else(|| {
                    error(format!("`{}` takes a number from 0 to below 1", option.trim_end_matches('=')))
                })?;
                match option {
                    "recurrent_dropout=" => found.recurrent_dropout = share,
                    _ => found.dropout = share,
                }
            }
        }
    }
    Ok(found)
}

/// Says which of the names is nearest to a word, or, where none is near, which there are.
fn nearest(word: &str, names: &[&str]) -> String {
    let best = names.iter().min_by_key(|name| distance(word, name.trim_end_matches('=')));
    match best {
        Some(name) if distance(word, name.trim_end_matches('=')) <= name.len().div_ceil(3) => {
            format!("did you mean `{name}`?")
        }
        _ => format!("known are {}", names.join(", ")),
    }
}

/// The edits (a character more, less, another, or two swapped) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let other = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = other.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests;
