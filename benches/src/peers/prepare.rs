//! Makes the cells, and writes each as the files that the engines read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use latch_engine::Precision;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::layers::pooling::Pooling;
use latch_trainer::quantizer::{Origin, Weights, to_image};

use super::cell::{Cell, ROWS, Shape, cell_file, image_file, onnx_file};
use super::onnx;
use crate::images::{SEED, invented_words};

/// The precisions that other engines have as well.
const COMPARED: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Int8];

/// The network of a shape, random as all images here: an embedding of [`ROWS`] rows, which are the inputs, and one layer.
pub fn weights(shape: Shape) -> Weights {
    Weights::random(ROWS, shape.inputs, &[shape.units], Pooling::Last, SEED)
}

/// The cell inside such a network.
///
/// # Errors
/// When there is no layer in it.
pub fn cell(weights: &Weights) -> Result<Cell> {
    let layer = weights.layers.first().context("the network has no layer")?;
    Ok(Cell {
        shape: Shape { inputs: layer.inputs, units: layer.units },
        rows: weights.embedding.clone(),
        kernel: layer.kernel.clone(),
        recurrent_kernel: layer.recurrent_kernel.clone(),
        bias: layer.bias.clone(),
    })
}

/// The image of such a network.
///
/// # Errors
/// Those of the quantizer; none in practice.
pub fn image(weights: &Weights, precision: Precision) -> Result<AlignedBytes> {
    to_image(weights, &invented_words(ROWS), precision, &Origin::default())
}

/// Writes cell, ONNX model and images of each shape into a folder, and makes it where it is missing.
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
        let weights = weights(shape);
        let cell = cell(&weights)?;
        write(cell_file(shape), &cell.to_bytes())?;
        write(onnx_file(shape), &onnx::model(&cell))?;
        for precision in COMPARED {
            write(image_file(shape, precision.name()), &image(&weights, precision)?)?;
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

    #[test]
    fn every_backend_gives_the_answer_at_every_size_and_precision() -> Result<()> {
        for shape in SHAPES {
            let weights = weights(shape);
            let cell = cell(&weights)?;
            for precision in COMPARED {
                let image = image(&weights, precision)?;
                for backend in AnyBackend::all() {
                    let model = Model::new(&Image::open(&image)?).with_backend(backend);
                    let mut state = State::<STEP_STATE_BYTES>::new();
                    let mut session = model.session(&mut state)?;
                    for step in 0..CHECKED_STEPS {
                        assert!(session.push_token((step % ROWS) as u32));
                    }
                    let hidden = hidden_state(&session, precision, shape);
                    let key = Key { peer: backend.name().to_owned(), precision: precision.name().to_owned(), shape };
                    Row { key, ns: 1.0, difference: Some(cell.difference(&hidden)) }.check()?;
                }
            }
        }
        Ok(())
    }
}
