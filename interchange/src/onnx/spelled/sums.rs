//! What goes into a gate: products with matrices, biases, and what else is added.

use super::super::node::Node;
use super::super::tensor::Const;
use super::super::value::{Made, Spelled};
use crate::Error;

/// Most summands of a gate.
const MOST_SUMMANDS: usize = 16;

/// W·x of some rows of a matrix, one for each unit of the gate.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    pub(crate) of: Spelled,
    /// units × numbers of `of`.
    pub(crate) kernel: Const,
}

/// A sum of products, a bias, and others.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) products: Vec<Product>,
    pub(crate) bias: Vec<f64>,
    pub(crate) others: Vec<Spelled>,
    /// The name of a tensor of the bias.
    pub(crate) source: String,
}

impl Sums {
    /// The summands of these numbers.
    ///
    /// # Errors
    /// Where they are too many, or a gate takes rows of a matrix that have no even distance.
    pub(crate) fn of(node: &Node<'_>, of: &Spelled) -> Result<Self, Error> {
        let bias = vec![0.0; of.len()];
        let mut sums = Self { products: Vec::new(), bias, others: Vec::new(), source: String::new() };
        let mut open = vec![of.clone()];
        while let Some(next) = open.pop() {
            if sums.products.len() + sums.others.len() + open.len() > MOST_SUMMANDS {
                return node.refuse("a sum below it has too many summands", "add the products of one gate alone");
            }
            match &next.term.made {
                Made::Sum(a, b) => open.extend([next.under(b), next.under(a)]),
                Made::Affine { of, affine, source } if next.places.iter().all(|place| affine.scale[*place] == 1.0) => {
                    let each = sums.bias.iter_mut().zip(next.places.iter());
                    each.for_each(|(bias, place)| *bias += affine.shift[*place]);
                    if sums.source.is_empty() {
                        sums.source.clone_from(source);
                    }
                    open.push(next.under(of));
                }
                Made::Product { of, kernel } => sums.products.extend(products(node, &next, of, kernel)?),
                _ => sums.others.push(next),
            }
        }
        Ok(sums)
    }

    /// The matrix that this vector goes through, where it is the only one for it.
    pub(crate) fn kernel(&self, of: &Spelled) -> Option<&Const> {
        let mut all = self.products.iter().filter(|product| product.of.is_same(of));
        all.next().map(|product| &product.kernel).filter(|_| all.next().is_none())
    }
}

/// Rows of a matrix times a vector; of a vector of joined parts, a product for each.
fn products(node: &Node<'_>, rows: &Spelled, of: &Spelled, kernel: &Const) -> Result<Vec<Product>, Error> {
    let cut = |kernel: Option<Const>| {
        kernel.ok_or_else(|| {
            let problem = "a gate below it takes rows of a matrix that have no even distance";
            node.error(problem, "keep the rows of a gate side by side")
        })
    };
    let places = &rows.places;
    let first = places.first().copied().unwrap_or(0);
    let by = places.get(1).map_or(1, |second| *second as isize - first as isize);
    let is_even = places.iter().enumerate().all(|(row, place)| first as isize + by * row as isize == *place as isize);
    let kernel = cut(kernel.sliced(0, first, by, places.len()).filter(|_| is_even && by != 0))?;
    let (mut products, mut column) = (Vec::new(), 0);
    let parts = if matches!(of.term.made, Made::Joined(_)) { of.parts(MOST_SUMMANDS) } else { Some(vec![of.clone()]) };
    let Some(parts) = parts else {
        return node
            .refuse("a gate below it reads a vector of too many parts", "put the input and the state side by side");
    };
    for part in parts {
        let kernel = cut(kernel.sliced(1, column, 1, part.len()))?;
        column += part.len();
        products.push(Product { of: part, kernel });
    }
    Ok(products)
}
