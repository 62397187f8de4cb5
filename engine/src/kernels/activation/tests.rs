//! The errors stated as constants, held over every input.

extern crate std;

use std::{vec, vec::Vec};

use super::*;
use crate::kernels::{AnyBackend, Backend, Scalar, dispatch};

fn every_i16() -> impl Iterator<Item = i16> {
    i16::MIN..=i16::MAX
}

/// The largest |y - true| in units of 2^-15 over `x` in Q3.12.
fn largest_error(inputs: impl Iterator<Item = i16>, ours: fn(i16) -> i16, truth: fn(f64) -> f64) -> f64 {
    inputs.map(|x| (f64::from(ours(x)) - 32768.0 * truth(f64::from(x) / 4096.0)).abs()).fold(0.0, f64::max)
}

#[test]
fn integer_sigmoid_stays_inside_its_stated_error_over_all_inputs() {
    let error = largest_error(every_i16(), sigmoid_q15, |x| 1.0 / (1.0 + (-x).exp()));
    std::println!("sigmoid_q15: {error:.6} LSB");
    assert!(error <= SIGMOID_Q15_MAX_ERROR_LSB && SIGMOID_Q15_MAX_ERROR_LSB < 1.0);
}

#[test]
fn integer_tanh_stays_inside_its_stated_error_over_all_inputs() {
    let below_6 = largest_error(every_i16().filter(|x| x.unsigned_abs() < 6 << 12), tanh_q15, f64::tanh);
    let all = largest_error(every_i16(), tanh_q15, f64::tanh);
    std::println!("tanh_q15: {below_6:.6} LSB below 6, {all:.6} in all");
    assert!(below_6 <= TANH_Q15_MAX_ERROR_LSB);
    assert!(all <= TANH_Q15_MAX_ERROR_SATURATED_LSB && TANH_Q15_MAX_ERROR_SATURATED_LSB < 1.0);
}

#[test]
fn integer_activations_are_symmetric_for_every_input() {
    for x in every_i16() {
        let minus_x = x.checked_neg().unwrap_or(32767);
        assert_eq!(i32::from(sigmoid_q15(x)) + i32::from(sigmoid_q15(minus_x)), 32768, "sigmoid({x})");
        assert_eq!(tanh_q15(x), -tanh_q15(minus_x), "tanh({x})");
    }
}

#[test]
fn integer_activations_reach_their_stated_extremes_and_no_further() {
    assert_eq!(every_i16().map(sigmoid_q15).max(), Some(SIGMOID_Q15_MAX));
    assert_eq!(every_i16().map(sigmoid_q15).min(), Some((32768 - i32::from(SIGMOID_Q15_MAX)) as i16));
    assert_eq!(every_i16().map(tanh_q15).max(), Some(TANH_Q15_MAX));
    assert_eq!(every_i16().map(tanh_q15).min(), Some(-TANH_Q15_MAX));
}

#[test]
fn integer_sigmoid_never_decreases_and_tanh_does_so_by_one_unit_at_thirty_inputs_a_side() {
    let steps = |f: fn(i16) -> i16| -> Vec<i32> {
        (i16::MIN..i16::MAX).map(|x| i32::from(f(x + 1)) - i32::from(f(x))).filter(|step| *step < 0).collect()
    };
    assert_eq!(steps(sigmoid_q15), []);
    assert_eq!(steps(tanh_q15), vec![-1; 60]);
}

/// Every product and sum of [`Segments::distance`] over all t: what lets other backends use 16-bit lanes.
fn intermediates<const SHIFT: u32>(table: &Segments<SHIFT>) -> impl Iterator<Item = i32> {
    (0..8).flat_map(|segment| (-32768..=32767).map(move |t| (segment, t))).flat_map(|(segment, t)| {
        let [c4, c3, c2, c1, r, b] = table.columns.map(|column| i32::from(column[segment]));
        let mut p = c4;
        let horner = [c3, c2, c1, r].map(|c| {
            p = ((p * t + (1 << 14)) >> 15) + c;
            p
        });
        [c4, b, horner[0], horner[1], horner[2], horner[3]]
    })
}

#[test]
fn no_intermediate_of_the_integer_activations_leaves_16_bits_or_is_minus_32768() {
    assert!(intermediates(&SIGMOID).all(|p| p.abs() <= 32767));
    assert!(intermediates(&TANH).all(|p| p.abs() <= 32767));
}

// ------------------------------------------------------------------------------------------------------------------------
// Floats: 2^30 inputs and more, so the reference is a fast exponential that is itself held to the standard library's.

