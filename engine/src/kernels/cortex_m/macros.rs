//! The vocabulary of the assembly: quads of columns, activations, the cell.

/// What the assembler must be told: it does not hear of `-C target-cpu`, and ARMv8-M has the extension only on some cores.
#[cfg(latch_armv8m)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(latch_armv8m))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m4"
    };
}

/// Four columns: x in words at r1, weights at r0, sums in r4-r7. 72 bytes of code; what enters the loop in its middle counts on it.
macro_rules! quad {
    () => {
        concat!(
            "ldm.w r1!, {{r2, r3}}\n",
            "ldm.w r0!, {{r8, r9, r10, r11}}\n",
            quad!(gate "r4", "r8"),
            quad!(gate "r5", "r9"),
            quad!(gate "r6", "r10"),
            quad!(gate "r7", "r11"),
        )
    };
    (gate $acc:literal, $w:literal) => {
        concat!(
            "sxtb16 r12, ", $w, "\n",
            "smlad ", $acc, ", r12, r2, ", $acc, "\n",
            "sxtb16 ", $w, ", ", $w, ", ror #8\n",
            "smlad ", $acc, ", ", $w, ", r3, ", $acc, "\n",
        )
    };
}

/// The same of weights of four bits: gates i and f lie in the lower halves of the bytes, g and o in the upper ones; r11 has the mask of the upper halves. 88
/// bytes of code.
macro_rules! quad_i4 {
    () => {
        concat!(
            "ldm.w r1!, {{r2, r3}}\n",
            "ldm.w r0!, {{r8, r9}}\n",
            "and.w r10, r8, r11\n",
            "and.w r8, r11, r8, lsl #4\n",
            quad!(gate "r4", "r8"),
            quad!(gate "r6", "r10"),
            "and.w r10, r9, r11\n",
            "and.w r9, r11, r9, lsl #4\n",
            quad!(gate "r5", "r9"),
            quad!(gate "r7", "r10"),
        )
    };
}

/// The columns at r1, r12 quads of them, change to the order 0, 2, 1, 3 or back: the exchange of the middle two is its own inverse.
macro_rules! exchange {
    () => {
        "77:\n\
         ldrd r2, r3, [r1]\n\
         pkhbt lr, r2, r3, lsl #16\n\
         pkhtb r2, r3, r2, asr #16\n\
         strd lr, r2, [r1], #8\n\
         subs.w r12, r12, #1\n\
         bne 77b\n"
    };
}

/// Rounds of four quads, into r3, and where the first of them is entered so that (-quads mod 4) quads are left out: from the quads in `$quads`, into it.
/// `$eighths` multiplies r2 with the eighth part of a quad's bytes.
macro_rules! entry {
    ($quads:literal) => {
        entry!($quads, "add r2, r2, r2, lsl #3\n")
    };
    ($quads:literal, $eighths:literal) => {
        concat!(
            "rsb r2, ",
            $quads,
            ", #0\n",
            "and r2, r2, #3\n",
            "add r3, ",
            $quads,
            ", r2\n",
            "lsr r3, r3, #2\n",
            $eighths,
            "adr.w r1, 4f\n",
            "add ",
            $quads,
            ", r1, r2, lsl #3\n",
            "orr ",
            $quads,
            ", ",
            $quads,
            ", #1\n",
        )
    };
}

/// The rounds of a quad of rows, lr of them.
macro_rules! rounds {
    (i8) => {
        concat!("4:\n", quad!(), quad!(), quad!(), quad!(), "subs.w lr, lr, #1\n", "bne.w 4b\n")
    };
    (i4) => {
        concat!("4:\n", quad_i4!(), quad_i4!(), quad_i4!(), quad_i4!(), "subs.w lr, lr, #1\n", "bne.w 4b\n")
    };
}

/// What the products of a kind of weights are made of: where the rounds are entered, what a unit needs besides, and the rounds.
macro_rules! products {
    (i8 entry $quads:literal) => {
        entry!($quads)
    };
    (i8 unit) => {
        ""
    };
    (i8 rounds) => {
        concat!(
            ".globl latch_matrix_begin\n",
            "latch_matrix_begin:\n",
            rounds!(i8),
            ".globl latch_matrix_end\n",
            "latch_matrix_end:\n",
        )
    };
    (i4 entry $quads:literal) => {
        entry!($quads, "add r12, r2, r2, lsl #3\nadd r2, r12, r2, lsl #1\n")
    };
    (i4 unit) => {
        "mov.w r11, #0xf0f0f0f0\n"
    };
    (i4 rounds) => {
        rounds!(i4)
    };
}

