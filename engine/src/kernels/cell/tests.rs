//! Naive cells in 64 bits judge the scalar ones, and the scalar ones judge every other backend.

extern crate std;

use std::format;
use std::string::String;
use std::{vec, vec::Vec};

use half::f16;

use super::super::tests::{Noise, for_every_backend};
use super::super::{Backend, Features, FeaturesFloat, FloatWeight, Packed, RowsFloat, RowsI8, Scalar, activation};
use super::gru::{self, GruFloat, GruI8, Reset};
use super::rnn::{self, Activation, RnnFloat, RnnI8};

/// Inputs and units that other engines got wrong, each with each.
const INPUTS: [usize; 3] = [1, 3, 5];
const UNITS: [usize; 10] = [1, 2, 3, 5, 6, 7, 20, 33, 100, 257];

fn shapes() -> impl Iterator<Item = (usize, usize)> {
    INPUTS.into_iter().flat_map(|inputs| UNITS.into_iter().map(move |units| (inputs, units)))
}

/// Rows as one would write them down, `weights[row][column]`.
struct PlainRows {
    columns: usize,
    weights: Vec<Vec<i8>>,
    multiplier: Vec<u16>,
    bias: Vec<i32>,
    packed: Vec<i8>,
    padded_multiplier: Vec<u16>,
    padded_bias: Vec<i32>,
}

impl PlainRows {
    /// Rows that leave `1 / share` of an i32 to themselves.
    fn new(noise: &mut Noise, rows: usize, columns: usize, share: i64, weight: impl Fn(&mut Noise) -> i8) -> Self {
        let weights: Vec<Vec<i8>> = (0..rows).map(|_| (0..columns).map(|_| weight(noise)).collect()).collect();
        let (mut multiplier, mut bias) = (Vec::new(), Vec::new());
        for row in &weights {
            let room = i64::from(i32::MAX) / share;
            let most = 128 * row.iter().map(|w| i64::from(w.unsigned_abs())).sum::<i64>();
            let m = noise.between(0, (room / most.max(1)).min(65535));
            let rest = room - m * most;
            multiplier.push(m as u16);
            bias.push(noise.between(-rest, rest) as i32);
        }
        let mut rows = PlainRows {
            columns,
            weights,
            packed: Vec::new(),
            padded_multiplier: multiplier.clone(),
            padded_bias: bias.clone(),
            multiplier,
            bias,
        };
        rows.pack();
        rows
    }

    /// `[row / 4][K4 / 4][4 rows][4 columns]`
    fn pack(&mut self) {
        let rows = self.weights.len().next_multiple_of(4);
        for quad in (0..rows).step_by(4) {
            for first in (0..self.columns.next_multiple_of(4)).step_by(4) {
                for row in quad..quad + 4 {
                    let weight = |column| self.weights.get(row).and_then(|row: &Vec<i8>| row.get(column));
                    self.packed.extend((first..first + 4).map(|column| weight(column).copied().unwrap_or(0)));
                }
            }
        }
        self.padded_multiplier.resize(rows, 0);
        self.padded_bias.resize(rows, 0);
    }

    fn view(&self, shift: u32) -> RowsI8<'_> {
        RowsI8 {
            weights: &self.packed,
            multiplier: &self.padded_multiplier,
            bias: &self.padded_bias,
            shift,
            packed: Packed::NONE,
        }
    }

    /// The sum of one row without its bias.
    fn product(&self, row: usize, x: &[i16]) -> i64 {
        let sum: i64 = self.weights[row].iter().zip(x).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
        sum * i64::from(self.multiplier[row])
    }
}

fn q12(sum: i64, shift: u32) -> i16 {
    assert!(i32::try_from(sum).is_ok(), "the bound at the door keeps sums inside 32 bits: {sum}");
    (sum.div_euclid(1 << shift)).clamp(-32768, 32767) as i16
}

fn narrow(h: i16) -> i16 {
    ((i32::from(h) + 128) >> 8).min(127) as i16
}

