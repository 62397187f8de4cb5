//! How often the integers of an int8 model reach the ends of their range, on given texts.
//!
//! A few saturated gates are harmless, because a sigmoid or tanh is flat there; many hidden or embedding values at their ends say that
//! a scale is wrong.

use latch_engine::image::Image;
use latch_engine::image::encode::widened;
use latch_engine::image::manifest::Layer;
use latch_engine::image::tensor::Role;
use latch_engine::kernels::{Backend, Packed, RowsI8, Scalar};
use rayon::prelude::*;
use serde::Serialize;

/// Values at the ends of their range, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Saturation {
    /// Gates at ±8 (Q3.12) before their activation.
    pub gates: Count,
    /// Cell states beyond ±8, where tanh is ±1 to within 1 LSB.
    pub cells: Count,
    /// Hidden states that int8 cannot hold: 127.5/128 and above.
    pub hidden: Count,
    /// Weights of the embedding at the ends of their range: ±127, or of four bits 7 and -8 sixteenths of 128.
    pub embedding: Count,
}

/// `saturated` of `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Values at an end of the range.
    pub saturated: u64,
    /// Values in all.
    pub total: u64,
}

impl Count {
    fn of<T: Copy>(values: &[T], is_saturated: impl Fn(T) -> bool) -> Self {
        Count {
            saturated: values.iter().filter(|&&value| is_saturated(value)).count() as u64,
            total: values.len() as u64,
        }
    }

    fn add(self, other: Count) -> Self {
        Count { saturated: self.saturated + other.saturated, total: self.total + other.total }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = 100.0 * self.saturated as f64 / self.total.max(1) as f64;
        write!(f, "{} of {} ({share:.4} %)", self.saturated, self.total)
    }
}

impl Saturation {
    fn add(self, other: Saturation) -> Self {
        Saturation {
            gates: self.gates.add(other.gates),
            cells: self.cells.add(other.cells),
            hidden: self.hidden.add(other.hidden),
            embedding: self.embedding.add(other.embedding),
        }
    }
}

/// Counts over the ids of some texts, with the kernels that the engine runs. An image that is not int8 saturates nowhere, and of a folded
/// one nothing is counted: the image that it was made from saturates in the same places.
pub fn count(image: &Image<'_>, sequences: &[Vec<u32>]) -> Saturation {
    if image.manifest().folded > 0 {
        return Saturation::default();
    }
    let embedding = &int8(image, Role::Embedding, 0);
    let width = usize::from(image.manifest().embedding.width);
    let weights: Vec<Vec<i8>> =
        (0..image.manifest().layers.len()).map(|index| int8(image, Role::GateWeights, index as u8)).collect();
    let layers: Vec<(usize, RowsI8<'_>)> = image
        .manifest()
        .layers
        .iter()
        .enumerate()
        .map(|(index, Layer::Lstm(lstm))| {
            let gates = RowsI8 {
                weights: &weights[index],
                multiplier: section(image, Role::GateMultipliers, index as u8),
                bias: section(image, Role::GateBiases, index as u8),
                shift: u32::from(lstm.shift),
                packed: Packed::NONE,
            };
            (usize::from(lstm.units), gates)
        })
        .collect();
    let highest = if image.manifest().extended.nibbles.embedding { 112 } else { 127 };
    let stored = Count::of(embedding, |value| value == -128 || value.unsigned_abs() >= highest);
    let run = sequences
        .par_iter()
        .map(|ids| count_one(embedding, width, &layers, ids))
        .reduce(Saturation::default, Saturation::add);
    Saturation { embedding: stored, ..run }
}

/// The weights of a section as int8.
fn int8(image: &Image<'_>, role: Role, layer: u8) -> Vec<i8> {
    let section = image.sections().find(|section| section.role == role && section.layer == layer);
    section.map_or(Vec::new(), |section| widened(image, &section))
}

fn section<'a, T: bytemuck::Pod>(image: &Image<'a>, role: Role, layer: u8) -> &'a [T] {
    image
        .sections()
        .find(|section| section.role == role && section.layer == layer)
        .and_then(|section| bytemuck::try_cast_slice(image.section_bytes(&section)).ok())
        .unwrap_or(&[])
}

fn count_one(embedding: &[i8], width: usize, layers: &[(usize, RowsI8<'_>)], ids: &[u32]) -> Saturation {
    let mut counts = Saturation::default();
    let mut states: Vec<(Vec<i16>, Vec<i32>)> =
        layers.iter().map(|(units, _)| (vec![0; *units], vec![0; *units])).collect();
    for &id in ids {
        let Some(row) = embedding.get(id as usize * width..(id as usize + 1) * width) else { continue };
        let mut x: Vec<i16> = row.iter().map(|&value| i16::from(value)).collect();
        for ((units, gates), (h, c)) in layers.iter().zip(&mut states) {
            let mut previous = vec![0; *units];
            Scalar.narrow_q15(h, &mut previous);
            let mut xh = [x, previous].concat();
            xh.resize(xh.len().next_multiple_of(4), 0);
            counts.gates = counts.gates.add(saturated_gates(gates, &xh));
            Scalar.lstm_i8(gates, &mut xh, h, c);
            counts.cells = counts.cells.add(Count::of(c, |c| c.unsigned_abs() >= 8 << 19));
            counts.hidden = counts.hidden.add(Count::of(h, |h| i32::from(h) + 128 >= 128 << 8));
            x = vec![0; *units];
            Scalar.narrow_q15(h, &mut x);
        }
    }
    counts
}

/// Rows whose `(Σ w·xh)·M + B >> shift` does not fit Q3.12.
fn saturated_gates(gates: &RowsI8<'_>, xh: &[i16]) -> Count {
    let mut count = Count { saturated: 0, total: gates.bias.len() as u64 };
    for (unit, weights) in gates.weights.chunks_exact(xh.len() * 4).enumerate() {
        for gate in 0..4 {
            let columns = weights.chunks_exact(16).flat_map(|block| &block[gate * 4..gate * 4 + 4]);
            let sum: i32 = columns.zip(xh).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
            let row = unit * 4 + gate;
            let value = (sum * i32::from(gates.multiplier[row]) + gates.bias[row]) >> gates.shift;
            count.saturated += u64::from(i16::try_from(value).is_err());
        }
    }
    count
}
