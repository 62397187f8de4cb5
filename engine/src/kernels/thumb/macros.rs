//! The vocabulary of the assembly: columns, activations, the cell.

/// Keeps the registers of the caller, and [`restore`] gives them back and returns.
macro_rules! save {
    () => {
        "push {{r4, r5, r6, r7, lr}}\n\
         mov r4, r8\n\
         mov r5, r9\n\
         mov r6, r10\n\
         mov r7, r11\n\
         push {{r4, r5, r6, r7}}\n"
    };
}

macro_rules! restore {
    () => {
        "pop {{r4, r5, r6, r7}}\n\
         mov r8, r4\n\
         mov r9, r5\n\
         mov r10, r6\n\
         mov r11, r7\n\
         pop {{r4, r5, r6, r7, pc}}\n"
    };
}

/// Sums of nothing in r8-r11.
macro_rules! zeros {
    () => {
        "movs r4, #0\n\
         mov r8, r4\n\
         mov r9, r4\n\
         mov r10, r4\n\
         mov r11, r4\n"
    };
}

/// A gate of a column: the weight at r0 plus an offset times x in r2.
macro_rules! product {
    ($offset:literal, $acc:literal) => {
        concat!("ldrsb r3, [r0, ", $offset, "]\n", "muls r3, r2, r3\n", "add ", $acc, ", r3\n")
    };
}

/// A column; the weights' address then moves by `$next`.
macro_rules! column {
    ($next:literal) => {
        concat!(
            "ldrsh r2, [r1, r4]\n",
            product!("r4", "r8"),
            product!("r5", "r9"),
            product!("r6", "r10"),
            product!("r7", "r11"),
            "adds r1, #2\n",
            "adds r0, #",
            $next,
            "\n",
        )
    };
}

/// All columns of a quad of rows of a kind of weights: x from r1 to r12, weights at r0, sums in r8-r11; 4, 8 and 12 in r5-r7, of which four bits need the
/// first. `counted` marks where it lies for the emulator.
macro_rules! columns {
    (i8) => {
        concat!("4:\n", column!("1"), column!("1"), column!("1"), column!("13"), "cmp r1, r12\n", "bne 4b\n")
    };
    (i4) => {
        concat!(
            "4:\n",
            column_i4!("1"),
            column_i4!("1"),
            column_i4!("1"),
            column_i4!("5"),
            "cmp r1, r12\n",
            "bne 4b\n",
            sixteenfold!("r8"),
            sixteenfold!("r9"),
            sixteenfold!("r10"),
            sixteenfold!("r11"),
        )
    };
    (i8 counted) => {
        concat!(
            ".globl latch_matrix_begin\n",
            "latch_matrix_begin:\n",
            columns!(i8),
            ".globl latch_matrix_end\n",
            "latch_matrix_end:\n",
        )
    };
    (i4 counted) => {
        columns!(i4)
    };
}

/// Two gates of a column of four bits: the byte at r0 plus an offset has one weight below and one above. Clobbers r3 and r6.
macro_rules! products_i4 {
    ($offset:literal, $below:literal, $above:literal) => {
        concat!(
            "ldrsb r3, [r0, ",
            $offset,
            "]\n",
            "lsls r6, r3, #28\n",
            "asrs r6, r6, #28\n",
            "asrs r3, r3, #4\n",
            "muls r6, r2, r6\n",
            "muls r3, r2, r3\n",
            "add ",
            $below,
            ", r6\n",
            "add ",
            $above,
            ", r3\n",
        )
    };
}

/// A column of four bits; the weights' address then moves by `$next`.
macro_rules! column_i4 {
    ($next:literal) => {
        concat!(
            "ldrsh r2, [r1, r4]\n",
            products_i4!("r4", "r8", "r10"),
            products_i4!("r5", "r9", "r11"),
            "adds r1, #2\n",
            "adds r0, #",
            $next,
            "\n",
        )
    };
}

/// A sum of nibbles' products to that of the weights, which are sixteen times as large. Clobbers r4.
macro_rules! sixteenfold {
    ($acc:literal) => {
        concat!("mov r4, ", $acc, "\n", "lsls r4, r4, #4\n", "mov ", $acc, ", r4\n")
    };
}

/// `acc * multiplier + bias` of a row into r4. Multipliers at r1, biases at r2. Clobbers r5.
macro_rules! scaled {
    ($acc:literal, $multiplier:literal, $bias:literal) => {
        concat!(
            "ldrh r4, [r1, #",
            $multiplier,
            "]\n",
            "mov r5, ",
            $acc,
            "\n",
            "muls r4, r5, r4\n",
            "ldr r5, [r2, #",
            $bias,
            "]\n",
            "adds r4, r4, r5\n",
        )
    };
}

/// `z = (acc * multiplier + bias) >> shift` of a gate, in place. The shift in r3, the rest as [`scaled`].
macro_rules! requantize {
    ($acc:literal, $multiplier:literal, $bias:literal) => {
        concat!(scaled!($acc, $multiplier, $bias), "asrs r4, r3\n", "mov ", $acc, ", r4\n")
    };
}

/// One more coefficient: `p = (p * t + c) >> 15`.
macro_rules! horner {
    ($c:literal) => {
        concat!("muls r3, r0, r3\n", "adds r3, r3, ", $c, "\n", "asrs r3, r3, #15\n")
    };
}

