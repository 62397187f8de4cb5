//! Floats: rows, steps and cells beside the scalar ones, inside a bound; activations beside f64, inside the errors that
//! the engine states.

use latch_engine::kernels::activation::{
    SIGMOID_F32_MAX_ERROR, SIGMOID_F32_MAX_ERROR_ULP, TANH_F32_MAX_ERROR, TANH_F32_MAX_ERROR_ULP,
};
use latch_engine::kernels::cell::{gru, lstm, rnn};
use latch_engine::kernels::{Backend, FeaturesFloat, FloatWeight, RowsFloat, Scalar};

use super::{Aligned, COLUMNS, Noise, SHAPES, cut};

/// The largest difference between two float backends in a hidden state, which lies between -1 and 1; sums of at most 48
/// products.
const BOUND: f32 = 2e-6;

/// The same of a sum, of products below 1 in magnitude and of random signs: partial sums of at most 48 of them hardly
/// pass 16, where a unit in the last place is 2e-6. Also of a hidden state after several such sums, or where a gate is
/// near saturation.
const SUM_BOUND: f32 = 1e-5;

/// Most rows, and most units with their padding.
const ROWS: usize = 72;
const LANES: usize = 24;

/// Of so many floats the sweeps of the activations visit one: f64 has no FPU here.
const STRIDE: usize = 10_007;

/// 0, or the number of the check that failed, as `run` lists them.
pub(super) fn run<B: Backend>(backend: B, noise: &mut Noise) -> u32 {
    for (units, inputs) in SHAPES {
        for scale in [1.0, 300.0] {
            if !lstm_step::<B, f32>(backend, noise, (units, inputs), scale, |value| value) {
                return 8;
            }
            if !lstm_step::<B, half::f16>(backend, noise, (units, inputs), scale, half::f16::from_f32) {
                return 9;
            }
        }
        let mut failed = other_steps::<B, f32>(backend, noise, (units, inputs), |value| value);
        if failed == 0 {
            failed = other_steps::<B, half::f16>(backend, noise, (units, inputs), half::f16::from_f32);
        }
        if failed != 0 {
            return failed;
        }
    }
    for rows in (8..=ROWS).step_by(8) {
        for columns in [0, 1, 3, 4, 5, 7, 8, 16, 19] {
            let mut failed = products::<B, f32>(backend, noise, rows, columns, |value| value);
            if failed == 0 {
                failed = products::<B, half::f16>(backend, noise, rows, columns, half::f16::from_f32);
            }
            if failed != 0 {
                return failed;
            }
        }
    }
    activations(backend)
}

fn close(a: &[f32], b: &[f32], bound: f32) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= bound)
}

/// One LSTM step on both; a large scale saturates the gates.
fn lstm_step<B: Backend, W: FloatWeight>(
    backend: B,
    noise: &mut Noise,
    (units, inputs): (usize, usize),
    scale: f32,
    store: impl Fn(f32) -> W,
) -> bool {
    let (lanes, columns) = (units.next_multiple_of(8), units + inputs);
    let mut weights = Aligned([store(0.0); 4 * LANES * 25]);
    let Some(weights) = weights.0.get_mut(..4 * lanes * columns) else {
        return true; // too large for the smallest board, and its shape is like that of another
    };
    weights.fill_with(|| store(noise.float()));
    let (mut bias, mut xh, mut c) = ([0.0; 4 * LANES], [0.0; COLUMNS], [0.0; LANES]);
    // Only biases are large: a sum that ends where its gate is not saturated was never far from there.
    bias.fill_with(|| scale * noise.float());
    xh.fill_with(|| noise.float());
    c.fill_with(|| noise.float());
    let (mut expected_c, mut expected_h, mut h) = (c, [0.0; LANES], [0.0; LANES]);
    let Some(bias) = bias.get(..4 * lanes) else { return false };
    let gates = RowsFloat { weights, bias };
    let xh = cut(&mut xh, columns);
    lstm::step_float(&gates, xh, cut(&mut expected_h, lanes), cut(&mut expected_c, lanes));
    backend.lstm_float(&gates, xh, cut(&mut h, lanes), cut(&mut c, lanes));
    let bound = if scale > 1.0 { SUM_BOUND } else { BOUND };
    close(&h, &expected_h, bound) && close(&c, &expected_c, bound)
}

