//! Samples of sensors as a network reads them: how each channel is scaled, learned on the training part and kept in the image.
//!
//! ```text
//! d = x_t, or x_t − x_{t−lag}      z = clamp((d − offset)·factor, −range, range)
//! ```
//!
//! The engine computes the same ([`latch_engine::input::samples`]); an integer image holds z as Q0.15 of its range. Of few outliers a range is cut where that
//! lowers the squared error of z in eight bits.
//!
//! What a [`Skip`] adds to the answer, the network does not learn: it learns what is left of a label.

use std::sync::Arc;

use latch_engine::image::encode::{Tensor, Values};
use latch_engine::image::role::Role;
use latch_engine::input::samples::{Samples, Skip};
use serde::{Deserialize, Serialize};

use crate::config::{SamplesConfig, Scaled};
use crate::dataset::{Example, Labels, Recording};

/// Frames of scaled values, one after the other: what the ids of a network mean that reads samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frames {
    /// `frames × channels`.
    pub values: Arc<Vec<f32>>,
    /// Values of a frame.
    pub channels: usize,
}

/// How a channel is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// What is subtracted, in the unit of the data.
    pub offset: f32,
    /// What the rest is multiplied by.
    pub factor: f32,
    /// What the result is cut to, on both sides.
    pub range: f32,
    /// What a count of an ADC stands for, in the unit of the data.
    pub unit: f32,
}

/// How the samples of a model are scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Frames between the two samples of a difference; 0 for none.
    pub lag: u16,
    /// The channels, in order.
    pub channels: Vec<Channel>,
    /// What goes around the network to the answer.
    pub skip: Option<Skip>,
    /// What it is multiplied by.
    pub skip_factor: f32,
    /// The ranges are those of integers alone: floats are cut far beyond them.
    pub open: bool,
}

/// Times its range at which a channel's floats are cut, where the range is that of integers alone: 80 dB above it.
const OPEN: f32 = 1e4;

/// The largest number that half a float holds.
const LARGEST_F16: f32 = 65_504.0;

/// A channel's values, a little more than its largest, fit half of an ADC's counts.
const COUNTS: f32 = 16_384.0;

/// Steps of Q0.7, in which a layer of eight bits reads a value.
const STEPS: f32 = 127.0;

impl Scaling {
    /// The scaling of a model that learns from these recordings.
    pub fn learned<L>(config: SamplesConfig, channels: usize, training: &[Example<L>]) -> Self {
        let recordings = || training.iter().filter_map(|example| example.recording.as_deref());
        let lag = usize::from(config.difference);
        let of = |channel: usize| {
            let raw = || recordings().flat_map(move |recording| raw_of(recording, channel));
            let read = || recordings().flat_map(move |recording| differences(recording, channel, lag));
            learned(config, &raw().collect::<Vec<f32>>(), &read().collect::<Vec<f32>>())
        };
        let channels = (0..channels).map(of).collect();
        Scaling { lag: config.difference, channels, skip: config.skip, skip_factor: 1.0, open: false }
    }

    /// The values of a recording as the network reads them, frame after frame. The same arithmetic as the engine's of floats.
    pub fn scaled(&self, frames: &[f32]) -> Vec<f32> {
        let (count, lag) = (self.channels.len(), usize::from(self.lag));
        frames
            .iter()
            .enumerate()
            .map(|(place, &now)| {
                let channel = &self.channels[place % count];
                let (&Channel { offset, factor, .. }, range) = (channel, self.float_range(channel));
                let before =
                    if lag == 0 { 0.0 } else { frames[place.checked_sub(lag * count).unwrap_or(place % count)] };
                ((now - before - offset) * factor).max(-range).min(range)
            })
            .collect()
    }

    /// What a channel's floats are cut to, on both sides.
    fn float_range(&self, channel: &Channel) -> f32 {
        if self.open { (channel.range * OPEN).min(LARGEST_F16).max(channel.range) } else { channel.range }
    }

    /// The input of an image.
    pub fn shape(&self) -> Samples {
        Samples { channels: self.channels.len() as u16, lag: self.lag, skip: self.skip }
    }

    /// The scales of the first layer's columns in integers, where a step of a hidden value is worth `step`: 2^-7 of int8, 2^-15 of int16.
    pub fn column_scales(&self, step: f64) -> Vec<f32> {
        self.channels.iter().map(|channel| channel.range * step as f32).collect()
    }

