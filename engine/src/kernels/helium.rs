//! Cortex-M55, M52 and M85: Helium, the vector extension of ARMv8.1-M (MVE).
//!
//! Helium has no intrinsics on stable Rust, so the integer step is one function in assembly, and takes the same instructions
//! whatever compiles it; so are the products of the float step, whose activations are the reference's.
//!
//! ```text
//! sixteen columns of a unit   vldrb x · vld40-43.32 the weights, a vector a gate · vmladava.s8 a gate       9 instructions, 64 products
//! eight units                 vld40-43.16 the sums, a vector a gate · activations with gathered constants · cell in 32 bits
//! ```
//!
//! The columns are narrowed to bytes before the step, in place, and widened again afterwards.
#![allow(unsafe_code, reason = "assembly; each block says why it is sound")]

use core::arch::naked_asm;

use super::activation::{SIGMOID, TANH};
use super::{Backend, FloatView, FloatWeight, RowsFloat, RowsI8, scalar};

/// Helium. The core that this was compiled for has it, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Helium(());

impl Helium {
    /// The proof: this file is compiled only for cores with the extension.
    pub const TOKEN: Self = Helium(());
}

impl Backend for Helium {
    fn name(self) -> &'static str {
        "helium"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        let units = h.len();
        let quads = xh.len() / 4;
        let fits = xh.len().is_multiple_of(4)
            && gates.weights.len() == 16 * quads * units
            && gates.multiplier.len() == 4 * units
            && gates.bias.len() == 4 * units
            && c.len() == units;
        if !fits || quads == 0 || units == 0 || !gates.weights.as_ptr().addr().is_multiple_of(4) {
            debug_assert!(units == 0, "the slices of a step do not fit each other");
            return;
        }
        let step = Step {
            weights: gates.weights.as_ptr(),
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            xh: xh.as_mut_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            columns: xh.len() as u32,
            units: units as u32,
            minus_shift: -((gates.shift & 31) as i32),
        };
        // SAFETY: all pointers come from slices whose lengths were just held to `units` and `columns`, which are not 0; the weights
        // start on a multiple of 4; h, c and xh are borrowed mutably and apart from each other.
        unsafe { lstm_i8(&step) }
    }

    fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        if let Some(product) = RowsStep::new(rows.weights, rows.multiplier, x, out) {
            if rows.bias.len() == out.len() {
                // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0, and the biases are as
                // many; `out` is borrowed apart from them.
                unsafe { rows_i8(&RowsStep { bias: rows.bias.as_ptr(), ..product }) }
            }
        } else if x.is_empty() {
            out.iter_mut().zip(rows.bias).for_each(|(out, bias)| *out = *bias);
        }
    }

    fn add_rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        if let Some(product) = RowsStep::new(rows.weights, rows.multiplier, x, sums) {
            // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0; a quad's biases are read
            // before its sums are written over them.
            unsafe { rows_i8(&product) }
        }
    }

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        let units = h.len();
        if sums.len() < 3 * units || n.len() != units {
            debug_assert!(false, "the slices of a cell do not fit each other");
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
            let count = units - last;
            for (tile, sums) in tile_sums.iter_mut().zip(sums.chunks_exact(units)) {
                tile[..count].copy_from_slice(&sums[last..]);
            }
            tile_n[..count].copy_from_slice(&n[last..]);
            tile_h[..count].copy_from_slice(&h[last..]);
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
            h[last..].copy_from_slice(&tile_h[..count]);
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

    fn widen_i8(self, x: &[i8], out: &mut [i16]) {
        let count = x.len().min(out.len());
        // SAFETY: both slices have `count` elements.
        unsafe { widen_i8(x.as_ptr(), out.as_mut_ptr(), count) }
    }

    fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
        let count = h.len().min(out.len());
        // SAFETY: both slices have `count` elements.
        unsafe { narrow_q15(h.as_ptr(), out.as_mut_ptr(), count) }
    }

    fn add_i16(self, sum: &mut [i32], h: &[i16]) {
        let count = sum.len().min(h.len());
        // SAFETY: both slices have `count` elements.
        unsafe { add_i16(sum.as_mut_ptr(), h.as_ptr(), count) }
    }

    fn max_i16(self, max: &mut [i16], h: &[i16]) {
        let count = max.len().min(h.len());
        // SAFETY: both slices have `count` elements.
        unsafe { max_i16(max.as_mut_ptr(), h.as_ptr(), count) }
    }

    fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
        let count = w.len().min(v.len());
        // SAFETY: both slices have `count` elements.
        unsafe { dot_i16(w.as_ptr(), v.as_ptr(), count) }
    }

    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        scalar::lstm_float_blocks(gates, xh, h, c, |block, xh, mut z| {
            for (pair, z) in z.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                // SAFETY: a block has 32 weights a column, of which those of a pair of gates begin at 16 times its number.
                unsafe {
                    match W::view(block) {
                        FloatView::F32(block) => pair_f32(block.as_ptr().add(16 * pair), xh.as_ptr(), xh.len(), z),
                        FloatView::F16(block) => pair_f16(block.as_ptr().add(16 * pair), xh.as_ptr(), xh.len(), z),
                    }
                }
            }
            z
        });
    }
}

