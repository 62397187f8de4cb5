//! What the chips' backends share on the way to their assembly: whether slices fit each other, and the methods that hand over rows.

use super::{IntWeight, RowsInt};

/// A step's slices fit each other, with so many weights in an element, and there is something to do.
#[inline(always)]
pub(super) fn step_fits<W: IntWeight>(gates: &RowsInt<'_, W>, per: usize, xh: &[i16], h: &[i16], c: &[i32]) -> bool {
    let (units, blocks) = (h.len(), xh.len() / W::COLUMNS);
    let fits = xh.len().is_multiple_of(W::COLUMNS)
        && per * gates.weights.len() == 4 * W::COLUMNS * blocks * units
        && gates.multiplier.len() == 4 * units
        && gates.bias.len() == 4 * units
        && c.len() == units;
    debug_assert!(units == 0 || fits, "the slices of a step do not fit each other");
    fits && blocks != 0 && units != 0
}

/// Columns in blocks, which are fours of int8 and eights of int16, and rows in fours, of a product whose slices fit each other, with so many weights in an
/// element, and are not empty.
#[inline(always)]
pub(super) fn quads_of_rows<W: IntWeight>(
    weights: &[W],
    per: usize,
    multiplier: &[u16],
    columns: usize,
    out: &[i32],
) -> Option<(usize, usize)> {
    let (rest, columns, quads) = (columns % W::COLUMNS, columns / W::COLUMNS, out.len() / 4);
    let fits = rest == 0
        && out.len().is_multiple_of(4)
        && per * weights.len() == 4 * W::COLUMNS * columns * quads
        && multiplier.len() == out.len();
    debug_assert!(columns == 0 || quads == 0 || fits, "the slices of rows do not fit each other");
    (fits && columns != 0 && quads != 0).then_some((columns, quads))
}

/// A GRU cell's slices fit each other, and there is something to do.
#[inline(always)]
pub(super) fn cell_fits(sums: &[i32], n: &[i16], h: &[i16]) -> bool {
    let fits = sums.len() >= 3 * h.len() && n.len() == h.len();
    debug_assert!(fits, "the slices of a cell do not fit each other");
    fits && !h.is_empty()
}

/// `Backend::rows_i8` and `Backend::add_rows_i8` by the assembly `rows_i8(&RowsStep)`, or those of four bits, two weights in a byte.
macro_rules! rows_by_assembly {
    () => {
        rows_by_assembly!(rows_i8, add_rows_i8, rows_i8, 1);
    };
    ($rows:ident, $add_rows:ident, $assembly:ident, $per:literal) => {
        fn $rows(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
            if let Some(product) = RowsStep::new(rows.weights, $per, rows.multiplier, x, out) {
                if rows.bias.len() == out.len() {
                    // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0, and the biases are as
                    // many; `out` is borrowed apart from them.
                    unsafe { $assembly(&RowsStep { bias: rows.bias.as_ptr(), ..product }) }
                }
            } else if x.is_empty() {
                out.iter_mut().zip(rows.bias).for_each(|(out, bias)| *out = *bias);
            }
        }

        fn $add_rows(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
            if let Some(product) = RowsStep::new(rows.weights, $per, rows.multiplier, x, sums) {
                // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0; a quad's biases are read
                // before its sums are written over them.
                unsafe { $assembly(&product) }
            }
        }
    };
}
pub(super) use rows_by_assembly;

/// `Backend::rows_i16` and `Backend::add_rows_i16` by the assembly `rows_i16(&RowsStep)`.
#[cfg(not(latch_backend = "thumb"))]
macro_rules! words_by_assembly {
    () => {
        fn rows_i16(self, rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
            if let Some(product) = RowsStep::words(rows.weights, 1, rows.multiplier, x, out) {
                if rows.bias.len() == out.len() {
                    // SAFETY: `RowsStep::words` held the lengths to each other and to not being 0, and the biases are as
                    // many; `out` is borrowed apart from them.
                    unsafe { rows_i16(&RowsStep { bias: rows.bias.as_ptr(), ..product }) }
                }
            } else if x.is_empty() {
                out.iter_mut().zip(rows.bias).for_each(|(out, bias)| *out = *bias);
            }
        }

        fn add_rows_i16(self, rows: &RowsI16<'_>, x: &[i16], sums: &mut [i32]) {
            if let Some(product) = RowsStep::words(rows.weights, 1, rows.multiplier, x, sums) {
                // SAFETY: `RowsStep::words` held the lengths to each other and to not being 0; a quad's biases are read
                // before its sums are written over them.
                unsafe { rows_i16(&product) }
            }
        }
    };
}
#[cfg(not(latch_backend = "thumb"))]
pub(super) use words_by_assembly;

/// Methods of a backend over the first elements of two slices, as many as the shorter one has, by assembly of the same name.
#[cfg(not(latch_backend = "thumb"))]
macro_rules! pairs_by_assembly {
    ($($name:ident($a:ident: $first:ty, $b:ident: $second:ty) $(-> $result:ty)?: $pointer:ident, $other:ident;)*) => {
        $(fn $name(self, $a: $first, $b: $second) $(-> $result)? {
            let count = $a.len().min($b.len());
            // SAFETY: both slices have `count` elements.
            unsafe { $name($a.$pointer(), $b.$other(), count) }
        })*
    };
}
#[cfg(not(latch_backend = "thumb"))]
pub(super) use pairs_by_assembly;
