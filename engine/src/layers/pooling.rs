//! Pooling: one vector for all steps so far. It streams: no step is kept.
//!
//! ```text
//! last        r = h_T                mean    r = Σ h_t / T
//! max         r = max h_t            attention    r = Σ a_t h_t / Σ a_t,    a_t = e^(4·h_t[0]), h held to [-1, 1]: [`super::attention`]
//! ```
//!
//! State: nothing of last; the count of steps and the sums of mean (32 bits a unit; floats keep the mean itself); the sum of weights and the sums
//! of attention; the largest values of max.

use serde::{Deserialize, Serialize};

use super::{Memory, Place, attention};
use crate::features::{ATTENTION, Feature, POOLING};
use crate::image::reader::Fields;
use crate::kernels::Backend;
use crate::numbers::{FloatNumbers, Numbers, Precision, Values};

/// What of the steps the layers behind it see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Pooling {
    /// The last step.
    #[default]
    Last,
    /// The mean over all steps.
    Mean,
    /// The largest value of each unit.
    Max,
    /// The mean over all steps, each with the weight e^(4·h) of the first unit's h, held to [-1, 1].
    Attention,
}

impl Pooling {
    /// As it is written in a chain.
    pub const fn name(self) -> &'static str {
        match self {
            Pooling::Last => "last",
            Pooling::Mean => "mean",
            Pooling::Max => "max",
            Pooling::Attention => "attention",
        }
    }

    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        match fields.u32() {
            0 => Pooling::Last,
            1 => Pooling::Mean,
            2 => Pooling::Max,
            3 => Pooling::Attention,
            _ => fields.refuse(Pooling::Last),
        }
    }

    /// True where it keeps nothing: what the layers behind it see is the state of the layer before.
    pub(crate) const fn is_last(self) -> bool {
        matches!(self, Pooling::Last)
    }

    /// The feature that this build lacks for it.
    pub(crate) const fn missing(self) -> Option<Feature> {
        match self {
            Pooling::Mean | Pooling::Max if !POOLING => Some(Feature::Pooling),
            Pooling::Attention if !ATTENTION => Some(Feature::Attention),
            _ => None,
        }
    }

    /// Bytes of state over so many values: the count or the sum of weights, and a sum or a value each.
    pub(crate) const fn state(self, precision: Precision, width: usize) -> usize {
        match self {
            Pooling::Last => 0,
            Pooling::Mean | Pooling::Attention => 4 + 4 * width,
            Pooling::Max => precision.values_bytes(width),
        }
    }
}

/// Steps after which the running mean halves its sum and its count, so that the sum of Q0.15 values stays below `2^31`.
const MEAN_STEPS: u32 = 65_535;

/// The pooling of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) kind: Pooling,
    pub(crate) width: u16,
}

impl Opened {
    /// Takes in a step.
    #[inline]
    pub(crate) fn step<N: Steps, B: Backend>(&self, backend: B, x: Values<'_, N>, place: &mut Place<'_, '_>) {
        let mut scratch = place.scratch.rest();
        let values = match x {
            Values::Hidden(hidden) => hidden,
            x => super::hidden(backend, x, &mut scratch),
        };
        match self.kind {
            Pooling::Mean if POOLING => {
                let [count] = place.memory.take(1) else { return };
                N::add(backend, count, place.memory.take(values.len()), values);
            }
            Pooling::Max if POOLING => {
                let largest: &mut [N::Value] = place.memory.take(values.len());
                if place.steps == place.start.begin() {
                    largest.iter_mut().zip(values).for_each(|(largest, value)| *largest = *value);
                } else {
                    N::max(backend, largest, values);
                }
            }
            Pooling::Attention if ATTENTION => {
                let [total] = place.memory.take(1) else { return };
                N::attend(total, place.memory.take(values.len()), values);
            }
            _ => {}
        }
    }

    /// What it has come to, into `out`. Zero before the first step.
    pub(crate) fn finish<N: Steps>(&self, mut memory: Memory<'_>, out: &mut [N::Value]) {
        match self.kind {
            Pooling::Mean if POOLING => {
                let [count] = memory.take(1) else { return };
                N::mean(*count, memory.take(out.len()), out);
            }
            Pooling::Max if POOLING => {
                let largest: &mut [N::Value] = memory.take(out.len());
                out.iter_mut().zip(largest).for_each(|(out, largest)| *out = *largest);
            }
            Pooling::Attention if ATTENTION => {
                let [total] = memory.take(1) else { return };
                N::attended(*total, memory.take(out.len()), out);
            }
            _ => {}
        }
    }

    /// True when its state could have come from a stream of so many steps.
    pub(crate) fn is_sound<N: Steps>(&self, mut memory: Memory<'_>, steps: u32) -> bool {
        let width = usize::from(self.width);
        match self.kind {
            Pooling::Mean if POOLING => {
                let [count] = memory.take(1) else { return false };
                *count <= MEAN_STEPS && *count <= steps && N::is_mean(*count, memory.take(width))
            }
            Pooling::Attention if ATTENTION => {
                let [total] = memory.take(1) else { return false };
                N::is_attended(*total, memory.take(width))
            }
            _ => true,
        }
    }
}