/// Two gates of eight units: `sums[g][u] += w[k][g][u] * x[k]` over all columns, fused.
///
/// # Safety
/// `x` is good for `columns` elements, `w` for 16 weights in every 32 of as many columns.
#[unsafe(naked)]
unsafe extern "C" fn pair_f32(w: *const f32, x: *const f32, columns: usize, sums: &mut [[f32; 8]; 2]) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vpush {{d8, d9}}",
        "vldrw.u32 q0, [r3]",
        "vldrw.u32 q1, [r3, #16]",
        "vldrw.u32 q2, [r3, #32]",
        "vldrw.u32 q3, [r3, #48]",
        "wls lr, r2, 3f",
        "2:",
        "ldr r12, [r1], #4",
        "vldrw.u32 q4, [r0]",
        "vfma.f32 q0, q4, r12",
        "vldrw.u32 q4, [r0, #16]",
        "vfma.f32 q1, q4, r12",
        "vldrw.u32 q4, [r0, #32]",
        "vfma.f32 q2, q4, r12",
        "vldrw.u32 q4, [r0, #48]",
        "vfma.f32 q3, q4, r12",
        "add r0, r0, #128",
        "le lr, 2b",
        "3:",
        "vstrw.32 q0, [r3]",
        "vstrw.32 q1, [r3, #16]",
        "vstrw.32 q2, [r3, #32]",
        "vstrw.32 q3, [r3, #48]",
        "vpop {{d8, d9}}",
        "pop {{r7, pc}}",
    )
}

/// The same with halves, which a load puts into the lower parts of four lanes and a conversion makes singles.
///
/// # Safety
/// As [`pair_f32`].
#[unsafe(naked)]
unsafe extern "C" fn pair_f16(w: *const half::f16, x: *const f32, columns: usize, sums: &mut [[f32; 8]; 2]) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vpush {{d8, d9}}",
        "vldrw.u32 q0, [r3]",
        "vldrw.u32 q1, [r3, #16]",
        "vldrw.u32 q2, [r3, #32]",
        "vldrw.u32 q3, [r3, #48]",
        "wls lr, r2, 3f",
        "2:",
        "ldr r12, [r1], #4",
        "vldrh.u32 q4, [r0]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q0, q4, r12",
        "vldrh.u32 q4, [r0, #8]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q1, q4, r12",
        "vldrh.u32 q4, [r0, #16]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q2, q4, r12",
        "vldrh.u32 q4, [r0, #24]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q3, q4, r12",
        "add r0, r0, #64",
        "le lr, 2b",
        "3:",
        "vstrw.32 q0, [r3]",
        "vstrw.32 q1, [r3, #16]",
        "vstrw.32 q2, [r3, #32]",
        "vstrw.32 q3, [r3, #48]",
        "vpop {{d8, d9}}",
        "pop {{r7, pc}}",
    )
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

/// The columns of both activations, 96 bytes each; a gather reads one constant for each of eight lanes.
static COLUMNS: [[[i16; 8]; 6]; 2] = [SIGMOID.columns, TANH.columns];

