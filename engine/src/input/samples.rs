//! Samples of sensors: frames of some channels, brought to the values that a network reads by numbers of the image's own.
//!
//! ```text
//! d = x_t                  or, with a difference over some frames,  d = x_t − x_{t−lag}
//! v = clamp((d − offset)·factor, low, high)                  floats; x in the unit of the training data
//! v = saturate16((d·multiplier + bias) >> shift)             integers; x in counts, v in Q0.15 of the channel's range
//! ```
//!
//! A count is what an ADC gives, and the image has the unit of a count for each channel. Counts and values are the same to a model: an integer image rounds values to
//! counts, a float image multiplies counts by their unit. As long as fewer than `lag` frames came before, the first one stands for those that are missing.
//!
//! With |d| < 2^17, |multiplier| < 2^31 and |bias| < 2^62 no sum overflows 64 bits; opening checks the last.
//!
//! A [`Skip`] goes around the network: output k is what the network says and a sample of channel `channel + k`, of the newest frame or of one `lag` frames before.
//!
//! ```text
//! y_k = network_k + clamp((x − offset)·factor, low, high)              floats
//! y_k = saturate32(network_k + ((x·multiplier + bias) >> shift))       integers; x in counts, y in Q15.16
//! ```

use serde::{Deserialize, Serialize};

use crate::error::{Error, problem};
use crate::features::SKIP;
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::logit::Logit;
use crate::memory::Memory;
use crate::numbers::{FloatNumbers, Numbers, Precision};

/// Most channels of a frame.
pub const MAX_CHANNELS: u16 = 64;

/// Most frames between the two samples of a difference.
pub const MAX_LAG: u16 = 256;

/// Samples as a model reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Samples {
    /// Values of a frame.
    pub channels: u16,
    /// Frames between the two samples of a difference; 0 where samples are read as they are.
    pub lag: u16,
    /// What goes around the network to the outputs.
    pub skip: Option<Skip>,
}

/// A way around the network: from samples to the outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Skip {
    /// The channel, from 0, that is added to the first output; the next one is added to the second, and so on.
    pub channel: u16,
    /// How many frames before the newest its sample lies; at most [`MAX_LAG`].
    pub lag: u16,
}

impl Samples {
    /// Sections: units of a count, scaling, the skip's scaling.
    pub(crate) const SECTIONS: usize = 3;

    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let (channels, lag) = (fields.u16(), fields.u16());
        let skip = if fields.bool() { Some(Skip { channel: fields.u16(), lag: fields.u16() }) } else { None };
        Samples { channels, lag, skip }
    }

    /// What goes around the network, which a build without it has refused.
    pub(crate) const fn skip(&self) -> Option<&Skip> {
        if SKIP { self.skip.as_ref() } else { None }
    }

    pub(crate) const fn check(&self) -> Result<(), &'static str> {
        if self.channels == 0 || self.channels > MAX_CHANNELS || self.lag > MAX_LAG {
            return Err(problem!("it has no channels, more than 64, or a difference over more than 256 frames"));
        }
        Ok(())
    }

    /// Checks that a skip finds a channel for each output.
    pub(crate) const fn check_skip(&self, outputs: u16, are_values: bool) -> Result<(), &'static str> {
        match self.skip() {
            Some(_) if !are_values => Err(problem!("a skip adds samples to values, and the answer is classes")),
            Some(&Skip { channel, lag }) if channel as u32 + outputs as u32 > self.channels as u32 || lag > MAX_LAG => {
                Err(problem!("the skip has no channel for an output, or goes back more than 256 frames"))
            }
            _ => Ok(()),
        }
    }

    /// The section at a place of the order.
    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let channels = self.channels as usize;
        match place {
            0 => Some(SectionShape::new(Role::Units, Element::F32, channels, 1)),
            1 => Some(SectionShape::new(Role::Scaling, precision.sum(), channels, 4)),
            2 if self.skip().is_some() => Some(SectionShape::new(Role::Skip, precision.sum(), channels, 4)),
            _ => None,
        }
    }

    /// Frames that the state keeps: those that a difference reaches back, and those that a skip does with the newest.
    const fn kept(&self) -> u16 {
        match self.skip() {
            Some(skip) if skip.lag >= self.lag => skip.lag.saturating_add(1),
            _ => self.lag,
        }
    }

    /// Bytes of the state in which they are kept.
    pub(crate) const fn history(&self, precision: Precision) -> usize {
        precision.values_bytes(self.channels as usize * self.kept() as usize)
    }

    /// Bytes of scratch for a frame.
    pub(crate) const fn room(&self, precision: Precision) -> usize {
        precision.values_bytes(self.channels as usize)
    }
}

