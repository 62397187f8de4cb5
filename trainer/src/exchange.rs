//! A network for the frameworks that teams train with, and back: the trainer's side of [`latch_interchange`].
//!
//! A description has every matrix row-major and the gates in one order; the trainer's are column-major and in the same order. [`network`] brings one chain of
//! layers into the other, and [`mod@described`] a whole network into a description, of which [`elsewhere`] makes files. [`text`] is what a model of texts must have besides its tensors: a vocabulary that Latch's tokenizer gives, and a pooling. [`samples`]
//! is what one of samples has: scales, gains and what goes around it. [`parity`] compares the image of what came with what its description computes, and
//! [`inspected`] says what is inside a file.
//!
//! Promised: what [`to_bytes`] writes, [`from_bytes`] reads back to the bit.

pub mod described;
pub mod elsewhere;
mod heads;
pub mod inspected;
pub mod network;
mod order;
pub mod parity;
pub mod samples;
mod text;

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::MAX_LAYERS;
use latch_engine::layers::MAX_WIDTH;
use latch_engine::layers::embedding::MAX_ROWS;
use latch_interchange::keras::Options;
use latch_interchange::{self as interchange, Described, Input, Kind, Layer, Limits};
pub use latch_interchange::{Format, Layout};
use serde::{Deserialize, Serialize};

use crate::config::SamplesConfig;
use crate::config::chain::{LONGEST, Pooling};
use crate::dataset::Task;
use crate::error::{Fault, LARGEST_FILE, fault};
use crate::network::Network;
use crate::vocabulary::Vocabulary;
use inspected::Inspected;
use samples::Probe;

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
/// A fault where the network reads samples, where unknown words share rows by their hash, or where the layout has no form for a layer; an internal failure when the library refuses
/// to write it.
pub fn to_bytes(network: &Network<f32>, vocabulary: &Vocabulary, answers: &Answers, layout: Layout) -> Result<Vec<u8>> {
    let model = described::described(network, vocabulary, answers, None)?;
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
    /// Samples like those that a model of samples will read.
    pub probe: Option<GivenProbe>,
    /// The largest magnitude of its samples.
    pub full_scale: Option<f32>,
    /// Steps of the longest sequence, of a model with two directions.
    pub longest: Option<usize>,
    /// What is said beside a file of Keras.
    pub keras: GivenKeras,
}

/// What a user says of a file of Keras.
#[derive(Clone, Debug, Default)]
pub struct GivenKeras {
    /// The layers of weights that stand alone.
    pub chain: Option<String>,
    /// The last layer that is read.
    pub until: Option<String>,
    /// The name and the bytes of the file of its tokenizer's words.
    pub tokenizer: Option<(String, Vec<u8>)>,
}

/// Samples that a user gives.
#[derive(Clone, Debug)]
pub struct GivenProbe {
    /// The file that they came from.
    pub name: String,
    /// Values of a frame.
    pub channels: usize,
    /// `steps × channels`, all of them numbers.
    pub frames: Vec<f32>,
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
    /// Its file.
    pub format: Format,
    /// Keys of the file's metadata that are not Latch's, and were not read.
    pub unread: Vec<String>,
    /// Words that no text gives: the tokenizer reads each of them as something else.
    pub strange: Vec<String>,
    /// A text that the tool that trained it cuts otherwise than Latch, in words.
    pub cut_otherwise: Option<String>,
    /// What was taken for granted where the file leaves something open, each in a sentence.
    pub remarks: Vec<String>,
    /// What came in, to compare with; of texts the rows of its embedding are in the order of the words.
    pub described: Described,
    /// What a model of samples brings in place of words.
    pub samples: Option<ReceivedSamples>,
}

/// What a model of samples brings.
#[derive(Clone, Debug)]
pub struct ReceivedSamples {
    /// What a configuration says of its input.
    pub config: SamplesConfig,
    /// What it is compared and calibrated on.
    pub probe: Probe,
}

/// Reads a file that may be a model.
///
/// # Errors
/// A fault naming the file when it cannot be read or is no ordinary file.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    crate::error::read_file(path, LARGEST_FILE)
}

/// Reads a network, and its vocabulary or its scaling, from the bytes of a file; `place` is for the errors.
///
/// # Errors
/// A fault that names the place and the tensor or the entry of the metadata: those of [`interchange::open`]; where no image has a form for a layer; and when
/// pooling, vocabulary or the meaning of the outputs are unknown, contradictory or do not fit.
pub fn from_bytes(bytes: &[u8], place: impl Display, given: &Given) -> Result<Received> {
    let place = place.to_string();
    let model = heads::with_logits(opened(bytes, &place, &given.keras)?, given.task);
    if let Input::Ids(_) = model.input {
        return of_texts(model, bytes, &place, given);
    }
    let (network, answers) = of_samples(&model, &place, given)?;
    let probe = samples::probe(&place, &model, samples::of(&place, &model)?, given)?;
    let (mut remarks, format) = (interchange::remarks(&model), model.source.format);
    remarks.extend(samples::padding(&model));
    let vocabulary = Vocabulary::of_samples(probe.scaling.clone());
    let samples = Some(ReceivedSamples { config: samples::configured(&model), probe });
    let (unread, strange, cut_otherwise) = (Vec::new(), Vec::new(), None);
    Ok(Received {
        network,
        vocabulary,
        answers,
        format,
        unread,
        strange,
        cut_otherwise,
        remarks,
        described: model,
        samples,
    })
}