/// What pooling computes, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// One step more in a mean.
    fn add<B: Backend>(backend: B, count: &mut u32, sums: &mut [Self::Sum], values: &[Self::Value]);

    /// The mean of `count` steps.
    fn mean(count: u32, sums: &[Self::Sum], out: &mut [Self::Value]);

    /// True of sums that `count` steps can have.
    fn is_mean(count: u32, sums: &[Self::Sum]) -> bool;

    /// One step more in a maximum.
    fn max<B: Backend>(backend: B, largest: &mut [Self::Value], values: &[Self::Value]);

    /// One step more in attention; `total` is the sum of weights, of floats as their bits.
    fn attend(total: &mut u32, sums: &mut [Self::Sum], values: &[Self::Value]);

    /// What attention has come to.
    fn attended(total: u32, sums: &[Self::Sum], out: &mut [Self::Value]);

    /// True of sums that weights with this sum can have.
    fn is_attended(total: u32, sums: &[Self::Sum]) -> bool;
}

/// One step more; true when the sums must be halved before, and the count has been.
fn make_room(count: &mut u32) -> bool {
    let full = *count >= MEAN_STEPS;
    if full {
        *count /= 2;
    }
    *count += 1;
    full
}

/// Weights are all that int8 and int16 differ in, and none of them is read here.
macro_rules! integer_steps {
    ($weight:ty) => {
        impl Steps for $weight {
            fn add<B: Backend>(backend: B, count: &mut u32, sums: &mut [i32], values: &[i16]) {
                if make_room(count) {
                    sums.iter_mut().for_each(|sum| *sum /= 2);
                }
                backend.add_i16(sums, values);
            }

            /// `⌊sum / count⌉`: count ≤ 65,535 and |sum| ≤ count·2^15, so that the quotient has 16 bits.
            fn mean(count: u32, sums: &[i32], out: &mut [i16]) {
                let count = count.max(1) as i32;
                for (out, &sum) in out.iter_mut().zip(sums) {
                    let half = if sum < 0 { -(count / 2) } else { count / 2 };
                    *out = sum.saturating_add(half).checked_div(count).unwrap_or(0) as i16;
                }
            }

            fn is_mean(count: u32, sums: &[i32]) -> bool {
                sums.iter().all(|sum| sum.unsigned_abs() <= count << 15)
            }

            fn max<B: Backend>(backend: B, largest: &mut [i16], values: &[i16]) {
                backend.max_i16(largest, values);
            }

            fn attend(total: &mut u32, sums: &mut [i32], values: &[i16]) {
                let weight = attention::attention_weight(values.first().copied().unwrap_or(0));
                if attention::add_weight(total, weight) {
                    sums.iter_mut().for_each(|sum| *sum /= 2);
                }
                attention::add_weighted(sums, values, weight);
            }

            fn attended(total: u32, sums: &[i32], out: &mut [i16]) {
                for (out, &sum) in out.iter_mut().zip(sums) {
                    *out = attention::quotient(sum, total);
                }
            }

            fn is_attended(total: u32, sums: &[i32]) -> bool {
                total <= attention::MOST && sums.iter().all(|sum| sum.unsigned_abs() <= 8 * total)
            }
        }
    };
}

integer_steps!(i8);
integer_steps!(i16);

impl<W: FloatNumbers> Steps for W {
    /// `mean += (value − mean) / count`: a weighted mean of what was and what comes, so that it never leaves the range of the values, however long the
    /// stream. After 65,535 steps it forgets slowly.
    fn add<B: Backend>(_: B, count: &mut u32, means: &mut [f32], values: &[f32]) {
        let _ = make_room(count);
        let part = 1.0 / *count as f32;
        for (mean, &value) in means.iter_mut().zip(values) {
            *mean += (value - *mean) * part;
        }
    }

    fn mean(_: u32, means: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(means).for_each(|(out, mean)| *out = *mean);
    }

    fn is_mean(_: u32, _: &[f32]) -> bool {
        true
    }

    fn max<B: Backend>(backend: B, largest: &mut [f32], values: &[f32]) {
        backend.max_f32(largest, values);
    }

    fn attend(total: &mut u32, sums: &mut [f32], values: &[f32]) {
        let weight = attention::attention_weight_f32(values.first().copied().unwrap_or(0.0));
        if attention::add_weight_f32(total, weight) {
            sums.iter_mut().for_each(|sum| *sum /= 2.0);
        }
        sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * value);
    }

    fn attended(total: u32, sums: &[f32], out: &mut [f32]) {
        let total = f32::from_bits(total).max(f32::MIN_POSITIVE);
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum / total);
    }

    /// Bits of floats from 0 on rise as the floats do, and those of others are larger.
    fn is_attended(total: u32, _: &[f32]) -> bool {
        total <= attention::MOST_F32.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Scalar;

    /// The largest difference of a float mean to the same rule in f64, over a million steps of `value(step)`.
    fn farthest(value: impl Fn(u32) -> f32) -> f64 {
        let (mut count, mut mean) = (0, [0.0_f32]);
        let (mut exact, mut worst) = (0.0_f64, 0.0_f64);
        for step in 0..1_000_000 {
            let value = value(step);
            <f32 as Steps>::add(Scalar, &mut count, &mut mean, &[value]);
            exact += (f64::from(value) - exact) / f64::from(count);
            worst = worst.max((f64::from(mean[0]) - exact).abs());
        }
        worst
    }

    #[test]
    fn a_float_mean_over_a_million_steps_stays_as_close_as_documented() {
        let noise = |step: u32| (step.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let centred = farthest(|step| 2.0 * noise(step) - 1.0);
        let above = farthest(|step| 0.9 + 0.1 * noise(step));
        // What a mean lags behind by, where each value is too close to it to move it.
        let stuck = farthest(|step| if step < 65_535 { 1.0 } else { 0.9985 });
        assert!(centred < 1e-5 && above < 1e-4, "{centred} {above}");
        assert!((0.0005..0.004).contains(&stuck), "{stuck}");
    }
}