/// The polynomial of `Segments::distance`: segments in q5, t in q4, the columns' addresses in r1, r2, r3, r5, r6, r7; P in q6 and b in q7.
macro_rules! polynomial {
    () => {
        concat!(
            "vldrh.u16 q6, [r1, q5, uxtw #1]\n",
            "vldrh.u16 q7, [r2, q5, uxtw #1]\n",
            "vqrdmulh.s16 q6, q6, q4\n",
            "vadd.i16 q6, q6, q7\n",
            "vldrh.u16 q7, [r3, q5, uxtw #1]\n",
            "vqrdmulh.s16 q6, q6, q4\n",
            "vadd.i16 q6, q6, q7\n",
            "vldrh.u16 q7, [r5, q5, uxtw #1]\n",
            "vqrdmulh.s16 q6, q6, q4\n",
            "vadd.i16 q6, q6, q7\n",
            "vldrh.u16 q7, [r6, q5, uxtw #1]\n",
            "vqrdmulh.s16 q6, q6, q4\n",
            "vadd.i16 q6, q6, q7\n",
            "vldrh.u16 q7, [r7, q5, uxtw #1]\n",
        )
    };
}

/// `z = sigmoid_q15(z)`, eight lanes. -32768 in r8, 16384 in r9. Clobbers q4-q7.
macro_rules! sigmoid {
    ($z:literal) => {
        concat!(
            "vqabs.s16 q4, ",
            $z,
            "\n",
            "vshr.u16 q5, q4, #12\n",
            "vshl.i16 q4, q4, #4\n",
            "vadd.i16 q4, q4, r8\n",
            polynomial!(),
            "vshr.s16 q6, q6, #3\n",
            "vadd.i16 q6, q6, q7\n",
            "vpt.s16 lt, ",
            $z,
            ", zr\n",
            "vnegt.s16 q6, q6\n",
            "vadd.i16 ",
            $z,
            ", q6, r9\n",
        )
    };
}

/// `z = tanh_q15(z)`, eight lanes. -32768 in r8. Clobbers q4-q7 and lr. `vqadd` saturates as the reference's minimum does.
macro_rules! tanh {
    ($z:literal) => {
        concat!(
            "vabs.s16 q4, ",
            $z,
            "\n",
            "mov lr, #0x3000\n",
            "vqsub.u16 q5, q4, lr\n",
            "mov lr, #0x4000\n",
            "vqsub.u16 q6, q4, lr\n",
            "vshr.u16 q5, q5, #1\n",
            "vshr.u16 q6, q6, #2\n",
            "vsub.i16 q4, q4, q5\n",
            "vsub.i16 q4, q4, q6\n",
            "sub lr, lr, #1\n",
            "vdup.16 q5, lr\n",
            "vmin.u16 q4, q4, q5\n",
            "vshr.u16 q5, q4, #11\n",
            "vshl.i16 q4, q4, #5\n",
            "vadd.i16 q4, q4, r8\n",
            polynomial!(),
            "vshr.s16 q6, q6, #2\n",
            "vqadd.s16 q6, q6, q7\n",
            "vpt.s16 lt, ",
            $z,
            ", zr\n",
            "vnegt.s16 q6, q6\n",
            "vmov ",
            $z,
            ", q6\n",
        )
    };
}

/// One gate of four columns: its four bytes of the products of q0 and q4.
macro_rules! four_bytes {
    ($acc:literal, $mask:literal) => {
        concat!("mov.w lr, #", $mask, "\n", "vmsr p0, lr\n", "vpst\n", "vmladavat.s8 ", $acc, ", q0, q4\n",)
    };
}

/// Moves the columns' addresses by so many bytes, or sets them.
macro_rules! columns {
    (set) => {
        "movw r1, #:lower16:{columns}\n\
         movt r1, #:upper16:{columns}\n\
         add r2, r1, #16\n\
         add r3, r1, #32\n\
         add r5, r1, #48\n\
         add r6, r1, #64\n\
         add r7, r1, #80\n"
    };
    (tanh) => {
        "add r1, r1, #96\n\
         add r2, r2, #96\n\
         add r3, r3, #96\n\
         add r5, r5, #96\n\
         add r6, r6, #96\n\
         add r7, r7, #96\n"
    };
}

/// Half of the cell: even units with `b` and c in `$c`, odd ones with `t`. Clobbers q6, q7.
///
/// `c' = (((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11)`; the high word of c times f * 2^16 is the floor of c * f / 2^16.
macro_rules! cell {
    ($half:literal, $c:literal) => {
        concat!(
            "vshll",
            $half,
            ".s16 q6, q1, #16\n",
            "vmulh.s32 q6, ",
            $c,
            ", q6\n",
            "vmull",
            $half,
            ".s16 q7, q0, q2\n",
            "vshl.i32 q6, q6, #1\n",
            "vadd.i32 q7, q7, lr\n",
            "vshr.s32 q7, q7, #11\n",
            "vadd.i32 ",
            $c,
            ", q6, q7\n",
        )
    };
}

