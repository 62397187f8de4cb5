//! The embedding's integers, and the scales of its columns.
//!
//! A scale for each column is calibrated on the training examples: a column's largest values are clipped where that lowers
//! the squared error of what the examples read, so that a row counts as often as its id occurs. Outliers are clipped to the other rows' range,
//! because one of them would take the bits of all rows: see [`column_scales`].

use std::ops::Range;

use anyhow::Result;
use latch_engine::Precision;
use latch_engine::image::encode::{Tensor, Values};
use latch_engine::image::ids::IdSet;
use latch_engine::image::role::Role;
use latch_engine::layers::embedding::Tiers;
use serde::Serialize;

use super::Weights;
use super::rows::{Grid, Weight};
use crate::config::Storage;
use crate::error::fault;
use crate::network::tiers;

/// The embedding's tensors, with these scales of its columns.
pub(super) fn pack<W: Weight>(weights: &Weights, storage: Storage, scales: &[f32]) -> Result<Vec<Tensor>> {
    let grid = Grid::of_embedding(storage);
    let rounded = |grid: Grid, range: Range<usize>| -> Vec<W> {
        let integer = |index: usize| grid.round(weights.embedding[index] / scales[index % weights.width]);
        range.map(|index| W::of(f64::from(integer(index)))).collect()
    };
    match weights.tiers {
        Some(tiers) => pack_tiers(weights, tiers, [grid, Grid::of_rare_rows(storage, tiers)], rounded),
        None => {
            let embedding = rounded(grid, 0..weights.embedding.len());
            Ok(vec![Tensor { role: Role::Embedding, layer: 0, values: W::values(embedding) }])
        }
    }
}

/// The embedding's tensors in tiers. `rounded` are some elements of the table as integers of a grid; the grids are that of whole rows and that of the others.
fn pack_tiers<W: Weight>(
    weights: &Weights,
    shape: Tiers,
    [grid, below]: [Grid; 2],
    rounded: impl Fn(Grid, Range<usize>) -> Vec<W>,
) -> Result<Vec<Tensor>> {
    let width = weights.width;
    let rows = weights.embedding.len() / width;
    let others = tiers::Tiers::<f32>::new(shape, &weights.occurrences, rows).others().to_vec();
    let whole: Vec<u32> = (0..rows as u32).filter(|id| others.binary_search(id).is_err()).collect();
    let place = |id: u32| width * id as usize;
    let of = |id: u32, features: Range<usize>| &weights.embedding[place(id)..][..width][features];
    let (narrow, remainders) = (usize::from(shape.width), shape.remainders as usize);
    // A number that is not the first with its quotient or remainder has the row of the first.
    let in_form = others.iter().enumerate().all(|(number, &id)| match number.checked_rem(remainders) {
        None => of(id, narrow..width).iter().all(|&value| value == 0.0),
        Some(remainder) => {
            of(id, 0..narrow) == of(others[number - remainder], 0..narrow)
                && of(id, narrow..width) == of(others[remainder], narrow..width)
        }
    });
    if !in_form {
        let problem = "the rows of the ids that occur seldom are not in the form that the model has for them";
        return Err(fault("tensor embedding", problem, "export with the data that the run learned from").into());
    }
    let firsts = others.iter().step_by(remainders.max(1));
    let quotients = firsts.flat_map(|&id| rounded(below, place(id)..place(id) + narrow)).collect();
    let mut tensors = vec![
        Tensor {
            role: Role::Embedding,
            layer: 0,
            values: W::values(whole.iter().flat_map(|&id| rounded(grid, place(id)..place(id) + width)).collect()),
        },
        Tensor { role: Role::WholeRows, layer: 0, values: Values::Bytes(IdSet::encode(rows, &whole)) },
        Tensor { role: Role::Quotients, layer: 0, values: W::values(quotients) },
    ];
    if remainders > 0 {
        let rows = others.iter().take(remainders);
        let rows = rows.flat_map(|&id| rounded(below, place(id) + narrow..place(id) + width)).collect();
        tensors.push(Tensor { role: Role::Remainders, layer: 0, values: W::values(rows) });
    }
    Ok(tensors)
}

/// How many times an outlier is at least what [`OUTLYING_ROWS`] of a column's rows exceed at most.
const OUTLIER: f32 = 8.0;

/// The part of a column's rows that may hold outliers, one row at least; and the part of all that is read that their ids may be.
const OUTLYING_ROWS: f64 = 0.01;

/// How many times an outlier is larger still that is clipped although it is read more often: it would leave the others three bits and a sign.
const FAR: f32 = 2.0;

