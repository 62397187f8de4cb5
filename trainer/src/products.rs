//! The products that training is made of, of a matrix that was put in order once and then meets many columns.
//!
//! ```text
//! C ← A·B        A: weights, `rows × depth`, Packed        B: `depth × n`, column after column from wherever they lie
//! C ← Σ a_l·b_lᵀ                                           the gradient of weights: outer products over the tokens l
//! ```

pub(crate) use crate::panels::{Packed, vectorized};
use crate::panels::{ROWS, Right};
use crate::real::Real;

/// Outer products that [`outer`] puts in order together: so many that a block of 512 rows stays in the second-level cache.
const BLOCK: usize = ROWS;

/// `C ← A·B`, or `C ← C + A·B` with `keep`. `b(j)` is column j of B, `c` is column-major and says how many columns there are.
pub(crate) fn product<'b, T: Real>(c: &mut [T], a: &Packed<T>, b: impl Fn(usize) -> &'b [T], keep: bool) {
    any(c, a, Right::Columns(&b), keep);
}

fn any<T: Real>(c: &mut [T], a: &Packed<T>, b: Right<'_, '_, T>, keep: bool) {
    debug_assert!(a.rows > 0 && c.len().is_multiple_of(a.rows), "C has whole columns");
    T::product(c, a, b, keep);
}

/// Memory of [`outer`], to be used again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outer<T> {
    left: Packed<T>,
}

/// `C ← Σ a(l)·b(l)ᵀ` over `l` in `0..count`, with C `m × n` and `shape` `(m, n)`.
pub(crate) fn outer<'v, T: Real>(
    c: &mut [T],
    (m, n): (usize, usize),
    count: usize,
    a: impl Fn(usize) -> &'v [T],
    b: impl Fn(usize) -> &'v [T],
    memory: &mut Outer<T>,
) {
    debug_assert_eq!(c.len(), m * n);
    if count == 0 {
        c.fill(T::zero());
    }
    for first in (0..count).step_by(BLOCK) {
        let left = &mut memory.left;
        left.pack(m, BLOCK.min(count - first), |l| a(first + l));
        any(c, left, Right::Rows(&|l| b(first + l)), first > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<T: Real>(count: usize, salt: usize) -> Vec<T> {
        (0..count).map(|i| T::of(((i * 7919 + 13 * salt) % 1009) as f64 / 504.5 - 1.0)).collect()
    }

    /// Every shape around the sizes of panels, tiles and blocks.
    fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
        let rows = [1, 7, 31, 32, 33, 64, 100];
        rows.into_iter().flat_map(|m| [0, 1, 5, 40].into_iter().flat_map(move |k| (0..20).map(move |n| (m, k, n))))
    }

    fn products_are_right<T: Real>(tolerance: f64) {
        for (m, k, n) in shapes() {
            let (a, b): (Vec<T>, Vec<T>) = (numbers(m * k, 1), numbers(k * n, 2));
            let transposed: Vec<T> =
                (0..m).flat_map(|i| (0..k).map(move |l| (i, l))).map(|(i, l)| a[l * m + i]).collect();
            let (mut packed, mut again) = (Packed::default(), Packed::default());
            packed.pack(m, k, |l| &a[l * m..][..m]);
            again.pack_transpose(&transposed, m, k);
            for keep in [false, true] {
                let start: Vec<T> = numbers(m * n, 3);
                let (mut c, mut d) = (start.clone(), start.clone());
                product(&mut c, &packed, |j| &b[j * k..][..k], keep);
                product(&mut d, &again, |j| &b[j * k..][..k], keep);
                assert_eq!(c, d, "{m} x {k} x {n}");
                for j in 0..n {
                    for i in 0..m {
                        let sum: f64 = (0..k).map(|l| a[l * m + i].as_f64() * b[j * k + l].as_f64()).sum();
                        let expected = sum + if keep { start[j * m + i].as_f64() } else { 0.0 };
                        let error = (c[j * m + i].as_f64() - expected).abs();
                        assert!(error < tolerance, "{m} x {k} x {n} at {i}, {j}: {error:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_product_equals_the_sum_of_products_in_both_number_types() {
        products_are_right::<f32>(1e-5);
        products_are_right::<f64>(1e-13);
    }

    #[test]
    fn outer_products_add_up_over_all_blocks() {
        let (m, n) = (35, 9);
        let mut memory = Outer::default();
        for count in [0, 1, BLOCK, 2 * BLOCK + 3] {
            let (a, b): (Vec<f32>, Vec<f32>) = (numbers(m * count, 1), numbers(n * count, 2));
            let mut c = vec![f32::NAN; m * n];
            outer(&mut c, (m, n), count, |l| &a[l * m..][..m], |l| &b[l * n..][..n], &mut memory);
            for (i, j) in (0..n).flat_map(|j| (0..m).map(move |i| (i, j))) {
                let expected: f64 = (0..count).map(|l| f64::from(a[l * m + i]) * f64::from(b[l * n + j])).sum();
                assert!((f64::from(c[j * m + i]) - expected).abs() < 1e-4, "{count} at {i}, {j}");
            }
        }
    }

    #[test]
    fn a_column_has_the_same_bits_in_any_company() {
        let (m, k, n) = (70, 33, 19);
        let (a, b): (Vec<f32>, Vec<f32>) = (numbers(m * k, 1), numbers(k * n, 2));
        let mut packed = Packed::default();
        packed.pack(m, k, |l| &a[l * m..][..m]);
        let mut together = vec![0.0; m * n];
        product(&mut together, &packed, |j| &b[j * k..][..k], false);
        for j in 0..n {
            let mut alone = vec![0.0; m];
            product(&mut alone, &packed, |_| &b[j * k..][..k], false);
            assert_eq!(alone, together[j * m..][..m]);
        }
    }
}
