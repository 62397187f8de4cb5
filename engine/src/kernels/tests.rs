//! The naive LSTM judges the scalar kernels, and the scalar kernels judge every other backend.

extern crate std;

use std::{vec, vec::Vec};

use half::f16;
use proptest::prelude::*;

mod int16;
mod together;

use super::activation::{SIGMOID_Q15_MAX, TANH_Q15_MAX};
use super::*;

/// Runs the expression once for every backend of this processor, and for AVX-VNNI's where only another coding of its instruction is there.
macro_rules! for_every_backend {
    ($backend:ident => $body:expr) => {
        for any in $crate::kernels::AnyBackend::all() {
            $crate::kernels::dispatch!(any, $backend => $body);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some($backend) = $crate::kernels::x86_64::Stand::detect() {
            $body;
        }
    };
}

pub(super) use for_every_backend;

/// Splitmix64: test data from a seed, fast enough for large shapes.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in the range, bounds included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// Uniform in [-1, 1).
    pub(super) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Integers.

/// How the weights and the columns of a test layer are filled.
#[derive(Debug, Clone, Copy)]
enum Fill {
    Uniform,
    AllLowest,
    Extremes,
    Opposed,
    Sparse,
}

const FILLS: [Fill; 5] = [Fill::Uniform, Fill::AllLowest, Fill::Extremes, Fill::Opposed, Fill::Sparse];

/// A layer of integers as one would write it down: `weights[unit][gate][k]`.
struct PlainI8 {
    units: usize,
    inputs: usize,
    weights: Vec<[Vec<i8>; 4]>,
    multiplier: Vec<u16>,
    bias: Vec<i32>,
    shift: u32,
}

impl PlainI8 {
    /// A layer that keeps the contract of [`RowsI8`], or with `wild` one that breaks it and wraps.
    fn new(noise: &mut Noise, units: usize, inputs: usize, fill: Fill, shift: u32, wild: bool) -> Self {
        let columns = inputs + units;
        let weight = |noise: &mut Noise| match fill {
            Fill::Uniform => noise.between(-128, 127) as i8,
            Fill::AllLowest => -128,
            Fill::Extremes => [-128, -127, 127][noise.between(0, 2) as usize],
            Fill::Opposed => 127,
            Fill::Sparse => (noise.between(0, 9) == 0) as i8,
        };
        let weights: Vec<[Vec<i8>; 4]> =
            (0..units).map(|_| [(); 4].map(|()| (0..columns).map(|_| weight(noise)).collect())).collect();
        let (mut multiplier, mut bias) = (Vec::new(), Vec::new());
        for row in weights.iter().flatten() {
            if wild {
                multiplier.push(noise.next() as u16);
                bias.push(noise.next() as i32);
            } else {
                let most = 128 * row.iter().map(|w| i64::from(w.unsigned_abs())).sum::<i64>();
                let largest = (i64::from(i32::MAX) / 2 / most.max(1)).min(65535);
                let m = noise.between(0, largest);
                let rest = i64::from(i32::MAX) - m * most;
                multiplier.push(m as u16);
                bias.push(noise.between(-rest, rest) as i32);
            }
        }
        Self { units, inputs, weights, multiplier, bias, shift }
    }

    fn padded_columns(&self) -> usize {
        (self.inputs + self.units).next_multiple_of(4)
    }

    /// `[unit][K4 / 4][gate][4]`
    fn packed(&self) -> Vec<i8> {
        let mut packed = Vec::new();
        for unit in &self.weights {
            for first in (0..self.padded_columns()).step_by(4) {
                for row in unit {
                    packed.extend((first..first + 4).map(|k| row.get(k).copied().unwrap_or(0)));
                }
            }
        }
        packed
    }

    /// The equations in 64 bits with real floors, each unit by itself; wraps only where 32 bits would.
    fn naive_step(&self, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
        let floor_div = |a: i64, b: i64| a.div_euclid(b);
        for unit in 0..self.units {
            let z: Vec<i16> = (0..4)
                .map(|gate| {
                    let row = &self.weights[unit][gate];
                    let acc: i64 = row.iter().zip(xh).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
                    let at = 4 * unit + gate;
                    let scaled = acc * i64::from(self.multiplier[at]) + i64::from(self.bias[at]);
                    let wrapped = i64::from(scaled as i32);
                    floor_div(wrapped, 1 << self.shift).clamp(-32768, 32767) as i16
                })
                .collect();
            let i = i64::from(activation::sigmoid_q15(z[0]));
            let f = i64::from(activation::sigmoid_q15(z[1]));
            let g = i64::from(activation::tanh_q15(z[2]));
            let o = i64::from(activation::sigmoid_q15(z[3]));
            let next = 2 * floor_div(i64::from(c[unit]) * f, 1 << 16) + floor_div(i * g + 3 * 1024, 1 << 11);
            c[unit] = i32::try_from(next).expect("the cell state never overflows");
            let q12 = floor_div(next + 64, 128).clamp(-32768, 32767) as i16;
            h[unit] = floor_div(o * i64::from(activation::tanh_q15(q12)) + (1 << 14), 1 << 15) as i16;
        }
    }
}

/// Some steps in a row through the naive LSTM and through every backend, each feeding back its own h.
fn all_agree_with_naive(seed: u64, units: usize, inputs: usize, fill: Fill, shift: u32, wild: bool) {
    let noise = &mut Noise(seed);
    let layer = PlainI8::new(noise, units, inputs, fill, shift, wild);
    let packed = layer.packed();
    let gates =
        RowsI8 { weights: &packed, multiplier: &layer.multiplier, bias: &layer.bias, shift, packed: Packed::NONE };
    let steps: Vec<Vec<i16>> = (0..4)
        .map(|_| {
            let column = |noise: &mut Noise| match fill {
                Fill::Opposed => -128,
                Fill::AllLowest => [-128, 127][noise.between(0, 1) as usize],
                _ => noise.between(-128, 127) as i16,
            };
            (0..inputs).map(|_| column(noise)).collect()
        })
        .collect();
    let first_c: Vec<i32> = (0..units).map(|_| noise.next() as i32).collect();

    let mut expected = Vec::new();
    let (mut h, mut c) = (vec![0; units], first_c.clone());
    for x in &steps {
        let mut xh = x.clone();
        xh.extend(h.iter().map(|&h| ((i32::from(h) + 128) >> 8).min(127) as i16));
        layer.naive_step(&xh, &mut h, &mut c);
        expected.push((h.clone(), c.clone()));
    }

    for_every_backend!(backend => {
        let (mut h, mut c) = (vec![0; units], first_c.clone());
        for (x, expected) in steps.iter().zip(&expected) {
            let mut xh = vec![0; layer.padded_columns()];
            xh[..inputs].copy_from_slice(x);
            backend.narrow_q15(&h, &mut xh[inputs..inputs + units]);
            let before = xh.clone();
            backend.lstm_i8(&gates, &mut xh, &mut h, &mut c);
            assert_eq!((&h, &c), (&expected.0, &expected.1), "{}, {units} units, {inputs} inputs", backend.name());
            assert_eq!(xh, before, "{} leaves the columns as it found them", backend.name());
        }

        // The whole step, over weights in the backend's own order where it has one.
        let memory = PackedMemory::new(backend, &packed, units, layer.padded_columns());
        let gates = RowsI8 { packed: Packed(memory.bytes()), ..gates };
        let (mut h, mut c) = (vec![0; units], first_c.clone());
        for (step, (x, expected)) in steps.iter().zip(&expected).enumerate() {
            let row: Vec<i8> = x.iter().map(|&x| x as i8).collect();
            let mut xh = vec![7; layer.padded_columns()];
            backend.step_i8(&gates, Features::Row(&row), &mut xh, &mut h, &mut c, step % 2 == 1);
            assert_eq!((&h, &c), (&expected.0, &expected.1), "{}, {units} units, {inputs} inputs", backend.name());
        }
    });
}

/// Memory for packed weights that starts where it should, with weights packed by a backend.
struct PackedMemory {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl PackedMemory {
    fn new<B: Backend>(backend: B, weights: &[i8], units: usize, columns: usize) -> Self {
        let length = backend.packed_i8_bytes(units, columns);
        // Not zeros: whatever the kernel reads, packing must have written.
        let mut memory = vec![0xA5; length + PACKED_ALIGNMENT];
        let start = memory.as_ptr().align_offset(PACKED_ALIGNMENT);
        backend.pack_i8(weights, columns, &mut memory[start..start + length]);
        PackedMemory { memory, start, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

/// Several streams that step together against one after the other, over three steps; packed and not.
fn many_agree_with_one_by_one(seed: u64, streams: usize, units: usize, inputs: usize, fill: Fill) {
    let noise = &mut Noise(seed);
    let layer = PlainI8::new(noise, units, inputs, fill, 14, false);
    let packed = layer.packed();
    let gates =
        RowsI8 { weights: &packed, multiplier: &layer.multiplier, bias: &layer.bias, shift: 14, packed: Packed::NONE };
    let columns = layer.padded_columns();
    let mut column = || (0..inputs).map(|_| noise.between(-128, 127) as i16).collect::<Vec<i16>>();
    let inputs_of: Vec<[Vec<i16>; 3]> = (0..streams).map(|_| [column(), column(), column()]).collect();
    let first: Vec<Vec<i32>> = (0..streams).map(|_| (0..units).map(|_| noise.next() as i32).collect()).collect();
    let xh = |x: &[i16], h: &[i16]| {
        let mut xh = vec![0; columns];
        xh[..inputs].copy_from_slice(x);
        Scalar.narrow_q15(h, &mut xh[inputs..inputs + units]);
        xh
    };

    let expected: Vec<(Vec<i16>, Vec<i32>)> = inputs_of
        .iter()
        .zip(&first)
        .map(|(steps, c)| {
            let (mut h, mut c) = (vec![0; units], c.clone());
            for x in steps {
                Scalar.lstm_i8(&gates, &mut xh(x, &h), &mut h, &mut c);
            }
            (h, c)
        })
        .collect();
    for_every_backend!(backend => {
        let memory = PackedMemory::new(backend, &packed, units, columns);
        for weights in [Packed::NONE, Packed(memory.bytes())] {
            let gates = RowsI8 { packed: weights, ..gates };
            let mut states: Vec<(Vec<i16>, Vec<i32>)> = first.iter().map(|c| (vec![0; units], c.clone())).collect();
            for step in 0..3 {
                let mut columns: Vec<Vec<i16>> =
                    inputs_of.iter().zip(&states).map(|(steps, (h, _))| xh(&steps[step], h)).collect();
                let mut together: Vec<StreamInt> = columns
                    .iter_mut()
                    .zip(&mut states)
                    .map(|(xh, (h, c))| StreamInt { xh, h, c })
                    .collect();
                backend.lstm_i8_many(&gates, &mut together);
            }
            assert_eq!(states, expected, "{}, {streams} streams, {units} units, {inputs} inputs", backend.name());
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_backend_computes_the_naive_integer_lstm_bit_for_bit(
        seed: u64, units in 1_usize..=70, inputs in 1_usize..=230, fill in prop::sample::select(&FILLS[..]), shift in 0_u32..=31,
    ) {
        all_agree_with_naive(seed, units, inputs, fill, shift, false);
    }

    #[test]
    fn streams_that_step_together_get_the_bits_of_one_after_the_other(
        seed: u64, streams in 1_usize..=11, units in 1_usize..=70, inputs in 1_usize..=100, fill in prop::sample::select(&FILLS[..]),
    ) {
        many_agree_with_one_by_one(seed, streams, units, inputs, fill);
    }

    #[test]
    fn features_apart_and_then_the_recurrent_kernel_give_the_bits_of_the_whole_step(
        seed: u64, units in 1_usize..=70, inputs in 1_usize..=100, fill in prop::sample::select(&FILLS[..]), shift in 0_u32..=31, wild: bool,
    ) {
        apart_agrees_with_whole(seed, units, inputs, fill, shift, wild);
    }

    #[test]
    fn every_backend_wraps_alike_when_the_weights_break_their_contract(
        seed: u64, units in 1_usize..=40, inputs in 1_usize..=100, fill in prop::sample::select(&FILLS[..]), shift in 0_u32..=31,
    ) {
        all_agree_with_naive(seed, units, inputs, fill, shift, true);
    }
}

/// Kernel and recurrent kernel apart: `rows_i8` over the features, and its result as the bias of a step over the hidden
/// state.
fn apart_agrees_with_whole(seed: u64, units: usize, inputs: usize, fill: Fill, shift: u32, wild: bool) {
    let noise = &mut Noise(seed);
    let layer = PlainI8::new(noise, units, inputs, fill, shift, wild);
    let part = |columns: core::ops::Range<usize>| {
        let mut packed = Vec::new();
        for unit in &layer.weights {
            for first in columns.clone().step_by(4) {
                for row in unit {
                    packed.extend((first..first + 4).map(|k| if k < columns.end { row[k] } else { 0 }));
                }
            }
        }
        packed
    };
    let (kernel, recurrent, whole) = (part(0..inputs), part(inputs..inputs + units), layer.packed());
    let gates =
        RowsI8 { weights: &whole, multiplier: &layer.multiplier, bias: &layer.bias, shift, packed: Packed::NONE };
    let mut xh: Vec<i16> = (0..layer.padded_columns()).map(|_| noise.between(-128, 127) as i16).collect();
    xh[inputs + units..].fill(0);
    let c: Vec<i32> = (0..units).map(|_| noise.next() as i32).collect();
    let mut expected = (vec![0; units], c.clone());
    Scalar.lstm_i8(&gates, &mut xh, &mut expected.0, &mut expected.1);

    let padded = |columns: &[i16]| {
        let mut columns = columns.to_vec();
        columns.resize(columns.len().next_multiple_of(4), 0);
        columns
    };
    for_every_backend!(backend => {
        let mut bias = vec![0; 4 * units];
        backend.rows_i8(&RowsI8 { weights: &kernel, ..gates }, &mut padded(&xh[..inputs]), &mut bias);
        let memory = PackedMemory::new(backend, &recurrent, units, units.next_multiple_of(4));
        for packed in [Packed::NONE, Packed(memory.bytes())] {
            let mut found = (vec![0; units], c.clone());
            let gates = RowsI8 { weights: &recurrent, bias: &bias, packed, ..gates };
            backend.lstm_i8(&gates, &mut padded(&xh[inputs..inputs + units]), &mut found.0, &mut found.1);
            assert_eq!(found, expected, "{}, {units} units, {inputs} inputs", backend.name());
        }
    });
}

/// A step over scratch, h and c.
type StepOf<'a> = dyn Fn(&mut [i16], &mut [i16], &mut [i32]) + 'a;

#[test]
fn columns_behind_those_of_a_step_read_as_zeros_on_every_backend() {
    for (units, inputs, more) in [(4, 8, 100), (16, 3, 260), (20, 20, 64), (33, 1, 500), (64, 7, 1021)] {
        let noise = &mut Noise(units as u64);
        // The same layer with inputs that no step has.
        let layer = PlainI8::new(noise, units, inputs + more, Fill::Uniform, 14, false);
        let weights = layer.packed();
        let gates = RowsI8 {
            weights: &weights,
            multiplier: &layer.multiplier,
            bias: &layer.bias,
            shift: 14,
            packed: Packed::NONE,
        };
        let row: Vec<i8> = (0..inputs).map(|_| noise.next() as i8).collect();
        let steps = |step: &StepOf<'_>| {
            let (mut h, mut c) = (vec![0; units], vec![1 << 18; units]);
            for _ in 0..3 {
                // Whatever lies in the scratch.
                let mut xh = vec![0x7a7a; layer.padded_columns()];
                step(&mut xh, &mut h, &mut c);
            }
            (h, c)
        };
        let expected = steps(&|xh, h, c| Scalar.step_i8(&gates, Features::Row(&row), xh, h, c, false));
        for_every_backend!(backend => {
            let memory = PackedMemory::new(backend, &weights, units, layer.padded_columns());
            for packed in [Packed::NONE, Packed(memory.bytes())] {
                let gates = RowsI8 { packed, ..gates };
                let found = steps(&|xh, h, c| backend.step_i8(&gates, Features::Row(&row), xh, h, c, true));
                assert_eq!(found, expected, "{}, {units} units, {inputs} inputs", backend.name());
            }
        });
    }
}

#[test]
fn every_number_of_units_up_to_300_gives_the_same_bits_in_every_backend() {
    for units in 1..=300 {
        all_agree_with_naive(units as u64, units, 1 + units % 7, FILLS[units % FILLS.len()], 15, false);
    }
}

#[test]
fn every_number_of_inputs_up_to_300_gives_the_same_bits_in_every_backend() {
    for inputs in 1..=300 {
        all_agree_with_naive(inputs as u64, 1 + inputs % 37, inputs, FILLS[inputs % FILLS.len()], 13, false);
    }
}

#[test]
fn whole_groups_of_features_and_units_give_the_same_bits_in_every_backend() {
    for units in [4, 8, 12, 16, 20, 32, 36, 64] {
        for inputs in [8, 16, 24, 32, 72] {
            for (seed, fill) in FILLS.into_iter().enumerate() {
                all_agree_with_naive(seed as u64, units, inputs, fill, 14, false);
                hidden_features_agree_with_scalar(seed as u64, units, inputs, fill);
            }
        }
    }
}

/// Whole steps over the hidden state of a layer before, on every backend.
fn hidden_features_agree_with_scalar(seed: u64, units: usize, inputs: usize, fill: Fill) {
    let noise = &mut Noise(seed);
    let layer = PlainI8::new(noise, units, inputs, fill, 14, false);
    let packed = layer.packed();
    let gates =
        RowsI8 { weights: &packed, multiplier: &layer.multiplier, bias: &layer.bias, shift: 14, packed: Packed::NONE };
    let before: Vec<Vec<i16>> =
        (0..3).map(|_| (0..inputs).map(|_| noise.between(-32768, 32767) as i16).collect()).collect();
    fn run<B: Backend>(backend: B, gates: &RowsI8<'_>, before: &[Vec<i16>]) -> (Vec<i16>, Vec<i32>) {
        let units = gates.multiplier.len() / 4;
        let (mut h, mut c, mut xh) = (vec![0; units], vec![0; units], vec![0; gates.weights.len() / (4 * units)]);
        for (step, x) in before.iter().enumerate() {
            backend.step_i8(gates, Features::Hidden(x), &mut xh, &mut h, &mut c, step % 2 == 1);
        }
        (h, c)
    }
    let expected = run(Scalar, &gates, &before);
    for_every_backend!(backend => {
        assert_eq!(run(backend, &gates, &before), expected, "{}, {units} units, {inputs} inputs", backend.name());
    });
}

#[test]
fn every_backend_has_the_reference_activations_for_all_65536_inputs() {
    let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    for_every_backend!(backend => {
        let mut x = all.clone();
        backend.sigmoid_q15(&mut x);
        assert!(all.iter().zip(&x).all(|(&x, &y)| activation::sigmoid_q15(x) == y), "{}", backend.name());
        let mut x = all.clone();
        backend.tanh_q15(&mut x);
        assert!(all.iter().zip(&x).all(|(&x, &y)| activation::tanh_q15(x) == y), "{}", backend.name());
    });
}

#[test]
fn every_backend_has_the_reference_small_kernels_at_every_length() {
    let noise = &mut Noise(7);
    for length in 0..=130 {
        let a: Vec<i16> = (0..length).map(|_| noise.next() as i16).collect();
        let b: Vec<i16> = (0..length).map(|_| noise.next() as i16).collect();
        let bytes: Vec<i8> = (0..length).map(|_| noise.next() as i8).collect();
        let sum: Vec<i32> = (0..length).map(|_| noise.between(-1 << 30, 1 << 30) as i32).collect();
        let expected_dot: i64 = a.iter().zip(&b).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
        for_every_backend!(backend => {
            let mut out = vec![1; length];
            backend.widen_i8(&bytes, &mut out);
            assert!(out.iter().zip(&bytes).all(|(&y, &x)| y == i16::from(x)));
            backend.narrow_q15(&a, &mut out);
            assert!(out.iter().zip(&a).all(|(&y, &x)| i32::from(y) == ((i32::from(x) + 128) >> 8).min(127)));
            let mut added = sum.clone();
            backend.add_i16(&mut added, &a);
            assert!(added.iter().zip(sum.iter().zip(&a)).all(|(&y, (&s, &x))| y == s + i32::from(x)));
            let mut max = a.clone();
            backend.max_i16(&mut max, &b);
            assert!(max.iter().zip(a.iter().zip(&b)).all(|(&y, (&a, &b))| y == a.max(b)));
            assert_eq!(backend.dot_i16(&a, &b), expected_dot);
            let mut activated = a.clone();
            backend.sigmoid_q15(&mut activated);
            backend.tanh_q15(&mut activated);
            assert!(activated.iter().zip(&a).all(|(&y, &x)| y == activation::tanh_q15(activation::sigmoid_q15(x))));
        });
    }
}

#[test]
fn dot_product_is_exact_where_every_product_is_extreme() {
    for (w, v) in [(i16::MIN, i16::MIN), (i16::MIN, i16::MAX), (i16::MAX, i16::MAX)] {
        for length in [1, 15, 16, 17, 4096] {
            let expected = length as i64 * i64::from(w) * i64::from(v);
            for_every_backend!(backend => {
                assert_eq!(backend.dot_i16(&vec![w; length], &vec![v; length]), expected, "{}", backend.name());
            });
        }
    }
}

#[test]
fn narrowing_is_right_for_every_hidden_state() {
    let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    for_every_backend!(backend => {
        let mut out = vec![0; all.len()];
        backend.narrow_q15(&all, &mut out);
        assert!(all.iter().zip(&out).all(|(&h, &y)| i32::from(y) == ((i32::from(h) + 128) >> 8).min(127)));
    });
}

/// The largest cell state that a step can return from `c`, in 64 bits.
fn furthest(c: i64) -> i64 {
    let (f, i, g) = (i64::from(SIGMOID_Q15_MAX), i64::from(SIGMOID_Q15_MAX), i64::from(TANH_Q15_MAX));
    2 * ((c * f) >> 16) + ((i * g + 3072) >> 11)
}

#[test]
fn cell_state_overflows_from_no_value_and_settles_inside_its_bound() {
    // The extremes of the activations come from an exhaustive test of their own.
    assert!(furthest(i64::from(i32::MAX)) + 64 <= i64::from(i32::MAX));
    let lowest = |c: i64| {
        2 * ((c * i64::from(SIGMOID_Q15_MAX)) >> 16)
            + ((-i64::from(SIGMOID_Q15_MAX) * i64::from(TANH_Q15_MAX) + 3072) >> 11)
    };
    assert!(lowest(i64::from(i32::MIN)) >= i64::from(i32::MIN));

    // Gates held open, from both ends of 32 bits and from zero: the fixed point is 2977.9 in real numbers.
    for gate_g in [i16::MIN, i16::MAX] {
        for start in [i32::MIN, 0, i32::MAX] {
            let mut c = start;
            for _ in 0..100_000 {
                c = lstm::cell_q15([i16::MAX, i16::MAX, gate_g, i16::MAX], c).1;
            }
            let real = f64::from(c.unsigned_abs()) / f64::from(1 << 19);
            assert!(real > 2975.0 && real < 2980.0, "{real}");
        }
    }
}

#[test]
fn cell_update_is_off_by_three_halves_of_a_unit_at_most_and_by_nothing_on_average() {
    let noise = &mut Noise(3);
    let (mut sum, mut largest, count) = (0.0, 0.0_f64, 1_000_000);
    for _ in 0..count {
        let z = [(); 4].map(|()| noise.between(-16384, 16383) as i16);
        let c = noise.between(-1 << 24, 1 << 24) as i32;
        let [i, f, _, _] = z.map(|z| f64::from(activation::sigmoid_q15(z)));
        let exact = f64::from(c) * f / 32768.0 + i * f64::from(activation::tanh_q15(z[2])) / 2048.0;
        let error = f64::from(lstm::cell_q15(z, c).1) - exact;
        sum += error;
        largest = largest.max(error.abs());
    }
    assert!((sum / f64::from(count)).abs() < 0.005, "mean {}", sum / f64::from(count));
    assert!(largest <= 1.5, "{largest}");
}

#[test]
fn integer_lstm_follows_the_real_lstm_over_a_thousand_steps() {
    let noise = &mut Noise(11);
    let (units, inputs, shift) = (24, 16, 15);
    let mut layer = PlainI8::new(noise, units, inputs, Fill::Uniform, shift, false);
    // Real weights of w * 2^-7 / 4, against x and h in Q0.7: acc * 2^-16, so Q3.12 is (acc * 2048) >> 15.
    layer.multiplier.fill(2048);
    for bias in &mut layer.bias {
        *bias = noise.between(-4096, 4096) as i32 * (1 << shift) + (1 << (shift - 1));
    }
    let packed = layer.packed();
    let gates =
        RowsI8 { weights: &packed, multiplier: &layer.multiplier, bias: &layer.bias, shift, packed: Packed::NONE };
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());

    let (mut h, mut c) = (vec![0_i16; units], vec![0_i32; units]);
    let mut real_c = vec![0.0_f64; units];
    let (mut largest_h, mut largest_c) = (0.0_f64, 0.0_f64);
    for _ in 0..1000 {
        let mut xh = vec![0; layer.padded_columns()];
        xh[..inputs].fill_with(|| noise.between(-128, 127) as i16);
        Scalar.narrow_q15(&h, &mut xh[inputs..inputs + units]);
        Scalar.lstm_i8(&gates, &mut xh, &mut h, &mut c);
        // The real network reads the same int8 columns, so what differs is activations, cell and output only.
        for unit in 0..units {
            let z: Vec<f64> = (0..4)
                .map(|gate| {
                    let row = &layer.weights[unit][gate];
                    let acc: f64 =
                        row.iter().zip(&xh).map(|(&w, &x)| f64::from(w) / 512.0 * f64::from(x) / 128.0).sum();
                    let bias = f64::from(layer.bias[4 * unit + gate] >> shift) / 4096.0;
                    (acc + bias).clamp(-8.0, 8.0)
                })
                .collect();
            real_c[unit] = sigmoid(z[1]) * real_c[unit] + sigmoid(z[0]) * z[2].tanh();
            let real_h = sigmoid(z[3]) * real_c[unit].tanh();
            largest_c = largest_c.max((real_c[unit] - f64::from(c[unit]) / f64::from(1 << 19)).abs());
            largest_h = largest_h.max((real_h - f64::from(h[unit]) / 32768.0).abs() * 32768.0);
        }
    }
    std::println!("integer against real LSTM: h {largest_h:.3} LSB of Q0.15, c {largest_c:.3e}");
    assert!(largest_h < 16.0 && largest_c < 1e-2);
}

// ------------------------------------------------------------------------------------------------------------------------
// Floats.

/// A layer of floats as one would write it down, `weights[unit][gate][k]`, `bias[unit][gate]`.
struct PlainFloat {
    units: usize,
    inputs: usize,
    weights: Vec<[Vec<f32>; 4]>,
    bias: Vec<[f32; 4]>,
}

impl PlainFloat {
    /// Weights that an `f16` holds exactly.
    fn new(noise: &mut Noise, units: usize, inputs: usize) -> Self {
        let columns = inputs + units;
        let scale = 3.0 / (columns as f32).sqrt();
        let mut weight = || f16::from_f32(noise.float() * scale).to_f32();
        let weights = (0..units).map(|_| [(); 4].map(|()| (0..columns).map(|_| weight()).collect())).collect();
        let bias = (0..units).map(|_| [(); 4].map(|()| weight())).collect();
        Self { units, inputs, weights, bias }
    }

    /// `[unit / 8][k][gate][8]` and `[unit / 8][gate][8]`, padded with zeros; units before `self.units` exist.
    fn packed(&self) -> (Vec<f32>, Vec<f32>) {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for first in (0..self.units).step_by(8) {
            for k in 0..self.inputs + self.units {
                for gate in 0..4 {
                    weights.extend(
                        (first..first + 8).map(|unit| self.weights.get(unit).map_or(0.0, |rows| rows[gate][k])),
                    );
                }
            }
            for gate in 0..4 {
                bias.extend((first..first + 8).map(|unit| self.bias.get(unit).map_or(0.0, |gates| gates[gate])));
            }
        }
        (weights, bias)
    }

    fn naive_step(&self, x: &[f32], h: &mut [f64], c: &mut [f64]) {
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let previous: Vec<f64> = h.to_vec();
        for unit in 0..self.units {
            let z: Vec<f64> = (0..4)
                .map(|gate| {
                    let columns = x.iter().map(|&x| f64::from(x)).chain(previous.iter().copied());
                    let row = &self.weights[unit][gate];
                    row.iter().zip(columns).map(|(&w, x)| f64::from(w) * x).sum::<f64>()
                        + f64::from(self.bias[unit][gate])
                })
                .collect();
            c[unit] = sigmoid(z[1]) * c[unit] + sigmoid(z[0]) * z[2].tanh();
            h[unit] = sigmoid(z[3]) * c[unit].tanh();
        }
    }
}

/// Runs the backend over the steps, by whole steps or over columns; the hidden states after each, without padding, and checks that padding
/// stays zero.
fn run_float<B: Backend, W: FloatWeight>(
    backend: B,
    layer: &PlainFloat,
    weights: &[W],
    bias: &[f32],
    steps: &[Vec<f32>],
    whole: bool,
) -> Vec<Vec<f32>> {
    let padded = layer.units.next_multiple_of(8);
    let (mut h, mut c) = (vec![0.0; padded], vec![0.0; padded]);
    steps
        .iter()
        .enumerate()
        .map(|(number, x)| {
            let gates = RowsFloat { weights, bias };
            if whole {
                let mut xh = vec![f32::NAN; x.len() + layer.units];
                backend.step_float(&gates, FeaturesFloat::Hidden(x), &mut xh, &mut h, &mut c, number % 2 == 1);
            } else {
                let xh: Vec<f32> = x.iter().chain(&h[..layer.units]).copied().collect();
                backend.lstm_float(&gates, &xh, &mut h, &mut c);
            }
            assert!(h[layer.units..].iter().chain(&c[layer.units..]).all(|&pad| pad == 0.0));
            h[..layer.units].to_vec()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_backend_stays_close_to_the_naive_float_lstm(seed: u64, units in 1_usize..=70, inputs in 1_usize..=100) {
        // 5 steps over at most 170 columns: the sums are off by at most about 170 * 3 * 2^-24, and a step hands on less
        // than it was off by; 2e-5 leaves room.
        const TOLERANCE: f64 = 2e-5;
        let noise = &mut Noise(seed);
        let layer = PlainFloat::new(noise, units, inputs);
        let (weights, bias) = layer.packed();
        let halves: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
        let steps: Vec<Vec<f32>> = (0..5).map(|_| (0..inputs).map(|_| noise.float()).collect()).collect();
        let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
        let expected: Vec<Vec<f64>> = steps.iter().map(|x| { layer.naive_step(x, &mut h, &mut c); h.clone() }).collect();
        for_every_backend!(backend => {
            let full = run_float(backend, &layer, &weights, &bias, &steps, false);
            let whole = run_float(backend, &layer, &weights, &bias, &steps, true);
            // The same numbers stored in 16 bits, which a backend may sum in another order.
            let half = run_float(backend, &layer, &halves, &bias, &steps, true);
            for ours in [full, whole, half] {
                for (ours, expected) in ours.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((f64::from(*ours) - expected).abs() < TOLERANCE, "{}: {ours} {expected}", backend.name());
                }
            }
        });
    }
}

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn gates_that_are_almost_shut_leave_no_subnormal_hidden_state() {
    let features = FeaturesFloat::Hidden(&[0.0_f32][..]);
    for gates in [-100.0_f32, -87.0, -60.0, -55.0, -40.0] {
        // Of eight units the forget gate is open, the others are almost shut: h = o tanh(c).
        let bias: Vec<f32> = (0..32).map(|row| if row / 8 == 1 { 60.0 } else { gates }).collect();
        let weights = [0.0_f32; 32];
        for_every_backend!(backend => {
            if backend.name() == "scalar" || backend.name().contains("coded") {
                continue; // those take the reference's float step
            }
            for first in [1e-10_f32, 1e-18, 1e-24, 1e-30] {
                let (mut h, mut c, mut xh) = ([0.0; 8], [first; 8], [0.0; 1]);
                let layer = RowsFloat { weights: &weights[..], bias: &bias };
                backend.step_float(&layer, features, &mut xh, &mut h, &mut c, false);
                let values = h.iter().chain(&c);
                assert!(values.clone().all(|value| !value.is_subnormal()), "{}: {h:?}, {c:?}", backend.name());
            }
        });
    }
}

#[test]
fn small_float_kernels_agree_at_every_length() {
    let noise = &mut Noise(5);
    for length in 0..=70 {
        let a: Vec<f32> = (0..length).map(|_| f16::from_f32(noise.float()).to_f32()).collect();
        let b: Vec<f32> = (0..length).map(|_| noise.float()).collect();
        let halves: Vec<f16> = a.iter().map(|&a| f16::from_f32(a)).collect();
        let dot: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        for_every_backend!(backend => {
            let mut out = vec![9.0; length];
            backend.widen_float(&halves, &mut out);
            assert_eq!(out, a);
            let mut out = vec![9.0; length];
            backend.widen_float(&a, &mut out);
            assert_eq!(out, a);
            let mut sum = b.clone();
            backend.add_f32(&mut sum, &a);
            assert!(sum.iter().zip(a.iter().zip(&b)).all(|(&y, (&a, &b))| y == b + a));
            let mut max = b.clone();
            backend.max_f32(&mut max, &a);
            assert!(max.iter().zip(a.iter().zip(&b)).all(|(&y, (&a, &b))| y == a.max(b)));
            assert!((f64::from(backend.dot_f32(&a, &b)) - dot).abs() < 1e-5);
            assert!((f64::from(backend.dot_f32(&halves, &b)) - dot).abs() < 1e-5);
        });
    }
}

#[test]
fn finite_numbers_of_half_precision_widen_exactly_in_fewer_steps() {
    for half in (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite()) {
        assert_eq!(FloatWeight::finite(half).to_bits(), half::f16::to_f32(half).to_bits(), "{half:?}");
    }
}

#[test]
fn every_half_precision_number_widens_exactly() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for_every_backend!(backend => {
        let mut wide = vec![0.0; all.len()];
        backend.widen_float(&all, &mut wide);
        for (half, wide) in all.iter().zip(wide) {
            let same = if half.is_nan() { wide.is_nan() } else { half::f16::to_f32(*half).to_bits() == wide.to_bits() };
            assert!(same, "{}: {half:?}", backend.name());
        }
    });
}

// ------------------------------------------------------------------------------------------------------------------------
// The choice.

#[test]
fn every_backend_of_this_processor_is_found_by_its_name() {
    for backend in AnyBackend::all() {
        assert_eq!(AnyBackend::by_name(backend.name()), Some(backend));
    }
    assert_eq!(AnyBackend::all().next(), Some(AnyBackend::Scalar(Scalar)));
    assert_eq!(AnyBackend::by_name("abacus"), None);
}

#[test]
fn detection_takes_the_widest_unless_the_scalar_one_is_forced() {
    let expected =
        if cfg!(engine_backend = "scalar") { Some(AnyBackend::Scalar(Scalar)) } else { AnyBackend::all().last() };
    assert_eq!(Some(AnyBackend::detect()), expected);
}
