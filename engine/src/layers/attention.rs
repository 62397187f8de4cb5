//! Pooling by attention: a mean of the hidden states in which each step has a weight of its own.
//!
//! ```text
//! a_t = e^(4·s_t),  s_t = h_t[0] held to [-1, 1]          the layer's first unit says how much its step counts
//! r   = Σ a_t·h_t / Σ a_t         (Bahdanau et al. 2015, section 3.1, with a unit in the place of their scoring layer)
//! ```
//!
//! Both sums run along, so that a stream needs one number more than for a mean, and no step is kept. The unit is as good as a layer that
//! scores: what such a layer would compute of the hidden state, the unit's gates compute of the one before and of the token.
//!
//! Integers: `w` is `a·e^-4` in Q0.16, 22 to 65,528, and each addend is rounded: `sum += (w·h + 2^11) >> 12`. So an addend is at most `8·w` in
//! magnitude, and a sum at most `8·Σ w`, which is below `2^31` as long as `Σ w ≤ MOST`. Floats: `w` is `a·e^-4` itself, and both sums are floats.

/// Sums of weights are at most this.
pub(super) const MOST: u32 = (1 << 28) - 1;

/// The largest weight and a little more.
const LARGEST: u32 = 65_535;

/// The bits by which an addend of an integer sum is narrower than its product.
pub(super) const NARROWED: u32 = 12;

/// `2^16·e^(4·(h - 1))` rounded, of a hidden state in Q0.15: within 0.5 and 0.02 % of it, and never falling where h rises.
///
/// ```text
/// y = (1 - h)·4·log2(e)               Q16.16
/// w = 2^(16 - ⌊y⌋)·2^-frac(y)         with the cubic 1 - 0.69159 f + 0.23115 f² - 0.03957 f³ for 2^-f, which is exact at both ends
/// ```
pub fn attention_weight(hidden: i16) -> u32 {
    let y = ((32_768 - i32::from(hidden)) as u32 * 47_274 + (1 << 11)) >> 12;
    let (whole, f) = (y >> 16, y & 0xFFFF);
    let product = |a: u32| (f * a) >> 16;
    let power = 65_536 - product(45_325 - product(15_149 - product(2_593)));
    ((power + ((1 << whole) >> 1)) >> whole).min(LARGEST)
}

/// `e^(4·(h - 1))` of a hidden state in floats, within `10^-6` of it in [-1, 1], and beyond as at the nearer end, as integers have it; the same bits
/// of the same h everywhere.
///
/// ```text
/// y = (1 - h)·4·log2(e),  2^-y = 2^-⌊y⌋·2^-frac(y)          with the polynomial through six Chebyshev points for 2^-f, off by 6·10^-8
/// ```
pub fn attention_weight_f32(hidden: f32) -> f32 {
    const POWER: [f32; 6] = [-0.000_946_877, 0.009_209_18, -0.055_298_12, 0.240_178_96, -0.693_143_1, 0.999_999_94];
    let y = ((1.0 - hidden) * 5.770_78).clamp(0.0, 11.541_56);
    let whole = y as u32 & 15;
    let f = y - whole as f32;
    POWER.into_iter().fold(0.0, |sum, coefficient| sum * f + coefficient) * f32::from_bits((127 - whole) << 23)
}

/// Adds a weight to the sum of weights, whose bits `total` has; true when both sums must be halved before, and this one has been.
pub(super) fn add_weight_f32(total: &mut u32, weight: f32) -> bool {
    let sum = f32::from_bits(*total);
    // Where the integers are full, too.
    let full = sum > MOST_F32 - 1.0;
    *total = (if full { sum / 2.0 } else { sum } + weight).to_bits();
    full
}

/// [`MOST`] of floats.
pub(super) const MOST_F32: f32 = 4_096.0;

/// Adds a weight to the sum of weights; true when both sums must be halved before, and this one has been.
pub fn add_weight(total: &mut u32, weight: u32) -> bool {
    let full = *total > MOST - LARGEST;
    if full {
        // Rounded up, so that the other sums stay within eight times this one.
        *total -= *total / 2;
    }
    *total += weight;
    full
}

/// `sum += (w·h + 2^11) >> 12` for each unit.
pub fn add_weighted(sums: &mut [i32], hidden: &[i16], weight: u32) {
    for (sum, &h) in sums.iter_mut().zip(hidden) {
        *sum += (i32::from(h) * weight as i32 + (1 << (NARROWED - 1))) >> NARROWED;
    }
}