/// The part of all that is read from which on the ids of outliers decide the scale, however far these are.
const MOST_READ: f64 = 0.5;

/// The magnitude beyond which a column's values do not decide its scale; infinite where they all do.
///
/// With `t` the magnitude that one row in a hundred exceeds at most, values above `8·t` are outliers, if the ids that have them are at most one in a
/// hundred of what the examples read, or if nobody knows how often they are read. Beside such a value, each of the others would have three bits less. Where one of them is
/// above `16·t`, the ids may be up to half of what is read.
fn outlying(values: &[f32], share: impl Fn(usize) -> f64, is_known: bool) -> f32 {
    let mut magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let rank = ((values.len() as f64 * OUTLYING_ROWS).ceil() as usize).min(values.len().saturating_sub(1));
    if magnitudes.is_empty() {
        return f32::INFINITY;
    }
    let (_, ordinary, _) = magnitudes.select_nth_unstable_by(rank, |a, b| b.total_cmp(a));
    let limit = OUTLIER * *ordinary;
    let of = |is: &dyn Fn(f32) -> bool| -> f64 {
        values.iter().enumerate().filter(|(_, value)| is(value.abs())).map(|(row, _)| share(row)).sum()
    };
    let (outlying, all) = (of(&|value| value > limit), of(&|_| true));
    let is_far = values.iter().any(|value| value.abs() > FAR * limit);
    let most = if is_far { MOST_READ } else { OUTLYING_ROWS };
    let is_outlying = !is_known || outlying <= most * all;
    if limit > 0.0 && is_outlying { limit } else { f32::INFINITY }
}

/// A scale for each of the `width` columns: the one among clips at 100, 95 … 50 % of the column's largest magnitude that gives the
/// least squared error, `Σ (1 + occurrences)·(value − rounded)²` over the rows: a row that no example has still counts once. [Outliers](outlying) are left
/// out of both, and so are clipped.
///
/// The scales that the weights bring with them, where they do.
pub(crate) fn column_scales(weights: &Weights, storage: Storage) -> Vec<f32> {
    if !weights.embedding_scales.is_empty() {
        return weights.embedding_scales.clone();
    }
    let grid = Grid::of_embedding(storage);
    let [_, highest] = grid.range();
    let share = |row: usize| 1.0 + f64::from(weights.occurrences.get(row).copied().unwrap_or(0));
    let is_known = weights.occurrences.iter().any(|&count| count > 0);
    (0..weights.width)
        .map(|column| {
            let values: Vec<f32> = weights.embedding.iter().skip(column).step_by(weights.width).copied().collect();
            // Sixteen bits have room for outliers.
            let limit = if storage == Storage::Int16 { f32::INFINITY } else { outlying(&values, share, is_known) };
            let decides = |value: f32| value.abs() <= limit;
            let ordinary = values.iter().copied().filter(|&value| decides(value));
            let largest = ordinary.fold(0.0_f32, |largest, value| largest.max(value.abs())).max(1e-6);
            let error = |scale: f32| -> f64 {
                values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| decides(**value))
                    .map(|(row, &value)| {
                        let rounded = grid.round(value / scale) * scale;
                        share(row) * f64::from(value - rounded).powi(2)
                    })
                    .sum()
            };
            (0..=10)
                .map(|step| largest * (1.0 - 0.05 * step as f32) / highest)
                .min_by(|a, b| error(*a).total_cmp(&error(*b)))
                .unwrap_or(largest / highest)
        })
        .collect()
}

/// An embedding as its integers have it.
pub struct Rounded {
    /// `rows × width`.
    pub values: Vec<f32>,
    /// Whether a value is at an end of its integers' range.
    pub saturated: Vec<bool>,
}

/// What the integers of a precision stand for, in place of the embedding's values.
pub fn rounded(weights: &Weights, storage: Storage) -> Rounded {
    let (scales, width) = (column_scales(weights, storage), weights.width);
    let mut grids = vec![Grid::of_embedding(storage); weights.embedding.len() / width];
    if let Some(shape) = weights.tiers {
        let rows = grids.len();
        for &id in tiers::Tiers::<f32>::new(shape, &weights.occurrences, rows).others() {
            grids[id as usize] = Grid::of_rare_rows(storage, shape);
        }
    }
    let (mut values, mut saturated) = (Vec::new(), Vec::new());
    for (row, grid) in weights.embedding.chunks(width).zip(grids) {
        let [lowest, highest] = grid.range();
        for (&value, &scale) in row.iter().zip(&scales) {
            let integer = grid.round(value / scale);
            values.push(integer * scale);
            saturated.push(integer <= lowest || integer >= highest);
        }
    }
    Rounded { values, saturated }
}

