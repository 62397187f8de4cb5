//! Takes steps of one recurrent cell by the chip's kernels, with a marker before and behind each, so that an emulator
//! can count what a cell costs
//! by itself, without embedding, pooling and session.
//!
//! The slot has a layer in place of an image, all little-endian:
//!
//! ```text
//! cell u32 (0 LSTM, 1 GRU, 2 GRU with its reset gate before the product, 3 simple with tanh, 4 simple with the rectifier) · inputs u32 · units u32 · shift u32
//! weights, for a GRU those of the kernel and of the recurrent kernel · multipliers likewise · biases likewise
//! ```
//!
//! 5 to 9 are the same cells of f32, whose layers have no multipliers; 10 is the LSTM with weights of four bits.
//!
//! Afterwards the file `output` has the digest of all hidden states, u64. The exit status is 0, or says what failed: 2
//! the slot has no layer, 3 the RAM set aside is
//! too small, 5 the output failed. 101 and 102 are a panic and a fault.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
compile_error!("the feature `device` is for the chips' targets: leave it out on a host");

use embedded_io::Write;
use latch_engine::kernels::cell::{gru, rnn};
use latch_engine::kernels::{AnyBackend, Backend, Features, Packed, RowsI8, WithBackend};
#[cfg(feature = "float")]
use latch_engine::kernels::{FeaturesFloat, RowsFloat};
use latch_firmware_sim::device::{self, Chip, ChipPort, entry};
use latch_firmware_sim::link::board::Machine;

/// Steps that are taken.
const STEPS: u32 = 64;

#[entry]
fn main() -> ! {
    device::exit(run().err().unwrap_or(0))
}

fn run() -> Result<(), u32> {
    let (chip, memory) = Chip::take().ok_or(5_u32)?;
    let (header, rest) = chip.image().split_at_checked(16).ok_or(2_u32)?;
    let words: &[u32] = bytemuck::try_cast_slice(header).map_err(|_| 2_u32)?;
    let [cell, inputs, units, shift] = words.try_into().map_err(|_| 2_u32)?;
    let task = Task { cell, inputs: inputs as usize, units: units as usize, shift, rest, memory };
    let digest = AnyBackend::detect().run(task)?;
    let mut port = ChipPort::open().map_err(|_| 5_u32)?;
    port.write_all(&digest.to_le_bytes()).map_err(|_| 5)
}

/// The layer and the memory for its states.
struct Task<'a> {
    cell: u32,
    inputs: usize,
    units: usize,
    shift: u32,
    rest: &'a [u8],
    memory: &'a mut [u8],
}

/// The first elements of bytes, and the bytes behind them.
fn take<'a, T: bytemuck::Pod>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [T], u32> {
    let (now, later) = bytes.split_at_checked(count * size_of::<T>()).ok_or(2_u32)?;
    *bytes = later;
    bytemuck::try_cast_slice(now).map_err(|_| 2)
}

/// The same of memory that is written.
fn take_mut<'a, T: bytemuck::Pod>(bytes: &mut &'a mut [u8], count: usize) -> Result<&'a mut [T], u32> {
    let (now, later) = core::mem::take(bytes).split_at_mut_checked(count * size_of::<T>()).ok_or(3_u32)?;
    *bytes = later;
    bytemuck::try_cast_slice_mut(now).map_err(|_| 3)
}

impl WithBackend for Task<'_> {
    type Output = Result<u64, u32>;

    fn run<B: Backend>(self, backend: B) -> Result<u64, u32> {
        let Task { cell, inputs, units, shift, mut rest, mut memory } = self;
        let rows = |weights, multiplier, bias| RowsI8 { weights, multiplier, bias, shift, packed: Packed::NONE };
        memory.fill(0);
        let x: &mut [i8] = take_mut(&mut memory, inputs.next_multiple_of(4))?;
        let h: &mut [i16] = take_mut(&mut memory, units.next_multiple_of(2))?;
        let x = x.get_mut(..inputs).ok_or(3_u32)?;
        let h = h.get_mut(..units).ok_or(3_u32)?;
        let joined = (inputs + units).next_multiple_of(4);
        match cell {
            0 => {
                let weights = take(&mut rest, 4 * units * joined)?;
                let multiplier = take(&mut rest, 4 * units)?;
                let gates = rows(weights, multiplier, take(&mut rest, 4 * units)?);
                let c: &mut [i32] = take_mut(&mut memory, units)?;
                let xh: &mut [i16] = take_mut(&mut memory, joined)?;
                Ok(steps(x, h, |n, x, h| backend.step_i8(&gates, Features::Row(x), xh, h, c, n % 2 == 1)))
            }
            1 | 2 => {
                let reset = if cell == 1 { gru::Reset::After } else { gru::Reset::Before };
                let all = (3 * units).next_multiple_of(4);
                let weights = take(&mut rest, all * inputs.next_multiple_of(4))?;
                let recurrent_weights = take(&mut rest, all * units.next_multiple_of(4))?;
                let (multiplier, recurrent_multiplier) = (take(&mut rest, all)?, take(&mut rest, all)?);
                let kernel = rows(weights, multiplier, take(&mut rest, all)?);
                let bias = if cell == 1 { take(&mut rest, units)? } else { &[] };
                let recurrent = rows(recurrent_weights, recurrent_multiplier, bias);
                let layer = gru::GruI8 { kernel, recurrent, reset };
                let scratch: &mut [i32] = take_mut(&mut memory, gru::scratch_i8(inputs, units))?;
                Ok(steps(x, h, |_, x, h| backend.gru_i8(&layer, Features::Row(x), scratch, h)))
            }
            3 | 4 => {
                let activation = if cell == 3 { rnn::Activation::Tanh } else { rnn::Activation::Relu };
                let all = units.next_multiple_of(4);
                let weights = take(&mut rest, all * joined)?;
                let multiplier = take(&mut rest, all)?;
                let layer = rnn::RnnI8 { rows: rows(weights, multiplier, take(&mut rest, all)?), activation };
                let scratch: &mut [i32] = take_mut(&mut memory, rnn::scratch_i8(inputs, units))?;
                Ok(steps(x, h, |_, x, h| backend.rnn_i8(&layer, Features::Row(x), scratch, h)))
            }
            #[cfg(feature = "int4")]
            10 => four_bits(backend, (inputs, units), shift, (x, h), rest, memory),
            #[cfg(feature = "float")]
            5..=9 => floats(backend, cell - 5, (inputs, units), rest, memory),
            _ => Err(2),
        }
    }
}