/// The equations of [`gru::step`] in 64 bits with real floors.
fn naive_gru(kernel: &PlainRows, recurrent: &PlainRows, reset: Reset, shift: u32, x: &[i16], h: &mut [i16]) {
    let units = h.len();
    let last: Vec<i16> = h.iter().map(|&h| narrow(h)).collect();
    let gate = |row: usize| {
        activation::sigmoid_q15(q12(
            kernel.product(row, x) + recurrent.product(row, &last) + i64::from(kernel.bias[row]),
            shift,
        ))
    };
    let (z, r): (Vec<i16>, Vec<i16>) = (0..units).map(|unit| (gate(unit), gate(units + unit))).unzip();
    let scaled = |r: i16, value: i16| (i64::from(r) * i64::from(value) + (1 << 14)).div_euclid(1 << 15) as i16;
    let reset_h: Vec<i16> = r.iter().zip(&*h).map(|(&r, &h)| narrow(scaled(r, h))).collect();
    for unit in 0..units {
        let row = 2 * units + unit;
        let of_x = kernel.product(row, x) + i64::from(kernel.bias[row]);
        let n = match reset {
            Reset::After => {
                let s = q12(recurrent.product(row, &last) + i64::from(recurrent.bias[row]), shift);
                let sum = i64::from(q12(of_x, shift)) + i64::from(scaled(r[unit], s));
                activation::tanh_q15(sum.clamp(-32768, 32767) as i16)
            }
            Reset::Before => activation::tanh_q15(q12(of_x + recurrent.product(row, &reset_h), shift)),
        };
        let (z, n, last) = (i64::from(z[unit]), i64::from(n), i64::from(h[unit]));
        h[unit] = i16::try_from(n + (z * (last - n) + (1 << 14)).div_euclid(1 << 15)).expect("h stays in its format");
    }
}

fn naive_rnn(rows: &PlainRows, activation: Activation, shift: u32, x: &[i16], h: &mut [i16]) {
    let columns: Vec<i16> = x.iter().copied().chain(h.iter().map(|&h| narrow(h))).collect();
    for (unit, h) in h.iter_mut().enumerate() {
        let sum = q12(rows.product(unit, &columns) + i64::from(rows.bias[unit]), shift);
        *h = if activation == Activation::Tanh { activation::tanh_q15(sum) } else { sum.max(0) };
    }
}

/// The recurrent rows as the step takes them: the biases are those of n, or none.
fn recurrent_view(rows: &PlainRows, units: usize, reset: Reset, shift: u32) -> RowsI8<'_> {
    let bias = if reset == Reset::After { &rows.bias[2 * units..3 * units] } else { &[] };
    RowsI8 { bias, ..rows.view(shift) }
}

/// Four steps of both resets on every backend against the naive cell.
fn gru_agrees(noise: &mut Noise, inputs: usize, units: usize, shift: u32, weight: impl Fn(&mut Noise) -> i8 + Copy) {
    let kernel = PlainRows::new(noise, 3 * units, inputs, 2, weight);
    let recurrent = PlainRows::new(noise, 3 * units, units, 2, weight);
    let steps: Vec<Vec<i8>> = (0..4).map(|_| (0..inputs).map(|_| noise.next() as i8).collect()).collect();
    let first: Vec<i16> = (0..units).map(|_| noise.between(-32767, 32767) as i16).collect();
    for reset in [Reset::After, Reset::Before] {
        let mut h = first.clone();
        let expected: Vec<Vec<i16>> = steps
            .iter()
            .map(|x| {
                let x: Vec<i16> = x.iter().map(|&x| i16::from(x)).collect();
                naive_gru(&kernel, &recurrent, reset, shift, &x, &mut h);
                h.clone()
            })
            .collect();
        let gru =
            GruI8 { kernel: kernel.view(shift), recurrent: recurrent_view(&recurrent, units, reset, shift), reset };
        for_every_backend!(backend => {
            let (mut h, mut scratch) = (first.clone(), vec![0x5a5a_5a5a; gru::scratch_i8(inputs, units)]);
            for (x, expected) in steps.iter().zip(&expected) {
                backend.gru_i8(&gru, Features::Row(x), &mut scratch, &mut h);
                assert_eq!(&h, expected, "{}, {reset:?}, {units} units, {inputs} inputs", backend.name());
            }
        });
    }
}