/// A row of the embedding that integers hold a small part of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Clipped {
    /// The row.
    pub id: u32,
    /// What is left of the value that lost most, in parts of it.
    pub kept: f32,
    /// How often the row occurs in the training examples.
    pub occurrences: u32,
}

/// The rows with a value that integers clip to less than half of itself, which only [outliers](outlying) are; those that lose most first. None in float
/// precisions.
pub fn clipped(weights: &Weights, storage: Storage) -> Vec<Clipped> {
    if storage.precision() != Precision::Int8 {
        return Vec::new();
    }
    let [_, highest] = Grid::of_embedding(storage).range();
    let scales = column_scales(weights, storage);
    let kept = |row: &[f32]| {
        row.iter().zip(&scales).map(|(value, scale)| highest * scale / value.abs()).fold(f32::INFINITY, f32::min)
    };
    let rows = (0..).zip(weights.embedding.chunks(weights.width)).map(|(id, row)| (id, kept(row)));
    let mut clipped: Vec<Clipped> = rows
        .filter(|(_, kept)| *kept < 0.499)
        .map(|(id, kept)| {
            let occurrences = weights.occurrences.get(id as usize).copied().unwrap_or(0);
            Clipped { id, kept, occurrences }
        })
        .collect();
    clipped.sort_by(|a, b| a.kept.total_cmp(&b.kept));
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_engine::layers::pooling::Pooling;

    /// One column: 400 small values, and a large one in row 0.
    fn network() -> Weights {
        let mut weights = Weights::random(401, 1, &[2], Pooling::Last, 1);
        weights.embedding = (0..401).map(|row| if row == 0 { 1.0 } else { 0.001 * (row % 5) as f32 }).collect();
        weights
    }

    #[test]
    fn what_the_examples_read_most_is_kept_most_exactly() {
        let often: Vec<u32> = (0..401).flat_map(|id| vec![id; if id == 0 { 1_000 } else { 1 }]).collect();
        let seldom: Vec<u32> = (1..401).cycle().take(4_000_000).collect();
        let [large, small] =
            [often, seldom].map(|ids| column_scales(&network().calibrated([ids.as_slice()]), Storage::Int8)[0]);
        assert!((large - 1.0 / 127.0).abs() < 1e-6, "the row that is read often is not clipped: {large}");
        assert!(small < large, "the row that nobody reads is clipped for the others: {small}");
    }

    #[test]
    fn an_id_outside_the_embedding_is_left_out_of_the_calibration() {
        assert_eq!(network().calibrated([[0, 0, 400, 9_999].as_slice()]).occurrences.iter().sum::<u32>(), 3);
    }

    #[test]
    fn an_outlier_of_a_seldom_id_is_clipped_and_named_and_takes_no_bits_of_the_other_rows() {
        let plain = Weights::random(500, 4, &[3], Pooling::Last, 1);
        let mut outlying = plain.clone();
        outlying.embedding[4 * 77..][..4].iter_mut().for_each(|value| *value *= 100.0);
        let ids =
            |most: usize| (0..500).flat_map(|id| vec![id; if id == 77 { most } else { 20 }]).collect::<Vec<u32>>();
        for storage in [Storage::Int8, Storage::Int4] {
            let [before, after] = [&plain, &outlying]
                .map(|weights| column_scales(&weights.clone().calibrated([ids(3).as_slice()]), storage));
            for (before, after) in before.iter().zip(after) {
                assert!((after / before - 1.0).abs() < 0.06, "{before} {after}");
            }
            let found = clipped(&outlying.clone().calibrated([ids(3).as_slice()]), storage);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].id, found[0].occurrences), (77, 3));
            assert!((0.005..0.1).contains(&found[0].kept), "{found:?}");
            assert!(clipped(&plain.clone().calibrated([ids(3).as_slice()]), storage).is_empty());
            // One that is read often is clipped all the same, as far as it is, and keeps its values where it is most of what is read.
            let often = clipped(&outlying.clone().calibrated([ids(1_000).as_slice()]), storage);
            assert_eq!(often.first().map(|row| (row.id, row.occurrences)), Some((77, 1_000)), "{often:?}");
            assert!(clipped(&outlying.clone().calibrated([ids(20_000).as_slice()]), storage).is_empty());
            // Of a network without data as of one with it.
            assert_eq!(clipped(&outlying, storage).len(), 1);
        }
        assert!(clipped(&outlying, Storage::F16).is_empty());
    }
}
