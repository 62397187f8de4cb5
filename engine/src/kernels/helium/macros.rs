//! The vocabulary of the assembly: activations, blocks of columns, tiles of units.

use crate::kernels::activation::{SIGMOID, TANH};

/// The columns of both activations, 96 bytes each; a gather reads one constant for each of eight lanes.
pub(super) static COLUMNS: [[[i16; 8]; 6]; 2] = [SIGMOID.columns, TANH.columns];

/// The addresses of these columns, those of the sigmoid first: a list is loaded in one instruction.
pub(super) static LISTS: [&[i16; 8]; 12] = {
    let [[a, b, c, d, e, f], [g, h, i, j, k, l]] = &COLUMNS;
    [a, b, c, d, e, f, g, h, i, j, k, l]
};

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

/// `q6 = tanh_q15(z)`, eight lanes. -32768 in r8, 16384 in r9. Clobbers q4-q7 and lr. `vqadd` saturates as the reference's minimum does.
macro_rules! tanh_to_q6 {
    ($z:literal) => {
        concat!(
            "vabs.s16 q4, ",
            $z,
            "\n",
            "mov lr, #0x3000\n",
            "vqsub.u16 q5, q4, lr\n",
            "vqsub.u16 q6, q4, r9\n",
            "vshr.u16 q5, q5, #1\n",
            "vshr.u16 q6, q6, #2\n",
            "vsub.i16 q4, q4, q5\n",
            "vsub.i16 q4, q4, q6\n",
            "sub lr, r9, #1\n",
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
        )
    };
}

/// `z = tanh_q15(z)`, as [`tanh_to_q6`].
macro_rules! tanh {
    ($z:literal) => {
        concat!(tanh_to_q6!($z), "vmov ", $z, ", q6\n")
    };
}

/// One gate of four columns: its four bytes of the products of weights and q4.
macro_rules! four_bytes {
    ($acc:literal, $weights:literal, $mask:literal) => {
        concat!("mov.w lr, #", $mask, "\n", "vmsr p0, lr\n", "vpst\n", "vmladavat.s8 ", $acc, ", ", $weights, ", q4\n")
    };
}

/// Keeps the registers of the caller, and [`restore`] gives them back and returns.
macro_rules! save {
    () => {
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}\n\
         vpush {{d8, d9, d10, d11, d12, d13, d14, d15}}\n"
    };
}

macro_rules! restore {
    () => {
        "vpop {{d8, d9, d10, d11, d12, d13, d14, d15}}\n\
         pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}\n"
    };
}

/// What the activations expect in r8 and r9: -32768, as the lower half of the register, and 16384.
macro_rules! constants {
    () => {
        "movw r8, #32768\n\
         mov r9, #16384\n"
    };
}

/// The weights of sixteen columns at r0, a vector a row; `$next` is `!` where r0 moves on.
///
/// Of four bits, rows 0 and 1 lie in the lower halves of the bytes and come out as the weights, sixteen times the nibbles, rows 2 and 3 in the upper ones
/// and come out as the nibbles: [`rows_done`] makes up for it.
macro_rules! weights {
    (i4 $next:literal) => {
        concat!(
            "vld20.32 {{q0, q1}}, [r0]\n",
            "vld21.32 {{q0, q1}}, [r0]",
            $next,
            "\n",
            "vshr.s8 q2, q0, #4\n",
            "vshr.s8 q3, q1, #4\n",
            "vshl.i8 q0, q0, #4\n",
            "vshl.i8 q1, q1, #4\n",
        )
    };
    (i8 $next:literal) => {
        concat!(
            "vld40.32 {{q0, q1, q2, q3}}, [r0]\n",
            "vld41.32 {{q0, q1, q2, q3}}, [r0]\n",
            "vld42.32 {{q0, q1, q2, q3}}, [r0]\n",
            "vld43.32 {{q0, q1, q2, q3}}, [r0]",
            $next,
            "\n",
        )
    };
}

