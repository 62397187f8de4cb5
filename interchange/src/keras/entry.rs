//! One layer of a configuration, under the words of every version of Keras.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::Error;
use crate::described::Activation;

/// Whose words and whose meaning a configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Keras 1.
    One,
    /// Keras 2, of TensorFlow too.
    Two,
    /// Keras 3.
    Three,
}

impl Era {
    /// That of a version. Files of the first Keras did not say it.
    pub(super) fn of(version: Option<&str>) -> Self {
        match version.and_then(|version| version.split('.').next()?.parse::<u32>().ok()) {
            None | Some(0 | 1) => Era::One,
            Some(2) => Era::Two,
            Some(_) => Era::Three,
        }
    }
}

/// A layer as the configuration declares it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its class, as `LSTM`.
    pub(super) class: String,
    /// Its name, as `lstm_1`.
    pub(super) name: String,
    /// Whose words its configuration has.
    pub(super) era: Era,
    /// The model that it is a layer of, where that is one within another.
    pub(super) within: Option<Rc<Within>>,
    place: String,
    config: Map<String, Value>,
    build: Option<Value>,
}

/// A model within another one.
#[derive(Debug)]
pub(super) struct Within {
    /// The model, as a layer of the outer one.
    pub(super) model: Entry,
    /// Its layers in the order of the file, as (class, name).
    pub(super) all: Vec<(String, String)>,
}

/// The words of Keras 1 for what Keras 2 calls otherwise.
const OLD_WORDS: [(&str, &[&str]); 9] = [
    ("units", &["output_dim"]),
    ("recurrent_activation", &["inner_activation"]),
    ("use_bias", &["bias"]),
    ("filters", &["nb_filter"]),
    ("kernel_size", &["filter_length"]),
    ("strides", &["subsample_length", "stride"]),
    ("padding", &["border_mode"]),
    ("pool_size", &["pool_length"]),
    ("dilation_rate", &["atrous_rate"]),
];

/// Classes under their names of today.
const OLD_CLASSES: [(&str, &str); 4] = [
    ("Convolution1D", "Conv1D"),
    ("MaxPool1D", "MaxPooling1D"),
    ("GlobalMaxPool1D", "GlobalMaxPooling1D"),
    ("GlobalAvgPool1D", "GlobalAveragePooling1D"),
];

