//! An embedding in two tiers, while it is learned: the ids that are read often have whole rows, the others rows that are narrower or put
//! together from few, as [`latch_engine::layers::embedding::Tiers`] has them.
//!
//! The network's table keeps a whole vector for each id. The vectors of the others are held in their form by their gradients: where a
//! feature is zero its gradient is, and where features are one parameter, the quotient's or the remainder's,
//!
//! ```text
//! dA[q] = Σ dE[:width, id] over the ids with the quotient q        dB[r] = Σ dE[width.., id] over those with the remainder r
//! ```
//!
//! each of them gets the sum. The optimizer is the same for equal elements with equal gradients, so that they stay equal to the bit.

use latch_engine::layers::embedding::Tiers as Shape;
use nalgebra::DMatrix;

use super::embedding::SparseColumns;
use crate::real::{Real, add};

/// The `count` ids that occur most, most first; ties go to the smaller id.
pub fn most_frequent(occurrences: &[u32], rows: usize, count: usize) -> Vec<u32> {
    let of = |id: u32| occurrences.get(id as usize).copied().unwrap_or(0);
    let mut ids: Vec<u32> = (0..rows as u32).collect();
    ids.sort_by_key(|&id| (std::cmp::Reverse(of(id)), id));
    ids.truncate(count);
    ids
}

/// Which ids have what kind of row.
#[derive(Debug, Clone)]
pub struct Tiers<T> {
    shape: Shape,
    /// The ids without a whole row, rising.
    others: Vec<u32>,
    /// Sums of the gradients, features of A by quotient and then features of B by remainder.
    sums: Vec<T>,
    /// The gradient of all columns that move.
    shared: SparseColumns<T>,
}

impl<T: Real> Tiers<T> {
    /// Of an embedding of `rows` ids that occur so often.
    pub fn new(shape: Shape, occurrences: &[u32], rows: usize) -> Self {
        let mut whole = vec![false; rows];
        most_frequent(occurrences, rows, shape.whole as usize).iter().for_each(|&id| whole[id as usize] = true);
        let others = (0..rows as u32).filter(|&id| !whole[id as usize]).collect();
        Tiers { shape, others, sums: Vec::new(), shared: SparseColumns::default() }
    }

    /// The form of the rows.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The ids without a whole row, rising.
    pub fn others(&self) -> &[u32] {
        &self.others
    }

    /// Brings a fresh table into its form: each shared row is that of the first id that has it.
    pub fn begin(&self, table: &mut DMatrix<T>) {
        let width = usize::from(self.shape.width);
        for (number, &id) in self.others.iter().enumerate() {
            let features = table.nrows();
            let mut copy = |from: usize, range: std::ops::Range<usize>| {
                for feature in range {
                    table[(feature, id as usize)] = table[(feature, self.others[from] as usize)];
                }
            };
            match number.checked_rem(self.shape.remainders as usize) {
                Some(remainder) => {
                    copy(number - remainder, 0..width);
                    copy(remainder, width..features);
                }
                None => table.column_mut(id as usize).rows_mut(width, features - width).fill(T::zero()),
            }
        }
    }

