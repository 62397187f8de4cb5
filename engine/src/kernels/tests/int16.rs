//! int16: naive rows and cells in 64 bits judge the scalar kernels, and the scalar kernels judge every other backend.

use super::super::cell::gru::{self, GruI16, Reset};
use super::super::cell::rnn::{self, Activation, RnnI16};
use super::*;

/// How the weights of a row are filled; each keeps the sum of magnitudes at 65,535 or below.
#[derive(Debug, Clone, Copy)]
enum Fill {
    /// As large as so many columns allow, of both signs.
    Even,
    /// A few weights have the whole sum.
    Lumped,
    /// One sign, the largest sum that the door lets through.
    Full,
}

const FILLS: [Fill; 3] = [Fill::Even, Fill::Lumped, Fill::Full];

/// Rows as one would write them down, `weights[row][column]`.
struct Plain {
    weights: Vec<Vec<i16>>,
    multiplier: Vec<u16>,
    bias: Vec<i32>,
    packed: Vec<i16>,
    padded_multiplier: Vec<u16>,
    padded_bias: Vec<i32>,
}

/// A row whose magnitudes sum up to at most 65,535.
fn row(noise: &mut Noise, columns: usize, fill: Fill) -> Vec<i16> {
    let mut left = 65_535_i64;
    (0..columns)
        .map(|column| {
            let magnitude = match fill {
                Fill::Even => noise.between(0, (65_535 / columns as i64).min(32_767)),
                Fill::Lumped if noise.between(0, 2) == 0 => noise.between(0, left.min(32_768)),
                Fill::Lumped => 0,
                Fill::Full if column + 1 == columns => left.min(32_767),
                Fill::Full => (65_535 / columns as i64).min(32_767),
            };
            left -= magnitude;
            let negative = !matches!(fill, Fill::Full) && (magnitude == 32_768 || noise.between(0, 1) == 1);
            (if negative { -magnitude } else { magnitude }) as i16
        })
        .collect()
}

impl Plain {
    /// Rows that leave `1 / share` of an i32 to themselves.
    fn new(noise: &mut Noise, rows: usize, columns: usize, share: i64, fill: Fill) -> Self {
        let weights: Vec<Vec<i16>> = (0..rows).map(|_| row(noise, columns, fill)).collect();
        let (mut multiplier, mut bias) = (Vec::new(), Vec::new());
        for row in &weights {
            let sum: i64 = row.iter().map(|w| i64::from(w.unsigned_abs())).sum();
            assert!(sum <= 65_535);
            let room = i64::from(i32::MAX) / share;
            let m = if noise.between(0, 3) == 0 { 32_767 } else { noise.between(0, 32_767) };
            let m = m.min(2 * (room - 1) / sum.max(1));
            let rest = room - 1 - m * sum / 2;
            multiplier.push(m as u16);
            bias.push(noise.between(-rest, rest) as i32);
        }
        let (padded, blocks) = (rows.next_multiple_of(4), columns.next_multiple_of(8));
        let mut packed = Vec::new();
        for quad in (0..padded).step_by(4) {
            for first in (0..blocks).step_by(8) {
                for row in quad..quad + 4 {
                    let weight = |column| weights.get(row).and_then(|row: &Vec<i16>| row.get(column));
                    packed.extend((first..first + 8).map(|column| weight(column).copied().unwrap_or(0)));
                }
            }
        }
        let (mut padded_multiplier, mut padded_bias) = (multiplier.clone(), bias.clone());
        padded_multiplier.resize(padded, 0);
        padded_bias.resize(padded, 0);
        Plain { weights, multiplier, bias, packed, padded_multiplier, padded_bias }
    }

    fn view(&self, shift: u32) -> RowsI16<'_> {
        RowsI16 {
            weights: &self.packed,
            multiplier: &self.padded_multiplier,
            bias: &self.padded_bias,
            shift,
            packed: Packed::NONE,
        }
    }

    /// `floor(sum of w x * multiplier / 2^16)`, whose sum fits 32 bits in any order: the magnitudes together do.
    fn product(&self, row: usize, x: &[i16]) -> i64 {
        let products = self.weights[row].iter().zip(x).map(|(&w, &x)| i64::from(w) * i64::from(x));
        let (sum, magnitudes) = products.fold((0, 0), |(sum, all), product| (sum + product, all + product.abs()));
        assert!(magnitudes <= i64::from(i32::MAX), "{magnitudes}");
        (sum * i64::from(self.multiplier[row])).div_euclid(1 << 16)
    }

    fn sum(&self, row: usize, x: &[i16]) -> i64 {
        self.product(row, x) + i64::from(self.bias[row])
    }
}

/// Columns in the whole range of 16 bits, with zeros up to a block.
fn columns(noise: &mut Noise, count: usize, fill: Fill) -> Vec<i16> {
    let column = |noise: &mut Noise| match fill {
        Fill::Full => -32_768,
        Fill::Lumped => [-32_768, 32_767][noise.between(0, 1) as usize],
        Fill::Even => noise.next() as i16,
    };
    (0..count).map(|_| column(noise)).collect()
}

