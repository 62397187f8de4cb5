//! One recurrent cell with its weights, its inputs and the answer that every engine has to give.

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

/// What a cell does in a step. Written as `lstm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Gates i, f, g, o.
    Lstm,
    /// Gates z, r, n; the reset gate acts after the recurrent product, as Keras's does unless told otherwise.
    Gru,
    /// One row a unit, through tanh.
    Rnn,
}

impl Kind {
    /// All, in the order of the tables.
    pub const ALL: [Kind; 3] = [Kind::Lstm, Kind::Gru, Kind::Rnn];

    /// As rows of figures have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Lstm => "lstm",
            Kind::Gru => "gru",
            Kind::Rnn => "rnn",
        }
    }

    /// Rows of a unit.
    pub fn gates(self) -> usize {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            Kind::Rnn => 1,
        }
    }

    /// The precisions in which ours is measured, as images name them, with what the engine calls them. Four bits are those of weights alone.
    pub fn precisions(self) -> &'static [(&'static str, Precision)] {
        match self {
            Kind::Lstm => &[
                ("f32", Precision::F32),
                ("f16", Precision::F16),
                ("int8", Precision::Int8),
                ("int4", Precision::Int8),
            ],
            Kind::Gru | Kind::Rnn => &[("f32", Precision::F32), ("int8", Precision::Int8)],
        }
    }

    /// True where a shape is measured with this cell: with other ones than the LSTM as many inputs as units.
    pub fn has(self, shape: Shape) -> bool {
        self == Kind::Lstm || shape.inputs == shape.units
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Kind::ALL.into_iter().find(|kind| kind.name() == text).with_context(|| format!("there is no cell {text}"))
    }
}

/// Inputs and units of a cell. Written as `16x16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Features of the input, I.
    pub inputs: usize,
    /// Units, H.
    pub units: usize,
}

impl Shape {
    /// Multiply-adds of an LSTM step, `4H·(I + H)`.
    pub fn multiply_adds(self) -> usize {
        4 * self.units * (self.inputs + self.units)
    }

    /// Bytes that an LSTM step reads of weights stored in `weight_bytes` each, with `gate_bytes` of bias and multiplier for each of the 4H rows.
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
        let number = |part: &str| part.parse().with_context(|| format!("{part:?} in the size {text} is no number"));
        let shape = Shape { inputs: number(inputs)?, units: number(units)? };
        ensure!(
            SHAPES.contains(&shape),
            "{shape} is not among the sizes that are measured: {}",
            SHAPES.map(|shape| shape.to_string()).join(", ")
        );
        Ok(shape)
    }
}

