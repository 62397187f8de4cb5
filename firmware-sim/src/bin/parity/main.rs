//! Holds this chip's backend to the scalar one on the chip itself, kernel by kernel, over random layers of many shapes and over slices of all
//! short lengths and places: integers bit for bit, floats inside a bound.
//!
//! The exit status is 0, or the number of the check that failed (see [`run`]). 101 and 102 are a panic and a fault.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
compile_error!("the feature `device` is for the chips' targets: leave it out on a host");

#[cfg(feature = "float")]
mod float;

use latch_engine::kernels::cell::{gru, lstm, rnn};
use latch_engine::kernels::{
    AnyBackend, Backend, Features, IntWeight, Packed, RowsI8, RowsI16, Scalar, WithBackend, scalar,
};
use latch_firmware_sim::device::{self, entry};

/// Most units and most columns of a layer here; together they keep the weights in the RAM of the smallest board.
const UNITS: usize = 17;
const COLUMNS: usize = 48;
const WEIGHTS: usize = 4 * 720;

/// Units and inputs: on both sides of every width that a backend works in, with one unit and with one input.
const SHAPES: [(usize, usize); 16] = [
    (1, 1),
    (1, 2),
    (2, 2),
    (3, 2),
    (1, 17),
    (5, 9),
    (7, 6),
    (7, 40),
    (8, 3),
    (8, 8),
    (9, 20),
    (12, 20),
    (15, 1),
    (16, 16),
    (16, 25),
    (17, 23),
];

#[entry]
fn main() -> ! {
    device::exit(AnyBackend::detect().run(Checks))
}

/// All checks, on one backend.
struct Checks;

impl WithBackend for Checks {
    type Output = u32;

    fn run<B: Backend>(self, backend: B) -> u32 {
        run(backend)
    }
}

/// 1 the integer step, 2 what it leaves of `xh`, 3 widening, 4 narrowing, 5 sums, 6 maxima, 7 the dot product, 8 and 9 the float step with
/// f32 and with f16, 10 rows, 11 what they leave of their columns, 12 rows onto sums, 13 the GRU, 14 the GRU with its
/// reset gate before the product, 15 the simple
/// cell, 16 sigmoid, 17 tanh; in floats 18 rows, 19 rows onto sums, 20 the GRU, 21 the simple cell, 22 sigmoid, 23 tanh; of int16 24 the step, 25 rows,
/// 26 rows onto sums, 27 the GRU, 28 the simple cell; of four bits 29 the step, 30 rows and rows onto sums.
///
/// A build with floats checks these, and one without them the integers: both together outgrow the firmware's part of the flash.
fn run<B: Backend>(backend: B) -> u32 {
    let mut noise = Noise(1);
    #[cfg(feature = "float")]
    let failed = float::run(backend, &mut noise);
    #[cfg(not(feature = "float"))]
    let failed = integers(backend, &mut noise);
    failed
}

/// The checks of integers.
#[cfg_attr(feature = "float", allow(dead_code, reason = "a build with floats checks these"))]
fn integers<B: Backend>(backend: B, noise: &mut Noise) -> u32 {
    for (units, inputs) in SHAPES {
        for fill in 0..3 {
            for shift in [1, 12, 16, 30] {
                let mut failed = step(backend, noise, units, inputs, fill, shift);
                if failed == 0 {
                    failed = words(backend, noise, (units, inputs), fill, shift);
                }
                if failed == 0 {
                    failed = rows_and_cells(backend, noise, (units, inputs), fill, shift);
                }
                if failed != 0 {
                    return failed;
                }
            }
        }
    }
    for round in 0..200 {
        let failed = slices(backend, noise, round % 33, round / 33 % 3);
        if failed != 0 {
            return failed;
        }
    }
    0
}

/// Memory that starts on a multiple of 16, as the tensors of an image do.
#[repr(align(16))]
struct Aligned<T>(T);

