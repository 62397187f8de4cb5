//! A chain as text: `"embedding 8 > gru 24 > attention > dense"`.
//!
//! ```text
//! chain      = embedding ">" layer { ">" layer }
//! embedding  = "embedding" FEATURES [ "word_dropout=" SHARE ]
//! layer      = "lstm" UNITS { "peepholes" | "coupled" | "project=" FEATURES | cell | dropouts }
//!            | "gru"  UNITS { "reset_before" | cell | dropouts }         without it the reset gate acts after the product
//!            | "rnn"  UNITS { cell | dropouts }                   tanh unless said otherwise
//!            | "layernorm" [ "epsilon=" NUMBER ]
//!            | ( "bilstm" | "bigru" | "birnn" ) UNITS { "average" | "product" | "aligned" | "steps=" STEPS | options of the cell but recurrent_dropout }
//!            | "conv1d" UNITS { "k" FRAMES | "s" STRIDE | "valid" | "linear" | "relu" | "dropout=" SHARE }      a window of 3 frames and each step unless said
//!            | "maxpool" FRAMES [ "s" STRIDE ]                       each window begins behind the one before unless said
//!            | "dense" [ UNITS ] { "linear" | "relu" | "tanh" | "sigmoid" | "dropout=" SHARE }
//!            | "last" | "mean" | "max" | "attention"              the poolings, at most one of them
//! cell       = "clip=" NUMBER | activation | "activation=" activation | "gates=" activation | "output=" activation
//! activation = "linear" | "relu" | "tanh" | "sigmoid" | "hard_sigmoid" [ ":" ALPHA ":" BETA ]
//! dropouts   = "dropout=" SHARE | "recurrent_dropout=" SHARE
//! ```
//!
//! The [`Display`](fmt::Display) form of a chain is read back to the same chain. The text of a whole model, which `config::notation` reads, has the
//! model's input in front and more options.

pub mod names;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use latch_engine::input::samples::MAX_CHANNELS;
use latch_engine::input::text::Tokens;
use latch_engine::layers::bidirectional::MAX_LONGEST;
use latch_engine::layers::conv1d::{MAX_FRAMES, MAX_STRIDE, MAX_UNITS};
use latch_engine::layers::embedding::MAX_ROWS;

use self::names::{CELLS, known, no_layer, no_option};
use super::variant::{CellActivation, VariantConfig, VariantKind};
use super::{Activation, Bidirectional, CellConfig, Chain, Direction, LONGEST, LayerConfig, Merge, Pooling};

/// The most units or features of a layer.
const MAX_SIZE: usize = 65_535;

impl Chain {
    /// Writes the embedding.
    ///
    /// # Errors
    /// Those of the writer.
    pub(in crate::config) fn write_embedding(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "embedding {}", self.embedding)?;
        write_share(f, "word_dropout", self.word_dropout)
    }

    /// Writes the layers above the embedding, each behind a `>`.
    ///
    /// # Errors
    /// Those of the writer.
    pub(in crate::config) fn write_layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layers.iter().try_for_each(|layer| write!(f, " > {layer}"))
    }
}

impl fmt::Display for LayerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(cell) = self.cell() {
            write!(f, " {}", cell.units)?;
        }
        match self {
            LayerConfig::Gru { reset_after: false, .. } => write!(f, " reset_before")?,
            LayerConfig::Rnn { activation: Activation::Relu, .. } => write!(f, " relu")?,
            LayerConfig::Bidirectional(both) => write_directions(f, both)?,
            LayerConfig::Conv1d { units, frames, stride, valid, activation, .. } => {
                write!(f, " {units} k{frames}")?;
                if *stride > 1 {
                    write!(f, " s{stride}")?;
                }
                if *valid {
                    write!(f, " valid")?;
                }
                if *activation == Activation::Relu {
                    write!(f, " relu")?;
                }
            }
            LayerConfig::Dense { units, activation, .. } => {
                units.map_or(Ok(()), |units| write!(f, " {units}"))?;
                if *activation != Activation::Linear {
                    write!(f, " {}", activation.name())?;
                }
            }
            LayerConfig::Variant { form, .. } => write!(f, "{form}")?,
            LayerConfig::MaxPool { frames, stride } => {
                write!(f, " {frames}")?;
                if stride != frames {
                    write!(f, " s{stride}")?;
                }
            }
            LayerConfig::LayerNorm { epsilon } if *epsilon != EPSILON => write!(f, " epsilon={epsilon}")?,
            _ => {}
        }
        write_share(f, "dropout", self.dropout())?;
        write_share(f, "recurrent_dropout", self.cell().map_or(0.0, |cell| cell.recurrent_dropout))
    }
}