/// Sixteen products of each of four rows, summed: `vmladav` begins the sums in r2, r4, r6, r8, `vmladava` goes on.
macro_rules! products {
    ($sum:literal) => {
        concat!($sum, ".s8 r2, q0, q4\n", $sum, ".s8 r4, q1, q4\n", $sum, ".s8 r6, q2, q4\n", $sum, ".s8 r8, q3, q4\n",)
    };
}

/// A block: sixteen columns at r1.
macro_rules! block {
    ($kind:ident $sum:literal) => {
        concat!("vldrb.u8 q4, [r1], #16\n", weights!($kind "!"), products!($sum))
    };
}

/// Brings the sums of four rows to one scale.
macro_rules! rows_done {
    (i8) => {
        ""
    };
    (i4) => {
        "lsl r6, r6, #4\nlsl r8, r8, #4\n"
    };
}

/// Moves r0 on by the weights of four rows, whose columns are in a register.
macro_rules! past_rows {
    (i8 $columns:literal) => {
        concat!("add r0, r0, ", $columns, ", lsl #2\n")
    };
    (i4 $columns:literal) => {
        concat!("add r0, r0, ", $columns, ", lsl #1\n")
    };
}

/// The products of four columns at r1 and of the weights at r0, of which no more may be read.
macro_rules! four_columns {
    (i8) => {
        concat!(
            "ldr lr, [r1], #4\n",
            "vldrb.u8 q0, [r0], #16\n",
            "vdup.32 q4, lr\n",
            four_bytes!("r2", "q0", "0xf"),
            four_bytes!("r4", "q0", "0xf0"),
            four_bytes!("r6", "q0", "0xf00"),
            four_bytes!("r8", "q0", "0xf000"),
        )
    };
    (i4) => {
        concat!(
            "ldr lr, [r1], #4\n",
            "vdup.32 q4, lr\n",
            "mov lr, #8\n",
            "vctp.8 lr\n",
            "vpst\n",
            "vldrbt.u8 q0, [r0], #8\n",
            "vshl.i8 q1, q0, #4\n",
            "vshr.s8 q0, q0, #4\n",
            four_bytes!("r2", "q1", "0xf"),
            four_bytes!("r4", "q1", "0xf0"),
            four_bytes!("r6", "q0", "0xf"),
            four_bytes!("r8", "q0", "0xf0"),
        )
    };
}

/// The columns behind the blocks, r5 times four of them; goes back to 8. Where weights of a next row lie behind, a block more, its columns beyond the row zero: that
/// row has a block's bytes when this one has a block. The last row (as many as lr from the end of r12), and rows of less than a block, go on by four columns.
macro_rules! behind_blocks {
    ($kind:ident) => {
        concat!(
            "cmp r12, lr\n",
            "bls 7f\n",
            "lsl lr, r5, #2\n",
            "vctp.8 lr\n",
            "vpst\n",
            "vldrbt.u8 q4, [r1]\n",
            weights!($kind ""),
            past_rows!($kind "lr"),
            products!("vmladava"),
            "b 8b\n",
            "7:\n",
            four_columns!($kind),
            "subs r5, r5, #1\n",
            "bne 7b\n",
            "b 8b\n",
        )
    };
}

/// `acc * multiplier + bias` of four rows into q0: sums in r2, r4, r6, r8, multipliers at r7, biases at r9. Clobbers q1, q2.
macro_rules! scale {
    () => {
        "vmov q0[2], q0[0], r2, r6\n\
         vmov q0[3], q0[1], r4, r8\n\
         vldrh.u32 q1, [r7], #8\n\
         vldrw.u32 q2, [r9], #16\n\
         vmul.i32 q0, q0, q1\n\
         vadd.i32 q0, q0, q2\n"
    };
}

