//! Cortex-M55, M52 and M85: Helium, the vector extension of ARMv8.1-M (MVE).
//!
//! Helium has no intrinsics on stable Rust, so the integer step is one function in assembly, and takes the same instructions
//! whatever compiles it; so are the products of floats, whose activations are the FPU's.
//!
//! ```text
//! sixteen columns of a unit   vldrb x · vld40-43.32 the weights, a vector a gate · vmladava.s8 a gate       9 instructions, 64 products
//! eight units                 vld40-43.16 the sums, a vector a gate · activations with gathered constants · cell in 32 bits
//! ```
//!
//! The columns are narrowed to bytes before the step, in place, and widened again afterwards.
#![allow(unsafe_code, reason = "assembly; each block says why it is sound")]

#[macro_use]
mod macros;
#[cfg(latch_fpu)]
mod float;
mod gru;
mod int16;
mod slices;

use core::arch::naked_asm;

use super::cell;
use super::cell::gru::Reset;
use super::chips::{cell_fits, pairs_by_assembly, quads_of_rows, rows_by_assembly, step_fits, words_by_assembly};
#[cfg(latch_fpu)]
use super::fpu::floats_by_fpu;
use super::{Backend, Features, IntWeight, RowsI8, RowsI16, copy};
use gru::{GruCell, gru_cell_i8};
use int16::{lstm_i16, rows_i16};
use macros::LISTS;
use slices::{add_i16, dot_i16, max_i16, narrow_bytes, narrow_q15, shift_q12, sigmoid_q15, tanh_q15, widen_i8};

/// Helium. The core that this was compiled for has it, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Helium(());

impl Helium {
    /// The proof: this file is compiled only for cores with the extension.
    pub const TOKEN: Self = Helium(());
}

