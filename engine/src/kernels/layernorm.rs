//! Layer normalization (Ba, Kiros and Hinton 2016), in floats.

/// `y = scale (x - mean) / sqrt(variance + epsilon) + shift`, mean and variance those of the features of `x`. All slices have one length, and `epsilon` is above
/// zero. The same bits on every machine: sums go from the first feature to the last.
pub fn layer_norm(x: &[f32], (scale, shift): (&[f32], &[f32]), epsilon: f32, y: &mut [f32]) {
    // At most 2048, so that it is exact.
    let count = x.len() as u16;
    if count == 0 {
        return;
    }
    let share = 1.0 / f32::from(count);
    let mean = x.iter().fold(0.0, |sum, x| sum + x) * share;
    let squares = x.iter().fold(0.0, |sum, x| sum + (x - mean) * (x - mean));
    let factor = 1.0 / root(squares * share + epsilon);
    for ((y, x), (scale, shift)) in y.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
        *y = scale * ((x - mean) * factor) + shift;
    }
}

/// The square root of a positive normal number, within two units in the last place.
///
/// Half the exponent and half the fraction are within 6.1 % of it. A step of Newton's, `r' = (r + x / r) / 2`, makes an error e to e²/2: 1.9e-3, 1.7e-6, 1.5e-12.
fn root(x: f32) -> f32 {
    let mut root = f32::from_bits((x.to_bits() >> 1) + (127 << 22));
    for _ in 0..3 {
        root = 0.5 * (root + x / root);
    }
    root
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn the_root_of_any_normal_number_is_within_two_units_in_the_last_place() {
        for bits in (f32::MIN_POSITIVE.to_bits()..=f32::MAX.to_bits()).step_by(9_973) {
            let x = f32::from_bits(bits);
            let (found, exact) = (f64::from(root(x)), f64::from(x).sqrt());
            assert!((found / exact - 1.0).abs() < 2.4e-7, "{x}: {found} for {exact}");
        }
    }

    #[test]
    fn features_are_brought_to_their_mean_and_deviation_and_then_scaled_and_shifted() {
        // Mean 3, variance 8, and one of epsilon: a root of 3.
        let mut y = [0.0; 4];
        layer_norm(&[-1.0, 7.0, 3.0, 3.0], (&[3.0, 3.0, 3.0, 1.0], &[0.5, 0.0, -1.0, 2.0]), 1.0, &mut y);
        assert!(y.iter().zip([-3.5, 4.0, -1.0, 2.0]).all(|(y, expected)| (y - expected).abs() < 1e-6), "{y:?}");
        let mut y = [0.0; 2];
        layer_norm(&[5.0, 5.0], (&[2.0, 2.0], &[0.25, -0.25]), 1e-5, &mut y);
        assert_eq!(y, [0.25, -0.25]);
    }
}