fn write_directions(f: &mut fmt::Formatter<'_>, both: &Bidirectional) -> fmt::Result {
    match both.kind {
        Direction::Gru { reset_after: false } => write!(f, " reset_before")?,
        Direction::Rnn { activation: Activation::Relu } => write!(f, " relu")?,
        _ => {}
    }
    if both.merge != Merge::Concat {
        write!(f, " {}", both.merge.name())?;
    }
    if both.aligned {
        write!(f, " aligned")?;
    }
    if both.longest != LONGEST {
        write!(f, " steps={}", both.longest)?;
    }
    Ok(())
}

fn write_share(f: &mut fmt::Formatter<'_>, name: &str, value: f64) -> fmt::Result {
    if value == 0.0 { Ok(()) } else { write!(f, " {name}={value}") }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_embedding(f)?;
        self.write_layers(f)
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
        text.parse().map_err(|error: ChainError| error.in_one_line())
    }
}

impl FromStr for Chain {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        Notation::read(text, false).map(|notation| notation.chain)
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
    fn new(text: &str, place: Range<usize>, problem: impl Into<String>) -> Self {
        Self { text: text.to_owned(), place, problem: problem.into() }
    }

    /// The place of the mistake in the text, in bytes.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// What is wrong, without the text.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What is wrong, and the words where it is.
    pub fn in_one_line(&self) -> String {
        format!("{} (at `{}`)", self.problem, &self.text[self.place()])
    }
}

/// The most characters of a text that are shown with a mistake.
const SHOWN: usize = 240;

impl fmt::Display for ChainError {
    /// The problem, the text, and carets below the place of the mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text[..self.place.start].chars().count();
        let length = self.text[self.place.clone()].chars().count().max(1);
        // Of a long text what stands around the mistake.
        let skipped = before.saturating_sub(SHOWN / 2);
        let shown = self.text.chars().skip(skipped).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c });
        let (shown, before) = (shown.collect::<String>(), before - skipped);
        let carets = length.min(SHOWN - before);
        write!(f, "{}\n  {shown}\n  {}{}", self.problem, " ".repeat(before), "^".repeat(carets))
    }
}

impl std::error::Error for ChainError {}

/// A word of the text and its place.
type Word<'t> = (&'t str, usize);

/// One layer of the text: its words, and its place.
struct Element<'t> {
    words: Vec<Word<'t>>,
    place: Range<usize>,
}

/// ε of a layer normalization where nobody says it: that of PyTorch and of ONNX.
const EPSILON: f32 = 1e-5;

/// Frames of a convolution where nobody says how many.
const FRAMES: usize = 3;

/// What the options of a layer say.
#[derive(Default)]
struct Options<'t> {
    size: Option<usize>,
    word: Option<&'static str>,
    frames: Option<usize>,
    stride: Option<usize>,
    valid: bool,
    merge: Option<Merge>,
    aligned: bool,
    longest: Option<usize>,
    dropout: f64,
    recurrent_dropout: f64,
    variant: Variant,
    epsilon: Option<f32>,
    settings: Vec<Setting<'t>>,
}

