//! A network for the frameworks that teams train with, and back: the trainer's side of [`latch_interchange`].
//!
//! A description has every matrix row-major and the gates in one order; the trainer's are column-major and in the same order. [`network`] brings one chain of
//! layers into the other. [`text`] is what a model of texts must have besides its tensors: a vocabulary that Latch's tokenizer gives, and a pooling.
//!
//! Promised: what [`to_bytes`] writes, [`from_bytes`] reads back to the bit.

pub mod network;
mod text;

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::MAX_LAYERS;
use latch_engine::layers::MAX_WIDTH;
use latch_engine::layers::embedding::MAX_ROWS;
pub use latch_interchange::Layout;
use latch_interchange::{self as interchange, Described, Format, Gain, Input, Limits, Source};
use serde::{Deserialize, Serialize};

use crate::config::chain::Pooling;
use crate::dataset::Task;
use crate::error::{Fault, LARGEST_FILE, fault};
use crate::network::Network;
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

/// The fault of a refused file.
fn refused(error: interchange::Error) -> Fault {
    fault(error.place, error.problem, error.remedy)
}

/// The file of a network: f32, the vocabulary and all that is not in the tensors in its metadata. The same network gives the same bytes.
///
/// # Errors
/// A fault where unknown words share rows by their hash, or where the layout has no form for a layer; an internal failure when the library refuses
/// to write it.
pub fn to_bytes(network: &Network<f32>, vocabulary: &Vocabulary, answers: &Answers, layout: Layout) -> Result<Vec<u8>> {
    let model = Described {
        source: Source::of(Format::Safetensors(layout)),
        input: Input::Ids(text::described(vocabulary)?),
        layers: network::layers_of(network),
        skip: None,
        gain: Gain::default(),
        answer: text::stated(answers),
    };
    Ok(interchange::write(&model, layout, env!("CARGO_PKG_VERSION")).map_err(refused)?)
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
    let Format::Safetensors(layout) = model.source.format else {
        let problem = format!("it is a model of {}, and no safetensors file", model.source.format.name());
        return Err(fault(place, problem, "name a safetensors file").into());
    };
    let answers = text::answers(&place, &model, given)?;
    let pooling = text::pooling(&place, model.pooling().map(Into::into), answers.task, given)?;
    let (vocabulary, strange) = text::words(&place, &model, given)?;
    let unread = interchange::other_metadata(bytes);
    let network = network::of_layers(&place, &model, pooling)?;
    Ok(Received { network, vocabulary, answers, layout, unread, strange })
}
