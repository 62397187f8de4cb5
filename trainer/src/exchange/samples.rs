//! What a model of samples has besides its layers: how its channels are scaled, what goes around it, what it answers.
//!
//! ```text
//! z = gain.input · (x − mean) / scale             of the first channel; of others without the gain
//! y = gain.output · (network(z) + gain.input · x)
//! ```
//!
//! The factors lie in the scaling, the output's gain in the head and in the way around the network. A file says nothing of how large samples become; integers need that.

use std::f32::consts::TAU;

use anyhow::Result;
use latch_data::series::Frames;
use latch_engine::input::samples::{MAX_CHANNELS, MAX_LAG, Skip};
use latch_engine::layers::bidirectional::MAX_LONGEST;
use latch_interchange::{self as interchange, Described, Input, Kind, Layer, Padding, Samples, reference};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::text::{classes, refuse_contradiction, task_of, two_outputs};
use super::{Answers, Given};
use crate::batches::generator;
use crate::config::chain::rhythm::Rhythm;
use crate::config::chain::{LONGEST, LayerConfig};
use crate::config::{SamplesConfig, Scaled};
use crate::counted::counted;
use crate::dataset::{Example, Label, Recording, Task};
use crate::error::{Fault, fault};
use crate::metrics::class_of;
use crate::network::Network;
use crate::network::layer;
use crate::samples::{Channel, Scaling};

/// Counts of an ADC on each side of zero.
const COUNTS: f32 = 32_768.0;

/// The largest sample that a model is taken to read, where nobody says it: a sound's full scale.
pub const FULL_SCALE: f32 = 1.0;

/// The samples that a model reads.
///
/// # Errors
/// A fault where it reads ids, or more channels than an image.
pub(super) fn of<'m>(place: &str, model: &'m Described) -> Result<&'m Samples, Fault> {
    let ago = |frames: usize| frames > usize::from(MAX_LAG);
    match &model.input {
        Input::Samples(samples) if ago(samples.difference.max(model.skip.map_or(0, |skip| skip.lag))) => {
            let problem = format!("it reads samples of more than {MAX_LAG} frames ago, which no image keeps");
            Err(fault(format!("{place}: input"), problem, "train it on fewer frames"))
        }
        Input::Samples(samples) if samples.channels <= usize::from(MAX_CHANNELS) => Ok(samples),
        Input::Samples(samples) => {
            let problem = format!("it reads {} channels, more than an image's {MAX_CHANNELS}", samples.channels);
            Err(fault(format!("{place}: input"), problem, "train it on fewer channels"))
        }
        Input::Ids(_) => Err(fault(place, "it reads ids of tokens, and no samples", "import it as a model of texts")),
    }
}

/// What the outputs mean: a value a step, or one a series behind a pooling, where neither file nor user says anything else.
pub(super) fn answers(place: &str, model: &Described, given: &Given) -> Result<Answers, Fault> {
    let pools = model.pooling().is_some();
    let stated = model.answer.task.map(task_of);
    let outputs = model.outputs();
    // Several outputs are those of classes: so are hidden states that are the answer.
    let unsaid = match (pools, outputs > 2) {
        (true, false) => Task::Regress,
        (false, false) => Task::RegressEach,
        (true, true) => Task::Classify(0),
        (false, true) => Task::Tag(0),
    };
    // Files of other tools say values where nothing is said, and a model of values has one.
    let stated = stated.filter(|task| !(task.has_values() && outputs > 2));
    let task = given.task.or(stated).unwrap_or(unsaid);
    refuse_contradiction(place, model, given)?;
    let task = task.with_classes(outputs.max(2) as u32);
    if task.each_step() == pools {
        let problem = if pools {
            "an answer each step, and the model pools them"
        } else {
            "one answer, and the model pools no steps"
        };
        return Err(fault(place, format!("{} has {problem}", task.name()), "name another --task, or leave it out"));
    }
    if task.outputs() != outputs {
        let (problem, remedy) = if task.has_values() || outputs != 2 {
            let (has, wanted) = (counted(outputs, "output"), task.outputs());
            let remedy = "name another --task: classify and tag have an output a class, of two classes one or two";
            (format!("it has {has}, but {} has {wanted}", task.name()), remedy)
        } else {
            two_outputs(model)
        };
        return Err(fault(format!("{place}: the last layer"), problem, remedy));
    }
    Ok(Answers { task, classes: classes(place, model, task)? })
}

