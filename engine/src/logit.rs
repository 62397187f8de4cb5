//! One output of a model.

use crate::features::FLOAT;
use crate::kernels::{Backend, Scalar};

/// One output before its sigmoid or softmax: integers in Q15.16 from integer models, floats from float models.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
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
    pub(crate) fn plus(self, addend: i64) -> Self {
        match self {
            Logit::Fixed(value) => {
                let sum = i64::from(value).saturating_add(addend);
                Logit::Fixed(sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
            }
            Logit::Float(value) if FLOAT => Logit::Float(value + addend as f32 / 65_536.0),
            Logit::Float(_) => self,
        }
    }

    /// Its magnitude in Q15.16, rounded towards zero.
    pub fn magnitude(self) -> u32 {
        match self {
            Logit::Fixed(value) => value.unsigned_abs(),
            Logit::Float(value) if FLOAT => (value.abs() * 65_536.0) as u32,
            Logit::Float(_) => 0,
        }
    }

    /// Its value. Exact for floats; a Q15.16 is rounded to the 24 bits of a float. Computes with floats: a firmware for a chip without them leaves it alone.
    pub fn to_f32(self) -> f32 {
        match self {
            Logit::Fixed(value) => value as f32 / 65_536.0,
            Logit::Float(value) => value,
        }
    }

    /// The sigmoid of the logit. Computes with floats; [`probability_q15`] needs none.
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

/// A digest of outputs: FNV-1a with 64 bits over the little-endian bits of each logit. Two machines that show the same digest computed the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    /// Takes in the next output.
    pub fn push(&mut self, logit: Logit) {
        for byte in logit.to_bits().to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    /// The digest of all outputs so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}