/// One step on both, from the same layer, columns and cell states. The layers keep the contract of [`RowsI8`].
fn step<B: Backend>(backend: B, noise: &mut Noise, units: usize, inputs: usize, fill: u32, shift: u32) -> u32 {
    let columns = (units + inputs).next_multiple_of(4);
    let mut weights = Aligned([0_i8; WEIGHTS]);
    let Some(weights) = weights.0.get_mut(..4 * units * columns) else { return 1 };
    weights.fill_with(|| match fill {
        0 => noise.next() as i8,
        1 => -128,
        _ => [-128, 127][noise.next() as usize & 1],
    });
    let (mut multiplier, mut bias) = (Aligned([0_u16; 4 * UNITS]), Aligned([0_i32; 4 * UNITS]));
    // 48 columns of at most 128 * 128, times this multiplier, are at most half of the range; the bias takes less than the other half.
    multiplier.0.fill_with(|| noise.next() as u16 % 1_300);
    bias.0.fill_with(|| noise.next() as i32 >> 2);
    let mut xh = Aligned([0_i16; COLUMNS]);
    xh.0.iter_mut().take(units + inputs).for_each(|x| *x = i16::from(noise.next() as i8));
    let mut c = [0_i32; UNITS];
    c.fill_with(|| noise.next() as i32 >> (noise.next() % 12));

    let (mut expected_h, mut expected_c, before) = ([0_i16; UNITS], c, xh.0);
    let mut h = [0_i16; UNITS];
    let (Some(multiplier), Some(bias)) = (multiplier.0.get(..4 * units), bias.0.get(..4 * units)) else { return 1 };
    let gates = RowsI8 { weights, multiplier, bias, shift, packed: Packed::NONE };
    lstm::step(&gates, cut(&mut xh.0, columns), cut(&mut expected_h, units), cut(&mut expected_c, units));
    backend.lstm_i8(&gates, cut(&mut xh.0, columns), cut(&mut h, units), cut(&mut c, units));
    if h != expected_h || c != expected_c {
        return 1;
    }
    // The first half of the bytes as weights of four bits.
    let Some(weights) = weights.get(..2 * units * columns) else { return 1 };
    let gates = RowsI8 { weights, ..gates };
    let (expected, found) = (cut(&mut expected_h, units), cut(&mut h, units));
    Scalar.lstm_i4(&gates, cut(&mut xh.0, columns), expected, cut(&mut expected_c, units), false);
    backend.lstm_i4(&gates, cut(&mut xh.0, columns), found, cut(&mut c, units), false);
    if h != expected_h || c != expected_c {
        return 29;
    }
    if xh.0 == before { 0 } else { 2 }
}

/// Rows by themselves, a GRU and a simple cell on both, from the same numbers.
fn rows_and_cells<B: Backend>(
    backend: B,
    noise: &mut Noise,
    (units, inputs): (usize, usize),
    fill: u32,
    shift: u32,
) -> u32 {
    const ROWS: usize = (3 * UNITS).next_multiple_of(4);
    const SCRATCH: usize = 128;
    let mut weights = Aligned([0_i8; WEIGHTS]);
    weights.0.fill_with(|| match fill {
        0 => noise.next() as i8,
        1 => -128,
        _ => [-128, 127][noise.next() as usize & 1],
    });
    let (mut multiplier, mut bias) = (Aligned([0_u16; ROWS]), [0_i32; ROWS]);
    // Half of what one step's rows may have: the sums of two kernels come together.
    multiplier.0.fill_with(|| noise.next() as u16 % 650);
    bias.fill_with(|| noise.next() as i32 >> 3);
    let mut features = [0_i8; COLUMNS];
    features.fill_with(|| noise.next() as i8);
    let mut first = [0_i16; UNITS];
    first.fill_with(|| (noise.next() as i16).max(-32767));

    let all = (3 * units).next_multiple_of(4);
    let (of_x, of_h) = (inputs.next_multiple_of(4), units.next_multiple_of(4));
    let (Some(weights_x), Some(weights_h)) = (weights.0.get(..all * of_x), weights.0.get(..all * of_h)) else {
        return 0; // too large for the smallest board, and its shape is like that of another
    };
    let (Some(multiplier), Some(bias)) = (multiplier.0.get(..all), bias.get(..all)) else { return 10 };
    let kernel = RowsI8 { weights: weights_x, multiplier, bias, shift, packed: Packed::NONE };

    let mut x = Aligned([0_i16; COLUMNS]);
    scalar::widen_i8(&features, &mut x.0);
    let before = x.0;
    let (mut expected, mut out) = ([7_i32; ROWS], [7_i32; ROWS]);
    scalar::rows(&kernel, cut(&mut x.0, of_x), cut(&mut expected, all));
    backend.rows_i8(&kernel, cut(&mut x.0, of_x), cut(&mut out, all));
    if out != expected {
        return 10;
    }
    if x.0 != before {
        return 11;
    }
    Scalar.add_rows_i8(&kernel, cut(&mut x.0, of_x), cut(&mut expected, all));
    backend.add_rows_i8(&kernel, cut(&mut x.0, of_x), cut(&mut out, all));
    if out != expected {
        return 12;
    }

    let Some(nibbles) = weights_x.get(..weights_x.len() / 2) else { return 30 };
    let narrow = RowsI8 { weights: nibbles, ..kernel };
    Scalar.rows_i4(&narrow, cut(&mut x.0, of_x), cut(&mut expected, all));
    backend.rows_i4(&narrow, cut(&mut x.0, of_x), cut(&mut out, all));
    Scalar.add_rows_i4(&narrow, cut(&mut x.0, of_x), cut(&mut expected, all));
    backend.add_rows_i4(&narrow, cut(&mut x.0, of_x), cut(&mut out, all));
    if out != expected {
        return 30;
    }

    let (Some(x), Some(bias_n)) = (features.get(..inputs), bias.get(..units)) else { return 13 };
    for (reset, bias, failed) in [(gru::Reset::After, bias_n, 13), (gru::Reset::Before, &[][..], 14)] {
        let recurrent = RowsI8 { weights: weights_h, bias, ..kernel };
        let layer = gru::GruI8 { kernel, recurrent, reset };
        let (mut expected, mut h, mut scratch) = (first, first, [0; SCRATCH]);
        for _ in 0..2 {
            Scalar.gru_i8(&layer, Features::Row(x), &mut scratch, cut(&mut expected, units));
            backend.gru_i8(&layer, Features::Row(x), &mut scratch, cut(&mut h, units));
        }
        // A step that does nothing would agree with itself.
        if h != expected || h == first {
            return failed;
        }
    }

    let columns = (inputs + units).next_multiple_of(4);
    let Some(weights) = weights.0.get(..of_h * columns) else { return 0 };
    let (Some(multiplier), Some(bias)) = (multiplier.get(..of_h), bias.get(..of_h)) else { return 0 };
    for activation in [rnn::Activation::Tanh, rnn::Activation::Relu] {
        let layer = rnn::RnnI8 { rows: RowsI8 { weights, multiplier, bias, ..kernel }, activation };
        let (mut expected, mut h, mut scratch) = (first, first, [0; SCRATCH]);
        for _ in 0..2 {
            Scalar.rnn_i8(&layer, Features::Row(x), &mut scratch, cut(&mut expected, units));
            backend.rnn_i8(&layer, Features::Row(x), &mut scratch, cut(&mut h, units));
        }
        if h != expected || h == first {
            return 15;
        }
    }
    0
}