/// Columns at r2, r5 of them, become bytes in place.
macro_rules! to_bytes {
    () => {
        "mov r1, r2\n\
         dlstp.16 lr, r5\n\
         2:\n\
         vldrh.u16 q0, [r1], #16\n\
         vstrb.16 q0, [r2], #8\n\
         letp lr, 2b\n"
    };
}

/// Bytes at r1, r2 of them, become columns in place, from the last to the first, for they grow over each other.
macro_rules! to_columns {
    () => {
        "and r3, r2, #7\n\
         bic r2, r2, #7\n\
         add r4, r1, r2, lsl #1\n\
         add r1, r1, r2\n\
         vctp.16 r3\n\
         vpstt\n\
         vldrbt.s16 q0, [r1]\n\
         vstrht.16 q0, [r4]\n\
         lsr r2, r2, #3\n\
         wls lr, r2, 16f\n\
         15:\n\
         vldrb.s16 q0, [r1, #-8]!\n\
         vstrh.16 q0, [r4, #-16]!\n\
         le lr, 15b\n\
         16:\n"
    };
}

/// Moves the columns' addresses to those of tanh, or sets them to those of the sigmoid, in r1, r2, r3, r5, r6, r7.
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

/// Activations and cell of a tile whose sums lie on the stack; what else lies there is at `lstm_i8`.
macro_rules! tile {
    () => {
        concat!(
            // Activations of the tile.
            "mov r10, sp\n",
            "vld40.16 {{q0, q1, q2, q3}}, [r10]\n",
            "vld41.16 {{q0, q1, q2, q3}}, [r10]\n",
            "vld42.16 {{q0, q1, q2, q3}}, [r10]\n",
            "vld43.16 {{q0, q1, q2, q3}}, [r10]\n",
            "movw r4, #:lower16:{lists}\n",
            "movt r4, #:upper16:{lists}\n",
            "ldm.w r4!, {{r1, r2, r3, r5, r6, r7}}\n",
            constants!(),
            sigmoid!("q0"),
            sigmoid!("q1"),
            sigmoid!("q3"),
            "ldm.w r4, {{r1, r2, r3, r5, r6, r7}}\n",
            tanh!("q2"),
            // The cell; an incomplete tile works on a copy of its c.
            "ldrd r10, r12, [sp, #104]\n",
            "cmp r12, #8\n",
            "beq 9f\n",
            "mov r4, r10\n",
            "add r11, sp, #64\n",
            "dlstp.32 lr, r12\n",
            "12:\n",
            "vldrw.u32 q4, [r4], #16\n",
            "vstrw.32 q4, [r11], #16\n",
            "letp lr, 12b\n",
            "add r10, sp, #64\n",
            "9:\n",
            "vld20.32 {{q4, q5}}, [r10]\n",
            "vld21.32 {{q4, q5}}, [r10]\n",
            "mov lr, #3072\n",
            cell!("b", "q4"),
            cell!("t", "q5"),
            "vst20.32 {{q4, q5}}, [r10]\n",
            "vst21.32 {{q4, q5}}, [r10]\n",
            "cmp r12, #8\n",
            "beq 13f\n",
            "ldr r4, [sp, #104]\n",
            "mov r11, r10\n",
            "dlstp.32 lr, r12\n",
            "14:\n",
            "vldrw.u32 q6, [r11], #16\n",
            "vstrw.32 q6, [r4], #16\n",
            "letp lr, 14b\n",
            "13:\n",
            // h = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15
            "vrshr.s32 q4, q4, #7\n",
            "vrshr.s32 q5, q5, #7\n",
            "vqmovnb.s32 q0, q4\n",
            "vqmovnt.s32 q0, q5\n",
            tanh_to_q6!("q0"),
            "vqrdmulh.s16 q0, q6, q3\n",
            "ldrd r4, r5, [sp, #100]\n",
            "vctp.16 r12\n",
            "vpst\n",
            "vstrht.16 q0, [r4], #16\n",
            "add r5, r5, #32\n",
            "strd r4, r5, [sp, #100]\n",
        )
    };
}