/// What the options of a recurrent layer say besides its units and dropout.
#[derive(Default)]
struct Variant {
    reset_before: bool,
    peepholes: bool,
    coupled: bool,
    clip: Option<f32>,
    projected: Option<usize>,
    activation: Option<CellActivation>,
    gates: Option<CellActivation>,
    output: Option<CellActivation>,
}

impl Variant {
    /// With what nobody has said.
    fn of(&self, kind: VariantKind) -> VariantConfig {
        let usual = VariantConfig::plain(kind);
        let activation = self.activation.unwrap_or(usual.activation);
        let output = self.output.unwrap_or(if kind == VariantKind::Lstm { activation } else { usual.output });
        let gates = self.gates.unwrap_or(usual.gates);
        let Self { peepholes, coupled, clip, projected, .. } = *self;
        VariantConfig { kind, activation, gates, output, peepholes, coupled, clip, projected }
    }

    /// Takes up a word of a cell called `layer`, true where it has not been said otherwise; `None` of any other word.
    fn word(&mut self, layer: &str, word: &str) -> Option<bool> {
        let place = match word {
            "reset_before" => return Some(!std::mem::replace(&mut self.reset_before, true)),
            "peepholes" => return Some(!std::mem::replace(&mut self.peepholes, true)),
            "coupled" => return Some(!std::mem::replace(&mut self.coupled, true)),
            "hard_sigmoid" if layer != "rnn" => &mut self.gates,
            _ => &mut self.activation,
        };
        let activation = CellActivation::named(word)?;
        Some(place.replace(activation).is_none())
    }

    /// Takes up an option with a value; `None` of any other option, and what it takes where the value is none.
    fn value(&mut self, key: &str, value: &str) -> Option<Result<(), &'static str>> {
        let activation = "takes linear, relu, tanh, sigmoid, hard_sigmoid, or hard_sigmoid:ALPHA:BETA";
        let place = match key {
            "clip" => {
                self.clip = value.parse().ok().filter(|clip: &f32| clip.is_finite() && *clip > 0.0);
                return Some(self.clip.map(|_| ()).ok_or("takes a number above 0"));
            }
            "project" => {
                self.projected = value.parse().ok().filter(|features| (1..=MAX_SIZE).contains(features));
                return Some(self.projected.map(|_| ()).ok_or("takes a number of features from 1 on"));
            }
            "activation" => &mut self.activation,
            "gates" => &mut self.gates,
            "output" => &mut self.output,
            _ => return None,
        };
        let Some(found) = CellActivation::named(value) else { return Some(Err(activation)) };
        Some(if place.replace(found).is_some() { Err("is said already by a word") } else { Ok(()) })
    }
}

impl Options<'_> {
    /// The layer of a name; none of the embedding.
    fn layer(&self, name: &str) -> Option<LayerConfig> {
        let Options { size, word, frames, stride, valid, dropout, recurrent_dropout, merge, aligned, longest, .. } =
            *self;
        let cell = CellConfig { units: size.unwrap_or_default(), dropout, recurrent_dropout };
        let activation = word.and_then(Activation::named);
        Some(match name {
            "lstm" => self.variant.of(VariantKind::Lstm).layer(cell),
            "gru" => self.variant.of(VariantKind::Gru(!self.variant.reset_before)).layer(cell),
            "rnn" => self.variant.of(VariantKind::Rnn).layer(cell),
            "layernorm" => LayerConfig::LayerNorm { epsilon: self.epsilon.unwrap_or(EPSILON) },
            "bilstm" | "bigru" | "birnn" => LayerConfig::Bidirectional(Bidirectional {
                kind: match name {
                    "bilstm" => Direction::Lstm,
                    "bigru" => Direction::Gru { reset_after: word.is_none() },
                    _ => Direction::Rnn { activation: activation.unwrap_or(Activation::Tanh) },
                },
                cell,
                merge: merge.unwrap_or_default(),
                aligned,
                longest: longest.unwrap_or(LONGEST),
            }),
            "conv1d" => LayerConfig::Conv1d {
                units: size.unwrap_or_default(),
                frames: frames.unwrap_or(FRAMES),
                stride: stride.unwrap_or(1),
                valid,
                activation: activation.unwrap_or_default(),
                dropout,
            },
            "maxpool" => {
                let frames = size.unwrap_or_default();
                LayerConfig::MaxPool { frames, stride: stride.unwrap_or(frames) }
            }
            "dense" => LayerConfig::Dense { units: size, activation: activation.unwrap_or_default(), dropout },
            _ => LayerConfig::Pooling(Pooling::ALL.into_iter().find(|pooling| pooling.name() == name)?),
        })
    }
}