/// One step; the equations are at [`scalar::lstm_i8`].
///
/// # Safety
/// Every pointer of the step is good for what `units` and `columns` say, which are not 0; `columns` is a multiple of 4; the weights start on
/// a multiple of 4; what is written is apart from everything else.
#[unsafe(naked)]
unsafe extern "C" fn lstm_i8(step: &Step) {
    naked_asm!(
        ".cpu cortex-m55",
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "vpush {{d8, d9, d10, d11, d12, d13, d14, d15}}",
        // On the stack: 0 the sums of a tile, [8 units][4 gates]; 64 c of an incomplete tile; 96 xh, 100 h, 104 c, 108 columns, 112 units,
        // 116 -shift, 120 multiplier, 124 bias, 128 blocks, 132 quads behind them, 136 units of this tile,
        // 140 how many units from the tile's end may not read ahead.
        "sub sp, sp, #144",
        "ldm.w r0!, {{r1, r7, r9}}",
        "ldm.w r0, {{r2, r3, r4, r5, r6, r11}}",
        "mov r0, r1",
        "add r1, sp, #96",
        "stm.w r1, {{r2, r3, r4, r5, r6, r11}}",
        "str r7, [sp, #120]",
        "str r9, [sp, #124]",
        "lsr r3, r5, #4",
        "str r3, [sp, #128]",
        "ubfx r3, r5, #2, #2",
        "str r3, [sp, #132]",
        // Columns to bytes.
        "mov r1, r2",
        "dlstp.16 lr, r5",
        "2:",
        "vldrh.u16 q0, [r1], #16",
        "vstrb.16 q0, [r2], #8",
        "letp lr, 2b",
        // A tile of at most eight units.
        "3:",
        "ldr r12, [sp, #112]",
        "cmp r12, #8",
        "ite hi",
        "movhi lr, #0",
        "movls lr, #1",
        "it hi",
        "movhi r12, #8",
        "str r12, [sp, #136]",
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
        ".globl latch_matrix_begin",
        "latch_matrix_begin:",
        "wls lr, r10, 6f",
        "5:",
        "vldrb.u8 q4, [r1], #16",
        "vld40.32 {{q0, q1, q2, q3}}, [r0]",
        "vld41.32 {{q0, q1, q2, q3}}, [r0]",
        "vld42.32 {{q0, q1, q2, q3}}, [r0]",
        "vld43.32 {{q0, q1, q2, q3}}, [r0]!",
        "vmladava.s8 r2, q0, q4",
        "vmladava.s8 r4, q1, q4",
        "vmladava.s8 r6, q2, q4",
        "vmladava.s8 r8, q3, q4",
        "le lr, 5b",
        "6:",
        "cbnz r5, 17f",
        "8:",
        ".globl latch_matrix_end",
        "latch_matrix_end:",
        // z = sat16((acc * multiplier + bias) >> shift)
        "vmov q0[2], q0[0], r2, r6",
        "vmov q0[3], q0[1], r4, r8",
        "vldrh.u32 q1, [r7], #8",
        "vldrw.u32 q2, [r9], #16",
        "vmul.i32 q0, q0, q1",
        "vadd.i32 q0, q0, q2",
        "vshl.s32 q0, r11",
        "vqmovnb.s32 q0, q0",
        "vstrh.32 q0, [r3], #8",
        "subs r12, r12, #1",
        "bne.w 4b",
        "b 19f",
        "17:",
        // Behind the blocks: a block more, its columns beyond the row zero, where weights of a next row lie behind it. That row has 64
        // bytes when this one has a block; the last unit, and rows of less than a block, go on by four columns.
        "ldr lr, [sp, #140]",
        "cmp r12, lr",
        "bls 7f",
        "lsl lr, r5, #2",
        "vctp.8 lr",
        "vpst",
        "vldrbt.u8 q4, [r1]",
        "vld40.32 {{q0, q1, q2, q3}}, [r0]",
        "vld41.32 {{q0, q1, q2, q3}}, [r0]",
        "vld42.32 {{q0, q1, q2, q3}}, [r0]",
        "vld43.32 {{q0, q1, q2, q3}}, [r0]",
        "add r0, r0, lr, lsl #2",
        "vmladava.s8 r2, q0, q4",
        "vmladava.s8 r4, q1, q4",
        "vmladava.s8 r6, q2, q4",
        "vmladava.s8 r8, q3, q4",
        "b 8b",
        "7:",
        "ldr lr, [r1], #4",
        "vldrb.u8 q0, [r0], #16",
        "vdup.32 q4, lr",
        four_bytes!("r2", "0xf"),
        four_bytes!("r4", "0xf0"),
        four_bytes!("r6", "0xf00"),
        four_bytes!("r8", "0xf000"),
        "subs r5, r5, #1",
        "bne 7b",
        "b 8b",
        "19:",
        "str r7, [sp, #120]",
        "str r9, [sp, #124]",
        // Activations of the tile.
        "mov r10, sp",
        "vld40.16 {{q0, q1, q2, q3}}, [r10]",
        "vld41.16 {{q0, q1, q2, q3}}, [r10]",
        "vld42.16 {{q0, q1, q2, q3}}, [r10]",
        "vld43.16 {{q0, q1, q2, q3}}, [r10]",
        columns!(set),
        "mvn r8, #32512",
        "sub r8, r8, #255",
        "mov r9, #16384",
        sigmoid!("q0"),
        sigmoid!("q1"),
        sigmoid!("q3"),
        columns!(tanh),
        tanh!("q2"),
        // The cell; an incomplete tile works on a copy of its c.
        "ldr r10, [sp, #104]",
        "ldr r12, [sp, #136]",
        "cmp r12, #8",
        "beq 9f",
        "mov r4, r10",
        "add r11, sp, #64",
        "dlstp.32 lr, r12",
        "12:",
        "vldrw.u32 q4, [r4], #16",
        "vstrw.32 q4, [r11], #16",
        "letp lr, 12b",
        "add r10, sp, #64",
        "9:",
        "vld20.32 {{q4, q5}}, [r10]",
        "vld21.32 {{q4, q5}}, [r10]",
        "mov lr, #3072",
        cell!("b", "q4"),
        cell!("t", "q5"),
        "vst20.32 {{q4, q5}}, [r10]",
        "vst21.32 {{q4, q5}}, [r10]",
        "cmp r12, #8",
        "beq 13f",
        "ldr r4, [sp, #104]",
        "mov r11, r10",
        "dlstp.32 lr, r12",
        "14:",
        "vldrw.u32 q6, [r11], #16",
        "vstrw.32 q6, [r4], #16",
        "letp lr, 14b",
        "13:",
        // h = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15
        "vrshr.s32 q4, q4, #7",
        "vrshr.s32 q5, q5, #7",
        "vqmovnb.s32 q0, q4",
        "vqmovnt.s32 q0, q5",
        tanh!("q0"),
        "vqrdmulh.s16 q0, q0, q3",
        "ldr r4, [sp, #100]",
        "vctp.16 r12",
        "vpst",
        "vstrht.16 q0, [r4], #16",
        "str r4, [sp, #100]",
        "ldr r4, [sp, #104]",
        "add r4, r4, #32",
        "str r4, [sp, #104]",
        "ldr r4, [sp, #112]",
        "subs r4, r4, r12",
        "str r4, [sp, #112]",
        "bne.w 3b",
        // Bytes to columns, from the last to the first, for they grow over each other.
        "ldr r1, [sp, #96]",
        "ldr r2, [sp, #108]",
        "and r3, r2, #7",
        "bic r2, r2, #7",
        "add r4, r1, r2, lsl #1",
        "add r1, r1, r2",
        "vctp.16 r3",
        "vpstt",
        "vldrbt.s16 q0, [r1]",
        "vstrht.16 q0, [r4]",
        "lsr r2, r2, #3",
        "wls lr, r2, 16f",
        "15:",
        "vldrb.s16 q0, [r1, #-8]!",
        "vstrh.16 q0, [r4, #-16]!",
        "le lr, 15b",
        "16:",
        "add sp, sp, #144",
        "vpop {{d8, d9, d10, d11, d12, d13, d14, d15}}",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
        columns = sym COLUMNS,
    )
}

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
    fn new(weights: &[i8], multiplier: &[u16], x: &mut [i16], out: &mut [i32]) -> Option<Self> {
        let (columns, quads) = (x.len() / 4, out.len() / 4);
        let fits = x.len().is_multiple_of(4)
            && out.len().is_multiple_of(4)
            && weights.len() == 16 * columns * quads
            && multiplier.len() == out.len();
        if !fits || columns == 0 || quads == 0 || !weights.as_ptr().addr().is_multiple_of(4) {
            debug_assert!(columns == 0 || quads == 0, "the slices of rows do not fit each other");
            return None;
        }
        Some(RowsStep {
            weights: weights.as_ptr(),
            x: x.as_mut_ptr(),
            columns: x.len() as u32,
            quads: quads as u32,
            multiplier: multiplier.as_ptr(),
            bias: out.as_ptr(),
            out: out.as_mut_ptr(),
        })
    }
}

