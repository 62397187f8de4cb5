//! Which tensors of a file belong to which layer, in the order of the layer's `get_weights`.
//!
//! | file | where the tensors of the second LSTM `memory` are |
//! | --- | --- |
//! | `.h5` of every version | the group `memory` lists them in its attribute `weight_names` |
//! | `.keras`, `.weights.h5` | `layers/lstm_1/cell/vars/0`, `1`, `2`: the class, and a number from its second layer on |
//!
//! The first Keras that wrote archives called `layers` otherwise; some write the layer's own name in place of the class.

use super::entry::{Entry, Within};
use super::h5::{H5, Stored};
use crate::Error;

/// Most tensors of a layer: those of an LSTM in both directions in Keras 1.
const MOST_TENSORS: usize = 24;

/// Most layers of a file.
pub(super) const MOST_LAYERS: usize = 256;

/// Groups that hold the layers of an archive.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// The weights of a file.
pub(super) struct Weights {
    pub(super) h5: H5,
    form: Form,
}

/// How a file keeps them.
enum Form {
    /// Groups that list their tensors, below this path.
    Listed(String),
    /// Groups of variables without names, below this path.
    Variables(String),
}

impl Weights {
    /// Finds out how a file keeps its weights.
    pub(super) fn of(h5: H5) -> Result<Self, Error> {
        for path in ["model_weights", ""] {
            if h5.texts(path, "layer_names")?.is_some() {
                return Ok(Self { h5, form: Form::Listed(path.to_owned()) });
            }
        }
        for path in CONTAINERS {
            if h5.has(path)? {
                return Ok(Self { h5, form: Form::Variables(path.to_owned()) });
            }
        }
        let problem = "it holds no weights of Keras";
        Err(Error::new(h5.at("layer_names"), problem, "save the whole model with model.save"))
    }

    /// The names of the layers that have tensors, in the order of the model; nothing where the file has no order of them.
    pub(super) fn layers(&self) -> Result<Option<Vec<String>>, Error> {
        let Form::Listed(path) = &self.form else { return Ok(None) };
        let mut names = self.h5.texts(path, "layer_names")?.unwrap_or_default();
        names.truncate(MOST_LAYERS);
        let mut filled = Vec::new();
        for name in names {
            if self.h5.texts(&format!("{path}/{name}"), "weight_names")?.is_some_and(|names| !names.is_empty()) {
                filled.push(name);
            }
        }
        Ok(Some(filled))
    }

    /// The names and shapes of the tensors of each layer, where groups list them; for people.
    pub(super) fn listing(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        let Form::Listed(path) = &self.form else { return Ok(Vec::new()) };
        let mut layers = Vec::new();
        for layer in self.layers()?.unwrap_or_default() {
            let path = format!("{path}/{layer}");
            let mut names = self.h5.texts(&path, "weight_names")?.unwrap_or_default();
            names.truncate(MOST_TENSORS);
            let mut tensors = Vec::new();
            for name in names {
                if let Some(tensor) = self.h5.stored(&format!("{path}/{name}"), &name)? {
                    tensors.push(format!("{name} {:?}", tensor.shape));
                }
            }
            layers.push((layer, tensors));
        }
        Ok(layers)
    }

    /// Whether groups list their tensors.
    pub(super) fn is_listed(&self) -> bool {
        matches!(self.form, Form::Listed(_))
    }

    /// The tensors of a layer; `all` are the layers of the file, as (class, name).
    pub(super) fn tensors(&self, entry: &Entry, all: &[(String, String)]) -> Result<Vec<Stored>, Error> {
        self.of_parts(entry, all, parts(&entry.class))
    }

