//! What the integers of an image do to each layer: the f32 image and the integer image of the same weights run side by side over examples, through the engine, and the values
//! of their layers are compared after each step.
//!
//! ```text
//! e = q·worth − v        v: the value of the f32 image;  q: that of the integer image in Q0.15, whose 1.0 stands for `worth`
//! largest error = max |e|     RMS error = √(Σ e² / n)     SNR = 10 log10(Σ (v − v̄)² / Σ e²) dB     saturated: q at an end of its range
//! beyond: |v| > worth, so that q is cut
//! ```
//!
//! v̄ is the mean of each unit, because what never changes is no signal. A layer reads int8 values in Q0.7, so that a range ends at 127.5/128 there, and at 32767/32768 for int16 and for dense layers. The first row is the embedding or the
//! samples as the first layer reads them; the last one the answer. A layer over whole sequences, and layers behind it or behind a pooling, run
//! for an answer alone, and are in that row.

use std::fmt;

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::layers::Layer;
use latch_engine::{Model, Precision, Session};
use rayon::prelude::*;
use serde::Serialize;

use crate::config::Storage;
use crate::dataset::Example;
use crate::evaluate::state_for;
use crate::quantizer::{Rounded, Weights, rounded, worths};
use crate::vocabulary::Vocabulary;

/// Examples that are run, and steps of each, at most.
const SEQUENCES: usize = 64;
const STEPS: usize = 256;

/// The signal-to-noise ratio in decibels below which a layer is warned of.
pub const LOW_SNR: f64 = 20.0;

/// The share of values beyond its range from which on a layer is warned of.
pub const MUCH_SATURATION: f64 = 0.01;

/// The row of the samples as the first layer reads them.
pub const SAMPLES: &str = "samples";

/// The part of a range by which its own largest value may lie beyond it, as it is rounded.
const ROUNDED: f64 = 1e-6;

/// What integers do to the values of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerError {
    /// The layer: its number from 1 and its description; `embedding`, `samples` or `answer`.
    pub layer: String,
    /// Values that were compared.
    pub values: u64,
    /// The largest magnitude of a difference.
    pub largest_error: f64,
    /// The root of the mean square of the differences.
    pub rms_error: f64,
    /// The signal-to-noise ratio in decibels; `None` without noise, or without a signal.
    pub snr_db: Option<f64>,
    /// The share of values at the end of their integers' range, 0 to 1.
    pub saturated: f64,
    /// The share of values that lie beyond that range, and are cut to its end.
    pub beyond: f64,
}

impl LayerError {
    /// Whether values lie beyond the range of the integers so often that finer ones do not help.
    pub fn is_cut(&self) -> bool {
        self.beyond >= MUCH_SATURATION
    }

    /// Why the layer is worth a warning, in words.
    pub fn warning(&self) -> Option<String> {
        if self.is_cut() {
            return Some(format!("{:.2} % of its values lie beyond the range of its integers", 100.0 * self.beyond));
        }
        if let Some(ratio) = self.snr_db.filter(|ratio| *ratio < LOW_SNR) {
            return Some(format!("its signal-to-noise ratio against f32 is {ratio:.1} dB, below {LOW_SNR:.0} dB"));
        }
        None
    }
}

/// The table of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerErrors {
    /// A row a layer, in their order.
    pub rows: Vec<LayerError>,
    /// How many examples were run.
    pub sequences: usize,
    /// What they are of, in words.
    pub of: String,
}

impl fmt::Display for LayerErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}, up to {STEPS} steps of each", self.sequences, self.of)
    }
}

/// Sums over the values of a layer.
#[derive(Clone, Debug, Default)]
struct Sums {
    values: u64,
    largest: f64,
    errors: f64,
    squares: f64,
    saturated: u64,
    beyond: u64,
    /// Σ v of each unit.
    units: Vec<f64>,
}

impl Sums {
    fn take(&mut self, unit: usize, [float, integer]: [f64; 2], [is_saturated, is_beyond]: [bool; 2]) {
        let error = integer - float;
        if self.units.len() <= unit {
            self.units.resize(unit + 1, 0.0);
        }
        self.units[unit] += float;
        self.values += 1;
        self.largest = self.largest.max(error.abs());
        self.errors += error * error;
        self.squares += float * float;
        self.saturated += u64::from(is_saturated);
        self.beyond += u64::from(is_beyond);
    }

    fn join(&mut self, other: &Sums) {
        self.values += other.values;
        self.largest = self.largest.max(other.largest);
        self.errors += other.errors;
        self.squares += other.squares;
        self.saturated += other.saturated;
        self.beyond += other.beyond;
        self.units.resize(self.units.len().max(other.units.len()), 0.0);
        self.units.iter_mut().zip(&other.units).for_each(|(unit, other)| *unit += other);
    }