    /// The tensors of an image with floats or with integers.
    pub fn tensors(&self, integer: bool) -> Vec<Tensor> {
        let units = self.channels.iter().map(|channel| channel.unit).collect();
        let scaling = if integer {
            Values::I32(self.channels.iter().flat_map(Channel::integers).collect())
        } else {
            let row = |channel: &Channel| {
                let &Channel { offset, factor, .. } = channel;
                let range = self.float_range(channel);
                [factor, offset, -range, range]
            };
            Values::F32(self.channels.iter().flat_map(row).collect())
        };
        let of = |role, values| Tensor { role, layer: 0, values };
        let mut tensors = vec![of(Role::Units, Values::F32(units)), of(Role::Scaling, scaling)];
        if self.skip.is_some() {
            let skip = if integer {
                let factor = self.skip_factor;
                Values::I32(self.channels.iter().flat_map(|channel| added(channel.unit * factor)).collect())
            } else {
                Values::F32([self.skip_factor, 0.0, f32::MIN, f32::MAX].repeat(self.channels.len()))
            };
            tensors.push(of(Role::Skip, skip));
        }
        tensors
    }

    /// The largest sample that goes around the network may not fit Q15.16, in which integer images have values.
    pub fn skips_beyond_integers(&self) -> bool {
        let channel = self.skip.and_then(|skip| self.channels.get(usize::from(skip.channel)));
        channel.is_some_and(|channel| (channel.unit * self.skip_factor).abs() * COUNTS > f32::from(i16::MAX))
    }
}

impl Channel {
    /// `[multiplier, bias, bias, shift]` with `(count·multiplier + bias) >> shift` as z in Q0.15 of its range.
    fn integers(&self) -> [i32; 4] {
        let &Channel { offset, factor, range, unit } = self;
        let of_one = f64::from(factor) / f64::from(range) * 32_768.0;
        let of_count = of_one * f64::from(unit);
        // A multiplier of about 30 bits, and a bias below 2^62.
        let bias_bits = (f64::from(offset) * of_one).abs().max(1.0).log2().ceil() as i32;
        let shift = (29 - of_count.abs().log2().ceil() as i32).min(60 - bias_bits).clamp(0, 47);
        let scale = 2_f64.powi(shift);
        let half = if shift > 0 { 2_f64.powi(shift - 1) } else { 0.0 };
        let multiplier = (of_count * scale).round().clamp(-(2_f64.powi(31) - 1.0), 2_f64.powi(31) - 1.0);
        let most = 2_f64.powi(62) - 2_f64.powi(32);
        let bias = (half - f64::from(offset) * of_one * scale).round().clamp(-most, most) as i64;
        [multiplier as i32, bias as i32, (bias >> 32) as i32, shift]
    }
}

/// `[multiplier, bias, bias, shift]` with `(count·multiplier + bias) >> shift` as the value of a count in Q15.16.
fn added(unit: f32) -> [i32; 4] {
    let of_count = f64::from(unit) * 65_536.0;
    let shift = (29 - of_count.abs().log2().ceil() as i32).clamp(0, 46);
    let most = 2_f64.powi(31) - 1.0;
    let multiplier = (of_count * 2_f64.powi(shift)).round().clamp(-most, most);
    let half = if shift > 0 { 1_i64 << (shift - 1) } else { 0 };
    [multiplier as i32, half as i32, (half >> 32) as i32, shift]
}

/// What goes around the network to each answer of a recording, in the unit of its labels: as many as the labels.
pub fn skipped<L: Labels>(skip: Skip, example: &Example<L>) -> Vec<f32> {
    let Some(Recording { frames, first }) = example.recording.as_deref() else { return Vec::new() };
    let answers = example.label.numbers().len();
    let first = if example.label.each_step() { *first } else { frames.steps().saturating_sub(1) };
    let at = |step: usize| {
        let frame = step.saturating_sub(usize::from(skip.lag));
        frames.get(frame * frames.channels() + usize::from(skip.channel)).copied().unwrap_or(0.0)
    };
    (first..first + answers).map(at).collect()
}

/// The values of a channel.
fn raw_of(recording: &Recording, channel: usize) -> impl Iterator<Item = f32> + '_ {
    recording.frames.iter().skip(channel).step_by(recording.frames.channels()).copied()
}

