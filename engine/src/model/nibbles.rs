//! One token of a model with four-bit weights or with an embedding in tiers: rows and gates are widened to int8, and rows put together, in the
//! state's scratch, and the step is that of int8.
//!
//! Bits are those of the int8 model with the widened weights, on every backend. Gates that [`super::Model::pack`] has widened once and for all are taken as
//! they are then.

use super::embedding::Place;
use super::state::{Header, Memory};
use super::{Int8, StreamShape, bag, lstm};
use crate::kernels::{Backend, RowsI8, nibbles};

/// One token. False for an id outside the embedding.
#[inline(never)]
pub(super) fn step<B: Backend>(
    backend: B,
    model: &Int8<'_>,
    (shape, start): (&StreamShape, usize),
    id: u32,
    header: &mut Header,
    memory: Memory<'_>,
) -> bool {
    let (memory, scratch) = memory.part::<i8>(start);
    let (row, unit) = shape.nibble_room();
    let Some((row, scratch)) = scratch.split_at_mut_checked(row) else { return false };
    let Some((unit, scratch)) = scratch.split_at_mut_checked(unit) else { return false };
    let Some(row) = read_row(model, shape, id, row) else { return false };
    let Some(first) = model.layers.first() else {
        bag::step_i8(backend, shape, row, header, memory);
        return true;
    };
    let packed = !model.nibbles;
    let (bias, row, scratch) = match &model.folded {
        None => (first.bias, row, bytemuck::try_cast_slice_mut(scratch).unwrap_or_default()),
        Some(folded) => {
            let scratch = bytemuck::try_cast_slice_mut(scratch).unwrap_or_default();
            let compute = |gates: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]| {
                if shape.nibbles.gates {
                    nibbles::rows(backend, gates, x, out, unit);
                } else {
                    backend.rows_i8(gates, x, out);
                }
            };
            let Some((bias, scratch)) = folded.row_by(backend, first, row, id, scratch, compute) else { return false };
            (bias, &[][..], scratch)
        }
    };
    let first = RowsI8 { bias, ..*first };
    lstm::layers_i8(
        backend,
        shape,
        &model.layers,
        (&first, row),
        scratch,
        header,
        memory,
        |gates, x, xh, h, c, odd| {
            if packed {
                backend.step_i8(gates, x, xh, h, c, odd);
            } else {
                nibbles::step(backend, gates, x, xh, (h, c), unit);
            }
        },
    );
    true
}

/// The row of an id: where it lies, or widened or put together in `room`.
fn read_row<'r>(model: &Int8<'r>, shape: &StreamShape, id: u32, room: &'r mut [i8]) -> Option<&'r [i8]> {
    let mut place = id;
    if let Some(tiers) = &model.tiers {
        match tiers.place(id)? {
            Place::Whole(at) => place = at,
            Place::Other(number) => {
                let room = room.get_mut(..usize::from(shape.inputs))?;
                tiers.put_together(number, room)?;
                return Some(room);
            }
        }
    }
    let row = model.embedding.row(place)?;
    if !shape.nibbles.embedding {
        return Some(row);
    }
    let room = room.get_mut(..usize::from(shape.inputs))?;
    nibbles::widen_row(row, room);
    Some(room)
}
