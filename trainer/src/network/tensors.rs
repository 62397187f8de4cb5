//! The tensors of a layer: each layer names its own once, and everything else walks that list.

use crate::batches::normal;
use crate::real::Real;
use nalgebra::DMatrix;
use rand::{Rng, RngExt};

/// A field of a layer that holds a tensor, or may hold one.
pub(crate) trait Held<T> {
    /// The tensor, where there is one.
    fn held(&self) -> Option<&DMatrix<T>>;

    /// The tensor, to be changed.
    fn held_mut(&mut self) -> Option<&mut DMatrix<T>>;
}

impl<T> Held<T> for DMatrix<T> {
    fn held(&self) -> Option<&DMatrix<T>> {
        Some(self)
    }

    fn held_mut(&mut self) -> Option<&mut DMatrix<T>> {
        Some(self)
    }
}

impl<T> Held<T> for Option<DMatrix<T>> {
    fn held(&self) -> Option<&DMatrix<T>> {
        self.as_ref()
    }

    fn held_mut(&mut self) -> Option<&mut DMatrix<T>> {
        self.as_mut()
    }
}

/// Writes `for_each_tensor` and `for_each_tensor_mut` of a layer: its fields in order, by their names. A name that ends in `bias` is a
/// bias, which weight decay leaves alone.
macro_rules! tensors {
    ($layer:ident: $($field:ident),+) => {
        impl<T: $crate::real::Real> $layer<T> {
            /// Visits every tensor with its name, in a fixed order.
            pub fn for_each_tensor<'a>(&'a self, visit: &mut dyn FnMut(&'static str, &'a nalgebra::DMatrix<T>)) {
                $(if let Some(tensor) = $crate::network::tensors::Held::held(&self.$field) {
                    visit(stringify!($field), tensor);
                })+
            }

            /// Visits every tensor to change it, in the order of [`Self::for_each_tensor`]. A tensor must keep its shape.
            pub fn for_each_tensor_mut<'a>(
                &'a mut self,
                visit: &mut dyn FnMut(&'static str, &'a mut nalgebra::DMatrix<T>),
            ) {
                $(if let Some(tensor) = $crate::network::tensors::Held::held_mut(&mut self.$field) {
                    visit(stringify!($field), tensor);
                })+
            }
        }
    };
}

pub(crate) use tensors;

/// Fills a kernel, outputs × inputs, uniformly in ±√(6 / (inputs + outputs)): Glorot and Bengio 2010, "Understanding the difficulty of
/// training deep feedforward neural networks".
pub(crate) fn glorot<T: Real>(kernel: &mut DMatrix<T>, rng: &mut impl Rng) {
    let limit = (6.0 / (kernel.ncols() + kernel.nrows()) as f64).sqrt();
    kernel.iter_mut().for_each(|value| *value = T::of((rng.random::<f64>() * 2.0 - 1.0) * limit));
}

/// Fills a matrix with at least as many rows as columns with orthonormal columns, distributed evenly over all such.
///
/// Gram-Schmidt on normally distributed columns, twice over, so that rounding leaves them orthogonal.
pub(crate) fn orthogonal<T: Real>(matrix: &mut DMatrix<T>, rng: &mut impl Rng) {
    let (rows, columns) = matrix.shape();
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(columns);
    while basis.len() < columns {
        let mut column: Vec<f64> = (0..rows).map(|_| normal(rng)).collect();
        for _ in 0..2 {
            for other in &basis {
                let overlap: f64 = column.iter().zip(other).map(|(a, b)| a * b).sum();
                for (value, &direction) in column.iter_mut().zip(other) {
                    *value -= overlap * direction;
                }
            }
        }
        let norm = column.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm > 1e-6 {
            column.iter_mut().for_each(|value| *value /= norm);
            basis.push(column);
        }
    }
    for (value, &drawn) in matrix.iter_mut().zip(basis.iter().flatten()) {
        *value = T::of(drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;

    #[test]
    fn an_orthogonal_matrix_has_orthonormal_columns() {
        let mut matrix = DMatrix::<f64>::zeros(48, 12);
        orthogonal(&mut matrix, &mut generator([7, 0, 0, 0]));
        let product = matrix.transpose() * &matrix;
        assert!((product - DMatrix::identity(12, 12)).abs().max() < 1e-12);
    }
}