/// What of a channel's values is scaled: they themselves, or their differences over `lag` frames.
fn differences(recording: &Recording, channel: usize, lag: usize) -> Vec<f32> {
    let values: Vec<f32> = raw_of(recording, channel).collect();
    if lag == 0 {
        return values;
    }
    (0..values.len()).map(|step| values[step] - values[step.saturating_sub(lag)]).collect()
}

/// The scaling of a channel with such values, of which `read` are scaled.
fn learned(config: SamplesConfig, raw: &[f32], read: &[f32]) -> Channel {
    let count = read.len().max(1) as f64;
    let mean = read.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let deviation = (read.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count).sqrt();
    let (low, high) =
        read.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
    let (offset, spread) = match config.scaled {
        Scaled::Standardize => (mean, deviation),
        Scaled::Minmax => ((f64::from(low) + f64::from(high)) / 2.0, (f64::from(high) - f64::from(low)) / 2.0),
        Scaled::None => (0.0, 1.0),
    };
    // What never changes says nothing, whatever it is divided by.
    let spread = if spread.is_finite() && spread > f64::from(f32::MIN_POSITIVE) && low < high { spread } else { 1.0 };
    let (offset, factor) = (offset as f32, (1.0 / spread).min(1e30) as f32);
    let offset = if offset.is_finite() { offset } else { 0.0 };
    let scaled: Vec<f32> = read.iter().map(|&value| (value - offset) * factor).collect();
    let range = range_of(&scaled).min(config.clip.unwrap_or(f32::INFINITY));
    Channel { offset, factor, range, unit: unit_of(raw) }
}