/// A cell. Matrices are row-major, and row `gate·H + unit` has the gates, G of them, in the order of its [`Kind`].
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What it does.
    pub kind: Kind,
    /// I and H.
    pub shape: Shape,
    /// The inputs, `ROWS × I`.
    pub rows: Vec<f32>,
    /// Weights of the input, `GH × I`.
    pub kernel: Vec<f32>,
    /// Weights of the hidden state, `GH × H`.
    pub recurrent_kernel: Vec<f32>,
    /// `GH`.
    pub bias: Vec<f32>,
    /// The bias of the recurrent product, `GH`, of a GRU; else empty.
    pub recurrent_bias: Vec<f32>,
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
    /// a = W·x + b      s = U·h + b'
    /// LSTM    c' = σ(a_f + s_f)·c + σ(a_i + s_i)·tanh(a_g + s_g)      h' = σ(a_o + s_o)·tanh(c')
    /// GRU     n = tanh(a_n + σ(a_r + s_r)·s_n)                        h' = n + σ(a_z + s_z)·(h - n)
    /// RNN     h' = tanh(a + s)
    /// ```
    pub fn answer(&self) -> Vec<f64> {
        let units = self.shape.units;
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
        for step in 0..CHECKED_STEPS {
            let x: Vec<f64> = self.row(step).iter().map(|&x| f64::from(x)).collect();
            let a = products(&self.kernel, &self.bias, &x);
            let s = products(&self.recurrent_kernel, &self.recurrent_bias, &h);
            for unit in 0..units {
                let sum = |gate: usize| a[gate * units + unit] + s[gate * units + unit];
                h[unit] = match self.kind {
                    Kind::Lstm => {
                        c[unit] = sigmoid(sum(1)) * c[unit] + sigmoid(sum(0)) * sum(2).tanh();
                        sigmoid(sum(3)) * c[unit].tanh()
                    }
                    Kind::Gru => {
                        let n = (a[2 * units + unit] + sigmoid(sum(1)) * s[2 * units + unit]).tanh();
                        n + sigmoid(sum(0)) * (h[unit] - n)
                    }
                    Kind::Rnn => sum(0).tanh(),
                };
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

    /// A matrix or the bias of an LSTM with its gates in another order, for engines that want theirs differently.
    pub fn gates(order: [usize; 4], matrix: &[f32]) -> Vec<f32> {
        let gate = matrix.len() / 4;
        order.iter().flat_map(|&index| matrix[index * gate..(index + 1) * gate].iter().copied()).collect()
    }

    /// The file's bytes, little-endian: I and H as u32; inputs, kernel, recurrent kernel, the biases and the answer as f32, as they stand in
    /// [`Cell`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let Shape { inputs, units } = self.shape;
        let mut bytes: Vec<u8> = [inputs, units].iter().flat_map(|&n| (n as u32).to_le_bytes()).collect();
        let answer: Vec<f32> = self.answer().iter().map(|&h| h as f32).collect();
        let Cell { rows, kernel, recurrent_kernel, bias, recurrent_bias, .. } = self;
        for values in [rows, kernel, recurrent_kernel, bias, recurrent_bias, &answer] {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    /// The cell of a file's bytes.
    ///
    /// # Errors
    /// When the length does not fit the cell and the shape.
    pub fn from_bytes(kind: Kind, bytes: &[u8]) -> Result<Self> {
        let (words, []) = bytes.as_chunks::<4>() else { bail!("{} bytes are no whole number of words", bytes.len()) };
        let [inputs, units, values @ ..] = words else { bail!("a shape of two words is missing") };
        let shape = Shape { inputs: u32::from_le_bytes(*inputs) as usize, units: u32::from_le_bytes(*units) as usize };
        let rows = kind.gates() * shape.units;
        let recurrent_bias = if kind == Kind::Gru { rows } else { 0 };
        let parts = [ROWS * shape.inputs, rows * shape.inputs, rows * shape.units, rows, recurrent_bias];
        let mut rest: Vec<f32> = values.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let expected = parts.iter().sum::<usize>() + shape.units;
        ensure!(
            rest.len() == expected,
            "a cell {} of {shape} has {expected} values, and here are {}",
            kind.name(),
            rest.len()
        );
        let mut take = |count: usize| rest.drain(..count).collect::<Vec<f32>>();
        let [rows, kernel, recurrent_kernel, bias, recurrent_bias] = parts.map(&mut take);
        Ok(Cell { kind, shape, rows, kernel, recurrent_kernel, bias, recurrent_bias })
    }

    /// Reads the file of a cell from the folder that `prepare` has filled.
    ///
    /// # Errors
    /// Names the file when it cannot be read or is no cell.
    pub fn read(folder: &Path, kind: Kind, shape: Shape) -> Result<Self> {
        let path = folder.join(cell_file(kind, shape));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_bytes(kind, &bytes).with_context(|| format!("{} is no cell", path.display()))
    }
}

/// Matrix times vector, plus a bias where there is one.
fn products(matrix: &[f32], bias: &[f32], v: &[f64]) -> Vec<f64> {
    let dot = |row: &[f32]| row.iter().zip(v).map(|(&w, v)| f64::from(w) * v).sum::<f64>();
    let bias = bias.iter().map(|&bias| f64::from(bias)).chain(std::iter::repeat(0.0));
    matrix.chunks(v.len()).map(dot).zip(bias).map(|(sum, bias)| sum + bias).collect()
}

/// The hidden state of a session over an image of one layer, out of that layer's state: with an LSTM cells, hidden.
pub fn hidden_state(session: &View<'_, '_, '_>, precision: Precision, kind: Kind, shape: Shape) -> Vec<f32> {
    let lanes = if precision == Precision::Int8 { shape.units } else { shape.units.next_multiple_of(8) };
    let cells = if kind == Kind::Lstm { 4 * lanes } else { 0 };
    let hidden = session.layer_state(0).get(cells..).unwrap_or(&[]);
    if precision == Precision::Int8 {
        let (values, _) = hidden.as_chunks::<2>();
        values.iter().take(shape.units).map(|&value| f32::from(i16::from_le_bytes(value)) / 32_768.0).collect()
    } else {
        let (values, _) = hidden.as_chunks::<4>();
        values.iter().take(shape.units).map(|&value| f32::from_le_bytes(value)).collect()
    }
}

/// The name of a cell's file.
pub fn cell_file(kind: Kind, shape: Shape) -> String {
    format!("{}-{shape}.cell", kind.name())
}

/// The name of the file with the LSTM cell as an ONNX model.
pub fn onnx_file(shape: Shape) -> String {
    format!("lstm-{shape}.onnx")
}

/// The name of the file with the cell as an image; `precision` as the engine names it.
pub fn image_file(kind: Kind, shape: Shape, precision: &str) -> String {
    format!("{}-{shape}-{precision}.latch", kind.name())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cell of small numbers that differ.
    pub(crate) fn cell(kind: Kind, inputs: usize, units: usize) -> Cell {
        let values = |count: usize| (0..count).map(|n| (n * 37 % 101) as f32 / 101.0 - 0.5).collect::<Vec<f32>>();
        let rows = kind.gates() * units;
        Cell {
            kind,
            shape: Shape { inputs, units },
            rows: values(ROWS * inputs),
            kernel: values(rows * inputs),
            recurrent_kernel: values(rows * units),
            bias: values(rows),
            recurrent_bias: values(if kind == Kind::Gru { rows } else { 0 }),
        }
    }

    /// A cell of one input and one unit whose weights are zeros.
    fn without_weights(kind: Kind, bias: &[f32], recurrent_bias: &[f32]) -> Cell {
        let zeros = vec![0.0; kind.gates()];
        let (bias, recurrent_bias) = (bias.to_vec(), recurrent_bias.to_vec());
        Cell {
            kernel: zeros.clone(),
            recurrent_kernel: zeros,
            rows: vec![1.0; ROWS],
            bias,
            recurrent_bias,
            ..cell(kind, 1, 1)
        }
    }

    fn sigmoid(z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    #[test]
    fn a_cell_comes_back_from_its_bytes() -> Result<()> {
        for kind in Kind::ALL {
            let cell = cell(kind, 3, 5);
            assert_eq!(Cell::from_bytes(kind, &cell.to_bytes())?, cell);
        }
        Ok(())
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        let bytes = cell(Kind::Lstm, 3, 5).to_bytes();
        for length in [0, 4, 8, bytes.len() - 4, bytes.len() - 1] {
            assert!(Cell::from_bytes(Kind::Lstm, &bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Cell::from_bytes(Kind::Gru, &bytes).is_err());
    }

    #[test]
    fn one_unit_without_weights_follows_the_equations() {
        // Gates are constant, so c' = σ(1)·c + σ(0.5)·tanh(-0.25) is a geometric series.
        let cell = without_weights(Kind::Lstm, &[0.5, 1.0, -0.25, 2.0], &[]);
        let (f, added) = (sigmoid(1.0), sigmoid(0.5) * (-0.25_f64).tanh());
        let c = added * (1.0 - f.powi(CHECKED_STEPS as i32)) / (1.0 - f);
        assert!((cell.answer()[0] - sigmoid(2.0) * c.tanh()).abs() < 1e-12);
        assert!(cell.difference(&[0.0]) > 0.1);
        assert_eq!(cell.difference(&[f32::NAN]), f64::INFINITY);
        assert_eq!(cell.difference(&[]), f64::INFINITY);
    }

    #[test]
    fn a_gru_multiplies_the_recurrent_bias_of_its_candidate_by_the_reset_gate() {
        // h' = n + z·(h - n) leaves z^16 of the way from 0 to n.
        let cell = without_weights(Kind::Gru, &[0.5, -1.0, 0.75], &[0.25, 0.5, 1.5]);
        let (z, n) = (sigmoid(0.75), (0.75 + sigmoid(-0.5) * 1.5).tanh());
        assert!((cell.answer()[0] - n * (1.0 - z.powi(CHECKED_STEPS as i32))).abs() < 1e-12);
    }

    #[test]
    fn a_simple_cell_feeds_its_state_back() {
        let mut cell = without_weights(Kind::Rnn, &[0.5], &[]);
        cell.recurrent_kernel = vec![-0.75];
        let h = (0..CHECKED_STEPS).fold(0.0, |h: f64, _| (0.5 - 0.75 * h).tanh());
        assert!((cell.answer()[0] - h).abs() < 1e-12);
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