/// [`scalar::rows_i8`], a quad at a time, as [`lstm_i8`] does its products.
///
/// # Safety
/// Every pointer is good for what `columns` and `quads` say, which are not 0; `columns` is a multiple of 4; the weights
/// start on a multiple of 4; what is written is
/// apart from everything else, but that biases may lie where sums are written.
#[unsafe(naked)]
unsafe extern "C" fn rows_i8(step: &RowsStep) {
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
        // Columns to bytes.
        "mov r1, r2",
        "dlstp.16 lr, r5",
        "2:",
        "vldrh.u16 q0, [r1], #16",
        "vstrb.16 q0, [r2], #8",
        "letp lr, 2b",
        // A quad: its four rows in r2, r4, r6, r8.
        "4:",
        "ldr r1, [sp]",
        "ldr r5, [sp, #12]",
        "cmp r10, #0",
        "beq 9f",
        // The first block begins the sums.
        "vldrb.u8 q4, [r1], #16",
        "vld40.32 {{q0, q1, q2, q3}}, [r0]",
        "vld41.32 {{q0, q1, q2, q3}}, [r0]",
        "vld42.32 {{q0, q1, q2, q3}}, [r0]",
        "vld43.32 {{q0, q1, q2, q3}}, [r0]!",
        "vmladav.s8 r2, q0, q4",
        "vmladav.s8 r4, q1, q4",
        "vmladav.s8 r6, q2, q4",
        "vmladav.s8 r8, q3, q4",
        "wls lr, r11, 6f",
        "5:",
        "vldrb.u8 q4, [r1], #16",
        "vld40.32 {{q0, q1, q2, q3}}, [r0]",
        "vld41.32 {{q0, q1, q2, q3}}, [r0]",
        "vld42.32 {{q0, q1, q2, q3}}, [r0]",
        "vld43.32 {{q0, q1, q2, q3}}, [r0]!",
        "vmladava.s8 r2, q0, q4",
        "vmladava.s8 r4, q1, q4",
        "vmladava.s8 r6, q2, q4",
        "vmladava.s8 r8, q3, q4",
        "le lr, 5b",
        "6:",
        "cbnz r5, 17f",
        "8:",
        // acc * multiplier + bias
        "vmov q0[2], q0[0], r2, r6",
        "vmov q0[3], q0[1], r4, r8",
        "vldrh.u32 q1, [r7], #8",
        "vldrw.u32 q2, [r9], #16",
        "vmul.i32 q0, q0, q1",
        "vadd.i32 q0, q0, q2",
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
        // Behind the blocks: as in `lstm_i8`.
        "ldr lr, [sp, #8]",
        "cmp r12, lr",
        "bls 7f",
        "lsl lr, r5, #2",
        "vctp.8 lr",
        "vpst",
        "vldrbt.u8 q4, [r1]",
        "vld40.32 {{q0, q1, q2, q3}}, [r0]",
        "vld41.32 {{q0, q1, q2, q3}}, [r0]",
        "vld42.32 {{q0, q1, q2, q3}}, [r0]",
        "vld43.32 {{q0, q1, q2, q3}}, [r0]",
        "add r0, r0, lr, lsl #2",
        "vmladava.s8 r2, q0, q4",
        "vmladava.s8 r4, q1, q4",
        "vmladava.s8 r6, q2, q4",
        "vmladava.s8 r8, q3, q4",
        "b 8b",
        "7:",
        "ldr lr, [r1], #4",
        "vldrb.u8 q0, [r0], #16",
        "vdup.32 q4, lr",
        four_bytes!("r2", "0xf"),
        four_bytes!("r4", "0xf0"),
        four_bytes!("r6", "0xf00"),
        four_bytes!("r8", "0xf000"),
        "subs r5, r5, #1",
        "bne 7b",
        "b 8b",
        "19:",
        // Bytes to columns, from the last to the first, for they grow over each other.
        "ldr r1, [sp]",
        "ldr r2, [sp, #4]",
        "and r3, r2, #7",
        "bic r2, r2, #7",
        "add r4, r1, r2, lsl #1",
        "add r1, r1, r2",
        "vctp.16 r3",
        "vpstt",
        "vldrbt.s16 q0, [r1]",
        "vstrht.16 q0, [r4]",
        "lsr r2, r2, #3",
        "wls lr, r2, 16f",
        "15:",
        "vldrb.s16 q0, [r1, #-8]!",
        "vstrh.16 q0, [r4, #-16]!",
        "le lr, 15b",
        "16:",
        "add sp, sp, #16",
        "vpop {{d8, d9}}",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
    )
}