impl Backend for Helium {
    fn name(self) -> &'static str {
        "helium"
    }

    fn copy_q15(self, x: &[i16], out: &mut [i16]) {
        let count = x.len().min(out.len());
        // SAFETY: both have as many values, and what is written is borrowed apart from what is read.
        unsafe { core::ptr::copy_nonoverlapping(x.as_ptr(), out.as_mut_ptr(), count) }
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        if let Some(step) = Step::new(gates, 1, xh, h, c) {
            // SAFETY: `Step::new` held the lengths to each other and to not being 0; h, c and xh are borrowed mutably and apart from each other.
            unsafe { lstm_i8(&step) }
        }
    }

    fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
        let _ = backwards;
        if let Some(step) = Step::new(gates, 2, xh, h, c) {
            // SAFETY: as above, with two weights in a byte.
            unsafe { lstm_i4(&step) }
        }
    }

    fn lstm_i16(self, gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
        let units = h.len();
        if !step_fits(gates, 1, xh, h, c) {
            return;
        }
        let step = Step {
            weights: gates.weights.as_ptr().cast(),
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            xh: xh.as_ptr().cast_mut(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            columns: xh.len() as u32,
            units: units as u32,
            minus_shift: -((gates.shift & 31) as i32),
        };
        // SAFETY: all pointers come from slices whose lengths were just held to `units` and `columns`, which are not 0; h and c are borrowed
        // mutably and apart from each other, and xh is only read.
        unsafe { lstm_i16(&step) }
    }

    rows_by_assembly!();
    rows_by_assembly!(rows_i4, add_rows_i4, rows_i4, 2);
    words_by_assembly!();

    fn gru_i8(self, gru: &cell::gru::GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
        if gru.reset == Reset::Before || self.gru_of_bytes(gru, x, scratch, h).is_none() {
            cell::gru::step(self, gru, x, scratch, h);
        }
    }

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        let units = h.len();
        if !cell_fits(sums, n, h) {
            return;
        }
        let minus_shift = -((shift & 31) as i32);
        let (tiles, last) = (units / 8, units / 8 * 8);
        if tiles > 0 {
            let cell = GruCell {
                z: sums.as_ptr(),
                n: n.as_ptr(),
                h: h.as_mut_ptr(),
                bytes: 4 * units as u32,
                tiles: tiles as u32,
                minus_shift,
            };
            // SAFETY: the sums are at least three times as many as units, n and h as many, and the tiles are whole and
            // at least one; h is borrowed apart from the
            // others.
            unsafe { gru_cell_i8(&cell) }
        }
        if last < units {
            // The units that are left, in a tile of their own.
            let (mut tile_sums, mut tile_n, mut tile_h) = ([[0_i32; 8]; 3], [0_i16; 8], [0_i16; 8]);
            for (unit, h) in (last..units).zip(h.iter().skip(last)) {
                let lane = unit & 7;
                for (gate, tile) in tile_sums.iter_mut().enumerate() {
                    if let (Some(place), Some(sum)) = (tile.get_mut(lane), sums.get(gate * units + unit)) {
                        *place = *sum;
                    }
                }
                if let (Some(place), Some(n)) = (tile_n.get_mut(lane), n.get(unit)) {
                    *place = *n;
                }
                if let Some(place) = tile_h.get_mut(lane) {
                    *place = *h;
                }
            }
            let cell = GruCell {
                z: tile_sums.as_flattened().as_ptr(),
                n: tile_n.as_ptr(),
                h: tile_h.as_mut_ptr(),
                bytes: 32,
                tiles: 1,
                minus_shift,
            };
            // SAFETY: three times eight sums, eight of n and of h, a whole tile.
            unsafe { gru_cell_i8(&cell) }
            copy(&tile_h, h.get_mut(last..).unwrap_or_default());
        }
    }

    fn shift_q12(self, sums: &[i32], shift: u32, out: &mut [i16]) {
        let count = sums.len().min(out.len());
        // SAFETY: both slices have `count` elements.
        unsafe { shift_q12(sums.as_ptr(), out.as_mut_ptr(), count, -((shift & 31) as i32)) }
    }

    fn sigmoid_q15(self, x: &mut [i16]) {
        // SAFETY: the pointer is good for the slice's length.
        unsafe { sigmoid_q15(x.as_mut_ptr(), x.len()) }
    }

    fn tanh_q15(self, x: &mut [i16]) {
        // SAFETY: the pointer is good for the slice's length.
        unsafe { tanh_q15(x.as_mut_ptr(), x.len()) }
    }

    pairs_by_assembly! {
        widen_i8(x: &[i8], out: &mut [i16]): as_ptr, as_mut_ptr;
        narrow_q15(h: &[i16], out: &mut [i16]): as_ptr, as_mut_ptr;
        add_i16(sum: &mut [i32], h: &[i16]): as_mut_ptr, as_ptr;
        max_i16(max: &mut [i16], h: &[i16]): as_mut_ptr, as_ptr;
        dot_i16(w: &[i16], v: &[i16]) -> i64: as_ptr, as_ptr;
    }

    #[cfg(latch_fpu)]
    floats_by_fpu!(float::KERNELS);
}

impl Helium {
    /// [`cell::gru::step`] with [`Reset::After`] over columns that are never wider than a byte: a row of the embedding is read where it lies. `None`, and h
    /// as it was, where slices do not fit each other or there are no columns.
    #[inline(always)]
    fn gru_of_bytes(
        self,
        gru: &cell::gru::GruI8<'_>,
        x: Features<'_>,
        scratch: &mut [i32],
        h: &mut [i16],
    ) -> Option<()> {
        let units = h.len();
        let (sums, scratch) = scratch.split_at_mut_checked((3 * units).next_multiple_of(4))?;
        let (n, columns) = scratch.split_at_mut_checked(units.div_ceil(2))?;
        let n = bytemuck::cast_slice_mut::<i32, i16>(n).get_mut(..units)?;
        let (room, previous) =
            bytemuck::cast_slice_mut::<i32, i8>(columns).split_at_mut_checked(x.len().next_multiple_of(4))?;
        let previous = previous.get_mut(..units.next_multiple_of(4))?;
        let features = match x {
            Features::Row(row) if row.len().is_multiple_of(4) => row,
            Features::Row(row) => {
                let (features, padding) = room.split_at_mut_checked(row.len())?;
                copy(row, features);
                padding.fill(0);
                &*room
            }
            Features::Hidden(hidden) => narrow_into(hidden, room)?,
        };
        let kernel = RowsStep::of_bytes(&gru.kernel, features, sums)?;
        if gru.kernel.bias.len() != sums.len() {
            return None;
        }
        // SAFETY: `RowsStep::of_bytes` held the lengths to each other and to not being 0, and the biases are as many; sums are borrowed apart from all
        // that is read.
        unsafe { rows_of_bytes(&RowsStep { bias: gru.kernel.bias.as_ptr(), ..kernel }) }
        let n_sums = sums.get_mut(2 * units..3 * units)?;
        self.shift_q12(n_sums, gru.kernel.shift, n);
        copy(gru.recurrent.bias.get(..units)?, n_sums);
        let recurrent = RowsStep::of_bytes(&gru.recurrent, narrow_into(h, previous)?, sums)?;
        // SAFETY: as above; a quad's biases are read before its sums are written over them.
        unsafe { rows_of_bytes(&recurrent) }
        self.gru_cell_i8(sums, n, gru.kernel.shift, h);
        Some(())
    }
}

