//! Random layers of each recurrent cell, for counting one step of its kernels on a chip: what the program `cells` finds
//! in its slot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The cells, in the order of their numbers in a layer's first word.
pub(super) const CELLS: [&str; 5] = ["lstm", "gru", "gru-before", "rnn", "rnn-relu"];

/// Inputs and units.
pub(super) const SHAPES: [(usize, usize); 3] = [(64, 64), (16, 16), (1, 1)];

/// The most that a cell's step may take, as a part of the LSTM's of the same shape: board, cell, shape.
pub(super) const PARTS: [(&str, &str, &str, f64); 6] = [
    ("mps2-an386", "gru", "64x64", 0.84),
    ("mps2-an386", "gru", "16x16", 0.95),
    ("mps3-an547", "gru", "64x64", 0.90),
    ("microbit", "gru", "16x16", 0.92),
    ("mps2-an386", "rnn", "64x64", 0.32),
    ("mps2-an386", "rnn", "16x16", 0.40),
];

/// Writes the layer of a cell into a folder, and gives its path.
pub(super) fn layer(folder: &Path, cell: usize, (inputs, units): (usize, usize)) -> Result<PathBuf> {
    let name = CELLS.get(cell).context("there is no such cell")?;
    let joined = (inputs + units).next_multiple_of(4);
    let (matrices, biases) = match *name {
        "lstm" => (vec![(4 * units, joined)], 4 * units),
        "gru" | "gru-before" => {
            let rows = (3 * units).next_multiple_of(4);
            let matrices = vec![(rows, inputs.next_multiple_of(4)), (rows, units.next_multiple_of(4))];
            (matrices, rows + if *name == "gru" { units } else { 0 })
        }
        _ => (vec![(units.next_multiple_of(4), joined)], units.next_multiple_of(4)),
    };
    let mut bytes: Vec<u8> =
        [cell as u32, inputs as u32, units as u32, 14].into_iter().flat_map(u32::to_le_bytes).collect();
    let mut noise = Noise(cell as u32 + 1);
    for (rows, columns) in &matrices {
        bytes.extend((0..rows * columns).map(|_| noise.next() as u8));
    }
    // 128 columns of 128 * 128 times these multipliers are at most a quarter of an i32, and the two kernels of a GRU
    // add up.
    for (rows, _) in &matrices {
        bytes.extend((0..*rows).flat_map(|_| (noise.next() as u16 % 256).to_le_bytes()));
    }
    bytes.extend((0..biases).flat_map(|_| ((noise.next() as i32) >> 3).to_le_bytes()));
    let path = folder.join(format!("cell-{name}-{inputs}x{units}.layer"));
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Xorshift.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}