    /// Σ (v − v̄)², of which what f64 rounds is none.
    fn signal(&self) -> f64 {
        let steps = self.values as f64 / self.units.len().max(1) as f64;
        let means: f64 = self.units.iter().map(|sum| sum * sum / steps.max(1.0)).sum();
        let signal = self.squares - means;
        if signal > 1e-12 * self.squares { signal } else { 0.0 }
    }

    fn row(&self, layer: String) -> LayerError {
        let count = self.values.max(1) as f64;
        let signal = self.signal();
        let is_ratio = self.errors > 0.0 && signal > 0.0;
        LayerError {
            layer,
            values: self.values,
            largest_error: self.largest,
            rms_error: (self.errors / count).sqrt(),
            snr_db: is_ratio.then(|| 10.0 * (signal / self.errors).log10()),
            saturated: self.saturated as f64 / count,
            beyond: self.beyond as f64 / count,
        }
    }
}

/// A layer whose values lie in the state after each step.
struct Compared<'w> {
    place: usize,
    width: usize,
    /// Of the values of the f32 image in its state, and of those of the integer image.
    bytes: [usize; 2],
    /// The least magnitude of an integer that is at the end of its range.
    end: u16,
    worth: &'w [f64],
    layer: Layer,
}

/// What the first layer reads.
enum Read<'a> {
    /// Rows of the embedding.
    Rows(Rounded, &'a Weights),
    /// Frames of samples, of which a scaled value in integers is worth so much of its range.
    Samples(f64),
}

/// Two images of the same weights.
struct Pair<'a> {
    float: Model<'a>,
    integer: Model<'a>,
    vocabulary: &'a Vocabulary,
    read: Read<'a>,
    layers: Vec<Compared<'a>>,
}

/// What an image with integers and its twin in f32 are made of.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) weights: &'a Weights,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) storage: Storage,
}

/// Compares an integer image with its twin in f32 over examples, `of` which there are some; `None` without any.
///
/// # Errors
/// An error when an image does not open or cannot be run.
pub(super) fn compare<L: Sync>(
    [float, integer]: [&AlignedBytes; 2],
    origin: Origin<'_>,
    examples: &[Example<L>],
    of: &str,
) -> Result<Option<LayerErrors>> {
    if examples.is_empty() || !origin.storage.precision().is_integer() {
        return Ok(None);
    }
    let worths = worths(origin.weights, origin.vocabulary, origin.storage)?;
    let (float, integer) = (Image::open(float)?, Image::open(integer)?);
    let pair = Pair::new([&float, &integer], origin, &worths);
    let every = examples.len().div_ceil(SEQUENCES);
    let chosen: Vec<&Example<L>> = examples.iter().step_by(every).collect();
    let sums = chosen.par_iter().map(|example| pair.run(example)).collect::<Result<Vec<_>>>()?;
    let mut all = vec![Sums::default(); pair.layers.len() + 2];
    // One after the other, so that the sums do not depend on the number of threads.
    for sums in &sums {
        all.iter_mut().zip(sums).for_each(|(all, sums)| all.join(sums));
    }
    let (first, last) = (&all[0], &all[all.len() - 1]);
    let mut rows = vec![match pair.read {
        Read::Rows(..) => first.row("embedding".to_owned()),
        Read::Samples(_) => first.row(SAMPLES.to_owned()),
    }];
    for (layer, sums) in pair.layers.iter().zip(&all[1..]) {
        rows.push(sums.row(format!("{} {}", layer.place + 1, layer.layer)));
    }
    rows.push(last.row("answer".to_owned()));
    Ok(Some(LayerErrors { rows, sequences: chosen.len(), of: of.to_owned() }))
}

