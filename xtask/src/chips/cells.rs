//! Random layers of each recurrent cell, for counting one step of its kernels on a chip: what the program `cells` finds
//! in its slot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The cells, in the order of their numbers in a layer's first word.
pub(super) const CELLS: [&str; 5] = ["lstm", "gru", "gru-before", "rnn", "rnn-relu"];

/// The cells of floats, whose numbers follow.
pub(super) const FLOAT_CELLS: [&str; 5] = ["lstm-f32", "gru-f32", "gru-before-f32", "rnn-f32", "rnn-relu-f32"];

/// The LSTM with weights of four bits, whose number comes last.
pub(super) const INT4: &str = "lstm-int4";

/// Inputs and units.
pub(super) const SHAPES: [(usize, usize); 3] = [(64, 64), (16, 16), (1, 1)];

/// The most that a cell's step may take, as a part of the LSTM's of the same shape: board, cell, shape.
pub(super) const PARTS: [(&str, &str, &str, f64); 8] = [
    ("mps2-an386", "gru", "64x64", 0.84),
    ("mps2-an386", "gru", "16x16", 0.95),
    ("mps3-an547", "gru", "64x64", 0.90),
    ("microbit", "gru", "16x16", 0.92),
    ("mps2-an386", "rnn", "64x64", 0.32),
    ("mps2-an386", "rnn", "16x16", 0.40),
    ("mps2-an386", INT4, "64x64", 1.25),
    ("microbit", INT4, "16x16", 1.30),
];

/// Writes the layer of a cell into a folder, and gives its path.
pub(super) fn layer(folder: &Path, name: &str, (inputs, units): (usize, usize)) -> Result<PathBuf> {
    let number = CELLS
        .iter()
        .chain(&FLOAT_CELLS)
        .chain([&INT4])
        .position(|cell| *cell == name)
        .context("there is no such cell")?;
    let (cell, float) = name.strip_suffix("-f32").map_or((name, false), |cell| (cell, true));
    // Floats pad units to eights, integers rows and columns to fours.
    let (lanes, columns) = if float { (8, 1) } else { (1, 4) };
    let lanes = units.next_multiple_of(lanes);
    let rows = |rows: usize| rows.next_multiple_of(4);
    let joined = (inputs + units).next_multiple_of(columns);
    let (matrices, biases) = match cell {
        "lstm" | INT4 => (vec![(4 * lanes, joined)], 4 * lanes),
        "gru" | "gru-before" => {
            let rows = rows(3 * lanes);
            let matrices = vec![(rows, inputs.next_multiple_of(columns)), (rows, units.next_multiple_of(columns))];
            (matrices, rows + if cell == "gru" { lanes } else { 0 })
        }
        _ => (vec![(rows(lanes), joined)], rows(lanes)),
    };
    let mut bytes: Vec<u8> =
        [number as u32, inputs as u32, units as u32, 14].into_iter().flat_map(u32::to_le_bytes).collect();
    let mut noise = Noise(number as u32 + 1);
    let weights: usize = matrices.iter().map(|(rows, columns)| rows * columns).sum();
    let weights = if cell == INT4 { weights / 2 } else { weights };
    if float {
        bytes.extend((0..weights + biases).flat_map(|_| noise.float().to_le_bytes()));
    } else {
        bytes.extend((0..weights).map(|_| noise.next() as u8));
        // 128 columns of 128 * 128 times these multipliers are at most a quarter of an i32, and the two kernels of a GRU
        // add up.
        for (rows, _) in &matrices {
            bytes.extend((0..*rows).flat_map(|_| (noise.next() as u16 % 256).to_le_bytes()));
        }
        bytes.extend((0..biases).flat_map(|_| ((noise.next() as i32) >> 3).to_le_bytes()));
    }
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

    /// In [-1/4, 1/4).
    fn float(&mut self) -> f32 {
        (self.next() >> 8) as f32 / 33_554_432.0 - 0.25
    }
}