fn rnn_agrees(noise: &mut Noise, inputs: usize, units: usize, shift: u32, weight: impl Fn(&mut Noise) -> i8 + Copy) {
    let rows = PlainRows::new(noise, units, inputs + units, 1, weight);
    let steps: Vec<Vec<i8>> = (0..4).map(|_| (0..inputs).map(|_| noise.next() as i8).collect()).collect();
    for activation in [Activation::Tanh, Activation::Relu] {
        let mut h = vec![0; units];
        let expected: Vec<Vec<i16>> = steps
            .iter()
            .map(|x| {
                let x: Vec<i16> = x.iter().map(|&x| i16::from(x)).collect();
                naive_rnn(&rows, activation, shift, &x, &mut h);
                h.clone()
            })
            .collect();
        let rnn = RnnI8 { rows: rows.view(shift), activation };
        for_every_backend!(backend => {
            let (mut h, mut scratch) = (vec![0; units], vec![0x5a5a_5a5a; rnn::scratch_i8(inputs, units)]);
            for (x, expected) in steps.iter().zip(&expected) {
                backend.rnn_i8(&rnn, Features::Row(x), &mut scratch, &mut h);
                assert_eq!(&h, expected, "{}, {activation:?}, {units} units, {inputs} inputs", backend.name());
            }
        });
    }
}

#[test]
fn every_backend_computes_the_naive_integer_gru_bit_for_bit() {
    let noise = &mut Noise(1);
    for (inputs, units) in shapes() {
        for shift in [1, 14, 17] {
            gru_agrees(noise, inputs, units, shift, |noise| noise.next() as i8);
            gru_agrees(noise, inputs, units, shift, |noise| [-128, -127, 127][noise.between(0, 2) as usize]);
        }
    }
    for units in 1..=70 {
        gru_agrees(noise, 1 + units % 9, units, 16, |noise| noise.next() as i8);
    }
}

#[test]
fn every_backend_reads_hidden_features_into_the_integer_gru_as_the_reference_does() {
    let noise = &mut Noise(9);
    for units in [16, 32, 48, 112] {
        for inputs in [4, 8, 12, 36] {
            let kernel = PlainRows::new(noise, 3 * units, inputs, 2, |noise| noise.next() as i8);
            let recurrent = PlainRows::new(noise, 3 * units, units, 2, |noise| noise.next() as i8);
            let recurrent_rows = recurrent_view(&recurrent, units, Reset::After, 15);
            let gru = GruI8 { kernel: kernel.view(15), recurrent: recurrent_rows, reset: Reset::After };
            let x: Vec<i16> = (0..inputs).map(|_| noise.next() as i16).collect();
            let first: Vec<i16> = (0..units).map(|_| noise.next() as i16).collect();
            let mut scratch = vec![0; gru::scratch_i8(inputs, units)];
            let mut expected = first.clone();
            Scalar.gru_i8(&gru, Features::Hidden(&x), &mut scratch, &mut expected);
            for_every_backend!(backend => {
                let mut h = first.clone();
                backend.gru_i8(&gru, Features::Hidden(&x), &mut scratch, &mut h);
                assert_eq!(h, expected, "{}, {units} units, {inputs} inputs", backend.name());
            });
        }
    }
}

#[test]
fn every_backend_computes_the_naive_simple_integer_cell_bit_for_bit() {
    let noise = &mut Noise(2);
    for (inputs, units) in shapes() {
        for shift in [1, 14, 17] {
            rnn_agrees(noise, inputs, units, shift, |noise| noise.next() as i8);
            rnn_agrees(noise, inputs, units, shift, |noise| [-128, -127, 127][noise.between(0, 2) as usize]);
        }
    }
}

#[test]
fn features_computed_ahead_give_the_bits_of_the_whole_gru_step() {
    let noise = &mut Noise(3);
    for (inputs, units) in shapes() {
        let kernel = PlainRows::new(noise, 3 * units, inputs, 2, |noise| noise.next() as i8);
        let recurrent = PlainRows::new(noise, 3 * units, units, 2, |noise| noise.next() as i8);
        let x: Vec<i8> = (0..inputs).map(|_| noise.next() as i8).collect();
        for reset in [Reset::After, Reset::Before] {
            let gru = GruI8 { kernel: kernel.view(15), recurrent: recurrent_view(&recurrent, units, reset, 15), reset };
            let mut columns = vec![0; inputs.next_multiple_of(4)];
            Scalar.widen_i8(&x, &mut columns[..inputs]);
            let mut ready = vec![0; kernel.padded_bias.len()];
            Scalar.rows_i8(&gru.kernel, &mut columns, &mut ready);
            let ahead = GruI8 { kernel: RowsI8 { weights: &[], bias: &ready, ..gru.kernel }, ..gru };
            for_every_backend!(backend => {
                let (mut whole, mut parts) = (vec![77; units], vec![77; units]);
                let mut scratch = vec![0; gru::scratch_i8(inputs, units)];
                backend.gru_i8(&gru, Features::Row(&x), &mut scratch, &mut whole);
                backend.gru_i8(&ahead, Features::Row(&[]), &mut scratch, &mut parts);
                assert_eq!(whole, parts, "{}", backend.name());
            });
        }
    }
}

