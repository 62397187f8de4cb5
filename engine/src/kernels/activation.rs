//! Sigmoid and tanh, in 16-bit integers and in floats, of one value. The backends vectorise these same steps.
//!
//! The constants are printed by `activation_tables.py`, which stands beside this file and says how they were found. Every
//! error stated here is the largest over all inputs, and a test visits them all.

/// The largest error of [`sigmoid_q15`] over all 65,536 inputs, in units of its last place (2^-15).
pub const SIGMOID_Q15_MAX_ERROR_LSB: f64 = 0.694;
/// The largest error of [`tanh_q15`] for `|x| < 6`, in units of its last place (2^-15).
pub const TANH_Q15_MAX_ERROR_LSB: f64 = 0.788;
/// The largest error of [`tanh_q15`] over all 65,536 inputs: beyond 6 it returns 32767, and 1.0 would be 32768.
pub const TANH_Q15_MAX_ERROR_SATURATED_LSB: f64 = 0.993;
/// The largest value of [`sigmoid_q15`]; the smallest is 32768 less this. What bounds the cell state.
pub const SIGMOID_Q15_MAX: i16 = 32757;
/// The largest value of [`tanh_q15`]; the smallest is its negative.
pub const TANH_Q15_MAX: i16 = 32767;

/// The largest absolute error of [`sigmoid_f32`], and of every backend's, over all finite floats.
pub const SIGMOID_F32_MAX_ERROR: f64 = 9.0e-8;
/// The largest error of [`sigmoid_f32`], and of every backend's, in units in the last place of the true value, for `x >= -87`.
pub const SIGMOID_F32_MAX_ERROR_ULP: f64 = 2.5;
/// The largest absolute error of [`tanh_f32`], and of every backend's, over all finite floats.
pub const TANH_F32_MAX_ERROR: f64 = 1.5e-7;
/// The largest error of [`tanh_f32`], and of every backend's, in units in the last place of the true value.
pub const TANH_F32_MAX_ERROR_ULP: f64 = 2.6;

/// Eight segments of a polynomial of degree 4, a column of eight entries a coefficient: a vector register holds a column,
/// and a byte shuffle (`pshufb`, `tbl`) reads it with no access to memory.
///
/// ```text
/// P = (((c4*t + c3)*t + c2)*t + c1)*t + r     products as (a*b + 2^14) >> 15; t and c Q0.15-like, inside 16 bits
/// D = b + (P >> SHIFT)
/// ```
///
/// No intermediate is -32768, so the multiplications that saturate and those that wrap agree.
#[derive(Debug)]
pub(crate) struct Segments<const SHIFT: u32> {
    /// `[c4, c3, c2, c1, r, b][segment]`.
    pub(crate) columns: [[i16; 8]; 6],
}

/// Distance of the sigmoid from 1/2 over segments of width 1.
pub(crate) const SIGMOID: Segments<3> = Segments {
    columns: [
        [69, 53, -7, -10, -3, -2, 1, -2],                        // c4
        [-516, 75, 218, 130, 53, 24, 11, 3],                     // c3
        [-1884, -3106, -1948, -880, -352, -133, -50, -16],       // c2
        [30800, 19552, 9190, 3729, 1426, 529, 194, 72],          // c1
        [1825, 3062, 1958, 896, 356, 137, 50, 18],               // r
        [3785, 10024, 13654, 15312, 15980, 16234, 16329, 16364], // b
    ],
};

/// Tanh over segments of width 0.5 of the warped input, see [`tanh_q15`].
pub(crate) const TANH: Segments<2> = Segments {
    columns: [
        [68, 51, -6, -10, -7, -2, -13, -17],                     // c4
        [-514, 74, 218, 130, 56, 22, 43, 19],                    // c3
        [-1884, -3105, -1949, -880, -347, -133, -116, -15],      // c2
        [30799, 19553, 9190, 3729, 1424, 531, 237, 25],          // c1
        [1831, 3060, 1960, 894, 357, 135, 130, 33],              // r
        [7568, 20048, 27307, 30624, 31959, 32468, 32676, 32757], // b
    ],
};

/// Where the first squeeze of the tanh begins, 3.0 in Q3.12.
pub(crate) const TANH_KNEE_1: u16 = 3 << 12;
/// Where the second squeeze of the tanh begins, 4.0 in Q3.12.
pub(crate) const TANH_KNEE_2: u16 = 4 << 12;
/// The largest warped input, just below 4.0: every `|x| >= 6` comes here.
pub(crate) const TANH_TOP: u16 = (4 << 12) - 1;

impl<const SHIFT: u32> Segments<SHIFT> {
    /// `D` of the equation above at `t` (-32768..=32767) inside `segment` (0..8), from the rows, which the kernel has brought along.
    #[cfg(any(latch_backend = "dsp", latch_backend = "thumb"))]
    #[inline(always)]
    fn distance(&self, segment: usize, t: i32) -> i32 {
        // The two activations differ in their shift.
        let [mut p, c @ .., b] = ROWS[usize::from(SHIFT == 2)][segment & 7];
        for c in c {
            p = (p * t + c) >> 15;
        }
        b + (p >> SHIFT)
    }