/// An option that says something of a model besides its layers.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Setting<'t> {
    /// Its name.
    pub(in crate::config) key: &'static str,
    /// What stands behind the `=`.
    pub(in crate::config) value: &'t str,
    /// The place of both in the text, in bytes.
    place: Range<usize>,
}

/// What the text of a chain, or of a whole model, says.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Notation<'t> {
    text: &'t str,
    /// The layers.
    pub(in crate::config) chain: Chain,
    /// What a token is.
    pub(in crate::config) tokens: Tokens,
    /// True where the input is samples, whose channels are the features of the chain's embedding; 0 where they are not said.
    pub(in crate::config) samples: bool,
    /// Words of the vocabulary, where they are said.
    pub(in crate::config) words: Option<usize>,
    /// What is said besides the layers, in the order of the text.
    pub(in crate::config) settings: Vec<Setting<'t>>,
    /// The places of the embedding and of the layers in the text, in bytes.
    places: Vec<Range<usize>>,
}

impl<'t> Notation<'t> {
    /// Reads a chain or, where it is `of_model`, the text of a whole model, whose last `dense` may be left out.
    ///
    /// # Errors
    /// The first mistake of the text.
    pub(in crate::config) fn read(text: &'t str, of_model: bool) -> Result<Self, ChainError> {
        let error = |place: Range<usize>, problem: &str| ChainError::new(text, place, problem);
        let (mut size_of_text, mut settings, mut places) = (None, Vec::new(), Vec::new());
        let (mut tokens, mut samples, mut is_skipped) = (Tokens::Words, false, false);
        let mut chain: Option<Chain> = None;
        for (number, Element { words, place }) in elements(text)?.into_iter().enumerate() {
            let (name, at) = words[0];
            let here = at..at + name.len();
            if !known(name, of_model) {
                return Err(ChainError::new(text, here, no_layer(name, number == 0, of_model)));
            }
            if is_skipped {
                return Err(error(place, "`skip` stands at the end: it adds samples to the answer"));
            }
            let mut options = read_options(text, &words, of_model)?;
            if name == "skip" {
                if !samples || number == 1 {
                    return Err(error(here, "`skip` adds samples to the answer, as in `samples 1 > lstm 16 > skip`"));
                }
                is_skipped = true;
                settings.push(Setting { key: "skip", value: "", place: here });
                settings.append(&mut options.settings);
                continue;
            }
            settings.append(&mut options.settings);
            if names::INPUTS.contains(&name) {
                if number > 0 {
                    return Err(ChainError::new(text, here, format!("the input `{name}` comes first, and once")));
                }
                if name == "samples" {
                    samples = true;
                    let channels = options.size.unwrap_or_default();
                    chain = Some(Chain { embedding: channels, word_dropout: 0.0, layers: Vec::new() });
                    places.push(place);
                    continue;
                }
                size_of_text = options.size;
                tokens = match (name, options.word) {
                    ("text", None) => Tokens::Words,
                    ("text", Some(_)) => Tokens::Syllables,
                    (_, None) => Tokens::Characters,
                    (_, Some(_)) => Tokens::CasedCharacters,
                };
                continue;
            }
            if ["embedding", "lstm", "gru", "rnn", "bilstm", "bigru", "birnn", "conv1d", "maxpool"].contains(&name)
                && options.size.is_none()
            {
                let (unit, number) = match name {
                    "embedding" => ("features", 16),
                    "maxpool" => ("frames", 2),
                    _ => ("units", 16),
                };
                return Err(error(place, &format!("`{name}` needs its {unit}, as in `{name} {number}`")));
            }
            match (&mut chain, options.layer(name)) {
                (Some(chain), Some(layer)) => chain.layers.push(layer),
                (None, None) => {
                    let embedding = options.size.unwrap_or_default();
                    // The share of an embedding's option is the share of its tokens.
                    chain = Some(Chain { embedding, word_dropout: options.dropout, layers: Vec::new() });
                }
                (Some(_), None) if samples => return Err(error(here, "samples have no embedding: leave it out")),
                (Some(_), None) => return Err(error(here, "there is one embedding, and it comes first")),
                (None, Some(_)) => {
                    let problem = "a chain begins with an embedding, as in `embedding 8 > gru 24 > attention > dense`";
                    return Err(error(here, problem));
                }
            }
            places.push(place);
        }
        let mut chain = chain.ok_or_else(|| error(0..text.len(), "an embedding is missing behind the input"))?;
        if of_model && !matches!(chain.layers.last(), Some(LayerConfig::Dense { units: None, .. })) {
            chain.layers.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 });
        }
        let notation = Self { text, chain, tokens, samples, words: size_of_text, settings, places };
        match notation.chain.fault() {
            Some((layer, problem)) => Err(notation.layer_error(layer, problem)),
            None => Ok(notation),
        }
    }

    /// A mistake of a setting, or of the whole text.
    pub(in crate::config) fn error(&self, setting: Option<&Setting<'_>>, problem: String) -> ChainError {
        let place = setting.map_or(0..self.text.len(), |setting| setting.place.clone());
        ChainError::new(self.text, place, problem)
    }

    /// A mistake of a layer: 0 is the embedding, 1 the lowest layer; of one that is left out, a mistake of the last.
    pub(in crate::config) fn layer_error(&self, layer: usize, problem: impl Into<String>) -> ChainError {
        let place = self.places.get(layer).or(self.places.last()).cloned();
        ChainError::new(self.text, place.unwrap_or(0..self.text.len()), problem)
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
            let problem = "a layer is missing here: a chain is `embedding 8 > gru 24 > attention > dense`";
            return Err(ChainError::new(text, place, problem));
        };
        elements.push(Element { words, place: first..last + word.len() });
        start += part.len() + 1;
    }
    Ok(elements)
}

