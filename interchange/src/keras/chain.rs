//! The layers of weights that stand alone, as a chain says them: `embedding > lstm 32 > last > dense 3 softmax`.
//!
//! The words are those of a chain of Latch. A size that is left out is that of the tensors. `last` makes a recurrent layer give its last output alone.

use serde_json::{Value, json};

use super::config::Declared;
use super::entry::{Entry, Era};
use super::h5::Stored;
use super::weights::Weights;
use crate::Error;

/// What a chain looks like.
const EXAMPLE: &str =
    "write layers as \"embedding > lstm 32 > last > dense 3 softmax\": docs/frameworks.md has the words";

/// A layer of a chain.
struct Word {
    class: &'static str,
    /// What it wraps.
    inner: Option<&'static str>,
    config: serde_json::Map<String, Value>,
}

impl Word {
    fn plain(class: &'static str) -> Self {
        Self { class, inner: None, config: serde_json::Map::new() }
    }

    /// Whether it has tensors.
    fn has_tensors(&self) -> bool {
        matches!(self.class, "Embedding" | "LSTM" | "GRU" | "SimpleRNN" | "Bidirectional" | "Dense" | "Conv1D")
    }
}

/// The class of a recurrent word.
fn cell(word: &str) -> Option<&'static str> {
    [("lstm", "LSTM"), ("gru", "GRU"), ("rnn", "SimpleRNN")]
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, class)| *class)
}

/// The layers that a chain names, and the channels of samples where it says them.
fn words(chain: &str, place: &str) -> Result<(Vec<Word>, Option<usize>), Error> {
    let (mut layers, mut channels) = (Vec::<Word>::new(), None);
    for part in chain.split('>') {
        let refuse = |problem: String| Error::new(format!("{place}: chain: {:?}", part.trim()), problem, EXAMPLE);
        let mut words: Vec<&str> = part.split_whitespace().collect();
        if words.is_empty() {
            return Err(refuse("it is empty".into()));
        }
        let (first, wraps) = match (words.remove(0), words.first()) {
            ("bidirectional", Some(_)) => (words.remove(0), true),
            (first, _) => (first, false),
        };
        let mut layer = match (first, cell(first)) {
            ("text" | "ids", _) if layers.is_empty() => continue,
            ("samples", _) if layers.is_empty() => {
                channels = words.first().and_then(|channels| channels.parse().ok());
                continue;
            }
            ("dropout", _) => continue,
            (_, Some(class)) if wraps => Word { inner: Some(class), ..Word::plain("Bidirectional") },
            (_, Some(class)) => Word::plain(class),
            ("embedding", _) => Word::plain("Embedding"),
            ("dense", _) => Word::plain("Dense"),
            ("conv1d", _) => Word::plain("Conv1D"),
            ("mean", _) => Word::plain("GlobalAveragePooling1D"),
            ("max", _) => Word::plain("GlobalMaxPooling1D"),
            ("last", _) => match layers.last_mut() {
                Some(below) if cell_of(below).is_some() => {
                    below.config.insert("return_sequences".into(), Value::Bool(false));
                    continue;
                }
                _ => return Err(refuse("it stands behind no recurrent layer".into())),
            },
            (other, _) => return Err(refuse(format!("there is no layer {other:?}"))),
        };
        if cell_of(&layer).is_some() {
            layer.config.insert("return_sequences".into(), Value::Bool(true));
        }
        for word in words {
            let (key, value) = option(layer.class, word).ok_or_else(|| refuse(format!("{word:?} says nothing")))?;
            layer.config.insert(key.to_owned(), value);
        }
        layers.push(layer);
    }
    Ok((layers, channels))
}

fn cell_of(word: &Word) -> Option<&'static str> {
    word.inner.or(matches!(word.class, "LSTM" | "GRU" | "SimpleRNN").then_some(word.class))
}

