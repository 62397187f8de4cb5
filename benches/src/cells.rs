//! Steps of one recurrent cell by the kernels alone, over random layers: for counting instructions.

use std::hint::black_box;

use latch_engine::kernels::cell::{gru, rnn};
use latch_engine::kernels::{Backend, Features, PACKED_ALIGNMENT, Packed, RowsI8, WithBackend};

/// The cells that are counted.
pub const CELLS: [&str; 3] = ["lstm", "gru", "rnn"];

/// The LSTM with weights of four bits, which is counted besides.
pub const INT4: &str = "lstm-int4";

/// So many steps of an int8 cell with as many inputs as units.
#[derive(Debug)]
pub struct Steps<'a> {
    /// One of [`CELLS`], or [`INT4`].
    pub cell: &'a str,
    /// Inputs and units, a multiple of 4.
    pub size: usize,
    /// How many.
    pub count: u32,
}

/// Bytes that start on a line of the cache, as packed weights do.
struct Lines {
    memory: Vec<u8>,
    start: usize,
}

impl Lines {
    fn new(bytes: &[u8]) -> Self {
        let mut memory = vec![0; bytes.len() + PACKED_ALIGNMENT];
        let start = memory.as_ptr().align_offset(PACKED_ALIGNMENT);
        memory.truncate(start + bytes.len());
        memory[start..].copy_from_slice(bytes);
        Lines { memory, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

/// Rows of random weights.
struct Layer {
    weights: Lines,
    multiplier: Vec<u16>,
    bias: Vec<i32>,
}

impl Layer {
    fn new(rows: usize, columns: usize) -> Self {
        let noise = |count: usize| (1..=count as u32).map(|n| n.wrapping_mul(0x9e37_79b9) >> 7);
        Layer {
            weights: Lines::new(&noise(rows * columns).map(|n| n as u8).collect::<Vec<u8>>()),
            multiplier: noise(rows).map(|n| n as u16 % 128).collect(),
            bias: noise(rows).map(|n| n as i32 - (1 << 24)).collect(),
        }
    }

    fn rows(&self) -> RowsI8<'_> {
        RowsI8 {
            weights: bytemuck::cast_slice(self.weights.bytes()),
            multiplier: &self.multiplier,
            bias: &self.bias,
            shift: 14,
            packed: Packed::NONE,
        }
    }
}

/// One step over features and a hidden state, forwards or backwards.
type Step<'s> = Box<dyn FnMut(Features<'_>, &mut [i16], bool) + 's>;

impl WithBackend for Steps<'_> {
    /// False for a cell that there is not.
    type Output = bool;

    fn run<B: Backend>(self, backend: B) -> bool {
        let size = self.size;
        let (x, mut h) = (vec![33; size], vec![0; size]);
        let mut each = |mut step: Step<'_>| {
            for n in 0..self.count {
                step(Features::Row(black_box(&x)), &mut h, n % 2 == 1);
            }
            black_box(&h);
        };
        match self.cell {
            "lstm" => {
                let layer = Layer::new(4 * size, 2 * size);
                let (mut c, mut xh) = (vec![0; size], vec![0; 2 * size]);
                let rows = layer.rows();
                each(Box::new(|x, h, odd| backend.step_i8(&rows, x, &mut xh, h, &mut c, odd)));
            }
            INT4 => {
                // Half as many bytes are as many nibbles.
                let layer = Layer::new(4 * size, 2 * size);
                let (mut c, mut xh) = (vec![0; size], vec![0; 2 * size]);
                let rows =
                    RowsI8 { weights: bytemuck::cast_slice(&layer.weights.bytes()[..4 * size * size]), ..layer.rows() };
                each(Box::new(|x, h, odd| backend.step_i4(&rows, x, &mut xh, h, &mut c, odd)));
            }
            "gru" => {
                let (kernel, recurrent) = (Layer::new(3 * size, size), Layer::new(3 * size, size));
                let recurrent_rows = RowsI8 { bias: &recurrent.bias[..size], ..recurrent.rows() };
                let layer = gru::GruI8 { kernel: kernel.rows(), recurrent: recurrent_rows, reset: gru::Reset::After };
                let mut scratch = vec![0; gru::scratch_i8(size, size)];
                each(Box::new(|x, h, _| backend.gru_i8(&layer, x, &mut scratch, h)));
            }
            "rnn" => {
                let layer = Layer::new(size, 2 * size);
                let layer = rnn::RnnI8 { rows: layer.rows(), activation: rnn::Activation::Tanh };
                let mut scratch = vec![0; rnn::scratch_i8(size, size)];
                each(Box::new(|x, h, _| backend.rnn_i8(&layer, x, &mut scratch, h)));
            }
            _ => return false,
        }
        true
    }
}