/// `acc = acc * multiplier + bias` of the sums in r4-r7: multipliers at r8, biases at r9, which move on.
macro_rules! scale {
    (first) => {
        "ldrd r2, r12, [r8], #8\n\
         ldrd r1, r3, [r9], #8\n\
         uxth lr, r2\n\
         mla r4, r4, lr, r1\n\
         lsr lr, r2, #16\n\
         mla r5, r5, lr, r3\n\
         ldrd r1, r3, [r9], #8\n"
    };
    (second) => {
        "uxth lr, r12\n\
         mla r6, r6, lr, r1\n\
         lsr lr, r12, #16\n\
         mla r7, r7, lr, r3\n"
    };
}

/// |z| of a sum in any range.
macro_rules! magnitude {
    ($z:literal) => {
        concat!("eor r8, ", $z, ", ", $z, ", asr #31\n", "sub r8, r8, ", $z, ", asr #31\n")
    };
}

/// The polynomial of [`Segments::distance`]: the segment's place among the rows in r9, t in the low half of r8; D in r3.
/// Clobbers r9-r12 and lr.
macro_rules! distance {
    ($shift:literal) => {
        concat!(
            "ldm.w r9, {{r3, r9, r10, r11, r12, lr}}\n", // c4 c3 c2 c1 r b
            "smlabb r3, r3, r8, r9\n",
            "asr r3, r3, #15\n",
            "smlabb r3, r3, r8, r10\n",
            "asr r3, r3, #15\n",
            "smlabb r3, r3, r8, r11\n",
            "asr r3, r3, #15\n",
            "smlabb r3, r3, r8, r12\n",
            "asr r3, r3, #15\n",
            "add r3, lr, r3, asr #",
            $shift,
            "\n",
        )
    };
}

/// `z = sigmoid_q15(sat16(z))`. Clobbers r3, r8-r12, lr.
macro_rules! sigmoid {
    ($z:literal) => {
        concat!(
            magnitude!($z),
            "usat r8, #15, r8\n",
            "lsr r9, r8, #12\n",
            "add r9, r9, r9, lsl #1\n",
            "add r9, r2, r9, lsl #3\n",
            "lsl r8, r8, #4\n",
            "eor r8, r8, #0x8000\n",
            distance!("3"),
            "eor r3, r3, ",
            $z,
            ", asr #31\n",
            "sub r3, r3, ",
            $z,
            ", asr #31\n",
            "add ",
            $z,
            ", r3, #16384\n",
        )
    };
}

/// `z = tanh_q15(sat16(z))`. Clobbers r3, r8-r12, lr. Beyond 16 bits the squeezed magnitude is at least a quarter of z: the
/// saturation at 14 bits is the one at the top of the table.
macro_rules! tanh {
    ($z:literal) => {
        concat!(
            magnitude!($z),
            "sub r9, r8, #0x3000\n",
            "usat r9, #31, r9\n",
            "sub r10, r8, #0x4000\n",
            "usat r10, #31, r10\n",
            "sub r8, r8, r9, lsr #1\n",
            "sub r8, r8, r10, lsr #2\n",
            "usat r8, #14, r8\n",
            "lsr r9, r8, #11\n",
            "add r9, r9, r9, lsl #1\n",
            "add r9, r2, r9, lsl #3\n",
            "add r9, r9, #{tanh}\n",
            "lsl r8, r8, #5\n",
            "eor r8, r8, #0x8000\n",
            distance!("2"),
            "ssat r3, #16, r3\n",
            "eor r3, r3, ",
            $z,
            ", asr #31\n",
            "sub ",
            $z,
            ", r3, ",
            $z,
            ", asr #31\n",
        )
    };
}

/// A unit's activations and cell: z of i, f, g, o in r4-r7, c and h of the unit at what lies behind it.
macro_rules! cell {
    () => {
        concat!(
            "mov r1, #16384\n",
            "movw r2, #:lower16:{rows}\n",
            "movt r2, #:upper16:{rows}\n",
            sigmoid!("r4"),
            sigmoid!("r5"),
            tanh!("r6"),
            sigmoid!("r7"),
            // c' = (((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11)
            "ldr r8, [sp, #12]\n",
            "mov r10, #3072\n",
            "ldr r9, [r8, #-4]\n",
            "smlabb r10, r4, r6, r10\n",
            "smulwb r9, r9, r5\n",
            "asr r10, r10, #11\n",
            "add r9, r10, r9, lsl #1\n",
            "str r9, [r8, #-4]\n",
            // h = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15
            "add r4, r9, #64\n",
            "asr r4, r4, #7\n",
            tanh!("r4"),
            "ldr r8, [sp, #8]\n",
            "smlabb r4, r4, r7, r1\n",
            "asr r4, r4, #15\n",
            "strh r4, [r8, #-2]\n",
        )
    };
}