/// The range that lowers the squared error of eight bits most: all of it, or 95, 90 … 50 % of it.
fn range_of(scaled: &[f32]) -> f32 {
    let largest = scaled.iter().fold(0.0_f32, |most, value| most.max(value.abs())).clamp(1e-3, 1e6);
    let error = |range: f32| -> f64 {
        let step = range / STEPS;
        scaled.iter().map(|value| f64::from(value - (value.clamp(-range, range) / step).round() * step).powi(2)).sum()
    };
    (0..=10)
        .map(|part| largest * (1.0 - 0.05 * part as f32))
        .map(|range| (range, error(range)))
        .fold((largest, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
        .0
}

/// What a count stands for: one where all values are counts already, else a power of two with which the values fill at most half of 16 bits.
fn unit_of(raw: &[f32]) -> f32 {
    let largest = raw.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    if largest <= f32::from(i16::MAX) && raw.iter().all(|value| value.fract() == 0.0) {
        return 1.0;
    }
    2_f32.powi((largest / COUNTS).max(f32::MIN_POSITIVE).log2().ceil().clamp(-100.0, 100.0) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_data::series::Frames;

    #[test]
    fn a_count_goes_around_the_network_as_its_value_in_q15_16() {
        for unit in [1.0, 0.25, 3.3 / 4096.0, 1.0 / 32_768.0, 2.0, 1e-20, -0.25] {
            let [multiplier, low, high, shift] = added(unit);
            let bias = (i64::from(high) << 32) | i64::from(low as u32);
            for count in [i16::MIN, -3, 0, 1, 9_999, i16::MAX] {
                let value = (i64::from(count) * i64::from(multiplier) + bias) >> shift;
                let exact = f64::from(count) * f64::from(unit) * 65_536.0;
                assert!((value as f64 - exact).abs() <= 0.51, "{count} of {unit}: {value} and {exact}");
            }
        }
    }

    const PLAIN: SamplesConfig = SamplesConfig { scaled: Scaled::Standardize, difference: 0, clip: None, skip: None };

    fn example(values: &[f32], channels: usize) -> Example<u32> {
        Example::recorded(0, "a", Recording { frames: Frames::new(values.to_vec(), channels), first: 0 })
    }

    #[test]
    fn channels_are_scaled_by_themselves_and_a_constant_one_becomes_zero() {
        let scaling =
            Scaling::learned(PLAIN, 2, &[example(&[1.0, 7.0, 3.0, 7.0], 2), example(&[5.0, 7.0, 7.0, 7.0], 2)]);
        let scaled = scaling.scaled(&[4.0, 7.0, 4.0 + 5.0_f32.sqrt(), 7.0]);
        assert!(scaled.iter().zip([0.0, 0.0, 1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{scaled:?}");
        let minmax = SamplesConfig { scaled: Scaled::Minmax, ..PLAIN };
        let scaling = Scaling::learned(minmax, 1, &[example(&[-1.0, 3.0], 1)]);
        assert_eq!(scaling.scaled(&[-1.0, 1.0, 3.0, 9.0]), [-1.0, 0.0, 1.0, 1.0]);
        let none = SamplesConfig { scaled: Scaled::None, clip: Some(2.0), ..PLAIN };
        let scaling = Scaling::learned(none, 1, &[example(&[-0.5, 3.0], 1)]);
        assert_eq!(scaling.scaled(&[-0.5, 1.5, 9.0]), [-0.5, 1.5, 2.0]);
    }

    #[test]
    fn ranges_of_integers_alone_cut_floats_far_beyond_them() {
        let channel = Channel { offset: 0.0, factor: 2.0, range: 2.0, unit: 2_f32.powi(-15) };
        let skip = Some(Skip::default());
        let mut scaling = Scaling { lag: 0, channels: vec![channel], skip, skip_factor: 0.5, open: true };
        assert_eq!(scaling.scaled(&[0.5, 9.0, -1e9]), [1.0, 18.0, -2e4]);
        let values = |scaling: &Scaling| -> Vec<Values> {
            scaling.tensors(false).into_iter().map(|tensor| tensor.values).collect()
        };
        let expected = [
            Values::F32(vec![2_f32.powi(-15)]),
            Values::F32(vec![2.0, 0.0, -2e4, 2e4]),
            Values::F32(vec![0.5, 0.0, f32::MIN, f32::MAX]),
        ];
        assert_eq!(values(&scaling), expected);
        scaling.open = false;
        assert_eq!(scaling.scaled(&[0.5, 9.0]), [1.0, 2.0]);
    }

    #[test]
    fn differences_reach_back_to_the_first_frame_and_are_scaled_in_place_of_values() {
        let config = SamplesConfig { scaled: Scaled::None, difference: 2, ..PLAIN };
        let scaling = Scaling::learned(config, 1, &[example(&[5.0, 7.0, 6.0, 6.0, 16.0], 1)]);
        assert_eq!(scaling.scaled(&[5.0, 7.0, 6.0, 6.0, 16.0]), [0.0, 2.0, 1.0, -1.0, 10.0]);
    }

    #[test]
    fn a_count_is_one_of_whole_numbers_and_else_leaves_room_for_twice_the_largest() {
        assert_eq!(unit_of(&[3.0, -2_000.0]), 1.0);
        assert_eq!(unit_of(&[1.5, 16_384.0]), 1.0);
        assert_eq!(unit_of(&[0.5]), 2_f32.powi(-15));
        assert_eq!(unit_of(&[40_000.0]), 4.0);
        assert!(unit_of(&[1e-40]).is_normal() && unit_of(&[0.1, 3e38]).is_finite());
    }

    #[test]
    fn integers_scale_as_floats_do_to_half_a_step() {
        for (offset, factor, range, unit) in
            [(0.0, 1.0, 1.0, 1.0 / 32_768.0), (1_013.0, 0.7, 3.5, 0.0625), (-2.5, 40.0, 2.0, 1e-4)]
        {
            let [multiplier, low, high, shift] = Channel { offset, factor, range, unit }.integers();
            let bias = (i64::from(high) << 32) | i64::from(low as u32);
            for count in [i16::MIN, -20_000, -1, 0, 1, 777, 16_200, i16::MAX] {
                let value = (i64::from(count) * i64::from(multiplier) + bias) >> shift;
                let z = (f64::from(count) * f64::from(unit) - f64::from(offset)) * f64::from(factor) / f64::from(range);
                let expected = (z * 32_768.0).clamp(-32_768.0, 32_767.0);
                let found = value.clamp(-32_768, 32_767) as f64;
                assert!((found - expected).abs() <= 0.51, "{count} at {offset}: {found} and {expected}");
            }
        }
        // Numbers without measure give some scaling that the engine takes.
        for factor in [1e30, 1e-30] {
            let [_, _, high, shift] = Channel { offset: 1e20, factor, range: 1e-3, unit: 1e20 }.integers();
            assert!(high.unsigned_abs() < 1 << 30 && (0..=47).contains(&shift));
        }
    }
}