/// What [`gru_cell_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct GruCell {
    z: *const i32,    // 0
    n: *const i16,    // 4
    h: *mut i16,      // 8
    bytes: u32,       // 12, from the sums of a gate to those of the next
    tiles: u32,       // 16, of eight units
    minus_shift: i32, // 20
}

/// Eight sums at `$at`, shifted and saturated to Q3.12, into `$q`. -shift in r11. Clobbers q4 and q5.
macro_rules! eight_sums {
    ($q:literal, $at:literal) => {
        concat!(
            "vld20.32 {{q4, q5}}, [",
            $at,
            "]\n",
            "vld21.32 {{q4, q5}}, [",
            $at,
            "]!\n",
            "vshl.s32 q4, r11\n",
            "vshl.s32 q5, r11\n",
            "vqmovnb.s32 ",
            $q,
            ", q4\n",
            "vqmovnt.s32 ",
            $q,
            ", q5\n",
        )
    };
}

/// Half of `h' = (z * h + (32768 - z) * n + 2^14) >> 15` in 32 bits, as `n + ((z * (h - n) + 2^14) >> 15)`: q0 z, q2 n,
/// q3 h, into q4. Clobbers q5.
macro_rules! mix {
    ($half:literal, $out:literal) => {
        concat!(
            "vmovl",
            $half,
            ".s16 q4, q3\n",
            "vmovl",
            $half,
            ".s16 q5, q2\n",
            "vsub.i32 q4, q4, q5\n",
            "vmovl",
            $half,
            ".s16 q5, q0\n",
            "vmul.i32 q4, q4, q5\n",
            "vrshr.s32 q4, q4, #15\n",
            "vmovn",
            $half,
            ".i32 ",
            $out,
            ", q4\n",
        )
    };
}