/// What a configuration says of the input.
pub(super) fn configured(model: &Described) -> SamplesConfig {
    let skip = model.skip.map(|skip| Skip { channel: skip.channel as u16, lag: skip.lag as u16 });
    let difference = match &model.input {
        Input::Samples(samples) => samples.difference as u16,
        Input::Ids(_) => 0,
    };
    SamplesConfig { scaled: Scaled::None, difference, clip: None, skip }
}

/// The gain of a channel before the network: only the first, the sound, has one.
fn gain(model: &Described, channel: usize) -> f32 {
    if channel == 0 { model.gain.input } else { 1.0 }
}

/// How the channels are scaled, of which samples reach `largest`, one a channel.
pub(super) fn scaling(model: &Described, samples: &Samples, largest: &[f32]) -> Scaling {
    let channel = |(number, &largest): (usize, &f32)| {
        let normalization = samples.normalization.get(number);
        let (offset, scale) = normalization.map_or((0.0, 1.0), |one| (one.mean, one.scale));
        let factor = gain(model, number) / scale;
        match samples.bounds.get(number) {
            // Counts reach as far as the model does, and as far as the samples that are known.
            Some(&bound) => {
                let reached = largest.max(bound / factor.abs() + offset.abs());
                Channel { offset, factor, range: bound, unit: unit(reached) }
            }
            None => Channel { offset, factor, range: range(factor, offset, largest), unit: unit(largest) },
        }
    };
    let SamplesConfig { skip, difference, .. } = configured(model);
    let skip_factor = model.skip.map_or(1.0, |skip| gain(model, skip.channel) * model.gain.output);
    Scaling {
        lag: difference,
        channels: largest.iter().enumerate().map(channel).collect(),
        skip,
        skip_factor,
        open: samples.bounds.is_empty(),
    }
}

/// The same scaling, with no more around the network than this model has: a part of another one has nothing.
pub(super) fn answering(model: &Described, scaling: &Scaling) -> Scaling {
    Scaling { skip: configured(model).skip, ..scaling.clone() }
}

/// The largest magnitude of each channel in frames, at least [`FULL_SCALE`].
pub fn largest(frames: &[f32], channels: usize) -> Vec<f32> {
    let mut largest = vec![FULL_SCALE; channels];
    for frame in frames.chunks_exact(channels.max(1)) {
        largest.iter_mut().zip(frame).for_each(|(most, value)| *most = most.max(value.abs()));
    }
    largest
}

/// The scaling of an imported model with ranges as far as its samples reach, and with the counts that such samples need. A channel that is always zero keeps what it has.
#[must_use]
pub fn reaching(scaling: &Scaling, examples: &[Example<Label>]) -> Scaling {
    let mut largest = vec![0.0_f32; scaling.channels.len()];
    for frames in examples.iter().filter_map(|example| Some(&example.recording.as_deref()?.frames)) {
        for frame in frames.chunks_exact(largest.len().max(1)) {
            largest.iter_mut().zip(frame).for_each(|(most, value)| *most = most.max(value.abs()));
        }
    }
    let mut scaling = scaling.clone();
    for (channel, largest) in scaling.channels.iter_mut().zip(largest).filter(|(_, largest)| *largest > 0.0) {
        channel.unit = unit(largest);
        // A model that says to what it was held in training has its ranges from there.
        if scaling.open {
            channel.range = range(channel.factor, channel.offset, largest);
        }
    }
    scaling
}

/// What a channel is cut to in integers whose samples have a magnitude of `largest` at most.
fn range(factor: f32, offset: f32, largest: f32) -> f32 {
    (factor.abs() * (largest + offset.abs())).max(f32::MIN_POSITIVE)
}

/// What a count stands for: a power of two, so that counts and values are the same to the bit.
fn unit(largest: f32) -> f32 {
    2_f32.powi((largest / COUNTS).log2().ceil().clamp(-100.0, 100.0) as i32)
}

/// Brings the gain behind the network into its last layer.
pub(super) fn amplify(network: &mut Network<f32>, gain: f32) {
    if let Some(layer::Layer::Dense(head)) = network.layers.last_mut()
        && gain != 1.0
    {
        head.kernel *= gain;
        head.bias *= gain;
    }
}