fn padded(mut x: Vec<i16>) -> Vec<i16> {
    x.resize(x.len().next_multiple_of(8), 0);
    x
}

fn q12(sum: i64, shift: u32) -> i16 {
    assert!(i32::try_from(sum).is_ok(), "the bound at the door keeps sums inside 32 bits: {sum}");
    (sum.div_euclid(1 << shift)).clamp(-32768, 32767) as i16
}

fn shapes() -> impl Iterator<Item = (usize, usize)> {
    let counts = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100];
    counts.into_iter().flat_map(move |columns| counts.into_iter().map(move |rows| (columns, rows)))
}

#[test]
fn every_backend_computes_the_naive_rows_of_int16_bit_for_bit_up_to_the_largest_sums() {
    let noise = &mut Noise(1);
    for (count, rows) in shapes() {
        for fill in FILLS {
            let plain = Plain::new(noise, rows, count, 1, fill);
            let x = columns(noise, count, fill);
            let mut expected: Vec<i32> =
                (0..rows).map(|row| i32::try_from(plain.sum(row, &x)).expect("it fits")).collect();
            expected.resize(rows.next_multiple_of(4), 0);
            let (x, view) = (padded(x), plain.view(1));
            for_every_backend!(backend => {
                let mut out = vec![0x5a5a_5a5a; expected.len()];
                backend.rows_i16(&view, &x, &mut out);
                assert_eq!(out, expected, "{}, {rows} rows, {count} columns, {fill:?}", backend.name());
                let mut sums = plain.padded_bias.clone();
                backend.add_rows_i16(&view, &x, &mut sums);
                assert_eq!(sums, expected, "{}, {rows} rows added, {count} columns, {fill:?}", backend.name());
            });
        }
    }
}

#[test]
fn rows_of_int16_without_columns_are_their_biases() {
    let plain = Plain::new(&mut Noise(2), 12, 0, 1, Fill::Even);
    for_every_backend!(backend => {
        let mut out = vec![0; 12];
        backend.rows_i16(&plain.view(1), &[], &mut out);
        assert_eq!(out, plain.bias, "{}", backend.name());
    });
}

/// A step from the columns `[x; h]`.
type Step<'s> = dyn Fn(&[i16], &mut [i16], &mut [i32]) + 's;

/// The equations of an LSTM in 64 bits with real floors.
fn naive_lstm(plain: &Plain, shift: u32, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    for unit in 0..h.len() {
        let z = |gate: usize| q12(plain.sum(4 * unit + gate, xh), shift);
        let [i, f, o] = [0, 1, 3].map(|gate| i64::from(activation::sigmoid_q15(z(gate))));
        let g = i64::from(activation::tanh_q15(z(2)));
        let next = 2 * (i64::from(c[unit]) * f).div_euclid(1 << 16) + (i * g + 3 * 1024).div_euclid(1 << 11);
        c[unit] = i32::try_from(next).expect("the cell state never overflows");
        let q12 = (next + 64).div_euclid(128).clamp(-32768, 32767) as i16;
        h[unit] = (o * i64::from(activation::tanh_q15(q12)) + (1 << 14)).div_euclid(1 << 15) as i16;
    }
}

#[test]
fn every_backend_computes_the_naive_lstm_of_int16_bit_for_bit() {
    let noise = &mut Noise(3);
    for (inputs, units) in shapes().filter(|(inputs, units)| inputs * units <= 1_700) {
        for (fill, shift) in [(Fill::Even, 12), (Fill::Lumped, 15), (Fill::Full, 1)] {
            let plain = Plain::new(noise, 4 * units, inputs + units, 1, fill);
            let x: Vec<Vec<i16>> = (0..4).map(|_| columns(noise, inputs, fill)).collect();
            let first: (Vec<i16>, Vec<i32>) = (0..units).map(|_| (noise.next() as i16, noise.next() as i32)).unzip();
            let steps = |step: &Step<'_>| {
                let (mut h, mut c) = first.clone();
                x.iter().for_each(|x| step(&[x.as_slice(), &h].concat(), &mut h, &mut c));
                (h, c)
            };
            let expected = steps(&|xh, h, c| naive_lstm(&plain, shift, xh, h, c));
            let view = plain.view(shift);
            let plainly = steps(&|xh, h, c| lstm::step(&view, &padded(xh.to_vec()), h, c));
            assert_eq!(plainly, expected, "plain");
            for_every_backend!(backend => {
                let found = steps(&|xh, h, c| backend.lstm_i16(&view, &padded(xh.to_vec()), h, c));
                assert_eq!(found, expected, "{}, {units} units, {inputs} inputs, {fill:?}", backend.name());
            });
        }
    }
}