impl Entry {
    /// A layer of the JSON; `place` is the file.
    pub(super) fn of(value: &Value, place: &str, era: Era) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::new(format!("{place}: model_config"), problem, "save the model again");
        let class = value.get("class_name").and_then(Value::as_str).ok_or_else(|| refuse("a layer has no class"))?;
        let config = match value.get("config") {
            // The layers of a model within the model are read where they are.
            Some(Value::Object(config)) if is_model(class) => config
                .iter()
                .filter(|(key, _)| *key != "layers")
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            Some(Value::Object(config)) => config.clone(),
            // A model within a model may be a list.
            Some(Value::Array(_)) | None => Map::new(),
            Some(_) => return Err(refuse("a layer has no configuration")),
        };
        let name = config.get("name").or_else(|| value.get("name")).and_then(Value::as_str).unwrap_or(class);
        let known = OLD_CLASSES.iter().find(|(old, _)| *old == class).map_or(class, |(_, new)| *new);
        let build = value.get("build_config").cloned();
        let (class, name) = (known.to_owned(), name.to_owned());
        Ok(Self { class, name, era, within: None, place: place.to_owned(), config, build })
    }

    /// A layer that no file declares.
    pub(super) fn made(class: &str, name: &str, place: &str, era: Era, config: Value) -> Self {
        let config = match config {
            Value::Object(config) => config,
            _ => Map::new(),
        };
        let (class, name, place) = (class.to_owned(), name.to_owned(), place.to_owned());
        Self { class, name, era, within: None, place, config, build: None }
    }

    /// The layer that a wrapper wraps.
    pub(super) fn wrapped(&self, key: &str) -> Result<Option<Self>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => {
                let inner = Self::of(value, &self.place, self.era)?;
                Ok(Some(Self { name: self.name.clone(), ..inner }))
            }
        }
    }

    /// The layers of a list that it holds, under the names that they have there behind its own.
    pub(super) fn listed(&self, key: &str) -> Result<Option<Vec<Self>>, Error> {
        let Some(values) = self.get(key).and_then(Value::as_array) else { return Ok(None) };
        let of = |value: &Value| {
            let inner = Self::of(value, &self.place, self.era)?;
            Ok(Self { name: format!("{}/{}", self.name, inner.name), ..inner })
        };
        values.iter().map(of).collect::<Result<_, Error>>().map(Some)
    }

    /// Whether it is a model within the model.
    pub(super) fn is_model(&self) -> bool {
        is_model(&self.class)
    }

    /// The same layer under another class, with another configuration.
    pub(super) fn with(&self, class: &str, config: Value) -> Self {
        Self { build: None, ..Self::made(class, &self.name, &self.place, self.era, config) }
    }

    /// Its configuration.
    pub(super) fn values(&self) -> Map<String, Value> {
        self.config.clone()
    }

    /// Where it is.
    pub(super) fn at(&self) -> String {
        format!("{}: layer {}", self.place, self.name.escape_debug())
    }

    /// An error of one of its entries.
    pub(super) fn refuse(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        let at = if key.is_empty() { self.at() } else { format!("{}: {key}", self.at()) };
        Error::new(at, problem, remedy)
    }

    /// The value of a key; nothing where it is null, too.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let old = OLD_WORDS.iter().find(|(new, _)| *new == key).map_or(&[][..], |(_, old)| *old);
        let found = std::iter::once(&key).chain(old).find_map(|key| self.config.get(*key));
        found.filter(|value| !value.is_null())
    }

    /// Whether a key is true.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// Whether a key is true, where it is not said.
    pub(super) fn flag(&self, key: &str, otherwise: bool) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(otherwise),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.refuse(key, format!("it is {}, no true or false", shown(other)), "correct it")),
        }
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// A size that must be there, alone or in a list of one.
    pub(super) fn size(&self, key: &str) -> Result<usize, Error> {
        let missing = || self.refuse(key, "it is missing", "save the model again");
        self.size_or(key, None)?.ok_or_else(missing)
    }

    /// A size, or another where it is not said.
    pub(super) fn size_or(&self, key: &str, otherwise: Option<usize>) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(key) else { return Ok(otherwise) };
        let one = match value {
            Value::Array(items) if items.len() == 1 => &items[0],
            other => other,
        };
        match one.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..1 << 32).contains(size)) {
            Some(size) => Ok(Some(size)),
            None => {
                let problem = format!("it is {}, and a number of at least 1 is needed", shown(value));
                Err(self.refuse(key, problem, "save the model again"))
            }
        }
    }

    /// A number, or another where it is not said.
    pub(super) fn number(&self, key: &str, otherwise: f64) -> Result<f64, Error> {
        let Some(value) = self.get(key) else { return Ok(otherwise) };
        let wrong = || self.refuse(key, format!("it is {}, and a number is needed", shown(value)), "correct it");
        value.as_f64().ok_or_else(wrong)
    }

    /// A list of numbers, or a number alone, in however many brackets.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, Error> {
        fn flat(value: &Value, into: &mut Vec<f64>) -> bool {
            match value {
                Value::Array(items) => items.iter().all(|item| flat(item, into)),
                value => value.as_f64().map(|number| into.push(number)).is_some(),
            }
        }
        let Some(value) = self.get(key) else { return Ok(None) };
        let mut numbers = Vec::new();
        if flat(value, &mut numbers) {
            return Ok(Some(numbers));
        }
        Err(self.refuse(key, format!("it is {}, and numbers are needed", shown(value)), "save the model again"))
    }

    /// Refuses a key that has another value than the one that is read.
    pub(super) fn only(&self, key: &str, allowed: &Value, remedy: &str) -> Result<(), Error> {
        match self.get(key) {
            Some(value) if value != allowed && *value != Value::Array(vec![allowed.clone()]) => {
                let problem = format!("it is {}, and only {} is read", shown(value), shown(allowed));
                Err(self.refuse(key, problem, remedy))
            }
            _ => Ok(()),
        }
    }

    /// An activation, or another where it is not said.
    pub(super) fn activation(&self, key: &str, otherwise: Activation) -> Result<Activation, Error> {
        let Some(value) = self.get(key) else { return Ok(otherwise) };
        // Keras 3 writes a function that it does not know as an object.
        let name = match value {
            Value::String(name) => Some(name.as_str()),
            Value::Object(object) => {
                let inner = object.get("config").and_then(Value::as_str);
                inner.or_else(|| object.get("class_name").and_then(Value::as_str))
            }
            _ => None,
        };
        let found = match name {
            Some("linear") => Activation::Linear,
            Some("relu") => Activation::Relu,
            Some("tanh") => Activation::Tanh,
            Some("sigmoid") => Activation::Sigmoid,
            Some("softmax") => Activation::Softmax,
            Some("hard_sigmoid") if self.era == Era::Three => Activation::HardSigmoidSixth,
            Some("hard_sigmoid") => Activation::HardSigmoid,
            _ => {
                let problem = format!(
                    "it is {}, which is not read",
                    name.map_or_else(|| shown(value), |name| format!("{name:?}"))
                );
                let remedy = "train with linear, relu, tanh, sigmoid, softmax or hard_sigmoid";
                return Err(self.refuse(key, problem, remedy));
            }
        };
        Ok(found)
    }

    /// Whether it is a recurrent layer.
    pub(super) fn is_recurrent(&self) -> bool {
        matches!(self.class.as_str(), "LSTM" | "GRU" | "SimpleRNN" | "CuDNNLSTM" | "CuDNNGRU" | "RNN" | "Bidirectional")
    }

    /// The shape of its input as it says it, without the axis of sequences.
    pub(super) fn input_shape(&self) -> Option<Vec<Option<usize>>> {
        let built = || self.build.as_ref()?.get("input_shape");
        let shape = ["batch_shape", "batch_input_shape"].iter().find_map(|key| self.get(key)).or_else(built);
        if let Some(shape) = shape.and_then(Value::as_array) {
            let size = |size: &Value| size.as_u64().and_then(|size| usize::try_from(size).ok());
            return Some(shape.iter().skip(1).map(size).collect());
        }
        // Keras 1: the number of features, and of steps.
        let size = |key| self.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let features = size("input_dim").filter(|_| self.class != "Embedding" && self.is_recurrent())?;
        Some(vec![size("input_length"), Some(features)])
    }
}

/// Whether a class is that of a model.
fn is_model(class: &str) -> bool {
    matches!(class, "Sequential" | "Functional" | "Model")
}

/// A value, short.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}
