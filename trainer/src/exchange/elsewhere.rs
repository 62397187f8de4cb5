//! A run's network as a file of another framework, with what its user must know of it.

use anyhow::Result;
use latch_interchange::writers::{self, keras::Naming};
use latch_interchange::{self as interchange, Described, Input, is_plain};

use super::{Answers, Layout, described::described, refused};
use crate::error::{Fault, fault};
use crate::learning::sequences::Scale;
use crate::network::Network;
use crate::vocabulary::Vocabulary;

/// The program that writes.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A file of another framework.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// The file.
    pub bytes: Vec<u8>,
    /// What goes in and what comes out, of a format that has names for it.
    pub reads: Option<String>,
    /// The program in Python that loads the file.
    pub python: Option<String>,
    /// What the network does and the file does not, each in a few words.
    pub left_out: Vec<String>,
}

/// What a model reads and answers, in words.
fn reads(model: &Described) -> String {
    let (batch, outputs) = (if writers::onnx::begins_elsewhere(model) { "1" } else { "batch" }, model.outputs());
    let input = match &model.input {
        Input::Ids(_) => {
            format!("{} [{batch}, time], int64: the ids that `latch tokens --run` writes", writers::onnx::IDS)
        }
        Input::Samples(samples) => {
            format!(
                "{} [{batch}, time, {}], f32: samples as they are measured",
                writers::onnx::FRAMES,
                samples.channels
            )
        }
    };
    let steps = if model.pooling().is_some() { "" } else { "time, " };
    format!("input {input}\noutput {} [{batch}, {steps}{outputs}], f32", writers::onnx::output_of(model))
}

/// ONNX, with the task and the classes in its metadata.
///
/// # Errors
/// A fault that names the layer that ONNX cannot hold.
pub fn onnx(model: &Described) -> Result<File, Fault> {
    let mut notes = Vec::new();
    if let Some(task) = model.answer.task.and_then(|task| serde_json::to_value(task).ok()) {
        notes.extend(task.as_str().map(|task| ("task".to_owned(), task.to_owned())));
    }
    if let Some(classes) = &model.answer.classes {
        notes.extend(serde_json::to_string(classes).ok().map(|classes| ("classes".to_owned(), classes)));
    }
    let bytes = writers::onnx::write(model, VERSION, &notes).map_err(refused)?;
    Ok(File { bytes, reads: Some(reads(model)), python: None, left_out: Vec::new() })
}

/// Weights that Keras loads; `path` is the file, and `name` its name.
///
/// # Errors
/// A fault where Keras would not read a file of this name, and one that names the layer that Keras does not have.
pub fn keras(model: &Described, path: &str, name: &str) -> Result<File, Fault> {
    let Some(naming) = Naming::of(name) else {
        let remedy = "name it net.weights.h5 for Keras 3, or net.h5 for Keras 2 and 3";
        return Err(fault(path, "Keras knows a file of weights by its name, and reads none of this one", remedy));
    };
    let writers::keras::Written { bytes, python } = writers::keras::write(model, naming).map_err(refused)?;
    let mut left_out = Vec::new();
    if let Input::Samples(samples) = &model.input
        && (!samples.normalization.is_empty() || !samples.bounds.is_empty() || samples.difference > 0)
    {
        left_out.push("what scales the samples, which the lines of Python do; ONNX and safetensors hold it".to_owned());
    }
    Ok(File { bytes, reads: None, python: Some(named(&python, name)), left_out })
}

/// JSON of RTNeural.
///
/// # Errors
/// A fault that names the layer that RTNeural does not have.
pub fn rtneural(model: &Described) -> Result<File, Fault> {
    let writers::rtneural::Written { bytes, left_out } = writers::rtneural::write(model).map_err(refused)?;
    Ok(File { bytes, reads: None, python: None, left_out })
}

/// Safetensors: of an embedding, recurrent layers and a head in the older form, to the bit; of all else a module's `state_dict`, whose values are in this unit.
///
/// # Errors
/// A fault that names the layer that the layout does not have.
pub fn safetensors(
    network: &Network<f32>,
    vocabulary: &Vocabulary,
    answers: &Answers,
    (layout, unit): (Layout, Option<Scale>),
    name: &str,
) -> Result<File> {
    let model = described(network, vocabulary, answers, unit)?;
    if layout == Layout::Keras || is_plain(&model) {
        let bytes = interchange::write(&model, layout, VERSION).map_err(refused)?;
        return Ok(File { bytes, reads: None, python: None, left_out: Vec::new() });
    }
    let writers::torch::Written { bytes, python } = writers::torch::write(&model, VERSION).map_err(refused)?;
    Ok(File { bytes, reads: None, python: Some(named(&python, name)), left_out: Vec::new() })
}

/// A program with the name of its file.
fn named(python: &str, name: &str) -> String {
    python.replace("{file}", &name.replace('\\', "\\\\").replace('"', "\\\""))
}