/// e^y for y in [-100, 0], 3e-15 off at most, relatively. No branch, so that the compiler runs two lanes.
fn exp64(y: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    const INVERSE_FACTORIALS: [f64; 13] = {
        let mut table = [1.0; 13];
        let mut n = 1;
        while n < 13 {
            table[n] = table[n - 1] / n as f64;
            n += 1;
        }
        table
    };
    let shifted = y * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = y - n * 0.693_147_180_369_123_8 - n * 1.908_214_929_270_587_7e-10;
    let p = INVERSE_FACTORIALS.iter().rev().fold(0.0, |p, c| p * r + c);
    p * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

/// Below it power series stand for the exponential, as most floats are: what they leave out is less than 1e-18 of the value.
const SMALL: f32 = 1.0 / 512.0;

/// The true tanh of every `x >= 0`.
fn tanh64(x: &[f32], truth: &mut [f64]) {
    if x.iter().all(|&x| x < SMALL) {
        for (truth, x) in truth.iter_mut().zip(x.iter().map(|&x| f64::from(x))) {
            let square = x * x;
            *truth = x - x * square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0)));
        }
        return;
    }
    for (truth, x) in truth.iter_mut().zip(x.iter().map(|&x| f64::from(x))) {
        let e = exp64(-2.0 * x);
        *truth = (1.0 - e) / (1.0 + e);
    }
}

/// The true sigmoid of every `x >= 0`, and that of every `-x`.
fn sigmoid64(x: &[f32], above: &mut [f64], below: &mut [f64]) {
    let each = above.iter_mut().zip(below).zip(x.iter().map(|&x| f64::from(x)));
    if x.iter().all(|&x| x < SMALL) {
        for ((above, below), x) in each {
            let square = x * x;
            let odd = x * (0.25 - square * (1.0 / 48.0 - square / 480.0));
            (*above, *below) = (0.5 + odd, 0.5 - odd);
        }
        return;
    }
    for ((above, below), x) in each {
        let e = exp64(-x);
        *above = 1.0 / (1.0 + e);
        *below = e * *above;
    }
}

#[test]
fn reference_of_the_float_tests_agrees_with_the_standard_library() {
    for n in 0..200_000_u32 {
        let x = f64::from(n) * 0.0005;
        assert!((exp64(-x) / (-x).exp() - 1.0).abs() < 1e-13, "exp(-{x})");
    }
    for bits in (0..0x4200_0000_u32).step_by(4_099) {
        let x = f32::from_bits(bits);
        let (mut tanh, mut above, mut below) = ([0.0], [0.0], [0.0]);
        tanh64(&[x], &mut tanh);
        sigmoid64(&[x], &mut above, &mut below);
        let x = f64::from(x);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!((tanh[0] - x.tanh()).abs() <= 1e-11 * x.tanh(), "tanh({x})");
        assert!((above[0] - sigmoid(x)).abs() <= 1e-11 * sigmoid(x), "sigmoid({x})");
        assert!((below[0] - sigmoid(-x)).abs() <= 1e-11 * sigmoid(-x), "sigmoid(-{x})");
    }
}

const CHUNK: usize = 4096;

/// Of so many floats the tests visit one. Where an emulator runs them, 64-bit Arm, or one thread, WebAssembly, all of them would take twenty
/// minutes and 100 seconds: their floats are those of IEEE 754, like the host's, and there the tests visit all.
const STRIDE: usize = if cfg!(target_arch = "aarch64") {
    251
} else if cfg!(target_arch = "wasm32") {
    7
} else {
    1
};

/// Largest absolute error, and largest error in units in the last place of an f32 at the true value.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    absolute: f64,
    ulp: f64,
}

impl Errors {
    fn of(ours: &[f32], truth: &[f64]) -> Self {
        const EXPONENT: u64 = 0x7ff << 52;
        assert!(ours.iter().all(|y| !y.is_nan()));
        let mut errors = Errors::default();
        for (&y, &truth) in ours.iter().zip(truth) {
            let error = (f64::from(y) - truth).abs();
            // 2^23 / 2^exponent, and 2^149 for everything below 2^-126.
            let exponent = (truth.to_bits() & EXPONENT).max((1023 - 126) << 52);
            let per_ulp = f64::from_bits(((2046 + 23) << 52) - exponent);
            errors.take_in(Errors { absolute: error, ulp: error * per_ulp });
        }
        errors
    }

    fn take_in(&mut self, other: Errors) {
        self.absolute = if other.absolute > self.absolute { other.absolute } else { self.absolute };
        self.ulp = if other.ulp > self.ulp { other.ulp } else { self.ulp };
    }
}

/// What backends answered to one chunk, and how wrong that is: many answer with the same bits.
#[derive(Default)]
struct Answers(Vec<(Vec<f32>, Errors)>);

impl Answers {
    fn errors(&mut self, ours: &[f32], truth: &[f64]) -> Errors {
        let bits = bytemuck::cast_slice::<f32, u8>;
        if let Some((_, errors)) = self.0.iter().find(|(other, _)| bits(other) == bits(ours)) {
            return *errors;
        }
        let errors = Errors::of(ours, truth);
        self.0.push((ours.to_vec(), errors));
        errors
    }
}

