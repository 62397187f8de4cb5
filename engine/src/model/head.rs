//! The dense head, and the logit that it gives.

#[cfg(feature = "extended")]
use super::attention::quotient;
use super::state::ReadoutView;
use crate::image::Image;
use crate::image::manifest::Manifest;
use crate::image::tensor::Role;
#[cfg(feature = "float")]
use crate::kernels::FloatWeight;
use crate::kernels::{Backend, Scalar};

/// One output before its sigmoid or softmax: integers in Q15.16 from integer models, floats from float models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Logit {
    /// Q15.16.
    Fixed(i32),
    /// As it is.
    Float(f32),
}

impl Logit {
    /// True where the sigmoid is at least a half.
    pub fn is_positive(self) -> bool {
        match self {
            Logit::Fixed(value) => value >= 0,
            // Only the sign counts, and -0.0 is 0: no float instruction, for chips that have none.
            Logit::Float(value) => value.to_bits() <= 1 << 31,
        }
    }

    /// True when this logit is the larger one. Logits of one model are all integers or all floats, and no float is a NaN.
    pub fn is_greater(self, than: Logit) -> bool {
        // Floats of one sign are ordered as their bits are, those below zero the other way round.
        let key = |bits: u32| if bits >> 31 == 0 { bits as i32 } else { -((bits & 0x7FFF_FFFF) as i32) };
        match (self, than) {
            (Logit::Fixed(value), Logit::Fixed(than)) => value > than,
            _ => key(self.to_bits()) > key(than.to_bits()),
        }
    }

    /// Its bits, for digests.
    pub fn to_bits(self) -> u32 {
        match self {
            Logit::Fixed(value) => value as u32,
            Logit::Float(value) => value.to_bits(),
        }
    }

    /// With a number in Q15.16 added, which integers saturate at their ends.
    #[cfg(feature = "extended")]
    pub(super) fn plus(self, addend: i64) -> Self {
        match self {
            Logit::Fixed(value) => {
                let sum = i64::from(value).saturating_add(addend);
                Logit::Fixed(sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
            }
            #[cfg(feature = "float")]
            Logit::Float(value) => Logit::Float(value + addend as f32 / 65_536.0),
            #[cfg(not(feature = "float"))]
            Logit::Float(_) => self,
        }
    }

    /// Its value. (With the feature `float`.) Exact for floats; a Q15.16 is rounded to the 24 bits of a float.
    #[cfg(feature = "float")]
    pub fn to_f32(self) -> f32 {
        match self {
            Logit::Fixed(value) => value as f32 / 65_536.0,
            Logit::Float(value) => value,
        }
    }

    /// The sigmoid of the logit. (With the feature `float`; [`probability_q15`] needs none.)
    #[cfg(feature = "float")]
    pub fn probability(self) -> f32 {
        let mut value = [self.to_f32()];
        Scalar.sigmoid_f32(&mut value);
        value[0]
    }
}

/// The sigmoid of an integer logit in Q0.15, without a float: error at most that of [`Backend::sigmoid_q15`] and of rounding the
/// logit to Q3.12. 0 for a float logit.
pub fn probability_q15(logit: Logit) -> u16 {
    let Logit::Fixed(value) = logit else { return 0 };
    let rounded = (value >> 4).saturating_add((value >> 3) & 1);
    let mut gate = [rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16];
    Scalar.sigmoid_q15(&mut gate);
    gate[0].max(0) as u16
}

/// The head of an integer model: 16-bit weights, a multiplier and a bias for each output.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadInt<'a> {
    weights: &'a [i16],
    multipliers: &'a [u16],
    biases: &'a [i32],
    shift: u32,
}

impl<'a> HeadInt<'a> {
    /// A head without outputs.
    pub(super) const NOTHING: Self = HeadInt { weights: &[], multipliers: &[], biases: &[], shift: 1 };

    pub(super) fn new(image: &Image<'a>, manifest: &Manifest) -> Self {
        HeadInt {
            weights: image.tensor(manifest, Role::HeadWeights, 0),
            multipliers: image.tensor(manifest, Role::HeadMultipliers, 0),
            biases: image.tensor(manifest, Role::HeadBiases, 0),
            shift: u32::from(manifest.head.shift),
        }
    }

    /// `logit = sat32(((Σ w·v)·multiplier + 2^(shift−1) >> shift) + bias)` in Q15.16, with `v` the readout in Q0.15, one value a unit.
    ///
    /// |Σ w·v| ≤ 2048·2^30 = 2^41 and a multiplier has 16 bits, so that 64 bits hold every sum. A mean is `⌊sum / count⌉`:
    /// count ≤ 65,535 and |sum| ≤ count·2^15, so that the quotient has 16 bits.
    pub(super) fn logit<B: Backend>(&self, backend: B, readout: ReadoutView<'_, i32, i16>, output: usize) -> Logit {
        let dot = match readout {
            ReadoutView::Values(values) => backend.dot_i16(row(self.weights, values.len(), output), values),
            ReadoutView::Mean { sums, count } => {
                let count = count as i32;
                let mut dot = 0;
                for (&w, &sum) in row(self.weights, sums.len(), output).iter().zip(sums) {
                    let half = if sum < 0 { -(count / 2) } else { count / 2 };
                    let mean = sum.saturating_add(half).checked_div(count).unwrap_or(0) as i16;
                    dot += i64::from(i32::from(w) * i32::from(mean));
                }
                dot
            }
            #[cfg(feature = "extended")]
            ReadoutView::Attention { sums, total } => {
                let weights = row(self.weights, sums.len(), output).iter().zip(sums);
                weights.map(|(&w, &sum)| i64::from(i32::from(w) * i32::from(quotient(sum, total)))).sum()
            }
        };
        let multiplier = self.multipliers.get(output).copied().unwrap_or(0);
        let bias = self.biases.get(output).copied().unwrap_or(0);
        let scaled = (dot * i64::from(multiplier) + (1 << (self.shift - 1))) >> self.shift;
        Logit::Fixed((scaled + i64::from(bias)).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }
}

/// Row `output` of an `outputs × units` matrix; empty where there is none.
fn row<W>(weights: &[W], units: usize, output: usize) -> &[W] {
    weights.get(output * units..).and_then(|rest| rest.get(..units)).unwrap_or(&[])
}

/// The head of a float model.
#[cfg(feature = "float")]
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadFloat<'a, W> {
    weights: &'a [W],
    biases: &'a [f32],
}

#[cfg(feature = "float")]
impl<'a, W: FloatWeight> HeadFloat<'a, W> {
    pub(super) fn new(image: &Image<'a>, manifest: &Manifest) -> Self {
        HeadFloat {
            weights: image.tensor(manifest, Role::HeadWeights, 0),
            biases: image.tensor(manifest, Role::HeadBiases, 0),
        }
    }

    /// `logit = Σ w·v + bias`, with `v` the readout, one value a unit.
    pub(super) fn logit<B: Backend>(&self, backend: B, readout: ReadoutView<'_, f32, f32>, output: usize) -> Logit {
        let dot = match readout {
            ReadoutView::Values(values) => backend.dot_f32(row(self.weights, values.len(), output), values),
            ReadoutView::Mean { sums, count } => {
                backend.dot_f32(row(self.weights, sums.len(), output), sums) / count as f32
            }
            #[cfg(feature = "extended")]
            ReadoutView::Attention { sums, total } => {
                backend.dot_f32(row(self.weights, sums.len(), output), sums)
                    / f32::from_bits(total).max(f32::MIN_POSITIVE)
            }
        };
        Logit::Float(dot + self.biases.get(output).copied().unwrap_or(0.0))
    }
}