/// int16: a step, rows, a GRU and a simple cell on both, from the same numbers. The rows keep the contract of [`RowsI16`].
fn words<B: Backend>(backend: B, noise: &mut Noise, (units, inputs): (usize, usize), fill: u32, shift: u32) -> u32 {
    const ROWS: usize = 4 * UNITS;
    // As many columns of such weights sum up to 65,520.
    const MOST: i16 = 65_535_u32.div_euclid(COLUMNS as u32) as i16;
    let mut weights = Aligned([0_i16; WEIGHTS / 2]);
    weights.0.fill_with(|| match fill {
        0 => (noise.next() % (2 * MOST as u32 + 1)) as i16 - MOST,
        1 => MOST,
        _ => [-MOST, MOST][noise.next() as usize & 1],
    });
    let (mut multiplier, mut bias) = (Aligned([0_u16; ROWS]), [0_i32; ROWS]);
    // Two rows of 65,535 times this are at most half of the range; the bias takes less than a quarter.
    multiplier.0.fill_with(|| noise.next() as u16 % 16_384);
    bias.fill_with(|| noise.next() as i32 >> 3);
    let mut x = Aligned([0_i16; COLUMNS]);
    x.0.fill_with(|| if fill == 1 { i16::MIN } else { noise.next() as i16 });
    let (mut first, mut c) = ([0_i16; UNITS], [0_i32; UNITS]);
    first.fill_with(|| (noise.next() as i16).max(-32767));
    c.fill_with(|| noise.next() as i32 >> (noise.next() % 12));
    let blocks = |columns: usize| columns.next_multiple_of(i16::COLUMNS);
    let (joined, of_x, of_h) = (blocks(units + inputs), blocks(inputs), blocks(units));

    // Columns beyond the layer's have weights here, which the reference reads as well.
    let view = |rows: usize, columns: usize, biases: usize| {
        let tensors = (weights.0.get(..rows * columns), multiplier.0.get(..rows), bias.get(..biases));
        let (Some(weights), Some(multiplier), Some(bias)) = tensors else { return None };
        Some(RowsI16 { weights, multiplier, bias, shift, packed: Packed::NONE })
    };
    if let (Some(gates), Some(xh)) = (view(4 * units, joined, 4 * units), x.0.get(..joined)) {
        let (mut expected_h, mut expected_c, mut h, mut c) = ([0_i16; UNITS], c, [0_i16; UNITS], c);
        lstm::step(&gates, xh, cut(&mut expected_h, units), cut(&mut expected_c, units));
        backend.lstm_i16(&gates, xh, cut(&mut h, units), cut(&mut c, units));
        if h != expected_h || c != expected_c {
            return 24;
        }
    }
    let all = (3 * units).next_multiple_of(4);
    let (Some(kernel), Some(recurrent)) = (view(all, of_x, all), view(all, of_h, units)) else {
        return 0; // too large for the smallest board, and its shape is like that of another
    };
    let (Some(columns), Some(x)) = (x.0.get(..of_x), x.0.get(..inputs)) else { return 25 };
    let (mut expected, mut out) = ([7_i32; ROWS], [7_i32; ROWS]);
    scalar::rows(&kernel, columns, cut(&mut expected, all));
    backend.rows_i16(&kernel, columns, cut(&mut out, all));
    if out != expected {
        return 25;
    }
    Scalar.add_rows_i16(&kernel, columns, cut(&mut expected, all));
    backend.add_rows_i16(&kernel, columns, cut(&mut out, all));
    if out != expected {
        return 26;
    }
    // A step that does nothing would agree with itself; one whose gates are all at their ends may stay where it was.
    let moves = shift == 16 && fill == 0;
    for reset in [gru::Reset::After, gru::Reset::Before] {
        let bias = if reset == gru::Reset::After { recurrent.bias } else { &[] };
        let layer = gru::GruI16 { kernel, recurrent: RowsI16 { bias, ..recurrent }, reset };
        let (mut expected, mut h, mut scratch) = (first, first, [0; 128]);
        gru::step(Scalar, &layer, Features::Row(x), &mut scratch, cut(&mut expected, units));
        gru::step(backend, &layer, Features::Row(x), &mut scratch, cut(&mut h, units));
        if h != expected || moves && h == first {
            return 27;
        }
    }
    let rows = units.next_multiple_of(4);
    let Some(rows) = view(rows, joined, rows) else { return 0 };
    let layer = rnn::RnnI16 { rows, activation: rnn::Activation::Tanh };
    let (mut expected, mut h, mut scratch) = (first, first, [0; 128]);
    rnn::step(Scalar, &layer, Features::Row(x), &mut scratch, cut(&mut expected, units));
    rnn::step(backend, &layer, Features::Row(x), &mut scratch, cut(&mut h, units));
    if h != expected || moves && h == first { 28 } else { 0 }
}