/// The LSTM with weights of four bits.
#[cfg(feature = "int4")]
fn four_bits<B: Backend>(
    backend: B,
    (inputs, units): (usize, usize),
    shift: u32,
    (x, h): (&mut [i8], &mut [i16]),
    mut rest: &[u8],
    mut memory: &mut [u8],
) -> Result<u64, u32> {
    let joined = (inputs + units).next_multiple_of(4);
    let (weights, multiplier) = (take(&mut rest, 2 * units * joined)?, take(&mut rest, 4 * units)?);
    let gates = RowsI8 { weights, multiplier, bias: take(&mut rest, 4 * units)?, shift, packed: Packed::NONE };
    let c: &mut [i32] = take_mut(&mut memory, units)?;
    let xh: &mut [i16] = take_mut(&mut memory, joined)?;
    Ok(steps(x, h, |n, x, h| backend.step_i4(&gates, Features::Row(x), xh, h, c, n % 2 == 1)))
}

/// A cell of f32, by its number among them.
#[cfg(feature = "float")]
fn floats<B: Backend>(
    backend: B,
    cell: u32,
    (inputs, units): (usize, usize),
    mut rest: &[u8],
    mut memory: &mut [u8],
) -> Result<u64, u32> {
    memory.fill(0);
    let (lanes, joined) = (units.next_multiple_of(8), inputs + units);
    let x: &mut [f32] = take_mut(&mut memory, inputs)?;
    let h: &mut [f32] = take_mut(&mut memory, lanes)?;
    match cell {
        0 => {
            let weights = take(&mut rest, 4 * lanes * joined)?;
            let gates = RowsFloat { weights, bias: take(&mut rest, 4 * lanes)? };
            let c: &mut [f32] = take_mut(&mut memory, lanes)?;
            let xh: &mut [f32] = take_mut(&mut memory, joined)?;
            Ok(float_steps(x, h, |n, x, h| backend.step_float(&gates, x, xh, h, c, n % 2 == 1)))
        }
        1 | 2 => {
            let reset = if cell == 1 { gru::Reset::After } else { gru::Reset::Before };
            let weights: &[f32] = take(&mut rest, 3 * lanes * inputs)?;
            let recurrent_weights = take(&mut rest, 3 * lanes * units)?;
            let kernel = RowsFloat { weights, bias: take(&mut rest, 3 * lanes)? };
            let bias = if cell == 1 { take(&mut rest, lanes)? } else { &[] };
            let layer = gru::GruFloat { kernel, recurrent: RowsFloat { weights: recurrent_weights, bias }, reset };
            let scratch: &mut [f32] = take_mut(&mut memory, gru::scratch_float(inputs, units))?;
            Ok(float_steps(x, h, |_, x, h| backend.gru_float(&layer, x, scratch, h)))
        }
        _ => {
            let activation = if cell == 3 { rnn::Activation::Tanh } else { rnn::Activation::Relu };
            let weights: &[f32] = take(&mut rest, lanes * joined)?;
            let layer = rnn::RnnFloat { rows: RowsFloat { weights, bias: take(&mut rest, lanes)? }, activation };
            let scratch: &mut [f32] = take_mut(&mut memory, rnn::scratch_float(inputs, units))?;
            Ok(float_steps(x, h, |_, x, h| backend.rnn_float(&layer, x, scratch, h)))
        }
    }
}

/// Steps over columns that change, and the digest of all hidden states.
#[cfg(feature = "float")]
#[inline(always)]
fn float_steps(x: &mut [f32], h: &mut [f32], mut step: impl FnMut(u32, FeaturesFloat<'_, f32>, &mut [f32])) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for n in 0..STEPS {
        for (at, x) in x.iter_mut().enumerate() {
            *x = f32::from((37 * (at as u32 + 1) * (n + 1)) as i8) / 128.0;
        }
        device::marker_a();
        step(n, FeaturesFloat::Row(x), h);
        device::marker_b();
        digest = h.iter().fold(digest, |digest, h| (digest ^ u64::from(h.to_bits())).wrapping_mul(0x100_0000_01b3));
    }
    digest
}

/// Steps over columns that change, and the digest of all hidden states.
#[inline(always)]
fn steps(x: &mut [i8], h: &mut [i16], mut step: impl FnMut(u32, &[i8], &mut [i16])) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for n in 0..STEPS {
        for (at, x) in x.iter_mut().enumerate() {
            *x = (37 * (at as u32 + 1) * (n + 1)) as i8;
        }
        device::marker_a();
        step(n, x, h);
        device::marker_b();
        digest = h.iter().fold(digest, |digest, &h| (digest ^ u64::from(h as u16)).wrapping_mul(0x100_0000_01b3));
    }
    digest
}