/// The equations of [`gru::step`] in 64 bits with real floors: h and r h are columns as they are.
fn naive_gru(kernel: &Plain, recurrent: &Plain, reset: Reset, shift: u32, x: &[i16], h: &mut [i16]) {
    let units = h.len();
    let last = h.to_vec();
    let gate = |row| activation::sigmoid_q15(q12(kernel.sum(row, x) + recurrent.product(row, &last), shift));
    let (z, r): (Vec<i16>, Vec<i16>) = (0..units).map(|unit| (gate(unit), gate(units + unit))).unzip();
    let scaled = |r: i16, value: i16| (i64::from(r) * i64::from(value) + (1 << 14)).div_euclid(1 << 15) as i16;
    let reset_h: Vec<i16> = r.iter().zip(&last).map(|(&r, &h)| scaled(r, h)).collect();
    for unit in 0..units {
        let row = 2 * units + unit;
        let n = match reset {
            Reset::After => {
                let s = q12(recurrent.sum(row, &last), shift);
                let sum = i64::from(q12(kernel.sum(row, x), shift)) + i64::from(scaled(r[unit], s));
                activation::tanh_q15(sum.clamp(-32768, 32767) as i16)
            }
            Reset::Before => activation::tanh_q15(q12(kernel.sum(row, x) + recurrent.product(row, &reset_h), shift)),
        };
        let (z, n, last) = (i64::from(z[unit]), i64::from(n), i64::from(h[unit]));
        h[unit] = i16::try_from(n + (z * (last - n) + (1 << 14)).div_euclid(1 << 15)).expect("h stays in its format");
    }
}

#[test]
fn every_backend_computes_the_naive_gru_of_int16_bit_for_bit() {
    let noise = &mut Noise(4);
    for (inputs, units) in shapes().filter(|(inputs, units)| inputs * units <= 1_100) {
        for (fill, shift, reset) in [
            (Fill::Even, 12, Reset::After),
            (Fill::Even, 12, Reset::Before),
            (Fill::Lumped, 15, Reset::After),
            (Fill::Full, 1, Reset::Before),
        ] {
            let kernel = Plain::new(noise, 3 * units, inputs, 2, fill);
            let recurrent = Plain::new(noise, 3 * units, units, 2, fill);
            let bias = if reset == Reset::After { &recurrent.bias[2 * units..] } else { &[] };
            let view = RowsI16 { bias, ..recurrent.view(shift) };
            let gru = GruI16 { kernel: kernel.view(shift), recurrent: view, reset };
            let x: Vec<Vec<i16>> = (0..4).map(|_| columns(noise, inputs, fill)).collect();
            let first: Vec<i16> = (0..units).map(|_| noise.between(-32767, 32767) as i16).collect();
            let mut expected = first.clone();
            x.iter().for_each(|x| naive_gru(&kernel, &recurrent, reset, shift, x, &mut expected));
            for_every_backend!(backend => {
                let mut scratch = vec![0x5a5a_5a5a; gru::scratch_integers(8, inputs, units)];
                for as_row in [true, false] {
                    let mut h = first.clone();
                    for x in &x {
                        let x = if as_row { Features::Row(x.as_slice()) } else { Features::Hidden(x) };
                        gru::step(backend, &gru, x, &mut scratch, &mut h);
                    }
                    assert_eq!(h, expected, "{}, {units} units, {inputs} inputs, {reset:?}", backend.name());
                }
            });
        }
    }
}

#[test]
fn every_backend_computes_the_naive_simple_cell_of_int16_bit_for_bit() {
    let noise = &mut Noise(5);
    for (inputs, units) in shapes() {
        for (fill, shift, activation) in [
            (Fill::Even, 12, Activation::Tanh),
            (Fill::Lumped, 9, Activation::Relu),
            (Fill::Full, 15, Activation::Tanh),
        ] {
            let plain = Plain::new(noise, units, inputs + units, 1, fill);
            let x: Vec<Vec<i16>> = (0..3).map(|_| columns(noise, inputs, fill)).collect();
            let mut expected = vec![0; units];
            for x in &x {
                let xh = [x.as_slice(), &expected].concat();
                expected = (0..units)
                    .map(|unit| match (q12(plain.sum(unit, &xh), shift), activation) {
                        (sum, Activation::Tanh) => activation::tanh_q15(sum),
                        (sum, Activation::Relu) => sum.max(0),
                    })
                    .collect();
            }
            let rnn = RnnI16 { rows: plain.view(shift), activation };
            for_every_backend!(backend => {
                let (mut h, mut scratch) = (vec![0; units], vec![0x5a5a_5a5a; rnn::scratch_integers(8, inputs, units)]);
                for x in &x {
                    rnn::step(backend, &rnn, Features::Row(x.as_slice()), &mut scratch, &mut h);
                }
                assert_eq!(h, expected, "{}, {units} units, {inputs} inputs, {activation:?}", backend.name());
            });
        }
    }
}