/// As it is written in a chain.
impl core::fmt::Display for Skip {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("skip")?;
        if self.channel > 0 {
            write!(formatter, " channel={}", self.channel)?;
        }
        if self.lag > 0 {
            write!(formatter, " lag={}", self.lag)?;
        }
        Ok(())
    }
}

/// A sample as it arrives: a count of an ADC, or a value in the unit of the training data.
pub(crate) trait Sample: Copy {
    /// False of an infinity and of what is no number.
    fn is_number(self) -> bool;

    /// As it is kept; `unit` is what a count stands for.
    fn raw<N: Scaling>(self, unit: f32) -> N::Value;
}

impl Sample for i16 {
    fn is_number(self) -> bool {
        true
    }

    fn raw<N: Scaling>(self, unit: f32) -> N::Value {
        N::of_count(self, unit)
    }
}

impl Sample for f32 {
    fn is_number(self) -> bool {
        self.is_finite()
    }

    fn raw<N: Scaling>(self, unit: f32) -> N::Value {
        N::of_value(self, unit)
    }
}

/// Samples of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Scaling> {
    units: &'a [f32],
    scaling: &'a [[N::Sum; 4]],
    skipping: &'a [[N::Sum; 4]],
    pub(crate) channels: u16,
    lag: u16,
    skip: Skip,
    kept: u16,
}

impl<'a, N: Scaling> Opened<'a, N> {
    /// Cuts the numbers off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Samples, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        Ok(Opened {
            units: cursor.tensor(section(0))?,
            scaling: bytemuck::try_cast_slice(cursor.tensor::<N::Sum>(section(1))?).unwrap_or(&[]),
            skipping: if SKIP {
                bytemuck::try_cast_slice(cursor.tensor::<N::Sum>(section(2))?).unwrap_or(&[])
            } else {
                &[]
            },
            channels: shape.channels,
            lag: shape.lag,
            skip: shape.skip().copied().unwrap_or_default(),
            kept: shape.kept(),
        })
    }

    /// Checks every number, and says how large values become.
    ///
    /// # Errors
    /// [`Error::Scaling`] with the channel.
    pub(crate) fn check(&self) -> Result<N::Limit, Error> {
        for (channel, (unit, row)) in (0..).zip(self.units.iter().zip(self.scaling)) {
            // Above zero and finite, asked of the bits: a chip without floats checks it as well.
            let bits = unit.to_bits();
            if bits == 0 || bits >= f32::INFINITY.to_bits() || !N::is_sound(row) {
                return Err(Error::Scaling { channel });
            }
        }
        if SKIP && let Some((channel, _)) = (0..).zip(self.skipping).find(|(_, row)| !N::is_sound(row)) {
            return Err(Error::Scaling { channel });
        }
        Ok(N::limit(self.scaling))
    }

    /// The count of a channel that stands for a value; 0 where there is no such channel.
    pub(crate) fn count_of(&self, channel: u16, value: f32) -> i16 {
        self.units.get(usize::from(channel)).map_or(0, |unit| count_of(value, *unit))
    }

    /// Reads a frame: the values that the first layer reads, in the scratch. `history` is the state that keeps earlier frames, `steps` are the frames before.
    #[inline(never)]
    pub(crate) fn read<'x, S: Sample>(
        &self,
        frame: &[S],
        (memory, scratch): (&mut Memory<'_>, &mut Memory<'x>),
        steps: u32,
    ) -> &'x mut [N::Value] {
        let channels = usize::from(self.channels);
        let history: &mut [N::Value] = memory.take(channels * usize::from(self.kept));
        let values: &mut [N::Value] = scratch.take(channels);
        let raw = frame.iter().zip(self.units).map(|(sample, unit)| sample.raw::<N>(*unit));
        for (channel, (value, (now, row))) in values.iter_mut().zip(raw.zip(self.scaling)).enumerate() {
            // The last frame stands first in the history. Each one moves on by a frame, and the earliest falls out.
            let (mut moved, mut place, mut back, mut before) = (now, channel, 0, None);
            while let Some(kept) = history.get_mut(place) {
                if steps == 0 {
                    *kept = now;
                }
                core::mem::swap(kept, &mut moved);
                place += channels.max(1);
                back += 1;
                if back == self.lag {
                    before = Some(moved);
                }
            }
            *value = N::scaled(row, now, before);
        }
        values
    }

    /// One of the outputs with what goes around the network, after so many steps. `memory` is the state from the frames on that are kept.
    #[inline(always)]
    pub(crate) fn answer(&self, mut memory: Memory<'_>, steps: u32, output: usize, network: Logit) -> Logit {
        let channel = usize::from(self.skip.channel) + output;
        let Some(row) = self.skipping.get(channel).filter(|_| steps > 0) else { return network };
        let history: &mut [N::Value] = memory.take(usize::from(self.channels) * usize::from(self.kept));
        match history.get(usize::from(self.skip.lag) * usize::from(self.channels) + channel) {
            Some(&sample) => N::skipped(row, sample, network),
            None => network,
        }
    }
}