/// Two steps of a GRU with either reset gate, and of a simple cell.
fn other_steps<B: Backend, W: FloatWeight>(
    backend: B,
    noise: &mut Noise,
    (units, inputs): (usize, usize),
    store: impl Fn(f32) -> W,
) -> u32 {
    let lanes = units.next_multiple_of(8);
    let mut weights = Aligned([store(0.0); 3 * LANES * 24]);
    weights.0.fill_with(|| store(noise.float()));
    let (mut bias, mut x, mut first) = ([0.0; 4 * LANES], Aligned([store(0.0); COLUMNS]), [0.0; LANES]);
    bias.fill_with(|| noise.float());
    x.0.fill_with(|| store(noise.float()));
    first.iter_mut().take(units).for_each(|h| *h = noise.float());
    let Some(x) = x.0.get(..inputs) else { return 20 };
    let mut scratch = [0.0; 4 * LANES + COLUMNS];
    let matrix = |columns| weights.0.get(..3 * lanes * columns);
    if let (Some(of_x), Some(of_h), Some((bias_n, bias))) =
        (matrix(inputs), matrix(units), bias.split_at_checked(lanes))
    {
        let Some(bias) = bias.get(..3 * lanes) else { return 20 };
        for (reset, bias_n) in [(gru::Reset::After, bias_n), (gru::Reset::Before, &[][..])] {
            let kernel = RowsFloat { weights: of_x, bias };
            let layer = gru::GruFloat { kernel, recurrent: RowsFloat { weights: of_h, bias: bias_n }, reset };
            let (mut expected, mut h) = (first, first);
            for _ in 0..2 {
                Scalar.gru_float(&layer, FeaturesFloat::Row(x), &mut scratch, cut(&mut expected, lanes));
                backend.gru_float(&layer, FeaturesFloat::Row(x), &mut scratch, cut(&mut h, lanes));
            }
            // A step that does nothing would agree with itself.
            if !close(&h, &expected, SUM_BOUND) || h == first {
                return 20;
            }
        }
    }
    let (Some(weights), Some(bias)) = (weights.0.get(..lanes * (units + inputs)), bias.get(..lanes)) else { return 21 };
    let layer = rnn::RnnFloat { rows: RowsFloat { weights, bias }, activation: rnn::Activation::Tanh };
    let (mut expected, mut h) = (first, first);
    for _ in 0..2 {
        Scalar.rnn_float(&layer, FeaturesFloat::Row(x), &mut scratch, cut(&mut expected, lanes));
        backend.rnn_float(&layer, FeaturesFloat::Row(x), &mut scratch, cut(&mut h, lanes));
    }
    if close(&h, &expected, SUM_BOUND) && h != first { 0 } else { 21 }
}

/// Rows with biases and onto sums; what lies behind the rows stays as it is.
fn products<B: Backend, W: FloatWeight>(
    backend: B,
    noise: &mut Noise,
    rows: usize,
    columns: usize,
    store: impl Fn(f32) -> W,
) -> u32 {
    let mut weights = Aligned([store(0.0); ROWS * 19]);
    weights.0.fill_with(|| store(noise.float()));
    let (mut bias, mut x) = ([0.0; ROWS], [0.0; COLUMNS]);
    bias.fill_with(|| noise.float());
    x.fill_with(|| noise.float());
    let (Some(weights), Some(bias), Some(x)) = (weights.0.get(..rows * columns), bias.get(..rows), x.get(..columns))
    else {
        return 18;
    };
    let matrix = RowsFloat { weights, bias };
    let (mut expected, mut out) = ([7.0; ROWS + 1], [7.0; ROWS + 1]);
    Scalar.rows_float(&matrix, x, cut(&mut expected, rows));
    backend.rows_float(&matrix, x, cut(&mut out, rows));
    if !close(&out, &expected, SUM_BOUND) {
        return 18;
    }
    Scalar.add_rows_float(&matrix, x, cut(&mut expected, rows));
    backend.add_rows_float(&matrix, x, cut(&mut out, rows));
    if close(&out, &expected, SUM_BOUND) { 0 } else { 19 }
}