    /// `D` of the equation above at `t` (-32768..=32767) inside `segment` (0..8).
    #[cfg(not(any(latch_backend = "dsp", latch_backend = "thumb")))]
    #[inline(always)]
    fn distance(&self, segment: usize, t: i32) -> i32 {
        let [c4, c3, c2, c1, r, b] = self.columns.each_ref().map(|column| i32::from(column[segment & 7]));
        let mut p = c4;
        for c in [c3, c2, c1, r] {
            p = ((p * t + (1 << 14)) >> 15) + c;
        }
        b + (p >> SHIFT)
    }
}

/// [`SIGMOID`] and [`TANH`] for machines that load a segment's constants at once: `[c4, c3', c2', c1', r', b]` of each, with
/// `c' = c * 2^15 + 2^14`, so that the step `((p * t + 2^14) >> 15) + c` is `(p * t + c') >> 15`.
#[cfg(any(latch_backend = "dsp", latch_backend = "thumb"))]
pub(crate) static ROWS: [[[i32; 6]; 8]; 2] = [rows(&SIGMOID), rows(&TANH)];

/// Bytes of one activation in [`ROWS`].
#[cfg(any(latch_backend = "dsp", latch_backend = "thumb"))]
pub(crate) const SEGMENT_ROWS_BYTES: usize = size_of::<[[i32; 6]; 8]>();

#[cfg(any(latch_backend = "dsp", latch_backend = "thumb"))]
const fn rows<const SHIFT: u32>(segments: &Segments<SHIFT>) -> [[i32; 6]; 8] {
    let mut rows = [[0; 6]; 8];
    let mut at = 0;
    while at < 48 {
        let (segment, column) = (at / 6, at % 6);
        let c = segments.columns[column][segment] as i32;
        rows[segment][column] = if column == 0 || column == 5 { c } else { (c << 15) + (1 << 14) };
        at += 1;
    }
    rows
}

/// The logistic sigmoid `1 / (1 + e^-x)`: Q3.12 in, Q0.15 out, 11 to 32757.
///
/// Off by at most [`SIGMOID_Q15_MAX_ERROR_LSB`], never decreasing, and `sigmoid(x) + sigmoid(-x) = 32768` for every `x`;
/// -32768 counts as -32767.
#[inline(always)]
pub fn sigmoid_q15(x: i16) -> i16 {
    let u = i32::from(x).abs().min(32767);
    // The low 12 bits are the place in the segment; moved up, with the top bit turned, they run from -1 to 1.
    let t = (u << 4 & 0xffff) - 0x8000;
    let d = SIGMOID.distance((u >> 12) as usize, t);
    (16384 + if x < 0 { -d } else { d }) as i16
}

/// The hyperbolic tangent: Q3.12 in, Q0.15 out, -32767 to 32767.
///
/// Off by at most [`TANH_Q15_MAX_ERROR_LSB`] below 6 and 32767 from there on; `tanh(-x) = -tanh(x)` for every `x`; -32768
/// counts as -32767. Between 2.5 and 6 there are 30 inputs at which it steps down, by one unit.
///
/// Eight segments of width 0.5 reach to 4 only, so the flat end of the curve is squeezed: [3, 4) by 2 and [4, 6) by 4.
#[inline(always)]
pub fn tanh_q15(x: i16) -> i16 {
    let u = i32::from(x).abs();
    let squeezed = u - ((u - i32::from(TANH_KNEE_1)).max(0) >> 1) - ((u - i32::from(TANH_KNEE_2)).max(0) >> 2);
    let u = squeezed.min(i32::from(TANH_TOP));
    let t = (u << 5 & 0xffff) - 0x8000;
    let d = TANH.distance((u >> 11) as usize, t).min(i32::from(TANH_Q15_MAX));
    (if x < 0 { -d } else { d }) as i16
}

/// `1.5 * 2^23`. Added to a small float it leaves the nearest integer in the low bits: rounding without an instruction for it.
pub(crate) const ROUND: f32 = 12_582_912.0;
/// The upper part of ln 2, of 10 bits, so that its product with a small integer is exact.
pub(crate) const LN2_HIGH: f32 = 0.693_359_4;
/// ln 2 less [`LN2_HIGH`].
pub(crate) const LN2_LOW: f32 = -2.121_944_4e-4;
/// `q` of `e^r - 1 = r + r^2 q(r)` for `|r| <= ln 2 / 2`, lowest first; 0.31 * 2^-24 off relative to `r`.
pub(crate) const EXPM1: [f32; 5] = [0.5, 1.666_654_2e-1, 4.166_627_7e-2, 8.366_756e-3, 1.394_674_8e-3];
/// Below this the sigmoid stays where it is: e^-87 is the last power that is surely no subnormal.
pub(crate) const SIGMOID_LOWEST: f32 = -87.0;
/// Twice the x beyond which tanh is 1 to the last bit.
pub(crate) const TANH_LOWEST: f32 = -20.0;

