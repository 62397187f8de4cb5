//! A chain over the modules of a file: `emb > lstm > last > fc1 relu > fc2`.
//!
//! A module is called by its name, or by the last part of it; or by what it is (`embedding`, `lstm`, `gru`, `rnn`, `linear`, `dense`, `conv1d`, `layernorm`)
//! where the file has one such module. Behind it stand its activation, and of a convolution `causal`, `same` or `valid` and its stride as `s2`.

use super::modules::{Form, Module};
use super::{Part, Said};
use crate::Error;
use crate::described::{Activation, Padding, Pooling};

/// The activations that a chain can say.
const ACTIVATIONS: [Activation; 5] =
    [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Softmax];

/// The poolings that a chain can say.
const POOLINGS: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention];

/// The parts of a chain.
///
/// # Errors
/// Names the part that is no module of the file, that could be several, or that says what its module does not have.
pub(super) fn parts(chain: &str, modules: &[Module], place: &str) -> Result<Vec<Part>, Error> {
    let mut parts: Vec<Part> = Vec::new();
    for text in chain.split('>') {
        let refuse = |problem: String| {
            let name =
                |module: &Module| if module.name.is_empty() { "lstm, gru or rnn".into() } else { module.name.clone() };
            let names: Vec<String> = modules.iter().map(name).collect();
            let remedy =
                format!("the file has the modules {}; docs/frameworks.md has the other words", names.join(", "));
            Error::new(format!("{place}: chain: {:?}", text.trim()), problem, remedy)
        };
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { return Err(refuse("it is empty".into())) };
        let begins = parts.is_empty();
        let found = match find(first, modules).map_err(&refuse)? {
            Some(module) => module,
            None => {
                if let Some(part) = between(first, begins) {
                    parts.extend(part);
                    continue;
                }
                return Err(refuse(format!("there is no module {first:?}")));
            }
        };
        if parts.iter().any(|part| matches!(part, Part::Module(module, _) if module == found)) {
            return Err(refuse("the module stands in the chain already".into()));
        }
        let mut said =
            Said { is_table: begins && (found.is_called_table() || first == "embedding"), ..Said::default() };
        for word in words {
            if !say(&mut said, found, word, begins) {
                return Err(refuse(format!("{word:?} says nothing of this module")));
            }
        }
        parts.push(Part::Module(found.clone(), said));
    }
    Ok(parts)
}

/// The module of a word: by its name, by the last part of it, or by what it is. `None` where there is none.
///
/// # Errors
/// Where there are several.
fn find<'m>(word: &str, modules: &'m [Module]) -> Result<Option<&'m Module>, String> {
    let is = |module: &Module| match (word, module.form) {
        ("embedding", _) => module.may_be_table(),
        ("lstm" | "gru" | "rnn", Form::Recurrent) => true,
        ("linear" | "dense", Form::Matrix { .. }) => !module.is_called_table(),
        ("conv1d", Form::Conv1d { .. }) | ("layernorm", Form::LayerNorm { .. }) => true,
        _ => false,
    };
    let ways: [&dyn Fn(&Module) -> bool; 3] = [&|module| module.name == word, &|module| module.short() == word, &is];
    for way in ways {
        let found: Vec<&Module> = modules.iter().filter(|module| way(module)).collect();
        match found[..] {
            [] => {}
            [one] => return Ok(Some(one)),
            [..] => {
                let names: Vec<&str> = found.iter().map(|module| module.name.as_str()).collect();
                return Err(format!("it could be {}", names.join(" or ")));
            }
        }
    }
    Ok(None)
}

/// What stands between modules, nothing of what inference leaves out; `None` of a word that is unknown.
fn between(word: &str, begins: bool) -> Option<Option<Part>> {
    if matches!(word, "dropout") || (begins && matches!(word, "samples" | "ids" | "text")) {
        return Some(None);
    }
    let pooling = POOLINGS.into_iter().find(|pooling| pooling.name() == word).map(Part::Pooling);
    let activation = || ACTIVATIONS.into_iter().find(|activation| activation.name() == word).map(Part::Activation);
    pooling.or_else(activation).map(Some)
}

/// Takes a word behind a module's name; whether it says something.
fn say(said: &mut Said, module: &Module, word: &str, begins: bool) -> bool {
    let activation = ACTIVATIONS.into_iter().find(|activation| activation.name() == word);
    let stride = || word.strip_prefix('s').and_then(|number| number.parse().ok()).filter(|&stride| stride > 0);
    let padding =
        || [Padding::Causal, Padding::Same, Padding::Valid].into_iter().find(|padding| padding.name() == word);
    match module.form {
        Form::Matrix { .. } if word == "embedding" && begins && module.may_be_table() => said.is_table = true,
        Form::Matrix { .. } if activation.is_some() => said.activation = activation,
        Form::Recurrent if matches!(activation, Some(Activation::Relu | Activation::Tanh)) => {
            said.activation = activation
        }
        Form::Conv1d { .. } if activation.is_some() => said.activation = activation,
        Form::Conv1d { .. } if padding().is_some() => said.padding = padding(),
        Form::Conv1d { .. } if stride().is_some() => said.stride = stride(),
        _ => return false,
    }
    true
}