/// `out = acc * multiplier + bias` of a row. Sums at r3, the rest as [`scaled`].
macro_rules! scale {
    ($acc:literal, $multiplier:literal, $word:literal) => {
        concat!(scaled!($acc, $multiplier, $word), "str r4, [r3, #", $word, "]\n")
    };
}

/// The two activations, which a function calls by `bl 20f` and `bl 30f` and has behind its end.
macro_rules! activations {
    () => {
        concat!(
            // r0 = sigmoid_q15(sat16(r0)); the rows in r7. Clobbers r1-r6.
            "20:\n",
            "asrs r1, r0, #31\n",
            "eors r0, r1\n",
            "subs r0, r0, r1\n",
            "lsrs r2, r0, #15\n",
            "beq 21f\n",
            "movs r0, #1\n",
            "lsls r0, r0, #15\n",
            "subs r0, #1\n",
            "21:\n",
            "lsrs r2, r0, #12\n",
            "lsls r0, r0, #20\n",
            "movs r6, #3\n",
            "b 40f\n",
            // r0 = tanh_q15(sat16(r0)); the rows in r7. Clobbers r1-r6.
            "30:\n",
            "asrs r1, r0, #31\n",
            "eors r0, r1\n",
            "subs r0, r0, r1\n",
            "movs r2, #3\n",
            "lsls r2, r2, #12\n",
            "subs r3, r0, r2\n",
            "ble 33f\n",
            "lsrs r4, r3, #1\n",
            "subs r0, r0, r4\n",
            "movs r2, #1\n",
            "lsls r2, r2, #12\n",
            "subs r3, r3, r2\n",
            "ble 33f\n",
            "lsrs r3, r3, #2\n",
            "subs r0, r0, r3\n",
            "33:\n",
            "lsrs r2, r0, #14\n",
            "beq 34f\n",
            "movs r0, #1\n",
            "lsls r0, r0, #14\n",
            "subs r0, #1\n",
            "34:\n",
            "lsrs r2, r0, #11\n",
            "lsls r0, r0, #21\n",
            "movs r6, #2\n",
            // The polynomial: the segment in r2, t above bit 16 of r0 with its top bit turned, the sign in r1, the last
            // shift in r6.
            "40:\n",
            "lsls r2, r2, #3\n",
            "lsls r3, r2, #1\n",
            "adds r2, r2, r3\n",
            "adds r2, r2, r7\n",
            "movs r3, #1\n",
            "lsls r3, r3, #31\n",
            "adds r0, r0, r3\n",
            "asrs r0, r0, #16\n",
            "ldm r2!, {{r3, r4, r5}}\n",
            horner!("r4"),
            horner!("r5"),
            "ldm r2!, {{r4, r5}}\n",
            horner!("r4"),
            horner!("r5"),
            "asrs r3, r6\n",
            "ldr r2, [r2]\n",
            "adds r3, r3, r2\n",
            "cmp r6, #3\n",
            "bne 41f\n",
            "eors r3, r1\n",
            "subs r3, r3, r1\n",
            "movs r0, #1\n",
            "lsls r0, r0, #14\n",
            "adds r0, r0, r3\n",
            "bx lr\n",
            "41:\n",
            "movs r4, #1\n",
            "lsls r4, r4, #15\n",
            "cmp r3, r4\n",
            "blt 42f\n",
            "subs r3, r4, #1\n",
            "42:\n",
            "eors r3, r1\n",
            "subs r0, r3, r1\n",
            "bx lr\n",
        )
    };
}

/// r5 saturated to 16 bits. Clobbers r6.
macro_rules! saturate_s {
    () => {
        "sxth r6, r5\n\
         cmp r6, r5\n\
         beq 3f\n\
         movs r6, #1\n\
         lsls r6, r6, #15\n\
         subs r6, #1\n\
         asrs r5, r5, #31\n\
         eors r5, r6\n\
         3:\n"
    };
}

/// The next c and h of a unit: i, f, o in r8, r9, r11, g in r0. Clobbers r0-r4; what lies on the stack is at `lstm_i8`.
macro_rules! cell {
    () => {
        concat!(
            // c' = (((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11); the halves of c times f, for the product has 48 bits.
            "mov r1, r8\n",
            "muls r0, r1, r0\n",
            "movs r1, #3\n",
            "lsls r1, r1, #10\n",
            "adds r0, r0, r1\n",
            "asrs r0, r0, #11\n",
            "ldr r4, [sp, #12]\n",
            "ldr r2, [r4]\n",
            "mov r1, r9\n",
            "uxth r3, r2\n",
            "muls r3, r1, r3\n",
            "lsrs r3, r3, #16\n",
            "asrs r2, r2, #16\n",
            "muls r2, r1, r2\n",
            "adds r2, r2, r3\n",
            "lsls r2, r2, #1\n",
            "adds r0, r0, r2\n",
            "stm r4!, {{r0}}\n",
            "str r4, [sp, #12]\n",
            // h = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15
            "adds r0, #64\n",
            "asrs r0, r0, #7\n",
            "bl 30f\n",
            "mov r1, r11\n",
            "muls r0, r1, r0\n",
            "movs r1, #1\n",
            "lsls r1, r1, #14\n",
            "adds r0, r0, r1\n",
            "asrs r0, r0, #15\n",
            "ldr r4, [sp, #8]\n",
            "strh r0, [r4]\n",
            "adds r4, #2\n",
            "str r4, [sp, #8]\n",
        )
    };
}