/// A hidden state as bytes, with zeros behind it; `None` where there is no room.
#[inline(always)]
fn narrow_into<'o>(h: &[i16], out: &'o mut [i8]) -> Option<&'o [i8]> {
    out.get_mut(h.len()..)?.fill(0);
    // SAFETY: `out` has at least as many elements as h.
    unsafe { narrow_bytes(h.as_ptr(), out.as_mut_ptr(), h.len()) }
    Some(out)
}

/// What the assembly reads: offsets are those of the fields.
#[repr(C)]
struct Step {
    weights: *const i8,     // 0
    multiplier: *const u16, // 4
    bias: *const i32,       // 8
    xh: *mut i16,           // 12
    h: *mut i16,            // 16
    c: *mut i32,            // 20
    columns: u32,           // 24
    units: u32,             // 28
    minus_shift: i32,       // 32
}

impl Step {
    /// `None` for slices that do not fit each other, with so many weights in a byte, or are empty, or for weights that start between two words.
    fn new(gates: &RowsI8<'_>, per: usize, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) -> Option<Self> {
        if !step_fits(gates, per, xh, h, c) || !gates.weights.as_ptr().addr().is_multiple_of(4) {
            return None;
        }
        Some(Step {
            weights: gates.weights.as_ptr(),
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            xh: xh.as_mut_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            columns: xh.len() as u32,
            units: h.len() as u32,
            minus_shift: -((gates.shift & 31) as i32),
        })
    }
}

/// Marks where the products of int8 begin and end, for the emulator.
macro_rules! matrix {
    (i8 $end:literal) => {
        concat!(".globl latch_matrix_", $end, "\n", "latch_matrix_", $end, ":\n")
    };
    (i4 $end:literal) => {
        ""
    };
}