/// At which frames some layers have an output.
pub(super) fn rhythm(layers: &[Layer]) -> Rhythm {
    let of = |layer: &Layer| match &layer.kind {
        Kind::Conv1d(layer) if layer.padding == Padding::Valid => Rhythm::of_window(layer.frames, layer.stride.max(1)),
        Kind::Conv1d(layer) => Rhythm { first: 0, stride: layer.stride.max(1) },
        Kind::MaxPool(pool) => Rhythm::of_window(pool.frames, pool.stride.max(1)),
        _ => Rhythm::EACH,
    };
    layers.iter().map(of).collect()
}

/// What a description answers to each frame, or to all of them behind a pooling. The network's output of a stride holds until the next, as an image's does; what goes
/// around it does not.
fn held(model: &Described, frames: &[f32], channels: usize) -> Vec<f32> {
    let computed = reference::of_samples(model, frames);
    let (stride, outputs) = (rhythm(&model.layers).stride, model.outputs().max(1));
    let Some(last) = computed.layers.last().filter(|_| stride > 1 && model.pooling().is_none()) else {
        return computed.answers.iter().map(|&answer| answer as f32).collect();
    };
    let mut answers = Vec::new();
    for (step, frame) in frames.chunks_exact(channels.max(1)).enumerate() {
        let skipped = model.skip.map_or(0.0, |interchange::Skip { channel, lag }| {
            let frame = if lag == 0 { frame } else { &frames[step.saturating_sub(lag) * channels..] };
            f64::from(frame[channel]) * f64::from(gain(model, channel))
        });
        let values = last.iter().skip(step / stride * outputs).take(outputs);
        answers.extend(values.map(|value| (f64::from(model.gain.output) * (value + skipped)) as f32));
    }
    answers
}

/// Frames of a seeded probe.
const STEPS: usize = 1_000;

/// Weights times frames that a seeded probe has at most: a large model is compared on fewer frames, in a second.
const PRODUCTS: usize = 1 << 27;

/// Frames of a seeded probe at least, and so many behind the first answer.
const LEAST: usize = 100;

/// Frames of the seeded probe of a model.
fn steps(model: &Described) -> usize {
    let answered = rhythm(&model.layers).first + LEAST;
    (PRODUCTS / model.weights().max(1)).clamp(LEAST, STEPS).max(answered)
}

/// Samples that a model is compared and calibrated on, with what it answers where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What they are, in words.
    pub of: String,
    /// `steps × channels`.
    pub frames: Vec<f32>,
    /// What the description computes in plain f64, rounded once: a value a step, or one in all.
    pub answers: Vec<f32>,
    /// How the channels are scaled.
    pub scaling: Scaling,
}

impl Probe {
    /// As a series that an image is judged by.
    pub fn example(&self, task: Task) -> Example<Label> {
        let channels = self.scaling.channels.len();
        let label = match (task.each_step(), task.has_values()) {
            (true, true) => Label::Each(self.answers.clone()),
            (true, false) => {
                let steps = self.answers.chunks_exact(task.outputs());
                Label::Each(steps.map(|logits| class_of(logits) as f32).collect())
            }
            (false, true) => Label::Value(self.answers.first().copied().unwrap_or_default()),
            (false, false) => Label::Class(class_of(&self.answers) as u32),
        };
        let recording = Recording { frames: Frames::new(self.frames.clone(), channels), first: 0 };
        Example::recorded(label, self.of.clone(), recording)
    }

    /// What was taken for granted of the samples of a model of these layers, in words.
    pub fn assumed(&self, layers: &[LayerConfig]) -> String {
        let open = self.scaling.open;
        let largest: Vec<String> =
            self.scaling.channels.iter().map(|channel| largest_of(channel, open).to_string()).collect();
        let unit = self.scaling.channels.first().map_or(0.0, |channel| channel.unit);
        let convolves = layers.iter().any(|layer| matches!(layer, LayerConfig::Conv1d { .. }));
        let ranges =
            if convolves { format!("; ranges of convolutions are those on {}", self.of) } else { String::new() };
        format!("samples of magnitude {} at most, one of 16 bits worth {unit}{ranges}", largest.join(", "))
    }
}

/// The largest sample that a channel takes in integers. An open range was widened by the offset, another one lies around it.
fn largest_of(channel: &Channel, open: bool) -> f32 {
    let (reach, offset) = (channel.range / channel.factor.abs(), channel.offset.abs());
    if open { reach - offset } else { reach + offset }
}

