//! One LSTM cell with its weights, its inputs and the answer that every engine has to give.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use latch_engine::{Precision, View};

/// Different inputs; step `t` reads number `t mod ROWS`.
pub const ROWS: usize = 8;

/// Steps from the zero state after which the answers are compared.
pub const CHECKED_STEPS: usize = 16;

/// Inputs and units of the cells that are measured.
pub const SHAPES: [Shape; 6] = [
    Shape { inputs: 16, units: 16 },
    Shape { inputs: 32, units: 32 },
    Shape { inputs: 64, units: 64 },
    Shape { inputs: 128, units: 128 },
    Shape { inputs: 256, units: 256 },
    Shape { inputs: 1, units: 40 },
];

/// Inputs and units of a cell. Written as `16x16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Features of the input, I.
    pub inputs: usize,
    /// Units, H.
    pub units: usize,
}

impl Shape {
    /// Multiply-adds of a step, `4H·(I + H)`.
    pub fn multiply_adds(self) -> usize {
        4 * self.units * (self.inputs + self.units)
    }

    /// Bytes that a step reads of weights stored in `weight_bytes` each, with `gate_bytes` of bias and multiplier for each of the 4H rows.
    pub fn bytes(self, weight_bytes: usize, gate_bytes: usize) -> usize {
        self.multiply_adds() * weight_bytes + 4 * self.units * gate_bytes
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.inputs, self.units)
    }
}

/// `64` is `64x64`.
impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (inputs, units) = text.split_once('x').unwrap_or((text, text));
        let number = |text: &str| text.parse().with_context(|| format!("{text} in the size {text} is no number"));
        let shape = Shape { inputs: number(inputs)?, units: number(units)? };
        ensure!(
            SHAPES.contains(&shape),
            "{shape} is not among the sizes that are measured: {}",
            SHAPES.map(|shape| shape.to_string()).join(", ")
        );
        Ok(shape)
    }
}

/// A cell. Matrices are row-major, and row `gate·H + unit` has the gates in the order i, f, g, o.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// I and H.
    pub shape: Shape,
    /// The inputs, `ROWS × I`.
    pub rows: Vec<f32>,
    /// Weights of the input, `4H × I`.
    pub kernel: Vec<f32>,
    /// Weights of the hidden state, `4H × H`.
    pub recurrent_kernel: Vec<f32>,
    /// `4H`.
    pub bias: Vec<f32>,
}

impl Cell {
    /// The input of a step.
    pub fn row(&self, step: usize) -> &[f32] {
        let start = step % ROWS * self.shape.inputs;
        &self.rows[start..start + self.shape.inputs]
    }

    /// The hidden state after [`CHECKED_STEPS`] steps from the zero state, in f64:
    ///
    /// ```text
    /// z = W·x + U·h + b      c' = σ(z_f)·c + σ(z_i)·tanh(z_g)      h' = σ(z_o)·tanh(c')
    /// ```
    pub fn answer(&self) -> Vec<f64> {
        let Shape { inputs, units } = self.shape;
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let dot = |row: &[f32], v: &[f64]| row.iter().zip(v).map(|(&w, v)| f64::from(w) * v).sum::<f64>();
        let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
        for step in 0..CHECKED_STEPS {
            let x: Vec<f64> = self.row(step).iter().map(|&x| f64::from(x)).collect();
            let z: Vec<f64> = (0..4 * units)
                .map(|row| {
                    dot(&self.kernel[row * inputs..][..inputs], &x)
                        + dot(&self.recurrent_kernel[row * units..][..units], &h)
                        + f64::from(self.bias[row])
                })
                .collect();
            for unit in 0..units {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| z[gate * units + unit]);
                c[unit] = sigmoid(f) * c[unit] + sigmoid(i) * g.tanh();
                h[unit] = sigmoid(o) * c[unit].tanh();
            }
        }
        h
    }

    /// The largest difference of a hidden state from the [answer](Cell::answer); infinite when the lengths differ or something is no number.
    pub fn difference(&self, hidden: &[f32]) -> f64 {
        let answer = self.answer();
        if hidden.len() != answer.len() || hidden.iter().any(|h| !h.is_finite()) {
            return f64::INFINITY;
        }
        answer.iter().zip(hidden).map(|(answer, &h)| (answer - f64::from(h)).abs()).fold(0.0, f64::max)
    }

    /// A matrix or the bias with its gates in another order, for engines that want theirs differently.
    pub fn gates(order: [usize; 4], matrix: &[f32]) -> Vec<f32> {
        let gate = matrix.len() / 4;
        order.iter().flat_map(|&index| matrix[index * gate..(index + 1) * gate].iter().copied()).collect()
    }

    /// The file's bytes, little-endian: I and H as u32; inputs, kernel, recurrent kernel, bias and answer as f32, as they stand in [`Cell`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let Shape { inputs, units } = self.shape;
        let mut bytes: Vec<u8> = [inputs, units].iter().flat_map(|&n| (n as u32).to_le_bytes()).collect();
        let answer: Vec<f32> = self.answer().iter().map(|&h| h as f32).collect();
        for values in [&self.rows, &self.kernel, &self.recurrent_kernel, &self.bias, &answer] {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    /// The cell of a file's bytes.
    ///
    /// # Errors
    /// When the length does not fit the shape.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (words, []) = bytes.as_chunks::<4>() else { bail!("{} bytes are no whole number of words", bytes.len()) };
        let [inputs, units, values @ ..] = words else { bail!("a shape of two words is missing") };
        let shape = Shape { inputs: u32::from_le_bytes(*inputs) as usize, units: u32::from_le_bytes(*units) as usize };
        let parts =
            [ROWS * shape.inputs, 4 * shape.units * shape.inputs, 4 * shape.units * shape.units, 4 * shape.units];
        let mut rest: Vec<f32> = values.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let expected = parts.iter().sum::<usize>() + shape.units;
        ensure!(rest.len() == expected, "a cell of {shape} has {expected} values, and here are {}", rest.len());
        let mut take = |count: usize| rest.drain(..count).collect::<Vec<f32>>();
        let [rows, kernel, recurrent_kernel, bias] = parts.map(&mut take);
        Ok(Cell { shape, rows, kernel, recurrent_kernel, bias })
    }

    /// Reads the file of a cell from the folder that `prepare` has filled.
    ///
    /// # Errors
    /// Names the file when it cannot be read or is no cell.
    pub fn read(folder: &Path, shape: Shape) -> Result<Self> {
        let path = folder.join(cell_file(shape));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_bytes(&bytes).with_context(|| format!("{} is no cell", path.display()))
    }
}