/// Reads what stands behind the name of a layer.
fn read_options<'t>(text: &str, words: &[Word<'t>], of_model: bool) -> Result<Options<'t>, ChainError> {
    let name = words[0].0;
    let mut found = Options::default();
    let mut seen: Vec<&str> = Vec::new();
    for &(word, at) in &words[1..] {
        let place = at..at + word.len();
        let error = |problem: String| ChainError::new(text, place.clone(), problem);
        if let Some((key, number)) = counted(word) {
            let option =
                names::option(name, key, of_model).ok_or_else(|| error(no_option(name, word, key, of_model)))?;
            let (place, most, about) = match key {
                "k" => (&mut found.frames, MAX_FRAMES, "the frames of a window"),
                _ => (&mut found.stride, MAX_STRIDE, "the steps from one answer to the next"),
            };
            if place.is_some() {
                return Err(error(format!("`{}` is said twice", option.name)));
            }
            let number = number.parse().ok().filter(|number| (1..=usize::from(most)).contains(number));
            let problem = || format!("`{key}` is {about}, a whole number from 1 to {most}, as in `{}`", option.example);
            *place = Some(number.ok_or_else(|| error(problem()))?);
            continue;
        }
        let (key, value) = word.find('=').map_or((word, None), |equals| (&word[..=equals], Some(&word[equals + 1..])));
        if value.is_none() && word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            found.size = Some(size(name, word, found.size).map_err(error)?);
            continue;
        }
        let option = names::option(name, key, of_model).ok_or_else(|| error(no_option(name, word, key, of_model)))?;
        let bare = option.name.trim_end_matches('=');
        if seen.contains(&bare) {
            return Err(error(format!("`{bare}` is said twice")));
        }
        seen.push(bare);
        match value {
            None if bare == "aligned" => found.aligned = true,
            None if bare == "valid" => found.valid = true,
            None if ["average", "product"].contains(&bare) => {
                if found.merge.is_some() {
                    return Err(error("the values of two directions become one in one way".into()));
                }
                found.merge = Some(if bare == "average" { Merge::Mean } else { Merge::Product });
            }
            None if CELLS.contains(&name) => match found.variant.word(name, bare) {
                Some(true) => {}
                _ => return Err(error(format!("`{name}` has one activation"))),
            },
            None if found.word.is_some() => return Err(error(format!("`{name}` has one activation"))),
            None => found.word = Some(bare),
            Some(value) if option.of_model => found.settings.push(Setting { key: bare, value, place }),
            Some(value) if bare == "steps" => {
                let steps = value.parse().ok().filter(|steps| (1..=usize::from(MAX_LONGEST)).contains(steps));
                let problem =
                    format!("`steps` takes a whole number from 1 to {MAX_LONGEST}, as in `{}`", option.example);
                found.longest = Some(steps.ok_or_else(|| error(problem))?);
            }
            Some(value) if bare == "epsilon" => {
                let epsilon = value.parse().ok().filter(|epsilon: &f32| epsilon.is_normal() && *epsilon > 0.0);
                let epsilon = epsilon.ok_or_else(|| error("`epsilon` takes a number above 0".into()))?;
                found.epsilon = Some(epsilon);
            }
            Some(value) if let Some(taken) = found.variant.value(bare, value) => {
                taken.map_err(|problem| error(format!("`{bare}` {problem}")))?;
            }
            Some(value) => {
                let share = value.parse().ok().filter(|share| (0.0..1.0).contains(share));
                let share = share.ok_or_else(|| error(format!("`{bare}` takes a number from 0 to below 1")))?;
                match bare {
                    "recurrent_dropout" => found.recurrent_dropout = share,
                    _ => found.dropout = share,
                }
            }
        }
    }
    Ok(found)
}

