//! What wider backends leave to AVX2: the methods of [`Backend`](crate::kernels::Backend) that hand over, each written once.

/// The named methods, by the token that `self.avx2()` gives. The types in them are imported where the macro is used.
macro_rules! as_avx2 {
    ($($name:ident)*) => { $(as_avx2!(@$name);)* };

    (@prefetch) => { as_avx2!(@of prefetch(soon: &[u8])); };
    (@wants_aligned_weights) => { as_avx2!(@of wants_aligned_weights() -> bool); };

    // Integers.
    (@lstm_i8) => { as_avx2!(@of lstm_i8(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32])); };
    (@step_i8) => {
        as_avx2!(@of step_i8(
            gates: &RowsI8<'_>, x: Features<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool
        ));
    };
    (@lstm_i8_many) => { as_avx2!(@of lstm_i8_many(gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>])); };
    (@rows_i8) => { as_avx2!(@of rows_i8(rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32])); };
    (@add_rows_i8) => { as_avx2!(@of add_rows_i8(rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32])); };
    (@lstm_i4) => {
        as_avx2!(@of lstm_i4(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool));
    };
    (@step_i4) => {
        as_avx2!(@of step_i4(
            gates: &RowsI8<'_>, x: Features<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool
        ));
    };
    (@rows_i4) => { as_avx2!(@of rows_i4(rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32])); };
    (@add_rows_i4) => { as_avx2!(@of add_rows_i4(rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32])); };
    (@lstm_i16) => { as_avx2!(@of lstm_i16(gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32])); };
    (@rows_i16) => { as_avx2!(@of rows_i16(rows: &RowsI16<'_>, x: &[i16], out: &mut [i32])); };
    (@gru_i8) => { as_avx2!(@of gru_i8(gru: &GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16])); };
    (@gru_cell_i8) => { as_avx2!(@of gru_cell_i8(sums: &[i32], n: &[i16], shift: u32, h: &mut [i16])); };
    (@widen_i8) => { as_avx2!(@of widen_i8(x: &[i8], out: &mut [i16])); };
    (@narrow_q15) => { as_avx2!(@of narrow_q15(h: &[i16], out: &mut [i16])); };
    (@shift_q12) => { as_avx2!(@of shift_q12(sums: &[i32], shift: u32, out: &mut [i16])); };
    (@sigmoid_q15) => { as_avx2!(@of sigmoid_q15(x: &mut [i16])); };
    (@tanh_q15) => { as_avx2!(@of tanh_q15(x: &mut [i16])); };
    (@add_i16) => { as_avx2!(@of add_i16(sum: &mut [i32], h: &[i16])); };
    (@max_i16) => { as_avx2!(@of max_i16(max: &mut [i16], h: &[i16])); };
    (@dot_i16) => { as_avx2!(@of dot_i16(w: &[i16], v: &[i16]) -> i64); };

    // Floats.
    (@lstm_float) => {
        as_avx2!(@of lstm_float<W>(gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]));
    };
    (@step_float) => {
        as_avx2!(@of step_float<W>(
            gates: &RowsFloat<'_, W>, x: FeaturesFloat<'_, W>, xh: &mut [f32], h: &mut [f32], c: &mut [f32],
            backwards: bool
        ));
    };
    (@lstm_float_many) => {
        as_avx2!(@of lstm_float_many<W>(gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]));
    };
    (@rows_float) => { as_avx2!(@of rows_float<W>(rows: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32])); };
    (@add_rows_float) => { as_avx2!(@of add_rows_float<W>(rows: &RowsFloat<'_, W>, x: &[f32], sums: &mut [f32])); };
    (@rows_float_many) => {
        as_avx2!(@of rows_float_many<W>(rows: &RowsFloat<'_, W>, products: &mut [ProductFloat<'_>], add: bool));
    };
    (@rows_gain_together) => { as_avx2!(@of rows_gain_together(weights: usize) -> bool); };
    (@gru_float) => {
        as_avx2!(@of gru_float<W>(
            gru: &GruFloat<'_, W>, x: FeaturesFloat<'_, W>, scratch: &mut [f32], h: &mut [f32]
        ));
    };
    (@widen_float) => { as_avx2!(@of widen_float<W>(x: &[W], out: &mut [f32])); };
    (@sigmoid_f32) => { as_avx2!(@of sigmoid_f32(x: &mut [f32])); };
    (@tanh_f32) => { as_avx2!(@of tanh_f32(x: &mut [f32])); };
    (@add_f32) => { as_avx2!(@of add_f32(sum: &mut [f32], h: &[f32])); };
    (@max_f32) => { as_avx2!(@of max_f32(max: &mut [f32], h: &[f32])); };
    (@dot_f32) => { as_avx2!(@of dot_f32<W>(w: &[W], v: &[f32]) -> f32); };

    (@of $name:ident $(<$weight:ident>)? ($($argument:ident : $type:ty),*) $(-> $output:ty)?) => {
        fn $name $(<$weight: FloatWeight>)? (self, $($argument: $type),*) $(-> $output)? {
            self.avx2().$name($($argument),*)
        }
    };
}
pub(super) use as_avx2;