impl<'a> Pair<'a> {
    fn new([float, integer]: [&Image<'a>; 2], origin: Origin<'a>, worths: &'a [Vec<f64>]) -> Self {
        let Origin { weights, vocabulary, storage } = origin;
        let precision = storage.precision();
        let step = if precision == Precision::Int16 { 2_f64.powi(-15) } else { 2_f64.powi(-7) };
        let read = match &vocabulary.scaling {
            Some(_) => Read::Samples(step),
            None => Read::Rows(rounded(weights, storage), weights),
        };
        let mut inputs = integer.description().width();
        let mut layers = Vec::new();
        for (place, layer) in integer.description().layers.iter().enumerate() {
            inputs = layer.outputs(inputs);
            let width = usize::from(inputs);
            if matches!(layer, Layer::Bidirectional(..)) {
                break;
            }
            let Some(worth) = worths.get(place).filter(|worth| worth.len() == width) else { continue };
            let is_dense = matches!(layer, Layer::Dense(_));
            let is_packed = is_dense || matches!(layer, Layer::MaxPool(..));
            // The values of a layer are the last part of its state.
            let bytes = [Precision::F32, precision]
                .map(|one| one.values_bytes(if is_packed { width } else { one.lanes(width) }));
            let end = if is_dense || precision == Precision::Int16 { 32_767 } else { 32_640 };
            layers.push(Compared { place, width, bytes, end, worth, layer: *layer });
        }
        Pair { float: Model::new(float), integer: Model::new(integer), vocabulary, read, layers }
    }

    /// The sums of what is read, of each layer, and of the answers, over one example.
    fn run<L>(&self, example: &Example<L>) -> Result<Vec<Sums>> {
        let mut states = [state_for(&self.float), state_for(&self.integer)];
        let [float, integer] = &mut states;
        let mut float = self.float.session_in(float)?;
        let mut integer = self.integer.session_in(integer)?;
        let mut sums = vec![Sums::default(); self.layers.len() + 2];
        let each_step = self.integer.answer().each_step;
        let behind = sums.len() - 1;
        let stepped = |float: &mut Session<'_, '_, '_>, integer: &mut Session<'_, '_, '_>, sums: &mut [Sums]| {
            for (layer, sums) in self.layers.iter().zip(&mut sums[1..]) {
                layer.take(float.layer_state(layer.place), integer.layer_state(layer.place), sums);
            }
            if each_step {
                answers(float, integer, &mut sums[behind]);
            }
        };
        match (&self.read, example.recording.as_deref()) {
            (Read::Samples(step), Some(recording)) => {
                let frames = recording.frames.cut(0, STEPS);
                self.read_samples(&frames, *step, &mut sums[0]);
                for frame in frames.chunks_exact(frames.channels()) {
                    float.push_samples_f32(frame)?;
                    integer.push_samples_f32(frame)?;
                    stepped(&mut float, &mut integer, &mut sums);
                }
            }
            (Read::Rows(rounded, weights), _) => {
                for id in self.vocabulary.ids(&example.text).into_iter().take(STEPS) {
                    read_row(rounded, weights, id, &mut sums[0]);
                    float.push_token(id);
                    integer.push_token(id);
                    stepped(&mut float, &mut integer, &mut sums);
                }
            }
            (Read::Samples(_), None) => {}
        }
        if !each_step {
            answers(&mut float, &mut integer, &mut sums[behind]);
        }
        Ok(sums)
    }

    /// Samples as the network reads them, against those that integers hold.
    fn read_samples(&self, frames: &[f32], step: f64, sums: &mut Sums) {
        let Some(scaling) = &self.vocabulary.scaling else { return };
        let channels = scaling.channels.iter().enumerate().cycle();
        for (value, (number, channel)) in scaling.scaled(frames).into_iter().zip(channels) {
            let (value, range) = (f64::from(value), f64::from(channel.range));
            let integer = (value / range / step).round().clamp(-1.0 / step, 1.0 / step - 1.0) * step * range;
            let is_beyond = value.abs() > range * (1.0 + ROUNDED);
            sums.take(number, [value, integer], [is_beyond; 2]);
        }
    }
}

/// A row of the embedding against that of integers.
fn read_row(rounded: &Rounded, weights: &Weights, id: u32, sums: &mut Sums) {
    let width = weights.width;
    let row = id as usize * width..(id as usize + 1) * width;
    let (Some(values), Some(integers)) = (weights.embedding.get(row.clone()), rounded.values.get(row.clone())) else {
        return;
    };
    for (unit, ((&value, &integer), &saturated)) in values.iter().zip(integers).zip(&rounded.saturated[row]).enumerate()
    {
        // Rows that are clipped have a report of their own.
        sums.take(unit, [f64::from(value), f64::from(integer)], [saturated, false]);
    }
}

/// The answers as they stand.
fn answers(float: &mut Session<'_, '_, '_>, integer: &mut Session<'_, '_, '_>, sums: &mut Sums) {
    for output in 0..usize::from(integer.model().outputs()) {
        let pair = [float.logit(output), integer.logit(output)].map(|logit| f64::from(logit.to_f32()));
        sums.take(output, pair, [false; 2]);
    }
}

impl Compared<'_> {
    /// The values at the end of a layer's state, of floats and of integers.
    fn take(&self, float: &[u8], integer: &[u8], sums: &mut Sums) {
        let [of_float, of_integer] = self.bytes;
        let last = |state: &'_ [u8], bytes: usize| state.len().checked_sub(bytes);
        let (Some(of_float), Some(of_integer)) = (last(float, of_float), last(integer, of_integer)) else { return };
        let floats = float[of_float..].as_chunks::<4>().0.iter().map(|&bytes| f32::from_ne_bytes(bytes));
        let integers = integer[of_integer..].as_chunks::<2>().0.iter().map(|&bytes| i16::from_ne_bytes(bytes));
        for (unit, ((float, integer), &worth)) in floats.zip(integers).zip(self.worth).take(self.width).enumerate() {
            let (float, value) = (f64::from(float), f64::from(integer) / 32_768.0 * worth);
            let is_saturated = integer.unsigned_abs() >= self.end;
            // Floats of some layers do not go beyond the range of integers; a value at its end is none that was cut.
            let is_beyond = is_saturated && !self.layer.is_bounded() && float.abs() > worth * (1.0 + ROUNDED);
            sums.take(unit, [float, value], [is_saturated, is_beyond]);
        }
    }
}