/// The letter and the number of an option such as `k5`.
fn counted(word: &str) -> Option<(&str, &str)> {
    let (key, number) = word.split_at_checked(1)?;
    let is_number = number.is_empty() || number.starts_with(|c: char| c.is_ascii_digit() || "-+.=".contains(c));
    (["k", "s"].contains(&key) && is_number).then_some((key, number))
}

/// The size of a layer that may have one `already`.
fn size(name: &str, word: &str, already: Option<usize>) -> Result<usize, String> {
    if name == "layernorm" || Pooling::ALL.iter().any(|pooling| pooling.name() == name) {
        return Err(format!("`{name}` has no units: it keeps the features of what it reads"));
    }
    if name == "skip" {
        return Err("`skip` has no size; its frame is said with `lag=`".into());
    }
    let most = match name {
        "samples" => usize::from(MAX_CHANNELS),
        name if names::INPUTS.contains(&name) => MAX_ROWS as usize,
        "conv1d" => usize::from(MAX_UNITS),
        "maxpool" => usize::from(MAX_FRAMES),
        _ => MAX_SIZE,
    };
    match word.parse() {
        Ok(size) if (1..=most).contains(&size) => match already {
            Some(_) => Err(format!("`{name}` has its size already")),
            None => Ok(size),
        },
        _ => Err(format!("a size is a whole number from 1 to {most}")),
    }
}

#[cfg(test)]
mod tests;