/// [`gru_cell_i8`](super::Backend::gru_cell_i8), eight units at a time; the equations are at
/// [`step_i8`](super::cell::gru::step_i8).
///
/// # Safety
/// Every pointer is good for what `tiles` says, which is not 0; h is apart from everything else.
#[unsafe(naked)]
unsafe extern "C" fn gru_cell_i8(cell: &GruCell) {
    naked_asm!(
        ".cpu cortex-m55",
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "vpush {{d8, d9, d10, d11, d12, d13, d14, d15}}",
        // On the stack: 0 n, 4 h, 8 the sums of r, 12 those of s (they move on), 16 tiles.
        "sub sp, sp, #24",
        "ldm.w r0, {{r0, r1, r2, r3, r4, r11}}",
        "add r3, r3, r0",
        "rsb r5, r0, r3, lsl #1",
        "mov r10, r0",
        "mov r0, r3",
        "stm.w sp, {{r1, r2}}",
        "strd r0, r5, [sp, #8]",
        "str r4, [sp, #16]",
        "mvn r8, #32512",
        "sub r8, r8, #255",
        "mov r9, #16384",
        "2:",
        "ldrd r0, r4, [sp, #8]",
        eight_sums!("q0", "r10"),
        eight_sums!("q1", "r0"),
        eight_sums!("q2", "r4"),
        "strd r0, r4, [sp, #8]",
        columns!(set),
        sigmoid!("q0"),
        sigmoid!("q1"),
        // s = sat16(a + ((r * s + 2^14) >> 15))
        "ldr r4, [sp]",
        "vqrdmulh.s16 q2, q2, q1",
        "vldrh.u16 q1, [r4], #16",
        "str r4, [sp]",
        "vqadd.s16 q2, q2, q1",
        columns!(tanh),
        tanh!("q2"),
        "ldr r4, [sp, #4]",
        "vldrh.u16 q3, [r4]",
        mix!("b", "q1"),
        mix!("t", "q1"),
        "vadd.i16 q1, q1, q2",
        "vstrh.16 q1, [r4], #16",
        "str r4, [sp, #4]",
        "ldr r4, [sp, #16]",
        "subs r4, r4, #1",
        "str r4, [sp, #16]",
        "bne.w 2b",
        "add sp, sp, #24",
        "vpop {{d8, d9, d10, d11, d12, d13, d14, d15}}",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
        columns = sym COLUMNS,
    )
}