    /// Turns the gradient of the rows by themselves into that of what they consist of.
    pub fn share(&mut self, gradient: &mut SparseColumns<T>, vocabulary: usize, features: usize) {
        let width = usize::from(self.shape.width);
        let remainders = self.shape.remainders as usize;
        if remainders == 0 {
            for (id, column) in gradient.ids.iter().zip(gradient.values.chunks_exact_mut(features)) {
                if self.others.binary_search(id).is_ok() {
                    column[width..].fill(T::zero());
                }
            }
            return;
        }
        let Tiers { others, sums, shared, .. } = self;
        let quotients = others.len().div_ceil(remainders);
        let place = |number: usize| {
            let b = width * quotients + (features - width) * (number % remainders);
            (width * (number / remainders), b)
        };
        sums.clear();
        sums.resize(width * quotients + (features - width) * remainders, T::zero());
        shared.reset(gradient.ids.iter().chain(&*others).copied(), vocabulary, features);
        for (id, column) in gradient.ids.iter().zip(gradient.values.chunks_exact(features)) {
            match others.binary_search(id) {
                Ok(number) => {
                    let (a, b) = place(number);
                    add(&mut sums[a..a + width], &column[..width]);
                    add(&mut sums[b..b + features - width], &column[width..]);
                }
                Err(_) => shared.column_mut(*id, features).copy_from_slice(column),
            }
        }
        for (number, &id) in others.iter().enumerate() {
            let (a, b) = place(number);
            let column = shared.column_mut(id, features);
            column[..width].copy_from_slice(&sums[a..a + width]);
            column[width..].copy_from_slice(&sums[b..b + features - width]);
        }
        std::mem::swap(gradient, shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;
    use rand::RngExt;

    /// Nine ids; 0, 4 and 8 occur most.
    const OCCURRENCES: [u32; 9] = [9, 1, 2, 1, 7, 1, 3, 1, 8];

    fn gradient(ids: &[u32], features: usize) -> SparseColumns<f64> {
        let mut rng = generator([4, 0, 0, 0]);
        let mut gradient = SparseColumns::default();
        gradient.reset(ids.iter().copied(), 9, features);
        gradient.values.iter_mut().for_each(|value| *value = rng.random_range(-1.0..1.0));
        gradient
    }

    #[test]
    fn those_that_occur_most_have_whole_rows() {
        assert_eq!(most_frequent(&OCCURRENCES, 9, 4), [0, 8, 4, 6]);
        let shape = Shape { whole: 3, width: 2, remainders: 0, int4: false };
        assert_eq!(Tiers::<f32>::new(shape, &OCCURRENCES, 9).others(), [1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn narrow_rows_stay_narrow() {
        let shape = Shape { whole: 3, width: 2, remainders: 0, int4: false };
        let mut tiers = Tiers::<f64>::new(shape, &OCCURRENCES, 9);
        let mut table = DMatrix::from_element(3, 9, 0.5);
        tiers.begin(&mut table);
        assert_eq!(table.column(1).as_slice(), [0.5, 0.5, 0.0]);
        assert_eq!(table.column(4).as_slice(), [0.5; 3]);
        let before = gradient(&[0, 2, 4], 3);
        let mut after = before.clone();
        tiers.share(&mut after, 9, 3);
        assert_eq!((&after.ids, &after.values[..5]), (&before.ids, &before.values[..5]));
        assert_eq!((after.values[5], &after.values[6..]), (0.0, &before.values[6..]));
    }

    /// The shared gradient is the slope of a linear loss along each parameter.
    #[test]
    fn shared_gradients_equal_finite_differences() {
        let (features, shape) = (3, Shape { whole: 3, width: 2, remainders: 4, int4: false });
        let mut tiers = Tiers::<f64>::new(shape, &OCCURRENCES, 9);
        let rows = gradient(&[0, 1, 2, 6, 7, 8], features);
        let slopes = rows.dense(features, 9);
        let mut shared = rows.clone();
        tiers.share(&mut shared, 9, features);
        let shared = shared.dense(features, 9);
        let mut table = DMatrix::from_fn(features, 9, |row, column| (row * 9 + column) as f64 * 0.01);
        tiers.begin(&mut table);
        let loss = |table: &DMatrix<f64>| table.dot(&slopes);
        for (number, &id) in tiers.others().iter().enumerate() {
            for feature in 0..features {
                // All that share the parameter move with it.
                let mut moved = table.clone();
                for (other, &sharer) in tiers.others().iter().enumerate() {
                    let same = if feature < 2 { other / 4 == number / 4 } else { other % 4 == number % 4 };
                    if same {
                        moved[(feature, sharer as usize)] += 1e-3;
                    }
                }
                let slope = (loss(&moved) - loss(&table)) / 1e-3;
                assert!((slope - shared[(feature, id as usize)]).abs() < 1e-9, "{feature} of {id}");
            }
        }
        // Whole rows keep theirs.
        assert_eq!(shared.column(8), slopes.column(8));
    }
}