#[test]
fn four_bit_cells_have_the_bits_of_the_widened_ones() {
    use super::super::nibbles;

    let nibbles_of = |weights: &[i8]| -> Vec<i8> {
        let pair = |below: i8, above: i8| ((below as u8 >> 4) | (above as u8 & 0xF0)) as i8;
        weights.as_chunks::<16>().0.iter().flat_map(|w| (0..8).map(|at| pair(w[at], w[at + 8]))).collect()
    };
    let noise = &mut Noise(4);
    let weight = |noise: &mut Noise| (noise.next() as i8) & !15;
    for (inputs, units) in shapes() {
        let kernel = PlainRows::new(noise, 3 * units, inputs, 2, weight);
        let recurrent = PlainRows::new(noise, 3 * units, units, 2, weight);
        let simple = PlainRows::new(noise, units, inputs + units, 1, weight);
        let (kernel_nibbles, recurrent_nibbles) = (nibbles_of(&kernel.packed), nibbles_of(&recurrent.packed));
        let simple_nibbles = nibbles_of(&simple.packed);
        // Every weight the lowest or the highest in some of the layers: the sums are the furthest from zero.
        let end = |noise: &mut Noise| [-128, 112, weight(noise)][units % 3];
        let lstm = PlainRows::new(noise, 4 * units, inputs + units, 1, end);
        let lstm_nibbles = nibbles_of(&lstm.packed);
        let first: Vec<i32> = (0..units).map(|_| noise.next() as i32).collect();
        let x: Vec<i8> = (0..inputs).map(|_| if units % 3 < 2 { -128 } else { noise.next() as i8 }).collect();
        for_every_backend!(backend => {
            for reset in [Reset::After, Reset::Before] {
                let wide = GruI8 {
                    kernel: kernel.view(15),
                    recurrent: recurrent_view(&recurrent, units, reset, 15),
                    reset,
                };
                let gru = GruI8 {
                    kernel: RowsI8 { weights: &kernel_nibbles, ..wide.kernel },
                    recurrent: RowsI8 { weights: &recurrent_nibbles, ..wide.recurrent },
                    reset,
                };
                let (mut expected, mut found) = (vec![-9; units], vec![-9; units]);
                let mut scratch = vec![0; gru::scratch_i8(inputs, units)];
                backend.gru_i8(&wide, Features::Row(&x), &mut scratch, &mut expected);
                nibbles::gru_step(backend, &gru, Features::Row(&x), &mut scratch, &mut found);
                assert_eq!(found, expected, "{}", backend.name());
            }
            let (wide, mut columns) = (lstm.view(15), vec![0; (inputs + units).next_multiple_of(4)]);
            let narrow = RowsI8 { weights: &lstm_nibbles, ..wide };
            let ((mut h, mut c), (mut found_h, mut found_c)) = ((vec![-9; units], first.clone()), (vec![-9; units], first.clone()));
            for odd in [false, true] {
                Scalar.step_i8(&wide, Features::Row(&x), &mut columns, &mut h, &mut c, odd);
                backend.step_i4(&narrow, Features::Row(&x), &mut columns, &mut found_h, &mut found_c, odd);
                assert_eq!((&found_h, &found_c), (&h, &c), "{}", backend.name());
            }
            let wide = RnnI8 { rows: simple.view(15), activation: Activation::Tanh };
            let rnn = RnnI8 { rows: RowsI8 { weights: &simple_nibbles, ..wide.rows }, ..wide };
            let (mut expected, mut found) = (vec![-9; units], vec![-9; units]);
            let mut scratch = vec![0; rnn::scratch_i8(inputs, units)];
            backend.rnn_i8(&wide, Features::Row(&x), &mut scratch, &mut expected);
            nibbles::rnn_step(backend, &rnn, Features::Row(&x), &mut scratch, &mut found);
            assert_eq!(found, expected, "{}", backend.name());
        });
    }
}