fn apply_sigmoid(backend: AnyBackend, x: &mut [f32]) {
    dispatch!(backend, backend => backend.sigmoid_f32(x));
}

fn apply_tanh(backend: AnyBackend, x: &mut [f32]) {
    dispatch!(backend, backend => backend.tanh_f32(x));
}

/// Calls `visit` with every float from 0 up to `end`, or every [`STRIDE`]th, a chunk at a time.
fn every_float_up_to(end: f32, mut visit: impl FnMut(&[f32; CHUNK])) {
    let mut x = [0.0; CHUNK];
    for first in (0..=end.to_bits()).step_by(CHUNK * STRIDE) {
        for (n, x) in (0..).zip(&mut x) {
            *x = f32::from_bits(first + n * STRIDE as u32);
        }
        visit(&x);
    }
}

#[test]
fn float_tanh_stays_inside_its_stated_errors_over_every_float() {
    let backends: Vec<AnyBackend> = AnyBackend::all().collect();
    let mut errors = vec![Errors::default(); backends.len()];
    let mut truth = [0.0; CHUNK];
    // Beyond 16 the true value is 1 to 13 digits, and ours is exactly 1.
    every_float_up_to(16.0, |x| {
        tanh64(x, &mut truth);
        let mut answers = Answers::default();
        for (&backend, errors) in backends.iter().zip(&mut errors) {
            let mut y = *x;
            apply_tanh(backend, &mut y);
            errors.take_in(answers.errors(&y, &truth));
        }
    });
    for (backend, errors) in backends.iter().zip(&errors) {
        std::println!("tanh_f32 {}: {:.6e}, {:.6} ulp", backend.name(), errors.absolute, errors.ulp);
        assert!(errors.absolute <= TANH_F32_MAX_ERROR && errors.ulp <= TANH_F32_MAX_ERROR_ULP, "{}", backend.name());
    }
}

#[test]
fn float_sigmoid_stays_inside_its_stated_errors_over_every_float() {
    let backends: Vec<AnyBackend> = AnyBackend::all().collect();
    let mut errors = vec![Errors::default(); backends.len()];
    let (mut above, mut below) = ([0.0; CHUNK], [0.0; CHUNK]);
    every_float_up_to(87.0, |x| {
        sigmoid64(x, &mut above, &mut below);
        // The last chunk reaches a little below -87, where only the absolute error is promised.
        let inside = x.iter().take_while(|x| **x <= 87.0).count();
        let (mut answers_above, mut answers_below) = (Answers::default(), Answers::default());
        for (&backend, errors) in backends.iter().zip(&mut errors) {
            let mut y = *x;
            apply_sigmoid(backend, &mut y);
            errors.take_in(answers_above.errors(&y, &above));
            let mut y = x.map(|x| -x);
            apply_sigmoid(backend, &mut y);
            errors.take_in(answers_below.errors(&y[..inside], &below[..inside]));
        }
    });
    for (backend, errors) in backends.iter().zip(&errors) {
        std::println!("sigmoid_f32 {}: {:.6e}, {:.6} ulp", backend.name(), errors.absolute, errors.ulp);
        assert!(
            errors.absolute <= SIGMOID_F32_MAX_ERROR && errors.ulp <= SIGMOID_F32_MAX_ERROR_ULP,
            "{}",
            backend.name()
        );
    }
}

#[test]
fn float_activations_keep_their_limits_symmetry_zero_and_nan() {
    for backend in AnyBackend::all() {
        let sigmoid = |x: f32| {
            let mut x = [x];
            apply_sigmoid(backend, &mut x);
            x[0]
        };
        let tanh = |x: f32| {
            let mut x = [x];
            apply_tanh(backend, &mut x);
            x[0]
        };
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(0.0), sigmoid(-0.0)), (1.0, 0.5, 0.5));
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!((tanh(0.0).to_bits(), tanh(-0.0).to_bits()), (0, 1 << 31));
        for bits in (0..f32::INFINITY.to_bits()).step_by(8_191) {
            let x = f32::from_bits(bits);
            assert_eq!(tanh(-x), -tanh(x), "tanh({x})");
            if x > 10.0 {
                assert_eq!(tanh(x), 1.0);
            }
            if x > 87.0 {
                assert_eq!(sigmoid(x), 1.0);
                assert!(sigmoid(-x) > 0.0 && sigmoid(-x) < 1e-37);
            }
        }
    }
}

#[test]
fn scalar_backend_applies_the_functions_of_this_module() {
    let mut x: Vec<f32> = (0..1000).map(|n| (n as f32 - 500.0) * 0.03).collect();
    let expected: Vec<f32> = x.iter().map(|&x| sigmoid_f32(tanh_f32(x))).collect();
    Scalar.tanh_f32(&mut x);
    Scalar.sigmoid_f32(&mut x);
    assert_eq!(x, expected);
}