    /// The tensors of a layer of several cells of these classes, one cell behind the other.
    pub(super) fn of_cells(
        &self,
        entry: &Entry,
        all: &[(String, String)],
        classes: &[&str],
    ) -> Result<Vec<Stored>, Error> {
        let part = |(place, class): (usize, &&str)| {
            let number = classes[..place].iter().filter(|other| other == &class).count();
            format!("/cell/cells/{}", counted(class, number))
        };
        let parts: Vec<String> = classes.iter().enumerate().map(part).collect();
        self.of_parts(entry, all, &parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The tensors of a layer, whose variables lie in these places below it.
    fn of_parts(&self, entry: &Entry, all: &[(String, String)], parts: &[&str]) -> Result<Vec<Stored>, Error> {
        match &self.form {
            Form::Listed(path) => self.listed(path, entry),
            Form::Variables(path) => {
                let path = match &entry.within {
                    Some(within) => {
                        self.variables_of(&self.variables_within(path, within, all)?, entry, &within.all)?
                    }
                    None => self.variables_of(path, entry, all)?,
                };
                let mut tensors = Vec::new();
                for part in parts {
                    self.variables(&format!("{path}{part}"), &entry.name, &mut tensors)?;
                }
                Ok(tensors)
            }
        }
    }

    /// The path below which the layers of a model within another one have their variables.
    fn variables_within(&self, path: &str, within: &Within, all: &[(String, String)]) -> Result<String, Error> {
        let Within { model, .. } = within;
        let of_model = match &model.within {
            Some(outer) => self.variables_of(&self.variables_within(path, outer, all)?, model, &outer.all)?,
            None => self.variables_of(path, model, all)?,
        };
        for container in CONTAINERS {
            let path = format!("{of_model}/{container}");
            if self.h5.has(&path)? {
                return Ok(path);
            }
        }
        Err(model.refuse("", "the file has no weights of this model within the model", "save the whole model again"))
    }

    /// The tensors that a group lists: of a layer of a model within another one, those of the outermost whose path has the layer's name.
    fn listed(&self, path: &str, entry: &Entry) -> Result<Vec<Stored>, Error> {
        let mut outermost = entry;
        while let Some(within) = &outermost.within {
            outermost = &within.model;
        }
        let path = &format!("{path}/{}", outermost.name);
        let mut names = self.h5.texts(path, "weight_names")?.unwrap_or_default();
        if entry.within.is_some() {
            names.retain(|name| name.split('/').rev().skip(1).any(|part| part == entry.name));
        }
        if names.len() > MOST_TENSORS {
            let problem = format!("it has {} tensors, and {MOST_TENSORS} are read", names.len());
            return Err(entry.refuse("", problem, "save the layers of the inner model as those of one model"));
        }
        let mut tensors = Vec::new();
        for name in names {
            let missing = || Error::new(self.h5.at(&format!("tensor {name}")), "it is missing", "save the model again");
            tensors.push(self.h5.stored(&format!("{path}/{name}"), &name)?.ok_or_else(missing)?);
        }
        Ok(tensors)
    }

    /// The path of a layer's variables.
    fn variables_of(&self, path: &str, entry: &Entry, all: &[(String, String)]) -> Result<String, Error> {
        let class = all.iter().find(|(_, name)| *name == entry.name).map_or(&entry.class, |(class, _)| class);
        let same = all.iter().filter(|(other, _)| other == class);
        let number = same.take_while(|(_, name)| *name != entry.name).count();
        let of_class = format!("{path}/{}", counted(class, number));
        // Keras 3 says the layer's name beside its variables. Where that is another one, the file counts otherwise.
        let said = self.h5.text(&format!("{of_class}/vars"), "name");
        let is_of_class = match said {
            Ok(Some(name)) => name == entry.name || !self.h5.has(&format!("{path}/{}", entry.name))?,
            _ => self.h5.has(&of_class)?,
        };
        Ok(if is_of_class { of_class } else { format!("{path}/{}", entry.name) })
    }

    fn variables(&self, path: &str, layer: &str, tensors: &mut Vec<Stored>) -> Result<(), Error> {
        for number in 0..MOST_TENSORS {
            let path = format!("{path}/vars/{number}");
            match self.h5.stored(&path, &format!("{path} of {layer}"))? {
                Some(tensor) => tensors.push(tensor),
                None => break,
            }
        }
        Ok(())
    }
}

/// Where below a layer its variables lie, in the order of `get_weights`.
fn parts(class: &str) -> &'static [&'static str] {
    match class {
        "LSTM" | "GRU" | "SimpleRNN" | "RNN" => &["/cell"],
        "Bidirectional" => &["/forward_layer/cell", "/backward_layer/cell"],
        "TimeDistributed" => &["/layer"],
        _ => &[""],
    }
}

/// A class as Keras names the group of one of its layers, those before it being counted.
fn counted(class: &str, number: usize) -> String {
    let snake = snake_case(class);
    if number == 0 { snake } else { format!("{snake}_{number}") }
}

/// `SimpleRNN` as Keras writes it in names: `simple_rnn`.
pub(crate) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(place + 1);
        // A capital begins a word behind a small letter, and before one.
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| before.is_lowercase() || after.is_some_and(|after| after.is_lowercase()));
        if begins {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn a_class_is_written_in_names_as_keras_writes_it() {
        for (class, name) in [
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("Conv1D", "conv1d"),
            ("GlobalMaxPooling1D", "global_max_pooling1d"),
            ("BatchNormalization", "batch_normalization"),
            ("CuDNNLSTM", "cu_dnnlstm"),
            ("SpatialDropout1D", "spatial_dropout1d"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }
}