/// For `y` in [-87, 0]: `(s, p)` with `e^y = s + s*p`, s a power of two and p in [-0.3, 0.42]. NaN gives a NaN `p`.
///
/// ```text
/// n = round(y / ln 2),   r = y - n ln 2,   s = 2^n,   p = e^r - 1
/// ```
#[inline(always)]
fn exp_parts(y: f32) -> (f32, f32) {
    let shifted = y * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = y - n * LN2_HIGH - n * LN2_LOW;
    let q = EXPM1[..4].iter().rev().fold(EXPM1[4], |q, &c| q * r + c);
    let s = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (s, r + r * r * q)
}

/// The constants by which fused cells take `(e^(k x) - 1, e^(k x) + 1)`, lane by lane.
///
/// ```text
/// n = round(k x / ln 2),   r = x - n ln 2 / k,   s = 2^n,   p = e^(k r) - 1,   s p + (s - 1),   s p + (s + 1)
/// p = k r + (k r)^2 (q0 + q1 k r + q2 (k r)^2 + (k r)^3 (q3 + q4 k r)), as a tree
/// ```
///
/// The steps of [`exp_parts`], arranged for few in a row, with ln 2 in one piece: `n` times what that leaves off is below
/// 3e-8 where the activations are not yet flat, and that is an error relative to `e^(k x)`.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
pub(crate) struct FusedExp {
    /// The factor of x.
    pub(crate) k: f32,
    /// What the magnitude of x is held below.
    pub(crate) top: f32,
    /// [`ROUND`] with the exponent's bias, so that the low bits of `k x / ln 2 + round` are those of s.
    pub(crate) round: f32,
    /// `k / ln 2`.
    pub(crate) over_ln_2: f32,
    /// `ln 2 / k`.
    pub(crate) ln_2: f32,
    /// `q0 k^2` to `q4 k^6`, with `q` of [`EXPM1`].
    pub(crate) q: [f32; 5],
}

#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
impl FusedExp {
    /// Of k = -1, for `1 / sigmoid(x)`, which is 1 + e^30 at most; or of k = 2, for `tanh(x)`, which is 1 to the last bit
    /// where `k x` is 20.
    pub(crate) const fn new(k: i32) -> Self {
        assert!(k == -1 || k == 2);
        let top = if k == 2 { 20.0 } else { 30.0 };
        let k = k as f32;
        let ([q0, q1, q2, q3, q4], k2) = (EXPM1, k * k);
        FusedExp {
            k,
            top: top / k.abs(),
            round: ROUND + 127.0,
            over_ln_2: k * core::f32::consts::LOG2_E,
            ln_2: core::f32::consts::LN_2 / k,
            q: [k2 * q0, k2 * k * q1, k2 * k2 * q2, k2 * k2 * k * q3, k2 * k2 * k2 * q4],
        }
    }
}

/// The logistic sigmoid `1 / (1 + e^-x)`. 0 at -inf is returned as e^-87, 1 at +inf; NaN stays NaN.
///
/// Off by at most [`SIGMOID_F32_MAX_ERROR`], and by [`SIGMOID_F32_MAX_ERROR_ULP`] from -87 up.
///
/// ```text
/// e = e^-|x|,   sigmoid = (x < 0 ? e : 1) / (1 + e)
/// ```
#[inline(always)]
pub fn sigmoid_f32(x: f32) -> f32 {
    let y = -x.abs();
    // Not `f32::max`, which would turn NaN into a number.
    let y = if y < SIGMOID_LOWEST { SIGMOID_LOWEST } else { y };
    let (s, p) = exp_parts(y);
    let e = s + s * p;
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// The hyperbolic tangent, odd to the last bit; ±1 at infinity, NaN stays NaN, and tiny values stay themselves.
///
/// Off by at most [`TANH_F32_MAX_ERROR`] and [`TANH_F32_MAX_ERROR_ULP`], whichever is stricter.
///
/// ```text
/// m = e^(-2|x|) - 1 = s p + (s - 1),   |tanh| = -m / (2 + m)
/// ```
///
/// `m` itself, and not `1 + m`, comes out of the polynomial, so nothing cancels near 0.
#[inline(always)]
pub fn tanh_f32(x: f32) -> f32 {
    let y = -2.0 * x.abs();
    let y = if y < TANH_LOWEST { TANH_LOWEST } else { y };
    let (s, p) = exp_parts(y);
    let m = s * p + (s - 1.0);
    (m / (2.0 + m)).abs().copysign(x)
}

#[cfg(test)]
mod tests;