/// One step of a kind of weights, as a function of that name.
macro_rules! lstm {
    ($name:ident, $kind:ident) => {
        /// One step; the equations are at [`cell::lstm::step`](crate::kernels::cell::lstm::step).
        ///
        /// # Safety
        /// Every pointer of the step is good for what `units` and `columns` say, which are not 0; `columns` is a multiple of 4; the weights start on
        /// a multiple of 4; what is written is apart from everything else.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(step: &Step) {
            naked_asm!(
                ".cpu cortex-m55",
                save!(),
                // On the stack: 0 the sums of a tile, [8 units][4 gates]; 64 c of an incomplete tile; 96 xh, 100 h, 104 c, 108 units of this tile, 112 units,
                // 116 -shift, 120 multiplier, 124 bias, 128 blocks, 132 quads behind them, 136 columns,
                // 140 how many units from the tile's end may not read ahead.
                "sub sp, sp, #144",
                "ldm.w r0!, {{r1, r7, r9}}",
                "ldm.w r0, {{r2, r3, r4, r5, r6, r11}}",
                "mov r0, r1",
                "add r1, sp, #96",
                "stm.w r1, {{r2, r3, r4, r5, r6, r11}}",
                "str r5, [sp, #136]",
                "str r7, [sp, #120]",
                "str r9, [sp, #124]",
                "lsr r3, r5, #4",
                "str r3, [sp, #128]",
                "ubfx r3, r5, #2, #2",
                "str r3, [sp, #132]",
                to_bytes!(),
                // A tile of at most eight units.
                "3:",
                "ldr r12, [sp, #112]",
                "cmp r12, #8",
                "ite hi",
                "movhi lr, #0",
                "movls lr, #1",
                "it hi",
                "movhi r12, #8",
                "str r12, [sp, #108]",
                "mov r3, sp",
                "ldr r7, [sp, #120]",
                "ldr r9, [sp, #124]",
                "ldr r10, [sp, #128]",
                "cmp r10, #0",
                "it eq",
                "moveq lr, #8",
                "str lr, [sp, #140]",
                "ldr r11, [sp, #116]",
                // A unit: i, f, g, o in r2, r4, r6, r8.
                "4:",
                "ldr r1, [sp, #96]",
                "ldr r5, [sp, #132]",
                "mov r2, #0",
                "mov r4, #0",
                "mov r6, #0",
                "mov r8, #0",
                matrix!($kind "begin"),
                "wls lr, r10, 6f",
                "5:",
                block!($kind "vmladava"),
                "le lr, 5b",
                "6:",
                "cbnz r5, 17f",
                "8:",
                matrix!($kind "end"),
                rows_done!($kind),
                // z = sat16((acc * multiplier + bias) >> shift)
                scale!(),
                "vshl.s32 q0, r11",
                "vqmovnb.s32 q0, q0",
                "vstrh.32 q0, [r3], #8",
                "subs r12, r12, #1",
                "bne.w 4b",
                "b 19f",
                "17:",
                "ldr lr, [sp, #140]",
                behind_blocks!($kind),
                "19:",
                "str r7, [sp, #120]",
                "str r9, [sp, #124]",
                tile!(),
                "ldr r4, [sp, #112]",
                "subs r4, r4, r12",
                "str r4, [sp, #112]",
                "bne.w 3b",
                "ldr r1, [sp, #96]",
                "ldr r2, [sp, #136]",
                to_columns!(),
                "add sp, sp, #144",
                restore!(),
                lists = sym LISTS,
            )
        }
    };
}
lstm!(lstm_i8, i8);
lstm!(lstm_i4, i4);

/// What [`rows_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct RowsStep {
    weights: *const i8,     // 0
    x: *mut i16,            // 4
    columns: u32,           // 8
    quads: u32,             // 12, of rows
    multiplier: *const u16, // 16
    bias: *const i32,       // 20
    out: *mut i32,          // 24
}

impl RowsStep {
    /// Rows onto sums that are there: `out` is bias, too. `None` for slices that do not fit each other or are empty.
    fn new(weights: &[i8], per: usize, multiplier: &[u16], x: &mut [i16], out: &mut [i32]) -> Option<Self> {
        let step = Self::over(weights, per, multiplier, x.len(), out)?;
        Some(RowsStep { x: x.as_mut_ptr(), ..step })
    }

    /// The same over columns that are bytes already, for [`rows_of_bytes`].
    fn of_bytes(rows: &RowsI8<'_>, x: &[i8], out: &mut [i32]) -> Option<Self> {
        let step = Self::over(rows.weights, 1, rows.multiplier, x.len(), out)?;
        Some(RowsStep { x: x.as_ptr().cast_mut().cast(), ..step })
    }

    /// The same of int16, over columns that are only read.
    fn words(weights: &[i16], per: usize, multiplier: &[u16], x: &[i16], out: &mut [i32]) -> Option<Self> {
        let step = Self::over(weights, per, multiplier, x.len(), out)?;
        Some(RowsStep { x: x.as_ptr().cast_mut(), ..step })
    }

    /// All but where the columns are.
    #[inline(always)]
    fn over<W: IntWeight>(
        weights: &[W],
        per: usize,
        multiplier: &[u16],
        columns: usize,
        out: &mut [i32],
    ) -> Option<Self> {
        let (_, quads) = quads_of_rows(weights, per, multiplier, columns, out)?;
        if !weights.as_ptr().addr().is_multiple_of(4) {
            return None;
        }
        Some(RowsStep {
            weights: weights.as_ptr().cast(),
            x: core::ptr::null_mut(),
            columns: columns as u32,
            quads: quads as u32,
            multiplier: multiplier.as_ptr(),
            bias: out.as_ptr(),
            out: out.as_mut_ptr(),
        })
    }
}