/// The activations over floats of all sizes, and at the ends of what they promise.
fn activations<B: Backend>(backend: B) -> u32 {
    let sigmoid = |x: f32| {
        let mut x = [x];
        backend.sigmoid_f32(&mut x);
        x[0]
    };
    let tanh = |x: f32| {
        let mut x = [x];
        backend.tanh_f32(&mut x);
        x[0]
    };
    for bits in (0..=87.0_f32.to_bits()).step_by(STRIDE) {
        let x = f32::from_bits(bits);
        let (above, below) = sigmoid64(x);
        for (y, truth) in [(sigmoid(x), above), (sigmoid(-x), below)] {
            if !is_inside(y, truth, SIGMOID_F32_MAX_ERROR, SIGMOID_F32_MAX_ERROR_ULP) {
                return 22;
            }
        }
        if tanh(-x) != -tanh(x)
            || x <= 16.0 && !is_inside(tanh(x), tanh64(x), TANH_F32_MAX_ERROR, TANH_F32_MAX_ERROR_ULP)
        {
            return 23;
        }
    }
    for x in [87.5, 1e4, 4e6, 2e7, 1e15, 1e30, f32::MAX, f32::INFINITY] {
        if sigmoid(x) != 1.0 || !(sigmoid(-x) > 0.0 && sigmoid(-x) < 1e-37) {
            return 22;
        }
        if tanh(x) != 1.0 || tanh(-x) != -1.0 {
            return 23;
        }
    }
    if !sigmoid(f32::NAN).is_nan() || sigmoid(-0.0) != 0.5 {
        return 22;
    }
    let small = f32::from_bits(3);
    let is_kept = [0.0, -0.0, small, -small, 1e-20].iter().all(|&x| tanh(x).to_bits() == x.to_bits());
    if is_kept && tanh(f32::NAN).is_nan() { 0 } else { 23 }
}

/// Inside both stated errors: absolute, and in units in the last place of the true value.
fn is_inside(y: f32, truth: f64, absolute: f64, ulp: f64) -> bool {
    let error = (f64::from(y) - truth).abs();
    // 2^23 / 2^exponent, and 2^149 for everything below 2^-126.
    let exponent = (truth.to_bits() & 0x7ff << 52).max((1023 - 126) << 52);
    error <= absolute && error * f64::from_bits(((2046 + 23) << 52) - exponent) <= ulp
}

/// e^y for y in [-180, 0], 3e-15 off at most, relatively; the host's tests of the activations hold the same steps to
/// the standard library.
fn exp64(y: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    let shifted = y * core::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = y - n * 0.693_147_180_369_123_8 - n * 1.908_214_929_270_587_7e-10;
    let (mut p, mut term) = (1.0, 1.0);
    for k in 1..=12 {
        term *= r / f64::from(k);
        p += term;
    }
    p * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

/// Below it power series stand for the exponential, whose rounding would be too much for tiny values: what they leave
/// out is less than 1e-18 of the value.
const SMALL: f32 = 1.0 / 512.0;

/// The true sigmoid of `x >= 0` and that of `-x`.
fn sigmoid64(x: f32) -> (f64, f64) {
    let (small, x) = (x < SMALL, f64::from(x));
    if small {
        let square = x * x;
        let odd = x * (0.25 - square * (1.0 / 48.0 - square / 480.0));
        return (0.5 + odd, 0.5 - odd);
    }
    let e = exp64(-x);
    let above = 1.0 / (1.0 + e);
    (above, e * above)
}

/// The true tanh of `x >= 0`.
fn tanh64(x: f32) -> f64 {
    let (small, x) = (x < SMALL, f64::from(x));
    if small {
        let square = x * x;
        return x - x * square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0)));
    }
    let e = exp64(-2.0 * x);
    (1.0 - e) / (1.0 + e)
}