/// The count that stands for a value: rounded to the nearest, halves away from zero, and saturated.
pub(crate) fn count_of(value: f32, unit: f32) -> i16 {
    let count = value / unit;
    let half = if count < 0.0 { -0.5 } else { 0.5 };
    // The conversion saturates, and cuts off what is behind the point.
    (count + half) as i16
}

/// How samples become values, by integers and by floats.
pub(crate) trait Scaling: Numbers {
    /// A count as it is kept.
    fn of_count(count: i16, unit: f32) -> Self::Value;

    /// A value as it is kept.
    fn of_value(value: f32, unit: f32) -> Self::Value;

    /// What the first layer reads of a sample, or of its difference to one before.
    fn scaled(row: &[Self::Sum; 4], now: Self::Value, before: Option<Self::Value>) -> Self::Value;

    /// An output with the sample that goes around the network.
    fn skipped(row: &[Self::Sum; 4], sample: Self::Value, network: Logit) -> Logit;

    /// Whether a channel's numbers keep every sum in range.
    fn is_sound(row: &[Self::Sum; 4]) -> bool;

    /// How large values become.
    fn limit(rows: &[[Self::Sum; 4]]) -> Self::Limit;
}

/// `[multiplier, low 32 bits of the bias, high 32 bits, shift]`.
macro_rules! integer_scaling {
    ($($weight:ty)*) => {$(
        impl Scaling for $weight {
            #[inline(always)]
            fn of_count(count: i16, _: f32) -> i16 {
                count
            }

            fn of_value(value: f32, unit: f32) -> i16 {
                count_of(value, unit)
            }

            #[inline(always)]
            fn scaled(&[multiplier, low, high, shift]: &[i32; 4], now: i16, before: Option<i16>) -> i16 {
                let difference = i32::from(now) - i32::from(before.unwrap_or(0));
                let bias = (i64::from(high) << 32) | i64::from(low as u32);
                let value = (i64::from(difference) * i64::from(multiplier) + bias) >> (shift & 63);
                value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
            }

            fn skipped(&[multiplier, low, high, shift]: &[i32; 4], sample: i16, network: Logit) -> Logit {
                let bias = (i64::from(high) << 32) | i64::from(low as u32);
                network.plus((i64::from(sample) * i64::from(multiplier) + bias) >> (shift & 63))
            }

            fn is_sound(&[_, _, high, shift]: &[i32; 4]) -> bool {
                high.unsigned_abs() < 1 << 30 && (0..=62).contains(&shift)
            }

            fn limit(_: &[[i32; 4]]) {}
        }
    )*};
}

integer_scaling!(i8 i16);

/// `[factor, offset, low, high]`.
impl<W: FloatNumbers> Scaling for W {
    #[inline(always)]
    fn of_count(count: i16, unit: f32) -> f32 {
        f32::from(count) * unit
    }