/// The hidden state of a session over an image of one layer, out of that layer's state: cells, hidden.
pub fn hidden_state(session: &View<'_, '_, '_>, precision: Precision, shape: Shape) -> Vec<f32> {
    let lanes = if precision == Precision::Int8 { shape.units } else { shape.units.next_multiple_of(8) };
    let hidden = session.layer_state(0).get(4 * lanes..).unwrap_or(&[]);
    if precision == Precision::Int8 {
        let (values, _) = hidden.as_chunks::<2>();
        values.iter().take(shape.units).map(|&value| f32::from(i16::from_le_bytes(value)) / 32_768.0).collect()
    } else {
        let (values, _) = hidden.as_chunks::<4>();
        values.iter().take(shape.units).map(|&value| f32::from_le_bytes(value)).collect()
    }
}

/// The name of a cell's file.
pub fn cell_file(shape: Shape) -> String {
    format!("{shape}.cell")
}

/// The name of the file with the cell as an ONNX model.
pub fn onnx_file(shape: Shape) -> String {
    format!("{shape}.onnx")
}

/// The name of the file with the cell as an image; `precision` as the engine names it.
pub fn image_file(shape: Shape, precision: &str) -> String {
    format!("{shape}-{precision}.latch")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cell of small numbers that differ.
    pub(crate) fn cell(inputs: usize, units: usize) -> Cell {
        let values = |count: usize| (0..count).map(|n| (n * 37 % 101) as f32 / 101.0 - 0.5).collect::<Vec<f32>>();
        Cell {
            shape: Shape { inputs, units },
            rows: values(ROWS * inputs),
            kernel: values(4 * units * inputs),
            recurrent_kernel: values(4 * units * units),
            bias: values(4 * units),
        }
    }

    #[test]
    fn a_cell_comes_back_from_its_bytes() -> Result<()> {
        let cell = cell(3, 5);
        assert_eq!(Cell::from_bytes(&cell.to_bytes())?, cell);
        Ok(())
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        let bytes = cell(3, 5).to_bytes();
        for length in [0, 4, 8, bytes.len() - 4, bytes.len() - 1] {
            assert!(Cell::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn one_unit_without_weights_follows_the_equations() {
        // Gates are constant, so c' = σ(1)·c + σ(0.5)·tanh(-0.25) is a geometric series.
        let cell = Cell {
            shape: Shape { inputs: 1, units: 1 },
            rows: vec![1.0; ROWS],
            kernel: vec![0.0; 4],
            recurrent_kernel: vec![0.0; 4],
            bias: vec![0.5, 1.0, -0.25, 2.0],
        };
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (f, added) = (sigmoid(1.0), sigmoid(0.5) * (-0.25_f64).tanh());
        let c = added * (1.0 - f.powi(CHECKED_STEPS as i32)) / (1.0 - f);
        assert!((cell.answer()[0] - sigmoid(2.0) * c.tanh()).abs() < 1e-12);
        assert!(cell.difference(&[0.0]) > 0.1);
        assert_eq!(cell.difference(&[f32::NAN]), f64::INFINITY);
        assert_eq!(cell.difference(&[]), f64::INFINITY);
    }

    #[test]
    fn gates_change_places_whole() {
        let matrix: Vec<f32> = (0..8).map(|n| n as f32).collect();
        assert_eq!(Cell::gates([0, 3, 1, 2], &matrix), [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_size_is_read_as_it_is_written() -> Result<()> {
        for shape in SHAPES {
            assert_eq!(shape.to_string().parse::<Shape>()?, shape);
        }
        assert_eq!("64".parse::<Shape>()?, Shape { inputs: 64, units: 64 });
        assert!("17".parse::<Shape>().is_err() && "big".parse::<Shape>().is_err());
        Ok(())
    }
}
