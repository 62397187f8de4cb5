//! The writer of folded embeddings: from an image to the same model with ready rows for some ids. For the desktop.

use std::vec;
use std::vec::Vec;

use crate::image::Image;
use crate::image::encode::{AlignedBytes, Tensor, Values, encode, encoded_bytes};
use crate::image::error::Error;
use crate::image::ids::IdSet;
use crate::image::manifest::{Layer, Lstm, Manifest, Precision};
use crate::image::tensor::Role;
use crate::kernels::{Backend, Packed, RowsI8, Scalar};
#[cfg(feature = "float")]
use crate::kernels::{FloatWeight, RowsFloat};

/// Bytes of the image that [`fold`] would write for so many ids.
///
/// # Errors
/// [`Error::Shape`] when the embedding has fewer ids, or the image would be too large.
pub fn folded_image_bytes(image: &Image<'_>, ids: u32) -> Result<usize, Error> {
    encoded_bytes(&Manifest { folded: ids, ..image.manifest() }, &image.provenance())
}

/// Folds the embedding of an image into its first layer: the same model, with ready rows for `ids`, which may come in any order. Integer
/// models compute the same bits as before, float models sum in another order.
///
/// # Errors
/// [`Error::Shape`] when there are no ids, one is outside the embedding, or the image is folded already;
/// [`Error::PrecisionUnavailable`] for floats where the engine was built without them.
pub fn fold(image: &Image<'_>, ids: &[u32]) -> Result<AlignedBytes, Error> {
    let manifest = image.manifest();
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    if manifest.layers.is_empty() {
        return Err(Error::Shape { problem: "there is no recurrent layer" });
    }
    if manifest.folded > 0 {
        return Err(Error::Shape { problem: "its embedding is folded already: fold the image that it was made from" });
    }
    #[cfg(feature = "extended")]
    if manifest.extended.tiers.is_some() {
        return Err(Error::Shape { problem: "its embedding is in tiers, which cannot be folded" });
    }
    if ids.last().is_none_or(|&last| last >= manifest.embedding.rows) {
        return Err(Error::Shape { problem: "there is no id to fold, or one that the embedding does not have" });
    }
    let mut tensors: Vec<Tensor> = image
        .sections()
        .filter(|section| (section.role, section.layer) != (Role::GateWeights, 0))
        .map(|section| Tensor {
            role: section.role,
            layer: section.layer,
            values: Values::Bytes(image.section_bytes(&section).to_vec()),
        })
        .collect();
    let mut add = |role, values| tensors.push(Tensor { role, layer: 0, values });
    let Some(&Layer::Lstm(first)) = manifest.layers.first() else {
        return Err(Error::Shape { problem: "there is no recurrent layer" });
    };
    let rows = manifest.embedding.rows as usize;
    add(Role::FoldedIndex, Values::Bytes(IdSet::encode(rows, &ids)));
    let (kernel, recurrent, ready) = match manifest.precision {
        Precision::Int8 => integers(image, &manifest, first, &ids),
        #[cfg(feature = "float")]
        Precision::F32 => floats::<f32>(image, &manifest, first, &ids),
        #[cfg(feature = "float")]
        Precision::F16 => floats::<half::f16>(image, &manifest, first, &ids),
        #[cfg(not(feature = "float"))]
        Precision::F32 | Precision::F16 => return Err(Error::PrecisionUnavailable),
    };
    add(Role::KernelWeights, kernel);
    add(Role::GateWeights, recurrent);
    add(Role::FoldedGates, ready);
    let manifest = Manifest { folded: ids.len() as u32, ..manifest };
    let mut folded = AlignedBytes::new(&encode(&manifest, &image.provenance(), &tensors)?);
    super::certify(&mut folded)?; // opens the image, which checks it
    Ok(folded)
}

/// Kernel, recurrent kernel and ready rows.
type Parts = (Values, Values, Values);

fn integers(image: &Image<'_>, manifest: &Manifest, first: Lstm, ids: &[u32]) -> Parts {
    let weights = &int8(image, Role::GateWeights);
    let (inputs, units, width) = (usize::from(first.inputs), usize::from(first.units), first.padded_columns());
    // [unit][column / 4][gate][column % 4]
    let pack = |columns: usize, skipped: usize| {
        crate::image::encode::pack_gates_i8(units, columns, |gate, unit, column| {
            let column = column + skipped;
            weights[4 * (4 * (unit * width / 4 + column / 4) + gate) + column % 4]
        })
    };
    let (kernel, recurrent) = (pack(inputs, 0), pack(units, inputs));
    let gates = RowsI8 {
        weights: &kernel,
        multiplier: image.tensor(manifest, Role::GateMultipliers, 0),
        bias: image.tensor(manifest, Role::GateBiases, 0),
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
    section.map_or(Vec::new(), |section| crate::image::encode::widened(image, &section))
}

#[cfg(feature = "float")]
fn floats<W: FloatWeight>(image: &Image<'_>, manifest: &Manifest, first: Lstm, ids: &[u32]) -> Parts {
    let weights: &[W] = image.tensor(manifest, Role::GateWeights, 0);
    let (inputs, units) = (usize::from(first.inputs), usize::from(first.units));
    // [unit / 8][column][gate][8 units]: the columns of x come first in every block.
    let blocks = || weights.chunks(32 * (inputs + units));
    let kernel: Vec<W> = blocks().flat_map(|block| &block[..32 * inputs]).copied().collect();
    let recurrent: Vec<W> = blocks().flat_map(|block| &block[32 * inputs..]).copied().collect();
    let gates = RowsFloat { weights: &kernel, bias: image.tensor(manifest, Role::GateBiases, 0) };
    let embedding: &[W] = image.tensor(manifest, Role::Embedding, 0);
    let mut ready = vec![0.0; 4 * first.padded_units() * ids.len()];
    let mut x = vec![0.0; inputs];
    for (&id, row) in ids.iter().zip(ready.chunks_mut(4 * first.padded_units())) {
        Scalar.widen_float(&embedding[id as usize * inputs..][..inputs], &mut x);
        Scalar.rows_float(&gates, &x, row);
    }
    let bytes = |weights: Vec<W>| Values::Bytes(bytemuck::cast_slice(&weights).to_vec());
    (bytes(kernel), bytes(recurrent), Values::F32(ready))
}