    #[inline(always)]
    fn of_value(value: f32, _: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn scaled(&[factor, offset, low, high]: &[f32; 4], now: f32, before: Option<f32>) -> f32 {
        // What two finite samples differ by may be infinite, and is cut to the limits.
        ((now - before.unwrap_or(0.0) - offset) * factor).max(low).min(high)
    }

    fn skipped(row: &[f32; 4], sample: f32, network: Logit) -> Logit {
        match network {
            // Both are finite, and their sum stays so.
            Logit::Float(value) => Logit::Float((value + Self::scaled(row, sample, None)).clamp(f32::MIN, f32::MAX)),
            network => network,
        }
    }

    fn is_sound(&[factor, _, low, high]: &[f32; 4]) -> bool {
        factor.abs() > 0.0 && low <= high
    }

    fn limit(rows: &[[f32; 4]]) -> f32 {
        rows.iter().flat_map(|&[_, _, low, high]| [low, high]).fold(0.0, |most: f32, limit| most.max(limit.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_values_of_the_same_samples_are_the_same_to_integers() {
        for unit in [1.0, 0.001, 3.3 / 4096.0, 1e-30, 7e20] {
            for count in [i16::MIN, -12_345, -1, 0, 1, 2, 300, 32_766, i16::MAX] {
                assert_eq!(<i8 as Scaling>::of_value(f32::from(count) * unit, unit), count, "{count} of {unit}");
            }
        }
        assert_eq!(<i8 as Scaling>::of_value(f32::MAX, 1e-30), i16::MAX);
        assert_eq!(<i8 as Scaling>::of_value(-1e9, 1.0), i16::MIN);
    }

    #[test]
    fn integers_are_scaled_and_saturate() {
        // (d·3 − 6 + 2) >> 2
        let row = [3, -4, -1, 2];
        let of = |now, before| <i8 as Scaling>::scaled(&row, now, before);
        assert_eq!((of(2, None), of(10, None), of(10, Some(-10))), (0, 6, 14));
        let steep = [i32::MAX, 0, 0, 0];
        assert_eq!(<i8 as Scaling>::scaled(&steep, 1, Some(-3)), i16::MAX);
        assert_eq!(<i8 as Scaling>::scaled(&steep, i16::MIN, Some(i16::MAX)), i16::MIN);
    }

    #[test]
    fn floats_are_scaled_and_cut_to_their_limits_even_where_a_difference_is_infinite() {
        let row = [0.5, 1.0, -2.0, 2.0];
        let of = |now, before| <f32 as Scaling>::scaled(&row, now, before);
        assert_eq!((of(3.0, None), of(9.0, None), of(-9.0, Some(1.0))), (1.0, 2.0, -2.0));
        assert_eq!((of(f32::MAX, Some(f32::MIN)), of(f32::MIN, Some(f32::MAX))), (2.0, -2.0));
    }

    #[test]
    fn what_goes_around_the_network_is_added_and_saturates() {
        // (x·3 − 6 + 2) >> 2
        let row = [3, -4, -1, 2];
        assert_eq!(<i8 as Scaling>::skipped(&row, 10, Logit::Fixed(100)), Logit::Fixed(106));
        let steep = [i32::MAX, 0, 0, 0];
        assert_eq!(<i16 as Scaling>::skipped(&steep, i16::MIN, Logit::Fixed(7)), Logit::Fixed(i32::MIN));
        let row = [0.5, 1.0, -2.0, 2.0];
        assert_eq!(<f32 as Scaling>::skipped(&row, 2.0, Logit::Float(1.0)), Logit::Float(1.5));
        let wide = [1.0, 0.0, f32::MIN, f32::MAX];
        assert_eq!(<f32 as Scaling>::skipped(&wide, f32::MAX, Logit::Float(f32::MAX)), Logit::Float(f32::MAX));
    }

    #[test]
    fn numbers_that_could_overflow_are_not_sound() {
        assert!(<i8 as Scaling>::is_sound(&[i32::MAX, -1, (1 << 30) - 1, 62]));
        assert!(!<i8 as Scaling>::is_sound(&[1, 0, 1 << 30, 1]));
        assert!(!<i8 as Scaling>::is_sound(&[1, 0, 0, 63]));
        assert!(!<i8 as Scaling>::is_sound(&[1, 0, 0, -1]));
        assert!(!<f32 as Scaling>::is_sound(&[1.0, 0.0, 2.0, 1.0]));
        assert!(!<f32 as Scaling>::is_sound(&[0.0, 0.0, -1.0, 1.0]));
        assert_eq!(<f32 as Scaling>::limit(&[[1.0, 0.0, -3.0, 2.0]]), 3.0);
    }
}