/// The first elements; all where there are fewer.
fn cut<T>(slice: &mut [T], count: usize) -> &mut [T] {
    let count = count.min(slice.len());
    &mut slice[..count]
}

/// The kernels over slices of a length, from a place on that is not aligned to more than their elements are.
fn slices<B: Backend>(backend: B, noise: &mut Noise, count: usize, place: usize) -> u32 {
    const ROOM: usize = 40;
    let (mut bytes, mut first, mut second) = ([0_i8; ROOM], [0_i16; ROOM], [0_i16; ROOM]);
    bytes.fill_with(|| noise.next() as i8);
    first.fill_with(|| noise.next() as i16);
    // The extremes are where saturation and signs go wrong.
    second.fill_with(|| [i16::MIN, i16::MAX, 0, -1, noise.next() as i16][noise.next() as usize % 5]);
    let range = place..place + count;
    let (Some(x), Some(v), Some(w)) = (bytes.get(range.clone()), first.get(range.clone()), second.get(range)) else {
        return 3;
    };
    // One element more than is asked for, which must stay as it is.
    let (mut expected, mut out) = ([7_i16; ROOM], [7_i16; ROOM]);
    scalar::widen_i8(x, cut(&mut expected, count));
    backend.widen_i8(x, cut(&mut out, count));
    if out != expected {
        return 3;
    }
    scalar::narrow_q15(w, cut(&mut expected, count));
    backend.narrow_q15(w, cut(&mut out, count));
    if out != expected {
        return 4;
    }
    let (mut expected_sums, mut sums) = ([1_i32 << 20; ROOM], [1_i32 << 20; ROOM]);
    scalar::add_i16(cut(&mut expected_sums, count), w);
    backend.add_i16(cut(&mut sums, count), w);
    if sums != expected_sums {
        return 5;
    }
    let (mut expected, mut out) = (first, first);
    scalar::max_i16(cut(&mut expected, count), w);
    backend.max_i16(cut(&mut out, count), w);
    if out != expected {
        return 6;
    }
    let (mut expected, mut out) = (first, first);
    scalar::sigmoid_q15(cut(&mut expected, count));
    backend.sigmoid_q15(cut(&mut out, count));
    if out != expected {
        return 16;
    }
    let (mut expected, mut out) = (first, first);
    scalar::tanh_q15(cut(&mut expected, count));
    backend.tanh_q15(cut(&mut out, count));
    if out != expected {
        return 17;
    }
    if backend.dot_i16(v, w) == scalar::dot_i16(v, w) { 0 } else { 7 }
}

/// Xorshift: 32 bits, from products of 32.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// In [-1, 1).
    #[cfg(feature = "float")]
    fn float(&mut self) -> f32 {
        (self.next() >> 8) as f32 / 8_388_608.0 - 1.0
    }
}