/// Rows a quad at a time, as [`lstm_i8`] does its products, between what makes the columns bytes and what makes them columns again.
macro_rules! rows {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $before:expr, $after:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Every pointer is good for what `columns` and `quads` say, which are not 0; `columns` is a multiple of 4; the weights start on a multiple
        /// of 4; what is written is apart from everything else, but that biases may lie where sums are written.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(step: &RowsStep) {
            naked_asm!(
                ".cpu cortex-m55",
                "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
                "vpush {{d8, d9}}",
                // On the stack: 0 x, 4 columns, 8 how many quads from the end may not read ahead, 12 quads of columns behind
                // the blocks.
                "sub sp, sp, #16",
                "ldm.w r0, {{r0, r2, r5, r7, r9, r11, r12}}",
                "mov r3, r12",
                "mov r12, r7",
                "mov r7, r9",
                "mov r9, r11",
                // Now r0 weights, r2 x, r3 out, r5 columns, r7 multiplier, r9 bias, r12 quads.
                "str r2, [sp]",
                "str r5, [sp, #4]",
                "lsr r10, r5, #4",
                "ubfx r1, r5, #2, #2",
                "str r1, [sp, #12]",
                "sub r11, r10, #1",
                "mov r1, #1",
                "cmp r10, #0",
                "it eq",
                "mvneq r1, #0",
                "str r1, [sp, #8]",
                $before,
                // Rows of at most a block: their columns stay in q4, with zeros behind them. The last quads may not be read as a whole block, at most one for
                // every four columns that a block has more.
                "rsbs r1, r5, #16",
                "blo 4f",
                "subs.w r1, r12, r1, lsr #2",
                "ble 4f",
                "ldr r2, [sp]",
                "vctp.8 r5",
                "vpst",
                "vldrbt.u8 q4, [r2]",
                "sub r12, r12, r1",
                "dls lr, r1",
                "3:",
                weights!($kind ""),
                past_rows!($kind "r5"),
                products!("vmladav"),
                rows_done!($kind),
                scale!(),
                "vstrw.32 q0, [r3], #16",
                "le lr, 3b",
                "cmp r12, #0",
                "beq 19f",
                // A quad: its four rows in r2, r4, r6, r8.
                "4:",
                "ldr r1, [sp]",
                "ldr r5, [sp, #12]",
                "cmp r10, #0",
                "beq 9f",
                // The first block begins the sums.
                block!($kind "vmladav"),
                "wls lr, r11, 6f",
                "5:",
                block!($kind "vmladava"),
                "le lr, 5b",
                "6:",
                "cbnz r5, 17f",
                "8:",
                rows_done!($kind),
                // acc * multiplier + bias
                scale!(),
                "vstrw.32 q0, [r3], #16",
                "subs.w r12, r12, #1",
                "bne 4b",
                "b 19f",
                "9:",
                "mov r2, #0",
                "mov r4, #0",
                "mov r6, #0",
                "mov r8, #0",
                "17:",
                "ldr lr, [sp, #8]",
                behind_blocks!($kind),
                "19:",
                $after,
                "add sp, sp, #16",
                "vpop {{d8, d9}}",
                "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
            )
        }
    };
}
rows!(
    /// [`rows_i8`](super::scalar::rows).
    rows_i8,
    i8,
    to_bytes!(),
    concat!("ldr r1, [sp]\n", "ldr r2, [sp, #4]\n", to_columns!())
);
rows!(
    /// The same of weights of four bits.
    rows_i4,
    i4,
    to_bytes!(),
    concat!("ldr r1, [sp]\n", "ldr r2, [sp, #4]\n", to_columns!())
);
rows!(
    /// The same over columns that are bytes, which stay as they are.
    rows_of_bytes,
    i8,
    "",
    ""
);