/// Steps of the longest sequence that a model with two directions will read: those that are given, else those of its probe.
pub(super) fn longest(model: &Described, given: &Given) -> usize {
    let own = model.source.probe.as_ref().map(|probe| probe.input.as_slice());
    let frames = given.probe.as_ref().map(|probe| probe.frames.as_slice()).or(own);
    let steps = frames.map_or(LONGEST, |frames| frames.len() / channels_of(model).max(1));
    given.longest.unwrap_or(steps.clamp(1, usize::from(MAX_LONGEST)))
}

/// Channels of samples.
fn channels_of(model: &Described) -> usize {
    match &model.input {
        Input::Samples(samples) => samples.channels,
        Input::Ids(_) => 0,
    }
}

/// The probe of a model: the given frames, else those that its file brings, else seeded ones.
///
/// # Errors
/// A fault where the given frames have other channels or a sample that is no number, and where they end before the first answer.
pub(super) fn probe(place: &str, model: &Described, samples: &Samples, given: &Given) -> Result<Probe, Fault> {
    let channels = samples.channels;
    let (of, frames) = match (&given.probe, &model.source.probe) {
        (Some(given), _) if given.channels != channels => {
            let problem = format!("it has {}, and the model reads {channels}", counted(given.channels, "channel"));
            return Err(fault(&given.name, problem, "name a series of these channels"));
        }
        (Some(given), _) => (given.name.clone(), given.frames.clone()),
        (None, Some(own)) => ("the input that the file brings".to_owned(), own.input.clone()),
        (None, None) => {
            let steps = steps(model);
            (
                format!("{steps} seeded steps"),
                seeded(steps, channels, given.full_scale.unwrap_or(FULL_SCALE).max(FULL_SCALE)),
            )
        }
    };
    let frames = reference::without_padding(model, &frames);
    if frames.is_empty() {
        return Err(fault(of, "every frame in it is padding to the model", "name a series like those that it reads"));
    }
    let both = model.layers.iter().any(|layer| matches!(layer.kind, Kind::Bidirectional(_)));
    let (of, frames) = match longest(model, given).saturating_mul(channels) {
        most if both && most < frames.len() => {
            (format!("the first {} of {of}", counted(most / channels, "step")), frames[..most].to_vec())
        }
        _ => (of, frames),
    };
    let (steps, first) = (frames.len() / channels.max(1), rhythm(&model.layers).first);
    if steps <= first {
        let at = given.probe.as_ref().map_or(place, |given| &given.name);
        let problem = format!("the probe has {}, and the first answer needs {}", counted(steps, "step"), first + 1);
        let remedy = if both && given.longest.is_some() { "give a larger --longest" } else { "name a longer --probe" };
        return Err(fault(at, problem, remedy));
    }
    let largest = match given.full_scale {
        Some(full_scale) => vec![full_scale; channels],
        None => largest(&frames, channels),
    };
    let answers = held(model, &frames, channels);
    Ok(Probe { of, frames, answers, scaling: scaling(model, samples, &largest) })
}

/// What a user must know of a model that masks padding.
pub fn padding(model: &Described) -> Option<String> {
    let Some(Layer { name, kind: Kind::Masking(value) }) = model.layers.first() else { return None };
    let steps = model.layers.iter().take_while(|layer| !matches!(layer.kind, Kind::Pooling(_)));
    let window = steps.into_iter().find(|layer| matches!(layer.kind, Kind::Conv1d(_) | Kind::MaxPool(_)));
    let frame = format!("a frame of {value} in every channel");
    Some(match window {
        None => {
            format!("{frame} is padding to the layer {name}, and a step to an image: give it series without padding")
        }
        Some(window) => format!(
            "{frame} is zeros to the layer {}, which reads the padding behind the mask of {name}: series that were padded were answered otherwise than an image answers them",
            window.name
        ),
    })
}

/// Three tones that swell and fade with a little noise, and knobs that stand at a half, of this magnitude at most.
fn seeded(steps: usize, channels: usize, full_scale: f32) -> Vec<f32> {
    let mut random = generator([1, 0, 0, 0x7072_6f62]);
    let mut frames = Vec::with_capacity(steps * channels);
    for step in 0..steps {
        let time = step as f32;
        let swell = 0.5 - 0.5 * (time * TAU / steps as f32).cos();
        let tones: f32 = [0.005, 0.013, 0.061].iter().map(|rate| (rate * TAU * time).sin()).sum();
        let noise: f32 = random.random_range(-0.1..0.1);
        frames.push(full_scale * (swell * 0.25 * tones + noise));
        frames.extend(std::iter::repeat_n(0.5 * full_scale, channels - 1));
    }
    frames
}

#[cfg(test)]
mod tests;