/// FNV-1a over hidden states.
fn digest(states: &[i16]) -> u64 {
    let bytes = states.iter().flat_map(|h| h.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn weights_and_inputs_at_both_ends_over_2048_columns_have_one_digest_on_every_backend() {
    let ends = |noise: &mut Noise| [-128, -127, 127][noise.between(0, 2) as usize];
    for (inputs, units) in [(2044, 4), (1024, 1024), (2041, 7), (7, 2041)] {
        let noise = &mut Noise(units as u64);
        // Two rounds of all rows would be slow for the widest shape: its units share the weights of a few.
        let kernel = PlainRows::new(noise, 3 * units, inputs, 2, ends);
        let recurrent = PlainRows::new(noise, 3 * units, units, 2, ends);
        let rows = PlainRows::new(noise, units, inputs + units, 1, ends);
        let x: Vec<i8> = (0..inputs).map(|_| ends(noise)).collect();
        let first: Vec<i16> = (0..units).map(|_| [-32767, 32767][noise.between(0, 1) as usize]).collect();
        let mut found: Vec<(String, [u64; 3])> = Vec::new();
        for_every_backend!(backend => {
            let digests = [Some(Reset::After), Some(Reset::Before), None].map(|reset| {
                let mut h = first.clone();
                for _ in 0..2 {
                    if let Some(reset) = reset {
                        let mut scratch = vec![0; gru::scratch_i8(inputs, units)];
                        let recurrent = recurrent_view(&recurrent, units, reset, 16);
                        let gru = GruI8 { kernel: kernel.view(16), recurrent, reset };
                        backend.gru_i8(&gru, Features::Row(&x), &mut scratch, &mut h);
                    } else {
                        let mut scratch = vec![0; rnn::scratch_i8(inputs, units)];
                        let rnn = RnnI8 { rows: rows.view(16), activation: Activation::Tanh };
                        backend.rnn_i8(&rnn, Features::Row(&x), &mut scratch, &mut h);
                    }
                }
                digest(&h)
            });
            found.push((format!("{}, {inputs} inputs, {units} units", backend.name()), digests));
        });
        for (name, digests) in &found {
            assert_eq!(*digests, found[0].1, "{name}");
        }
    }
}

#[test]
fn the_gru_s_hidden_state_lies_between_the_last_one_and_the_candidate() {
    for z in [11, 1, 16384, 32756, 32757] {
        for n in [-32767, -1, 0, 1, 32767] {
            for last in [-32768, -32767, -2, 0, 5, 32767] {
                let exact = f64::from(n) + f64::from(z) / 32768.0 * f64::from(last - n);
                let h = n + ((z * (last - n) + (1 << 14)) >> 15);
                assert!((f64::from(h) - exact).abs() <= 0.5 && h >= n.min(last) && h <= n.max(last));
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Floats.

/// Rows of floats, `weights[row][column]`, in which every row beyond the units of its gate is zero.
fn float_rows(noise: &mut Noise, gates: usize, units: usize, columns: usize) -> Vec<Vec<f32>> {
    let lanes = units.next_multiple_of(8);
    let scale = (columns as f32).sqrt();
    (0..gates * lanes)
        .map(|row| {
            (0..columns)
                .map(|_| if row % lanes < units { f16::from_f32(noise.float() / scale).to_f32() } else { 0.0 })
                .collect()
        })
        .collect()
}

fn float_biases(noise: &mut Noise, gates: usize, units: usize) -> Vec<f32> {
    let lanes = units.next_multiple_of(8);
    (0..gates * lanes).map(|row| if row % lanes < units { noise.float() } else { 0.0 }).collect()
}

/// `[row / 32][K][32 rows]`, the last block with the rows that are left.
fn pack_float(rows: &[Vec<f32>]) -> Vec<f32> {
    let columns = rows.first().map_or(0, Vec::len);
    rows.chunks(32).flat_map(|block| (0..columns).flat_map(move |k| block.iter().map(move |row| row[k]))).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn product(row: &[f32], x: &[f64]) -> f64 {
    row.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum()
}

struct PlainGru {
    inputs: usize,
    units: usize,
    kernel: Vec<Vec<f32>>,
    recurrent: Vec<Vec<f32>>,
    bias: Vec<f32>,
    bias_n: Vec<f32>,
}

impl PlainGru {
    fn new(noise: &mut Noise, inputs: usize, units: usize) -> Self {
        let (kernel, recurrent) = (float_rows(noise, 3, units, inputs), float_rows(noise, 3, units, units));
        let (bias, bias_n) = (float_biases(noise, 3, units), float_biases(noise, 1, units));
        PlainGru { inputs, units, kernel, recurrent, bias, bias_n }
    }

    /// The equations in f64.
    fn naive(&self, reset: Reset, x: &[f64], h: &mut [f64]) {
        let lanes = self.units.next_multiple_of(8);
        let of_x = |row: usize| product(&self.kernel[row], x) + f64::from(self.bias[row]);
        let gate = |row: usize| sigmoid(of_x(row) + product(&self.recurrent[row], h));
        let (z, r): (Vec<f64>, Vec<f64>) = (0..self.units).map(|unit| (gate(unit), gate(lanes + unit))).unzip();
        let reset_h: Vec<f64> = r.iter().zip(&*h).map(|(r, h)| r * h).collect();
        let n: Vec<f64> = (0..self.units)
            .map(|unit| {
                let row = 2 * lanes + unit;
                match reset {
                    Reset::After => {
                        let s = product(&self.recurrent[row], h) + f64::from(self.bias_n[unit]);
                        (of_x(row) + r[unit] * s).tanh()
                    }
                    Reset::Before => (of_x(row) + product(&self.recurrent[row], &reset_h)).tanh(),
                }
            })
            .collect();
        for ((h, z), n) in h.iter_mut().zip(z).zip(n) {
            *h = n + z * (*h - n);
        }
    }

    /// Five steps on a backend, with weights as they are stored.
    fn run<B: Backend, W: FloatWeight>(
        &self,
        backend: B,
        reset: Reset,
        steps: &[Vec<f32>],
        store: impl Fn(f32) -> W + Copy,
    ) -> Vec<f32> {
        let lanes = self.units.next_multiple_of(8);
        let stored = |weights: Vec<f32>| -> Vec<W> { weights.into_iter().map(store).collect() };
        let kernel = stored(pack_float(&self.kernel));
        let (gates, candidate) = self.recurrent.split_at(2 * lanes);
        let recurrent = stored([pack_float(gates), pack_float(candidate)].concat());
        let bias_n: &[f32] = if reset == Reset::After { &self.bias_n } else { &[] };
        let gru = GruFloat {
            kernel: RowsFloat { weights: &kernel, bias: &self.bias },
            recurrent: RowsFloat { weights: &recurrent, bias: bias_n },
            reset,
        };
        let mut h = vec![0.0; lanes];
        let mut scratch = vec![f32::NAN; gru::scratch_float(self.inputs, self.units)];
        for x in steps {
            let x: Vec<W> = x.iter().map(|&x| store(x)).collect();
            backend.gru_float(&gru, FeaturesFloat::Row(&x), &mut scratch, &mut h);
        }
        assert!(h[self.units..].iter().all(|&pad| pad == 0.0), "units that pad keep 0");
        h.truncate(self.units);
        h
    }
}

#[test]
fn no_float_state_becomes_subnormal_on_silence() {
    let (inputs, units) = (3, 13);
    let lanes = usize::next_multiple_of(units, 8);
    let noise = &mut Noise(7);
    let x = vec![0.0_f32; inputs];
    let joined = pack_float(&float_rows(noise, 4, units, inputs + units));
    let gru = PlainGru { bias: vec![0.0; 3 * lanes], bias_n: vec![0.0; lanes], ..PlainGru::new(noise, inputs, units) };
    let kernel = pack_float(&gru.kernel);
    let (gates, candidate) = gru.recurrent.split_at(2 * lanes);
    let recurrent = [pack_float(gates), pack_float(candidate)].concat();
    let simple = pack_float(&float_rows(noise, 1, units, inputs + units));
    let bias = vec![0.0; 4 * lanes];
    for_every_backend!(backend => {
        let started: Vec<f32> = (0..lanes).map(|unit| if unit < units { 0.9 } else { 0.0 }).collect();
        let [mut lstm_h, mut c, mut gru_h, mut rnn_h] = [(); 4].map(|()| started.clone());
        let mut scratch = vec![0.0; gru::scratch_float(inputs, units)];
        let lstm = RowsFloat { weights: &joined, bias: &bias };
        let gru = GruFloat {
            kernel: RowsFloat { weights: &kernel, bias: &gru.bias },
            recurrent: RowsFloat { weights: &recurrent, bias: &gru.bias_n },
            reset: Reset::After,
        };
        let rnn = RnnFloat {
            rows: RowsFloat { weights: &simple, bias: &bias[..lanes] },
            activation: Activation::Tanh,
        };
        for step in 0..3000 {
            let features = FeaturesFloat::Row(&x);
            backend.step_float(&lstm, features, &mut scratch[..inputs + units], &mut lstm_h, &mut c, step % 2 == 1);
            backend.gru_float(&gru, features, &mut scratch, &mut gru_h);
            backend.rnn_float(&rnn, features, &mut scratch, &mut rnn_h);
            for state in [&lstm_h, &c, &gru_h, &rnn_h] {
                assert!(!state.iter().any(|x| x.is_subnormal()), "{}, step {step}: {state:?}", backend.name());
            }
        }
        assert!(c.iter().all(|c| c.abs() < 1e-20), "{}: silence lets go of what was held", backend.name());
    });
}

/// 5 steps over at most 262 columns whose sums stay below about 10: rounding is below 262 * 2^-24 of that a step.
const TOLERANCE: f64 = 2e-5;

#[test]
fn every_backend_stays_close_to_the_naive_float_gru() {
    let noise = &mut Noise(5);
    for (inputs, units) in shapes().chain((1..=40).map(|units| (units, units))) {
        let layer = PlainGru::new(noise, inputs, units);
        let steps: Vec<Vec<f32>> =
            (0..5).map(|_| (0..inputs).map(|_| f16::from_f32(noise.float()).to_f32()).collect()).collect();
        for reset in [Reset::After, Reset::Before] {
            let mut expected = vec![0.0; units];
            for x in &steps {
                let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                layer.naive(reset, &x, &mut expected);
            }
            for_every_backend!(backend => {
                let single = layer.run(backend, reset, &steps, |w| w);
                let half = layer.run(backend, reset, &steps, f16::from_f32);
                for (found, expected) in single.iter().zip(&expected).chain(half.iter().zip(&expected)) {
                    let off = (f64::from(*found) - expected).abs();
                    assert!(off < TOLERANCE, "{}, {reset:?}, {inputs} inputs, {units} units: {off}", backend.name());
                }
            });
        }
    }
}

#[test]
fn every_backend_stays_close_to_the_naive_simple_float_cell() {
    let noise = &mut Noise(6);
    for (inputs, units) in shapes() {
        let lanes = units.next_multiple_of(8);
        let rows = float_rows(noise, 1, units, inputs + units);
        let bias = float_biases(noise, 1, units);
        let weights = pack_float(&rows);
        let steps: Vec<Vec<f32>> = (0..5).map(|_| (0..inputs).map(|_| noise.float()).collect()).collect();
        for activation in [Activation::Tanh, Activation::Relu] {
            let mut expected = vec![0.0; units];
            for x in &steps {
                let columns: Vec<f64> = x.iter().map(|&x| f64::from(x)).chain(expected.iter().copied()).collect();
                for (unit, h) in expected.iter_mut().enumerate() {
                    let sum = product(&rows[unit], &columns) + f64::from(bias[unit]);
                    *h = if activation == Activation::Tanh { sum.tanh() } else { sum.max(0.0) };
                }
            }
            let rnn = RnnFloat { rows: RowsFloat { weights: &weights, bias: &bias }, activation };
            for_every_backend!(backend => {
                let mut h = vec![0.0; lanes];
                let mut scratch = vec![f32::NAN; rnn::scratch_float(inputs, units)];
                for x in &steps {
                    backend.rnn_float(&rnn, FeaturesFloat::Row(x), &mut scratch, &mut h);
                }
                assert!(h[units..].iter().all(|&pad| pad == 0.0));
                for (found, expected) in h.iter().zip(&expected) {
                    let off = (f64::from(*found) - expected).abs();
                    assert!(off < TOLERANCE, "{}, {activation:?}, {inputs} inputs, {units} units: {off}", backend.name());
                }
            });
        }
    }
}