/// [`scalar::shift_q12`], four at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn shift_q12(sums: *const i32, out: *mut i16, count: usize, minus_shift: i32) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.32 lr, r2, 3f",
        "2:",
        "vldrw.u32 q0, [r0], #16",
        "vshl.s32 q0, r3",
        "vqmovnb.s32 q0, q0",
        "vstrh.32 q0, [r1], #8",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// An activation over a slice, eight at a time; `$set` brings the columns' addresses.
macro_rules! over_slice {
    ($(#[$doc:meta])* $name:ident, $activation:ident, $set:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The pointer is good for `count` elements.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(x: *mut i16, count: usize) {
            naked_asm!(
                ".cpu cortex-m55",
                "push.w {{r4, r5, r6, r7, r8, r9, r12, lr}}",
                "vpush {{d8, d9, d10, d11, d12, d13, d14, d15}}",
                "mov r4, r1",
                "mvn r8, #32512",
                "sub r8, r8, #255",
                "mov r9, #16384",
                $set,
                "b 3f",
                "2:",
                "vctp.16 r4",
                "vpst",
                "vldrht.u16 q0, [r0]",
                $activation!("q0"),
                "vctp.16 r4",
                "vpst",
                "vstrht.16 q0, [r0], #16",
                "subs r4, r4, #8",
                "3:",
                "cmp r4, #0",
                "bgt.w 2b",
                "vpop {{d8, d9, d10, d11, d12, d13, d14, d15}}",
                "pop.w {{r4, r5, r6, r7, r8, r9, r12, pc}}",
                columns = sym COLUMNS,
            )
        }
    };
}
over_slice!(
    /// [`scalar::sigmoid_q15`].
    sigmoid_q15, sigmoid, columns!(set)
);
over_slice!(
    /// [`scalar::tanh_q15`].
    tanh_q15, tanh, concat!(columns!(set), columns!(tanh))
);

/// [`scalar::widen_i8`], eight at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn widen_i8(x: *const i8, out: *mut i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.s16 q0, [r0], #8",
        "vstrh.16 q0, [r1], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`scalar::narrow_q15`], eight at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn narrow_q15(h: *const i16, out: *mut i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "mov r3, #128",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrh.u16 q0, [r0], #16",
        "vqadd.s16 q0, q0, r3",
        "vshr.s16 q0, q0, #8",
        "vstrh.16 q0, [r1], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`scalar::add_i16`], four at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn add_i16(sum: *mut i32, h: *const i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.32 lr, r2, 3f",
        "2:",
        "vldrw.u32 q0, [r0]",
        "vldrh.s32 q1, [r1], #8",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`scalar::max_i16`], eight at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn max_i16(max: *mut i16, h: *const i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrh.u16 q0, [r0]",
        "vldrh.u16 q1, [r1], #16",
        "vmax.s16 q0, q0, q1",
        "vstrh.16 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`scalar::dot_i16`], eight products an instruction and all 64 bits of their sum.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn dot_i16(w: *const i16, v: *const i16, count: usize) -> i64 {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "mov r3, r0",
        "mov r12, r1",
        "mov r0, #0",
        "mov r1, #0",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrh.u16 q0, [r3], #16",
        "vldrh.u16 q1, [r12], #16",
        "vmlaldava.s16 r0, r1, q0, q1",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}
