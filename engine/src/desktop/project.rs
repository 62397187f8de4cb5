//! The writer of precomputed input projections: from an image to the same model with ready rows for some ids. For the desktop.

use std::vec;
use std::vec::Vec;

use super::certify::{certify, tensors};
use crate::error::Error;
use crate::image::Image;
use crate::image::encode::{AlignedBytes, Notes, Tensor, Values, encode, encoded_bytes, pack_gates_i8, widened};
use crate::image::header::Description;
use crate::image::ids::IdSet;
use crate::image::role::Role;
use crate::kernels::{Backend, FloatWeight, Packed, RowsFloat, RowsI8, Scalar};
use crate::layers::Layer;
use crate::layers::embedding::Embedding;
use crate::layers::lstm::Lstm;
use crate::numbers::Precision;

/// The description of the model with so many projected ids, and the layer that they are projected into.
fn projected(image: &Image<'_>, ids: u32) -> Result<(Description, Lstm), Error> {
    let mut description = image.description();
    let Some(Layer::Lstm(first)) = description.layers.first_mut() else {
        return Err(Error::Shape { problem: "a projection needs an LSTM layer behind the embedding" });
    };
    if image.description().precision == Precision::Int16 {
        return Err(Error::Shape { problem: "the inputs of int16 layers cannot be projected: take an image in int8" });
    }
    if first.projected {
        return Err(Error::Shape { problem: "its inputs are projected already: take the image that it was made from" });
    }
    if description.embedding.tiers.is_some() {
        return Err(Error::Shape { problem: "its embedding is in tiers, which cannot be projected" });
    }
    first.projected = true;
    let first = *first;
    description.embedding = Embedding { projected: ids, ..description.embedding };
    Ok((description, first))
}

/// Bytes of the image that [`project`] would write for so many ids.
///
/// # Errors
/// [`Error::Shape`] when the embedding has fewer ids, or the image would be too large.
pub fn projected_image_bytes(image: &Image<'_>, ids: u32) -> Result<usize, Error> {
    encoded_bytes(&projected(image, ids)?.0, &Notes::of(image))
}

/// Projects ids of the embedding into the first layer: the same model, with ready rows of `W x + b` for `ids`, which may come in any order. Integer
/// models compute the same bits as before, float models sum in another order.
///
/// # Errors
/// [`Error::Shape`] when there are no ids, one is outside the embedding, or the image is projected already.
pub fn project(image: &Image<'_>, ids: &[u32]) -> Result<AlignedBytes, Error> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let (description, first) = projected(image, ids.len() as u32)?;
    let rows = description.embedding.rows;
    if ids.last().is_none_or(|&last| last >= rows) {
        return Err(Error::Shape { problem: "there is no id to project, or one that the embedding does not have" });
    }
    let mut tensors = tensors(image);
    tensors.retain(|tensor| (tensor.role, tensor.layer) != (Role::Weights, 0));
    let mut add = |role, values| tensors.push(Tensor { role, layer: 0, values });
    add(Role::ProjectedIndex, Values::Bytes(IdSet::encode(rows as usize, &ids)));
    let (kernel, recurrent, ready) = match description.precision {
        Precision::Int8 | Precision::Int16 => integers(image, first, &ids),
        Precision::F32 => floats::<f32>(image, first, &ids),
        Precision::F16 => floats::<half::f16>(image, first, &ids),
    };
    add(Role::Kernel, kernel);
    add(Role::Weights, recurrent);
    add(Role::ProjectedRows, ready);
    let mut bytes = AlignedBytes::new(&encode(&description, &Notes::of(image), &tensors)?);
    certify(&mut bytes)?; // opens the image, which checks it
    Ok(bytes)
}

/// Kernel, recurrent kernel and ready rows.
type Parts = (Values, Values, Values);

/// The elements of a tensor of the embedding or of the first layer.
fn tensor<'a, T: bytemuck::Pod>(image: &Image<'a>, role: Role) -> &'a [T] {
    let section = image.sections().find(|section| (section.role, section.layer) == (role, 0));
    let bytes = section.map_or(&[][..], |section| image.section_bytes(&section));
    bytemuck::try_cast_slice(bytes).unwrap_or(&[])
}

fn integers(image: &Image<'_>, first: Lstm, ids: &[u32]) -> Parts {
    let weights = &int8(image, Role::Weights);
    let (inputs, units) = (usize::from(first.inputs), usize::from(first.units));
    let width = (inputs + units).next_multiple_of(4);
    // [unit][column / 4][gate][column % 4]
    let pack = |columns: usize, skipped: usize| {
        pack_gates_i8(units, columns, |gate, unit, column| {
            let column = column + skipped;
            weights[4 * (4 * (unit * width / 4 + column / 4) + gate) + column % 4]
        })
    };
    let (kernel, recurrent) = (pack(inputs, 0), pack(units, inputs));
    let gates = RowsI8 {
        weights: &kernel,
        multiplier: tensor(image, Role::Multipliers),
        bias: tensor(image, Role::Biases),
        shift: u32::from(first.shift),
        packed: Packed::NONE,
    };
    let embedding = &int8(image, Role::Embedding);
    let mut ready = vec![0; 4 * units * ids.len()];
    let mut x = vec![0; inputs.next_multiple_of(4)];
    for (&id, row) in ids.iter().zip(ready.chunks_mut(4 * units)) {
        Scalar.widen_i8(&embedding[id as usize * inputs..][..inputs], &mut x[..inputs]);
        Scalar.rows_i8(&gates, &mut x, row);
    }
    (Values::I8(kernel), Values::I8(recurrent), Values::I32(ready))
}

/// The weights of the first layer or of the embedding of an integer image as int8.
fn int8(image: &Image<'_>, role: Role) -> Vec<i8> {
    let section = image.sections().find(|section| (section.role, section.layer) == (role, 0));
    section.map_or(Vec::new(), |section| widened(image, &section))
}

fn floats<W: FloatWeight>(image: &Image<'_>, first: Lstm, ids: &[u32]) -> Parts {
    let weights: &[W] = tensor(image, Role::Weights);
    let (inputs, units) = (usize::from(first.inputs), usize::from(first.units));
    let lanes = 4 * units.next_multiple_of(8);
    // [unit / 8][column][gate][8 units]: the columns of x come first in every block.
    let blocks = || weights.chunks(32 * (inputs + units));
    let kernel: Vec<W> = blocks().flat_map(|block| &block[..32 * inputs]).copied().collect();
    let recurrent: Vec<W> = blocks().flat_map(|block| &block[32 * inputs..]).copied().collect();
    let gates = RowsFloat { weights: &kernel, bias: tensor(image, Role::Biases) };
    let embedding: &[W] = tensor(image, Role::Embedding);
    let mut ready = vec![0.0; lanes * ids.len()];
    let mut x = vec![0.0; inputs];
    for (&id, row) in ids.iter().zip(ready.chunks_mut(lanes)) {
        Scalar.widen_float(&embedding[id as usize * inputs..][..inputs], &mut x);
        Scalar.rows_float(&gates, &x, row);
    }
    let bytes = |weights: Vec<W>| Values::Bytes(bytemuck::cast_slice(&weights).to_vec());
    (bytes(kernel), bytes(recurrent), Values::F32(ready))
}