/// The description that a file holds, whether an image can have its layers or not.
///
/// # Errors
/// Those of [`interchange::open_with`].
pub fn opened(bytes: &[u8], place: &str, given: &GivenKeras) -> Result<Described, Fault> {
    let tokenizer = given.tokenizer.as_ref().map(|(name, bytes)| (bytes.as_slice(), name.as_str()));
    let options = Options { chain: given.chain.as_deref(), until: given.until.as_deref(), tokenizer };
    interchange::open_with(bytes, place, &options, &LIMITS).map_err(refused)
}

/// What is inside a file, and why it cannot be imported with what is given. Of a file that is refused it is what can be told of it.
///
/// # Errors
/// Those of [`interchange::open`], where the file is damaged or of no known kind.
pub fn inspected(bytes: &[u8], place: impl Display, given: &Given) -> Result<Inspected> {
    let place = place.to_string();
    let model = match opened(bytes, &place, &given.keras) {
        Ok(model) => model,
        // What is said on the command line is wrong, or the file is damaged: there is nothing to look at.
        Err(refused) => match interchange::glimpse(bytes, &place) {
            Some(glimpse) => return Ok(Inspected::glimpsed(glimpse, refused.to_string())),
            None => return Err(refused.into()),
        },
    };
    let imported = heads::with_logits(model.clone(), given.task);
    let stops = match imported.input {
        Input::Ids(_) => of_texts(imported, bytes, &place, given).err(),
        Input::Samples(_) => of_samples(&imported, &place, given).err(),
    };
    Ok(Inspected::of(&model, stops.map(|error| format!("{error:#}"))))
}

/// A model of texts.
fn of_texts(mut model: Described, bytes: &[u8], place: &str, given: &Given) -> Result<Received> {
    let options = [("--probe", given.probe.is_some()), ("--full-scale", given.full_scale.is_some())];
    refuse_options(&options, "it is for models of samples, and this one reads texts")?;
    let answers = text::answers(place, &model, given)?;
    let pooling = text::pooling(place, &model, answers.task, given)?;
    let own = if let Input::Ids(text) = &model.input { text.vocabulary.clone() } else { None };
    // A file that has words has its rows in their order.
    let mut listed = match (&given.vocabulary, &own) {
        (Some(words), None) => Some(order::order("--vocabulary", &mut model, words)?),
        (given, _) => given.clone(),
    };
    match (&mut listed, own) {
        (Some(words), None) => order::held(&mut model, words),
        (None, Some(mut own)) => order::held(&mut model, &mut own),
        _ => {}
    }
    let (vocabulary, strange) = text::words(place, &model, given, listed.as_ref())?;
    let longest = given.longest.unwrap_or(LONGEST);
    if let Some(pooling) = pooling.filter(|_| model.pooling().is_none()) {
        let (name, kind) = ("pooling".to_owned(), Kind::Pooling(pooling.into()));
        model.layers.insert(model.layers.len().saturating_sub(1), Layer { name, kind });
    }
    let network = network::of_layers(place, &model, None, longest)?;
    network::check_answers(place, &model, &network)?;
    let (format, unread) = (model.source.format, interchange::other_metadata(bytes));
    let cut_otherwise = text::cut_otherwise(&model, &vocabulary);
    let (remarks, described, samples) = (interchange::remarks(&model), model, None);
    Ok(Received { network, vocabulary, answers, format, unread, strange, cut_otherwise, remarks, described, samples })
}

/// The network of a model of samples, and what its outputs mean.
fn of_samples(model: &Described, place: &str, given: &Given) -> Result<(Network<f32>, Answers)> {
    let options = [
        ("--vocabulary", given.vocabulary.is_some()),
        ("--pooling", given.pooling.is_some()),
        ("--tokens", given.tokens.is_some()),
    ];
    refuse_options(&options, "it is for models of texts, and this one reads samples")?;
    samples::of(place, model)?;
    let answers = samples::answers(place, model, given)?;
    let mut network = network::of_layers(place, model, None, samples::longest(model, given))?;
    network::check_answers(place, model, &network)?;
    samples::amplify(&mut network, model.gain.output);
    Ok((network, answers))
}

/// Refuses the first option that is given.
fn refuse_options(options: &[(&str, bool)], problem: &str) -> Result<(), Fault> {
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(fault(option, problem, "leave it out")),
        None => Ok(()),
    }
}
