//! Makes the cells, and writes each as the files that the engines read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use latch_engine::image::encode::AlignedBytes;
use latch_engine::layers::pooling::Pooling;
use latch_trainer::config::chain::Activation;
use latch_trainer::quantizer::{self, Origin, Storage, Weights, to_image};

use super::cell::{Cell, Kind, ROWS, Shape, cell_file, image_file, onnx_file};
use super::onnx;
use crate::images::{SEED, invented_words};

/// The network of a cell and a shape, random as all images here: an embedding of [`ROWS`] rows, which are the inputs, and one layer. A GRU and a simple
/// layer have the first rows of an LSTM's.
pub fn weights(kind: Kind, shape: Shape) -> Weights {
    let mut weights = Weights::random(ROWS, shape.inputs, &[shape.units], Pooling::Last, SEED);
    if let Some(layer) = weights.layers.first_mut() {
        let rows = kind.gates() * shape.units;
        let others = layer.kernel.split_off(rows * shape.inputs);
        layer.recurrent_kernel.truncate(rows * shape.units);
        layer.bias.truncate(rows);
        layer.cell = match kind {
            Kind::Lstm => quantizer::Cell::Lstm,
            Kind::Gru => quantizer::Cell::Gru { reset_after: true },
            Kind::Rnn => quantizer::Cell::Rnn { activation: Activation::Tanh },
        };
        if kind == Kind::Gru {
            layer.recurrent_bias = others.into_iter().take(rows).collect();
        }
    }
    weights
}

/// The cell inside such a network.
///
/// # Errors
/// When there is no layer in it.
pub fn cell(kind: Kind, weights: &Weights) -> Result<Cell> {
    let layer = weights.layers.first().context("the network has no layer")?;
    Ok(Cell {
        kind,
        shape: Shape { inputs: layer.inputs, units: layer.units },
        rows: weights.embedding.clone(),
        kernel: layer.kernel.clone(),
        recurrent_kernel: layer.recurrent_kernel.clone(),
        bias: layer.bias.clone(),
        recurrent_bias: layer.recurrent_bias.clone(),
    })
}

/// The image of such a network; the precision by its name.
///
/// # Errors
/// Those of the quantizer, and when there is no such precision; none in practice.
pub fn image(weights: &Weights, precision: &str) -> Result<AlignedBytes> {
    let storage = Storage::ALL.into_iter().find(|storage| storage.name() == precision);
    let storage = storage.with_context(|| format!("there is no precision {precision}"))?;
    to_image(weights, &invented_words(ROWS), storage, &Origin::default())
}

/// Writes cells, ONNX model and images of each shape into a folder, and makes it where it is missing.
///
/// # Errors
/// Names the file or folder that cannot be written.
pub fn write(folder: &Path, shapes: &[Shape]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let write = |name: String, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    for &shape in shapes {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has(shape)) {
            let weights = weights(kind, shape);
            let cell = cell(kind, &weights)?;
            write(cell_file(kind, shape), &cell.to_bytes())?;
            if kind == Kind::Lstm {
                write(onnx_file(shape), &onnx::model(&cell))?;
            }
            for &(precision, _) in kind.precisions() {
                write(image_file(kind, shape, precision), &image(&weights, precision)?)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STEP_STATE_BYTES;
    use crate::peers::cell::{CHECKED_STEPS, SHAPES, hidden_state};
    use crate::peers::rounds::{Key, Row};
    use latch_engine::image::Image;
    use latch_engine::kernels::AnyBackend;
    use latch_engine::{Model, State};

    /// Holds every backend to the answer of a cell.
    fn check(kind: Kind, shape: Shape) -> Result<()> {
        let weights = weights(kind, shape);
        let cell = cell(kind, &weights)?;
        for &(name, precision) in kind.precisions() {
            let image = image(&weights, name)?;
            for backend in AnyBackend::all() {
                let model = Model::new(&Image::open(&image)?).with_backend(backend);
                let mut state = State::<STEP_STATE_BYTES>::new();
                let mut session = model.session(&mut state)?;
                for step in 0..CHECKED_STEPS {
                    assert!(session.push_token((step % ROWS) as u32));
                }
                let hidden = hidden_state(&session, precision, kind, shape);
                let (peer, precision) = (backend.name().to_owned(), name.to_owned());
                let key = Key { peer, cell: Some(kind), precision, shape };
                Row { key, ns: 1.0, difference: Some(cell.difference(&hidden)) }.check()?;
            }
        }
        Ok(())
    }

    #[test]
    fn every_backend_gives_the_answer_with_every_cell_at_every_size_and_precision() -> Result<()> {
        for shape in SHAPES {
            Kind::ALL.into_iter().filter(|kind| kind.has(shape)).try_for_each(|kind| check(kind, shape))?;
        }
        Ok(())
    }
}