/// What a word behind a layer's name says.
fn option(class: &str, word: &str) -> Option<(&'static str, Value)> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0).map(Value::from);
    if let Some(number) = number(word) {
        let key = match class {
            "Embedding" => "output_dim",
            "Conv1D" => "filters",
            _ => "units",
        };
        return Some((key, number));
    }
    match (class, word) {
        ("Conv1D", "valid" | "same" | "causal") => Some(("padding", Value::from(word))),
        ("Conv1D", word) if word.starts_with('k') => Some(("kernel_size", number(&word[1..])?)),
        ("Conv1D", word) if word.starts_with('s') && number(&word[1..]).is_some() => {
            Some(("strides", number(&word[1..])?))
        }
        ("Embedding", "mask-zero") => Some(("mask_zero", Value::Bool(true))),
        ("Bidirectional", "concat" | "sum" | "mul" | "ave") => Some(("merge_mode", Value::from(word))),
        ("LSTM" | "GRU" | "Bidirectional", "hard-sigmoid") => {
            Some(("recurrent_activation", Value::from("hard_sigmoid")))
        }
        (_, "linear" | "relu" | "tanh" | "sigmoid" | "softmax") => Some(("activation", Value::from(word))),
        _ => None,
    }
}

/// The layers of a chain, each with the tensors that the file has of it.
pub(super) fn declared(chain: &str, weights: &Weights, place: &str, era: Era) -> Result<Declared, Error> {
    let (words, channels) = words(chain, place)?;
    let filled: Vec<&Word> = words.iter().filter(|word| word.has_tensors()).collect();
    let names = weights.layers()?;
    if let Some(names) = names.as_ref().filter(|names| names.len() != filled.len()) {
        let (has, known) = (filled.len(), names.join(", "));
        let problem = format!("it has {has} layers with weights, but the file has {}: {known}", names.len());
        return Err(Error::new(format!("{place}: chain"), problem, EXAMPLE));
    }
    let mut ordered = names.into_iter().flatten();
    let mut all: Vec<(String, String)> = Vec::new();
    for word in &words {
        let number = all.iter().filter(|(class, _)| class == word.class).count();
        let made = format!("{}-{number}", word.class);
        let name = if word.has_tensors() { ordered.next().unwrap_or(made) } else { made };
        all.push((word.class.to_owned(), name));
    }
    let mut entries = Vec::new();
    for (word, (class, name)) in words.iter().zip(&all) {
        let entry = Entry::made(class, name, place, era, Value::Null);
        let tensors = if word.has_tensors() { weights.tensors(&entry, &all)? } else { Vec::new() };
        if word.has_tensors() && tensors.is_empty() {
            return Err(entry.refuse("", format!("the file has no weights of this {class}"), EXAMPLE));
        }
        let config = completed(word, &tensors);
        let config = match word.inner {
            None => config,
            Some(inner) => {
                let merge = config.get("merge_mode").cloned().unwrap_or_else(|| Value::from("concat"));
                json!({"layer": {"class_name": inner, "config": config}, "merge_mode": merge})
            }
        };
        entries.push(Entry::made(class, name, place, era, config));
    }
    let shape = channels.map(|channels| vec![None, Some(channels)]);
    Ok(Declared { chain: entries, all, shape, stepped: false })
}

/// What a chain leaves out, as the tensors say it.
fn completed(word: &Word, tensors: &[Stored]) -> Value {
    let mut config = word.config.clone();
    let axis = |tensor: usize, axis: usize| {
        tensors.get(tensor).and_then(|tensor| tensor.shape.get(axis)).copied().map(Value::from)
    };
    let is_directed = word.inner.is_some();
    let of_one = if is_directed { tensors.len() / 2 } else { tensors.len() };
    let said: &[(&str, Option<Value>)] = &match word.class {
        "Embedding" => vec![("input_dim", axis(0, 0)), ("output_dim", axis(0, 1))],
        "Dense" => vec![("units", axis(0, 1)), ("use_bias", Some(Value::Bool(of_one > 1)))],
        "Conv1D" => {
            let last = tensors.first().map_or(0, |tensor| tensor.shape.len().saturating_sub(1));
            vec![("kernel_size", axis(0, 0)), ("filters", axis(0, last)), ("use_bias", Some(Value::Bool(of_one > 1)))]
        }
        _ if cell_of(word).is_some() => vec![("units", axis(1, 0)), ("use_bias", Some(Value::Bool(of_one > 2)))],
        _ => Vec::new(),
    };
    for (key, value) in said {
        if let (false, Some(value)) = (config.contains_key(*key), value) {
            config.insert((*key).to_owned(), value.clone());
        }
    }
    Value::Object(config)
}