/// A unit of the pooling in Q0.15: `sum·2^12 / total`, rounded to nearest, halves away from zero, at most 32,767. A long division, four bits at a
/// time, for chips that divide 32 bits at best.
pub fn quotient(sum: i32, total: u32) -> i16 {
    let total = total.max(1);
    let magnitude = sum.unsigned_abs();
    let (mut value, mut rest) = (magnitude / total, magnitude % total);
    for _ in 0..NARROWED / 4 {
        // Below `total` and so below 2^28: no bit is lost.
        rest <<= 4;
        value = (value << 4).saturating_add(rest / total);
        rest %= total;
    }
    value = value.saturating_add(u32::from(rest >= total - rest)).min(32_768);
    let value = if sum < 0 { -(value as i32) } else { value as i32 };
    value.min(i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_weight_is_its_power_and_rises_with_the_hidden_state() {
        let mut before = 0;
        for hidden in i16::MIN..=i16::MAX {
            let weight = attention_weight(hidden);
            let exact = 65_536.0 * (4.0 * (f64::from(hidden) / 32_768.0 - 1.0)).exp();
            assert!((f64::from(weight) - exact).abs() <= 0.5 + 2e-4 * exact, "{hidden}: {weight}, {exact}");
            assert!(weight >= before && weight <= LARGEST, "{hidden}");
            before = weight;
        }
        assert_eq!((attention_weight(i16::MIN), before), (22, 65_528));
    }

    #[test]
    fn a_weight_in_floats_is_its_power() {
        for step in -1_000_000..=1_000_000 {
            let hidden = step as f32 / 1e6;
            let exact = (4.0 * (f64::from(hidden) - 1.0)).exp();
            let weight = f64::from(attention_weight_f32(hidden));
            assert!((weight / exact - 1.0).abs() < 1e-6, "{hidden}: {weight}, {exact}");
        }
        // A rectified unit or a linear layer has more.
        for hidden in [1.0 + f32::EPSILON, f32::MAX, f32::INFINITY] {
            assert_eq!(attention_weight_f32(hidden), attention_weight_f32(1.0), "{hidden}");
            assert_eq!(attention_weight_f32(-hidden), attention_weight_f32(-1.0), "{hidden}");
        }
        let mut total = 0.0_f32.to_bits();
        let halved = (0..10_000).filter(|_| add_weight_f32(&mut total, 1.0)).count();
        assert_eq!((halved, f32::from_bits(total) <= MOST_F32), (3, true));
    }

    #[test]
    fn no_sum_overflows_and_a_pooling_stays_what_it_is_however_long_the_stream() {
        for hidden in [i16::MIN, -1, 0, 1, 20_000, i16::MAX] {
            for score in [i16::MIN, 0, i16::MAX] {
                let (mut total, mut sums) = (0, [0]);
                let weight = attention_weight(score);
                for _ in 0..3 * MOST / LARGEST {
                    if add_weight(&mut total, weight) {
                        sums[0] /= 2;
                    }
                    add_weighted(&mut sums, &[hidden], weight);
                    assert!(total <= MOST && u64::from(sums[0].unsigned_abs()) <= 8 * u64::from(total));
                }
                let found = quotient(sums[0], total);
                let most = if weight < 1_000 { 128 } else { 3 };
                assert!((i32::from(found) - i32::from(hidden)).abs() <= most, "{hidden} by {score}: {found}");
            }
        }
    }

    #[test]
    fn a_quotient_is_that_of_64_bits() {
        let exact = |sum: i32, total: u32| {
            let (sum, total) = (i64::from(sum) << NARROWED, i64::from(total));
            let half = if sum < 0 { -(total / 2) } else { total / 2 };
            ((sum + half) / total).clamp(-32_768, 32_767) as i16
        };
        for total in [1, 2, 3, 22, 23, 65_528, 1_000_003, MOST - 1, MOST] {
            for part in -1_000..=1_000 {
                let sum = (i64::from(total) * 8 * part / 1_000) as i32;
                assert_eq!(quotient(sum, total), exact(sum, total), "{sum} / {total}");
            }
        }
    }

    #[test]
    fn an_empty_sum_is_zero() {
        assert_eq!(quotient(0, 0), 0);
    }
}
